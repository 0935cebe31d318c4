"""Runs Debian's own commands (ip, nsenter, ssh-keygen) with a limit, and says plainly what failed."""

import os
import subprocess
import time
from collections.abc import Callable

from roadstead.errors import StartError

COMMAND_SECONDS = 20.0
POLL_SECONDS = 0.02
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
"""Where root's commands are, also for a root whose own PATH came from somebody else."""
ENVIRONMENT = os.environ | {"PATH": PATH}


def run(guest: str, *command: str, given: str = "") -> str:
    """Run a command for a guest, which reads what is ``given``, and return its output.

    Raises `StartError` ``lab-guest-failed``.
    """
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            env=ENVIRONMENT,
            input=given,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartError("lab-guest-failed", guest=guest, reason=f"{command[0]} did not run") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise StartError("lab-guest-failed", guest=guest, reason=f"{' '.join(command[:4])}: {lines[-1]}")
    return done.stdout


def hashed(guest: str, password: str) -> str:
    """Return ``password`` as it stands in /etc/shadow. Raises `StartError` ``lab-guest-failed``."""
    return run(guest, "openssl", "passwd", "-6", "-stdin", given=password).strip()


def succeeds(*command: str) -> bool:
    """Whether a command runs and ends well; its output does not matter."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=COMMAND_SECONDS, env=ENVIRONMENT)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask until ``condition`` holds, at most ``seconds``; say whether it did."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True

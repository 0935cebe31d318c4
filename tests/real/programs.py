"""Roadstead's programs as processes of their own, for stories that are told from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = (sys.executable, "-c", "from roadstead.app.main import main; main()")
COMMAND_SECONDS, STOP_SECONDS = 60.0, 30.0


def done(*words: str, **environment: str) -> str:
    """What a command prints; it must end well."""
    ran = subprocess.run(
        words, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False, env=os.environ | environment
    )
    assert ran.returncode == 0, f"{words}: {ran.stdout}{ran.stderr}"
    return ran.stdout


@contextmanager
def running(folder: Path, *words: object, **environment: str) -> Iterator[dict[str, Any]]:
    """Run a program of ours, its log in ``folder``; gives what it says when it is ready."""
    with (folder / f"{words[0]}.log").open("w") as log:
        command = [*PROGRAM, *map(str, words), "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | environment)
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, Path(log.name).read_text()
            yield json.loads(line)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=STOP_SECONDS)

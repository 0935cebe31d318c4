"""Tells the story with the releases that are asked for, and writes what came of it: ``scripts/vm-story`` calls this.

It is the first process of namespaces of its own: whatever it starts ends with it, however it ends.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.matrix.rows import roots
from tests.vm_story import page, story
from tests.vm_story.steps import Steps, StoryError

ROOT = Path(__file__).parents[2]
LAST = ROOT / ".lab" / "vm-story"
"""What the last runs came to, and their logs."""
PAGE = ROOT / "docs" / "vm-story.md"
WORK = Path("/mnt")
"""Where everything is that a run writes: memory, in this mount namespace alone."""
LOGS = ("lab.log", "serve.log", "dhcp.log", "console.log")
ENDINGS = (signal.SIGTERM, signal.SIGINT)
WHOLE_SECONDS = 45 * 60
"""However each wait goes: a run with one release takes no longer."""


def main() -> int:
    """Tell the story with each release; return whether one failed."""
    parser = argparse.ArgumentParser(prog="scripts/vm-story", description=__doc__)
    parser.add_argument("suites", nargs="+", choices=[*page.SUITES], metavar="SUITE")
    suites = parser.parse_args().suites
    for ending in ENDINGS:
        signal.signal(ending, _ended)
    signal.signal(signal.SIGALRM, _late)
    LAST.mkdir(parents=True, exist_ok=True)
    told = [_told(suite) for suite in suites]
    PAGE.write_text("\n".join(page.document([_last(suite) for suite in page.SUITES], os.cpu_count() or 1)), "utf-8")
    return int(any(one.fault for one in told))


def _ended(_: int, __: FrameType | None) -> NoReturn:
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    sys.exit("vm-story: ended from outside")


def _late(_: int, __: FrameType | None) -> NoReturn:
    raise StoryError(f"it took longer than {WHOLE_SECONDS // 60} minutes in all")


def _told(suite: str) -> page.Told:
    image = roots() / "vm" / suite
    packages = dict(line.split(" ", 1) for line in (image / "packages").read_text().splitlines())
    print(f"{page.SUITES[suite]}: {', '.join(f'{name} {version}' for name, version in packages.items())}", flush=True)
    steps, told = Steps(), page.Told(suite, datetime.now(UTC).date().isoformat(), packages=packages)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "vm-story", WORK], check=True)
    signal.alarm(WHOLE_SECONDS)
    try:
        story.tell(image, WORK, steps)
    except (StoryError, AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
        told.fault = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"FAILED    {told.fault}", file=sys.stderr, flush=True)
    finally:
        signal.alarm(0)
        for name in LOGS:
            if (WORK / name).exists():
                shutil.copy(WORK / name, LAST / f"{suite}-{name}")
        subprocess.run(["umount", "--lazy", WORK], check=False)
    told.steps = [(step.what, round(step.seconds, 1)) for step in steps.done]
    (LAST / f"{suite}.json").write_text(json.dumps(vars(told)), "utf-8")
    print(f"{page.SUITES[suite]}: {'FAILED' if told.fault else 'green'} in {told.seconds:.0f} s", flush=True)
    return told


def _last(suite: str) -> page.Told:
    path = LAST / f"{suite}.json"
    return page.Told(**json.loads(path.read_text("utf-8"))) if path.exists() else page.Told(suite)


if __name__ == "__main__":
    sys.exit(main())

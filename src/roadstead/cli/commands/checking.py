"""The path to a VM's engine, walked while a person looks on: a line for each step as it is done, and what to do."""

import sys
import textwrap
from collections.abc import Iterable, Iterator

from roadstead.cli.api import client
from roadstead.cli.api.views import StepFinding
from roadstead.cli.display import output
from roadstead.kit.text import terminal_clean

FAILED, MISSED = "failed", "missed"
_COLOURS = {"ok": output.GREEN, FAILED: output.RED, MISSED: output.YELLOW}
INDENT = " " * 8
"""Of what does not fit on a step's first line: a fingerprint still fits into 60 columns."""
LEAST_COLUMNS = 40


def check(connected: client.Client, name: str) -> bool:
    """Print what is found on the way to a VM; return whether every step was passed."""
    return is_passed(_shown(_found(connected, name)))


def found(connected: client.Client, name: str) -> list[StepFinding]:
    """Return what is found on the way to a VM."""
    return list(_found(connected, name))


def is_passed(findings: Iterable[StepFinding]) -> bool:
    """Whether no step failed."""
    return not any(one.state == FAILED for one in findings)


def _found(connected: client.Client, name: str) -> Iterator[StepFinding]:
    return connected.begin(f"/vms/{client.part(name)}/check").records(StepFinding)


def _shown(findings: Iterable[StepFinding]) -> list[StepFinding]:
    seen: list[StepFinding] = []
    address = ""
    for one in findings:
        seen.append(one)
        at = f" at {one.address}" if one.address != address and one.address else ""
        address = one.address or address
        _write(one, at)
    first = next((one for one in seen if one.state == FAILED), None)
    if first is None:
        _say("", "All is well: every step was passed.")
    else:
        _say("", f"The first step that fails: {first.step} ({first.code}).", first.remedy)
    return seen


def _write(one: StepFinding, at: str) -> None:
    told = f": {one.finding}" if one.finding else ""
    head = f"{one.state:<8}{one.seconds:6.2f} s  "
    lines = _wrapped(terminal_clean(f"{head}{one.step}{at}{told}"), INDENT)
    if output.is_coloured():
        lines[0] = lines[0].replace(one.state, output.painted(one.state, _COLOURS.get(one.state, "")), 1)
    output.write(lines)
    sys.stdout.flush()


def _say(*texts: str) -> None:
    output.write(line for text in texts for line in _wrapped(terminal_clean(text), ""))


def _wrapped(text: str, indent: str) -> list[str]:
    """Return ``text`` in lines that fit the terminal; in one where nothing has to fit."""
    room = output.room()
    if room is None or not text:
        return [text]
    width = max(room, LEAST_COLUMNS)
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)

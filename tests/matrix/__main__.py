"""Runs the contract on every row of the matrix and writes what came of it: ``scripts/matrix``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.matrix.rows import ROWS, SUITES, Row

ROOT = Path(__file__).parents[2]
LAST = ROOT / "docs" / "matrix.json"
"""What each row's last run came to, by the row's name: whoever runs some rows anew keeps what others found."""
LOG = ROOT / ".lab" / "matrix.log"
TABLE = ROOT / "docs" / "matrix.md"
TLS = "tests/real/test_link_tls.py"
CONTRACT = "tests/contract/test_guest_contract.py"
STREAMS = "tests/contract/test_link_openssh.py"
WAYS = (
    "tests/real/test_link_sshd.py",
    "tests/real/test_ways.py",
    "tests/real/test_line_forms.py",
    "tests/real/test_strict_clients.py",
)
"""What an SSH server lets through has nothing to do with the engine: once for each release."""
WORKERS = "3"
"""More than there are processors here: these tests wait for servers that start and end most of the time."""
PREAMBLE = """\
# The matrix of real guests

Written by `./scripts/matrix`; do not edit. Each row is a guest with files of its own (installed by debootstrap),
OpenSSH's sshd and the engine of that release, in namespaces of one machine, found and watched by the whole of Roadstead
through a pool. Every row is held to the same contract: `tests/contract/test_guest_contract.py` (list, events, health,
operations, inspect, exact states, stale and recovery, another host key, power, a cut network) and
`tests/contract/test_link_openssh.py` (streams) or, where the engine listens with `tlsverify`,
`tests/real/test_link_tls.py`. Each release's sshd and shells are besides held to
`tests/real/test_link_sshd.py`, `tests/real/test_ways.py` (relays, sudo, login shells, languages, narrow servers) and
`tests/real/test_line_forms.py` (what each form of the key's line opens, and that all the rest is refused), and its
Python to `tests/real/test_strict_clients.py` (our certificates).
How to run it and what it needs: [CONTRIBUTING](../CONTRIBUTING.md#the-matrix).
"""


@dataclass
class Outcome:
    """What became of one row."""

    row: Row
    seconds: float = 0.0
    when: str = ""
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("passed", "failed", "skipped"), 0))
    facts: dict[str, str] = field(default_factory=dict)
    """What the guest said of itself."""
    failed: list[str] = field(default_factory=list)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    """Why tests were skipped → which."""


def main() -> int:
    """Run the rows that were asked for, and write the table: of other rows it has what their last run came to."""
    parser = argparse.ArgumentParser(prog="scripts/matrix", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(row.name for row in ROWS)}; all if none")
    names = parser.parse_args().rows
    if unknown := set(names) - {row.name for row in ROWS}:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    wanted = [row for row in ROWS if not names or row.name in names]
    for suite in dict.fromkeys(row.suite for row in wanted):
        subprocess.run([ROOT / "scripts" / "root", suite], check=True, stdout=subprocess.DEVNULL)
    LOG.parent.mkdir(exist_ok=True)
    LOG.unlink(missing_ok=True)
    outcomes = [_run(row) for row in wanted]
    TABLE.write_text("\n".join(_document(last())), encoding="utf-8")
    return int(any(outcome.failed for outcome in outcomes))


def last() -> list[Outcome]:
    """What each row's last run came to."""
    told = _told()
    return [Outcome(row, **told.get(row.name, {})) for row in ROWS]


def _told() -> dict[str, dict[str, Any]]:
    told: dict[str, dict[str, Any]] = json.loads(LAST.read_text(encoding="utf-8")) if LAST.exists() else {}
    return told


def _run(row: Row) -> Outcome:
    outcome, begun = Outcome(row, when=datetime.now(UTC).date().isoformat()), time.monotonic()
    streams = {"streamlocal": (STREAMS,), "tls": (TLS,)}.get(row.relay, ())
    ways = WAYS if row.name == f"{row.suite}-docker" else ()
    with tempfile.TemporaryDirectory() as folder, LOG.open("ab") as log:
        report = Path(folder) / "report.xml"
        options = ("-m", "real", "-n", WORKERS, "--row", row.name, f"--junit-xml={report}", "-o", "junit_family=xunit1")
        command = [sys.executable, "-m", "pytest", *options, CONTRACT, *streams, *ways]
        subprocess.run(command, cwd=ROOT, check=False, stdout=log, stderr=log)
        _read(report, outcome)
    if not outcome.counts["passed"]:
        outcome.failed.append("no test has passed")
    outcome.seconds = round(time.monotonic() - begun, 1)
    told = _told()
    told[row.name] = {name: value for name, value in vars(outcome).items() if name != "row"}
    LAST.write_text(f"{json.dumps(told, indent=1, sort_keys=True)}\n", encoding="utf-8")
    print(_line(outcome), *(f"  failed: {name}" for name in outcome.failed), sep="\n", flush=True)
    return outcome


def _read(report: Path, outcome: Outcome) -> None:
    if not report.exists():
        outcome.failed.append("the tests did not run")
        return
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it just now
        name = f"{Path(case.get('file', '')).name}::{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.counts["failed"] += 1
            outcome.failed.append(name)
        elif skipped is not None:
            outcome.counts["skipped"] += 1
            outcome.reasons.setdefault(skipped.get("message", ""), []).append(name)
        else:
            outcome.counts["passed"] += 1
        outcome.facts.update({fact.get("name", ""): fact.get("value", "") for fact in case.iter("property")})


def _line(outcome: Outcome) -> str:
    row, counts, facts = outcome.row, outcome.counts, outcome.facts
    mark = "FAILED" if outcome.failed else "green" if outcome.when else "not run yet"
    cells = [
        row.name,
        SUITES[row.suite],
        facts.get("server", "?"),
        facts.get("engine", "?"),
        facts.get("api", "?"),
        facts.get("relay", row.relay),
        mark,
        str(counts["passed"]),
        str(counts["failed"]),
        str(counts["skipped"]),
        f"{outcome.seconds:.0f} s",
        outcome.when,
    ]
    return f"| {' | '.join(cells)} |"


def _document(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield PREAMBLE
    titles = (
        "row",
        "release",
        "SSH server",
        "engine",
        "API",
        "reached by",
        "result",
        "passed",
        "failed",
        "not possible",
    )
    yield f"| {' | '.join(titles)} | took | on |"
    yield "|---" * (len(titles) + 2) + "|"
    yield from (_line(outcome) for outcome in outcomes)
    yield ""
    minutes = sum(outcome.seconds for outcome in outcomes) / 60
    yield f"All rows together took {minutes:.0f} minutes on {os.cpu_count()} processors."
    yield "\n## What is not possible, and why\n"
    reasons: dict[str, dict[str, list[str]]] = {}
    for outcome in outcomes:
        for reason, names in outcome.reasons.items():
            reasons.setdefault(reason, {})[outcome.row.name] = names
    for reason, rows in sorted(reasons.items()):
        tests = sorted({name.partition("::")[2].partition("[")[0] for names in rows.values() for name in names})
        yield f"- {reason}: {', '.join(f'`{name}`' for name in tests)} on {', '.join(rows)}."
    failed = [(outcome.row.name, name) for outcome in outcomes for name in outcome.failed]
    if failed:
        yield "\n## What failed\n"
        yield from (f"- {row}: `{name}`" for row, name in failed)
    yield ""


if __name__ == "__main__":
    sys.exit(main())

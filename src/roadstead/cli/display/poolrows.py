"""What is shown of pools: their list, and the steps of their test."""

from collections.abc import Sequence

import typer

from roadstead.cli import failures
from roadstead.cli.api import client
from roadstead.cli.api.views import Pool, PoolTest
from roadstead.cli.display import output, table
from roadstead.kit.text import terminal_clean


def write(waiting: client.Waiting, *, wide: bool) -> bool:
    """Print the pools that the server answers with, ``wide`` with their ids; return whether there were any."""
    found = sorted(waiting.read(list[Pool]), key=lambda pool: pool.name)
    ids = [table.Column("ID", [pool.id for pool in found], whole=True)] if wide else []
    output.write(table.lines([*ids, *columns(found)], None if wide else output.room()))
    return bool(found)


def columns(pools: Sequence[Pool]) -> list[table.Column]:
    """Return the columns that show ``pools``."""
    return [
        table.Column("NAME", [pool.name for pool in pools], least=10),
        table.Column("STATE", [_state(pool) for pool in pools], paint=output.state_painter()),
        table.Column("URL", [pool.url or "-" for pool in pools], rank=2, whole=True),
        table.Column("USER", [pool.user or "-" for pool in pools], rank=6),
        table.Column("VMS", [str(pool.vms) for pool in pools], rank=3, whole=True),
        table.Column("MANAGED", [str(pool.managed) for pool in pools], rank=4, whole=True),
        table.Column("RUNNING", [str(pool.running) for pool in pools], rank=5, whole=True),
        table.Column("CERTIFICATE", [_certificate(pool) for pool in pools], rank=9, whole=True),
        table.Column("ADMIT", [",".join(pool.admit) or "-" for pool in pools], rank=7, whole=True),
        table.Column("ONLY", [",".join(pool.only) or "-" for pool in pools], rank=8, whole=True),
        table.Column("PUBLISH", [pool.publish or "-" for pool in pools], rank=10),
        table.Column("PROBLEM", [pool.problem.code if pool.problem else "-" for pool in pools], rank=1, whole=True),
    ]


def test(connected: client.Client, pool: str) -> None:
    """Print each step of a pool's test as it was; fail when one did."""
    told = connected.post(PoolTest, f"/pools/{client.part(pool)}/test")
    for step in told.steps:
        mark = "ok" if step.ok else "FAILED"
        output.write([terminal_clean(f"{mark:<6}  {step.step} ({step.seconds:.2f} s)  {step.message}".rstrip())])
    if not told.ok:
        raise typer.Exit(failures.FAILED)


def _state(pool: Pool) -> str:
    if pool.live:  # which may have a problem, too: something that it does not permit
        return "live"
    return "broken" if pool.problem is not None else "connecting"


def _certificate(pool: Pool) -> str:
    if pool.certificate is None:
        return "-"
    return pool.certificate.fingerprint or pool.certificate.kind

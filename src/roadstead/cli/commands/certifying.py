"""What `roadstead certificates` shows and ends; new certificates are a matter of preparing (`preparing`)."""

from datetime import UTC, datetime

from roadstead.cli.api import client
from roadstead.cli.api.views import CertificatesOf, NewCertificates
from roadstead.cli.commands import managing
from roadstead.cli.display import output, table
from roadstead.errors import ConflictError, quoted
from roadstead.kit.text import terminal_clean

ENDING_SECONDS = 180.0
"""A disk in a busy storage takes its time to be overwritten."""
CUT_OFF = "An engine on which its script has run is cut off now: `roadstead prepare {name} --mode tls` makes new ones."


def listing(connected: client.Client, format: str, *, cut: bool) -> None:
    """Print until when all certificates are good."""
    waiting = connected.ask("/certificates")
    if format == "json":
        output.write_json(waiting.raw())
        return
    told = waiting.read(list[CertificatesOf])
    if not told:
        output.write(["No VM is reached over TLS; `roadstead certificates make VM` prepares one for it."])
        return
    now = datetime.now(UTC)
    made = [
        table.Column("VM", [each.name for each in told], least=10),
        table.Column("POOL", [each.pool_name for each in told], rank=3),
        table.Column("STATE", [each.state for each in told], rank=4, whole=True),
        table.Column("UNTIL", [f"{each.until:%Y-%m-%d}" if each.until else "unknown" for each in told], whole=True),
        table.Column("LEFT", [_left(each.until, now) for each in told], rank=2, whole=True),
        table.Column("ENDS FIRST", [each.whose or "-" for each in told], least=table.NAME_CELLS, rank=4),
        table.Column("PROBLEM", [each.problem or "-" for each in told], rank=1, whole=True),
    ]
    output.write(table.lines(made, output.room() if cut else None))


def show(connected: client.Client, name: str, format: str) -> None:
    """Print until when the certificates of a VM are good, and how the new ones stand. Raises `ConflictError` for a VM
    that has none and gets none.
    """
    waiting = connected.ask(_path(name))
    if format == "json":
        output.write_json(waiting.raw())
        return
    told = waiting.read(NewCertificates)
    used = next((each for each in connected.get(list[CertificatesOf], "/certificates") if each.vm == told.vm), None)
    if used is None and told.state == "none":
        raise ConflictError("tls-not-used", vm=told.name)
    facts = [
        *(_in_use(used) if used is not None else ()),
        ("new certificates", told.state if told.state != "none" else "none under way"),
        ("addresses", ", ".join(told.addresses) or "none known"),
        ("lets in", ", ".join(told.sources)),
        ("valid until", f"{told.until:%Y-%m-%d}" if told.until else ""),
        ("the last try said", told.last),
    ]
    rows = managing.pairs([(key, value) for key, value in facts if value])
    output.write([terminal_clean(told.name), *map(terminal_clean, rows)])


def cancel(connected: client.Client, name: str) -> None:
    """End what is under way."""
    connected.delete(_path(name))
    output.result(name, "ended; the CD is taken out and destroyed")
    output.write([CUT_OFF.format(name=quoted(terminal_clean(name)))])


def cd_stays(name: str) -> str:
    """Return what is to be known when nobody watches any more."""
    return f"The CD stays in the drive for up to an hour: `roadstead certificates show|cancel {quoted(name)}`"


def _in_use(used: CertificatesOf) -> list[tuple[str, str]]:
    left = _left(used.until, datetime.now(UTC))
    return [
        ("in use until", f"{used.until:%Y-%m-%d} ({left})" if used.until else "unknown"),
        ("ends first", used.whose),
        ("problem", used.problem),
    ]


def _left(until: datetime | None, now: datetime) -> str:
    if until is None:
        return "-"
    days = (until - now).days
    return f"{days} days" if days >= 0 else "expired"


def _path(name: str) -> str:
    return f"/vms/{client.part(name)}/certificates"

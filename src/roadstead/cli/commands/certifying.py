"""What `roadstead certificates` does: asks what must be asked, has the server work, and tells how it goes."""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from roadstead.cli import failures, session
from roadstead.cli.api import client
from roadstead.cli.api.views import CertificatesOf, NewCertificates
from roadstead.cli.commands import managing
from roadstead.cli.display import output, table
from roadstead.errors import InputError
from roadstead.kit.text import terminal_clean

MAKING_SECONDS = 180.0
"""Keys of RSA and a disk in a busy storage take their time; taking one out again does, too."""
LOOK_SECONDS = 1.0
WARNING = (
    "The CD holds the private key of the VM's engine: any user of the VM can read it while the CD is in the drive.",
    "It is taken out and destroyed as soon as the engine uses it.",
)
KEY_WARNING = (
    "With --with-client-key the CD also holds the key of the client: whoever reads it controls the engine,",
    "and with it the whole VM, until these certificates are replaced.",
)
WAITS = "In the VM run configure_tls.cmd from the CD (Container TLS) as an administrator."

CUT_OFF = "An engine on which its script has run is cut off now: `roadstead prepare {name} --mode tls` makes new ones."


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    addresses: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    days: int | None = None
    with_client_key: bool = False
    storage: str = ""
    eject: bool = False
    add_drive: bool = False

    def body(self) -> dict[str, Any]:
        """Return it as the API takes it."""
        names = ("sources", "days", "with_client_key", "storage", "eject", "add_drive")
        asked = {name: value for name in names if (value := getattr(self, name))}
        return {**asked, "addresses": list(self.addresses)}


def listing(connected: client.Client, format: str) -> None:
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
        table.Column("POOL", [each.pool_name for each in told], rank=2),
        table.Column("STATE", [each.state for each in told]),
        table.Column("UNTIL", [f"{each.until:%Y-%m-%d}" if each.until else "unknown" for each in told]),
        table.Column("LEFT", [_left(each.until, now) for each in told]),
        table.Column("ENDS FIRST", [each.whose or "-" for each in told], least=10, rank=3),
        table.Column("PROBLEM", [each.problem or "-" for each in told], rank=1),
    ]
    output.write(table.lines(made, output.room()))


def make(connected: client.Client, name: str, wanted: Wanted, *, yes: bool, is_watched: bool) -> None:
    """Have certificates made and brought to a VM, after what is to be known was said; watch until it uses them."""
    before = connected.get(NewCertificates, _path(name))
    addresses = wanted.addresses or before.addresses
    shown = ", ".join(addresses) or "none that is known: give one with --address"
    output.write([f"{terminal_clean(before.name)}: the certificate is for {terminal_clean(shown)} and 127.0.0.1", ""])
    output.write(WARNING)
    _agree(f"Make certificates for {terminal_clean(before.name)}?", name, yes=yes)
    if wanted.with_client_key:
        output.write(["", *KEY_WARNING])
        _agree("Put the client's key on the CD all the same?", name, yes=yes)
    told = _made(connected, name, replace(wanted, addresses=tuple(addresses)))
    until = f"{told.until:%Y-%m-%d}" if told.until else "unknown"
    sources = ", ".join(told.sources) or "everywhere, since no management network is known: say one with --from"
    let_in = f"Its script lets connections to the engine in from {terminal_clean(sources)}."
    output.write(["", f"The CD is in the drive; its certificates are valid until {until}.", let_in, WAITS])
    if is_watched:
        with failures.leaving(lambda: [cd_stays(name)]):
            is_used = _watched(connected, name)
        failures.leave([is_used])


def bring(connected: client.Client, name: str, texts: dict[str, str], *, legacy: bool) -> None:
    """Have certificates of others stored."""
    told = connected.post(NewCertificates, f"{_path(name)}/import", {**texts, "legacy_certificate": legacy})
    until = f", good until {told.until:%Y-%m-%d}" if told.until else ""
    output.result(told.name, f"reached with these certificates{until}; they are stored, and the VM is managed")


def show(connected: client.Client, name: str, format: str) -> None:
    """Print how the new certificates of a VM stand."""
    waiting = connected.ask(_path(name))
    if format == "json":
        output.write_json(waiting.raw())
        return
    told = waiting.read(NewCertificates)
    facts = [
        ("new certificates", told.state if told.state != "none" else "none under way"),
        ("addresses", ", ".join(told.addresses) or "none known"),
        ("valid until", f"{told.until:%Y-%m-%d}" if told.until else ""),
        ("the last try said", told.last),
    ]
    rows = managing.pairs([(key, value) for key, value in facts if value])
    output.write([terminal_clean(told.name), *map(terminal_clean, rows)])


def cancel(connected: client.Client, name: str) -> None:
    """End what is under way."""
    connected.delete(_path(name))
    output.result(name, "ended; the CD is taken out and destroyed")
    output.write([CUT_OFF.format(name=terminal_clean(name))])


def _made(connected: client.Client, name: str, wanted: Wanted) -> NewCertificates:
    """Ask the server; what only the operator can allow is asked, once each, and then asked for again."""
    try:
        with failures.leaving(lambda: [cd_stays(name)]):  # the server makes it all the same
            return connected.post(NewCertificates, _path(name), wanted.body())
    except client.Refused as error:
        question = {
            "cd-drive-full": "Eject it, and put it back afterwards?",
            "cd-drive-missing": "Give it one? It must be shut down for that.",
        }.get(error.code)
        if question is None or not output.is_asked():
            raise
        refusal = InputError("confirmation-needed", candidates=[name])
        if not session.agreed(f"{terminal_clean(error.cause)} {question}", refusal=refusal):
            failures.stop()
        allowed = replace(wanted, eject=True) if error.code == "cd-drive-full" else replace(wanted, add_drive=True)
        if allowed == wanted:
            raise
    return _made(connected, name, allowed)


def cd_stays(name: str) -> str:
    """Return what is to be known when nobody watches any more."""
    return f"The CD stays in the drive for up to an hour: `roadstead certificates show|cancel {name}`"


def _watched(connected: client.Client, name: str) -> bool:
    """Print what the tries say, until the certificates are stored, or nothing came of it; return whether they are."""
    said = ""
    while True:
        told = connected.get(NewCertificates, _path(name))
        if told.state == "done":
            gone = "and the CD is destroyed" if not told.last else f"but: {terminal_clean(told.last)}"
            output.result(told.name, f"uses its new certificates; they are stored, {gone}", ok=not told.last)
            return not told.last
        if told.state in {"failed", "none"}:
            output.result(told.name, told.last or "ended by somebody else; the CD is destroyed", ok=False)
            return False
        if told.code and told.code != said:
            said = told.code
            output.write([f"  not yet: {terminal_clean(told.last)}"])
        time.sleep(LOOK_SECONDS)


def _agree(question: str, name: str, *, yes: bool) -> None:
    if not yes and not session.agreed(question, refusal=InputError("confirmation-needed", candidates=[name])):
        failures.stop()


def _left(until: datetime | None, now: datetime) -> str:
    if until is None:
        return "-"
    days = (until - now).days
    return f"{days} days" if days >= 0 else "expired"


def _path(name: str) -> str:
    return f"/vms/{client.part(name)}/certificates"

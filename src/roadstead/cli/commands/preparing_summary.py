"""What came of preparing: one table of all VMs, with what counts in their modes."""

from collections.abc import Iterator, Sequence

from roadstead.cli.api.views import GuestPreparation
from roadstead.cli.commands import certifying
from roadstead.cli.commands.preparing_guests import Guest
from roadstead.cli.display import output, table


def lines(guests: Sequence[Guest], *, cut: bool) -> Iterator[str]:
    """Yield the lines of the table; what came of each VM is never cut."""
    rows = [guest.result or GuestPreparation() for guest in guests]
    is_tls = [guest.result.mode == "tls" if guest.result else guest.answers.get("mode") == "tls" for guest in guests]
    made = [
        table.Column("VM", [guest.vm.name for guest in guests]),
        table.Column("RESULT", [_result(guest) for guest in guests], whole=True),
    ]
    if not all(is_tls):
        made += [
            table.Column(
                "USER",
                [row.user or guest.user or "-" for row, guest in zip(rows, guests, strict=True)],
                rank=2,
            ),
            table.Column("ADDRESS", [row.address or "-" for row in rows], rank=3, whole=True),
            table.Column("ENGINE", [_fact(row, "engine") for row in rows], rank=1, whole=True),
            table.Column("AUTOSTART", [_fact(row, "starts with the guest") for row in rows], rank=4, whole=True),
        ]
    if any(is_tls):
        made += [
            table.Column("CERTIFICATE FOR", [", ".join(row.addresses) or "-" for row in rows], rank=3, whole=True),
            table.Column("UNTIL", [f"{row.until:%Y-%m-%d}" if row.until else "-" for row in rows], rank=2, whole=True),
        ]
    return table.lines(made, output.room() if cut else None)


def broken_off(guests: Sequence[Guest]) -> list[str]:
    """Return what an interrupted command says: how far each VM is, and who tells of those that the server works on."""
    told = [f"{guest.name}: {_standing(guest)}" for guest in guests]
    if any(guest.is_called for guest in guests):
        told.append(
            "`roadstead vms` and `roadstead audit` tell what comes of what the server goes on with; the same command"
            " again finishes what it leaves."
        )
    return told


def _standing(guest: Guest) -> str:
    if guest.has_cd:
        return certifying.cd_stays(guest.name)
    if guest.is_called:
        return "the server goes on with it"
    return _result(guest) if guest.result is not None or guest.error is not None else "not touched"


def _result(guest: Guest) -> str:
    if guest.result is not None:
        return guest.result.state if guest.result.question != "run-script" else "CD in the drive"
    return f"failed: {guest.error.code if guest.error is not None else 'not tried'}"


def _fact(row: GuestPreparation, name: str) -> str:
    return next((value for fact, value in row.checked if fact == name), "-")

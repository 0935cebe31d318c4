"""What is shown of a pool's plugin, and of who changed what."""

from datetime import UTC, datetime

from roadstead.cli.api import client
from roadstead.cli.api.views import AuditEntry, PluginState
from roadstead.cli.commands import managing
from roadstead.cli.display import output, table
from roadstead.kit.text import terminal_clean


def set_plugin(connected: client.Client, pool: str, url: str | None) -> None:
    """Enable a pool's plugin."""
    _tell(pool, connected.post(PluginState, _path(pool), {"url": url}))


def clear_plugin(connected: client.Client, pool: str) -> None:
    """Disable it."""
    connected.delete(_path(pool))
    _tell(pool, connected.get(PluginState, _path(pool)))


def show_plugin(connected: client.Client, pool: str, format: str) -> None:
    """Print how it stands."""
    if format == "json":
        output.write_json(connected.ask(_path(pool)).raw())
    else:
        _tell(pool, connected.get(PluginState, _path(pool)))


def write(waiting: client.Waiting, *, cut: bool) -> None:
    """Print the entries of the audit that the server answers with; what came of each keeps its room.

    A code says of itself that something failed, so it stands in the place of that word.
    """
    found = waiting.read(list[AuditEntry])
    made = [
        table.Column("TIME", [_time(entry.at) for entry in found], whole=True),
        table.Column("WHO", [entry.who or "-" for entry in found], rank=2),
        table.Column("FROM", [entry.origin or "-" for entry in found], rank=4),
        table.Column("WHAT", [entry.what for entry in found], least=table.NAME_CELLS),
        table.Column("TARGET", [entry.name or entry.target or "-" for entry in found], whole=True),
        table.Column("RESULT", [entry.code or entry.result for entry in found], whole=True),
    ]
    output.write(table.lines(made, output.room() if cut else None))


def _tell(pool: str, told: PluginState) -> None:
    facts = [
        ("state", told.state),
        ("reason", told.reason),
        ("url", told.url),
        ("hint", told.hint),
        ("fingerprint", told.fingerprint),
        ("token since", _time(told.since) if told.since is not None else ""),
        ("server listens at", told.listen or "nowhere"),
    ]
    known = [(name, terminal_clean(value)) for name, value in facts if value]
    output.write([output.bold(f"Plugin of the pool {terminal_clean(pool)}"), *managing.pairs(known)])


def _time(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at is not None else "-"


def _path(pool: str) -> str:
    return f"/pools/{client.part(pool)}/plugin"

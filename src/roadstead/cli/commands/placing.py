"""The plugin in the hosts of a pool: first the hosts' keys, then root's password or key, then one host after the other.

What was typed is kept for this run alone, and is sent only to hosts whose keys were confirmed.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from roadstead.cli import failures, session
from roadstead.cli.api import client
from roadstead.cli.api.views import HostPlugin, PluginState, SeenHost
from roadstead.cli.commands import secrets
from roadstead.cli.display import output, table
from roadstead.errors import ConflictError, InputError, RoadsteadError, quoted
from roadstead.kit.text import terminal_clean

TRIES = 3
"""How often a password or a passphrase may be typed."""
_GIVEN_KEY = re.compile(r"(.+?)=(SHA256:[A-Za-z0-9+/]{43})=?")
_SAYING = {"install": "Installing", "uninstall": "Uninstalling", "look": "Looking"}
_WORDS = {
    "absent": "not installed",
    "ours": "installed",
    "copied": "Roadstead's, put there by hand",
    "foreign": "another one",
    "package": "installed by rpm, and left to it",
    "replaced": "replaced",
    "restored": "removed; what was there before is back",
}


@dataclass(frozen=True)
class Wanted:
    """What is to be done, on which hosts (all of the pool when none is named), and how they are signed in to."""

    action: str
    hosts: list[str]
    host_keys: list[str]
    password_file: str | None
    key_file: Path | None
    port: int


class Done(NamedTuple):
    """What became of one host; ``plugin`` is None where it failed, and ``code`` says why."""

    host: SeenHost
    plugin: HostPlugin | None
    code: str = ""


def work(connected: client.Client, pool: str, wanted: Wanted) -> None:
    """Do what is wanted on the hosts of ``pool``; some that failed end the command with 4."""
    given = dict(map(_given_key, wanted.host_keys))
    key = secrets.usable_key(wanted.key_file)
    path = f"/pools/{client.part(pool)}/plugin"
    hosts = _chosen(connected.post(list[SeenHost], f"{path}/hosts", {"port": wanted.port}), wanted.hosts)
    failed = list(_unfit(hosts, given))
    fit = [host for host in hosts if host not in {done.host for done in failed}]
    _confirm([host for host in fit if _key_of(host, given) is None])
    done = _each(Root(connected, path, pool, wanted, key), fit) if fit else []
    told = sorted([*failed, *done], key=lambda one: hosts.index(one.host))
    output.write(_table(told))
    if wanted.action == "install" and any(one.plugin for one in told):
        _say_how_to_go_on(connected, path, pool)
    failures.leave([one.plugin is not None for one in told])


@dataclass
class Root:
    """Root on the hosts: how it signs in, asked for at first need."""

    connected: client.Client
    path: str
    pool: str
    wanted: Wanted
    key: secrets.PrivateKey | None
    refused: bool = False
    """Whether what was typed was refused so often that no further host is tried."""
    _known: dict[str, str] = field(default_factory=dict, repr=False)
    _typed: int = 0

    def ready(self) -> None:
        """Ask for what is needed, unless it is known."""
        if not self._known:
            self._known = self._asked()

    def visit(self, host: SeenHost) -> HostPlugin:
        """Do what is wanted on one host. Raises `client.Refused`, `RoadsteadError`."""
        while True:
            self.ready()
            try:
                return self.connected.post(HostPlugin, f"{self.path}/hosts/{client.part(host.id)}", self._body(host))
            except client.Refused as error:
                if not self._is_to_be_typed_anew(error, host):
                    raise

    def _body(self, host: SeenHost) -> dict[str, Any]:
        key = {"type": host.type, "fingerprint": host.fingerprint}
        return {"action": self.wanted.action, "port": self.wanted.port, **key, **self._known}

    def _asked(self) -> dict[str, str]:
        if self.key is not None:
            return {"private_key": self.key.text, **(self._passphrase() if self.key.is_encrypted else {})}
        self._typed += 1
        question = f"Password of root on the hosts of {terminal_clean(self.pool)}: "
        return {"password": secrets.password(self.wanted.password_file, question, or_key=True)}

    def _passphrase(self) -> dict[str, str]:
        self._typed += 1
        return {"passphrase": secrets.passphrase(self.wanted.key_file)}

    def _is_to_be_typed_anew(self, error: client.Refused, host: SeenHost) -> bool:
        """Whether a person may type what was refused once more; `_known` is then what is to be used."""
        wrong_password = error.code == "host-sign-in-failed" and "password" in self._known
        if not (wrong_password or error.code in secrets.PASSPHRASE) or not self._is_typed(error):
            return False
        if self._typed >= TRIES:
            self.refused = True
            return False
        if wrong_password:
            print(f"{terminal_clean(host.name)} refuses it.", file=sys.stderr)
            self._known = {}
        else:
            self._known = {**self._known, **self._passphrase()}
        return True

    def _is_typed(self, error: client.Refused) -> bool:
        if not output.is_asked():
            return False
        return error.code in secrets.PASSPHRASE or self.wanted.password_file is None


def _each(root: Root, hosts: list[SeenHost]) -> list[Done]:
    """Visit one host after the other; what fails stops no other, save that a refused sign-in is not repeated."""
    done = []
    for host in hosts:
        if root.refused:
            error: client.Refused | RoadsteadError = ConflictError("host-not-tried", host=host.name)
            done.append(_failed(host, error))
            continue
        root.ready()
        shown = f"{_SAYING[root.wanted.action]} on {host.name} ({host.address}) …"
        print(terminal_clean(shown), file=sys.stderr, flush=True)
        try:
            done.append(Done(host, root.visit(host)))
        except (client.Refused, RoadsteadError) as failure:
            if failures.exit_code(failure.code, failure.status) in {failures.NO_SERVER, failures.USAGE}:
                raise
            done.append(_failed(host, failure))
    return done


def _failed(host: SeenHost, error: client.Refused | RoadsteadError) -> Done:
    output.result(host.name, failures.line(error), ok=False)
    return Done(host, None, error.code)


def _given_key(text: str) -> tuple[str, str]:
    found = _GIVEN_KEY.fullmatch(text.strip())
    if found is None:
        raise InputError("field-invalid", field="--host-key", reason=f"{text!r} is not of the form HOST=SHA256:…")
    return found[1], found[2]


def _is_named(host: SeenHost, name: str) -> bool:
    return name in {host.id, host.name, host.address}


def _key_of(host: SeenHost, given: dict[str, str]) -> str | None:
    return next((key for name, key in given.items() if _is_named(host, name)), None)


def _chosen(hosts: list[SeenHost], names: list[str]) -> list[SeenHost]:
    """Return the hosts that are named: all when none is."""
    known = ", ".join(f"{host.name} ({host.address})" for host in hosts)
    for name in names:
        if not any(_is_named(host, name) for host in hosts):
            raise InputError("field-invalid", field="--host", reason=f"no host is called {name!r}; there are {known}")
    return [host for host in hosts if not names or any(_is_named(host, name) for name in names)]


def _unfit(hosts: list[SeenHost], given: dict[str, str]) -> Iterator[Done]:
    """Yield the hosts that show no key, or another than the given one; each is told."""
    for name in given:
        if not any(_is_named(host, name) for host in hosts):
            reason = f"the pool has no host {name!r}"
            raise InputError("field-invalid", field="--host-key", reason=reason)
    for host in hosts:
        wanted = _key_of(host, given)
        if host.code:
            output.result(host.name, host.message, ok=False)
            yield Done(host, None, host.code)
        elif wanted is not None and wanted != host.fingerprint:
            shown = f"{host.type} {host.fingerprint}"
            yield _failed(host, ConflictError("host-key-differs", host=host.name, shown=shown, confirmed=wanted))


def _confirm(hosts: list[SeenHost]) -> None:
    """Show which keys the hosts show, and ask once; nothing was sent to them yet."""
    if not hosts:
        return
    listed = [f"{host.name} ({host.address}): {host.fingerprint} ({host.type})" for host in hosts]
    shown = ", ".join(f"{host.name}={host.fingerprint}" for host in hosts)
    refusal = InputError("host-key-needed", shown=shown)
    print("The hosts show these SSH host keys:", file=sys.stderr)
    for line in listed:
        print(f"  {terminal_clean(line)}", file=sys.stderr)
    one = "Is this the host's own" if len(hosts) == 1 else "Are all of these the hosts' own"
    if not session.agreed(f"{one} (`ssh-keygen -lf` on its console tells)?", refusal=refusal):
        failures.stop()


def _table(told: list[Done]) -> Iterator[str]:
    plugins = [one.plugin or HostPlugin() for one in told]
    made = [
        table.Column("HOST", [one.host.name for one in told]),
        table.Column("ADDRESS", [one.host.address for one in told], whole=True),
        table.Column("RESULT", [_result(one) for one in told], whole=True),
        table.Column("VERSION", [plugin.version or "-" for plugin in plugins], whole=True),
        table.Column("BEFORE", [_before(plugin) for plugin in plugins], whole=True),
        table.Column("PYTHON", [plugin.python or "-" for plugin in plugins], whole=True),
    ]
    return table.lines(made, output.room())


def _result(one: Done) -> str:
    if one.plugin is None:
        return f"failed: {one.code}"
    return _WORDS.get(one.plugin.state, one.plugin.state)


def _before(plugin: HostPlugin) -> str:
    return f"another one, kept in {plugin.backup}" if plugin.backup else plugin.former or "-"


def _say_how_to_go_on(connected: client.Client, path: str, pool: str) -> None:
    """Say what is still missing before anybody can call the plugin."""
    if output.is_terminal() and connected.get(PluginState, path).state != "on":
        remedy = f"It finds this server after `roadstead pool plugin enable {quoted(pool)}`."
        print(terminal_clean(remedy), file=sys.stderr)

"""How pools are made known and changed: first the certificate, then the password, then everything at once.

The server tries what it is given before it accepts it, so a wrong password or address changes nothing.
"""

import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roadstead.cli import failures, session
from roadstead.cli.api import client
from roadstead.cli.api.views import PluginState, Pool, Probe, Rotation, Wiped
from roadstead.cli.commands import secrets
from roadstead.cli.display import output, words
from roadstead.errors import InputError, PoolError
from roadstead.kit.text import fingerprint_digits, fingerprint_shown, pem_certificates, terminal_clean
from roadstead.model.addresses import parse_network

DEFAULT_USER = "root"
CHANGEABLE = "--url, --user, --password-file, --fingerprint, --ca-file, --admit, --only, --drop or --publish"


@dataclass(frozen=True)
class Trust:
    """How the pool's certificate is to be verified."""

    fingerprint: str | None = None
    ca_file: Path | None = None
    accept_new: bool = False


@dataclass(frozen=True)
class SignIn:
    """Who signs in, and where the password is; None asks for it."""

    user: str | None = None
    password_file: str | None = None


@dataclass(frozen=True)
class Shown:
    """In which networks guests may have their addresses, and what the pool publishes of them."""

    admit: list[str] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    publish: str | None = None


@dataclass(frozen=True)
class Changes:
    """What is to be changed of a pool besides what concerns its guests."""

    url: str | None
    sign_in: SignIn
    trust: Trust


def add(connected: client.Client, url: str, trust: Trust, sign_in: SignIn, guests: Shown) -> None:
    """Make the pool at ``url`` known."""
    _check(trust, guests)
    trusted = _trusted(connected, url, trust)
    user = sign_in.user or _asked_user()
    password = secrets.password(sign_in.password_file, _question(user))
    body = {"url": url, "user": user, "password": password, "admit": guests.admit, "only": guests.only, **trusted}
    if guests.publish is not None:
        body["publish"] = guests.publish
    pool = connected.post(Pool, "/pools", body)
    output.result(
        pool.name, f"added: {words.counted(pool.vms, 'VM')}, {pool.managed} managed; `roadstead vms` lists them"
    )


def change(connected: client.Client, name: str, wanted: Changes, guests: Shown) -> None:
    """Change what is ``wanted`` of the pool called ``name``; a new user needs a password, too."""
    _check(wanted.trust, guests)
    path = f"/pools/{client.part(name)}"
    known = connected.get(Pool, path)
    body: dict[str, Any] = {}
    if wanted.url is not None:
        body["url"] = wanted.url
    if wanted.sign_in.user is not None or wanted.sign_in.password_file is not None:
        user = wanted.sign_in.user or known.user
        body |= {"user": user, "password": secrets.password(wanted.sign_in.password_file, _question(user))}
    if wanted.trust.ca_file is not None:
        body["ca_pem"] = _certificates_of(wanted.trust.ca_file)
    elif wanted.trust.fingerprint is not None:
        body["fingerprint"] = wanted.trust.fingerprint
    body |= _guests(known, guests)
    if not body:
        raise InputError("nothing-to-change", known=CHANGEABLE)
    output.result(connected.patch(Pool, path, body).name, "changed")


def remove(connected: client.Client, name: str, *, keep_published: bool, yes: bool) -> None:
    """Forget the pool called ``name``, and tell what of it stays in the pool."""
    path = f"/pools/{client.part(name)}"
    pool = connected.get(Pool, path)
    if pool.live:
        output.write(_ends_with(connected, pool))
    if not yes:
        refusal = InputError("confirmation-needed", count=1, kind="pool", candidates=pool.name)
        question = f"Forget the pool {terminal_clean(pool.name)} and its password ({pool.vms} VMs are shown no more)?"
        if not session.agreed(question, refusal=refusal):
            failures.stop()
    wiped = connected.remove(Wiped, path, {"keep_published": "true"} if keep_published else None, confirm=pool.id)
    output.result(pool.name, _removed(wiped, keep_published=keep_published))
    if wiped.plugin:
        said = f"its plugin is still told to call here, and will be refused, because: {wiped.plugin}"
        output.result(pool.name, said, ok=False)


def _ends_with(connected: client.Client, pool: Pool) -> list[str]:
    """Say what else ends with a pool, as far as it says so; that it does not never stands in the way."""
    path, said = f"/pools/{client.part(pool.id)}", []
    with suppress(client.Refused):
        plugin = connected.get(PluginState, f"{path}/plugin")
        if plugin.state != "off":
            said.append(f"Its plugin, which calls {plugin.url or 'this server'}, calls no more.")
    with suppress(client.Refused):
        rotation = connected.get(Rotation, f"{path}/key/rotation")
        needing = words.listed(vm.name for vm in rotation.vms if vm.needs_old) or "no VM"
        if rotation.state != "none":
            said.append(
                f"Its key is being replaced, and {needing} still needs the old one: both stay in the pool, and whoever"
                " adds it again goes on."
            )
    return [terminal_clean(line) for line in said]


def _removed(wiped: Wiped, *, keep_published: bool) -> str:
    """Return a sentence on what became of what was published."""
    if keep_published:
        return "removed; what was published in it stays there"
    if wiped.reason:
        stays = f"what was published of {words.counted(wiped.left, 'VM')}" if wiped.left else "what was published in it"
        return f"removed; {stays} stays there, because: {wiped.reason}"
    if wiped.vms:
        return f"removed; what was published of {words.counted(wiped.vms, 'VM')} was taken away"
    return "removed"


def _check(trust: Trust, guests: Shown) -> None:
    """Raise what is wrong with the words that were typed, before anybody is asked for anything."""
    if trust.fingerprint is not None and fingerprint_digits(trust.fingerprint) is None:
        raise InputError("fingerprint-invalid", value=trust.fingerprint)
    for option, given in (("--admit", guests.admit), ("--only", guests.only)):
        for network in given:
            try:
                parse_network(network.strip())
            except ValueError as error:
                raise InputError("network-invalid", field=option, value=network) from error


def _guests(known: Pool, guests: Shown) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if guests.publish is not None:
        body["publish"] = guests.publish
    if guests.admit or guests.drop:
        body["admit"] = _merged(known.admit, guests.admit, guests.drop)
    if guests.only or guests.drop:
        body["only"] = _merged(known.only, guests.only, guests.drop)
    return body


def _merged(old: tuple[str, ...], more: list[str], less: list[str]) -> list[str]:
    return [network for network in dict.fromkeys([*old, *more]) if network not in less]


def _trusted(connected: client.Client, url: str, trust: Trust) -> dict[str, str]:
    """Return what the server is to verify the certificate by; ask a person when nothing was given."""
    if trust.ca_file is not None:
        return {"ca_pem": _certificates_of(trust.ca_file)}
    probe = connected.post(Probe, "/pools/probe", {"url": url})
    digits = fingerprint_digits(probe.fingerprint) or ""
    shown = fingerprint_shown(digits)
    if trust.fingerprint is not None:
        if fingerprint_digits(trust.fingerprint) != digits:
            reason = f"it shows the fingerprint {shown}, not the given one"
            raise PoolError("pool-certificate-untrusted", address=probe.address or url, reason=reason)
        return {"fingerprint": probe.fingerprint}
    address = terminal_clean(probe.address or url)
    print(f"The server at {address} shows a certificate with the SHA-256 fingerprint\n  {shown}", file=sys.stderr)
    refusal = InputError("fingerprint-needed", address=address, shown=shown)
    if not trust.accept_new and not session.agreed("Is this the pool's own?", refusal=refusal):
        failures.stop()
    return {"fingerprint": probe.fingerprint}


def _asked_user() -> str:
    if not output.is_asked():
        return DEFAULT_USER
    print(f"User [{DEFAULT_USER}]: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() or DEFAULT_USER


def _question(user: str) -> str:
    return f"Password of {terminal_clean(user)}: "


def _certificates_of(path: Path) -> str:
    """Return the certificates of a CA file; a private key that stands beside them goes nowhere."""
    certificates = pem_certificates(secrets.text_of(path))
    if not certificates:
        raise InputError("file-unreadable", path=path, reason="there is no certificate in it")
    return certificates

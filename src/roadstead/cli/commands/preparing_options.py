"""What is said on the command line about preparing VMs: checked, and put as the API takes it."""

from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from roadstead.cli.commands import secrets
from roadstead.cli.commands.preparing_guests import Signing, Wanted
from roadstead.errors import InputError

SSH = "ssh"
FORMS = ("exec_only", "unrestricted", "restricted")
ANYWHERE = "any"
"""As a network of ``--from``: the key may come from everywhere."""
FILES = ("client_cert", "client_key", "ca_cert")


@dataclass(frozen=True)
class TlsOptions:
    """The options that belong to ``--mode tls``; without any what the VM has is used, or certificates are made."""

    generate_certs: bool = False
    address: tuple[str, ...] = ()
    days: int | None = None
    with_client_key: bool = False
    storage: str = ""
    eject: bool = False
    add_drive: bool = False
    client_cert: Path | None = None
    client_key: Path | None = None
    ca_cert: Path | None = None
    legacy_certificate: bool = False
    source: tuple[str, ...] = ()
    replace_imported: bool = False

    def said(self, mode: str) -> dict[str, Any]:
        """Return what every VM is told. Raises `InputError` for what does not go together, naming the option."""
        given = [name for name in self.__dataclass_fields__ if getattr(self, name)]
        if mode == SSH:
            for name in given:
                raise InputError("field-invalid", field=_option(name), reason="it belongs to --mode tls")
            return {}
        files = [name for name in FILES if name in given]
        if files:
            return {"tls": {"given": self._given(given, files)}}
        if self.legacy_certificate:
            raise InputError("field-invalid", field="--legacy-certificate", reason="it belongs to --client-cert")
        offers = {"cd-eject": self.eject, "cd-add-drive": self.add_drive, "tls-imported": self.replace_imported}
        agreed = [id for id, is_said in offers.items() if is_said]
        told: dict[str, Any] = {"addresses": list(self.address), "sources": [_network(each) for each in self.source]}
        told |= {"days": self.days, "storage": self.storage, "with_client_key": self.with_client_key}
        is_new = self.generate_certs or self.days is not None or self.with_client_key
        wanted = {name: value for name, value in {**told, "renew": is_new}.items() if value}
        return {"tls": wanted, **({"agreed": agreed} if agreed else {})}

    def _given(self, given: list[str], files: list[str]) -> dict[str, Any]:
        """Return the certificates that were made elsewhere."""
        for name in FILES:
            if name not in files:
                raise InputError("field-invalid", field=_option(name), reason=f"it is needed with {_option(files[0])}")
        for name in given:
            if name not in {*FILES, "legacy_certificate"}:
                reason = f"with {_option(files[0])} no certificates are made, and no CD is needed"
                raise InputError("field-invalid", field=_option(name), reason=reason)
        texts = {name: secrets.pem_of(_option(name), getattr(self, name)) for name in FILES}
        return {**texts, **({"legacy_certificate": True} if self.legacy_certificate else {})}


@dataclass(frozen=True)
class Line:
    """The options for the line of the pool's key."""

    exec_only: bool = False
    unrestricted: bool = False
    restricted: bool = False
    source: tuple[str, ...] = ()
    remove_former_key: bool = False

    def said(self) -> dict[str, Any]:
        """Return what every VM is told; what is not said stays as it is in the guest. Raises `InputError`."""
        forms = [_option(name) for name in FORMS if getattr(self, name)]
        if len(forms) > 1:
            raise InputError("field-invalid", field=forms[0], reason=f"it and {forms[1]} exclude each other")
        told: dict[str, Any] = {"form": forms[0].removeprefix("--")} if forms else {}
        if self.source:
            told["sources"] = [_network(source, ANYWHERE) for source in self.source if source != ANYWHERE]
        return {**told, **self.removal(agreed=self.remove_former_key)}

    @staticmethod
    def removal(*, agreed: bool) -> dict[str, Any]:
        """Return what is told when the removal of other pools' lines is ``agreed`` to beforehand."""
        return {"agreed": ["former-key"]} if agreed else {}


def wanted(mode: str, signing: Signing, line: Line, tls: TlsOptions, *, yes: bool) -> Wanted:
    """Return what is wanted of every VM. Raises `InputError` for what does not belong to the mode."""
    signing.check()
    if mode != SSH:  # what may come from these networks is the mode's matter
        line, tls = replace(line, source=()), replace(tls, source=(*tls.source, *line.source))
    told = tls.said(mode)
    if mode == SSH:
        said = {"mode": mode, **line.said()}
        return Wanted({**said, **({"user": signing.user} if signing.user else {})}, signing, yes)
    for record in (signing, line):
        for name in record.__dataclass_fields__:
            if getattr(record, name):
                reason = "it belongs to --mode ssh: over TLS nobody signs in to the guest"
                raise InputError("field-invalid", field=_option(name), reason=reason)
    return Wanted({"mode": mode, **told}, yes=yes)


def _network(text: str, other: str = "") -> str:
    """Return ``text`` if it is a network. Raises `InputError`, which names the ``other`` word that is taken as well."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        reason = f"{text!r} is neither a network (10.0.0.0/24) nor an address" + (f", nor {other!r}" if other else "")
        raise InputError("field-invalid", field="--from", reason=reason) from None
    return text


def _option(name: str) -> str:
    return "--from" if name == "source" else f"--{name.replace('_', '-')}"

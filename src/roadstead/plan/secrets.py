"""Whose secret is it: which secret of a pool may be read for which VM, and which may be collected.

A pool's secrets are one heap, named by uuid from whatever object's ``other_config``. Who may write a VM's keys could
otherwise have us use the secret of another VM, or the pool's SSH key, and a clone would share its original's.
"""

import re
from collections.abc import Collection, Iterable, Mapping

from roadstead.errors import LinkError
from roadstead.model import PoolId, Vm, VmId, config_keys
from roadstead.plan.access import is_tls

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s[^-]+-----END CERTIFICATE-----")
_PRIVATE_KEY = re.compile(r"-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----\s[^-]+-----END \1-----")
_PEM = {
    config_keys.TLS_CLIENT_CERT: (_CERTIFICATE, "certificate"),
    config_keys.TLS_CLIENT_KEY: (_PRIVATE_KEY, "private key"),
    config_keys.TLS_CA_CERT: (_CERTIFICATE, "certificate"),
}
"""What the secret that each key of a VM names must hold."""

_BEGINS = {config_keys.PRIVATE_KEY_SECRET: "-----BEGIN ", config_keys.PUBLIC_KEY_SECRET: "ssh-"}
"""How the secrets begin that the historic keys of a pool name, our own and those of the old pack."""
_MADE_FOR = {
    config_keys.FORMER_PRIVATE_KEY_SECRET: config_keys.PRIVATE_KEY_SECRET,
    config_keys.FORMER_PUBLIC_KEY_SECRET: config_keys.PUBLIC_KEY_SECRET,
}
"""The keys that name what was made for another key."""


def named(vm: Vm, key: str) -> str:
    """Return the uuid of the secret that ``key`` (one of `config_keys.TLS_SECRETS`) of ``vm`` names.

    Raises `LinkError` ``secret-missing`` when it names none, ``setting-invalid`` when that is no uuid. What stands
    there is not shown: people paste keys into the wrong place.
    """
    uuid = vm.settings.get(key)
    if not uuid:
        raise LinkError("secret-missing", vm=vm.id, key=key, reason="the key is not set")
    if not _UUID.fullmatch(uuid):
        raise LinkError("setting-invalid", vm=vm.id, key=key, value="not shown", reason="it is no uuid of a secret")
    return uuid


def check_owner(vm: Vm, key: str, marks: Mapping[str, str] | None, pool_config: Mapping[str, str]) -> None:
    """Check, before its value is read, that the secret which ``key`` of ``vm`` names may be read for it.

    ``marks`` are the secret's ``other_config``, None when there is no such secret; ``pool_config`` is the pool's.
    Raises `LinkError` ``secret-missing``, ``secret-of-another`` or ``secret-unusable``.
    """
    uuid = named(vm, key)
    if marks is None:
        raise LinkError("secret-missing", vm=vm.id, key=key, reason=f"there is none with the uuid {uuid}")
    if uuid in pool_config.values() or config_keys.POOL_MARK in marks:
        raise LinkError("secret-unusable", vm=vm.id, key=key, secret=uuid, reason="it is the pool's own")
    if (owner := marks.get(config_keys.VM_MARK, vm.id)) != vm.id:
        raise LinkError("secret-of-another", vm=vm.id, key=key, secret=uuid, owner=owner)


def check_sole(vm: Vm, key: str, vms: Iterable[Vm]) -> None:
    """Check that of the ``vms`` that run and are managed none comes before ``vm`` as the user of the secret that its
    ``key`` names: one without a mark does not say whose it is. First comes who was heard already, then the lowest id,
    so that it is always the same VM.

    Raises `LinkError` ``secret-shared``.
    """
    uuid = named(vm, key)
    sharing = [other for other in vms if other.pool == vm.pool and _may_use(other) and uuid in all_named(other)]
    first = min([vm, *sharing], key=_claim)
    if first.id != vm.id:
        raise LinkError("secret-shared", vm=vm.id, key=key, secret=uuid, owner=first.id)


def check_value(vm: Vm, key: str, value: str) -> None:
    """Check that ``value`` is what ``key`` is for, in PEM: a secret of the old pack has no mark but that.

    Raises `LinkError` ``secret-unusable``, which never shows the value.
    """
    pattern, what = _PEM[key]
    if not pattern.search(value):
        reason = f"it holds no {what} in PEM"
        raise LinkError("secret-unusable", vm=vm.id, key=key, secret=named(vm, key), reason=reason)


def owner(marks: Mapping[str, str]) -> str | None:
    """Return the uuid of the VM that a secret with these ``marks`` was made for; None for any other secret."""
    return None if config_keys.POOL_MARK in marks else marks.get(config_keys.VM_MARK)


def orphans(marks: Mapping[str, Mapping[str, str]], living: Collection[str]) -> set[str]:
    """Return which secrets (``marks`` by uuid) were made for a VM that is none of the ``living``."""
    return {uuid for uuid, of_one in marks.items() if (vm := owner(of_one)) is not None and vm not in living}


def fits(key: str, value: str) -> bool:
    """Whether ``value`` is what the pool's historic ``key`` names, as far as its beginning tells."""
    return key in _BEGINS and value.startswith(_BEGINS[key])


def may_destroy(pool: PoolId, key: str, marks: Mapping[str, str], value: str) -> bool:
    """Whether the secret that ``key`` of ``pool`` names is one for that key, and so goes with it: its marks say so, or,
    without a mark for a key (the old pack's, and older ones of ours), nothing contradicts and it holds what is kept
    there.
    """
    made_for = _MADE_FOR.get(key, key)
    if config_keys.VM_MARK in marks or marks.get(config_keys.POOL_MARK, pool) != pool:
        return False
    if config_keys.NAMED_MARK in marks:
        return config_keys.POOL_MARK in marks and marks[config_keys.NAMED_MARK] == made_for
    return fits(made_for, value)


def nameless(pool: PoolId, marks: Mapping[str, Mapping[str, str]], names: Collection[str]) -> set[str]:
    """Return which secrets (``marks`` by uuid) were made for ``pool`` and are none of those that it ``names``."""
    return {uuid for uuid, of_one in marks.items() if of_one.get(config_keys.POOL_MARK) == pool and uuid not in names}


def unnamed(marks: Mapping[str, Mapping[str, str]], vms: Mapping[VmId, Vm]) -> set[str]:
    """Return which secrets (``marks`` by uuid) were made for one of the living ``vms``, of which no key of any names
    them.
    """
    names = {uuid for vm in vms.values() for uuid in all_named(vm)}
    return {uuid for uuid, of_one in marks.items() if owner(of_one) in vms and uuid not in names}


def is_marked(marks: Mapping[str, str]) -> bool:
    """Whether a secret says whose it is: one of the old pack does not."""
    return config_keys.VM_MARK in marks or config_keys.POOL_MARK in marks


def is_left_by_old_pack(marks: Mapping[str, str], value: str) -> bool:
    """Whether a secret that a VM's key named is one that the old pack made: nobody's by its marks, and PEM."""
    return not is_marked(marks) and any(pattern.search(value) for pattern, _ in _PEM.values())


def all_named(vm: Vm) -> frozenset[str]:
    """Return the uuids of all secrets that keys of ``vm`` name."""
    values = (vm.settings.get(key, "") for key in config_keys.TLS_SECRETS)
    return frozenset(value for value in values if _UUID.fullmatch(value))


def named_by_living(vms: Iterable[Vm], pool: PoolId) -> set[str]:
    """Return the uuids of all secrets that keys of the VMs of ``pool`` name now, as far as we were told."""
    return {uuid for vm in vms if vm.pool == pool for uuid in all_named(vm)}


def _may_use(vm: Vm) -> bool:
    return vm.enabled and vm.running and is_tls(vm)


def _claim(vm: Vm) -> tuple[bool, VmId]:
    return vm.link is None or vm.link.heard is None, vm.id

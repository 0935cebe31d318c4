"""Which secret of a pool may be read for which VM: its own, or one of the old pack's that is nobody else's."""

from typing import Any

import pytest

from roadstead.errors import LinkError
from roadstead.model import PoolId, PowerState, Vm
from roadstead.model.config_keys import (
    FORMER_PRIVATE_KEY_SECRET,
    FORMER_PUBLIC_KEY_SECRET,
    MODE,
    NAMED_MARK,
    PLUGIN_TOKEN_SECRET,
    POOL_MARK,
    PRIVATE_KEY_SECRET,
    TLS,
    TLS_CA_CERT,
    TLS_CLIENT_CERT,
    TLS_CLIENT_KEY,
    VM_MARK,
)
from roadstead.plan import secrets
from tests.unit.fakes import records

UUID = "00000000-0000-4000-8000-00000000000a"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"
MINE = {VM_MARK: records.VM}


def _vm(uuid: str = UUID, key: str = TLS_CLIENT_KEY) -> Vm:
    return records.vm(settings=records.MANAGED | {key: uuid})


@pytest.mark.parametrize("marks", [MINE, {}, {"somebody": "else's note"}], ids=["ours", "old pack", "noted"])
def test_its_own_and_unmarked_secrets_may_be_read(marks: dict[str, str]) -> None:
    """What the value must hold is judged when it is read."""
    secrets.check_owner(_vm(), TLS_CLIENT_KEY, marks, {"xscontainer-private-secret-uuid": "another"})


def _sharing(vm: str, uuid: str = UUID, *, heard: bool = False, **fields: Any) -> Vm:
    link = records.link(vm, heard=records.at(0)) if heard else None
    settings = records.MANAGED | {MODE: TLS, TLS_CLIENT_CERT: uuid}
    return records.vm(vm, **{"settings": settings, "link": link, **fields})


def _refused(vm: Vm, *others: Vm) -> str:
    """What is said of the secret; nothing if it may be used."""
    try:
        secrets.check_sole(vm, TLS_CLIENT_CERT, [vm, *others])
    except LinkError as error:
        return f"{error.code} {error.fields['key']} {error.fields['owner']}"
    return ""


TOLD = f"secret-shared {TLS_CLIENT_CERT}"


def test_of_those_that_share_a_secret_one_uses_it() -> None:
    """A copy brings its keys along, and an unmarked secret does not say whose it is: who was heard first keeps it."""
    one, two = _sharing("vm-1"), _sharing("vm-2")
    assert [_refused(one, two), _refused(two, one)] == ["", f"{TOLD} vm-1"]
    heard = _sharing("vm-2", heard=True)
    assert [_refused(one, heard), _refused(heard, one)] == [f"{TOLD} vm-2", ""]
    under_another_key = _sharing("vm-1", settings=records.MANAGED | {MODE: TLS, TLS_CA_CERT: UUID})
    assert _refused(two, under_another_key) == f"{TOLD} vm-1"


@pytest.mark.parametrize(
    "other",
    [
        _sharing("vm-1", UUID.replace("a", "b")),
        _sharing("vm-1", power=PowerState.HALTED),
        _sharing("vm-1", settings={MODE: TLS, TLS_CLIENT_CERT: UUID}),
        _sharing("vm-1", settings=records.MANAGED | {TLS_CLIENT_CERT: UUID}),
        _sharing("vm-1", pool=PoolId("another")),
    ],
    ids=["another secret", "off", "not managed", "over SSH", "in another pool"],
)
def test_who_does_not_use_a_secret_keeps_nobody_from_it(other: Vm) -> None:
    """Only what runs, is managed and goes over TLS in this pool."""
    assert _refused(_sharing("vm-2"), other) == ""


@pytest.mark.parametrize(
    ("marks", "pool", "code"),
    [
        pytest.param(None, {}, "secret-missing", id="gone"),
        pytest.param({VM_MARK: "vm-2"}, {}, "secret-of-another", id="of another VM"),
        pytest.param({VM_MARK: ""}, {}, "secret-of-another", id="of nobody"),
        pytest.param({POOL_MARK: "pool-1"}, {}, "secret-unusable", id="of the pool"),
        pytest.param(MINE | {POOL_MARK: "pool-1"}, {}, "secret-unusable", id="both marks"),
        pytest.param({}, {"xscontainer-private-secret-uuid": UUID}, "secret-unusable", id="the pool's key"),
        pytest.param(MINE, {"whatever": UUID}, "secret-unusable", id="marked, and the pool names it"),
    ],
)
def test_others_are_refused_before_their_value_is_read(
    marks: dict[str, str] | None, pool: dict[str, str], code: str
) -> None:
    """The problem names the key and the secret."""
    with pytest.raises(LinkError) as caught:
        secrets.check_owner(_vm(), TLS_CLIENT_KEY, marks, pool)
    assert (caught.value.code, caught.value.fields["key"]) == (code, TLS_CLIENT_KEY)
    assert UUID in str(caught.value)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "secret-missing"),
        ("nonsense", "setting-invalid"),
        (UUID.upper(), "setting-invalid"),
        (UUID + "\n", "setting-invalid"),
        ("../" + UUID, "setting-invalid"),
        (KEY, "setting-invalid"),
    ],
)
def test_what_is_no_uuid_names_no_secret(text: str, code: str) -> None:
    """What stands there is never shown: it may be a key that was pasted into the wrong place."""
    with pytest.raises(LinkError) as caught:
        secrets.named(_vm(text), TLS_CLIENT_KEY)
    assert caught.value.code == code
    assert "MIIE" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "is_taken"),
    [
        (TLS_CLIENT_CERT, CERTIFICATE, True),
        (TLS_CLIENT_CERT, CERTIFICATE.replace("\n", "\r\n"), True),
        (TLS_CA_CERT, "a note\n" + CERTIFICATE * 3, True),
        (TLS_CLIENT_KEY, KEY, True),
        (TLS_CLIENT_KEY, KEY.replace("RSA ", ""), True),
        (TLS_CLIENT_KEY, KEY.replace("RSA ", "EC "), True),
        (TLS_CLIENT_KEY, CERTIFICATE, False),
        (TLS_CLIENT_KEY, KEY.replace("RSA ", "OPENSSH "), False),
        (TLS_CLIENT_CERT, KEY, False),
        (TLS_CA_CERT, "a password", False),
        (TLS_CA_CERT, "", False),
        (TLS_CA_CERT, "-----BEGIN CERTIFICATE-----\n" * 20_000, False),
    ],
)
def test_a_value_must_be_what_its_key_is_for(key: str, value: str, *, is_taken: bool) -> None:
    """A password of somebody's storage is no certificate; no value stands in an error."""
    if is_taken:
        secrets.check_value(_vm(key=key), key, value)
        return
    with pytest.raises(LinkError) as caught:
        secrets.check_value(_vm(key=key), key, value)
    assert caught.value.code == "secret-unusable"
    assert not value or value[:16] not in str(caught.value)


def test_secrets_of_vms_that_are_gone_are_orphans() -> None:
    """Only marked ones: what carries no mark, or the pool's, is not judged by that."""
    marks = {
        "a": {VM_MARK: "vm-1"},
        "b": {VM_MARK: "vm-2"},
        "c": {},
        "d": {POOL_MARK: "pool-1"},
        "e": {POOL_MARK: "pool-1", VM_MARK: "vm-2"},
    }
    assert secrets.orphans(marks, {"vm-1"}) == {"b"}


@pytest.mark.parametrize(
    ("marks", "value", "is_old"),
    [
        ({}, KEY, True),
        ({}, CERTIFICATE, True),
        ({}, "password", False),
        (MINE, KEY, False),
        ({POOL_MARK: ""}, KEY, False),
    ],
)
def test_what_the_old_pack_left_is_unmarked_pem(marks: dict[str, str], value: str, *, is_old: bool) -> None:
    """Everything else that a key of a VM was made to name stays where it is."""
    assert secrets.is_left_by_old_pack(marks, value) is is_old


POOLS = {POOL_MARK: records.POOL}


@pytest.mark.parametrize(
    ("key", "marks", "value", "goes"),
    [
        pytest.param(PLUGIN_TOKEN_SECRET, {**POOLS, NAMED_MARK: PLUGIN_TOKEN_SECRET}, "token", True, id="made for it"),
        pytest.param(PLUGIN_TOKEN_SECRET, POOLS, "token", False, id="older, and nothing tells that it is a token"),
        pytest.param(PLUGIN_TOKEN_SECRET, {}, KEY, False, id="unmarked under a key of ours"),
        pytest.param(FORMER_PRIVATE_KEY_SECRET, {**POOLS, NAMED_MARK: PRIVATE_KEY_SECRET}, KEY, True, id="moved"),
        pytest.param(FORMER_PRIVATE_KEY_SECRET, POOLS, KEY, True, id="older"),
        pytest.param(FORMER_PRIVATE_KEY_SECRET, {}, KEY, True, id="old pack"),
        pytest.param(FORMER_PRIVATE_KEY_SECRET, {}, "password", False, id="something else"),
        pytest.param(FORMER_PUBLIC_KEY_SECRET, {}, "ssh-rsa AAAA", True, id="public"),
        pytest.param(FORMER_PUBLIC_KEY_SECRET, {**POOLS, NAMED_MARK: PRIVATE_KEY_SECRET}, "ssh-", False, id="wrong"),
        pytest.param(FORMER_PRIVATE_KEY_SECRET, {NAMED_MARK: PRIVATE_KEY_SECRET}, KEY, False, id="whose"),
        pytest.param(FORMER_PRIVATE_KEY_SECRET, {POOL_MARK: "pool-2"}, KEY, False, id="another pool's"),
        pytest.param(FORMER_PRIVATE_KEY_SECRET, MINE, KEY, False, id="a VM's"),
    ],
)
def test_only_a_secret_for_that_key_is_destroyed_with_it(
    key: str, marks: dict[str, str], value: str, *, goes: bool
) -> None:
    """Whoever edits the pool's keys must not have us destroy another secret."""
    assert secrets.may_destroy(records.POOL, key, marks, value) is goes

"""Calls, answers and objects are read and written as XAPI means them, whatever version sent them."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import InputError
from roadstead.model import Host, HostId, Pool, PoolId, PowerState, Vm, VmId
from roadstead.peers.xapi import messages

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
POOL = PoolId("pool-uuid")


def vm(snapshot: dict[str, Any]) -> Vm:
    """The record of a VM."""
    return messages.vm_record(snapshot, pool=POOL, as_of=NOW)


def sent(*params: Any) -> list[Any]:
    """The parameters of a call as the pool would read them."""
    body = msgspec.json.decode(messages.encode_call("VM.call", params, 7))
    assert body.keys() == {"jsonrpc", "method", "params", "id"}
    assert (body["jsonrpc"], body["method"], body["id"]) == ("2.0", "VM.call", 7)
    return list(body["params"])


@pytest.mark.parametrize("dirty", ["a\x00b", "a\x01b", "a\x1bb", "a\x7fb", "a\ufffeb", "a\uffffb", "a\ud800b", "a\rb"])
def test_every_string_sent_is_clean(dirty: str) -> None:
    """Rule 3: what a pool's database must never hold is replaced wherever it stands: alone, in a map, in a list."""
    assert sent(dirty, {"k": {dirty: dirty}}, [dirty]) == ["a\ufffdb", {"k": {"a\ufffdb": "a\ufffdb"}}, ["a\ufffdb"]]


def test_other_values_are_sent_as_they_are() -> None:
    """Numbers, booleans, tabs, newlines, umlauts and characters beyond the basic plane pass unchanged."""
    values = [1, 2.5, True, False, "a\tb\nc", "ü", "\U0001f6a2", {}, []]
    assert sent(*values) == values


@given(st.text())
def test_cleaned_text_is_what_xml_allows(text: str) -> None:
    """No text whatever becomes a string that a pool cannot store."""
    (value,) = sent(text)
    assert all(c in "\t\n" or c >= " " for c in value)
    assert not {"\ufffe", "\uffff"} & set(value)
    assert len(value) == len(text)


def test_large_request_is_refused_before_it_is_sent() -> None:
    """Rule 7: XAPI takes less than 300 KiB; the error names the call and holds nothing of its content."""
    empty = len(messages.encode_call("VM.call", ("",), 7))
    assert len(messages.encode_call("VM.call", ("x" * (messages.BODY_BYTES - empty - 1),), 7)) < messages.BODY_BYTES

    with pytest.raises(InputError) as caught:
        messages.encode_call("VM.call", ("x" * (messages.BODY_BYTES - empty),), 7)
    assert (caught.value.code, caught.value.fields["field"]) == ("field-invalid", "VM.call")
    assert "xxx" not in str(caught.value)


def test_empty_key_is_refused() -> None:
    """XAPI answers an empty key with an internal error."""
    with pytest.raises(InputError, match="empty"):
        messages.encode_call("VM.call", ({"": "x"},), 7)


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (
            b'{"jsonrpc":"2.0","error":{"code":1,"message":"HANDLE_INVALID","data":["VM","OpaqueRef:zz"]},"id":1}',
            messages.Failure("HANDLE_INVALID", ("VM", "OpaqueRef:zz")),
        ),
        (b'{"error":{"message":"HOST_STILL_BOOTING"},"id":1}', messages.Failure("HOST_STILL_BOOTING")),
        (b'{"result":null,"error":["X","1"],"id":1}', messages.Failure("X", ("1",))),
        (b'{"error":{"message":"X","data":[1,null]},"new":{}}', messages.Failure("X", ("1", "None"))),
    ],
)
def test_failures_of_both_dialects(body: bytes, failure: messages.Failure) -> None:
    """An error is an object since API 2.8 and a list before."""
    assert messages.decode_answer(body) == messages.Answer(None, failure)
    assert messages.decode_events(body) == failure


@pytest.mark.parametrize("result", ['""', "null", "[]", "false", "0", '{"a":{"b":[1.5]}}'])
def test_any_result_is_a_result(result: str) -> None:
    """Also an empty one (void is an empty string)."""
    body = f'{{"jsonrpc":"2.0","result":{result},"id":7}}'.encode()
    assert messages.decode_answer(body) == messages.Answer(msgspec.json.decode(result))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>500</html>", "no JSON"),
        (b"", "no JSON"),
        (b'{"result":"\xff"}', "no JSON"),
        (b"[]", "shape"),
        (b"{}", "neither"),
        (b'{"id":1,"result":', "no JSON"),
        (b'{"error":7}', "shape"),
        (b'{"error":[]}', "shape"),
        (b'{"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deep"),
    ],
)
def test_nonsense_is_no_answer(body: bytes, reason: str) -> None:
    """What is not JSON-RPC is refused in plain words."""
    with pytest.raises(ValueError, match=reason):
        messages.decode_answer(body)


def events(**result: Any) -> messages.EventBatch:
    """An answer of event.from, read."""
    batch = messages.decode_events(msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": result}))
    assert isinstance(batch, messages.EventBatch)
    return batch


def test_events_are_read() -> None:
    """Changes, the token and the numbers of objects; a deletion has no snapshot."""
    batch = events(
        events=[
            {"id": "5", "timestamp": "0.0", "class": "vm", "operation": "mod", "ref": "r", "snapshot": {"uuid": "u"}},
            {"id": "6", "timestamp": "0.0", "class": "vm", "operation": "del", "ref": "s"},
        ],
        token="1,2",
        valid_ref_counts={"vm": 7, "pool": "1"},
    )
    assert batch.events == [
        messages.Event(cls="vm", op="mod", ref="r", snapshot={"uuid": "u"}),
        messages.Event(cls="vm", op="del", ref="s"),
    ]
    assert (batch.token, batch.counts) == ("1,2", {"vm": 7, "pool": 1})


def test_unknown_events_are_tolerated() -> None:
    """Rule 8: unknown operations, classes and members of an event pass; missing counts are no counts."""
    batch = events(events=[{"class": "quay", "operation": "moored", "ref": "r", "depth": 3}], token="t", berth=1)
    assert (batch.events[0].cls, batch.events[0].op, batch.counts) == ("quay", "moored", {})


@pytest.mark.parametrize("result", [{"events": []}, {"token": "t"}, {"events": [{"class": 3}], "token": "t"}, []])
def test_nonsense_is_no_batch(result: Any) -> None:
    """Without a token, or with events of another shape, there is nothing to go on with."""
    with pytest.raises(ValueError, match="shape"):
        messages.decode_events(msgspec.json.encode({"result": result}))


RUNNING: dict[str, Any] = {
    "uuid": "vm-uuid",
    "name_label": "web",
    "power_state": "Running",
    "tags": ["a", 3, "b"],
    "other_config": {
        "xscontainer-monitor": "True",
        "xscontainer-username": "core",
        "xscontainer-sshhostkey": "AAAA",
        "roadstead-address": "10.0.0.9",
        "xscontainer-tls-client-key": "secret",
        "mac_seed": "x",
        "docker_ps": "<docker_ps/>",
    },
}


def test_vm_is_read() -> None:
    """A running VM, with the keys that concern us and no others."""
    assert vm(RUNNING) == Vm(
        id=VmId("vm-uuid"),
        pool=POOL,
        name="web",
        power=PowerState.RUNNING,
        tags=("a", "b"),
        settings={
            "xscontainer-monitor": "True",
            "xscontainer-username": "core",
            "xscontainer-sshhostkey": "AAAA",
            "roadstead-address": "10.0.0.9",
            "xscontainer-tls-client-key": messages.records.NO_UUID,
        },
        as_of=NOW,
    )


def test_the_uuid_of_a_secret_is_kept_and_a_key_that_was_pasted_there_is_not() -> None:
    """Settings are shown to whoever may look."""
    uuid = "00000000-0000-4000-8000-00000000000a"
    key = "xscontainer-tls-client-key"
    for value, kept in ((uuid, uuid), ("", ""), ("-----BEGIN PRIVATE KEY-----", messages.records.NO_UUID)):
        assert vm({**RUNNING, "other_config": {key: value}}).settings == {key: kept}


def test_what_an_answer_mentions_is_found_wherever_it_stands() -> None:
    """In keys and values at any depth; a solidus may be escaped or not; nothing of the answer is kept."""
    body = b'{"result": {"ref:1": {"other_config": {"a": "x u-1 y"}, "b": ["AA\\/B+="]}}}'
    assert messages.decode_mentions({"u-1", "u-2", "AA/B+=", "ref:1"}, body).result == {"u-1", "AA/B+=", "ref:1"}
    refused = messages.decode_mentions({"u-1"}, b'{"error": {"message": "RBAC_PERMISSION_DENIED", "data": ["u-1"]}}')
    assert refused.failure is not None
    with pytest.raises(ValueError, match="no JSON"):
        messages.decode_mentions({"u-1"}, b"u-1")


@pytest.mark.parametrize("state", ["Halted", "Paused", "Suspended", "Unheard-of", None])
def test_states_of_power(state: str | None) -> None:
    """One that nobody has heard of is unknown."""
    found = vm({**RUNNING, "power_state": state})
    assert found.power.value == (state if state in {"Halted", "Paused", "Suspended"} else "Unknown")


def test_missing_and_odd_fields_read_as_empty() -> None:
    """Rule 8: every version has other fields."""
    assert vm({}) == vm({"power_state": 3, "tags": "a", "other_config": [], "name_label": None})
    assert vm({}).name == ""
    assert messages.addresses({"networks": "none"}) == ()


def test_values_of_a_map_that_are_no_strings_are_left_out() -> None:
    """One odd entry does not hide the others."""
    assert messages.string_map({"m": {"a": "1", "b": 2, "c": None}}, "m") == {"a": "1"}


def test_long_texts_are_cut() -> None:
    """A VM administrator's texts are bounded: 4 KiB each, 256 tags."""
    long = "ü" * 50_000
    found = vm({"name_label": long, "tags": [long] * 1000, "other_config": {"roadstead-address": long}})
    assert max(len(text.encode()) for text in (found.name, *found.tags, *found.settings.values())) <= 4096
    assert len(found.tags) == 256


@pytest.mark.parametrize("flag", ["is_a_template", "is_a_snapshot", "is_control_domain"])
def test_real_vms(flag: str) -> None:
    """Templates, snapshots and control domains are no VMs that people mean; an old record without a flag is one."""
    assert messages.is_real_vm({"is_a_template": False, "is_control_domain": False})
    assert messages.is_real_vm({})
    assert not messages.is_real_vm({"is_a_template": False, flag: True})


def test_order_of_addresses() -> None:
    """IPv4 before IPv6, each by the number of the VIF, then of the address; what is repeated counts once."""
    networks = {
        "10/ip": "10.0.10.1",
        "2/ipv6/0": "fd00::2",
        "2/ipv4/10": "10.0.2.10",
        "2/ipv4/9": "10.0.2.9",
        "2/ipv4/0": "10.0.2.1",
        "2/ip": "10.0.2.1",
        "0/ipv6/1": "fd00::1",
        "0/ipv6/0": "fe80::1",
        "0/ip": "10.0.0.1",
        "1/ip": "fd00::9",
    }
    assert messages.addresses({"networks": networks}) == (
        "10.0.0.1",
        "10.0.2.1",
        "10.0.2.9",
        "10.0.2.10",
        "10.0.10.1",
        "fe80::1",
        "fd00::1",
        "fd00::9",
        "fd00::2",
    )


def test_odd_addresses_are_bounded() -> None:
    """A guest's announcements are free text: unknown keys, empty, long and countless values are left out."""
    networks = {"": "a", "x/ip": "b", "0/ipv4": "c", "0/ipv5/0": "d", "0/ip": "", "1/ip": "e" * 65, "٣/ip": "f"}
    many = {f"0/ipv4/{number}": f"10.0.{number // 256}.{number % 256}" for number in range(1000)}

    assert messages.addresses({"networks": networks}) == ()
    assert messages.addresses({"networks": many}) == tuple(f"10.0.0.{number}" for number in range(32))
    assert messages.addresses({}) == ()


def test_pool_is_read() -> None:
    """The one pool object; a pool without a name is called after its master."""
    snapshot = {"uuid": "u", "name_label": ""}
    record = messages.pool_record(
        snapshot, url="https://h", master=HostId("m"), version="XCP-ng 8.3", fallback_name="host-1", as_of=NOW
    )
    assert record == Pool(
        id=PoolId("u"), name="host-1", url="https://h", master=HostId("m"), version="XCP-ng 8.3", live=True, as_of=NOW
    )


def test_host_is_read() -> None:
    """A host, by its label."""
    snapshot = {"uuid": "u", "name_label": "quay", "hostname": "q", "address": "fd00::1", "enabled": False}
    assert messages.host_record(snapshot, pool=POOL, as_of=NOW) == Host(
        id=HostId("u"), pool=POOL, name="quay", address="fd00::1", enabled=False, as_of=NOW
    )
    assert messages.host_record({"hostname": "q"}, pool=POOL, as_of=NOW).name == "q"


@pytest.mark.parametrize(
    ("software", "version"),
    [
        ({"product_brand": "XCP-ng", "product_version": "8.3.0"}, "XCP-ng 8.3.0"),
        ({"xapi_build": "26.17.0"}, "xapi 26.17.0"),
        ({}, "xapi"),
    ],
)
def test_version_of_a_host(software: dict[str, str], version: str) -> None:
    """As people say it."""
    assert messages.host_version({"software_version": software}) == version


def test_references() -> None:
    """XAPI's null reference is None."""
    assert messages.reference({"r": "OpaqueRef:1"}, "r") == "OpaqueRef:1"
    assert messages.reference({"r": "OpaqueRef:NULL"}, "r") is None
    assert messages.reference({}, "r") is None


def test_fingerprints_of_hosts() -> None:
    """A host's certificate is that of type host; before types there was no other; older pools use another field."""
    sha, colons = "ab" * 32, ":".join(["AB"] * 32)
    hosts = {f"H{n}": {"address": f"10.0.0.{n}"} for n in range(1, 6)}
    certificates = {
        "a": {"host": "H1", "type": "host", "fingerprint": "old", "fingerprint_sha256": colons},
        "b": {"host": "H1", "type": "host_internal", "fingerprint_sha256": "cd" * 32},
        "c": {"host": "H2", "fingerprint": colons},
        "d": {"host": "H3", "type": "host", "fingerprint_sha256": "nonsense"},
        "e": {"host": "OpaqueRef:NULL", "type": "ca", "fingerprint_sha256": colons},
        "f": {"host": "H9", "type": "host", "fingerprint_sha256": colons},
    }
    assert messages.host_fingerprints(certificates, hosts) == {"10.0.0.1": sha, "10.0.0.2": sha}


def test_only_what_we_read_is_kept() -> None:
    """Of whole records, in events and in listings, fields that nobody reads are skipped, whatever they hold."""
    record: dict[str, Any] = {
        "uuid": "u",
        "power_state": None,
        "tags": 3,
        "last_booted_record": "x" * 1000,
        "VIFs": [[[]]],
    }
    kept = {"uuid": "u", "power_state": None, "tags": 3}

    batch = events(events=[{"class": "vm", "operation": "add", "ref": "r", "snapshot": record}], token="t")
    listed = messages.decode_listing(msgspec.json.encode({"result": {"r": record}}))
    assert (batch.events[0].snapshot, listed.result) == (kept, {"r": kept})

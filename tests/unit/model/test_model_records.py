"""The nouns: strict addresses, ids that can be split, records that cannot change."""

import gc
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead import model
from roadstead.model import Container, PowerState, Vm, VmId, canonical, container_id, parse_address, split_container_id

NOW = datetime(2030, 1, 1, tzinfo=UTC)
UUID = VmId("5a1f6f5e-5f0e-4d0e-8f64-0d3c1f9e2b11")


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        pytest.param("192.0.2.1", "192.0.2.1", id="ipv4"),
        pytest.param("2001:DB8:0:0::1", "2001:db8::1", id="ipv6-shortened"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", id="mapped"),
        pytest.param("::FFFF:c000:201", "192.0.2.1", id="mapped-in-hex"),
        pytest.param("0:0:0:0:0:ffff:7f00:1", "127.0.0.1", id="mapped-loopback"),
        pytest.param("fe80::1", "fe80::1", id="link-local"),
    ],
)
def test_an_address_has_one_spelling(text: str, spelling: str) -> None:
    """Two ways to write an address never pass for two hosts; an IPv4 address hides in no IPv6 one."""
    assert canonical(text) == spelling


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("localhost", id="name"),
        pytest.param("192.0.2", id="short"),
        pytest.param("3221225985", id="number"),
        pytest.param("0x7f000001", id="hex"),
        pytest.param("127.1", id="two-parts"),
        pytest.param("127.0.0.01", id="octal"),
        pytest.param("192.0.2.1:22", id="port"),
        pytest.param("[2001:db8::1]", id="brackets"),
        pytest.param("fe80::1%eth0", id="zone"),
        pytest.param("::1%", id="empty-zone"),
        pytest.param("192.0.2.1 ", id="space"),
        pytest.param("192.0.2.1\n", id="newline"),
        pytest.param("192.0.2.1\0", id="null"),
        pytest.param("192.0.2.0/24", id="network"),
        pytest.param("\uff11\uff19\uff12.0.2.1", id="fullwidth"),
        pytest.param("\u0661.\u0662.\u0663.\u0664", id="arabic-digits"),
        pytest.param("192.0.2.1;reboot", id="command"),
    ],
)
def test_what_is_no_literal_address_is_none(text: str) -> None:
    """Nothing is looked up, nothing is guessed."""
    assert parse_address(text) is None
    assert canonical(text) is None


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_the_one_spelling_is_stable(address: IPv4Address | IPv6Address) -> None:
    """Reading a canonical address gives the same one again, and never a mapped one."""
    spelled = canonical(str(address))
    if spelled is None:
        assert isinstance(address, IPv6Address)
        assert address.scope_id is not None
        return
    assert canonical(spelled) == spelled
    again = parse_address(spelled)
    assert not (isinstance(again, IPv6Address) and again.ipv4_mapped)


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    """A guest's free text is an address or it is not; it never raises."""
    parse_address(text)


@given(st.text("0123456789abcdef", min_size=1, max_size=64))
def test_a_container_id_is_split_into_what_it_was_made_of(engine_id: str) -> None:
    """Ids of containers are unique over all pools and lead back to VM and engine."""
    assert split_container_id(container_id(UUID, engine_id)) == (UUID, engine_id)


@pytest.mark.parametrize("text", ["", "no-slash"])
def test_an_id_of_something_else_splits_into_no_container(text: str) -> None:
    """What people type as an id may be anything."""
    assert split_container_id(model.ContainerId(text)) == (text, "")


@pytest.mark.parametrize(
    ("value", "enabled"),
    [("True", True), ("true", False), ("1", False), ("False", False), ("", False), (None, False), ("True ", False)],
)
def test_only_the_exact_word_enables(value: str | None, enabled: bool) -> None:  # noqa: FBT001 - a case's expectation
    """``xscontainer-monitor`` is read as it always was."""
    settings = {} if value is None else {"xscontainer-monitor": value}
    assert Vm(id=UUID, pool=model.LOCAL_POOL, name="web", settings=settings, as_of=NOW).enabled is enabled


@pytest.mark.parametrize("power", list(PowerState), ids=str)
def test_only_a_running_vm_runs(power: PowerState) -> None:
    """A paused or suspended VM is as silent as one that is off."""
    vm = Vm(id=UUID, pool=model.LOCAL_POOL, name="web", power=power, as_of=NOW)
    assert vm.running is (power is PowerState.RUNNING)


def _container() -> Container:
    return Container(id=container_id(UUID, "a" * 64), engine_id="a" * 64, name="web", vm=UUID, as_of=NOW)


def test_records_are_frozen_and_light() -> None:
    """Nobody changes a record, and 200,000 of them cost the garbage collector nothing."""
    container = _container()
    with pytest.raises(AttributeError):
        container.state = "running"  # type: ignore[misc]
    assert not gc.is_tracked(container)


def test_a_records_default_map_is_its_own() -> None:
    """Two containers without labels share nothing."""
    assert _container().labels is not _container().labels


def test_a_container_is_shown_in_the_documented_form() -> None:
    """Its JSON has exactly the fields that clients rely on, with times of RFC 3339 in UTC."""
    shown = msgspec.to_builtins(_container())
    names = (
        "id engine_id name vm vm_name pool host image command state health status ports labels created started"
        " exit_code restarting isolation as_of stale problem"
    )
    assert sorted(shown) == sorted(names.split())
    assert msgspec.json.decode(msgspec.json.encode(_container()))["as_of"] == "2030-01-01T00:00:00Z"


def test_everything_public_is_listed() -> None:
    """`model` exports what it imports."""
    assert len(set(model.__all__)) == len(model.__all__)
    assert all(hasattr(model, name) for name in model.__all__)

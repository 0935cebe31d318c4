"""Stale is never shown as running: when containers become stale, as of when, why, and when they are current again."""

from datetime import datetime

import pytest

from roadstead.inventory.store import Store
from roadstead.model import Container, Link, LinkState, PowerState, Seen, container_id
from tests.unit.fakes import records

SEEN, HEARD, LATER = records.at(10), records.at(20), records.at(30)


@pytest.fixture
def store() -> Store:
    """A live VM with a container that was seen at `SEEN`."""
    made = Store()
    made.apply(
        Seen(records.pool()), Seen(records.vm()), Seen(records.link()), Seen(records.container(as_of=SEEN, status="Up"))
    )
    return made


def _only(store: Store) -> Container:
    (container,) = store.containers()
    return container


def _broken(code: str = "link-lost", heard: datetime | None = HEARD) -> Link:
    return records.link(state=LinkState.BROKEN, heard=heard, problem=records.problem(code))


def test_a_container_of_a_live_vm_is_current(store: Store) -> None:
    """Nothing is stale before something happens."""
    assert (_only(store).stale, _only(store).problem, _only(store).as_of) == (False, "", SEEN)


def test_a_lost_link_makes_containers_stale(store: Store) -> None:
    """They keep their last state, as of when the guest was last heard, with the problem's code; it is told."""
    changes = store.apply(Seen(_broken()))
    container = _only(store)
    assert (container.stale, container.as_of, container.problem) == (True, HEARD, "link-lost")
    assert container.state == "running"
    assert [(change.kind, change.op) for change in changes] == [("vm", "set"), ("container", "set")]


def test_without_a_time_of_hearing_the_containers_own_time_counts(store: Store) -> None:
    """No time is invented."""
    store.apply(Seen(_broken(heard=None)))
    assert _only(store).as_of == SEEN


def test_another_reason_changes_the_code_and_not_the_time(store: Store) -> None:
    """What is stale stays as of when it was last known, however long the outage and whatever its reasons."""
    store.apply(Seen(_broken("link-lost")))
    store.apply(Seen(_broken("refused", heard=LATER)))
    assert (_only(store).stale, _only(store).as_of, _only(store).problem) == (True, HEARD, "refused")


def test_the_same_trouble_again_is_no_change_of_containers(store: Store) -> None:
    """A link that is described anew with the same problem touches no container."""
    store.apply(Seen(_broken()))
    changes = store.apply(Seen(_broken(heard=LATER)))
    assert [change.kind for change in changes] == ["vm"]


@pytest.mark.parametrize("state", [LinkState.CONNECTING, LinkState.OFF], ids=str)
def test_a_link_that_is_not_live_for_other_reasons_makes_stale_without_a_problem(
    store: Store, state: LinkState
) -> None:
    """A VM that is off is no problem of anybody's."""
    store.apply(Seen(records.link(state=state, heard=HEARD)))
    assert (_only(store).stale, _only(store).as_of, _only(store).problem) == (True, HEARD, "")


def test_a_problem_ends_when_the_vm_is_switched_off(store: Store) -> None:
    """Broken, then off: the containers stay stale as of the same time, and nobody is to blame."""
    store.apply(Seen(_broken()), Seen(records.vm(power=PowerState.HALTED, host=None)))
    store.apply(Seen(records.link(state=LinkState.OFF, heard=HEARD)))
    assert (_only(store).stale, _only(store).as_of, _only(store).problem) == (True, HEARD, "")


def test_a_link_that_comes_back_proves_nothing(store: Store) -> None:
    """Live again, a container is current only when it was seen again."""
    store.apply(Seen(_broken()))
    store.apply(Seen(records.link(heard=LATER)))
    assert _only(store).stale
    changes = store.apply(Seen(records.container(as_of=LATER)))
    assert (_only(store).stale, _only(store).problem, _only(store).as_of) == (False, "", LATER)
    assert [change.kind for change in changes] == ["container"]


def test_a_live_link_with_a_problem_makes_nothing_stale(store: Store) -> None:
    """An engine that says more than the bounds allow is still heard."""
    store.apply(Seen(records.link(problem=records.problem("engine-too-large"))))
    assert not _only(store).stale


def test_a_vm_that_moves_while_it_is_lost_keeps_its_containers_stale(store: Store) -> None:
    """A new place is no sign of life."""
    store.apply(Seen(_broken()), Seen(records.vm(name="new")))
    assert (_only(store).vm_name, _only(store).stale, _only(store).as_of) == ("new", True, HEARD)


def test_what_is_stale_was_so_for_every_reader(store: Store) -> None:
    """The change carries the stale record: a reader of changes never takes it for running."""
    *_, change = store.apply(Seen(_broken()))
    assert change.record == _only(store)


def test_disabling_removes_containers_link_and_engine(store: Store) -> None:
    """What is not managed is not shown, also not as stale."""
    store.apply(Seen(records.engine()))
    changes = store.apply(Seen(records.vm(settings={})))
    assert [f"{change.op} {change.kind}" for change in changes] == ["set vm", "gone container", "set vm"]
    vm = store.vms[records.VM]
    assert (vm.enabled, vm.link, vm.engine) == (False, None, None)
    assert list(store.containers()) == []


def test_a_container_of_a_vm_that_is_not_enabled_is_not_taken(store: Store) -> None:
    """A late word of a guest that was just disabled brings nothing back."""
    store.apply(Seen(records.vm(settings={})))
    assert store.apply(Seen(records.container())) == []


@pytest.mark.parametrize("value", ["true", "False", ""])
def test_any_other_word_disables(store: Store, value: str) -> None:
    """Only the exact ``True`` enables."""
    store.apply(Seen(records.vm(settings={records.MONITOR: value})))
    assert list(store.containers()) == []


def test_switching_off_keeps_what_was_known(store: Store) -> None:
    """Name, state and labels of a container stay to be read while its VM is off."""
    store.apply(Seen(records.vm(power=PowerState.HALTED, host=None)))
    store.apply(Seen(records.link(state=LinkState.OFF, heard=HEARD)))
    found = store.container(container_id(records.VM, records.engine_id(1)))
    assert found is not None
    assert (found.name, found.state, found.host) == ("container-1", "running", None)

"""What people type, and what it names."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import AmbiguousError, NotFoundError
from roadstead.inventory import names
from roadstead.model import VmId
from tests.unit.fakes import records
from tests.unit.inventory_views import samples

A = "aaaa1111-0000-4000-8000-000000000001"
B = "aaaa2222-0000-4000-8000-000000000002"
C = "cccc3333-0000-4000-8000-000000000003"

WORLD = samples.store(
    samples.pool("pool-1", "Rack 1"),
    samples.pool("pool-2", "Rack 2"),
    samples.host("host-1", "north"),
    samples.vm(A, "web-1"),
    samples.vm(B, "Büro Süd"),
    samples.vm(C, "Web-1", pool="pool-2"),
    *[samples.link(vm) for vm in (A, B, C)],
    samples.container(A, 0xABCD, "shop"),
    samples.container(A, 0xABC1, "cache"),
    samples.container(B, 0xEEEE, "shop"),
    samples.container(C, 0xFFFF, "only"),
    samples.container(C, 0xABCE, "[odd]*"),
)


@pytest.mark.parametrize(
    ("typed", "id"),
    [
        (A, A),
        (A.upper(), A),
        ("web-1", A),
        ("Web-1", C),
        ("büro süd", B),
        ("Bu\u0308ro Su\u0308d", B),
        ("aaaa2", B),
        ("cccc", C),
        ("Bü*", B),
        (" web-1 ", A),
    ],
)
def test_vm_is_found(typed: str, id: str) -> None:
    """An id, the exact name, the name in another case or spelling, the beginning of an id, or a glob names a VM."""
    assert names.find_vm(WORLD, typed).id == id


@pytest.mark.parametrize(("typed", "candidates"), [("WEB-1", ("Web-1", "web-1")), ("aaaa", ("Büro Süd", "web-1"))])
def test_ambiguous_vm_lists_candidates(typed: str, candidates: tuple[str, ...]) -> None:
    """A name that several VMs answer to is refused with what to type instead."""
    with pytest.raises(AmbiguousError) as caught:
        names.find_vm(WORLD, typed)

    assert caught.value.candidates == candidates
    assert caught.value.fields["count"] == "2"


def test_a_glob_must_name_one_vm() -> None:
    """A glob names a VM only when it finds a single one."""
    assert names.find_vm(WORLD, "*d").id == B
    with pytest.raises(AmbiguousError):
        names.find_vm(WORLD, "web*")


def test_unknown_vm_suggests_the_nearest() -> None:
    """A slip is answered with the nearest name."""
    with pytest.raises(NotFoundError) as caught:
        names.find_vm(WORLD, "buro süd")

    assert (caught.value.code, caught.value.candidates) == ("no-such-vm", ("Büro Süd",))
    with pytest.raises(NotFoundError) as caught:
        names.find_vm(WORLD, "aaa")
    assert caught.value.fields["name"] == "aaa"
    assert f"at least {names.LEAST_ID_CHARACTERS} digits" in caught.value.remedy


def test_pools_of_one_name_are_told_apart() -> None:
    """Each candidate is its id, with the address by which people know it."""
    twins = (records.pool(id, name="lab", url=f"https://{id}.test") for id in ("pool-1", "pool-2"))
    with pytest.raises(AmbiguousError) as caught:
        names.find_pool(samples.store(*twins), "lab")

    assert caught.value.candidates == ("pool-1 (https://pool-1.test)", "pool-2 (https://pool-2.test)")


def test_pools_are_found_alike() -> None:
    """Pools are named by id, name or glob, and refused under their own code."""
    assert names.find_pool(WORLD, "rack 2").id == "pool-2"
    assert names.find_pool(WORLD, "*1").id == "pool-1"
    with pytest.raises(NotFoundError, match="No pool"):
        names.find_pool(WORLD, "nowhere")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (["cache"], ["cache"]),
        (["ONLY"], ["only"]),
        (["abcd"], ["shop"]),
        (["web-1/shop"], ["shop"]),
        (["Web-1/only"], ["only"]),
        (["büro süd/shop"], ["shop"]),
        (["aaaa2/shop"], ["shop"]),
        ([f"{A}/{'abcd'.ljust(64, '0')}"], ["shop"]),
        ([f"{A}/abcd"], ["shop"]),
        (["web-1/*"], ["shop", "cache"]),
        (["*/shop"], ["shop", "shop"]),
        (["sh*"], ["shop", "shop"]),
        (["cache", "abc1", "only"], ["cache", "only"]),
        (["Web-1/[odd]*"], ["[odd]*"]),
        (["/cache"], ["cache"]),
    ],
)
def test_containers_are_found(typed: list[str], found: list[str]) -> None:
    """A name, ``vm/container``, the beginning of an id or a glob in either part; each container once."""
    assert [container.name for container in names.find_containers(WORLD, typed)] == found


@pytest.mark.parametrize(
    ("typed", "candidates"),
    [("shop", ("Büro Süd/shop", "web-1/shop")), ("abc1", None), ("web-1/abc", None), ("*/abc", None)],
)
def test_ambiguous_container(typed: str, candidates: tuple[str, ...] | None) -> None:
    """The same name in several VMs is refused with ``vm/container`` of each; too short an id names nothing."""
    if candidates is not None:
        with pytest.raises(AmbiguousError) as caught:
            names.find_containers(WORLD, [typed])
        assert caught.value.candidates == candidates
    elif typed == "abc1":
        assert len(names.find_containers(WORLD, [typed])) == 1
    else:
        with pytest.raises(NotFoundError):
            names.find_containers(WORLD, [typed])


def test_candidates_that_read_alike_are_shown_by_id() -> None:
    """Where ``vm/container`` is the same for two, their ids are what to type."""
    store = samples.store(
        samples.vm(A, "web"),
        samples.vm(B, "web"),
        samples.link(A),
        samples.link(B),
        samples.container(A, 1, "shop"),
        samples.container(B, 2, "shop"),
    )
    with pytest.raises(AmbiguousError) as caught:
        names.find_containers(store, ["web/shop"])

    expected = tuple(f"{one.id} ({one.image}, {one.state})" for one in store.containers())
    assert caught.value.candidates == expected
    assert caught.value.fields["name"] == "web/shop"


def test_vms_of_one_name_are_told_apart_by_where_they_are() -> None:
    """Their ids alone say nothing to people: pool and host stand beside each."""
    store = samples.store(samples.pool(), samples.host(), samples.vm(A, "web"), samples.vm(B, "web", host=None))
    with pytest.raises(AmbiguousError) as caught:
        names.find_vm(store, "web")

    pool, host = store.vms[VmId(A)].pool_name, store.vms[VmId(A)].host_name
    on_a_host, on_none = (f"{A} (in the pool {pool} on {host}, running)", f"{B} (in the pool {pool}, running)")
    assert caught.value.candidates == (on_a_host, on_none)
    assert pool and host


def test_many_candidates_are_cut() -> None:
    """At most twenty candidates are listed, and how many more there are."""
    store = samples.store(
        *[
            record
            for n in range(30)
            for record in (samples.vm(f"vm-{n:02}", f"web-{n:02}"), samples.link(f"vm-{n:02}"))
        ],
        *[samples.container(f"vm-{n:02}", n) for n in range(30)],
    )
    with pytest.raises(AmbiguousError) as caught:
        names.find_containers(store, ["shop"])

    assert len(caught.value.candidates) == names.CANDIDATES
    assert caught.value.fields["count"] == "30"


def test_unknown_container_names_the_part_that_is_wrong() -> None:
    """A wrong VM part is reported as a VM, a wrong container part as a container, with a suggestion."""
    with pytest.raises(NotFoundError) as caught:
        names.find_containers(WORLD, ["nowhere/shop"])
    assert caught.value.code == "no-such-vm"
    with pytest.raises(NotFoundError) as caught:
        names.find_containers(WORLD, ["web-1/chop"])
    assert (caught.value.code, caught.value.candidates) == ("no-such-container", ("web-1/shop",))


def test_suggestions_are_not_sought_among_too_many() -> None:
    """Comparing with a whole fleet would hold the loop."""
    known = {f"web-{n}" for n in range(names.COMPARED_NAMES + 1)}

    assert names.nearest("web-", known) == []
    assert names.nearest("wep-1", {"web-1", "other"}) == ["web-1"]


@given(st.text(max_size=30))
def test_any_text_is_found_or_refused(text: str) -> None:
    """Whatever is typed, the answer is containers or one of the two refusals."""
    with contextlib.suppress(NotFoundError, AmbiguousError):
        assert names.find_containers(WORLD, [text])


@given(st.text(min_size=1, max_size=20).filter(lambda text: text.strip() == text and text))
def test_the_exact_name_always_wins(name: str) -> None:
    """A VM's own name names it, whatever characters it has."""
    store = samples.store(samples.vm(A, name), samples.vm(B, "x" * 21))

    assert names.find_vm(store, name).id == A


@pytest.mark.parametrize("typed", ["[" * 60_000, "*a" * 30_000, "a" * 60_000])
def test_endless_names_cost_little(typed: str) -> None:
    """What is longer than any name is looked up, and not read as a glob."""
    with pytest.raises(NotFoundError):
        names.find_vm(WORLD, typed)
    with pytest.raises(NotFoundError):
        names.find_containers(WORLD, [f"web-1/{typed}"])


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("shop", 0xABCD),
        (f"{0xABC1:x}".ljust(64, "0"), 0xABC1),
        ("abcd", 0xABCD),
        ("abc1" + "0" * 6, 0xABC1),
        ("Shop", None),
        ("sh*", None),
        ("abc", None),
        ("ABCD", None),
        ("eeee", None),
        ("", None),
        ("shop\n", None),
        (f"{A}/shop", None),
    ],
)
def test_programs_name_a_container_of_one_vm_to_the_letter(typed: str, found: int | None) -> None:
    """By id, name, or a beginning of an id that is long enough; nothing is folded or expanded, no other VM is seen."""
    one = names.in_vm(WORLD, VmId(A), typed)
    assert (one.engine_id if one else None) == (f"{found:x}".ljust(64, "0") if found else None)


def test_a_beginning_of_several_ids_is_ambiguous() -> None:
    """A name that reads like a beginning comes before it."""
    vm = VmId(A)
    many = samples.store(
        samples.pool("pool-1", "Rack 1"),
        samples.vm(A, "web-1"),
        samples.link(A),
        *[samples.container(A, number, name) for number, name in ((0xDEAD1, "one"), (0xDEAD2, "two"), (0x1, "dead1"))],
    )
    with pytest.raises(AmbiguousError) as caught:
        names.in_vm(many, vm, "dead")
    assert caught.value.candidates == ("one", "two")
    one = names.in_vm(many, vm, "dead1")
    assert one is not None and one.name == "dead1"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (A, "web-1"),
        (f"{A}/{'abcd'.ljust(64, '0')}", "web-1/shop"),
        (f"{A}/nothing", "web-1/nothing"),
        ("pool-2", "Rack 2"),
        ("pool-1/host-1", "Rack 1/north"),
        ("pool-1/gone", "Rack 1/gone"),
        ("gone/shop", ""),
        ("", ""),
    ],
)
def test_what_an_id_in_the_audit_is_called(target: str, name: str) -> None:
    """Part by part; what has no name any more keeps what was noted."""
    assert names.of_target(WORLD, target) == name

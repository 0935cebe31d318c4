"""The search language: what each field finds, how terms combine, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import InputError
from roadstead.inventory import search
from roadstead.inventory.terms import LONGEST_CHARACTERS, MOST_TERMS
from roadstead.model import CONTAINER_STATES, LinkState, Port
from tests.unit.inventory_views import samples

WORLD = samples.store(
    samples.pool("pool-1", "Rack 1"),
    samples.pool("pool-2", "Büro"),
    samples.host("host-1", "north"),
    samples.host("host-2", "süd", "pool-2"),
    samples.vm("vm-1", "web-1", tags=("shop", "prod"), addresses=("10.0.0.7",)),
    samples.vm("vm-2", "Datenbank Süd", pool="pool-2", host="host-2"),
    samples.vm("vm-3", "bare", managed=False),
    samples.link("vm-1"),
    samples.link("vm-2"),
    samples.container(
        "vm-1", 0xABCD, "shop", health="healthy", status="Up 3 minutes (healthy)", labels={"app": "Shop"}
    ),
    samples.container("vm-1", 2, "cache", state="paused", image="redis", ports=(Port(6379, "tcp", 16379, "0.0.0.0"),)),
    samples.container("vm-1", 3, "dns", state="exited", image="reg.example:5000/net/dns:9", ports=(Port(53, "udp"),)),
    samples.container(
        "vm-2", 4, "db", image="postgres@sha256:0011", health="unhealthy", labels={"a": "b", "empty": ""}
    ),
    samples.container("vm-2", 5, "old", image="mysql:5"),
    samples.link("vm-2", LinkState.BROKEN, "key-rejected"),
    samples.container("vm-1", 6, "front end", image="nginx"),
)


def found(query: str) -> list[str]:
    """Names of the containers that ``query`` finds."""
    keep = search.parse(query, "container").containers(WORLD.vms)
    return [container.name for container in WORLD.containers() if keep(container)]


def vms(query: str) -> list[str]:
    """Names of the VMs that ``query`` finds."""
    keep = search.parse(query, "vm").vms(WORLD.containers_of)
    return [vm.name for vm in WORLD.vms.values() if keep(vm)]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["shop", "cache", "dns", "front end", "db", "old"]),
        ("state:running", ["shop", "front end"]),
        ("state:RUNNING", ["shop", "front end"]),
        ("state:running,paused", ["shop", "cache", "front end"]),
        ("state:running state:paused", ["shop", "cache", "front end"]),
        ("state:p*", ["cache"]),
        ("-state:running", ["cache", "dns", "db", "old"]),
        ("state:stale", ["db", "old"]),
        ("state:unknown", ["db", "old"]),
        ("state:stale,exited", ["dns", "db", "old"]),
        ("-state:stale", ["shop", "cache", "dns", "front end"]),
        ("stale:true", ["db", "old"]),
        ("stale:no", ["shop", "cache", "dns", "front end"]),
        ("image:nginx", ["shop", "front end"]),
        ("image:nginx:1.25", ["shop"]),
        ("image:library/nginx", ["shop"]),
        ("image:docker.io/library/nginx:1.25", ["shop"]),
        ("image:dns", ["dns"]),
        ("image:net/dns", ["dns"]),
        ("image:reg.example:5000/*", ["dns"]),
        ("image:postgres", ["db"]),
        ("image:ngin", []),
        ("vm:web*", ["shop", "cache", "dns", "front end"]),
        ("vm:vm-2", ["db", "old"]),
        ('vm:"datenbank süd"', ["db", "old"]),
        ("vm:*SU\u0308D", ["db", "old"]),
        ("pool:büro", ["db", "old"]),
        ("pool:pool-1", ["shop", "cache", "dns", "front end"]),
        ("host:NORTH", ["shop", "cache", "dns", "front end"]),
        ("host:host-2", ["db", "old"]),
        ("tag:prod", ["shop", "cache", "dns", "front end"]),
        ("port:53", ["dns"]),
        ("port:53/udp", ["dns"]),
        ("port:53/tcp", []),
        ("port:16379", ["cache"]),
        ("port:6379", ["cache"]),
        ("port:*79", ["cache"]),
        ("port:0", []),
        ("label:app=shop", ["shop"]),
        ("label:app", ["shop"]),
        ("label:a=b label:app=shop", ["shop", "db"]),
        ("label:empty=", ["db"]),
        ("label:empty=*", ["db"]),
        ("label:a=c", []),
        ("name:s*", ["shop"]),
        ('name:"front end"', ["front end"]),
        ('name:front" "end', ["front end"]),
        ("id:abcd", ["shop"]),
        ("id:vm-2/", ["db", "old"]),
        ("id:bcd", []),
        ("health:healthy", ["shop"]),
        ("health:*", ["shop", "db"]),
        ('status:"3 minutes"', ["shop"]),
        ("problem:key-rejected", ["db", "old"]),
        ("problem:*", ["db", "old"]),
        ("-problem:*", ["shop", "cache", "dns", "front end"]),
        ("SHOP", ["shop"]),
        ("ngin", ["shop", "front end"]),
        ("ngin front", ["front end"]),
        ('"front end"', ["front end"]),
        ("web-1", ["shop", "cache", "dns", "front end"]),
        ("abcd", ["shop"]),
        ("-nginx state:running", []),
        ("fr?nt", ["front end"]),
        ("state:running image:nginx vm:web* -name:shop", ["front end"]),
        ('"nginx:1.25"', ["shop"]),
        ("16:9", []),
    ],
)
def test_query_finds(query: str, names: list[str]) -> None:
    """Values of a field are alternatives, fields and words all must match, a minus leaves out."""
    assert found(query) == names


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["web-1", "Datenbank Süd", "bare"]),
        ("state:live", ["web-1"]),
        ("state:broken", ["Datenbank Süd"]),
        ("state:stale", ["Datenbank Süd"]),
        ("state:unmanaged", ["bare"]),
        ("stale:false", ["web-1", "bare"]),
        ("name:web*", ["web-1"]),
        ("vm:vm-3", ["bare"]),
        ("pool:büro", ["Datenbank Süd"]),
        ("host:north", ["web-1", "bare"]),
        ("tag:shop", ["web-1"]),
        ("id:vm-", ["web-1", "Datenbank Süd", "bare"]),
        ("problem:key-*", ["Datenbank Süd"]),
        ("image:nginx", ["web-1"]),
        ("image:nginx health:healthy", ["web-1"]),
        ("image:redis health:healthy", []),
        ("-image:nginx", ["Datenbank Süd", "bare"]),
        ("10.0.0.7", ["web-1"]),
        ("süd", ["Datenbank Süd"]),
        ("rack bare", ["bare"]),
    ],
)
def test_query_finds_vms(query: str, names: list[str]) -> None:
    """A VM is held against its own record; a field of containers finds it by one container that has them all."""
    assert vms(query) == names


@pytest.mark.parametrize(
    ("query", "term"),
    [
        ("color:red", "color:red"),
        ("state:running colour:red", "colour:red"),
        ("state:", "state:"),
        ("state: running", "state:"),
        ("state:running,,paused", "state:running,,paused"),
        ("port:http", "port:http"),
        ("port:99999", "port:99999"),
        ("port:80,65536/udp", "port:80,65536/udp"),
        ("stale:maybe", "stale:maybe"),
        ('name:"open', 'name:"open'),
        ('"open', '"open'),
        ("-", "-"),
        ('""', '""'),
        ("x " * (MOST_TERMS + 1), "x"),
        ("x" * (LONGEST_CHARACTERS + 1), "xxxxxxxxxxxxxxxxxxxx"),
    ],
)
def test_malformed_query_names_the_term(query: str, term: str) -> None:
    """What makes no sense is refused, with the term and the known fields."""
    with pytest.raises(InputError) as caught:
        search.parse(query)

    assert caught.value.code == "filter-invalid"
    assert caught.value.fields["term"] == term
    assert caught.value.fields["known"].split(", ") == list(search.FIELDS)


@pytest.mark.parametrize(
    ("query", "of", "value", "known"),
    [
        ("state:runing", "container", "runing", [*CONTAINER_STATES, "stale", "unknown"]),
        ("state:running,broken", "container", "broken", [*CONTAINER_STATES, "stale", "unknown"]),
        ("-state:runn1*", "container", "runn1*", [*CONTAINER_STATES, "stale", "unknown"]),
        ("state:running", "vm", "running", [*map(str, LinkState), "stale"]),
        ("state:up", None, "up", [*CONTAINER_STATES, "stale", "unknown", *map(str, LinkState)]),
        ("health:sick", "vm", "sick", ["healthy", "unhealthy", "starting"]),
        ("problem:key-rejektet", None, "key-rejektet", ["key-rejected"]),
        ("problem:cd-drive-full", "vm", "cd-drive-full", []),
    ],
)
def test_a_value_that_a_field_never_has_is_refused(
    query: str, of: search.Kind | None, value: str, known: list[str]
) -> None:
    """Where the values are few, another finds nothing for ever: it is refused, and told what may stand there."""
    with pytest.raises(InputError) as caught:
        search.parse(query, of)

    assert caught.value.code == "filter-value-unknown"
    assert caught.value.fields["field"] == query.lstrip("-").partition(":")[0]
    assert caught.value.fields["value"] == value
    assert caught.value.fields["known"].split(", ")[: len(known)] == known


@pytest.mark.parametrize("query", ["state:RUNNING", "state:*ing", 'state:"exited"', "health:un*", "problem:host-key-*"])
def test_a_value_may_be_written_in_every_way(query: str) -> None:
    """Case, globs and quotes are the same to a field of few values as to all others."""
    search.parse(query, "container")


@pytest.mark.parametrize("code", ["internal", "tls-expires-soon", "secret-shared", "no-relay", "pool-unusable"])
def test_whatever_may_be_wrong_with_a_vm_can_be_looked_for(code: str) -> None:
    """Also what is a mistake of ours, whichever chapter of the table its code is in."""
    search.parse(f"problem:{code}", "vm")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """A filter is read or refused with `filter-invalid`; nothing else happens, whatever was typed."""
    try:
        query = search.parse(text)
    except InputError:
        return
    for container in WORLD.containers():
        query.containers(WORLD.vms)(container)
    for vm in WORLD.vms.values():
        query.vms(WORLD.containers_of)(vm)


@given(st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text))
def test_quoted_text_is_literal(text: str) -> None:
    """A name in quotes finds exactly that name, whatever characters it has."""
    store = samples.store(
        samples.vm(), samples.link(), samples.container(name=text), samples.container(number=2, name=f"{text}+")
    )
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    keep = search.parse(f'name:"{quoted}"').containers(store.vms)

    assert [container.name for container in store.containers() if keep(container)] == [text]


@given(st.text("abcdeginpsuxrtl*?[]", min_size=1, max_size=8).filter(lambda word: word not in {"stale", "unknown"}))
def test_no_other_word_finds_a_stale_container_by_state(word: str) -> None:
    """Whatever word or glob stands after ``state:``, only ``stale`` and ``unknown`` find what is stale."""
    try:
        keep = search.parse(f"state:{word}").containers(WORLD.vms)
    except InputError:
        return

    assert not any(keep(container) for container in WORLD.containers() if container.stale)


@given(st.sampled_from(["state:running", "image:nginx", "vm:web*", "name:shop", "ngin", "port:53", "tag:prod"]))
def test_minus_is_the_complement(term: str) -> None:
    """A negated term finds exactly what the term does not find."""
    assert sorted(found(term) + found(f"-{term}")) == sorted(found(""))

"""What passes and what does not with the rules of every place, between namespaces, over IPv4 and IPv6."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from roadstead.artifacts import firewall
from roadstead.inventory.store import Store
from roadstead.model import PoolId, Seen, VmId
from roadstead.model.firewall import Place, RuleSet, Server
from roadstead.plan.addresses import Rules
from roadstead.plan.firewall import Surroundings, Wanted, rule_set
from tests.real.networks import MACHINES, SERVER_4, SERVER_6, SERVICES, Call, Networks, address, everything, networks
from tests.unit.fakes import records

pytestmark = pytest.mark.real

MANAGEMENT = ("dom0", "roadstead")
OPEN_PORTS = {22, 2376}
FOREIGN = """
nft -f - <<'RULES'
table inet foreign { chain input { type filter hook input priority 5; tcp dport 9 drop; }; }
RULES
for command in iptables ip6tables; do
    for chain in INPUT FORWARD OUTPUT; do $command -A $chain -p tcp --dport 9 -j DROP; done
done
"""
"""What a machine has already."""
REFUSES = """
table inet refuses {
    chain input { type filter hook input priority 10; tcp dport 2376 reject with icmpx port-unreachable; }
}
"""
STANDS = {Place.ROUTER: "router", Place.GUEST: "guest", Place.DOM0: "dom0"}


@pytest.fixture(scope="module")
def nets() -> Iterator[Networks]:
    """The networks of all tests here."""
    with networks() as made:
        yield made


def rules(place: Place, *, servers: bool = False, icmp: bool = False, strangers: bool = False) -> RuleSet:
    """The rules that the plan makes of a pool with one guest, whose name and whose addresses are hostile."""
    store = Store(0)
    theirs = (address("guest", 4), address("guest", 6), "10.77.2.10; drop", "::1")
    name = "web1\nRULES\niptables -F #\r\nflush ruleset"
    store.apply(Seen(records.pool()), Seen(records.vm(name=name, addresses=theirs)))
    networks = [ip_network(one) for one in ("10.77.0.0/24", "fd77::/64")]
    own = [ip_network(address("roadstead", version)) for version in (4, 6)]
    known = {PoolId(records.POOL): Surroundings((*networks, *own), Rules(), (name,))}
    asked = [Server(ip_address(one), *service) for one in (SERVER_4, SERVER_6) for service in SERVICES]
    wanted = Wanted(place=place, servers=tuple(asked) if servers else (), icmp=icmp, strangers=strangers)
    return rule_set(store, wanted, known)


def load(nets: Networks, dialect: str, place: Place, text: str) -> None:
    """Load a file as an operator does."""
    words = ["nft", "-f", "-"] if dialect == "nft" else ["sh"]
    nets.run(STANDS[place], *words, stdin=text)


def listing(nets: Networks, machine: str) -> list[str]:
    """Everything that filters in a machine, but for comments, which hold the time."""
    told = nets.run(machine, "sh", "-c", "nft --stateless list ruleset; iptables-save; ip6tables-save")
    return [line for line in told.splitlines() if not line.startswith("#")]


def passes(place: Place, source: str, to: str, port: int, *, strangers: bool = False) -> bool:
    """What the requirement says of a connection."""
    if to == "guest" and source in MANAGEMENT and port in OPEN_PORTS:
        return True
    ours, theirs = {source, to} & set(MANAGEMENT), {source, to} & {"guest"}
    match place:
        case Place.ROUTER:
            between_management = {source, to} <= set(MANAGEMENT)
            return between_management or (strangers and not (ours and theirs))
        case Place.GUEST:
            return not (ours and theirs)
        case Place.DOM0:
            return not ("dom0" in ours and theirs)


def wrong(nets: Networks, place: Place, *, strangers: bool = False) -> list[str]:
    """The calls of which something else became than the requirement says."""
    names = {address(machine, version): machine for machine in MACHINES for version in (4, 6)}
    found = []
    for (source, (_, where, port)), told in nets.send(everything()):
        expected = "open" if passes(place, source, names[where], port, strangers=strangers) else "dropped"
        if told != expected:
            found.append(f"{source} to {names[where]} {where} {port}: {told}, not {expected}")
    return found


def test_without_rules_everything_passes(nets: Networks) -> None:
    """The networks themselves stop nothing, so whatever is dropped later is dropped by the rules."""
    assert {told for _, told in nets.send(everything())} == {"open"}


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("dialect", ["nft", "iptables"])
def test_only_the_requirement_passes(nets: Networks, dialect: str, place: Place) -> None:
    """Exactly what the requirement names passes; loading twice is the same as once; the undo leaves what was before."""
    machine = STANDS[place]
    nets.run(machine, "sh", "-s", stdin=FOREIGN)
    before = listing(nets, machine)
    text = firewall.render(dialect, rules(place))
    try:
        load(nets, dialect, place, text)
        once = listing(nets, machine)
        load(nets, dialect, place, text)

        assert listing(nets, machine) == once != before
        assert wrong(nets, place) == []
    finally:
        load(nets, dialect, place, firewall.undo(dialect))
        after = listing(nets, machine)
        nets.run(machine, "nft", "flush", "ruleset")
    assert after == before


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("dialect", ["nft", "iptables"])
def test_a_guest_opens_nothing_from_the_port_of_its_server(nets: Networks, dialect: str, place: Place) -> None:
    """What it sends from there looks like an answer, but belongs to no connection that management opened."""
    ours = [address("dom0", version) for version in (4, 6)]
    assert set(nets.ask("guest", [(f"tcp:{own}", one, 80) for own in OPEN_PORTS for one in ours])) == {"open"}
    try:
        load(nets, dialect, place, firewall.render(dialect, rules(place)))
        calls = [(f"tcp:{own}", one, port) for own in OPEN_PORTS for one in ours for port in (22, 53, 2375)]
        assert set(nets.ask("guest", calls)) == {"dropped"}
    finally:
        load(nets, dialect, place, firewall.undo(dialect))


def two_pools() -> RuleSet:
    """The router's rules for a pool with the network of dom0, and for another one with that of the strangers. Guests of
    the first have several interfaces, of which some announce what is the other pool's; that of the second has IPv6
    alone.
    """
    store, second = Store(0), PoolId("00000000-0000-0000-0000-00000000b001")
    several = (address("guest", 4), address("guest", 6), address("stranger", 4), address("dom0", 6), "169.254.1.1")
    store.apply(
        Seen(records.pool()),
        Seen(records.vm(addresses=several)),
        Seen(records.pool(id=second)),
        Seen(records.vm(id=VmId("other"), pool=second, addresses=(address("guest", 6), address("stranger", 6)))),
    )
    known = {
        PoolId(records.POOL): Surroundings((ip_network("10.77.0.0/24"), ip_network("fd77::/64")), Rules()),
        second: Surroundings((ip_network("10.77.2.0/24"), ip_network("fd77:0:0:2::/64")), Rules()),
    }
    return rule_set(store, Wanted(place=Place.ROUTER), known)


@pytest.mark.parametrize("dialect", ["nft", "iptables"])
def test_pools_are_kept_apart_by_a_router(nets: Networks, dialect: str) -> None:
    """Each management reaches its own guests, at the addresses that they have; none is opened to the other one."""
    calls = {source: made for source, made in everything().items() if source != "roadstead"}
    try:
        load(nets, dialect, Place.ROUTER, firewall.render(dialect, two_pools()))
        opened = {(source, where, port) for (source, (_, where, port)), told in nets.send(calls) if told == "open"}
    finally:
        load(nets, dialect, Place.ROUTER, firewall.undo(dialect))
    ways = [("dom0", 4), ("dom0", 6), ("stranger", 6)]
    assert opened == {(source, address("guest", version), port) for source, version in ways for port in OPEN_PORTS}


@pytest.mark.parametrize("dialect", ["nft", "iptables"])
def test_strangers_pass_a_router_when_asked(nets: Networks, dialect: str) -> None:
    """A router may judge only what is between management and guests."""
    load(nets, dialect, Place.ROUTER, firewall.render(dialect, rules(Place.ROUTER, strangers=True)))
    try:
        assert wrong(nets, Place.ROUTER, strangers=True) == []
    finally:
        nets.run("router", "nft", "flush", "ruleset")


FIREWALLD = """
mount -t tmpfs none /run
mkdir -p /run/dbus /run/etc
cp -r /etc/firewalld/. /run/etc
mount --bind /run/etc /etc/firewalld
dbus-daemon --system --fork --nopidfile
firewalld --nofork --nopid >/run/log 2>&1 &
until firewall-cmd --state >/dev/null 2>&1; do kill -0 $! || { cat /run/log; exit 1; }; sleep 0.1; done
echo up
while read -r file; do sh "$file" && echo done; done
"""
"""firewalld with a bus and a configuration of its own; then the files that are named are run."""


@pytest.mark.limit(240)
@pytest.mark.skipif(shutil.which("firewalld") is None, reason="firewalld is not installed")
def test_firewalld_lets_pass_what_the_requirement_names(nets: Networks, tmp_path: Path) -> None:
    """In a guest in which firewalld runs. Whom its own default zone lets in, is not judged here."""
    command = nets.command("guest", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh")
    (tmp_path / "apply").write_text(firewall.render("firewalld", rules(Place.GUEST, servers=True)))
    (tmp_path / "undo").write_text(firewall.undo("firewalld"))
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, "-c", FIREWALLD], stdin=pipe, stdout=pipe, text=True, bufsize=1) as shell:
        assert shell.stdin is not None and shell.stdout is not None
        try:
            assert shell.stdout.readline() == "up\n"
            before = listing(nets, "guest")
            shell.stdin.write(f"{tmp_path}/apply\n")
            assert shell.stdout.readline() == "done\n"

            assert [
                one
                for one in wrong(nets, Place.GUEST)
                if not one.startswith("stranger to guest") and f" {SERVER_4} " not in one
            ] == []
            assert set(
                nets.ask("guest", [(kind, one, port) for one in (SERVER_4, SERVER_6) for kind, port in SERVICES])
            ) == {"open"}
            shell.stdin.write(f"{tmp_path}/undo\n")
            assert shell.stdout.readline() == "done\n"
            assert listing(nets, "guest") == before
        finally:
            shell.kill()
            nets.run("guest", "nft", "flush", "ruleset")


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("dialect", ["nft", "iptables"])
def test_guests_may_ask_dns_and_ntp_where_that_is_said(nets: Networks, dialect: str, place: Place) -> None:
    """With the exception a server answers on its ports and on no other; without it on none."""
    asked: list[Call] = [(kind, one, port) for one in (SERVER_4, SERVER_6) for kind, port in SERVICES]
    besides: list[Call] = [("tcp", one, port) for one in (SERVER_4, SERVER_6) for port in (22, 80)]
    try:
        load(nets, dialect, place, firewall.render(dialect, rules(place)))
        assert set(nets.ask("guest", asked)) == {"dropped"}
        load(nets, dialect, place, firewall.render(dialect, rules(place, servers=True)))

        assert set(nets.ask("guest", asked)) == {"open"}
        assert set(nets.ask("guest", besides)) == {"dropped"}
    finally:
        nets.run(STANDS[place], "nft", "flush", "ruleset")


DOCKER = """
for command in iptables ip6tables; do
    $command -N DOCKER-USER
    $command -I FORWARD -j ACCEPT
    $command -I FORWARD -j DOCKER-USER
done
"""
"""What Docker has in a guest: it lets containers out before anybody who came later is asked, but for one chain."""


@pytest.mark.parametrize("dialect", ["nft", "iptables"])
def test_containers_do_not_get_past_a_guest(nets: Networks, dialect: str) -> None:
    """What a guest forwards is judged like its own, Docker or not; containers still reach other networks."""
    nets.run("guest", "sh", "-s", stdin=FOREIGN + DOCKER)
    before = listing(nets, "guest")
    out: dict[str, list[Call]] = {
        "container": [("tcp", address(to, version), 80) for to in MANAGEMENT for version in (4, 6)]
    }
    into: dict[str, list[Call]] = {
        source: [("tcp", address("container", version), 80) for version in (4, 6)] for source in MANAGEMENT
    }
    others: dict[str, list[Call]] = {
        "container": [("tcp", address("stranger", 4), 80), ("udp", SERVER_4, 53), ("udp", SERVER_6, 53)],
        "stranger": [("tcp", address("container", 6), 80)],
    }
    try:
        load(nets, dialect, Place.GUEST, firewall.render(dialect, rules(Place.GUEST, servers=True)))
        for command in ("iptables", "ip6tables"):  # Docker starts again, and puts its own first
            for chain in ("ACCEPT", "DOCKER-USER"):
                nets.run("guest", "sh", "-c", f"{command} -D FORWARD -j {chain}; {command} -I FORWARD -j {chain}")

        assert {told for _, told in nets.send({**out, **into})} == {"dropped"}
        assert {told for _, told in nets.send(others)} == {"open"}
        load(nets, dialect, Place.GUEST, firewall.undo(dialect))
        assert sorted(listing(nets, "guest")) == sorted(before)
    finally:
        nets.run("guest", "nft", "flush", "ruleset")


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("dialect", ["nft", "iptables"])
def test_errors_pass_by_choice(nets: Networks, dialect: str, place: Place) -> None:
    """An ICMP error of the guest reaches who opened the connection only when that was asked for."""
    calls: list[Call] = [("tcp", address("guest", version), 2376) for version in (4, 6)]
    try:
        for icmp, told in ((False, "dropped"), (True, "refused")):
            load(nets, dialect, place, firewall.render(dialect, rules(place, icmp=icmp)))
            nets.run("guest", "nft", "-f", "-", stdin=REFUSES)
            assert set(nets.ask("dom0", calls)) == {told}
            nets.run("guest", "nft", "delete", "table", "inet", "refuses")
    finally:
        for machine in {"guest", STANDS[place]}:
            nets.run(machine, "nft", "flush", "ruleset")

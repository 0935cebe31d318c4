"""Firewall files: nothing of a name becomes a rule, and the programs that they are for can read them."""

from __future__ import annotations

import re
import shutil
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given

from roadstead.artifacts import firewall
from roadstead.errors import InputError
from roadstead.model.firewall import Flow, Place, RuleSet, Server
from tests.unit.artifacts.hostile import NASTY

FLOW = Flow(
    management=(ip_network("10.0.0.0/24"), ip_network("fd00::/64")),
    guests=(ip_network("10.0.1.5/32"), ip_network("fd00:1::5/128")),
    ports=(22, 2376),
)
SERVERS = (Server(ip_address("10.0.0.53"), "udp", 53), Server(ip_address("fd00::53"), "udp", 123))
PLACES = [(dialect, place) for dialect, known in firewall.DIALECTS.items() for place in known.places]


def rules(place: Place, **fields: Any) -> RuleSet:
    """A rule set with all that there is."""
    return RuleSet(**{"place": place, "flows": (FLOW,), "servers": SERVERS, "icmp": True, **fields})


def code(text: str) -> list[str]:
    """The lines that are no comments."""
    return [line for line in re.split(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", text) if not line.startswith("#")]


@pytest.mark.parametrize(("dialect", "place"), PLACES)
@given(note=NASTY)
@example(note="web\nflush ruleset")
@example(note="x\r\nRULES\nrm -rf /\n")
@example(note="x\u2028drop #\\")
@example(note="requires -Modules evil")
@example(note="\u30bd\u00fc\x85" * 200)
def test_a_name_stays_in_its_comment(dialect: str, place: Place, note: str) -> None:
    """Whatever a VM is called, the rules are the same; and comments are printable ASCII."""
    told = firewall.render(dialect, rules(place, notes=(note,)))

    assert code(told) == code(firewall.render(dialect, rules(place, notes=("web1",))))
    assert re.fullmatch(r"[\x20-\x7e\r\n]*", told)


@pytest.mark.parametrize(
    ("dialect", "place"),
    [(name, place) for name in firewall.DIALECTS for place in Place if (name, place) not in PLACES],
)
def test_places_that_a_dialect_does_not_have_are_refused(dialect: str, place: Place) -> None:
    """With the places that it has."""
    with pytest.raises(InputError, match="guest"):
        firewall.render(dialect, rules(place))


def run(*words: str, stdin: str = "", **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a program."""
    return subprocess.run(words, input=stdin, capture_output=True, text=True, check=False, **more)


@pytest.mark.parametrize(
    "text",
    [firewall.render(*one[:1], rules(one[1])) for one in PLACES if one[0] in {"iptables", "firewalld"}]
    + [firewall.undo("iptables"), firewall.undo("firewalld")],
)
def test_scripts_are_scripts(text: str) -> None:
    """A shell reads them without a complaint."""
    assert run("sh", "-n", stdin=text).stderr == ""


@pytest.mark.parametrize("icmp", [False, True])
def test_windows_blocks_nothing_that_may_pass(icmp: bool) -> None:  # noqa: FBT001 - a parameter of a test
    """There what is blocked beats what is allowed, so no block may hold an open port or a server's."""
    told = firewall.render("windows", rules(Place.GUEST, icmp=icmp))
    blocks = [line for line in told.splitlines() if "-Action Block" in line]

    def blocked(direction: str, protocol: str, address: str, port: int) -> bool:
        return any(
            f"-Direction {direction} " in line
            and f"-Protocol {protocol} " in line
            and covers(option(line, "RemoteAddress"), address)
            and in_ranges(option(line, "LocalPort" if direction == "Inbound" else "RemotePort"), port)
            for line in blocks
        )

    for address, server, service in (("10.0.0.7", "10.0.0.53", 53), ("fd00::7", "fd00::53", 123)):
        assert [blocked("Inbound", "TCP", address, port) for port in (21, 22, 23, 2375, 2376, 65535)] == [
            True,
            False,
            True,
            True,
            False,
            True,
        ]
        assert blocked("Outbound", "TCP", address, 443) and blocked("Outbound", "UDP", address, service)
        assert not blocked("Outbound", "UDP", server, service)
        assert blocked("Outbound", "TCP", server, 22) and blocked("Outbound", "UDP", server, service + 1)
    assert all(
        re.fullmatch(r"(New|Get)-NetFirewallRule( \||( -?[\w$]+| '[^']*',?| \|| [\w-]+)*)*|\$\w+ = '\w+'|", one)
        for one in code(told)
    ), told


def option(line: str, name: str) -> list[str]:
    """The values of an option."""
    found = re.search(rf"-{name} ((?:'[^']*'(?:, )?)+)", line)
    return re.findall(r"'([^']*)'", found.group(1)) if found else []


def covers(networks: list[str], address: str) -> bool:
    """Whether an address is in one of these networks and ranges."""
    wanted = ip_address(address)
    for one in networks:
        first, dash, last = one.partition("-")
        if (
            dash
            and ip_address(first).version == wanted.version
            and int(ip_address(first)) <= int(wanted) <= int(ip_address(last))
        ):
            return True
        if not dash and wanted in ip_network(one):
            return True
    return False


def in_ranges(ranges: list[str], port: int) -> bool:
    """Whether a port is in one of these ranges; without any, all are meant."""
    edges = [(one.partition("-")[0], one.partition("-")[2] or one) for one in ranges]
    return not ranges or any(int(first) <= port <= int(last) for first, last in edges)


def test_many_guests_and_ports_fit() -> None:
    """A rule holds no more ports than multiport takes, and no line is longer than old programs read."""
    many = tuple(ip_network(f"10.{number >> 8 & 255}.{number & 255}.1/32") for number in range(2000))
    flow = Flow(management=FLOW.management, guests=many, ports=tuple(range(1000, 1040)))
    told = firewall.render("iptables", rules(Place.DOM0, flows=(flow,)))

    assert max(map(len, told.splitlines())) < 1024
    assert max(len(ports.split(",")) for ports in re.findall(r"--dports (\S+)", told)) == 15


@pytest.mark.limit(120)
@pytest.mark.skipif(shutil.which("firewall-offline-cmd") is None, reason="firewalld is not installed")
def test_firewalld_takes_the_rules(tmp_path: Path) -> None:
    """Firewalld's own tool writes them, finds the whole sound, and forgets them again."""
    shutil.copytree("/etc/firewalld", tmp_path, dirs_exist_ok=True)
    command = f"firewall-offline-cmd --system-config {tmp_path}"
    given = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "FIREWALL_CMD": command}
    for _ in range(2):
        done = run("sh", stdin=firewall.render("firewalld", rules(Place.GUEST)), env=given)
        assert (done.returncode, done.stderr) == (0, "")
    zone = (tmp_path / "zones" / "roadstead.xml").read_text()
    assert 'target="DROP"' in zone and '<source address="fd00::/64"/>' in zone and 'port="2376"' in zone
    assert run(*command.split(), "--check-config").stdout.strip() in {"", "success"}

    assert run("sh", stdin=firewall.undo("firewalld"), env=given).returncode == 0
    assert not [one for one in tmp_path.rglob("*.xml") if "roadstead" in one.name]

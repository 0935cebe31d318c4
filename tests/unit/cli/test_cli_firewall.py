"""`roadstead firewall`: the bytes that the server wrote, and findings as a table with the exit code of all targets."""

from typing import Any

import pytest

from tests.unit.cli.canned import Canned, Raw, run

RULES = b"#!/usr/sbin/nft -f\r\n# - caf\xc3\xa9\n"


def finding(port: int, expected: str, state: str, *, ok: bool, remedy: str = "") -> dict[str, Any]:
    """What became of one port."""
    return {"address": "10.0.0.7", "port": port, "expected": expected, "state": state, "ok": ok, "remedy": remedy}


def vm(name: str, *ports: dict[str, Any], ok: bool) -> dict[str, Any]:
    """What was found at one VM."""
    return {"vm": f"{name}-uuid", "name": name, "pool": "p", "ok": ok, "ports": list(ports), "notes": []}


GOOD = vm(
    "web1",
    finding(22, "open", "open", ok=True),
    finding(80, "closed", "no answer", ok=True),
    finding(2375, "closed", "no answer", ok=True),
    ok=True,
)
BAD = vm(
    "web2\x1b[2J",
    finding(22, "open", "open", ok=True),
    finding(2375, "closed", "open", ok=False, remedy="Shut it."),
    ok=False,
)


def test_rules_are_printed_as_they_came(canned: Canned) -> None:
    """Byte for byte, and what was typed is what is asked for."""
    canned.answers["POST /firewall/rules"] = Raw(RULES)
    done = run(canned, "firewall", "nft", "--place", "guest", "--vm", "web1", "--dns", "10.0.0.53", "--icmp")

    assert (done.returncode, done.stdout.encode()) == (0, RULES.replace(b"\r\n", b"\n"))
    (asked,) = canned.bodies("POST", "/firewall/rules")
    assert {name: value for name, value in asked.items() if value} == {
        "dialect": "nft", "place": "guest", "vm": "web1", "dns": ["10.0.0.53"], "icmp": True, "strangers": "drop"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), ("nft", "iptables", "firewalld", "windows", "--check")),
        (("nft",), ("--place router, guest or dom0",)),
        (("windows",), ("--place guest",)),
        (("pf", "--place", "router"), ("pf",)),
        (("nft", "--place", "moon"), ("moon",)),
    ],
)
def test_what_is_missing_is_named(canned: Canned, words: tuple[str, ...], said: tuple[str, ...]) -> None:
    """With what may be said. Without a dialect or a place nothing is asked."""
    done = run(canned, "firewall", *words, COLUMNS="200")

    assert all(each in done.stderr for each in said)
    assert done.returncode == 2 and done.stdout == "" and canned.asked == []


@pytest.mark.parametrize(("found", "code"), [([GOOD], 0), ([GOOD, BAD], 4), ([BAD], 1), ([], 0)])
def test_a_check_ends_by_what_it_found(canned: Canned, found: list[Any], code: int) -> None:
    """0 when all is well, 4 when it is not at some VMs, 1 when it is at none."""
    canned.answers["POST /firewall/check"] = found

    assert run(canned, "firewall", "--check").returncode == code


def test_a_check_is_a_table_with_remedies(canned: Canned) -> None:
    """Ports that are closed as they must be share a row; what is wrong has its own, and its remedy."""
    canned.answers["POST /firewall/check"] = [GOOD, BAD]
    done = run(canned, "firewall", "--check", "--pool", "prod")

    assert "80, 2375" in done.stdout and "web2?[2J: Shut it." in done.stdout and "\x1b" not in done.stdout
    assert canned.bodies("POST", "/firewall/check") == [{"pool": "prod", "vm": None}]

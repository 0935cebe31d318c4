"""What a pool publishes reads right in the clients that exist, whatever a guest put into it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.artifacts import published
from roadstead.artifacts.legacy_xml import cleaned
from roadstead.model import Container, Engine, Port, VmId
from tests.unit.artifacts import xencenter
from tests.unit.artifacts.hostile import CONTAINERS, ID, made
from tests.unit.fakes import records

LIMIT = 128 * 1024


def test_a_list_reads_as_the_old_pack_wrote_it() -> None:
    """To the byte: wrapper elements, lower-case names, literal status, short id, ports in their exact case."""
    assert published.docker_ps([made()], LIMIT) == (
        '<?xml version="1.0" ?><docker_ps><item><entry>'
        f"<id>{ID}</id><names>shop-frontend</names><container>4f1c0ffee0</container><status>Up</status>"
        '<created>1700000000</created><image>registry.example/shop:1.4</image><command>nginx -g "daemon off;"</command>'
        "<ports><item><IP>0.0.0.0</IP><PrivatePort>80</PrivatePort><PublicPort>8080</PublicPort><Type>tcp</Type></item>"
        "</ports></entry></item></docker_ps>"
    )


def test_no_containers_are_an_empty_element() -> None:
    """Never an empty value: that ends XenCenter."""
    assert published.docker_ps([], LIMIT) == "<docker_ps/>"
    assert xencenter.containers("<docker_ps/>") == []


@pytest.mark.parametrize(
    ("fields", "status", "power"),
    [
        ({"state": "running"}, "Up", "Running"),
        ({"state": "running", "health": "healthy", "status": "Up 3 minutes (healthy)"}, "Up", "Running"),
        ({"state": "paused"}, "Up (Paused)", "Paused"),
        ({"state": "exited", "exit_code": 137}, "Exited (137)", "Halted"),
        ({"state": "exited", "exit_code": 0}, "Exited (0)", "Halted"),
        ({"state": "restarting", "exit_code": 1}, "Restarting (1)", "Halted"),
        ({"state": "created"}, "Created", "Halted"),
        ({"state": "dead"}, "Dead", "Halted"),
        ({"state": "removing"}, "Removal In Progress", "Halted"),
        ({"state": ""}, "Unknown", "Halted"),
    ],
)
def test_states_are_the_words_that_clients_compare_with(fields: dict[str, Any], status: str, power: str) -> None:
    """Xen Orchestra shows its buttons by exact match; health stands in an element of its own."""
    (shown,) = xencenter.containers(published.docker_ps([made(**fields)], LIMIT))

    assert (shown.fields["status"], shown.power_state) == (status, power)


def test_health_stands_beside_the_status() -> None:
    """In an element that the old clients pass over; where there is no health check, in none."""
    assert "<health>unhealthy</health>" in published.docker_ps([made(health="unhealthy")], LIMIT)
    assert "health" not in published.docker_ps([made()], LIMIT)


@pytest.mark.parametrize("before", range(published.COMMAND_CHARACTERS - 40, published.COMMAND_CHARACTERS))
def test_no_secret_is_cut_out_of_its_mask(before: int) -> None:
    """Where a command is cut, half a secret does not show."""
    command = "x" * (before - 20) + " postgres://user:hunter2hunter2@host/db"
    assert "hunter" not in published.docker_ps([made(command=command)], LIMIT)


def test_nothing_is_published_that_the_clients_do_not_show() -> None:
    """Every account of the pool can read it: no labels; secrets in a command are masked."""
    value = published.docker_ps([made(command="mysqld --password=hunter2 --port=3306")], LIMIT)

    assert "label" not in value
    assert "hunter2" not in value
    assert "--password=****** --port=3306" in value


def test_time_alone_changes_nothing() -> None:
    """A phrase that ages would be written anew each minute."""
    early = made(status="Up 3 minutes", as_of=records.at(0))

    assert published.docker_ps([early], LIMIT) == published.docker_ps(
        [made(status="Up 9 minutes", as_of=records.at(360))], LIMIT
    )


def test_a_long_list_is_cut_and_says_so() -> None:
    """Those that run come first; the value fits into its limit as the request has it."""
    many = [made(engine_id=f"{n:064x}", state="running" if n % 10 == 0 else "exited", exit_code=0) for n in range(1000)]
    value = published.docker_ps(many, 50_000)
    shown = xencenter.containers(value)

    assert published.size(value) <= 50_000
    assert 100 < len(shown) < 1000
    assert sum(one.power_state == "Running" for one in shown) == 100
    assert f"<omitted>{1000 - len(shown)}</omitted></docker_ps>" in value


LONG_ADDRESS = "2001:db8:ffff:ffff:ffff:ffff:255.255.255.255"


def test_the_ports_of_one_container_are_bounded_and_it_says_so() -> None:
    """Clients show a line for each; how many are not there stands beside them."""
    ports = tuple(Port(private=n, public=n, ip=LONG_ADDRESS) for n in range(1, 1025))
    value = published.docker_ps([made(ports=ports)], LIMIT)
    (shown,) = xencenter.containers(value)

    assert [port["PrivatePort"] for port in shown.ports] == [str(n) for n in range(1, published.PORTS + 1)]
    assert f"</item><omitted>{1024 - published.PORTS}</omitted></ports>" in value
    assert "<omitted>" not in published.docker_ps([made(ports=ports[: published.PORTS])], LIMIT)


def test_one_container_hides_no_other() -> None:
    """However large it is, and though it comes first: it is left out, and the others are there."""
    large = made(engine_id="a" * 64, name="n" * 4096, image="i" * 4096)
    others = [made(engine_id=f"{n:064x}", state="exited", exit_code=0) for n in range(5)]
    value = published.docker_ps([large, *others], 4096)

    assert sorted(one.fields["id"] for one in xencenter.containers(value)) == [one.engine_id for one in others]
    assert "<omitted>1</omitted></docker_ps>" in value


def test_the_search_for_what_fits_has_an_end() -> None:
    """A guest's list of what does not fit costs no more than a part of it."""
    large = [made(engine_id=f"{n:064x}", name="n" * 4096) for n in range(1000)]
    small = made(engine_id="f" * 64, state="exited", exit_code=0)

    assert xencenter.containers(published.docker_ps([*large[:10], small], 4096)) != []
    assert "<docker_ps><omitted>1001</omitted></docker_ps>" in published.docker_ps([*large, small], 4096)


def test_the_limit_is_that_of_the_request() -> None:
    """Bytes of its JSON: a name of other letters takes more of them than it has characters."""
    many = [made(engine_id=f"{n:064x}", name='"\N{SNOWMAN}' * 50) for n in range(100)]
    value = published.docker_ps(many, 20_000)

    assert len(json.dumps(value, ensure_ascii=False).encode()) <= 20_000
    assert len(value) < 20_000 - 2_000


def test_what_is_dropped_shows_no_more_of_a_command() -> None:
    """What a client would not show is gone before a command is cut."""
    command = "x\x00" * (published.COMMAND_CHARACTERS - 20) + " postgres://user:hunter2hunter2@host/db"
    (shown,) = xencenter.containers(published.docker_ps([made(command=command)], LIMIT))

    assert shown.fields["command"].startswith("xxx")
    assert "hunter" not in shown.fields["command"]


@given(st.lists(CONTAINERS, max_size=4))
def test_no_guest_can_break_a_client(held: list[Container]) -> None:
    """As many containers as there are, each with its own fields, none of them from another's text."""
    value = published.docker_ps(held, LIMIT)
    shown = xencenter.containers(value)

    assert len(shown) == len(held)
    assert sorted(one.fields["names"] for one in shown) == sorted(cleaned(one.name) for one in held)
    assert all(len(one.ports) <= 3 for one in shown)
    assert value.count("&lt;") + value.count("&gt;") + value.count("&quot;") == 0


ENGINE = Engine(
    vm=VmId("vm-1"),
    name="Docker",
    version="27.1.0",
    api_version="1.44",
    newest_api_version="1.46",
    git_commit="abcdef0",
    arch="amd64",
    storage_driver="overlay2",
    index_server="https://index.docker.io/v1/",
    ipv4_forwarding=True,
)


def test_what_is_known_of_the_engine_reads_as_the_old_pack_wrote_it() -> None:
    """The rows of XenCenter's box: two values, one for each key, in Docker's own case."""
    info = xencenter.information(published.docker_info(ENGINE))
    version = xencenter.information(published.docker_version(ENGINE))

    assert info == {
        "Driver": "overlay2",
        "IndexServerAddress": "https://index.docker.io/v1/",
        "IPv4Forwarding": "True",
        "OSType": "linux",
    }
    assert version == {
        "Version": "27.1.0",
        "ApiVersion": "1.46",
        "GitCommit": "abcdef0",
        "Os": "linux",
        "Arch": "amd64",
    }

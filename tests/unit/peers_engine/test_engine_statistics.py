"""How engines differ in their statistics, one test for each difference: ``docs/engines.md`` lists them.

The recordings (``tests/data/engine``) hold the names of the fields, memory, and what is said of a stopped container;
they are of cgroup v1. Whole answers are put together after them, and after the sources named in ``statistics``; no
Windows engine was recorded.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from roadstead.errors import EngineError
from roadstead.model import Usage
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.engine.messages import statistics
from roadstead.peers.engine.messages.statistics import Sample, read_sample
from tests.unit.peers_engine.pretender import Pretender, entry
from tests.unit.peers_engine.recorded import ENGINES, recorded
from tests.unit.peers_engine.sampled import LINUX, READ, WINDOWS
from tests.unit.peers_engine.scripted import answer

FIRST = entry(0)["Id"]
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
LATER = "2026-11-27T12:00:01.500000000Z"


def _sample(said: dict[str, Any], kind: str = "linux") -> Sample:
    found = read_sample(json.dumps(said).encode(), 64, kind, NOW)
    assert found is not None
    return found


def _told(**said: Any) -> Usage:
    return _sample({**LINUX, **said}).told


def _used(total: int, read: str, base: dict[str, Any] = LINUX, kind: str = "linux") -> Sample:
    return _sample({**base, "read": read, "cpu_stats": {"cpu_usage": {"total_usage": total}}}, kind)


async def _asked(engine: Pretender, body: bytes, status: int = 200) -> EngineClient:
    client = engine.client()
    await client.hello()
    engine.answers[f"/containers/{FIRST}/stats"] = answer(body, status)
    return client


def test_an_earlier_sample_is_not_relied_upon() -> None:
    """Docker sends one, with ``one-shot`` none, Podman never (as recorded): we compare two answers, by their times."""
    sent = {recorded(name).earlier_cpu for name in ENGINES}
    assert len(sent) > 2
    assert (None in sent, {recorded(name).earlier_cpu for name in ENGINES if name[0] == "p"}) == (True, {None})

    used = statistics.usage(_used(5_000_000_000, READ), _used(6_500_000_000, LATER))
    assert used.cpu_percent == 100.0


@pytest.mark.parametrize(
    ("total", "read"), [(4_000_000_000, LATER), (6_000_000_000, READ), (6_000_000_000, "2026-11-27T11:59:59Z")]
)
def test_a_counter_or_a_clock_that_goes_back(total: int, read: str) -> None:
    """A container that was started anew, an engine that sends the same sample twice, one whose clock was set."""
    assert statistics.usage(_used(5_000_000_000, READ), _used(total, read)).cpu_percent is None


@pytest.mark.parametrize("name", ENGINES)
def test_the_use_of_the_whole_system_is_not_relied_upon(name: str) -> None:
    """Docker counts it over all CPUs, Podman over one (a second apart, and 5 ms); Windows does not tell it."""
    first, second = recorded(name).system_cpu
    grown = second - first

    assert (grown % 10_000_000 == 0) is name.startswith("docker")
    told = {**LINUX, "cpu_stats": {"cpu_usage": {"total_usage": 1}, "system_cpu_usage": first}}
    assert _sample(told).cpu_ns == 1


async def test_one_shot_is_asked_for_everywhere() -> None:
    """It is heeded from API 1.41 on but for 20.10, and passed over by others; the answer lacks the id then."""
    engine = Pretender(newest="1.24", oldest="1.24")
    client = await _asked(engine, json.dumps(LINUX).encode())

    assert (await client.sample(FIRST)).told.processes == 3
    assert engine.asked[-1] == f"GET /v1.24/containers/{FIRST}/stats?stream=0&one-shot=1"


@pytest.mark.parametrize("name", ENGINES)
async def test_statistics_of_a_container_that_does_not_run(name: str) -> None:
    """200 and zeroes of the year 1, 200 and nothing, 200 and an error: each means the same, and is told as that."""
    engine = Pretender()
    engine.entries = [entry(0, State="exited", Status="Exited (0) 1 second ago")]
    status, body = recorded(name).stats_stopped
    # Docker's zeroes are cut in the recordings: what stands before is all that counts.
    whole = body if not body or body.endswith(b"}\n") else b'{"read":"0001-01-01T00:00:00Z","cpu_stats":{}}'
    assert whole is body or b'"read":"0001-01-01T00:00:00Z"' in body
    client = await _asked(engine, whole, status)

    with pytest.raises(EngineError) as caught:
        await client.sample(FIRST)
    assert (caught.value.code, caught.value.fields) == ("container-not-running", {"state": "exited"})


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b'{"cause":"c","message":"no cgroup","response":500}', 200, "no cgroup"),
        (b'{"message":"no cgroup"}', 500, "no cgroup"),
        (b"", 200, "HTTP status 200"),
    ],
)
async def test_an_error_in_spite_of_the_status(body: bytes, status: int, reason: str) -> None:
    """Of a container that runs, the engine's words are shown."""
    client = await _asked(Pretender(), body, status)

    with pytest.raises(EngineError) as caught:
        await client.sample(FIRST)
    assert (caught.value.code, caught.value.fields["reason"]) == ("engine-refused", reason)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"networks": {"eth0": {"rx_bytes": 10, "tx_bytes": 1}, "eth1": {"rx_bytes": 5, "tx_bytes": 2}}}, (15, 3)),
        ({"network": {"rx_bytes": 10, "tx_bytes": 1}}, (10, 1)),
        ({"networks": {}}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_networks_of_statistics(said: dict[str, Any], expected: tuple[int | None, int | None]) -> None:
    """One for each interface since API 1.21, one below; none with the guest's own network; Podman 4.3: an empty map."""
    told = _told(**said)

    assert (told.network_received_bytes, told.network_sent_bytes) == expected


@pytest.mark.parametrize(
    ("said", "cpus"),
    [
        ({"online_cpus": 2, "cpu_usage": {"total_usage": 1}}, 2),
        ({"cpu_usage": {"total_usage": 1, "percpu_usage": [1, 0, 0]}}, 3),
        ({"cpu_usage": {"total_usage": 1, "percpu_usage": None}}, None),
    ],
)
def test_the_number_of_cpus(said: dict[str, Any], cpus: int | None) -> None:
    """``online_cpus`` since API 1.27; before, those in ``percpu_usage``, which cgroup v2 does not have."""
    assert _told(cpu_stats=said).cpus == cpus


@pytest.mark.parametrize(
    ("stats", "used"),
    [
        ({"cache": 400_000, "inactive_file": 1, "total_inactive_file": 300_000}, 240_672),
        ({"inactive_file": 300_000, "file": 400_000}, 240_672),
        ({"inactive_file": 600_000}, 540_672),
        (None, 540_672),
    ],
)
def test_used_memory_under_both_cgroups(stats: dict[str, int] | None, used: int) -> None:
    """Files that are not in use are not counted, as Docker's own command does it; Podman has no ``stats``."""
    assert _told(memory_stats={"usage": 540_672, "limit": 10**9, "stats": stats}).memory_bytes == used


@pytest.mark.parametrize(("limit", "told"), [(25276510208, 25276510208), (2**64 - 1, None), (0, None)])
def test_no_limit_of_memory(limit: int, told: int | None) -> None:
    """Docker tells the guest's memory then; the largest number there is means none."""
    assert _told(memory_stats={"usage": 1, "limit": limit}).memory_limit_bytes == told


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([{"major": 8, "op": "Read", "value": 5}, {"op": "Write", "value": 6}, {"op": "Total", "value": 11}], (5, 6)),
        ([{"major": 8, "op": "read", "value": 5}, {"major": 9, "op": "read", "value": 2}], (7, 0)),
        (None, (None, None)),
    ],
)
def test_words_for_disks(entries: list[dict[str, Any]] | None, expected: tuple[int | None, int | None]) -> None:
    """Large under cgroup v1, which adds totals, small under v2; nothing where nothing is counted."""
    told = _told(blkio_stats={"io_service_bytes_recursive": entries})

    assert (told.disk_read_bytes, told.disk_written_bytes) == expected


def test_cpu_time_of_windows() -> None:
    """In units of 100 ns. Its share is that of time and ``num_procs``: half of four CPUs are 200 % of one."""
    first, second = _used(30_000_000, READ, WINDOWS, "windows"), _used(60_000_000, LATER, WINDOWS, "windows")
    used = statistics.usage(first, second)

    ticks_apart = 15_000_000
    share = 30_000_000 / (ticks_apart * 4)
    assert (used.cpus, used.cpu_percent) == (4, 100 * 4 * share)


def test_figures_of_windows() -> None:
    """The private working set, storage and networks; neither a limit nor processes."""
    told = _sample(WINDOWS, "windows").told

    assert (told.memory_bytes, told.memory_limit_bytes, told.processes) == (45, None, None)
    assert (told.disk_read_bytes, told.disk_written_bytes) == (49152, 8192)
    assert (told.network_received_bytes, told.network_sent_bytes) == (7, 8)


@pytest.mark.parametrize("kind", ["linux", "windows"])
def test_the_system_in_the_answer_counts(kind: str) -> None:
    """From API 1.52 on (recorded: 29.7); before, what the engine said of itself."""
    assert "os_type" in recorded("docker-29.7").stats_keys
    assert "os_type" not in recorded("docker-28.5").stats_keys

    assert _sample({**WINDOWS, "os_type": "windows"}, kind).cpu_ns == 3_000_000_000


@pytest.mark.parametrize("name", ENGINES)
def test_fields_that_some_statistics_lack(name: str) -> None:
    """``id`` is ``Id`` on Podman 4.3 and missing of a one-shot sample of Docker 26 and 28: which container it was is
    known. Every other one may be missing, too, or hold what it should not.
    """
    keys = recorded(name).stats_keys
    assert {"read", "cpu_stats", "memory_stats", "pids_stats", "blkio_stats"} <= keys

    for key in keys - {"read"}:
        for value in ({}, None, 7, "text", [1], {"cpu_usage": 5, "usage": "x", "current": -1}):
            found = _sample({**LINUX, key: value})
            assert statistics.usage(found, found).cpu_percent is None


@pytest.mark.parametrize("body", [b"[]", b"7", b"nonsense", b'{"a":' * 100 + b"1" + b"}" * 100])
async def test_statistics_that_are_none(body: bytes) -> None:
    """No object, no JSON, too deep."""
    client = await _asked(Pretender(), body)

    with pytest.raises(EngineError) as caught:
        await client.sample(FIRST)
    assert caught.value.code == "engine-answer-invalid"


@pytest.mark.parametrize(
    ("read", "at_ns"),
    [
        ("1970-01-01T00:00:01.000000001Z", 1_000_000_001),
        ("1970-01-01T01:00:01.5+01:00", 1_500_000_000),
        ("9999-12-31T23:59:59.999999999-23:59", 253402387139_999999999),
    ],
)
def test_times_of_samples(read: str, at_ns: int) -> None:
    """To the nanosecond, Podman's with the guest's own time zone."""
    assert _sample({**LINUX, "read": read}).at_ns == at_ns

"""Every benchmark, in the order in which they run, with its goal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench import events, fleets, listing, publishing, requests
from bench.figures import Beside, Goal, Measured, at_most, times_at_most, times_better
from bench.stage import Stage


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One line of the table of goals. What is shared is kept from one benchmark to the next of the same scene."""

    name: str
    unit: str
    beside: Beside
    goal: Goal
    scene: str
    measure: Callable[[Stage], Awaitable[Measured]]


BENCHMARKS = (
    Benchmark("event-to-sse", "ms", "socket", times_at_most(2), "guest", events.event_to_sse),
    Benchmark("event-to-list", "ms", "old", times_better(100), "guest", events.event_to_list),
    Benchmark("list-1", "ms", "socket", times_at_most(2), "guest", requests.list_1),
    Benchmark("tls-list-1", "ms", "socket", times_at_most(1.5), "guest", requests.tls_list_1),
    Benchmark("list-20", "ms", "socket", times_at_most(2), "guest", requests.list_20),
    Benchmark("reread-200", "ms", "socket", times_at_most(2), "guest", requests.reread_200),
    Benchmark("connect-cpu", "ms", "old", times_better(40), "guest", requests.connect_cpu),
    Benchmark("ps-1000", "ms", "docker", times_at_most(1), "ps", listing.ps_1000),
    Benchmark("publish-events", "events", "old", times_better(1.5), "publishing", publishing.publish_events),
    Benchmark("publish-storm", "writes/s", "", at_most(20, "writes/s"), "publishing", publishing.publish_storm),
    Benchmark("link-memory", "KB", "", at_most(60, "KB"), "links", fleets.link_memory),
    Benchmark("tls-memory", "KB", "", at_most(70, "KB"), "tls", fleets.tls_memory),
    Benchmark("fleet", "GB", "", at_most(1.5, "GB"), "fleet", fleets.fleet),
    Benchmark("churn", "differences", "", at_most(0, "differences"), "fleet", fleets.churn),
)

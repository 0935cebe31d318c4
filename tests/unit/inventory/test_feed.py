"""The feed: a reader resumes without a gap or is told to list again; a slow one costs nobody anything."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.inventory.changes import Change
from roadstead.inventory.feed import Feed
from tests.unit.fakes import records

pytestmark = pytest.mark.looptime
FIRST = 1000
PLENTY = 2**30


def _changes(first: int, count: int) -> list[Change]:
    return [Change(number, "vm", f"vm-{number}", "gone", None) for number in range(first, first + count)]


def _feed(count: int, capacity: int = 16) -> Feed:
    feed = Feed(capacity, PLENTY, FIRST)
    for change in _changes(FIRST + 1, count):
        feed.publish([change])
    return feed


def _numbers(feed: Feed, since: int, limit: int = 1000) -> list[int] | None:
    changes = feed.after(since, limit)
    return None if changes is None else [change.number for change in changes]


def test_a_reader_gets_what_it_does_not_know() -> None:
    """Every change after its number, in order."""
    assert _numbers(_feed(5), FIRST + 2) == [FIRST + 3, FIRST + 4, FIRST + 5]


def test_a_reader_that_knows_all_gets_nothing() -> None:
    """No news is an empty list, not a reason to list again."""
    assert _numbers(_feed(5), FIRST + 5) == []
    assert _numbers(_feed(0), FIRST) == []


@pytest.mark.parametrize(
    ("since", "held"),
    [
        pytest.param(FIRST + 84, True, id="oldest-that-is-held"),
        pytest.param(FIRST + 83, False, id="just-too-old"),
        pytest.param(FIRST, False, id="from-the-beginning"),
        pytest.param(FIRST - 1, False, id="earlier-run"),
        pytest.param(0, False, id="zero"),
        pytest.param(-5, False, id="negative"),
        pytest.param(FIRST + 100, True, id="newest"),
        pytest.param(FIRST + 101, False, id="from-the-future"),
        pytest.param(10**18, False, id="far-future"),
    ],
)
def test_a_reader_outside_of_the_ring_is_told_to_list_again(since: int, held: bool) -> None:  # noqa: FBT001 - expectation
    """After 100 changes a ring of 16 holds the last 16: who knows less, or what never was, lists again."""
    feed = _feed(100)
    assert feed.holds(since) is held
    assert (feed.after(since) is not None) is held


def test_a_young_feed_knows_only_its_own_run() -> None:
    """Before the ring is full, a number from before the run is not passed off as known."""
    feed = _feed(3)
    assert _numbers(feed, FIRST) == [FIRST + 1, FIRST + 2, FIRST + 3]
    assert _numbers(feed, FIRST - 1) is None


def test_an_answer_is_bounded() -> None:
    """A reader takes its news in portions."""
    feed = _feed(10)
    assert _numbers(feed, FIRST, limit=4) == [FIRST + 1, FIRST + 2, FIRST + 3, FIRST + 4]


def test_more_changes_at_once_than_the_ring_holds() -> None:
    """A first listing may be longer than the ring: the last ones are kept."""
    feed = Feed(16, PLENTY, FIRST)
    feed.publish(_changes(FIRST + 1, 100))
    assert feed.number == FIRST + 100
    assert _numbers(feed, FIRST + 84) == list(range(FIRST + 85, FIRST + 101))
    assert _numbers(feed, FIRST) is None


def _large(number: int, letters: int) -> Change:
    record = records.container(1, command=chr(0x1F600) * letters)
    return Change(number, "container", record.id, "set", record)


def test_large_changes_make_the_ring_shorter() -> None:
    """It holds so many bytes of memory, however many changes that are: the oldest go; who lacks them lists again."""
    feed = Feed(100, 2**20, FIRST)
    for number in range(1, 1001):
        feed.publish([_large(FIRST + number, 2**14)])
    assert _numbers(feed, FIRST + 985) == list(range(FIRST + 986, FIRST + 1001))
    assert _numbers(feed, FIRST + 984) is None
    feed.publish(_changes(FIRST + 1001, 200))
    assert _numbers(feed, FIRST + 1101) == list(range(FIRST + 1102, FIRST + 1201))


def test_a_change_larger_than_the_ring_is_not_kept() -> None:
    """Readers list again, and the feed goes on."""
    feed = Feed(16, 2**16, FIRST)
    feed.publish([*_changes(FIRST + 1, 3), _large(FIRST + 4, 2**16)])
    assert _numbers(feed, FIRST + 3) is None
    assert _numbers(feed, FIRST + 4) == []
    feed.publish(_changes(FIRST + 5, 2))
    assert _numbers(feed, FIRST + 4) == [FIRST + 5, FIRST + 6]


@given(portions=st.lists(st.integers(0, 30), max_size=30), reads=st.lists(st.booleans(), min_size=30, max_size=30))
def test_no_change_is_ever_skipped(portions: list[int], reads: list[bool]) -> None:
    """Whatever is published between two reads: a reader gets every change, or is told to list again."""
    feed = Feed(16, PLENTY, FIRST)
    known = FIRST
    for count, read in zip(portions, reads, strict=False):
        feed.publish(_changes(feed.number + 1, count))
        if not read:
            continue
        news = _numbers(feed, known)
        if news is None:
            assert feed.number - known > 16
            known = feed.number
        else:
            assert news == list(range(known + 1, feed.number + 1))
            known += len(news)


async def test_a_reader_waits_for_news() -> None:
    """It is woken by the next change, and at once when there is one that it does not know."""
    feed = _feed(1)
    loop = asyncio.get_running_loop()
    loop.call_at(5, feed.publish, _changes(FIRST + 2, 1))
    await feed.wait(FIRST)
    assert loop.time() == 0
    await feed.wait(FIRST + 1)
    assert loop.time() == 5


async def test_publishing_nothing_wakes_nobody() -> None:
    """A fact without consequences is not news."""
    feed = _feed(1)
    asyncio.get_running_loop().call_at(5, feed.publish, [])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await feed.wait(FIRST + 1)


async def test_a_slow_reader_holds_up_nobody() -> None:
    """While one reader sleeps, others get everything as it comes; the sleeper is told to list again."""
    feed = Feed(16, PLENTY, FIRST)
    got: list[int] = []

    async def read() -> None:
        known = FIRST
        while known < FIRST + 100:
            await feed.wait(known)
            news = _numbers(feed, known)
            assert news is not None
            got.extend(news)
            known = got[-1]

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        for start in range(FIRST + 1, FIRST + 101, 10):
            feed.publish(_changes(start, 10))
            await asyncio.sleep(1)
    assert got == list(range(FIRST + 1, FIRST + 101))
    assert _numbers(feed, FIRST) is None

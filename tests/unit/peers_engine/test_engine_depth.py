"""The bound on nesting counts brackets as a JSON reader would."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import EngineError
from roadstead.peers.engine.messages.containers import PortEntry, read_entries
from roadstead.peers.engine.messages.guarded import check_depth, tolerant

JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\abü'),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\'), children, max_size=3),
    max_leaves=30,
)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(item) for item in value), default=0)
    return 0


def _passes(data: bytes, limit: int) -> bool:
    try:
        check_depth(data, limit)
    except EngineError:
        return False
    return True


@given(JSON, st.booleans())
def test_what_nests_no_deeper_than_the_bound_passes(value: object, ascii_only: bool) -> None:  # noqa: FBT001
    """Brackets in strings and after escapes do not count."""
    assert _passes(json.dumps(value, ensure_ascii=ascii_only).encode(), max(_depth(value), 1))


@given(JSON, st.integers(min_value=1, max_value=9))
def test_what_nests_twice_as_deep_as_the_bound_is_refused(value: object, levels: int) -> None:
    """The check may let pass what is little deeper, never what is much deeper."""
    for _ in range(2 * levels + 1):
        value = [value]
    assert not _passes(json.dumps(value).encode(), levels)


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 1000 + b"]" * 1000])
def test_what_never_closes_is_refused(data: bytes) -> None:
    """Depth without an end is refused, and would not harm the tolerant reader either."""
    assert not _passes(data, 64)
    if not data.endswith(b"]"):
        with pytest.raises(EngineError):
            tolerant(data)


@pytest.mark.parametrize(
    "where", ['"Ports":[{"IP":"@"}]', '"Ports":[{"@":1}]', '"Labels":{"@":"@"}', '"x":{"y":["@"]}']
)
def test_lone_surrogates_are_replaced_wherever_they_stand(where: str) -> None:
    """JSON can express them, UTF-8 cannot: left in, they would break whoever writes the text down."""
    said = '[{"Id":"' + "ab" * 32 + '",' + where.replace("@", "\\ud800") + "}]"
    (entry,) = read_entries(said.encode(), 64)

    json.dumps(tolerant(said.encode()), ensure_ascii=False).encode()
    assert entry.ports in (None, [PortEntry(ip="?")], [PortEntry()])

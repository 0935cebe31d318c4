"""The values of a YAML text as guests' readers (PyYAML, YAML 1.1) see them, each with its place.

Only for texts that `cloud_config.check` let pass: depth, aliases and tags are bounded there. What aliases and merges
multiply is bounded here. Numbers, dates and bytes are as good as their type: nobody calculates with them.
"""

import datetime as dt
import re
from typing import Any, NamedTuple

import yaml

NODES = 20_000
"""So many values, counted each time an alias repeats them."""
_DIGITS = 4300
"""Longer numbers Python does not read, so neither does a guest."""
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"

Path = tuple[str | int, ...]


class Refused(NamedTuple):
    """What a guest's reader stumbles over, or what it drops (``is_dropped``); counted from 1."""

    line: int
    column: int
    reason: str
    is_dropped: bool = False


class Other:
    """A value that JSON does not have: a date, a set."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


class Document:
    """What a text says."""

    def __init__(self, text: str) -> None:
        """Raises `OverflowError` when it has more values than are judged."""
        self.faults: list[Refused] = []
        self._made: dict[int, tuple[Any, int]] = {}
        loader = _Loader(text)
        try:
            self._root = loader.get_single_node()
        finally:
            loader.dispose()
        self.value: Any = self._value(self._root)[0] if self._root is not None else None

    def place(self, path: Path) -> tuple[int, int]:
        """Return line and column of what stands at ``path``, or of the nearest that is there; of a name that is in a
        map, those of the name where its value is not a map or a list.
        """
        node = self._root
        mark = node.start_mark if node is not None else None
        for step in path:
            found = _below(node, step)
            if found is None:
                break
            name, node = found
            mark = (name or node).start_mark
        return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)

    def _value(self, node: Any) -> tuple[Any, int]:
        if id(node) in self._made:
            return self._made[id(node)]
        self._made[id(node)] = (None, 1)  # what contains itself ends here
        value: Any
        if isinstance(node, yaml.MappingNode):
            value, size = self._map(node)
        elif isinstance(node, yaml.SequenceNode):
            parts = [self._value(each) for each in node.value]
            value, size = [part for part, _ in parts], 1 + sum(size for _, size in parts)
        else:
            value, size = self._scalar(node), 1
        if size > NODES:
            raise OverflowError
        if node.tag == f"{_TAG}set":
            value = Other("a set")
        self._made[id(node)] = (value, size)
        return value, size

    def _map(self, node: Any) -> tuple[dict[str, Any], int]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        total = 1
        for name, below in node.value:
            value, size = self._value(below)
            total += size
            if name.tag == f"{_TAG}merge":
                for each in reversed(value if isinstance(value, list) else [value]):
                    merged |= each if isinstance(each, dict) else {}
                continue
            if not isinstance(name, yaml.ScalarNode):
                self._fault(name, "a name must be a plain text: cloud-init drops the whole text")
                continue
            if name.value in own:
                self._fault(name, f"{name.value!r} stands here twice: what was said first is dropped", is_dropped=True)
            own[name.value] = value
        return merged | own, total

    def _scalar(self, node: Any) -> Any:
        kind = node.tag.removeprefix(_TAG)
        read = _READ.get(kind)
        if read is None:
            return node.value
        try:
            return read(node.value)
        except (ValueError, KeyError):
            self._fault(node, f"{node.value[:40]!r} is no {kind}: cloud-init drops the whole text")
            return node.value

    def _fault(self, node: Any, reason: str, *, is_dropped: bool = False) -> None:
        self.faults.append(Refused(node.start_mark.line + 1, node.start_mark.column + 1, reason, is_dropped))


def _below(node: Any, step: str | int) -> tuple[Any, Any] | None:
    """Return the node of a name and what stands below it; without a name in a list."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return (None, node.value[step]) if step < len(node.value) else None
    if not isinstance(node, yaml.MappingNode):
        return None
    for name, value in reversed(node.value):
        if name.value == step:
            return name, value
    return None


def _whole(text: str) -> int:
    plain = text.replace("_", "")
    if ":" in plain:
        return 0
    if len(plain) > _DIGITS:
        raise ValueError
    digits = plain.lstrip("+-")
    base = {"0x": 16, "0b": 2}.get(digits[:2].lower(), 8 if digits.startswith("0") and digits != "0" else 10)
    return int(plain, base)


def _broken(text: str) -> float:
    plain = text.replace("_", "").lower()
    return 0.0 if ":" in plain or plain.endswith((".inf", ".nan")) else float(plain)


def _date(text: str) -> Other:
    found = re.match(r"(\d{4})-(\d\d?)-(\d\d?)", text)
    if found is None:
        raise ValueError
    dt.date(*(int(each) for each in found.groups()))
    return Other(f"the date {text[:40]}")


def _yes(text: str) -> bool:
    return {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}[text.lower()]


_READ = {"null": lambda _: None, "bool": _yes, "int": _whole, "float": _broken, "timestamp": _date}

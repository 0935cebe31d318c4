"""XML as XenCenter, XCP-ng Center and Xen Orchestra read it from a pool: flat, escaped once, never malformed.

A value that is not well-formed ends the process of one of these clients and hides the VM in another, so nothing that a
guest says can break it: control characters are dropped, and every name that is no plain XML name is carried in an
attribute, as the old pack did. One parser (fast-xml-parser 4.5) gives a value up that has a thousand of ``&lt;`` and
the like; what is full of these goes into CDATA, which all of them read.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import TypeAlias

HEADER = '<?xml version="1.0" ?>'
ENCODED = "SPECIAL_XS_ENCODED_ELEMENT"
"""The element whose attribute ``name`` is a key that is no plain name of an element."""
CLIENT_NAMES = frozenset({"entry", "hasOwnProperty", "__proto__", "constructor", "prototype", "toString"})
"""Names that a client takes for something else: for a container, for a property of its own objects."""
AMPERSANDS = 32
"""A text with more of these goes into CDATA, too."""


class Written(str):
    """Elements that are written already, to stand as they are."""

    __slots__ = ()


Value: TypeAlias = "str | int | bool | float | Mapping[str, Value] | list[Value] | None"
"""What can be written: a map becomes elements, a list ``item`` elements, the rest text (as Python writes it)."""


def document(name: str, value: Value) -> str:
    """Return ``value`` as a document whose root is called ``name``; one without content is an empty element alone."""
    content = inner(value)
    return f"{HEADER}<{name}>{content}</{name}>" if content else f"<{name}/>"


def inner(value: Value) -> str:
    """Return what stands between the tags of an element that holds ``value``."""
    if isinstance(value, Written):
        return value
    if isinstance(value, Mapping):
        return "".join(element(key, held) for key, held in value.items())
    if isinstance(value, list):
        return "".join(element("item", held) for held in value)
    return text(str(value))


def element(key: str, value: Value) -> str:
    """Return the element that carries ``value`` under ``key``, whatever characters ``key`` has."""
    content = inner(value)
    if is_plain(key):
        return f"<{key}>{content}</{key}>" if content else f"<{key}/>"
    opening = f'{ENCODED} name="{_attribute(key)}"'
    return f"<{opening}>{content}</{ENCODED}>" if content else f"<{opening}/>"


def is_plain(key: str) -> bool:
    """Whether ``key`` can be the name of an element."""
    return bool(_plain_name().fullmatch(key)) and key not in CLIENT_NAMES and key[:3].lower() != "xml"


def text(value: str) -> str:
    """Return ``value`` as the text of an element."""
    value = cleaned(value)
    if "<" in value or ">" in value or value.count("&") > AMPERSANDS:
        return "<![CDATA[" + value.replace("]]>", "]]]]><![CDATA[>") + "]]>"
    return value.replace("&", "&amp;")


def cleaned(value: str) -> str:
    """Return ``value`` without what a client, or a pool's database, cannot bear: controls, line ends become spaces."""
    return _unbearable().sub("", _line_ends().sub(" ", value))


def _attribute(value: str) -> str:
    escaped = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
    return "".join(escaped.get(character, character) for character in cleaned(value))


@cache
def _plain_name() -> re.Pattern[str]:
    return re.compile("[A-Za-z_][A-Za-z0-9._-]*")


@cache
def _line_ends() -> re.Pattern[str]:
    return re.compile("[\t\n\r\x85\u2028\u2029]+")


@cache
def _unbearable() -> re.Pattern[str]:
    return re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")

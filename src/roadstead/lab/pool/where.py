"""The little language of `get_all_records_where`: `field "name__label" = "web"`, with `and`, `or`, `not`, brackets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from roadstead.lab.pool import failures
from roadstead.lab.pool.database import Record
from roadstead.lab.pool.values import Date

Matcher = Callable[[Record], bool]
Operand = Callable[[Record], str]

_TOKEN = re.compile(r'\s*(?:(field)\s*"([^"]*)"|"([^"]*)"|(and|or|not|true|false|=|\(|\)))\s*', re.IGNORECASE)


def parse(expression: str) -> Matcher:
    """The test that `expression` describes; INVALID_VALUE when it describes none."""
    reader = _Reader(expression)
    matcher = reader.either()
    reader.end()
    return matcher


def _as_stored(value: Any) -> str:
    """A field as the database's own text."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.text if isinstance(value, Date) else str(value)


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while position < len(expression):
            found = _TOKEN.match(expression, position)
            if found is None:
                raise self._invalid("lexing: empty token")
            self._tokens.append(self._token(found))
            position = found.end()

    @staticmethod
    def _token(found: re.Match[str]) -> tuple[str, str]:
        if found[1]:
            return "field", found[2].replace("__", "_")
        if found[4]:
            return found[4].lower(), ""
        return "text", found[3]

    def _invalid(self, reason: str = "syntax error") -> failures.Failure:
        return failures.Failure("INVALID_VALUE", self._expression, f'Failure("{reason}")')

    def _peek(self) -> str:
        return self._tokens[0][0] if self._tokens else ""

    def _take(self) -> tuple[str, str]:
        if not self._tokens:
            raise self._invalid()
        return self._tokens.pop(0)

    def end(self) -> None:
        if self._tokens:
            raise self._invalid()

    def either(self) -> Matcher:
        left = self._both()
        while self._peek() == "or":
            self._take()
            left = _any_of(left, self._both())
        return left

    def _both(self) -> Matcher:
        left = self._single()
        while self._peek() == "and":
            self._take()
            left = _all_of(left, self._single())
        return left

    def _single(self) -> Matcher:
        word = self._peek()
        if word in ("true", "false"):
            self._take()
            return lambda _: word == "true"
        if word == "not":
            self._take()
            inner = self._single()
            return lambda record: not inner(record)
        if word == "(":
            return self._bracketed()
        return self._comparison()

    def _bracketed(self) -> Matcher:
        self._take()
        inner = self.either()
        if self._take()[0] != ")":
            raise self._invalid()
        return inner

    def _comparison(self) -> Matcher:
        left = self._operand()
        if self._take()[0] != "=":
            raise self._invalid()
        right = self._operand()
        return lambda record: left(record) == right(record)

    def _operand(self) -> Operand:
        kind, word = self._take()
        if kind == "text":
            return lambda _: word
        if kind != "field":
            raise self._invalid()
        return lambda record: _as_stored(record.get(word, ""))


def _any_of(left: Matcher, right: Matcher) -> Matcher:
    return lambda record: left(record) or right(record)


def _all_of(left: Matcher, right: Matcher) -> Matcher:
    return lambda record: left(record) and right(record)

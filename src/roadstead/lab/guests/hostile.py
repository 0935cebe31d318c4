"""Answers that no honest engine gives, for guests that were told to misbehave.

Whatever has no end is an iterator that is read as fast as the client takes it, so a hostile guest costs this process
no memory either.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from http import HTTPStatus

import msgspec

from roadstead.lab.guests import api, events, profiles, queries, records
from roadstead.lab.guests.containers import CATALOGUE, HEX_DIGITS, Container
from roadstead.lab.guests.engine import Engine
from roadstead.lab.guests.http import HttpStream, Reply
from roadstead.lab.guests.misbehaviour import Layer, of_layer

DRIP_SECONDS = 0.02
PIECE_BYTES = 64 * 1024
PIECE_ENTRIES = 64
LARGE_BODY_BYTES = 64 * 1024 * 1024
MANY_CONTAINERS = 100_000
DEPTH = 100_000
HUGE_NAME_BYTES = 1_000_000
AT_ONCE = 0.0
OLD_API = profiles.PROFILES["docker-1.11"]

MARKUP = "<script>alert(1)</script>]]>&amp;'\"=cmd|'/c calc'!A1{{7*7}}"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31m\u202egpj.exe\u0000\u0085\r\nroot@host# "

_JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED = _JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def serve(engine: Engine, hostname: str, faults: frozenset[str], reply: Reply) -> None:
    """Answer `reply` as a guest with these misbehaviours does."""
    for name in of_layer(faults, Layer.ENGINE):
        _ENGINE[name](engine, hostname, reply)
        return
    path = reply.request.path
    table, layer = (_EVENTS, Layer.EVENTS) if path.endswith("/events") else (_LIST, Layer.LIST)
    named = of_layer(faults, layer)
    if not named or not path.endswith(("/events", "/containers/json")):
        api.serve(engine, hostname, reply)
        return
    for name in named:
        table[name](engine, hostname, reply)
        return


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# Every answer


def _silence(_engine: Engine, _hostname: str, _reply: Reply) -> None:
    """No answer is the answer."""


class _Bucket:
    """An outlet that keeps an honest answer until it is let out."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, data: bytes, /) -> None:
        self.content += data

    def close(self) -> None:
        """Nothing is behind it."""


def _drip(engine: Engine, hostname: str, reply: Reply) -> None:
    bucket = _Bucket()
    inner = HttpStream(lambda _: None, bucket)
    honest = Reply(inner, reply.request)

    def forget() -> None:
        honest.lost()
        inner.connection_lost()

    reply.on_lost = forget
    api.serve(engine, hostname, honest)

    def drops() -> Iterator[bytes]:
        while bucket.content or honest.is_open:
            drop, bucket.content = bucket.content[:1], bucket.content[1:]
            yield drop

    reply.pump(drops(), DRIP_SECONDS, close=False)


def _garbage(_engine: Engine, _hostname: str, reply: Reply) -> None:
    reply.write_raw(b"\x00\xff\xfeSSH-2.0-nonsense\r\n\r\n" + bytes(range(256)) * 4)
    reply.cut()


def _endless_headers(_engine: Engine, _hostname: str, reply: Reply) -> None:
    lines = (b"".join(b"X-Lab-%d-%d: more\r\n" % (block, line) for line in range(2048)) for block in itertools.count())
    reply.pump(itertools.chain((_JSON_HEAD,), lines), AT_ONCE, close=False)


def _endless_header_line(_engine: Engine, _hostname: str, reply: Reply) -> None:
    reply.pump(itertools.chain((_JSON_HEAD + b"X-Lab: ",), itertools.repeat(b"x" * PIECE_BYTES)), AT_ONCE, close=False)


def _cut(_engine: Engine, _hostname: str, reply: Reply) -> None:
    reply.write_raw(_JSON_HEAD + b'Content-Length: 1000\r\n\r\n[{"Id":"')
    reply.cut()


def _server_error(engine: Engine, hostname: str, reply: Reply) -> None:
    api.Call(engine, hostname, reply).send({"message": "layer does not exist"}, HTTPStatus.INTERNAL_SERVER_ERROR)


def _old_api(engine: Engine, hostname: str, reply: Reply) -> None:
    now, engine.profile = engine.profile, OLD_API
    try:
        api.serve(engine, hostname, reply)
    finally:
        engine.profile = now


# Lists


def _listed(body: Callable[[Engine, str, Reply], bytes]) -> Callable[[Engine, str, Reply], None]:
    def answer(engine: Engine, hostname: str, reply: Reply) -> None:
        headers = api.Call(engine, hostname, reply).headers("application/json")
        reply.send(HTTPStatus.OK, headers, body(engine, hostname, reply))

    return answer


def _honest(engine: Engine, hostname: str, reply: Reply) -> list[records.Record]:
    return api.listing(api.Call(engine, hostname, reply))


def _spoil(**spoiled: object) -> Callable[[Engine, str, Reply], bytes]:
    def body(engine: Engine, hostname: str, reply: Reply) -> bytes:
        return msgspec.json.encode([entry | spoiled for entry in _honest(engine, hostname, reply)])

    return body


def _named(text: str) -> Callable[[Engine, str, Reply], bytes]:
    def body(engine: Engine, hostname: str, reply: Reply) -> bytes:
        entries = [
            entry
            | {"Names": [f"/{text}{number}"], "Image": text, "Command": text, "Status": text, "Labels": {text: text}}
            for number, entry in enumerate(_honest(engine, hostname, reply))
        ]
        return msgspec.json.encode(entries)

    return body


def _invalid_json(engine: Engine, hostname: str, reply: Reply) -> bytes:
    return msgspec.json.encode(_honest(engine, hostname, reply))[:-20] + b'{"Id":'


def _invalid_utf8(engine: Engine, hostname: str, reply: Reply) -> bytes:
    return msgspec.json.encode(_honest(engine, hostname, reply)).replace(b'"Names":["/', b'"Names":["/\xff\xfe\xc0\xaf')


def _duplicate_keys(engine: Engine, hostname: str, reply: Reply) -> bytes:
    written = msgspec.json.encode(_honest(engine, hostname, reply))
    return written.replace(b'"State":"', b'"State":"dead","Names":["/twice"],"State":"')


def _duplicate_ids(engine: Engine, hostname: str, reply: Reply) -> bytes:
    return msgspec.json.encode(2 * _honest(engine, hostname, reply))


def _deep_nesting(engine: Engine, hostname: str, reply: Reply) -> bytes:
    written = msgspec.json.encode(_honest(engine, hostname, reply))
    return written.replace(b'"Labels":{', b'"Labels":{"deep":' + b"[" * DEPTH + b"]" * DEPTH + b',"x":"y",', 1)


def _large_body(_engine: Engine, _hostname: str, reply: Reply) -> None:
    head = _JSON_HEAD + b"Content-Length: %d\r\n\r\n[" % LARGE_BODY_BYTES
    spaces = itertools.repeat(b" " * PIECE_BYTES, LARGE_BODY_BYTES // PIECE_BYTES - 1)
    reply.pump(itertools.chain((head,), spaces, (b" " * (PIECE_BYTES - 2) + b"]",)), AT_ONCE, close=False)


def _synthetic(number: int) -> Container:
    made = Container(f"{number:0{HEX_DIGITS}x}", f"many-{number}", CATALOGUE[number % len(CATALOGUE)], 10**18 + number)
    made.state, made.started_ns = "running", made.created_ns
    return made


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: each costs a turn of the loop."""
    return iter(lambda: b"".join(itertools.islice(pieces, PIECE_ENTRIES)), b"")


def _endless_list(engine: Engine, _hostname: str, reply: Reply) -> None:
    entries = (records.list_entry(engine, _synthetic(number), engine.profile.api) for number in itertools.count())
    pieces = (_chunk(msgspec.json.encode(entry) + b",") for entry in entries)
    reply.pump(itertools.chain((_CHUNKED + _chunk(b"["),), _gathered(pieces)), AT_ONCE, close=False)


def _many_containers(engine: Engine, hostname: str, reply: Reply) -> None:
    entries = _honest(engine, hostname, reply)
    limit = queries.limit(reply.request.query.get("limit", "")) or MANY_CONTAINERS
    more = 0 if "filters" in reply.request.query else min(limit, MANY_CONTAINERS) - len(entries)
    synthetic = (records.list_entry(engine, _synthetic(number), engine.profile.api) for number in range(more))
    pieces = (_chunk(b"," + msgspec.json.encode(entry)) for entry in synthetic)
    first = _CHUNKED + _chunk(msgspec.json.encode(entries)[:-1])
    reply.pump(itertools.chain((first,), _gathered(pieces), (_chunk(b"]") + b"0\r\n\r\n",)), AT_ONCE, close=False)


# Events


def _unknown_events(engine: Engine, _hostname: str, reply: Reply) -> None:
    def pieces() -> Iterator[bytes]:
        yield _CHUNKED
        for number in itertools.count():
            stranger = _synthetic(number)
            attributes = (("image", stranger.image.name), ("name", stranger.name))
            event = events.Event(engine.now(), "container", "start", stranger.id, stranger.image.name, attributes)
            yield _chunk(events.render(event, engine.profile, engine.profile.api))

    reply.pump(pieces(), DRIP_SECONDS, close=True)


def _flood(engine: Engine, _hostname: str, reply: Reply) -> None:
    def pieces() -> Iterator[bytes]:
        yield _CHUNKED
        known = tuple(engine.containers.values()) or (_synthetic(0),)
        for container in itertools.cycle(known):
            image = engine.image_name(container)
            attributes = (("image", image), ("name", container.name))
            event = events.Event(engine.now(), "container", "start", container.id, image, attributes)
            yield _chunk(events.render(event, engine.profile, engine.profile.api) * 100)

    reply.pump(pieces(), AT_ONCE, close=True)


def _event_lines(*lines: bytes) -> Callable[[Engine, str, Reply], None]:
    def answer(_engine: Engine, _hostname: str, reply: Reply) -> None:
        reply.write_raw(b"".join((_CHUNKED, *map(_chunk, lines))))

    return answer


def _cut_events(_engine: Engine, _hostname: str, reply: Reply) -> None:
    reply.write_raw(_CHUNKED)
    reply.cut()


Answer = Callable[[Engine, str, Reply], None]

_ENGINE: dict[str, Answer] = {
    "silence": _silence,
    "drip": _drip,
    "garbage": _garbage,
    "endless-headers": _endless_headers,
    "endless-header-line": _endless_header_line,
    "cut-answers": _cut,
    "server-errors": _server_error,
    "old-api": _old_api,
}

_LIST: dict[str, Answer] = {
    "invalid-json": _listed(_invalid_json),
    "not-a-list": _listed(lambda *_: b'{"message":"no list"}\n'),
    "large-body": _large_body,
    "endless-list": _endless_list,
    "many-containers": _many_containers,
    "deep-nesting": _listed(_deep_nesting),
    "invalid-utf8": _listed(_invalid_utf8),
    "wrong-types": _listed(
        _spoil(Names=5, State={"a": 1}, Created="yesterday", Ports="none", Labels=["a"], Status=None, Image=[1])
    ),
    "duplicate-keys": _listed(_duplicate_keys),
    "duplicate-ids": _listed(_duplicate_ids),
    "markup-names": _listed(_named(MARKUP)),
    "terminal-names": _listed(_named(ESCAPES)),
    "huge-names": _listed(_named("n" * HUGE_NAME_BYTES)),
}

_EVENTS: dict[str, Answer] = {
    "unknown-containers": _unknown_events,
    "event-flood": _flood,
    "event-garbage": _event_lines(b"not json at all\n", b'{"Type":\n'),
    "event-huge": _event_lines(
        b'{"Type":"container","Action":"start","Actor":{"ID":"%b"}}\n' % (b"a" * HUGE_NAME_BYTES)
    ),
    "event-wrong-types": _event_lines(
        b'{"Type":1,"Action":[],"Actor":"me","time":"now"}\n', b"[]\n", b"7\n", b"null\n"
    ),
    "events-cut": _cut_events,
}

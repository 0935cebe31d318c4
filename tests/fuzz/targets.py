"""Every parser of what a guest says, each as a function of bytes that raises when the parser does what it must not.

It must not raise anything but our own errors, hand on anything unbounded or untamed, or take long. What an error of
ours says is looked at as well: it is shown to people.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from roadstead.artifacts import (
    authorized_keys,
    certificate_checks,
    complaints,
    config_drive,
    drive_templates,
    guest_survey,
    inspected,
    published,
    standing_lines,
)
from roadstead.cli.api import views
from roadstead.cli.display import cells, logs
from roadstead.errors import RoadsteadError
from roadstead.kit import clocks, text
from roadstead.lab.guests.certificates import Authority, Form
from roadstead.model import Container, LogEntry, VmId, weight
from roadstead.model.addresses import canonical, parse_address
from roadstead.peers.engine.http import Reader
from roadstead.peers.engine.logs import TAKEN_BYTES
from roadstead.peers.engine.messages import containers, processes, statistics, versions
from roadstead.peers.engine.messages.events import ACTIONS, Splitter, read_event
from roadstead.peers.engine.messages.frames import PIECE_BYTES
from roadstead.peers.engine.messages.guarded import check_object, tolerant
from roadstead.peers.engine.messages.logs import STAMP_BYTES, LogReader
from roadstead.peers.links import credentials, messages
from roadstead.peers.links.hostkeys import Pins
from roadstead.peers.xapi.messages import records
from roadstead.plan.addresses import Rules, refusal
from roadstead.settings.schema import EngineSettings
from tests.fuzz.engines import met
from tests.unit.artifacts import xencenter
from tests.unit.peers_engine.logged import frame
from tests.unit.peers_engine.recorded import ENGINES, recorded, wire
from tests.unit.peers_engine.sampled import LINUX, WINDOWS

BOUNDS = EngineSettings()
VM = VmId("vm-1")
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ID = "ab" * 32
PUBLISHED_BYTES = 2**16
GUEST = config_drive.Guest("5a1f7f0e-0000-4000-8000-000000000001", "web1", "ssh-rsa AAAAB3NzaC1yc2E= x", "2")
AUTHORITY = Authority("fuzz", 7, Form.HISTORIC)
OURS = AUTHORITY.client()
_SURVEYED = "".join(f"{guest_survey.MARK}{said}\n" for said in ("user=core", "uid=1000")).encode()
GROWTH = 400
"""How many bytes of memory a byte of an answer may become: a port of 2 letters is a record."""


@dataclass(frozen=True)
class Target:
    """A parser and what real peers say to it: inputs are made of that."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def _pieces(data: bytes) -> Iterator[bytes]:
    """The rest of ``data`` in pieces whose size its first byte tells."""
    size = 2 ** (data[0] % 18) if data else 1
    rest = data[1:]
    # A guest may send single bytes for as long as it likes; here a thousand of them tell as much.
    size = max(size, len(rest) // 1000)
    for start in range(0, len(rest), size):
        yield rest[start : start + size]


# What an engine answers


def http(data: bytes) -> None:
    """One answer, in pieces: never more than came, and headers within their bound."""
    took: list[int] = []
    reader = Reader(BOUNDS.header_bytes, lambda piece: took.append(len(piece)))
    for piece in _pieces(data):
        if not reader.complete:
            reader.feed(piece)
    assert sum(took) <= len(data)
    assert sum(len(name) + len(value) for name, value in reader.headers.items()) <= 2 * BOUNDS.header_bytes
    assert isinstance(reader.ends_with_stream, bool)


def listed(data: bytes) -> None:
    """A list of containers: exact ids, bounded texts, harmless wherever they go."""
    entries = containers.read_entries(data, BOUNDS.json_depth)
    found = [containers.container(VM, entry, NOW, BOUNDS.text_bytes) for entry in entries]
    assert len({container.id for container in found}) == len(found)
    assert sum(map(weight, found)) <= GROWTH * len(data)
    for container in found:
        _check(container)
    msgspec.json.encode(found)
    said = published.docker_ps(found, PUBLISHED_BYTES)
    assert published.size(said) <= PUBLISHED_BYTES
    assert len(xencenter.containers(said)) <= len(found)


def _check(container: Container) -> None:
    assert len(container.engine_id) == 64
    assert container.engine_id.isalnum()
    assert max(len(container.ports), len(container.labels)) <= containers.PARTS
    for said in (container.name, container.image, container.command, container.status, *container.labels):
        assert len(said.encode()) <= BOUNDS.text_bytes
        _show(said)
    for moment in (container.created, container.started):
        assert moment is None or moment.isoformat()
    _show(container.state)
    _show(container.health)


def events(data: bytes) -> None:
    """A stream of events, in pieces: known actions, ids that are ids, a bounded rest."""
    splitter = Splitter(BOUNDS.event_bytes)
    for piece in _pieces(data):
        for value in splitter.feed(piece):
            event = read_event(value, BOUNDS.json_depth)
            if event is not None:
                assert event.action in ACTIONS
                assert 12 <= len(event.engine_id) <= 64
                assert event.engine_id.isalnum()
                clocks.at(event.time_nano / 1e9)


def introduced(data: bytes) -> None:
    """What an engine says of itself: a version for paths that is one, and values that clients can read."""
    version, info = versions.read_version(data), versions.read_info(data)
    spoken = versions.negotiated(version.api_version, version.oldest)
    assert versions.parsed_version(spoken)
    engine = versions.described(VM, spoken, {"server": version.version}, version, info)
    msgspec.json.encode(engine)
    _show(engine.version)
    _show(engine.os)
    for said in (published.docker_version(engine), published.docker_info(engine)):
        xencenter.information(said)
        assert len(said) <= 40 * versions.MESSAGE_CHARACTERS


def refused(data: bytes) -> None:
    """A refusal: its words, tamed, for people, for pools, and for old clients."""
    error = versions.refusal(500, data)
    _show_error(error)
    complaint = complaints.about(error)
    assert len(complaint.title) <= complaints.TITLE_CHARACTERS
    assert len(complaint.body) <= 2 * versions.MESSAGE_CHARACTERS
    assert text.xml_clean(complaint.body) == complaint.body


def top(data: bytes) -> None:
    """The processes of a container, as XenCenter reads them."""
    found = processes.read_top(data, BOUNDS.json_depth)
    said = inspected.docker_top(*found)
    assert len(xencenter.processes(said)) == len(found.processes)
    for row in found.processes:
        for cell in row:
            _show(cell)


def sampled(data: bytes) -> None:
    """Two samples of a container's statistics, and what comes of them: what every client can read."""
    first, _, second = data.partition(b"\x00")
    for kind in ("linux", "windows"):
        found = [statistics.read_sample(each, BOUNDS.json_depth, kind, NOW) for each in (first, second or first)]
        if found[0] is None or found[1] is None:
            continue
        used = statistics.usage(found[0], found[1])
        assert msgspec.json.decode(msgspec.json.encode(used), type=type(used)) == used
        assert all(value is None or value >= 0 for value in msgspec.structs.astuple(used)[1:])


def logged(data: bytes) -> None:
    """Logs, with frames and without, with times and without, as `LogStream` reads them: no entry is longer than what is
    kept of a line, and none commands a terminal.
    """
    for is_framed in (True, False):
        is_stamped, is_exact = bool(len(data) % 2), bool(len(data) % 4 // 2)
        reader = LogReader(is_framed=is_framed, is_stamped=is_stamped, is_exact=is_exact)
        with suppress(RoadsteadError):
            for piece in _pieces(data):
                for start in range(0, len(piece), TAKEN_BYTES):
                    for entry in reader.feed(piece[start : start + TAKEN_BYTES]):
                        _show_entry(entry)
            for entry in reader.end():
                _show_entry(entry)


def _show_entry(entry: LogEntry) -> None:
    assert len(entry.text) <= PIECE_BYTES + 2 * STAMP_BYTES + TAKEN_BYTES
    assert msgspec.json.decode(msgspec.json.encode(entry), type=LogEntry) == entry
    told = views.LogEntry(entry.stream, entry.text, entry.data, entry.time, entry.partial)
    assert logs.as_written(told, b"").endswith(entry.data or entry.text.encode() if entry.partial else b"\n")
    shown = logs.as_text(told, b"").decode()
    assert all(character.isprintable() or character == "\t" for character in shown.removesuffix("\n"))


def inspection(data: bytes) -> None:
    """An inspection, as it is handed on and as XenCenter reads it."""
    check_object(data, BOUNDS.json_depth)
    xencenter.tree(inspected.docker_inspect(tolerant(data)))


def dates(data: bytes) -> None:
    """Times, in each of the forms that guests and pools have for them."""
    said = data.decode("utf-8", "replace")
    date = versions.read_date(said)
    if date is not None:
        clocks.at(date)
        f"{date:.0f}"
    began = containers.started(said, NOW)
    assert began is None or began <= NOW
    records.start_time({"start_time": said})


# What stands before an engine


def banner(data: bytes) -> None:
    """What an SSH server says in the clear, in pieces: never an error, and no more kept than an SSH packet may have."""
    overheard = messages.Overheard()
    for piece in _pieces(data):
        overheard.feed(piece)
    assert overheard.received == max(0, len(data) - 1)
    assert overheard.banner.isascii() or "\ufffd" in overheard.banner


def host_key(data: bytes) -> None:
    """A host key's blob and a pin: a type that can be shown, or none."""
    for blob in (data.decode("latin-1"), messages.encoded(data)):
        kind = messages.key_type(blob)
        if kind is not None:
            _show(kind)
            assert kind.isprintable()
            assert messages.fingerprint(blob).startswith("SHA256:")
        pins = Pins(pin=blob)
        assert pins.types()
        pins.judged(messages.encoded(data))


def certificate(data: bytes) -> None:
    """A certificate that an engine shows (DER), that the pool keeps as a secret, or that an operator brings."""
    _ours(lambda: credentials.expiry_of(data, "192.0.2.7"))
    for pem in (ssl.DER_cert_to_PEM_cert(data), data.decode("latin-1")):
        _as_secrets(certificate_checks.Given(pem, OURS.key, AUTHORITY.certificate))
        _as_secrets(certificate_checks.Given(OURS.certificate, OURS.key, pem))


def private_key(data: bytes) -> None:
    """The same of its private key, which no error may quote."""
    for pem in (_pem("PRIVATE KEY", data), _pem("EC PRIVATE KEY", data), data.decode("latin-1")):
        _as_secrets(certificate_checks.Given(OURS.certificate, pem, AUTHORITY.certificate))


def _as_secrets(given: certificate_checks.Given) -> None:
    for fault in certificate_checks.faults(given, NOW, is_legacy=False):
        assert fault.field in given._fields
        assert fault.reason.isprintable()
    pems = [said.encode() for said in given]
    _ours(lambda: credentials.credentials(pems[0], pems[1], pems[2], is_legacy=True))


def _pem(kind: str, der: bytes) -> str:
    return ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", kind)


def shell(data: bytes) -> None:
    """What a guest's shell answers: a finding, and never more held back than the bound."""
    output, _, errors = data.partition(b"\x00")
    assert messages.finding(output, errors) in set(messages.Finding)
    quiet = messages.Quiet()
    answer = b""
    for piece in _pieces(data):
        if not quiet.too_much:
            answer += quiet.feed(piece)
    assert not answer or answer.startswith(messages.HTTP)


def survey(data: bytes) -> None:
    """What the look at a guest tells, and the lines of keys that stand there: only one without options is open."""
    found = guest_survey.read(_SURVEYED + data)
    for line in (*(found.lines if found is not None else ()), data.decode("utf-8", "replace")):
        standing = standing_lines.read(line, GUEST.pool_key)
        if standing is not None:
            is_bare = line.split()[:2] == GUEST.pool_key.split()[:2] or line.lstrip().lower().startswith("from=")
            assert is_bare or standing.form is not authorized_keys.Form.UNRESTRICTED
            assert standing_lines.told("x", standing, GUEST.pool_key)


def networks(data: bytes) -> None:
    """What guest tools announce: only literal addresses are dialled, whatever stands there."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        said = {f"{index}/ip": line for index, line in enumerate(data.decode("latin-1").split("\n")[:64])}
    announced = records.addresses({"networks": said})
    assert len(announced) <= records.ADDRESSES
    for address in announced:
        assert len(address) <= records.ADDRESS_BYTES
        if refusal(address, Rules()) is None:
            assert parse_address(canonical(address) or address)


# What stands on a config drive


def drive(data: bytes) -> None:
    """An image that somebody made: its template, or why it has none."""
    try:
        found = config_drive.template_of(data)
    except ValueError:
        return
    assert len(found.encode()) <= config_drive.TEXT_BYTES


def configuration(data: bytes) -> None:
    """A text for a drive: it is read back as it was, or refused with a place in it."""
    said = data.decode("utf-8", "replace")
    made = config_drive.prepare(said, GUEST)
    assert len(made.user_data.encode()) <= config_drive.TEXT_BYTES
    assert config_drive.template_of(config_drive.image(made)) == said


# Where texts go


def terminal(data: bytes) -> None:
    """Any text on a terminal, in a column, in a pool's database."""
    said = data.decode("utf-8", "replace")
    _show(said)
    assert text.xml_clean(text.xml_clean(said)) == text.xml_clean(said)
    for limit in (3, 10, BOUNDS.text_bytes):
        assert len(text.cut(said, limit).encode()) <= limit


def _show(said: str) -> None:
    """Fail when a table would not show ``said`` as one line of its width."""
    (clean,), _ = cells.cleaned([said])
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in clean)
    assert cells.width(cells.shortened(clean, 20)) <= 20
    assert cells.width(cells.padded(clean, 20)) >= 20


def _show_error(error: RoadsteadError) -> None:
    assert str(error).isprintable()
    assert len(str(error)) <= 4000


def _ours(call: Callable[[], Any]) -> None:
    try:
        call()
    except RoadsteadError as error:
        _show_error(error)


def guarded(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The same, where an error of ours is an answer."""

    def ours(data: bytes) -> None:
        _ours(lambda: run(data))

    return ours


def _seeds() -> dict[str, tuple[bytes, ...]]:
    """What real engines, servers and guest tools said."""
    known = [recorded(name) for name in ENGINES]
    lists = [json.dumps([{"Id": ID, **said.entry, "Ports": _PORTS, "Labels": {"a": "b"}, **_MORE}]) for said in known]
    bodies = [json.dumps({**said.version, "Containers": 3, "OperatingSystem": "Debian"}) for said in known]
    streams = [b"\x10" + wire(said.streams["v1.41"])[:8000] for said in known]
    answers = ([b"OK"], _written(bodies), _written(bodies), _written(lists), streams, [said.top for said in known])
    heads = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nDate: Mon\r\n"
    large = b"\x40" + heads + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n[1,2]\r\n0\r\nX: y\r\n\r\n"
    keys = (b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32), b"\0\0\0\x07ssh-rsa\0\0\0\x03\1\0\1\0\0\1\1" + bytes(257))
    packet = b"\x14" + bytes(16) + b"\0\0\0\x11curve25519-sha256\0\0\0\x0bssh-ed25519" + bytes(40)
    framed = (len(packet) + 1).to_bytes(4, "big") + b"\x04" + packet
    shown = (AUTHORITY.certificate, OURS.certificate, Authority("today").server(["192.0.2.7"]).certificate)
    return {
        "http": (large, b"\x07" + heads + b"Content-Length: 2\r\n\r\n[]", b"\x07HTTP/1.1 100 Continue\r\n\r\n" + heads),
        "listed": tuple(map(str.encode, lists)),
        "events": tuple(streams),
        "introduced": tuple(map(str.encode, bodies)),
        "refused": tuple(body for said in known for _, body in said.refusals),
        "top": tuple(said.top for said in known),
        "sampled": tuple(_written([json.dumps(said) for said in (LINUX, WINDOWS)])),
        "logged": (b"\x03" + _LOG, b"\x11" + _LOG + _STAMPED, b"\x02plain\r\n" + _STAMPED[8:]),
        "inspection": tuple(map(str.encode, [*lists, *bodies])),
        "dates": (b"Mon, 23 Nov 2026 08:27:21 GMT", b"2026-11-23T08:27:21.123456789Z", b"Up 3 hours (healthy)"),
        "banner": (b"\x10SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n" + framed, b"\x10Exceeded MaxStartups\r\n"),
        "host_key": (*keys, *(messages.encoded(key).encode() for key in keys)),
        "certificate": tuple(map(ssl.PEM_cert_to_DER_cert, shown)) + tuple(map(str.encode, shown)),
        "private_key": (ssl.PEM_cert_to_DER_cert(OURS.key.replace("PRIVATE KEY", "CERTIFICATE")), OURS.key.encode()),
        "shell": (b"\x10Welcome\nroadstead-relay:denied\n\x00", b"\x10noise HTTP/1.1 200 OK\x00connect: refused"),
        "survey": (
            *(
                f"{line} {GUEST.pool_key}".encode()
                for line in ('restrict,command="a \\" b"', 'from="10.0.0.0/8"', '\\"' * 9)
            ),
            *(f"{guest_survey.MARK}{said}".encode() for said in ("line=x", "socket=ready docker /a", "former=x y")),
        ),
        "networks": (b'{"0/ip":"10.0.0.7","0/ipv4/0":"10.0.0.7","0/ipv6/0":"fe80::1","x":"y"}', b"10.0.0.7\n::"),
        "met": tuple(bytes([place, 1]) + said for place, saids in enumerate(answers) for said in saids),
        "drive": (config_drive.image(config_drive.prepare("#cloud-config", GUEST)),),
        "configuration": (*map(str.encode, drive_templates.PROFILES.values()), _YAML),
        "terminal": ("web\x1b[2J\u202e\u0301中🐋\x85".encode(), b"plain", b"\xff\xfe\x00"),
    }


def _written(texts: list[str]) -> list[bytes]:
    return [text.encode() for text in texts]


_LOG = frame(1, b"one\n") + frame(2, "zw\u00f6lf".encode()) + frame(1, b"\x1b[31mthree\x1b[0m\r\n")
_STAMPED = frame(1, b"2026-11-27T12:00:00.123456789+01:00 four\n") + frame(3, b"no more")
_YAML = b"#cloud-config\na: &a {b: [1, 0o7, 1:2:3, ~]}\n%HINEXISTS%c: *a%HIN%\n%ENDHINEXISTS%d: {<<: *a, e: |\n x\n}\n"
_PORTS = [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}]
_MORE = {"Image": "nginx", "Created": 1700000000, "Health": {"Status": "healthy"}}
_RUN = (
    *(http, listed, events, introduced, refused, top, sampled, logged, inspection, dates),
    *(banner, host_key, certificate, private_key, shell, survey, networks, drive, configuration, terminal, met),
)
TARGETS: dict[str, Target] = {run.__name__: Target(guarded(run), _seeds()[run.__name__]) for run in _RUN}
"""By name."""

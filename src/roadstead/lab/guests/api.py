"""The Engine API of a simulated engine: which request is answered how, in the manner of each engine release."""

from __future__ import annotations

import re
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus

import msgspec

from roadstead.lab.guests import events, logs, measures, profiles, queries, records
from roadstead.lab.guests.containers import RUNNING_STATES, Container
from roadstead.lab.guests.engine import Engine
from roadstead.lab.guests.http import Header, Reply
from roadstead.lab.guests.refusals import Refusal

GRACE_SECONDS = 10.0
"""How long a container may take to obey SIGTERM when the client names no time (Docker's default)."""

UNREAD_EVENTS = 1024
"""How many events a reader may be behind before it loses some (Docker's bound)."""

_VERSIONED = re.compile(r"/v(\d+\.\d+)(/.*)")
_CONTAINER = re.compile(r"/containers/([^/]+)(?:/([a-z]+))?")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"

Answer = Callable[["Call", Container], None]


class Call:
    """One request to one engine, with what its answer depends on."""

    __slots__ = ("api", "engine", "hostname", "path", "reply")

    def __init__(self, engine: Engine, hostname: str, reply: Reply) -> None:
        self.engine = engine
        self.hostname = hostname
        self.reply = reply
        self.path = reply.request.path
        self.api = engine.profile.api

    @property
    def query(self) -> dict[str, str]:
        """What stands after the question mark."""
        return self.reply.request.query

    def is_set(self, name: str) -> bool:
        """Whether a yes-or-no parameter is given, as Go reads it."""
        return self.query.get(name, "").lower() not in ("", "0", "no", "false", "none")

    def headers(self, content_type: str = "") -> list[Header]:
        """The headers of every answer, in the order of the recordings."""
        profile = self.engine.profile
        written: list[Header] = []
        if profile.pings_version:
            written.append(("Api-Version", profiles.show_version(profile.api)))
        if content_type:
            written.append(("Content-Type", content_type))
        if profile.podman:
            written += [("Libpod-Api-Version", profile.version), ("Server", profile.server)]
            written.append(("X-Reference-Id", "0xc000070548"))
        else:
            written += [("Docker-Experimental", "false"), ("Ostype", profile.ostype), ("Server", profile.server)]
        return [*written, self.date()]

    def date(self) -> Header:
        """The engine's clock, to the second."""
        return ("Date", formatdate(self.engine.clock() // 10**9, usegmt=True))

    def send(self, content: object, status: int = HTTPStatus.OK) -> None:
        """Answer with JSON."""
        self.reply.send(status, self.headers(_JSON), msgspec.json.encode(content) + b"\n")

    def done(self, status: int = HTTPStatus.NO_CONTENT) -> None:
        """Answer without a body."""
        self.reply.send(status, self.headers())

    def refuse(self, refusal: Refusal) -> None:
        """Answer with an error in this engine's form."""
        profile = self.engine.profile
        if profile.podman:
            cause = refusal.cause or refusal.message
            self.send({"cause": cause, "message": refusal.message, "response": int(refusal.status)}, refusal.status)
        elif profile.text_errors and self.api < profiles.JSON_ERRORS:
            self.reply.send(refusal.status, self.headers(_TEXT), refusal.message.encode() + b"\n")
        else:
            self.send({"message": refusal.message}, refusal.status)


def serve(engine: Engine, hostname: str, reply: Reply) -> None:
    """Answer the request of `reply`."""
    call = Call(engine, hostname, reply)
    try:
        _negotiate(call)
        _route(call)
    except Refusal as refusal:
        call.refuse(refusal)


def _negotiate(call: Call) -> None:
    versioned = _VERSIONED.fullmatch(call.path)
    if versioned is None:
        return
    asked, call.path = versioned.groups()
    profile = call.engine.profile
    version = profiles.parse_version(asked)
    if not profile.negotiates:
        return
    call.api = version
    if version > profile.api:
        newest = profiles.show_version(profile.api)
        raise Refusal(
            HTTPStatus.BAD_REQUEST,
            f"client version {asked} is too new. Maximum supported API version is {newest}",
        )
    if version < profile.min_api:
        oldest = profiles.show_version(profile.min_api)
        raise Refusal(
            HTTPStatus.BAD_REQUEST,
            f"client version {asked} is too old. Minimum supported API version is {oldest}, "
            "please upgrade your client to a newer version",
        )


def _route(call: Call) -> None:
    method = "GET" if call.reply.request.method == "HEAD" else call.reply.request.method
    general = _GENERAL.get((method, call.path))
    if general is not None:
        general(call)
        return
    addressed = _CONTAINER.fullmatch(call.path)
    action = _ON_CONTAINER.get((method, (addressed[2] or "") if addressed else "/"))
    if addressed is None or action is None:
        body = msgspec.json.encode({"message": "page not found"}) + b"\n"
        call.reply.send(HTTPStatus.NOT_FOUND, [("Content-Type", _JSON), call.date()], body)
        return
    action(call, _find(call.engine, addressed[1]))


def _find(engine: Engine, reference: str) -> Container:
    found = engine.find(reference)
    if found is not None:
        return found
    if engine.with_prefix(reference):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"Multiple IDs found with provided prefix: {reference}")
    if engine.profile.podman:
        cause = "no such container"
        raise Refusal(HTTPStatus.NOT_FOUND, f'no container with name or ID "{reference}" found: {cause}', cause)
    raise Refusal(HTTPStatus.NOT_FOUND, f"No such container: {reference}")


# Answers about the engine


def _ping(call: Call) -> None:
    profile = call.engine.profile
    no_cache = "no-cache" if profile.podman else "no-cache, no-store, must-revalidate"
    headers = [("Api-Version", profiles.show_version(profile.api))] if profile.pings_version else []
    if profile.podman:
        headers += [("Builder-Version", ""), ("Buildkit-Version", "")]
    elif profile.pings_builder:
        headers.append(("Builder-Version", "2"))
    headers += [("Cache-Control", no_cache), ("Docker-Experimental", str(profile.podman).lower())]
    if profile.podman:
        headers += [("Libpod-Api-Version", profile.version), ("Libpod-Buildah-Version", profile.buildah)]
    if profile.pings_ostype:
        headers.append(("Ostype", profile.ostype))
    headers += [("Pragma", "no-cache"), ("Server", profile.server)]
    if profile.podman:
        headers.append(("X-Reference-Id", "0xc0000704a0"))
    elif profile.pings_builder:
        headers.append(("Swarm", "inactive"))
    call.reply.send(HTTPStatus.OK, [*headers, call.date(), ("Content-Type", _TEXT)], b"OK")


def _version(call: Call) -> None:
    call.send(records.version(call.engine.profile))


def _info(call: Call) -> None:
    call.send(records.info(call.engine, call.hostname))


def _list(call: Call) -> None:
    call.send(listing(call))


def listing(call: Call) -> list[records.Record]:
    """What `/containers/json` answers, newest container first."""
    filters = queries.filters(call.query.get("filters", ""))
    limit = queries.limit(call.query.get("limit", ""))
    queries.check_list_filters(filters, upper_case=call.engine.profile.upper_case_errors)
    shows_all = call.is_set("all") or limit > 0 or "status" in filters
    chosen = [
        container
        for container in reversed(call.engine.containers.values())
        if (shows_all or container.state in RUNNING_STATES) and queries.selects(filters, container, call.engine)
    ]
    chosen.sort(key=lambda container: -container.created_ns)
    size = call.is_set("size")
    shown = chosen[:limit] if limit > 0 else chosen
    return [records.list_entry(call.engine, container, call.api, size=size) for container in shown]


class _Delivery:
    """Events on their way to one reader; one that does not read loses what is beyond a bound, and is not told."""

    __slots__ = ("_call", "_unread")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._unread = 0

    def deliver(self, event: events.Event) -> None:
        """Send `event`, or drop it."""
        self._unread = self._unread + 1 if self._call.reply.is_slow else 0
        if self._unread <= UNREAD_EVENTS:
            self._call.reply.write(events.render(event, self._call.engine.profile, self._call.api))


def _events(call: Call) -> None:
    engine, reply = call.engine, call.reply
    filters = queries.filters(call.query.get("filters", ""))
    since_ns, until_ns = (queries.moment(call.query.get(name, "")) for name in ("since", "until"))

    feed = events.Feed(filters, _Delivery(call).deliver)
    is_new = engine.profile.api >= profiles.NEW_EVENTS and call.api >= profiles.NEW_EVENTS
    reply.open(call.headers("application/jsonl" if is_new else _JSON), lambda: engine.log.unsubscribe(feed))
    if since_ns is not None:
        for event in engine.log.past(since_ns, until_ns, filters):
            feed.deliver(event)
    left_seconds = None if until_ns is None else (until_ns - engine.clock()) / 10**9
    if left_seconds is not None and left_seconds <= 0:
        reply.end()
        return
    engine.log.subscribe(feed)
    if left_seconds is not None:
        engine.later(left_seconds, reply.end)


# Answers about a container


def _not_running(call: Call, container: Container) -> Refusal:
    if call.engine.profile.podman:
        cause = "container state improper"
        return Refusal(HTTPStatus.CONFLICT, f'"{container.id}" is not running: {cause}', cause)
    word = "Container" if call.engine.profile.upper_case_errors else "container"
    return Refusal(HTTPStatus.CONFLICT, f"{word} {container.id} is not running")


def _inspect(call: Call, container: Container) -> None:
    call.send(records.inspection(call.engine, container, call.api))


def _start(call: Call, container: Container) -> None:
    if container.state == "paused":
        raise Refusal(HTTPStatus.CONFLICT, "cannot start a paused container, try unpause instead")
    if container.is_running:
        call.done(HTTPStatus.NOT_MODIFIED)
        return
    call.engine.start(container)
    call.done()


def _stop(call: Call, container: Container) -> None:
    if container.is_running or container.state == "restarting":
        call.engine.stop(container, _grace(call), call.done)
        return
    call.done(HTTPStatus.NOT_MODIFIED)


def _restart(call: Call, container: Container) -> None:
    call.engine.restart(container, _grace(call), call.done)


def _grace(call: Call) -> float:
    return queries.seconds(call.query.get("t", ""), GRACE_SECONDS)


def _kill(call: Call, container: Container) -> None:
    number = queries.signal_number(call.query.get("signal", ""))
    if not container.is_running and container.state != "restarting":
        refusal = _not_running(call, container)
        word = "Cannot" if call.engine.profile.upper_case_errors else "cannot"
        name = call.path.split("/")[2]
        raise Refusal(refusal.status, f"{word} kill container: {name}: {refusal.message}", refusal.cause)
    call.engine.kill(container, number)
    call.done()


def _pause(call: Call, container: Container) -> None:
    if not container.is_running:
        raise _not_running(call, container)
    if container.state == "paused":
        raise Refusal(HTTPStatus.CONFLICT, f"Container {container.id} is already paused")
    if container.image.isolation == "process":
        reason = "not implemented for containers using process isolation"
        raise Refusal(HTTPStatus.NOT_IMPLEMENTED, f"Cannot pause container {container.id}: {reason}")
    call.engine.pause(container)
    call.done()


def _unpause(call: Call, container: Container) -> None:
    if container.state != "paused":
        if call.engine.profile.podman:
            cause = "container state improper"
            message = f'"{container.id}" is not paused, can\'t unpause: {cause}'
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, message, cause)
        raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, f"Container {container.id} is not paused")
    call.engine.unpause(container)
    call.done()


def _rename(call: Call, container: Container) -> None:
    name = call.query.get("name", "").removeprefix("/")
    if not name:
        raise Refusal(HTTPStatus.BAD_REQUEST, "Neither old nor new names may be empty")
    if name == container.name:
        raise Refusal(HTTPStatus.BAD_REQUEST, "Renaming a container with the same name as its current name")
    failed = "Error when allocating new name: "
    if _NAME.fullmatch(name) is None:
        allowed = "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{failed}Invalid container name (/{name}), {allowed}")
    owner = next((each for each in call.engine.containers.values() if each.name == name), None)
    if owner is not None:
        raise Refusal(
            HTTPStatus.CONFLICT,
            f'{failed}Conflict. The container name "/{name}" is already in use by container "{owner.id}". '
            "You have to remove (or rename) that container to be able to reuse that name.",
        )
    call.engine.rename(container, name)
    call.done()


def _remove(call: Call, container: Container) -> None:
    if container.is_running and not call.is_set("force"):
        raise Refusal(HTTPStatus.CONFLICT, _cannot_remove(call, container))
    call.engine.remove(container)
    call.done()


def _cannot_remove(call: Call, container: Container) -> str:
    is_paused = container.state == "paused"
    if call.engine.profile.upper_case_errors:
        remedy = "Unpause and then stop" if is_paused else "Stop"
        return (
            f"You cannot remove a {container.state} container {container.id}. "
            f"{remedy} the container before attempting removal or force remove"
        )
    if is_paused:
        return f'cannot remove container "{container.name}": container is paused and must be unpaused first'
    return (
        f'cannot remove container "{container.name}": container is running: '
        "stop the container before removing or force remove"
    )


def _top(call: Call, container: Container) -> None:
    if container.is_running:
        if call.engine.profile.is_windows and call.query.get("ps_args"):
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "Windows does not support arguments to top")
        call.engine.told_top(container)
        call.send(measures.processes(call.engine, container, call.query.get("ps_args", "")))
        return
    if call.engine.profile.exit_code_everywhere:
        call.done(HTTPStatus.OK)
        return
    if call.engine.profile.podman:
        raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "top can only be used on running containers")
    raise _not_running(call, container)


def _stats(call: Call, container: Container) -> None:
    one_shot = call.is_set("one-shot")
    profile = call.engine.profile
    if profile.podman and not container.is_running:
        if profile.exit_code_everywhere:
            call.done(HTTPStatus.OK)
        else:
            stopped = "container is stopped"
            call.send({"cause": stopped, "message": stopped, "response": int(HTTPStatus.INTERNAL_SERVER_ERROR)})
        return

    def answer() -> None:
        call.send(measures.statistics(call.engine, container, one_shot=one_shot))

    waits = container.is_running and not profile.podman and (profile.one_shot_waits or not one_shot)
    if waits:
        call.engine.later(call.engine.sample_seconds, answer)
    else:
        answer()


def _logs(call: Call, container: Container) -> None:
    engine, reply, query = call.engine, call.reply, call.query
    if not logs.streams(query):
        raise Refusal(HTTPStatus.BAD_REQUEST, "Bad parameters: you must choose at least one stream")
    if container.image.log_driver == "none":
        raise _no_logs(call, container)

    def deliver(message: logs.Message) -> None:
        if message.stream in logs.streams(query):
            stamp = records.stamp(message.time_ns) if call.is_set("timestamps") else ""
            for piece in logs.rendered(message, engine.profile, container, stamp):
                reply.write(piece)

    is_followed = call.is_set("follow") and container.is_running
    written = engine.logs.of(container)
    since_ns, until_ns = (queries.moment(query.get(name, "")) for name in ("since", "until"))
    leave = engine.logs.follow(container, logs.Follower(deliver, reply.end)) if is_followed else lambda: None
    reply.open(call.headers(logs.content_type(engine.profile, call.api, container)), leave)
    for message in logs.chosen(written, query, since_ns, until_ns):
        deliver(message)
    if not is_followed:
        reply.end()


def _no_logs(call: Call, container: Container) -> Refusal:
    if not call.engine.profile.podman:
        return Refusal(HTTPStatus.NOT_IMPLEMENTED, "configured logging driver does not support reading")
    cause = "this container is not logging output"
    reason = f"this container is using the 'none' log driver, cannot read logs: {cause}"
    message = f"failed to obtain logs for Container '{container.id}': {reason}"
    return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, message, cause)


_GENERAL: dict[tuple[str, str], Callable[[Call], None]] = {
    ("GET", "/_ping"): _ping,
    ("GET", "/version"): _version,
    ("GET", "/info"): _info,
    ("GET", "/containers/json"): _list,
    ("GET", "/events"): _events,
}

_ON_CONTAINER: dict[tuple[str, str], Answer] = {
    ("GET", "json"): _inspect,
    ("GET", "top"): _top,
    ("GET", "stats"): _stats,
    ("GET", "logs"): _logs,
    ("POST", "start"): _start,
    ("POST", "stop"): _stop,
    ("POST", "restart"): _restart,
    ("POST", "kill"): _kill,
    ("POST", "pause"): _pause,
    ("POST", "unpause"): _unpause,
    ("POST", "rename"): _rename,
    ("DELETE", ""): _remove,
}

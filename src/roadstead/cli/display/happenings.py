"""Changes in plain words: what happened to which container or VM, and when."""

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import msgspec

from roadstead.cli.api import client, feed
from roadstead.cli.api.views import Container
from roadstead.cli.display import live, output, words
from roadstead.kit.text import terminal_clean

Vm = dict[str, Any]
"""A VM as it came; `events` looks at little of it."""

WAITED_SECONDS = 1.0
ROUNDED = timedelta(seconds=2)
"""Times of one start that are told in whole seconds and exactly differ by less."""
_BECAME = {
    "created": "created",
    "paused": "paused",
    "restarting": "restarting",
    "removing": "being removed",
    "dead": "dead",
}
_VM_BECAME = {
    "unmanaged": "not managed any more",
    "off": "not running",
    "connecting": "being connected",
    "live": "connected, and kept current",
    "broken": "cannot be watched",
}


def tell(connected: client.Client, query: str | None, *, with_vms: bool) -> NoReturn:
    """Print a line for each change of the containers that match, for ever, and of the VMs as well if wanted."""
    vms = Vms(connected) if with_vms else None
    followed = live.Live(connected, query, vms.take if vms else None)
    followed.start()
    tell_on(followed, vms)


def tell_on(followed: live.Live, vms: "Vms | None" = None) -> NoReturn:
    """Print a line for each change from now on, for ever."""
    was_lost = False
    while True:
        output.must_have_reader()
        differences = followed.take(WAITED_SECONDS)
        if (followed.lost is not None) != was_lost:
            was_lost = not was_lost
            _say_lost(is_lost=was_lost)
        if vms:
            _print(vms.told())
        for before, after in differences:
            _print(of_container(before, after))


def tell_json(connected: client.Client, query: str | None, kinds: str, *, with_list: bool = False) -> NoReturn:
    """Print each change of ``kinds`` as the server sent it, one in a line, for ever; with a search, what matches it.

    ``with_list`` begins with the containers that match now, each as if it had just become so. A line
    ``{"op":"relist"}`` says that changes may be missing before it.
    """
    source = feed.Feed(connected, kinds)
    source.start()
    matching: set[str] = set()
    is_first = True
    while True:
        output.must_have_reader()
        changes: list[feed.Change] = []
        for item in source.take(WAITED_SECONDS):
            if isinstance(item, feed.Change):
                changes.append(item)
            elif isinstance(item, feed.Lost):
                _lost(item, is_first=is_first)
            elif not is_first:
                print('{"op":"relist"}', flush=True)
            if is_first and with_list and isinstance(item, feed.Relist):
                _tell_list(connected, query, item.number)
            if is_first and query is not None:
                matching = _matching(connected, query)
            is_first = False
        if query is not None and changes:
            before, matching = matching, _matching(connected, query)
            changes = [change for change in changes if change.id in before or change.id in matching]
        for change in changes:
            print(output.json_safe(change.text.decode("utf-8", "replace")), flush=True)


def _tell_list(connected: client.Client, query: str | None, number: int) -> None:
    for record in connected.get(list[msgspec.Raw], "/containers", {"q": query}):
        known = msgspec.json.decode(record, type=Container)
        change = {"number": number, "kind": "container", "id": known.id, "op": "set", "record": record}
        print(output.json_safe(msgspec.json.encode(change).decode("utf-8", "replace")))
    sys.stdout.flush()


def _lost(item: feed.Lost, *, is_first: bool) -> None:
    if is_first or isinstance(item.error, client.Refused):
        raise item.error
    _say_lost(is_lost=True)


def _matching(connected: client.Client, query: str) -> set[str]:
    return {row["id"] for row in connected.get(list[dict[str, str]], "/containers", {"q": query, "fields": "id"})}


def of_container(before: Container | None, after: Container | None) -> Iterator[str]:
    """Yield the sentences that tell a container's change; none when nothing changed that people care about."""
    subject = after or before
    if subject is None:
        return
    name = f"{subject.vm_name}/{subject.name}"
    if before is None or after is None:
        yield f"{name}  " + ("gone" if after is None else f"appeared: {words.state(subject)}")
        return
    if before.name != after.name:
        yield f"{name}  renamed, it was {before.name}"
    if before.stale != after.stale:
        yield f"{name}  " + ("not heard any more: " if after.stale else "heard again: ") + words.state(after)
    elif before.state != after.state:
        yield f"{name}  {_became(before, after)}"
    elif _is_restarted(before, after):
        yield f"{name}  restarted"
    if before.health != after.health and after.health and not after.stale:
        yield f"{name}  {after.health}"


def of_vm(before: Vm | None, after: Vm | None) -> Iterator[str]:
    """Yield the sentences that tell a VM's change."""
    if before is None or after is None:
        name = (after or before or {}).get("name", "")
        yield f"{name}  VM " + ("removed" if after is None else f"appeared: {state_of(after)}")
        return
    name = after.get("name", "")
    if before.get("name") != name:
        yield f"{name}  VM renamed, it was {before.get('name')}"
    if before.get("host") != after.get("host") and after.get("host"):
        yield f"{name}  VM now on the host {after.get('host_name') or after.get('host')}"
    cause = _problem(after).get("cause", "")
    if state_of(before) == state_of(after) == "live":
        if _problem(before).get("code") != _problem(after).get("code"):
            yield f"{name}  VM " + (f"in doubt: {cause}" if cause else "without a problem again")
    elif state_of(before) != state_of(after) or _problem(before).get("code") != _problem(after).get("code"):
        yield f"{name}  VM {_VM_BECAME.get(state_of(after), state_of(after))}" + (f": {cause}" if cause else "")


def state_of(vm: Vm) -> str:
    """Return how a VM stands with us."""
    return str(vm.get("state") or "")


class Vms:
    """The VMs as last seen, so that a change can be told as what became different."""

    def __init__(self, connected: client.Client) -> None:
        self._client = connected
        self._known: dict[str, Vm] = {}
        self._sentences: list[str] = []

    def take(self, item: feed.Change | feed.Relist) -> None:
        """Take in a change, or that everything is to be listed again."""
        before = self._known
        if isinstance(item, feed.Relist):
            self._known = {vm["id"]: vm for vm in self._client.get(list[Vm], "/vms")}
            changed = [*dict.fromkeys([*before, *self._known])] if before else []
        else:
            self._known = before.copy()
            self._known.pop(item.id, None)
            if item.op != "gone":
                self._known[item.id] = msgspec.json.decode(item.record, type=Vm)
            changed = [item.id]
        for vm in changed:
            self._sentences += of_vm(before.get(vm), self._known.get(vm))

    def told(self) -> list[str]:
        """Return what happened since this was asked last."""
        told, self._sentences = self._sentences, []
        return told


def _became(before: Container, after: Container) -> str:
    if after.state == "running":
        return "resumed" if before.state == "paused" else "started"
    if after.state == "exited":
        return "stopped" if after.exit_code is None else f"stopped, exit code {after.exit_code}"
    return _BECAME.get(after.state, after.state)


def _is_restarted(before: Container, after: Container) -> bool:
    """Whether it was started anew since it was seen last; an engine's "Up 3 weeks" moves the time by days otherwise."""
    if after.state != "running" or after.started is None or before.as_of is None:
        return False
    is_later = before.started is None or after.started - before.started > ROUNDED
    return is_later and after.started > before.as_of


def _problem(vm: Vm) -> dict[str, Any]:
    found = vm.get("problem")
    return found if isinstance(found, dict) else {}


def _print(sentences: Iterable[str]) -> None:
    stamp = words.moment(datetime.now(UTC))
    for sentence in sentences:
        print(f"{stamp}  {terminal_clean(sentence)}", flush=True)


def _say_lost(*, is_lost: bool) -> None:
    text = "The server does not answer; trying again." if is_lost else "The server answers again."
    print(text, file=sys.stderr, flush=True)

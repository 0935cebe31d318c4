"""The one search language, for the API, the command line and whatever lists containers or VMs.

Pure. `parse` reads ``state:running image:nginx vm:web*`` into a `Query`; a query gives predicates that are fast enough
for 200,000 containers: what concerns the VM is decided once for each VM, what repeats (images, states) once for each
value. Values of one field are alternatives, different fields must all match, and so must all words of free text.

A stale container is found by ``state:stale`` or ``state:unknown``, as people see it, and by no other word or glob
after ``state:``: what it was is not what it is.
"""

import difflib
import fnmatch
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple, TypeVar

from roadstead.errors import InputError
from roadstead.errors.codes import PROBLEMS
from roadstead.inventory import views
from roadstead.inventory.terms import Language, Term
from roadstead.model import CONTAINER_STATES, HEALTHS, Container, ContainerId, LinkState, Port, Vm, VmId

T = TypeVar("T")
Test = Callable[[T], bool]
ContainersOf = Callable[[VmId], Mapping[ContainerId, Container]]
Kind = Literal["container", "vm"]


class Field(NamedTuple):
    """One field of the language: what its value is held against, in words for the documentation."""

    help: str
    of_guest: bool = False
    """Whether it is a matter of the VM, and not of the single container."""
    of_container: bool = False
    """Whether only containers have it: a VM is then found by its containers."""


FIELDS: dict[str, Field] = {
    "state": Field(
        "created, running, paused, restarting, removing, exited, dead or `stale` (also `unknown`); of a VM: unmanaged, "
        "off, connecting, live, broken or `stale`"
    ),
    "image": Field("the image, with or without registry, folders and tag", of_container=True),
    "vm": Field("name or id of the VM", of_guest=True),
    "port": Field("a published or inner port: `80`, `80/udp`, `80*`", of_container=True),
    "label": Field("`key=value` or `key`", of_container=True),
    "pool": Field("name or id of the pool", of_guest=True),
    "host": Field("name or id of the host", of_guest=True),
    "name": Field("the name of the container; of the VM in a list of VMs"),
    "id": Field("the beginning of the engine's id, or of the id `vm/container`"),
    "health": Field("healthy, unhealthy or starting", of_container=True),
    "status": Field("part of the engine's phrase, such as `Up 3 minutes`", of_container=True),
    "stale": Field("true or false"),
    "problem": Field("code of the problem, `*` for any"),
    "tag": Field("a tag of the VM", of_guest=True),
}

_LANGUAGE = Language(tuple(FIELDS))
_GLOB = re.compile(r"[*?\[]")
_PORT = re.compile(r"[0-9*?]+(/[a-z*?]+)?")
_LAST_PORT = 65535
_TRUTH = {"true": True, "yes": True, "false": False, "no": False}
_LEAST_ID_CHARACTERS = 4
_STALE, _UNKNOWN = "stale", "unknown"
_STATES: dict[Kind, tuple[str, ...]] = {
    "container": (*CONTAINER_STATES, _STALE, _UNKNOWN),
    "vm": (*(state.value for state in LinkState), _STALE),
}
_EITHER_STATE = tuple(dict.fromkeys(state for states in _STATES.values() for state in states))
_PROBLEMS = tuple(sorted(PROBLEMS))
_MOST_NAMED = 20
"""A longer list of possible values is not read out: the nearest ones are named."""
_NEAREST = 5


def fold(text: str) -> str:
    """Return ``text`` as it is compared: without case, and with each accented letter in one spelling."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def parse(text: str, of: Kind | None = None) -> "Query":
    """Read a filter of a list of one kind; None where both kinds are looked for.

    Raises `InputError`: ``filter-invalid``, which names the term and the known fields, or ``filter-value-unknown`` for
    a value that its field never has, which would find nothing and not say why.
    """
    query = Query(_LANGUAGE.terms(text))
    query.check(of)
    return query


class Query:
    """A filter that was read; an empty one matches everything."""

    def __init__(self, terms: Iterable[Term]) -> None:
        self._terms = tuple(terms)

    def __repr__(self) -> str:
        return f"<Query {' '.join(term.source for term in self._terms)}>"

    def check(self, of: Kind | None = None) -> None:
        """Raise `InputError` for a value that its field cannot have in a list ``of`` this kind."""
        known = {"state": _STATES[of] if of else _EITHER_STATE, "health": HEALTHS, "problem": _PROBLEMS}
        for term in self._terms:
            if term.field in known:
                _check_words(term, known[term.field])
            if term.field == "port":
                _check(term, _is_port, f"a port is a number up to {_LAST_PORT}")
            elif term.field == "stale":
                _check(term, lambda value: value.lower() in _TRUTH, "it is true or false")

    def containers(self, vms: Mapping[VmId, Vm]) -> Test[Container]:
        """Return the predicate over containers of ``vms``; for one pass, since it remembers what it decided of VMs."""
        own = _joined(_CONTAINER, [term for term in self._terms if not _of_guest(term)])
        guest = _joined(_VM, [term for term in self._terms if _of_guest(term)])
        if guest is None:
            return own or _everything
        return _with_guest(guest, own or _everything, vms)

    def vms(self, containers_of: ContainersOf) -> Test[Vm]:
        """Return the predicate over VMs.

        A field that only containers have finds the VMs of which one container has all of them, and, negated, the VMs
        without such a container.
        """
        inner = [term for term in self._terms if term.field and FIELDS[term.field].of_container]
        own = _joined(_VM, [term for term in self._terms if term not in inner])
        wanted = _joined(_CONTAINER, [term for term in inner if not term.negated])
        unwanted = [_one(_CONTAINER, term._replace(negated=False)) for term in inner if term.negated]

        def matches(vm: Vm) -> bool:
            if own is not None and not own(vm):
                return False
            held = containers_of(vm.id).values() if inner else ()
            if wanted is not None and not any(map(wanted, held)):
                return False
            return not any(any(map(test, held)) for test in unwanted)

        return matches


def _check(term: Term, fits: Test[str], reason: str) -> None:
    if not all(map(fits, term.values)):
        raise _LANGUAGE.wrong(term.source, reason)


def _is_port(value: str) -> bool:
    number = value.partition("/")[0]
    return bool(_PORT.fullmatch(value.lower())) and (not number.isdecimal() or int(number) <= _LAST_PORT)


def _check_words(term: Term, known: tuple[str, ...]) -> None:
    """Raise `InputError` ``filter-value-unknown`` for a value, or a glob, that is none of the ``known`` ones."""
    for value in term.values:
        if not any(map(_like([value]), known)):
            named = known if len(known) <= _MOST_NAMED else (*difflib.get_close_matches(value, known, _NEAREST, 0), "…")
            raise InputError("filter-value-unknown", field=term.field, value=value, known=", ".join(named))


def _of_guest(term: Term) -> bool:
    return bool(term.field) and FIELDS[term.field].of_guest


def _everything(_: object) -> bool:
    return True


def _with_guest(guest: Test[Vm], own: Test[Container], vms: Mapping[VmId, Vm]) -> Test[Container]:
    decided: dict[VmId, bool] = {}

    def matches(container: Container) -> bool:
        chosen = decided.get(container.vm)
        if chosen is None:
            vm = vms.get(container.vm)
            chosen = decided[container.vm] = vm is not None and guest(vm)
        return chosen and own(container)

    return matches


# ---- joining terms


Makers = Mapping[str, Callable[[tuple[str, ...]], Test[T]]]


def _joined(makers: Makers[T], terms: list[Term]) -> Test[T] | None:
    """Return one test for all ``terms``: those of one field are alternatives, negated ones and words stand alone."""
    groups: dict[str, tuple[str, ...]] = {}
    tests: list[Test[T]] = []
    for term in terms:
        if term.field and not term.negated:
            groups[term.field] = groups.get(term.field, ()) + term.values
        else:
            tests.append(_one(makers, term))
    tests = [makers[field](values) for field, values in groups.items()] + tests
    if len(tests) <= 1:
        return tests[0] if tests else None
    return lambda record: all(test(record) for test in tests)


def _one(makers: Makers[T], term: Term) -> Test[T]:
    test = makers[term.field](term.values)
    return (lambda record: not test(record)) if term.negated else test


# ---- texts


def _like(values: Iterable[str]) -> Test[str]:
    """Return the test whether a whole, non-empty text is like one of the globs ``values``."""
    folded = [fold(value) for value in values]
    if not any(_GLOB.search(value) for value in folded):
        exact = frozenset(folded)
        return lambda text: fold(text) in exact
    pattern = re.compile("|".join(fnmatch.translate(value) for value in folded))
    return lambda text: bool(text) and pattern.match(fold(text)) is not None


def _containing(values: Iterable[str]) -> Test[str]:
    """Return the test whether one of ``values`` stands somewhere in a text."""
    values = list(values)
    if len(values) == 1 and not _GLOB.search(values[0]):
        only = fold(values[0])
        return lambda text: only in fold(text)
    return _like(f"*{value}*" for value in values)


def _beginning(values: Iterable[str]) -> Test[str]:
    return _like(f"{value}*" for value in values)


def _remembered(test: Test[str]) -> Test[str]:
    """Decide each text once: a fleet has few images and states."""
    known: dict[str, bool] = {}

    def matches(text: str) -> bool:
        answer = known.get(text)
        if answer is None:
            answer = known[text] = test(text)
        return answer

    return matches


# ---- what each field of a container is held against


def _container_state(values: tuple[str, ...]) -> Test[Container]:
    stale = any(fold(value) in {_STALE, _UNKNOWN} for value in values)
    test = _remembered(_like(values))
    return lambda container: stale if container.stale else test(container.state)


def _container_image(values: tuple[str, ...]) -> Test[Container]:
    like = _like(values)
    test = _remembered(lambda image: any(map(like, _spellings(image))))
    return lambda container: test(container.image)


def _spellings(image: str) -> list[str]:
    """Return what people call an image: without registry, without folders, each with and without tag and digest."""
    parts = image.split("/")
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    untagged = [re.sub(r"(:[^:/@]*)?(@.*)?$", "", tail) for tail in tails]
    return tails + [tail.partition("@")[0] for tail in tails] + untagged


def _container_port(values: tuple[str, ...]) -> Test[Container]:
    like = _like(value if "/" in value else f"{value}/*" for value in values)

    def open_at(port: Port) -> bool:
        return like(f"{port.private}/{port.type}") or (port.public > 0 and like(f"{port.public}/{port.type}"))

    return lambda container: any(map(open_at, container.ports))


def _container_label(values: tuple[str, ...]) -> Test[Container]:
    wanted = [_label(value) for value in values]

    def matches(container: Container) -> bool:
        return any(key(name) and text(value) for name, value in container.labels.items() for key, text in wanted)

    return matches


def _label(value: str) -> tuple[Test[str], Test[str]]:
    key, told, text = value.partition("=")
    if told and not text:
        return _like([key]), lambda text: not text
    return _like([key]), _like([text]) if text not in {"", "*"} else _everything


def _container_id(values: tuple[str, ...]) -> Test[Container]:
    test = _beginning(values)
    return lambda container: test(container.engine_id) or test(container.id)


def _container_text(values: tuple[str, ...]) -> Test[Container]:
    test, by_id = _containing(values), _word_as_id(values)
    return lambda container: (
        test(f"{container.name}\n{container.image}\n{container.vm_name}")
        or (by_id is not None and container.engine_id.startswith(by_id))
    )


def _word_as_id(values: tuple[str, ...]) -> str | None:
    """Return the word as the beginning of an id, when it can be one: fewer digits would find too much."""
    word = values[0].lower()
    return word if re.fullmatch(f"[0-9a-f-]{{{_LEAST_ID_CHARACTERS},}}", word) else None


def _stale(values: tuple[str, ...], is_stale: Test[T]) -> Test[T]:
    wanted = {_TRUTH[value.lower()] for value in values}
    return lambda record: is_stale(record) in wanted


_CONTAINER: dict[str, Callable[[tuple[str, ...]], Test[Container]]] = {
    "": _container_text,
    "state": _container_state,
    "image": _container_image,
    "port": _container_port,
    "label": _container_label,
    "name": lambda values: _on(_like(values), lambda container: container.name),
    "id": _container_id,
    "health": lambda values: _on(_remembered(_like(values)), lambda container: container.health),
    "status": lambda values: _on(_remembered(_containing(values)), lambda container: container.status),
    "stale": lambda values: _stale(values, lambda container: container.stale),
    "problem": lambda values: _on(_remembered(_like(values)), lambda container: container.problem),
}


def _on(test: Test[str], text: Callable[[T], str]) -> Test[T]:
    return lambda record: test(text(record))


# ---- what each field of a VM is held against


def _vm_state(values: tuple[str, ...]) -> Test[Vm]:
    stale = any(fold(value) == _STALE for value in values)
    test = _like(values)
    return lambda vm: (stale and views.is_stale(vm)) or test(views.vm_state(vm))


def _either(values: tuple[str, ...], *texts: Callable[[Vm], str | None]) -> Test[Vm]:
    test = _like(values)
    return lambda vm: any(test(text(vm) or "") for text in texts)


def _vm_tag(values: tuple[str, ...]) -> Test[Vm]:
    test = _like(values)
    return lambda vm: any(map(test, vm.tags))


def _vm_text(values: tuple[str, ...]) -> Test[Vm]:
    test, by_id = _containing(values), _word_as_id(values)
    return lambda vm: (
        test("\n".join((vm.name, vm.pool_name, vm.host_name, *vm.tags, *vm.addresses)))
        or (by_id is not None and vm.id.startswith(by_id))
    )


def _vm_problem(vm: Vm) -> str:
    problem = views.vm_problem(vm)
    return problem.code if problem is not None else ""


_VM: dict[str, Callable[[tuple[str, ...]], Test[Vm]]] = {
    "": _vm_text,
    "state": _vm_state,
    "vm": lambda values: _either(values, lambda vm: vm.name, lambda vm: vm.id),
    "name": lambda values: _either(values, lambda vm: vm.name),
    "pool": lambda values: _either(values, lambda vm: vm.pool_name, lambda vm: vm.pool),
    "host": lambda values: _either(values, lambda vm: vm.host_name, lambda vm: vm.host),
    "id": lambda values: _on(_beginning(values), lambda vm: vm.id),
    "stale": lambda values: _stale(values, views.is_stale),
    "problem": lambda values: _on(_like(values), _vm_problem),
    "tag": _vm_tag,
}

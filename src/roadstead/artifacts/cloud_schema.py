"""Holds a cloud-config to the schemas of the cloud-inits that Debian ships, as ``cloud-init schema`` does in the guest.

Which of them runs in a guest nobody knows before it boots. So what all of them refuse is a fault, and what only some
refuse is a warning that names them. A name or a word that none of them knows is a warning too: a later cloud-init may.
"""

import difflib
import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import resources
from itertools import islice
from typing import Any, NamedTuple

import jsonschema
from jsonschema import FormatChecker, ValidationError

from roadstead.artifacts.yaml_values import Document, Path

VERSIONS = {"bookworm": "22.4 (Debian 12)", "trixie": "25.1 (Debian 13)", "sid": "26.2 (Debian sid)"}
"""The schemas in `cloud_init_schemas`, the newest last."""
MOST = 20
"""So many findings of one text are told."""
_SHOWN = 8
_NEWER = frozenset({"additionalProperties", "enum"})
"""What a later cloud-init may know."""
_TOLD = frozenset({"deprecated", "changed"})
_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "empty",
    "number": "a number",
    "object": "a map (`name: value`)",
    "string": "a text",
}


NEWEST = next(reversed(VERSIONS))


class Found(NamedTuple):
    """Something that a schema finds: where, what, and whether no cloud-init takes it."""

    path: Path
    reason: str
    is_fault: bool


class _One(NamedTuple):
    path: Path
    rule: str
    reason: str


def judge(document: Document) -> list[Found]:
    """Return what the schemas find in a cloud-config, at most `MOST`."""
    by_version = {name: list(islice(_errors(name, document.value), MOST)) for name in VERSIONS}
    found: dict[Path, Found] = {}
    for one in reversed(VERSIONS):
        for error in by_version[one]:
            if (error.rule not in _TOLD or one == NEWEST) and error.path not in found:
                found[error.path] = _found(error, [name for name in VERSIONS if _refuses(by_version[name], error)])
    return sorted(found.values(), key=lambda each: document.place(each.path))[:MOST]


def known(name: str) -> frozenset[str]:
    """Return what a version knows at the top."""
    said = schema(name)
    parts = [said, *(said["$defs"][part["$ref"].rpartition("/")[2]] for part in said["allOf"])]
    return frozenset(each for part in parts for each in part.get("properties", {}))


def _found(error: _One, refusing: list[str]) -> Found:
    where = ".".join(str(step) for step in error.path)
    said = f"{where}: {error.reason}" if where else error.reason
    if error.rule in _TOLD or len(refusing) == len(VERSIONS):
        return Found(error.path, said, error.rule not in _NEWER | _TOLD)
    names = " and ".join(VERSIONS[name] for name in refusing)
    return Found(error.path, f"{said}; only cloud-init {names} minds" if names else said, is_fault=False)


def _refuses(errors: Iterable[_One], one: _One) -> bool:
    """Whether one of the errors is at the same place, or at what is around it or in it: schemas differ in depth."""
    for error in errors:
        shared = min(len(error.path), len(one.path))
        if error.rule not in _TOLD and error.path[:shared] == one.path[:shared]:
            return True
    return False


def _errors(name: str, value: Any) -> Iterator[_One]:
    for unknown in sorted(value.keys() - known(name)):
        yield _One((unknown,), "additionalProperties", _unknown(unknown, known(name)))
    for error in _validator(name).iter_errors(value):
        if not (error.validator == "additionalProperties" and len(error.absolute_path) == 1):
            yield _One(tuple(error.absolute_path), _rule(error), _reason(error))


def _rule(error: ValidationError) -> str:
    """The name of a rule; no later cloud-init takes a list or a map for one of several words."""
    is_kind = error.validator == "enum" and not isinstance(error.instance, str)
    return "type" if is_kind else str(error.validator)


@cache
def schema(name: str) -> Any:
    """Return the schema of a version."""
    text = resources.files("roadstead.artifacts").joinpath("cloud_init_schemas", f"{name}.json").read_text("utf-8")
    return json.loads(text)


@cache
def _validator(name: str) -> Any:
    own: dict[str, Any] = {
        "additionalProperties": _additional,
        "anyOf": _any,
        "changed": _told,
        "deprecated": _told,
        "oneOf": _any,
        "required": _required,
        "uniqueItems": _unique,
    }
    extend: Any = jsonschema.validators.extend  # its types are not known
    made = extend(jsonschema.Draft4Validator, own)
    return made(schema(name), format_checker=FormatChecker())


# ---- rules that are judged otherwise than by the library: one error for each name, and the alternative that was meant


def _additional(_validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict) or allowed is not False:
        return
    names = schema.get("properties", {})
    matches = jsonschema.Draft4Validator({"type": "object", **_patterns(schema)})
    for name in instance.keys() - names.keys():
        if not _patterns(schema) or not matches.is_valid({name: None}):
            yield ValidationError(_unknown(name, names), path=[name])


def _patterns(schema: Any) -> dict[str, Any]:
    """A schema that refuses each name that matches."""
    named = schema.get("patternProperties", {})
    return {"patternProperties": {pattern: {"not": {}} for pattern in named}} if named else {}


def _any(validator: Any, choices: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """Of several that fit the first counts, as for cloud-init; of none the one that comes nearest."""
    nearest: list[ValidationError] = []
    missed: list[str] = []
    for number, choice in enumerate(choices):
        errors = list(validator.descend(instance, choice, schema_path=number))
        refusals = [error for error in errors if error.validator not in _TOLD]
        if not refusals:
            yield from errors
            return
        other = [error for error in refusals if error.validator == "type" and not error.path]
        if other:
            missed += [name for error in other for name in _names(error.validator_value)]
        elif not nearest or _weight(refusals) < _weight(nearest):
            nearest = refusals
    if nearest:
        yield from nearest
    else:
        yield ValidationError("", validator="type", validator_value=list(dict.fromkeys(missed)), instance=instance)


def _weight(errors: list[ValidationError]) -> tuple[bool, int]:
    """How far something is from an alternative: a wrong name or value is nearer than a kind of its own."""
    return any(error.validator == "required" for error in errors), len(errors)


def _told(_validator: Any, is_so: Any, _instance: Any, schema: Any) -> Iterator[ValidationError]:
    for kind in ("deprecated", "changed"):
        if is_so and schema.get(kind):
            since = schema.get(f"{kind}_version")
            about = schema.get(f"{kind}_description", "").strip()
            yield ValidationError(f"{kind} since cloud-init {since}. {about}".rstrip() if since else kind)
            return


def _required(_validator: Any, names: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    for name in names if isinstance(instance, dict) else ():
        if name not in instance:
            yield ValidationError(f"{name!r} is missing here")


def _unique(_validator: Any, is_so: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if is_so and isinstance(instance, list):
        written = [repr(each) for each in instance]
        if len(set(written)) < len(written):
            yield ValidationError("the same stands here twice; leave one out")


# ---- words


def _reason(error: ValidationError) -> str:
    worded = _WORDS.get(str(error.validator))
    return (worded(error) if worded else error.message)[:300]


def _wrong_type(error: ValidationError) -> str:
    wanted = _names(error.validator_value)
    said = f"must be {' or '.join(_TYPES.get(name, name) for name in wanted)}, and is {_kind(error.instance)}"
    return f"{said}{_remedy(wanted, error.instance)}"


def _remedy(wanted: list[str], instance: Any) -> str:
    if "string" in wanted and not isinstance(instance, dict | list | None):
        return "; write it in quotes"
    if "boolean" in wanted and isinstance(instance, str):
        return "; write true or false without quotes"
    if {"integer", "number"} & set(wanted) and isinstance(instance, str):
        return "; write a number without quotes"
    if "array" in wanted and not isinstance(instance, dict):
        return "; write each on a line of its own, after `- `"
    return ""


def _kind(instance: Any) -> str:
    for kind, words in ((bool, "true or false"), (str, "a text"), (int | float, "a number"), (dict, "a map")):
        if isinstance(instance, kind):
            return words
    return "a list" if isinstance(instance, list) else "empty" if instance is None else repr(instance)


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _unknown(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"cloud-init does not know {name!r} here" + (f"; is {near[0]!r} meant?" if near else "")


def _word(error: ValidationError) -> str:
    words = _names(error.validator_value)
    shown = ", ".join(str(each) for each in words[:_SHOWN])
    more = ", …" if len(words) > _SHOWN else ""
    return f"{str(error.instance)[:40]!r} is none of {shown}{more}"


_WORDS: dict[str, Callable[[ValidationError], str]] = {
    "enum": _word,
    "format": lambda error: f"{str(error.instance)[:40]!r} is no {error.validator_value}",
    "maxItems": lambda error: f"must have at most {error.validator_value} parts",
    "minItems": lambda error: f"must have at least {error.validator_value} part; leave it out, or fill it",
    "minProperties": lambda error: f"must have at least {error.validator_value} setting; leave it out, or fill it",
    "minimum": lambda error: f"must be at least {error.validator_value}",
    "not": lambda _: "the same setting stands here in two spellings; leave one out",
    "pattern": lambda error: f"{str(error.instance)[:40]!r} is not of the form {error.validator_value}",
    "type": _wrong_type,
}

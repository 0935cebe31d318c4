"""Why VMs are not watched: each is tried and told of, or the path to its engine is walked."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from roadstead.cli import failures
from roadstead.cli.api import client
from roadstead.cli.api.views import Vm, Why
from roadstead.cli.commands import checking, managing, names, targets
from roadstead.cli.display import doubt, empty, output, words
from roadstead.kit.text import terminal_clean

WELL = "Every managed VM is watched: none has a problem."


def explain(
    connected: client.Client, named: Sequence[str], filters: list[str] | None, format: str, *, deep: bool
) -> None:
    """Tell why the VMs that are named or searched for, or else those with a problem, are not watched.

    Raises `NotFoundError` when a search finds none. With ``deep``, ends the command by what worked.
    """
    # What names one VM is left to the server, so that it is asked once.
    is_one = len(named) == 1 and not filters and not names.is_pattern(named[0])
    vms = [Vm(id=named[0], name=named[0])] if is_one else _chosen(connected, named, filters)
    if format == "json":
        worked = _json(connected, vms, is_one=is_one, deep=deep)
    else:
        worked = [_told(connected, vm, deep=deep, place=None if is_one else at) for at, vm in enumerate(vms)]
    failures.leave(worked)


def _chosen(connected: client.Client, named: Sequence[str], filters: list[str] | None) -> list[Vm]:
    """Return the VMs; without any that are named, those that are managed and have a problem. Says so when none has."""
    if named or filters:
        return targets.vms(connected, named, filters)
    every = connected.get(list[Vm], "/vms")
    found = sorted((vm for vm in every if vm.problem is not None), key=lambda vm: vm.name)
    if not every:
        empty.vms(connected, None)
    elif not found:
        empty.say(WELL)
    return found


def _json(connected: client.Client, vms: Sequence[Vm], *, is_one: bool, deep: bool) -> list[bool]:
    """Print what is known of each; with ``deep`` the steps, with several VMs beside whose they are."""
    told: list[Any]
    if not deep:
        told, worked = [connected.get(Any, _path(vm)) for vm in vms], []
    else:
        steps = [checking.found(connected, vm.id) for vm in vms]
        worked = [checking.is_passed(each) for each in steps]
        told = (
            steps
            if is_one
            else [{"vm": vm.id, "name": vm.name, "steps": each} for vm, each in zip(vms, steps, strict=True)]
        )
    output.write_json(msgspec.json.encode(told[0] if is_one else told))
    return worked


def _told(connected: client.Client, vm: Vm, *, deep: bool, place: int | None) -> bool:
    """Print what is known of a VM, or walk to it; ``place`` is its place among several."""
    if place:
        output.write([""])
    if not deep:
        _write(connected.ask(_path(vm)).read(Why))
        return True
    if place is not None:
        output.write([output.bold(terminal_clean(vm.name))])
    return checking.check(connected, vm.id)


def _write(told: Why) -> None:
    """Print what stands between us and a VM, what to do about it, and what is known."""
    state = output.paint_state(told.state) if output.is_coloured() else told.state
    is_silent = told.problem is not None and told.problem.code == doubt.CODE
    output.write(
        [f"{output.bold(terminal_clean(told.name))}: {state}{', but it does not answer' if is_silent else ''}"]
    )
    if told.problem is not None:
        since = words.age(told.problem.since, datetime.now(UTC))
        facts = [
            ("Problem", f"{told.problem.code}, since {since}" if told.problem.since else told.problem.code),
            ("Cause", told.problem.cause),
            ("Remedy", told.problem.remedy),
        ]
        output.write(["", *map(terminal_clean, managing.pairs(facts))])
    if told.facts:
        output.write(["", *map(terminal_clean, managing.pairs(told.facts))])


def _path(vm: Vm) -> str:
    return f"/vms/{client.part(vm.id)}/why"

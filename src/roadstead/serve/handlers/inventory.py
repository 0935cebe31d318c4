"""Reading the inventory: lists, single records, tree, search, health."""

import time
from collections.abc import Iterator
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from roadstead.errors import NotFoundError
from roadstead.inventory import names, search, views
from roadstead.model import Container, ContainerId, Vm
from roadstead.serve import answers, shapes
from roadstead.serve.calls import VERSION, Call
from roadstead.serve.handlers.parameters import EnginePart, Fields, Filter, Names, VmPart


def show_health(call: Call) -> Response:
    """Tell that the server works, its version, and how much it holds."""
    known = call.store.statistics()
    health = shapes.Health(
        version=VERSION,
        number=call.store.number,
        uptime_seconds=round(time.monotonic() - call.services.began, 3),
        pools=known["pools"],
        vms=known["vms"],
        containers=known["containers"],
        statistics={
            **{part: dict(figures) for part, figures in call.services.statistics().items()},
            "readers": {"open": call.services.readers.count},
        },
    )
    return answers.record(health)


def list_hosts(call: Call) -> Response:
    """List the hosts of all pools."""
    return answers.pieces(answers.listed(list(call.store.hosts.values())), call.store.number)


def list_vms(call: Call, q: Filter = "", fields: Fields = None) -> Response:
    """List VMs with how each stands with us, managed or not.

    In a filter a field of containers finds the VMs of which one container has all of them.
    """
    query, row = search.parse(q, "vm"), answers.columns(views.VmView, fields)
    moment = views.Moment(call.store)

    def shape(vm: Vm) -> object:
        view = views.vm_view(vm, moment.containers_of(vm.id).values())
        return view if row is None else row(view)

    parts = answers.listed(moment.vms.values(), query.vms(moment.containers_of), shape)
    return answers.pieces(parts, call.store.number)


def list_containers(call: Call, q: Filter = "", fields: Fields = None) -> Response:
    """List the containers of all VMs, whatever their state."""
    query, row = search.parse(q, "container"), answers.columns(Container, fields)
    keep = query.containers(dict(call.store.vms)) if q else None
    return answers.pieces(answers.listed(list(call.store.containers()), keep, row), call.store.number)


def match_containers(call: Call, name: Names) -> Response:
    """Tell which containers names name: one each, or as many as a glob finds; each container once."""
    found = names.find_containers(call.store, name)
    return answers.pieces(answers.listed(found, shape=shapes.match), call.store.number)


def show_container(call: Call, vm: VmPart, engine_id: EnginePart) -> Response:
    """Show one container."""
    return answers.record(existing(call, vm, engine_id))


def existing(call: Call, vm: str, engine_id: str) -> Container:
    """Return the container of these ids. Raises `NotFoundError` ``no-such-container``."""
    id = ContainerId(f"{vm}/{engine_id}")
    container = call.store.container(id)
    if container is None:
        raise NotFoundError("no-such-container", name=id)
    return container


def show_tree(call: Call) -> Response:
    """Show pools, their hosts, the hosts' VMs and the VMs' containers, all by name."""
    return answers.pieces(_tree(views.Tree(call.store)), call.store.number)


def _tree(tree: views.Tree) -> Iterator[bytes]:
    separator = b"["
    for pool in tree.pools:
        yield separator + answers.opened(pool) + b',"hosts":'
        inner = b"["
        for host in tree.hosts(pool.id):
            yield inner + answers.opened(host) + b',"vms":'
            yield from answers.listed(tree.vms(pool.id, host.id), batch_records=1)
            inner = b"},"
        yield b'[],"vms":' if inner == b"[" else b'}],"vms":'
        yield from answers.listed(tree.vms(pool.id, None), batch_records=1)
        separator = b"},"
    yield b"[]" if separator == b"[" else b"}]"


def search_everything(call: Call, q: Annotated[Filter, Query(min_length=1)]) -> Response:
    """Find VMs and containers of all pools by one filter."""
    query, moment = search.parse(q), views.Moment(call.store)
    return answers.pieces(_found(query, moment, list(call.store.containers())), call.store.number)


def _found(query: search.Query, moment: views.Moment, containers: list[Container]) -> Iterator[bytes]:
    def view(vm: Vm) -> views.VmView:
        return views.vm_view(vm, moment.containers_of(vm.id).values())

    yield b'{"vms":'
    yield from answers.listed(moment.vms.values(), query.vms(moment.containers_of), view)
    yield b',"containers":'
    yield from answers.listed(containers, query.containers(moment.vms))
    yield b"}"

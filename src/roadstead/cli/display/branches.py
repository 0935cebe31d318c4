"""The tree of pools, hosts, VMs and containers, drawn with lines."""

import sys
from collections.abc import Iterator
from typing import Any

from roadstead.cli.display import output
from roadstead.kit.text import terminal_clean

Node = tuple[str, list[Any]]


def write(pools: list[dict[str, Any]]) -> None:
    """Print the tree that the server answered with."""
    if not pools:
        output.write(["No pool is known yet; `roadstead pool add URL` adds one."])
    for pool in pools:
        text, below = _pool(pool)
        output.write([text, *lines(below, _strokes())])


def lines(nodes: list[Node], strokes: tuple[str, str, str, str], before: str = "") -> Iterator[str]:
    """Yield a line for each node and those below it, each behind its ``strokes``."""
    branch, last, through, empty = strokes
    for at, (text, below) in enumerate(nodes):
        is_last = at == len(nodes) - 1
        yield before + (last if is_last else branch) + text
        yield from lines(below, strokes, before + (empty if is_last else through))


def _strokes() -> tuple[str, str, str, str]:
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return ("├─ ", "└─ ", "│  ", "   ") if encoding == "utf8" else ("|- ", "`- ", "|  ", "   ")


def _pool(pool: dict[str, Any]) -> Node:
    below = [_host(host) for host in pool.get("hosts") or []]
    off = [_vm(vm) for vm in pool.get("vms") or []]
    if off:
        below.append(("on no host", off))
    return output.bold("pool " + _text(pool, "name")) + ("" if pool.get("live", True) else "  (not connected)"), below


def _host(host: dict[str, Any]) -> Node:
    return "host " + _text(host, "name"), [_vm(vm) for vm in host.get("vms") or []]


def _vm(vm: dict[str, Any]) -> Node:
    state, problem = _text(vm, "state"), vm.get("problem")
    reason = f"  {_text(problem, 'code')}" if isinstance(problem, dict) else ""
    return f"{_text(vm, 'name')}  {_painted(state)}{reason}", [_container(c) for c in vm.get("containers") or []]


def _container(container: dict[str, Any]) -> Node:
    state = _text(container, "state")
    shown = f"unknown (was {state})" if container.get("stale") else state
    return f"{_text(container, 'name')}  {_painted(shown)}  {_text(container, 'image')}", []


def _painted(state: str) -> str:
    return output.paint_state(state) if output.is_coloured() else state


def _text(record: dict[str, Any], name: str) -> str:
    return terminal_clean(str(record.get(name) or ""))

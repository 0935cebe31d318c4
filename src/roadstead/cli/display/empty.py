"""What a list without rows says: why it has none, and what to do. On stderr, so that programs still read a table.

Imported, and asked for, only when there are no rows.
"""

import re
import sys

from roadstead.cli.api import client
from roadstead.cli.api.views import Pool, Vm
from roadstead.cli.display import words

NO_MATCH = "Nothing matches."
NO_POOL = "No pool is known yet: `roadstead pool add URL` makes one known."
NO_VM = "The pools that are known have no VM."
NOT_MANAGED = "No VM is managed yet: `roadstead enable VM` has its containers shown."
NO_CONTAINER = "The managed VMs have no containers."
SPLIT = " Words with a space between are terms of their own: a value with a space is written {value}."
_FIELD_THEN_WORDS = re.compile(r"""([a-z]+):([^\s":,]+(?:\s+[^\s":,-][^\s":,]*)+)$""")
"""A field with a bare value, and bare words after it to the query's end: often a name with spaces."""


def containers(connected: client.Client, query: str | None = None) -> None:
    """Say why there are no containers."""
    say(why(connected, query))


def why(connected: client.Client, query: str | None = None) -> str:
    """Return why there are no containers."""
    return _no_match(query) if query else _no_containers(connected)


def vms(connected: client.Client, query: str | None) -> None:
    """Say why there are no VMs."""
    say(_no_match(query) if query else NO_VM if _pools(connected) else NO_POOL)


def pools() -> None:
    """Say how a pool is made known."""
    say(NO_POOL)


def say(sentence: str) -> None:
    """Print ``sentence`` after what was printed so far."""
    sys.stdout.flush()
    print(sentence, file=sys.stderr)


def _no_match(query: str) -> str:
    split = _FIELD_THEN_WORDS.search(query)
    return NO_MATCH + SPLIT.format(value=f'{split[1]}:"{split[2]}"') if split else NO_MATCH


def _no_containers(connected: client.Client) -> str:
    managed = [vm for vm in connected.get(list[Vm], "/vms", {"fields": "enabled,state"}) if vm.enabled]
    if not managed:
        return NOT_MANAGED if _pools(connected) else NO_POOL
    if broken := sum(vm.state == "broken" for vm in managed):
        return f"{words.counted(broken, 'VM')} cannot be heard: `roadstead vms -f state:broken` lists them."
    return NO_CONTAINER


def _pools(connected: client.Client) -> list[Pool]:
    return connected.get(list[Pool], "/pools")

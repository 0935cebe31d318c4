"""A plain `roadstead ps`, the most frequent command, without the parser of the command line.

To import the parser and to build all commands takes as long as to list 20,000 containers. Nothing is decided here:
the same functions ask, print and tell what goes wrong. What reads the answer is imported while the server writes it.
"""

import gc
import os
from collections.abc import Sequence
from typing import Any

from roadstead.cli import failures
from roadstead.cli.api import client
from roadstead.cli.display import output

CONTAINERS = "/containers"
SHOWN = "name,vm_name,image,state,health,ports,created,started,exit_code,as_of,stale"
"""The fields that `ps` shows."""
BY_NAME = "vm_name,name"
"""The order in which it shows containers."""


def ran(arguments: Sequence[str]) -> bool:
    """Run a plain `ps`, with or without the server's address before it; return False for anything else."""
    match list(arguments):
        case ["ps"]:
            address = os.environ.get("ROADSTEAD_SERVER")
        case ["--server", address, "ps"]:
            pass
        case _:
            return False
    try:
        server = client.server_at(address)
    except client.AddressInvalid:
        return False  # the parser says what is wrong with it
    # It ends before garbage would matter: to look for it among 20,000 rows takes a tenth of the time.
    gc.disable()
    output.prepare()
    with failures.ending():
        connected = client.Client(server)
        waiting = connected.ask(CONTAINERS, {"fields": SHOWN})
        from roadstead.cli.display import rows

        conclude(connected, rows.write(waiting, BY_NAME, wide=False, cut=True))
    return True


def conclude(connected: client.Client, shown: list[Any], query: str | None = None) -> None:
    """Say below a list of containers what it cannot show: why there are none, or which VMs do not answer."""
    if shown:
        from roadstead.cli.display import doubt

        doubt.tell(connected, shown)
    else:
        from roadstead.cli.display import empty

        empty.containers(connected, query)

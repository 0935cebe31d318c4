"""The most frequent command, asked for before the command line is even imported.

Importing the commands takes longer than the server needs for its answer. So what a plain `roadstead ps` asks is asked
at once and read in a thread meanwhile; the command finds it ready, if it asks the very same thing. Whatever else was
typed is asked in its turn.
"""

import os
from collections.abc import Sequence

from roadstead.cli import client
from roadstead.errors import RoadsteadError

CONTAINERS = "/containers"
SHOWN = "name,vm_name,image,state,health,ports,created,started,exit_code,as_of,stale"
"""The fields that `ps` shows."""


def asked(arguments: Sequence[str]) -> client.Ahead | None:
    """Return what was asked because of these arguments; None when they are no plain `ps`, or nobody can be asked:
    then the command says so.
    """
    match list(arguments):
        case ["ps"]:
            address = os.environ.get("ROADSTEAD_SERVER")
        case ["--server", address, "ps"]:
            pass
        case _:
            return None
    try:
        return client.Client(client.server_at(address)).ask_ahead(CONTAINERS, {"fields": SHOWN})
    except (client.AddressInvalid, RoadsteadError):
        return None

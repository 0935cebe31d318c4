"""What `roadstead lab do` can be told: how each verb is typed, and what it does; quick to import,
since the help shows it.
"""

from typing import NamedTuple

_CELLS = 26


class Usage(NamedTuple):
    """How a verb is typed and what it does; `needs` names the arguments that it cannot do without."""

    arguments: str
    does: str

    @property
    def needs(self) -> list[str]:
        """Its arguments that are not in brackets."""
        return [word for word in self.arguments.split() if not word.startswith("[")]


VERBS: dict[str, Usage] = {
    "start": Usage("VM [HOST]", "switch it on, on the host of this number"),
    "stop": Usage("VM", "switch it off"),
    "migrate": Usage("VM [HOST]", "move it to another host while it runs"),
    "rename": Usage("VM NAME", "call it something else"),
    "create": Usage("NAME [CONTAINERS]", "make a VM with a guest, running"),
    "destroy": Usage("VM", "delete it with its guest"),
    "address": Usage("VM [ADDRESS,…]", "let its guest tools announce these, or none"),
    "config": Usage("VM [KEY[=VALUE]]", "show its other_config; set a key of it, or remove it"),
    "bring": Usage("VM", "move a VM of the second pool to this one, with its keys"),
    "admit": Usage("VM", "let the pool's key into its guest"),
    "run-cd": Usage("VM", "run what is on the CD in its drive, as its administrator would"),
    "host-key": Usage("VM", "give its guest another SSH host key, as a reinstalled one has"),
    "raw": Usage("VM", "make its guest one that nobody has prepared; its user has the pool's password"),
    "door": Usage("VM", "the words with which `lab enter` runs a command in its guest"),
    "truth": Usage("", "what the guests themselves know of their containers"),
    "rate": Usage("EVENTS/S", "how often containers change by themselves, in all"),
    "master": Usage("HOST [lost]", "make this host the master; lost: the former one dies"),
    "restart": Usage("[crash]", "restart XAPI on the master; crash: what it had not kept is lost"),
    "sessions": Usage("", "end the sessions of all clients"),
    "certificate": Usage("HOST", "give a host another certificate"),
    "mood": Usage("MOOD [HOST]", "let hosts be well, closes, silent, garbage or fails"),
    "host": Usage("HOST up|down", "let a host die or come back"),
    "lose-deletions": Usage("CLASS", "forget which objects of a class were deleted, as XAPI may"),
}
"""Every verb."""


def told() -> str:
    """Return a line for each verb, for the help."""
    lines = (f"  {f'{verb} {each.arguments}':<{_CELLS}}{each.does}".rstrip() for verb, each in VERBS.items())
    return "\b\nVerbs:\n" + "\n".join(lines)

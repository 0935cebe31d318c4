"""Firewall rules for every place and dialect, from one rule set: pure text, the same for the same rule set."""

from collections.abc import Callable
from typing import NamedTuple

from roadstead.artifacts.firewall import firewalld, iptables, nft, windows
from roadstead.errors import InputError
from roadstead.model.firewall import Place, RuleSet


class Dialect(NamedTuple):
    """What rules are written for."""

    render: Callable[[RuleSet], str]
    undo: Callable[[], str]
    places: tuple[Place, ...]


DIALECTS = {
    "nft": Dialect(nft.render, nft.undo, tuple(Place)),
    "iptables": Dialect(iptables.render, iptables.undo, tuple(Place)),
    "firewalld": Dialect(firewalld.render, firewalld.undo, (Place.GUEST,)),
    "windows": Dialect(windows.render, windows.undo, (Place.GUEST,)),
}


def render(dialect: str, rules: RuleSet) -> str:
    """Return the rules in ``dialect``. Raises `InputError` ``firewall-place-unsupported``."""
    known = DIALECTS[dialect]
    if rules.place not in known.places:
        places = ", ".join(known.places)
        raise InputError("firewall-place-unsupported", dialect=dialect, place=rules.place, places=places)
    return known.render(rules)


def undo(dialect: str) -> str:
    """Return what takes the rules of ``dialect`` away, whichever place they were for."""
    return DIALECTS[dialect].undo()

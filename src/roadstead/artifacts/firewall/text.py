"""Comments in rule files. Names in them are other people's text: a newline in one would be a rule.

Only printable ASCII stays: a shell or PowerShell may read a file in another encoding than it was written in, and there
a letter of ours can swallow the end of its line.
"""

from roadstead.kit.text import terminal_clean
from roadstead.model.firewall import Place, RuleSet

CHARACTERS = 200
"""How long one comment may be."""
_PLACES = {
    Place.ROUTER: "a router between management and guests",
    Place.GUEST: "a guest",
    Place.DOM0: "the control domain of a host",
}
_SAID = {
    Place.ROUTER: "Of what it forwards from or to management and guests everything else is dropped.",
    Place.GUEST: "What is from or to management besides is dropped; other networks are not judged.",
    Place.DOM0: "What is from or to these guests besides is dropped; other machines are not judged.",
}
_BETWEEN = "Between management and guests everything else is dropped; what is from or to others is not judged."


def comment(text: str) -> str:
    """Return ``text`` as one line of comment that nothing can be read out of but a comment."""
    shown = terminal_clean(text).encode("ascii", "replace").decode("ascii").replace("\\", "?")
    return f"# - {shown[:CHARACTERS]}".rstrip()


def commented(rules: RuleSet, usage: str) -> list[str]:
    """Return what a file says of itself: what it is for, how it is used, and what the rule set notes."""
    said = _BETWEEN if rules.place is Place.ROUTER and rules.strangers else _SAID[rules.place]
    return [
        f"# Roadstead: rules for {_PLACES[rules.place]}. Management opens connections to guests, guests only answer.",
        f"# {said}",
        f"# Use: {usage}   (again after a change; the undo is printed with --undo)",
        *map(comment, rules.notes),
        "",
    ]

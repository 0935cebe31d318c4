"""The codes of firewall rules and of their check."""

from roadstead.errors.row import Code

FIREWALL = {
    "firewall-checked-already": Code(
        409, "Another check of firewalls is under way.", "Wait for its end (a minute at most), then ask again."
    ),
    "firewall-nothing-known": Code(
        409,
        "No {what} is known, and rules without one would let nothing through.",
        "Name it with {option}.",
    ),
    "firewall-place-unsupported": Code(
        422, "There are no rules of {dialect} for the place {place}.", "With {dialect} the places are: {places}."
    ),
    "firewall-too-much": Code(
        422, "{count} VMs are managed there, and no more than {limit} are checked at once.", "Name one with --vm."
    ),
}

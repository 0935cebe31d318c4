"""Who may do what: XAPI's roles, who can sign in, and which role a call needs."""

from __future__ import annotations

import enum
import hmac
from dataclasses import dataclass

from roadstead.lab.pool import failures
from roadstead.lab.pool.database import Database
from roadstead.lab.pool.values import NULL


class Role(enum.IntEnum):
    """XAPI's roles; each includes those before it."""

    READ_ONLY = 0
    VM_OPERATOR = 1
    VM_ADMIN = 2
    VM_POWER_ADMIN = 3
    POOL_OPERATOR = 4
    POOL_ADMIN = 5

    @property
    def label(self) -> str:
        """The role as XAPI spells it."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def of(cls, label: str) -> Role:
        """The role that XAPI spells so."""
        return cls[label.upper().replace("-", "_")]


_AS_LISTED = (
    Role.VM_POWER_ADMIN,
    Role.VM_OPERATOR,
    Role.VM_ADMIN,
    Role.READ_ONLY,
    Role.POOL_ADMIN,
    Role.POOL_OPERATOR,
)
"""The order in which a refusal lists the roles that would have sufficed."""

ROOT = "root"


@dataclass(frozen=True, slots=True)
class Account:
    """Whose session it is, with the role that he had when he signed in; the superuser passes every check."""

    name: str
    role: Role
    superuser: bool = False
    identifier: str = ""
    """By what the directory knows a subject."""
    subject: str = NULL
    """The subject's reference."""


ROOT_ACCOUNT = Account(ROOT, Role.POOL_ADMIN, superuser=True)
INTERNAL = Account("", Role.POOL_ADMIN, superuser=True)
"""Whose session the hosts of a pool use among themselves."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the directory that the pool asks who somebody is, and what he is in a new pool."""

    identifier: str
    role: Role | None = None
    is_subject: bool = True


DIRECTORY = {
    **{role.label: Person(f"u{1000 + role}", role) for role in Role},
    "norole": Person("u1006"),
    "stranger": Person("u1007", is_subject=False),
}
"""By name: one for each role, named like it, a subject without a role, and somebody who is no subject of the pool.
All have the pool's password."""


def sign_in(database: Database, name: str, password: str, expected: str) -> Account:
    """The account `name`, when the password is right and the pool lets it in."""
    person = DIRECTORY.get(name)
    if person is None and name != ROOT:
        reason = "User not known to the underlying authentication module"
        raise failures.Failure("SESSION_AUTHENTICATION_FAILED", name, reason)
    if not hmac.compare_digest(password.encode(), expected.encode()):
        raise failures.Failure("SESSION_AUTHENTICATION_FAILED", name, "Authentication failure")
    return ROOT_ACCOUNT if person is None else _subject(database, name, person)


def _subject(database: Database, name: str, person: Person) -> Account:
    """Somebody of the directory as the pool's subject that he is now."""
    who = f"Subject {name} (identifier {person.identifier})"
    found = [ref for ref, each in database.all("subject") if each["subject_identifier"] == person.identifier]
    if not found:
        raise failures.Failure("SESSION_AUTHORIZATION_FAILED", name, f"{who} is not authorized in this pool")
    roles = [Role.of(database.get("role", ref)["name_label"]) for ref in database.get("subject", found[0])["roles"]]
    if not roles:
        reason = f"{who} has no roles in this pool"
        raise failures.Failure("RBAC_PERMISSION_DENIED", "session.login_with_password", reason)
    return Account(name, max(roles), identifier=person.identifier, subject=found[0])


def check(account: Account, permission: str, needed: Role) -> None:
    """RBAC_PERMISSION_DENIED unless the account may do what needs the role `needed`."""
    if account.superuser or account.role >= needed:
        return
    enough = ", ".join(role.label for role in _AS_LISTED if role >= needed)
    reason = f"No permission in user session. (Roles with this permission: {enough})"
    raise failures.Failure("RBAC_PERMISSION_DENIED", permission.lower(), reason)


_FREE_KEYS = frozenset({"folder", "EMPTY_FOLDERS", "XenCenterCreateInProgress"})
_FREE_BEGINNING = "XenCenter.CustomFields."
_GUARDED_KEYS = frozenset({"pci", "hvm_serial"})
"""Keys with which a VM reaches the host."""


def role_for_key(kind: str, key: str, otherwise: Role) -> Role:
    """The role that a change of this key of an `other_config` needs."""
    if key in _FREE_KEYS or key.startswith(_FREE_BEGINNING):
        return min(Role.VM_OPERATOR, otherwise)
    return Role.POOL_ADMIN if kind == "VM" and key in _GUARDED_KEYS else otherwise


NAMED_KEYS = {"VM": ("folder", "XenCenter.CustomFields.*", "pci", "hvm_serial")}
"""Keys that have permissions of their own, as the lists of permissions name them; other classes have the first two."""

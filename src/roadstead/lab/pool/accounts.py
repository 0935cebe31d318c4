"""Who may do what: XAPI's roles, the lab's accounts, and which role a call needs."""

from __future__ import annotations

import enum
import hmac
from dataclasses import dataclass

from roadstead.lab.pool import failures


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
    """Somebody who can sign in; the superuser passes every check."""

    name: str
    role: Role
    superuser: bool = False


ACCOUNTS = {
    ROOT: Account(ROOT, Role.POOL_ADMIN, superuser=True),
    **{role.label: Account(role.label, role) for role in Role},
}
"""The lab's accounts: root, and one for each role, named like the role.  All have the pool's password."""


INTERNAL = Account("", Role.POOL_ADMIN, superuser=True)
"""Whose session the hosts of a pool use among themselves."""


def sign_in(name: str, password: str, expected: str) -> Account:
    """The account `name`, when the password is right."""
    account = ACCOUNTS.get(name)
    if account is None:
        reason = "User not known to the underlying authentication module"
        raise failures.Failure("SESSION_AUTHENTICATION_FAILED", name, reason)
    if not hmac.compare_digest(password.encode(), expected.encode()):
        raise failures.Failure("SESSION_AUTHENTICATION_FAILED", name, "Authentication failure")
    return account


def check(account: Account, permission: str, needed: Role) -> None:
    """RBAC_PERMISSION_DENIED unless the account may do what needs the role `needed`."""
    if account.superuser or account.role >= needed:
        return
    enough = ", ".join(role.label for role in _AS_LISTED if role >= needed)
    reason = f"No permission in user session. (Roles with this permission: {enough})"
    raise failures.Failure("RBAC_PERMISSION_DENIED", permission.lower(), reason)


_FREE_KEYS = ("folder", "XenCenter.CustomFields.")
_GUARDED_KEYS = ("pci", "hvm_serial")


def role_for_key(key: str, otherwise: Role) -> Role:
    """The role that a change of this key of an `other_config` needs."""
    if key == _FREE_KEYS[0] or key.startswith(_FREE_KEYS[1]):
        return Role.VM_OPERATOR
    return Role.POOL_ADMIN if key in _GUARDED_KEYS else otherwise

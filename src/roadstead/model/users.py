r"""The names of users in guests: one rule, whether a person says a name, a VM's ``other_config``, or the guest itself.

They are names of Linux and of directories that guests join: ``DOM\ann``, ``ann@corp.example``, a machine's ``svc$``.
None begins as an option does, and none has what a shell would read at once; a backslash and the last ``$`` are quoted.
"""

import re

USER = r"[A-Za-z0-9_.@\\][A-Za-z0-9_.@\\-]{0,63}\$?"
_USER = re.compile(USER)


def is_user(text: str) -> bool:
    """Whether ``text`` can be the name of a user."""
    return _USER.fullmatch(text) is not None

"""Why a line of ``authorized_keys`` could not be written, in words for people, and what mends it."""

from typing import NamedTuple

from roadstead.artifacts.key_lines import Answer


class Fault(NamedTuple):
    """``reason`` ends a sentence, ``remedy`` begins one."""

    reason: str
    remedy: str


FAULTS = {
    Answer.OWNER: Fault(
        "its authorized_keys belongs to another user, and may not be written",
        "As root in the guest, give that file to the user (`chown`)",
    ),
    Answer.MODE: Fault(
        "its authorized_keys is read-only by its mode", "Let the user write the file again (`chmod u+w`)"
    ),
    Answer.HELD: Fault(
        "its authorized_keys has an attribute that forbids changes (`chattr +i`, `+a`), or stands on a read-only file"
        " system",
        "As root in the guest, take the attribute away (`lsattr` shows it, `chattr -ia` takes it away), or mount the"
        " file system writable",
    ),
    Answer.FOLDER: Fault(
        "the folder of its authorized_keys may not be written by the user",
        "As root in the guest, give that folder to the user (`chown`, `chmod 700`), or look at its attributes"
        " (`lsattr -d`) and whether its file system is read-only",
    ),
    Answer.KIND: Fault(
        "its authorized_keys is no regular file (but a folder, a FIFO or a link to nothing)",
        "Look at it with `ls -ld`, and move it away",
    ),
    Answer.GROUP: Fault(
        "its authorized_keys belongs to a group or a user to whom this one cannot give a copy",
        "As root in the guest, give that file to the user and a group of its own (`chown`, `chgrp`)",
    ),
    Answer.BITS: Fault(
        "its authorized_keys has mode bits that a copy does not keep (setuid, setgid, sticky)",
        "Take them away (`chmod u-s,g-s,-t`)",
    ),
    Answer.CHANGED: Fault("somebody else was just writing its authorized_keys", "Wait until that has ended"),
    Answer.NO_FILE: Fault(
        "its SSH server reads no file of keys for this user (`AuthorizedKeysFile none`, or a name that it refuses)",
        "Let AuthorizedKeysFile in its sshd_config name a file",
    ),
}
"""Of the answers that say so."""

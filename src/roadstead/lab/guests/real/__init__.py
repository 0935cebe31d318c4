"""Real guests: OpenSSH's sshd and a dockerd with busybox containers, each in namespaces of its own, on one machine.

They exist because no fake can show what the real ones do.  Nothing is added to the machine: the accounts, the keys
and the sockets of a guest are seen inside its namespaces only, and what it keeps is in the lab's state folder.
"""

from roadstead.lab.guests.real.guest import RealGuest
from roadstead.lab.guests.real.kinds import ENGINES, Kind
from roadstead.lab.guests.real.machine import PLAIN_KEY, RESTRICTED_KEY
from roadstead.lab.guests.real.maker import RealGuests
from roadstead.lab.guests.real.workload import Recipe

__all__ = ["ENGINES", "PLAIN_KEY", "RESTRICTED_KEY", "Kind", "RealGuest", "RealGuests", "Recipe"]

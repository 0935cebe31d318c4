"""Programs that real guests have no use for, because nothing like systemd runs in them: stand-ins that note what they
were told, and do as much of it as a story needs.
"""

from __future__ import annotations

from collections.abc import Sequence

from roadstead.lab.guests.real import RealGuest
from roadstead.lab.guests.real.kinds import USER

FOLDER = "/usr/bin"
"""Where the real ones are, which the guest's own layer hides: not every path begins with /usr/local/bin."""
UNITS = "/run/units"
SYSTEMCTL = f"""\
#!/bin/sh
# A stand-in: it notes who said what, keeps what is enabled, and starts what there is a script for.
me=$(id -un); who=system; units=/usr/lib/systemd/system
if [ "$1" = --user ]; then
shift; who=$me; units=/usr/lib/systemd/user
[ "$XDG_RUNTIME_DIR" = "/run/user/$(id -u)" ] || {{ echo "Failed to connect to user scope bus" >&2; exit 1; }}
fi
for unit; do :; done; case $unit in *.*) ;; *) unit=$unit.service;; esac
[ "$1" = is-enabled ] || echo "$me: $who: $*" >>{UNITS}/told
case $1 in
is-enabled) [ -e {UNITS}/$who-$unit ]; exit;;
enable) [ -e $units/$unit ] || [ -e {UNITS}/unit-$who-$unit ] || {{ echo "Unit $unit does not exist" >&2; exit 1; }}
touch {UNITS}/$who-$unit
[ "$2" != --now ] || sh {UNITS}/start-$who-$unit;;
esac
"""
LOGINCTL = f"""\
#!/bin/sh
# A stand-in: root lets anybody linger, others themselves.
me=$(id -un); echo "$me: loginctl $*" >>{UNITS}/told
case "$me: $*" in
"root: enable-linger {USER}") ;;
"{USER}: --no-ask-password enable-linger")
[ ! -e {UNITS}/refuses ] || {{ echo "Could not enable linger: Access denied" >&2; exit 1; }};;
*) exit 1;;
esac
touch /var/lib/systemd/linger/{USER}
"""
PKCHECK = """\
#!/bin/sh
case "$*" in "--action-id org.freedesktop.login1.set-self-linger --process "[0-9]*) exit 0;; *) exit 1;; esac
"""


async def put(guest: RealGuest, path: str, text: str) -> None:
    """Put a program into the guest, for everybody there."""
    assert guest.machine.kind.root is not None, "it would be this machine's own that is replaced"
    await tell(guest, f"rm -f {path}")
    outside = guest.machine.root / path.removeprefix("/")
    outside.write_text(text)
    outside.chmod(0o755)


async def tell(guest: RealGuest, script: str) -> str:
    """Run what root would type, and return what it prints."""
    return await guest.inside("sh", "-c", script)


class Systemd:
    """A guest in which systemd seems to run."""

    def __init__(self, guest: RealGuest) -> None:
        self._guest = guest

    async def install(self) -> None:
        """Put it there."""
        folders = f"{UNITS} /var/lib/systemd/linger"
        await tell(self._guest, f"mkdir -p /run/systemd/system {folders}; rm -f /var/lib/systemd/linger/*")
        await tell(self._guest, f"chmod 1777 {folders}; touch {UNITS}/told; chmod 666 {UNITS}/told")
        for name, text in (("systemctl", SYSTEMCTL), ("loginctl", LOGINCTL)):
            await put(self._guest, f"{FOLDER}/{name}", text)

    async def install_polkit(self) -> None:
        """Let it say that users may let their own services linger."""
        await put(self._guest, f"{FOLDER}/pkcheck", PKCHECK)

    async def starts(self, unit: str, command: Sequence[str], socket: str, who: str = "system") -> None:
        """Let starting a unit, of the whole guest or of ``who``, start ``command``, which listens at ``socket``."""
        words = " ".join(f"'{word}'" for word in command)
        script = (
            f"mkdir -p $(dirname {socket}); rm -f {socket}; cd /; setsid {words} </dev/null >{UNITS}/log-{who} 2>&1 &\n"
            f"for i in $(seq 300); do [ -S {socket} ] && exit 0; sleep 0.1; done; exit 1\n"
        )
        (self._guest.machine.root / f"{UNITS.removeprefix('/')}/start-{who}-{unit}").write_text(script)

    async def told(self) -> list[str]:
        """Who said what so far, in order."""
        return (await tell(self._guest, f"cat {UNITS}/told; : >{UNITS}/told")).splitlines()


SELINUX_FOLDER = "/run/selinux"
SELINUX = f"""\
#!/bin/sh
# A stand-in for the tools of SELinux: each file has its context in a folder beside, and a new one has a wrong one.
d={SELINUX_FOLDER}/of; mkdir -p $d; name() {{ echo "$d/$(readlink -f "$1" | tr / _)"; }}
case ${{0##*/}} in
chcon) cat "$(name "${{1#--reference=}}")" >"$(name "$2")";;
restorecon) echo ssh_home_t >"$(name "$1")"; echo "$1" >>{SELINUX_FOLDER}/restored;;
mv) /bin/mv "$@" || exit; shift; [ -e "$(name "$1")" ] && /bin/mv "$(name "$1")" "$(name "$2")";;
esac
"""


async def selinux(guest: RealGuest) -> None:
    """Put the tools of SELinux into a folder of the guest, which has to come first in the user's path."""
    folder = guest.machine.root / SELINUX_FOLDER.removeprefix("/")
    folder.mkdir(exist_ok=True)
    for name in ("chcon", "restorecon", "mv"):
        (folder / name).write_text(SELINUX)
        (folder / name).chmod(0o755)
    await tell(guest, f"chown -R {USER}: {SELINUX_FOLDER}")


class Packages:
    """A distribution that has an engine which is not installed: its files are kept elsewhere, and linked when the
    package manager is told so in exactly these words.
    """

    FOLDER = "/opt/packages"
    PROGRAM = f"""\
#!/bin/sh
# A stand-in: one line for each thing that can be said, and what is done then.
echo "$(id -un): ${{0##*/}} $*" >>{UNITS}/told
no() {{ echo "$*" >&2; exit 104; }}
grep -qxF -- "$*" {FOLDER}/${{0##*/}} || no "Unknown: $*"
grep -qxF -- "$*" {FOLDER}/${{0##*/}}.needs && [ ! -e {FOLDER}/module ] && no "No provider of it found."
case ${{0##*/}}:$* in
*install*|*-S*) cd {FOLDER}/files && find . -type f | while read -r x; do ln -sf "$PWD/$x" "/$x"; done;;
SUSEConnect:*) touch {FOLDER}/module;;
esac
"""

    def __init__(self, guest: RealGuest, *files: str) -> None:
        self._guest = guest
        self._files = files

    async def install(self, os_release: str, known: dict[str, str], needs_module: str = "") -> None:
        """Let the guest be of this distribution: without the engine's ``files`` and its own package manager, but with
        those that are ``known`` by what they can be told. One may need that a module was added before.
        """
        assert self._guest.machine.kind.root is not None, "it would be this machine's own that is replaced"
        words = " ".join(self._files)
        await tell(
            self._guest,
            f"mkdir -p {self.FOLDER}/files; cd {self.FOLDER}/files; for x in {words}; do mkdir -p .$(dirname $x);"
            f" mv $x .$x; done; rm -f /usr/bin/apt-get /etc/os-release",
        )
        (self._guest.machine.root / "etc/os-release").write_text(os_release)
        for program, said in known.items():
            folder = self._guest.machine.root / self.FOLDER.removeprefix("/")
            (folder / program).write_text(f"{said}\n")
            (folder / f"{program}.needs").write_text(f"{said}\n" if program == needs_module else "")
            await put(self._guest, f"{FOLDER}/{program}", self.PROGRAM)


USERMOD = f"""\
#!/bin/sh
# A stand-in, as the lab's file of groups cannot be replaced.
echo "$(id -un): usermod $*" >>{UNITS}/told
[ "$*" = "-aG docker {USER}" ] && sed "s/^docker:.*/&{USER}/" /etc/group >/run/group && cat /run/group >/etc/group
"""

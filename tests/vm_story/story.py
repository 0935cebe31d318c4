"""The story, as an operator lives it: a VM that is off gets a config drive, boots, is enabled, shows its containers.

Roadstead and the lab are programs of their own. The lab is the pool; `hypervisor` is what a real pool would have below
it, and this module does what stands between the two: it gives the VM the disks that the pool shows to it, switches it
on and off with the pool's VM, and has the pool announce its address, as the guest tools would.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import XenAPI

from roadstead.model.config_keys import PRIVATE_KEY_SECRET
from roadstead.settings.schema import Settings
from tests.real.programs import PROGRAM, done, running
from tests.vm_story import inside
from tests.vm_story.hypervisor import Lease, Machine, Network, Shown, fingerprints_in, network, shown_at_boot
from tests.vm_story.steps import Steps, StoryError

T = TypeVar("T")
NAME, HOST_NAME, OTHER_NAME = "Web 1", "web1", "other"
"""How the pool calls the VM, the host name that comes of it, and the one that a changed drive says."""
CONTAINER = "web"
"""What the image runs by itself."""
BOOT_SECONDS, LIVE_SECONDS, DONE_SECONDS = 900.0, 600.0, 600.0
FIRST_PERSON = 1000
"""From this number on accounts are those of people; the one below `NOBODY`."""
NOBODY = 65534
PASSWORDS = ("", "core", "debian", "password")
SHOW_KEYS = "sudo find / -xdev -name authorized_keys -exec cat {} +"
SHOW_OPEN = "sudo getent shadow | awk -F: '$2 !~ /^[!*]/ { print $1 }'"
SHOW_CGROUP = (
    "cd $(find /sys/fs/cgroup -type d -name '*%s*' -print -quit) && cat pids.current memory.current"
    " && awk '$1 == \"inactive_file\" { print $2 }' memory.stat && nproc"
)
"""As cgroup v2 has it (kernel: admin-guide/cgroup-v2.rst): processes, bytes, bytes that can be taken back, CPUs."""
MEMORY_SHIFT = 256 << 10
"""How far the memory of a container that does nothing moves between two looks, at most, in bytes."""
SHOW_DRIVE = "sudo grep -c '^hostname: \"%s\"' $(readlink -f /dev/disk/by-label/config-2)"


@dataclass(frozen=True)
class Pool:
    """The pool, and Roadstead, which knows it."""

    folder: Path
    url: str
    password: str

    def typed(self, *words: str, **environment: str) -> str:
        """What the command line prints."""
        return done(*PROGRAM, "--server", f"unix:{self.folder}/s.sock", *words, **environment)

    def ordered(self, verb: str, *words: str) -> None:
        """Have the lab do something."""
        done(*PROGRAM, "lab", "do", "--state", str(self.folder / "lab"), verb, *words)

    def row(self, command: str) -> dict[str, Any] | None:
        """The VM, or its container, as `vms` or `ps` shows it."""
        rows = json.loads(self.typed(command, "--format", "json"))
        wanted = NAME if command == "vms" else CONTAINER
        return next((row for row in rows if row["name"] == wanted), None)

    def asked(self, question: Callable[[Any], Any]) -> Any:
        """What the pool says to somebody who is root there."""
        with XenAPI.Session(self.url, ignore_ssl=True) as session:
            session.xenapi.login_with_password("root", self.password, "1.0", "the hypervisor")
            try:
                return question(session.xenapi)
            finally:
                session.xenapi.session.logout()

    def key(self) -> str:
        """The pool's private key."""
        return str(self.asked(_private_key))

    def uuid(self) -> str:
        """The VM's uuid."""
        return str(self.asked(lambda api: api.VM.get_uuid(*api.VM.get_by_name_label(NAME))))

    def shown(self) -> tuple[Shown, ...]:
        """The disks that it shows to the VM."""
        found = self.asked(_devices)
        return tuple(Shown(self.folder / "lab" / "disks" / f"{uuid}.raw", kind == "CD") for uuid, kind in found)


def _private_key(api: Any) -> str:
    (config,) = (pool["other_config"] for pool in api.pool.get_all_records().values())
    return str(api.secret.get_value(api.secret.get_by_uuid(config[PRIVATE_KEY_SECRET])))


def _devices(api: Any) -> list[tuple[str, str]]:
    (vm,) = api.VM.get_by_name_label(NAME)
    devices = [api.VBD.get_record(device) for device in api.VM.get_VBDs(vm)]
    return [(api.VDI.get_uuid(device["VDI"]), device["type"]) for device in devices if not device["empty"]]


class Story:
    """One VM, from its image to where it is managed, and what a changed drive does to it."""

    def __init__(self, pool: Pool, wires: Network, machine: Machine, steps: Steps) -> None:
        self._pool = pool
        self._wires = wires
        self._machine = machine
        self._steps = steps
        self._user = Settings().link.user

    def is_made(self) -> None:
        """The drive is made in the pool, by the operator, for a VM that is off."""
        self._pool.ordered("stop", NAME)
        self._steps.until(partial(self._vm, "Halted"), "the VM to be off", LIVE_SECONDS)
        self._pool.typed("config-drive", "create", NAME, "--yes")
        (disk,) = self._pool.shown()
        shown = self._pool.typed("config-drive", "show", NAME)
        _hold(HOST_NAME in shown, f"the drive says another host name: {shown}")
        self._steps.add(f"`roadstead config-drive create '{NAME}'`: {disk.path.stat().st_size >> 20} MiB in the pool")

    def boots(self) -> str:
        """The VM is switched on, with the disks that the pool shows to it; return its address."""
        before = self._wires.lease()
        self._pool.ordered("start", NAME)
        self._machine.start(self._pool.uuid(), self._pool.shown())
        lease = self._until(partial(self._newer, before), "an address for the VM", BOOT_SECONDS)
        self._steps.add(f"the VM has booted as far as its network: {lease.address}")
        self._pool.ordered("address", NAME, lease.address)
        return lease.address

    def is_managed(self, address: str) -> None:
        """It is enabled, nothing else, and its container is there."""
        self._pool.typed("enable", NAME)
        self._is_live()
        self._steps.add("`roadstead enable`, `ps`: the container that runs in it is shown")
        for verb, state in (("pause", "paused"), ("unpause", "running")):
            self._pool.typed(verb, CONTAINER, "--yes")
            self._until(partial(self._container, state), f"a container that is {state}", LIVE_SECONDS)
        self._steps.add("`roadstead pause` and `unpause`")
        self._is_measured(address)
        self._is_provisioned(address)
        remembered = fingerprints_in(self._pool.typed("hostkey", "show", NAME))
        on_console = self._steps.until(self._fingerprints, "host keys on the console", DONE_SECONDS, self._machine.seen)
        _hold(len(remembered) == 1 and remembered <= on_console, f"{remembered} is not among {on_console}")
        self._pool.typed("why", NAME, "--deep")
        self._steps.add("its remembered host key is the one on its console; `roadstead why --deep` is content")

    def _is_measured(self, address: str) -> None:
        """What the container takes is what the kernel counts, under cgroup v2."""
        row = self._pool.row("ps") or {}
        command = SHOW_CGROUP % row["id"].rpartition("/")[2]
        counted = inside.typed(address, self._user, self._pool.key(), command).split()
        processes, memory, files, cpus = (int(count) for count in counted)
        (told,) = json.loads(self._pool.typed("stats", f"{NAME}/{CONTAINER}", "--format", "json"))
        usage = told["usage"]
        _equal("processes and CPUs", (usage["processes"], usage["cpus"]), (processes, cpus))
        shift = abs(usage["memory_bytes"] - (memory - files))
        _hold(shift <= MEMORY_SHIFT, f"memory: {usage['memory_bytes']}, not {memory - files}")
        _hold(0 <= usage["cpu_percent"] < 100 * cpus, f"CPU: {usage['cpu_percent']} %")
        self._steps.add(
            f"`roadstead stats`: {processes} process and {memory - files >> 10} KiB, as cgroup v2 counts them"
        )

    def _is_provisioned(self, address: str) -> None:
        """Name and account are those of the drive, cloud-init is content with it."""
        typed = partial(inside.typed, address, self._user, self._pool.key())
        self._steps.until(lambda: _finished(typed), "cloud-init to end", DONE_SECONDS, self._machine.seen)
        _equal("host name", typed("hostname").strip(), HOST_NAME)
        _hold("docker" in typed("id -nG").split(), f"{self._user} is not in the group docker")
        said = typed("sudo cloud-init schema --system")
        _hold("Invalid" not in said, said)
        self._steps.add(
            f"host name {HOST_NAME}, account {self._user}; cloud-init finds nothing to say against the drive"
        )

    def is_shut(self, address: str) -> None:
        """The pool's key opens it, and nothing else."""
        typed = partial(inside.typed, address, self._user, self._pool.key())
        _equal("keys that open it", len(_keys(typed)), 1)
        _equal("accounts with a password", typed(SHOW_OPEN).split(), [])
        _hold(not inside.opens_with_other_key(address, self._user), "another key opens it")
        for user in (self._user, "root", "debian"):
            _hold(not inside.opens_with_password(address, user, PASSWORDS), f"a password opens it for {user}")
        self._steps.add("no password, and no key but the pool's, signs in")

    def is_changed(self) -> None:
        """The drive gets another host name and another key, and the VM is switched off."""
        (former,) = self._pool.shown()
        editor = f"sed -i s/%VMNAMETOHOSTNAME%/{OTHER_NAME}/"
        another = self._pool.folder / "another.pub"
        inside.write_another_key(another)
        edit = ("config-drive", "edit", NAME, "--ssh-key", str(another), "--yes")
        self._pool.typed(*edit, EDITOR=editor, VISUAL="")
        (changed,) = self._pool.shown()
        _hold(changed != former, "the drive is still the former one")
        self._steps.add("`roadstead config-drive edit`: the drive says another host name, and brings another key")
        self._machine.power_off()
        self._pool.ordered("address", NAME)
        self._pool.ordered("stop", NAME)
        self._steps.until(self._stale, "its container to be shown as stale", LIVE_SECONDS)
        self._steps.add("the VM is off, and its container is shown as it was known last")

    def stays(self, address: str) -> None:
        """What the VM took at its first boot is still so, but for its name, and it is managed again by itself."""
        self._is_live()
        self._steps.add("it is managed again by itself: the same host key")
        typed = partial(inside.typed, address, self._user, self._pool.key())
        self._steps.until(lambda: _finished(typed), "cloud-init to end", DONE_SECONDS, self._machine.seen)
        _hold(int(typed(SHOW_DRIVE % OTHER_NAME)) > 0, "the VM does not see the changed drive")
        _equal("host name", typed("hostname").strip(), OTHER_NAME)
        _equal("keys that open it", len(_keys(typed)), 1)
        self._steps.add("of the changed drive it takes the host name; the key, as most, only with another instance id")

    # ---- pieces

    def _newer(self, before: Lease | None) -> Lease | None:
        lease = self._wires.lease()
        return lease if lease != before else None

    def _fingerprints(self) -> frozenset[str] | None:
        return shown_at_boot(self._machine.console) or None

    def _is_live(self) -> None:
        self._until(partial(self._container, "running"), "its container", LIVE_SECONDS)

    def _container(self, state: str) -> dict[str, Any] | None:
        row = self._pool.row("ps")
        return row if row is not None and row["state"] == state and not row["stale"] else None

    def _vm(self, power: str) -> dict[str, Any] | None:
        row = self._pool.row("vms")
        return row if row is not None and row["power"] == power else None

    def _stale(self) -> bool | None:
        row = self._pool.row("ps")
        return (row is not None and row["stale"]) or None

    def _until(self, ask: Callable[[], T | None], what: str, limit: float) -> T:
        return self._steps.until(ask, what, limit, self._machine.seen)


def people(passwd: str) -> list[str]:
    """The accounts of people in a file of accounts."""
    rows = [line.split(":") for line in passwd.splitlines() if line.count(":") == 6]
    return [row[0] for row in rows if FIRST_PERSON <= int(row[2]) < NOBODY]


def knows_nobody(disk: Path) -> None:
    """Whether the image has no account of a person, no key and no name. Raises `StoryError`."""
    _equal("accounts in the image", people(_in_image(disk, "cat /etc/passwd")), [])
    for path in ("/etc/hostname", "/root/.ssh/authorized_keys", "/var/lib/cloud/instance", "/etc/ssh/ssh_host_rsa_key"):
        _equal(f"{path} in the image", _in_image(disk, f"stat {path}"), "")


def _in_image(disk: Path, request: str) -> str:
    words = ["debugfs", "-R", request, str(disk)]
    return subprocess.run(words, capture_output=True, check=True, timeout=60).stdout.decode("utf-8", "replace")


def _keys(typed: Callable[[str], str]) -> set[str]:
    """The keys (base64) in all files of keys; the comment is the only word after one."""
    return {line.split()[-2] for line in typed(SHOW_KEYS).splitlines() if line.strip()}


def _finished(typed: Callable[[str], str]) -> bool | None:
    """Whether cloud-init is done. Raises `StoryError` when something went wrong."""
    said = json.loads(typed("cloud-init status --format json || true"))
    _hold(not said["errors"] and not said.get("recoverable_errors"), json.dumps(said))
    if said["status"] != "done":
        return None
    _hold("ConfigDrive" in said["detail"], said["detail"])
    return True


def _hold(holds: object, otherwise: str) -> None:
    if not holds:
        raise StoryError(otherwise)


def _equal(what: str, found: object, wanted: object) -> None:
    _hold(found == wanted, f"{what}: {found!r}, not {wanted!r}")


def tell(image: Path, folder: Path, steps: Steps) -> None:
    """Tell it from beginning to end, with what it writes in ``folder``. Raises `StoryError`, `AssertionError`."""
    knows_nobody(image / "disk.img")
    steps.add("the image knows no account of a person, no key and no host name")
    with ExitStack() as stack:
        wires = stack.enter_context(network(folder))
        lab = [
            "lab",
            "--state",
            folder / "lab",
            "--hosts",
            1,
            "--vms",
            0,
            "--guests",
            "none",
            "--port",
            0,
            "--vm",
            NAME,
        ]
        made = stack.enter_context(running(folder, *lab))
        serve = ["serve", "--state", folder / "state", "--socket", folder / "s.sock", "--no-loopback"]
        stack.enter_context(running(folder, *serve))
        pool = Pool(folder, made["url"], Path(made["password_file"]).read_text().strip())
        sign_in = ("--user", made["user"], "--password-file", made["password_file"])
        pool.typed("pool", "add", made["url"], *sign_in, "--fingerprint", made["fingerprint"])
        steps.add("a pool with one VM is known to Roadstead")
        machine = Machine(image, folder)
        stack.callback(machine.kill)
        story = Story(pool, wires, machine, steps)
        story.is_made()
        address = story.boots()
        story.is_managed(address)
        story.is_shut(address)
        story.is_changed()
        story.stays(story.boots())

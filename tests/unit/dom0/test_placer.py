"""What puts the plugin into a host works under every Python of hosts, says what it found, never leaves half a file."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from roadstead.artifacts import placing
from tests.unit.dom0 import pythons

OLD = b'#!/bin/sh\n""":" #\n# Roadstead\'s plugin of XAPI. An older one.\n'
FOREIGN = b"#!/usr/bin/python\n# the historic pack's\n"


@dataclass
class Domain:
    """A control domain in a folder, with programs that stand in for rpm and systemctl."""

    root: Path
    python: str

    def __post_init__(self) -> None:
        self.plugin.parent.mkdir(parents=True)
        self.prepare.parent.mkdir()
        self.inventory.write_text("PRODUCT_VERSION='8.2.1'\n")
        self.programs.mkdir()
        self.program("python3", f'exec {self.python} "$@"')
        self.program("rpm", "exit 1")
        self.program("systemctl", "exit 1")

    @property
    def plugin(self) -> Path:
        return self.root / "plugins" / "xscontainer"

    @property
    def prepare(self) -> Path:
        """The program that prepares VMs."""
        return self.root / "usr-bin" / "xscontainer-prepare-vm"

    @property
    def inventory(self) -> Path:
        return self.root / "inventory"

    @property
    def kept(self) -> Path:
        return self.root / "kept"

    @property
    def programs(self) -> Path:
        return self.root / "bin"

    @property
    def asked(self) -> list[str]:
        """What systemctl was asked to do."""
        log = self.root / "systemctl.log"
        words = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return [word[0] for word in words if not word[0].startswith("is-")]

    def program(self, name: str, script: str) -> None:
        """Put a program where the host finds its own."""
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def run_monitor(self) -> None:
        """Let the historic pack's monitor be there, enabled and running."""
        self.program("systemctl", f'echo "$@" >>{self.root}/systemctl.log')

    def run(self, action: str, *, cut: int = 0, sees: bool = True) -> dict[str, Any]:
        """Run the placer as the server has it run; ``cut`` bytes of the plugin do not arrive."""
        paths = placing.Paths(str(self.plugin), str(self.prepare), str(self.inventory), str(self.kept))
        request = placing.request(action, paths)
        path = f"{self.programs}:/usr/bin:/bin" if sees else str(self.programs)
        done = subprocess.run(
            ["/bin/sh", "-c", placing.COMMAND],
            input=request[: len(request) - cut],
            capture_output=True,
            check=True,
            env={"PATH": path},
        )
        told = placing.told(done.stdout)
        assert told is not None, (done.stdout, done.stderr)
        return {name: value for name, value in asdict(told).items() if value}

    def folder(self) -> list[str]:
        """The names in the plugins' folder."""
        return sorted(file.name for file in self.plugin.parent.iterdir())


@pytest.fixture(params=[pythons.OLDEST, pythons.OURS, *pythons.OTHERS])
def domain(request: pytest.FixtureRequest, tmp_path: Path) -> Domain:
    """A control domain with each of the Pythons that hosts have."""
    return Domain(tmp_path / "host", pythons.find(request.param))


@pytest.fixture
def modern(tmp_path: Path) -> Domain:
    """One with our own Python, for what does not depend on that."""
    return Domain(tmp_path / "host", pythons.find(pythons.OURS))


def test_it_installs_once_and_goes_without_a_trace(domain: Domain) -> None:
    """The very plugin, whole and executable; again changes nothing; in the end the host is as it was."""
    assert domain.run("look")["state"] == "absent"
    assert not domain.kept.exists()
    first = domain.run("install")
    written = domain.plugin.stat()

    assert (first["state"], first["version"]) == ("installed", placing.VERSION)
    assert domain.plugin.read_bytes() == placing.PLUGIN
    assert domain.prepare.read_bytes() == placing.PROGRAM
    assert written.st_mode & domain.prepare.stat().st_mode & 0o7777 == 0o755
    assert domain.folder() == ["xscontainer"]
    assert domain.run("install")["state"] == "unchanged"
    assert domain.plugin.stat().st_ino == written.st_ino
    assert domain.run("look")["state"] == "ours"
    assert domain.run("uninstall")["state"] == "removed"
    assert domain.folder() == []
    assert not domain.prepare.exists()
    assert not domain.kept.exists()
    assert domain.run("uninstall")["state"] == "absent"


def test_an_older_one_is_replaced_and_a_foreign_one_comes_back(domain: Domain) -> None:
    """What somebody else put there is kept with its rights, away from where XAPI would run it."""
    domain.plugin.write_bytes(FOREIGN)
    domain.plugin.chmod(0o750)
    told = domain.run("install")

    assert told["state"] == "installed"
    assert Path(told["backup"]).read_bytes() == FOREIGN
    assert domain.folder() == ["xscontainer"]
    assert domain.run("uninstall")["state"] == "restored"
    assert domain.plugin.read_bytes() == FOREIGN
    assert domain.plugin.stat().st_mode & 0o7777 == 0o750
    domain.plugin.write_bytes(OLD)
    domain.prepare.write_bytes(FOREIGN)
    assert domain.run("install")["state"] == "replaced"
    assert domain.prepare.read_bytes() == placing.PROGRAM
    assert domain.run("uninstall")["state"] == "removed"
    assert domain.prepare.read_bytes() == FOREIGN


def test_the_program_goes_with_the_plugin(modern: Domain) -> None:
    """Where it is missing or another one it is put there again; one that was changed since stays."""
    modern.run("install")
    modern.prepare.unlink()
    assert modern.run("install")["state"] == "replaced"
    modern.prepare.chmod(0o644)
    assert modern.run("install")["state"] == "replaced"
    assert modern.prepare.stat().st_mode & 0o7777 == 0o755
    (modern.prepare.parent / ".xscontainer-prepare-vm.roadstead-abc").write_bytes(placing.PROGRAM[:1000])
    assert modern.run("install")["state"] == "unchanged"
    assert [file.name for file in modern.prepare.parent.iterdir()] == [modern.prepare.name]
    modern.prepare.write_bytes(placing.PROGRAM + b"# mine\n")
    assert modern.run("uninstall")["state"] == "removed"
    assert modern.prepare.read_bytes().endswith(b"# mine\n")


def test_a_link_is_kept_as_one(modern: Domain) -> None:
    """Where the foreign plugin is a link, that is what comes back."""
    modern.plugin.symlink_to("/opt/xscontainer/plugin")
    assert modern.run("install")["state"] == "installed"
    assert not modern.plugin.is_symlink()
    assert modern.run("uninstall")["state"] == "restored"
    assert modern.plugin.readlink() == Path("/opt/xscontainer/plugin")


def test_what_was_changed_since_is_left(modern: Domain) -> None:
    """Uninstalling removes exactly what was installed."""
    modern.run("install")
    modern.plugin.write_bytes(placing.PLUGIN + b"# mine\n")
    assert modern.run("uninstall")["state"] == "copied"
    assert modern.plugin.exists()
    modern.plugin.write_bytes(FOREIGN)
    assert modern.run("uninstall")["state"] == "foreign"
    assert modern.plugin.read_bytes() == FOREIGN


def test_the_package_keeps_what_it_brought(modern: Domain) -> None:
    """Rpm's file is rpm's, for installing as for uninstalling; the historic pack's package is not ours."""
    modern.plugin.write_bytes(OLD)
    modern.program("rpm", "echo xscontainer 1")
    assert modern.run("install")["state"] == "package"
    assert modern.run("uninstall")["state"] == "package"
    assert modern.plugin.read_bytes() == OLD
    modern.plugin.write_bytes(FOREIGN)
    modern.program("rpm", "echo 'xscontainer (none)'")
    assert "backup" in modern.run("install")


def test_the_historic_monitor_rests_meanwhile(modern: Domain) -> None:
    """Two of them would write the same keys; it goes on as it was when the plugin goes."""
    modern.run_monitor()
    modern.plugin.write_bytes(FOREIGN)
    modern.run("install")
    assert modern.asked == ["stop", "disable"]
    modern.run("install")
    assert modern.asked == ["stop", "disable"]
    modern.run("uninstall")
    assert modern.asked == ["stop", "disable", "enable", "start"]


@pytest.mark.parametrize("before", [None, OLD, FOREIGN], ids=["nothing", "an older one", "a foreign one"])
def test_what_does_not_arrive_whole_changes_nothing(modern: Domain, before: bytes | None) -> None:
    """The connection broke while the plugin was on its way."""
    if before is not None:
        modern.plugin.write_bytes(before)
    told = modern.run("install", cut=100)
    assert told["problem"] == "host-plugin-failed"
    assert (modern.plugin.read_bytes() if modern.plugin.exists() else None) == before


def test_what_a_cut_left_beside_is_cleared_away(modern: Domain) -> None:
    """A run that was killed leaves a file that nobody can run, until the next one."""
    (modern.plugin.parent / ".xscontainer.roadstead-abc").write_bytes(placing.PLUGIN[:1000])
    modern.run("install")
    assert modern.folder() == ["xscontainer"]


def test_a_plugin_that_does_not_run_never_takes_its_place(modern: Domain) -> None:
    """It is tried first: a host may have a Python that is broken."""
    modern.plugin.write_bytes(OLD)
    first = modern.python
    modern.program("python3", f'case "$3" in *.xscontainer.roadstead-*) exit 1;; esac; exec {first} "$@"')
    assert modern.run("install")["problem"] == "host-plugin-failed"
    assert modern.plugin.read_bytes() == OLD
    assert modern.folder() == ["xscontainer"]


def test_what_is_no_control_domain_is_left_alone(modern: Domain) -> None:
    """Only a host of XenServer or XCP-ng has an inventory; one without a Python says so."""
    modern.inventory.unlink()
    told = modern.run("install")
    assert told["problem"] == "host-not-control-domain"
    assert str(modern.inventory) in told["reason"]
    assert modern.folder() == []
    (modern.programs / "python3").unlink()
    assert modern.run("install", sees=False)["problem"] == "host-without-python"


@pytest.mark.parametrize(
    "said",
    [b"", b"roadstead-placer:", b"roadstead-placer:[]", b'roadstead-placer:{"state":"rooted"}', b"\xff" * 5000],
)
def test_what_no_placer_says_is_no_answer(said: bytes) -> None:
    """A host may be anything."""
    assert placing.told(b"Welcome!\n" + said + b"\n") is None


def test_a_link_to_our_own_file_is_not_ours(modern: Domain) -> None:
    """Somebody put it there: what it leads to would be taken away with it."""
    modern.run("install")
    elsewhere = modern.root / "elsewhere"
    modern.plugin.rename(elsewhere)
    modern.plugin.symlink_to(elsewhere)

    assert modern.run("look")["state"] == "copied"
    assert modern.run("uninstall")["state"] == "copied"
    assert elsewhere.read_bytes() == placing.PLUGIN


def test_two_at_once_wait_for_each_other(modern: Domain) -> None:
    """While another one holds the folder nothing in it is touched."""
    with ThreadPoolExecutor(1) as other:
        folder = os.open(modern.plugin.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            inode = f":{os.fstat(folder).st_ino} "
            done = other.submit(modern.run, "install")
            while not (is_waiting := any("->" in line and inode in line for line in _locks())) and not done.done():
                time.sleep(0.01)
            assert is_waiting
            assert modern.folder() == []
        finally:
            os.close(folder)
        assert done.result()["state"] == "installed"


def _locks() -> list[str]:
    return Path("/proc/locks").read_text().splitlines()

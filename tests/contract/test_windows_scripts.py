"""The script on the certificates' CD, run by Wine's ``cmd``: as far as the programs go that Wine has.

Wine's ``icacls``, ``netsh`` and ``fc`` do nothing but say what they were called with, and succeed; services, the
registry, files and ``cmd`` itself are Wine's own work.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import tree_sitter
import tree_sitter_powershell

from roadstead.artifacts import certificates, tls_disk

WINE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "roadstead" / "wine"
LIBRARIES = WINE / "root/usr/lib/x86_64-linux-gnu"
LOADER, SERVER = WINE / "root/usr/lib/wine/wine64", WINE / "root/usr/lib/wine/wineserver"
MADE = certificates.make("win-1", ["10.0.1.17"], 30, "ec")
SOURCES = ["10.0.0.0/24", "2001:db8::/64"]
ADMINISTRATOR = "reg add HKU\\S-1-5-19 /f"
"""Wine forgets it with its last process."""
ENGINE = "sc create docker binPath= C:\\windows\\system32\\spoolsv.exe"
"""A service that starts: that of Wine's printers."""
BROKEN_ENGINE = f"{ENGINE} start= disabled"
TOLD_ENGINE = 'reg add HKLM\\SYSTEM\\CurrentControlSet\\Services\\docker /v ImagePath /d "dockerd.exe -H npipe:" /f'
RUN_SECONDS = 60.0

needs_wine = pytest.mark.skipif(not (WINE / "stamp").exists(), reason="Wine is not there: ./scripts/wine fetches it")


class Ended(NamedTuple):
    """A run of the script."""

    code: int
    said: str
    called: str
    """The lines in which Wine's stand-ins say what they were called with."""


class Windows:
    """A Windows of the test's own with the CD in it."""

    def __init__(self, folder: Path) -> None:
        self.prefix = folder / "prefix"
        self.data = self.prefix / "drive_c/ProgramData"
        self.cd = folder / "cd"
        # What is on the disk may be shared, but for the registry, which Wine writes where it is.
        subprocess.run(["cp", "-al", WINE / "prefix", self.prefix], check=True)
        for file in self.prefix.glob("*.reg"):
            text = file.read_bytes()
            file.unlink()
            file.write_bytes(text)
        for path, content in tls_disk.contents(MADE, 4711, SOURCES).items():
            target = self.cd / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o444)
        self._script = f"Z:{_windows(folder)}\\cd\\configure_tls.cmd"
        self._powershell = self.prefix / "drive_c/windows/system32/WindowsPowerShell/v1.0/powershell.exe"

    def lose_powershell(self) -> None:
        """Have none from now on."""
        self._powershell.unlink()

    @property
    def daemon_json(self) -> Path:
        """The engine's configuration."""
        return self.data / "docker/config/daemon.json"

    def cmd(self, command: str) -> Ended:
        """Run a command as Wine's cmd does."""
        known = {
            "WINEPREFIX": str(self.prefix),
            "WINEDEBUG": "-all,fixme+icacls,fixme+netsh,fixme+powershell",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",
            "LD_LIBRARY_PATH": str(LIBRARIES),
            "HOME": str(self.prefix),
        }
        words = [str(LOADER), "cmd", "/c", command]
        done = subprocess.run(
            words,
            env=known,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=RUN_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def configure(self, *words: str, administrator: bool = True) -> Ended:
        """Run the script from the CD."""
        script = " ".join([self._script, *words])
        return self.cmd(f"{ADMINISTRATOR} >nul & {script}" if administrator else script)

    def end(self) -> None:
        """End everything that runs there."""
        known = {"WINEPREFIX": str(self.prefix), "LD_LIBRARY_PATH": str(LIBRARIES), "HOME": str(self.prefix)}
        subprocess.run([SERVER, "-k"], env=known, check=False, timeout=RUN_SECONDS)


def _windows(path: Path) -> str:
    return str(path).replace("/", "\\")


@pytest.fixture
def windows(tmp_path: Path) -> Iterator[Windows]:
    """A Windows without an engine."""
    found = Windows(tmp_path)
    try:
        yield found
    finally:
        found.end()


@needs_wine
@pytest.mark.limit(120)
def test_it_puts_everything_in_place_and_may_be_run_again(windows: Windows) -> None:
    """The rights of the key and the firewall's rule, limited to management, are set each time."""
    windows.lose_powershell()
    windows.cmd(ENGINE)
    before = {path.relative_to(windows.cd) for path in windows.cd.rglob("*")}
    for _ in range(2):
        done = windows.configure()
        assert (done.code, "port 4711 now" in done.said) == (0, True), done
        contents = tls_disk.contents(MADE, 4711, SOURCES)
        for name in ("ca.pem", "server-cert.pem", "server-key.pem"):
            assert (windows.data / "docker/certs.d" / name).read_bytes() == contents[f"server/{name}"]
        assert windows.daemon_json.read_bytes() == contents["daemon.json"]
        assert "*S-1-5-18:F" in done.called and "*S-1-5-32-544:F" in done.called
        rules = [line for line in done.called.splitlines() if "netsh" in line]
        assert ["delete" in line for line in rules] == [True, False]
        assert '"remoteip=10.0.0.0/24,2001:db8::/64"' in rules[1].replace('L"', '"')
    assert before == {path.relative_to(windows.cd) for path in windows.cd.rglob("*")}


@needs_wine
@pytest.mark.limit(120)
def test_without_powershell_a_foreign_file_is_kept(windows: Windows) -> None:
    """What is to be added is named; with `keep` the rest is done, and the file stays."""
    windows.lose_powershell()
    windows.cmd(ENGINE)
    windows.daemon_json.parent.mkdir(parents=True)
    foreign = b'{"data-root": "E:\\\\docker"}'
    windows.daemon_json.write_bytes(foreign)

    done = windows.configure()
    assert (done.code, '"tlsverify": true' in done.said, "Nothing was changed" in done.said) == (3, True, True)
    assert not (windows.data / "docker/certs.d").exists()
    done = windows.configure("keep")
    assert (done.code, windows.daemon_json.read_bytes()) == (0, foreign), done
    assert (windows.data / "docker/certs.d/server-key.pem").exists()


@needs_wine
@pytest.mark.limit(120)
def test_what_is_in_the_way_is_named_before_anything_is_changed(windows: Windows) -> None:
    """No administrator, no engine, and one whose hosts are on its command line."""
    windows.lose_powershell()
    done = windows.configure(administrator=False)
    assert (done.code, "as an administrator" in done.said) == (5, True)
    done = windows.configure()
    assert (done.code, "no service named docker" in done.said) == (2, True), done
    (windows.cd.parent / "told.cmd").write_text(f"{TOLD_ENGINE}\r\n")
    windows.cmd(f"Z:{_windows(windows.cd.parent)}\\told.cmd")
    done = windows.configure()
    assert (done.code, "on its command line" in done.said) == (2, True), done
    assert not (windows.data / "docker").exists()


@needs_wine
@pytest.mark.limit(120)
def test_a_configuration_that_docker_does_not_start_with_goes_again(windows: Windows) -> None:
    """Only when it is the script's own."""
    windows.lose_powershell()
    windows.cmd(BROKEN_ENGINE)
    done = windows.configure()
    assert (done.code, "removed again" in done.said, windows.daemon_json.exists()) == (1, True, False)


@needs_wine
@pytest.mark.limit(120)
def test_powershell_is_called_where_it_is(windows: Windows) -> None:
    """Wine's own does nothing: nothing of what `cmd` would do is done."""
    windows.cmd(ENGINE)
    done = windows.configure()
    assert (done.code, "powershell" in done.called) == (0, True), done
    assert not (windows.data / "docker").exists()


def test_the_grammar_of_powershell_takes_its_script() -> None:
    """No line of it is an error, nothing is missing; with a brace less something is."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
    script = tls_disk.contents(MADE, 4711, SOURCES)["configure_tls.ps1"]
    assert not parser.parse(script).root_node.has_error
    assert parser.parse(script.replace(b"}", b"", 1)).root_node.has_error

"""`roadstead lab enter` and `roadstead demo` as they are typed."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from roadstead.app import labs, state
from roadstead.app.demo import DemoOptions, hints, run_demo
from roadstead.app.labs import guest_kind
from roadstead.errors import StartError
from roadstead.lab import control, verbs
from roadstead.lab.main import LabOptions
from roadstead.lab.pool.server import LabPool
from roadstead.lab.pool.state import Folder
from tests.unit.lab.pool_support import PlainGuests

PROGRAM = (sys.executable, "-c", "from roadstead.app.main import main; main()")
DEMO = DemoOptions(
    Path(), guests="simulated", hosts=1, vms=1, containers=1, windows=0, raw=0, rate=0.0, port=0, api_port=0
)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The demonstration takes SIGTERM for itself."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


async def _typed(*words: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.limit(60)
async def test_a_command_is_run_inside_a_guest(tmp_path: Path) -> None:
    """With its own options, which belong to it and not to `roadstead`, its output and its exit code."""
    guests = PlainGuests()
    async with LabPool(tmp_path, hosts=1, guests=guests) as pool, control.listening(pool):
        await pool.create_vm("web-1")
        guests.made[1].door = ("env", "INSIDE=yes")
        enter = ("lab", "enter", "--state", str(tmp_path))

        done = await _typed(*enter, "web-1", "sh", "-c", 'echo "$INSIDE $0"; exit 7', "--state")
        refused = await _typed(*enter, "nobody", "true")

    assert done == (7, "yes --state\n", "")
    assert refused[0] == 3 and "nobody" in refused[2]


@pytest.mark.limit(60)
async def test_a_labs_folder_may_stand_before_what_is_done_to_it(tmp_path: Path) -> None:
    """`lab --state DIR do` acts on that lab; other options of `lab` would start one, so they are refused there."""
    async with LabPool(tmp_path, hosts=1, guests=PlainGuests()) as pool, control.listening(pool):
        await pool.create_vm("web-1")
        done = await _typed("lab", "--state", str(tmp_path), "do", "stop", "web-1")
        entered = await _typed("lab", "--state", str(tmp_path), "enter", "web-1")
        refused = await _typed("lab", "--state", str(tmp_path), "--vms", "3", "do", "truth")
        nobody = await _typed("lab", "--state", str(tmp_path), "do", "stop", "nope")
        named = await _typed("lab", "do", "--state", str(tmp_path), "rename", "web-1", "Müller")

    assert done[0] == 0 and '"state": "halted"' in done[1]
    assert entered[0] == 1 and "not running" in entered[2]
    assert refused[0] == 2 and "--vms" in refused[2]
    assert named[0] == 0 and '"name": "Müller"' in named[1]
    assert nobody[0] == 3 and "roadstead lab do truth" in nobody[2]


def test_a_second_demonstration_touches_nothing_of_the_first(tmp_path: Path) -> None:
    """On a folder on which one runs it is refused before any log of the first is opened."""
    log = tmp_path / "lab.log"
    log.write_text("the first one's")
    with state.held(tmp_path):
        before = {path: path.stat() for path in tmp_path.rglob("*")}
        with pytest.raises(StartError) as caught:
            run_demo(replace(DEMO, state=tmp_path))

        assert caught.value.code == "state-taken"
        assert {path: path.stat() for path in tmp_path.rglob("*")} == before
        assert log.read_text() == "the first one's"


@pytest.mark.limit(60)
async def test_a_lab_checks_its_options_before_it_says_that_it_starts(tmp_path: Path) -> None:
    """A wrong option is all that is told."""
    wrong = await _typed("lab", "--state", str(tmp_path), "--vms", "-1")

    assert wrong[0] == 2 and "Starting" not in wrong[2]


@pytest.mark.limit(60)
async def test_the_help_explains_every_verb_in_a_line_of_its_own(tmp_path: Path) -> None:
    """As it is typed, also on a narrow terminal; what a verb needs and does not get is named."""
    code, told, _ = await _typed("lab", "do", "--help")
    lines = {line.split()[0]: line for line in told.splitlines() if line.startswith("  ") and line.split()}
    lacking = await _typed("lab", "do", "--state", str(tmp_path), "rate")

    assert code == 0 and set(control.VERBS) == set(verbs.VERBS)
    for verb, usage in verbs.VERBS.items():
        assert usage.arguments in lines[verb] and usage.does in lines[verb]
    assert lacking[0] == 2
    assert lacking[2].startswith("Error: `roadstead lab do rate` needs EVENTS/S.\nIts form is `roadstead lab do rate")


def test_an_order_does_not_wait_for_what_starts_a_lab() -> None:
    """Nothing of the lab, of SSH or of the server is imported for it: that took more time than the order itself."""
    program = "import sys; from roadstead.app import main, ordering; print(*sys.modules)"
    loaded = set(subprocess.check_output((sys.executable, "-c", program), text=True).split())

    assert "roadstead.lab.orders" in loaded
    assert not loaded & {"asyncssh", "cryptography", "fastapi", "roadstead.lab.main", "roadstead.lab.pool.server"}


@pytest.mark.limit(60)
async def test_a_demonstration_tells_one_cause_once_with_its_own_option(tmp_path: Path) -> None:
    """A taken port of the API, or of the pool, is one error, with the option of `demo` that chooses another."""
    words = ("demo", "--guests", "simulated", "--hosts", "1", "--vms", "1", "--state", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as api, socket.create_server(("127.88.0.1", 0)) as pool:
        taken = {name: str(made.getsockname()[1]) for name, made in (("--api-port", api), ("--port", pool))}
        of_api = await _typed(*words, "--api-port", taken["--api-port"])
        of_pool = await _typed(*words, "--port", taken["--port"], "--api-port", "0")

    for (code, _, told), option in ((of_api, "--api-port"), (of_pool, "--port")):
        assert code == 1 and told.count("Error: ") == 1 and "did not start" not in told
        assert f"choose another with {option}." in told


def test_a_demonstration_says_how_to_type_docker_inside_a_guest() -> None:
    """What to try names the command that enters a real guest; simulated ones have no inside."""

    def said(guests: str) -> str:
        options = replace(DEMO, state=Path.cwd() / ".lab", guests=guests)
        return "\n".join(line for hint in hints("http://127.0.0.1:1/", options, 1) for line in hint.lines(200))

    assert "lab enter --state .lab/pool web-1 docker pause web" in said("real")
    assert "lab enter" not in said("simulated") and "stop 'web-1/" in said("simulated")
    assert said("real").startswith("1 VM, real guests, 1 host. ")


@pytest.mark.parametrize("guests", ["real", "simulated"])
def test_a_demonstration_says_how_to_prepare_a_vm(guests: str) -> None:
    """Where one is raw, the first day shows the step that every VM of one's own needs, as it is typed."""
    options = replace(DEMO, state=Path.cwd() / ".lab", guests=guests)
    command = "prepare raw-1 --user core --password-file .lab/pool/password"

    def said(raw: int) -> str:
        told = hints("http://127.0.0.1:1/", replace(options, raw=raw), 2)
        return "\n".join(line for hint in told for line in hint.lines(200))

    assert command in said(1) and "prepare" not in said(0)


@pytest.mark.parametrize(("kept", "asked", "kind"), [("simulated", "auto", "simulated"), ("simulated", "real", "real")])
def test_a_lab_that_is_kept_has_the_guests_that_it_had(tmp_path: Path, kept: str, asked: str, kind: str) -> None:
    """When that was left open; another kind that is asked for is for the lab to refuse."""
    Folder(tmp_path).claim(kept)

    assert guest_kind(asked, tmp_path) == kind


@pytest.mark.limit(60)
async def test_a_lab_refuses_guests_of_another_kind(tmp_path: Path) -> None:
    """What the pool remembers of the others would be wrong of these; nothing is started, and the way out is told."""
    folder = Folder(tmp_path / "pool")
    await asyncio.to_thread(folder.make)
    await asyncio.to_thread(folder.claim, "real")

    code, _, told = await _typed("demo", "--guests", "simulated", "--state", str(tmp_path), "--api-port", "0")

    assert code == 1 and told.count("Error: ") == 1
    assert "has real guests" in told and "--guests real" in told


def test_a_lab_that_starts_counts_every_vm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many as are listed when it is ready: those with Windows, the raw ones and those of somebody else, too."""
    monkeypatch.setattr(labs, "run_to_end", lambda until_stopped: until_stopped.close())

    labs.run(LabOptions(tmp_path, vms=3, windows=1, raw=1, vm=("mine=10.0.0.1",)))

    assert "Starting a pool with 6 VMs " in capsys.readouterr().err


def test_the_foot_counts_every_vm() -> None:
    """Those with Windows, which are no real guests, and those of an earlier run."""
    (first, *_) = hints("http://127.0.0.1:1/", replace(DEMO, guests="real", windows=1), 4)

    assert first.lines(200)[0].startswith("4 VMs, real guests (Windows simulated), 1 host.")

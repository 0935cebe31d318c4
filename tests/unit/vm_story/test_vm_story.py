"""The parts of the story of a whole VM that need no VM: what is read from its surroundings, how waits end, its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm_story import page
from tests.vm_story.hypervisor import MAC, Lease, Shown, command, fingerprints_in, last_line, lease_of, shown_at_boot
from tests.vm_story.steps import LOOK_SECONDS, TELL_SECONDS, Step, Steps, StoryError
from tests.vm_story.story import people

ED25519, ECDSA = f"SHA256:{'a' * 43}", f"SHA256:{'B' * 42}+"
UUID = "5a1f7f0e-0000-4000-8000-000000000001"
CONSOLE = f"""\
[    3.1] booting
cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----
cloud-init: 256 {ECDSA} root@web1 (ECDSA)
cloud-init: 256 {ED25519} root@web1 (ED25519)
cloud-init: -----END SSH HOST KEY FINGERPRINTS-----
"""


class Time:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.told: list[str] = []

    def steps(self) -> Steps:
        """Steps in this time."""
        return Steps(self.told.append, lambda: self.now, self.pass_)

    def pass_(self, seconds: float) -> None:
        """Let it pass."""
        self.now += seconds


def test_the_lease_is_that_of_the_card() -> None:
    """Others, and lines that are cut short, are passed over; an id in the file of leases may be missing."""
    text = f"1795746694 52:54:00:00:00:01 10.214.0.11 * *\n17957\n\n1795746700 {MAC} 10.214.0.18 web1\n"

    assert lease_of(text, MAC) == Lease(1795746700, "10.214.0.18")
    assert lease_of(text, "52:54:00:00:00:02") is None


def test_host_keys_are_read_from_the_console_when_all_are_there() -> None:
    """Only those between the two marks, and none before the second one has come."""
    assert shown_at_boot(CONSOLE + f"later {'SHA256:' + 'c' * 43}") == {ED25519, ECDSA}
    assert shown_at_boot(CONSOLE.partition("-----END")[0]) == frozenset()
    assert fingerprints_in("SHA256:short") == frozenset()


def test_the_last_line_of_a_console_commands_no_terminal() -> None:
    """Colours and whatever else is not text are left out."""
    assert last_line("one\r\n[\x1b[0;32m  OK  \x1b[0m] Started \x07ssh\r\n\r\n") == "[  OK  ] Started ssh"
    assert last_line("") == "nothing yet"


def test_the_pools_disks_come_after_the_vms_own(tmp_path: Path) -> None:
    """The guest's kernel names disks in the order of their cards, and its root is the first; the pool's cannot be
    written.
    """
    words = command(
        tmp_path, tmp_path, UUID, [Shown(tmp_path / "a.raw", is_cd=False), Shown(tmp_path / "b.raw", is_cd=True)]
    )

    assert words[words.index("-uuid") + 1] == UUID
    devices = [words[number + 1] for number, word in enumerate(words) if word == "-device"]
    assert devices[:3] == ["virtio-blk-pci,drive=own", "virtio-blk-pci,drive=shown0", "ide-cd,drive=shown1"]
    shown = [word for word in words if word.startswith("file=") and word.split(",")[0].endswith(".raw")]
    assert len(shown) == 2
    assert all(word.endswith("readonly=on") for word in shown)


def test_people_are_told_from_the_accounts_of_programs() -> None:
    """By their numbers."""
    text = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:::\ncore:x:1000:1000::/home/core:/bin/bash\nrubbish\n"

    assert people(text) == ["core"]


def test_a_wait_ends_with_the_answer_and_is_told_meanwhile() -> None:
    """Who waits long hears every half minute what can be seen."""
    time = Time()
    steps = time.steps()
    ready = time.now + 2 * TELL_SECONDS + 3 * LOOK_SECONDS

    answer = steps.until(lambda: "here" if time.now >= ready else None, "an address", 600, lambda: "booting")
    steps.add("it came")

    assert answer == "here"
    assert [line.split("…")[-1].split(":")[0].strip() for line in time.told[:-1]] == ["an address"] * 2
    assert all(line.endswith("booting") for line in time.told[:-1])
    assert steps.done == [Step("it came", ready - 1000.0)]


def test_a_wait_has_a_limit() -> None:
    """The error says what was waited for, and what was seen last."""
    time = Time()

    with pytest.raises(StoryError, match="in 60 s it did not come to this: an address; the last to be seen: a panic"):
        time.steps().until(lambda: None, "an address", 60, lambda: "a panic")
    assert time.now <= 1000.0 + 60 + 2 * LOOK_SECONDS


def test_the_page_tells_what_came_of_each_release() -> None:
    """Versions, steps with their times, how it failed; a release without a run is told as that."""
    good = page.Told(
        "trixie", "2026-11-27", steps=[("it boots", 61.25), ("it is live", 3.0)], packages={"cloud-init": "25"}
    )
    bad = page.Told("bookworm", "2026-11-27", "StoryError: it panicked", [("it boots", 1.0)])
    text = "\n".join(page.document([bad, good, page.Told("sid")], 2))

    assert "| Debian 13 | ? | 25 | ? | ? | green | 64 s | 2026-11-27 |" in text
    assert "| it boots | 61.2 s |" in text
    assert "Then it failed: StoryError: it panicked" in text
    assert "| Debian sid | ? | ? | ? | ? | not run yet | 0 s |  |" in text
    assert "## Debian sid" not in text

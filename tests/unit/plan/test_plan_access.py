"""How a VM wants to be reached: read strictly, because VM administrators write it as they please."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import LinkError
from roadstead.model import Vm, config_keys
from roadstead.plan.access import (
    SOCKET_BYTES,
    Access,
    Defaults,
    TlsAccess,
    access_of,
    check_mode,
    is_ssh,
    is_tls,
    opened_under,
    tls_access_of,
    tls_missing,
)
from tests.unit.fakes import records

DEFAULTS = Defaults(user="core", socket="/var/run/docker.sock")


def _vm(**settings: str) -> Vm:
    named = {key.replace("_", "-"): value for key, value in settings.items()}
    return records.vm(settings=records.MANAGED | named)


def _access(**settings: str) -> Access:
    return access_of(_vm(**settings), DEFAULTS)


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


@pytest.mark.parametrize(
    "key", ["xscontainer_username", "roadstead_ssh_port", "roadstead_engine_socket", "roadstead_sudo"]
)
def test_an_empty_setting_is_none(key: str) -> None:
    """A key that was emptied means the default, as it always did."""
    assert _access(**{key: ""}) == _access()


@pytest.mark.parametrize(("said", "meant"), [("True", True), ("False", False)])
def test_sudo_is_asked_for_in_two_words(said: str, meant: bool) -> None:  # noqa: FBT001 - a table
    """As the monitor key is; everything else is no answer."""
    assert _access(roadstead_sudo=said).sudo is meant


@pytest.mark.parametrize("said", ["true", "1", "yes", "True ", "root"])
def test_other_words_for_sudo_are_refused_by_name(said: str) -> None:
    """Nobody is made root by a guess, and nobody wonders why he is not."""
    with pytest.raises(LinkError) as caught:
        _access(roadstead_sudo=said)
    assert (caught.value.code, caught.value.fields["key"]) == ("setting-invalid", "roadstead-sudo")


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


@pytest.mark.parametrize("user", ["a b", "a\nb", "a;b", "$(x)", "x" * 65, "a/b", "ä", "'", "-x", "x\n"])
def test_other_users_are_refused_by_name(user: str) -> None:
    """What is no user name is not tried."""
    with pytest.raises(LinkError) as caught:
        _access(xscontainer_username=user)
    assert (caught.value.code, caught.value.fields["key"]) == ("setting-invalid", "xscontainer-username")


@pytest.mark.parametrize(("mode", "taken"), [(None, "ssh"), ("", "ssh"), ("ssh", "ssh"), ("tls", "tls")])
def test_a_mode_is_one_of_two(mode: str | None, taken: str) -> None:
    """The historic values; without one it is SSH."""
    vm = _vm(**({} if mode is None else {"xscontainer_mode": mode}))
    check_mode(vm)
    assert (is_ssh(vm), is_tls(vm)) == (taken == "ssh", taken == "tls")
    assert (is_tls(vm, "tls"), is_tls(vm, "ssh"), is_tls(vm, None)) == (True, False, taken == "tls")


@pytest.mark.parametrize(
    ("mode", "counts"),
    [
        ("ssh", {"xscontainer-username", "roadstead-ssh-port", "roadstead-engine-socket", "roadstead-sudo"}),
        ("tls", {"roadstead-tls-port", "roadstead-tls-legacy", *config_keys.TLS_SECRETS}),
        ("none", set()),
    ],
)
def test_a_link_is_opened_under_the_settings_of_its_own_mode(mode: str, counts: set[str]) -> None:
    """And under the mode itself; that SSH is said makes no difference to what is so without it."""
    managed = records.MANAGED | {config_keys.MODE: mode}
    before = opened_under(records.vm(settings=managed))
    changed = {key: records.vm(settings=managed | {key: "other"}) for key in config_keys.VM_KEYS}
    assert {key for key, vm in changed.items() if opened_under(vm) != before} == {config_keys.MODE, *counts}
    assert opened_under(_vm()) == opened_under(_vm(xscontainer_mode="ssh"))


@pytest.mark.parametrize("mode", ["TLS", "SSH", "none"])
def test_a_mode_that_there_is_none_of_is_said(mode: str) -> None:
    """It is told apart from a wrong setting."""
    vm = _vm(xscontainer_mode=mode)
    with pytest.raises(LinkError) as caught:
        check_mode(vm)
    assert not (is_ssh(vm) or is_tls(vm))
    assert (caught.value.code, caught.value.fields["mode"]) == ("mode-unsupported", mode)


def test_a_vm_behind_tls_has_settings_of_its_own() -> None:
    """Those of SSH do not matter to it, however wrong they are."""
    said = {"roadstead_tls_port": "12376", "roadstead_address": "192.0.2.9", "roadstead_tls_legacy": "True"}
    wrong = {"xscontainer_username": "a b", "roadstead_ssh_port": "x", "roadstead_engine_socket": "x"}

    assert tls_access_of(_vm(**wrong)) == TlsAccess(port=2376, address=None, is_legacy=False)
    assert tls_access_of(_vm(**said)) == TlsAccess(port=12376, address="192.0.2.9", is_legacy=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("roadstead-tls-port", "0"),
        ("roadstead-tls-port", "65536"),
        ("roadstead-tls-port", "2376 "),
        ("roadstead-tls-legacy", "true"),
        ("roadstead-address", "win.example.net"),
    ],
)
def test_a_wrong_setting_for_tls_is_named(key: str, value: str) -> None:
    """By its key, with what stands there."""
    with pytest.raises(LinkError) as caught:
        tls_access_of(_vm(**{key: value}))
    assert (caught.value.code, caught.value.fields["key"]) == ("setting-invalid", key)


def test_what_tls_needs_and_is_not_there_is_named() -> None:
    """All three secrets, or none is missing."""
    first, *rest = config_keys.TLS_SECRETS

    assert tls_missing(_vm(**{first: "x"})) == tuple(rest)
    assert tls_missing(_vm(**dict.fromkeys(config_keys.TLS_SECRETS, "x"))) == ()

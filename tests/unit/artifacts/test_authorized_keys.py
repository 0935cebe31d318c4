"""The line of authorized_keys, made for the guest that it stands in."""

import pytest

from roadstead.artifacts.authorized_keys import Form, Terms, line, made_for
from roadstead.peers.links.messages import DOCKER_SOCKET as SOCKET

KEY = "ssh-rsa AAAA== somebody"
DOCKER = "/usr/bin/docker"
OPEN = f'restrict,port-forwarding,permitopen="[{SOCKET}]:*",permitlisten="localhost:1"'
RELAY = f'command="{DOCKER} system dial-stdio"'
END = "ssh-rsa AAAA== xscontainer"
OWN = "/run/user/1001/docker.sock"

CASES = [
    (Form.RESTRICTED, Terms(SOCKET, DOCKER), f"{OPEN},{RELAY} {END}"),
    (Form.RESTRICTED, Terms(SOCKET), f'{OPEN},command="/bin/false" {END}'),
    (Form.RESTRICTED, Terms(SOCKET, DOCKER, forwards=False), f"restrict,{RELAY} {END}"),
    (Form.RESTRICTED, Terms(SOCKET, forwards=False), None),
    (
        Form.RESTRICTED,
        Terms(OWN, DOCKER),
        OPEN.replace(SOCKET, OWN) + f',command="{DOCKER} -H unix://{OWN} system dial-stdio" {END}',
    ),
    (
        Form.RESTRICTED,
        Terms(SOCKET, DOCKER, sudo="/usr/bin/sudo"),
        f'restrict,command="/usr/bin/sudo -n {DOCKER} system dial-stdio" {END}',
    ),
    (Form.RESTRICTED, Terms(SOCKET, DOCKER, server="SSH-2.0-OpenSSH_7.4"), f"restrict,{RELAY} {END}"),
    (
        Form.RESTRICTED,
        Terms(SOCKET, DOCKER, server="SSH-2.0-OpenSSH_6.7p1 Debian-5"),
        f"no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty,no-user-rc,{RELAY} {END}",
    ),
    (
        Form.RESTRICTED,
        Terms(SOCKET, DOCKER, server="SSH-2.0-dropbear_2022.83"),
        f"no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty,{RELAY} {END}",
    ),
    (Form.RESTRICTED, Terms(SOCKET, DOCKER, is_root=True), f"restrict,{RELAY} {END}"),
    (Form.RESTRICTED, Terms(SOCKET, is_root=True), f'{OPEN},command="/bin/false" {END}'),
    (Form.EXEC_ONLY, Terms(SOCKET, DOCKER), f"restrict,{RELAY} {END}"),
    (Form.EXEC_ONLY, Terms(SOCKET), None),
    (Form.UNRESTRICTED, Terms(SOCKET), END),
    (Form.UNRESTRICTED, Terms(SOCKET, sources=("10.0.0.0/24", "::1/128")), f'from="10.0.0.0/24,::1/128" {END}'),
    (Form.EXEC_ONLY, Terms(SOCKET, DOCKER, sources=("10.0.0.0/24",)), f'from="10.0.0.0/24",restrict,{RELAY} {END}'),
]


@pytest.mark.parametrize(("form", "terms", "wanted"), CASES)
def test_a_line_is_made_for_its_guest(form: Form, terms: Terms, wanted: str | None) -> None:
    """As little as leads to the engine there; None where nothing of this form does."""
    assert made_for(KEY, form, terms) == wanted


@pytest.mark.parametrize("source", ['fe80::1%x",environment="A=b', "10.0.0.0/8,*", "a b", "!10.0.0.1", ""])
@pytest.mark.parametrize("form", Form)
def test_a_source_is_a_network_and_no_option(form: Form, source: str) -> None:
    """Whoever checked it before."""
    with pytest.raises(ValueError, match="no source"):
        made_for(KEY, form, Terms(SOCKET, DOCKER, sources=("10.0.0.0/8", source)))


@pytest.mark.parametrize("socket", [SOCKET, OWN])
def test_the_line_for_no_guest_in_particular_is_the_usual_one(socket: str) -> None:
    """What `pool key show` prints is what most guests get, also where the settings name another socket."""
    assert line(KEY, socket) == made_for(KEY, Form.RESTRICTED, Terms(socket, DOCKER))

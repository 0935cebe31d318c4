"""Whatever goes wrong between a host and Roadstead, XAPI gets a code and sentences that a person understands."""

from __future__ import annotations

import html
import socket
import ssl
import time
from collections.abc import Callable

import pytest

from roadstead.lab.pool import certificates
from tests.unit.dom0.world import FINGERPRINT, SECRET, SECRET_UUID, TOKEN, URL, Talk, World

ENABLE = "Say `roadstead pool plugin enable POOL` where Roadstead runs."


@pytest.mark.parametrize(
    ("function", "given", "missing"),
    [
        ("start", {"vmuuid": "vm"}, "container"),
        ("pause", {"container": "web"}, "vmuuid"),
        ("get_top", {"vmuuid": "vm", "container": "web"}, "object"),
        ("register", {}, "vmuuid"),
        ("get_config_drive_default", {"vmuuid": "vm"}, "templateuuid"),
        ("create_config_drive", {"vmuuid": "vm"}, "sruuid and configuration"),
    ],
)
def test_missing_argument(host: World, function: str, given: dict[str, str], missing: str) -> None:
    """An argument that is missing is an exception as the old pack raised it, and Roadstead is not asked."""
    reason = f"INVALID_ARGUMENTS: {function} needs the argument {missing}."

    assert host.failure(function, **given) == ["XENAPI_PLUGIN_FAILURE", function, "Exception", reason]
    assert host.roadstead.received == b""


def test_unknown_function(host: World) -> None:
    """What the contract does not have is unknown, as XAPI's own plugins say it."""
    for name in ("nonsense", "Start", "__init__", "&lt;&amp;&gt;", "prepare"):
        # The name stands in the call as it is, so one with markup is written as such.
        assert host.failure(name, vmuuid="vm") == ["UNKNOWN_XENAPI_PLUGIN_FUNCTION", html.unescape(name)]


@pytest.mark.parametrize("function", ["passthrough", "install_vm"])
def test_commands_are_not_offered(host: World, function: str) -> None:
    """The two functions that ran arbitrary commands fail, with that reason, whatever their arguments."""
    reason = f"{function} ran arbitrary commands, and is therefore not offered. Sign in to the guest instead."

    assert host.failure(function, command="id") == ["XENAPI_PLUGIN_FAILURE", function, "not-offered", reason]
    assert host.xapi.calls == []


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        pytest.param({URL: "", FINGERPRINT: "", SECRET_UUID: ""}, "the pool's other_config has no ", id="nothing"),
        pytest.param({FINGERPRINT: ""}, f"the pool's other_config has no {FINGERPRINT}", id="a part"),
        pytest.param({URL: "http://10.0.0.5:8421"}, f"the pool's {URL} is not the address of", id="no TLS"),
        pytest.param({URL: "https://10.0.0.5:8421\r\nX: y"}, f"the pool's {URL} is not the address of", id="two lines"),
        pytest.param({URL: "https://u:p@10.0.0.5"}, f"the pool's {URL} is not the address of", id="a password"),
        pytest.param({FINGERPRINT: "12:34"}, f"the pool's {FINGERPRINT} is not a SHA-256", id="no fingerprint"),
        pytest.param({SECRET_UUID: "none"}, f"the secret that {SECRET_UUID} names cannot be read", id="no secret"),
    ],
)
def test_not_set_up(host: World, config: dict[str, str], reason: str) -> None:
    """A pool that does not say where Roadstead is, or says nonsense, gets told how to set it up."""
    host.xapi.config |= config
    code, sentences = host.start()

    assert code == "plugin-not-set-up"
    assert reason in sentences
    assert sentences.endswith(ENABLE)


@pytest.mark.parametrize("value", ["", "two words", "line\r\nX-Evil: yes", "umläut"])
def test_secret_that_is_no_token(host: World, value: str) -> None:
    """A secret that cannot be a token never becomes part of a request, nor of the failure."""
    host.xapi.secrets[SECRET] = value
    code, sentences = host.start()

    assert code == "plugin-not-set-up"
    assert f"the secret that {SECRET_UUID} names holds no token" in sentences
    assert not value or value not in sentences
    assert host.roadstead.received == b""


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="hangs up"),
        pytest.param(b"HTTP/1.1 500 Internal Error\r\nContent-Length: 4\r\n\r\noops", id="broken"),
        pytest.param(b"\x00\xff\r\n", id="garbage"),
    ],
)
def test_xapi_that_is_broken(host: World, raw: bytes) -> None:
    """A XAPI that gives no answer is named as what does not answer."""
    host.xapi.raw = raw
    code, sentences = host.start()

    assert code == "plugin-pool-unreadable"
    assert sentences.startswith("This host's XAPI does not answer (")


def test_xapi_that_is_not_there(host: World) -> None:
    """Without XAPI's socket the plugin says so."""
    host.environment["ROADSTEAD_XAPI_SOCKET"] = str(host.folder / "nothing")

    assert host.start()[0] == "plugin-pool-unreadable"


def test_xapi_that_refuses(host: World) -> None:
    """What XAPI refuses is told in XAPI's words."""
    host.session = "OpaqueRef:gone"

    assert host.start() == ["plugin-pool-refuses", "The pool refused pool.get_all: SESSION_INVALID OpaqueRef:gone."]


def test_xapi_that_is_silent(host: World) -> None:
    """A XAPI that never answers does not hold the caller for ever."""
    host.hurry(XAPI_SECONDS=0.5)
    host.environment["ROADSTEAD_XAPI_SOCKET"] = path = str(host.folder / "silent")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()

        assert host.start() == ["plugin-pool-unreadable", "This host's XAPI does not answer in time."]


def test_nobody_listens(host: World) -> None:
    """A Roadstead that is not there is unreachable, and its address is named."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host.xapi.config[URL] = f"https://127.0.0.1:{free.getsockname()[1]}/"
        code, sentences = host.start()

    assert code == "plugin-unreachable"
    assert sentences.startswith(f"Roadstead at {host.xapi.config[URL].rstrip('/')} cannot be reached from this host: ")
    assert "Connection refused" in sentences


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:99999", "https://no-such-host.invalid:8421", f"https://{'a' * 70}.b"]
)
def test_address_that_leads_nowhere(host: World, url: str) -> None:
    """An address that cannot be connected to is unreachable, for whatever reason."""
    host.xapi.config[URL] = url

    assert host.start()[0] == "plugin-unreachable"


def test_peer_that_never_speaks(host: World) -> None:
    """A peer that accepts and says nothing is given up."""
    host.hurry(CONNECT_SECONDS=0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host.xapi.config[URL] = f"https://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        code, sentences = host.start()

    assert code == "plugin-unreachable"
    assert "no connection within" in sentences
    assert time.monotonic() - begun < 5


def test_other_certificate(host: World) -> None:
    """The token is not sent to a server with another certificate, nor is anything else."""
    wanted = host.xapi.config[FINGERPRINT].replace(":", "")
    host.xapi.config[FINGERPRINT] = "ab" * 32
    code, sentences = host.start()

    assert code == "plugin-certificate-wrong"
    assert wanted in sentences
    assert "ab" * 32 in sentences
    assert "nothing was sent to it" in sentences
    # The whole handshake took place, and the server was ready to read.
    assert host.xapi.calls[-1][0] == "secret.get_value"
    assert host.roadstead.received == b""
    assert TOKEN not in sentences


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_not_spoken(host: World) -> None:
    """A server that speaks TLS 1.1 at most is refused, even with the right certificate."""
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.load_cert_chain(host.folder / "tls.pem")
    host.roadstead.context = old

    assert host.start()[0] == "plugin-unreachable"
    assert host.roadstead.received == b""


def test_problem_of_roadstead(host: World) -> None:
    """What Roadstead refuses is told with its code, its reason and its remedy."""
    problem = {"title": "No such container", "detail": "There is no container wéb", "remedy": "Look at the list"}
    host.behave(lambda talk: talk.reply_json("404 Not Found", problem | {"code": "not-found", "status": 404}))

    assert host.start() == ["not-found", "There is no container wéb. Look at the list"]


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_token_is_refused(host: World, status: str) -> None:
    """A refused token has a sentence of its own, when the server gives none."""
    host.behave(lambda talk: talk.reply(status, b""))

    assert host.start() == ["plugin-token-refused", f"Roadstead refuses this pool's token. {ENABLE}"]


def _garbage(talk: Talk) -> None:
    talk.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


def _redirect(talk: Talk) -> None:
    talk.reply("307 Temporary Redirect", b"", "Location: /plugin/v1/call\r\n")


def _hang_up(talk: Talk) -> None:
    talk.connection.close()


def _half(talk: Talk) -> None:
    talk.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")


def _cut_value(talk: Talk) -> None:
    talk.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"value": "Tr')


def _cut_piece(talk: Talk) -> None:
    talk.wfile.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"value": "Tr')


def _huge(talk: Talk) -> None:
    talk.reply_json("200 OK", {"value": "True" + "x" * 5_000_001})


def _huge_in_pieces(talk: Talk) -> None:
    talk.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        talk.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def _slow(talk: Talk) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b" " * 200:
        talk.wfile.write(bytes([byte]))
        time.sleep(0.05)


def _answers(status: str, body: bytes) -> Callable[[Talk], None]:
    return lambda talk: talk.reply(status, body)


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        pytest.param(_garbage, "plugin-connection-lost", "no whole answer came", id="another protocol"),
        pytest.param(_redirect, "plugin-answer-invalid", "status 307", id="a redirect"),
        pytest.param(_answers("200 OK", b"<html>"), "plugin-answer-invalid", "status 200", id="no JSON"),
        pytest.param(_answers("200 OK", b"[1]"), "plugin-answer-invalid", "status 200", id="no object"),
        pytest.param(_answers("200 OK", b'{"value": 1}'), "plugin-answer-invalid", "status 200", id="no string"),
        pytest.param(_answers("200 OK", b"\xff\xfe"), "plugin-answer-invalid", "status 200", id="no UTF-8"),
        pytest.param(_answers("200 OK", b"[" * 100_000), "plugin-answer-invalid", "status 200", id="too deep"),
        pytest.param(_answers("502 Bad", b'{"code": "x"}'), "plugin-answer-invalid", "status 502", id="no reason"),
        pytest.param(_cut_value, "plugin-connection-lost", "13 of 99 bytes", id="a cut value"),
        pytest.param(_cut_piece, "plugin-connection-lost", "no whole answer came", id="a cut piece"),
        pytest.param(_hang_up, "plugin-connection-lost", "no whole answer came", id="hangs up"),
        pytest.param(_half, "plugin-answer-invalid", "status 200", id="half a head"),
        pytest.param(_huge, "plugin-answer-too-large", "larger than 5 MB", id="huge"),
        pytest.param(_huge_in_pieces, "plugin-answer-too-large", "larger than 5 MB", id="endless"),
        pytest.param(_slow, "plugin-answer-late", "no answer within", id="byte by byte"),
    ],
)
def test_bad_answers(host: World, behaviour: Callable[[Talk], None], code: str, words: str) -> None:
    """Nothing that a server sends is passed on as a result, or goes on for ever."""
    host.hurry(ANSWER_SECONDS=1)
    host.behave(behaviour)
    begun = time.monotonic()
    said, sentences = host.start()

    assert said == code
    assert words in sentences
    assert TOKEN not in sentences
    assert time.monotonic() - begun < 8


def test_redirect_is_not_followed(host: World) -> None:
    """The token is sent once."""
    host.behave(_redirect)
    host.start()

    assert host.roadstead.received.count(TOKEN.encode()) == 1


def test_new_certificate_of_roadstead(host: World) -> None:
    """Every call compares: a certificate that changes between two calls is seen by the second."""
    assert host.value("register", vmuuid="vm") == "True"
    certificates.make(host.folder / "new.pem", "roadstead", "127.0.0.1")
    host.roadstead.context = certificates.context(host.folder / "new.pem")
    host.roadstead.received = b""

    assert host.start()[0] == "plugin-certificate-wrong"
    assert host.roadstead.received == b""

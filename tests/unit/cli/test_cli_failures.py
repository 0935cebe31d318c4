"""What happens when there is no server, the wrong one, or a mistake; and the ways to name a server."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from roadstead.cli import failures
from roadstead.cli.api import client
from roadstead.errors import CODES, InputError
from tests.unit.cli.canned import Canned, container, problem, run

COMMANDS = [
    ["ps"], ["vms"], ["tree"], ["search", "x"], ["inspect", "x"], ["stats", "x"], ["logs", "x"], ["events"],
    ["stop", "x"], ["enable", "x"], ["why", "x"], ["hostkey", "show", "x"], ["pool", "list"], ["pool", "test", "x"],
    ["pool", "key", "show", "x"], ["pool", "remove", "x"],
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_server_is_code_5_for_every_command(words: list[str]) -> None:
    """Without a server every command says where it looked and how to start one."""
    done = run(None, "--server", "unix:/nonexistent/roadstead.sock", *words)

    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.splitlines() == [
        "Error: No Roadstead server answers at unix:/nonexistent/roadstead.sock.",
        "Start one with `roadstead serve`.",
    ]


@pytest.mark.parametrize(
    "words",
    [
        *[
            ["why", ""],
            ["stop", ""],
            ["stop", "web1/x", " "],
            ["inspect", ""],
            ["stats", ""],
            ["logs", ""],
            ["enable", ""],
            ["hostkey", "show", ""],
        ],
        *[["pool", "test", ""], ["pool", "set", "", "--only", "10.0.0.0/8"]],
    ],
    ids=" ".join,
)
def test_an_empty_name_is_wrong_usage(canned: Canned, words: list[str]) -> None:
    """It would name something else than a VM or container: the list of them all. Nothing is asked."""
    done = run(canned, *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert "NAME" in done.stderr and "empty" in done.stderr
    assert not canned.asked


def test_the_socket_is_found_where_the_server_puts_it(canned: Canned) -> None:
    """Without --server the local socket is asked, wherever ROADSTEAD_SOCKET says it is."""
    canned.answers["GET /containers"] = [container()]

    assert run(None, "ps", ROADSTEAD_SOCKET=str(canned.path)).returncode == 0


@pytest.mark.parametrize(
    "address", ["ftp://127.0.0.1", "http://example.net:8420", "https://127.0.0.1", "unix:", "http://[", "nonsense"]
)
def test_addresses_that_are_none_are_wrong_usage(address: str) -> None:
    """A server address that cannot be one, or to which the token would travel in clear, is refused."""
    done = run(None, "--server", address, "ps")

    assert done.returncode == 2 and "--server" in done.stderr and "Traceback" not in done.stderr


def test_a_server_that_closes_or_is_silent_is_gone(canned: Canned) -> None:
    """A connection that ends without an answer counts as no server."""
    canned.close()
    canned.path.touch()

    assert run(canned, "ps").returncode == 5


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[tuple[str, list[str | None]]]:
    """A server on loopback that wants a token; its address, and the tokens that it was given."""
    given: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given.append(self.headers.get("Authorization"))
            ok = given[-1] == "Bearer t0ken"
            self.send_response(200 if ok else 401)
            self.end_headers()
            self.wfile.write(b"[]" if ok else b'{"code": "credentials-rejected", "detail": "The token is wrong."}')

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", given
    server.shutdown()
    server.server_close()
    thread.join()


def test_loopback_is_asked_with_the_token(loopback: tuple[str, list[str | None]], tmp_path: Path) -> None:
    """Over http:// the token of the file is sent; a wrong one is told, a file that is missing is named."""
    address, given = loopback
    (tmp_path / "token").write_text("t0ken\n")
    (tmp_path / "bad").write_text("other\n")

    assert run(None, "--server", address, "--token-file", str(tmp_path / "token"), "ps", "-q").returncode == 0
    assert run(None, "--server", address, "ps", "-q", ROADSTEAD_STATE=str(tmp_path)).returncode == 0
    bad = run(None, "--server", address, "--token-file", str(tmp_path / "bad"), "ps")
    missing = run(None, "--server", address, "--token-file", str(tmp_path / "none"), "ps")

    assert (bad.returncode, bad.stderr) == (1, "Error: The token is wrong.\n")
    assert missing.returncode == 2 and str(tmp_path / "none") in missing.stderr
    assert given == ["Bearer t0ken", "Bearer t0ken", "Bearer other"]


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["ps", "--nonsense"], ["stop"], ["ps", "--format", "xml"], ["pool"]]
)
def test_wrong_usage_is_code_2(words: list[str]) -> None:
    """What cannot be a command line is refused with 2, with a hint, without a trace."""
    done = run(None, *words)

    assert done.returncode == 2 and done.stderr and "Traceback" not in done.stderr


def test_mistakes_of_ours_are_one_line_and_a_trace_on_demand(canned: Canned) -> None:
    """An unexpected failure is a short line; --debug shows the trace."""
    canned.answers["GET /containers"] = [{"id": None}]
    canned.answers["GET /tree"] = [{"hosts": [7]}]

    short, long = run(canned, "tree"), run(canned, "--debug", "tree")

    assert short.returncode == 1 and "AttributeError" in short.stderr and "Traceback" not in short.stderr
    assert long.returncode == 1 and "Traceback" in long.stderr
    assert run(canned, "ps").returncode == 5


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_an_exit_code(code: str) -> None:
    """Each code of the table maps to one of the documented exit codes."""
    found = failures.exit_code(code, CODES[code].status)

    assert found in {1, 2, 3, 5}
    assert (found == 3) == (code == "ambiguous-name" or (code.startswith("no-such-") and code != "no-such-page"))


def test_errors_of_newer_servers_are_shown_as_they_come() -> None:
    """A code that this program does not know is told with the server's own words."""
    status, document = problem(409, "quite-new", "Something new.", "Do something.")

    assert failures.sentences(client.Refused(status, document)) == ["Error: Something new.", "Do something."]
    assert failures.sentences(client.Refused(500, {})) == ["Error: The server answered 500."]
    assert failures.sentences(InputError("no-such-pool", name="x"))[0] == "Error: No pool is called x."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ps", "--format", "yaml"], "'yaml' is not one of 'table', 'wide', 'json'"),
        (["audit", "--limit", "0"], "it must be at least 1"),
        (["audit", "--limit", "many"], "it must be a whole number"),
    ],
    ids=" ".join,
)
def test_a_value_that_an_option_does_not_take_is_told_in_plain_words(words: list[str], said: str) -> None:
    """Not in those of the library that checks it."""
    done = run(None, *words)

    assert done.returncode == 2
    assert f"Invalid value for '{words[1]}': {said}" in done.stderr


@pytest.mark.parametrize(("field", "typed"), [("host_key", "--host-key"), ("private_key", "--key-file")])
def test_a_field_of_the_api_is_named_as_it_was_typed(canned: Canned, field: str, typed: str) -> None:
    """Nobody who types commands knows what the API calls an option."""
    canned.answers["GET /containers"] = problem(
        422, "field-invalid", f"{field} is not valid: it is no key.", "Correct it.", fields={"field": field}
    )

    done = run(canned, "ps")

    assert done.stderr.splitlines()[0] == f"Error: {typed} is not valid: it is no key."


def test_a_pool_of_which_nothing_is_to_be_changed_is_told_what_can_be(canned: Canned) -> None:
    """The options are named, and nothing is sent."""
    canned.answers["GET /pools/lab"] = {"id": "p", "name": "lab"}

    done = run(canned, "pool", "set", "lab")

    assert done.returncode == 2
    assert done.stderr.startswith("Error: Nothing is named that is to be changed.") and "--admit" in done.stderr
    assert not canned.bodies("PATCH", "/pools/lab")

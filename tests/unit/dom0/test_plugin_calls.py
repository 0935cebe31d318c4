"""The plugin hands calls on as they were made, and gives answers back as they came, under every Python of a host."""

from __future__ import annotations

import ast
import base64
import json
import xmlrpc.client
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest

from roadstead.act.plugin import functions as plugin
from tests.unit.dom0 import pythons
from tests.unit.dom0.world import PLUGIN, SESSION, TOKEN, URL, World

VM, SR, VDI, TEMPLATE = "vm-uuid", "sr-uuid", "vdi-uuid", "template-uuid"
FUNCTIONS = {
    "start": {"vmuuid": VM, "container": "Web_1.a-b"},
    "stop": {"vmuuid": VM, "container": "0123456789"},
    "restart": {"vmuuid": VM, "container": "web"},
    "pause": {"vmuuid": VM, "container": "web"},
    "unpause": {"vmuuid": VM, "container": "web"},
    "register": {"vmuuid": VM},
    "deregister": {"vmuuid": VM},
    "get_inspect": {"vmuuid": VM, "object": "0123456789" * 6 + "0123"},
    "get_top": {"vmuuid": VM, "object": "web"},
    "get_config_drive_default": {"templateuuid": TEMPLATE},
    "get_config_drive_configuration": {"vdiuuid": VDI},
    "create_config_drive": {"vmuuid": VM, "sruuid": SR, "configuration": "#cloud-config\nhostname: é☃🐋\n"},
}
HOSTILE = "é☃🐋 <&>\"' ]]> %BR% \\ \u2028 ~\t\n"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_call_is_handed_on(host: World, function: str) -> None:
    """Every function of the contract goes to Roadstead with exactly its arguments and the pool's token."""
    host.behave(lambda talk: talk.reply_json("200 OK", {"value": "True<x>é☃🐋</x>"}))

    assert host.value(function, **FUNCTIONS[function], foreign="left out") == "True<x>é☃🐋</x>"

    assert host.request == {"function": function, "arguments": FUNCTIONS[function]}
    first, *head = host.roadstead.received.partition(b"\r\n\r\n")[0].decode().splitlines()
    assert first == "POST /plugin/v1/call HTTP/1.1"
    assert f"Authorization: Bearer {TOKEN}" in head
    assert f"Host: {host.xapi.config[URL].removeprefix('https://')}" in head


def test_both_sides_know_the_same_functions() -> None:
    """With the same arguments: what one of them lacks, no client of the pool could use."""
    loader = SourceFileLoader("plugin_of_hosts", str(PLUGIN))
    module = module_from_spec(spec_from_loader(loader.name, loader))  # type: ignore[arg-type]
    loader.exec_module(module)
    ours = {name: each.arguments for name, each in plugin.FUNCTIONS.items() if each.run is not None}
    assert ours == module.FUNCTIONS
    assert set(module.NOT_OFFERED) == plugin.FUNCTIONS.keys() - ours.keys()


def test_as_much_as_a_call_can_hold_is_handed_on(host: World) -> None:
    """However much longer JSON makes it: of line ends and quotes each takes two characters there."""
    given = {"vmuuid": VM, "sruuid": SR, "configuration": '#"\n' * 40_000}
    host.value("create_config_drive", **given)
    assert host.request["arguments"] == given


def test_pool_is_read_with_the_session_that_was_given(host: World) -> None:
    """The plugin signs in nowhere: each call carries the session that XAPI gave it."""
    host.value("register", vmuuid=VM)

    assert [call[:2] for call in host.xapi.calls] == [
        (method, SESSION)
        for method in ("pool.get_all", "pool.get_other_config", "secret.get_by_uuid", "secret.get_value")
    ]


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_any_text_goes_both_ways(host: World, locale: str) -> None:
    """Text of all kinds reaches Roadstead and comes back unharmed, in every locale of a control domain."""
    host.environment["LC_ALL"] = locale
    host.behave(lambda talk: talk.reply_json("200 OK", {"value": "True" + HOSTILE}))

    assert host.value("get_top", vmuuid=VM, object=HOSTILE) == "True" + HOSTILE
    assert host.request == {"function": "get_top", "arguments": {"vmuuid": VM, "object": HOSTILE}}


def test_control_characters_never_reach_xapi(host: World) -> None:
    """What XML cannot carry is left out of a value, and of a failure."""
    controls = "".join(map(chr, [*range(9), 11, 12, *range(14, 32), *range(127, 160), 0xFFFE, 0xFFFF]))
    bad = f"a{controls}\ud800b\udfff\ud83d\udc0b"

    host.behave(lambda talk: talk.reply("200 OK", b'{"value": "True%s"}' % _escaped(bad)))
    assert host.value("get_top", vmuuid=VM, object="web") == "Trueab🐋"

    host.behave(lambda talk: talk.reply("409 Conflict", b'{"code": "%s", "detail": "%s."}' % (2 * (_escaped(bad),))))
    assert host.start() == ["ab🐋", "ab🐋."]


def test_every_character_goes_through(host: World) -> None:
    """All that Unicode has reaches the caller, but for what XML cannot carry; a lone CR is a line's end to XML."""
    every = [chr(number) for number in range(0x110000) if not 0xD800 <= number <= 0xDFFF]
    lost = {*range(9), 11, 12, *range(14, 32), *range(127, 160), 0xFFFE, 0xFFFF}
    document = json.dumps({"value": "".join(every)}, ensure_ascii=False).encode()
    host.behave(lambda talk: talk.reply("200 OK", document))

    expected = "".join(each for each in every if ord(each) not in lost).replace("\r", "\n")
    # Compared in pieces: a failure is to be read by people.
    got = str(host.value("get_inspect", vmuuid=VM, object="web"))
    assert len(got) == len(expected)
    assert [ord(g) for g, e in zip(got, expected, strict=True) if g != e][:5] == []


def _escaped(text: str) -> bytes:
    return "".join(f"\\u{ord(each):04x}" for each in text).encode()


def test_xe_writes_line_ends_as_words(host: World) -> None:
    """`%BR%` in a configuration means CR LF, and nowhere else."""
    host.value("create_config_drive", vmuuid="%BR%", sruuid=SR, configuration="a%BR%b%BR%")

    assert host.request["arguments"] == {"vmuuid": "%BR%", "sruuid": SR, "configuration": "a\r\nb\r\n"}


def test_large_results_come_whole(host: World) -> None:
    """A result of nearly 5 MB is handed on."""
    host.behave(lambda talk: talk.reply_json("200 OK", {"value": "True" + "x" * 4_900_000}))

    assert len(str(host.value("get_inspect", vmuuid=VM, object="web"))) == 4_900_004


def test_fingerprint_may_be_written_in_other_ways(host: World) -> None:
    """Capitals, and no colons, are the same fingerprint."""
    key = "roadstead-plugin-fingerprint"
    host.xapi.config[key] = host.xapi.config[key].upper()
    assert host.value("register", vmuuid=VM) == "True"

    host.xapi.config[key] = host.xapi.config[key].replace(":", "").lower()
    assert host.value("register", vmuuid=VM) == "True"


def test_no_proxy_takes_part(host: World) -> None:
    """Proxies of the environment are not asked."""
    host.environment |= dict.fromkeys(("https_proxy", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), "http://127.0.0.1:9")

    assert host.value("register", vmuuid=VM) == "True"


def test_neighbours_are_not_taken_for_modules(host: World) -> None:
    """Another plugin that is called like a module of the standard library is not run."""
    for name in ("json.py", "ssl.py", "XenAPIPlugin.py", "contextlib.py"):
        (host.folder / name).write_text("raise SystemExit('the wrong one')")
    host.hurry()

    assert host.value("register", vmuuid=VM) == "True"


@pytest.mark.parametrize("function", ["register", "get_top", "passthrough", "nonsense"])
def test_other_pythons(other_host: World, function: str) -> None:
    """The Pythons between the oldest and ours, and newer ones, do the same."""
    other_host.environment["LC_ALL"] = "C"
    other_host.behave(lambda talk: talk.reply_json("200 OK", {"value": "True" + HOSTILE}))
    answer = other_host.call(function, vmuuid=VM, object=HOSTILE)

    assert (answer["Status"] == "Success") == (function in FUNCTIONS)
    if function == "get_top":
        assert other_host.request["arguments"] == {"vmuuid": VM, "object": HOSTILE}
        assert answer["Value"] == "True" + HOSTILE


def test_shell_finds_a_python(host: World) -> None:
    """Run by itself, as XAPI does, the file finds an interpreter; where there is none XAPI is told, not failed."""
    none = host.run_itself(str(host.folder))
    (host.folder / ("python2.7" if pythons.OLDEST in host.python else "python3")).symlink_to(host.python)
    found = host.run_itself(str(host.folder))

    assert found == {"Status": "Success", "Value": "True"}
    assert none["ErrorDescription"] == [
        "XENAPI_PLUGIN_FAILURE",
        "xscontainer",
        "no-python",
        "The plugin found no Python on this host.",
    ]


def test_plugin_needs_nothing_of_the_host() -> None:
    """It imports the standard library alone, and is plain ASCII, which every Python reads without being told."""
    text = PLUGIN.read_text(encoding="ascii")
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }

    assert not imported & {"XenAPI", "XenAPIPlugin", "roadstead", "subprocess"}
    assert imported <= {
        *("contextlib", "hashlib", "json", "os", "re", "signal", "socket", "ssl", "sys"),
        *("http", "httplib", "xmlrpc", "xmlrpclib"),
    }


def test_call_is_bytes_to_xapi(host: World) -> None:
    """XAPI writes its calls without white space and with types left out, in UTF-8."""
    call = (
        "<?xml version='1.0'?><methodCall><methodName>get_top</methodName><params><param><value>"
        f"{SESSION}</value></param><param><value><struct><member><name>vmuuid</name><value>é</value></member>"
        "<member><name>object</name><value>☃&amp;</value></member></struct></value></param></params></methodCall>"
    )

    assert host.answer(call.encode())["Status"] == "Success"
    assert host.request["arguments"] == {"vmuuid": "é", "object": "☃&"}


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("", id="nothing"),
        pytest.param("<methodCall>", id="cut"),
        pytest.param(xmlrpc.client.dumps((SESSION,), "start"), id="no arguments"),
        pytest.param(xmlrpc.client.dumps((SESSION, {"vmuuid": "\x07"}), "register"), id="control characters"),
        pytest.param(xmlrpc.client.dumps((SESSION, ["vmuuid"]), "start"), id="no struct"),
        pytest.param(base64.b64encode(bytes(range(256))).decode(), id="garbage"),
    ],
)
def test_what_is_no_call_is_refused(host: World, call: str) -> None:
    """What XAPI never says is a failure, too, not a process that ends badly."""
    assert host.answer(call)["ErrorDescription"] == [
        "XENAPI_PLUGIN_FAILURE",
        "xscontainer",
        "Exception",
        "The call cannot be read. XAPI passes it as XML-RPC, which has no control characters.",
    ]

"""Who may come in, how much may be sent, and what the answers look like when something is wrong."""

import asyncio
import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from roadstead.serve import borders, problems
from roadstead.serve.calls import Caller
from roadstead.serve.routes import TABLE
from tests.unit.serve import stage

GOOD = {"Authorization": "Bearer opensesame"}


async def knock(api: stage.Stage, **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Ask over loopback."""
    url = f"http://127.0.0.1:{api.listening.port}/api/v1/health"
    async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None), {**answer.headers}


async def test_token_opens_loopback(tmp_path: Path) -> None:
    """With the token loopback answers as the local socket does."""
    async with stage.running(tmp_path, port=0) as api:
        status, body, _ = await knock(api, **GOOD)
        assert (status, body["vms"]) == (200, 3)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic opensesame"},
        {"Authorization": "opensesame"},
        {"Authorization": "Bearer opensesame2"},
        {"Authorization": "Bearer öpensesame"},
    ],
)
async def test_loopback_needs_the_token(tmp_path: Path, headers: dict[str, str]) -> None:
    """Without the right token every path is refused; the answer tells neither the token nor where its file is."""
    async with stage.running(tmp_path, port=0) as api:
        status, body, answered = await knock(api, **headers)
        assert (status, body["code"]) == (401, "credentials-rejected")
        assert "token" in body["remedy"]
        assert "/" not in body["remedy"] and not body.get("fields")
        assert "opensesame" not in str(body)
        assert answered.get("WWW-Authenticate") == "Bearer"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8420", "127.0.0.2", "", "localhost@evil"]
)
async def test_foreign_host_header_is_refused(tmp_path: Path, host: str) -> None:
    """A name of somebody else that resolves to us is refused, token or not."""
    async with stage.running(tmp_path, port=0) as api:
        status, body, _ = await knock(api, Host=host, **GOOD)
        assert (status, body["code"]) == (403, "host-header-rejected")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8420", "[::1]", "[::1]:8420", "127.0.0.1:1"])
async def test_own_host_header_is_taken(tmp_path: Path, host: str) -> None:
    """Each name of this machine is taken, at any port: it may be forwarded."""
    async with stage.running(tmp_path, port=0) as api:
        assert (await knock(api, Host=host, **GOOD))[0] == 200


async def test_two_host_headers_are_refused(tmp_path: Path) -> None:
    """Which of two would count is not left to chance."""
    async with stage.running(tmp_path, port=0) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.listening.port)
        writer.write(
            b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nAuthorization: Bearer opensesame\r\n\r\n"
        )
        assert b" 403 " in await reader.readline()
        writer.close()


async def test_no_answer_invites_other_origins(tmp_path: Path) -> None:
    """There is no CORS, and browsers are told to trust nothing in an answer, good or bad."""
    async with stage.running(tmp_path) as api:
        for path, status in (("/health", 200), ("/nowhere", 404)):
            async with api.client.get(
                f"http://localhost/api/v1{path}", headers={"Origin": "http://evil.example"}
            ) as answer:
                assert answer.status == status
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
                assert not [name for name in answer.headers if name.lower().startswith("access-control")]
                assert "Server" not in answer.headers


@pytest.mark.parametrize("host", ["[", "a b", "", "x" * 5000])
async def test_strange_host_header_harms_nothing(tmp_path: Path, host: str) -> None:
    """On the local socket the Host header means nothing, whatever it is."""
    async with stage.running(tmp_path) as api:
        await api.refused("GET", "/nowhere", 404, "no-such-page", headers={"Host": host})
        assert await api.get("/health", headers={"Host": host})


async def test_unknown_paths_and_methods_are_problems(tmp_path: Path) -> None:
    """Whatever is asked for, a refusal is a problem document."""
    async with stage.running(tmp_path) as api:
        for path in ("/nowhere", "/vms/web-1/nothing", "/docs", "/containers/", "/%2e%2e/etc/passwd"):
            problem = await api.refused("GET", path, 404, "no-such-page")
            assert problem["type"] == "urn:roadstead:no-such-page"
        await api.refused("PUT", "/pools", 405, "method-unknown")
        await api.refused("OPTIONS", "/pools", 405, "method-unknown")
        async with api.client.get("http://localhost/") as answer:
            assert (answer.status, answer.content_type) == (404, problems.MEDIA_TYPE)


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/operations", {"targets": []}, "action"),
        ("POST", "/operations", {"action": "stop", "targets": "x"}, "targets"),
        ("POST", "/operations", {"action": "stop", "targets": [1]}, "targets.0"),
        ("POST", "/operations", {"action": "stop", "targets": [], "force": True}, "force"),
        ("POST", "/pools", {"url": "https://x", "user": "root"}, "password"),
        ("POST", "/pools", {"url": "https://x", "user": "root", "password": 5}, "password"),
        ("PATCH", "/pools/pool-1", {"admit": "10.0.0.0/8"}, "admit"),
        ("POST", "/pools/probe", {}, "url"),
        ("GET", "/operations/x?wait=31", None, "wait"),
        ("GET", "/operations/x?wait=soon", None, "wait"),
        ("GET", "/changes?since=-1", None, "since"),
    ],
)
async def test_wrong_field_is_named(tmp_path: Path, method: str, path: str, body: Any, field: str) -> None:
    """A request that does not fit is refused with the name of the field."""
    async with stage.running(tmp_path) as api:
        problem = await api.refused(method, path, 422, "field-invalid", json=body)
        assert problem["fields"]["field"] == field
        assert field in problem["detail"]


async def test_passwords_never_come_back(tmp_path: Path) -> None:
    """What was wrong about a body is told without what it held."""
    async with stage.running(tmp_path) as api:
        body = {"url": 7, "user": "root", "password": "hunter2", "extra": "hunter2"}
        assert "hunter2" not in str(await api.refused("POST", "/pools", 422, "field-invalid", json=body))


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"\xff", b'"text"'])
async def test_what_is_no_body_is_refused(tmp_path: Path, body: bytes) -> None:
    """What is not the JSON object that is asked for is the field ``body``."""
    async with stage.running(tmp_path) as api:
        await api.refused(
            "POST", "/operations", 422, "field-invalid", data=body, headers={"Content-Type": "application/json"}
        )


async def test_large_bodies_are_refused(tmp_path: Path) -> None:
    """A body over the limit is refused, whether it says its size or not; one below it is read."""
    async with stage.running(tmp_path) as api:
        large = b"x" * (borders.BODY_BYTES + 1)

        async def chunks() -> Any:
            for start in range(0, len(large), 65536):
                yield large[start : start + 65536]

        assert (await api.refused("POST", "/operations", 413, "body-too-large", data=io.BytesIO(large)))["fields"][
            "limit"
        ]
        await api.refused("POST", "/operations", 413, "body-too-large", data=chunks())
        body = {"action": "stop", "targets": ["x" * 200] * 5000}
        await api.refused("POST", "/operations", 422, "field-invalid", json=body)
        await api.get("/health")


async def test_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body has to arrive within its time."""
    monkeypatch.setattr(borders, "BODY_SECONDS", 0.02)
    async with stage.running(tmp_path) as api:
        reader, writer = await asyncio.open_unix_connection(str(api.listening.socket))
        writer.write(b"POST /api/v1/operations HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()


async def test_mistakes_of_ours_tell_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An exception that nobody foresaw is logged, and answered without its text."""
    async with stage.running(tmp_path) as api:
        api.world.vms.broken = ZeroDivisionError("secret detail")
        problem = await api.refused("GET", "/vms/vm-1/why", 500, "internal")
        assert "secret" not in str(problem)
        assert await api.get("/vms/vm-1")
    assert "secret detail" in "".join(capsys.readouterr())


async def test_every_route_asks_for_its_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller without permissions is refused on every route, by the permission of its row."""
    monkeypatch.setattr(borders, "LOCAL", Caller("nobody", permissions=frozenset()))
    bodies = {
        "/pools": {"url": "https://x", "user": "u", "password": "p"},
        "/pools/probe": {"url": "https://x"},
        "/operations": {"action": "stop", "targets": ["x"]},
        "/pools/{pool}/key/rotation/drop": {"vms": []},
        "/pools/{pool}/plugin/hosts": {},
        "/vms/{vm}/prepare": {},
        "/vms/{vm}/agent": {"keys": ["x"]},
        "/vms/{vm}/agent/answer": {"agent": "x", "request": "x"},
        "/vms/{vm}/config-drive": {},
        "/vms/{vm}/config-drive/preview": {},
        "/config-drives/validate": {"template": "x"},
        "/pools/{pool}/drive-templates/{template}": {"template": "x"},
        "/pools/{pool}/drive-templates/{template}/restore": {"version": 1},
        "/firewall/rules": {"dialect": "nft", "place": "guest"},
        "/firewall/check": {},
        "/pools/{pool}/plugin/hosts/{host}": {"action": "look", "type": "ssh-ed25519", "fingerprint": "SHA256:x"},
    }
    async with stage.running(tmp_path) as api:
        for row in TABLE:
            path = row.path.format(pool="p", vm="v", engine_id="e", operation="o", host="h", template="t")
            queries = {"/search": "?q=x", "/containers/match": "?name=x", "/containers/stats": "?name=x"}
            path += queries.get(row.path, "")
            body = bodies.get(row.path) if row.method == "POST" else {} if row.method == "PATCH" else None
            problem = await api.refused(row.method, path, 403, "permission-needed", json=body)
            assert problem["fields"]["permission"] == row.permission

"""Keys in a pool that make no sense: a named problem on that VM, nothing overwritten, the rest untouched; it heals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roadstead.inventory import views
from roadstead.model import config_keys
from tests.contract.world import World, world

LONG = "x" * 1_000_000


@dataclass(frozen=True)
class Bad:
    """A value that somebody writes into a key, and what is said of it."""

    key: str
    value: str
    reason: str
    code: str = "setting-invalid"
    shown: str = ""
    """How the value is shown; as it stands when this is empty."""


BAD = (
    Bad(config_keys.MONITOR, "true", "only True and False"),
    Bad(config_keys.MONITOR, "yes, please; reboot", "only True and False"),
    Bad(config_keys.USERNAME, "core; reboot", "no user name"),
    Bad(config_keys.USERNAME, "$(reboot)", "no user name"),
    Bad(config_keys.USERNAME, "core\nroot", "no user name", shown="core?root"),
    Bad(config_keys.USERNAME, LONG, "no user name", shown="x" * 47 + "…"),
    Bad(config_keys.USERNAME, "\u202ecore", "no user name", shown="?core"),
    Bad(config_keys.SSH_PORT, "99999", "between 1 and 65535"),
    Bad(config_keys.SSH_PORT, "ssh", "between 1 and 65535"),
    Bad(config_keys.SSH_PORT, "-1", "between 1 and 65535"),
    Bad(config_keys.ADDRESS, "guest.example", "no literal IP address"),
    Bad(config_keys.ADDRESS, "10.0.0.0/8", "no literal IP address"),
    Bad(config_keys.ADDRESS, "224.0.0.1", "no single machine", code="address-not-allowed"),
    Bad(config_keys.ENGINE_SOCKET, "/run/../etc/shadow", "climbs"),
    Bad(config_keys.ENGINE_SOCKET, "/" + "s" * 107, "longer than 107 bytes", shown="/" + "s" * 46 + "…"),
    Bad(config_keys.ENGINE_SOCKET, "tcp://0.0.0.0:2375", "no plain absolute path"),
    Bad(config_keys.SUDO, "yes", "only True and False"),
    Bad(config_keys.HOST_KEY, "not base64!", "no public key"),
    Bad(config_keys.HOST_KEY, "AAAA", "no public key"),
)


def _set(one: World, name: str, key: str, value: str | None) -> None:
    ref = one.pool.find(name)
    rest = {known: kept for known, kept in one.pool.core.vm(ref)["other_config"].items() if known != key}
    one.pool.core.database.write("VM", ref, "other_config", rest if value is None else {**rest, key: value})


def _value(one: World, name: str, key: str) -> str | None:
    value = one.pool.core.vm(one.pool.find(name))["other_config"].get(key)
    return None if value is None else str(value)


def _told(one: World, name: str) -> tuple[str, str]:
    problem = views.vm_problem(one.vm(name))
    return (problem.code, problem.cause) if problem is not None else ("", "")


async def test_a_value_that_makes_no_sense_is_that_vms_named_problem(tmp_path: Path) -> None:
    """Written while all is well; the key, the value and the reason are said; put right, all is well again."""
    names = [f"vm-{number}" for number in range(1, len(BAD) + 2)]
    good = names[-1]
    async with world(tmp_path, vms=len(names), containers=1) as one:
        await one.until(lambda: all(_value(one, name, config_keys.HOST_KEY) for name in names), "pinned")
        before = {name: _value(one, name, bad.key) for name, bad in zip(names, BAD, strict=False)}
        since = one.vm(good).link
        for name, bad in zip(names, BAD, strict=False):
            _set(one, name, bad.key, bad.value)
            if bad.key == config_keys.ADDRESS:  # a link that lives is kept: it counts at the next contact
                await one.until(lambda name=name, bad=bad: one.vm(name).settings.get(bad.key) == bad.value)  # type: ignore[misc]
                one.guest(name).cut()
        for name, bad in zip(names, BAD, strict=False):
            await one.until(lambda name=name, bad=bad: _told(one, name)[0] == bad.code, f"{bad.key} {bad.reason}")  # type: ignore[misc]
            _check_words(bad, _told(one, name)[1])
            assert _value(one, name, bad.key) == bad.value
        assert one.vm(good).link == since
        for name, value in before.items():
            _set(one, name, BAD[names.index(name)].key, value)
        await one.until_live(*names)
        assert all(_told(one, name) == ("", "") for name in names)


def _check_words(bad: Bad, cause: str) -> None:
    assert bad.reason in cause
    assert (bad.shown or bad.value) in cause
    assert len(cause) < 400
    assert cause.isprintable()
    if bad.code == "setting-invalid":
        assert bad.key in cause

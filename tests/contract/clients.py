"""What other clients of a pool see, by the library that XAPI's makers give them (PyPI's XenAPI): it speaks XML-RPC,
and waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import XenAPI

from roadstead.lab.pool.server import LabPool

T = TypeVar("T")
TITLE = "Container Management cannot monitor VM"
"""The title that the old pack gave, which clients know."""


async def asked(pool: LabPool, question: Callable[[Any], T]) -> T:
    """Sign in as root, and return what ``question`` finds."""
    return await asyncio.to_thread(_asked, pool.url, pool.password, question)


def _asked(url: str, password: str, question: Callable[[Any], T]) -> T:
    with XenAPI.Session(url, ignore_ssl=True) as session:
        session.xenapi.login_with_password("root", password, "1.0", "another client")
        try:
            return question(session.xenapi)
        finally:
            session.xenapi.session.logout()


async def alerts(pool: LabPool) -> list[tuple[str, str]]:
    """The messages of ours that the pool holds: the name of each one's VM (or its uuid), and its body."""

    def question(api: Any) -> list[tuple[str, str]]:
        names = {vm["uuid"]: vm["name_label"] for vm in api.VM.get_all_records().values()}
        told = [message for message in api.message.get_all_records().values() if message["name"] == TITLE]
        assert {(message["cls"], message["priority"]) for message in told} <= {("VM", "3")}
        return sorted((names.get(message["obj_uuid"], message["obj_uuid"]), message["body"]) for message in told)

    return await asked(pool, question)

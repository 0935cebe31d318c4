"""Containers of which values are published, tame and hostile ones; every reader of these values meets the same."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from roadstead.model import Container, Port
from tests.unit.fakes import records

ID = "4f1c0ffee0d25a9b7e3d6c8a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e"
CREATED = 1700000000


def made(**fields: Any) -> Container:
    """A container with one port."""
    defaults = {
        "engine_id": ID,
        "name": "shop-frontend",
        "state": "running",
        "image": "registry.example/shop:1.4",
        "command": 'nginx -g "daemon off;"',
        "created": datetime.fromtimestamp(CREATED, UTC),
        "ports": (Port(private=80, public=8080, ip="0.0.0.0"),),
        "labels": {"secret": "label"},
    }
    return records.container(1, **{**defaults, **fields})


NASTY = st.text(
    st.one_of(
        st.sampled_from("<>&\"']]>\x00\x1b\x85\u2028\ufffe\uffff\ufeff%:@ \t\r\n{}-;"),
        st.sampled_from(string.printable),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=60,
)
CONTAINERS = st.builds(
    made,
    name=NASTY,
    command=st.one_of(NASTY, NASTY.map(lambda text: text * 40)),
    image=NASTY,
    state=st.sampled_from(["running", "paused", "exited", "<entry>"]),
    exit_code=st.sampled_from([None, 0, 137]),
    health=st.one_of(st.just(""), NASTY),
    ports=st.lists(st.builds(Port, private=st.integers(0, 65535), type=NASTY, ip=NASTY), max_size=3).map(tuple),
)

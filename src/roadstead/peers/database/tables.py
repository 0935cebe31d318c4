"""The tables, in SQL that SQLite and PostgreSQL read alike.

Every change here needs a migration in ``migrations/versions``; a test compares the two.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Integer, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine


class Lenient(TypeDecorator[Any]):
    """A column of which a damaged value reads as None, so that one row never stands in the way of the others."""

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = JSON
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any | None]:
        """Return what reads a value."""
        read = super().result_processor(dialect, coltype)

        def process(value: Any) -> Any | None:
            try:
                return read(value) if read is not None else value
            except (TypeError, ValueError):
                return None

        return process


class Moment(Lenient):
    """An aware time in UTC, also where the database (SQLite) knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Write it in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Read it as UTC."""
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables."""


class PoolRow(Base):
    """A pool that the operator added."""

    __tablename__ = "pools"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    """The pool's XAPI uuid."""
    name: Mapped[str] = mapped_column(Text)
    """As the pool calls itself; two pools may have the same name."""
    url: Mapped[str] = mapped_column(Text)
    user: Mapped[str] = mapped_column("user_name", Text)
    password: Mapped[bytes] = mapped_column(LargeBinary)
    """Sealed by the vault."""
    ca_pem: Mapped[str] = mapped_column(Text)
    fingerprints: Mapped[dict[str, str]] = mapped_column(Lenient)
    members: Mapped[list[str]] = mapped_column(Lenient)
    admit: Mapped[list[str]] = mapped_column(Lenient)
    only: Mapped[list[str]] = mapped_column("only_networks", Lenient)
    publish: Mapped[str] = mapped_column(Text, server_default="on")
    """``on``, ``off``, or ``tag:`` and the tag that VMs must have."""
    added: Mapped[datetime] = mapped_column(Moment)


class PinRow(Base):
    """The host key under which a VM was last reached."""

    __tablename__ = "last_pins"

    vm: Mapped[str] = mapped_column(String(36), primary_key=True)
    pool: Mapped[str] = mapped_column(String(36), index=True)
    key: Mapped[str] = mapped_column("host_key", Text)
    since: Mapped[datetime] = mapped_column(Moment)


class ExpectedKeyRow(Base):
    """The host key that the operator said a VM must show at its next contact."""

    __tablename__ = "expected_host_keys"

    vm: Mapped[str] = mapped_column(String(36), primary_key=True)
    pool: Mapped[str] = mapped_column(String(36), index=True)
    key: Mapped[str] = mapped_column("host_key", Text)
    """Its type, which may be missing, a blank, and its SHA-256 fingerprint."""
    since: Mapped[datetime] = mapped_column(Moment)


class KeyedVmRow(Base):
    """A VM which a pool key was put into, or which it opened."""

    __tablename__ = "keyed_vms"

    pool: Mapped[str] = mapped_column(String(36), primary_key=True)
    vm: Mapped[str] = mapped_column(String(36), primary_key=True)
    key: Mapped[str] = mapped_column("key_fingerprint", String(64), primary_key=True)
    since: Mapped[datetime] = mapped_column(Moment)
    gone: Mapped[datetime | None] = mapped_column(Moment)
    """Since when the VM was seen to be in no pool."""


class KeyProofRow(Base):
    """What only the key opens that sealed the passwords."""

    __tablename__ = "key_proof"

    name: Mapped[str] = mapped_column(String(36), primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)


class PluginTokenRow(Base):
    """A token with which a pool's plugin calls: what is kept of it is its SHA-256."""

    __tablename__ = "plugin_tokens"

    hash: Mapped[str] = mapped_column("token_hash", String(64), primary_key=True)
    pool: Mapped[str] = mapped_column(String(36), index=True)
    since: Mapped[datetime] = mapped_column(Moment)


class AuditRow(Base):
    """Who did what; numbered in the order of writing."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime] = mapped_column("happened", Moment)
    who: Mapped[str] = mapped_column(Text)
    origin: Mapped[str] = mapped_column(Text)
    what: Mapped[str] = mapped_column(Text)
    target: Mapped[str] = mapped_column(Text)
    result: Mapped[str] = mapped_column(String(16))
    code: Mapped[str] = mapped_column(String(64))


class DriveTemplateRow(Base):
    """A version of a template for config drives that the operators of a pool wrote."""

    __tablename__ = "drive_templates"

    pool: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    profile: Mapped[str] = mapped_column(String(16))
    size: Mapped[int] = mapped_column("text_bytes", Integer)
    text: Mapped[bytes] = mapped_column("sealed_text", LargeBinary)
    """Sealed by the vault: people write passwords into such texts."""
    saved: Mapped[datetime] = mapped_column(Moment)
    who: Mapped[str] = mapped_column(Text)

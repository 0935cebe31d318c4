"""Every setting with its default and its meaning; ``docs/settings.md`` is generated from here.

Sources, the later winning, field by field: defaults, the settings files (TOML), the environment
(``ROADSTEAD_SECTION__FIELD``; names without a section, as ``ROADSTEAD_SERVER``, are no settings).
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from roadstead.errors import StartError, checks
from roadstead.settings import places


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PoolSettings(Section):
    """How pools (XAPI) are talked to."""

    connect_seconds: float = Field(default=5.0, gt=0, description="Limit on connecting to a host of a pool, with TLS.")
    call_seconds: float = Field(default=30.0, gt=0, description="Limit on one XAPI call.")
    list_seconds: float = Field(default=120.0, gt=0, description="Limit on a call that lists everything.")
    event_seconds: float = Field(
        default=30.0, gt=0, description="How long one event.from may block on the pool's side."
    )
    retry_first_seconds: float = Field(default=1.0, gt=0, description="First delay after a pool was lost.")
    retry_limit_seconds: float = Field(
        default=60.0, gt=0, description="Longest delay between two tries to reach a pool."
    )
    absence_seconds: float = Field(
        default=2.0, ge=0, description="How long a vanished other_config key still counts as there."
    )
    relist_seconds: float = Field(
        default=5.0,
        gt=0,
        description="Shortest time between two listings of a class of which deletions got lost.",
    )
    steady_seconds: float = Field(
        default=60.0, ge=0, description="How long a pool must stay live before delays between tries are short again."
    )
    collect_seconds: float = Field(
        default=60.0, ge=0, description="How long after a VM has gone its secrets in the pool are collected."
    )
    keyed_days: float = Field(
        default=90.0,
        gt=0,
        description="How long it stays known that a pool's key opens a VM which is in no known pool any more.",
    )
    rotation_seconds: float = Field(
        default=15.0, gt=0, description="How often it is looked how far the rotation of a pool's key is."
    )
    objects: int = Field(
        default=20_000, ge=1, description="How many objects of one class (VMs, for one) a pool may have."
    )


class LinkSettings(Section):
    """How guests are reached."""

    connect_seconds: float = Field(default=5.0, gt=0, description="Limit on reaching one address of a guest.")
    login_seconds: float = Field(
        default=10.0, gt=0, description="Limit on the SSH handshake and sign-in, or on the TLS handshake."
    )
    keepalive_seconds: float = Field(
        default=15.0, gt=0, description="How often a silent link is asked whether it lives."
    )
    keepalive_count: int = Field(default=3, ge=1, description="How many of these may stay unanswered.")
    stagger_seconds: float = Field(default=0.25, ge=0, description="Head start of each address over the next one.")
    retry_first_seconds: float = Field(
        default=5.0, gt=0, description="Shortest delay between two sign-ins to one guest."
    )
    retry_limit_seconds: float = Field(
        default=60.0, gt=0, description="Longest delay between two tries to reach a guest."
    )
    refusal_first_seconds: float = Field(
        default=30.0, gt=0, description="First delay after a refused key or a host-key problem."
    )
    refusal_limit_seconds: float = Field(default=600.0, gt=0, description="Longest delay after such refusals.")
    steady_seconds: float = Field(
        default=30.0, ge=0, description="How long a guest has to stay live before its next failure counts as the first."
    )
    boot_seconds: float = Field(
        default=120.0, ge=0, description="How long a VM that has just started may announce no address."
    )
    parallel_connects: int = Field(default=64, ge=1, description="How many connections may be under way at once.")
    parallel_logins: int = Field(default=16, ge=1, description="How many handshakes may be under way at once.")
    expiry_days: float = Field(default=30.0, ge=0, description="How long before its end a certificate is warned of.")
    addresses: int = Field(default=16, ge=1, le=32, description="How many addresses of a guest are tried.")
    user: str = Field(default="core", description="Login user of a VM that names none (xscontainer-username).")
    engine_socket: str = Field(
        default="/var/run/docker.sock", description="The engine's socket in a VM that names none."
    )
    sources: str = Field(
        default="",
        max_length=1024,
        description="Networks that guests are called from, with commas between them: where `prepare` is told none, it"
        " lets the pool's key in from these alone (`from=`), and has firewalls of VMs behind TLS do so.",
    )

    @field_validator("sources")
    @classmethod
    def _in_order(cls, text: str) -> str:
        """Refuse what is no network; write the others as OpenSSH and Windows take them."""
        return ",".join(str(ip_network(part.strip(), strict=False)) for part in text.split(",") if part.strip())

    @property
    def from_networks(self) -> tuple[str, ...]:
        """The ``sources``, one by one."""
        return tuple(filter(None, self.sources.split(",")))


class EngineSettings(Section):
    """Bounds on what a container engine may say, for each guest."""

    answer_bytes: int = Field(default=8 * 2**20, ge=2**16, description="Size of one answer.")
    event_bytes: int = Field(default=256 * 2**10, ge=2**10, description="Size of one event.")
    header_bytes: int = Field(default=64 * 2**10, ge=2**10, description="Size of all headers of one answer.")
    json_depth: int = Field(default=64, ge=8, description="Nesting of JSON.")
    containers: int = Field(default=4096, ge=1, description="How many containers of one engine are shown.")
    events_per_second: int = Field(
        default=2000, ge=10, description="More events than this cause a new listing instead."
    )
    event_bytes_per_second: int = Field(
        default=2 * 2**20, ge=2**10, description="The same of their size: more bytes than this."
    )
    relist_seconds: float = Field(default=10.0, gt=0, description="Shortest time between two such listings.")
    text_bytes: int = Field(default=4096, ge=64, description="What is kept of a name, label or command.")
    kept_bytes: int = Field(
        default=16 * 2**20, ge=2**16, description="Memory that the containers of one guest may take in the inventory."
    )
    answer_seconds: float = Field(default=20.0, gt=0, description="Limit on an answer that should come at once.")
    stall_seconds: float = Field(
        default=5.0, gt=0, description="How long a large answer that is on its way may bring nothing."
    )
    idle_seconds: float = Field(
        default=60.0, gt=0, description="How often an engine that says nothing is asked whether it lives."
    )
    action_seconds: float = Field(default=120.0, gt=0, description="Limit on an action such as stop.")
    full_pass_seconds: float = Field(
        default=600.0, gt=0, description="How often everything is listed again, to repair."
    )
    in_flight_bytes: int = Field(
        default=256 * 2**20, ge=2**20, description="Answers of all guests together on their way."
    )


class LogSettings(Section):
    """Reading the logs of containers."""

    readers: int = Field(
        default=3, ge=1, description="How many may read logs of one VM at once: each takes a channel to its engine."
    )
    seconds: float = Field(
        default=86400.0, gt=0, description="How long one of them may read, also of what is followed."
    )
    bytes: int = Field(default=2**30, ge=2**16, description="How much an engine may send to one of them.")
    lost_seconds: float = Field(
        default=3600.0, ge=0, description="How long one that follows waits for a VM that was lost, to go on then."
    )
    retry_seconds: float = Field(default=1.0, gt=0, description="How often it looks whether the VM is back.")


class CertificateSettings(Section):
    """Certificates that are made for engines behind TLS."""

    days: int = Field(default=730, ge=1, le=730, description="How long new certificates are valid.")
    key: Literal["rsa", "ec"] = Field(
        default="rsa", description="Kind of their keys: RSA of 3072 bits, or the curve P-256."
    )
    wait_seconds: float = Field(
        default=3600.0, gt=0, description="How long the CD with them stays in a VM that does not use them yet."
    )
    try_seconds: float = Field(default=5.0, gt=0, description="How often it is tried meanwhile whether it does.")


class PublishSettings(Section):
    """What pools publish of their VMs' containers: each write wakes every client of the pool."""

    vm_seconds: float = Field(default=2.0, ge=0, description="Shortest time between two writes to one VM.")
    pool_writes_per_second: float = Field(default=20.0, gt=0, description="How many VMs of one pool are written to.")
    value_bytes: int = Field(
        default=128 * 2**10, ge=2**10, le=200 * 2**10, description="Size of one value; longer lists are cut."
    )
    lost_seconds: float = Field(
        default=60.0, ge=0, description="How long after its link was lost a VM's containers are still published."
    )


class AlertSettings(Section):
    """Alerts about VMs, raised in their pools."""

    after_seconds: float = Field(
        default=120.0, ge=0, description="How long a VM cannot be monitored before its pool gets a message."
    )


class PluginSettings(Section):
    """The listener for the pools' plugin, which hands on what XenCenter and Xen Orchestra ask for."""

    listen: str = Field(
        default="", description="Its address as `ADDRESS:PORT`, IPv6 in brackets; empty: nothing is listened for."
    )


class AuditSettings(Section):
    """The record of who changed what."""

    rows: int = Field(default=100_000, ge=100, description="How many entries are kept; the oldest go first.")


class ServerSettings(Section):
    """The API."""

    feed_changes: int = Field(default=65536, ge=16, description="How many changes are kept for readers that resume.")
    feed_bytes: int = Field(
        default=128 * 2**20, ge=2**20, description="Memory that the changes kept for them may take."
    )
    operations_kept_seconds: float = Field(
        default=3600.0, gt=0, description="How long a finished operation can be asked for."
    )
    operation_targets: int = Field(default=1000, ge=1, description="How many containers one operation may touch.")
    shutdown_seconds: float = Field(default=5.0, gt=0, description="How long a stopping server waits for its clients.")


class RuntimeSettings(Section):
    """The process itself."""

    gc: bool = Field(default=True, description="Tune the garbage collector so that it never stops the loop for long.")
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$", description="What is logged.")
    log_format: str = Field(
        default="auto", pattern="^(auto|text|json)$", description="How it is logged; auto: by terminal."
    )


PREFIX = "ROADSTEAD_"
NESTED = "__"
_PLACE = re.compile(r"\(at [^()]*\)$")
_REASONS = {"extra_forbidden": "there is no such setting", "model_type": "it is a section, not a value"}
"""What is said of settings alone."""


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter=NESTED)

    pool: PoolSettings = PoolSettings()
    link: LinkSettings = LinkSettings()
    engine: EngineSettings = EngineSettings()
    logs: LogSettings = LogSettings()
    certificate: CertificateSettings = CertificateSettings()
    publish: PublishSettings = PublishSettings()
    alert: AlertSettings = AlertSettings()
    plugin: PluginSettings = PluginSettings()
    audit: AuditSettings = AuditSettings()
    server: ServerSettings = ServerSettings()
    runtime: RuntimeSettings = RuntimeSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Name the sources, the first winning; called by pydantic-settings."""
        del env_settings, dotenv_settings, file_secret_settings
        return (_Environment(settings_cls), init_settings)


class _Environment(EnvSettingsSource):
    """The environment, as far as it names a section and a field; a section that does not exist is not passed over."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self.env_vars = {name: value for name, value in self.env_vars.items() if NESTED in name}

    def __call__(self) -> dict[str, Any]:
        sections = {name.lower().removeprefix(PREFIX.lower()).partition(NESTED)[0] for name in _variables()}
        unknown = sections - set(self.settings_cls.model_fields)
        return {**super().__call__(), **dict.fromkeys(sorted(unknown))}


def read_settings(config: Path | None = None) -> Settings:
    """Read the settings once, at the start of a server; ``config`` is read instead of the files of `places`.

    Raises `StartError` ``settings-unreadable`` (no file there, no TOML, no right) or ``settings-invalid`` (names the
    field and where it stands).
    """
    named = config or os.environ.get("ROADSTEAD_CONFIG")
    tables: dict[Path, dict[str, Any]] = {}
    for path in (config,) if config else places.settings_files():
        try:
            tables[path] = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            if named:
                raise StartError("settings-unreadable", path=path, reason="there is no such file") from error
        except (OSError, ValueError) as error:
            raise StartError("settings-unreadable", path=path, reason=_reason(error)) from error
    try:
        return Settings(**_merged(list(tables.values())))
    except ValidationError as error:
        first: Any = error.errors()[0]
        reason = _REASONS.get(first["type"]) or checks.reason(first)
        place = tuple(str(part) for part in first["loc"])
        raise StartError(
            "settings-invalid", field=".".join(place), reason=reason, path=_origin(place, tables)
        ) from error


def _variables() -> list[str]:
    return [name for name in os.environ if name.upper().startswith(PREFIX) and NESTED in name]


def _merged(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the tables as one: of each section the fields of all, of each field the last."""
    merged: dict[str, Any] = {}
    for table in tables:
        for name, section in table.items():
            known = merged.get(name)
            merged[name] = known | section if isinstance(known, dict) and isinstance(section, dict) else section
    return merged


def _origin(place: Sequence[str], tables: Mapping[Path, Mapping[str, Any]]) -> str:
    """Return where the operator finds the setting that is not valid."""
    wanted = (PREFIX + NESTED.join(place)).upper()
    for name in _variables():
        if name.upper() == wanted or (len(place) == 1 and name.upper().startswith(wanted + NESTED)):
            return f"the environment ({name})"
    return ", ".join(str(path) for path, table in tables.items() if place[0] in table)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return os.strerror(error.errno or 0).lower()
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    found = _PLACE.search(str(error))
    return f"it is not TOML {found[0]}" if found else "it is not TOML"

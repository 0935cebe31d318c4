"""Releases that the lab can pass for: which fields and calls of the newest are not there yet.

Written from the releases in which XAPI's fields came.  What a release has that later ones dropped is not here: XAPI
drops nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from roadstead.lab.pool.schema import SCHEMAS

_NOT_IN_8_3 = {
    "pool": """ha_reboot_vm_on_internal_shutdown limit_console_sessions vm_console_idle_timeout
    auto_update_vm_secureboot_certificates""",
    "host": """ssh_enabled ssh_enabled_timeout ssh_expiry console_idle_timeout ssh_auto_mode max_cstate secure_boot
    ntp_mode ntp_custom_servers timezone""",
    "VM": "secureboot_certificates_state",
    "VM_metrics": "numa_optimised numa_nodes numa_node_memory",
    "VM_guest_metrics": "services",
    "VIF": "trunks",
    "Certificate": "purpose",
}
_NOT_IN_8_2 = {
    "pool": """custom_uefi_certificates is_psr_pending tls_verification_enabled repositories
    client_certificate_auth_enabled client_certificate_auth_name repository_proxy_url repository_proxy_username
    repository_proxy_password migration_compression coordinator_bias local_auth_max_threads ext_auth_max_threads
    ext_auth_cache_enabled ext_auth_cache_size ext_auth_cache_expiry telemetry_uuid telemetry_frequency
    telemetry_next_collection last_update_sync update_sync_frequency update_sync_day update_sync_enabled
    recommendations license_server""",
    "host": """pending_guidances tls_verification_enabled last_software_update https_only
    latest_synced_updates_applied numa_affinity_policy pending_guidances_recommended pending_guidances_full
    last_update_hash""",
    "VM": "actions_after_softreboot pending_guidances pending_guidances_recommended pending_guidances_full groups",
    "VM_guest_metrics": "netbios_name",
    "Certificate": "name type fingerprint_sha256 fingerprint_sha1",
    "session": "client_certificate",
    "role": "is_internal",
}
_CALLS_NOT_IN_8_2 = frozenset({"message.destroy_many", "task.set_error_info", "task.set_result"})


@dataclass(frozen=True, slots=True)
class Profile:
    """One release: what it calls itself, and what it lacks."""

    name: str
    api_minor: int
    software: Mapping[str, str]
    hidden: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Fields that are not there, by class."""
    calls: frozenset[str] = frozenset()
    """Calls that are not there."""
    guards_maps: bool = True
    """Whether a call that replaces a whole `other_config` is judged by the keys that it changes."""

    @property
    def missing(self) -> frozenset[str]:
        """Every call that this release does not know."""
        return self.calls | frozenset(_calls_of(self.hidden))


def _calls_of(hidden: Mapping[str, frozenset[str]]) -> Iterator[str]:
    for kind, fields in hidden.items():
        for name in fields:
            yield from (f"{kind}.{verb}_{name}" for verb in ("get", "set", "add_to", "remove_from"))


def _fields(*tables: Mapping[str, str]) -> dict[str, frozenset[str]]:
    names = {kind: " ".join(table.get(kind, "") for table in tables).split() for kind in SCHEMAS}
    return {kind: frozenset(found) for kind, found in names.items() if found}


def _software(version: str, platform: str, xapi: str) -> dict[str, str]:
    return {
        "product_brand": "Roadstead lab",
        "product_version": version,
        "product_version_text": "lab",
        "platform_name": "lab",
        "platform_version": platform,
        "xapi": xapi,
        "build_number": "lab",
    }


CURRENT = Profile("current", 23, _software("26.17.0", "3.4.0", "26.17"))

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "8.2",
            16,
            _software("8.2.1", "3.2.1", "1.249"),
            _fields(_NOT_IN_8_2, _NOT_IN_8_3),
            _CALLS_NOT_IN_8_2,
            guards_maps=False,
        ),
        Profile("8.3", 21, _software("8.3.0", "3.4.0", "25.6"), _fields(_NOT_IN_8_3), guards_maps=False),
        CURRENT,
    )
}
"""Every release by its name: those of XCP-ng, and the newest XAPI."""

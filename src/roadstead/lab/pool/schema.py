"""The classes and fields of XAPI that the lab serves, written by hand as far as clients of a lab need them.

A table's fields are text: a type, then names of that type; `=` after a name means that clients may change the field
(`set_F`; for a map also `add_to_F` and `remove_from_F`, for `tags` `add_tags` and `remove_tags`).  The order is the
order of the fields on the wire.  Fields that nothing in the lab uses are there because clients read whole records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roadstead.lab.pool.values import KINDS, Kind


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its type, and whether clients may change it."""

    name: str
    kind: Kind
    writable: bool


@dataclass(frozen=True, slots=True)
class Schema:
    """One class: its fields in their order, what a new record holds, and who learns of its changes."""

    name: str
    fields: Mapping[str, Field]
    defaults: Mapping[str, Any]
    events: bool = True
    """Whether `event.from` speaks of it."""
    listed: bool = True
    """Whether it has `get_all` and its relatives."""
    getters: bool = True
    """Whether its fields can be read one by one."""

    @property
    def event_class(self) -> str:
        """The class's name in events."""
        return self.name.lower()


def _schema(
    name: str, fields: str, *, events: bool = True, listed: bool = True, getters: bool = True, **defaults: object
) -> Schema:
    parsed: dict[str, Field] = {}
    kind = KINDS["str"]
    for word in f"str uuid {fields}".split():
        if word in KINDS:
            kind = KINDS[word]
        else:
            parsed[word.rstrip("=")] = Field(word.rstrip("="), kind, word.endswith("="))
    start = {field.name: field.kind.empty for field in parsed.values()}
    return Schema(name, parsed, {**start, **defaults}, events, listed, getters)


_POOL = _schema(
    "pool",
    """name_label= name_description= ref master default_SR= suspend_image_SR= crash_dump_SR= map other_config=
    bool ha_enabled map ha_configuration set ha_statefiles int ha_host_failures_to_tolerate ha_plan_exists_for
    bool ha_allow_overcommit= ha_overcommitted maps blobs set tags= map gui_config= health_check_config= str wlb_url
    wlb_username bool wlb_enabled= wlb_verify_cert= redo_log_enabled ref redo_log_vdi str vswitch_controller
    map restrictions set metadata_VDIs str ha_cluster_stack set allowed_operations maps current_operations
    map guest_agent_config cpu_info bool policy_no_vendor_device= live_patching_disabled= igmp_snooping_enabled
    str uefi_certificates custom_uefi_certificates bool is_psr_pending tls_verification_enabled set repositories
    bool client_certificate_auth_enabled str client_certificate_auth_name repository_proxy_url
    repository_proxy_username ref repository_proxy_password bool migration_compression= coordinator_bias=
    int local_auth_max_threads ext_auth_max_threads bool ext_auth_cache_enabled int ext_auth_cache_size
    ext_auth_cache_expiry ref telemetry_uuid str telemetry_frequency datetime telemetry_next_collection
    last_update_sync str update_sync_frequency int update_sync_day bool update_sync_enabled map recommendations
    license_server bool ha_reboot_vm_on_internal_shutdown auto_update_vm_secureboot_certificates
    limit_console_sessions int vm_console_idle_timeout""",
    tls_verification_enabled=True,
    local_auth_max_threads=8,
    ext_auth_max_threads=1,
)

_HOST = _schema(
    "host",
    """name_label= name_description= int memory_overhead set allowed_operations maps current_operations
    int API_version_major API_version_minor str API_version_vendor map API_version_vendor_implementation bool enabled
    map software_version other_config= set capabilities map cpu_configuration str sched_policy
    set supported_bootloaders resident_VMs map logging= set PIFs ref suspend_image_sr= crash_dump_sr=
    set crashdumps patches updates PBDs host_CPUs map cpu_info str hostname address ref metrics map license_params
    set ha_statefiles ha_network_peers maps blobs set tags= str external_auth_type external_auth_service_name
    map external_auth_configuration str edition map license_server= bios_strings str power_on_mode
    map power_on_config ref local_cache_sr map chipset_info set PCIs PGPUs PUSBs bool ssl_legacy map guest_VCPUs_params=
    str display set virtual_hardware_platform_versions ref control_domain set updates_requiring_reboot features
    str iscsi_iqn= bool multipathing str uefi_certificates set certificates editions pending_guidances
    pending_guidances_recommended pending_guidances_full bool tls_verification_enabled https_only secure_boot
    datetime last_software_update str last_update_hash latest_synced_updates_applied numa_affinity_policy max_cstate
    timezone ntp_mode set ntp_custom_servers bool ssh_enabled int ssh_enabled_timeout console_idle_timeout
    datetime ssh_expiry bool ssh_auto_mode""",
    API_version_major=2,
    API_version_vendor="XenSource",
    enabled=True,
    edition="xcp-ng",
    sched_policy="credit",
    tls_verification_enabled=True,
)

_HOST_METRICS = _schema(
    "host_metrics",
    "int memory_total memory_free bool live datetime last_updated map other_config=",
    memory_total=1 << 40,
    live=True,
)

_VM = _schema(
    "VM",
    """set allowed_operations maps current_operations str name_label= name_description= power_state int user_version=
    bool is_a_template= is_default_template ref suspend_VDI resident_on scheduled_to_be_resident_on affinity=
    int memory_overhead memory_target memory_static_max memory_dynamic_max memory_dynamic_min memory_static_min
    map VCPUs_params= int VCPUs_max VCPUs_at_startup str actions_after_softreboot= actions_after_shutdown=
    actions_after_reboot= actions_after_crash= set consoles VIFs VBDs VUSBs crash_dumps VTPMs str PV_bootloader=
    PV_kernel= PV_ramdisk= PV_args= PV_bootloader_args= PV_legacy_args= HVM_boot_policy map HVM_boot_params=
    float HVM_shadow_multiplier map platform= str PCI_bus map other_config= int domid str domarch
    map last_boot_CPU_flags bool is_control_domain ref metrics guest_metrics str last_booted_record recommendations=
    map xenstore_data= bool ha_always_run str ha_restart_priority bool is_a_snapshot ref snapshot_of set snapshots
    datetime snapshot_time str transportable_snapshot_id maps blobs set tags= map blocked_operations= snapshot_info
    str snapshot_metadata ref parent set children map bios_strings ref protection_policy bool is_snapshot_from_vmpp
    ref snapshot_schedule bool is_vmss_snapshot ref appliance int start_delay= shutdown_delay= order= set VGPUs
    attached_PCIs ref suspend_SR= int version str generation_id int hardware_platform_version bool has_vendor_device
    requires_reboot str reference_label domain_type map NVRAM set pending_guidances pending_guidances_recommended
    pending_guidances_full groups= str secureboot_certificates_state""",
    power_state="Halted",
    domid=-1,
    HVM_shadow_multiplier=1.0,
    HVM_boot_policy="BIOS order",
    HVM_boot_params={"order": "cd"},
    actions_after_softreboot="soft_reboot",
    actions_after_shutdown="destroy",
    actions_after_reboot="restart",
    actions_after_crash="restart",
    memory_static_max=1 << 30,
    memory_dynamic_max=1 << 30,
    memory_dynamic_min=1 << 30,
    memory_static_min=1 << 29,
    VCPUs_max=2,
    VCPUs_at_startup=2,
    platform={"acpi": "1", "apic": "true", "pae": "true", "viridian": "false"},
    domain_type="hvm",
    allowed_operations=("snapshot", "clone", "copy", "export", "start", "destroy"),
)

_VM_METRICS = _schema(
    "VM_metrics",
    """int memory_actual VCPUs_number maps VCPUs_utilisation VCPUs_CPU map VCPUs_params maps VCPUs_flags set state
    datetime start_time install_time last_updated map other_config= bool hvm nested_virt nomigrate
    str current_domain_type bool numa_optimised int numa_nodes maps numa_node_memory""",
    VCPUs_number=2,
)

_VM_GUEST_METRICS = _schema(
    "VM_guest_metrics",
    """map os_version netbios_name PV_drivers_version bool PV_drivers_up_to_date map memory disks networks other
    services datetime last_updated map other_config= bool live str can_use_hotplug_vbd can_use_hotplug_vif
    bool PV_drivers_detected""",
    can_use_hotplug_vbd="unspecified",
    can_use_hotplug_vif="unspecified",
)

_NETWORK = _schema(
    "network",
    """name_label= name_description= set allowed_operations maps current_operations set VIFs PIFs int MTU=
    map other_config= str bridge bool managed maps blobs set tags= str default_locking_mode maps assigned_ips
    set purpose""",
    MTU=1500,
    managed=True,
    default_locking_mode="unlocked",
)

_VIF = _schema(
    "VIF",
    """set allowed_operations maps current_operations str device ref network VM str MAC int MTU map other_config=
    bool currently_attached int status_code str status_detail map runtime_properties str qos_algorithm_type=
    map qos_algorithm_params= set qos_supported_algorithms ref metrics bool MAC_autogenerated str locking_mode=
    set ipv4_allowed= ipv6_allowed= str ipv4_configuration_mode set ipv4_addresses str ipv4_gateway
    ipv6_configuration_mode set ipv6_addresses str ipv6_gateway set trunks""",
    MTU=1500,
    MAC_autogenerated=True,
    locking_mode="network_default",
    ipv4_configuration_mode="None",
    ipv6_configuration_mode="None",
)

_PIF = _schema(
    "PIF",
    """str device ref network host str MAC int MTU VLAN ref metrics bool physical currently_attached
    str ip_configuration_mode IP netmask gateway DNS ref bond_slave_of set bond_master_of ref VLAN_master_of
    set VLAN_slave_of bool management map other_config= bool disallow_unplug set tunnel_access_PIF_of
    tunnel_transport_PIF_of str ipv6_configuration_mode set IPv6 str ipv6_gateway primary_address_type bool managed
    map properties set capabilities str igmp_snooping_status set sriov_physical_PIF_of sriov_logical_PIF_of ref PCI""",
    MTU=1500,
    VLAN=-1,
    physical=True,
    managed=True,
    currently_attached=True,
    ip_configuration_mode="Static",
    ipv6_configuration_mode="None",
    primary_address_type="IPv4",
    igmp_snooping_status="unknown",
)

_SR = _schema(
    "SR",
    """name_label= name_description= set allowed_operations maps current_operations set VDIs PBDs
    int virtual_allocation physical_utilisation physical_size str type content_type bool shared map other_config=
    set tags= map sm_config= maps blobs bool local_cache_enabled ref introduced_by bool clustered is_tools_sr""",
)

_PBD = _schema("PBD", "ref host SR map device_config bool currently_attached map other_config=")

_VDI = _schema(
    "VDI",
    """name_label= name_description= set allowed_operations maps current_operations ref SR set VBDs crash_dumps
    int virtual_size physical_utilisation str type bool sharable= read_only= map other_config= bool storage_lock
    str location bool managed missing ref parent map xenstore_data= sm_config= bool is_a_snapshot ref snapshot_of
    set snapshots datetime snapshot_time set tags= bool allow_caching= str on_boot= metadata_of_pool
    bool metadata_latest is_tools_iso cbt_enabled""",
)

_VBD = _schema(
    "VBD",
    """set allowed_operations maps current_operations ref VM VDI str device userdevice= bool bootable= str mode= type=
    bool unpluggable= storage_lock empty map other_config= bool currently_attached int status_code str status_detail
    map runtime_properties str qos_algorithm_type= map qos_algorithm_params= set qos_supported_algorithms
    ref metrics""",
)

_VBD_METRICS = _schema("VBD_metrics", "float io_read_kbs io_write_kbs datetime last_updated map other_config=")

_SUBJECT = _schema("subject", "subject_identifier map other_config set roles")

_ROLE = _schema("role", "name_label name_description set subroles bool is_internal", events=False)

_CERTIFICATE = _schema(
    "Certificate",
    """type name ref host datetime not_before not_after str fingerprint fingerprint_sha256 fingerprint_sha1
    set purpose""",
)

_SECRET = _schema("secret", "value= map other_config=", events=False)

_SESSION = _schema(
    "session",
    """ref this_host this_user datetime last_active bool pool map other_config= bool is_local_superuser ref subject
    datetime validation_time str auth_user_sid auth_user_name set rbac_permissions tasks ref parent str originator
    bool client_certificate""",
    events=False,
    listed=False,
)

_TASK = _schema(
    "task",
    """name_label name_description set allowed_operations maps current_operations datetime created finished str status=
    ref resident_on float progress= str type result= set error_info= map other_config= ref subtask_of set subtasks
    str backtrace""",
    status="pending",
    type="<none/>",
    backtrace="()",
)

_MESSAGE = _schema("message", "name int priority str cls obj_uuid datetime timestamp str body", getters=False)

SCHEMAS: dict[str, Schema] = {
    schema.name: schema
    for schema in (
        _POOL,
        _HOST,
        _HOST_METRICS,
        _VM,
        _VM_METRICS,
        _VM_GUEST_METRICS,
        _NETWORK,
        _VIF,
        _PIF,
        _SR,
        _PBD,
        _VDI,
        _VBD,
        _VBD_METRICS,
        _CERTIFICATE,
        _SECRET,
        _SUBJECT,
        _ROLE,
        _SESSION,
        _TASK,
        _MESSAGE,
    )
}
"""Every class that the lab serves, by its name."""

RELATIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("VIF", "VM"): ("VM", "VIFs"),
    ("VIF", "network"): ("network", "VIFs"),
    ("VBD", "VM"): ("VM", "VBDs"),
    ("VBD", "VDI"): ("VDI", "VBDs"),
    ("VDI", "SR"): ("SR", "VDIs"),
    ("VM", "resident_on"): ("host", "resident_VMs"),
    ("VM", "snapshot_of"): ("VM", "snapshots"),
    ("PIF", "host"): ("host", "PIFs"),
    ("PIF", "network"): ("network", "PIFs"),
    ("PBD", "host"): ("host", "PBDs"),
    ("PBD", "SR"): ("SR", "PBDs"),
    ("Certificate", "host"): ("host", "certificates"),
}
"""(class, field with a reference) → (class, set) that lists all who refer to it; the database keeps both in step."""

COUNTED = frozenset(
    re.findall(
        r"\w+",
        """auth blob bond caller certificate cluster cluster_host console crashdump data_source diagnostics dr_task
        driver_variant event feature gpu_group host host_cpu host_crashdump host_driver host_metrics host_patch lvhd
        message network network_sriov observer pbd pci pgpu pif pif_metrics pool pool_patch pool_update probe_result
        pusb pvs_cache_storage pvs_proxy pvs_server pvs_site rate_limit repository role sdn_controller secret session
        sm sr sr_stat subject task tunnel usb_group user vbd vbd_metrics vdi vdi_nbd_server_info vgpu vgpu_type vif
        vif_metrics vlan vm vm_appliance vm_group vm_guest_metrics vm_metrics vmpp vmss vtpm vusb""",
    )
)
"""The classes that `valid_ref_counts` of `event.from` counts: every table of a real pool, also those we do not have."""

"""The one table of what the API offers: method, path, permission, handler.

Who may do what is seen here and nowhere else; the OpenAPI document and ``docs/api.md`` are made from it.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from roadstead.act.drives.templates import Template, TemplateText
from roadstead.act.drives.vm_drives import Beginning, Checked, MadeDrive, Preview, VmDrive
from roadstead.act.firewall import VmFindings
from roadstead.act.guests.vms import HostKeys, Why
from roadstead.act.plugin.access import PluginState
from roadstead.act.plugin.hosts import HostPlugin, SeenHost
from roadstead.act.pools.trials import Probe
from roadstead.act.preparing.conversation import GuestPreparation
from roadstead.act.preparing.lent_agents import AgentRequest
from roadstead.act.preparing.over_tls import TlsPreparation
from roadstead.act.preparing.tls_expiry import VmCertificates
from roadstead.act.publishing.outputs import Wiped
from roadstead.act.rotation import Rotation
from roadstead.inventory.views import PoolBranch, VmView
from roadstead.model import Container, Host, LogEntry, Operation, StepFinding, UsageResult
from roadstead.serve import shapes
from roadstead.serve.answers import LINES
from roadstead.serve.handlers import (
    agents,
    audit,
    certificates,
    config_drives,
    drive_templates,
    firewall,
    inventory,
    operations,
    pool_keys,
    pools,
    stream,
    vms,
)

PREFIX = "/api/v1"
JSON = "application/json"
EVENTS = "text/event-stream"
TEXT = "text/plain"
TEMPLATES = "/pools/{pool}/drive-templates"
TEMPLATE = f"{TEMPLATES}/{{template}}"


class Route(NamedTuple):
    """One row. ``answer`` is what the handler answers with, None where it has no shape of ours."""

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    permission: str
    handler: Callable[..., Any]
    answer: Any = None
    status: int = 200
    media_type: str = JSON

    @property
    def name(self) -> str:
        """The name of the operation."""
        return self.handler.__name__

    @property
    def description(self) -> str:
        """What it does, as the handler says."""
        return (self.handler.__doc__ or "").strip()

    @property
    def topic(self) -> str:
        """What it is about."""
        return self.path.split("/")[1]


TABLE: tuple[Route, ...] = (
    Route("GET", "/health", "view", inventory.show_health, shapes.Health),
    Route("GET", "/pools", "view", pools.list_pools, list[shapes.PoolView]),
    Route("POST", "/pools", "administer", pools.add_pool, shapes.PoolView, 201),
    Route("POST", "/pools/probe", "administer", pools.probe_server, Probe),
    Route("GET", "/pools/{pool}", "view", pools.show_pool, shapes.PoolView),
    Route("PATCH", "/pools/{pool}", "administer", pools.change_pool, shapes.PoolView),
    Route("DELETE", "/pools/{pool}", "administer", pools.remove_pool, Wiped),
    Route("POST", "/pools/{pool}/test", "administer", pools.test_pool, shapes.PoolTest),
    Route("GET", "/pools/{pool}/key", "administer", pool_keys.show_pool_key, shapes.PoolKeyView),
    Route("GET", "/pools/{pool}/key/vms", "administer", pool_keys.list_keyed_vms, list[shapes.KeyedVmView]),
    Route(
        "DELETE",
        "/pools/{pool}/key/vms/{vm}",
        "administer",
        pool_keys.forget_retired_keys,
        list[shapes.KeyedVmView],
    ),
    Route("GET", "/pools/{pool}/key/rotation", "administer", pool_keys.show_rotation, Rotation),
    Route("POST", "/pools/{pool}/key/rotation", "administer", pool_keys.rotate_pool_key, Rotation, 202),
    Route("POST", "/pools/{pool}/key/rotation/drop", "administer", pool_keys.drop_old_key, Rotation),
    Route("GET", "/pools/{pool}/plugin", "administer", pools.show_plugin, PluginState),
    Route("POST", "/pools/{pool}/plugin", "administer", pools.enable_plugin, PluginState),
    Route("DELETE", "/pools/{pool}/plugin", "administer", pools.disable_plugin, PluginState),
    Route("POST", "/pools/{pool}/plugin/hosts", "administer", pools.look_at_hosts, list[SeenHost]),
    Route("POST", "/pools/{pool}/plugin/hosts/{host}", "administer", pools.work_on_host, HostPlugin),
    Route("GET", TEMPLATES, "view", drive_templates.list_drive_templates, list[Template]),
    Route("GET", TEMPLATE, "inspect-secrets", drive_templates.show_drive_template, TemplateText),
    Route("POST", TEMPLATE, "administer", drive_templates.save_drive_template, TemplateText),
    Route("DELETE", TEMPLATE, "administer", drive_templates.remove_drive_template, list[Template]),
    Route("GET", f"{TEMPLATE}/versions", "view", drive_templates.list_drive_template_versions, list[Template]),
    Route("POST", f"{TEMPLATE}/restore", "administer", drive_templates.restore_drive_template, TemplateText),
    Route("GET", "/hosts", "view", inventory.list_hosts, list[Host]),
    Route("GET", "/vms", "view", inventory.list_vms, list[VmView]),
    Route("GET", "/vms/{vm}", "view", vms.show_vm, VmView),
    Route("POST", "/vms/{vm}/enable", "administer", vms.enable_vm, shapes.EnabledVm),
    Route("POST", "/vms/{vm}/disable", "administer", vms.disable_vm, VmView),
    Route("POST", "/vms/{vm}/prepare", "administer", vms.prepare_vm, GuestPreparation),
    Route("POST", "/vms/{vm}/agent", "administer", agents.lend_agent, AgentRequest, media_type=LINES),
    Route("POST", "/vms/{vm}/agent/answer", "administer", agents.answer_agent, agents.AgentAnswered),
    Route("GET", "/vms/{vm}/why", "view", vms.explain_vm, Why),
    Route("POST", "/vms/{vm}/check", "administer", vms.check_vm, StepFinding, media_type=LINES),
    Route("GET", "/vms/{vm}/hostkey", "view", vms.show_host_key, HostKeys),
    Route("POST", "/vms/{vm}/hostkey/confirm", "administer", vms.confirm_host_key, HostKeys),
    Route("DELETE", "/vms/{vm}/hostkey", "administer", vms.forget_host_key, HostKeys),
    Route("GET", "/certificates", "view", certificates.list_certificates, list[VmCertificates]),
    Route("GET", "/vms/{vm}/certificates", "view", certificates.show_certificates, TlsPreparation),
    Route("DELETE", "/vms/{vm}/certificates", "administer", certificates.cancel_certificates, TlsPreparation),
    Route("GET", "/vms/{vm}/config-drive", "inspect-secrets", config_drives.show_config_drive, VmDrive),
    Route("POST", "/vms/{vm}/config-drive", "administer", config_drives.create_config_drive, MadeDrive, 201),
    Route("GET", "/vms/{vm}/config-drive/default", "inspect-secrets", config_drives.begin_config_drive, Beginning),
    Route("POST", "/vms/{vm}/config-drive/preview", "administer", config_drives.preview_config_drive, Preview),
    Route("POST", "/config-drives/validate", "view", config_drives.validate_config_drive, Checked),
    Route("GET", "/containers", "view", inventory.list_containers, list[Container]),
    Route("GET", "/containers/match", "view", inventory.match_containers, list[shapes.Match]),
    Route("GET", "/containers/stats", "view", operations.show_usage, list[UsageResult]),
    Route("GET", "/containers/{vm}/{engine_id}", "view", inventory.show_container, Container),
    Route("GET", "/containers/{vm}/{engine_id}/inspect", "inspect-secrets", operations.inspect_container),
    Route("GET", "/containers/{vm}/{engine_id}/logs", "logs", operations.read_logs, LogEntry, media_type=LINES),
    Route("GET", "/tree", "view", inventory.show_tree, list[PoolBranch]),
    Route("GET", "/search", "view", inventory.search_everything, shapes.Found),
    Route("GET", "/changes", "view", stream.follow_changes, shapes.ShownChange, media_type=EVENTS),
    Route("GET", "/operations", "view", operations.list_operations, list[Operation]),
    Route("POST", "/operations", "control", operations.start_operation, Operation, 202),
    Route("GET", "/operations/{operation}", "view", operations.show_operation, Operation),
    Route("DELETE", "/operations/{operation}", "control", operations.cancel_operation, Operation),
    Route("POST", "/firewall/rules", "view", firewall.print_firewall_rules, media_type=TEXT),
    Route("POST", "/firewall/check", "administer", firewall.check_firewalls, list[VmFindings]),
    Route("GET", "/audit", "administer", audit.list_audit, list[shapes.ShownAuditEntry]),
)

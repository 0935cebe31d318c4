"""Everything that the API may ask for, in one record."""

from dataclasses import dataclass

from roadstead.act.audit import Audit
from roadstead.act.drives.readiness import Readiness
from roadstead.act.drives.templates import Templates
from roadstead.act.drives.vm_drives import VmDrives
from roadstead.act.firewall import Firewall
from roadstead.act.guests.checks import Checks
from roadstead.act.guests.logs import Logs
from roadstead.act.guests.operations import Operations
from roadstead.act.guests.usages import Usages
from roadstead.act.guests.vms import Vms
from roadstead.act.plugin.access import PluginAccess
from roadstead.act.plugin.dom0_preparing import Dom0Preparing
from roadstead.act.plugin.functions import PluginCalls
from roadstead.act.plugin.hosts import PluginHosts
from roadstead.act.pools.pools import Pools
from roadstead.act.preparing.lent_agents import LentAgents
from roadstead.act.preparing.over_tls import TlsPreparations
from roadstead.act.preparing.preparing import Preparing
from roadstead.act.preparing.tls_expiry import Expiries
from roadstead.act.rotation import Rotations


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands, by what they are about."""

    pools: Pools
    rotations: Rotations
    vms: Vms
    certificates: TlsPreparations
    expiries: Expiries
    operations: Operations
    usages: Usages
    logs: Logs
    plugin: PluginCalls
    plugin_access: PluginAccess
    plugin_hosts: PluginHosts
    firewall: Firewall
    checks: Checks
    drives: VmDrives
    templates: Templates
    readiness: Readiness
    preparing: Preparing
    dom0_preparing: Dom0Preparing
    agents: LentAgents
    audit: Audit

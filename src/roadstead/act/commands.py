"""Everything that the API may ask for, in one record."""

from dataclasses import dataclass

from roadstead.act.audit import Audit
from roadstead.act.checks import Checks
from roadstead.act.firewall import Firewall
from roadstead.act.operations import Operations
from roadstead.act.plugin import PluginCalls
from roadstead.act.plugin_access import PluginAccess
from roadstead.act.plugin_hosts import PluginHosts
from roadstead.act.pools import Pools
from roadstead.act.preparing import Preparing
from roadstead.act.rotation import Rotations
from roadstead.act.tls_expiry import Expiries
from roadstead.act.tls_prepare import TlsPreparations
from roadstead.act.vm_drives import VmDrives
from roadstead.act.vms import Vms


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands, by what they are about."""

    pools: Pools
    rotations: Rotations
    vms: Vms
    certificates: TlsPreparations
    expiries: Expiries
    operations: Operations
    plugin: PluginCalls
    plugin_access: PluginAccess
    plugin_hosts: PluginHosts
    firewall: Firewall
    checks: Checks
    drives: VmDrives
    preparing: Preparing
    audit: Audit

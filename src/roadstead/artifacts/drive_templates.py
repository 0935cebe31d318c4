"""The profiles of guests, and the template that a config drive begins with for each, in which operators write what
their VMs need besides.

Every reader of the guests takes its own: cloud-init, Flatcar's coreos-cloudinit (YAML 1.1 as well as 1.2), Ignition
from 2.14 on, cloudbase-init.
"""

from typing import NamedTuple

CLOUD_CONFIG, FLATCAR, IGNITION, WINDOWS, COREOS = "cloud-config", "flatcar", "ignition", "windows", "coreos"

_COMMON = """\
#cloud-config
#
# What the VM reads when it boots. Roadstead fills in the words between percent signs when it makes the drive: the
# VM's name as a host name, and the public key of the pool, by which the containers in the VM are managed. The VM is
# reached only if it has that key, so leave its line as it is.

hostname: "%VMNAMETOHOSTNAME%"

ssh_authorized_keys:
  - ssh-rsa %CONTAINERRSAPUB% xscontainer
  # Keys of people who may sign in:
  # - ssh-ed25519 AAAA... somebody@example

# Files that are to be there. Write modes in quotes.
# write_files:
#   - path: /etc/motd
#     permissions: '0644'
#     content: |
#       Made with a config drive.
"""
_ACCOUNT = """
# The account that these keys open, in the place of the image's own (debian, ubuntu, ...). Roadstead signs in as core,
# unless the VM's xscontainer-username says another name; the group docker may use the engine.
user:
  name: core
  groups: [docker]
"""
_UNITS = """
# What systemd is to start: containers with a restart policy come back with the engine.
coreos:
  units:
    - name: docker.service
      enable: true
      command: start
"""
_INTERNAL_NETWORK = """\
%HINEXISTS%
    # The card in the host-internal network, for VMs that have one.
    - name: 10-host-internal.network
      content: |
        [Match]
        Name=eth%HIN%
        [Network]
        DHCP=ipv4
%ENDHINEXISTS%
"""
_IGNITION = """\
{
  "ignition": { "version": "3.3.0" },
  "passwd": {
    "users": [
      {
        "name": "core",
        "groups": ["docker"],
        "sshAuthorizedKeys": ["ssh-rsa %CONTAINERRSAPUB% xscontainer"]
      }
    ]
  },
  "storage": {
    "files": [
      { "path": "/etc/hostname", "mode": 420, "overwrite": true, "contents": { "source": "data:,%VMNAMETOHOSTNAME%" } }
    ]
  },
  "systemd": {
    "units": [
      { "name": "docker.service", "enabled": true }
    ]
  }
}
"""
_WINDOWS = """\
#ps1_sysnative
# What cloudbase-init runs once, as the system, when this VM boots for the first time. The VM's name becomes its host
# name by the drive itself. Containers in Windows are managed over TLS: the certificates come on a disk of their own.

# Management opens connections to the engine; see `roadstead firewall windows` for the whole set of rules.
if (-not (Get-NetFirewallRule -Name 'roadstead-docker' -ErrorAction SilentlyContinue)) {
    New-NetFirewallRule -Name 'roadstead-docker' -DisplayName 'Docker over TLS' -Direction Inbound -Action Allow `
        -Protocol TCP -LocalPort 2376
}

# Containers with a restart policy come back with the engine.
if (Get-Service docker -ErrorAction SilentlyContinue) {
    Set-Service docker -StartupType Automatic
    Start-Service docker
}
"""
PROFILES = {
    CLOUD_CONFIG: _COMMON + _ACCOUNT,
    FLATCAR: _COMMON + _UNITS,
    IGNITION: _IGNITION,
    WINDOWS: _WINDOWS,
    COREOS: _COMMON + _UNITS + _INTERNAL_NETWORK,
}
"""The templates by the name of the kind of guest that they are for."""

EACH_BOOT, FIRST_BOOT, ONCE, NEXT_BOOT = "each-boot", "first-boot", "once", "next-boot"
APPLIES = {CLOUD_CONFIG: ONCE, FLATCAR: EACH_BOOT, IGNITION: FIRST_BOOT, WINDOWS: ONCE, COREOS: EACH_BOOT}
"""When the guests of a profile read a drive: coreos-cloudinit whenever they boot, Ignition when they do so for the
first time, cloud-init and cloudbase-init once for each instance id.
"""

_BY_WORD = (
    ("windows", WINDOWS),
    ("fedora coreos", IGNITION),
    ("fedora-coreos", IGNITION),
    ("fcos", IGNITION),
    ("flatcar", FLATCAR),
    ("coreos", FLATCAR),
)
"""What the name of a system, or of a VM or template, holds; the first decides. The successor of CoreOS is Flatcar."""


class Choice(NamedTuple):
    """A profile, and whether anything spoke for it: without a word it is the one of most images."""

    profile: str
    is_known: bool


def applies(profile: str, *, again: bool) -> str:
    """Return when guests of a profile read a drive, given whether it names a new instance (``again``)."""
    return NEXT_BOOT if again else APPLIES[profile]


def choose(name: str, system: str = "") -> Choice:
    """Choose the profile of a VM by what is known to run in it, or by what it is called."""
    told = system or name
    for word, profile in _BY_WORD:
        if word in told.lower():
            return Choice(profile, is_known=True)
    return Choice(CLOUD_CONFIG, is_known=bool(system))

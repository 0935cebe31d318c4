"""The templates that a config drive begins with, in which operators write what their VMs need besides.

Every reader of the guests takes them: cloud-init, Flatcar's coreos-cloudinit, and YAML 1.1 as well as 1.2.
"""

CLOUD_CONFIG, FLATCAR = "cloud-config", "flatcar"
_OLD_NAMES = ("coreos", "flatcar")
"""What the names of templates hold whose guests are read by coreos-cloudinit."""

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
_UNITS = """
# What systemd is to start: containers with a restart policy come back with the engine.
coreos:
  units:
    - name: docker.service
      enable: true
      command: start
"""
PROFILES = {CLOUD_CONFIG: _COMMON, FLATCAR: _COMMON + _UNITS}
"""The templates by the name of the kind of guest that they are for."""


def default_for(name: str) -> str:
    """Return the template for a VM, or a template of VMs, that is called so."""
    is_old = any(each in name.lower() for each in _OLD_NAMES)
    return PROFILES[FLATCAR if is_old else CLOUD_CONFIG]

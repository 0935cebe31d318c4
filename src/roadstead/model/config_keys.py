"""The keys of ``other_config`` that concern us, spelled once: whoever reads, writes or names one takes it from here.

Those with the prefix ``xscontainer-`` are historic: other clients of the same pool read and write them, so names and
values stay as they always were. Those with ``roadstead-`` are ours.
"""

MONITOR = "xscontainer-monitor"
"""Whether the VM's containers are managed: only the exact `ENABLED` says yes."""
ENABLED, DISABLED = "True", "False"
"""The values of `MONITOR` that are written."""
USERNAME = "xscontainer-username"
"""Whom to sign in as."""
MODE = "xscontainer-mode"
"""How the engine is reached: one of `MODES`; empty and ``ssh`` are the same."""
SSH, TLS = MODES = ("ssh", "tls")
"""The values of `MODE`."""
HOST_KEY = "xscontainer-sshhostkey"
"""Base64 of the VM's public host key, without the name of its type (which stands inside)."""
ADDRESS = "roadstead-address"
"""An address that the operator gave, tried before those that the guest announces."""
SSH_PORT = "roadstead-ssh-port"
"""The port of the guest's SSH server."""
ENGINE_SOCKET = "roadstead-engine-socket"
"""The path of the engine's socket in the guest."""
SUDO = "roadstead-sudo"
"""Whether the user opens the engine's socket as root, by ``sudo``: `ENABLED` says yes, `DISABLED` or nothing no."""

TLS_PORT = "roadstead-tls-port"
"""The port at which the engine is reached over TLS."""
TLS_LEGACY = "roadstead-tls-legacy"
"""Whether certificates as the old pack made them are taken: only the exact `ENABLED` says yes."""
TLS_CLIENT_CERT = "xscontainer-tls-client-cert"
"""Uuid of the secret with our certificate for the engine behind TLS, as PEM."""
TLS_CLIENT_KEY = "xscontainer-tls-client-key"
"""Uuid of the secret with its private key."""
TLS_CA_CERT = "xscontainer-tls-ca-cert"
"""Uuid of the secret with the certificate that the engine's own is verified by."""
TLS_SECRETS = (TLS_CLIENT_CERT, TLS_CLIENT_KEY, TLS_CA_CERT)
"""The keys of a VM that name secrets."""

VM_KEYS = (
    MONITOR,
    USERNAME,
    MODE,
    HOST_KEY,
    ADDRESS,
    SSH_PORT,
    ENGINE_SOCKET,
    SUDO,
    TLS_PORT,
    TLS_LEGACY,
    *TLS_SECRETS,
)
"""The keys of ``VM.other_config`` that are taken over into `model.Vm.settings`."""

DOCKER_PS, DOCKER_INFO, DOCKER_VERSION = "docker_ps", "docker_info", "docker_version"
"""In ``VM.other_config``: what XenCenter, XCP-ng Center and Xen Orchestra show of a VM's containers, as XML."""
PUBLISHED_KEYS = (DOCKER_PS, DOCKER_INFO, DOCKER_VERSION)

CONFIG_DRIVE = "config-drive"
"""In the ``other_config`` of a VDI and of the VBD that shows it: the disk is a config drive."""
MARKED = "True"
"""The value of `CONFIG_DRIVE` that is written; XenCenter reads it in any case."""
DRIVE_MARK = "roadstead-drive"
"""In the ``other_config`` of a VDI: we made this config drive. The value is the uuid of the VM that it is for, when its
making began (seconds since 1970), and some random digits, with blanks between.
"""
INSTANCE_MARK = "roadstead-instance"
"""In the ``other_config`` of a VDI: which instance id the config drive gives its VM. The value is the uuid of that VM
and the id, with a blank between.
"""
PROFILE_MARK = "roadstead-profile"
"""In the ``other_config`` of a VDI: for guests of which profile the drive was made."""

PRIVATE_KEY_SECRET = "xscontainer-private-secret-uuid"  # noqa: S105 - the name of a key, not a secret
"""In ``pool.other_config``: uuid of the secret with the private half of the pool's SSH key."""
PUBLIC_KEY_SECRET = "xscontainer-public-secret-uuid"  # noqa: S105 - the name of a key, not a secret
"""In ``pool.other_config``: uuid of the secret with the public half."""
FORMER_PRIVATE_KEY_SECRET = "roadstead-old-private-secret-uuid"  # noqa: S105 - the name of a key, not a secret
"""The same for the pair that is being replaced, while it is: that it is there says that a rotation is under way."""
FORMER_PUBLIC_KEY_SECRET = "roadstead-old-public-secret-uuid"  # noqa: S105 - the name of a key, not a secret
"""The same for its public half."""

VM_MARK = "roadstead-vm"
"""In ``secret.other_config``: the secret is ours and belongs to the VM of this uuid."""
POOL_MARK = "roadstead-pool"
"""In ``secret.other_config``: the secret is ours and belongs to the pool of this uuid."""
NAMED_MARK = "roadstead-key"
"""In ``secret.other_config``: the key of the pool's ``other_config`` that the secret was made for."""

PLUGIN_URL = "roadstead-plugin-url"
"""In ``pool.other_config``: where the pool's plugin hands on what it is asked."""
PLUGIN_FINGERPRINT = "roadstead-plugin-fingerprint"
"""SHA-256 of the certificate that is shown there."""
PLUGIN_TOKEN_SECRET = "roadstead-plugin-token-secret-uuid"  # noqa: S105 - the name of a key, not a secret
"""Uuid of the secret with the plugin's token."""

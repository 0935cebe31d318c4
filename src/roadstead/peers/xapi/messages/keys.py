"""The keys of ``other_config`` that concern us, spelled once.

Those with the prefix ``xscontainer-`` are historic: other clients of the same pool read and write them, so names and
values stay as they always were. Those with ``roadstead-`` are ours.
"""

MONITOR = "xscontainer-monitor"
"""Whether the VM's containers are managed: only the exact ``True`` says yes."""
HOST_KEY = "xscontainer-sshhostkey"
"""Base64 of the VM's public host key, without the name of its type (which stands inside)."""

VM_KEYS = (
    MONITOR,
    "xscontainer-username",
    "xscontainer-mode",
    HOST_KEY,
    "xscontainer-tls-client-cert",
    "xscontainer-tls-client-key",
    "xscontainer-tls-ca-cert",
    "roadstead-address",
    "roadstead-ssh-port",
    "roadstead-tls-port",
    "roadstead-engine-socket",
    "roadstead-sudo",
)
"""The keys of ``VM.other_config`` that are taken over into `model.Vm.settings`."""

PRIVATE_KEY_SECRET = "xscontainer-private-secret-uuid"  # noqa: S105 - the name of a key, not a secret
"""In ``pool.other_config``: uuid of the secret with the private half of the pool's SSH key."""
PUBLIC_KEY_SECRET = "xscontainer-public-secret-uuid"  # noqa: S105 - the name of a key, not a secret
"""In ``pool.other_config``: uuid of the secret with the public half."""
FORMER_PRIVATE_KEY_SECRET = "roadstead-old-private-secret-uuid"  # noqa: S105 - the name of a key, not a secret
"""The same for the pair that is being replaced, while it is."""
FORMER_PUBLIC_KEY_SECRET = "roadstead-old-public-secret-uuid"  # noqa: S105 - the name of a key, not a secret
"""The same for its public half."""

POOL_MARK = "roadstead-pool"
"""In ``secret.other_config``: the secret is ours and belongs to the pool of this uuid."""
VM_MARK = "roadstead-vm"
"""In ``secret.other_config``: the secret is ours and belongs to the VM of this uuid."""

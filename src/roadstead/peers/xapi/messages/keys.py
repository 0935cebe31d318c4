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
    "roadstead-address",
    "roadstead-ssh-port",
    "roadstead-engine-socket",
)
"""The keys of ``VM.other_config`` that are taken over into `model.Vm.settings`."""

PRIVATE_KEY_SECRET = "xscontainer-private-secret-uuid"  # noqa: S105 - the name of a key, not a secret
"""In ``pool.other_config``: uuid of the secret with the private half of the pool's SSH key."""
PUBLIC_KEY_SECRET = "xscontainer-public-secret-uuid"  # noqa: S105 - the name of a key, not a secret
"""In ``pool.other_config``: uuid of the secret with the public half."""
FORMER_PRIVATE_KEY_SECRET = "roadstead-old-private-secret-uuid"  # noqa: S105 - the name of a key, not a secret
"""The same for the pair that is being replaced, while it is."""

POOL_MARK = "roadstead-pool"
"""In ``secret.other_config``: the secret is ours and belongs to the pool of this uuid."""

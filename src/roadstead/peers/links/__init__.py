"""The ways to a guest's engine: an SSH connection, or a unix socket of this machine."""

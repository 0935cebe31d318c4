"""What an engine cannot do to a container, as far as that is known before it is asked."""

from roadstead.errors import ConflictError
from roadstead.model import Container

PAUSES = frozenset({"pause", "unpause"})


def check(action: str, container: Container) -> None:
    """Raise `ConflictError` ``pause-unsupported`` for a container that Windows runs as processes of its own: those it
    cannot freeze (moby's ``libcontainerd/local/local_windows.go``).
    """
    if action in PAUSES and container.isolation == "process":
        raise ConflictError("pause-unsupported", container=container.name, action=action)

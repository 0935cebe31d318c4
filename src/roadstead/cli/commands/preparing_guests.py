"""A VM on its way while it is prepared from a terminal, and what is to be done to all of them."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadstead.cli.api import client, ssh_agent
from roadstead.cli.api.views import GuestPreparation, Vm
from roadstead.cli.commands import secrets
from roadstead.errors import InputError, RoadsteadError
from roadstead.kit.text import terminal_clean
from roadstead.model.users import is_user


@dataclass(frozen=True)
class Signing:
    """How somebody signs in to guests over SSH, and which host keys they must show."""

    user: str | None = None
    password_file: str | None = None
    key_file: Path | None = None
    host_key: tuple[str, ...] = ()
    accept_new: bool = False
    agent: bool = False

    def check(self) -> None:
        """Judge the user's name and see that the files are there, before anything is asked. Raises `InputError`."""
        if self.user and not is_user(self.user):
            reason = f"{self.user!r} is none of letters without accents, digits and any of . _ @ \\ -"
            raise InputError("field-invalid", field="--user", reason=reason)
        means = {"--password-file": self.password_file, "--key-file": self.key_file, "--agent": self.agent}
        given = [option for option, value in means.items() if value]
        if self.agent and len(given) > 1:
            raise InputError("field-invalid", field="--agent", reason=f"it and {given[0]} exclude each other")
        if self.password_file not in {None, "-"}:
            secrets.check(Path(str(self.password_file)))
        if self.key_file is not None:
            secrets.check(self.key_file)


@dataclass(frozen=True)
class Wanted:
    """What is to be done: ``said`` is what every VM is told, the rest how questions are answered beforehand."""

    said: dict[str, Any]
    signing: Signing = Signing()
    yes: bool = False
    is_watched: bool = True
    """Whether to wait until the engines use their new certificates."""


@dataclass
class Guest:
    """One VM: what was answered for it, what it asks, and what came of it."""

    vm: Vm
    answers: dict[str, Any]
    agent: ssh_agent.Agent | None = None
    """What signs in, in the place of an answer."""
    asked: GuestPreparation | None = None
    result: GuestPreparation | None = None
    error: client.Refused | RoadsteadError | None = None
    user: str = ""
    """Who signs in there, as far as the server said."""
    tries: int = 0
    waited: str = ""
    """What was told last of the wait for its engine."""
    is_over: bool = False
    is_called: bool = False
    """Whether the server works on it now, and nobody knows yet what comes of that."""
    has_cd: bool = False
    """Whether a CD with a key is in its drive, by the last answer."""

    @property
    def name(self) -> str:
        """As people call it."""
        return terminal_clean(self.vm.name)

    @property
    def question(self) -> str:
        """What is asked; nothing when that is over, or went wrong."""
        return self.asked.question if self.asked is not None else ""

    @property
    def confirmed(self) -> str | None:
        """What is confirmed where preparing is taken back: whoever was to be asked has been asked by then."""
        return self.vm.id if self.answers.get("action") == "unprepare" else None

    def answer(self, **said: Any) -> None:
        """Add to what was said about the mode ``tls``."""
        self.answers["tls"] = {**self.answers.get("tls", {}), **said}

    def give_up(self, error: RoadsteadError) -> None:
        """Leave it as it is, for this reason."""
        self.is_over, self.error = True, error

    def say(self, text: str) -> None:
        """Tell how it goes; the table at the end alone is the output."""
        print(terminal_clean(f"{self.vm.name}: {text}"), file=sys.stderr, flush=True)

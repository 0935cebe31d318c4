"""What a guest lacks, and the exact commands that put it there, for each family of distributions.

They are shown to a person, and run when that person agrees: as root, or as the user where that is enough, as for the
user's own services. What stands in them beside fixed words is the user's name, which is quoted, and the user's number,
a group's name and a version; all were checked for their form. Sources: the packages of each distribution (SUSE's
Container Guide for the module of SLES 15), and the manual pages of ``usermod``, ``loginctl`` and ``systemctl``.

The user's own engine is started without ``systemctl --user -M USER@``: systemd before 248 (RHEL 8, Debian 11) does not
know it, and it needs a bus of the user's, which minimal systems do not have. The socket of the user's service manager
is in every folder ``/run/user/UID``, so ``XDG_RUNTIME_DIR`` is all that is said.
"""

import shlex
from dataclasses import dataclass

from roadstead.model.surveys import OWN_PODMAN, USERS_OWN, Engine, Part, Root, SocketState, Survey

_INSTALL = {
    "debian": ("apt-get update", "DEBIAN_FRONTEND=noninteractive apt-get install -y docker.io"),
    "fedora": ("dnf install -y moby-engine",),
    "amazon": ("dnf install -y docker",),
    "rhel": ("dnf install -y podman",),
    "suse": ("zypper --non-interactive install docker",),
    "alpine": ("apk add docker",),
    "arch": ("pacman -S --noconfirm docker",),
}
_PACKAGERS = {
    "debian": "apt-get",
    "fedora": "dnf",
    "amazon": "dnf",
    "rhel": "dnf",
    "suse": "zypper",
    "alpine": "apk",
    "arch": "pacman",
}
_FAMILIES = {
    "amzn": "amazon",
    "rhel": "rhel",
    "centos": "rhel",
    "rocky": "rhel",
    "almalinux": "rhel",
    "ol": "rhel",
    "debian": "debian",
    "ubuntu": "debian",
    "fedora": "fedora",
    "suse": "suse",
    "opensuse": "suse",
    "alpine": "alpine",
    "arch": "arch",
}
"""By the words of ``os-release``, of which the first here counts: what descends from RHEL names Fedora, too, and so do
Amazon Linux, which has a Docker of its own, and Oracle Linux (``ol``), which names nothing else.
"""
_SLES_MODULE = "SUSEConnect -p sle-module-containers/{version}/$(uname -m)"
"""Where SLES 15 has Docker; from 16 on there are no modules."""
_SLES_WITH_MODULES = "15."


@dataclass(frozen=True, slots=True)
class Remedy:
    """The commands that put a part there, none where they are not known, and whether they are for root to run."""

    commands: tuple[str, ...] = ()
    is_roots: bool = True


def remedy(part: Part, survey: Survey, socket: str = "") -> Remedy:
    """Return what puts ``part`` there, for the engine at ``socket`` (the one that is there, when none is said)."""
    return _MAKERS[part](survey, survey.engine(socket))


def advice(part: Part | None, survey: Survey, socket: str = "") -> str:
    """Return what is to be done for ``part``: by whom, and commands between backticks; words where none are known."""
    known = remedy(part, survey, socket) if part is not None else Remedy()
    if not known.commands:
        return "start or install the engine, and let the user open its socket"
    shown = f"`{'; '.join(known.commands)}`"
    if not known.is_roots:
        return f"as {survey.user}: {shown}"
    if survey.root is Root.NONE:
        why = "sudo does not let it" if survey.sudo else "there is no sudo"
        return f"as root: {shown} (it cannot be done from here: {survey.user} is not root there, and {why})"
    return f"as root: {shown}"


def family(survey: Survey) -> str:
    """The family of distributions that the guest belongs to; empty where it is none that is known."""
    return next((name for word, name in _FAMILIES.items() if word in survey.system), "")


def _engine(survey: Survey, _: Engine) -> Remedy:
    name = family(survey)
    if not name or _PACKAGERS[name] not in survey.packagers:
        return Remedy()
    installed = Engine(is_podman=name == "rhel", is_own=name == "rhel" and survey.root is not Root.IS)
    started = _start_as_root(survey, installed)
    group = () if survey.root is Root.IS or installed.is_own else _add(survey, "docker")
    return Remedy((*_install(name, survey), *started, *group)) if started else Remedy()


def _install(name: str, survey: Survey) -> tuple[str, ...]:
    needs_module = "sles" in survey.system and survey.version.startswith(_SLES_WITH_MODULES)
    module = (_SLES_MODULE.format(version=survey.version),) if needs_module else ()
    return (*module, *_INSTALL[name])


def _start(survey: Survey, engine: Engine) -> Remedy:
    if engine.is_own and _needs_no_root(survey) and survey.init == "systemd":
        return Remedy((*_lingering(survey), _own(survey, engine, "enable --now")), is_roots=False)
    return Remedy(_start_as_root(survey, engine))


def _needs_no_root(survey: Survey) -> bool:
    """Whether the user's own services are for the user to look after."""
    return survey.may_linger and survey.root is not Root.IS


def _start_as_root(survey: Survey, engine: Engine) -> tuple[str, ...]:
    if survey.init == "openrc" and not engine.is_own:
        name = "podman" if engine.is_podman else "docker"
        return (f"rc-update add {name} default", f"rc-service {name} start")
    if survey.init != "systemd":
        return ()
    if not engine.is_own:
        return (f"systemctl enable --now {engine.service}",)
    # The user's service manager may be on its way still when lingering begins.
    manager = f"systemctl start user@{survey.uid}.service"
    return (*_lingering(survey), manager, _own(survey, engine, "enable --now"))


def _own_engine(survey: Survey, _: Engine) -> Remedy:
    return _start(survey, OWN_PODMAN) if survey.podman else Remedy()


def _own(survey: Survey, engine: Engine, verb: str) -> str:
    """The command for a service of the user's own."""
    said = f"XDG_RUNTIME_DIR={USERS_OWN}{survey.uid} systemctl --user {verb} {engine.service}"
    is_plain = _needs_no_root(survey) or survey.root is Root.IS
    return said if is_plain else f"runuser -u {shlex.quote(survey.user)} -- env {said}"


def _group(survey: Survey, _: Engine) -> Remedy:
    groups = {socket.group for socket in survey.sockets if socket.state is SocketState.DENIED}
    return Remedy(_add(survey, "docker") if "docker" in groups else ())


def _add(survey: Survey, group: str) -> tuple[str, ...]:
    if family(survey) == "alpine":
        return (f"addgroup {shlex.quote(survey.user)} {group}",)
    return (f"usermod -aG {group} {shlex.quote(survey.user)}",)


def _autostart(survey: Survey, engine: Engine) -> Remedy:
    if engine.is_own:
        is_possible = survey.init == "systemd"
        return Remedy((_own(survey, engine, "enable"),) if is_possible else (), not _needs_no_root(survey))
    if survey.init == "systemd":
        return Remedy((f"systemctl enable {engine.service}",))
    return Remedy(_start_as_root(survey, engine)[:1])


def _linger(survey: Survey, _: Engine) -> Remedy:
    return Remedy(_lingering(survey) if survey.init == "systemd" else (), not _needs_no_root(survey))


def _lingering(survey: Survey) -> tuple[str, ...]:
    if _needs_no_root(survey):
        return ("loginctl --no-ask-password enable-linger",)
    return (f"loginctl enable-linger {shlex.quote(survey.user)}",)


def _nothing(_: Survey, __: Engine) -> Remedy:
    return Remedy()


_MAKERS = {
    Part.ENGINE: _engine,
    Part.ENGINE_START: _start,
    Part.ENGINE_GROUP: _group,
    Part.OWN_ENGINE: _own_engine,
    Part.ENGINE_AUTOSTART: _autostart,
    Part.LINGER: _linger,
    Part.FORMER_KEY: _nothing,
}

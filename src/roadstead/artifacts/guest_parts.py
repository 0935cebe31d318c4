"""What a guest lacks, and the exact commands that put it there, for each family of distributions.

They are shown to a person, and run as root when that person agrees; what stands in them beside fixed words is the
user's name, which is quoted, and a group's; both were checked for their form. Sources: the packages of each
distribution, and the manual pages of ``usermod``, ``loginctl`` and ``systemctl``.
"""

import shlex

from roadstead.model.surveys import Part, Root, SocketState, Survey

_INSTALL = {
    "debian": ("apt-get update", "DEBIAN_FRONTEND=noninteractive apt-get install -y docker.io"),
    "fedora": ("dnf install -y moby-engine",),
    "rhel": ("dnf install -y podman",),
    "suse": ("zypper --non-interactive install docker",),
    "alpine": ("apk add docker",),
    "arch": ("pacman -S --noconfirm docker",),
}
_FAMILIES = {
    "debian": "debian",
    "ubuntu": "debian",
    "fedora": "fedora",
    "rhel": "rhel",
    "centos": "rhel",
    "suse": "suse",
    "opensuse": "suse",
    "alpine": "alpine",
    "arch": "arch",
}
_RHEL = ("rhel", "centos", "rocky", "almalinux")


def commands(part: Part, survey: Survey) -> tuple[str, ...]:
    """Return the commands that put ``part`` there, as root; none where they are not known for this guest."""
    return _MAKERS[part](survey)


def advice(part: Part | None, survey: Survey) -> str:
    """Return what root is to do for ``part``: the commands, between backticks, or words where none are known."""
    known = commands(part, survey) if part is not None else ()
    if known and survey.root is Root.NONE:
        why = "sudo does not let it" if survey.sudo else "there is no sudo"
        return f"`{'; '.join(known)}` (it cannot be done from here: {survey.user} is not root there, and {why})"
    return f"`{'; '.join(known)}`" if known else "start or install the engine, and let the user open its socket"


def family(survey: Survey) -> str:
    """The family of distributions that the guest belongs to; empty where it is none that is known."""
    if any(word in survey.system for word in _RHEL):
        return "rhel"
    return next((_FAMILIES[word] for word in survey.system if word in _FAMILIES), "")


def _engine(survey: Survey) -> tuple[str, ...]:
    install = _INSTALL.get(family(survey), ())
    if not install or not _start(survey):
        return ()
    if family(survey) == "rhel":
        return (*install, *_user_socket(survey))
    group = () if survey.root is Root.IS else _add(survey, "docker")
    return (*install, *_start(survey), *group)


def _start(survey: Survey) -> tuple[str, ...]:
    if survey.init == "openrc":
        return ("rc-update add docker default", "rc-service docker start")
    if survey.init != "systemd":
        return ()
    if not survey.docker and survey.podman:
        return _user_socket(survey)
    return ("systemctl enable --now docker",)


def _user_socket(survey: Survey) -> tuple[str, ...]:
    """Podman for this user alone: its socket of root's is nobody else's."""
    if survey.root is Root.IS:
        return ("systemctl enable --now podman.socket",)
    return (*_lingering(survey), f"systemctl --user -M {shlex.quote(survey.user)}@ enable --now podman.socket")


def _own(survey: Survey) -> tuple[str, ...]:
    return _user_socket(survey) if survey.podman and survey.init == "systemd" else ()


def _group(survey: Survey) -> tuple[str, ...]:
    groups = {socket.group for socket in survey.sockets if socket.state is SocketState.DENIED}
    return _add(survey, "docker") if "docker" in groups else ()


def _add(survey: Survey, group: str) -> tuple[str, ...]:
    if family(survey) == "alpine":
        return (f"addgroup {shlex.quote(survey.user)} {group}",)
    return (f"usermod -aG {group} {shlex.quote(survey.user)}",)


def _autostart(survey: Survey) -> tuple[str, ...]:
    return {"systemd": ("systemctl enable docker",), "openrc": ("rc-update add docker default",)}.get(survey.init, ())


def _linger(survey: Survey) -> tuple[str, ...]:
    return _lingering(survey) if survey.init == "systemd" else ()


def _lingering(survey: Survey) -> tuple[str, ...]:
    return (f"loginctl enable-linger {shlex.quote(survey.user)}",)


def _nothing(_: Survey) -> tuple[str, ...]:
    return ()


_MAKERS = {
    Part.ENGINE: _engine,
    Part.ENGINE_START: _start,
    Part.ENGINE_GROUP: _group,
    Part.OWN_ENGINE: _own,
    Part.ENGINE_AUTOSTART: _autostart,
    Part.LINGER: _linger,
    Part.FORMER_KEY: _nothing,
}

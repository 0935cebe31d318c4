"""What a text on a config drive is, which guests read it, and everything that is wrong with it, each with its place.

What a drive must not have is an error, and no drive is made; what a guest passes over is a warning.
"""

import re
from typing import Any, NamedTuple

from roadstead.artifacts import cloud_config, cloud_forms, cloud_schema, ignition, tokens
from roadstead.artifacts.drive_templates import CLOUD_CONFIG, COREOS, FLATCAR, IGNITION, WINDOWS
from roadstead.artifacts.yaml_values import Document
from roadstead.errors import InputError

SCRIPT = "script"
"""What is none of the others: a script, several parts, a template of jinja."""
_WINDOWS = ("#ps1", "rem cmd")
"""How scripts for Windows begin; in these a word between percent signs is a variable of the system's own."""
_RUN_BY_CLOUDBASE = re.compile(r"(#ps1|#ps1_sysnative|#ps1_x86|rem\s+cmd)\s")
"""What a text must begin with for cloudbase-init 1.1.9 to run it: no mark, no empty line before it, no other case."""
_READS = {
    CLOUD_CONFIG: {CLOUD_CONFIG, SCRIPT},
    FLATCAR: {CLOUD_CONFIG, SCRIPT, IGNITION},
    COREOS: {CLOUD_CONFIG, SCRIPT, IGNITION},
    IGNITION: {IGNITION},
    WINDOWS: {WINDOWS, CLOUD_CONFIG, SCRIPT},
}
"""Which kinds of text the guests of a profile read."""
_COREOS_READS = {"coreos", "hostname", "manage_etc_hosts", "ssh_authorized_keys", "users", "write_files"}
"""All that coreos-cloudinit knows at the top (its ``config/config.go``)."""
_COREOS_LACKS = {"etcd", "etcd2", "fleet"}
_CLOUDBASE_READS = {
    "groups", "hostname", "ntp", "runcmd", "set_hostname", "set_timezone", "timezone", "users", "write_files",
}  # fmt: skip
"""All that cloudbase-init 1.1.9 knows of a cloud-config."""
_MODE_DIGITS = 5
_DECIMAL = "cloud-init reads {mode} as a decimal number and sets the mode {becomes}; write it in quotes: '0644'"


class Judged(NamedTuple):
    """What was found out of a text whose tokens are filled in: faults, warnings, and the middle parts of the keys that
    it lets in.
    """

    faults: list[ignition.Fault]
    warnings: list[ignition.Fault]
    keys: frozenset[str] = frozenset()


class Finding(NamedTuple):
    """Something that is wrong with a template, and where; ``severity`` is ``error`` or ``warning``."""

    line: int
    column: int
    severity: str
    message: str


def beginning(text: str) -> str:
    """Return a text without what guests pass over at its beginning."""
    return text.lstrip("\ufeff \r\n\t")


def kind(text: str) -> str:
    """Return what a text is: ``cloud-config``, ``ignition``, ``windows`` or ``script``."""
    if beginning(text).lower().startswith(_WINDOWS):
        return WINDOWS
    if cloud_config.is_one(text):
        return CLOUD_CONFIG
    return IGNITION if ignition.is_one(text) else SCRIPT


def reads(profile: str, text: str) -> bool:
    """Whether guests of a profile read such a text."""
    return kind(text) in _READS[profile]


def profile_of(text: str) -> str:
    """Return the profile of most guests that read such a text."""
    found = kind(text)
    return CLOUD_CONFIG if found == SCRIPT else found


def judge(text: str, profile: str) -> Judged:
    """Judge a text whose tokens are filled in, for guests of a profile (empty: any)."""
    match kind(text):
        case "cloud-config":
            return _cloud_config(text, profile)
        case "ignition":
            return _ignition(text, profile)
        case "windows" if not _RUN_BY_CLOUDBASE.match(text):
            reason = "cloudbase-init runs this only when its very first characters are #ps1_sysnative, #ps1 or rem cmd"
            return Judged([], [ignition.Fault(1, 1, reason)])
        case "script" if profile != WINDOWS:
            return _forms(text, profile)
    return Judged([], [])


def _forms(text: str, profile: str) -> Judged:
    """Judge each part of a text that is no plain cloud-config."""
    faults: list[ignition.Fault] = []
    warnings: list[ignition.Fault] = []
    keys: frozenset[str] = frozenset()
    parts = cloud_forms.parts(text)
    for part in parts:
        named = f"{part.label}: " if part.label else ""
        if part.is_dropped:
            warnings.append(ignition.Fault(part.line, 1, f"{named}cloud-init {part.does}"))
        elif profile in {FLATCAR, COREOS} and not part.is_flatcars:
            warnings.append(ignition.Fault(part.line, 1, f"{named}Flatcar reads nothing that begins with {part.form}"))
        elif part.form == cloud_forms.JINJA:
            warnings.append(ignition.Fault(part.line, 1, f"{named}the guest fills it in, so it is not checked here"))
        elif part.form == "#cloud-config":
            judged = _cloud_config(part.text, profile)
            faults += [fault._replace(line=fault.line + part.line - 1) for fault in judged.faults]
            warnings += [fault._replace(line=fault.line + part.line - 1) for fault in judged.warnings]
            keys |= judged.keys
    if profile == CLOUD_CONFIG and all(part.is_dropped for part in parts):
        return Judged(warnings or [ignition.Fault(1, 1, "it has no part that cloud-init reads")], [])
    return Judged(faults, warnings, keys)


def findings(template: str, profile: str) -> list[Finding]:
    """Return what is wrong with a template, in the order of its lines; it is tried for a VM with a card in the
    host-internal network, and for one without.
    """
    found: list[Finding] = []
    if not beginning(template):
        return [Finding(1, 1, "error", "it is empty")]
    if profile and not reads(profile, template):
        found.append(
            Finding(1, 1, "error", f"guests of the profile {profile} do not read a text of the kind {kind(template)}")
        )
    unknown = tokens.unknown(template) if kind(template) != WINDOWS else []
    found += [Finding(line, 1, "error", f"there is no token %{name}%") for name, line in unknown]
    told = {line for _, line in unknown}
    if unknown:  # its percent signs would end the reading, and hide what is wrong further on
        template = tokens.without_unknown(template)
    judged = [each for device in ("0", None) for each in _filled(template, profile, device)]
    return sorted(dict.fromkeys([*found, *(each for each in judged if each.line not in told)]))


def _filled(template: str, profile: str, device: str | None) -> list[Finding]:
    """Return what is wrong with a template that is filled in for a VM with this card, or with none."""
    try:
        text = tokens.fill(template, tokens.Values("web1", "AAAAB3NzaC1yc2E=", device))
    except InputError as error:
        return [Finding(int(error.fields["line"]), 1, "error", error.cause)]
    judged = judge(text, profile)
    told = {"error": judged.faults, "warning": judged.warnings}
    return [
        Finding(each.line, each.column, severity, each.reason) for severity, found in told.items() for each in found
    ]


def _cloud_config(text: str, profile: str) -> Judged:
    try:
        said = cloud_config.check(text)
    except InputError as error:
        place = ignition.Fault(int(error.fields["line"]), int(error.fields["column"]), error.fields["reason"])
        return Judged([place], [])
    warnings = [ignition.Fault(line, 1, reason) for line, reason in _passed_over(text, said, profile)]
    faults: list[ignition.Fault] = []
    if profile in {CLOUD_CONFIG, ""} and said:
        faults, minded = _by_schema(text)
        warnings += minded
    if not profile:  # whoever asks so does not say which guest reads it
        faults, warnings = [], faults + warnings
    return Judged(faults, warnings, cloud_config.keys(said))


def _by_schema(text: str) -> tuple[list[ignition.Fault], list[ignition.Fault]]:
    """Return what cloud-init refuses in a cloud-config, and what it drops or finds fault with."""
    try:
        document = Document(text)
    except OverflowError:
        return [], [ignition.Fault(1, 1, "it says so much that it is not held to cloud-init's schema")]
    faults = [ignition.Fault(*each[:3]) for each in document.faults if not each.is_dropped]
    warnings = [ignition.Fault(*each[:3]) for each in document.faults if each.is_dropped]
    modes = _bare_modes(text)
    for one in cloud_schema.judge(document):
        place = document.place(one.path)
        mode = modes.get(place[0], "") if one.path[-1:] == ("permissions",) else ""
        if mode and not _is_octal(mode):
            faults.append(ignition.Fault(*place, _DECIMAL.format(mode=mode, becomes=f"{int(mode):o}")))
            continue
        if mode or one.path == ("coreos",):
            continue  # it is told by itself
        (faults if one.is_fault else warnings).append(ignition.Fault(*place, one.reason))
    return faults, warnings


def _passed_over(text: str, said: dict[str, Any], profile: str) -> list[tuple[int, str]]:
    """Return what of a cloud-config its reader passes over or finds fault with, with lines."""
    found = []
    if profile in {FLATCAR, COREOS}:
        found += [(name, f"Flatcar does not know {name!r}") for name in said.keys() - _COREOS_READS]
        below = said.get("coreos")
        lost = below.keys() & _COREOS_LACKS if isinstance(below, dict) else set()
        found += [(name, f"{name!r} has had no effect since Flatcar took over from CoreOS") for name in lost]
    elif profile == WINDOWS:
        found += [(name, f"cloudbase-init does not know {name!r}") for name in said.keys() - _CLOUDBASE_READS]
    elif "coreos" in said:
        found.append(("coreos", "only Flatcar reads 'coreos'; cloud-init calls itself degraded for it"))
    told = [(_line_of(text, name), reason) for name, reason in found]
    by_schema = profile in {CLOUD_CONFIG, ""}
    return told + [
        (line, "write a mode in quotes: '0644'")
        for line, mode in _bare_modes(text).items()
        if _is_octal(mode) or not by_schema
    ]


def _line_of(text: str, name: str) -> int:
    lines = text.splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.strip(" '\"").startswith(name)), 1)


def _is_octal(mode: str) -> bool:
    """Whether a mode without quotes is what it looks like to a reader of YAML 1.1."""
    return mode.startswith("0")


def _bare_modes(text: str) -> dict[int, str]:
    """Lines with a mode without quotes, a number to YAML: schemas take none. One that begins with a zero is octal to
    YAML 1.1, decimal to 1.2; any other is decimal, and cloud-init sets the wrong mode.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, value = line.partition(":")
        digits = value.split("#")[0].strip()
        if colon and name.strip(" -") == "permissions" and digits.isdecimal() and len(digits) <= _MODE_DIGITS:
            found[number] = digits
    return found


def _ignition(text: str, profile: str) -> Judged:
    said, faults, warnings = ignition.read(text)
    if not faults and ignition.is_former(said):
        old = ignition.Fault(1, 1, "specification 2 and older is read by Flatcar alone, and is not checked")
        if profile == IGNITION:
            return Judged([old], [])
        warnings.append(old)
    return Judged(faults, warnings, ignition.keys(said))

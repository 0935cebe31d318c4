"""Config drives: texts read from files, drives shown before they are made, what the server says of them printed."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from roadstead.cli import failures, session
from roadstead.cli.api import client
from roadstead.cli.api.views import Beginning, CheckedText, DriveFile, DrivePreview, MadeDrive, Vm, VmDrive
from roadstead.cli.display import output
from roadstead.errors import InputError, quoted
from roadstead.kit.text import terminal_clean

FILE_BYTES = 2**20
"""No longer text fits onto a drive."""
_AGAIN = (
    "cloud-init takes the VM for a new one. It runs everything in the drive once more and makes new SSH host keys; the"
    " remembered host key is forgotten, so the first contact after the boot pins the new one."
)
_MOVED = (
    "has a drive with another pool's key, and cloud-init has read it: it reads a drive once for each instance and would"
    f" pass over this one. Re-provisioning changes that: {_AGAIN} A VM that is managed must be shut down for it."
)
_REPLACED = {"another-pool": ", which has another pool's key", "this-pool": ", which has this pool's key"}
_APPLIES = {
    "each-boot": "reads it at its next boot",
    "first-boot": "reads it at its very first boot, and never again",
    "once": "reads it once, at its first boot with a drive",
    "next-boot": "reads it at its next boot, as a new instance",
}
"""What is said of `DrivePreview.applies`."""
_TEMPLATE = "user_data.template"
_AGENT = "agent/"
Wanted = dict[str, Any]
Format = str


def wanted(
    file: str | None,
    sr: str | None,
    profile: str | None,
    variables: Sequence[str],
    keys: Sequence[Path],
    named: str | None = None,
) -> Wanted:
    """Return what is asked of the server. Raises `InputError` for a file or a variable that cannot be read."""
    found: Wanted = {
        "template": read(file) if file is not None else None,
        "named": named,
        "storage": sr,
        "profile": profile,
        "variables": dict(_variable(one) for one in variables),
        "ssh_keys": [line for path in keys for line in _key_lines(path)],
    }
    if file is not None and not found["template"].strip():
        raise InputError("field-invalid", field="--file", reason="it is empty")
    return {name: value for name, value in found.items() if value}


def read(file: str) -> str:
    """Return a text; ``-`` is standard input. Raises `InputError` ``file-unreadable``."""
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as source:
            content = source.read(FILE_BYTES + 1)
        if len(content) > FILE_BYTES:
            raise InputError("config-too-large", limit=FILE_BYTES)
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError("file-unreadable", path=file, reason=error.strerror or type(error).__name__) from error
    except UnicodeDecodeError as error:
        raise InputError("file-unreadable", path=file, reason="it is no text in UTF-8") from error


def default(connected: client.Client, name: str, profile: str | None, format: Format) -> None:
    """Print the template to begin with."""
    waiting = connected.ask(f"{_path(name)}/default", {"profile": profile})
    if format == "json":
        output.write_json(waiting.raw())
    else:
        as_it_is(waiting.read(Beginning).template)


def validate(connected: client.Client, file: str, profile: str | None, format: Format) -> None:
    """Print what is wrong with a text, and end by it."""
    body = {"template": read(file), "profile": profile or ""}
    found = connected.post(CheckedText, "/config-drives/validate", body)
    if format == "json":
        output.write_json(msgspec.json.encode(found))
    else:
        shown = "standard input" if file == "-" else file
        lines = [f"{shown}:{one.line}:{one.column}: {one.severity}: {one.message}" for one in found.faults]
        lines += [f"{shown}: fit for a config drive ({found.profile})"] * found.ok
        output.write(terminal_clean(line) for line in lines)
    if not found.ok:
        raise SystemExit(failures.FAILED)


def agent_of(drive: VmDrive) -> Wanted:
    """Return what is asked for so that a drive made anew has the guest agent's files that ``drive`` has."""
    return {"agent": "kept"} if any(file.path.startswith(_AGENT) for file in drive.files) else {}


def previewed(connected: client.Client, name: str, wanted: Wanted) -> DrivePreview:
    """Return the drive that would be made."""
    return connected.post(DrivePreview, f"{_path(name)}/preview", wanted)


def preview(connected: client.Client, name: str, wanted: Wanted, format: Format) -> None:
    """Print the drive that would be made."""
    found = previewed(connected, name, wanted)
    if format == "json":
        output.write_json(msgspec.json.encode(found))
    else:
        output.write(told(found))


def create(connected: client.Client, name: str, wanted: Wanted, format: Format, *, yes: bool) -> None:
    """Make a drive, after it was shown and somebody agreed; print its disk."""
    looked = previewed(connected, name, wanted)
    settling = settled(looked, wanted, yes=yes)
    if not yes and not agreed(looked if settling == wanted else previewed(connected, name, settling)):
        failures.stop()
    wanted = settling
    made(connected, name, wanted, format)


def settled(found: DrivePreview, wanted: Wanted, *, yes: bool) -> Wanted:
    """Offer to provision a guest again that passes over the drive otherwise: it has read one with another pool's key.
    Where nobody is asked it is only told; return what is wanted then.
    """
    if found.replaced_key != "another-pool" or found.applies != "once":
        return wanted
    print(terminal_clean(f"{found.name} {_MOVED}"), file=sys.stderr)
    if yes or not output.is_asked():
        print("  To let it read this one: repeat the command with --re-provision.", file=sys.stderr)
        return wanted
    refusal = InputError("confirmation-needed", candidates=found.name)
    again = session.agreed(terminal_clean(f"Re-provision {found.name} at its next boot?"), refusal=refusal)
    return {**wanted, "provision_again": True} if again else wanted


def outcome(made: MadeDrive) -> str:
    """Return what was made, and when the guest sees it."""
    said = f"has its config drive ({made.profile}): disk {made.disk}; {_APPLIES.get(made.applies, made.applies)}"
    if made.applies != "next-boot":
        return said
    if made.forgotten:
        return f"{said}; its remembered host key is forgotten"
    return f"{said}; its host key could not be forgotten: say `roadstead hostkey forget {quoted(made.name)}`"


def agreed(found: DrivePreview) -> bool:
    """Show a drive on stderr and ask. Raises `InputError` ``confirmation-needed`` where nobody can answer."""
    for line in told(found):
        print(line, file=sys.stderr)
    action = (
        f"Replace the config drive of {found.name}" if found.replaces else f"Make this config drive for {found.name}"
    )
    refusal = InputError("confirmation-needed", candidates=f"the config drive of {found.name}")
    return session.agreed(terminal_clean(f"{action}?"), refusal=refusal)


def made(connected: client.Client, name: str, wanted: Wanted, format: Format) -> None:
    """Make a drive and print its disk."""
    vm = connected.get(Vm, f"/vms/{client.part(name)}")
    drive = connected.post(MadeDrive, _path(name), wanted, confirm=vm.id)
    if format == "json":
        output.write_json(msgspec.json.encode(drive))
    else:
        output.result(drive.name, outcome(drive))


def fetched(connected: client.Client, name: str, *, secrets: bool) -> VmDrive:
    """Return the drive of a VM."""
    return connected.get(VmDrive, _path(name), {"secrets": "true" if secrets else "false"})


def show(connected: client.Client, name: str, format: Format, *, secrets: bool) -> None:
    """Print what stands on the drive of a VM."""
    drive = fetched(connected, name, secrets=secrets)
    if format == "json":
        output.write_json(msgspec.json.encode(drive))
        return
    lines = [f"Config drive of {drive.name}: disk {drive.disk} in {drive.storage}, {drive.size // 2**20} MiB"]
    if drive.key == "another-pool":
        command = f"roadstead config-drive rebuild {quoted(drive.name)}"
        lines.append(f"It lets another pool's key in: `{command}` puts this pool's there.")
    lines += _files(drive.files, template=True)
    if drive.does:
        lines += ["", "What the guest does when it reads it:", *_does(drive.does)]
    output.write(terminal_clean(line) for line in lines)


def show_template(connected: client.Client, name: str) -> None:
    """Print the template that the drive of a VM was made from, as it is."""
    as_it_is(fetched(connected, name, secrets=True).template)


def told(found: DrivePreview) -> list[str]:
    """Return the lines that show a drive which would be made."""
    lines = [f"Config drive of {found.name}: profile {found.profile}, in {found.storage}"]
    lines += _files(found.files, template=False)
    lines += ["", *(f"Warning: {one}" for one in found.warnings)]
    if not found.opens and found.profile != "windows":
        lines.append("The pool's key is not seen to sign in: containers of this VM may not be manageable by it.")
    if found.replaces:
        lines.append(f"It takes the place of the drive {found.replaces}{_REPLACED.get(found.replaced_key, '')}.")
    lines.append(f"The guest: {_APPLIES.get(found.applies, found.applies)}.")
    lines += _does(found.does)
    if found.applies == "next-boot":
        lines.append(f"Re-provisioning: {_AGAIN}")
    return [terminal_clean(line) for line in lines]


def _does(lines: Sequence[str]) -> list[str]:
    return [f"  It {one}." for one in lines]


def _files(files: Sequence[DriveFile], *, template: bool) -> Iterator[str]:
    """Show files; the text of the ``template``, too, if that is wanted."""
    for file in files:
        size = f" ({file.size} bytes)" if file.size else ""
        yield from ("", f"--- {file.path}{size}")
        if file.path.endswith(_TEMPLATE) and not template:
            yield "(the text before its tokens were filled in, for people to edit)"
            continue
        if file.path.startswith(_AGENT):
            continue
        yield from file.text.rstrip("\n").split("\n")


def as_it_is(text: str) -> None:
    """Print a text byte for byte into a file or a pipe; a terminal is not commanded by it."""
    if output.is_terminal():
        output.write(terminal_clean(line) for line in text.rstrip("\n").split("\n"))
        return
    sys.stdout.buffer.write(text.encode("utf-8", "surrogatepass"))
    sys.stdout.buffer.flush()


def _path(name: str) -> str:
    return f"/vms/{client.part(name)}/config-drive"


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError("field-invalid", field="--var", reason="write it as NAME=VALUE")
    return name, value


def _key_lines(path: Path) -> list[str]:
    """Return the public keys in a file; a private one is refused before it leaves this machine."""
    text = read(str(path))
    if "PRIVATE KEY" in text:
        raise InputError("file-unreadable", path=path, reason="it holds a private key; give the one that ends in .pub")
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]

"""What is shown of a pool's key, and of the VMs that it opens."""

from roadstead.cli.api import client
from roadstead.cli.api.views import KeyedVm, PoolKey
from roadstead.cli.display import output, table, words
from roadstead.errors import NotFoundError
from roadstead.kit.text import terminal_clean

_HOW_TO = """
How to put it into a VM, as a user there who is in the group `docker`:
  1. append the line above to ~/.ssh/authorized_keys (the folder 0700, the file 0600);
  2. tell which user that is, if it is not the one that the settings name:
     xe vm-param-set uuid=… other-config:xscontainer-username=USER
  3. roadstead enable VM
`roadstead why VM` says what is still missing."""


def show(connected: client.Client, pool: str) -> None:
    """Print a pool's key: all about it for people, its line alone for a pipe."""
    told = connected.get(PoolKey, f"/pools/{client.part(pool)}/key")
    if not output.is_terminal():
        output.write([terminal_clean(told.line)])
        return
    output.write(
        [
            output.bold(f"Public key of the pool {terminal_clean(pool)}") + f"  {terminal_clean(told.fingerprint)}",
            terminal_clean(told.public_key.strip()),
            "",
            output.bold("Line for authorized_keys"),
            terminal_clean(told.line.strip()),
            _HOW_TO,
            *_opened(told),
        ]
    )


def _opened(key: PoolKey) -> list[str]:
    """Name the VMs that the key still opens although they are no longer managed."""
    former = [terminal_clean(vm.name) for vm in key.vms if not vm.managed]
    if not former:
        return []
    return ["", output.bold("It still opens VMs that are no longer managed"), words.listed(former)]


def keyed(connected: client.Client, pool: str) -> list[KeyedVm]:
    """Return the VMs that keys of a pool are known to open."""
    return connected.get(list[KeyedVm], _path(pool))


def forget(connected: client.Client, pool: str, given: list[str]) -> None:
    """Have the server forget that retired keys open the VMs that were named, all or none."""
    retired = [vm for vm in keyed(connected, pool) if any(key.key == "retired" for key in vm.keys)]
    named = [vm for vm in retired if vm.name in given or vm.id in given]
    for name in given:
        if not any(name in {vm.name, vm.id} for vm in named):
            raise NotFoundError("no-such-retired-key", name=name, pool=pool)
    for vm in named:
        connected.remove(list[KeyedVm], f"{_path(pool)}/{client.part(vm.id)}")
        output.result(vm.name, "forgotten")


def where(connected: client.Client, pool: str, format: str, *, cut: bool) -> None:
    """Print the VMs that keys of a pool open."""
    waiting = connected.ask(_path(pool))
    if format == "json":
        output.write_json(waiting.raw())
        return
    rows = [(vm, key) for vm in waiting.read(list[KeyedVm]) for key in vm.keys]
    if not rows:
        output.write(["No key of this pool was seen to open a VM from here."])
        return
    made = [
        table.Column("VM", [vm.name for vm, _ in rows], least=10),
        table.Column("STATE", [state(vm) for vm, _ in rows], least=18),
        table.Column("POWER", [vm.power or "-" for vm, _ in rows], rank=2),
        table.Column("KEY", [key.key for _, key in rows], whole=True),
        table.Column("FINGERPRINT", [key.fingerprint for _, key in rows], rank=1, whole=True),
    ]
    output.write(table.lines(made, output.room() if cut else None))


def state(vm: KeyedVm) -> str:
    """Return how a VM stands to the pool whose key opens it."""
    if vm.state == "moved":
        return f"moved to {vm.pool_name}"
    if vm.until is not None:
        return f"{vm.state}, known until {vm.until:%Y-%m-%d}"
    return vm.state.replace("-", " ")


def _path(pool: str) -> str:
    return f"/pools/{client.part(pool)}/key/vms"

"""What containers take of their guests, as rows of a table."""

from collections.abc import Sequence

from roadstead.cli.api.views import Usage, UsageResult
from roadstead.cli.display import output, table, words
from roadstead.cli.display.words import size


def write(results: Sequence[UsageResult], *, cut: bool) -> list[bool]:
    """Print what is known, and of the others why nothing is; return which are known."""
    known = sorted((each for each in results if each.ok), key=lambda each: (each.vm_name, each.name))
    if known:
        output.write(table.lines(columns(known), output.room() if cut else None))
    for text, failed in _by_reason(results):
        first = failed[0]
        many = f"{first.vm_name} ({words.counted(len(failed), 'container')})"
        output.result(many if len(failed) > 1 else f"{first.vm_name}/{first.name}", text, ok=False)
    return [each.ok for each in results]


def _by_reason(results: Sequence[UsageResult]) -> list[tuple[str, list[UsageResult]]]:
    """Return why nothing is known of some, with those that it is so of: a VM that is silent is told of once."""
    found: dict[tuple[str, str], list[UsageResult]] = {}
    for each in results:
        if not each.ok:
            found.setdefault((each.vm_name, each.message or each.code), []).append(each)
    return [(reason, failed) for (_, reason), failed in found.items()]


def columns(results: Sequence[UsageResult]) -> list[table.Column]:
    """Return the columns that show ``results``."""
    told = [each.usage or Usage() for each in results]
    return [
        table.Column("NAME", [each.name for each in results], least=10),
        table.Column("VM", [each.vm_name for each in results]),
        table.Column("CPU %", [_share(each.cpu_percent) for each in told], rank=1, whole=True),
        table.Column("OF CPUS", [_number(each.cpus) for each in told], rank=3, whole=True),
        table.Column("MEMORY", [size(each.memory_bytes) for each in told], rank=1, whole=True),
        table.Column("LIMIT", [size(each.memory_limit_bytes) for each in told], rank=1, whole=True),
        table.Column("RECEIVED", [size(each.network_received_bytes) for each in told], rank=2, whole=True),
        table.Column("SENT", [size(each.network_sent_bytes) for each in told], rank=2, whole=True),
        table.Column("READ", [size(each.disk_read_bytes) for each in told], rank=2, whole=True),
        table.Column("WRITTEN", [size(each.disk_written_bytes) for each in told], rank=2, whole=True),
        table.Column("PROCESSES", [_number(each.processes) for each in told], rank=4, whole=True),
    ]


def _share(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.1f}"


def _number(count: int | None) -> str:
    return "-" if count is None else str(count)

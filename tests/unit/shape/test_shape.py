"""Keeps the code in the shape its readers were promised: small, documented, typed, mostly without the event loop."""

from __future__ import annotations

import ast
import re

import pytest

from tests.unit.shape.measure import ROOT, Source, nesting, sources, tracked_files

FILE_LINES = 400
TEST_FILE_LINES = 600
FUNCTION_LINES = 50
SMALL_FUNCTION_LINES = 20
SMALL_FUNCTION_SHARE = 0.88
NESTING = 3
ERROR_CLASSES = 25
EVENT_LOOP_SHARE = 0.40
IGNORES_PER_1000_LINES = 2

PRODUCT = sources("src")
TESTS = sources("tests")
BENCH = sources("bench")
DOM0 = [Source(ROOT / "dom0" / name) for name in ("xscontainer", "xscontainer-prepare-vm", "placer")]
# Ann is the person of the examples, core the account of the lab's guests.
MACHINE_PATH = re.compile(rb"(?<![\w.$}/-])/(?:home/(?!ann\b|core\b)|work/|Users/|mnt/)[\w.-]+")
REGISTRY_HOSTS = (
    ("pypi", "org"),
    ("pypi", "python", "org"),
    ("files", "pythonhosted", "org"),
    ("registry", "npmjs", "org"),
    ("deb", "debian", "org"),
)
"""In parts, so that this file names none of them."""
REGISTRY = re.compile(rb"\b(?:%s)\b" % b"|".join(re.escape(".".join(host).encode()) for host in REGISTRY_HOSTS))


@pytest.mark.limit(90)  # the first of these reads all files
def test_files_are_small() -> None:
    """No file has more than 400 code lines, no test more than 600."""
    limits = [(source, FILE_LINES) for source in PRODUCT + BENCH + DOM0] + [
        (source, TEST_FILE_LINES) for source in TESTS
    ]

    assert not {source.name: len(source.code_lines) for source, limit in limits if len(source.code_lines) > limit}


def test_no_function_is_long() -> None:
    """No function has more than 50 lines."""
    long = {
        f"{source.name}:{function.lineno} {function.name}": source.length(function)
        for source in PRODUCT + TESTS + BENCH + DOM0
        for function in source.functions
        if source.length(function) > FUNCTION_LINES
    }

    assert not long


def test_most_functions_are_short() -> None:
    """At least 88 % of the product's functions have at most 20 lines."""
    lengths = [source.length(function) for source in PRODUCT for function in source.functions]

    assert sum(length <= SMALL_FUNCTION_LINES for length in lengths) >= SMALL_FUNCTION_SHARE * len(lengths)


def test_blocks_are_not_nested_deeply() -> None:
    """No function of the product nests blocks more than 3 deep."""
    deep = {
        f"{source.name}:{function.lineno} {function.name}": nesting(function)
        for source in PRODUCT + DOM0
        for function in source.functions
        if nesting(function) > NESTING
    }

    assert not deep


def test_every_module_says_why() -> None:
    """Every module, test and benchmark opens with a docstring."""
    assert not [source.name for source in PRODUCT + TESTS + BENCH + DOM0 if source.code_lines and not source.docstring]


def test_every_test_states_its_rule() -> None:
    """Every test function has a docstring."""
    silent = [
        f"{source.name}:{function.lineno} {function.name}"
        for source in TESTS
        for function in source.functions
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]

    assert not silent


def test_errors_are_few() -> None:
    """There are at most 25 exception classes in the product."""
    assert len(_error_classes()) <= ERROR_CLASSES, _error_classes()


def test_most_modules_do_not_know_the_event_loop() -> None:
    """At most 40 % of the product's modules that hold code import asyncio."""
    modules = [source for source in PRODUCT if source.code_lines]
    knowing = [source.name for source in modules if "asyncio" in source.imports]

    assert len(knowing) <= EVENT_LOOP_SHARE * len(modules), knowing


def test_types_are_rarely_ignored() -> None:
    """There are at most 2 `type: ignore` per 1,000 code lines of the product, and each names its error."""
    lines = sum(len(source.code_lines) for source in PRODUCT)
    ignores = [match for source in PRODUCT for match in re.findall(r"# type: ignore\S*", source.text)]

    assert not [text for text in ignores if not text.startswith("# type: ignore[")]
    assert len(ignores) <= max(1, IGNORES_PER_1000_LINES * lines / 1000)


def test_every_task_has_an_owner_and_a_name() -> None:
    """Tasks are started by `kit.tasks` alone."""
    starts = [
        f"{source.name}:{node.lineno}"
        for source in PRODUCT
        if source.name != "src/roadstead/kit/tasks.py"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"create_task", "ensure_future"}
    ]

    assert not starts


def test_how_a_vm_is_reached_is_read_in_one_place() -> None:
    """`plan.access` alone reads a VM's mode, so that nothing takes a VM for one of SSH that another takes for TLS."""
    reading = re.compile(r"\.settings(?:\.get\(|\[)\s*(?:config_keys\.)?MODE\b")

    assert [source.name for source in PRODUCT if reading.search(source.text)] == ["src/roadstead/plan/access.py"]


def test_what_is_kept_in_pools_is_written_in_one_place() -> None:
    """`act.pool_database` alone writes `other_config` and makes secrets: in turn, marked, kept in a failover."""
    writing = re.compile(r"\.(set_vm_key|add_vm_key|replace_vm_keys|set_pool_key|add_pool_key|create_secret)\b")
    writers = {source.path.parent.name for source in PRODUCT if writing.search(source.text)}

    assert writers == {"pool_database"}


def test_nothing_depends_on_this_machine() -> None:
    """No file names an absolute path of somebody's machine or the host of a package registry."""
    found = {}
    for path in tracked_files():
        text = path.read_bytes()
        matches = [*MACHINE_PATH.findall(text), *REGISTRY.findall(text)]
        if matches:
            found[path.relative_to(ROOT).as_posix()] = matches[:3]

    assert not found


@pytest.mark.parametrize("folders", [("home", "someone", "roadstead"), ("work", "main"), ("mnt", "disk")], ids="-".join)
def test_machine_paths_are_recognised(folders: tuple[str, ...]) -> None:
    """The pattern for machine paths matches what it is meant for."""
    assert MACHINE_PATH.search(f"see {'/'.join(('', *folders))}".encode())


@pytest.mark.parametrize("host", REGISTRY_HOSTS, ids=".".join)
def test_registry_hosts_are_recognised(host: tuple[str, ...]) -> None:
    """The pattern for registry hosts matches each of them, and nothing that only looks like one."""
    assert REGISTRY.search(f"from https://{'.'.join(host)}/simple".encode())
    assert not REGISTRY.search(f"from {'-'.join(host)}".encode())


def _error_classes() -> list[str]:
    """The product's exception classes, found by the names of their bases, to the last generation."""
    errors = {
        "Exception",
        "BaseException",
        "RuntimeError",
        "ValueError",
        "OSError",
        "LookupError",
        "TypeError",
        "KeyError",
    }
    classes = [(node, source) for source in PRODUCT for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)]
    found: set[str] = set()
    grew = True
    while grew:
        grew = False
        for node, _ in classes:
            bases = {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
            if node.name not in found and bases & (errors | found):
                found.add(node.name)
                grew = True
    return sorted(found)

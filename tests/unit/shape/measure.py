"""Measures source files for the shape tests: code lines, functions, nesting, imports."""

from __future__ import annotations

import ast
import io
import subprocess
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.With, ast.AsyncWith, ast.Match)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One parsed Python file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path inside the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        """Its text."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text)

    @property
    def docstring(self) -> str | None:
        """Why it exists, as it says itself."""
        return ast.get_docstring(self.tree)

    @cached_property
    def code_lines(self) -> set[int]:
        """The numbers of the lines that are not blank, comment or docstring."""
        lines: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in NOT_CODE:
                lines.update(range(token.start[0], token.end[0] + 1))
        return lines - set(self._docstring_lines())

    def _docstring_lines(self) -> Iterator[int]:
        for node in ast.walk(self.tree):
            for statement in getattr(node, "body", []) if not isinstance(node, ast.Lambda | ast.IfExp) else []:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    yield from range(statement.lineno, (statement.end_lineno or 0) + 1)

    @cached_property
    def functions(self) -> list[Function]:
        """Every function and method, nested ones too."""
        return [node for node in ast.walk(self.tree) if isinstance(node, FUNCTIONS)]

    def length(self, function: Function) -> int:
        """The lines of a function from `def` to its end, without its docstring."""
        docstring = function.body[0] if ast.get_docstring(function) is not None else None
        inside = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
        return (function.end_lineno or 0) - function.lineno + 1 - inside

    @cached_property
    def imports(self) -> set[str]:
        """The top-level names of the modules that it imports."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
        return found


def sources(*folders: str) -> list[Source]:
    """The Python files below these folders of the repository."""
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [Source(path) for path in paths]


def nesting(function: Function) -> int:
    """How deep blocks stand inside each other in a function."""
    return max((_depth(statement) for statement in function.body), default=0)


def _depth(node: ast.AST) -> int:
    if isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
        return 0
    # `elif` is an If in the else-branch of an If: no deeper for whoever reads it.
    chained = node.orelse if isinstance(node, ast.If) and len(node.orelse) == 1 else []
    inner = max(
        (_depth(child) - (child in chained and isinstance(child, ast.If)) for child in ast.iter_child_nodes(node)),
        default=0,
    )
    return inner + isinstance(node, BLOCKS)


def tracked_files() -> list[Path]:
    """Every file that belongs to the repository, those not yet committed too; without git, none."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, check=False).stdout.decode()
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]

"""A row of the table of codes, apart from the table, which stands in several files."""

from typing import NamedTuple


class Code(NamedTuple):
    """One row: the HTTP ``status`` of answers that carry it, its ``cause`` and its ``remedy``."""

    status: int
    cause: str
    remedy: str

"""What the command line reads of templates for config drives."""

from datetime import datetime

from msgspec import Struct


class Template(Struct, frozen=True, kw_only=True):
    """A template, or a version of it."""

    name: str = ""
    profile: str = ""
    version: int = 0
    size: int = 0
    is_default: bool = False
    saved: datetime | None = None
    who: str = ""


class TemplateText(Template, frozen=True, kw_only=True):
    """A template with its text."""

    text: str = ""
    variables: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

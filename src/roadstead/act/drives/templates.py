"""The templates that config drives begin with: those of the product, and those that a pool's operators wrote.

An own template that is called like a profile takes the place of the product's for that pool: by it a new drive begins,
whoever asks for it. All of them are kept in the database, so several servers know the same ones, and each save is a
version that can be shown and come back to. None is kept of which no drive could be made.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from roadstead.act import audit
from roadstead.act.audit import Audit
from roadstead.artifacts import drive_templates, tokens, user_data
from roadstead.artifacts.user_data import Finding
from roadstead.errors import FIELD_CHARACTERS, InputError, NotFoundError
from roadstead.model import PoolId
from roadstead.peers.database.drive_templates import DriveTemplates, NewText, StoredTemplate, StoredText

TEXT_BYTES = 120 * 2**10
"""The longest text of a template: what XenCenter is given of it must fit into its call when it comes back."""
BUILT_IN = 0
"""The version of the product's own templates."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_PLACEHOLDER = "x"


class Template(Struct, frozen=True, kw_only=True):
    """A template; ``version`` 0 is the product's own. ``is_default`` tells whether drives of its profile begin with it
    when nothing else is said.
    """

    name: str
    profile: str
    version: int
    size: int
    is_default: bool
    saved: datetime | None = None
    who: str = ""


class TemplateText(Template, frozen=True, kw_only=True):
    """A template with its text; ``variables`` are the names in it for which a drive needs values, ``warnings`` what its
    guests pass over. A repr shows no text.
    """

    text: str
    variables: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"TemplateText(name={self.name!r}, version={self.version})"


class NewTemplate(Struct, frozen=True, kw_only=True):
    """A text that is to be saved; an empty profile is chosen, ``after`` is the version that it was made from."""

    text: str
    profile: str = ""
    after: int | None = None

    def __repr__(self) -> str:
        return f"NewTemplate(profile={self.profile!r}, after={self.after!r})"


class Templates:
    """The templates of all pools. Every call may raise `PeerError` ``state-unusable``."""

    def __init__(self, kept: DriveTemplates, audit: Audit) -> None:
        self._kept = kept
        self._audit = audit

    async def default(self, pool: PoolId, profile: str) -> str:
        """Return the text that drives of a profile begin with."""
        own = await self._kept.text(pool, profile)
        return own.text if own is not None else drive_templates.PROFILES[profile]

    async def listed(self, pool: PoolId) -> list[Template]:
        """Return what drives of a pool can be made from, by name."""
        own = {one.name: _shown(one) for one in await self._kept.newest(pool)}
        ours = {name: _built_in(name) for name in drive_templates.PROFILES}
        return [found for _, found in sorted({**ours, **own}.items())]

    async def text(self, pool: PoolId, name: str, version: int | None = None) -> TemplateText:
        """Return a template, or a former version of it. Raises `NotFoundError` ``no-such-drive-template``."""
        found = None if version == BUILT_IN else await self._kept.text(pool, name, version)
        if found is not None:
            return await asyncio.to_thread(_told, _shown(found), found.text)
        if name in drive_templates.PROFILES and version in {None, BUILT_IN}:
            return await asyncio.to_thread(_told, _built_in(name), drive_templates.PROFILES[name])
        raise self._missing(name, version)

    async def history(self, pool: PoolId, name: str) -> list[Template]:
        """Return the versions of a template that are kept, the newest first. Raises `NotFoundError`."""
        found = [_shown(one) for one in await self._kept.versions(pool, name)]
        if name in drive_templates.PROFILES:
            found.append(_built_in(name))
        if not found:
            raise self._missing(name, None)
        return found

    async def save(self, pool: PoolId, name: str, new: NewTemplate) -> TemplateText:
        """Keep a text as the newest version of a template.

        Raises `InputError` with what is wrong with name or text, `ConflictError` ``drive-template-changed`` and
        ``drive-templates-full``.
        """
        with self._audit.of("config-drive template save", _target(pool, name)):
            return await self._save(pool, name, new)

    async def restore(self, pool: PoolId, name: str, version: int) -> TemplateText:
        """Make a former version the newest one again: it is saved anew. Raises what `save` and `text` raise."""
        with self._audit.of("config-drive template restore", _target(pool, name)):
            former = await self.text(pool, name, version)
            return await self._save(pool, name, NewTemplate(text=former.text, profile=former.profile))

    async def remove(self, pool: PoolId, name: str) -> None:
        """Forget an own template with all its versions; drives are left as they are. Raises `NotFoundError`."""
        with self._audit.of("config-drive template remove", _target(pool, name)):
            if not await self._kept.remove(pool, name):
                raise self._missing(name, None)

    # ---- pieces

    async def _save(self, pool: PoolId, name: str, new: NewTemplate) -> TemplateText:
        if _NAME.fullmatch(name) is None:
            reason = "use up to 63 small letters, digits, dots, dashes and _, beginning with a letter or a digit"
            raise InputError("field-invalid", field="name", reason=reason)
        profile = await asyncio.to_thread(_checked, name, new)
        who = audit.actor().who
        kept = await self._kept.add(pool, NewText(name=name, profile=profile, text=new.text, who=who, after=new.after))
        return await asyncio.to_thread(_told, _shown(kept), kept.text)

    @staticmethod
    def _missing(name: str, version: int | None) -> NotFoundError:
        shown = name if version is None else f"{name} in version {version}"
        return NotFoundError("no-such-drive-template", name=shown)


def _checked(name: str, new: NewTemplate) -> str:
    """Return the profile that a text is for, once nothing is wrong with it. Raises `InputError`."""
    if len(new.text.encode("utf-8", "replace")) > TEXT_BYTES:
        raise InputError("config-too-large", limit=TEXT_BYTES)
    is_default = name in drive_templates.PROFILES
    if is_default and new.profile not in {"", name}:
        reason = f"a template that is called {name} is for that profile"
        raise InputError("field-invalid", field="profile", reason=reason)
    profile = name if is_default else new.profile or user_data.profile_of(new.text)
    text = new.text if is_default else _assigned(new.text)  # nobody gives values to what a client begins with
    faults = [found for found in user_data.findings(text, profile) if found.severity == "error"]
    if is_default and len(faults) == 1 and user_data.kind(new.text) != drive_templates.WINDOWS:
        tokens.refuse_unknown(new.text)
    if faults:
        raise InputError("config-invalid", line=faults[0].line, column=faults[0].column, reason=_reasons(faults))
    return profile


def _reasons(faults: Sequence[Finding]) -> str:
    """Return what all faults say, the first without its place; of those that an error has no room for the number."""
    told = faults[0].message
    for at, each in enumerate(faults[1:], 1):
        longer = f"{told}; line {each.line}, column {each.column}: {each.message}"
        rest = f"; and {len(faults) - at} more, which `roadstead config-drive validate` tells"
        if len(longer) + len(rest) > FIELD_CHARACTERS:
            return told + rest
        told = longer
    return told


def _variables(text: str) -> tuple[str, ...]:
    if user_data.kind(text) == drive_templates.WINDOWS:
        return ()
    return tuple(dict.fromkeys(name for name, _ in tokens.unknown(text)))


def _assigned(text: str) -> str:
    """Return a text in which each variable has a value, so that the rest can be judged."""
    return tokens.assign(text, dict.fromkeys(_variables(text), _PLACEHOLDER))


def _told(shown: Template, text: str) -> TemplateText:
    """A long text takes a second to judge: for threads."""
    found = user_data.findings(_assigned(text), shown.profile)
    warnings = tuple(f"line {one.line}: {one.message}" for one in found if one.severity == "warning")
    known = {name: getattr(shown, name) for name in Template.__struct_fields__}
    return TemplateText(**known, text=text, variables=_variables(text), warnings=warnings)


def _shown(one: StoredTemplate | StoredText) -> Template:
    return Template(
        name=one.name,
        profile=one.profile,
        version=one.version,
        size=one.size,
        is_default=one.name in drive_templates.PROFILES,
        saved=one.saved,
        who=one.who,
    )


def _built_in(name: str) -> Template:
    size = len(drive_templates.PROFILES[name].encode())
    return Template(name=name, profile=name, version=BUILT_IN, size=size, is_default=True)


def _target(pool: PoolId, name: str) -> str:
    return f"{pool}/{name}"

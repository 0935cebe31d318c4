"""The forms that a text for cloud-init may have besides ``#cloud-config``, and what the guest does with each.

By how a text begins (cloud-init's ``INCLUSION_TYPES_MAP``); of several parts each is looked at. What begins otherwise
cloud-init drops, with a line in its log that nobody reads.
"""

import email
import email.message
import email.policy
import re
from typing import NamedTuple

from roadstead.artifacts import cloud_config
from roadstead.errors import InputError

PARTS = 64
"""So many parts of one text are looked at."""
JINJA = "## template: jinja"
_MULTIPART = re.compile(r"(mime-version|content-type):", re.IGNORECASE)

DOES = {
    "#cloud-config-archive": "applies each part of an archive",
    "#cloud-config-jsonp": "changes other parts by a JSON patch",
    "#cloud-config": "applies it",
    "#cloud-boothook": "runs it early in each boot",
    "#include-once": "fetches what stands at these addresses once, and reads that",
    "#include": "fetches what stands at these addresses, and reads that: it needs them when it boots",
    "#part-handler": "loads it as a program that reads other parts",
    "#upstart-job": "drops it: no cloud-init since 23.1 reads jobs of upstart",
    JINJA: "fills in its own values, then reads the rest",
    "#!": "runs it once, as root, at the end of its first boot with the drive",
}
"""What cloud-init does with a text that begins so; a longer beginning comes before a shorter one."""
TYPES = {
    "text/cloud-boothook": "#cloud-boothook",
    "text/cloud-config": "#cloud-config",
    "text/cloud-config-archive": "#cloud-config-archive",
    "text/cloud-config-jsonp": "#cloud-config-jsonp",
    "text/jinja2": JINJA,
    "text/part-handler": "#part-handler",
    "text/x-include-once-url": "#include-once",
    "text/x-include-url": "#include",
    "text/x-shellscript": "#!",
    "text/x-shellscript-per-boot": "#!",
    "text/x-shellscript-per-instance": "#!",
    "text/x-shellscript-per-once": "#!",
}
_ASKED = frozenset({"text/plain", "text/x-not-multipart", "text/x-shellscript"})
"""Types that cloud-init does not take at their word: it looks how the part begins."""
_FLATCAR = frozenset({"#cloud-config", "#!"})
"""All that coreos-cloudinit reads, alone or as a part."""


class Part(NamedTuple):
    """A part of a text: the line at which it stands (1 is the first), how such parts begin (empty: nobody knows it),
    and what it says.
    """

    line: int
    form: str
    text: str
    label: str = ""

    @property
    def does(self) -> str:
        """What cloud-init does with it."""
        return DOES.get(self.form, "drops it: it begins with nothing that cloud-init knows")

    @property
    def is_dropped(self) -> bool:
        """Whether nothing of it is read."""
        return self.form in {"", "#upstart-job"}

    @property
    def is_flatcars(self) -> bool:
        """Whether Flatcar reads it, too."""
        return self.form in _FLATCAR


def form(text: str) -> str:
    """Return how texts of this form begin; empty for what cloud-init does not know."""
    begun = text.lstrip()
    return next((each for each in DOES if begun.startswith(each)), "")


def parts(text: str) -> list[Part]:
    """Return the parts of a text, at most `PARTS`; of one that is not of several parts, itself."""
    if not _MULTIPART.match(text.lstrip()):
        found = form(text)
        return _archive(text) if found == "#cloud-config-archive" else [Part(1, found, text)]
    message = email.message_from_string(text, policy=email.policy.compat32)
    found_parts: list[Part] = []
    at = 0
    for each in message.walk():
        if each.is_multipart() or len(found_parts) == PARTS:
            continue
        part, at = _part(each, text, at)
        found_parts.append(part)
    return found_parts


def _part(message: email.message.Message, text: str, at: int) -> tuple[Part, int]:
    """Return a part, and where in the text what comes after it is sought."""
    raw = message.get_payload()
    content = message.get_payload(decode=True)
    said = content.decode("utf-8", "replace") if isinstance(content, bytes) else ""
    kind = message.get_content_type()
    begins = form(said) if kind in _ASKED else ""
    begins = begins or ("" if kind in _ASKED - {"text/x-shellscript"} else TYPES.get(kind, ""))
    found = text.find(raw, at) if isinstance(raw, str) and raw else -1
    start = found if found >= 0 else at
    label = message.get_filename() or kind
    return Part(text.count("\n", 0, start) + 1, begins, said, label[:64]), start + 1


def _archive(text: str) -> list[Part]:
    try:
        said = cloud_config.check(f"archive:\n{text}").get("archive")
    except InputError:
        said = None
    if not isinstance(said, list):
        return [Part(1, "", text, "an archive is a list of parts")]
    return [_archived(each) for each in said[:PARTS]]


def _archived(each: object) -> Part:
    if isinstance(each, dict):
        content, kind = str(each.get("content", "")), str(each.get("type", ""))
        return Part(1, TYPES.get(kind, "") if kind else form(content) or "#cloud-config", content, kind)
    content = str(each)
    return Part(1, form(content) or "#cloud-config", content)

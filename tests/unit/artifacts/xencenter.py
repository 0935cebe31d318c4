"""XenCenter's way to read what a pool publishes, written from its source: what it cannot survive raises here.

Sources: xenadmin ``XenModel/DockerContainers.cs`` (``docker_ps`` without any try/catch), ``VM_Docker_Info.cs``,
``VM_Docker_Version.cs``. .NET's `XmlDocument` refuses what expat takes here and there; `_loaded` refuses it, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.dom import minidom

_DOTNET_REFUSES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|^\ufeff|version=.1\\.1.")
CHILDREN = ("id", "names", "status", "container", "created", "image", "command", "ports")
PORT_CHILDREN = ("IP", "PublicPort", "PrivatePort", "Type")


@dataclass(frozen=True)
class Shown:
    """One container as XenCenter shows it."""

    fields: dict[str, str]
    ports: list[dict[str, str]]

    @property
    def power_state(self) -> str:
        """Its icon."""
        if "Paused" in self.fields["status"]:
            return "Paused"
        return "Running" if self.fields["status"].startswith("Up") else "Halted"


def containers(value: str) -> list[Shown]:
    """Every descendant called ``entry`` is a container, whoever put it there."""
    return [_container(entry) for entry in _loaded(value).getElementsByTagName("entry")]


def information(value: str) -> dict[str, str]:
    """The direct children of ``docker_info`` or ``docker_version``, by their exact names."""
    root = _loaded(value).documentElement
    assert root is not None
    return {node.tagName: _inner_text(node) for node in root.childNodes if isinstance(node, minidom.Element)}


def _container(entry: minidom.Element) -> Shown:
    children = {node.tagName: node for node in entry.childNodes if isinstance(node, minidom.Element)}
    fields = {name: _inner_text(children[name]) if name in children else "" for name in CHILDREN}
    inner_xml = "".join(node.toxml() for node in children["ports"].childNodes) if "ports" in children else ""
    items = _loaded(f"<items>{inner_xml}</items>").getElementsByTagName("item")
    return Shown(fields, [{name: _child(item, name) for name in PORT_CHILDREN} for item in items])


def _child(item: minidom.Element, name: str) -> str:
    found = [node for node in item.childNodes if isinstance(node, minidom.Element) and node.tagName == name]
    return _inner_text(found[0]) if found else ""


def _inner_text(node: minidom.Node) -> str:
    if node.nodeType in {node.TEXT_NODE, node.CDATA_SECTION_NODE}:
        return str(node.nodeValue)
    return "".join(_inner_text(child) for child in node.childNodes)


def _loaded(value: str) -> minidom.Document:
    assert not _DOTNET_REFUSES.search(value), "XenCenter would end here"
    return minidom.parseString(value.encode())  # noqa: S318 - our own


def tree(value: str) -> list[str]:
    """The first level of the Details tab: an encoded element shows its attribute, and must have it."""
    root = _loaded(value).documentElement
    assert root is not None
    names = []
    for node in root.childNodes:
        assert isinstance(node, minidom.Element)
        encoded = node.tagName == "SPECIAL_XS_ENCODED_ELEMENT"
        assert not encoded or node.hasAttribute("name")
        names.append(node.getAttribute("name") if encoded else node.tagName)
    return names


def processes(value: str) -> list[tuple[str, str, str]]:
    """The rows of the Processes tab: PID, CMD and TIME by the first child's value, which must be there."""
    found = []
    for process in _loaded(value).getElementsByTagName("Process"):
        cells = {node.tagName: node for node in process.childNodes if isinstance(node, minidom.Element)}
        found.append((_first_value(cells["PID"]), _first_value(cells["CMD"]), _first_value(cells["TIME"])))
    return found


def _first_value(element: minidom.Element) -> str:
    assert element.firstChild is not None, "XenCenter gives the table up"
    return str(element.firstChild.nodeValue)

"""The parameters that several handlers take, each with its meaning for the OpenAPI document."""

from typing import Annotated, Literal
from urllib.parse import unquote

from fastapi import Path, Query
from pydantic import AfterValidator

from roadstead.errors import InputError
from roadstead.inventory.names import GLOB_CHARACTERS


def _decoded(text: str) -> str:
    return unquote(text)


# The border leaves paths as they were written, so that a slash in a name stays in the name: it is decoded here.
Written = AfterValidator(_decoded)
PoolName = Annotated[str, Written, Path(description="Id, beginning of the id, or name of the pool.")]
HostPart = Annotated[str, Written, Path(description="Id of the host.")]
VmName = Annotated[str, Written, Path(description="Id, beginning of the id, or name of the VM.")]
VmPart = Annotated[str, Written, Path(description="Id of the VM.")]
EnginePart = Annotated[str, Written, Path(description="The engine's id of the container, 64 digits.")]
OperationName = Annotated[str, Written, Path(description="Id of the operation.")]
Filter = Annotated[
    str,
    Query(
        description="Filter, such as `state:running image:nginx vm:web*`, or free text. Values of one field are "
        "alternatives, different fields must all match, `-` negates, quotes make text literal. `state:stale` (or "
        "`state:unknown`) alone finds what is stale."
    ),
]
Names = Annotated[
    list[Annotated[str, Query(min_length=1, max_length=GLOB_CHARACTERS)]],
    Query(
        description="Name, `vm/container`, beginning of an id (at least 4 digits), or a glob in either part.",
        min_length=1,
    ),
]
KeepPublished = Annotated[
    bool, Query(description="Leave in the pool what was published there of containers, and alerts.")
]
REQUIRED = "x-required"
"""Marks a parameter that a request cannot do without, although it is ours to say so: our error names what is missing.
"""
CONFIRM = "confirm"
Confirm = Annotated[
    str,
    Query(
        description="The yes to what cannot be undone: what this is done to, named by its id (a template by its name). "
        "Without it, or with another one, nothing is done (`confirmation-missing`, which names the id).",
        max_length=256,
        json_schema_extra={REQUIRED: True},
    ),
]
ConfirmUndoing = Annotated[
    str, Query(description="Needed with the action `unprepare`: the id of the VM, as a yes.", max_length=256)
]
Fields = Annotated[str | None, Query(description="Names of fields with commas between them: rows of only these.")]
DriveProfile = Annotated[
    Literal["", "cloud-config", "flatcar", "ignition", "windows", "coreos"],
    Query(description="Kind of guest; without one it is chosen by the VM's system, else its name."),
]
Unmasked = Annotated[bool, Query(description="Mask no secrets.")]

TemplateName = Annotated[str, Written, Path(description="Name of the template.")]
TemplateVersion = Annotated[
    int | None, Query(ge=0, description="Which version; without one the newest, 0 is the product's own.")
]


def must_confirm(given: str, id: str, what: str) -> None:
    """Raise `InputError` ``confirmation-missing`` unless ``given`` names by its ``id`` what is about to be done."""
    if given != id:
        raise InputError("confirmation-missing", field=CONFIRM, id=id, what=what)

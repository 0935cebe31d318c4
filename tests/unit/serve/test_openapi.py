"""The OpenAPI document describes the API as it is."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, json, structs

from roadstead.errors import CODES
from roadstead.model import Container, Host, Link, Operation, Pool, Problem, Vm
from roadstead.serve import app
from roadstead.serve.calls import PERMISSIONS
from roadstead.serve.routes import PREFIX, TABLE, Route
from tests.unit.serve import stage

HERE = Path(__file__).parent


@pytest.fixture(name="document", scope="module")
def read_document() -> dict[str, Any]:
    """The document of a server."""
    found: dict[str, Any] = json.decode(app.openapi_document())
    return found


def test_document_is_the_same_every_time() -> None:
    """The same code gives the same bytes."""
    first, second = (app.openapi_document.__wrapped__() for _ in range(2))

    assert first == second


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.method} {row.path}")
def test_every_route_is_described(document: dict[str, Any], row: Route) -> None:
    """Each row has its operation, its words, its permission, the shape of its answer and that of a refusal."""
    operation = document["paths"][PREFIX + row.path][row.method.lower()]
    responses = operation["responses"]

    assert operation["operationId"] == row.name
    assert operation["description"].endswith(".")
    assert operation["x-permission"] == row.permission
    assert row.permission in PERMISSIONS
    assert set(responses) == {str(row.status), "default"}
    assert responses["default"]["content"]["application/problem+json"]["schema"]["$ref"].endswith("/ProblemDocument")
    assert row.answer is None or responses[str(row.status)]["content"][row.media_type]["schema"]
    assert all(parameter.get("description") for parameter in operation.get("parameters", ()))


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    """No two routes share a name, and the table names no path and method twice."""
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]

    assert len(names) == len(set(names)) == len(TABLE)
    assert len({(row.method, row.path) for row in TABLE}) == len(TABLE)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """Each ``$ref`` names a schema that is there, and records are described with all their fields."""
    schemas = document["components"]["schemas"]

    def references(part: Any) -> set[str]:
        if isinstance(part, list):
            return set().union(*map(references, part))
        if isinstance(part, dict):
            found = set().union(*map(references, part.values()))
            return found | {part["$ref"]} if "$ref" in part else found
        return set()

    assert {name.removeprefix("#/components/schemas/") for name in references(document)} <= set(schemas)
    assert set(schemas["Container"]["properties"]) == set(Container.__struct_fields__)
    assert "HTTPValidationError" not in schemas


@pytest.mark.parametrize("kind", [Pool, Host, Vm, Container, Link, Problem, Operation], ids=lambda kind: kind.__name__)
def test_times_are_described_as_times(document: dict[str, Any], kind: type[Struct]) -> None:
    """Every field that holds a time says so."""
    shown = document["components"]["schemas"]["VmShown" if kind is Vm else kind.__name__]["properties"]
    for field in structs.fields(kind):
        if "datetime" in str(field.type):
            assert "date-time" in str(shown[field.encode_name])


async def test_document_is_served(tmp_path: Path) -> None:
    """The server answers with the document that the code gives."""
    async with stage.running(tmp_path) as api:
        assert await api.get("/openapi.json") == json.decode(app.openapi_document())


def test_every_route_is_tested() -> None:
    """Some test asks for every path of the table, with its method."""
    texts = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    for row in TABLE:
        last = row.path.rsplit("/", 1)[1]
        assert (last if "{" not in last else row.path.split("{")[0]) in texts, row


def test_codes_of_the_api_are_in_the_table() -> None:
    """What the borders refuse with has its row."""
    assert {"internal", "no-such-page", "method-unknown", "body-too-large", "field-invalid"} <= set(CODES)

"""What a library finds wrong, in our words."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from roadstead.errors import checks

GIVEN = "s3cret"


class Wanted(BaseModel):
    """A model with a field for each kind of mistake."""

    model_config = ConfigDict(extra="forbid")

    port: Annotated[int, Field(ge=1, le=65535)] = 1
    rate: Annotated[float, Field(gt=0)] = 1.0
    mode: Literal["ssh", "tls"] = "ssh"
    name: Annotated[str, Field(min_length=1, max_length=8)] = "x"
    password: Annotated[SecretStr, Field(min_length=1)] = SecretStr("x")
    names: Annotated[list[str], Field(max_length=1)] = []
    on: bool = False
    odd: str = ""

    @field_validator("odd")
    @classmethod
    def _never_odd(cls, value: str) -> str:
        if value:
            raise ValueError("It is odd.")
        return value


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"port": 65536}, "it must be at most 65535"),
        ({"port": 0}, "it must be at least 1"),
        ({"port": GIVEN}, "it must be a whole number"),
        ({"rate": 0}, "it must be more than 0.0"),
        ({"rate": GIVEN}, "it must be a number"),
        ({"mode": GIVEN}, "it must be 'ssh' or 'tls'"),
        ({"name": ""}, "it has less than 1 characters"),
        ({"name": GIVEN * 2}, "it has more than 8 characters"),
        ({"name": 3}, "it must be text"),
        ({"password": ""}, "it must not be empty"),
        ({"names": GIVEN}, "it must be a list"),
        ({"names": [GIVEN, GIVEN]}, "it has more than 1 entries"),
        ({"on": GIVEN}, "it must be true or false"),
        ({"more": GIVEN}, "there is no such field"),
        ({"odd": GIVEN}, "it is odd"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said_in_plain_words(given: dict[str, Any], said: str) -> None:
    """As the end of a sentence, and without the value, which may be a password."""
    with pytest.raises(ValidationError) as caught:
        Wanted(**given)
    told = checks.reason(caught.value.errors()[0])
    assert told == said
    assert GIVEN not in told

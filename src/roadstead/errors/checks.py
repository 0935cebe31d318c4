"""What pydantic finds wrong with a value, in plain words: settings, requests and the command line are checked by it,
and none of them shall speak to people as a library does.
"""

from collections.abc import Mapping
from typing import Any

_SAID = {
    "bool_parsing": "it must be true or false",
    "extra_forbidden": "there is no such field",
    "float_parsing": "it must be a number",
    "float_type": "it must be a number",
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "int_from_float": "it must be a whole number",
    "int_parsing": "it must be a whole number",
    "int_type": "it must be a whole number",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "list_type": "it must be a list",
    "literal_error": "it must be {expected}",
    "missing": "it is missing",
    "model_type": "it holds no fields",
    "string_pattern_mismatch": "it must match {pattern}",
    "string_too_long": "it has more than {max_length} characters",
    "string_too_short": "it has less than {min_length} characters",
    "string_type": "it must be text",
    "too_short": "it must not be empty",
    "too_long": "it has more than {max_length} entries",
}
"""By pydantic's name for what is wrong; its context fills the braces."""


def reason(found: Mapping[str, Any]) -> str:
    """Return what is wrong as the end of a sentence. ``found`` is an entry of ``ValidationError.errors()``.

    The value itself is not told: it may be a password.
    """
    said = _SAID.get(found["type"])
    if said is not None:
        return said.format_map(found.get("ctx", {}))
    text = str(found["msg"]).removeprefix("Value error, ").rstrip(".")
    return text[:1].lower() + text[1:]

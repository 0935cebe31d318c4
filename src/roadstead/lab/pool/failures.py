"""XAPI's way to say no, so that every handler fails with the codes and parameters of a real pool."""


class Failure(Exception):
    """An XAPI error: `code` and its parameters, as they cross the wire in `ErrorDescription` or `error.data`."""

    def __init__(self, code: str, *params: str) -> None:
        super().__init__(code, *params)
        self.code = code
        self.params = params


def internal(text: str) -> Failure:
    """What XAPI makes of an exception that nobody expected; `text` is that exception in OCaml's notation."""
    return Failure("INTERNAL_ERROR", text)


def unexpected(wanted: str, got: str) -> Failure:
    """An argument of another type than `wanted`; `got` is the argument in XAPI's own notation."""
    return internal(f"Failure(\"Expected {wanted}, got '{got}'\")")


def bad_handle(kind: str, ref: str) -> Failure:
    """A reference to nothing."""
    return Failure("HANDLE_INVALID", kind, ref)


UNKNOWN_TAG = 'Failure("Unknown tag/contents")'
"""How XAPI calls an enumeration's value that does not exist."""

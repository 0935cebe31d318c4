"""The one way in which a simulated engine says no, whoever in it notices."""

from __future__ import annotations

from http import HTTPStatus


class Refusal(Exception):
    """The status and text of the answer; `cause` is Podman's first field."""

    def __init__(self, status: HTTPStatus, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.cause = cause

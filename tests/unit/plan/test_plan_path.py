"""At which step of the path a failure happened, and what it shows to be passed."""

import pytest

from roadstead.errors import ConflictError, EngineError, LinkError, RoadsteadError
from roadstead.model import PathStep, config_keys
from roadstead.peers.links.credentials import Whose
from roadstead.plan.path import SSH, TLS, UNIX, Path, failing, implied


def _passed(path: Path, last: PathStep | None) -> int:
    return 0 if last is None else path.index(last) + 1


@pytest.mark.parametrize(
    ("path", "last", "error", "step"),
    [
        pytest.param(SSH, None, ConflictError("vm-off"), PathStep.POWER, id="off"),
        pytest.param(SSH, PathStep.POWER, LinkError("no-address"), PathStep.ADDRESS, id="no-address"),
        pytest.param(SSH, PathStep.ROUTE, LinkError("refused"), PathStep.PORT, id="refused"),
        pytest.param(SSH, PathStep.PORT, LinkError("timed-out"), PathStep.HANDSHAKE, id="silent"),
        pytest.param(SSH, PathStep.HOST_KEY, LinkError("timed-out"), PathStep.AUTHENTICATION, id="silent-later"),
        pytest.param(SSH, PathStep.PORT, LinkError("host-key-type-gone"), PathStep.HOST_KEY, id="type-gone"),
        pytest.param(
            SSH,
            PathStep.ROUTE,
            LinkError("setting-invalid", key=config_keys.HOST_KEY),
            PathStep.HOST_KEY,
            id="pin-is-no-key",
        ),
        pytest.param(
            SSH, PathStep.POWER, LinkError("setting-invalid", key="other"), PathStep.ADDRESS, id="other-setting"
        ),
        pytest.param(SSH, PathStep.AUTHENTICATION, EngineError("no-relay"), PathStep.RELAY, id="no-relay"),
        pytest.param(SSH, PathStep.AUTHENTICATION, EngineError("engine-down"), PathStep.SOCKET, id="dead-socket"),
        pytest.param(SSH, PathStep.PERMISSION, EngineError("engine-down"), PathStep.API_VERSION, id="hung-up"),
        pytest.param(
            SSH, PathStep.AUTHENTICATION, EngineError("engine-socket-denied"), PathStep.PERMISSION, id="denied"
        ),
        pytest.param(TLS, PathStep.ADDRESS, LinkError("secret-missing"), PathStep.SECRETS, id="no-secret"),
        pytest.param(
            TLS, PathStep.ADDRESS, LinkError("tls-expired", whose=Whose.OURS), PathStep.SECRETS, id="ours-expired"
        ),
        pytest.param(
            TLS,
            PathStep.PORT,
            LinkError("tls-expired", whose=Whose.ENGINE),
            PathStep.CERTIFICATE,
            id="theirs-expired",
        ),
        pytest.param(TLS, PathStep.PORT, LinkError("tls-untrusted"), PathStep.CERTIFICATE, id="untrusted"),
        pytest.param(TLS, PathStep.PORT, LinkError("plain-http-engine"), PathStep.HANDSHAKE, id="plain"),
        pytest.param(
            TLS, PathStep.PORT, LinkError("tls-client-rejected"), PathStep.CLIENT_CERTIFICATE, id="rejected-at-once"
        ),
        pytest.param(
            TLS, PathStep.CERTIFICATE, LinkError("tls-client-rejected"), PathStep.CLIENT_CERTIFICATE, id="rejected"
        ),
        pytest.param(TLS, PathStep.CERTIFICATE, EngineError("engine-unsupported"), PathStep.API_VERSION, id="old"),
        pytest.param(UNIX, None, EngineError("no-engine-socket"), PathStep.SOCKET, id="no-socket"),
        pytest.param(UNIX, None, EngineError("engine-socket-denied"), PathStep.PERMISSION, id="denied-here"),
    ],
)
def test_where_it_failed(path: Path, last: PathStep | None, error: RoadsteadError, step: PathStep) -> None:
    """The step after the last one that was passed, or a later one where the failure tells so."""
    assert path[failing(path, _passed(path, last), error)] is step


@pytest.mark.parametrize(
    ("path", "last", "failed", "steps"),
    [
        pytest.param(SSH, PathStep.PORT, PathStep.HOST_KEY, (PathStep.HANDSHAKE,), id="shaken-hands"),
        pytest.param(SSH, PathStep.ROUTE, PathStep.HOST_KEY, (), id="nobody-was-called"),
        pytest.param(SSH, PathStep.AUTHENTICATION, PathStep.SOCKET, (), id="relay-unknown"),
        pytest.param(SSH, PathStep.AUTHENTICATION, PathStep.PERMISSION, (PathStep.SOCKET,), id="socket-is-there"),
        pytest.param(
            TLS,
            PathStep.PORT,
            PathStep.CLIENT_CERTIFICATE,
            (PathStep.HANDSHAKE, PathStep.CERTIFICATE),
            id="verified-before",
        ),
        pytest.param(UNIX, None, PathStep.PERMISSION, (PathStep.SOCKET,), id="socket-here"),
    ],
)
def test_what_a_failure_shows(path: Path, last: PathStep | None, failed: PathStep, steps: Path) -> None:
    """Only what must have been passed is told as passed."""
    assert implied(path, _passed(path, last), path.index(failed)) == steps

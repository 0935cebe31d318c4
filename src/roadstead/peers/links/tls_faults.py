"""What goes wrong in TLS, as our errors.

OpenSSL tells a certificate that it does not take by numbers (``X509_V_ERR_…`` of its ``x509_vfy.h``), and an alert of
the far end by the name of its reason. With TLS 1.3 the handshake is over for us before the far end has judged our
certificate: its refusal is the first thing that is read.
"""

import ssl

from roadstead.errors import LinkError
from roadstead.peers.links.credentials import Whose

EXPIRED = 10
WRONG_ADDRESS = frozenset({62, 64})
"""Host name or IP address mismatch."""
REJECTIONS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it got none",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it calls it bad",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the CA that signed it",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not say why",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that it has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it says that it was revoked",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it is not of a kind that it takes",
    "TLSV1_ALERT_ACCESS_DENIED": "it is not allowed in",
    "TLSV1_ALERT_DECRYPT_ERROR": "it cannot verify it",
}
"""The alerts that are about our certificate."""
FLOODS = frozenset({"RECORD_TOO_SMALL", "TOO_MANY_WARN_ALERTS", "TOO_MANY_KEY_UPDATES"})
"""What OpenSSL gives up on by itself, before our own bounds do: 32 records without content, or 5 warnings, in a row
(``MAX_EMPTY_RECORDS`` and ``MAX_WARN_ALERT_COUNT`` in its ``ssl/record``); older ones also 32 changes of keys.
"""


def handshake_fault(error: OSError, address: str, port: int) -> LinkError:
    """Return the error for a handshake that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification_fault(error, address)
    rejected = rejection(error)
    if rejected is not None:
        return rejected
    return LinkError("tls-handshake-failed", addresses=address, port=port, reason=_reason(error))


def rejection(error: OSError) -> LinkError | None:
    """Return the error for an alert that is about our certificate; None for anything else."""
    name = error.reason if isinstance(error, ssl.SSLError) else None
    return LinkError("tls-client-rejected", reason=REJECTIONS[name]) if name in REJECTIONS else None


def stream_fault(error: OSError) -> LinkError:
    """Return the error for a connection that broke after its handshake."""
    name = error.reason if isinstance(error, ssl.SSLError) else None
    fault = LinkError("tls-floods") if name in FLOODS else rejection(error) or LinkError("link-lost")
    fault.__cause__ = error
    return fault


def _verification_fault(error: ssl.SSLCertVerificationError, address: str) -> LinkError:
    if error.verify_code == EXPIRED:
        return LinkError("tls-expired", whose=Whose.ENGINE, when=f"seen at {address}")
    if error.verify_code in WRONG_ADDRESS:
        return LinkError("tls-wrong-address", addresses=address)
    return LinkError("tls-untrusted", addresses=address, reason=error.verify_message)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return "the connection was closed"
    if isinstance(error, ssl.SSLError) and error.reason:
        return "what answers there speaks no TLS" if error.reason == "WRONG_VERSION_NUMBER" else _words(error.reason)
    return type(error).__name__


def _words(reason: str) -> str:
    return reason.lower().replace("_", " ")

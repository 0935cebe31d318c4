"""The virtual CD that brings a VM of Windows its certificates: file names as the historic pack had them.

On it are the engine's certificate and key, what ``daemon.json`` has to say, and the scripts that put both in place.
The key of a client is on it only where somebody asked for it: whoever reads the CD then controls the engine.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files

from roadstead.artifacts import iso
from roadstead.artifacts.certificates import Certificates

LABEL = "Container TLS"
FOLDER = "C:\\ProgramData\\docker\\certs.d"
"""Where the scripts put the certificates in the VM."""
ANYWHERE = "any"
"""What a rule of the Windows firewall says of connections from everywhere."""
SCRIPT = "configure_tls.cmd"
POWERSHELL_SCRIPT = "configure_tls.ps1"
PORT_TOKEN = "@PORT@"  # noqa: S105 - it stands for the engine's port in the scripts
SOURCES_TOKEN = "@SOURCES@"  # noqa: S105 - and this for the networks that their firewall rule lets in

_SCRIPTS = {
    name: (files("roadstead.artifacts") / "windows" / name).read_text(encoding="ascii")
    for name in (SCRIPT, POWERSHELL_SCRIPT)
}


def daemon_json(port: int) -> str:
    """Return the configuration of an engine that listens with TLS at ``port``."""
    names = {"tlscacert": "ca.pem", "tlscert": "server-cert.pem", "tlskey": "server-key.pem"}
    wanted = {
        "hosts": [f"tcp://0.0.0.0:{port}", "npipe://"],
        "tlsverify": True,
        **{key: f"{FOLDER}\\{name}" for key, name in names.items()},
    }
    return json.dumps(wanted, indent=2) + "\n"


def contents(
    made: Certificates, port: int, sources: Sequence[str] = (), *, with_client_key: bool = False
) -> dict[str, bytes]:
    """Return the files of the CD by their paths; text for people has the line ends of Windows.

    The guest's firewall is to let connections to ``port`` in from ``sources``, literal networks; without any from
    everywhere.
    """
    filled = {PORT_TOKEN: str(port), SOURCES_TOKEN: ",".join(sources) or ANYWHERE}
    texts = {
        "server/ca.pem": made.authority,
        "server/server-cert.pem": made.server.certificate,
        "server/server-key.pem": made.server.key,
        "daemon.json": daemon_json(port),
        **{name: _filled(text, filled) for name, text in _SCRIPTS.items()},
    }
    if with_client_key:
        texts |= {
            "client/ca.pem": made.authority,
            "client/cert.pem": made.client.certificate,
            "client/key.pem": made.client.key,
        }
    return {
        path: (text if path.endswith(".pem") else text.replace("\n", "\r\n")).encode("ascii")
        for path, text in texts.items()
    }


def image(made: Certificates, port: int, sources: Sequence[str] = (), *, with_client_key: bool = False) -> bytes:
    """Return the image of the CD."""
    return iso.build(LABEL, contents(made, port, sources, with_client_key=with_client_key))


def _filled(text: str, values: Mapping[str, str]) -> str:
    for token, value in values.items():
        text = text.replace(token, value)
    return text

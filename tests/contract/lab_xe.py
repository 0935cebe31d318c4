"""What `xe` does in a control domain for the program that prepares VMs: it asks the lab's pool."""

from __future__ import annotations

from pathlib import Path

from roadstead.lab.pool.server import LabPool

XE = """\
import ssl, sys, xmlrpc.client
words = dict(word.split("=", 1) for word in sys.argv[2:] if "=" in word)
context = ssl._create_unverified_context()
pool = xmlrpc.client.ServerProxy({url!r}, context=context)
def ask(method, *params):
    answer = pool.__getattr__(method)(*params)
    if answer["Status"] != "Success":
        sys.exit(" ".join(answer["ErrorDescription"]))
    return answer["Value"]
session = ask("session.login_with_password", {user!r}, {password!r})
one = ask("pool.get_all", session)[0]
if sys.argv[1] == "pool-list":
    print(ask("pool.get_uuid", session, one))
elif sys.argv[1] == "pool-param-get":
    config, key = ask("pool.get_other_config", session, one), words["param-key"]
    if key not in config:
        sys.exit("Error: Key %s not found in map" % key)
    print(config[key])
elif sys.argv[1:2] == ["secret-param-get"]:
    print(ask("secret.get_value", session, ask("secret.get_by_uuid", session, words["uuid"])))
ask("session.logout", session)
"""


def command(pool: LabPool, folder: Path, python: str) -> str:
    """The line of a shell that is `xe`, with what it needs in ``folder``."""
    script = folder / "xe.py"
    script.write_text(XE.format(url=pool.url, user=pool.user, password=pool.password))
    return f'exec {python} {script} "$@"'

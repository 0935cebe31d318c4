"""The one table of error and problem codes, so that cause, remedy and HTTP status of each are said in one place.

``docs/errors.md`` is generated from it. Words in braces are fields that the error carries. A cause states what
happened, a remedy what the reader does next; both are whole sentences.
"""

from roadstead.errors.certificates import CERTIFICATES
from roadstead.errors.drives import DRIVES
from roadstead.errors.firewall import FIREWALL
from roadstead.errors.guests import REACHING_A_GUEST
from roadstead.errors.hosts import HOSTS
from roadstead.errors.plugin import PLUGIN
from roadstead.errors.preparing import PREPARING
from roadstead.errors.row import Code

REACHING_AN_ENGINE = {
    "container-not-running": Code(
        409, "The container is {state}: no processes run in it.", "Start it with `roadstead start`, then ask again."
    ),
    "engine-answer-invalid": Code(
        502,
        "The engine gave an answer that no container engine gives: {reason}.",
        "Check what listens on the engine's socket in the VM.",
    ),
    "engine-down": Code(
        503,
        "The container engine in the VM does not answer.",
        "Start it in the VM, for example with `systemctl start docker`, or `Start-Service docker` on Windows.",
    ),
    "engine-refused": Code(
        502,
        "The engine refused: {reason}.",
        "Where its words say that it is so already, nothing is to be done. Otherwise change what they name, then try"
        " again; the engine's log in the VM may tell more.",
    ),
    "engine-socket-denied": Code(
        409,
        "The user {user} may not open the engine's socket {socket}.",
        "Add the user to the group `docker` in the VM and let it sign in again; Podman's socket is root's alone: sign "
        "in as root there, or use a rootless one.",
    ),
    "engine-timed-out": Code(
        504,
        "The engine did not answer within {seconds} s.",
        "Look at the load of the VM, and at the engine's log there (`journalctl -u docker`); then try again.",
    ),
    "engine-too-large": Code(
        502,
        "The engine says more than the bounds allow: {hidden} of its {total} containers are not shown.",
        "Remove containers that are no longer needed, or raise the limits in the settings.",
    ),
    "engine-unreachable": Code(
        503,
        "The VM's SSH server does not open the engine's socket {socket}, and the key allows no command to ask why: "
        "forwarding may be off, the path not permitted, the socket not there, or the user not allowed.",
        "Check these four in the VM; the line of `roadstead pool key show {pool}` permits the socket.",
    ),
    "engine-unsupported": Code(
        409,
        "The engine speaks API {version}, which is too {direction} for this version of Roadstead.",
        "Use an engine with an API between {oldest} and {newest}.",
    ),
    "logs-cut": Code(
        409,
        "The reading of these logs was ended: {reason}.",
        "Ask again for less (`--tail`, `--since`), or raise the limits in the settings (`logs`).",
    ),
    "logs-unreadable": Code(
        502,
        "The engine cannot read the logs of this container: {reason}.",
        "With some log drivers (`none`, say) an engine writes logs only, or none: look where the driver sends them, or "
        "make the container anew with another, as with `docker run --log-driver json-file`.",
    ),
    "logs-until-unsupported": Code(
        409,
        "The engine speaks API {version}, which knows no end of logs; that came with 1.35 (Docker 17.12).",
        "Ask without `--until`; `--since` and `--tail` work.",
    ),
    "pause-unsupported": Code(
        409,
        "{container} runs with process isolation, and Windows cannot {action} such a container; the engine was not"
        " asked.",
        "Stop it instead; a container that is to be paused must be made with `docker run --isolation=hyperv`.",
    ),
    "no-engine-socket": Code(
        409,
        "There is no engine socket at {socket} in the VM.",
        "Install and start Docker or Podman there, or set `roadstead-engine-socket` of the VM.",
    ),
    "no-relay": Code(
        409,
        "The VM's SSH server forbids forwarding to a socket, and no command that could replace it works there.",
        "Allow `AllowStreamLocalForwarding` in its sshd_config, or install the docker command (18.09 or later), socat, "
        "OpenBSD's nc, python3 or ncat in the VM.",
    ),
    "no-sudo": Code(
        409,
        "The user {user} may not run `sudo -n {command}` in the VM, as its key `roadstead-sudo` wants it.",
        "Install sudo and the docker command there and allow exactly this in sudoers: "
        "`{user} ALL=(root) NOPASSWD: /usr/bin/{command}`; or remove the key.",
    ),
    "too-few-sessions": Code(
        503,
        "The VM's SSH server opens no further session, and {relay}, which stands in for forwarding, needs one for each "
        "stream.",
        "Allow `AllowStreamLocalForwarding` in its sshd_config, or raise `MaxSessions` there (10 is its default).",
    ),
}

POOLS = {
    "no-rotation": Code(
        409, "The key of the pool {pool} is not being replaced.", "Begin with `roadstead pool key rotate {pool}`."
    ),
    "rotation-moved": Code(
        409,
        "Other VMs of the pool {pool} than those that were named need the old key now: {vms}.",
        "Look at `roadstead pool key status {pool}`, and say it again.",
    ),
    "pool-answer-invalid": Code(
        502, "The pool at {address} gave an answer that is not XAPI's: {reason}.", "Check the address and the port."
    ),
    "pool-call-failed": Code(
        502,
        "The pool refused {call}: {reason}.",
        "Try again if somebody else is changing the same object; otherwise look for this word in"
        " /var/log/xensource.log of the pool's master, where its cause stands.",
    ),
    "pool-certificate-changed": Code(
        409,
        "The server at {address} shows another certificate ({shown}) than the trusted one ({trusted}).",
        "If it was renewed (on the host, `openssl x509 -noout -fingerprint -sha256 -in /etc/xensource/xapi-ssl.pem`"
        " shows it), say `roadstead pool set {pool} --fingerprint {shown}`, with the same --url if one was named;"
        " otherwise do not go on.",
    ),
    "pool-certificate-untrusted": Code(
        409,
        "The certificate of {address} is not trusted: {reason}.",
        "Give the right --ca-file, or compare and confirm its fingerprint.",
    ),
    "pool-exists": Code(409, "The pool {name} is known already.", "Use `roadstead pool set {name}` to change it."),
    "pool-member": Code(
        409,
        "The host at {address} is a member of its pool; the master is {master}, which nobody has vouched for yet.",
        "Say `roadstead pool add https://{master}` instead, or verify all hosts by their authority with --ca-file.",
    ),
    "pool-not-permitted": Code(
        403,
        "The pool account may not call {call}.",
        "Give the account the role pool-operator (`xe subject-role-add uuid=SUBJECT role-name=pool-operator`);"
        " for a pool that is known that is noticed in about a minute.",
    ),
    "pool-other-answers": Code(
        409,
        "Another pool answers at {address}: {other}.",
        "If {pool} was installed anew, or its host joined that pool, say `roadstead pool remove {pool}`, then add the"
        " other with `roadstead pool add`; otherwise say `roadstead pool set {pool} --url URL` with its own address.",
    ),
    "pool-session-lost": Code(
        503, "The pool at {address} ended our session.", "It is being opened again; nothing needs to be done."
    ),
    "pool-sign-in-failed": Code(
        401,
        "The pool at {address} refuses the user {user}.",
        "Check name and password; `roadstead pool set POOL --user NAME` changes them for a pool that is known.",
    ),
    "pool-starting": Code(
        503,
        "The pool at {address} is still starting.",
        "Wait: it is being tried again. If it stays so, look at `systemctl status xapi` on the host.",
    ),
    "pool-timed-out": Code(
        504,
        "The pool did not answer {call} in time.",
        "Look at the load of the pool's master and at what it is doing (`xe task-list`); then try again.",
    ),
    "pool-too-large": Code(
        502,
        "The pool has {count} objects of the class {kind}, and no more than {limit} are taken.",
        "If the pool really is that large, raise the setting `pool.objects`; otherwise look at what answers there.",
    ),
    "pool-unusable": Code(
        500,
        "What is stored of the pool cannot be used: {reason}.",
        "Say it anew with `roadstead pool set {pool}` (`--password-file`, `--ca-file`, `--fingerprint`, `--url`), or"
        " `roadstead pool remove {pool}` and add it again.",
    ),
    "pool-unreachable": Code(
        503,
        "The pool cannot be reached at {address}: {reason}.",
        "Check address, port and firewall; a pool that is known is tried again by itself.",
    ),
}

INPUT = {
    "cancelled": Code(409, "It was cancelled.", "Ask for it again if it is still wanted."),
    "action-unknown": Code(422, "There is no action {action}.", "Use one of: {known}."),
    "address-invalid": Code(422, "{value} is not a pool address.", "Write it as https://HOST or https://HOST:PORT."),
    "ambiguous-name": Code(409, "{name} names {count} {kind}s: {candidates}.", "Name one of them more exactly."),
    "body-incomplete": Code(408, "The request's body did not arrive in time.", "Send it again."),
    "body-too-large": Code(413, "The request's body is larger than {limit} bytes.", "Send less at once."),
    "confirmation-needed": Code(409, "This needs a yes before it touches {candidates}.", "Say so with --yes."),
    "confirmation-missing": Code(
        422,
        "This would {what}: the request has to name that in `{field}`.",
        "If that is what you want, send it again with `{field}={id}` in the query.",
    ),
    "field-invalid": Code(422, "{field} is not valid: {reason}.", "Correct it and try again."),
    "file-unreadable": Code(422, "The file {path} cannot be read: {reason}.", "Check its name and its rights."),
    "filter-invalid": Code(
        422,
        "The filter does not make sense at {term}: {reason}.",
        "Write terms as field:value, for example state:running image:nginx; the fields are {known}.",
    ),
    "filter-value-unknown": Code(
        422, "No {field} is called {value}, so the filter would find nothing.", "Use one of: {known}."
    ),
    "fingerprint-invalid": Code(
        422, "{value} is not a SHA-256 fingerprint.", "Write it as 64 hexadecimal digits, with or without colons."
    ),
    "fingerprint-needed": Code(
        409,
        "The server at {address} shows the certificate {shown}, which nobody has confirmed.",
        "Compare it with the one on the host's console, then repeat the whole command with --fingerprint {shown}.",
    ),
    "method-unknown": Code(405, "{method} cannot be used at {path}.", "The API is described at /api/v1/openapi.json."),
    "network-invalid": Code(422, "{value} is not a network.", "Write it as 10.0.0.0/16 or fd00::/8."),
    "no-such-container": Code(
        404, "No container is called {name}.", "`roadstead ps` lists them all. Of an id, give at least 4 digits."
    ),
    "no-such-host": Code(404, "No host is called {name}.", "`roadstead tree` shows the hosts."),
    "no-such-operation": Code(404, "There is no operation {name}.", "Operations are kept for an hour after their end."),
    "no-such-match": Code(404, "No VM matches {search}.", "`roadstead vms` lists them all."),
    "no-such-page": Code(404, "There is nothing at {path}.", "The API is described at /api/v1/openapi.json."),
    "no-such-pool": Code(
        404, "No pool is called {name}.", "`roadstead pool list` lists them. Of an id, give at least 4 digits."
    ),
    "no-such-retired-key": Code(
        404,
        "No retired key of the pool {pool} is known to open a VM called {name}.",
        "`roadstead pool key where {pool}` lists them.",
    ),
    "no-such-vm": Code(
        404, "No VM is called {name}.", "`roadstead vms` lists them all. Of an id, give at least 4 digits."
    ),
    "nothing-to-change": Code(422, "Nothing is named that is to be changed.", "Name at least one of {known}."),
    "nothing-to-confirm": Code(
        409, "{vm} has no host key that waits to be confirmed.", "`roadstead why {vm}` says what else is wrong."
    ),
    "password-needed": Code(
        422,
        "No password was given, and without a terminal nobody can type one.",
        "Say {how} (`-` reads it from standard input).",
    ),
    "vm-not-enabled": Code(
        409, "Container management is not enabled for {vm}.", "Enable it with `roadstead enable {vm}`."
    ),
    "vm-not-in-a-pool": Code(
        409,
        "{vm} belongs to no pool, so this cannot be set.",
        "Name a VM of a pool; an engine of this machine is watched as long as `serve --engine` names it.",
    ),
    "vm-off": Code(409, "The VM {vm} is not running.", "Start it, then try again."),
}

RUNNING = {
    "credentials-rejected": Code(
        401, "The token is missing or wrong.", "Read it from the file `token` in the server's state folder."
    ),
    "demo-failed": Code(500, "The {name} did not start.", "Mend what its complaints in {path} name, then start again."),
    "host-header-rejected": Code(403, "The Host header names another server.", "Use http://127.0.0.1:PORT/."),
    "internal": Code(
        500,
        "Roadstead made a mistake; its log tells more.",
        "Try again, and please report it with the lines of the server's log (`journalctl -u roadstead`).",
    ),
    "key-file-unusable": Code(
        500,
        "The key file {path} cannot be used: {reason}.",
        "Give it to the server's account alone (0600), or restore the one that belongs to the database from a backup.",
    ),
    "lab-argument-missing": Code(
        422, "`roadstead lab do {verb}` needs {argument}.", "Its form is `roadstead lab do {usage}`."
    ),
    "lab-order-refused": Code(
        409, "The lab's pool refused {call}: {reason}.", "`roadstead lab do truth` shows how its VMs stand."
    ),
    "lab-address-unusable": Code(
        500, "The lab cannot listen on {address}: {reason}.", "Choose another port with --port."
    ),
    "lab-gone": Code(503, "No lab runs on the state folder {path}.", "Start one with `roadstead lab --state {path}`."),
    "lab-guests-differ": Code(
        409,
        "The lab of the folder {path} has {kind} guests.",
        "Start it with `--guests {kind}`, choose another folder with --state, or remove this one to begin anew.",
    ),
    "lab-state-taken": Code(
        409, "Another lab uses the state folder {path}.", "Stop it, or choose another with --state."
    ),
    "no-such-lab-host": Code(
        404, "The lab has no host {name}.", "Its hosts have the numbers from 1 to {count}; give one of these."
    ),
    "no-such-lab-vm": Code(404, "The lab has no VM called {name}.", "`roadstead lab do truth` shows its VMs."),
    "lab-no-cd": Code(
        409,
        "There is no CD with certificates in the drive of {vm}.",
        "`roadstead certificates make {vm}` puts one in.",
    ),
    "lab-vm-without-guest": Code(
        409, "What is inside the VM {vm} was not made by the lab.", "Name a VM whose guest the lab made."
    ),
    "lab-without-second-pool": Code(
        409, "The lab has no second pool to bring a VM from.", "Start the lab with --second-pool 2."
    ),
    "lab-without-pool-key": Code(
        409, "The pool has no key yet that a guest could let in.", "Make one with `roadstead pool key show POOL`."
    ),
    "lab-guest-without-inside": Code(
        409,
        "The guest of the VM {vm} is simulated or still starting: there is no inside to enter.",
        "Wait until it has started; if it is simulated, run the lab as root with --guests real.",
    ),
    "lab-guest-failed": Code(
        500,
        "The lab's guest {guest} could not be made or started: {reason}.",
        "Look at sshd.log and engine.log in its folder below the lab's state, or use --guests simulated.",
    ),
    "lab-guests-failed": Code(
        500,
        "None of the lab's guests could be started: {reason}.",
        "Stop the other lab if one runs on this machine, mend what else is named, or use other guests (--guests).",
    ),
    "permission-needed": Code(
        403, "This needs the permission {permission}.", "Ask whoever runs the server to grant it, or to do it for you."
    ),
    "port-taken": Code(409, "Another program listens on {address}.", "Stop it, or choose another with {option}."),
    "server-answer-invalid": Code(
        502, "What answers at {address} is no Roadstead server.", "Check --server and ROADSTEAD_SERVER."
    ),
    "server-gone": Code(503, "No Roadstead server answers at {address}.", "Start one with `roadstead serve`."),
    "server-socket-denied": Code(403, "You may not open {address}.", "Use the account that runs the server."),
    "settings-invalid": Code(500, "The setting {field} is not valid: {reason}.", "Correct it in {path}."),
    "settings-unreadable": Code(500, "The settings file {path} cannot be read: {reason}.", "Correct or remove it."),
    "shutting-down": Code(503, "The server is stopping.", "Try again when it runs."),
    "socket-taken": Code(409, "Another server listens on {path}.", "Stop it, or choose another with --socket."),
    "socket-unusable": Code(500, "The socket {path} cannot be used: {reason}.", "Choose another with --socket."),
    "state-taken": Code(
        409, "Another Roadstead server uses the state folder {path}.", "Stop it, or choose another with --state."
    ),
    "state-unusable": Code(500, "The state folder {path} cannot be used: {reason}.", "Choose another with --state."),
    "too-many-checks": Code(503, "{limit} checks are under way already.", "Wait for one to end, then try again."),
    "too-many-log-readers": Code(
        503, "{limit} readers of logs of {vm} are open already.", "Close one, then try again."
    ),
    "too-many-agents": Code(503, "{limit} SSH agents are lent already.", "Wait for a command that prepares to end."),
    "too-many-readers": Code(503, "{limit} streams of changes are open already.", "Close one, then try again."),
}

CODES: dict[str, Code] = {
    **REACHING_A_GUEST,
    **REACHING_AN_ENGINE,
    **POOLS,
    **HOSTS,
    **PREPARING,
    **CERTIFICATES,
    **INPUT,
    **PLUGIN,
    **DRIVES,
    **FIREWALL,
    **RUNNING,
}
"""Every code that an error, a problem or an operation's result may carry."""

PROBLEMS = frozenset({*REACHING_A_GUEST, *REACHING_AN_ENGINE, *POOLS, "internal"})
"""Those that may be the problem of a VM or a pool; ``internal`` is a mistake of ours, made while it was kept."""

__all__ = [
    "CERTIFICATES",
    "CODES",
    "DRIVES",
    "FIREWALL",
    "HOSTS",
    "INPUT",
    "PLUGIN",
    "POOLS",
    "PREPARING",
    "PROBLEMS",
    "REACHING_AN_ENGINE",
    "REACHING_A_GUEST",
    "RUNNING",
    "Code",
]

"""The command that tells what a guest looks like before it is prepared; it changes nothing there.

It is POSIX ``sh`` in one argument, as `key_lines` is, and says each fact on a line of its own after `MARK`, so that
whatever a login shell prints besides does not count. What it says is read as a stranger's.
"""

import re
import shlex
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence

from roadstead.artifacts.authorized_keys import is_public_key
from roadstead.artifacts.key_places import EACH_FILE
from roadstead.artifacts.standing_lines import LONGEST
from roadstead.model.surveys import EngineSocket, Root, SocketState, Survey
from roadstead.model.users import is_user

MARK = "roadstead-survey:"
SOCKETS = (
    "/var/run/docker.sock",
    "/run/user/$n/docker.sock",
    "/run/podman/podman.sock",
    "/run/user/$n/podman/podman.sock",
)
"""Where engines listen, the usual place first; ``$n`` is the user's number."""
MOST_FORMER = 16
MOST_KNOWN = 64
"""Other pools' keys that are looked for whatever stands behind them."""
_TELLING = slice(32, 72)
"""The part of a key by which its line is found: before it stands what all keys of one type begin with."""
MOST_LINES = 4
"""Of one file; the first counts. What is told of all files has to fit into what is read of a command."""
_PATH = re.compile(r"(?=.{1,256}\Z)(/[A-Za-z0-9._+-]+)+")
_SOCKET_BYTES = 107
"""The longest path of a Unix socket (unix(7)), without its last NUL."""
_WORD = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,10}")
_KEY = re.compile(r"[a-z0-9@.-]{1,64} [A-Za-z0-9+/]{16,4096}={0,2}")
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_SOCKET_WORDS = 3


def command(keys: Sequence[str], sockets: Sequence[str] = (), known: Sequence[str] = ()) -> str:
    """Return the command, which also looks for lines of one or two public ``keys`` and of other pools, whose keys may
    be ``known``, and at ``sockets`` (plain paths) first.
    """
    return _made(f"own={shlex.quote(' '.join(sockets))}; {_SCRIPT}{_LINES}", keys, known)


def lines_command(keys: Sequence[str], known: Sequence[str] = ()) -> str:
    """Return the command that looks for such lines alone."""
    return _made(f"LC_ALL=C; export LC_ALL; cd; echo; say() {{ :; }}; {_LINES}", keys, known)


def read(output: bytes, known: Container[str] = ()) -> Survey | None:
    """Return what the command said that was given ``known``; None when it did not run."""
    facts = _facts(output)
    user, uid = facts.get("user", [""])[-1], _one(facts, "uid", _NUMBER)
    if not is_user(user) or not uid:
        return None
    return Survey(
        user=user,
        uid=int(uid),
        groups=_words(facts, "groups"),
        system=_words(facts, "system"),
        version=_one(facts, "version", _WORD),
        packagers=_words(facts, "packagers"),
        client=_one(facts, "client", _ADDRESS),
        sockets=_sockets(facts["socket"]),
        docker=_one(facts, "docker", _PATH),
        has_dockerd=facts["dockerd"] == ["yes"],
        podman=_one(facts, "podman", _PATH),
        sudo=_one(facts, "sudo", _PATH),
        root=Root(said) if (said := _one(facts, "root", _WORD)) in set(Root) else Root.NONE,
        sudo_relays=facts["sudo-relays"] == ["yes"],
        init=_one(facts, "init", _WORD),
        enabled=_words(facts, "enabled"),
        own_enabled=_words(facts, "own-enabled"),
        lingers=facts["lingers"] == ["yes"],
        may_linger=facts["may-linger"] == ["yes"],
        forwards={"yes": True, "no": False}.get(_one(facts, "forwards", _WORD)),
        is_matched=facts["odd"] == ["match"],
        lines=tuple(dict.fromkeys(facts["line"]))[:MOST_LINES],
        former=_former(facts, known),
    )


def read_lines(output: bytes, known: Container[str] = ()) -> tuple[str, ...]:
    """Return the keys (``type blob``) of other pools of which `lines_command` found lines."""
    return _former(_facts(output), known)


def _made(script: str, keys: Sequence[str], known: Sequence[str]) -> str:
    blobs = [key.split()[1] for key in keys]
    telling = " ".join(key.split()[1][_TELLING] for key in known[:MOST_KNOWN])
    given = f"ob={shlex.quote(blobs[0])}; of={shlex.quote(blobs[-1])}; kn={shlex.quote(telling)}; m={MARK};"
    return f"exec sh -c {shlex.quote(' '.join(f'{given} {script}'.splitlines()))}"


def _facts(output: bytes) -> Mapping[str, list[str]]:
    facts: defaultdict[str, list[str]] = defaultdict(list)
    for line in output.decode("utf-8", "replace").splitlines():
        if line.startswith(MARK):
            name, _, value = line.removeprefix(MARK).partition("=")
            facts[name].append(value.strip())
    return facts


def _former(facts: Mapping[str, list[str]], known: Container[str]) -> tuple[str, ...]:
    told = [*facts.get("former", ()), *(key for key in facts.get("known", ()) if key in known)]
    return tuple(dict.fromkeys(key for key in told if _KEY.fullmatch(key) and is_public_key(key)))[:MOST_FORMER]


def _one(facts: Mapping[str, list[str]], name: str, form: re.Pattern[str]) -> str:
    said = facts.get(name, [""])[-1]
    return said if form.fullmatch(said) else ""


def _words(facts: Mapping[str, list[str]], name: str) -> tuple[str, ...]:
    return tuple(word for word in facts.get(name, [""])[-1].split() if _WORD.fullmatch(word))


def _sockets(facts: Sequence[str]) -> tuple[EngineSocket, ...]:
    found = {socket.path: socket for said in reversed(facts) if (socket := _socket(said)) is not None}
    return tuple(reversed(found.values()))


def _socket(said: str) -> EngineSocket | None:
    words = said.split(" ")
    if len(words) != _SOCKET_WORDS or words[0] not in set(SocketState) or not _is_socket(words[2]):
        return None
    return EngineSocket(words[2], SocketState(words[0]), words[1] if _WORD.fullmatch(words[1]) else "")


def _is_socket(path: str) -> bool:
    return len(path) <= _SOCKET_BYTES and _PATH.fullmatch(path) is not None


_SCRIPT = """\
say() { printf "%s\\n" "$m$1=$2"; };
has() { command -v "$1" 2>/dev/null; };
soon() { if [ -n "$(has timeout)" ]; then timeout 10 "$@"; else "$@"; fi; };
state() {
[ -S "$1" ] || { echo absent; return 0; };
[ -r "$1" ] && [ -w "$1" ] || { echo denied; return 0; };
r=$(readlink -f "$1" 2>/dev/null || echo "$1");
[ -r /proc/net/unix ] || { echo ready; return 0; };
grep -F -e " $1" -e " $r" /proc/net/unix | grep -q " 00010000 " && { echo ready; return 0; };
[ -n "$d" ] && soon "$d" -H "unix://$1" version >/dev/null 2>&1 && { echo ready; return 0; };
echo dead; };
group() { ls -ldL "$1" 2>/dev/null | tr -s " " | cut -d " " -f 4; };
LC_ALL=C; export LC_ALL; cd; echo;
n=$(id -u); say user "$(id -un)"; say uid "$n"; say groups "$(id -Gn)"; say client "${SSH_CONNECTION%% *}";
[ -r /etc/os-release ] && say system "$(. /etc/os-release; echo "$ID $ID_LIKE")" &&
say version "$(. /etc/os-release; echo "$VERSION_ID")";
e=;
[ -e /run/ostree-booted ] || [ -e /usr/sbin/transactional-update ] || for x in apt-get dnf zypper apk pacman; do
[ -n "$(has "$x")" ] && e="$e $x"; done;
say packagers "$e";
for x in "$(has dockerd)" /usr/sbin/dockerd /usr/bin/dockerd; do [ -x "$x" ] && say dockerd yes && break; done;
d=; case $(docker --version 2>/dev/null) in Docker*) d=$(has docker);; esac;
s=$(has sudo); say docker "$d"; say podman "$(has podman)"; say sudo "$s";
if [ "$n" = 0 ]; then say root is; elif [ -z "$s" ]; then say root none;
elif sudo -n true >/dev/null 2>&1; then say root free; else say root asks; fi;
for p in $own SOCKETS; do
a=$(state "$p"); g=$(group "$p"); say socket "$a ${g:--} $p"; done;
if [ -n "$s" ] && [ -n "$d" ] && [ "$(state /var/run/docker.sock)" = denied ]; then
soon sudo -n "$d" system dial-stdio </dev/null >/dev/null 2>&1 && say sudo-relays yes; fi;
e=; o=;
if [ -d /run/systemd/system ]; then say init systemd;
XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$n}; export XDG_RUNTIME_DIR;
each="for u in docker.service docker.socket podman.socket podman.service; do";
tell='is-enabled "$u" >/dev/null 2>&1 && printf " %s" "$u"; done';
e=$(soon sh -c "$each systemctl $tell"); o=$(soon sh -c "$each systemctl --user $tell");
elif [ -n "$(has rc-service)" ]; then say init openrc;
for u in docker podman; do rc-update show default 2>/dev/null | grep -qw "$u" && e="$e $u"; done; fi;
say enabled "$e"; say own-enabled "$o";
[ -e "/var/lib/systemd/linger/$(id -un)" ] && say lingers yes;
soon pkcheck --action-id org.freedesktop.login1.set-self-linger --process $$ >/dev/null 2>&1 && say may-linger yes;
say forwards "$(cat /etc/ssh/sshd_config.d/*.conf /etc/ssh/sshd_config 2>/dev/null | tr "=" " " | awk '
tolower($1) == "match" { exit };
tolower($1) == "disableforwarding" && tolower($2) == "yes" { a = "no"; exit };
tolower($1) == "allowstreamlocalforwarding" && a == "" {
a = tolower($2); if (a == "all" || a == "local") a = "yes"; else if (a == "remote") a = "no" };
END { print a }')";
"""
_LINES = """\
more=; EACH_FILE [ -f "$x" ] && [ -r "$x" ] || continue;
awk -v ob="$ob" -v of="$of" -v kn="$kn" -v m="$m" 'BEGIN { n = split(kn, known, " ") };
function place(i, j) {
for (i = 2; i <= NF; i++) for (j = 1; j <= n; j++) if (index($i, known[j])) return i; return 0 };
substr($1, 1, 1) == "#" { next };
index($0, ob) || index($0, of) { if (l++ < MOST_LINES) print m "line=" substr($0, 1, LONGEST); next };
NF > 2 && $NF == "xscontainer" { if (k++ < MOST_FORMER) print m "former=" $(NF-2), $(NF-1); next };
{ at = place() }; at && k++ < MOST_FORMER { print m "known=" $(at-1), $at }' "$x";
done; [ "$odd" = match ] && say odd match; echo"""
_NAMED = {
    "SOCKETS": " ".join(SOCKETS),
    "EACH_FILE": EACH_FILE,
    "LONGEST": f"{LONGEST}",
    "MOST_LINES": f"{MOST_LINES}",
    "MOST_FORMER": f"{MOST_FORMER}",
}
for _name, _text in _NAMED.items():
    _SCRIPT, _LINES = _SCRIPT.replace(_name, _text), _LINES.replace(_name, _text)

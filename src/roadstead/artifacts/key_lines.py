"""The commands that change a guest's ``authorized_keys``: one key put in the place of another in two steps, a line set.

A guest is somebody else's machine, and a mistake in this file locks people out. So nothing is touched but the lines
that hold the key in question. In a rotation the first step only adds (each such line once more under the new key, with
its options and its comment), the second, after the new key was seen to work, only removes. Setting a line puts it where
the first line of its key stands, or at the end of the file that the SSH server reads first; all others of its key go,
since the server goes on to the next line where one says ``from`` elsewhere. A file is replaced whole
and at once by a copy of the same mode and owner in the same folder, after its size was compared with what was to
change; a symbolic link is followed, and a file that somebody else changed meanwhile is left alone. Where a line that is
set takes the place of another one, the file that was there stays beside it under a name of its own, until the new line
is seen to work (it goes then) or not to (it comes back).

It is POSIX ``sh`` and ``awk`` (busybox has both) in one argument without newlines, backslashes and exclamation marks,
so that every login shell hands it on as it is. Lines are read as OpenSSH reads them (sshd(8), AUTHORIZED_KEYS FILE
FORMAT): options up to the first blank outside of double quotes, then the type, then the key. `key_places` tells which
files count. What is no regular file (a FIFO, a link to nothing) is left as it is. In
``authorized_keys.d`` Fedora CoreOS keeps files that are read beside it (``ignition``, ``afterburn``), and Flatcar those
that ``update-ssh-keys`` makes ``authorized_keys`` of, anew each time: where that command is, a line is set in both, in
a file ``xscontainer`` if no other there has it. A file there that would be left empty is removed, since an empty one
means that no key of its name is ever taken again.
"""

import re
from enum import StrEnum

from roadstead.artifacts.key_places import EACH_FILE

MARK = "roadstead-keys:"
"""What the answer to the command begins with, on a line of its own; an `Answer` follows."""
_LINE = re.compile(r"[ \"#-&(-\[\]-~]{1,8192}", re.ASCII)
"""Printable, without what shells read inside of quotes: exclamation marks, single quotes, backslashes."""
_KEY = re.compile(r"([a-z0-9@.-]{1,64}) ([A-Za-z0-9+/]{16,4096}={0,2})( .*)?", re.ASCII)


class Step(StrEnum):
    """What the command does with the lines of the old key."""

    ADD = "add"
    """Put a line of the new key behind each, unless it is there."""
    REMOVE = "remove"
    """Take them out."""
    SET = "set"
    """Leave one, which is given, in their place; add it where there is none."""
    KEEP = "keep"
    """Let go of the file that was there before one was set in the place of another."""
    BACK = "back"
    """Put that file back, unless something else was changed since."""


class Answer(StrEnum):
    """What came of it."""

    DONE = "done"
    """Every line of the old key that was found has its new one, or is gone."""
    ABSENT = "absent"
    """There is no line of the old key in any file that the user may read."""
    REPLACED = "replaced"
    """Done, in the place of another line of the key: what was there can come back."""
    MADE = "made"
    """Done, and the file is a new one."""
    MADE_FOLDER = "made with its folder"
    """Done, and the file and its folder are new ones."""
    OWNER = "owner"
    """The file belongs to another user, and may not be written."""
    MODE = "mode"
    """Its mode makes it read-only."""
    HELD = "held"
    """It is the user's and writable, but an attribute or the file system forbids to write it or to replace it."""
    FOLDER = "folder"
    """Its folder may not be written."""
    KIND = "kind"
    """It is no regular file."""
    GROUP = "group"
    """A copy of it would have another owner or group."""
    BITS = "bits"
    """A copy of it would have another mode."""
    CHANGED = "changed"
    """Somebody else wrote it meanwhile."""
    NO_FILE = "none"
    """The server reads no file of keys for this user."""
    FULL = "full"
    """The disk has no room for another copy of the file."""
    FAILED = "failed"
    """The guest's own tools did not do what they should; nothing was changed."""
    NO_COMMAND = "no command"
    """The key may not run it: nobody answered."""

    @property
    def is_done(self) -> bool:
        """Whether it was done, whatever had to be made for it."""
        return self in {Answer.DONE, Answer.REPLACED, Answer.MADE, Answer.MADE_FOLDER}


def command(old: str, new: str, step: Step) -> str:
    """Return the command that does ``step`` for ``new`` in the place of ``old``, both public keys (``ssh-rsa AAAA…``).

    Raises ValueError for what is no public key.
    """
    new_type, new_blob = _parts(new)
    return _command(old, step, f"nt={new_type}; nb={new_blob}; nl=;")


def setting(line: str, key: str) -> str:
    """Return the command that makes ``line`` the one line of the public ``key``. Where it is that already, nothing is
    written.

    Raises ValueError for what is no public key, is not in the line, or could not be handed on.
    """
    kind, blob = _parts(key)
    if f"{kind} {blob}" not in line or not _LINE.fullmatch(line):
        raise ValueError("it is no line of this key")
    return _command(key, Step.SET, f"nt=; nb=; nl={_quoted(line)};")


def undoing(key: str, answer: Answer) -> str:
    """Return the command that undoes what `setting` was said (``answer``) to have done for the public ``key``: what
    was there before comes back, and a line that was added goes again, with the file and the folder that were made for
    it, unless something else is in them by now.

    Raises ValueError for what is no public key.
    """
    if answer is Answer.REPLACED:
        return command(key, key, Step.BACK)
    kind, blob = _parts(key)
    undo = {Answer.MADE: "file", Answer.MADE_FOLDER: "folder"}.get(answer, "")
    return _command(key, Step.REMOVE, f"nt={kind}; nb={blob}; nl=;", undo)


def _command(key: str, step: Step, given: str, undo: str = "") -> str:
    kind, blob = _parts(key)
    script = " ".join(f"step={step}; ot={kind}; ob={blob}; {given} undo={undo}; m={MARK}; {_SCRIPT}".splitlines())
    return f"exec sh -c {_quoted(script)}"


def answer(output: bytes) -> Answer:
    """Return what the command said; what a shell prints besides does not count."""
    for line in output.splitlines():
        if line.startswith(MARK.encode()):
            said = line[len(MARK) :].decode("ascii", "replace").strip()
            return Answer(said) if said in set(Answer) else Answer.FAILED
    return Answer.NO_COMMAND


def _parts(public_key: str) -> tuple[str, str]:
    found = _KEY.fullmatch(public_key.strip())
    if found is None:
        raise ValueError("it is no public key")
    return found[1], found[2]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_AWK = """\
function blank(c) { return c == S || c == T };
function ends(c) { return c == "" || c == S || c == T || c == R };
function typed(s, i) { return index(substr(s, i), ot) == 1 && blank(substr(s, i + length(ot), 1)) };
function key(s, i, j) {
j = i + length(ot);
while (blank(substr(s, j, 1))) j++;
if (index(substr(s, j), ob) == 1 && ends(substr(s, j + length(ob), 1))) { behind = j + length(ob); return i };
return 0 };
function place(s, i, c, q, e) {
i = 1;
while (blank(substr(s, i, 1))) i++;
if (substr(s, i, 1) == "#") return 0;
if (typed(s, i)) return key(s, i);
for (; i <= length(s); i++) {
c = substr(s, i, 1);
if (e) e = 0;
else if (c == B && substr(s, i + 1, 1) == Q) e = 1;
else if (c == Q) q = 1 - q;
else if (q == 0 && blank(c)) break };
while (blank(substr(s, i, 1))) i++;
return typed(s, i) ? key(s, i) : 0 };
function put(s) { if (n++) printf "%s", ORS > out; printf "%s", s > out };
BEGIN {
S = sprintf("%c", 32); T = sprintf("%c", 9); R = sprintf("%c", 13); Q = sprintf("%c", 34); B = sprintf("%c", 92);
d = 0; hits = seen; did = 0 };
pass == 1 { there[$0] = 1; next };
{ at = place($0) };
at == 0 { put($0); next };
{ hits++ };
step == "remove" || (step == "set" && hits > 1) { d -= length($0) + 1; did = 1; next };
step == "set" { d += length(nl) - length($0); did += 1 - (nl == $0); put(nl); next };
{ put($0);
line = substr($0, 1, at - 1) nt S nb substr($0, behind);
if (line in there) next;
there[line] = 1; put(line); d += length(line) + 1; did = 1 };
END {
if (step == "set" && hits == 0) { if (n && whole == 0) d++; whole = 1; did = 1; d += length(nl) + 1; put(nl) };
if (n && whole) printf "%s", ORS > out; print d, hits, did }"""
"""Reads the file twice; writes the new one to ``out`` and prints by how many bytes it grew, the lines found
(with those ``seen`` in files before), and whether anything changed."""

_SCRIPT = f"""\
look() {{ ls -ldn "$1" | cut -c1-10; ls -ldn "$1" | tr -s " " | cut -d " " -f 3,4; }};
size() {{ wc -c <"$1"; }};
plain() {{ [ -f "$1" ] && return 0; [ -e "$1" ] || [ -L "$1" ] && return 1; return 0; }};
room() {{ case $1 in */*) set -- "${{1%/*}}";; *) set -- .;; esac; bad=folder; [ -w "$1" ] && bad=full; return 0; }};
why() {{
plain "$1" || {{ bad=kind; return 0; }};
[ -e "$1" ] || {{ room "$1"; return 0; }};
bad=owner; set -- $(look "$1"); [ "$2" = "$n" ] || return 0;
case $1 in ??w*) bad=held;; *) bad=mode;; esac; }};
tidy() {{
[ -s "$1" ] && return 0;
case $undo-$1 in -*/authorized_keys.d/*|file-*|folder-*) rm -f "$1";; esac;
[ "$undo" = folder ] && rmdir "${{1%/*}}" 2>/dev/null; return 0; }};
differ() {{
set -- $(look "$1") $(look "$2"); bad=failed;
[ "$1" = "$4" ] || bad=bits; [ "$2 $3" = "$5 $6" ] || bad=group; }};
sum() {{ cksum 2>/dev/null <"$1" || cat "$1"; }};
rest() {{ grep -vF -e "$ob" "$1"; }};
alike() {{ [ -f "$1" ] && [ "$(rest "$1")" = "$(rest "$2")" ]; }};
aside() {{ alike "$b" "$f" || ln -f "$f" "$b" 2>/dev/null || cp -p "$f" "$b" 2>/dev/null; }};
keep() {{ rm -f "$b" && hits=$((hits + 1)); }};
back() {{ bad=changed; alike "$b" "$f" || return 0; bad=held; mv -f "$b" "$f" 2>/dev/null || return 0;
bad=; hits=$((hits + 1)); }};
remade() {{ case $1 in "$parts"/*) command -v update-ssh-keys >/dev/null;; *) false;; esac; }};
edit() {{
f=$(readlink -f "$1") && [ -f "$f" ] && [ -r "$f" ] || return 0;
b=${{f%/*}}/.${{f##*/}}.roadstead;
case $step in keep|back) [ -f "$b" ] && "$step"; return 0;; remove) rm -f "$b";; esac;
[ -n "$2" ] || grep -qF -e "$ob" "$f" || return 0;
s=0; [ "$step" = set ] && s=$hits; k=$(sum "$f"); w=0; [ -z "$(tail -c 1 "$f")" ] && w=1;
[ -w "$f" ] || {{ why "$f"; return 0; }};
t=$(mktemp "$f.XXXXXX" 2>/dev/null); [ -n "$t" ] || {{ room "$f"; return 0; }};
printf "%$(($(size "$f") + 8192))s" x 2>/dev/null >"$t" || {{ rm -f "$t"; bad=full; return 0; }};
r=$(cp -p "$f" "$t" 2>/dev/null && : >"$t" &&
awk -v out="$t" -v step="$step" -v seen="$s" -v whole="$w" -v ot="$ot" -v ob="$ob"
-v nt="$nt" -v nb="$nb" -v nl="$nl" '{_AWK}'
pass=1 "$f" pass=2 "$f") || r=;
set -- $r; d=${{1:-x}}; h=${{2:-0}}; [ "$step" = set ] && h=1;
ok=yes; had=$step-$2;
if [ "$d" = x ]; then bad=failed;
elif [ "$3" = 0 ]; then hits=$((hits + h)); [ -f "$b" ] && kept=1;
elif [ "$(look "$f")" = "$(look "$t")" ] && [ $(($(size "$f") + d)) = $(($(size "$t"))) ]; then
chcon --reference="$f" "$t" 2>/dev/null; sync "$t" 2>/dev/null;
if [ "$k" = "$(sum "$f")" ]; then
case $had in set-0) rm -f "$b";; set-*) aside || ok=; kept=$ok;; esac;
if [ -z "$ok" ]; then bad=full;
elif mv -f "$t" "$f" 2>/dev/null; then hits=$((hits + h)); t=; restorecon "$f" >/dev/null 2>&1; tidy "$f";
else bad=held; rm -f "$b"; fi;
else bad=changed; fi;
else differ "$f" "$t"; fi;
[ -z "$t" ] || rm -f "$t"; return 0; }};
LC_ALL=C; export LC_ALL; umask 077; hits=0; bad=; first=; made=; dir=; kept=; parts=.ssh/authorized_keys.d; cd;
more=; [ "$step" = set ] || more=1;
{EACH_FILE}
case $step-$hits$bad in set-0) first=${{first:-$x}};; set-*[a-z]) break;; set-*) remade "$x" && continue;; esac;
edit "$x"; done;
if [ "$step" = set ] && [ -z "$bad" ] && [ -d "$parts" ] && command -v update-ssh-keys >/dev/null; then
was=$hits; hits=0;
for x in "$parts"/*; do [ "$hits$bad" = 0 ] && edit "$x"; done;
x=$parts/xscontainer;
if [ "$hits$bad" = 0 ] && plain "$x"; then
if true 2>/dev/null >>"$x"; then edit "$x" new; else why "$x"; fi;
[ -s "$x" ] || rm -f "$x"; elif [ "$hits$bad" = 0 ]; then bad=kind; fi;
hits=$was; fi;
case $step-$hits$bad-$first in set-0-|set-0-*/authorized_keys.d/*) bad=none;; esac;
if [ "$step-$hits$bad" = set-0 ] && {{ plain "$first" || {{ bad=kind; false; }}; }}; then
case $first in */*) dir=${{first%/*}}; [ -d "$dir" ] && dir= || mkdir -m 700 "$dir" 2>/dev/null;; esac;
[ -e "$first" ] || made=$first;
if true 2>/dev/null >>"$first"; then edit "$first" new; else why "$first"; fi;
[ -z "$made" ] || [ -s "$made" ] || rm -f "$made"; [ -z "$dir" ] || rmdir "$dir" 2>/dev/null; fi;
[ -n "$bad" ] || {{ bad=done; [ -z "$kept" ] || bad=replaced; [ "$hits" = 0 ] && bad=absent;
[ -z "$made" ] || bad="made${{dir:+ with its folder}}"; }};
echo; echo "$m$bad" """

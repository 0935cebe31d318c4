"""Which files a guest's SSH server takes a user's keys from, found out in the guest by that user.

sshd_config(5), ``AuthorizedKeysFile`` and TOKENS: several files, ``none``, and in each name any number of ``%%``,
``%h``, ``%u`` and ``%U``; a name with another token is none, since the server refuses it, too. What the user may read
of the settings tells, but for ``Match`` blocks, which may be about others: where one of them names files, or where the
settings are closed to the user, ``sshd -T`` is asked, which root may, or who has ``sudo`` without a password. Where it
cannot be asked, the settings outside of those blocks count, and ``odd`` is ``match``. OpenSSH's two usual files count
where nothing else is known; those in ``authorized_keys.d`` (`key_lines`) always.
"""

_AWK = """\
function path(w, i, c, o) {
if (tolower(w) == "none") return "none";
for (i = 1; i <= length(w); i++) {
c = substr(w, i, 1);
if (c == "%") {
c = substr(w, ++i, 1);
if (c == "h") c = ENVIRON["HOME"];
else if (c == "u") c = ENVIRON["u"];
else if (c == "U") c = ENVIRON["n"];
else if (c == "%") c = "%";
else return "none" };
o = o c };
return o };
function words(s, i, c, q, w) {
s = s S;
for (i = 1; i <= length(s); i++) {
c = substr(s, i, 1);
if (c == Q) q = 1 - q;
else if (c == S && q == 0) { if (length(w)) print path(w); w = "" }
else if (c == "#" && q == 0 && length(w) == 0) return;
else w = w c } };
BEGIN { S = sprintf("%c", 32); T = sprintf("%c", 9); R = sprintf("%c", 13); Q = sprintf("%c", 34) };
{ gsub(T, S); gsub(R, S); sub(/^ +/, ""); l = tolower($0) };
$0 == "." { m = 0 };
l ~ /^match[ =]/ { m = 1 };
m == only && l ~ /^authorizedkeysfile[ =]/ { sub(/^[A-Za-z]+ *=? */, ""); words($0); exit }"""
"""Prints the files of the first setting (of the first in a ``Match`` block with ``only``), each on a line."""

EACH_FILE = f"""\
keys() {{ u="$u" n="$n" awk -v only="$1" '{_AWK}'; }};
told() {{ for x in /etc/ssh/sshd_config.d/*.conf "$b"; do echo; cat "$x"; echo; echo .; done 2>/dev/null; }};
u=$(id -un); n=$(id -u); b=/etc/ssh/sshd_config; a=${{SSH_CONNECTION%% *}}; a=${{a:-127.0.0.1}};
c=$(told | keys 0); odd=; [ -z "$(told | keys 1)" ] || odd=match;
[ -e "$b" ] && {{ [ -r "$b" ] || odd=closed; }};
if [ -n "$odd" ]; then for by in "" "sudo -n"; do
r=$(PATH=$PATH:/usr/sbin:/sbin; $by sshd -T -C "user=$u,host=$a,addr=$a" </dev/null 2>/dev/null | keys 0);
[ -n "$r" ] && {{ c=$r; odd=; break; }}; done; fi;
i=$(echo; echo .); i=${{i%.}};
[ -n "$c" ] && [ -z "$more" ] || c="$c$i.ssh/authorized_keys$i.ssh/authorized_keys2";
set -- .ssh/authorized_keys.d/*; set -f; IFS=$i;
for x in $c "$@"; do unset IFS; set +f;
case $x in none) continue;; esac;"""
"""How a loop over all files ``x`` begins that may hold the keys of the user (``u``, number ``n``), in the order in
which the server reads them. With ``more``, the usual two are among them even where the server reads others.
"""

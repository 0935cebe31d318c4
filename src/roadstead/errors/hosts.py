"""The codes of what is done on the hosts of a pool themselves: the part of the table about their control domains."""

from roadstead.errors.row import Code

HOSTS = {
    "host-address-unusable": Code(
        409,
        "The pool names no IP address of {host} ({address}).",
        "`xe host-param-get uuid={uuid} param-name=address` shows what it names.",
    ),
    "host-key-needed": Code(
        409,
        "Nobody has confirmed the SSH host keys of: {shown}.",
        "Compare each with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's console, then repeat the"
        " whole command with --host-key HOST=FINGERPRINT for each.",
    ),
    "host-key-differs": Code(
        409,
        "{host} shows the SSH host key {shown}, not the one that was confirmed ({confirmed}).",
        "Compare it with `ssh-keygen -lf` of that key's file in /etc/ssh on the host's console. If it is the host's"
        " own, repeat the command with it; otherwise somebody may be in between. No password was sent.",
    ),
    "host-not-control-domain": Code(
        409,
        "What answers for {host} is no control domain of XenServer or XCP-ng: {reason}.",
        "Check where the address leads; nothing was changed there.",
    ),
    "host-not-tried": Code(
        409,
        "{host} was not tried, because the sign-in was refused before.",
        "Repeat the command with the right password; what is done already stays done.",
    ),
    "host-plugin-failed": Code(
        502,
        "The plugin could not be changed on {host}: {reason}.",
        "Mend what is named (disk space, rights, the Python of the host), then repeat the command: what was there"
        " before is there still.",
    ),
    "host-plugin-foreign": Code(
        409,
        "The plugin on {host} is not one that was installed from here, so it was left.",
        "Look at /etc/xapi.d/plugins/xscontainer there, and remove it by hand if nobody needs it.",
    ),
    "host-sign-in-failed": Code(
        409,
        "{host} refuses root with what was given.",
        "Check the password or the key; its sshd_config must let root sign in that way (PermitRootLogin).",
    ),
    "host-ssh-failed": Code(
        503,
        "The SSH connection to {host} ({address}) failed: {reason}.",
        "Look at the SSH server's log on the host, then repeat the command; where the plugin is there already, nothing"
        " is done again.",
    ),
    "host-unreachable": Code(
        503,
        "{host} cannot be reached at {address}: {reason}.",
        "Check that it runs, that its SSH server does (`systemctl start sshd`), and that no firewall stands between;"
        " then repeat the command.",
    ),
    "host-without-python": Code(
        409,
        "{host} has no Python that could run the plugin.",
        "It needs python3 or python2.7 in its PATH.",
    ),
    "key-file-costly": Code(
        422,
        "The private key's file takes too long to open: its passphrase is hashed too often, or it is no usual key.",
        "Save it with fewer rounds (`ssh-keygen -p -a 64 -f FILE`), or use another key.",
    ),
    "key-passphrase-needed": Code(
        422,
        "The private key is protected by a passphrase, and none was given.",
        "Say it on a terminal, where the passphrase is asked for, or use a key without one.",
    ),
    "key-passphrase-wrong": Code(
        422, "The private key is not opened by the passphrase that was given.", "Type it anew, or use another key."
    ),
}

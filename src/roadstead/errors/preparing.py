"""The codes of preparing a guest with the operator's own sign-in. ``left`` says what the try leaves behind."""

from roadstead.errors.row import Code

PREPARING = {
    "agent-empty": Code(
        422,
        "Your SSH agent offers no key to sign in with: {reason}.",
        "`ssh-add -l` lists its keys: add one (`ssh-add`), unlock a locked agent (`ssh-add -X`), or use --key-file.",
    ),
    "agent-gone": Code(
        409,
        "The SSH agent that was to sign in is lent no longer: the command that lent it for this VM has ended.",
        "Repeat the command, and let it run until it ends.",
    ),
    "agent-keys-not-taken": Code(
        409,
        "{vm} lets the user {user} in with none of the {count} keys that your SSH agent offered.",
        "Check the user, and let one of them into its authorized_keys (`ssh-add -L` prints them). No more than five are"
        " offered, since guests count failures (MaxAuthTries): where the right one comes later, add it to an agent of"
        " its own, or use --key-file. {left}.",
    ),
    "agent-missing": Code(
        422,
        "There is no SSH agent here: SSH_AUTH_SOCK is not set.",
        "Start one (`eval $(ssh-agent)`) and add a key (`ssh-add`); with sudo keep the variable"
        " (`sudo --preserve-env=SSH_AUTH_SOCK`). Or use --key-file.",
    ),
    "agent-refused": Code(
        409,
        "Your SSH agent did not sign the sign-in to {vm}: {reason}.",
        "Unlock it (`ssh-add -X`), allow the use of the key when it asks, and see with `ssh-add -l` that it is there. A"
        " key that `ssh-add -h` bound to hosts cannot be used: sign in with --key-file. {left}.",
    ),
    "agent-unreachable": Code(
        422,
        "The SSH agent at {path}, which SSH_AUTH_SOCK names, cannot be asked: {reason}.",
        "Start a new one (`eval $(ssh-agent)`) and add a key (`ssh-add`), or use --key-file.",
    ),
    "guest-command-failed": Code(
        409,
        "What was agreed to for {vm} failed in the guest ({command}): {reason}.",
        "Mend what it names, then repeat the command. {left}.",
    ),
    "guest-cut-off": Code(
        503,
        "The connection to {vm} ({address}) was lost while {step}.",
        "Repeat the command: it finishes what is begun. {left}.",
    ),
    "guest-disk-full": Code(
        409,
        "The disk of {vm} has no room for a line of authorized_keys.",
        "Make room there (`df -h ~{user}` names the disk), then repeat the command. {left}.",
    ),
    "guest-engine-denied": Code(
        409,
        "The user {user} of {vm} may not open the engine's socket {socket}.",
        "In the guest, {commands}; then repeat the command. {left}.",
    ),
    "guest-engine-down": Code(
        409,
        "No engine answers in {vm}: there is one, but it does not run, or not for {user}.",
        "In the guest, {commands}; then repeat the command. {left}.",
    ),
    "guest-engine-missing": Code(
        409,
        "There is no engine in {vm}.",
        "In the guest, {commands}; then repeat the command. {left}.",
    ),
    "guest-engine-unseen": Code(
        409,
        "The pool key opens {vm} now, but not its engine: {reason}.",
        "Look at the settings of the guest's SSH server and at its engine, then repeat the command. {left}.",
    ),
    "guest-guesses-spent": Code(
        429,
        "{vm} refused {count} sign-ins within a minute, and gets no further one for now.",
        "Check the user and the password, then repeat the command in {seconds} s.",
    ),
    "guest-host-key-differs": Code(
        409,
        "{vm} shows the SSH host key {shown}, not the one that was confirmed ({confirmed}).",
        "Compare it with `ssh-keygen -lf` of that key's file in /etc/ssh on the VM's console. If it is the VM's own,"
        " repeat the command with it; otherwise somebody may be in between. No password was sent.",
    ),
    "guest-host-key-needed": Code(
        409,
        "Nobody has confirmed the SSH host keys of: {shown}.",
        "Compare each with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the VM's console, then repeat the"
        " whole command with {how}.",
    ),
    "guest-key-not-taken": Code(
        409,
        "The line of the pool key was written for {user} in {vm}, but its SSH server does not take the key.",
        "Look at the server's log there (`journalctl -u ssh`): AllowUsers, PubkeyAuthentication, AuthorizedKeysFile,"
        " and the rights of ~{user} (StrictModes) are what forbids it most often. {hint}{left}.",
    ),
    "guest-keys-unwritable": Code(
        409,
        "The line of the pool key cannot be written for {user} in {vm}: {reason}.",
        "{mend} (AuthorizedKeysFile in its sshd_config says where that is), then repeat the command. {left}.",
    ),
    "guest-line-unclear": Code(
        409,
        "The line of the pool's key in {vm} says in a way that cannot be kept where the key may come from.",
        "Repeat the command with --from, once for each network (`--from any`: from everywhere). {left}.",
    ),
    "guest-no-relay": Code(
        409,
        "No line of this form leads to the engine of {vm}: {reason}.",
        "Install Docker's command in the guest, or allow `AllowStreamLocalForwarding` in its sshd_config; or choose"
        " another form of the line (--restricted, --unrestricted). {left}.",
    ),
    "guest-not-tried": Code(
        409,
        "{vm} was not tried, because the command was ended.",
        "Repeat the command; what is done already stays done.",
    ),
    "guest-not-told": Code(
        409,
        "The guest's shell in {vm} did not run what it was asked to.",
        "The user {user} needs a POSIX shell, and the operator's own key must not force a command. {left}.",
    ),
    "guest-sign-in-failed": Code(
        409,
        "{vm} refuses the user {user} with what was given.",
        "Check the user, and the password or the key; its sshd_config must let that user sign in that way. {left}.",
    ),
    "guest-source-differs": Code(
        422,
        "The key would be taken from {sources} alone, which leaves out this server: {vm} sees it as {client}.",
        "Name a network with that address with --from, or the key would open nothing. {left}.",
    ),
    "guest-unreachable": Code(
        503,
        "{vm} cannot be reached at {address}: {reason}.",
        "Check that its SSH server runs and that no firewall stands between; then repeat the command. {besides}"
        " {left}.",
    ),
    "certificates-imported": Code(
        409,
        "The certificates of {vm} were made elsewhere and imported, and it was not agreed to replace them.",
        "Renew them where they were made, and bring them with `roadstead certificates import {vm}`; or say"
        " --replace-imported. Nothing was changed.",
    ),
    "prepare-declined": Code(
        409,
        "For {vm} it was not agreed to this: {what}.",
        "Without it the VM cannot be prepared over TLS. Repeat the command, or bring certificates that were made"
        " elsewhere (--client-cert, --client-key, --ca-cert), which needs no CD. Nothing was changed.",
    ),
    "prepare-overtaken": Code(
        409,
        "The guest of {vm} is done, but somebody changed meanwhile what is remembered of its host key, so the pool was"
        " told nothing.",
        "Repeat the command: it goes by what is remembered now, and changes nothing in the guest again.",
    ),
    "unprepare-needs-running": Code(
        409,
        "{vm} is not running, so the pool's key cannot be taken out of it.",
        "Start it, then repeat the command; or say `roadstead disable {vm}`, which leaves the key in it.",
    ),
    "prepare-unfinished": Code(
        503,
        "The guest of {vm} is done, but the pool did not take what belongs to it: {reason}.",
        "Repeat the command when the pool can be reached: it finishes, and changes nothing in the guest again.",
    ),
}

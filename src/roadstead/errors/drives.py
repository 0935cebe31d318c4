"""The codes of config drives: of the text that goes onto one, of the storage it is made in, and of its VM."""

from roadstead.errors.row import Code

DRIVES = {
    "config-drive-late": Code(
        504,
        "The pool did not make the config drive of {vm} within {limit} s.",
        "What was made so far was removed again, unless the former drive was already on its way out. Look at the"
        " storage and at the master's load, then try again.",
    ),
    "config-drive-not-swapped": Code(
        409,
        "The config drive of {vm} cannot be changed now: the pool refused {call}: {reason}.",
        "Nothing was changed. Shut the VM down, then try again.",
    ),
    "config-drive-not-written": Code(
        502,
        "The config drive of {vm} could not be written to the storage: {reason}.",
        "Nothing was changed. Look at the storage in the pool, or choose another one, then try again.",
    ),
    "config-drive-unreadable": Code(
        422,
        "The disk {disk} is no config drive that can be read.",
        "Name a disk of this pool that carries the mark `config-drive`, has at most 16 MiB, and holds what"
        " create_config_drive writes. If the VM's drive is damaged, create it anew.",
    ),
    "config-invalid": Code(
        422,
        "With its tokens filled in, the configuration is wrong in line {line}, column {column}: {reason}.",
        "Correct what is named. Nothing was changed.",
    ),
    "config-of-another-profile": Code(
        422,
        "A guest of the profile {profile} does not read a text of the kind {kind}.",
        "Write what it reads (`roadstead config-drive default VM --profile PROFILE` prints a beginning), or name"
        " another profile.",
    ),
    "config-too-large": Code(
        413,
        "With its tokens filled in the configuration is larger than {limit} bytes.",
        "Shorten it: let the VM fetch what is large when it boots.",
    ),
    "drive-template-changed": Code(
        409,
        "Somebody else saved the template {name} meanwhile: its newest version is {version}.",
        "Look at it (`roadstead config-drive template show {name}`), then save yours again.",
    ),
    "drive-templates-full": Code(
        409,
        "The pool has {limit} templates of its own already.",
        "Remove one that is not needed (`roadstead config-drive template remove POOL NAME`).",
    ),
    "editor-failed": Code(
        422,
        "The editor {editor} did not do its work: {reason}.",
        "Set EDITOR to one that waits until you are done (`EDITOR=nano`). Nothing was changed.",
    ),
    "keys-not-added": Code(
        422,
        "SSH keys cannot be added to this Ignition config: it is no JSON before its tokens are filled in.",
        "Write the keys into `passwd.users` yourself.",
    ),
    "no-such-config-drive": Code(
        404,
        "{vm} has no config drive.",
        "`roadstead config-drive create {vm}` makes one.",
    ),
    "no-such-drive-template": Code(
        404,
        "The pool has no template {name} of its own.",
        "`roadstead config-drive template list POOL` names the templates, `template history POOL NAME` the versions of"
        " one.",
    ),
    "no-such-storage": Code(404, "The pool has no storage {name}.", "`xe sr-list` on a host of the pool lists them."),
    "provisioning-needs-off": Code(
        409,
        "{vm} runs under the host key that it would give up, and would be trusted under it at once: it makes new ones"
        " when it is provisioned again.",
        "Shut it down, repeat the command, then start it.",
    ),
    "provisioning-not-repeated": Code(
        422,
        "Guests of the profile {profile} are not provisioned again by a new instance id.",
        "Leave --re-provision out: Flatcar reads its drive at each boot, Ignition only at the first one.",
    ),
    "ssh-key-invalid": Code(
        422,
        "Key {number} is no public SSH key.",
        "Give the file that ends in .pub: lines as OpenSSH prints them, the type, the key, a name.",
    ),
    "storage-full": Code(
        409,
        "The storage {storage} has no room for a disk of {size} bytes.",
        "Make room there, or choose another one.",
    ),
    "storage-refuses": Code(
        409,
        "The storage {storage} takes no disk of ours: {reason}.",
        "Choose one that keeps disks of VMs.",
    ),
    "storage-unseen": Code(
        409,
        "No host of the pool sees the storage {storage} now.",
        "Plug its PBD (`xe pbd-plug`), or choose another storage.",
    ),
    "token-unknown": Code(
        422,
        "The configuration holds %{token}% in line {line}, and there is no such token.",
        "Use one of {known}, give it a value (`--var {token}=VALUE`), or write the text without a percent sign at each"
        " end.",
    ),
    "token-unpaired": Code(
        422,
        "The configuration has %HINEXISTS% or %ENDHINEXISTS% without the other in line {line}.",
        "Put what is only for VMs with a card in the host-internal network between the two, or remove them.",
    ),
    "token-without-value": Code(
        422,
        "The configuration holds %HIN% in line {line}, and the VM has no card in the host-internal network.",
        "Write it between %HINEXISTS% and %ENDHINEXISTS%, or give the VM such a card.",
    ),
    "tools-iso-missing": Code(
        404,
        "The pool has no guest tools ISO, from which the guest agent's files are taken.",
        "Newer releases of XenServer bring none: leave --agent out, and install the agent of the guest's distribution"
        " (`xe-guest-utilities`). Where the hosts have one, plug the storage of the guest tools (`xe pbd-plug`) or scan"
        " it (`xe sr-scan`).",
    ),
    "tools-iso-too-large": Code(
        422,
        "The guest tools ISO {disk} has {size} bytes, and none of more than {limit} is read.",
        "Leave --agent out, or put the ISO of the pool's release back in its place.",
    ),
    "tools-iso-unreadable": Code(
        422,
        "The file {file} cannot be read from the guest tools ISO {disk}: {reason}.",
        "Leave --agent out, or put the ISO of the pool's release back in its place. Nothing was changed.",
    ),
    "tools-iso-without-agent": Code(
        422,
        "The guest tools ISO {disk} has no Linux/xe-daemon, which is the guest agent.",
        "Newer releases have it only in packages: leave --agent out, and install it in the guest.",
    ),
    "variable-invalid": Code(
        422,
        "{name} cannot be the name of a variable.",
        "Use 3 to 32 capitals, digits and _, beginning with a letter, and no name of a token.",
    ),
    "variable-unused": Code(
        422,
        "The configuration has no %{name}%.",
        "Write the variable between percent signs where its value is to stand, or leave it out.",
    ),
    "vm-not-prepared": Code(
        409,
        "{vm} has no config drive, and was not prepared: container management may not work for it.",
        "`roadstead prepare {vm}` lets the pool's key in (with `--mode tls`, as for Windows, it brings certificates);"
        " or make it a config drive (`roadstead config-drive create"
        " {vm}`) before it boots for the first time.",
    ),
    "vm-takes-no-drive": Code(
        409,
        "{vm} gets no config drive: it is {state}.",
        "Name a VM or a template that is shut down, or a VM that runs.",
    ),
}

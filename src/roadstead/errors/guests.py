"""The codes of reaching a guest: what an address, a host key, a sign-in or a link can be wrong with."""

from roadstead.errors.row import Code
from roadstead.errors.tls import TLS

REACHING_A_GUEST = {
    **TLS,
    "address-claimed-twice": Code(
        409,
        "Every address of this VM ({addresses}) is announced by another running VM too ({others}).",
        "Find out which VM owns it and take it from the other. If it is this one's, `roadstead hostkey confirm {vm}`"
        " has it called there; a host key that is remembered for another VM is still refused.",
    ),
    "address-of-another": Code(
        503,
        "At the addresses that this VM announces ({addresses}) another VM answers ({others}).",
        "Correct its addresses in the VM, or set `roadstead-address` in its other_config; an address that moved, or"
        " that two VMs were given, does this. The host key told them apart: nothing of the other VM is shown here.",
    ),
    "address-not-allowed": Code(
        409,
        "None of the addresses given for the VM ({addresses}) may be used: {reason}.",
        "Admit the network with `roadstead pool set {pool} --admit NETWORK` (`--only NETWORK` where the pool is held to"
        " some), or correct `roadstead-address` of the VM.",
    ),
    "host-key-changed": Code(
        409,
        "The VM shows another SSH host key ({shown}) than the one remembered ({pinned}).",
        "Compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the VM's console. If it is the VM's own"
        " (it was installed anew, say), confirm it with `roadstead hostkey confirm {vm}`; otherwise somebody may be in"
        " between.",
    ),
    "host-key-forgotten": Code(
        409,
        "The remembered host key of this VM vanished from the pool, and the VM now shows another ({shown}).",
        "Compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the VM's console, then say"
        " `roadstead hostkey confirm {vm}`.",
    ),
    "host-key-shared": Code(
        409,
        "The VM shows the SSH host key ({shown}) that is remembered for another VM ({others}).",
        "Either the other VM answers at an address of this one, or one is a copy of the other: give the copy a host key"
        " of its own, or say `roadstead hostkey confirm {vm}` if both are meant to share it.",
    ),
    "host-key-type-gone": Code(
        409,
        "The VM no longer offers a host key of the remembered type ({type}).",
        "If its SSH server was reconfigured, say `roadstead hostkey forget {vm}`: then the key that it shows next is"
        " remembered, unless it is another VM's.",
    ),
    "host-key-not-as-said": Code(
        409,
        "The operator said that the VM must show the SSH host key {expected}, but it shows another: {shown} ({type}).",
        "Compare with `for k in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $k; done` on the VM's console"
        " (`ssh-keyscan ADDRESS | ssh-keygen -lf -` says what the network shows). If the shown key is the VM's own, say"
        " `roadstead hostkey confirm {vm}`, or `roadstead hostkey confirm {vm} --host-key KEY` with one of its others;"
        " `roadstead hostkey forget {vm}` takes back what was said. Otherwise somebody may be in between.",
    ),
    "key-of-another-pool": Code(
        409,
        "The VM's SSH server refuses this pool's key for the user {user}. Likely the VM came from another pool and"
        " holds that one's key: {evidence}.",
        "Prepare it for this pool: `roadstead prepare {vm}` puts this pool's line there, and offers to take the other"
        " pool's out. A VM with a config drive can get one with this pool's key instead: `roadstead config-drive"
        " rebuild {vm}`.",
    ),
    "key-rejected": Code(
        409,
        "The VM's SSH server refuses the pool key for the user {user}.",
        "Say `roadstead prepare {vm}`, or put the line that `roadstead pool key show {pool}` prints into that user's"
        " authorized_keys.",
    ),
    "link-lost": Code(503, "The connection to the VM was lost.", "It is being opened again; nothing needs to be done."),
    "host-key-unused": Code(
        409,
        "{vm} is reached over TLS: no SSH is spoken with it, so no host key counts.",
        "If it is to be reached over SSH, say `roadstead enable {vm} --mode ssh` first.",
    ),
    "host-key-moved": Code(
        409,
        "{vm} shows another host key by now ({shown}) than the one that was confirmed.",
        "Compare again with `roadstead hostkey show {vm}`.",
    ),
    "mode-unsupported": Code(
        409,
        "The VM is set to the mode {mode}, which there is none of.",
        "Say `roadstead enable {vm} --mode ssh` or `--mode tls`.",
    ),
    "no-address": Code(
        409,
        "The VM announces no address, although its guest tools run.",
        "Give a network card of the VM an address, or set `roadstead-address` in its other_config.",
    ),
    "no-address-yet": Code(
        409,
        "The VM has just started and announces no address yet.",
        "Wait: it is connected as soon as its guest tools announce one.",
    ),
    "no-answer": Code(
        503,
        "The VM has stopped answering; what is shown of it may be out of date.",
        "Check that it is alive and that the network to it works; after {seconds} s of silence it counts as lost.",
    ),
    "path-silent": Code(
        503,
        "Nothing came from {vm} ({address}, port {port}) for {seconds} s: neither its engine nor its system answers.",
        "Check that the VM is alive, and the route and the firewalls on the way to that address and port;"
        " `roadstead why {vm} --deep` walks the path and names the step that fails.",
    ),
    "no-guest-tools": Code(
        409,
        "The VM announces no address: no guest tools have said anything since it was started.",
        "Install or start the guest tools in the VM, or set `roadstead-address` in its other_config.",
    ),
    "pool-key-missing": Code(
        409,
        "The pool has no SSH key yet, or it cannot be read.",
        "Say `roadstead pool key show {pool}`, which makes it and tells what stands in the way.",
    ),
    "refused": Code(
        503,
        "The VM refuses connections to port {port} ({addresses}).",
        "Start {server} in the VM, or set `{key}` of the VM.",
    ),
    "setting-invalid": Code(
        409,
        "The VM's setting {key} ({value}) is not valid: {reason}.",
        "Correct or remove it with `xe vm-param-remove uuid={uuid} param-name=other-config param-key={key}`.",
    ),
    "ssh-failed": Code(
        503,
        "The SSH handshake with the VM failed: {reason}.",
        "Look at the SSH server's log in the VM (`journalctl -u ssh`); it must offer today's algorithms.",
    ),
    "ssh-floods": Code(
        503,
        "The VM's SSH server was cut off: it went on sending far more than we ask of any.",
        "No SSH server does so by itself: look who or what answers in the VM. It is called again ever more rarely.",
    ),
    "ssh-refuses-us": Code(
        503,
        "The VM's SSH server closed the connection before it introduced itself.",
        "It may be penalising our address (PerSourcePenalties) or be full (MaxStartups): wait, then look at its log.",
    ),
    "timed-out": Code(
        503,
        "The VM did not answer in time while {step} ({addresses}).",
        "Check that the VM is alive and that no firewall drops the traffic.",
    ),
    "vm-not-live": Code(
        503, "The VM {vm} cannot be reached at present.", "Say `roadstead why {vm}` to see the reason."
    ),
    "unreachable": Code(
        503,
        "There is no way to the VM's addresses ({addresses}): {reason}.",
        "Check routes and firewalls between Roadstead and the VM's network.",
    ),
}

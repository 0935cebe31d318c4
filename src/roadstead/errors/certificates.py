"""The codes of making certificates, bringing them to VMs on a CD, and of those made elsewhere: a part of the table."""

from roadstead.errors.row import Code


def _unfit(remedy: str) -> Code:
    """Return the row of a fault of certificates that were made elsewhere."""
    return Code(422, "The certificates cannot be used: {faults}.", f"Nothing was changed. {remedy}")


CERTIFICATES = {
    "cd-drive-full": Code(
        409,
        "There is a CD ({disk}) in the CD drive of {vm}.",
        "Eject it, or let it be ejected by repeating the command with --eject; it is put back afterwards.",
    ),
    "cd-drive-missing": Code(
        409,
        "{vm} has no CD drive.",
        "Shut the VM down and repeat the command with --add-drive, then start it.",
    ),
    "cd-drive-not-added": Code(
        409,
        "{vm} is {state}: a CD drive can only be added to a VM that is shut down.",
        "Shut it down, repeat the command, then start it.",
    ),
    "cd-left": Code(
        502,
        "The CD with the private key of {vm} may still be in the pool, and in the VM's drive: {reason}.",
        "A server that watches the pool takes it out and destroys it within minutes once the pool lets it, and logs why"
        " while it does not. To do it by hand eject it, then destroy the disk Container TLS (`xe vm-cd-eject`,"
        " `xe vdi-destroy`).",
    ),
    "cd-not-overwritten": Code(
        502,
        "The CD with the private key of {vm} was destroyed, but could not be overwritten before.",
        "The storage may keep its blocks for a while. If others can read these, make new certificates with"
        " `roadstead certificates make {vm}`.",
    ),
    "cd-not-inserted": Code(
        502,
        "The CD with the certificates could not be given to {vm}: {reason}.",
        "Nothing was changed. Look at the storage and the VM in the pool, then try again.",
    ),
    "certificate-expired": _unfit("Make it anew, and see that the clock of this server is right."),
    "certificate-not-for-clients": _unfit(
        "Name a certificate that was made for a client: extended key usage clientAuth, and key usage digitalSignature."
    ),
    "certificate-not-of-a-ca": _unfit(
        "Name the certificate of the CA itself: basic constraints CA:true, critical, and key usage keyCertSign."
    ),
    "certificate-not-signed": _unfit(
        "Name the CA that signed the client's certificate; where others stand between the two, they follow the client's"
        " certificate in its file."
    ),
    "certificate-not-yet-valid": _unfit(
        "Wait until it is, or make it anew; see that the clock of this server is right."
    ),
    "certificate-too-weak": _unfit("Make it anew with SHA-256 and, if its key is RSA, with 2048 bits or more."),
    "certificate-unfit": _unfit(
        "Several things are wrong ({codes}). Make what is named anew, then repeat the command."
    ),
    "certificate-unreadable": _unfit("Name a file with certificates in PEM (BEGIN CERTIFICATE)."),
    "certificate-usage-missing": _unfit(
        "Make it anew with these extensions. If the old pack made it, repeat the command with --legacy-certificate."
    ),
    "certificate-with-key": _unfit("Name a file that holds certificates alone; the key goes into --client-key."),
    "certificates-busy": Code(
        409,
        "Certificates for {vm} are under way already.",
        "Look at them with `roadstead certificates show {vm}`, or end that with `roadstead certificates cancel {vm}`.",
    ),
    "certificates-end-unknown": Code(
        409,
        "Until when the certificates of {vm} are good is not known ({problem}), so they are not renewed.",
        "`roadstead why {vm}` tells what is wrong; `roadstead certificates renew {vm}` makes new ones in any case.",
    ),
    "certificates-ended": Code(
        409,
        "The making of certificates for {vm} is not under way any more.",
        "Somebody ended it, or the server was started anew; the CD goes by itself. Repeat the command: if the engine"
        " uses certificates that are stored, it finishes with these, and otherwise it makes new ones.",
    ),
    "certificates-not-stored": Code(
        503,
        "The engine of {vm} uses its new certificates, but the pool did not keep them: {reason}.",
        "They are lost, and those that were stored before do not open the engine any more; the CD was destroyed. When"
        " the pool can be reached, repeat the command and run the script in the VM once more.",
    ),
    "certificates-not-used": Code(
        504,
        "Within {seconds} s the engine of {vm} did not come to use its new certificates ({last}).",
        "The CD was taken out again and destroyed, and what was stored before is as it was. Repeat the command, then"
        " run configure_tls.cmd from the CD in the VM, as an administrator.",
    ),
    "client-key-differs": _unfit("Name the key for which the client's certificate was made."),
    "client-key-encrypted": _unfit("Take the passphrase off with `openssl pkey -in KEY -out PLAIN`; guard that file."),
    "client-key-unreadable": _unfit("Name a file with one private key in PEM (BEGIN PRIVATE KEY)."),
    "no-certificates-under-way": Code(
        404,
        "No certificates for {vm} are under way.",
        "`roadstead certificates make {vm}` makes some.",
    ),
    "tls-address-elsewhere": Code(
        409,
        "The certificate would be for {said}, but {vm} is called at {called}, so it would be refused for ever.",
        "Name one of these with --address, too; or let `roadstead-address` of the VM name where it is to be called."
        " Nothing was changed.",
    ),
    "tls-address-needed": Code(
        409,
        "{vm} is not running, so it announces no address that its certificate could be for.",
        "Name the address that it will have with --address. Nothing was changed.",
    ),
    "tls-not-used": Code(
        409,
        "The engine of {vm} is not reached over TLS, so it has no certificates.",
        "Nothing was changed. `roadstead certificates` lists the VMs that have some; `roadstead prepare {vm} --mode"
        " tls` gives this one its first, and has it reached so from then on.",
    ),
    "tls-secrets-missing": Code(
        409,
        "The VM has no {missing}, so its engine cannot be reached over TLS.",
        "`roadstead certificates make {vm}` makes certificate, key and CA and enables the VM; `roadstead certificates"
        " import {vm}` takes those that were made elsewhere.",
    ),
}

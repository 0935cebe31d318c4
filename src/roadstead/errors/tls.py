"""The codes of reaching an engine over TLS, and of the secrets with the certificates for it: a part of the table."""

from roadstead.errors.row import Code


def _unfit(remedy: str) -> Code:
    """Return the row of a fault of certificates that were made elsewhere."""
    return Code(422, "The certificates cannot be used: {faults}.", f"Nothing was changed. {remedy}")


TLS = {
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
    "plain-http-engine": Code(
        409,
        "At port {port} of the VM ({addresses}) an engine answers without TLS: whoever reaches that port has the VM.",
        "It is never used so. Have the engine listen with `tlsverify` (port 2376), and close the open port at once.",
    ),
    "secret-missing": Code(
        409,
        "The VM's key {key} names no secret of its pool: {reason}.",
        "`roadstead certificates make {vm}` gives the VM certificates of its own; where the secret was lost (the VM"
        " came from another pool, say), that makes it anew.",
    ),
    "secret-of-another": Code(
        409,
        "The VM's key {key} names a secret ({secret}) that was made for another VM ({owner}), so it is not used.",
        "A copy of a VM brings its keys along: remove the key with `xe vm-param-remove uuid={uuid}"
        " param-name=other-config param-key={key}`, then give this VM a certificate of its own.",
    ),
    "secret-shared": Code(
        409,
        "The VM's key {key} names a secret ({secret}) that keys of another VM ({owner}) name, too, and the secret does"
        " not say whose it is: it is used for that VM alone.",
        "A copy of a VM brings its keys along. If this VM is the copy, remove the key with `xe vm-param-remove"
        " uuid={uuid} param-name=other-config param-key={key}`, then give this VM a certificate of its own; otherwise"
        " do so with the other one.",
    ),
    "secret-unusable": Code(
        409,
        "The secret {secret} that the VM's key {key} names is not used: {reason}.",
        "Let the key name the VM's own secret, or remove it with `xe vm-param-remove uuid={uuid}"
        " param-name=other-config param-key={key}`.",
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
    "tls-client-rejected": Code(
        409,
        "The VM's engine refuses the certificate that we show it: {reason}.",
        "The engine's `tlscacert` must be the CA that signed the certificate in the secret which"
        " `xscontainer-tls-client-cert` of the VM names, and that certificate must be for clients and still valid.",
    ),
    "tls-expired": Code(
        409,
        "The certificate of {whose} has expired ({when}).",
        "`roadstead certificates renew {vm}` makes new ones and brings them to the VM.",
    ),
    "tls-expires-soon": Code(
        409,
        "The certificate of {whose} expires on {when}; then the VM is lost.",
        "`roadstead certificates renew {vm}` makes new ones and brings them to the VM.",
    ),
    "tls-floods": Code(
        503,
        "The VM's engine was cut off: over TLS it went on sending far more than we ask of any.",
        "No engine does so by itself: look who or what answers in the VM. It is called again ever more rarely.",
    ),
    "tls-handshake-failed": Code(
        503,
        "The TLS handshake with the VM's engine failed ({addresses}): {reason}.",
        "Check that an engine with `tlsverify` listens at port {port}, and that it speaks TLS 1.2 or 1.3 with"
        " authenticated ciphers (ECDHE with AES-GCM or ChaCha20).",
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
    "tls-untrusted": Code(
        409,
        "The certificate that the VM's engine shows ({addresses}) is not trusted: {reason}.",
        "`roadstead prepare {vm} --mode tls` makes new certificates. One that was made elsewhere must be signed by the"
        " CA in the secret that `xscontainer-tls-ca-cert` of the VM names. If a key usage or key identifier is missing,"
        " the old pack made it: `roadstead enable {vm} --legacy-certificate on` takes it.",
    ),
    "tls-wrong-address": Code(
        409,
        "The certificate that the VM's engine shows is not for the address that was called ({addresses}).",
        "Make one whose subject alternative names hold that IP address (a name does not count), or let"
        " `roadstead-address` of the VM name an address that it holds.",
    ),
}

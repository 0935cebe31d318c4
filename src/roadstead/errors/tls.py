"""The codes of reaching an engine over TLS, and of the secrets with the certificates for it: a part of the table."""

from roadstead.errors.row import Code

TLS = {
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
    "secrets-mixed": Code(
        409,
        "The VM's certificate and private key are of different pairs: whoever replaced them last did not get to the"
        " end.",
        "`roadstead prepare {vm} --mode tls` makes new ones and brings them to the VM; what is left of the former ones"
        " goes then.",
    ),
    "secret-unusable": Code(
        409,
        "The secret {secret} that the VM's key {key} names is not used: {reason}.",
        "Let the key name the VM's own secret, or remove it with `xe vm-param-remove uuid={uuid}"
        " param-name=other-config param-key={key}`.",
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

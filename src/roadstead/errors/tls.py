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
        "Give the VM a certificate of its own; where the secret was lost (the VM came from another pool, say), that"
        " makes it anew.",
    ),
    "secret-of-another": Code(
        409,
        "The VM's key {key} names a secret ({secret}) that was made for another VM ({owner}), so it is not used.",
        "A copy of a VM brings its keys along: remove the key with `xe vm-param-remove uuid={uuid}"
        " param-name=other-config param-key={key}`, then give this VM a certificate of its own.",
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
        "Give the VM new certificates, as the chapter on TLS of the operator guide says.",
    ),
    "tls-expires-soon": Code(
        409,
        "The certificate of {whose} expires on {when}; then the VM is lost.",
        "Give the VM new certificates before, as the chapter on TLS of the operator guide says.",
    ),
    "tls-handshake-failed": Code(
        503,
        "The TLS handshake with the VM's engine failed ({addresses}): {reason}.",
        "Check that an engine with `tlsverify` listens at port {port}, and that it speaks TLS 1.2 or 1.3 with"
        " authenticated ciphers (ECDHE with AES-GCM or ChaCha20).",
    ),
    "tls-secrets-missing": Code(
        409,
        "The VM has no {missing}, so its engine cannot be reached over TLS.",
        "Put certificate, key and CA into secrets of the pool and let the VM's keys name them, as the chapter on TLS of"
        " the operator guide says; then repeat the command.",
    ),
    "tls-untrusted": Code(
        409,
        "The certificate that the VM's engine shows ({addresses}) is not trusted: {reason}.",
        "It must be signed by the CA in the secret that `xscontainer-tls-ca-cert` of the VM names. If a key usage or"
        " key identifier is missing, the old pack made it: `roadstead enable {vm} --legacy-certificate on` takes it.",
    ),
    "tls-wrong-address": Code(
        409,
        "The certificate that the VM's engine shows is not for the address that was called ({addresses}).",
        "Make one whose subject alternative names hold that IP address (a name does not count), or let"
        " `roadstead-address` of the VM name an address that it holds.",
    ),
}

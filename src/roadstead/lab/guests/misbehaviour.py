"""The table of everything a simulated guest can do wrong on request, by name, so that tests can run through all of it.

The names cross process borders and appear in test ids, therefore they are strings; what each does is decided where its
layer is: `sshd` (before and in the SSH connection), `tlsd`, `tls_floods` and `guest` (in that of an engine with TLS),
`hostile` (instead of an engine's answer).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Layer(StrEnum):
    """Where a misbehaviour shows."""

    CONNECT = "connect"
    """Before the SSH banner is complete."""
    SIGN_IN = "sign-in"
    HOST_KEY = "host-key"
    CERTIFICATE = "certificate"
    """In the handshake of an engine that listens with TLS."""
    TLS = "tls"
    """In whatever an engine that listens with TLS says."""
    LINK = "link"
    """On whole connections, while they last."""
    CHANNEL = "channel"
    """When the engine's socket is asked for, or a command."""
    ENGINE = "engine"
    """In every answer of the engine."""
    LIST = "list"
    """In the list of containers; everything else is in order."""
    EVENTS = "events"
    """In the stream of events; everything else is in order."""


class Trait(NamedTuple):
    """One misbehaviour: where it shows and what happens."""

    layer: Layer
    meaning: str


MISBEHAVIOURS: dict[str, Trait] = {
    "close-before-banner": Trait(Layer.CONNECT, "accepts and closes at once, as a server that penalises us does"),
    "banner-never-comes": Trait(Layer.CONNECT, "accepts and says nothing"),
    "banner-garbage": Trait(Layer.CONNECT, "says lines that are no SSH banner, without end"),
    "banner-drips": Trait(Layer.CONNECT, "says its SSH banner one byte at a time"),
    "banner-endless-line": Trait(Layer.CONNECT, "says one line that is no SSH banner, without end"),
    "handshake-never-ends": Trait(Layer.CONNECT, "says its SSH banner, and nothing more; with TLS nothing at all"),
    "handshake-garbage": Trait(Layer.CONNECT, "says an SSH banner that is no text, then bytes that are no SSH"),
    "sign-in-babbles": Trait(Layer.SIGN_IN, "never answers the sign-in, but says one text after the other about it"),
    "sign-in-never-ends": Trait(Layer.SIGN_IN, "takes the key and never answers"),
    "key-rejected": Trait(Layer.SIGN_IN, "lets no key in"),
    "host-key-changes": Trait(Layer.HOST_KEY, "shows another ed25519 key on each connection"),
    "host-key-shared": Trait(Layer.HOST_KEY, "shows the key that all guests with this trait share"),
    "host-key-all-types": Trait(Layer.HOST_KEY, "has an ed25519, an ecdsa and an rsa key"),
    "host-key-ecdsa-only": Trait(Layer.HOST_KEY, "has lost its ed25519 key and has an ecdsa key"),
    "certificate-of-another-vm": Trait(Layer.CERTIFICATE, "shows a certificate of its own CA for another address"),
    "certificate-of-another-ca": Trait(Layer.CERTIFICATE, "shows a certificate for its address, of another VM's CA"),
    "tls-half-handshake": Trait(Layer.TLS, "says half of its part in the handshake, and nothing more"),
    "tls-drips": Trait(Layer.TLS, "says everything one byte at a time, from the handshake on"),
    "tls-tickets": Trait(Layer.TLS, "hands out tickets for later sessions without end, instead of an answer"),
    "tls-key-updates": Trait(Layer.TLS, "takes new keys again and again, without end, instead of an answer"),
    "tls-key-requests": Trait(Layer.TLS, "does so, asks us for new keys each time, and hears nothing of them"),
    "tls-empty-records": Trait(Layer.TLS, "sends records with nothing in them without end, instead of an answer"),
    "tls-hello-requests": Trait(Layer.TLS, "speaks TLS 1.2, asks us to begin anew without end and hears nothing of it"),
    "half-open": Trait(Layer.LINK, "keeps its connections and hears nothing on them, as one that hangs does"),
    "link-babbles": Trait(Layer.LINK, "fills its connections with messages that are to be ignored"),
    "request-unread": Trait(Layer.CHANNEL, "opens streams to the engine and reads no request from them"),
    "streamlocal-forbidden": Trait(Layer.CHANNEL, "refuses direct-streamlocal; commands work"),
    "exec-forbidden": Trait(Layer.CHANNEL, "refuses commands; direct-streamlocal works"),
    "dial-stdio-missing": Trait(Layer.CHANNEL, "has no docker command (exit 127); direct-streamlocal works"),
    "command-forced": Trait(Layer.CHANNEL, "runs the relay whatever command is asked for, as a restricted key does"),
    "keys-unwritable": Trait(Layer.CHANNEL, "lets nobody change who may sign in"),
    "exec-noise": Trait(Layer.CHANNEL, "prints text before the output of a command, as a .bashrc may"),
    "no-socket": Trait(Layer.CHANNEL, "has no socket at the path"),
    "socket-denied": Trait(Layer.CHANNEL, "has a socket that the login user may not open"),
    "engine-down": Trait(Layer.CHANNEL, "has a socket with nobody behind it; open streams are cut"),
    "silence": Trait(Layer.ENGINE, "takes requests and never answers"),
    "drip": Trait(Layer.ENGINE, "answers one byte at a time"),
    "garbage": Trait(Layer.ENGINE, "answers with bytes that are no HTTP"),
    "endless-headers": Trait(Layer.ENGINE, "answers with headers without end"),
    "endless-header-line": Trait(Layer.ENGINE, "answers with one header without end"),
    "endless-announcements": Trait(Layer.ENGINE, "announces an answer (100 Continue) without end"),
    "endless-chunks": Trait(Layer.ENGINE, "answers in chunks of one byte without end"),
    "endless-chunk-line": Trait(Layer.ENGINE, "answers with a chunk whose first line has no end"),
    "crumbs": Trait(Layer.ENGINE, "answers without end, each byte in a message of its own"),
    "compressed": Trait(Layer.ENGINE, "answers with 1 GiB of zeros, compressed, which nobody asked for"),
    "redirects": Trait(Layer.ENGINE, "sends whoever asks to another address"),
    "upgrades": Trait(Layer.ENGINE, "switches to another protocol unasked"),
    "one-byte-answers": Trait(Layer.ENGINE, "closes after the first byte of each answer"),
    "odd-clock": Trait(Layer.ENGINE, "lives in the year 1601"),
    "cut-answers": Trait(Layer.ENGINE, "closes in the middle of each answer"),
    "server-errors": Trait(Layer.ENGINE, "answers everything with 500"),
    "old-api": Trait(Layer.ENGINE, "speaks no API newer than 1.23"),
    "invalid-json": Trait(Layer.LIST, "lists what ends in the middle of an object"),
    "not-a-list": Trait(Layer.LIST, "lists an object"),
    "large-body": Trait(Layer.LIST, "lists 64 MiB, with a length"),
    "ten-gigabytes": Trait(Layer.LIST, "lists 10 GB, with a length"),
    "endless-text": Trait(Layer.LIST, "lists one container whose name has no end"),
    "endless-list": Trait(Layer.LIST, "lists containers without end"),
    "many-containers": Trait(Layer.LIST, "has 100,000 containers and honours `limit`"),
    "deep-nesting": Trait(Layer.LIST, "lists a container with labels 100,000 levels deep"),
    "invalid-utf8": Trait(Layer.LIST, "lists names that are no UTF-8"),
    "wrong-types": Trait(Layer.LIST, "lists fields of other types than documented"),
    "no-numbers": Trait(Layer.LIST, "lists NaN, infinities and numbers of 10,000 digits"),
    "odd-ids": Trait(Layer.LIST, "lists ids with slashes, dots and line ends beside those of its containers"),
    "odd-times": Trait(Layer.LIST, "lists containers that were made in 1601 and in 9999"),
    "duplicate-keys": Trait(Layer.LIST, "lists objects with the same key twice"),
    "duplicate-ids": Trait(Layer.LIST, "lists the same container twice"),
    "markup-names": Trait(Layer.LIST, "lists names, images and labels that are HTML, XML and formulas"),
    "terminal-names": Trait(Layer.LIST, "lists names, images and labels with terminal escapes"),
    "huge-names": Trait(Layer.LIST, "lists names of 1 MB"),
    "unknown-containers": Trait(Layer.EVENTS, "sends events about containers that it does not have"),
    "unknown-flood": Trait(Layer.EVENTS, "sends such events as fast as they are read: a million a second and more"),
    "event-flood": Trait(Layer.EVENTS, "sends events about its own containers as fast as they are read"),
    "event-blanks": Trait(Layer.EVENTS, "sends lines without events as fast as they are read"),
    "event-bulk": Trait(Layer.EVENTS, "sends events of 60 KB as fast as they are read"),
    "event-bulk-numbers": Trait(Layer.EVENTS, "sends such events full of NaN, which few parsers take"),
    "event-bulk-lists": Trait(Layer.EVENTS, "sends such events full of short lists"),
    "event-garbage": Trait(Layer.EVENTS, "sends lines that are no JSON"),
    "event-huge": Trait(Layer.EVENTS, "sends one event of 1 MB"),
    "event-odd-ids": Trait(Layer.EVENTS, "sends events about ids with slashes, dots and line ends"),
    "event-odd-times": Trait(Layer.EVENTS, "sends events of 1601 and of 9999 about its containers"),
    "event-wrong-types": Trait(Layer.EVENTS, "sends events whose fields have other types than documented"),
    "events-cut": Trait(Layer.EVENTS, "closes each stream of events as soon as it is open"),
}


def check(names: tuple[str, ...]) -> frozenset[str]:
    """The names as a set; raises KeyError with the first one that is not in the table."""
    for name in names:
        if name not in MISBEHAVIOURS:
            raise KeyError(name)
    return frozenset(names)


def of_layer(names: frozenset[str], *layers: Layer) -> frozenset[str]:
    """Those of `names` that show in these layers."""
    return frozenset(name for name in names if MISBEHAVIOURS[name].layer in layers)

"""The codes of the plugin's calls: the part of the table that the pools' other clients get to see."""

from roadstead.errors.row import Code

PLUGIN = {
    "not-offered": Code(
        403,
        "{function} ran arbitrary commands, and is therefore not offered.",
        "Sign in to the guest instead.",
    ),
    "plugin-answer-too-large": Code(
        502,
        "The answer would be larger than {limit} bytes, more than the pool's clients can take.",
        "Ask for it with `roadstead inspect`, or in the VM itself.",
    ),
    "plugin-argument-missing": Code(
        422, "The function {function} needs the argument {argument}.", "Give it; it takes {known}."
    ),
    "plugin-certificate-unusable": Code(
        500,
        "The plugin listener's certificate {path} cannot be used: {reason}.",
        "Restore it, or remove it: the next start makes a new one. Then say `roadstead pool plugin enable POOL` for"
        " each pool.",
    ),
    "plugin-function-unknown": Code(404, "The plugin has no function {function}.", "Use one of: {known}."),
    "plugin-listen-unusable": Code(
        500,
        "The plugin's calls cannot be listened for at {address}: {reason}.",
        "Choose another ADDRESS:PORT with --plugin-listen or in the setting `plugin.listen`.",
    ),
    "plugin-not-listening": Code(
        409,
        "This server does not listen for the plugin's calls.",
        "Start it with `roadstead serve --plugin-listen ADDRESS:8421`, then try again.",
    ),
    "plugin-only": Code(
        404, "There is nothing at {path} here.", "Here only the plugin of a pool is answered; use the API instead."
    ),
    "plugin-token-refused": Code(
        401, "The pool's token is refused.", "Say `roadstead pool plugin enable POOL` where Roadstead runs."
    ),
    "plugin-url-needed": Code(
        409,
        "Where the pool's hosts reach this server is not known: the plugin's calls are listened for at {address}.",
        "Name it with --url https://HOST:{port}.",
    ),
    "too-many-preparations": Code(
        503, "{limit} guests of this pool are being prepared already.", "Wait for one of them, then repeat the command."
    ),
}

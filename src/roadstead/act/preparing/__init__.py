"""Guests are made ready: over SSH by the operator's own sign-in, over TLS by a CD with certificates."""

"""The API: REST and the stream of changes, on the local socket and on loopback."""

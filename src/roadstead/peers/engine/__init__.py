"""The Engine API of Docker and Podman over any `Link`: one small HTTP client, and the client that watchers use."""

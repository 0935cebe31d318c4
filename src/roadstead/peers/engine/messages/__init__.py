"""Pure codecs of the Engine API: what Docker and Podman say, as our records. Nothing here waits."""

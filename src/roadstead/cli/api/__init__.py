"""The server as the command line sees it: HTTP, its stream of changes, its answers."""

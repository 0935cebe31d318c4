"""The command line: a client of the REST API and of nothing else, quick to start and plain when it is piped."""

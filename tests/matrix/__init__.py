"""The matrix: real guests of every Debian release and engine that we promise, each held to the same contract."""

"""Pools as they are held: which there are, their sessions, trials of them, their storages."""

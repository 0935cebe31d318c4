"""Pools as they are held: sessions, trials, the one writer of their keys, their secrets, and what is left behind."""

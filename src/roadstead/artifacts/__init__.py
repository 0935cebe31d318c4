"""Bytes for guests and clients: pure, each module makes one thing."""

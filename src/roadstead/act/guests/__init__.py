"""Guests as they are held: links that are opened for ever, host keys, checks, and what operators do to them."""

"""The commands, and what each does."""

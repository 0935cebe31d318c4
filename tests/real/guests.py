"""Real guests for tests."""

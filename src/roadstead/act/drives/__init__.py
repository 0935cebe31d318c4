"""Config drives: made in pools, read back, swept after what was broken off."""

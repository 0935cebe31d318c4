"""From what is known to what is wanted: pure decisions, made anew from the newest snapshot each time."""

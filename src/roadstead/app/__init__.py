"""The composition root: the only place that builds things out of their parts, and the console script ``roadstead``."""

"""Measures what the README promises, against baselines that are measured in the same run."""

"""What a pool's other clients see of our work: keys, and alerts."""

"""The inventory: what is known of all pools, one writer, numbered changes, many readers."""

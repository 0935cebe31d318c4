"""One watcher for each source: it lists, then follows the source's own events, and lists again when in doubt."""

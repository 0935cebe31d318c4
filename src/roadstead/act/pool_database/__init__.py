"""What we keep in a pool's own database: keys of ``other_config``, and the secrets that they name."""

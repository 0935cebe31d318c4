"""The plugin's doors: what hosts may ask for, with which token, and how it gets into them."""

"""The plugin's doors: what hosts may ask for, whose tokens count, and how it gets into them."""

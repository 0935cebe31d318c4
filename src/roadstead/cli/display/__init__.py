"""How things look in a terminal: words, tables, trees, live views."""

"""What each route does: one function each, named as in the table of routes, grouped by what they are about."""

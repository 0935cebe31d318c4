"""What Roadstead does: it holds the pools' sessions and the guests' links, and carries out what is asked or planned."""

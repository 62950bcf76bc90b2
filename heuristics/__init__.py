"""Rules without learning: what is removed, what is multiplied, and how the page is cut."""

"""Selectors: they order the page and cut it."""

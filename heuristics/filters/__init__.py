"""Filters: each removes candidates by one rule, and its name is the reason."""

"""Mixers: they put ads, suggestions and prompts between the tweets of a page."""

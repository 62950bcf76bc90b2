"""Visibility: what a viewer may see of a tweet, by ordered rules over labels, relationships, settings and countries."""

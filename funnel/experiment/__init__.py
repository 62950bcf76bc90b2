"""Experiments: questions that only the world's truth can answer."""

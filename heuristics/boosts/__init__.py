"""Boosts: factors that multiply a candidate's score."""

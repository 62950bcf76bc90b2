"""Tests of heuristics."""

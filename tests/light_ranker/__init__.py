"""Tests of the light ranker."""

"""Tests of funnel.core."""

"""Tests of funnel.features."""

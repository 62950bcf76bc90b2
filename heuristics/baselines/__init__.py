"""Baselines: values of candidates that learn nothing, to compare rankers with."""

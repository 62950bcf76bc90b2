"""Tests; `tests.support` has the small worlds and batches that they share."""

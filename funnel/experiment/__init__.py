"""Experiments: which funnel is better and by how much, and what each stage brings.

`statistics` turns measures of two outcomes into differences with intervals; `compare` runs funnels on the same
requests; `variants` leaves stages out; `ablate` and `shapley` say what each stage brings.
"""

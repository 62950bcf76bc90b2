"""Experiments: questions that only the world's truth can answer.

`statistics` turns measures of two outcomes into differences with intervals; `compare` runs funnels on the same
requests; `variants` leaves stages out; `ablate` and `shapley` say what each stage brings; `attribute` where value is
lost; `off_policy` what the log alone would have said.
"""

"""Earlybird's light ranker: two small logistic regressions that cut the candidates before the heavy ranker."""

"""Features, declared by name and hydrated on demand; see `funnel list features`."""

from __future__ import annotations

from funnel.features.registry import FEATURES, Feature, assets_needed, hydrate, lookup, matrix

__all__ = ["FEATURES", "Feature", "assets_needed", "hydrate", "lookup", "matrix"]

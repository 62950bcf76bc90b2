"""Features, declared by name and hydrated on demand; see `funnel list features`."""

from __future__ import annotations

from funnel.features import (
    affinity,
    author,
    base,
    context,
    conversation,
    embedding,
    labels,
    notification,
    similarity,
    social,
    text,
    topic,
    tweet,
    viewer,
)
from funnel.features.embedding import embedding_features
from funnel.features.notification import NOTIFICATION_FEATURES
from funnel.features.registry import FEATURES, Feature, assets_needed, hydrate, lookup, matrix, of_groups

# The groups that rankers learn from; "base" serves filters and boosts, "internal" other features, "notification" the
# funnels of the product `push` (their rankers also learn from NOTIFICATION_FEATURES).
MODEL_GROUPS: tuple[str, ...] = ("tweet", "author", "viewer", "viewer_author", "viewer_topic", "context", "similarity")


def model_features() -> tuple[str, ...]:
    """The sorted names of all features that a ranker may learn from: float32, bool or int, finite."""
    return of_groups(MODEL_GROUPS)


__all__ = [
    "FEATURES",
    "MODEL_GROUPS",
    "NOTIFICATION_FEATURES",
    "Feature",
    "affinity",
    "assets_needed",
    "author",
    "base",
    "context",
    "conversation",
    "embedding",
    "embedding_features",
    "hydrate",
    "labels",
    "lookup",
    "matrix",
    "model_features",
    "notification",
    "similarity",
    "social",
    "text",
    "topic",
    "tweet",
    "viewer",
]

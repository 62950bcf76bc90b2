"""The realism report: every statistic of a world with its target, its verdict and the real data beside it."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from funnel.core.errors import ConfigError
from funnel.realism.activity import (
    cascade_sizes,
    cascade_statistics,
    homophily,
    reading_statistics,
    writing_statistics,
)
from funnel.realism.curves import Curve
from funnel.realism.graph import SAMPLE, FollowGraph, graph_statistics
from funnel.realism.targets import STATISTICS, verdict
from funnel.store import read_json

if TYPE_CHECKING:
    from funnel.world import World

REAL = Path(__file__).with_name("real.json")  # what `bench.realism --real` measured


def graph_of(world: World) -> FollowGraph:
    """The world's follow graph."""
    follows = world.tables.table("follows")
    return FollowGraph.of(
        follows["follower"], follows["followee"], world.tables.count("users"), world.meta.viewer_count
    )


def measure(world: World, graph: FollowGraph, *, sample: int = SAMPLE) -> dict[str, float | None]:
    """Values of all statistics that this world has, by name."""
    if sample < 1:
        raise ConfigError("--sample", f"wants at least 1 user, got {sample}")
    found = {
        **graph_statistics(graph, sample=sample),
        **writing_statistics(world),
        **reading_statistics(world),
        **homophily(world),
        **cascade_statistics(cascade_sizes(world)),
    }
    return {name: value if value is not None and isfinite(value) else None for name, value in found.items()}


def rows(values: Mapping[str, float | None]) -> list[dict[str, object]]:
    """One dictionary a statistic: name, value, band, target, source, verdict, meaning, gap and real.

    band: [low, high] with None for an open end, or None. real: data set -> value, those that were measured.
    """
    others = real_sets()
    return [
        {
            "name": statistic.name,
            "value": values.get(statistic.name),
            "band": list(statistic.band) if statistic.band else None,
            "target": statistic.target,
            "source": statistic.source,
            "verdict": verdict(statistic, values.get(statistic.name)),
            "meaning": statistic.meaning,
            "gap": statistic.gap,
            "real": {
                name: known[statistic.name] for name, known in others.items() if known.get(statistic.name) is not None
            },
        }
        for statistic in STATISTICS
    ]


def real_sets() -> dict[str, dict[str, float | None]]:
    """What `funnel.realism.real` measured, by data set; shipped, since the data are not."""
    return dict(read_json(REAL)["sets"]) if REAL.exists() else {}


def real_curves() -> dict[str, dict[str, Curve]]:
    """Their distributions, by data set and by name of `funnel.realism.curves.CURVES`."""
    return dict(read_json(REAL)["curves"]) if REAL.exists() else {}

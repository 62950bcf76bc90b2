"""What a world looks like in numbers: its sizes, and the statistics of `funnel.realism` beside their targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from funnel.core.products import PUSH
from funnel.core.tables import TWEET_KINDS
from funnel.realism.activity import action_rates
from funnel.realism.graph import SAMPLE, mean_clustering
from funnel.realism.report import graph_of, measure, rows

if TYPE_CHECKING:
    from funnel.world import World


def describe(world: World, *, sample: int | None = None) -> dict[str, object]:
    """Sizes and the best-known statistics by name; all of them as `statistics`, see `funnel.realism.report.rows`.

    sample: users over whom clustering is averaged; one breadth-first search for each 64 of them.
    """
    size = SAMPLE if sample is None else sample
    graph = graph_of(world)
    values = measure(world, graph, sample=size)
    kinds = np.bincount(world.tables.table("tweets")["kind"], minlength=len(TWEET_KINDS))
    return {
        "viewer_count": world.meta.viewer_count,
        "end_h": world.meta.end_h,
        "mean_follows": values["mean_follows"],
        "reciprocity": values["reciprocity"],
        "clustering": mean_clustering(graph, size, world.meta.viewer_count),
        "tweets_by_top_tenth": values.get("tweets_by_top_tenth"),
        "tweet_kinds": dict(zip(TWEET_KINDS, kinds.tolist(), strict=True)),
        "action_rates": action_rates(world),
        **_notification_rates(world),
        "statistics": rows(values),
    }


def _notification_rates(world: World) -> dict[str, object]:
    """`notification_rates`: the share of logged notifications that led to each action; nothing without a log."""
    count = world.tables.count(PUSH.shown)
    counts = np.bincount(world.tables.table(PUSH.done)["action"], minlength=len(PUSH.actions))
    rates = {name: float(done / count) for name, done in zip(PUSH.action_names, counts, strict=True)} if count else {}
    return {"notification_rates": rates} if rates else {}

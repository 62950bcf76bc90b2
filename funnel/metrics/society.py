"""Metrics of society: who gets to see whom, how heated it is, and whether everybody sees the same.

An account's group is the topic that it likes best, or its country in a world whose truth nobody knows.
"""

# ruff: noqa: ARG001 - a metric keeps the signature of its contract

from __future__ import annotations

import numpy as np

from funnel.core import rng
from funnel.core.actions import PUBLIC_ACTIONS
from funnel.core.arrays import Bools, Doubles
from funnel.core.products import TIMELINE
from funnel.metrics.metric import Statistic, metric
from funnel.metrics.outcome import Outcome
from funnel.metrics.scene import Scene

_CHANCE = "measured: preset `random`"
PARTNERS = 8  # other viewers with whom each viewer's page is compared


@metric(
    "society.cross_group",
    unit="share", better="neither", chance=_CHANCE, ceiling="1",
    source="cross-cutting exposure: Bakshy, Messing & Adamic, Science 2015, 10.1126/science.aaa1160",
)  # fmt: skip
def cross_group(outcome: Outcome, scene: Scene) -> Doubles:
    """Share of the page by authors of another group than the viewer's."""
    return outcome.mean(_crosses(outcome, scene))


@metric(
    "society.heated",
    unit="share", better="lower", chance="0.1 of all tweets; measured: preset `random`", ceiling="0",
    source="out-group animosity and anger: Milli et al., PNAS Nexus 2025, pgaf062", needs=("truth",),
)  # fmt: skip
def heated(outcome: Outcome, scene: Scene) -> Doubles:
    """Share of the page that belongs to the most controversial tenth of all tweets."""
    assert scene.heated is not None
    return outcome.mean(scene.heated[outcome.page["tweet"]])


@metric(
    "society.e_i",
    unit="−1 … 1", better="neither", chance=_CHANCE, ceiling="1",
    source="Krackhardt & Stern, Social Psychology Quarterly 1988; Larooij & Törnberg, arXiv:2508.03385",
    needs=("truth",), products=(TIMELINE,),
)  # fmt: skip
def e_i(outcome: Outcome, scene: Scene) -> Statistic:
    """(External − internal) / all expected favourites, retweets and replies between viewers and authors of groups."""
    public = np.sum([outcome.page[f"expected.{name}"] for name in PUBLIC_ACTIONS], axis=0, dtype=np.float64)
    crosses = _crosses(outcome, scene)
    outside, inside = outcome.total(public * crosses), outcome.total(public * ~crosses)

    def statistic(weights: Doubles) -> Doubles:
        external, internal = weights @ outside, weights @ inside
        with np.errstate(invalid="ignore"):
            return (external - internal) / (external + internal)

    return statistic


@metric(
    "society.homogenisation",
    unit="0 … 1", better="neither", chance=_CHANCE, ceiling="1",
    source="Jaccard of what users see: Chaney, Stewart & Engelhardt, RecSys 2018, 10.1145/3240323.3240370",
)  # fmt: skip
def homogenisation(outcome: Outcome, scene: Scene) -> Doubles:
    """Tweets that the page shares with that of another viewer, over those on either; mean over 8 fixed others."""
    requests = len(outcome)
    if requests < 2:
        return np.full(requests, np.nan)
    key = np.sort((outcome.request << 32) | outcome.page["tweet"])
    found = np.zeros(requests)
    for number in range(PARTNERS):
        draw = rng.uniform(int(outcome.about["seed"]), "partner", outcome.viewers, number)
        other = (np.arange(requests) + 1 + (draw * (requests - 1)).astype(np.int64)) % requests
        wanted = (other[outcome.request] << 32) | outcome.page["tweet"]
        at = np.minimum(np.searchsorted(key, wanted), max(key.size - 1, 0))
        common = outcome.total(key[at] == wanted) if key.size else np.zeros(requests)
        either = outcome.counts + outcome.counts[other] - common
        with np.errstate(invalid="ignore"):
            found += common / either
    return found / PARTNERS


def _crosses(outcome: Outcome, scene: Scene) -> Bools:
    """bool [n]: whether the author is of another group than the viewer."""
    crosses: Bools = scene.group[outcome.page["author"]] != scene.group[outcome.viewers[outcome.request]]
    return crosses

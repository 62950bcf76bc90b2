"""Diversity, novelty and serendipity of the pages, and how much of what there is gets shown at all."""

# ruff: noqa: ARG001 - a metric keeps the signature of its contract

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Doubles, Longs
from funnel.core.products import TIMELINE
from funnel.metrics.exposure import exposures
from funnel.metrics.metric import Statistic, metric
from funnel.metrics.outcome import Outcome
from funnel.metrics.page import first_copy
from funnel.metrics.scene import Scene

_CHANCE = "measured: preset `random`"


@metric(
    "diversity.authors",
    unit="share", better="higher", chance=_CHANCE, ceiling="1",
    source="source diversity: Bandy & Diakopoulos, CSCW 2021, 10.1145/3449152",
    products=(TIMELINE,),
)  # fmt: skip
def authors(outcome: Outcome, scene: Scene) -> Doubles:
    """Different authors per tweet of the page."""
    return outcome.mean(outcome.first(outcome.page["author"]))


@metric(
    "diversity.topics",
    unit="topics", better="neither", chance=_CHANCE, ceiling="the number of topics",
    source="exponential of Shannon's entropy", needs=("truth",), products=(TIMELINE,),
)  # fmt: skip
def topics(outcome: Outcome, scene: Scene) -> Doubles:
    """Topics on the page, each by its share: as many equal ones would have the same entropy."""
    request, count = _topic_counts(outcome, scene)
    share = count / outcome.counts[request]
    entropy = np.bincount(request, weights=-share * np.log(share), minlength=len(outcome))
    return np.where(outcome.counts > 0, np.exp(entropy), np.nan)


@metric(
    "diversity.intra_list",
    unit="share", better="neither", chance=_CHANCE, ceiling="1",
    source="Ziegler et al., WWW 2005 (with the distance 'another main topic')", needs=("truth",),
    products=(TIMELINE,),
)  # fmt: skip
def intra_list(outcome: Outcome, scene: Scene) -> Doubles:
    """Share of the pairs of tweets on a page that have different main topics; a page of one tweet has none."""
    request, count = _topic_counts(outcome, scene)
    same = np.bincount(request, weights=count * (count - 1.0), minlength=len(outcome))
    pairs = outcome.counts * (outcome.counts - 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, 1 - same / pairs, np.nan)


@metric(
    "novelty",
    unit="bit", better="neither", chance=_CHANCE, ceiling="log2 of the number of accounts",
    source="Vargas & Castells, RecSys 2011: mean −log2 popularity",
)  # fmt: skip
def novelty(outcome: Outcome, scene: Scene) -> Doubles:
    """How unknown the tweets are: mean of −log2((engagements so far + 1) / accounts), 0 if everybody engaged."""
    known = np.minimum(scene.engagements[outcome.page["tweet"]] + 1.0, scene.followers.size)
    return outcome.mean(-np.log2(known / scene.followers.size))


@metric(
    "serendipity",
    unit="count", better="higher", chance=_CHANCE, ceiling="`page.engagement.favorite`",
    source="relevant and unexpected: Ge, Delgado-Battenfeld & Jannach, RecSys 2010", needs=("truth",),
    products=(TIMELINE,),
)  # fmt: skip
def serendipity(outcome: Outcome, scene: Scene) -> Doubles:
    """Expected favourites of what was not to be expected: by nobody the viewer follows, not on the favourite topic."""
    topic = scene.topic
    assert topic is not None
    usual = topic[outcome.page["tweet"]] == scene.group[outcome.viewers[outcome.request]]
    unexpected = ~outcome.page["in_network"] & ~usual
    return outcome.total(outcome.page["expected.favorite"] * unexpected * first_copy(outcome, scene))


@metric(
    "coverage.authors",
    unit="share", better="neither", chance=_CHANCE, ceiling="1",
    source="catalogue coverage: Ge, Delgado-Battenfeld & Jannach, RecSys 2010",
)  # fmt: skip
def coverage(outcome: Outcome, scene: Scene) -> Statistic:
    """Share of the last week's authors who are on anybody's page."""

    def statistic(weights: Doubles) -> Doubles:
        covered: Doubles = (exposures(outcome, scene, weights) > 0).mean(axis=1)
        return covered

    return statistic


def _topic_counts(outcome: Outcome, scene: Scene) -> tuple[Longs, Longs]:
    """(request, tweets) of each (request, main topic) that occurs."""
    topic = scene.topic
    assert topic is not None
    key = (outcome.request << 16) | topic[outcome.page["tweet"]]
    known, count = np.unique(key, return_counts=True)
    return known >> 16, count.astype(np.int64)

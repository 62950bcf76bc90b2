"""Metrics of the pages: what they are worth, what viewers do there, and how they look."""

# ruff: noqa: ARG001 - a metric keeps the signature of its contract

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles
from funnel.core.products import TIMELINE
from funnel.features.memo import once_per
from funnel.metrics.metric import metric
from funnel.metrics.outcome import Outcome
from funnel.metrics.scene import Scene

_README = "twitter/the-algorithm-ml, projects/home/recap/README.md"
_CHANCE, _BEST = "measured: preset `random`", "measured: preset `oracle`"


@metric("page.value", unit="value", better="higher", chance=_CHANCE, ceiling=_BEST, source=_README, needs=("truth",))
def value(outcome: Outcome, scene: Scene) -> Doubles:
    """Expected value of the page: Σ over its posts of Σ weight × true probability of each action at that place.

    Of a post that is there twice, as a tweet and as somebody's retweet of it, the upper copy counts.
    """
    return outcome.total(scene.value(actions(outcome, scene, "expected")) * first_copy(outcome, scene))


@metric(
    "page.value_realised",
    unit="value", better="higher", chance=_CHANCE, ceiling=_BEST, source=_README, needs=("truth",),
)  # fmt: skip
def value_realised(outcome: Outcome, scene: Scene) -> Doubles:
    """The same sum over one draw of what viewers did; its mean is that of `page.value`, its noise is not."""
    return outcome.total(scene.value(actions(outcome, scene, "did")) * first_copy(outcome, scene))


@metric(
    "page.engagement",
    unit="count", better="higher", chance=_CHANCE, ceiling="measured: preset `oracle`, which weighs all actions",
    source="evaluation per action as in arXiv:2004.13715", needs=("truth",), each="action",
)  # fmt: skip
def engagement(outcome: Outcome, scene: Scene) -> dict[str, Doubles]:
    """Expected number of posts on the page to which the viewer does it."""
    positive = [action.name for action in scene.product.actions if not action.negative and action.name != "dwell"]
    once = first_copy(outcome, scene)
    return {name: outcome.total(outcome.page[f"expected.{name}"] * once) for name in positive}


@metric(
    "page.dwell",
    unit="count", better="higher", chance=_CHANCE, ceiling=_BEST, source="funnel.core.actions", needs=("truth",),
    products=(TIMELINE,),
)  # fmt: skip
def dwell(outcome: Outcome, scene: Scene) -> Doubles:
    """Expected number of posts on the page on which the viewer stays two seconds or more."""
    return outcome.total(outcome.page["expected.dwell"] * first_copy(outcome, scene))


@metric(
    "page.negative",
    unit="count", better="lower", chance=_CHANCE, ceiling="0", source="funnel.core.actions", needs=("truth",),
)  # fmt: skip
def negative(outcome: Outcome, scene: Scene) -> Doubles:
    """Expected number of see-fewer, blocks and mutes (as one) and reports on the page."""
    # The product's negative actions; what presupposes another one is counted with that. Of a notification: wiped away,
    # disliked, or notifications turned off.
    named = [action.name for action in scene.product.actions if action.negative and action.within is None]
    expected = np.sum([outcome.page[f"expected.{name}"] for name in named], axis=0)
    return outcome.total(expected * first_copy(outcome, scene))


@metric(
    "page.satisfaction",
    unit="−1 … 1", better="higher", chance=_CHANCE, ceiling="1",
    source="stated preference beside engagement: Milli et al., PNAS Nexus 2025, pgaf062", needs=("truth",),
)  # fmt: skip
def satisfaction(outcome: Outcome, scene: Scene) -> Doubles:
    """How glad the viewer is to have seen the tweets of the page, on average; not what engagement measures."""
    return outcome.mean(outcome.page["satisfaction"])


@metric("page.tweets", unit="count", better="neither", chance="the page's size", ceiling="the page's size", source="–")
def tweets(outcome: Outcome, scene: Scene) -> Doubles:
    """Tweets on the page."""
    return outcome.counts.astype(np.float64)


@metric(
    "page.modules", unit="count", better="neither", chance="0", ceiling="–", source="twitter/the-algorithm, home-mixer",
    products=(TIMELINE,),
)  # fmt: skip
def modules(outcome: Outcome, scene: Scene) -> Doubles:
    """Advertisements, recommended accounts and other modules between the tweets."""
    return outcome.per_viewer["modules"].astype(np.float64)


@metric(
    "page.out_of_network",
    unit="share", better="neither", chance=_CHANCE, ceiling="1",
    source="half on average: Twitter's engineering blog, 2023-03-31; Ye et al., arXiv:2411.01852",
)  # fmt: skip
def out_of_network(outcome: Outcome, scene: Scene) -> Doubles:
    """Share of the page by authors whom the viewer does not follow."""
    return outcome.mean(~outcome.page["in_network"])


@metric(
    "freshness.age_h",
    unit="h", better="neither", chance=_CHANCE, ceiling="0: preset `chronological` comes closest",
    source="age at impression: xai-org/x-algorithm (age filter of 48 h)",
)  # fmt: skip
def age(outcome: Outcome, scene: Scene) -> Doubles:
    """Median age of the page's tweets."""
    median = np.full(len(outcome), np.nan)
    ages = outcome.page["age_h"]
    order = np.lexsort((ages, outcome.request))
    some = outcome.counts > 0
    low = outcome.offsets[:-1][some] + (outcome.counts[some] - 1) // 2
    high = outcome.offsets[:-1][some] + outcome.counts[some] // 2
    median[some] = (ages[order[low]].astype(np.float64) + ages[order[high]]) / 2
    return median


@metric("freshness.last_hour", unit="share", better="neither", chance=_CHANCE, ceiling="1", source="as freshness.age_h")
def last_hour(outcome: Outcome, scene: Scene) -> Doubles:
    """Share of the page that is younger than an hour."""
    return outcome.mean(outcome.page["age_h"] < 1)


@metric("freshness.stale", unit="share", better="neither", chance=_CHANCE, ceiling="0", source="as freshness.age_h")
def stale(outcome: Outcome, scene: Scene) -> Doubles:
    """Share of the page that is older than 48 hours."""
    return outcome.mean(outcome.page["age_h"] > 48)


@metric(
    "later.hits",
    unit="count", better="higher", chance=_CHANCE, ceiling="`later.listed`",
    source="All-Scenario Hitrate: Zhang et al., arXiv:2305.13647", needs=("later",),
)  # fmt: skip
def later_hits(outcome: Outcome, scene: Scene) -> Doubles:
    """Tweets on the page that the viewer publicly engaged with later, wherever that was; only if there are any."""
    listed = outcome.per_viewer["listed.later"]
    return np.where(listed > 0, outcome.per_viewer["left.later"][:, -1], np.nan).astype(np.float64)


@metric(
    "later.listed", unit="count", better="neither", chance="–", ceiling="–", source="as later.hits", needs=("later",)
)
def later_listed(outcome: Outcome, scene: Scene) -> Doubles:
    """Tweets that were there at the moment and that the viewer engaged with later."""
    return outcome.per_viewer["listed.later"].astype(np.float64)


def first_copy(outcome: Outcome, scene: Scene) -> Bools:
    """bool [n]: whether no tweet above it on the page shows the same post: nobody likes a post twice."""
    return once_per(outcome, "first copy", lambda: outcome.first(scene.original[outcome.page["tweet"]]))


def actions(outcome: Outcome, scene: Scene, what: str) -> Array:
    """[n, A] of the columns `<what>.<action>`."""
    return np.stack([outcome.page[f"{what}.{name}"] for name in scene.product.action_names], axis=1)

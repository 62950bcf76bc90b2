"""Metrics for creators: how impressions fall on those who write."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Bools, Doubles
from funnel.metrics.exposure import exposures
from funnel.metrics.metric import Statistic, metric
from funnel.metrics.outcome import Outcome
from funnel.metrics.scene import Scene

_CHANCE = "measured: preset `random`"
TOP_SHARE = 0.01
LONG_TAIL = 0.8  # of the authors, those with the fewest followers: the tail of Abdollahpouri et al., 2019
NEW_DAYS = 30


@metric(
    "creators.gini",
    unit="0 … 1", better="neither", chance=_CHANCE, ceiling="1", source="Ye, Luceri & Ferrara, arXiv:2411.01852",
)  # fmt: skip
def gini(outcome: Outcome, scene: Scene) -> Statistic:
    """Gini's coefficient of impressions over the authors of the last week: 0 all equal, 1 one has everything."""

    def statistic(weights: Doubles) -> Doubles:
        ordered = np.sort(exposures(outcome, scene, weights), axis=1)
        n = ordered.shape[1]
        with np.errstate(invalid="ignore"):
            found: Doubles = ordered @ (2.0 * np.arange(1, n + 1) - n - 1.0) / (n * ordered.sum(axis=1))
        return found

    return statistic


@metric(
    "creators.top_1_percent",
    unit="share", better="neither", chance=_CHANCE, ceiling="1",
    source="about 80 %: Lazovich et al., Patterns 2022, PMC9403369",
)  # fmt: skip
def top_share(outcome: Outcome, scene: Scene) -> Statistic:
    """Share of impressions that falls on the one in a hundred authors who get most."""

    def statistic(weights: Doubles) -> Doubles:
        shown = exposures(outcome, scene, weights)
        count = max(1, round(TOP_SHARE * shown.shape[1]))
        top = np.partition(shown, -count, axis=1)[:, -count:]
        with np.errstate(invalid="ignore"):
            found: Doubles = top.sum(axis=1) / shown.sum(axis=1)
        return found

    return statistic


@metric(
    "creators.long_tail",
    unit="share", better="neither", chance=_CHANCE, ceiling="1",
    source="average percentage of long tail items: Abdollahpouri et al., 2019",
)  # fmt: skip
def long_tail(outcome: Outcome, scene: Scene) -> Doubles:
    """Share of the page by the four in five authors of the last week with the fewest followers."""
    return outcome.mean(~followed_most(scene, 1 - LONG_TAIL)[outcome.page["author"]])


@metric(
    "creators.new",
    unit="share", better="neither", chance=_CHANCE, ceiling="1",
    source="cold start: xai-org/x-algorithm, home-mixer/params/param.rs",
)  # fmt: skip
def new(outcome: Outcome, scene: Scene) -> Doubles:
    """Share of the page by accounts made in the last 30 days."""
    created = scene.world.tables.table("users")["created_h"]
    return outcome.mean(created[outcome.page["author"]] > scene.at_h - 24 * NEW_DAYS)


@metric(
    "creators.verified",
    unit="share", better="neither", chance=_CHANCE, ceiling="1",
    source="boost of verified authors: twitter/the-algorithm, home-mixer, ScoredTweetsParam.scala",
)  # fmt: skip
def verified(outcome: Outcome, scene: Scene) -> Doubles:
    """Share of the page by accounts with the blue mark."""
    marked = scene.world.tables.table("users")["verified"]
    return outcome.mean(marked[outcome.page["author"]])


@metric(
    "creators.amplification",
    unit="ratio − 1", better="neither", chance="measured: preset `random`", ceiling="–",
    source="against chronological pages: Huszár et al., PNAS 2022, 10.1073/pnas.2025334119",
    needs=("chronological",), each="group",
)  # fmt: skip
def amplification(outcome: Outcome, scene: Scene) -> dict[str, Statistic]:
    """Impressions of a group of authors over those on chronological pages of the same viewers, less 1.

    `famous`: the one in a hundred authors with most followers; `long_tail`: four in five with the fewest. Shares of
    the impressions of each are compared, since pages differ in length.
    """
    shown = outcome.counts.astype(np.float64)
    then = outcome.per_viewer["chronological.shown"].astype(np.float64)
    found: dict[str, Statistic] = {}
    for name, share in (("famous", TOP_SHARE), ("long_tail", 1 - LONG_TAIL)):
        members = followed_most(scene, share)
        members = ~members if name == "long_tail" else members
        mine = outcome.total(members[outcome.page["author"]])
        found[name] = _ratio(mine, shown, outcome.per_viewer[f"chronological.{name}"].astype(np.float64), then)
    return found


def _ratio(mine: Doubles, shown: Doubles, chronological: Doubles, then: Doubles) -> Statistic:
    def statistic(weights: Doubles) -> Doubles:
        with np.errstate(invalid="ignore", divide="ignore"):
            return (weights @ mine / (weights @ shown)) / (weights @ chronological / (weights @ then)) - 1

    return statistic


def beside_chronological(chronological: Outcome, scene: Scene) -> dict[str, Doubles]:
    """What `creators.amplification` needs, float64 [R] by name, for `Outcome.per_viewer`."""
    author = chronological.page["author"]
    return {
        "chronological.shown": chronological.counts.astype(np.float64),
        "chronological.famous": chronological.total(followed_most(scene, TOP_SHARE)[author]),
        "chronological.long_tail": chronological.total(~followed_most(scene, 1 - LONG_TAIL)[author]),
    }


def followed_most(scene: Scene, share: float) -> Bools:
    """bool [U]: whether an account has as many followers as the most followed `share` of last week's authors."""
    followers = scene.followers[scene.writers]
    if not followers.size:
        return np.zeros(scene.followers.size, np.bool_)
    return scene.followers >= max(1.0, float(np.quantile(followers, 1 - share)))

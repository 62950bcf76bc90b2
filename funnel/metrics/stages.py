"""Metrics of stages: who survives them, what of the good they keep, how rankers agree, and what they cost."""

# ruff: noqa: ARG001 - a metric keeps the signature of its contract

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from funnel.core.arrays import Doubles, Longs
from funnel.metrics.metric import Statistic, metric
from funnel.metrics.outcome import Outcome
from funnel.metrics.scene import Scene

_LCRON = "survival through the cascade: LCRON, arXiv:2503.09492"
_ASH = "All-Scenario Hitrate: Zhang et al., arXiv:2305.13647"


@metric(
    "stage.survival",
    unit="share",
    better="neither",
    chance="1 − share removed",
    ceiling="1",
    source=_LCRON,
    needs=("counts",),
    each="stage",
)
def survival(outcome: Outcome, scene: Scene) -> dict[str, Doubles]:
    """Of the candidates that come into a stage, those that it lets through."""
    removed = outcome.per_viewer["removed"]
    return {name: _share(entered - removed[:, place], entered) for place, name, entered in _entered(outcome)}


@metric(
    "stage.candidates",
    unit="count",
    better="neither",
    chance="–",
    ceiling="–",
    source="cost: Twitter's engineering blog, 2023-03-31",
    needs=("counts",),
    each="stage",
)
def candidates(outcome: Outcome, scene: Scene) -> dict[str, Doubles]:
    """Candidates that come into a stage."""
    return {name: entered.astype(np.float64) for _, name, entered in _entered(outcome)}


@metric(
    "stage.ms",
    unit="ms",
    better="lower",
    chance="–",
    ceiling="–",
    source="cost: Twitter's engineering blog, 2023-03-31",
    each="stage",
)
def milliseconds(outcome: Outcome, scene: Scene) -> dict[str, float]:
    """Wall time of a stage with its features, per request; what it saves by sharing earlier work is not charged."""
    requests = max(len(outcome), 1)
    return {name: float(outcome.wall_ms[place]) / requests for place, (name, _) in enumerate(outcome.stages)}


@metric(
    "stage.best_left",
    unit="share", better="higher", chance="candidates left / eligible tweets", ceiling="1",
    source="joint recall: LCRON, arXiv:2503.09492; " + _ASH, needs=("best",), each="stage",
)  # fmt: skip
def best_left(outcome: Outcome, scene: Scene) -> dict[str, Doubles]:
    """Of the 100 eligible tweets truly worth most to the viewer, those left after a stage (or found by a source)."""
    return _left(outcome, "best")


@metric(
    "stage.later_left",
    unit="share", better="higher", chance="candidates left / tweets there are", ceiling="1", source=_ASH,
    needs=("later",), each="stage",
)  # fmt: skip
def later_left(outcome: Outcome, scene: Scene) -> dict[str, Doubles]:
    """ASH: of the tweets that the viewer engaged with later, anywhere, those that are left after a stage."""
    return _left(outcome, "later")


@metric(
    "stage.kept_best",
    unit="share", better="higher", chance="`stage.survival`", ceiling="1", source=_ASH,
    needs=("truth", "candidates"), each="stage",
)  # fmt: skip
def kept_best(outcome: Outcome, scene: Scene) -> dict[str, Doubles]:
    """Of the 35 truly best candidates that came into a stage, those let through; 1 where it removes nothing."""
    kept = outcome.per_viewer["kept_best"]
    found = {}
    for place, name, entered in _entered(outcome):
        nothing_lost = (entered > 0) & np.isnan(kept[:, place])
        found[name] = np.where(nothing_lost, 1.0, kept[:, place])
    return found


@metric(
    "rank.ndcg",
    unit="0 … 1", better="higher", chance="measured: leave the ranker out by `random`", ceiling="1",
    source="Järvelin & Kekäläinen, TOIS 2002; full lists: Krichene & Rendle, KDD 2020",
    needs=("truth", "candidates"), each="score",
)  # fmt: skip
def rank_ndcg(outcome: Outcome, scene: Scene) -> dict[str, Doubles]:
    """NDCG at 35 of a score over all candidates that have it, with the true value as gain."""
    mark = "ndcg."
    return {name[len(mark) :]: values for name, values in outcome.per_viewer.items() if name.startswith(mark)}


@metric(
    "rank.calibration",
    unit="ratio", better="neither", chance="–", ceiling="1", source="He et al., ADKDD 2014",
    needs=("truth",), each="action",
)  # fmt: skip
def calibration(outcome: Outcome, scene: Scene) -> dict[str, Statistic]:
    """What the heavy ranker predicts for the tweets shown, over their true probability at their places: 1 is right.

    What is shown was chosen by the prediction, so that errors upwards prevail: above 1 even for a ranker that is
    calibrated on all candidates.
    """
    found: dict[str, Statistic] = {}
    for name in scene.product.action_names:
        if f"p.{name}" in outcome.page:
            predicted = outcome.total(outcome.page[f"p.{name}"])
            found[name] = _ratio(predicted, outcome.total(outcome.page[f"expected.{name}"]))
    return found


@metric(
    "consistency.recall",
    unit="share", better="higher", chance="share of candidates that are kept", ceiling="1",
    source="LCRON, arXiv:2503.09492; COPR, arXiv:2306.03516", needs=("full pool",),
)  # fmt: skip
def consistency_recall(outcome: Outcome, scene: Scene) -> Doubles:
    """Of the 35 candidates that the next ranker puts first when it scores all, those that the light ranker keeps."""
    return outcome.per_viewer["consistency.recall"]


@metric(
    "consistency.kendall",
    unit="−1 … 1", better="higher", chance="0", ceiling="1", source="LCRON (get_kendall_tau_topN), arXiv:2503.09492",
    needs=("full pool",),
)  # fmt: skip
def consistency_kendall(outcome: Outcome, scene: Scene) -> Doubles:
    """Kendall's tau-b between the light ranker's score and the next ranker's among what the light ranker keeps."""
    return outcome.per_viewer["consistency.kendall"]


@metric(
    "consistency.ndcg",
    unit="0 … 1", better="higher", chance="–", ceiling="1", source="Järvelin & Kekäläinen, TOIS 2002",
    needs=("full pool",),
)  # fmt: skip
def consistency_ndcg(outcome: Outcome, scene: Scene) -> Doubles:
    """NDCG at 35 of the light ranker's score over all candidates, with the next ranker's value as gain."""
    return outcome.per_viewer["consistency.ndcg"]


@metric(
    "source.survival",
    unit="share",
    better="neither",
    chance="page / candidates",
    ceiling="1",
    source=_LCRON,
    needs=("counts",),
    each="source",
)
def source_survival(outcome: Outcome, scene: Scene) -> dict[str, Doubles]:
    """Of the candidates that a source found, those that reach the page."""
    found, removed = outcome.per_viewer["found"], outcome.per_viewer["removed_from"].sum(axis=1)
    return {
        name: _share(found[:, number] - removed[:, number], found[:, number])
        for number, name in enumerate(outcome.sources)
    }


@metric(
    "source.share",
    unit="share",
    better="neither",
    chance="share of candidates",
    ceiling="1",
    source="GraphJet's 15 %: Twitter's engineering blog, 2023-03-31",
    each="source",
)
def source_share(outcome: Outcome, scene: Scene) -> dict[str, Doubles]:
    """Share of the page that a source found, alone or among others."""
    return {name: outcome.mean(outcome.page[f"from.{name}"]) for name in outcome.sources}


@metric(
    "source.only",
    unit="share",
    better="neither",
    chance="share of candidates",
    ceiling="1",
    source="unique contribution of a source",
    each="source",
)
def source_only(outcome: Outcome, scene: Scene) -> dict[str, Doubles]:
    """Share of the page that no other source found."""
    found = {name: outcome.page[f"from.{name}"] for name in outcome.sources}
    by = np.sum(list(found.values()), axis=0)
    return {name: outcome.mean(mine & (by == 1)) for name, mine in found.items()}


def _entered(outcome: Outcome) -> Iterator[tuple[int, str, Longs]]:
    """(place, name, candidates that come in, int64 [R]) of every stage after the merge that looks at candidates."""
    alive = outcome.per_viewer["retrieved"].astype(np.int64)
    for place, (name, kind) in enumerate(outcome.stages):
        if kind in ("filter", "scorer", "boost", "selector"):
            yield place, name, alive
            alive = alive - outcome.per_viewer["removed"][:, place]


def _left(outcome: Outcome, what: str) -> dict[str, Doubles]:
    left, listed = outcome.per_viewer[f"left.{what}"], outcome.per_viewer[f"listed.{what}"]
    kinds = ("source", "merge", "filter", "scorer", "selector")
    return {name: _share(left[:, place], listed) for place, (name, kind) in enumerate(outcome.stages) if kind in kinds}


def _share(part: Longs, whole: Longs) -> Doubles:
    """float64 [R], NaN where there is no whole."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _ratio(over: Doubles, under: Doubles) -> Statistic:
    def statistic(weights: Doubles) -> Doubles:
        with np.errstate(invalid="ignore", divide="ignore"):
            return weights @ over / (weights @ under)

    return statistic

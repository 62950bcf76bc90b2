"""How good the rankers are on impressions that they never saw, beside what a simpler thing would do.

RCE, relative cross entropy, is 100 × (1 − CE(model) / CE(base rate)): 0 is as good as always saying
the base rate, 100 is perfect (Belli et al., arXiv:2004.13715).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.progress import SILENT, Progress
from funnel.core.rng import stream
from funnel.core.stage import Scorer
from funnel.core.world import Columns
from funnel.features import hydrate
from funnel.features.logged import labels, logged_batch
from funnel.learn.resampled import page_weights, reliability, weighted_auc, weighted_losses, weighted_pr_auc

if TYPE_CHECKING:
    from funnel.pipeline import Funnel

HELD_OUT_REQUESTS = 5_000  # about 100,000 impressions: an interval of about ±0.01 on the favourite's AUC
ROWS_AT_ONCE = 20_000  # bounds memory
RESAMPLES, SEGMENT_RESAMPLES = 100, 40
NEW_ACCOUNT_H = 730.5  # a month
LEAST_POSITIVES = 10  # below that an AUC says nothing
POPULARITY = "tweet.favorite.count"  # the baseline that knows nothing of the viewer
KEPT = ("author", POPULARITY, "in_network", "author_verified")


def held_out_table(
    funnel: Funnel, *, seed: int = 0, progress: Progress = SILENT, requests: int = HELD_OUT_REQUESTS
) -> list[dict[str, object]]:
    """Metrics of every ranker on impressions logged after the training's end.

    The impressions are those of the funnel's product: of notifications, what was sent.
    One dictionary per ranker and head: `stage`, `head`, `impressions`, `positives`, `auc` with a 95 %
    interval (`auc_low`, `auc_high`; bootstrap over requests), and on the same impressions the
    baselines: `auc_popularity` (favourites so far), for the heavy ranker `auc_light`, with the paired
    interval of the gain over it (`gain_low`, `gain_high`), and `auc_oracle`, of the true probabilities where a world
    has them. A head of the heavy ranker also has `pr_auc`, `log_loss`, `rce` (percent better than the base rate),
    `nrce` and `ece`, with intervals, `base_rate`, its `reliability` curve, and `segments`: the same by in and out of
    network, viewers whose accounts are new, and verified authors. What too few positives leave open is None.
    """
    rows = _held_out_rows(funnel, requests, seed)
    if not rows.size:
        return []
    scores = _scored(funnel, rows, progress)
    view = funnel.world.view()
    product = funnel.product
    log = view.shown(product)
    judge = _Judge(page_weights(_request(log)[rows], RESAMPLES, seed), _segments(scores, log["viewer"][rows], funnel))
    done, code_of = labels(view, rows, product), product.action_code
    truth = _truth(funnel, rows)
    popularity = scores[POPULARITY]
    table: list[dict[str, object]] = []
    light = scores.get("light_score")
    if light is not None:
        first, *more = product.engaging
        heads: dict[str, Bools] = {first: done[:, code_of[first]]}
        if more:
            public: Bools = np.logical_or.reduce([done[:, code_of[name]] for name in product.engaging])
            heads = {"any public action": public, **heads}
        for head, happened in heads.items():
            others = {"popularity": popularity}
            table.append({"stage": "light_ranker", "head": head, **judge.compare(light, happened, others)})
    for action in product.heads:
        predicted = scores.get(f"p.{action}")
        if predicted is not None:
            code = code_of[action]
            happened = done[:, code]
            others = {"popularity": popularity}
            others |= {} if light is None else {"light": light}
            others |= {} if truth is None else {"oracle": truth[:, code]}
            metrics = judge.compare(predicted, happened, others) | judge.calibration(predicted, happened)
            table.append({"stage": "heavy_ranker", "head": action, **metrics})
    return table


def _segments(scores: dict[str, Floats], viewer: Ints, funnel: Funnel) -> dict[str, Bools]:
    """Which impressions are in each segment."""
    inside, verified = scores["in_network"].astype(np.bool_), scores["author_verified"].astype(np.bool_)
    age_h = funnel.world.meta.train_until_h - funnel.world.view().users["created_h"][viewer]
    new: Bools = age_h < NEW_ACCOUNT_H
    return {
        "in network": inside,
        "out of network": ~inside,
        "new viewers": new,
        "other viewers": ~new,
        "verified authors": verified,
        "other authors": ~verified,
    }


def _truth(funnel: Funnel, rows: Longs) -> Floats | None:
    """float32 [n, A]: the world's own probabilities at the places where the tweets were shown, if it has them."""
    oracle, log = funnel.world.oracle_of(funnel.product), funnel.world.view().shown(funnel.product)
    if oracle is None:
        return None
    place = log["position"][rows].astype(np.int32) if "position" in log else np.zeros(rows.size, np.int32)
    return oracle.probabilities(log["viewer"][rows], log["tweet"][rows], place, log["time_h"][rows])


def _held_out_rows(funnel: Funnel, requests: int, seed: int) -> Longs:
    """Row numbers of the impressions of some requests after the training's end."""
    log = funnel.world.view().shown(funnel.product)
    first = int(np.searchsorted(log["time_h"], funnel.world.meta.train_until_h, side="left"))
    request = _request(log)[first:]
    known = np.unique(request)
    if known.size > requests:
        known = stream(seed, "held-out requests").choice(known, requests, replace=False)
    return first + np.flatnonzero(np.isin(request, known))


def _request(log: Columns) -> Array:
    """int [n]: which impressions were one page; each notification is one of its own."""
    return log["request"] if "request" in log else np.arange(log["viewer"].size)


def _scored(funnel: Funnel, rows: Longs, progress: Progress) -> dict[str, Floats]:
    """What every scorer says of logged impressions, each at its own moment, and the popularity baseline."""
    view = funnel.world.view(assets=funnel.assets)
    scorers = [slot.part for slot in funnel.stages if isinstance(slot.part, Scorer)]
    parts: list[dict[str, Array]] = []
    with progress.bar("held-out impressions", rows.size) as bar:
        for begin in range(0, rows.size, ROWS_AT_ONCE):
            batch = hydrate(logged_batch(view, rows[begin : begin + ROWS_AT_ONCE], funnel.product), KEPT)
            for scorer in scorers:
                batch = hydrate(batch, scorer.needs)
                batch = batch.with_columns(scorer.score(batch))
            kept = [*KEPT, *(name for scorer in scorers for name in scorer.adds)]
            parts.append({name: batch[name] for name in kept})
            bar.advance(len(batch))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True)
class _Judge:
    """weights: float32 [1 + RESAMPLES, n], of which the first row is ones; segments: bool [n] by name."""

    weights: Floats
    segments: dict[str, Bools]

    def compare(self, score: Floats, happened: Bools, others: dict[str, Floats]) -> dict[str, object]:
        """AUC with its interval, and that of others on the same impressions."""
        positives = int(happened.sum())
        found: dict[str, object] = {"impressions": happened.size, "positives": positives}
        if positives < LEAST_POSITIVES or positives == happened.size:
            return found | {"auc": None}
        drawn = weighted_auc(score, happened, self.weights)
        found |= _with_interval("auc", drawn)
        for name, other in others.items():
            if name != "light":
                found[f"auc_{name}"] = float(weighted_auc(other, happened, self.weights[:1])[0])
                continue
            light = weighted_auc(other, happened, self.weights)
            low, high = np.quantile((drawn - light)[1:], (0.025, 0.975))
            found |= {"auc_light": float(light[0]), "gain_low": float(low), "gain_high": float(high)}
        return found

    def calibration(self, p: Floats, happened: Bools) -> dict[str, object]:
        """What probabilities are judged by beyond their order, over all impressions and by segment."""
        if not LEAST_POSITIVES <= int(happened.sum()) < happened.size:
            return {"rce": None}
        found: dict[str, object] = {"base_rate": float(happened.mean())}
        measured = {"pr_auc": weighted_pr_auc(p, happened, self.weights), **weighted_losses(p, happened, self.weights)}
        for name, drawn in measured.items():
            found |= _with_interval(name, drawn)
        found["reliability"] = reliability(p, happened)
        found["segments"] = {name: self._of_segment(p, happened, chosen) for name, chosen in self.segments.items()}
        return found

    def _of_segment(self, p: Floats, happened: Bools, chosen: Bools) -> dict[str, object]:
        positives = int(happened[chosen].sum())
        found: dict[str, object] = {"impressions": int(chosen.sum()), "positives": positives}
        if not LEAST_POSITIVES <= positives < int(chosen.sum()):
            return found | {"auc": None}
        weights = self.weights[: 1 + SEGMENT_RESAMPLES, chosen]
        found |= _with_interval("auc", weighted_auc(p[chosen], happened[chosen], weights))
        for name, drawn in weighted_losses(p[chosen], happened[chosen], weights).items():
            found |= _with_interval(name, drawn)
        return found


def _with_interval(name: str, drawn: Doubles) -> dict[str, object]:
    """The measure of the rows as they are (the first), and its 95 % interval without resamples that lack positives."""
    low, high = np.nanquantile(drawn[1:], (0.025, 0.975))
    return {name: float(drawn[0]), f"{name}_low": float(low), f"{name}_high": float(high)}

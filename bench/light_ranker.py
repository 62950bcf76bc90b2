"""What the light rankers keep of the heavy ranker's choice, and what they cost.

    python -m bench.light_ranker [--world small] [--requests 200] [--json]    # the offline metrics
    python -m bench.light_ranker --speed [--json]                             # 1,500 candidates
    python -m bench.light_ranker --features                                   # the table of docs/light_ranker.md

The metrics: every candidate that the sources of `twitter_2023` find and its filters leave, of viewers at moments after
the training's end, is scored by all light rankers and by the heavy ranker; nothing is cut. `top_recall` is the share of
the heavy ranker's best 50 among the light ranker's best 400. AUC is that of logged impressions after the training's end
(any favourite, retweet or reply). Intervals are 95 %, by a bootstrap over requests.

The speed: processor time of `score` on a batch of 1,500 candidates with 32 bins a feature and features at random, next
to NumPy's searchsorted and to scikit-learn's predict_proba on the same tables, which must agree; and on candidates of
the world, the same with every feature computed from its events.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from time import process_time

import numpy as np

from bench.ceilings import best, machine
from funnel.compose import Slot, read_slots
from funnel.core import rng
from funnel.core.actions import ACTION_CODE, PUBLIC_ACTIONS
from funnel.core.arrays import Array, Bools, Doubles, Floats
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import FunnelWarning
from funnel.core.stage import Filter, Scorer, Source
from funnel.core.world import PlatformView, WorldMeta, WorldTables
from funnel.features import FEATURES, hydrate
from funnel.features.logged import labels, logged_batch
from funnel.learn.resampled import weighted_auc
from funnel.pipeline import MICRO_BATCH, Funnel, score_pool
from funnel.report import TerminalProgress, console, fields, rows_table
from funnel.world import World
from light_ranker.binned import Binned
from light_ranker.distilled import Distilled
from light_ranker.evaluation import offline_metrics, with_intervals
from light_ranker.features import feature_table
from light_ranker.legacy_score import LegacyScore
from light_ranker.light_ranker import LightRanker
from light_ranker.source_cuts import SourceCuts

FUNNEL, HITS = "twitter_2023", {"in_network": 1000, "uteg": 800}
KEPT, TOP = 400, 50
MOMENTS = 4  # after the training's end
HELD_OUT_PAGES, RESAMPLES, ROWS_AT_ONCE = 2_500, 200, 20_000
CANDIDATES, BINS, ROUNDS = 1_500, 32, 200
# What is compared: a name for people and the column.
SCORES = {
    "random": "baseline.random",
    "recency": "baseline.recency",
    "legacy": "legacy_score",
    "light ranker": "light_score",
    "distilled": "distilled_score",
}


def metrics(world_name: str, requests: int) -> dict[str, object]:
    """Figures of every light ranker, and the size of what they were compared on."""
    world = World.load(world_name, progress=TerminalProgress())
    funnel, pool = _funnel(world)
    funnel.ensure_trained(progress=TerminalProgress())
    asked = _later_requests(funnel, requests)
    parts = [_scored_pool(funnel, pool, one) for one in asked]
    counts = np.concatenate([part.counts for part in parts])
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    columns = {
        name: np.concatenate([part[name] for part in parts]) for name in (*SCORES.values(), "tweet", "value", "shown")
    }
    aucs = _aucs(funnel)
    table = []
    for name, column in SCORES.items():
        found = offline_metrics(
            offsets, columns["tweet"], columns[column], columns["value"], kept=KEPT, top=TOP, shown=columns["shown"]
        )
        table.append({"ranker": name, **aucs[name], **with_intervals(found)})
    return {
        "machine": machine(),
        "world": world.name,
        "requests": int(counts.size),
        "candidates_mean": float(counts.mean()),
        "requests_above_kept": int((counts > KEPT).sum()),
        "kept": KEPT,
        "top": TOP,
        "rankers": table,
    }


def _funnel(world: World) -> tuple[Funnel, list[Slot]]:
    """The funnel without any cut, all light rankers in it; and its stages up to the value."""
    about, jobs, stages = read_slots(FUNNEL)
    stages = [
        replace(slot, quota=HITS.get(slot.name, slot.quota)) for slot in stages if not isinstance(slot.part, SourceCuts)
    ]
    place = next(number for number, slot in enumerate(stages) if isinstance(slot.part, LightRanker))
    light = [
        replace(stages[place], keep=None),
        Slot("legacy_score", "legacy_score", LegacyScore()),
        Slot("distilled", "distilled", Distilled()),
    ]
    stages[place : place + 1] = light
    funnel = Funnel("all light rankers", about=about, world=world, jobs=jobs, stages=stages)
    pool = [slot for slot in stages if isinstance(slot.part, Source | Scorer)]
    before = [slot for slot in stages[:place] if isinstance(slot.part, Filter)]
    sources = sum(isinstance(slot.part, Source) for slot in pool)
    return funnel, [*pool[:sources], *before, *pool[sources:]]


def _later_requests(funnel: Funnel, count: int) -> list[Requests]:
    """Drawn viewers at moments between the training's end and the world's, some at once."""
    meta = funnel.world.meta
    draw = rng.stream(0, "light ranker bench")
    viewers = draw.choice(meta.viewer_count, count, replace=count > meta.viewer_count).astype(np.int32)
    moments = meta.train_until_h + (meta.end_h - meta.train_until_h) * np.arange(1, MOMENTS + 1) / MOMENTS
    asked = []
    for moment, some in zip(moments, np.array_split(viewers, MOMENTS), strict=True):
        view = funnel.world.view(float(moment), assets=funnel.assets)
        asked += [Requests.of(some[at : at + MICRO_BATCH], moment, view) for at in range(0, some.size, MICRO_BATCH)]
    return asked


def _scored_pool(funnel: Funnel, pool: list[Slot], requests: Requests) -> CandidateBatch:
    """All candidates with all scores, and which of them the funnel shows if nothing is cut."""
    batch = hydrate(score_pool(pool, requests), ("age_h",))
    page = funnel.run_batch(requests, detail=False).page
    shown = np.isin(_pairs(batch), _pairs(page))
    return batch.with_columns({"shown": shown, **_baselines(batch)})


def _pairs(batch: CandidateBatch) -> Array:
    return (batch.request << 32) | batch["tweet"]


def _baselines(batch: CandidateBatch) -> dict[str, Floats]:
    drawn = rng.uniform(0, "light ranker baseline", batch.viewer, batch["tweet"])
    return {"baseline.random": drawn.astype(np.float32), "baseline.recency": -batch["age_h"]}


def _aucs(funnel: Funnel) -> dict[str, dict[str, float]]:
    """AUC on logged impressions of pages after the training's end, with its interval, for each of SCORES."""
    view = funnel.world.view(assets=funnel.assets)
    log = view.impressions
    first = int(np.searchsorted(log["time_h"], funnel.world.meta.train_until_h, side="left"))
    pages = np.unique(log["request"][first:])
    if pages.size > HELD_OUT_PAGES:
        pages = rng.stream(0, "light ranker bench pages").choice(pages, HELD_OUT_PAGES, replace=False)
    rows = first + np.flatnonzero(np.isin(log["request"][first:], pages))
    scorers = [slot.part for slot in funnel.stages if slot.name in ("light_ranker", "legacy_score", "distilled")]
    parts: list[dict[str, Array]] = []
    for begin in range(0, rows.size, ROWS_AT_ONCE):
        batch = hydrate(logged_batch(view, rows[begin : begin + ROWS_AT_ONCE]), ("author", "age_h"))
        found = _baselines(batch)
        for scorer in scorers:
            assert isinstance(scorer, Scorer)
            found |= scorer.score(hydrate(batch, scorer.needs))
        parts.append({name: np.asarray(values) for name, values in found.items()})
    done = labels(view, rows)
    public: Bools = np.logical_or.reduce([done[:, ACTION_CODE[name]] for name in PUBLIC_ACTIONS])
    _, place = np.unique(log["request"][rows], return_inverse=True)
    drawn = rng.stream(0, "light ranker bench bootstrap").poisson(1.0, (RESAMPLES, int(place.max()) + 1))
    weights = drawn[:, place].astype(np.float32)
    said = {}
    for name, column in SCORES.items():
        score = np.concatenate([part[column] for part in parts])
        low, high = np.nanquantile(weighted_auc(score, public, weights), (0.025, 0.975))
        auc = float(weighted_auc(score, public, np.ones((1, rows.size), np.float32))[0])
        said[name] = {"auc": auc, "auc_low": float(low), "auc_high": float(high)}
    return said


def speed(world_name: str | None) -> dict[str, object]:
    """Milliseconds for 1,500 candidates: ours, NumPy's, scikit-learn's; with a world, also with features computed."""
    ranker, batch = _synthetic()
    assert ranker.model_ is not None
    values = np.stack([batch[name].astype(np.float32) for name in ranker._features], axis=1)
    side = batch["in_network"].astype(np.int64)
    by_sklearn = _sklearn(ranker.model_)
    ours, plain, learnt = (
        ranker.score(batch)["light_score"],
        _plain(ranker.model_, batch, ranker._features),
        by_sklearn(values, side),
    )
    assert np.allclose(ours, plain, atol=1e-5)
    assert np.allclose(ours, learnt, atol=1e-5)
    ours_ms = _busy_ms(lambda: ranker.score(batch))
    numpy_ms = _busy_ms(lambda: _plain(ranker.model_, batch, ranker._features))  # type: ignore[arg-type]
    sklearn_ms = _busy_ms(lambda: by_sklearn(values, side))
    said: dict[str, object] = {
        "machine": machine(),
        "candidates": CANDIDATES,
        "features": len(ranker._features),
        "ours_ms": ours_ms,
        "numpy_ms": numpy_ms,
        "sklearn_ms": sklearn_ms,
        "numpy_over_ours": numpy_ms / ours_ms,
        "sklearn_over_ours": sklearn_ms / ours_ms,
    }
    return said | (_with_features(world_name) if world_name is not None else {})


def _synthetic() -> tuple[LightRanker, CandidateBatch]:
    """A light ranker with tables at random, and one request's candidates with all its columns, flags among them."""
    draw = rng.stream(0, "light ranker speed")
    ranker = LightRanker(bins=BINS)
    columns: dict[str, Array] = {"in_network": draw.random(CANDIDATES) < 0.5}
    count = len(ranker._features)
    boundaries = np.full((2, count, BINS - 1), np.inf, np.float32)
    for place, name in enumerate(ranker._features):
        if FEATURES[name].unit == "flag":
            columns[name] = draw.random(CANDIDATES) < 0.2
            boundaries[:, place, 0] = 0.0
        else:
            columns[name] = np.exp(draw.normal(size=CANDIDATES)).astype(np.float32)
            boundaries[:, place] = np.sort(np.exp(draw.normal(size=(2, BINS - 1))))
    weights: Floats = (draw.normal(size=(2, count, BINS)) / 8).astype(np.float32)
    ranker.model_ = Binned(boundaries, weights, np.full(2, -3.0, np.float32))
    world = WorldTables(WorldMeta("speed", end_h=1.0, train_until_h=1.0, viewer_count=1), {})
    requests = Requests.of([0], 1.0, PlatformView(world, 1.0))
    return ranker, CandidateBatch.of(requests, [CANDIDATES], tweet=np.arange(CANDIDATES, dtype=np.int32), **columns)


def _plain(model: Binned, batch: CandidateBatch, features: tuple[str, ...]) -> Doubles:
    """The same in NumPy: one searchsorted a feature and side."""
    inside = batch["in_network"]
    total = np.where(inside, model.bias[1], model.bias[0]).astype(np.float64)
    for side, rows in ((0, np.flatnonzero(~inside)), (1, np.flatnonzero(inside))):
        for place, name in enumerate(features):
            values = batch[name][rows].astype(np.float32)
            bins = np.searchsorted(model.boundaries[side, place], values, side="left")
            total[rows] += model.weights[side, place, bins]
    return np.asarray(1 / (1 + np.exp(-total)))


def _sklearn(model: Binned) -> Callable[[Floats, Array], Doubles]:
    """The same by two of scikit-learn's logistic regressions on a sparse matrix of bins."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    count, bins = model.weights.shape[1:]
    learnt = []
    for side in (0, 1):
        regression = LogisticRegression()
        regression.classes_ = np.array([False, True])
        regression.coef_ = model.weights[side].reshape(1, -1).astype(np.float64)
        regression.intercept_ = model.bias[side : side + 1].astype(np.float64)
        learnt.append(regression)

    def predict(values: Floats, side: Array) -> Doubles:
        out = np.empty(side.size)
        for number, regression in enumerate(learnt):
            rows = np.flatnonzero(side == number)
            places = [
                np.searchsorted(model.boundaries[number, f], values[rows, f], side="left") + f * bins
                for f in range(count)
            ]
            indices = np.stack(places, axis=1).ravel()
            starts = np.arange(rows.size + 1) * count
            binary = csr_matrix((np.ones(indices.size), indices, starts), shape=(rows.size, count * bins))
            out[rows] = regression.predict_proba(binary)[:, 1]
        return out

    return predict


def _with_features(world_name: str) -> dict[str, object]:
    """Milliseconds a request of features and score, for candidates as the funnel's sources and filters leave them."""
    world = World.load(world_name, progress=TerminalProgress())
    funnel, pool = _funnel(world)
    funnel.ensure_trained(progress=TerminalProgress())
    ranker = next(slot.part for slot in pool if isinstance(slot.part, LightRanker))
    before = [slot for slot in pool if isinstance(slot.part, Source | Filter)]
    requests = _later_requests(funnel, MOMENTS * MICRO_BATCH)[-1]
    bare = score_pool(before, requests).only(("tweet", "author"))
    took = _busy_ms(lambda: ranker.score(hydrate(bare, ranker.needs)), rounds=5)
    return {
        "world": world_name,
        "candidates_a_request": len(bare) / len(requests),
        "with_features_ms": took / len(requests),
    }


def _busy_ms(work: Callable[[], object], *, rounds: int = ROUNDS) -> float:
    """Processor time: other work may share the cores."""
    return 1e3 * best(work, rounds=rounds, clock=process_time)


def _shown_table(table: list[dict[str, object]]) -> list[dict[str, object]]:
    """Figures with their intervals in one cell."""
    names = ("auc", "top_recall", "percent_recall", "shown_recall", "pair_order", "score_recall")
    return [
        {"ranker": row["ranker"], **{n: f"{row[n]:.3f} [{row[f'{n}_low']:.3f}, {row[f'{n}_high']:.3f}]" for n in names}}
        for row in table
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What the light rankers keep of the heavy ranker's choice, and cost.")
    parser.add_argument("--world", default=None, help="small, unless --speed is asked for")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", FunnelWarning)
    if asked.features:
        sys.stdout.write(feature_table())
        return
    found = speed(asked.world) if asked.speed else metrics(asked.world or "small", asked.requests)
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    out = console()
    out.print(
        fields({key: value for key, value in found.items() if key not in ("rankers", "machine")}, title="Light rankers")
    )
    if "rankers" in found:
        out.print(rows_table(_shown_table(found["rankers"]), title="95 % intervals"))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()

"""How well the heavy ranker predicts held-out impressions, beside simpler models on the same features and the truth.

    python -m bench.quality [--world small] [--seed 0] [--requests 1500] [--examples 40000] [--bound [--docs]] [--json]

For every head: AUC and RCE of the MaskNet, of logistic regression and of gradient-boosted trees on the same features
and examples, with --examples also of the network as served, and of the oracle's own probability, which
nobody can beat. Differences have 95 % intervals (bootstrap
over requests, paired). Then the same by segment: in and out of network, newer and older accounts of viewers,
verified authors. --seed names another world of the same kind, one that no setting was chosen on.

--bound asks instead how much of the oracle's AUC of the favourite is within reach: the oracle without one of its causes
after the other (the place on the page is not known when a ranker scores; how much a viewer likes an author and how good
a tweet is show themselves in a handful of impressions), what a perfect reader of the log could know of these two, and
boosted trees on the features and on true causes besides (--examples 0 leaves these out). --docs writes the table into
docs/heavy_ranker.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields as fields_of
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from bench.ceilings import machine
from funnel.compose import load_funnel
from funnel.core.actions import ACTION_CODE, ACTIONS, HEAVY_ACTIONS
from funnel.core.arrays import Array, Bools, Doubles, Floats, Longs
from funnel.core.errors import ConfigError
from funnel.core.rng import stream
from funnel.core.world import PlatformView, WorldTables
from funnel.features import matrix, model_features
from funnel.features.kernels import pair_slots
from funnel.features.logged import labels, logged_batch
from funnel.learn.calibration import calibrate, mean_matching_ratio
from funnel.learn.metrics import auc, calibration_error, rce
from funnel.report import TerminalProgress, console, fields, rows_table
from funnel.world import World
from heavy_ranker.examples import Examples, sample_log, with_features
from heavy_ranker.heavy_ranker import HeavyRanker
from heavy_ranker.inputs import inputs
from heavy_ranker.training import fit_network
from synthetic.behaviour import SLOPES, ResponseModel, Truth
from synthetic.settings import Utility

DOCS = Path(__file__).parents[1] / "docs" / "heavy_ranker.md"
BEGIN, END = "<!-- python -m bench.quality --bound --docs -->", "<!-- end of the table -->"
LEAST_POSITIVES = 20  # below that an AUC says nothing
RESAMPLES = 60
UTILITY = [field.name for field in fields_of(Utility)]  # causes of a favourite, in the order of the truth's weights
Measure = Callable[..., float]
MEASURES: dict[str, Measure] = {"auc": auc, "rce": rce}
Predictions = dict[str, Floats]  # model -> float32 [n, A]


def measure(world_name: str, *, seed: int = 0, requests: int, examples: int | None) -> dict[str, object]:
    """Rows by head and by segment; seed: of the world."""
    progress = TerminalProgress()
    world = World.load(world_name, progress=progress, seed=seed)
    funnel = load_funnel(world.meta.default_funnel, world)
    funnel.ensure_trained(progress=progress)
    ranker = next(slot.part for slot in funnel.stages if isinstance(slot.part, HeavyRanker))
    assert ranker.network_ is not None
    names, vectors = ranker.network_.features, ranker.network_.embeddings
    past = world.view(world.meta.train_until_h, assets=funnel.assets)
    sample = sample_log(past, limit=examples or ranker.max_examples, validation_share=ranker.validation_share, seed=0)
    learnt = with_features(sample, past, names, vectors, progress=progress)
    view = world.view(assets=funnel.assets)
    rows = _held_out(view.impressions["request"], view.impressions["time_h"], world.meta.train_until_h, requests)
    batch = logged_batch(view, rows)
    x = inputs(batch, names, vectors)
    done = labels(view, rows)[:, [ACTION_CODE[name] for name in HEAVY_ACTIONS]]
    served = ranker.network_.probabilities(x)  # learnt from the very sample that `examples` None draws
    predictions: Predictions = {"masknet": served, **_others(learnt, x)}
    if examples is not None:
        network, _, _ = fit_network(learnt, ranker, seed=0, progress=progress)
        predictions |= {"masknet": network.probabilities(x), "served": served}
    if world.oracle is not None:
        log = {name: view.impressions[name][rows] for name in ("viewer", "tweet", "position", "time_h")}
        truth = world.oracle.probabilities(log["viewer"], log["tweet"], log["position"], log["time_h"])
        predictions["oracle"] = truth[:, [ACTION_CODE[name] for name in HEAVY_ACTIONS]]
    weights = _resampled(view.impressions["request"][rows])
    segments = _segments(x, names)
    return {
        "machine": machine(),
        "world": world.name,
        "seed": seed,
        "examples": sample.training,
        "impressions": int(rows.size),
        "heads": [_head(name, i, done, predictions, weights) for i, name in enumerate(HEAVY_ACTIONS)],
        "means": _means(done, predictions, weights),
        "segments": [_segment(name, chosen, done, predictions) for name, chosen in segments.items()],
    }


def bound(world_name: str, *, seed: int = 0, requests: int, examples: int) -> dict[str, object]:
    """AUC of the favourite on held-out impressions by what is known; for a made world only."""
    progress = TerminalProgress()
    world = World.load(world_name, progress=progress, seed=seed)
    model = world.oracle
    if not isinstance(model, ResponseModel):
        raise ConfigError(f"world {world_name!r}", "has no truth of its own making — name a generated world")
    truth = model._truth
    funnel = load_funnel(world.meta.default_funnel, world)
    if examples:
        funnel.ensure_trained(progress=progress)
    past, view = (world.view(until, assets=funnel.assets) for until in (world.meta.train_until_h, None))
    rows = _held_out(view.impressions["request"], view.impressions["time_h"], world.meta.train_until_h, requests)
    log = {name: view.impressions[name][rows] for name in ("viewer", "tweet", "position", "time_h")}
    first_place = np.zeros(rows.size, np.int32)
    favorite = ACTION_CODE["favorite"]
    hit = labels(view, rows)[:, favorite]

    def oracle(*, place: bool = False, without: Sequence[str] = (), **other: Floats) -> float:
        gone = np.isin(UTILITY, without)
        weights = np.where(gone, np.float32(0), truth.weights)
        known = ResponseModel(world.tables, replace(truth, weights=weights, **other))
        position = log["position"].astype(np.int32) if place else first_place
        return auc(hit, known.probabilities(log["viewer"], log["tweet"], position, log["time_h"])[:, favorite])

    alike: Floats = np.zeros_like(truth.propensity)
    found = {
        "oracle": oracle(place=True),
        "oracle without the place": oracle(),
        "... and without liking of authors": oracle(without=["liking"]),
        "... and without quality of tweets": oracle(without=["quality"]),
        "... and with both as far as the log can tell": auc(hit, _told(model, world.tables, view, rows)),
        "... and without both": oracle(without=["liking", "quality"]),
        "... and without both and propensities": oracle(without=["liking", "quality"], propensity=alike),
        "... and without taste": oracle(without=["taste"]),
    }
    if examples:
        found |= _trees_on_causes(truth, past, view, rows, examples)
    return {"machine": machine(), "world": world.name, "seed": seed, "favorites": int(hit.sum()), "auc": found}


def _trees_on_causes(
    truth: Truth, past: PlatformView, view: PlatformView, rows: Longs, examples: int
) -> dict[str, float]:
    """AUC of boosted trees for the favourite on all features, and with true causes beside them."""
    sample = sample_log(past, limit=examples, validation_share=0.1, seed=0)
    learnt = with_features(sample, past, model_features())
    hit, head = labels(view, rows)[:, ACTION_CODE["favorite"]], HEAVY_ACTIONS.index("favorite")
    found, cut = {}, sample.training
    causes = {"features": [], "and true taste": [_taste], "and true taste and propensity": [_taste, _propensity]}
    x = matrix(logged_batch(view, rows), learnt.names)
    for name, more in causes.items():
        known = (cause(truth, past.impressions, sample.rows[:cut]) for cause in more)
        old = np.column_stack([learnt.features[:cut], *known])
        new = np.column_stack([x, *(cause(truth, view.impressions, rows) for cause in more)])
        trees = _trees().fit(old, sample.labels[:cut, head], sample_weight=sample.weight[:cut])
        found[f"trees on {name}"] = auc(hit, trees.predict_proba(new)[:, 1])
    return found


def _told(model: ResponseModel, tables: WorldTables, view: PlatformView, rows: Longs) -> Floats:
    """float32 [n]: probability of a favourite at the first place by whoever knows all but liking and quality, and of
    these what the log can tell before each impression.

    Either cause c is normal with deviation w; an impression tells of it the Fisher information of the logistic response
    of every action, I = sum of rate (1 - rate) slope^2. After n impressions (of the tweet; of the author by the viewer)
    the best estimate is r c + w sqrt(r (1 - r)) e with e ~ N(0, 1) and r = n I w^2 / (1 + n I w^2). Actions are not as
    independent as that, so it is more than anybody can know.
    """
    truth, log = model._truth, view.impressions
    viewer, tweet, now_h = log["viewer"][rows], log["tweet"][rows], log["time_h"][rows]
    rate = labels(view, rows).mean(axis=0)
    alone = [code for code, action in enumerate(ACTIONS) if not action.within]
    information = sum(rate[code] * (1 - rate[code]) * SLOPES[ACTIONS[code].name][0] ** 2 for code in alone)
    pairs = view.events("impression", by="viewer_author")
    assert pairs.keys is not None
    author = view.tweets["author"][tweet]
    shown = {
        "quality": view.events("impression", by="tweet").count(tweet.astype(np.int64), now_h),
        "liking": pairs.count(pair_slots(pairs.keys, viewer, author), now_h),
    }
    whole = known = model.utility(viewer, tweet, now_h)
    for cause, count in shown.items():
        place = UTILITY.index(cause)
        weights = truth.weights.copy()
        weights[place] = 0
        part = whole - ResponseModel(tables, replace(truth, weights=weights)).utility(viewer, tweet, now_h)
        deviation = float(truth.weights[place])
        told = count * information * deviation**2
        r = told / (1 + told)
        noise = deviation * np.sqrt(r * (1 - r)) * stream(0, f"estimate of {cause}").normal(size=rows.size)
        known = known - part + r * part + noise
    odds = model._odds(viewer, tweet, np.zeros(rows.size, np.int32), known.astype(np.float32), marginal=True)
    return np.asarray(odds[:, ACTION_CODE["favorite"]])


def _taste(truth: Truth, log: Mapping[str, Array], rows: Longs) -> Array:
    viewer, tweet = log["viewer"][rows], log["tweet"][rows]
    topic, share = truth.topics[tweet], truth.topic_share[tweet]
    return np.asarray(
        np.sqrt(share * truth.interests[viewer, topic[:, 0]] + (1 - share) * truth.interests[viewer, topic[:, 1]])
    )


def _propensity(truth: Truth, log: Mapping[str, Array], rows: Longs) -> Array:
    return np.asarray(truth.propensity[log["viewer"][rows], ACTION_CODE["favorite"]])


def _held_out(request: Longs, time_h: Doubles, since_h: float, requests: int) -> Longs:
    """Impressions of some requests after the training's end."""
    first = int(np.searchsorted(time_h, since_h, side="left"))
    known = np.unique(request[first:])
    if known.size > requests:
        known = stream(0, "held-out requests").choice(known, requests, replace=False)
    return np.asarray(first + np.flatnonzero(np.isin(request[first:], known)), np.int64)


def _others(learnt: Examples, x: Floats) -> Predictions:
    """Logistic regression and boosted trees: the same examples and weights, calibrated on the same latest share."""
    sample, cut = learnt.sample, learnt.sample.training
    squeezed, fresh = (np.sign(part) * np.log1p(np.abs(part)) for part in (learnt.features, x))
    mean, spread = squeezed[:cut].mean(axis=0), squeezed[:cut].std(axis=0) + 1e-6
    squeezed, fresh = (squeezed - mean) / spread, (fresh - mean) / spread
    found = {name: np.zeros((len(x), len(HEAVY_ACTIONS)), np.float32) for name in ("logistic", "trees")}
    for head in range(len(HEAVY_ACTIONS)):
        hit = sample.labels[:, head]
        rate = (hit[:cut] * sample.weight[:cut]).mean()
        for name, model, old, new in (
            ("logistic", LogisticRegression(max_iter=60, C=0.1), squeezed, fresh),
            (
                "trees",
                _trees(),
                learnt.features,
                x,
            ),
        ):
            if hit[:cut].sum() < LEAST_POSITIVES:
                found[name][:, head] = rate
                continue
            model.fit(old[:cut], hit[:cut], sample_weight=sample.weight[:cut])
            ratio = mean_matching_ratio(model.predict_proba(old[cut:])[:, 1], max(float(hit[cut:].mean()), rate / 10))
            found[name][:, head] = calibrate(model.predict_proba(new)[:, 1], ratio)
    return found


def _trees() -> HistGradientBoostingClassifier:
    """Small trees and large leaves: the defaults overfit heads with a few hundred positives."""
    return HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=200, l2_regularization=1.0, random_state=0
    )


def _resampled(request: Longs) -> Doubles:
    """float64 [RESAMPLES, n]: how often each impression counts; whole requests are drawn."""
    _, place = np.unique(request, return_inverse=True)
    counts = stream(0, "bootstrap").poisson(1.0, (RESAMPLES, int(place.max()) + 1))
    return counts[:, place].astype(np.float64)


def _segments(x: Floats, names: tuple[str, ...]) -> dict[str, Bools]:
    column = {name: x[:, place] for place, name in enumerate(names)}
    inside = column["pair.in_network"] > 0
    new = column["viewer.account_age_h"] < np.median(column["viewer.account_age_h"])
    verified = column["author.verified"] > 0
    return {
        "in network": inside,
        "out of network": ~inside,
        "newer half of the viewers": new,
        "older half of the viewers": ~new,
        "verified authors": verified,
        "other authors": ~verified,
    }


def _head(name: str, i: int, done: Bools, predictions: Predictions, weights: Doubles) -> dict[str, object]:
    hit = done[:, i]
    row: dict[str, object] = {"head": name, "positives": int(hit.sum())}
    if hit.sum() < LEAST_POSITIVES:
        return row
    for model, p in predictions.items():
        row[f"auc_{model}"], row[f"rce_{model}"] = auc(hit, p[:, i]), rce(hit, p[:, i])
    drawn = [auc(hit, predictions["masknet"][:, i], weights=weight) for weight in weights]
    row["auc_low"], row["auc_high"] = (float(value) for value in np.quantile(drawn, (0.025, 0.975)))
    mean = float(hit.mean())
    row["calibration_error_relative"] = calibration_error(hit, predictions["masknet"][:, i], bins=10) / mean
    row["mean_prediction_over_mean"] = float(predictions["masknet"][:, i].mean()) / mean
    return row


def _means(done: Bools, predictions: Predictions, weights: Doubles) -> list[dict[str, object]]:
    """MaskNet less each other model, as means over the heads that have enough positives."""
    heads = [i for i in range(done.shape[1]) if done[:, i].sum() >= LEAST_POSITIVES]

    def mean(model: str, measure: Measure, weight: Array | None) -> float:
        return float(np.mean([measure(done[:, i], predictions[model][:, i], weights=weight) for i in heads]))

    table = []
    for other in predictions.keys() - {"masknet"}:
        for name, how in MEASURES.items():
            gaps = [mean("masknet", how, weight) - mean(other, how, weight) for weight in weights]
            low, high = np.quantile(gaps, (0.025, 0.975))
            gap = mean("masknet", how, None) - mean(other, how, None)
            row = {"masknet_less": other, "measure": name, "gap": gap, "low": float(low), "high": float(high)}
            table.append({**row, "masknet": mean("masknet", how, None)})
    return sorted(table, key=lambda row: (str(row["masknet_less"]), str(row["measure"])))


def _segment(name: str, chosen: Bools, done: Bools, predictions: Mapping[str, Floats]) -> dict[str, object]:
    """Of the favourite, the head with most positives."""
    i = HEAVY_ACTIONS.index("favorite")
    hit = done[chosen, i]
    row: dict[str, object] = {"segment": name, "impressions": int(chosen.sum()), "favorites": int(hit.sum())}
    if hit.sum() >= LEAST_POSITIVES:
        row |= {f"auc_{model}": auc(hit, p[chosen, i]) for model, p in predictions.items()}
        row["rce_masknet"] = rce(hit, predictions["masknet"][chosen, i])
    return row


def _into_docs(found: Mapping[str, float]) -> None:
    """Put the table between its marks in docs/heavy_ranker.md."""
    before, _, rest = DOCS.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = "\n".join(f"| {name} | {value:.3f} |" for name, value in found.items())
    DOCS.write_text(f"{before}{BEGIN}\n\n| what is known | AUC |\n|---|---|\n{lines}\n\n{END}{after}", "utf-8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Predictions on held-out impressions, by model and segment.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--seed", type=int, default=0, help="of the world")
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument(
        "--examples", type=int, default=None, help="all models learn from so many, not from what the funnel does"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bound", action="store_true", help="how much of the oracle's AUC is within reach")
    parser.add_argument("--docs", action="store_true", help="with --bound: write the table into the docs")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.bound:
        reach = bound(
            asked.world,
            seed=asked.seed,
            requests=asked.requests,
            examples=100_000 if asked.examples is None else asked.examples,
        )
        if asked.json:
            sys.stdout.write(json.dumps(reach) + "\n")
        else:
            assert isinstance(reach["auc"], dict)
            if asked.docs:
                _into_docs(reach["auc"])
            console().print(fields(reach["auc"], title=f"AUC of the favourite by what is known, {reach['world']}"))
        return
    found = measure(asked.world, seed=asked.seed, requests=asked.requests, examples=asked.examples)
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for name in ("heads", "means", "segments"):
        rows = found[name]
        assert isinstance(rows, list)
        console().print(rows_table(rows, title=f"{name.capitalize()}, {found['world']}"))


if __name__ == "__main__":
    main()

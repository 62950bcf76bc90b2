"""The light ranker learns from logged impressions, serves from tables, and keeps the laws of a scorer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from candidates.real_graph import RealGraph
from candidates.tweepcred import Tweepcred
from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError, DataError, NotFittedError
from funnel.core.progress import SILENT
from funnel.core.rng import stream
from funnel.core.world import PlatformView, WorldTables
from funnel.features import FEATURES, hydrate
from funnel.features.affinity import PAIR_FEATURES
from funnel.features.logged import labels, logged_batch
from funnel.learn.metrics import auc
from light_ranker.binned import Binned
from light_ranker.features import IN_NETWORK, OUT_OF_NETWORK, RECAP, RECTWEET, feature_table
from light_ranker.light_ranker import POPULARITY, LightRanker
from light_ranker.training import fitted_bins, percentile_boundaries, sampled_examples
from synthetic.generated import Generated
from tests.support import altered_after, fake_batch, mini_world, one_request, shuffled_rows

BIG: dict[str, Any] = {"users": 60, "tweets": 1500, "pages": 2500}


def assets() -> dict[str, Array]:
    """A RealGraph that knows follows and past interactions, and reputations that say nothing."""
    known = {"public_decayed_log": 1.0, "follows": 1.0}
    coefficients = np.array([*(known.get(n, 0.0) for n in PAIR_FEATURES), -2.0], np.float32)
    return {"real_graph.coefficients": coefficients, "tweepcred.score": np.full(BIG["users"], 50, np.float32)}


@pytest.fixture(scope="module")
def learnt() -> LightRanker:
    """Fitted on the first 36 of 48 hours."""
    ranker = LightRanker()
    ranker.fit(PlatformView(mini_world(**BIG), 36.0, assets=assets()), seed=0)
    return ranker


@pytest.fixture(scope="module")
def batch() -> CandidateBatch:
    """Requests at the end of that world, with what the ranker needs."""
    view = PlatformView(mini_world(**BIG), 48.0, assets=assets())
    return hydrate(fake_batch(np.full(8, 50), view=view), LightRanker().needs)


def test_it_orders_later_impressions_better_than_chance_and_popularity() -> None:
    made = Generated(users=300, tweets=6_000, topics=12, follows_per_user=25).build("tiny", 0, SILENT)
    world = WorldTables(made.meta, made.tables)
    learn_h = made.meta.train_until_h
    before = PlatformView(world, learn_h)
    known = RealGraph().run(before, seed=0) | Tweepcred().run(before, seed=0)
    ranker = LightRanker()
    ranker.fit(before.with_assets(known), seed=0)
    view = PlatformView(world, made.meta.end_h, assets=known)
    rows = np.flatnonzero(view.impressions["time_h"] >= learn_h)
    later = hydrate(logged_batch(view, rows), ranker.needs)
    liked = labels(view, rows)[:, ACTION_CODE["favorite"]]
    score = auc(liked, ranker.score(later)["light_score"])
    # Some 8,500 impressions and 390 favourites: the standard error of an AUC is about 0.015.
    assert score > 0.58
    assert score > auc(liked, later[POPULARITY]) + 0.05


def test_scores_are_probabilities_in_float32(learnt: LightRanker, batch: CandidateBatch) -> None:
    score = learnt.score(batch)["light_score"]
    assert score.dtype == np.float32
    assert ((score > 0) & (score < 1)).all()
    assert np.unique(score).size > 100


def test_a_score_depends_on_neither_company_nor_order(learnt: LightRanker, batch: CandidateBatch) -> None:
    score = learnt.score(batch)["light_score"]
    rows = shuffled_rows(batch)
    np.testing.assert_array_equal(learnt.score(batch.take(rows))["light_score"], score[rows])
    begin, end = batch.offsets[3:5]
    np.testing.assert_array_equal(learnt.score(one_request(batch, 3))["light_score"], score[begin:end])
    assert learnt.score(batch.take(np.empty(0, np.int64)))["light_score"].shape == (0,)


def test_what_was_stored_scores_the_same(learnt: LightRanker, batch: CandidateBatch) -> None:
    other = LightRanker()
    other.restore({name: values.copy() for name, values in learnt.state().items()})
    np.testing.assert_array_equal(other.score(batch)["light_score"], learnt.score(batch)["light_score"])


def test_another_architecture_is_not_taken_up(learnt: LightRanker) -> None:
    with pytest.raises(DataError, match="boundaries"):
        LightRanker(bins=7).restore(learnt.state())
    with pytest.raises(DataError, match="bias"):
        LightRanker().restore({name: v for name, v in learnt.state().items() if name != "bias"})


def test_it_says_that_it_has_not_learnt(batch: CandidateBatch) -> None:
    with pytest.raises(NotFittedError):
        LightRanker().score(batch)
    with pytest.raises(NotFittedError):
        LightRanker().state()


def test_an_unknown_feature_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"tweet\.age_h"):
        LightRanker(in_network=("tweet.age",))


def test_the_same_seed_learns_the_same_and_nothing_from_the_future() -> None:
    world = mini_world()
    first, again, other = LightRanker(), LightRanker(), LightRanker()
    first.fit(PlatformView(world, 40.0, assets=assets()), seed=0)
    again.fit(PlatformView(world, 40.0, assets=assets()), seed=0)
    other.fit(PlatformView(altered_after(world, 40.0), 40.0, assets=assets()), seed=0)
    for name, values in first.state().items():
        np.testing.assert_array_equal(again.state()[name], values)
        np.testing.assert_array_equal(other.state()[name], values)


def test_without_a_log_popular_tweets_come_first() -> None:
    full = mini_world()
    silent = {name: dict(full.table(name)) for name in ("users", "follows", "tweets", "engagements")}
    silent["engagements"] = {**silent["engagements"], "impression": np.full(full.count("engagements"), -1, np.int32)}
    view = PlatformView(WorldTables(full.meta, silent), 48.0, assets=assets())
    ranker = LightRanker()
    ranker.fit(view, seed=0)
    asked = hydrate(fake_batch([100], view=view), ranker.needs)
    score, count = ranker.score(asked)["light_score"], asked[POPULARITY]
    assert np.all(np.diff(score[np.argsort(count)]) >= 0)
    assert np.unique(score).size > 3


def test_a_record_weighs_its_kept_labels_and_a_kept_negative_its_sampling() -> None:
    view = PlatformView(mini_world(), 48.0, assets=assets())
    examples = sampled_examples(view, ("tweet.age_h",), 10_000, seed=0)
    inside, positive = examples.in_network, examples.positive
    # In-network negatives stay with 0.08 and weigh 12.5, out-of-network with 0.04 and weigh 25: a ratio of 2.
    negatives = examples.weight[~positive & ~inside][0], examples.weight[~positive & inside][0]
    assert negatives[0] == pytest.approx(2 * negatives[1])
    unit = negatives[1] / 12.5
    # The heaviest in-network record has all labels: 1 + 1 + 9 + 1 + 0.3 + 0.01 = 12.31; outside each label weighs
    # twice as much and is kept with one half.
    assert examples.weight[inside & positive].max() <= 12.31 * unit * (1 + 1e-9)
    assert examples.weight[~inside & positive].max() <= 24.62 * unit * (1 + 1e-9)
    assert examples.weight.mean() == pytest.approx(1.0)


def test_bins_end_at_percentiles_and_include_their_end(learnt: LightRanker) -> None:
    values = np.array([[0, 5], [0, 5], [1, 5], [2, 5]], np.float32)
    # Quartiles of (0, 0, 1, 2) by the lower rule: 0, 0, 1; a constant has one end and an empty bin above it.
    expected = np.array([[0, 1, np.inf], [5, np.inf, np.inf]], np.float32)
    np.testing.assert_array_equal(percentile_boundaries(values, 4), expected)
    view = PlatformView(mini_world(), 48.0, assets=assets())
    examples = sampled_examples(view, ("tweet.age_h", "tweet.length"), 10_000, seed=0)
    boundaries = percentile_boundaries(examples.values, 4)
    boundaries[1] = np.inf
    _, weights, _ = fitted_bins(examples, np.ones_like(examples.positive), boundaries, 1.0)
    assert weights[0].any()
    assert not weights[1].any()


def test_the_published_lists_differ_where_the_release_says_so() -> None:
    assert "real_graph.score" in IN_NETWORK
    assert "real_graph.score" not in OUT_OF_NETWORK
    assert {"tweet.is_reply", "tweet.is_retweet"} <= set(IN_NETWORK) - set(OUT_OF_NETWORK)


def test_the_lists_are_the_published_ones_and_every_column_is_a_feature() -> None:
    for listed in (RECAP, RECTWEET):
        assert len(listed) == len({one.name for one in listed}) == 51
        for one in listed:
            assert (one.column is None) <= bool(one.note), one.name
            assert one.column is None or one.column in FEATURES
    assert set(IN_NETWORK) == {one.column for one in RECAP} - {None}


def test_the_page_shows_the_table_of_features_that_the_models_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "light_ranker.md").read_text(encoding="utf-8")
    assert feature_table() in page


def test_a_model_of_bins_is_served_as_the_definition_says() -> None:
    draw = stream(0, "bins")
    boundaries = np.sort(draw.normal(size=(2, 3, 6)), axis=2).astype(np.float32)
    boundaries[0, 1, 2:] = boundaries[1, 2] = np.inf
    weights = draw.normal(size=(2, 3, 7)).astype(np.float32)
    weights[1, 2] = 0
    model = Binned(boundaries, weights, np.array([-1, 2], np.float32))
    names = ("tweet.length", "tweet.age_h", "tweet.hashtag_count")
    values = draw.normal(size=(3, 40)).astype(np.float32)
    values[:, 0] = boundaries[0, :, 1]  # on a boundary: the bin that ends there
    side = np.arange(40) % 3 == 0
    asked = fake_batch([40]).with_columns(dict(zip(names, values, strict=True)))
    expected = [
        model.bias[s] + sum(weights[s, f, int((boundaries[s, f] < values[f, i]).sum())] for f in range(3))
        for i, s in enumerate(side.astype(int))
    ]
    np.testing.assert_allclose(model.logits(asked, names, side), expected, rtol=1e-5)


def test_serving_imports_neither_sklearn_nor_torch() -> None:
    code = (
        "import sys, funnel.features, light_ranker.light_ranker, candidates.real_graph;"
        "print([m for m in ('sklearn', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"

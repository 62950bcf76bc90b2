"""The light ranker of notifications: its metrics by hand, its network against torch, and what it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError, DataError
from funnel.core.world import PlatformView
from funnel.features import hydrate
from light_ranker.push_light_ranker import IDS, PushLightRanker
from light_ranker.push_metrics import push_metrics
from light_ranker.push_model import BUCKETS, PushModel, buckets
from light_ranker.push_network import Attended, BatchRenorm, Moving, PushNetwork
from light_ranker.push_training import record_weights, task_labels
from tests.support import fake_batch, mini_world

FEATURES = ("tweet.favorite.count", "tweet.age_h", "author.followers", "tweet.has_image")
OFFSETS = np.array([0, 4, 4, 6, 8])
TWEET = np.array([1, 2, 3, 4, 5, 6, 7, 8], np.int32)
HEAVY = np.array([0.4, 0.3, 0.2, 0.1, 0.5, 0.5, 0.0, 0.0], np.float32)
LIGHT = np.array([0.1, 0.9, 0.8, 0.2, 0.1, 0.3, 0.2, 0.1], np.float32)


def pool(seed: int) -> CandidateBatch:
    view = PlatformView(mini_world(users=60, tweets=1500, pages=2500), 48.0)
    return fake_batch(np.full(40, 60), view=view, seed=seed)


def teacher(batch: CandidateBatch) -> np.ndarray:
    """A probability that no single feature gives; some authors are liked for no reason that a feature tells."""
    known = hydrate(batch, FEATURES)
    taste = np.where(known["author"] % 3 == 0, 1.0, -1.0)
    logit = np.log1p(known["tweet.favorite.count"]) + 3 / (1 + known["tweet.age_h"]) + taste - 4
    return (1 / (1 + np.exp(-logit))).astype(np.float32)


def taught(**settings: object) -> PushLightRanker:
    pupil = PushLightRanker(features=FEATURES, epochs=12, **settings)  # type: ignore[arg-type]
    pupil.teach(pool(1), teacher(pool(1)), seed=0)
    return pupil


def test_group_metrics_are_those_counted_by_hand() -> None:
    found = push_metrics(OFFSETS, TWEET, LIGHT, HEAVY, light_n=(1, 2), heavy_k=(1, 3))
    # Request 0, light best 2: tweets 2 and 3 (heavy 0.3 and 0.2). Best of all: 0.4 (tweet 1), then 0.3, 0.2.
    # CGR@(2,1) = 0.3 / 0.4; CGR@(2,3) = (0.3 + 0.2) / (0.4 + 0.3): the ideal has min(N, K) = 2 terms; loss 0.4 − 0.3.
    # Request 1 is empty. Request 2: light best 1 is tweet 6, as good as tweet 5, which stands first among equals.
    # Request 3: all heavy scores are 0.
    np.testing.assert_allclose(found["cgr@(2,1)"], [0.75, np.nan, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(found["cgr@(2,3)"], [5 / 7, np.nan, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(found["cgr@(1,3)"], [0.75, np.nan, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(found["loss@2"], [0.1, np.nan, 0, 0], atol=1e-7)
    np.testing.assert_allclose(found["recall@(2,1)"], [0, np.nan, 1, np.nan])
    np.testing.assert_allclose(found["recall@(1,1)"], [0, np.nan, 0, np.nan])
    assert "recall@(2,3)" not in found  # only for N ≥ K


def test_a_light_ranker_that_agrees_loses_nothing_and_one_that_keeps_all_neither() -> None:
    batch = pool(3)
    heavy, light = teacher(batch), batch["tweet"].astype(np.float32)
    for score, n in ((heavy, 10), (light, 60)):
        found = push_metrics(batch.offsets, batch["tweet"], score, heavy, light_n=(n,), heavy_k=(1, 3, 10))
        for name, values in found.items():
            np.testing.assert_allclose(values, 0.0 if name.startswith("loss") else 1.0, atol=1e-9, err_msg=name)


def test_labels_come_from_the_teachers_order_of_each_request() -> None:
    batch = fake_batch([4, 0, 2], tweet=[1, 2, 3, 4, 5, 6])
    value = np.array([0.1, 0.4, 0.4, 0.2, 0.9, 0.3], np.float32)
    assert task_labels(batch, value, "sent")[0].tolist() == [0, 1, 0, 0, 1, 0]  # equal ones: the smaller tweet
    assert task_labels(batch, value, "top3")[0].tolist() == [0, 1, 1, 1, 1, 1]
    np.testing.assert_array_equal(task_labels(batch, value, "distilled")[0], value)
    assert task_labels(batch, 10 * value, "distilled")[0].max() == 1.0  # values that are no probabilities


def test_record_weights_fall_with_the_place() -> None:
    place = np.array([0.0, 1.0, 9.0])
    np.testing.assert_allclose(record_weights(place, smooth=0.0, least=0.2), [1, 0.5, 0.2], rtol=1e-6)
    np.testing.assert_allclose(record_weights(place, smooth=1.0, least=0.0), [1 / 2, 1 / 3, 1 / 11], rtol=1e-6)


def test_a_self_attentive_layer_is_its_formula() -> None:
    layer = Attended(2, 1)
    with torch.no_grad():
        layer.gate.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        layer.gate.bias.zero_()
        layer.out.weight.copy_(torch.tensor([[1.0, 1.0]]))
        layer.out.bias.fill_(0.5)
    # x = (1, −1): sigmoid(1)·1 + sigmoid(−2)·(−1) + 0.5 = 0.731059 − 0.119203 + 0.5
    assert layer(torch.tensor([[1.0, -1.0]])).item() == pytest.approx(1.111856, abs=1e-5)


def test_moving_moments_have_no_bias_at_the_beginning() -> None:
    moving = Moving(1, 0.99999)
    moving.update(torch.tensor([[2.0], [4.0]]))
    mean, variance = moving.moments()
    assert float(mean) == pytest.approx(3.0)
    assert float(variance) == pytest.approx(1.0)


def test_batch_renorm_trains_on_the_values_that_it_serves() -> None:
    norm = BatchRenorm(3).train()
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)) * 2 + 5
    seen = norm(x)
    np.testing.assert_allclose(seen.detach(), norm.eval()(x).detach(), atol=1e-5)


@pytest.mark.parametrize("missing", [False, True])
def test_serving_gives_what_torch_gives(missing: bool) -> None:
    draw = np.random.Generator(np.random.Philox(3))
    values = draw.normal(size=(137, 5)).astype(np.float32) * 10
    values[draw.random(values.shape) < 0.2] = np.nan
    values[3, 2], values[4] = np.inf, 1e30
    ids = draw.integers(0, BUCKETS, (137, 4))
    known = np.unique(ids[:100])
    torch.manual_seed(0)
    network = PushNetwork(5, known, 0.2, missing=missing).train()
    rows = np.delete(np.arange(100), 4)
    places = torch.from_numpy(np.searchsorted(known, ids[:100]))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        network(torch.from_numpy(values[rows]), places[rows]).square().sum().backward()
        optimizer.step()
    network.eval()
    expected = torch.sigmoid(network(torch.from_numpy(values[:100]), places)).detach()
    assert np.unique(expected).size > 50
    model = PushModel(network.arrays())
    found = model.scores(values, ids)
    np.testing.assert_allclose(found[:100], expected, atol=2e-6)
    for rows in (np.arange(5, 8), np.arange(49), np.arange(48)[::-1], np.array([136]), draw.permutation(137)):
        np.testing.assert_array_equal(found[rows], model.scores(values[rows], ids[rows]))  # in any company and place
    assert np.isfinite(model.scores(np.full((2, 5), np.nan, np.float32), ids[:2])).all()
    assert model.scores(values[:0], ids[:0]).shape == (0,)


def test_moments_of_columns_with_gaps_are_those_of_the_values_that_are_there() -> None:
    moving, nan = Moving(2, 0.5), float("nan")
    x = torch.tensor([[1.0, nan], [3.0, nan], [nan, nan]])
    moving.update(torch.nan_to_num(x), ~torch.isnan(x))
    mean, variance = moving.moments()
    assert mean.tolist() == [2.0, 0.0]  # of 1 and 3; nothing is known about the second column
    assert variance.tolist() == [1.0, 1.0]
    moving.update(torch.tensor([[0.0, 5.0]]), torch.tensor([[False, True]]))
    # The first column stays; the second: weights are 0.5 and 0.25 of 0.75 in all, (0.25 · 0 + 0.5 · 5) / 0.75.
    assert moving.moments()[0].tolist() == pytest.approx([2.0, 10 / 3])


def test_a_branch_of_what_is_missing_tells_absence_from_zero() -> None:
    def lesson(seed: int) -> tuple[CandidateBatch, np.ndarray]:
        batch = hydrate(pool(seed), (*FEATURES, *IDS))
        gone = batch["tweet"] % 5 < 2
        flag = np.where(gone, np.nan, batch["tweet.has_image"]).astype(np.float32)
        return batch.with_columns({"tweet.has_image": flag}), gone

    separation: dict[bool, float] = {}
    for missing in (True, False):
        batch, gone = lesson(1)
        pupil = PushLightRanker(features=("tweet.has_image",), epochs=4, missing_branch=missing)
        pupil.teach(batch, np.where(gone, 0.8, 0.2).astype(np.float32), seed=0)
        later, gone = lesson(2)
        light = pupil.score(later)["light_score"]
        separation[missing] = float(light[gone].mean() - light[~gone].mean())
    # Taught 0.8 and 0.2. Without the branch a missing flag is a flag that is not set.
    assert separation[True] > 0.5
    assert separation[False] < 0.3
    with pytest.raises(DataError, match="missing"):
        PushLightRanker(features=("tweet.has_image",), missing_branch=True).restore(pupil.state())


def test_ids_of_different_columns_do_not_share_a_bucket_by_name() -> None:
    found = buckets({"author": np.arange(50), "kind": np.arange(50)})
    assert found.shape == (50, 2)
    assert ((found >= 0) & (found < BUCKETS)).all()
    assert (found[:, 0] != found[:, 1]).all()


def test_it_keeps_the_teachers_best_of_candidates_that_it_never_saw() -> None:
    later = pool(2)
    heavy, pupil = teacher(later), taught()
    known = hydrate(later, pupil.needs)
    light = pupil.score(known)["light_score"]
    found = push_metrics(later.offsets, later["tweet"], light, heavy, light_n=(15,), heavy_k=(3,))
    single = push_metrics(
        later.offsets,
        later["tweet"],
        known["tweet.favorite.count"].astype(np.float32),
        heavy,
        light_n=(15,),
        heavy_k=(3,),
    )
    assert found["cgr@(15,3)"].mean() > 0.95
    assert found["cgr@(15,3)"].mean() > single["cgr@(15,3)"].mean()
    # It says probabilities, on the scale of what it was told.
    assert abs(light.mean() - heavy.mean()) < 0.05


def test_the_same_lesson_gives_the_same_bytes_and_each_task_another_model() -> None:
    first, again, top3 = taught(), taught(), taught(task="top3", max_examples=500)
    for name, values in first.state().items():
        np.testing.assert_array_equal(values, again.state()[name])
    assert not np.array_equal(first.state()["head.weight"], top3.state()["head.weight"])
    with pytest.raises(DataError, match="task"):
        PushLightRanker(features=FEATURES, task="sent").restore(first.state())
    with pytest.raises(DataError, match="features"):
        PushLightRanker(features=FEATURES[:2]).restore(first.state())


@pytest.mark.parametrize("settings", [{"optimizer": "sgd"}, {"record_weight": True, "task": "sent"}])
def test_other_settings_learn_too(settings: dict[str, object]) -> None:
    pupil, later = taught(**settings), pool(2)
    light = pupil.score(hydrate(later, pupil.needs))["light_score"]
    assert np.isfinite(light).all()
    assert np.unique(light).size > 100


def test_a_lesson_without_candidates_teaches_nothing() -> None:
    pupil, lesson = PushLightRanker(features=FEATURES), pool(1)
    pupil.teach(lesson.take(np.empty(0, np.int64)), np.empty(0, np.float32), seed=0)
    assert (pupil.score(hydrate(lesson, pupil.needs))["light_score"] == 0.5).all()


def test_a_feature_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="nonsense"):
        PushLightRanker(features=("nonsense",))

"""A distilled ranker repeats its teacher, and the trainer teaches it after everything else."""

from __future__ import annotations

import numpy as np
import pytest

from funnel.compose import Slot, load_funnel
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError
from funnel.core.world import PlatformView
from funnel.features import hydrate
from funnel.pipeline import Funnel
from funnel.train import ensure_trained, teachers
from light_ranker.distilled import Distilled
from light_ranker.evaluation import offline_metrics, with_intervals
from tests.support import QUICK, fake_batch, mini_world, shuffled_rows

FEATURES = ("tweet.favorite.count", "tweet.age_h", "author.followers", "tweet.has_image")


def pool(seed: int) -> CandidateBatch:
    view = PlatformView(mini_world(users=60, tweets=1500, pages=2500), 48.0)
    return hydrate(fake_batch(np.full(40, 60), view=view, seed=seed), FEATURES)


def teacher(batch: CandidateBatch) -> np.ndarray:
    """A value that no single feature gives, with a level of its own for every request."""
    liked, young = np.log1p(batch["tweet.favorite.count"]), 1 / (1 + batch["tweet.age_h"])
    level = 1 + batch.viewer % 5
    return ((liked + 3 * young + 0.5 * batch["tweet.has_image"]) * level).astype(np.float32)


def test_it_orders_candidates_that_it_never_saw_as_its_teacher_does() -> None:
    pupil, later = Distilled(features=FEATURES), pool(2)
    pupil.teach(pool(1), teacher(pool(1)), seed=0)
    score = pupil.score(later)["distilled_score"]
    found = offline_metrics(later.offsets, later["tweet"], score, teacher(later), kept=15, top=5)
    assert found["pair_order"].mean() > 0.9
    assert found["top_recall"].mean() > 0.95
    best_single = offline_metrics(later.offsets, later["tweet"], later["tweet.favorite.count"], teacher(later))
    assert found["pair_order"].mean() > best_single["pair_order"].mean() + 0.05


def test_the_scale_and_the_order_of_the_lesson_do_not_matter() -> None:
    lesson = pool(1)
    rows = shuffled_rows(lesson)
    first, scaled, shuffled = (Distilled(features=FEATURES) for _ in range(3))
    first.teach(lesson, teacher(lesson), seed=0)
    scaled.teach(lesson, 8 * teacher(lesson), seed=0)
    shuffled.teach(lesson.take(rows), teacher(lesson)[rows], seed=0)
    np.testing.assert_array_equal(first.score(lesson)["distilled_score"], scaled.score(lesson)["distilled_score"])
    np.testing.assert_allclose(
        first.score(lesson)["distilled_score"], shuffled.score(lesson)["distilled_score"], atol=1e-3
    )


def test_a_lesson_without_candidates_teaches_nothing() -> None:
    pupil, lesson = Distilled(features=FEATURES), pool(1)
    nothing = lesson.take(np.empty(0, np.int64))
    pupil.teach(nothing, np.empty(0, np.float32), seed=0)
    assert not pupil.score(lesson)["distilled_score"].any()


def test_the_trainer_teaches_it_the_value_of_its_own_funnel_and_remembers(trained: Funnel) -> None:
    stages = list(trained.stages)
    place = next(number for number, slot in enumerate(stages) if slot.name == "light_ranker")
    pupil = Distilled(requests=12)

    def with_pupil(part: Distilled) -> Funnel:
        fresh = list(load_funnel("twitter_2023", trained.world, settings=QUICK).stages)
        fresh.insert(place + 1, Slot("distilled", "distilled", part))
        return Funnel("taught", about="", world=trained.world, jobs=trained.jobs, stages=fresh)

    first = with_pupil(pupil)
    report = ensure_trained(first)
    assert list(report.seconds) == ["distilled"]
    again = Distilled(requests=12)
    assert "distilled" in ensure_trained(with_pupil(again)).cached
    for name, values in pupil.state().items():
        np.testing.assert_array_equal(values, again.state()[name])
    pages = first.run([7, 8, 21, 150, 299])
    frame = pages.candidates().filter(pages.candidates()["value"].is_not_null()).sort("viewer", maintain_order=True)
    offsets = np.append(0, np.cumsum(frame.group_by("viewer", maintain_order=True).len()["len"].to_numpy()))
    tweet, light, taught, value = (
        frame[name].to_numpy() for name in ("tweet", "light_score", "distilled_score", "value")
    )
    order = {
        name: offline_metrics(offsets.astype(np.int64), tweet, score, value)["pair_order"].mean()
        for name, score in (("light", light), ("distilled", taught))
    }
    assert order["distilled"] > max(0.6, order["light"])


def test_its_teachers_are_the_stages_before_it_and_the_scorers_up_to_the_value(trained: Funnel) -> None:
    stages = list(trained.stages)
    place = next(number for number, slot in enumerate(stages) if slot.name == "light_ranker")
    pupil = Slot("distilled", "distilled", Distilled(), keep=100)
    named = [slot.name for slot in teachers([*stages[: place + 1], pupil, *stages[place + 1 :]], pupil)]
    assert named == [*(slot.name for slot in stages[: place + 1]), "heavy_ranker", "value"]
    with pytest.raises(ConfigError, match="value"):
        teachers([*stages[:place], pupil], pupil)


def test_offline_metrics_are_those_counted_by_hand() -> None:
    offsets = np.array([0, 4, 4, 6])
    tweet = np.array([1, 2, 3, 4, 5, 6], np.int32)
    full = np.array([4, 3, 2, 1, 5, 5], np.float32)
    light = np.array([0.1, 0.9, 0.9, 0.2, 0.3, 0.1], np.float32)
    shown = np.array([1, 0, 1, 0, 0, 1], np.bool_)
    found = offline_metrics(offsets, tweet, light, full, kept=2, top=1, percent=50, shown=shown)
    # Request 0: light keeps tweets 2 and 3 (values 3 + 2 of at best 4 + 3); the best, 1, is lost; the best half {1, 2}
    # meets the light half {2, 3} once. Pairs: (1,2) (1,3) (1,4) wrong, (2,3) tied, (2,4) (3,4) right: 2.5 of 6.
    np.testing.assert_allclose(found["top_recall"], [0, np.nan, 1])
    np.testing.assert_allclose(found["percent_recall"], [0.5, np.nan, 1])
    np.testing.assert_allclose(found["pair_order"], [2.5 / 6, np.nan, np.nan])
    np.testing.assert_allclose(found["score_recall"], [5 / 7, np.nan, 1])
    np.testing.assert_allclose(found["mean_full"], [3, np.nan, 5])
    np.testing.assert_allclose(found["shown_recall"], [0.5, np.nan, 1])
    said = with_intervals(found)
    assert said["top_recall"] == 0.5
    assert said["top_recall_low"] <= 0.5 <= said["top_recall_high"]
    assert np.isnan(with_intervals({"nothing": np.array([np.nan])})["nothing"])

"""Metrics: worked-out examples, bounds, what a world without truth allows, and that each is documented."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from funnel.core.actions import ACTION_CODE
from funnel.core.errors import ConfigError
from funnel.metrics import METRICS, Judge, Measures, Outcome, Scene, collect, declared, measure, metric_rows, redrawn
from funnel.metrics.looks import ndcg
from funnel.metrics.page import value, value_realised
from tests.experiment.cheap import cheap, stages, tiny, viewers
from tests.laws.funnels import funnel_of
from tests.support import fake_batch, mini_world

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.of(tiny(), viewers(), size=10)


@pytest.fixture(scope="module")
def outcome(judge: Judge) -> Outcome:
    return judge.observe(cheap(), full_pool=40)


@pytest.fixture(scope="module")
def measures(judge: Judge, outcome: Outcome) -> Measures:
    return measure(outcome, judge.scene)


def pages_of(*lists: list[int], scene: Scene, base: Outcome) -> Outcome:
    """An outcome in which these tweets are shown, a list for each of the first viewers."""
    tweet = np.array([one for page in lists for one in page], np.int32)
    offsets = np.cumsum([0, *map(len, lists)]).astype(np.int64)
    author = scene.world.tables.table("tweets")["author"][tweet]
    page = {"tweet": tweet, "author": author, "in_network": np.zeros(tweet.size, np.bool_)}
    page["age_h"] = np.arange(tweet.size, dtype=np.float32)
    return replace(base, viewers=viewers(len(lists)), offsets=offsets, page=page)


def test_the_value_of_a_page_is_the_weighted_sum_of_true_probabilities(
    judge: Judge, outcome: Outcome, measures: Measures
) -> None:
    oracle = tiny().oracle
    assert oracle is not None
    rows = slice(int(outcome.offsets[3]), int(outcome.offsets[4]))
    n = rows.stop - rows.start
    where = (np.full(n, 3, np.int32), outcome.page["tweet"][rows], np.arange(n, dtype=np.int32))
    p = oracle.probabilities(*where, np.full(n, tiny().meta.end_h))
    by_hand = sum(weight * p[:, ACTION_CODE[name]].sum() for name, weight in judge.scene.weights.items())
    assert measures.viewers["page.value"][3] == pytest.approx(by_hand, rel=1e-5)


def test_a_post_that_is_there_twice_counts_once(judge: Judge, outcome: Outcome) -> None:
    scene = judge.scene
    retweet = int(np.flatnonzero(scene.original != np.arange(scene.original.size))[0])
    post = int(scene.original[retweet])
    other = next(tweet for tweet in range(100) if scene.original[tweet] not in (post, retweet))
    pages = pages_of([retweet, other, post], [post, other], [retweet, other], [post], [], scene=scene, base=outcome)
    pages.page["satisfaction"] = np.zeros(pages.page["tweet"].size)  # type: ignore[index]
    for name in scene.product.action_names:
        pages.page[f"expected.{name}"] = np.full(pages.page["tweet"].size, 0.25)  # type: ignore[index]
        pages.page[f"did.{name}"] = np.ones(pages.page["tweet"].size, np.bool_)  # type: ignore[index]
    found = measure(pages, scene, ["page.value", "page.value_realised", "page.engagement", "page.negative"])
    for name, values in found.viewers.items():
        np.testing.assert_allclose(values / values[3], [2, 2, 2, 1, 0], err_msg=name)
    assert len(found.viewers) > 10


def test_realised_value_is_expected_value_on_average() -> None:
    # 60 draws for 40 viewers: the mean of all is within 4 standard errors of what was expected.
    scene = Scene(tiny(), weights={"favorite": 1.0, "dwell": 0.5})
    pages = collect(cheap(), viewers(), scene=scene)
    gaps = [(value_realised(redrawn(pages, scene, seed), scene) - value(pages, scene)).mean() for seed in range(60)]
    assert abs(np.mean(gaps)) < 4 * np.std(gaps) / np.sqrt(60)


def test_the_best_page_is_worth_more_than_any_other(judge: Judge, measures: Measures) -> None:
    best = judge.reference.best
    assert best is not None
    ceiling = measure(best, judge.scene).viewers["page.value"]
    assert (ceiling >= measures.viewers["page.value"]).all()


def test_diversity_of_worked_out_pages(judge: Judge, outcome: Outcome) -> None:
    scene = judge.scene
    assert scene.topic is not None
    first, second = (np.flatnonzero(scene.topic == topic)[:3].tolist() for topic in (0, 1))
    # Two topics, half each: e^(ln 2) = 2 topics; of the 6 pairs of 4 tweets, 4 differ. One tweet has no pair.
    made = pages_of([*first[:2], *second[:2]], [first[0]], [], scene=scene, base=outcome)
    found = {name: METRICS[name].compute(made, scene)[name] for name in ("diversity.topics", "diversity.intra_list")}
    np.testing.assert_allclose(found["diversity.topics"], [2, 1, np.nan])
    np.testing.assert_allclose(found["diversity.intra_list"], [4 / 6, np.nan, np.nan])
    ages = METRICS["freshness.age_h"].compute(made, scene)["freshness.age_h"]
    np.testing.assert_allclose(ages, [1.5, 4, np.nan])  # of 0, 1, 2, 3; of 4; of none


def test_authors_are_counted_once_and_gini_knows_both_ends(judge: Judge, outcome: Outcome) -> None:
    scene = judge.scene
    author = tiny().tables.table("tweets")["author"]
    writer = np.bincount(author).argmax()
    mine = np.flatnonzero(author == writer)[:4].tolist()
    made = pages_of(mine, scene=scene, base=outcome)
    assert METRICS["diversity.authors"].compute(made, scene)["diversity.authors"] == pytest.approx([1 / 4])
    gini = METRICS["creators.gini"].compute(made, scene)["creators.gini"]
    assert callable(gini)
    count = int((scene.writers | (np.arange(scene.writers.size) == writer)).sum())
    assert gini(np.ones((1, 1)))[0] == pytest.approx(1 - 1 / count)  # one has everything
    _, each = np.unique(author, return_index=True)
    everybody = pages_of(each[scene.writers[author[each]]].tolist(), scene=scene, base=outcome)
    equal = METRICS["creators.gini"].compute(everybody, scene)["creators.gini"]
    assert callable(equal)
    assert equal(np.ones((1, 1)))[0] == pytest.approx(0)


def test_homogenisation_is_one_where_all_see_the_same_and_zero_where_nothing(judge: Judge, outcome: Outcome) -> None:
    name = "society.homogenisation"
    same = pages_of([1, 2], [2, 1], [1, 2], scene=judge.scene, base=outcome)
    np.testing.assert_allclose(METRICS[name].compute(same, judge.scene)[name], 1)
    apart = pages_of([1, 2], [3, 4], [5, 6], scene=judge.scene, base=outcome)
    np.testing.assert_allclose(METRICS[name].compute(apart, judge.scene)[name], 0)


def test_ndcg_of_the_truth_is_one_and_of_its_opposite_less() -> None:
    batch = fake_batch([6, 0, 3])
    gain = np.arange(9, dtype=np.float32)
    np.testing.assert_allclose(ndcg(batch, gain, gain, 2), [1, np.nan, 1])
    # Of gains 0 … 5 the worst first: (0 + 1 / log2 3) / (5 + 4 / log2 3) = 0.0838.
    assert ndcg(batch, -gain, gain, 2)[0] == pytest.approx((1 / np.log2(3)) / (5 + 4 / np.log2(3)))


def test_survivors_among_the_best_never_grow_again(outcome: Outcome) -> None:
    left = outcome.per_viewer["left.best"][:, len(outcome.sources) :]
    assert (np.diff(left, axis=1) <= 0).all()
    assert (left[:, 0] > 0).any()
    assert (left[:, -1] <= outcome.counts).all()


def test_shares_are_shares(measures: Measures) -> None:
    for name, values in measures.viewers.items():
        if declared(name).unit == "share":
            known = values[~np.isnan(values)]
            assert ((known >= 0) & (known <= 1 + 1e-12)).all(), name


def test_a_light_ranker_agrees_with_itself_as_chance_would_have_it(measures: Measures) -> None:
    # Coarse scores and the value have nothing in common: of the next ranker's best the share kept is that of all.
    kept = 40 / measures.viewers["stage.candidates.coarse"]
    recall = measures.viewers["consistency.recall"]
    assert np.nanmean(recall) == pytest.approx(kept.mean(), abs=0.06)  # 40 viewers, 35 each: s.e. 0.012
    assert abs(np.nanmean(measures.viewers["consistency.kendall"])) < 0.05


def test_a_world_without_truth_is_judged_by_what_was_done_later() -> None:
    made = funnel_of(stages(), mini_world())
    judge = Judge.of(made.world, viewers(20), size=10)
    assert judge.scene.at_h == made.world.meta.train_until_h
    found = measure(judge.observe(made), judge.scene)
    assert {"later.hits", "stage.later_left.merge", "stage.survival.coarse", "creators.gini"} <= {
        *found.viewers, *found.statistics,
    }  # fmt: skip
    assert not {"page.value", "page.satisfaction"} & set(found.viewers)
    listed = found.viewers["later.listed"]
    assert (found.viewers["later.hits"][listed > 0] <= listed[listed > 0]).all()
    assert listed.sum() > 0


def test_every_metric_says_what_it_is() -> None:
    for row in metric_rows():
        for key, text in row.items():
            assert text, f"{row['metric']} has no {key}"


def test_every_metric_is_in_the_docs() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [row["metric"] for row in metric_rows() if f"| {row['metric']} |" not in text] == []


def test_everything_measured_is_declared(measures: Measures) -> None:
    for name in (*measures.viewers, *measures.statistics, *measures.numbers):
        assert declared(name).name in METRICS


def test_an_unknown_metric_is_an_error_with_the_nearest_name(judge: Judge, outcome: Outcome) -> None:
    with pytest.raises(ConfigError, match=r"page\.value"):
        measure(outcome, judge.scene, ["page.valeu"])

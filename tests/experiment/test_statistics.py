"""Intervals cover, corrections correct, and numbers are those worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from funnel.core.rng import stream
from funnel.experiment.statistics import Resamples, effects, holm_corrected, over_worlds
from funnel.metrics import Measures


def measured(values: np.ndarray, name: str = "page.value") -> Measures:
    return Measures({name: values}, {}, {})


def test_holm_multiplies_the_smallest_by_all_and_never_goes_down() -> None:
    # Sorted: 0.005 × 4, 0.01 × 3, 0.03 × 2, 0.04 × 1 = 0.02, 0.03, 0.06, 0.04, and the last may not be below 0.06.
    np.testing.assert_allclose(holm_corrected([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm_corrected([np.nan, 0.5, 0.9]), [np.nan, 1.0, 1.0])
    assert holm_corrected([]) == []


def test_the_same_values_have_no_difference() -> None:
    values = stream(0, "values").normal(size=50)
    (effect,) = effects(measured(values), measured(values), Resamples.of(50, count=100))
    assert (effect.difference, effect.low, effect.high, effect.p) == (0, 0, 0, 1)
    assert effect.verdict == "none shown"


def test_the_viewers_needed_and_the_effect_are_those_of_the_formulas() -> None:
    # Differences 0 and 2 in turn: mean 1, sd 1.0050 (n − 1 = 99): ((1.96 + 0.84) × 1.0050)² = 7.93, so 8 viewers.
    a = np.arange(100.0)
    (effect,) = effects(measured(a), measured(a + np.tile([0.0, 2.0], 50)), Resamples.of(100))
    assert effect.difference == pytest.approx(1)
    assert effect.viewers_needed == 8
    assert effect.effect_sd == pytest.approx(1 / a.std(ddof=1))
    assert effect.verdict == "better"
    assert effect.low < 1 < effect.high


def test_a_viewer_without_a_value_in_one_funnel_does_not_count() -> None:
    a, b = np.array([1.0, np.nan, 3.0, 4.0]), np.array([2.0, 5.0, 4.0, np.nan])
    (effect,) = effects(measured(a), measured(b), Resamples.of(4, count=50))
    assert (effect.viewers, effect.a, effect.b, effect.difference) == (2, 2.0, 3.0, 1.0)


def test_whether_more_is_better_depends_on_the_metric() -> None:
    a = stream(0, "values").normal(size=50)
    draws = Resamples.of(50, count=200)
    for name, verdict in (("page.value", "better"), ("page.negative", "worse"), ("novelty", "differs")):
        (effect,) = effects(measured(a, name), measured(a + 1 + 0.1 * a, name), draws)
        assert effect.verdict == verdict


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    # 300 repetitions of 60 pairs with mean difference 0.3: 95 % ± 4 standard errors (1.3 %) is 90 … 100 %.
    draw = stream(1, "pairs")
    covered = 0
    for repetition in range(300):
        a = draw.normal(size=60)
        b = a + 0.3 + draw.exponential(size=60) - 1
        (effect,) = effects(measured(a), measured(b), Resamples.of(60, count=300, seed=repetition))
        covered += effect.low <= 0.3 <= effect.high
    assert 0.90 <= covered / 300 <= 0.99


def test_a_statistic_of_the_world_is_resampled_and_centred_on_its_estimate() -> None:
    # The largest value of those drawn is at most the largest of all: its draws lie below, the interval does not.
    values = stream(0, "values").normal(size=100)

    def largest(weights: np.ndarray) -> np.ndarray:
        return np.where(weights > 0, values, -np.inf).max(axis=1)

    name = "creators.gini"
    one, other = Measures({}, {name: largest}, {}), Measures({}, {name: lambda w: largest(w) + w.mean(axis=1)}, {})
    (effect,) = effects(one, other, Resamples.of(100, count=200))
    assert effect.difference == pytest.approx(1)
    assert effect.low == pytest.approx(1)


def test_whole_worlds_are_compared_by_students_t() -> None:
    # Differences 1, 2, 3: mean 2, standard error 1 / √3, t(0.975, 2) = 4.3027.
    effect = over_worlds("page.value", [0.0, 0.0, 0.0], [1.0, 2.0, 3.0])
    reach = 4.3027 / np.sqrt(3)
    assert (effect.low, effect.high) == pytest.approx((2 - reach, 2 + reach), abs=1e-3)
    alone = over_worlds("page.value", [0.0], [1.0])
    assert np.isnan(alone.low)

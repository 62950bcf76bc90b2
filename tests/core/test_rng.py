"""Draws are hashes: uniform, independent of company, and different for every seed, purpose and id."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from funnel.core import rng

IDS = np.arange(20_000)
GOLDEN = [0.2661133438002641, 0.32126845766595036, 0.4410076178072304]
GOLDEN_STREAM = [702, 344, 0]


@given(seed=st.integers(0, 2**40), ids=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20))
def test_a_draw_does_not_depend_on_the_others_in_the_call(seed: int, ids: list[int]) -> None:
    together = rng.uniform(seed, "react", np.array(ids), 7)
    alone = [float(rng.uniform(seed, "react", np.array([one]), 7)[0]) for one in ids]
    assert together.tolist() == alone
    assert rng.uniform(seed, "react", np.array(ids)[::-1], 7).tolist() == together[::-1].tolist()


@given(seed=st.integers(0, 2**40), ids=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20))
def test_draws_lie_in_zero_to_one(seed: int, ids: list[int]) -> None:
    draws = rng.uniform(seed, "react", np.array(ids))
    assert draws.dtype == np.float64
    assert bool(((draws >= 0) & (draws < 1)).all())


def test_draws_are_uniform_over_neighbouring_ids() -> None:
    # Kolmogorov-Smirnov at p > 1e-3 fails for one sound seed in a thousand; the seed is fixed, so it never flips.
    for ids in ((IDS,), (IDS, 3), (np.zeros_like(IDS), IDS), (IDS // 200, IDS % 200)):
        assert stats.kstest(rng.uniform(0, "uniformity", *ids), "uniform").pvalue > 1e-3


def test_neighbouring_ids_and_seeds_and_purposes_are_uncorrelated() -> None:
    base = rng.uniform(0, "a", IDS)
    others = [base[1:], rng.uniform(1, "a", IDS)[:-1], rng.uniform(0, "b", IDS)[:-1], rng.uniform(0, "a", IDS, 0)[:-1]]
    for other in others:
        # Correlation of 20,000 independent pairs has standard deviation 0.0071; 0.03 is more than four of them.
        assert abs(np.corrcoef(base[:-1], other)[0, 1]) < 0.03


def test_no_two_small_tuples_collide() -> None:
    viewer, tweet = np.meshgrid(np.arange(300), np.arange(300), indexing="ij")
    # 90,000 hashes of 64 bits collide with probability about 2e-10.
    assert np.unique(rng.hashed(0, "pairs", viewer.ravel(), tweet.ravel())).size == viewer.size


def test_the_order_of_ids_matters() -> None:
    assert rng.hashed(0, "pairs", 1, 2) != rng.hashed(0, "pairs", 2, 1)


def test_draws_never_change_from_one_version_to_the_next() -> None:
    # Worlds and runs are named by their seed: another value here would silently make all of them different.
    draws = rng.uniform(7, "golden", np.array([0, 1, -1]), 5)
    assert draws.tolist() == GOLDEN
    assert rng.stream(7, "golden").integers(0, 1000, 3).tolist() == GOLDEN_STREAM


def test_streams_of_two_purposes_differ_and_each_repeats() -> None:
    one, again, other = (rng.stream(3, purpose).random(5).tolist() for purpose in ("a", "a", "b"))
    assert one == again
    assert one != other

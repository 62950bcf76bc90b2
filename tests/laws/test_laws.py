"""The six laws of the funnel, over random funnels and random requests."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from funnel.compose import Slot
from funnel.core.errors import FunnelWarning
from funnel.pipeline import Funnel
from funnel.trace import Pages
from tests.laws.funnels import funnel_of, stage_lists
from tests.support import altered_after, mini_world

VIEWERS = st.lists(st.integers(0, 29), min_size=1, max_size=6, unique=True)


def run(funnel: Funnel, viewers: list[int], **options: float) -> Pages:
    """Pages, whatever the funnel has to warn about: random funnels often let nothing through."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FunnelWarning)
        return funnel.run(viewers, **options)  # type: ignore[arg-type]


def everything(pages: Pages) -> pl.DataFrame:
    """Pages and removed candidates, every column."""
    return pages.candidates().sort("viewer", "tweet")


@given(stage_lists(), VIEWERS)
def test_every_candidate_is_on_the_page_or_removed_by_one_stage(stages: list[Slot], viewers: list[int]) -> None:
    pages = run(funnel_of(stages), viewers)
    candidates = pages.candidates()
    assert candidates.select("viewer", "tweet").is_duplicated().sum() == 0
    assert len(candidates) == sum(len(trace.retrieved) for trace in pages.traces)
    shown = candidates.filter(pl.col("removed_by").is_null()).select("viewer", "tweet").sort("viewer", "tweet")
    assert_frame_equal(shown, pages.frame().select("viewer", "tweet").sort("viewer", "tweet"))
    steps = [stage for stage in pages.stages if stage.kind != "source"]
    for before, after in pairwise(steps):
        assert before.n_out == after.n_in
    lost = dict(candidates["removed_by"].drop_nulls().value_counts().rows())
    assert lost == {stage.stage: stage.n_in - stage.n_out for stage in steps[1:] if stage.n_in > stage.n_out}


@given(stage_lists(), VIEWERS)
def test_the_score_is_the_value_times_the_recorded_factors(stages: list[Slot], viewers: list[int]) -> None:
    frame = run(funnel_of(stages), viewers).frame()
    product = frame["value"].to_numpy().copy()
    for name in frame.columns:
        if name.startswith("boost."):
            product = product * frame[name].to_numpy()
    np.testing.assert_allclose(frame["score"].to_numpy(), product, rtol=1e-6)
    assert (frame["value"] >= 0).all()


@given(stage_lists(), VIEWERS, st.randoms(use_true_random=False))
def test_a_request_gets_the_same_page_alone_and_in_any_company(stages, viewers, random) -> None:  # type: ignore[no-untyped-def]
    funnel = funnel_of(stages)
    together = run(funnel, viewers)
    shuffled = random.sample(viewers, len(viewers))
    other = run(funnel, shuffled, micro_batch=random.randint(1, 4))
    for viewer in viewers:
        alone = run(funnel, [viewer])[0]
        assert alone.rows == together.of(viewer).rows == other.of(viewer).rows
        assert alone.removed == together.of(viewer).removed == other.of(viewer).removed


@given(stage_lists(), VIEWERS, st.integers(0, 3), st.integers(1, 8))
def test_the_same_seed_gives_the_same_bytes_whatever_the_batch_size(
    stages: list[Slot], viewers: list[int], seed: int, micro_batch: int
) -> None:
    funnel = funnel_of(stages)
    first = everything(run(funnel, viewers, seed=seed))
    again = everything(run(funnel, viewers, seed=seed, micro_batch=micro_batch))
    assert_frame_equal(first, again, check_exact=True)


@given(stage_lists(), VIEWERS, st.floats(5, 45))
def test_what_happens_after_a_moment_changes_nothing_at_that_moment(
    stages: list[Slot], viewers: list[int], moment: float
) -> None:
    here = run(funnel_of(stages), viewers, at_h=moment)
    there = run(funnel_of(stages, altered_after(mini_world(), moment)), viewers, at_h=moment)
    assert_frame_equal(everything(here), everything(there), check_exact=True)


@given(stage_lists(), VIEWERS, st.integers(1, 20))
def test_the_size_only_shortens_the_page(stages: list[Slot], viewers: list[int], size: int) -> None:
    funnel = funnel_of(stages)
    for long, short in zip(run(funnel, viewers), run(funnel, viewers, size=size), strict=True):
        assert short.rows == long.rows[:size]


@given(stage_lists(), VIEWERS)
def test_removing_a_source_never_adds_its_own_tweets(stages: list[Slot], viewers: list[int]) -> None:
    name = stages[0].name
    rest = stages[1:]
    if not rest[0].name.startswith("lottery"):
        return
    without = run(funnel_of(rest), viewers).candidates()
    with_it = run(funnel_of(stages), viewers).candidates()
    only_from_it = with_it.filter(pl.col(f"from.{name}"))
    others = [column for column in with_it.columns if column.startswith("from.") and column != f"from.{name}"]
    only_from_it = only_from_it.filter(~pl.any_horizontal(*others)) if others else only_from_it
    assert len(without.join(only_from_it, on=["viewer", "tweet"])) == 0


def test_two_funnels_that_show_the_same_tweet_at_the_same_place_see_the_same_reaction() -> None:
    """Law 5. The reaction is a function of (seed, viewer, tweet, place, moment), not of what else is asked."""
    from funnel.world import World

    world = World.load("tiny")
    oracle = world.oracle
    assert oracle is not None
    draw = np.random.Generator(np.random.PCG64(0))
    n = 500
    viewer = draw.integers(0, world.meta.viewer_count, n).astype(np.int32)
    tweet = draw.integers(0, world.tables.count("tweets"), n).astype(np.int32)
    place = draw.integers(0, 35, n).astype(np.int32)
    now = np.full(n, world.meta.end_h)
    all_at_once = oracle.react(viewer, tweet, place, now, seed=3)
    some = draw.permutation(n)[:100]
    apart = oracle.react(viewer[some], tweet[some], place[some], now[some], seed=3)
    np.testing.assert_array_equal(all_at_once[some], apart)
    assert (all_at_once != oracle.react(viewer, tweet, place, now, seed=4)).any()


@pytest.mark.parametrize("size", [0, -3])
def test_a_page_of_no_tweets_is_refused(size: int) -> None:
    from funnel.core.errors import ConfigError

    with pytest.raises(ConfigError, match="at least 1"):
        run(funnel_of(_plain()), [0], size=size)


def _plain() -> list[Slot]:
    from heuristics.selectors.top_k import TopK
    from tests.laws.funnels import Lottery, Taste, slot

    return [slot(Lottery(), "lottery0"), slot(Taste(), "taste"), slot(TopK())]

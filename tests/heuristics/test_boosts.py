"""Boosts multiply by the published factors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from funnel.core.batch import CandidateBatch
from funnel.core.stage import Boost
from heuristics.boosts.author_diversity import AuthorDiversity
from heuristics.boosts.blue_verified import BlueVerified
from heuristics.boosts.out_of_network import OutOfNetwork
from heuristics.boosts.replies import Replies
from tests.support import batches, fake_batch

BOOLS = ("in_network", "author_verified", "is_reply", "is_retweet")


@pytest.mark.parametrize("stage", [OutOfNetwork(), BlueVerified(), Replies(), AuthorDiversity()], ids=lambda s: s.name)
@given(batch=batches(bools=BOOLS, scores=("value", "score")))
def test_a_factor_is_float32_above_zero_and_finite(stage: Boost, batch: CandidateBatch) -> None:
    factor = stage.factor(batch)
    assert factor.dtype == np.float32
    assert factor.shape == (len(batch),)
    assert bool(((factor > 0) & np.isfinite(factor)).all())


def test_march_spares_retweets_out_of_network_and_july_does_not() -> None:
    batch = fake_batch([4], in_network=[True, False, True, False], is_retweet=[False, False, True, True])
    assert OutOfNetwork().factor(batch).tolist() == [1.0, 0.75, 1.0, 1.0]
    assert OutOfNetwork(scale=0.5, retweets=True).factor(batch).tolist() == [1.0, 0.5, 1.0, 0.5]
    assert OutOfNetwork(scale=1.0, retweets=True).factor(batch).tolist() == [1.0] * 4


def test_the_blue_mark_counts_four_in_network_and_two_elsewhere() -> None:
    batch = fake_batch(
        [5],
        author_verified=[True, True, False, True, True],
        in_network=[True, False, True, True, False],
        is_reply=[False, False, False, True, False],
        is_retweet=[False, False, False, False, True],
    )
    assert BlueVerified().factor(batch).tolist() == [4.0, 2.0, 1.0, 1.0, 1.0]
    assert BlueVerified(originals_only=False).factor(batch).tolist() == [4.0, 2.0, 1.0, 4.0, 2.0]


def test_replies_are_scaled() -> None:
    assert Replies().factor(fake_batch([2], is_reply=[True, False])).tolist() == [0.75, 1.0]


def test_an_authors_tweets_are_discounted_by_their_rank_in_each_request() -> None:
    # Request 0, author 1: values .2 .9 .9 .5 of tweets 3 8 4 6 -> ranks 3 1 0 2 (the tie goes to tweet 4);
    # factors .75 * .5^k + .25 = 1, .625, .4375, .34375. Author 2 and request 1 start anew.
    batch = fake_batch(
        [5, 1], tweet=[3, 8, 4, 6, 9, 3], author=[1, 1, 1, 1, 2, 1], value=[0.2, 0.9, 0.9, 0.5, 0.1, 0.1]
    )
    expected = [0.34375, 0.625, 1.0, 0.4375, 1.0, 1.0]
    assert AuthorDiversity().factor(batch).tolist() == expected


def test_diversity_ranks_by_the_column_that_it_is_told() -> None:
    batch = fake_batch([2], author=[1, 1], value=[0.1, 0.2], score=[0.4, 0.2])
    assert AuthorDiversity().factor(batch).tolist() == [0.625, 1.0]
    assert AuthorDiversity(rank_by="score").factor(batch).tolist() == [1.0, 0.625]
    assert AuthorDiversity(rank_by="score").needs == ("author", "score")


@given(batch=batches(scores=("value",)), decay=st.floats(0, 1), floor=st.floats(0.01, 1))
def test_diversity_never_exceeds_one_nor_goes_below_the_floor(
    batch: CandidateBatch, decay: float, floor: float
) -> None:
    factor = AuthorDiversity(decay=decay, floor=floor).factor(batch)
    assert bool((factor <= np.float32(1)).all())
    assert bool((factor >= np.float32(floor)).all())


@given(batch=batches(scores=("value",)))
def test_diversity_never_turns_the_order_of_one_authors_tweets_around(batch: CandidateBatch) -> None:
    factor = AuthorDiversity().factor(batch)
    for request, author in {*zip(batch.request.tolist(), batch["author"].tolist(), strict=True)}:
        rows = np.flatnonzero((batch.request == request) & (batch["author"] == author))
        best_first = rows[np.lexsort((batch["tweet"][rows], -batch["value"][rows]))]
        assert bool((np.diff(factor[best_first]) <= 0).all())


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        (OutOfNetwork, {"scale": 0.0}),
        (BlueVerified, {"in_network": -1.0}),
        (AuthorDiversity, {"floor": 0.0}),
        (AuthorDiversity, {"decay": 1.5}),
        (AuthorDiversity, {"rank_by": "p.favorite"}),
        (Replies, {"scale": float("nan")}),
    ],
)
def test_a_factor_that_could_break_the_score_is_refused(stage: type[Boost], settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        stage(**settings)

"""List-wise helpers against naive Python, ties included."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from funnel.core import segments
from funnel.core.batch import CandidateBatch
from tests.support import batches, shuffled_rows


def _naive_order(batch: CandidateBatch) -> list[list[int]]:
    """For each request its rows, best first, ties by tweet id."""
    score, tweet = batch["score"].tolist(), batch["tweet"].tolist()
    rows = [range(int(a), int(b)) for a, b in zip(batch.offsets, batch.offsets[1:], strict=False)]
    return [sorted(mine, key=lambda row: (-score[row], tweet[row])) for mine in rows]


@given(batch=batches())
def test_sorted_rows_are_best_first_inside_each_request(batch: CandidateBatch) -> None:
    rows = segments.sorted_rows(batch.offsets, batch["score"], batch["tweet"])
    assert rows.dtype == np.int64
    assert rows.tolist() == [row for mine in _naive_order(batch) for row in mine]


@given(batch=batches())
def test_the_rank_is_the_place_in_the_sorted_request(batch: CandidateBatch) -> None:
    rank = segments.rank_in_group(batch.offsets, batch["score"], batch["tweet"])
    assert rank.dtype == np.int32
    for mine in _naive_order(batch):
        assert rank[mine].tolist() == list(range(len(mine)))


@given(batch=batches(), k=st.integers(0, 35))
def test_top_k_keeps_the_first_k_of_the_sorted_request(batch: CandidateBatch, k: int) -> None:
    keep = segments.top_k(batch.offsets, batch["score"], batch["tweet"], k)
    assert keep.dtype == np.bool_
    assert np.flatnonzero(keep).tolist() == sorted(row for mine in _naive_order(batch) for row in mine[:k])


@given(batch=batches())
def test_nth_counts_the_better_rows_with_the_same_key(batch: CandidateBatch) -> None:
    nth = segments.nth_of(batch.offsets, batch["author"], batch["score"], batch["tweet"])
    assert nth.dtype == np.int32
    for mine in _naive_order(batch):
        seen: dict[int, int] = {}
        for row in mine:
            author = int(batch["author"][row])
            assert nth[row] == seen.get(author, 0)
            seen[author] = seen.get(author, 0) + 1


@given(batch=batches(), k=st.integers(0, 35))
def test_the_order_of_rows_never_matters(batch: CandidateBatch, k: int) -> None:
    rows = shuffled_rows(batch)
    mixed = batch.take(rows)

    def answers(one: CandidateBatch) -> list[list[int]]:
        given = (one.offsets, one["score"], one["tweet"])
        nth = segments.nth_of(one.offsets, one["author"], one["score"], one["tweet"])
        return [a.tolist() for a in (segments.rank_in_group(*given), segments.top_k(*given, k), nth)]

    plain = [np.array(values)[rows].tolist() for values in answers(batch)]
    assert answers(mixed) == plain


def test_ties_go_to_the_smaller_tweet() -> None:
    # One request: scores .5 .5 .9 of tweets 7 3 9; best first 9, then the tie 3 before 7.
    offsets, score, tweet = np.array([0, 3]), np.array([0.5, 0.5, 0.9], np.float32), np.array([7, 3, 9], np.int32)
    assert segments.sorted_rows(offsets, score, tweet).tolist() == [2, 1, 0]
    assert segments.rank_in_group(offsets, score, tweet).tolist() == [2, 1, 0]
    assert segments.top_k(offsets, score, tweet, 2).tolist() == [False, True, True]
    assert segments.nth_of(offsets, np.array([4, 4, 5]), score, tweet).tolist() == [1, 0, 0]

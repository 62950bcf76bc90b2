"""Selectors order by score and cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from funnel.core.batch import CandidateBatch
from heuristics.selectors.network_caps import NetworkCaps
from heuristics.selectors.top_k import TopK
from tests.support import batches, fake_batch


def _by_score(batch: CandidateBatch, request: int) -> list[int]:
    rows = [row for row in range(len(batch)) if batch.request[row] == request]
    return sorted(rows, key=lambda row: (-float(batch["score"][row]), int(batch["tweet"][row])))


@given(batch=batches(), size=st.integers(1, 40))
def test_top_k_is_the_head_of_the_sorted_list(batch: CandidateBatch, size: int) -> None:
    expected = [row for request in range(len(batch.requests)) for row in _by_score(batch, request)[:size]]
    assert TopK(size=size).order(batch).tolist() == expected


@given(batch=batches(), size=st.integers(1, 39))
def test_a_greater_size_only_adds_at_the_end(batch: CandidateBatch, size: int) -> None:
    small, large = (batch.take(TopK(size=k).order(batch)) for k in (size, size + 1))
    for request in range(len(batch.requests)):
        tweets = [page["tweet"][page.request == request].tolist() for page in (small, large)]
        assert tweets[1][:size] == tweets[0]


@given(batch=batches(bools=("in_network",)), inside=st.integers(1, 12), outside=st.integers(1, 12))
def test_each_network_keeps_its_best_and_the_page_stays_in_order(
    batch: CandidateBatch, inside: int, outside: int
) -> None:
    expected = []
    for request in range(len(batch.requests)):
        room = {True: inside, False: outside}
        for row in _by_score(batch, request):
            network = bool(batch["in_network"][row])
            if room[network]:
                room[network] -= 1
                expected.append(row)
    order = NetworkCaps(max_in_network=inside, max_out_of_network=outside).order(batch)
    assert order.tolist() == expected


def test_ties_go_to_the_smaller_tweet_id() -> None:
    batch = fake_batch([4], tweet=[8, 2, 5, 1], score=[0.5, 0.5, 0.9, 0.1], in_network=[True] * 4)
    # Best first: tweet 5 (.9), then the tie of .5: 2 before 8, then 1.
    assert TopK(size=3).order(batch).tolist() == [2, 1, 0]
    assert NetworkCaps(max_in_network=2).order(batch).tolist() == [2, 1]


def test_the_rows_are_int64_for_an_empty_batch_too() -> None:
    batch = fake_batch([0, 0], score=np.empty(0), in_network=np.empty(0, np.bool_))
    for stage in (TopK(), NetworkCaps()):
        assert stage.order(batch).dtype == np.int64
        assert stage.order(batch).size == 0


@pytest.mark.parametrize("size", [0, -1, 501])
def test_a_size_outside_the_published_bounds_is_refused(size: int) -> None:
    with pytest.raises(ValidationError):
        TopK(size=size)
    with pytest.raises(ValidationError):
        NetworkCaps(max_in_network=size)

"""Batches: columns of equal length, read-only, grouped by request."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ContractError
from funnel.core.world import PlatformView
from tests.support import batches, fake_batch, one_request, shuffled_rows


@given(batch=batches(), data=st.data())
def test_taking_rows_keeps_each_row_with_its_request(batch: CandidateBatch, data: st.DataObject) -> None:
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(batch), max_size=len(batch))), np.bool_)
    taken = batch.take(keep)
    for name in batch.names:
        assert np.array_equal(taken[name], batch[name][keep])
    assert np.array_equal(taken.request, batch.request[keep])
    assert np.array_equal(taken.viewer, batch.viewer[keep])
    assert int(taken.counts.sum()) == int(keep.sum())


@given(batch=batches())
def test_taking_rows_twice_is_taking_them_once(batch: CandidateBatch) -> None:
    rows = shuffled_rows(batch)
    some = np.flatnonzero(np.arange(len(batch)) % 2 == 0)
    twice, once = batch.take(rows).take(some), batch.take(rows[some])
    assert np.array_equal(twice.offsets, once.offsets)
    assert all(np.array_equal(twice[name], once[name]) for name in batch.names)


@given(batch=batches())
def test_requests_alone_put_together_make_the_batch(batch: CandidateBatch) -> None:
    parts = [one_request(batch, r) for r in range(len(batch.requests))]
    assert [len(part) for part in parts] == batch.counts.tolist()
    assert [tweet for part in parts for tweet in part["tweet"].tolist()] == batch["tweet"].tolist()


@given(batch=batches())
def test_values_per_request_are_repeated_for_its_rows(batch: CandidateBatch) -> None:
    assert np.array_equal(batch.per_request(np.arange(len(batch.requests))), batch.request)
    assert np.array_equal(batch.viewer, batch.requests.viewer[batch.request])
    assert np.array_equal(batch.now_h, batch.requests.now_h[batch.request])


def test_nobody_can_write_to_a_column() -> None:
    batch = fake_batch([2], score=[0.5, 1.0])
    for values in (batch["score"], batch["tweet"], batch.offsets, batch.request, batch.viewer, batch.requests.viewer):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0


def test_adding_columns_leaves_the_batch_as_it_was() -> None:
    batch = fake_batch([1, 1])
    more = batch.with_columns({"score": np.ones(2, np.float32), "tweet": np.array([5, 6], np.int32)})
    assert "score" not in batch
    assert more["tweet"].tolist() == [5, 6]
    assert batch["tweet"].tolist() != [5, 6]
    assert more.only(("score",)).names == ("score",)


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(ContractError, match=r"'score'.*wants 3 rows, got shape \(2,\)"):
        fake_batch([2, 1]).with_columns({"score": np.ones(2, np.float32)})


def test_offsets_that_do_not_fit_the_requests_are_refused(view: PlatformView) -> None:
    requests = Requests.of([1, 2], 3.0, view)
    with pytest.raises(ContractError, match="wants 3 offsets that start at 0"):
        CandidateBatch(requests, np.array([0, 1]), {})
    with pytest.raises(ContractError, match="start at 0"):
        CandidateBatch(requests, np.array([1, 1, 1]), {})


def test_rows_that_mix_requests_are_refused() -> None:
    with pytest.raises(ContractError, match="grouped by request"):
        fake_batch([2, 2]).take(np.array([0, 2, 1]))


def test_a_missing_column_names_its_neighbours() -> None:
    with pytest.raises(ContractError, match="did you mean 'author'"):
        fake_batch([1])["autor"]


def test_a_request_after_the_views_moment_is_refused(view: PlatformView) -> None:
    with pytest.raises(ContractError, match="after the view's own moment"):
        Requests.of([1], view.now_h + 1, view)


def test_a_requests_draw_does_not_depend_on_its_batch(view: PlatformView) -> None:
    together = Requests.of([3, 4, 5], [1.0, 2.0, 3.0], view, seed=9).uniform("mixer")
    alone = Requests.of([4], 2.0, view, seed=9).uniform("mixer")
    assert together[1] == alone[0]
    assert together[0] != together[1]
    assert Requests.of([4], 2.0, view, seed=8).uniform("mixer")[0] != alone[0]


def test_an_empty_batch_has_columns_of_length_zero(view: PlatformView) -> None:
    batch = fake_batch([], view=view)
    assert (len(batch), len(batch.requests), batch.counts.size, batch.request.size) == (0, 0, 0, 0)
    assert len(batch.take(np.empty(0, np.int64))) == 0

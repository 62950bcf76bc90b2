"""Debunching, one tweet per author from outside, and the determinantal page."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.arrays import Array
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError
from heuristics.selectors.best_out_of_network_per_author import BestOutOfNetworkPerAuthor
from heuristics.selectors.debunch import Debunch
from heuristics.selectors.dpp import DPP, alpha_of
from heuristics.selectors.top_k import TopK
from tests.support import batches, fake_batch, mini_view


def _sorted(batch: CandidateBatch, request: int) -> list[int]:
    rows = [row for row in range(len(batch)) if batch.request[row] == request]
    return sorted(rows, key=lambda row: (-float(batch["score"][row]), int(batch["tweet"][row])))


def _pages(batch: CandidateBatch, order: Array) -> list[list[int]]:
    return [[int(row) for row in order if batch.request[row] == request] for request in range(len(batch.requests))]


def debunched_as_released(inside: list[bool], limit: int) -> list[int]:
    """DebunchCandidates.scala, line by line, on places of a sorted list."""
    page = list(range(len(inside)))
    place = bunch = 0
    while place < len(page):
        bunch = 0 if inside[page[place]] else bunch + 1
        if bunch > limit:
            following = next((later for later in range(place, len(page)) if inside[page[later]]), None)
            if following is None:
                break
            page.insert(place, page.pop(following))
            bunch = 0
        place += 1
    return page


@given(batch=batches(bools=("in_network",)), limit=st.integers(1, 4), size=st.integers(1, 40))
def test_debunching_is_the_released_procedure(batch: CandidateBatch, limit: int, size: int) -> None:
    pages = _pages(batch, Debunch(max_in_a_row=limit, size=size).order(batch))
    for request, page in enumerate(pages):
        rows = _sorted(batch, request)
        expected = debunched_as_released([bool(batch["in_network"][row]) for row in rows], limit)
        assert page == [rows[place] for place in expected][:size]


@given(batch=batches(bools=("in_network",), max_count=40))
def test_never_more_than_two_from_outside_in_a_row_while_insiders_remain(batch: CandidateBatch) -> None:
    for request, page in enumerate(_pages(batch, Debunch(size=500).order(batch))):
        assert sorted(page) == sorted(_sorted(batch, request))  # nobody is lost
        inside = [bool(batch["in_network"][row]) for row in page]
        until_the_last_insider = inside[: len(inside) - inside[::-1].index(True)] if True in inside else []
        runs = [len(list(run)) for network, run in groupby(until_the_last_insider) if not network]
        assert max(runs, default=0) <= 2


def test_the_next_insider_is_pulled_up_and_a_tail_of_outsiders_stays() -> None:
    # Scores 7 6 5 4 3 2 1; only rows 4 and 5 are in network: o o [pull 4] o o [pull 5] o.
    batch = fake_batch([7], score=[7.0, 6, 5, 4, 3, 2, 1], in_network=[False] * 4 + [True, True, False])
    assert Debunch().order(batch).tolist() == [0, 1, 4, 2, 3, 5, 6]
    outsiders = fake_batch([4], score=[4.0, 3, 2, 1], in_network=[False] * 4)
    assert Debunch().order(outsiders).tolist() == [0, 1, 2, 3]
    assert Debunch(size=2).order(outsiders).tolist() == [0, 1]


@given(batch=batches(bools=("in_network", "from.first", "from.second")), per_source=st.booleans())
def test_outside_the_network_an_author_has_one_tweet_a_kind_of_source(batch: CandidateBatch, per_source: bool) -> None:
    page = _pages(batch, BestOutOfNetworkPerAuthor(per_source=per_source).order(batch))
    for request in range(len(batch.requests)):
        met = set()
        expected = []
        for row in _sorted(batch, request):
            kind = 0 if batch["from.first"][row] or not batch["from.second"][row] else 1
            key = (int(batch["author"][row]), kind if per_source else 0)
            if batch["in_network"][row] or key not in met:
                expected.append(row)
            if not batch["in_network"][row]:
                met.add(key)
        assert page[request] == expected


def test_march_keeps_one_tweet_per_author_whatever_the_source() -> None:
    # Author 1 from outside: .9 and .3 by the first source, .5 by the second; author 2 inside twice.
    batch = fake_batch(
        [5], author=[1, 1, 1, 2, 2], score=[0.9, 0.3, 0.5, 0.4, 0.2], in_network=[False] * 3 + [True] * 2
    )
    found_by = {"from.uteg": np.array([1, 1, 0, 0, 0], bool), "from.twhin_ann": np.array([0, 1, 1, 0, 0], bool)}
    batch = batch.with_columns(found_by)
    assert BestOutOfNetworkPerAuthor().order(batch).tolist() == [0, 2, 3, 4]
    assert BestOutOfNetworkPerAuthor(per_source=False).order(batch).tolist() == [0, 3, 4]


# ---------------------------------------------------------------- DPP


def _with_vectors(batch: CandidateBatch, seed: int = 0) -> tuple[CandidateBatch, Array]:
    """The batch seen from a view with an author vector each, unit or zero."""
    from funnel.core import rng
    from funnel.core.batch import Requests

    view = mini_view()
    vectors = rng.stream(seed, "author vectors").normal(size=(view.user_count, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[::5] = 0
    asked = batch.requests
    requests = Requests(asked.viewer, asked.now_h, view.with_assets({"twhin.author_follow": vectors}), asked.seed)
    columns = {name: batch[name] for name in batch.names} | {"original_author": batch["author"]}
    return CandidateBatch(requests, batch.offsets, columns), vectors


def likelihoods(score: Array, author: Array, vectors: Array, theta: float, of_author: float) -> Array:
    """float64 [n, n]: the matrix L of the definition."""
    quality = np.exp(alpha_of(theta) * score.astype(np.float64) / max(float(score.max()), 1e-30))
    unit = vectors[author].astype(np.float64)
    cosine = np.where(author[:, None] == author[None, :], 1.0, unit @ unit.T) * of_author
    np.fill_diagonal(cosine, 1.0)
    return np.asarray(quality[:, None] * quality[None, :] * cosine)


def naive_greedy(kernel: Array, size: int) -> list[int]:
    """Greedy MAP by determinants, as the definition says."""
    chosen: list[int] = []
    while len(chosen) < min(size, len(kernel)):
        best, most = -1, 0.0
        for i in range(len(kernel)):
            if i not in chosen:
                rows = [*chosen, i]
                determinant = np.linalg.det(kernel[np.ix_(rows, rows)])
                if determinant > most * (1 + 1e-9):
                    best, most = i, determinant
        if best < 0:
            break
        chosen.append(best)
    return chosen


@given(batch=batches(max_requests=3, max_count=9), size=st.integers(1, 5), theta=st.sampled_from([0.0, 0.65, 0.9]))
def test_the_diverse_page_is_the_greedy_determinant(batch: CandidateBatch, size: int, theta: float) -> None:
    batch, vectors = _with_vectors(batch)
    stage = DPP(size=size, theta=theta, max_rank=7, of_author=0.7)
    for request, page in enumerate(_pages(batch, stage.order(batch))):
        rows = np.array(_sorted(batch, request)[:7], np.int64)
        if rows.size:
            kernel = likelihoods(batch["score"][rows], batch["author"][rows], vectors, theta, 0.7)
            chosen = naive_greedy(kernel, size)
            found = [rows.tolist().index(row) for row in page]
            assert found == sorted(found)
            assert len(found) == len(chosen)
            # Tweets of one author can tie but for the last bit, so not the rows but the determinants must be equal.
            reached, greedy = (np.linalg.det(kernel[np.ix_(picked, picked)]) for picked in (found, chosen))
            assert reached == pytest.approx(greedy, rel=1e-6)


def test_of_equal_tweets_those_by_different_authors_are_chosen() -> None:
    batch, _ = _with_vectors(fake_batch([4], tweet=[1, 2, 3, 4], author=[0, 0, 5, 10], score=[1.0, 1, 1, 1]))
    # Authors 0, 5 and 10 have no vector here, so they are unlike each other; tweets 1 and 2 are by one author.
    assert DPP(size=3).order(batch).tolist() == [0, 2, 3]


def test_the_constants_of_the_diverse_page_are_the_published_ones() -> None:
    # home-mixer, VMRanker: theta 0.65 -> alpha = 0.65 / 0.7 = 0.9286; rank 150; 50 chosen.
    assert alpha_of(0.65) == pytest.approx(0.9286, abs=1e-4)
    assert (DPP().theta, DPP().max_rank, DPP().size) == (0.65, 150, 50)


def test_a_batch_without_candidates_makes_an_empty_page() -> None:
    batch, _ = _with_vectors(fake_batch([0, 0], score=np.empty(0), in_network=np.empty(0, np.bool_)))
    for stage in (Debunch(), BestOutOfNetworkPerAuthor(), DPP(), TopK()):
        assert stage.order(batch).size == 0
        assert stage.order(batch).dtype == np.int64


def test_author_vectors_are_asked_for() -> None:
    assert DPP().requires == ("twhin.author_follow",)
    from tests.laws.funnels import Lottery, Taste, funnel_of, slot

    with pytest.raises(ConfigError, match="add 'twhin' to `jobs:`"):
        funnel_of([slot(Lottery(), "lottery"), slot(Taste(), "taste"), slot(DPP())])

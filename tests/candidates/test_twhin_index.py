"""An approximate index finds nearly what an exact one does, and only what is allowed."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from candidates.twhin.index import EXACT_BELOW, IndexKind, Tuning, built, search_parameters
from candidates.twhin_ann import TwHINANN
from funnel.core.arrays import Array
from funnel.core.batch import Requests
from funnel.core.rng import stream
from tests.candidates import naive
from tests.candidates.planted import with_random_assets
from tests.support import mini_view

KINDS: tuple[IndexKind, ...] = ("auto", "exact", "ivf", "hnsw")


def clustered(count: int, d: int = 16) -> Array:
    """Unit vectors around forty directions."""
    draw = stream(0, "clustered")
    vectors = draw.standard_normal((40, d))[draw.integers(0, 40, count)] + 0.4 * draw.standard_normal((count, d))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_finds_the_nearest_that_are_allowed(kind: IndexKind) -> None:
    vectors = clustered(4000)
    base, queries = vectors[:3900], vectors[3900:]
    allowed = np.arange(3900) % 3 != 0
    similarity = np.where(allowed, queries @ base.T, -np.inf)
    truth = np.argsort(-similarity, axis=1)[:, :20]
    index = built(base, kind)
    selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    parameters = search_parameters(index, selector, Tuning(16, 200))
    found = np.concatenate([index.search(query[None], 20, params=parameters)[1] for query in queries])
    assert allowed[found[found >= 0]].all()
    recall = np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)])
    # Exact but for ties in the last bit; the others look at a part, of which 16 of ~100 lists hold nearly all.
    assert recall > (0.999 if kind in ("auto", "exact") else 0.95)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_few_vectors_are_all_found(kind: IndexKind, count: int) -> None:
    vectors = clustered(count + 1)
    index = built(vectors[:count], kind)
    assert index.ntotal == count
    if count:
        _, rows = index.search(vectors[count:], count, params=search_parameters(index, None, Tuning(4096, 800)))
        assert sorted(rows[0]) == list(range(count))


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_index_built_again_answers_alike(kind: IndexKind) -> None:
    vectors = clustered(3000)
    answers = []
    for _ in range(2):
        index = built(vectors[:2900], kind)
        answers.append(index.search(vectors[2900:], 10, params=search_parameters(index, None, Tuning(4, 20)))[1])
    np.testing.assert_array_equal(*answers)


def test_many_vectors_get_lists_without_being_asked() -> None:
    assert isinstance(built(np.ones((EXACT_BELOW - 1, 8), np.float32), "auto"), faiss.IndexFlat)
    assert isinstance(built(clustered(EXACT_BELOW, 8), "auto"), faiss.IndexIVF)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_the_source_gives_the_same_tweets_with_a_thorough_approximate_index(kind: IndexKind) -> None:
    view = with_random_assets(mini_view())
    requests = Requests.of(np.arange(view.user_count), 33.3, view)
    exact, other = (TwHINANN(index=k, probes=4096).retrieve(requests) for k in ("exact", kind))
    for r in range(view.user_count):
        wanted, found = naive.result(exact, r), naive.result(other, r)
        assert found.keys() == wanted.keys()
        # Half precision has 11 bits.
        np.testing.assert_allclose([found[t] for t in wanted], list(wanted.values()), atol=2e-3)

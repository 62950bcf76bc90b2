"""The source `salsa`: what its walks find, and what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from candidates.salsa import Salsa
from funnel.core.batch import Requests
from funnel.core.errors import ConfigError, NotFittedError
from funnel.core.stage import GivesProofs
from funnel.core.world import PlatformView
from tests.candidates import naive
from tests.candidates.planted import planted, with_random_assets
from tests.support import mini_view

METHODS = ("walks", "subgraph")


@pytest.fixture(scope="module")
def ready() -> PlatformView:
    return with_random_assets(mini_view())


@pytest.mark.parametrize("method", METHODS)
def test_candidates_are_out_of_network_young_and_untouched(ready: PlatformView, method: str) -> None:
    batch = Salsa(method=method).retrieve(Requests.of(np.arange(30), 48.0, ready))  # type: ignore[arg-type]
    assert len(batch) > 50
    for r in range(30):
        follows = set(naive.followees(ready, r, 48.0))
        for tweet, score in naive.result(batch, r).items():
            author = int(ready.tweets["author"][tweet])
            assert author != r
            assert author not in follows
            assert not naive.hidden(ready, author)
            assert 48.0 - 24.0 <= ready.tweets["time_h"][tweet] < 48.0
            assert 0 < score <= 1


@pytest.mark.parametrize("method", METHODS)
def test_walks_stay_in_the_viewers_community(method: str) -> None:
    view, community = planted()
    view = with_random_assets(view)
    source = Salsa(method=method, max_results=20)  # type: ignore[arg-type]
    batch = source.retrieve(Requests.of(np.arange(60), 10.0, view))
    same = community[view.tweets["author"][batch["tweet"]]] == community[batch.viewer]
    assert len(batch) > 300
    assert same.mean() > 0.5  # one in five by chance; what is followed inside the community is left out


def test_another_seed_walks_elsewhere_and_the_same_one_does_not(ready: PlatformView) -> None:
    ask = [Requests.of(np.arange(30), 48.0, ready, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (Salsa(walks=100).retrieve(requests)["source_score"] for requests in ask)
    np.testing.assert_array_equal(first, again)
    assert first.size != other.size or bool((first != other).any())


def test_proofs_are_followees_who_engaged(ready: PlatformView) -> None:
    source, requests = Salsa(), Requests.of(np.arange(30), 48.0, ready)
    assert isinstance(source, GivesProofs)
    batch, named = source.retrieve(requests), 0
    for row in range(0, len(batch), 11):
        r = int(batch.request[row])
        users = {user for _, user in source.proofs(requests, r, int(batch["tweet"][row]))}
        assert users <= set(naive.followees(ready, r, 48.0))
        named += len(users)
    assert named > 0
    assert source.proofs(requests, 3, -1) == []


def test_walks_of_an_even_length_are_refused() -> None:
    with pytest.raises(ConfigError, match="odd"):
        Salsa(length=4)


def test_it_says_which_asset_it_misses() -> None:
    with pytest.raises(NotFittedError, match="real_graph"):
        Salsa().retrieve(Requests.of([1], 48.0, mini_view()))

"""Every source agrees with a plain Python version of its rule, at every moment and in any company."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from candidates.in_network import InNetwork
from candidates.simclusters_ann import SimClustersANN
from candidates.twhin_ann import TwHINANN
from candidates.uteg import UTEG
from funnel.core.batch import Requests
from funnel.core.errors import ConfigError, NotFittedError
from funnel.core.stage import Source
from funnel.core.world import PlatformView
from tests.candidates import naive
from tests.candidates.planted import with_random_assets
from tests.support import altered_after, mini_view, mini_world

MOMENTS = (5.0, 20.0, 33.3, 48.0)
SOURCES = (
    InNetwork(),
    UTEG(social_proof=("favorite", "retweet")),
    SimClustersANN(min_signals=2, min_score=0.0),
    TwHINANN(),
)


@pytest.fixture(scope="module")
def ready() -> PlatformView:
    return with_random_assets(mini_view())


def expect(source: Source, view: PlatformView, now_h: float, rule: Any, **settings: Any) -> int:
    """Compare every viewer of one moment; the number of candidates compared."""
    viewers = np.arange(view.user_count)
    batch = source.retrieve(Requests.of(viewers, now_h, view))
    for viewer in viewers:
        found, wanted = naive.result(batch, viewer), rule(view, int(viewer), now_h, **settings)
        assert found.keys() == wanted.keys()
        np.testing.assert_allclose([found[t] for t in wanted], list(wanted.values()), rtol=2e-5, atol=1e-6)
    return len(batch)


@pytest.mark.parametrize("now_h", MOMENTS)
@pytest.mark.parametrize("window_h", [6.0, 24.0])
def test_in_network_finds_what_followees_wrote_in_the_window(
    ready: PlatformView, now_h: float, window_h: float
) -> None:
    source = InNetwork(window_h=window_h, light_window_h=window_h)
    assert expect(source, ready, now_h, naive.in_network, window_h=window_h) > 0


def test_only_the_followees_with_the_best_real_graph_scores_are_asked(ready: PlatformView) -> None:
    everything = {"max_excluded": 0, "max_per_author": 300, "max_in_a_row": 300}
    batch = InNetwork(max_follows=2, window_h=48.0, **everything).retrieve(Requests.of([3], 48.0, ready))
    authors = set(ready.tweets["author"][batch["tweet"]].tolist())
    writers = [user for user in naive.followees(ready, 3, 48.0) if (ready.tweets["author"] == user).any()]
    weight = naive.weights(ready, 3, writers, 48.0)
    assert authors == set(sorted(writers, key=lambda user: (-weight[user], user))[:2])


@pytest.mark.parametrize("now_h", MOMENTS)
@pytest.mark.parametrize("min_proofs", [1, 2])
def test_uteg_agrees_exactly_with_counting_by_hand(ready: PlatformView, now_h: float, min_proofs: int) -> None:
    view, viewers = ready, np.arange(ready.user_count)
    proofs = ("favorite", "reply")
    batch = UTEG(social_proof=proofs, min_proofs=min_proofs).retrieve(Requests.of(viewers, now_h, view))
    for viewer in viewers:
        wanted = naive.uteg(view, int(viewer), now_h, proofs=proofs, min_proofs=min_proofs, max_age_h=24.0)
        assert naive.result(batch, viewer) == wanted


def test_uteg_keeps_the_best_and_breaks_ties_by_the_older_tweet(ready: PlatformView) -> None:
    requests = Requests.of(np.arange(30), 48.0, ready)
    everything, few = UTEG().retrieve(requests), UTEG(max_results=3).retrieve(requests)
    for r in range(30):
        ranking = sorted(naive.result(everything, r).items(), key=lambda pair: (-pair[1], pair[0]))
        assert list(naive.result(few, r).items()) == ranking[:3]


def test_uteg_reads_the_newest_edges_of_a_seed(ready: PlatformView) -> None:
    counts = [len(UTEG(max_edges=edges).retrieve(Requests.of(np.arange(30), 48.0, ready))) for edges in (1, 5, 500)]
    assert 0 < counts[0] < counts[1] < counts[2]


@pytest.mark.parametrize("now_h", MOMENTS[1:])
@pytest.mark.parametrize("min_signals", [1, 3])
def test_simclusters_ann_is_the_cosine_over_the_viewers_clusters(
    ready: PlatformView, now_h: float, min_signals: int
) -> None:
    source = SimClustersANN(min_signals=min_signals, min_interest=0.2, min_score=0.0)
    settings = {"min_signals": min_signals, "min_interest": 0.2, "max_age_h": 24.0}
    assert expect(source, ready, now_h, naive.simclusters, **settings) > 0


def test_simclusters_ann_leaves_out_what_is_too_far(ready: PlatformView) -> None:
    requests = Requests.of(np.arange(30), 48.0, ready)
    near = SimClustersANN(min_signals=1, min_score=0.8).retrieve(requests)["source_score"]
    everything = SimClustersANN(min_signals=1, min_score=0.0).retrieve(requests)["source_score"]
    assert near.size == int((everything >= 0.8).sum()) > 0


def test_simclusters_ann_reads_the_best_tweets_of_a_cluster_only(ready: PlatformView) -> None:
    # One cluster is scanned, and only the two tweets with the most of it can be found in it.
    one = SimClustersANN(min_signals=1, min_score=0.0, min_interest=0.0, max_clusters=1, max_tweets=2)
    counts = one.retrieve(Requests.of(np.arange(30), 48.0, ready)).counts
    assert counts.max() == 2


@pytest.mark.parametrize("now_h", MOMENTS)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_twhin_ann_is_an_exact_cosine_search(ready: PlatformView, now_h: float, share: float) -> None:
    assert expect(TwHINANN(follow_share=share), ready, now_h, naive.twhin, share=share, max_age_h=24.0) > 0


def test_twhin_ann_gives_nothing_to_a_viewer_it_knows_nothing_about(ready: PlatformView) -> None:
    names = ("twhin.user_follow", "twhin.user_engagement")
    blank = {name: np.where(np.arange(30)[:, None] == 4, np.float32(0), ready.asset(name)) for name in names}
    batch = TwHINANN().retrieve(Requests.of([3, 4], 48.0, ready.with_assets(blank)))
    assert batch.counts[0] > 0
    assert batch.counts[1] == 0


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_an_answer_has_the_same_bytes_whatever_the_company_and_the_order(source: Source, ready: PlatformView) -> None:
    viewers = np.repeat(np.arange(30), len(MOMENTS))
    now_h = np.tile(MOMENTS, 30)
    together = source.retrieve(Requests.of(viewers, now_h, ready))
    backwards = source.retrieve(Requests.of(viewers[::-1], now_h[::-1], ready))
    for r in range(0, viewers.size, 7):
        # A stage of its own, so that nothing it keeps between calls can matter.
        alone = type(
            source
        )(
            **{name: getattr(source, name) for name in source.__dataclass_fields__}
        ).retrieve(  # type: ignore[attr-defined]
            Requests.of(viewers[r : r + 1], now_h[r : r + 1], ready)
        )
        assert naive.result(together, r) == naive.result(alone, 0) == naive.result(backwards, viewers.size - 1 - r)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_what_happens_later_changes_nothing(source: Source, ready: PlatformView) -> None:
    other = PlatformView(altered_after(mini_world(), 30.0), 48.0, assets=ready.assets)
    viewers = np.arange(30)
    now = source.retrieve(Requests.of(viewers, 30.0, ready))
    then = source.retrieve(Requests.of(viewers, 30.0, other))
    assert len(now) > 0
    for column in ("tweet", "source_score"):
        np.testing.assert_array_equal(now[column], then[column])


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_source_says_which_assets_it_misses(source: Source) -> None:
    with pytest.raises(NotFittedError, match=source.requires[0].partition(".")[0]):
        source.retrieve(Requests.of([1], 48.0, mini_view()))


def test_an_unknown_signal_is_named_with_the_nearest_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'favorite'"):
        SimClustersANN(signal=("favourite",))
    with pytest.raises(ConfigError, match="did you mean 'retweet'"):
        UTEG(social_proof=("retwet",))

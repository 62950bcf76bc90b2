"""The cache holds what the last page's sources gave and was not shown, and closes those that are still full."""

from __future__ import annotations

import numpy as np
import pytest

from candidates.cached_scored_tweets import CachedScoredTweets
from candidates.thunder import Thunder
from funnel.core.batch import Requests
from funnel.core.errors import ConfigError
from heuristics.selectors.top_k import TopK
from tests.candidates import naive
from tests.laws.funnels import Taste, funnel_of, slot
from tests.support import mini_view

VIEW = mini_view()
SEEN = VIEW.impressions["viewer"]
# Every viewer one minute and ten minutes after their last page.
LAST_H = np.array([VIEW.impressions["time_h"][user == SEEN].max(initial=-1.0) for user in range(30)])
WARM = np.flatnonzero((LAST_H > 24) & (LAST_H < 47))
SOURCES: dict[str, dict[str, object]] = {"thunder": {"max_results": 100}}


def soon(minutes: float) -> Requests:
    return Requests.of(WARM, LAST_H[WARM] + minutes / 60, VIEW)


def test_the_cache_is_the_last_answer_less_what_was_shown() -> None:
    found = CachedScoredTweets(sources=SOURCES).retrieve(soon(1.0))
    then = Thunder(max_results=100).retrieve(Requests.of(WARM, LAST_H[WARM], VIEW))
    left_out = 0
    for r, viewer in enumerate(WARM):
        rows = (viewer == SEEN) & (VIEW.impressions["time_h"] >= LAST_H[viewer] + 1 / 60 - 48)
        shown = set(VIEW.impressions["tweet"][rows].tolist())
        answer = list(naive.result(then, r))
        assert list(naive.result(found, r)) == [tweet for tweet in answer if tweet not in shown]
        left_out += len(shown & set(answer))
    assert len(found) > 0
    assert left_out > 0


def test_the_cache_is_empty_after_three_minutes() -> None:
    assert len(CachedScoredTweets(sources=SOURCES).retrieve(soon(2.9))) > 0
    assert len(CachedScoredTweets(sources=SOURCES).retrieve(soon(3.1))) == 0


def test_a_source_with_thirty_unseen_tweets_in_the_cache_is_closed_and_no_other() -> None:
    cache = CachedScoredTweets(sources=SOURCES, min_cached=30)
    counts = cache.retrieve(soon(1.0)).counts
    assert 0 < (counts >= 30).sum() < WARM.size
    np.testing.assert_array_equal(cache.closed(soon(1.0), "thunder"), counts >= 30)
    assert not cache.closed(soon(1.0), "uteg").any()
    assert not cache.closed(soon(10.0), "thunder").any()


def test_all_sources_close_together_if_so_set() -> None:
    both = CachedScoredTweets(sources=SOURCES | {"popular": {"max_results": 3}}, min_cached=1, all_at_once=True)
    some = both.retrieve(soon(1.0)).counts > 0
    assert some.any()
    for name in ("thunder", "popular"):
        np.testing.assert_array_equal(both.closed(soon(1.0), name), some)


def test_a_closed_source_is_not_asked_by_the_runner_and_its_cached_tweets_are_there() -> None:
    cache, thunder = CachedScoredTweets(sources=SOURCES, min_cached=30), Thunder(max_results=100)
    funnel = funnel_of([slot(cache), slot(thunder), slot(Taste()), slot(TopK(size=5))])
    retrieved = funnel.run_batch(soon(1.0)).retrieved
    shut = cache.closed(soon(1.0), "thunder")
    assert 0 < shut.sum() < WARM.size
    fresh, cached = thunder.retrieve(soon(1.0)), cache.retrieve(soon(1.0))
    for r in range(WARM.size):
        rows = retrieved.request == r
        found = set(retrieved["tweet"][rows & retrieved["from.thunder"]].tolist())
        assert found == (set() if shut[r] else set(naive.result(fresh, r)))
        assert set(retrieved["tweet"][rows & retrieved["from.cached_scored_tweets"]].tolist()) == set(
            naive.result(cached, r)
        )


def test_the_best_of_each_source_come_first_and_caps_hold() -> None:
    found = CachedScoredTweets(sources=SOURCES, max_per_source=10, max_cached=4).retrieve(soon(1.0))
    assert found.counts.max() == 4
    assert found["source_score"].max() <= 1.0
    assert found["source_score"].min() > 0.0


def test_somebody_who_was_never_shown_anything_has_no_cache() -> None:
    assert len(CachedScoredTweets(sources=SOURCES).retrieve(Requests.of([29], 48.0, VIEW))) == 0


def test_sources_that_do_not_exist_or_have_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'thunder'"):
        CachedScoredTweets(sources={"thundr": {}})
    with pytest.raises(ConfigError, match=r"thunder\.max_result"):
        CachedScoredTweets(sources={"thunder": {"max_result": 3}})
    with pytest.raises(ConfigError, match="one source"):
        CachedScoredTweets(sources={})

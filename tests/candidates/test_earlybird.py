"""The search index: however it is fed it gives the same answers, nothing is lost, nothing comes from the future."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates.earlybird.context import SearchContext, derived
from candidates.earlybird.index import EarlybirdIndex, HitRules
from candidates.earlybird.ingesters import COUNTED, MAX_COUNT, STATIC, IndexIngester, SignalIngester, indexed
from candidates.earlybird.segment import OpenSegment, SealedSegment
from candidates.earlybird.shared import index_of
from candidates.earlybird.user_states import STATES, user_states
from candidates.earlybird.users import UserTable
from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array
from funnel.core.batch import Requests
from funnel.core.errors import ContractError, DataError
from funnel.core.tables import QUOTE
from funnel.core.world import PlatformView
from tests.candidates.planted import with_random_assets
from tests.support import mini_view

ALL = 10**6
NO_RULES = HitRules(
    per_author=ALL, in_a_row=ALL, hits=ALL, retweets=ALL, extended=True, age_slope=0.0, age_middle_min=0.0, age_base=1.0
)
END_H = 48.0


@pytest.fixture(scope="module")
def ready() -> PlatformView:
    return with_random_assets(mini_view())


def context(view: PlatformView, now_h: float = END_H, window_h: float = 24.0, excluded: int = 0) -> SearchContext:
    requests = Requests.of(np.arange(view.user_count), now_h, view)
    now = requests.now_h
    return SearchContext.of(requests, since_h=now - window_h, until_h=now, max_excluded=excluded)


def answers(index: EarlybirdIndex, asked: SearchContext, rules: HitRules = NO_RULES) -> list[list[int]]:
    """The tweets of each search, newest first."""
    counts, tweet, _ = index.collect(asked).accepted(np.ones(asked.author.size, np.float32), rules)
    return [part.tolist() for part in np.split(tweet, np.cumsum(counts)[:-1])]


def fed(view: PlatformView, cuts: list[int], **settings: float) -> EarlybirdIndex:
    """An index that got the view's tweets in pieces."""
    index = EarlybirdIndex(user_count=0, **settings)
    edges = [0, *sorted(cuts), view.tweets["author"].size]
    for first, end in itertools.pairwise(edges):
        index.ingest(indexed(view.tweets, first, end), first=first)
    return index


def counted(view: PlatformView, rows: slice) -> tuple[Array, Array, Array, Array]:
    log = view.engagements
    return log["tweet"][rows], log["action"][rows], log["viewer"][rows], log["time_h"][rows]


@given(cuts=st.lists(st.integers(0, 300), max_size=8), segment_h=st.sampled_from([1.0, 5.0, 6.0, 100.0]))
def test_an_index_answers_the_same_in_whatever_pieces_it_was_fed(cuts: list[int], segment_h: float) -> None:
    view = mini_view()
    asked = context(view)
    bulk = answers(index_of(view, 24.0, END_H), asked)
    assert sum(map(len, bulk)) > 100
    assert answers(fed(view, cuts, segment_h=segment_h, keep_h=100.0), asked) == bulk


@pytest.mark.parametrize("now_h", [7.0, 24.0, 33.3])
def test_an_index_that_has_been_fed_further_answers_about_a_moment_as_one_fed_until_then(now_h: float) -> None:
    view = mini_view()
    asked = context(view, now_h)
    until_then = EarlybirdIndex(user_count=view.user_count, keep_h=24.0)
    assert IndexIngester(until_then).until(view.at(now_h)) == view.at(now_h).tweets["author"].size
    found = answers(until_then, asked)
    assert sum(map(len, found)) > 10
    assert answers(fed(view, [], keep_h=100.0), asked) == found == answers(index_of(view, now_h - 24.0, now_h), asked)


def test_the_ingester_takes_every_tweet_once_as_the_clock_moves(ready: PlatformView) -> None:
    index = EarlybirdIndex(user_count=ready.user_count, keep_h=100.0)
    ingester = IndexIngester(index)
    taken = [ingester.until(ready.at(hour)) for hour in (0.0, 10.0, 10.0, 30.0, 48.0)]
    assert taken[0] == taken[2] == 0
    assert sum(taken) == len(index) == ready.at(48.0).tweets["author"].size
    tweet = np.arange(len(index), dtype=np.int32)
    for name in STATIC:
        np.testing.assert_array_equal(index.column(name, tweet), ready.tweets[name][: len(index)])


def test_segments_roll_without_loss_and_the_oldest_goes_as_a_whole() -> None:
    view = mini_view()
    index = EarlybirdIndex(user_count=view.user_count, segment_h=5.0, keep_h=20.0)
    time_h = view.tweets["time_h"]
    for tweet in range(time_h.size):
        index.ingest(indexed(view.tweets, tweet, tweet + 1), first=tweet)
        # Whole slots of five hours that end no later than 20 hours ago are gone, and nothing else.
        begins = max(0.0, 5.0 * np.floor((time_h[tweet] - 20.0) / 5.0))
        held = np.flatnonzero(time_h[: tweet + 1] >= begins)
        assert (index.first, len(index)) == (held[0], held.size)
    kinds = [type(segment) for segment in index.segments]
    assert kinds == [SealedSegment] * (len(kinds) - 1) + [OpenSegment]
    assert len(kinds) > 3


def test_the_window_is_exact_at_both_ends() -> None:
    view = mini_view()
    time_h = view.tweets["time_h"]
    one, other = 100, 250
    asked = context(view)
    index = index_of(view, 0.0, END_H)

    def found(since: float, until: float) -> set[int]:
        size = asked.viewer.size
        moved = SearchContext(**{**asked.__dict__, "since_h": np.full(size, since), "until_h": np.full(size, until)})
        return {tweet for tweets in answers(index, moved) for tweet in tweets}

    followed = set(asked.author.tolist())
    assert {int(view.tweets["author"][tweet]) for tweet in (one, other)} <= followed
    inside = found(time_h[one], time_h[other])
    assert one in inside
    assert other not in inside
    assert inside == {t for t in range(one, other) if view.tweets["author"][t] in followed and _plain(index, view, t)}
    beyond = found(np.nextafter(time_h[one], np.inf), np.nextafter(time_h[other], np.inf))
    assert one not in beyond
    assert other in beyond


def _plain(index: EarlybirdIndex, view: PlatformView, tweet: int) -> bool:
    """Whether anybody can find it: by the rules of replies not everything is found."""
    author, asked = int(view.tweets["author"][tweet]), context(view, END_H, 48.0)
    return author in asked.author and any(tweet in tweets for tweets in answers(index, asked))


def test_a_search_beyond_what_is_kept_is_refused() -> None:
    view = mini_view()
    index = fed(view, [], segment_h=6.0, keep_h=12.0)
    with pytest.raises(ContractError, match="keep more hours"):
        index.collect(context(view))
    assert sum(map(len, answers(index, context(view, window_h=12.0)))) > 0


def test_tweets_must_come_in_order_and_without_gaps() -> None:
    view = mini_view()
    index = fed(view, [])
    late = indexed(view.tweets, 100, 110)
    size = len(index)
    with pytest.raises(DataError, match="in order of time"):
        index.ingest(late)
    with pytest.raises(DataError, match="wants tweet"):
        index.ingest({**late, "time_h": late["time_h"] + 100.0}, first=7)
    with pytest.raises(DataError, match="in order of time"):
        index.ingest({**late, "time_h": np.full(10, np.nan)})
    with pytest.raises(DataError, match="lack rule"):
        index.ingest({name: values for name, values in late.items() if name != "rule"} | {"time_h": np.full(10, 48.0)})
    assert len(index) == size


def test_nothing_of_an_author_who_is_dropped_after_indexing_is_found() -> None:
    view = mini_view()
    index, asked = fed(view, [], keep_h=100.0), context(view)
    before = answers(index, asked)
    author = int(view.tweets["author"][before[0][0]])
    index.drop_author(author)
    mine = view.tweets["author"] == author
    after = answers(index, asked)
    # What others wrote in answer stays; the rest is as before.
    assert after == [[tweet for tweet in tweets if not mine[tweet]] for tweets in before]
    assert after != before
    coming = {name: values.copy() for name, values in indexed(view.tweets, 0, 1).items()}
    coming |= {"author": np.array([author], np.int32), "time_h": np.array([47.999])}
    index.ingest(coming)
    assert len(index) - 1 not in {tweet for tweets in answers(index, asked) for tweet in tweets}


def test_an_account_that_is_newer_than_a_segment_has_nothing_in_it() -> None:
    view = mini_view()
    index, asked = fed(view, [], keep_h=100.0), context(view)
    more = SearchContext(**{**asked.__dict__, "author": np.where(asked.author == 3, 10**6, asked.author)})
    mine = view.tweets["author"] == 3
    found = {tweet for tweets in answers(index, more) for tweet in tweets}
    assert found
    assert not any(mine[tweet] for tweet in found)


def test_an_empty_index_and_an_empty_batch_have_no_hits() -> None:
    view = mini_view()
    assert answers(EarlybirdIndex(user_count=0), context(view)) == [[]] * view.user_count
    nobody = Requests.of(np.empty(0), np.empty(0), view)
    asked = SearchContext.of(nobody, since_h=nobody.now_h, until_h=nobody.now_h, max_excluded=9)
    assert fed(view, [], keep_h=100.0).collect(asked).asked.size == 0


def pieces(view: PlatformView) -> Iterator[slice]:
    edges = np.linspace(0, view.engagements["time_h"].size, 9).astype(int)
    return (slice(int(first), int(end)) for first, end in itertools.pairwise(edges))


def test_signals_are_the_same_counted_at_once_or_as_they_come(ready: PlatformView) -> None:
    index, users = fed(ready, [], keep_h=100.0), UserTable.of(ready)
    bulk, steps = SignalIngester(index, users, half_life_h=5.0), SignalIngester(index, users, half_life_h=5.0)
    bulk.engage(*counted(ready, slice(None)))
    for rows in pieces(ready):
        steps.engage(*counted(ready, rows))
    tweet = np.arange(len(index), dtype=np.int32)
    one, other = bulk.counts(tweet), steps.counts(tweet)
    np.testing.assert_array_equal(one["count"], other["count"])
    np.testing.assert_allclose(one["decayed"], other["decayed"], rtol=1e-5)
    log, now_h = ready.engagements, bulk.clock_h
    for column, name in enumerate(COUNTED[:3]):
        rows = log["action"] == ACTION_CODE[name]
        wanted = np.bincount(log["tweet"][rows], minlength=tweet.size)
        np.testing.assert_array_equal(one["count"][:, column], wanted)
        faded = np.bincount(log["tweet"][rows], 2.0 ** ((log["time_h"][rows] - now_h) / 5.0), tweet.size)
        np.testing.assert_allclose(one["decayed"][:, column], faded, rtol=1e-5)
        share = np.where(users.reputation < 0, 17, users.reputation)[log["viewer"][rows]] / 100
        weighted = np.bincount(log["tweet"][rows], share, tweet.size)
        np.testing.assert_allclose(one["weighted"][:, column], weighted, rtol=1e-5)
        fake = np.bincount(log["tweet"][rows], users.spammer[log["viewer"][rows]], tweet.size)
        np.testing.assert_array_equal(one["fake"][:, column], fake)
    assert one["fake"].any()


def test_quotes_are_counted_from_the_tweets_that_quote(ready: PlatformView) -> None:
    index = fed(ready, [], keep_h=100.0)
    signals = SignalIngester(index, UserTable.of(ready))
    signals.quoted(ready.tweets)
    quotes = ready.tweets["kind"] == QUOTE
    wanted = np.bincount(ready.tweets["parent"][quotes], minlength=len(index))
    np.testing.assert_array_equal(signals.counts(np.arange(len(index), dtype=np.int32))["count"][:, 3], wanted)
    assert wanted.any()


def test_a_count_stops_at_the_largest_number_there_is(ready: PlatformView) -> None:
    signals = SignalIngester(fed(ready, [], keep_h=100.0), UserTable.of(ready))
    signals._follow_index()
    signals._rows["count"][5] = MAX_COUNT - 1
    likes = np.full(3, ACTION_CODE["favorite"], np.int8)
    signals.engage(np.full(3, 5, np.int32), likes, np.zeros(3, np.int32), np.full(3, 48.0))
    assert signals.counts(np.array([5], np.int32))["count"].tolist() == [[MAX_COUNT] + [MAX_COUNT - 1] * 3]


def test_signals_go_with_their_tweets_and_those_of_unknown_tweets_are_passed_over(ready: PlatformView) -> None:
    index = EarlybirdIndex(user_count=ready.user_count, segment_h=6.0, keep_h=12.0)
    ingester, signals = IndexIngester(index), SignalIngester(index, UserTable.of(ready))
    for hour in np.arange(2.0, 49.0, 2.0):
        ingester.until(ready.at(hour))
        now, before = ready.at(hour).engagements["time_h"].size, ready.at(hour - 2.0).engagements["time_h"].size
        signals.engage(*counted(ready, slice(before, now)))
    tweet = np.arange(index.first, index.first + len(index), dtype=np.int32)
    assert index.first > 0
    assert signals.counts(tweet)["count"].any()
    assert not any(values.any() for values in signals.counts(np.array([0, index.first - 1, 10**6], np.int32)).values())
    with pytest.raises(DataError, match="in order of time"):
        signals.engage(tweet[:2], np.zeros(2, np.int8), np.zeros(2, np.int32), np.array([48.0, 47.0]))


def test_the_user_table_knows_reputation_and_labels(ready: PlatformView) -> None:
    bare = UserTable.of(ready)
    assert set(bare.reputation.tolist()) == {-128}
    scored = UserTable.of(ready.with_assets({"tweepcred.score": np.arange(30, dtype=np.float32)}))
    np.testing.assert_array_equal(scored.reputation, np.arange(30))
    assert scored.spammer.any()
    assert scored.nsfw.any()
    assert not UserTable.of(ready.at(0.0)).spammer.any()


def test_the_search_context_tells_languages_age_and_self(ready: PlatformView) -> None:
    asked = context(ready)
    tweet = np.arange(0, 300, 10, dtype=np.int32)
    told = derived(asked, ready, np.arange(30), tweet, np.full(30, 1.5, np.float32))
    np.testing.assert_array_equal(told["is_self_tweet"], ready.tweets["author"][tweet] == np.arange(30))
    np.testing.assert_allclose(told["tweet_age_in_secs"], (48.0 - ready.tweets["time_h"][tweet]) * 3600, rtol=1e-6)
    assert not told["has_diff_lang"].any()  # everybody speaks one language here
    assert (told["author_specific_score"] == 1.5).all()


def test_user_states_follow_what_viewers_did_before(ready: PlatformView) -> None:
    viewers = np.arange(30, dtype=np.int32)
    states = user_states(ready, viewers, np.full(30, 48.0))
    names = [STATES[state] for state in states]
    assert names[29] == "NearZero"  # no events at all
    for viewer in range(29):
        young = 48.0 - ready.users["created_h"][viewer] < 720.0
        days = {
            int((48.0 - time) // 24)
            for table, who in ((ready.impressions, "viewer"), (ready.engagements, "viewer"), (ready.tweets, "author"))
            for user, time in zip(table[who], table["time_h"], strict=True)
            if user == viewer
        }
        wrote = "Tweeter" if (ready.tweets["author"] == viewer).any() else "NonTweeter"
        # Two days are logged, so that one active day is half of them.
        wanted = "New" if young else ("NearZero", f"Medium{wrote}", f"Heavy{wrote}")[len(days)]
        assert names[viewer] == wanted, viewer
    assert len(set(names)) > 2

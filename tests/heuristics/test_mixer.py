"""Mixers put modules at the published places and leave the tweets as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, ContractError
from funnel.core.page import MixedPages, Module
from funnel.core.stage import Mixer
from funnel.core.tables import REPLY
from funnel.core.world import PlatformView, WorldTables
from heuristics.mixer.ads import Ads
from heuristics.mixer.conversations import Conversations
from heuristics.mixer.history import due
from heuristics.mixer.prompts import Prompts
from heuristics.mixer.tweet_previews import TweetPreviews
from heuristics.mixer.who_to_follow import WhoToFollow
from heuristics.mixer.who_to_subscribe import WhoToSubscribe
from heuristics.selectors.top_k import TopK
from tests.laws.funnels import Lottery, Taste, funnel_of, slot
from tests.stage_checks import with_needs
from tests.support import fake_batch, mini_view, mini_world

ALL = (Ads, Conversations, Prompts, TweetPreviews, WhoToFollow, WhoToSubscribe)


def _page(n: int, view: PlatformView | None = None, viewer: int = 1, **columns: object) -> CandidateBatch:
    view = mini_view() if view is None else view
    return fake_batch([n], viewers=[viewer], now_h=view.now_h, view=view, **columns)  # type: ignore[arg-type]


def _world(**tables: dict[str, np.ndarray]) -> PlatformView:
    """The mini world with other columns in some tables, at its end."""
    world = mini_world()
    names = ("users", "tweets", "follows", "impressions", "engagements", "feedback")
    given = {name: {**world.table(name), **tables.get(name, {})} for name in names}
    given |= {name: table for name, table in tables.items() if name not in names}
    return PlatformView(WorldTables(world.meta, given), world.meta.end_h)


def _nobody_saw_anything(**tables: dict[str, np.ndarray]) -> PlatformView:
    empty = {name: values[:0] for name, values in mini_world().table("impressions").items()}
    none = {"impression": np.full(mini_world().count("engagements"), -1, np.int32)}
    return _world(impressions=empty, engagements=none, **tables)


@given(places=st.lists(st.integers(0, 12), max_size=8), n=st.integers(0, 6))
def test_a_module_stands_where_it_was_put_when_it_was_put_there(places: list[int], n: int) -> None:
    pages = MixedPages.of(_page(n))
    entries: list[int | Module] = list(range(n))
    for number, place in enumerate(places):
        module = Module("test", str(number))
        pages = pages.insert(0, place, module)
        entries.insert(place, module)  # a list, too, appends what lies beyond its end
    assert pages.entries(0) == entries
    assert pages.length(0) == len(entries)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
@given(st.integers(0, 40), st.integers(0, 29))
def test_no_mixer_changes_the_tweets(kind: type[Mixer], n: int, viewer: int) -> None:
    stage = kind()
    given_ = MixedPages.of(with_needs(stage, _page(n, viewer=viewer)))
    mixed = stage.insert(given_)
    assert mixed.tweets is given_.tweets
    assert [entry for entry in mixed.entries(0) if isinstance(entry, int)] == list(range(n))


def _ads(sensitive: list[bool], **settings: int) -> list[str]:
    batch = _page(len(sensitive)).with_columns({"tweet.sensitive": np.array(sensitive, np.bool_)})
    return [
        "ad" if isinstance(entry, Module) else "t" for entry in Ads(**settings).insert(MixedPages.of(batch)).entries(0)
    ]


def test_an_ad_stands_after_every_third_tweet() -> None:
    assert "".join(_ads([False] * 8)).replace("ad", "A") == "tttAtttAtt"
    assert "ad" not in _ads([False] * 4)  # five tweets are wanted
    assert "".join(_ads([False] * 5, spacing=2)).replace("ad", "A") == "ttAttAt"


def test_no_ad_stands_beside_a_sensitive_tweet_and_half_of_the_safe_ones_is_the_limit() -> None:
    # The third is sensitive: the places above and below it are out; the next that is safe is after the fourth.
    assert "".join(_ads([False, False, True, False, False, False, False])).replace("ad", "A") == "ttttAttt"
    # Safe are 0, 1, 4, 5: two ads at most; with spacing 2 places would be above 1 (no: one tweet), 5.
    assert _ads([True] * 9).count("ad") == 0
    assert _ads([False] * 40).count("ad") == 13


def test_who_to_follow_proposes_friends_of_friends_at_place_five() -> None:
    view = _nobody_saw_anything()
    pages = WhoToFollow().insert(MixedPages.of(_page(10, view)))
    (placed,) = pages.modules[0]
    assert (placed.place, placed.module.kind) == (5, "who_to_follow")
    graph = view.following
    mine = {int(user) for user, since in _edges(view, 1) if since < view.now_h}
    count = {
        user: sum(
            any(target == user and since < view.now_h for target, since in _edges(view, friend)) for friend in mine
        )
        for user in range(view.user_count)
    }
    assert graph.offsets.size == view.user_count + 1
    for user in placed.module.users:
        assert user not in mine
        assert user != 1
        assert not view.users["suspended"][user]
    told = [count[user] for user in placed.module.users]
    assert told == sorted(told, reverse=True)
    assert min(told) > 0


def _edges(view: PlatformView, user: int) -> list[tuple[int, float]]:
    graph = view.following
    edges = slice(int(graph.offsets[user]), int(graph.offsets[user + 1]))
    return list(zip(graph.targets[edges].tolist(), graph.time_h[edges].tolist(), strict=True))


def test_who_follows_nobody_gets_no_proposals() -> None:
    view = _nobody_saw_anything()
    pages = WhoToFollow().insert(MixedPages.of(_page(10, view, viewer=view.user_count - 1)))
    assert pages.modules == ((),)


def test_who_to_subscribe_names_creators_whom_the_viewer_follows_and_does_not_pay_for() -> None:
    everybody = np.ones(mini_world().count("users"), np.bool_)
    free = _nobody_saw_anything(users={"creator": everybody})
    (placed,) = WhoToSubscribe().insert(MixedPages.of(_page(10, free))).modules[0]
    assert (placed.place, placed.module.kind) == (7, "who_to_subscribe")
    followed = {user for user, since in _edges(free, 1) if since < free.now_h}
    assert set(placed.module.users) <= followed
    paid = placed.module.users[0]
    subscribed = {
        "subscriber": np.array([1], np.int32), "author": np.array([paid], np.int32), "time_h": np.array([1.0]),
    }  # fmt: skip
    view = _nobody_saw_anything(users={"creator": everybody}, subscriptions=subscribed)
    (placed,) = WhoToSubscribe().insert(MixedPages.of(_page(10, view))).modules[0]
    assert paid not in placed.module.users


def test_a_preview_is_the_newest_long_tweet_for_subscribers_by_a_followed_author() -> None:
    tweets = mini_world().table("tweets")
    exclusive = np.ones(tweets["author"].size, np.bool_)
    view = _nobody_saw_anything(tweets={"exclusive": exclusive})
    (placed,) = TweetPreviews().insert(MixedPages.of(_page(10, view))).modules[0]
    assert (placed.place, placed.module.kind) == (3, "tweet_preview")
    followed = [user for user, since in _edges(view, 1) if since < view.now_h]
    fit = np.isin(tweets["author"], followed) & (tweets["length"] > 100) & (tweets["kind"] != 1)
    fit &= ~view.users["suspended"][tweets["author"]]
    assert placed.module.tweets == (int(np.flatnonzero(fit)[-1]),)
    public = _nobody_saw_anything(tweets={"exclusive": ~exclusive})
    assert TweetPreviews().insert(MixedPages.of(_page(10, public))).modules == ((),)


def test_a_module_rests_after_it_was_shown() -> None:
    # Pages at 0, 10, 29, 31, 62, 63 h: with 30 h between, the replay shows it at 0, 31 and 62.
    tweets = mini_world().table("tweets")
    hours = np.array([0.0, 10, 29, 31, 62, 63]) / 2  # the mini world has 48 h
    n = hours.size
    shown = {
        "viewer": np.full(n, 1, np.int32), "tweet": np.zeros(n, np.int32), "time_h": hours,
        "position": np.zeros(n, np.int16), "request": np.arange(n, dtype=np.int32), "arm": np.zeros(n, np.int8),
        "propensity": np.ones(n, np.float32),
    }  # fmt: skip
    assert tweets["time_h"][0] >= 0
    view = _world(
        impressions=shown, engagements={"impression": np.full(mini_world().count("engagements"), -1, np.int32)}
    )
    moments = np.array([0.0, 0.1, 15.4, 15.5, 15.6, 30.9, 31.0, 45.9, 46.0])
    expected = [True, False, True, True, False, True, True, False, True]
    # 0: no page yet; .1: shown at 0; 15.4, 15.5: 15 h later; 15.6: shown at 15.5; 30.9: again 15 h later; …
    asked = Requests.of(np.ones(moments.size), moments, view)
    assert due(asked, 15.0).tolist() == expected


def test_a_prompt_stands_on_top_once_a_week() -> None:
    fresh = _nobody_saw_anything()
    pages = Prompts().insert(MixedPages.of(_page(3, fresh)))
    assert [(known.place, known.module.kind) for known in pages.modules[0]] == [(0, "prompt")]
    assert Prompts().insert(MixedPages.of(_page(3))).modules == ((),)  # viewer 1 has seen a page in the last week


def test_a_reply_is_shown_below_its_root_and_its_latest_ancestor() -> None:
    view = mini_view()
    tweets = view.tweets
    deep = np.flatnonzero((tweets["kind"] == REPLY) & (tweets["root"] != tweets["parent"]))
    visible = [
        row
        for row in deep.tolist()
        if not view.users["protected"][tweets["author"][[tweets["root"][row], tweets["parent"][row]]]].any()
    ]
    found = []
    for reply in visible:
        plain = next(
            t
            for t in range(300)
            if tweets["kind"][t] == 0 and t not in (tweets["root"][reply], tweets["parent"][reply])
        )
        batch = with_needs(Conversations(), _page(2, tweet=[plain, reply]))
        found.append((reply, Conversations().insert(MixedPages.of(batch)).modules[0]))
    full = [(reply, placed) for reply, (placed,) in ((r, p) for r, p in found if p) if len(placed.module.tweets) == 2]
    assert full
    for reply, placed in full:
        assert placed.place == 1  # directly above the reply, which is the second tweet
        assert placed.module.tweets == (tweets["root"][reply], tweets["parent"][reply])


def test_an_ancestor_that_is_on_the_page_is_not_shown_again() -> None:
    tweets = mini_view().tweets
    reply = int(np.flatnonzero((tweets["kind"] == REPLY) & (tweets["root"] == tweets["parent"]))[0])
    batch = with_needs(Conversations(), _page(2, tweet=[int(tweets["root"][reply]), reply]))
    assert Conversations().insert(MixedPages.of(batch)).modules == ((),)


def test_the_places_and_intervals_are_the_published_ones() -> None:
    # ForYouParam.scala: previews 3, 2 h; who to follow 5, 1,800 min, 3 to 20 users; who to subscribe 7; prompt 0.
    assert (TweetPreviews().place, TweetPreviews().min_interval_h, TweetPreviews().min_length) == (3, 2, 101)
    assert (WhoToFollow().place, WhoToFollow().min_interval_h * 60) == (5, 1800)
    assert (WhoToFollow().min_users, WhoToFollow().max_users) == (3, 20)
    assert (WhoToSubscribe().place, WhoToSubscribe().min_interval_h * 60) == (7, 1800)
    assert Prompts().place == 0
    assert (Ads().spacing, Ads().min_tweets) == (3, 5)  # param.rs, 2026


def test_the_runner_mixes_after_the_page_is_cut_and_the_trace_says_so() -> None:
    funnel = funnel_of([slot(Lottery(), "lottery"), slot(Taste(), "taste"), slot(TopK()), slot(Ads()), slot(Prompts())])
    plain = funnel_of([slot(Lottery(), "lottery"), slot(Taste(), "taste"), slot(TopK())])
    for page, without in zip(funnel.run([1, 2], size=7), plain.run([1, 2], size=7), strict=True):
        assert page.rows == without.rows
        assert len(page) == 7
        assert [module["kind"] for module in page.modules].count("ad") <= 2
        assert page.as_json()["modules"] == page.modules
        assert [stage.kind for stage in page.stages][-2:] == ["mixer", "mixer"]
        assert without.modules == []


@pytest.mark.parametrize(
    ("stages", "complaint"),
    [
        (
            [slot(Lottery(), "lottery"), slot(Taste(), "taste"), slot(Ads()), slot(TopK())],
            "must come after the selectors",
        ),
        (
            [slot(Lottery(), "lottery"), slot(Taste(), "taste"), slot(TopK()), slot(Ads()), slot(TopK(), "again")],
            "before",
        ),
    ],
)
def test_a_mixer_in_the_wrong_place_is_refused(stages: list, complaint: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ConfigError, match=complaint):
        funnel_of(stages)


class Shuffles(Mixer):
    """Turns the page around."""

    def insert(self, pages: MixedPages) -> MixedPages:
        return replace(pages, tweets=pages.tweets.take(np.arange(len(pages.tweets))[::-1]))


def test_a_mixer_that_touches_the_tweets_breaks_the_contract() -> None:
    funnel = funnel_of([slot(Lottery(), "lottery"), slot(Taste(), "taste"), slot(TopK()), slot(Shuffles(), "bad")])
    with pytest.raises(ContractError, match="bad"):
        funnel.run([1])


def test_settings_that_contradict_each_other_are_refused() -> None:
    for kind in (WhoToFollow, WhoToSubscribe):
        with pytest.raises(ConfigError, match="min_users"):
            kind(min_users=5, max_users=4)

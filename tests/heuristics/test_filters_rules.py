"""On random worlds each filter removes exactly what its rule says, told once more in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from funnel.compose import stage_classes
from funnel.core import rng
from funnel.core.actions import ACTION_CODE
from funnel.core.batch import CandidateBatch
from funnel.core.stage import Filter
from funnel.core.tables import BLOCK, MUTE, REPLY, RETWEET
from funnel.core.world import PlatformView
from funnel.features import FEATURES, hydrate
from heuristics.filters.already_seen import AlreadySeen
from heuristics.filters.author_socialgraph import AuthorSocialgraph
from heuristics.filters.blocked_authors import BlockedAuthors
from heuristics.filters.competitor_authors import CompetitorAuthors
from heuristics.filters.competitor_urls import CompetitorUrls
from heuristics.filters.conversation_dedup import ConversationDedup
from heuristics.filters.duplicate_conversations import DuplicateConversations
from heuristics.filters.feedback_fatigue import FeedbackFatigue
from heuristics.filters.invalid_conversation import InvalidConversation
from heuristics.filters.invalid_subscription import InvalidSubscription
from heuristics.filters.inventory_holdout import InventoryHoldout
from heuristics.filters.muted_authors import MutedAuthors
from heuristics.filters.muted_keywords import MutedKeywords
from heuristics.filters.new_user_min_engagement import NewUserMinEngagement
from heuristics.filters.out_of_network_nsfw import OutOfNetworkNsfw
from heuristics.filters.out_of_network_replies_and_retweets import OutOfNetworkRepliesAndRetweets
from heuristics.filters.own_tweets import OwnTweets
from heuristics.filters.previously_served import PreviouslyServed
from heuristics.filters.quoted_tweet_dropped import QuotedTweetDropped
from heuristics.filters.social_context import SocialContext
from heuristics.filters.subscription_reply import SubscriptionReply
from heuristics.filters.support_account_replies import SupportAccountReplies
from heuristics.filters.too_old import TooOld
from tests.heuristics.plain import Plain
from tests.support import fake_batch, mini_view, mini_world

Row = tuple[Plain, int, list[int]]  # the tables, the tweet, and all candidates of its request
Rule = Callable[[Plain, int, list[int]], bool]
SEEDS = (0, 1)
COUNTS = [30] * 8 + [0, 1]


@lru_cache(maxsize=4)
def _world(seed: int) -> tuple[CandidateBatch, list[Row]]:
    """Requests of a quarrelsome world, at two moments, and the plain tables of each row."""
    world = mini_world(seed=seed, users=24, tweets=240, feedback=3, pages=200)
    now_h = np.where(np.arange(len(COUNTS)) % 2, 48.0, 30.0)
    batch = fake_batch(COUNTS, view=PlatformView(world, 48.0), now_h=now_h, seed=seed)
    sides = rng.uniform(seed, "sources", batch.viewer, batch["tweet"])
    batch = batch.with_columns({"from.lists": sides < 0.3, "score": np.round(sides, 1).astype(np.float32)})
    rows = []
    for r, (viewer, now) in enumerate(zip(batch.requests.viewer.tolist(), now_h.tolist(), strict=True)):
        plain = Plain(world, viewer, now)
        company = batch["tweet"][batch.offsets[r] : batch.offsets[r + 1]].tolist()
        rows += [(plain, tweet, company) for tweet in company]
    return batch, rows


def _fatigued(plain: Plain, tweet: int, company: list[int]) -> bool:
    recent = lambda user: plain.see_fewer_h(user) < 36.0  # noqa: E731
    likers, followers = plain.valid_likers(tweet), plain.valid_followers(tweet)
    return (
        recent(plain.author[plain.original(tweet)])
        or (plain.kind[tweet] == RETWEET and recent(plain.author[tweet]))
        or (bool(likers) and all(recent(user) for user in likers))
        or (not likers and bool(followers) and all(recent(user) for user in followers))
    )


def _without_context(plain: Plain, tweet: int, company: list[int]) -> bool:
    proof = plain.valid_likers(tweet) or plain.valid_followers(tweet)
    return not (plain.in_network(tweet) or plain.kind[tweet] == REPLY or proof)


def _competitor_url(plain: Plain, tweet: int, company: list[int]) -> bool:
    said = {plain.vocabulary[word] for word in plain.words[plain.original(tweet)]}
    linked = plain.tweets["has_link"][plain.original(tweet)]
    return not plain.in_network(tweet) and linked and bool(said & {"word1", "word5", "word7"})


def _support_reply(plain: Plain, tweet: int, company: list[int]) -> bool:
    time_h, parent = plain.tweets["time_h"], plain.answers(tweet)
    return parent >= 0 and (time_h[tweet] - time_h[parent]) * 3600 < 9000.0


def _invalid_module(plain: Plain, tweet: int, company: list[int]) -> bool:
    above = plain.ancestors(tweet)
    return plain.kind[tweet] == REPLY and (not above or any(plain.dropped(one) for one in {above[0], above[-1]}))


def _socialgraph(plain: Plain, tweet: int, company: list[int]) -> bool:
    me, author, quoted = plain.viewer, plain.author[tweet], plain.quoted(tweet)
    blocks = {author, plain.author[plain.original(tweet)]}
    if quoted >= 0:
        blocks.add(plain.author[quoted])
        if plain.gave(BLOCK, plain.author[quoted], me):
            return True
    return (
        plain.gave(MUTE, me, author) or plain.gave(BLOCK, author, me) or any(plain.gave(BLOCK, me, b) for b in blocks)
    )


def _unliked_by_others(plain: Plain, tweet: int, company: list[int]) -> bool:
    if plain.in_network(tweet) or plain.now - plain.users["created_h"][plain.viewer] >= 20_000.0:
        return False
    versions = plain.both(tweet)
    engaged = sum(plain.counts[one, ACTION_CODE[a]] for one in versions for a in ("favorite", "reply", "retweet"))
    views = sum(plain.views[one] for one in versions)
    return views > 0 and engaged / views < 0.9


RULES: list[tuple[Filter, Rule]] = [
    (OwnTweets(), lambda p, t, _: p.viewer in p.authors(t)),
    (AlreadySeen(), lambda p, t, _: any(one in p.both(t) and at >= p.now - 48.0 for one, at in p.shown)),
    (PreviouslyServed(window_min=1200.0), lambda p, t, _: p.served(t, 20.0)),
    (BlockedAuthors(), lambda p, t, _: bool(p.facts(t) & {"viewer_blocks", "blocked_by"})),
    (MutedAuthors(), lambda p, t, _: "muted" in p.facts(t)),
    (MutedKeywords(), lambda p, t, _: "muted_keyword" in p.facts(t)),
    (TooOld(max_age_h=24.0), lambda p, t, _: p.now - p.tweets["time_h"][t] > 24.0),
    (SubscriptionReply(), lambda p, t, _: p.kind[t] == REPLY and p.exclusive_author(t) >= 0),
    (FeedbackFatigue(days=1.5), _fatigued),
    (SocialContext(), _without_context),
    (
        CompetitorAuthors(authors=(0, 3)),
        lambda p, t, _: not p.in_network(t) and p.kind[t] != RETWEET and p.author[t] in (0, 3),
    ),
    (CompetitorUrls(words=("word1", "word5", "word7", "no such word")), _competitor_url),
    (DuplicateConversations(), lambda p, t, company: any(p.original(t) in p.ancestors(one) for one in company)),
    (SupportAccountReplies(min_delay_s=9000.0), _support_reply),
    (OutOfNetworkNsfw(), lambda p, t, _: not p.in_network(t) and p.nsfw(t)),
    (QuotedTweetDropped(), lambda p, t, _: p.quoted(t) >= 0 and p.dropped(p.quoted(t))),
    (InvalidSubscription(), lambda p, t, _: p.exclusive_hidden(t)),
    (InvalidConversation(), _invalid_module),
    (
        OutOfNetworkRepliesAndRetweets(),
        lambda p, t, _: not p.in_network(t) and p.kind[t] in (REPLY, RETWEET),
    ),
    (AuthorSocialgraph(), _socialgraph),
    (
        NewUserMinEngagement(max_account_age_h=20_000.0, metric="engagements", per_view=True, threshold=0.9),
        _unliked_by_others,
    ),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("stage", "rule"), RULES, ids=[stage.name for stage, _ in RULES])
def test_a_filter_removes_exactly_what_its_rule_says(stage: Filter, rule: Rule, seed: int) -> None:
    batch, rows = _world(seed)
    batch = hydrate(batch, stage.needs)
    removed = [bool(rule(*row)) for row in rows]
    assert any(removed), "the rule concerns nobody here"
    assert not all(removed)
    assert (~stage.keep(batch)).tolist() == removed


@pytest.mark.parametrize("seed", SEEDS)
def test_of_each_conversation_the_best_scored_tweet_stays(seed: int) -> None:
    batch, rows = _world(seed)
    batch = hydrate(batch, ConversationDedup().needs)
    best: dict[tuple[int, int], tuple[float, int]] = {}
    places = list(zip(batch.request.tolist(), rows, batch["score"].tolist(), strict=True))
    for request, (plain, tweet, _), score in places:
        key = request, min([tweet, *plain.ancestors(tweet)])
        best[key] = min(best.get(key, (np.inf, -1)), (-score, tweet))
    expected = [
        best[request, min([tweet, *plain.ancestors(tweet)])] == (-score, tweet)
        for request, (plain, tweet, _), score in places
    ]
    assert not all(expected)
    assert ConversationDedup().keep(batch).tolist() == expected


def test_the_constants_are_the_published_ones() -> None:
    # Ten minutes and 100 ids (PersistenceStoreQueryFeatureHydrator), 14 days (FeedbackFatigueFilter), one minute
    # (GizmoduckAuthorFeatureHydrator), 48 hours (MAX_POST_AGE, x-algorithm), 30 minutes (NewUserMinEngagementFilter).
    from funnel.features.base import SEEN_FOR_H, SERVED_AT_MOST
    from funnel.features.social import PROOFS

    assert (PreviouslyServed().window_min, SERVED_AT_MOST) == (10.0, 100)
    assert SEEN_FOR_H == 48.0  # two days: TweetImpressionsQueryFeatureHydrator
    assert FeedbackFatigue().days == 14.0
    assert SupportAccountReplies().min_delay_s == 60.0
    assert TooOld().max_age_h == 48.0
    assert NewUserMinEngagement().max_account_age_h == 0.5
    assert PROOFS == 10  # SGSValidSocialContextFeatureHydrator
    assert (CompetitorAuthors().authors, CompetitorUrls().words) == ((), ())  # empty lists by default
    holdout = InventoryHoldout()
    assert (holdout.originals_percent, holdout.replies_percent, holdout.retweets_percent) == (0, 0, 0)


def test_a_published_no_op_removes_nothing_as_released() -> None:
    batch, rows = _world(0)
    assert any(_fatigued(*row) for row in rows)
    batch = hydrate(batch, (*FeedbackFatigue().needs, *PreviouslyServed().needs))
    assert FeedbackFatigue(days=1.5, behaviour="as_released").keep(batch).all()
    assert PreviouslyServed(window_min=1200.0, only_get_older=True).keep(batch).all()


def test_social_context_has_the_switches_of_both_pipelines() -> None:
    batch, rows = _world(0)
    stage = SocialContext(keep_replies=False, verified_bypass=True, exempt_sources=("lists",))
    batch = hydrate(batch, [name for name in stage.needs if name in FEATURES])
    expected = [
        plain.in_network(tweet)
        or bool(plain.valid_likers(tweet) or plain.valid_followers(tweet))
        or plain.users["verified"][plain.author[tweet]]
        or listed
        for (plain, tweet, _), listed in zip(rows, batch["from.lists"].tolist(), strict=True)
    ]
    assert stage.keep(batch).tolist() == expected


def test_nsfw_of_2026_asks_only_what_one_source_found() -> None:
    batch, rows = _world(0)
    stage = OutOfNetworkNsfw(sources=("lists",))
    batch = hydrate(batch, ("in_network", "nsfw"))
    foreign = [not plain.in_network(tweet) and plain.nsfw(tweet) for plain, tweet, _ in rows]
    assert (~stage.keep(batch)).tolist() == (np.array(foreign) & batch["from.lists"]).tolist()


def test_the_holdout_withholds_its_percentage_and_the_same_tweets_every_time() -> None:
    view = mini_view(users=200, tweets=2000, pages=10, follows=0.01)
    batch = hydrate(fake_batch([1000] * 20, view=view), ("kind",))
    kept = InventoryHoldout(originals_percent=20, replies_percent=100).keep(batch)
    natives = np.isin(batch["kind"], (0, 3))
    # 20 % of some 13,000: a standard deviation is 0.35 percentage points, so 2 points are six of them.
    assert abs(kept[natives].mean() - 0.8) < 0.02
    assert not kept[batch["kind"] == REPLY].any()
    assert kept[batch["kind"] == RETWEET].all()
    earlier = fake_batch([1000] * 20, view=view, now_h=48.0 - 1e-9, tweet=batch["tweet"], viewers=batch.requests.viewer)
    again = InventoryHoldout(originals_percent=20, replies_percent=100).keep(hydrate(earlier, ("kind",)))
    assert np.array_equal(kept, again)
    assert InventoryHoldout().keep(batch).all()


def test_an_empty_page_stays_empty() -> None:
    batch = fake_batch([0, 0], score=np.empty(0, np.float32))
    for stage, _ in [*RULES, (ConversationDedup(), None), (InventoryHoldout(originals_percent=50), None)]:
        assert stage.keep(hydrate(batch, stage.needs)).shape == (0,), stage.name


def test_a_viewer_who_blocks_everyone_sees_nobody_else() -> None:
    world = mini_world(users=24, tweets=240)
    others = np.arange(1, 24, dtype=np.int32)
    tables = {name: dict(world.table(name)) for name in ("users", "tweets", "follows", "engagements", "impressions")}
    blank = np.full(others.size, -1, np.int32)
    tables["feedback"] = {
        "user": np.zeros(others.size, np.int32),
        "kind": np.full(others.size, BLOCK, np.int8),
        "author": others,
        "tweet": blank,
        "word": blank,
        "time_h": np.full(others.size, 1.0),
    }
    view = PlatformView(type(world)(world.meta, tables), 48.0)
    batch = hydrate(fake_batch([200], viewers=[0], view=view), ("author", "original_author"))
    for stage in (BlockedAuthors(), AuthorSocialgraph()):
        kept = stage.keep(hydrate(batch, stage.needs))
        assert kept.any()
        assert set(batch["author"][kept].tolist()) == {0}
    proof = hydrate(batch, ("valid_likers", "valid_followers", "in_network"))
    assert not proof["valid_likers"].any()  # nobody whom the viewer blocks vouches for anything
    assert not proof["valid_followers"].any()
    kept = SocialContext().keep(hydrate(proof, SocialContext().needs))
    assert not kept[~proof["in_network"] & ~hydrate(batch, ("is_reply",))["is_reply"]].any()


def test_all_candidates_by_one_author_share_their_fate_by_author() -> None:
    tweets = np.flatnonzero(mini_world().table("tweets")["author"] == 0).astype(np.int32)
    batch = fake_batch([tweets.size], tweet=tweets, viewers=[5])
    for stage in (BlockedAuthors(), MutedAuthors(), CompetitorAuthors(authors=(0,))):
        plain = hydrate(batch, (*stage.needs, "is_original"))
        assert np.unique(stage.keep(plain)[plain["is_original"]]).size == 1


def test_settings_out_of_bounds_are_refused() -> None:
    for make in (
        lambda: PreviouslyServed(window_min=0.0),
        lambda: FeedbackFatigue(days=-1.0),
        lambda: FeedbackFatigue(behaviour="as_hoped"),  # type: ignore[arg-type]
        lambda: InventoryHoldout(replies_percent=101),
        lambda: SupportAccountReplies(min_delay_s=float("inf")),
    ):
        with pytest.raises(ValidationError):
            make()


def test_the_page_about_filters_names_each_of_them_with_its_constant() -> None:
    page = (Path(__file__).parents[2] / "docs" / "heuristics_filters.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    heuristics = {name: kind for name, kind in stage_classes().items() if kind.__module__.startswith("heuristics.")}
    filters = {name for name, kind in heuristics.items() if issubclass(kind, Filter)}
    pushed = {name for name in filters if heuristics[name].__module__.startswith("heuristics.push.")}
    quality = (Path(__file__).parents[2] / "docs" / "push_quality_control.md").read_text(encoding="utf-8")
    assert {name for name in pushed if f"| `{name}` |" not in quality} == set()
    assert filters - pushed - set(rows) == set()
    for name, constant in (("already_seen", "48 h"), ("previously_served", "10 min, 100 ids"), ("too_old", "48 h")):
        assert f"| {constant} |" in rows[name]
    for name, constant in (("feedback_fatigue", "14 d"), ("support_account_replies", "60 s")):
        assert f"| {constant} |" in rows[name]

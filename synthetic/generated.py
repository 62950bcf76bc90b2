"""A made world: people with tastes, whom they follow, what they write, how they behave, and a log of the past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.actions import ACTIONS, PUSH_ACTIONS
from funnel.core.arrays import Array, Longs
from funnel.core.errors import ConfigError
from funnel.core.events import Adjacency
from funnel.core.products import TIMELINE, Product
from funnel.core.progress import SILENT, Progress
from funnel.core.rng import key, stream
from funnel.core.tables import RETWEET
from funnel.core.world import Future, Oracle, WorldData, WorldMeta, WorldTables
from synthetic.behaviour import ResponseModel, Truth, calibrated, notification_model
from synthetic.belongings import make_lists, make_subscriptions
from synthetic.follows import make_follows
from synthetic.future import MadeFuture
from synthetic.labels import Labeller, deserved_user_labels, is_sensitive, tweet_label_table, user_label_table
from synthetic.log import early_feedback, write_log
from synthetic.notification_log import Sent, as_sent, choose_notifications, early_settings, write_notifications
from synthetic.notified_future import NotifiedFuture
from synthetic.notifying import calibrated_intercepts, draw_notice
from synthetic.people import People, make_people
from synthetic.settings import NotificationRates, Notified, Rates, Utility
from synthetic.taste import TopicTree
from synthetic.text import LANGUAGES, Grammar, Prose, Words
from synthetic.trends import Trends
from synthetic.tweets import Tweets, make_tweets

Share = Annotated[float, Field(ge=0.0, le=1.0)]

# What the response model is calibrated on: pairs of anybody and anything, then the pages of a small pilot of the log.
_PAIRS, _PILOT_AGE_H = 4_000, 6.0
_PILOT_SESSIONS = 2_000
_PILOT_SENT = 20_000  # notifications
# How much a topic divides people, 0 to 1; topics that are not named here, a tenth.
_CONTESTED = {
    "society/politics": 1.0,
    "society/economy": 0.6,
    "science/climate": 0.7,
    "sport/football": 0.4,
    "tech/ai": 0.4,
}


@dataclass(config={"extra": "forbid"}, kw_only=True)
class Generated:
    """A world drawn from a seed. Sizes are averages or totals; the defaults are the world `small`."""

    users: Annotated[int, Field(ge=2, le=20_000_000)] = 10_000
    """Accounts."""
    tweets: Annotated[int, Field(ge=10, le=200_000_000)] = 200_000
    """Tweets over all days, retweets and replies included."""
    days: Annotated[int, Field(ge=2, le=365)] = 7
    """Length of the past; the last day is held out from training."""
    topics: Annotated[int, Field(ge=2, le=24)] = 24
    """Topics, four to a field."""
    follows_per_user: Annotated[float, Field(gt=0.0, le=5_000.0)] = 55.0
    """Mean number of follows; half of all users at most."""
    reciprocated_share: Annotated[float, Field(ge=0.0, le=0.9)] = 0.3
    """Share of follow edges whose reverse exists, aimed at."""
    language_shares: Annotated[tuple[Share, ...], Field(min_length=1, max_length=len(LANGUAGES))] = (
        0.8,
        0.1,
        0.06,
        0.04,
    )
    """Shares of users who write each language, in the order en, es, pt, de; they want a sum of 1."""
    dormant_share: Share = 0.15
    """Share of users who hardly come any more."""
    retweet_share: Share = 0.49
    """Share of retweets among what people set out to write; this and the next two as in Pew 2021."""
    reply_share: Share = 0.33
    """Share of replies."""
    quote_share: Share = 0.04
    """Share of quotes."""
    trend_share: Share = 0.06
    """Share of tweets that are written because their topic is trending."""
    stored_texts: bool = True
    """Whether texts are kept in a table; if not, they are put together where somebody reads them."""
    sessions_per_user_day: Annotated[float, Field(gt=0.0, le=100.0)] = 1.6
    """Pages that an average user looks at in a day."""
    followed_places: Annotated[int, Field(ge=0, le=100)] = 11
    """Places of a logged page for tweets of followees."""
    popular_places: Annotated[int, Field(ge=0, le=100)] = 5
    """Places for popular tweets."""
    explored_places: Annotated[int, Field(ge=0, le=100)] = 6
    """Places for tweets drawn at random."""
    patience: Annotated[float, Field(gt=0.0, le=1_000.0)] = 25.0
    """Place of the page that a median viewer reaches with probability 1/e."""
    notifications_per_user_day: Annotated[float, Field(ge=0.0, le=24.0)] = 4.0
    """Recommended notifications that the log's policy sends to a user in a day; 0 for a world without any."""
    notification_shares: tuple[Share, Share, Share] = (0.5, 0.25, 0.25)
    """Shares of the policy's arms: tweets of followees, popular ones, ones drawn at random; they want a sum of 1."""
    notifications_off_share: Share = 0.15
    """Share of users who have had recommended notifications off from the start."""
    notification_rates: NotificationRates = Field(default_factory=NotificationRates)
    """How often each action happens to a notification."""
    notified: Notified = Field(default_factory=Notified)
    """What makes a viewer open a notification, or be annoyed by it."""
    rates: Rates = Field(default_factory=Rates)
    """How often each action happens."""
    utility: Utility = Field(default_factory=Utility)
    """What makes a viewer act."""
    labeller: Labeller = Field(default_factory=Labeller)
    """How well safety labels tell the truth."""

    def __post_init__(self) -> None:
        if self.retweet_share + self.reply_share + self.quote_share > 1.0:
            raise ConfigError("retweet_share + reply_share + quote_share", "want a sum of 1 at most")
        if abs(sum(self.language_shares) - 1.0) > 1e-6:
            raise ConfigError("language_shares", f"want a sum of 1, got {sum(self.language_shares):g}")
        if abs(sum(self.notification_shares) - 1.0) > 1e-6:
            raise ConfigError("notification_shares", f"want a sum of 1, got {sum(self.notification_shares):g}")
        if self.followed_places + self.popular_places + self.explored_places < 1:
            raise ConfigError("followed_places + popular_places + explored_places", "want a sum of 1 at least")

    def build(self, name: str, seed: int, progress: Progress) -> WorldData:
        """Make the world; the same seed gives the same bytes."""
        languages, grammar = self._languages(), self._grammar
        tree = TopicTree.of(tuple(languages[0].topics), stream(seed, "topics"))
        progress.note("people and follows")
        people = make_people(
            self.users,
            tree,
            languages,
            language_shares=self.language_shares,
            dormant_share=self.dormant_share,
            patience=self.patience,
            rng=stream(seed, "people"),
        )
        follows = make_follows(
            people,
            mean=self.follows_per_user,
            reciprocated=self.reciprocated_share,
            end_h=self._end_h,
            seed=seed,
            rng=stream(seed, "follows"),
        )
        following = Adjacency.of(follows["follower"], follows["followee"], follows["time_h"], self.users)
        progress.note("tweets and texts")
        trends = Trends.of(tree, grammar, self._end_h, stream(seed, "trends"))
        tweets = self._tweets(people, following, trends, tree, seed)
        text_key = np.uint64(key(seed, "texts"))
        prose = Prose(grammar, people.table["handle"], tweets.table, tweets.topics, tweets.trend, trends.word, text_key)
        tables = self._tables(people, follows, tweets, prose, tree, seed)
        truth, logged = self._log(name, people, tables, tweets, seed, progress)
        progress.note("notifications")
        pushed, pushed_truth = self._notifications(name, {**tables, **logged}, truth, seed)
        logged, truth = {**logged, **pushed}, truth | pushed_truth
        user_labels = deserved_user_labels(people, stream(seed, "user labels"))
        truth |= {
            "community": people.main,
            "novelty": people.novelty,
            "user_state": people.state,
            "character": people.character,
            "user_labels": user_labels,
            "tweet_labels": tweets.labels,
            "sensitive": is_sensitive(tweets.labels),
            "trend": tweets.trend,
            "trend_topic": trends.topic,
            "trend_begin_h": trends.begin_h,
            "trend_word": trends.word,
            "text_key": np.array([text_key], np.uint64),
        }
        source = np.flatnonzero(tweets.table["kind"] != RETWEET)
        drawn = stream(seed, "labellers")
        said = {
            "tweet_labels": tweet_label_table(
                tweets.labels, source, tweets.table["time_h"], self.labeller, self._end_h, drawn
            ),
            "user_labels": user_label_table(user_labels, people.table["created_h"], self.labeller, self._end_h, drawn),
        }
        return WorldData(self._meta(name), {**tables, **logged, **said}, truth)

    def texts(self, data: WorldTables, truth: Mapping[str, Array], ids: Longs) -> list[str]:
        """The texts of some tweets of a world that this builder made, put together anew."""
        prose = Prose(
            self._grammar,
            data.table("users")["handle"],
            data.table("tweets"),
            truth["topics"],
            truth["trend"],
            truth["trend_word"],
            np.uint64(truth["text_key"][0]),
        )
        return prose.render(ids)

    def oracle(self, data: WorldTables, truth: Mapping[str, Array]) -> Oracle | None:
        """The truth of a world that this builder made; None if it is not there."""
        return ResponseModel(data, Truth.of(truth)) if truth else None

    def future(
        self, data: WorldTables, truth: Mapping[str, Array], *, seed: int, product: Product = TIMELINE
    ) -> Future | None:
        """How a world that this builder made goes on with one product alone; None if nobody knows that."""
        timeline = MadeFuture(data, truth, seed=seed)
        if product.name == TIMELINE.name or timeline.of(product) is None:
            return timeline.of(product)
        return NotifiedFuture(timeline, arms=self._arms, seed=seed)

    @property
    def _end_h(self) -> float:
        return 24.0 * self.days

    def _languages(self) -> tuple[Words, ...]:
        first = Words.load(LANGUAGES[0])
        topics = tuple(first.topics)[: self.topics]
        return tuple(Words.load(language).only(topics) for language in LANGUAGES[: len(self.language_shares)])

    @cached_property
    def _grammar(self) -> Grammar:
        return Grammar.of(self._languages())

    def _meta(self, name: str) -> WorldMeta:
        return WorldMeta(
            name=name,
            end_h=self._end_h,
            train_until_h=self._end_h - 24.0,
            viewer_count=self.users,
            languages=LANGUAGES[: len(self.language_shares)],
            notes=("made from a seed; every number in it is drawn, none is observed",),
        )

    def _tweets(self, people: People, following: Adjacency, trends: Trends, tree: TopicTree, seed: int) -> Tweets:
        return make_tweets(
            people,
            following.offsets,
            following.targets,
            trends,
            count=self.tweets,
            end_h=self._end_h,
            kind_shares=(self.retweet_share, self.reply_share, self.quote_share),
            trend_share=self.trend_share,
            labeller=self.labeller,
            contested=np.array([_CONTESTED.get(topic, 0.1) for topic in tree.names], np.float32),
            seed=seed,
            rng=stream(seed, "tweets"),
        )

    def _tables(
        self, people: People, follows: dict[str, Array], tweets: Tweets, prose: Prose, tree: TopicTree, seed: int
    ) -> dict[str, Mapping[str, Array]]:
        tables: dict[str, Mapping[str, Array]] = {
            "users": people.table,
            "follows": follows,
            "tweets": {**tweets.table, **prose.columns()},
            "vocabulary": {"word": prose.grammar.vocabulary},
            "tweet_words": prose.tweet_words(),
            "subscriptions": make_subscriptions(people, follows, self._end_h, stream(seed, "subscriptions")),
            "lists": make_lists(people, len(tree.names), stream(seed, "lists")),
        }
        if self.stored_texts:
            text = np.empty(tweets.author.size, object)
            text[:] = prose.render(np.arange(text.size))
            tables["texts"] = {"text": text}
        return tables

    def _log(
        self,
        name: str,
        people: People,
        tables: dict[str, Mapping[str, Array]],
        tweets: Tweets,
        seed: int,
        progress: Progress,
    ) -> tuple[dict[str, Array], dict[str, dict[str, Array]]]:
        """(truth, tables of the log)."""
        platform = WorldTables(self._meta(name), tables)
        truth = Truth(
            interests=people.interests,
            propensity=people.propensity,
            patience=people.patience,
            conflict=people.conflict,
            topics=tweets.topics,
            topic_share=tweets.topic_share,
            quality=tweets.quality,
            controversy=tweets.controversy,
            weights=self.utility.column(),
            intercepts=np.zeros(len(ACTIONS), np.float32),
            centre=np.zeros(1, np.float32),
            seed=np.array([key(seed, "liking")], np.uint64),
            novelty=people.novelty,
        )
        rates, users = self.rates.column(), people.main.size
        # First by any viewer and any tweet; then by what the policy really shows, in a small pilot.
        rng = stream(seed, "calibration")
        viewer = rng.integers(0, users, _PAIRS, np.int32)
        tweet = rng.integers(0, tweets.author.size, _PAIRS, np.int32)
        now_h = tweets.table["time_h"][tweet] + _PILOT_AGE_H
        truth = calibrated(platform, truth, rates, viewer, tweet, np.zeros(_PAIRS, np.int32), now_h)
        words = np.unique(tables["tweet_words"]["word"])
        before = early_feedback(people, words, stream(seed, "early feedback"))
        sessions = int(self.users * self.days * self.sessions_per_user_day)
        past = _Past(people, tweets, platform, before, self._arms, self._end_h, seed)
        pilot = past.write(truth, min(sessions, _PILOT_SESSIONS), "pilot", SILENT)["impressions"]
        shown = pilot["viewer"], pilot["tweet"], pilot["position"], pilot["time_h"]
        truth = calibrated(platform, truth, rates, *shown)
        arrays = {field.name: getattr(truth, field.name) for field in fields(truth)}
        return arrays, past.write(truth, sessions, "sessions", progress)

    def _notifications(
        self, name: str, tables: Mapping[str, Mapping[str, Array]], truth: Mapping[str, Array], seed: int
    ) -> tuple[dict[str, dict[str, Array]], dict[str, Array]]:
        """(tables of the log of notifications, what is true about them)."""
        created_h = tables["users"]["created_h"]
        settings = early_settings(created_h, self.notifications_off_share, stream(seed, "notification settings"))
        world = WorldTables(self._meta(name), tables)
        # Without a log, a few are sent after all, so that it is known how people would react.
        pilot = self.notifications_per_user_day == 0.0
        sent = choose_notifications(
            world,
            settings["user"],
            per_user_day=min(1.0, _PILOT_SENT / (self.users * self.days)) if pilot else self.notifications_per_user_day,
            arm_shares=self.notification_shares,
            seed=seed,
            rng=stream(seed, "notifications"),
        )
        world = world.grown({"notifications": as_sent(sent), "notification_settings": settings}, end_h=self._end_h)
        own: dict[str, Array] = {
            "notice": draw_notice(self.users, stream(seed, "notice")),
            "push_weights": self.notified.column(),
            "push_intercepts": np.zeros(len(PUSH_ACTIONS), np.float32),
        }
        some = slice(None, None, max(1, sent.viewer.size // _PILOT_SENT))
        shown = sent.viewer[some], sent.tweet[some], sent.time_h[some]
        model = notification_model(world, Truth.of({**truth, **own}))
        own["push_intercepts"] = calibrated_intercepts(model, self.notification_rates.column(), *shown)
        model = notification_model(world, Truth.of({**truth, **own}))
        columns: list[Array] = [column[: 0 if pilot else None] for column in sent]
        return write_notifications(model, Sent(*columns), settings, seed), own

    @property
    def _arms(self) -> tuple[int, int, int]:
        return self.followed_places, self.popular_places, self.explored_places


class _Past(NamedTuple):
    """All that the log depends on besides the truth."""

    people: People
    tweets: Tweets
    platform: WorldTables
    before: dict[str, Array]
    arms: tuple[int, int, int]
    end_h: float
    seed: int

    def write(self, truth: Truth, sessions: int, purpose: str, progress: Progress) -> dict[str, dict[str, Array]]:
        return write_log(
            self.people,
            self.tweets.table,
            self.platform.following,
            ResponseModel(self.platform, truth),
            self.before,
            sessions=sessions,
            arms=self.arms,
            end_h=self.end_h,
            seed=self.seed,
            rng=stream(self.seed, purpose),
            progress=progress,
        )

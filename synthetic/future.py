"""How a made world goes on: who visits, what they do with their pages, what is written, and how people change.

Viewers come at the rate at which the log knows them, in the rhythm of the day, at most once in a tick.
What they do is drawn from the response model. Retweets, replies and quotes are tweets that reactions to
a page bring about; originals are written at each author's rate of the past. A new tweet takes its
words, media and controversy from an earlier one of its kind, language and topic (a bootstrap of the
past), and its quality from what its author has written before. Who opens a profile follows with some
chance. At night interests move a little towards what was liked, and a little at random, and a few people
join, each a mixture of two who are there already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.kernels.grouping import find_keys, group_rows, pair_keys
from funnel.core.products import PUSH, TIMELINE, Product
from funnel.core.rng import stream
from funnel.core.tables import ORIGINAL, QUOTE, REPLY, RETWEET
from funnel.core.world import Columns, Future, Rows, WorldTables
from synthetic.arrays import distinct
from synthetic.behaviour import ResponseModel, Truth
from synthetic.clock import activity
from synthetic.habituation import Habituation
from synthetic.log import feedback_of, wait_h
from synthetic.notified_future import NotifiedFuture

_OF_TWEETS = ("topics", "topic_share", "quality", "controversy")
_OF_USERS = ("interests", "propensity", "patience", "conflict", "novelty", "notice")
_PRIOR_DAYS = 1.0  # weight of the average person in how often somebody comes or writes, in days of observation
_QUOTE_SHARE = 0.16  # of retweets that come with words: quotes over quotes and retweets of `Generated`'s defaults
# Variance of authors' mean quality and of their tweets around it, as in `make_people` and `make_tweets`.
_BETWEEN_AUTHORS, _WITHIN_AUTHOR = 0.36, 0.64
_FOLLOW_CHANCE = {"profile_click": 0.1, "good_profile_click": 0.3}
_MOST_OF_TICK = 0.9  # reactions to the longest page end before the tick does
# Of a user's interests, moved in a night towards the topics of the tweets liked that day, and towards a random topic.
_TOWARDS_LIKED, _AT_RANDOM = 0.01, 0.01
_NEWCOMERS = 0.002  # a day, as a share of all users: about doubles them in a year
_FIRST_FOLLOWS = 15  # accounts that a newcomer follows at most


class _Written(NamedTuple):
    """New tweets before they have numbers: parent and root int32, -1 for none; like: the tweet whose form they take."""

    author: Ints
    time_h: Doubles
    kind: Array
    parent: Ints
    root: Ints
    like: Ints


class MadeFuture:
    """The `funnel.core.world.Future` of a generated world; `world` is its past, all of it."""

    def __init__(self, world: WorldTables, truth: Mapping[str, Array], *, seed: int) -> None:
        self._truth = dict(_arrays(Truth.of(truth)))
        self._seed = seed
        tweets, users = world.table("tweets"), world.count("users")
        self._base_tweets, self._base_users = world.count("tweets"), users
        days = world.meta.end_h / 24.0
        self._visits = _rates(_pages_of_viewers(world, users), days)
        self._visits[world.table("users")["suspended"]] = 0.0
        own = tweets["author"][tweets["kind"] == ORIGINAL]
        self._originals = _rates(np.bincount(own, minlength=users).astype(np.float64), days)
        self._topics = int(self._truth["interests"].shape[1])
        self._forms = {kind: self._forms_of(tweets, kind) for kind in (ORIGINAL, REPLY, QUOTE)}
        self._habits = self._habits_after(world)
        self._like_past: Ints = np.arange(self._base_tweets, dtype=np.int32)

    def visitors(self, world: WorldTables, begin_h: float, end_h: float, *, per_day: float | None) -> Ints:
        """int32 [R]: everybody comes with probability 1 - exp(-rate), independently of the others."""
        rate = self._of_everybody(self._visits, world)
        if per_day is not None:
            rate = rate * (per_day / rate.sum())
        draws = stream(self._seed, f"visitors {begin_h}").random(rate.size)
        came = draws < -np.expm1(-rate * activity(begin_h, end_h))
        return np.flatnonzero(came).astype(np.int32)

    def react(self, world: WorldTables, shown: Columns, begin_h: float, end_h: float) -> tuple[Rows, Floats]:
        """See `funnel.core.world.Future`."""
        rng = stream(self._seed, f"tick {begin_h}")
        viewer, tweet, position = shown["viewer"], shown["tweet"], shown["position"].astype(np.int32)
        model = self.oracle(world)
        author = world.table("tweets")["author"]
        seen = self._habits.expose(viewer, tweet, author, self._truth["topics"])
        reactions = model.react(viewer, tweet, position, shown["time_h"], seed=self._seed, seen=seen)
        glad = model.satisfaction(viewer, tweet, seen=seen)
        first = world.count("impressions")
        impression, action = np.nonzero(reactions)
        wait = wait_h(position, impression, action, first, self._seed)
        wait *= min(1.0, _MOST_OF_TICK * (end_h - begin_h) / float(wait.max(initial=1e-9)))
        time_h = shown["time_h"][impression] + wait
        order = np.argsort(time_h, kind="stable")
        impression, action, time_h = impression[order], action[order].astype(np.int8), time_h[order]
        engagements: dict[str, Array] = {
            "viewer": viewer[impression],
            "tweet": tweet[impression],
            "action": action,
            "time_h": time_h,
            "impression": (first + impression).astype(np.int32),
        }
        written = _joined(self._originals_of(world, begin_h, end_h), self._caused(world, engagements, rng))
        tweets, words = self._tweets(world, written, rng)
        rows: dict[str, Mapping[str, Array]] = {
            "engagements": engagements,
            "feedback": feedback_of(engagements, author),
            "follows": self._follows(world, engagements, end_h, rng),
            "tweets": tweets,
            "tweet_words": words,
        }
        return rows, glad

    def of(self, product: Product) -> Future | None:
        """How the same world goes on for a product beside this one; it shares the truth. None if nobody knows it."""
        if product.name == TIMELINE.name:
            return self
        known = product.name == PUSH.name and self._truth["push_intercepts"].size > 0
        return NotifiedFuture(self, arms=None, seed=self._seed) if known else None

    def oracle(self, world: WorldTables) -> ResponseModel:
        """The truth as it is now, about the world as it is now."""
        return ResponseModel(world, Truth(**self._truth))

    def night(self, world: WorldTables, begin_h: float, end_h: float) -> Rows:
        """See `funnel.core.world.Future`."""
        rng = stream(self._seed, f"night {end_h}")
        self._drift(world, begin_h, end_h, rng)
        return self._newcomers(world, end_h, rng)

    def state(self) -> dict[str, Array]:
        """The truth as it is now."""
        return {**self._truth, "like": self._like_past}

    def restore(self, world: WorldTables, state: Mapping[str, Array]) -> None:
        """Take up what `state` gave, in the world as it was then."""
        self._truth = dict(_arrays(Truth.of(state)))
        self._like_past = state["like"]
        self._habits = self._habits_after(world)

    def _habits_after(self, world: WorldTables) -> Habituation:
        """What everybody was shown last, from the log."""
        shown, author = world.table("impressions"), world.table("tweets")["author"]
        habits = Habituation(world.count("users"))
        habits.expose(shown["viewer"], shown["tweet"], author, self._truth["topics"])
        return habits

    def _of_everybody(self, rates: Doubles, world: WorldTables) -> Doubles:
        """float64 [U]: rates a day; those of people who joined later are average."""
        return np.concatenate([rates, np.full(world.count("users") - rates.size, rates.mean())])

    def _originals_of(self, world: WorldTables, begin_h: float, end_h: float) -> _Written:
        """What people write on their own account, each author at their own rate (a Poisson process)."""
        rng = stream(self._seed, f"originals {begin_h}")
        counts = rng.poisson(self._of_everybody(self._originals, world) * activity(begin_h, end_h))
        author = np.repeat(np.arange(counts.size, dtype=np.int32), counts)
        time_h = end_h - (end_h - begin_h) * (0.001 + 0.998 * rng.random(author.size))
        cumulative = np.cumsum(self._truth["interests"], axis=1)[author]
        topic = (cumulative <= rng.random((author.size, 1)) * cumulative[:, -1:]).sum(axis=1)
        kind, none = np.full(author.size, ORIGINAL, np.int8), np.full(author.size, -1, np.int32)
        like = self._like(world, ORIGINAL, author, np.minimum(topic, self._topics - 1), rng)
        return _Written(author, time_h, kind, none, none, like)

    def _caused(self, world: WorldTables, done: Columns, rng: np.random.Generator) -> _Written:
        """The tweets that are retweets, quotes and replies to what was shown; a retweet stands for what it carries."""
        tweets, users = world.table("tweets"), world.table("users")
        rows = np.flatnonzero(np.isin(done["action"], (ACTION_CODE["retweet"], ACTION_CODE["reply"])))
        author, target = done["viewer"][rows], done["tweet"][rows]
        target = np.where(tweets["kind"][target] == RETWEET, tweets["parent"][target], target)
        quoted = rng.random(rows.size) < _QUOTE_SHARE
        replied = done["action"][rows] == ACTION_CODE["reply"]
        kind = np.where(replied, np.int8(REPLY), np.where(quoted, np.int8(QUOTE), np.int8(RETWEET)))
        # Nobody retweets or quotes themselves or what only followers may see.
        writer = tweets["author"][target]
        allowed = (replied | ~users["protected"][writer]) & (writer != author)
        root = tweets["root"][target]
        root = np.where(replied, np.where(root >= 0, root, target), np.int32(-1)).astype(np.int32)
        like = target.astype(np.int32)
        topic = self._truth["topics"][target, 0].astype(np.int64)
        for code in (REPLY, QUOTE):
            some = np.flatnonzero(kind == code)
            like[some] = self._like(world, code, author[some], topic[some], rng)
        made = _Written(author, done["time_h"][rows], kind, target.astype(np.int32), root, like)
        return _some(made, np.flatnonzero(allowed))

    def _forms_of(self, tweets: Columns, kind: int) -> tuple[Longs, Ints, Ints]:
        """(offsets, rows) of the past tweets of a kind by language and topic, and all of them (or all tweets)."""
        chosen = np.flatnonzero(tweets["kind"] == kind)
        topic = self._truth["topics"][chosen, 0].astype(np.int64)
        code = tweets["language"][chosen].astype(np.int64) * self._topics + topic
        offsets, order = group_rows(code, int(tweets["language"].max()) * self._topics + self._topics)
        anything = chosen if chosen.size else np.arange(tweets["kind"].size)
        return offsets, chosen[order].astype(np.int32), anything.astype(np.int32)

    def _like(self, world: WorldTables, kind: int, author: Ints, topic: Longs, rng: np.random.Generator) -> Ints:
        """int32 [n]: past tweets of the kind, the author's language and the topic; if there are none, of the kind."""
        offsets, rows, anything = self._forms[kind]
        code = world.table("users")["language"][author].astype(np.int64) * self._topics + topic
        known = code < offsets.size - 1
        begin = offsets[np.where(known, code, 0)]
        size = np.where(known, offsets[np.where(known, code, 0) + 1] - begin, 0)
        draws = rng.random(author.size)
        place = np.minimum(begin + (draws * size).astype(np.int64), max(rows.size - 1, 0))
        other = anything[(draws * anything.size).astype(np.int64)]
        return np.where(size > 0, rows[place] if rows.size else other, other).astype(np.int32)

    def _tweets(
        self, world: WorldTables, new: _Written, rng: np.random.Generator
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Rows of `tweets` and `tweet_words` for new tweets in order of time; the truth grows with them.

        A column more than the table has, `like`, is the tweet of the past whose words the new one has.
        """
        new = _some(new, np.argsort(new.time_h, kind="stable"))
        tweets, users, truth = world.table("tweets"), world.table("users"), self._truth
        retweet, answers = new.kind == RETWEET, new.parent >= 0
        source = np.where(answers, new.parent, new.like)  # of topics
        table: dict[str, Array] = {name: values[new.like] for name, values in tweets.items()}
        table |= {
            "author": new.author,
            "time_h": new.time_h,
            "kind": new.kind.astype(np.int8),
            "parent": new.parent,
            "root": new.root,
            "language": np.where(retweet, tweets["language"][new.like], users["language"][new.author]).astype(np.int8),
            "exclusive": tweets["exclusive"][new.like] & users["creator"][new.author],
            "like": self._like_past[new.like],
        }
        self._like_past = np.concatenate([self._like_past, table["like"]])
        heat, own = truth["controversy"], truth["controversy"][new.like]
        heated = np.where(new.kind == REPLY, 0.5 * (own + heat[source]), own)
        quality = np.where(retweet, truth["quality"][new.like], self._quality(world, new.author, rng))
        grown = {
            "topics": truth["topics"][source],
            "topic_share": truth["topic_share"][source],
            "quality": quality,
            "controversy": heated,
        }
        first = world.count("tweets")
        for name in _OF_TWEETS:
            truth[name] = np.concatenate([truth[name], grown[name].astype(truth[name].dtype)])
        offsets, words = world.words_of_tweet
        counts = offsets[new.like + 1] - offsets[new.like]
        inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        of_tweet = np.repeat(np.arange(first, first + new.like.size, dtype=np.int32), counts)
        return table, {"tweet": of_tweet, "word": words[np.repeat(offsets[new.like], counts) + inside]}

    def _quality(self, world: WorldTables, author: Ints, rng: np.random.Generator) -> Doubles:
        """float64 [n]: drawn from what the author's past tweets say of the next (normal, of known variances)."""
        tweets = world.table("tweets")
        own = np.flatnonzero(tweets["kind"][: self._base_tweets] != RETWEET)
        users = world.count("users")
        count = np.bincount(tweets["author"][own], minlength=users)
        total = np.bincount(tweets["author"][own], weights=self._truth["quality"][own], minlength=users)
        shrunk = count + _WITHIN_AUTHOR / _BETWEEN_AUTHORS
        mean, variance = (total / shrunk)[author], (_WITHIN_AUTHOR / shrunk)[author] + _WITHIN_AUTHOR
        drawn: Doubles = mean + np.sqrt(variance) * rng.standard_normal(author.size)
        return drawn

    def _follows(self, world: WorldTables, done: Columns, end_h: float, rng: np.random.Generator) -> dict[str, Array]:
        """New follows by those who opened the author's profile."""
        chance = np.zeros(len(ACTION_CODE))
        for name, value in _FOLLOW_CHANCE.items():
            chance[ACTION_CODE[name]] = value
        rows = np.flatnonzero(rng.random(done["action"].size) < chance[done["action"]])
        follower, followee = done["viewer"][rows], world.table("tweets")["author"][done["tweet"][rows]]
        keys, first = np.unique(pair_keys(follower, followee), return_index=True)
        fresh = (find_keys(_edges(world), keys) < 0) & (follower[first] != followee[first])
        chosen = first[fresh]
        # A few seconds on the profile, and before the tick ends.
        later = np.minimum(done["time_h"][rows[chosen]] + 10.0 / 3600.0, np.nextafter(end_h, 0.0))
        return {"follower": follower[chosen], "followee": followee[chosen].astype(np.int32), "time_h": later}

    def _drift(self, world: WorldTables, begin_h: float, end_h: float, rng: np.random.Generator) -> None:
        interests, done = self._truth["interests"], world.table("engagements")
        low, high = np.searchsorted(done["time_h"], (begin_h, end_h))
        liked = low + np.flatnonzero(done["action"][low:high] == ACTION_CODE["favorite"])
        viewer, tweet = done["viewer"][liked], done["tweet"][liked]
        towards = np.zeros(interests.shape, np.float64)
        share = self._truth["topic_share"][tweet].astype(np.float64)
        for side, weight in ((0, share), (1, 1.0 - share)):
            np.add.at(towards, (viewer, self._truth["topics"][tweet, side]), weight)
        total = towards.sum(axis=1, keepdims=True)
        pull = np.where(total > 0, _TOWARDS_LIKED, 0.0)
        towards /= np.maximum(total, 1e-9)
        wander = np.zeros(interests.shape)
        wander[np.arange(len(wander)), rng.integers(0, self._topics, len(wander))] = 1.0
        moved = (1.0 - pull - _AT_RANDOM) * interests + pull * towards + _AT_RANDOM * wander
        self._truth["interests"] = (moved / moved.sum(axis=1, keepdims=True)).astype(np.float32)

    def _newcomers(self, world: WorldTables, end_h: float, rng: np.random.Generator) -> Rows:
        """People who joined in the last hour: the tastes and some followees of one, the manners of another."""
        users = world.table("users")
        count, active = int(rng.poisson(_NEWCOMERS * self._base_users)), np.flatnonzero(~users["suspended"])
        first = world.count("users")
        if not count:
            return {}
        one, other = rng.choice(active, count), rng.choice(active, count)
        table = {name: values[one] for name, values in users.items()}
        handle = np.empty(count, object)
        handle[:] = [f"newcomer_{first + number}" for number in range(count)]
        table |= {"handle": handle, "created_h": end_h - rng.random(count)}
        table |= {name: np.zeros(count, np.bool_) for name in ("verified", "creator", "protected", "suspended")}
        for name in _OF_USERS:
            values = self._truth[name]
            if values.shape[0]:  # novelty and notice may be empty
                self._truth[name] = np.concatenate([values, values[one if name == "interests" else other]])
        follower, followee = [], []
        for number, template in enumerate(one.tolist()):
            known = world.following.neighbours(template)
            chosen = rng.choice(known, min(known.size, _FIRST_FOLLOWS), replace=False)
            followee.append(np.sort(chosen))
            follower.append(np.full(chosen.size, first + number))
        who = np.concatenate(follower).astype(np.int32)
        follows = {
            "follower": who,
            "followee": np.concatenate(followee).astype(np.int32),
            "time_h": np.nextafter(table["created_h"][who - first], end_h),
        }
        return {"users": table, "follows": follows}


def _arrays(truth: Truth) -> dict[str, Array]:
    return {name: getattr(truth, name) for name in Truth.__dataclass_fields__}


def _edges(world: WorldTables) -> Longs:
    """int64 [E], ascending: the follow edges as keys; the table is sorted that way."""
    follows = world.table("follows")
    return pair_keys(follows["follower"], follows["followee"])


def _pages_of_viewers(world: WorldTables, users: int) -> Doubles:
    """float64 [U]: pages that each viewer was shown."""
    shown = world.table("impressions")
    pages = distinct(shown["request"].astype(np.int64) * users + shown["viewer"])
    return np.bincount(pages % users, minlength=users).astype(np.float64)


def _rates(counts: Doubles, days: float) -> Doubles:
    """float64 [U]: events a day; the less was observed, the nearer to the average."""
    average = counts.mean() / days
    rates: Doubles = (counts + _PRIOR_DAYS * average) / (days + _PRIOR_DAYS)
    return rates


def _joined(first: _Written, second: _Written) -> _Written:
    both: list[Array] = [
        np.concatenate([one, two]) for one, two in zip(list[Array](first), list[Array](second), strict=True)
    ]
    return _Written(*both)


def _some(written: _Written, rows: Longs) -> _Written:
    columns: list[Array] = [column[rows] for column in written]
    return _Written(*columns)

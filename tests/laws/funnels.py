"""Random funnels over the mini world: cheap stages with every job, in random number and order."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass

from funnel.compose import Slot
from funnel.core import rng
from funnel.core.arrays import Bools, Floats
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.stage import STRICT, Configured, Filter, Scorer, Source
from funnel.core.tables import TABLES
from funnel.core.world import WorldData, WorldTables
from funnel.pipeline import Funnel
from funnel.world import World
from heuristics.boosts.author_diversity import AuthorDiversity
from heuristics.boosts.blue_verified import BlueVerified
from heuristics.boosts.out_of_network import OutOfNetwork
from heuristics.boosts.replies import Replies
from heuristics.filters.already_seen import AlreadySeen
from heuristics.filters.blocked_authors import BlockedAuthors
from heuristics.filters.hidden_authors import HiddenAuthors
from heuristics.filters.muted_keywords import MutedKeywords
from heuristics.filters.own_tweets import OwnTweets
from heuristics.filters.retweet_duplicates import RetweetDuplicates
from heuristics.filters.too_old import TooOld
from heuristics.selectors.network_caps import NetworkCaps
from heuristics.selectors.top_k import TopK
from tests.support import mini_world


@dataclass(config=STRICT, kw_only=True)
class Lottery(Source):
    """Tweets that a hash of (viewer, tweet) draws among those written so far."""

    salt: int = 0
    count: int = 20

    def retrieve(self, requests: Requests) -> CandidateBatch:
        limits = requests.view.tweets_before(requests.now_h)
        drawn, scores = [], []
        for viewer, limit in zip(requests.viewer, limits, strict=True):
            ids = np.arange(limit)
            luck = rng.uniform(requests.seed + self.salt, "lottery", viewer, ids)
            chosen = np.argsort(luck, kind="stable")[: self.count]
            drawn.append(ids[chosen])
            scores.append(luck[chosen])
        tweet = np.concatenate([np.empty(0, np.int64), *drawn]).astype(np.int32)
        score = np.concatenate([np.empty(0), *scores]).astype(np.float32)
        return CandidateBatch.of(requests, [ids.size for ids in drawn], tweet=tweet, source_score=score)


@dataclass(config=STRICT, kw_only=True)
class Nothing(Source):
    """Finds nothing."""

    def retrieve(self, requests: Requests) -> CandidateBatch:
        columns = {"tweet": np.empty(0, np.int32), "source_score": np.empty(0, np.float32)}
        return CandidateBatch.of(requests, np.zeros(len(requests)), **columns)


@dataclass(config=STRICT, kw_only=True)
class Remainder(Filter):
    """Removes tweets whose id leaves a remainder."""

    divisor: int = 3

    def keep(self, batch: CandidateBatch) -> Bools:
        return np.asarray(batch["tweet"] % self.divisor != 1)


@dataclass(config=STRICT, kw_only=True)
class Coarse(Scorer):
    """A light score with few levels, so that there are ties."""

    adds = ("light_score",)
    levels: int = 3

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        return {"light_score": (batch["tweet"] % self.levels).astype(np.float32)}


@dataclass(config=STRICT, kw_only=True)
class Taste(Scorer):
    """A value that a hash of (viewer, tweet) gives, zero for some."""

    adds = ("value",)
    levels: int = 0

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        value = rng.uniform(batch.requests.seed, "taste", batch.viewer, batch["tweet"])
        return {"value": (np.floor(value * self.levels) if self.levels else value).astype(np.float32)}


@lru_cache(maxsize=4)
def world_of(tables: WorldTables) -> World:
    """A world object around tables in memory."""
    return World.of(WorldData(tables.meta, {name: tables.table(name) for name in TABLES}))


def slot(part: Configured, name: str | None = None, *, quota: int | None = None, keep: int | None = None) -> Slot:
    return Slot(name or part.name, part.name, part, quota=quota, keep=keep)


def funnel_of(stages: list[Slot], tables: WorldTables | None = None) -> Funnel:
    """A funnel of these stages on the mini world; nothing in it learns."""
    world = world_of(mini_world() if tables is None else tables)
    made = Funnel("random", about="for tests", world=world, jobs=[], stages=stages)
    made.trained = True
    return made


_FILTERS = (OwnTweets, HiddenAuthors, RetweetDuplicates, AlreadySeen, BlockedAuthors, MutedKeywords, TooOld, Remainder)
_BOOSTS = (OutOfNetwork, BlueVerified, Replies, AuthorDiversity)


@st.composite
def stage_lists(draw: st.DrawFn) -> list[Slot]:
    """Stages of a valid funnel: 1–3 sources, some filters around a light cut, a value, boosts, selectors."""
    sources = [
        slot(
            Lottery(salt=salt, count=draw(st.integers(0, 40))), f"lottery{salt}", quota=draw(st.sampled_from([None, 5]))
        )
        for salt in range(draw(st.integers(1, 3)))
    ]
    if draw(st.booleans()):
        sources.append(slot(Nothing(), "nothing"))
    filters = draw(st.lists(st.sampled_from(_FILTERS), unique=True, max_size=5))
    cut = draw(st.integers(0, len(filters)))
    light = [slot(Coarse(), "coarse", keep=draw(st.integers(1, 30)))] if draw(st.booleans()) else []
    boosts = draw(st.lists(st.sampled_from(_BOOSTS), unique=True, max_size=4))
    caps = [slot(NetworkCaps(max_in_network=3, max_out_of_network=8))] if draw(st.booleans()) else []
    return [
        *sources,
        *(slot(kind()) for kind in filters[:cut]),
        *light,
        *(slot(kind()) for kind in filters[cut:]),
        slot(Taste(levels=draw(st.sampled_from([0, 2]))), "taste"),
        *(slot(kind()) for kind in boosts),
        *caps,
        slot(TopK(size=draw(st.integers(1, 20)))),
    ]

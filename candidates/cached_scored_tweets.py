"""Cached scored tweets: what was scored for the viewer's last page and not shown, served again within three minutes.

twitter/the-algorithm, home-mixer/…/scored_tweets/candidate_pipeline/CachedScoredTweetsCandidatePipelineConfig.scala:
up to 1,000 scored tweets are kept for 3 minutes, and another pipeline runs only if fewer than 30 of its own are left
unseen in the cache (gate/MinCachedTweetsGate.scala). xai-org/x-algorithm (2026): at most 750 cached posts, and while
there are any no other source is asked.

The log holds what was shown, not what else was scored, so the cache is made anew: the named sources are asked what they
would have given at the moment of the viewer's last page, the best `max_per_source` of each by its own score stand for
what went to the heavy ranker, and what the viewer was shown since is taken out. It is a function of the log before the
request, and of nothing that this process remembers.
"""

from __future__ import annotations

import inspect
from functools import cached_property
from importlib import import_module

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from candidates.retrieval import ranked
from funnel.core.arrays import Bools, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, nearest
from funnel.core.kernels.grouping import pair_keys
from funnel.core.segments import rank_in_group
from funnel.core.stage import STRICT, Source
from funnel.features.base import SEEN_FOR_H

# Sources whose answers may be cached.
CACHEABLE: tuple[str, ...] = (
    "in_network",
    "thunder",
    "uteg",
    "salsa",
    "simclusters_ann",
    "twhin_ann",
    "cr_mixer",
    "frs",
    "lists",
    "popular_videos",
    "backfill",
    "topic_social_proof",
    "popular",
)


@dataclass(config=STRICT, kw_only=True)
class CachedScoredTweets(Source):
    """Unseen candidates of the viewer's last page, if that was a moment ago; closes the sources they came from.

    source_score = 1 − place in the list of its source / `max_per_source`, the best of its sources. A viewer without a
    page in the last `ttl_min` minutes has no cache.
    """

    gated = True

    sources: dict[str, dict[str, object]] = Field(
        default_factory=lambda: dict[str, dict[str, object]](in_network={}, uteg={}),
        description="sources whose answers are cached, each with its settings (those of the funnel, to be true to it)",
    )
    ttl_min: float = Field(3.0, gt=0, description="how long what was scored is kept, minutes")
    min_cached: int = Field(
        30, ge=1, description="unseen tweets of a source in the cache with which it is not asked (MinCachedTweetsGate)"
    )
    all_at_once: bool = Field(
        False, description="count the unseen tweets of all sources, and close all of the named ones together (2026)"
    )
    max_per_source: int = Field(500, ge=1, description="best candidates of a source that count as scored")
    max_cached: int = Field(1000, ge=1, description="tweets in the cache at most (1,000; 750 in 2026)")

    def __post_init__(self) -> None:
        if not self.sources:
            raise ConfigError("cached_scored_tweets.sources", "wants one source at least")
        for name, settings in self.sources.items():
            _source(name, settings)

    @property
    def requires(self) -> tuple[str, ...]:
        """What the cached sources require."""
        return tuple(dict.fromkeys(asset for part in self._parts.values() for asset in part.requires))

    @cached_property
    def _parts(self) -> dict[str, Source]:
        return {name: _source(name, settings) for name, settings in self.sources.items()}

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 in (0, 1], best first."""
        kept, then = self._warm(requests)
        parts = [(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))]
        if kept.size:
            parts += [self._unseen(requests, kept, then, name) for name in self._parts]
        request, tweet, score = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.lexsort((-score, tweet, request))
        request, tweet, score = request[order], tweet[order], score[order]
        first = np.flatnonzero(np.diff(pair_keys(request.astype(np.int32), tweet), prepend=-1))
        found = ranked(requests, request[first], tweet[first], score[first])
        return found.take(np.arange(len(found)) - found.offsets[:-1][found.request] < self.max_cached)

    def closed(self, requests: Requests, source: str) -> Bools:
        """bool [R]: requests for which that source need not be asked, since enough of it is cached."""
        shut = np.zeros(len(requests), np.bool_)
        kept, then = self._warm(requests)
        if source not in self._parts or not kept.size:
            return shut
        counted = list(self._parts) if self.all_at_once else [source]
        pairs = []
        for name in counted:
            request, tweet, _ = self._unseen(requests, kept, then, name)
            pairs.append(pair_keys(request.astype(np.int32), tweet))
        cached = np.unique(np.concatenate(pairs)) >> 32
        shut[:] = np.bincount(cached, minlength=len(requests)) >= self.min_cached
        return shut

    def _warm(self, requests: Requests) -> tuple[Longs, Requests]:
        """(the requests int64 [k] with a cache, the same viewers at the moment of their last page)."""
        shown = requests.view.events("impression", by="viewer")
        last_h = shown.last_h(shown.slots(requests.viewer), requests.now_h)
        kept = np.flatnonzero(requests.now_h - last_h <= self.ttl_min / 60.0)
        return kept, Requests(requests.viewer[kept], last_h[kept], requests.view, requests.seed)

    def _unseen(self, requests: Requests, kept: Longs, then: Requests, name: str) -> tuple[Longs, Ints, Floats]:
        """(request, tweet, score) of what a source gave for the last page and the viewer was not shown."""
        found = self._parts[name].retrieve(then)
        place = rank_in_group(found.offsets, found["source_score"], found["tweet"])
        tweet, request = found["tweet"], kept[found.request]
        viewer, now_h = requests.viewer[request], requests.now_h[request]
        shown = requests.view.events("impression", by="viewer_tweet")
        seen = shown.last_h(shown.slots(pair_keys(viewer, tweet)), now_h) >= now_h - SEEN_FOR_H
        fresh = np.flatnonzero(~seen & (place < self.max_per_source))
        score = (1.0 - place[fresh] / self.max_per_source).astype(np.float32)
        return request[fresh], tweet[fresh], score


def _source(name: str, settings: dict[str, object]) -> Source:
    """A source of this package with its settings, or ConfigError."""
    where = f"cached_scored_tweets.sources.{name}"
    if name not in CACHEABLE:
        raise ConfigError(where, f"no source that can be cached is called so — {nearest(name, CACHEABLE)}")
    module = import_module(f"candidates.{name}")  # by name, so that faiss is there only if it is asked for
    kind = next(
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Source) and member.__module__ == module.__name__
    )
    try:
        made: Source = TypeAdapter(kind).validate_python(settings)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise ConfigError(".".join([where, *map(str, wrong["loc"])]), str(wrong["msg"])) from error
    return made

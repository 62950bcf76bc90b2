"""The producer–producer graph: accounts linked by the cosine of their follower sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from candidates.simclusters.sizes import SizeSettings, neighbour_limit
from funnel.core import rng
from funnel.core.arrays import Array, Floats, Ints, Longs
from funnel.core.events import Adjacency
from funnel.core.kernels import kernel
from funnel.core.kernels.grouping import group_rows
from funnel.core.world import PlatformView


class ProducerSettings(SizeSettings, Protocol):
    """The settings of `SimClusters` that shape the graph."""

    min_followers: int
    max_producers: int
    max_followers_read: int
    min_cosine: float


@dataclass(frozen=True)
class ProducerGraph:
    """Symmetric links between P producers: producer int32 [P] (user ids, ascending), and a CSR with weights 10 cos²."""

    producer: Ints
    offsets: Longs
    targets: Ints
    weights: Floats


def producer_graph(view: PlatformView, settings: ProducerSettings, seed: int) -> ProducerGraph:
    """A link is kept if its cosine reaches the threshold and it is among the best of either end (ties stay)."""
    follows = view.following
    follower, followee = _edges_before(follows, view.now_h)
    audience = np.bincount(followee, minlength=view.user_count)
    order = np.lexsort((np.arange(audience.size), -audience))[: settings.max_producers]
    producer = np.sort(order[audience[order] >= settings.min_followers]).astype(np.int32)
    number = np.full(view.user_count, -1, np.int64)
    number[producer] = np.arange(producer.size)
    wanted = np.flatnonzero(number[followee] >= 0)
    sampled = _sample(number[followee[wanted]], follower[wanted], settings.max_followers_read, seed)
    kept = wanted[sampled]
    left, right = number[followee[kept]], follower[kept].astype(np.int64)
    by_producer, places = group_rows(left, producer.size)
    by_user, rows = group_rows(right, view.user_count)
    offsets, targets, cosines = _cosines(
        by_producer, right[places].astype(np.int32), by_user, left[rows].astype(np.int32),
        neighbour_limit(settings, producer.size), float(settings.min_cosine),
    )  # fmt: skip
    return ProducerGraph(producer, offsets, targets, (10.0 * cosines * cosines).astype(np.float32))


def _edges_before(follows: Adjacency, now_h: float) -> tuple[Ints, Ints]:
    follower = np.repeat(np.arange(follows.offsets.size - 1, dtype=np.int32), follows.degree())
    exists = follows.time_h < now_h
    return follower[exists], follows.targets[exists]


def _sample(producer: Array, follower: Array, limit: int, seed: int) -> Longs:
    """Rows that stay when each producer keeps at most `limit` followers.

    Users are kept by a hash of their own id, the same for every producer, so that the overlap of two samples tells
    the overlap of the audiences (as in the WHIMP sketches that Twitter uses, a sample of shared followers).
    """
    sizes = np.bincount(producer)
    if not sizes.size or int(sizes.max()) <= limit:
        return np.arange(producer.size)
    draw = rng.uniform(seed, "simclusters.audience", follower)
    rows = np.lexsort((draw, producer))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    place = np.arange(producer.size) - starts[producer[rows]]
    return np.sort(rows[place < limit]).astype(np.int64)


@kernel
def _cosines(  # noqa: PLR0912 (one loop that shares its dense counters)
    followers_of: Longs, followers: Ints, followed_by: Longs, followed: Ints, limit: int, least: float
) -> tuple[Longs, Ints, Floats]:
    """CSR of the kept links: for each producer a dense count of shared followers, read twice.

    The first pass finds what each producer's best `limit` links need; the second keeps what satisfies either end,
    which makes the graph symmetric without sorting it.
    """
    n = followers_of.size - 1
    root = np.sqrt((followers_of[1:] - followers_of[:-1]).astype(np.float64))
    shared, touched = np.zeros(n, np.int32), np.empty(n, np.int32)
    needed = np.full(n, least)
    offsets = np.zeros(n + 1, np.int64)
    targets, cosines = np.empty(0, np.int32), np.empty(0, np.float32)
    row = np.empty(n)
    for sweep in range(3):
        if sweep == 2:
            for p in range(n):
                offsets[p + 1] += offsets[p]
            targets, cosines = np.empty(offsets[n], np.int32), np.empty(offsets[n], np.float32)
        for p in range(n):
            count = 0
            for i in range(followers_of[p], followers_of[p + 1]):
                user = followers[i]
                for j in range(followed_by[user], followed_by[user + 1]):
                    q = followed[j]
                    if shared[q] == 0:
                        touched[count] = q
                        count += 1
                    shared[q] += 1
            m = 0
            place = offsets[p]
            for i in range(count):
                q = touched[i]
                cosine = shared[q] / (root[p] * root[q])
                shared[q] = 0
                if q == p or cosine < least:
                    continue
                if sweep == 0:
                    row[m] = -cosine
                    m += 1
                elif cosine >= needed[p] or cosine >= needed[q]:
                    if sweep == 2:
                        targets[place], cosines[place] = q, cosine
                        place += 1
                    m += 1
            if sweep == 0 and m > limit:
                needed[p] = -np.partition(row[:m], limit - 1)[limit - 1]
            elif sweep == 1:
                offsets[p + 1] = m
    return offsets, targets, cosines

"""What the push ranker reads of a candidate: numbers and flags by name, and sparse features hashed into buckets.

Published sparse features come as names and values from a list that is not public (twitter/the-algorithm,
pushservice/.../heavy_ranking/features.py); these are what a world of tweets can carry: who wrote the tweet, in which
language, about which topics, with which words. A flag is (kind, id) hashed to one of 2^bits buckets; an amount has a
value too: how many of the tweet's words belong to a topic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funnel.core import rng
from funnel.core.arrays import Array, Bools, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.world import PlatformView
from funnel.features import FEATURES, NOTIFICATION_FEATURES, matrix, model_features
from funnel.features.topic import known, topics

FLAGS = ("author", "language", "word")  # one bucket for each that a candidate has
AMOUNTS = ("topic",)  # with a value
SPARSE = FLAGS + AMOUNTS
# Besides all model features: the history of notifications, and what of it is infinite or mostly the same.
_HISTORY = (*NOTIFICATION_FEATURES, "notified_h", "notifications_allowed")
NEVER_H = 10_000.0  # hours since what never happened: more than a year; the transform would take infinity for 0


@dataclass(frozen=True)
class Sparse:
    """Rows of different length: offsets int64 [n + 1], bucket int32 [m], value float32 [m]."""

    offsets: Longs
    bucket: Ints
    value: Floats

    def __len__(self) -> int:
        return int(self.offsets.size) - 1

    def take(self, rows: Array) -> Sparse:
        """Some rows, in the order given."""
        offsets, at = _gathered(self.offsets, rows)
        return Sparse(offsets, self.bucket[at], self.value[at])

    @classmethod
    def joined(cls, parts: list[Sparse]) -> Sparse:
        """Rows of several, one after the other."""
        sizes = np.concatenate([np.diff(part.offsets) for part in parts])
        bucket, value = (np.concatenate([getattr(part, name) for part in parts]) for name in ("bucket", "value"))
        return cls(_offsets(sizes), bucket, value)


@dataclass(frozen=True)
class PushInputs:
    """numbers: float32 [n, F], continuous columns first; flags, amounts: n rows each."""

    numbers: Floats
    flags: Sparse
    amounts: Sparse

    @classmethod
    def joined(cls, parts: list[PushInputs]) -> PushInputs:
        """Rows of several, one after the other."""
        return cls(
            np.concatenate([part.numbers for part in parts]),
            Sparse.joined([part.flags for part in parts]),
            Sparse.joined([part.amounts for part in parts]),
        )


def push_features() -> tuple[str, ...]:
    """All model features, and those about notifications."""
    return tuple(sorted({*model_features(), *_HISTORY}))


def push_inputs(batch: CandidateBatch, features: tuple[str, ...], sparse: tuple[str, ...], bits: int) -> PushInputs:
    """Of each candidate; features in this order, sparse kinds among SPARSE. Reads `original`, `original_author`."""
    numbers = matrix(batch, features)
    for place, name in enumerate(features):
        if FEATURES[name].unit == "h":
            numbers[:, place] = np.minimum(numbers[:, place], np.float32(NEVER_H))
    told = "word" in sparse or "topic" in sparse
    offsets, words = _words(batch) if told else (np.zeros(len(batch) + 1, np.int64), np.empty(0, np.int32))
    rows = np.arange(len(batch))
    flags = [(rows[:0], np.empty(0, np.int32))]  # (row, bucket)
    if "author" in sparse:
        flags.append((rows, buckets("author", batch["original_author"], bits)))
    if "language" in sparse:
        language = batch.requests.view.tweets["language"][batch["original"]]
        flags.append((rows, buckets("language", language, bits)))
    if "word" in sparse:
        flags.append((np.repeat(rows, np.diff(offsets)), buckets("word", words, bits)))
    row, bucket = (np.concatenate(parts) for parts in zip(*flags, strict=True))
    of, topic, count = _topics(batch, offsets, words) if "topic" in sparse else (rows[:0], rows[:0], np.empty(0))
    amounts = _by_row(len(batch), of, buckets("topic", topic, bits), count)
    return PushInputs(numbers, _by_row(len(batch), row, bucket, np.ones(row.size)), amounts)


def buckets(kind: str, ids: Array, bits: int) -> Ints:
    """int32 [n] in 0 … 2^bits - 1."""
    return (rng.hashed(0, f"sparse feature {kind}", ids) >> np.uint64(64 - bits)).astype(np.int32)


def _words(batch: CandidateBatch) -> tuple[Longs, Ints]:
    """(offsets int64 [n + 1], words): the words of each candidate's original tweet."""
    begins, words = batch.requests.view.words_of_tweet
    offsets, at = _gathered(begins, batch["original"])
    return offsets, words[at]


def _topics(batch: CandidateBatch, offsets: Longs, words: Ints) -> tuple[Longs, Longs, Array]:
    """(row, topic, number of words) of each topic of each candidate; none before topics are known."""
    view: PlatformView = batch.requests.view
    found = topics(view)
    row = np.repeat(np.arange(len(batch)), np.diff(offsets))
    if found is None or not found.count:
        return row[:0], row[:0], np.empty(0)
    topic = found.of_word[words]
    told: Bools = (topic >= 0) & known(batch)[row]
    pair, count = np.unique(row[told] * found.count + topic[told], return_counts=True)
    return pair // found.count, pair % found.count, count


def _by_row(rows: int, row: Array, bucket: Ints, value: Array) -> Sparse:
    """Entries in any order as rows; those of a row keep their order."""
    order = np.argsort(row, kind="stable")
    return Sparse(_offsets(np.bincount(row, minlength=rows)), bucket[order], value.astype(np.float32)[order])


def _gathered(begins: Longs, rows: Array) -> tuple[Longs, Longs]:
    """(offsets, places): where the entries of some rows stand among all; begins: the offsets of all rows."""
    sizes = begins[rows + 1] - begins[rows]
    offsets = _offsets(sizes)
    return offsets, np.repeat(begins[rows] - offsets[:-1], sizes) + np.arange(offsets[-1])


def _offsets(sizes: Array) -> Longs:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

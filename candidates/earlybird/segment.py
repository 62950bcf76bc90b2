"""A slot of time of the index: open while tweets of it are written, sealed for ever afterwards.

Ids ascend in time and are consecutive, so a segment needs no map from tweets to places: place = id − first. An open
segment links the tweets of an author backwards, as they come; sealing lays them out author by author, the newest first
(twitter/the-algorithm, src/java/com/twitter/search/README.md: one segment is written, the others are optimised).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from candidates.earlybird.kernels import ABOUT, TIME, TWEET, newest_first_by_author
from funnel.core.arrays import Array, Doubles, Ints
from funnel.core.errors import DataError

# What a search reads of a tweet: funnel.core.tables and, for replies and retweets, `candidates.earlybird.kernels`.
READ: dict[str, str] = {"author": "int32", "time_h": "float64", "rule": "int8", "reference": "int32"}
_NONE = np.empty(0, np.int32)


class Postings(NamedTuple):
    """Tweets as a search reads them, records float64 [n, 3]; see `candidates.earlybird.kernels.postings_of`."""

    linked: bool
    heads: Ints
    links: Ints
    records: Doubles


@dataclass(frozen=True)
class SealedSegment:
    """Tweets of a slot of time that nothing is added to any more.

    columns: name -> array [n] in the order of ids, those of READ and static features; postings: the same by author.
    """

    slot: int
    first: int
    columns: Mapping[str, Array]
    postings: Postings

    @classmethod
    def of(cls, slot: int, first: int, columns: Mapping[str, Array], user_count: int) -> SealedSegment:
        """Group the tweets first, first + 1, … of a slot by author."""
        offsets, place = newest_first_by_author(columns["author"], user_count)
        records = _records(columns, first)[place]
        return cls(slot, first, columns, Postings(False, offsets, _NONE, records))

    @property
    def size(self) -> int:
        """The number of tweets."""
        return int(self.columns["author"].size)

    def opened(self, user_count: int) -> OpenSegment:
        """The same tweets in a segment that takes more."""
        segment = OpenSegment(self.slot, self.first, user_count)
        segment.append(self.columns, user_count)
        return segment


@dataclass
class OpenSegment:
    """Tweets of the newest slot of time; takes more, in the order of time."""

    slot: int
    first: int
    user_count: int
    size: int = 0
    _columns: dict[str, Array] = field(default_factory=dict, repr=False)
    _heads: Ints = field(default_factory=lambda: _NONE, repr=False)
    _links: Ints = field(default_factory=lambda: _NONE, repr=False)
    _postings: Doubles = field(default_factory=lambda: np.empty((0, 3)), repr=False)

    def append(self, columns: Mapping[str, Array], user_count: int) -> None:
        """Add the next tweets; columns: as those of the ones before."""
        author = columns["author"]
        end = self.size + author.size
        if self._columns and columns.keys() != self._columns.keys():
            missing = sorted(self._columns.keys() ^ columns.keys())
            raise DataError("earlybird", f"tweets come with other columns than those before: {', '.join(missing)}")
        for name, values in columns.items():
            self._columns[name] = _with_room(self._columns.get(name, values[:0]), self.size, end)
            self._columns[name][self.size : end] = values
        self.user_count = max(self.user_count, user_count)
        if self._heads.size < self.user_count:
            none = np.full(self.user_count - self._heads.size, -1, np.int32)
            self._heads = np.concatenate([self._heads, none])
        self._links = _with_room(self._links, self.size, end)
        self._postings = _with_room(self._postings, self.size, end)
        self._postings[self.size : end] = _records(columns, self.first + self.size)
        # Tweets of one author stand together, in order of time: each links to the one before, the first to the head.
        order = np.argsort(author, kind="stable")
        by_author = author[order]
        begins = np.flatnonzero(np.append(True, by_author[1:] != by_author[:-1])) if order.size else order
        before = np.append(-1, order[:-1] + self.size)[: order.size]
        before[begins] = self._heads[by_author[begins]]
        self._links[self.size + order] = before
        ends = np.append(begins[1:], order.size) - 1
        self._heads[by_author[begins]] = (order[ends] if begins.size else order) + self.size
        self.size = end

    @property
    def columns(self) -> dict[str, Array]:
        """name -> array [n]: columns of the tweets so far."""
        return {name: values[: self.size] for name, values in self._columns.items()}

    @property
    def postings(self) -> Postings:
        """The tweets so far, as a search reads them."""
        return Postings(True, self._heads, self._links[: self.size], self._postings[: self.size])

    def sealed(self) -> SealedSegment:
        """The same tweets, author by author."""
        columns = {name: values.copy() for name, values in self.columns.items()}
        return SealedSegment.of(self.slot, self.first, columns, self.user_count)


Segment = SealedSegment | OpenSegment


def _records(columns: Mapping[str, Array], first: int) -> Doubles:
    """float64 [n, 3]: the tweets first, first + 1, …"""
    records = np.empty((columns["author"].size, 3))
    records[:, TIME] = columns["time_h"]
    records[:, TWEET] = np.arange(first, first + records.shape[0])
    records[:, ABOUT] = columns["reference"] * 4.0 + columns["rule"]
    return records


def _with_room(values: Array, used: int, wanted: int) -> Array:
    """The same array, twice as long if it has no room."""
    if wanted <= values.shape[0] and values.flags.writeable:
        return values
    larger = np.empty((max(wanted, 2 * used, 1024), *values.shape[1:]), values.dtype)
    larger[:used] = values[:used]
    return larger

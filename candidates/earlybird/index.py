"""The index: segments of time, the newest one open; the oldest goes as a whole when nothing in it can be asked for.

    index = EarlybirdIndex(user_count=1000, segment_h=6.0, keep_h=48.0)
    index.ingest(columns)                       # the next tweets, in order of time
    hits = index.collect(context)               # what the authors of each search wrote
    counts, tweet, score = hits.accepted(weight, rules)

Nothing written at or after `until_h` of a search can be in its answer, whatever the index has been fed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from candidates.earlybird.context import SearchContext
from candidates.earlybird.kernels import accepted, postings_of
from candidates.earlybird.segment import READ, OpenSegment, SealedSegment, Segment
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.errors import ContractError, DataError

SEGMENT_H = 6.0


@dataclass(frozen=True)
class HitRules:
    """What a search leaves out of its hits, newest first.

    per_author: hits of one author at most; in_a_row: of one author in a row; hits: of a search; retweets: of one tweet;
    extended: whether replies to accounts that the viewer does not follow are let in if they qualify; age_*: of
    base + (1 − base) / (1 + exp(slope * (minutes − middle))).
    """

    per_author: int
    in_a_row: int
    hits: int
    retweets: int
    extended: bool
    age_slope: float
    age_middle_min: float
    age_base: float


@dataclass(frozen=True)
class Hits:
    """Tweets that authors of the searches wrote in time, before any rule.

    rows: int64 [S, R + 1], those of each segment and search; asked int32 [m]: which of the context's authors; records:
    float64 [m, 3], the tweets; count: int32 [n], tweets of each of the context's authors.
    """

    context: SearchContext
    rows: Longs
    asked: Ints
    records: Doubles
    count: Ints

    def accepted(self, weight: Floats, rules: HitRules, free: Bools | None = None) -> tuple[Longs, Ints, Floats]:
        """(counts int64 [R], tweet int32 [k] newest first, score float32 [k] = weight * age decay) by the rules.

        weight: float32 [n] of each of the context's authors, 0 for those who are left out; free: bool [n], authors
        whose hits are not counted.
        """
        context = self.context
        limits = np.array([rules.per_author, rules.in_a_row, rules.hits, rules.retweets, rules.extended], np.int64)
        decay = np.array([rules.age_slope, rules.age_middle_min, rules.age_base])
        if free is None:
            free = np.zeros(weight.size, np.bool_)
        return accepted(
            self.rows, self.asked, self.records,
            context.offsets, context.author, weight, free, context.viewer, context.now_h,
            context.excluded_offsets, context.excluded, context.muted_offsets, context.muted, limits, decay,
        )  # fmt: skip


class EarlybirdIndex:
    """Tweets of the last hours by author, searched for many viewers at once."""

    def __init__(
        self,
        *,
        user_count: int,
        segment_h: float = SEGMENT_H,
        keep_h: float = 48.0,
        segments: Iterable[Segment] = (),
        complete_from_h: float = -np.inf,
    ) -> None:
        self.segment_h = segment_h
        self.keep_h = keep_h
        self.user_count = user_count
        self._segments: list[Segment] = list(segments)
        self._gone: set[int] = set()
        self.clock_h = -np.inf
        self.complete_from_h = complete_from_h  # tweets before it may be missing
        if self._segments:
            self.clock_h = float(self._segments[-1].columns["time_h"][-1])

    def __len__(self) -> int:
        return sum(segment.size for segment in self._segments)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """From the oldest to the newest."""
        return tuple(self._segments)

    @property
    def first(self) -> int:
        """The id of the oldest tweet."""
        return self._segments[0].first if self._segments else 0

    def ingest(self, columns: Mapping[str, Array], *, first: int | None = None) -> None:
        """Take up the next tweets: columns [n] of READ and static features, in order of time, ids without a gap.

        first: the id of the first of them; needed once, when the index is empty. Raises DataError if they are out of
        order or an id is missing.
        """
        time_h = columns["time_h"]
        if not time_h.size:
            return
        following = self._segments[-1].first + self._segments[-1].size if self._segments else first
        if following is None or (first is not None and first != following):
            raise DataError("earlybird", f"wants tweet {following} next, got {first}")
        if not np.isfinite(time_h).all() or time_h[0] < self.clock_h or bool((np.diff(time_h) < 0).any()):
            raise DataError("earlybird", f"wants tweets in order of time from {self.clock_h:g} h on")
        if set(READ) - set(columns):
            raise DataError("earlybird", f"tweets lack {', '.join(sorted(set(READ) - set(columns)))}")
        if int(columns["author"].min()) < 0:
            raise DataError("earlybird", "wants an author of every tweet")
        self.user_count = max(self.user_count, int(columns["author"].max()) + 1)
        slots = np.floor(time_h / self.segment_h).astype(np.int64)
        cuts = np.flatnonzero(np.append(True, np.diff(slots) != 0))
        for begin, end in zip(cuts, np.append(cuts[1:], slots.size), strict=True):
            part = {name: values[begin:end] for name, values in columns.items()}
            self._open(int(slots[begin]), following + int(begin)).append(part, self.user_count)
        self.advance(float(time_h[-1]))

    def advance(self, now_h: float) -> None:
        """Move the clock: drop segments of which everything is older than `keep_h`."""
        self.clock_h = max(self.clock_h, now_h)
        while self._segments and (self._segments[0].slot + 1) * self.segment_h <= self.clock_h - self.keep_h:
            self.complete_from_h = (self._segments.pop(0).slot + 1) * self.segment_h

    def drop_author(self, author: int) -> None:
        """Nobody finds anything of this account any more, whatever has been indexed or comes later."""
        self._gone.add(author)

    def column(self, name: str, tweet: Ints) -> Array:
        """[n]: a static feature of tweets of the index, or ContractError."""
        out: Array | None = None
        inside = np.zeros(tweet.size, np.bool_)
        for segment in self._segments:
            rows = np.flatnonzero((tweet >= segment.first) & (tweet < segment.first + segment.size))
            values = segment.columns[name]
            if out is None:
                out = np.zeros(tweet.size, values.dtype)
            out[rows] = values[tweet[rows] - segment.first]
            inside[rows] = True
        if not inside.all() or out is None:
            raise ContractError("earlybird", f"holds tweets {self.first} and on, not {tweet[~inside][:3].tolist()}")
        return out

    def collect(self, context: SearchContext) -> Hits:
        """What the authors of each search wrote in its time; ContractError if that has been dropped already."""
        if len(context) and float(context.since_h.min()) < self.complete_from_h:
            where = f"from {self.complete_from_h:g} h on, a search looks back to {float(context.since_h.min()):g} h"
            raise ContractError("earlybird", f"holds tweets {where} — keep more hours")
        author = context.author
        if self._gone:
            lost = np.isin(author, np.fromiter(self._gone, np.int32, len(self._gone)))
            author = np.where(lost, np.int32(np.iinfo(np.int32).max), author).astype(np.int32)
        parts = [
            postings_of(context.offsets, author, context.since_h, context.until_h, *segment.postings)
            for segment in self._within(context)
        ]
        shift = np.cumsum([0, *(part[1].size for part in parts)])[: len(parts), None]
        rows = np.array([part[0] for part in parts], np.int64).reshape(len(parts), len(context) + 1) + shift
        asked = np.concatenate([np.empty(0, np.int32), *(part[1] for part in parts)])
        records = np.concatenate([np.empty((0, 3)), *(part[2] for part in parts)])
        count = sum((part[3] for part in parts), np.zeros(author.size, np.int32))
        return Hits(context, rows, asked, records, count)

    def _within(self, context: SearchContext) -> Iterator[Segment]:
        """Segments in which a search can find something."""
        since, until = context.since_h.min(initial=np.inf), context.until_h.max(initial=-np.inf)
        for segment in self._segments:
            if (segment.slot + 1) * self.segment_h > since and segment.slot * self.segment_h < until:
                yield segment

    def _open(self, slot: int, first: int) -> OpenSegment:
        """The segment that takes tweets of a slot: the newest one, or a new one once that is sealed."""
        newest = self._segments[-1] if self._segments else None
        if newest is None or newest.slot != slot:
            if isinstance(newest, OpenSegment):
                self._segments[-1] = newest.sealed()
            self._segments.append(OpenSegment(slot, first, self.user_count))
        elif isinstance(newest, SealedSegment):
            self._segments[-1] = newest.opened(self.user_count)
        segment = self._segments[-1]
        assert isinstance(segment, OpenSegment)
        return segment

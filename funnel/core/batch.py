"""A micro-batch of requests and its candidates, as read-only columns.

Rows of one request stand together; `offsets[r]:offsets[r + 1]` are the rows of request r. A stage
that works row by row never looks at `offsets`; one that works on lists uses `funnel.core.segments`.

    >>> batch["age_h"]                    # a column, read-only
    >>> batch.with_columns(value=value)   # a new batch with one more column
    >>> batch.take(rows)                  # a new batch with some of the rows; a column is gathered when it is read
    >>> batch.settled()                   # the same batch, with all of its columns gathered
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from funnel.core import rng
from funnel.core.arrays import Array, Doubles, Ints, Longs, frozen
from funnel.core.errors import ContractError, nearest
from funnel.core.world import PlatformView


@dataclass(frozen=True)
class Requests:
    """R requests: one viewer at one moment each.

    viewer: int32 [R]; now_h: float64 [R], the only clock; seed: of every random draw; view: what
    the platform has observed, no later than the last of these moments.
    """

    viewer: Ints
    now_h: Doubles
    view: PlatformView
    seed: int = 0

    @classmethod
    def of(cls, viewers: ArrayLike, now_h: ArrayLike, view: PlatformView, *, seed: int = 0) -> Requests:
        """From anything that converts to arrays; one moment serves all viewers."""
        viewer = np.asarray(viewers, dtype=np.int32)
        moments = np.empty(viewer.shape)
        moments[...] = now_h
        if moments.size and float(moments.max()) > view.now_h:
            raise ContractError("Requests", f"asks at {moments.max()} h, after the view's own moment {view.now_h} h")
        return cls(frozen(viewer), frozen(moments), view, seed)

    def __len__(self) -> int:
        return int(self.viewer.size)

    def uniform(self, purpose: str) -> Doubles:
        """float64 [R] in [0, 1): one draw a request, the same whatever else is in the batch."""
        moment_ms = np.round(self.now_h * 3.6e6).astype(np.int64)
        return rng.uniform(self.seed, purpose, self.viewer, moment_ms)


class CandidateBatch:
    """R requests with n candidates in all; columns are NumPy arrays of length n, read-only."""

    def __init__(self, requests: Requests, offsets: Longs, columns: Mapping[str, Array]) -> None:
        self.requests = requests
        self.offsets: Longs = frozen(offsets)
        # None: to be gathered from the batch that these rows were taken of.
        self._columns: dict[str, Array | None] = {name: frozen(values) for name, values in columns.items()}
        self._taken: tuple[CandidateBatch, Longs] | None = None
        if offsets.size != len(requests) + 1 or (offsets.size and offsets[0] != 0):
            raise ContractError("batch", f"wants {len(requests) + 1} offsets that start at 0, got {offsets.size}")
        self._check(columns)

    @classmethod
    def of(cls, requests: Requests, counts: ArrayLike, **columns: Array) -> CandidateBatch:
        """From the number of candidates of each request, int [R], and columns grouped by request."""
        offsets = np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))]).astype(np.int64)
        return cls(requests, offsets, columns)

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def lacking(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the names that are no columns."""
        columns = self._columns
        return tuple([name for name in names if name not in columns])

    def __getitem__(self, name: str) -> Array:
        try:
            values = self._columns[name]
        except KeyError:
            raise ContractError(f"column {name!r}", f"not in this batch — {nearest(name, self._columns)}") from None
        if values is None:
            values = self._columns[name] = self._gathered(name)
        return values

    def __repr__(self) -> str:
        return f"CandidateBatch({len(self.requests)} requests, {len(self)} candidates, columns {', '.join(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._columns)

    @cached_property
    def counts(self) -> Longs:
        """int64 [R]: candidates of each request."""
        return frozen(self.offsets[1:] - self.offsets[:-1])

    @cached_property
    def request(self) -> Longs:
        """int64 [n]: the request of each row."""
        return frozen(np.arange(len(self.requests)).repeat(self.counts))

    @cached_property
    def viewer(self) -> Ints:
        """int32 [n]: the viewer of each row."""
        return self.per_request(self.requests.viewer)

    @cached_property
    def now_h(self) -> Doubles:
        """float64 [n]: the moment of each row's request."""
        return self.per_request(self.requests.now_h)

    def per_request(self, values: Array) -> Array:
        """[n]: a value per request, repeated for its rows."""
        return frozen(values.repeat(self.counts, axis=0))

    def with_columns(self, columns: Mapping[str, Array]) -> CandidateBatch:
        """The same rows with more (or replaced) columns."""
        self._check(columns)
        return self._same_rows({**self._columns, **{name: frozen(values) for name, values in columns.items()}})

    def sharing(self, columns: dict[str, Array | None]) -> CandidateBatch:
        """The same rows; its columns are `columns`, which first takes all there are, and whoever has it may add more.

        For hydration, which adds hundreds; what is added must be read-only and of this length.
        """
        columns.update(self._columns)
        return self._same_rows(columns)

    def only(self, names: tuple[str, ...]) -> CandidateBatch:
        """The same rows with some of the columns."""
        columns = self._columns
        for name in self.lacking(names):
            raise ContractError(f"column {name!r}", f"not in this batch — {nearest(name, columns)}")
        return self._same_rows({name: columns[name] for name in names})

    def take(self, rows: Array) -> CandidateBatch:
        """Some rows (int64, or bool [n]) in the order given, which must keep requests together and in order."""
        if rows.dtype == np.bool_:
            rows = rows.nonzero()[0]
        taken = CandidateBatch.__new__(CandidateBatch)
        taken.requests = self.requests
        if len(self.requests) == 1:  # all rows are its own
            offsets = np.array([0, rows.size])
        else:
            request = self.request[rows]
            if (request[1:] < request[:-1]).any():
                raise ContractError("batch.take", "rows must be grouped by request, in the order of the requests")
            offsets = np.zeros(len(self.requests) + 1, np.int64)
            np.cumsum(np.bincount(request, minlength=len(self.requests)), out=offsets[1:])
            taken.__dict__["request"] = frozen(request)
        taken.offsets = frozen(offsets)
        taken._columns = dict.fromkeys(self._columns)
        taken._taken = self, rows
        return taken

    def settled(self) -> CandidateBatch:
        """The same rows and columns, all of them gathered: holds on to no other batch."""
        for name, values in self._columns.items():
            if values is None:
                self._columns[name] = self._gathered(name)
        self._taken = None
        return self

    def _gathered(self, name: str) -> Array:
        """A column from the last batch that has it: each `take` since then is one step."""
        assert self._taken is not None
        batch, rows = self._taken
        while (values := batch._columns[name]) is None:
            assert batch._taken is not None
            batch, before = batch._taken
            rows = before[rows]
        return frozen(values[rows])

    def _check(self, columns: Mapping[str, Array]) -> None:
        for name, values in columns.items():
            if values.shape[:1] != (len(self),):
                raise ContractError(f"column {name!r}", f"wants {len(self)} rows, got shape {values.shape}")

    def _same_rows(self, columns: dict[str, Array | None]) -> CandidateBatch:
        """This batch with other columns that are known to fit; what was derived from its rows is kept."""
        batch = CandidateBatch.__new__(CandidateBatch)
        batch.__dict__.update(self.__dict__)
        batch._columns = columns
        return batch

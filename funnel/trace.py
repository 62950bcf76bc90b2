"""What a run leaves behind: pages, and for every candidate the stage that removed it and why."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, overload

import numpy as np

from funnel.core.arrays import Array, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError
from funnel.core.page import Placed
from funnel.core.stage import Source

if TYPE_CHECKING:
    import polars as pl

    from funnel.pipeline import Funnel

_LIGHT = ("light_score", "legacy_score", "distilled_score")
_TRACED = ("tweet", "author", *_LIGHT, "value", "score", "age_h", "in_network")
_TRACED_PREFIXES = ("from.", "source_score.", "p.", "boost.", "visibility.")


def is_traced(column: str) -> bool:
    """Whether a trace keeps a column of that name."""
    return column in _TRACED or column.startswith(_TRACED_PREFIXES)


@lru_cache(maxsize=512)
def traced(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the columns that a trace keeps."""
    return tuple(name for name in columns if is_traced(name))


@dataclass(frozen=True)
class StageCount:
    """How many candidates a stage saw and left, and how long it took, over the requests of a run."""

    stage: str
    kind: str
    n_in: int
    n_out: int
    wall_ms: float

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        return {
            "stage": self.stage,
            "kind": self.kind,
            "n_in": self.n_in,
            "n_out": self.n_out,
            "wall_ms": round(self.wall_ms, 3),
        }


@dataclass(frozen=True)
class BatchTrace:
    """The books of one micro-batch.

    retrieved: all candidates once (`tweet`, `from.<source>`), grouped by request; removed_by: int16, the place in
    `stages` of the stage that removed each, −1 if it is on the page; page: the rows shown, in order;
    snapshots: removed rows with the columns they had, by row number in `retrieved`; modules: what mixers put on each
    request's page.
    """

    requests: Requests
    retrieved: CandidateBatch
    removed_by: Array
    page: CandidateBatch
    snapshots: list[tuple[Longs, CandidateBatch]] = field(repr=False)
    stages: list[StageCount]
    warnings: list[str]
    modules: tuple[tuple[Placed, ...], ...] = ()


class Page(Sequence[dict[str, object]]):
    """One viewer's timeline: rows from the top, each a dictionary, and how it came about."""

    def __init__(self, pages: Pages, trace: BatchTrace, request: int) -> None:
        self._pages = pages
        self._trace = trace
        self._request = request
        self.viewer = int(trace.requests.viewer[request])
        self.at_h = float(trace.requests.now_h[request])

    @cached_property
    def rows(self) -> list[dict[str, object]]:
        """The tweets shown: rank, tweet, author, text, age, network, sources, scores, factors."""
        page = self._trace.page
        begin, end = int(page.offsets[self._request]), int(page.offsets[self._request + 1])
        rows = [_row(page, i) for i in range(begin, end)]
        world = self._pages.funnel.world
        tweets = np.asarray([row["tweet"] for row in rows], dtype=np.int64)
        handles = world.handles(np.asarray([row["author"] for row in rows], dtype=np.int64))
        for rank, (row, text, handle) in enumerate(zip(rows, world.texts(tweets), handles, strict=True), start=1):
            row |= {"rank": rank, "text": text, "handle": handle}
        return [{key: row[key] for key in sorted(row, key=_place)} for row in rows]

    @property
    def modules(self) -> list[dict[str, object]]:
        """What mixers put between the tweets: place (entries above), kind, text, ids of users and tweets."""
        placed = self._trace.modules[self._request] if self._trace.modules else ()
        return [
            {
                "place": known.place,
                "kind": known.module.kind,
                "text": known.module.text,
                "users": list(known.module.users),
                "tweets": list(known.module.tweets),
            }
            for known in placed
        ]

    @property
    def removed(self) -> dict[str, int]:
        """How many candidates each stage removed from this request."""
        return {name: count for name, count in self.stage_removals if count}

    @property
    def stage_removals(self) -> list[tuple[str, int]]:
        """(stage, candidates removed from this request) for every stage, in order."""
        retrieved = self._trace.retrieved
        begin, end = retrieved.offsets[self._request], retrieved.offsets[self._request + 1]
        counts = Counter(self._trace.removed_by[begin:end].tolist())
        return [(stage.stage, counts.get(place, 0)) for place, stage in enumerate(self._trace.stages)]

    @property
    def stages(self) -> list[StageCount]:
        """The stages of the micro-batch that this page was part of."""
        return self._trace.stages

    def find(self, tweet: int) -> dict[str, object] | None:
        """What is known about one candidate of this request: its columns and `removed_by`; None if never retrieved."""
        retrieved = self._trace.retrieved
        begin, end = int(retrieved.offsets[self._request]), int(retrieved.offsets[self._request + 1])
        place = begin + int(np.searchsorted(retrieved["tweet"][begin:end], tweet))
        if place >= end or int(retrieved["tweet"][place]) != tweet:
            return None
        removed_by = int(self._trace.removed_by[place])
        if removed_by < 0:
            return {"removed_by": None, **next(row for row in self.rows if row["tweet"] == tweet)}
        for rows, batch in self._trace.snapshots:
            at = np.flatnonzero(rows == place)
            if at.size:
                return {"removed_by": self._trace.stages[removed_by].stage, **_row(batch, int(at[0]))}
        return {"removed_by": self._trace.stages[removed_by].stage, "tweet": tweet}

    def as_json(self) -> dict[str, object]:
        """The page as plain data, in the layout of `funnel simulate --json`."""
        funnel = self._pages.funnel
        return {
            "viewer": self.viewer,
            "at": self.at_h,
            "world": funnel.world.name,
            "funnel": funnel.name,
            "seed": self._pages.seed,
            "stages": [stage.as_json() for stage in self.stages],
            "page": self.rows,
            "removed": self.removed,
            "modules": self.modules,
        }

    @overload
    def __getitem__(self, place: int) -> dict[str, object]: ...

    @overload
    def __getitem__(self, place: slice) -> list[dict[str, object]]: ...

    def __getitem__(self, place: int | slice) -> dict[str, object] | list[dict[str, object]]:
        return self.rows[place]

    def __len__(self) -> int:
        return int(self._trace.page.counts[self._request])

    def __repr__(self) -> str:
        return f"Page(viewer {self.viewer} at {self.at_h:g} h: {len(self)} tweets)"

    def _repr_html_(self) -> str:
        head = "<tr><th>#</th><th>author</th><th>text</th><th>age</th><th>sources</th><th>score</th></tr>"
        body = "".join(
            f"<tr><td>{row['rank']}</td><td>@{html.escape(str(row['handle']))}</td>"
            f"<td style='text-align:left'>{html.escape(str(row['text']))}</td><td>{row['age_h']:.1f} h</td>"
            f"<td>{html.escape(', '.join(row['sources']))}</td><td>{row['score']:.4f}</td></tr>"  # type: ignore[arg-type]
            for row in self.rows
        )
        return f"<p>Viewer {self.viewer} at {self.at_h:g} h</p><table>{head}{body}</table>"


class Pages(Sequence[Page]):
    """The pages of a run, in the order of the viewers asked for."""

    def __init__(self, funnel: Funnel, traces: Sequence[BatchTrace], *, seed: int) -> None:
        self.funnel = funnel
        self.seed = seed
        self.traces = list(traces)
        self._where = [(trace, r) for trace in self.traces for r in range(len(trace.requests))]

    @cached_property
    def stages(self) -> list[StageCount]:
        """Counts and times of each stage, summed over all requests."""
        total: dict[str, StageCount] = {}
        for trace in self.traces:
            for stage in trace.stages:
                seen = total.get(stage.stage, StageCount(stage.stage, stage.kind, 0, 0, 0.0))
                total[stage.stage] = StageCount(
                    stage.stage,
                    stage.kind,
                    seen.n_in + stage.n_in,
                    seen.n_out + stage.n_out,
                    seen.wall_ms + stage.wall_ms,
                )
        return list(total.values())

    @cached_property
    def warnings(self) -> list[str]:
        """What is allowed but surely not meant: stages that let nothing through, sources that were skipped."""
        found = sorted({text for trace in self.traces for text in trace.warnings})
        if not self._where:
            return found
        gated = {slot.name for slot in self.funnel.stages if isinstance(slot.part, Source) and slot.part.gated}
        for stage in self.stages:
            skipped = any(text.startswith(f"source {stage.stage!r} failed") for text in found)
            if stage.kind == "source" and stage.n_out == 0 and not skipped and stage.stage not in gated:
                found.append(f"source {stage.stage!r} found nothing for any of {len(self)} requests")
            elif stage.n_in > 0 and stage.n_out == 0 and not self.funnel.product.optional:
                found.append(f"stage {stage.stage!r} let nothing through: {stage.n_in} candidates in, none out")
        return found

    def frame(self) -> pl.DataFrame:
        """One row per tweet shown: viewer, at_h, rank, tweet and everything the stages said about it."""
        import polars as pl

        frames = []
        for trace in self.traces:
            page = trace.page
            rank = np.arange(len(page)) - np.repeat(page.offsets[:-1], page.counts) + 1
            head = {"viewer": page.viewer, "at_h": page.now_h, "rank": rank.astype(np.int32)}
            frames.append(pl.DataFrame(head | _columns(page)))
        return pl.concat(frames, how="diagonal") if frames else pl.DataFrame()

    def candidates(self) -> pl.DataFrame:
        """One row per candidate retrieved: viewer, tweet, `removed_by` (null if shown) and its last known columns."""
        import polars as pl

        frames = []
        for trace in self.traces:
            names = np.asarray([stage.stage for stage in trace.stages], dtype=object)
            shown = {"removed_by": pl.Series([None] * len(trace.page), dtype=pl.String)}
            frames.append(pl.DataFrame({"viewer": trace.page.viewer, **_columns(trace.page), **shown}))
            for rows, batch in trace.snapshots:
                by = pl.Series(names[trace.removed_by[rows]].tolist(), dtype=pl.String)
                frames.append(pl.DataFrame({"viewer": batch.viewer, **_columns(batch), "removed_by": by}))
        return pl.concat(frames, how="diagonal") if frames else pl.DataFrame()

    @overload
    def __getitem__(self, place: int) -> Page: ...

    @overload
    def __getitem__(self, place: slice) -> list[Page]: ...

    def __getitem__(self, place: int | slice) -> Page | list[Page]:
        if isinstance(place, slice):
            return [Page(self, trace, request) for trace, request in self._where[place]]
        trace, request = self._where[place]
        return Page(self, trace, request)

    def __iter__(self) -> Iterator[Page]:
        return (Page(self, trace, request) for trace, request in self._where)

    def __len__(self) -> int:
        return len(self._where)

    def of(self, viewer: int) -> Page:
        """The page of one viewer."""
        for page in self:
            if page.viewer == viewer:
                return page
        raise ConfigError("viewer", f"{viewer} is not part of this run")

    def __repr__(self) -> str:
        return f"Pages({len(self)} of funnel {self.funnel.name!r} on world {self.funnel.world.name!r})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left'>{html.escape(s.stage)}</td><td>{s.kind}</td><td>{s.n_in}</td>"
            f"<td>{s.n_out}</td><td>{s.wall_ms:.1f}</td></tr>"
            for s in self.stages
        )
        head = "<tr><th>stage</th><th>kind</th><th>in</th><th>out</th><th>ms</th></tr>"
        pages = "".join(page._repr_html_() for page in self[:3])
        return f"<p>{html.escape(repr(self))}</p><table>{head}{rows}</table>{pages}"


def _columns(batch: CandidateBatch) -> dict[str, Array]:
    """The columns that a trace keeps, `tweet` and `author` first."""
    traced = sorted(name for name in batch.names if is_traced(name) and name not in ("tweet", "author"))
    return {name: batch[name] for name in ("tweet", "author", *traced)}


def _row(batch: CandidateBatch, i: int) -> dict[str, object]:
    """One candidate as plain data; what no stage has said yet is left out."""
    row: dict[str, object] = {"tweet": int(batch["tweet"][i]), "author": int(batch["author"][i])}
    for name in ("age_h", *_LIGHT, "value", "score"):
        if name in batch:
            row[name] = float(batch[name][i])
    if "in_network" in batch:
        row["in_network"] = bool(batch["in_network"][i])
    row["sources"] = [name[5:] for name in batch.names if name.startswith("from.") and bool(batch[name][i])]
    row["source_scores"] = {name: float(batch[f"source_score.{name}"][i]) for name in row["sources"]}  # type: ignore[attr-defined]
    row["p"] = {name[2:]: float(batch[name][i]) for name in batch.names if name.startswith("p.")}
    row["boosts"] = {name[6:]: float(batch[name][i]) for name in batch.names if name.startswith("boost.")}
    return row


_ORDER = (
    "rank", "tweet", "author", "handle", "text", "age_h", "in_network", "sources", "source_scores", *_LIGHT, "p",
    "value", "boosts", "score",
)  # fmt: skip


def _place(key: str) -> int:
    return _ORDER.index(key)

"""What one funnel did for a list of requests, small enough to keep: what was shown, and how many came how far.

    >>> outcome = collect(funnel, viewers, scene=Scene(world))     # doctest: +SKIP
    >>> outcome.page["tweet"]                                      # doctest: +SKIP

The funnel runs in micro-batches; candidates are looked at while they are in memory and then forgotten, so that memory
grows with what is shown and not with what was retrieved. In a world with a truth each shown tweet has the probability
of every action at its place (`expected.<action>`), one draw of it (`did.<action>`) and `satisfaction`. The draws are
hashes of (seed, viewer, tweet, moment, action): two outcomes with one seed have common random numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, DataError
from funnel.core.products import TIMELINE
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import Mixer, Source
from funnel.core.world import PlatformView
from funnel.features import hydrate
from funnel.metrics.scene import Scene
from funnel.pipeline import MERGE, MICRO_BATCH
from funnel.store import load_arrays, save_arrays

if TYPE_CHECKING:
    from funnel.pipeline import Funnel
    from funnel.trace import BatchTrace

SIZE = "size"  # the runner's own cut to the size asked for
SHOWN, NEVER = -1, -2  # fates: on the page; never retrieved
FORMAT = 1
_COLUMNS = ("tweet", "author", "in_network", "age_h", "light_score", "value", "score")
_SAME = ("product", "world", "world_hash", "seed", "at_h")

# Looks at one micro-batch and returns arrays [R, …] by name, which stand in `Outcome.per_viewer`.
Look = Callable[["BatchTrace", Scene], Mapping[str, Array]]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Pages and counts of R requests.

    about: funnel, funnel_hash, product, world, world_hash, seed, at_h, size. viewers: int32 [R]; offsets: int64 [R + 1]
    into the columns of `page` [n], rows in the order of the page. stages: (name, kind) of S stages in order; sources:
    K names.
    per_viewer: `retrieved` int32 [R], `found` int32 [R, K], `removed` int32 [R, S], `removed_from` int32 [R, S, K],
    `modules` int32 [R], and what was asked for besides. wall_ms: float64 [S], summed over all requests.
    """

    about: Mapping[str, Any]
    viewers: Ints
    offsets: Longs
    page: Mapping[str, Array]
    stages: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]
    per_viewer: Mapping[str, Array]
    wall_ms: Doubles

    def __len__(self) -> int:
        return int(self.viewers.size)

    @cached_property
    def counts(self) -> Longs:
        """int64 [R]: tweets on each page."""
        return np.diff(self.offsets)

    @cached_property
    def request(self) -> Longs:
        """int64 [n]: the request of each shown tweet."""
        return np.repeat(np.arange(len(self)), self.counts)

    @cached_property
    def place(self) -> Longs:
        """int64 [n]: 0 for the top of each page."""
        return np.arange(int(self.offsets[-1])) - np.repeat(self.offsets[:-1], self.counts)

    @property
    def has_truth(self) -> bool:
        """Whether it is known what the viewers would do."""
        return "satisfaction" in self.page

    @property
    def name(self) -> str:
        """The funnel's name."""
        return str(self.about["funnel"])

    def total(self, values: Array) -> Doubles:
        """float64 [R]: sums of values [n] over each page; 0 for an empty one."""
        summed = np.bincount(self.request, weights=values.astype(np.float64), minlength=len(self))
        return summed.astype(np.float64)

    def mean(self, values: Array) -> Doubles:
        """float64 [R]: means of values [n] over each page; NaN for an empty one."""
        with np.errstate(invalid="ignore"):
            return np.where(self.counts > 0, self.total(values) / self.counts, np.nan)

    def first(self, key: Array) -> Bools:
        """bool [n]: whether no tweet above it on the page has the same key [n]."""
        order = np.lexsort((self.place, key, self.request))
        ordered, request = key[order], self.request[order]
        first = np.ones(order.size, np.bool_)
        first[order[1:]] = (ordered[1:] != ordered[:-1]) | (request[1:] != request[:-1])
        return first

    def of_viewers(self, rows: Longs) -> Outcome:
        """The requests in some rows, int64, in that order; the wall clock is left out."""
        counts = self.counts[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        chosen = np.repeat(self.offsets[:-1][rows] - offsets[:-1], counts) + np.arange(int(offsets[-1]))
        page = {name: values[chosen] for name, values in self.page.items()}
        per_viewer = {name: values[rows] for name, values in self.per_viewer.items()}
        return replace(
            self, viewers=self.viewers[rows], offsets=offsets, page=page, per_viewer=per_viewer,
            wall_ms=np.full(len(self.stages), np.nan),
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Keep it in one file of arrays."""
        arrays: dict[str, Array] = {"viewers": self.viewers, "offsets": self.offsets, "wall_ms": self.wall_ms}
        arrays |= {f"page/{name}": values for name, values in self.page.items()}
        arrays |= {f"viewer/{name}": values for name, values in self.per_viewer.items()}
        about = {"about": self.about, "stages": self.stages, "sources": self.sources, "format": FORMAT}
        save_arrays(path, arrays, {"outcome": json.dumps(about)})

    @classmethod
    def load(cls, path: Path) -> Outcome:
        """What `save` kept; DataError if it is damaged, something else, or of a newer version."""
        arrays, metadata = load_arrays(path)
        if "outcome" not in metadata:
            raise DataError(str(path), "is no outcome of a funnel")
        about = json.loads(metadata["outcome"])
        if about["format"] > FORMAT:
            raise DataError(str(path), f"was written by a newer version (format {about['format']}, known: {FORMAT})")

        def part(mark: str) -> dict[str, Array]:
            return {name[len(mark) :]: values for name, values in arrays.items() if name.startswith(mark)}

        stages = tuple((str(name), str(kind)) for name, kind in about["stages"])
        return cls(
            about["about"], arrays["viewers"], arrays["offsets"], part("page/"), stages, tuple(about["sources"]),
            part("viewer/"), arrays["wall_ms"],
        )  # fmt: skip


def collect(
    funnel: Funnel,
    viewers: Ints,
    *,
    scene: Scene,
    seed: int = 0,
    size: int | None = None,
    looks: Iterable[Look] = (),
    view: PlatformView | None = None,
    known_as: str | None = None,
    micro_batch: int = MICRO_BATCH,
    progress: Progress = SILENT,
) -> Outcome:
    """Run a funnel for some viewers at the scene's moment.

    size: tweets on a page, if not what the last selector says. looks: functions that see each micro-batch with all its
    candidates. view: of the same moment with the funnel's assets, to share what sources derive from it. known_as: the
    hash of the configuration, if not the funnel's own.
    """
    funnel.ensure_trained(progress=progress)
    if funnel.world.hash != scene.world.hash:
        raise ConfigError(f"funnel {funnel.name!r}", f"is on world {funnel.world.name!r}, not {scene.world.name!r}")
    if funnel.product is not scene.product:
        what = f"makes {funnel.product.pages} ({funnel.product.name}), not {scene.product.pages}"
        raise ConfigError(f"funnel {funnel.name!r}", f"{what} — funnels of one product can be compared")
    view = view if view is not None else funnel.world.view(scene.at_h, assets=funnel.assets_at(scene.at_h))
    stages = stage_list(funnel)
    sources = tuple(name for name, kind in stages if kind == "source")
    looking = tuple(looks)
    parts: list[tuple[dict[str, Array], dict[str, Array]]] = []
    wall_ms = np.zeros(len(stages))
    with progress.bar(funnel.name, viewers.size) as bar:
        for begin in range(0, max(viewers.size, 1), micro_batch):
            requests = Requests.of(viewers[begin : begin + micro_batch], scene.at_h, view, seed=seed)
            trace = funnel.run_batch(requests, size=size, detail=bool(looking))
            counted = _counted(trace, stages, sources)
            for look in looking:
                counted |= look(trace, scene)
            parts.append((_shown(trace.page, scene, seed), counted))
            places = {name: place for place, (name, _) in enumerate(stages)}
            for stage in trace.stages:
                wall_ms[places[stage.stage]] += stage.wall_ms
            bar.advance(len(requests))
    page = {name: np.concatenate([shown[name] for shown, _ in parts]) for name in parts[0][0]}
    per_viewer = {name: np.concatenate([counted[name] for _, counted in parts]) for name in parts[0][1]}
    offsets = np.concatenate([[0], np.cumsum(per_viewer.pop("shown"))]).astype(np.int64)
    about = {
        "funnel": funnel.name, "funnel_hash": funnel.hash if known_as is None else known_as,
        "product": funnel.product.name, "world": funnel.world.name, "world_hash": funnel.world.hash, "seed": seed,
        "at_h": scene.at_h, "size": size,
    }  # fmt: skip
    return Outcome(about, viewers.astype(np.int32), offsets, page, stages, sources, per_viewer, wall_ms)


def joined(parts: list[Outcome]) -> Outcome:
    """Outcomes of one funnel for several lists of viewers as one."""
    first = parts[0]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.counts for part in parts]))]).astype(np.int64)
    return replace(
        first,
        viewers=np.concatenate([part.viewers for part in parts]),
        offsets=offsets,
        page={name: np.concatenate([part.page[name] for part in parts]) for name in first.page},
        per_viewer={name: np.concatenate([part.per_viewer[name] for part in parts]) for name in first.per_viewer},
        wall_ms=np.sum([part.wall_ms for part in parts], axis=0),
    )


def redrawn(outcome: Outcome, scene: Scene, seed: int) -> Outcome:
    """The same pages with another draw of what the viewers do."""
    oracle = scene.oracle
    if oracle is None:
        raise ConfigError(f"world {scene.world.name!r}", "has no truth, so nobody knows what its people would do")
    viewer, place = outcome.viewers[outcome.request], outcome.place.astype(np.int32)
    did = oracle.react(viewer, outcome.page["tweet"], place, np.full(place.size, scene.at_h), seed=seed)
    drawn = _columns("did", did, scene)
    return replace(outcome, about={**outcome.about, "seed": seed}, page={**outcome.page, **drawn})


def check_comparable(a: Outcome, b: Outcome) -> None:
    """ConfigError unless both are of the same requests: world, seed, moment and viewers."""
    for key in _SAME:
        one, other = (side.about.get(key, TIMELINE.name) if key == "product" else side.about[key] for side in (a, b))
        if one != other:
            what = f"{a.name!r} has {key} {one!r}, {b.name!r} has {other!r}"
            raise ConfigError("compare", f"{what} — only outcomes of the same requests can be compared")
    if not np.array_equal(a.viewers, b.viewers):
        raise ConfigError("compare", f"{a.name!r} and {b.name!r} are about other viewers — ask for the same ones")
    if not len(a):
        raise ConfigError("compare", "there is no request to compare — ask for at least one viewer")


def stage_list(funnel: Funnel) -> tuple[tuple[str, str], ...]:
    """(name, kind) of everything that a trace can count, in order: the slots, the merge and the cut to size."""
    sources = [(slot.name, slot.part.kind) for slot in funnel.stages if isinstance(slot.part, Source)]
    mixers = [(slot.name, slot.part.kind) for slot in funnel.stages if isinstance(slot.part, Mixer)]
    known = {*sources, *mixers}
    ranking = [(slot.name, slot.part.kind) for slot in funnel.stages if (slot.name, slot.part.kind) not in known]
    return (*sources, (MERGE, "merge"), *ranking, (SIZE, "selector"), *mixers)


def _counted(trace: BatchTrace, stages: tuple[tuple[str, str], ...], sources: tuple[str, ...]) -> dict[str, Array]:
    """How many were retrieved, and how many each stage removed, by request and source."""
    requests, all_stages = len(trace.requests), len(stages)
    removed_by = places_of(trace, stages)
    gone = removed_by >= 0
    cell = trace.retrieved.request * all_stages + np.maximum(removed_by, 0)
    shape = (requests, all_stages)
    counts = np.bincount(cell[gone], minlength=requests * all_stages).reshape(shape)
    found = np.zeros((requests, len(sources)), np.int32)
    from_source = np.zeros((*shape, len(sources)), np.int32)
    for number, name in enumerate(sources):
        mine = trace.retrieved[f"from.{name}"]
        found[:, number] = np.bincount(trace.retrieved.request[mine], minlength=requests)
        from_source[..., number] = np.bincount(cell[gone & mine], minlength=requests * all_stages).reshape(shape)
    modules = np.array([len(placed) for placed in trace.modules], np.int32)
    return {
        "shown": trace.page.counts,
        "retrieved": trace.retrieved.counts.astype(np.int32),
        "found": found,
        "removed": counts.astype(np.int32),
        "removed_from": from_source,
        "modules": modules if modules.size else np.zeros(requests, np.int32),
    }


def places_of(trace: BatchTrace, stages: tuple[tuple[str, str], ...]) -> Longs:
    """int64 [n]: for each retrieved row the place in `stages` of what removed it; SHOWN if nothing did."""
    known = {name: place for place, (name, _) in enumerate(stages)}
    place = np.array([*(known[stage.stage] for stage in trace.stages), SHOWN])  # −1 takes the last entry
    return place[trace.removed_by.astype(np.int64)]


def _shown(page: CandidateBatch, scene: Scene, seed: int) -> dict[str, Array]:
    """Columns of the tweets on the pages, with the truth where there is one."""
    page = hydrate(page, ("in_network", "age_h"))
    kept = [name for name in page.names if name in _COLUMNS or name.startswith(("p.", "from."))]
    columns = {name: page[name] for name in kept}
    oracle = scene.oracle
    if oracle is None:
        return columns
    viewer, tweet = page.viewer.astype(np.int32, copy=False), page["tweet"]
    place = (np.arange(len(page)) - np.repeat(page.offsets[:-1], page.counts)).astype(np.int32)
    expected = oracle.probabilities(viewer, tweet, place, page.now_h)
    did = oracle.react(viewer, tweet, place, page.now_h, seed=seed)
    columns |= {**_columns("expected", expected, scene), **_columns("did", did, scene)}
    return columns | {"satisfaction": oracle.satisfaction(viewer, tweet, now_h=page.now_h)}


def _columns(what: str, rows: Array, scene: Scene) -> dict[str, Array]:
    """Columns `<what>.<action>` of rows [n, A]."""
    names = scene.product.action_names
    return {f"{what}.{name}": np.ascontiguousarray(rows[:, code]) for code, name in enumerate(names)}

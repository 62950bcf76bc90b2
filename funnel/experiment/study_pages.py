"""Studies of one moment: the same viewers get a page at every level, and stages that cells share work once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import erfc, sqrt
from pathlib import Path

import numpy as np

from funnel import __version__
from funnel.compose import Slot, settings_of
from funnel.core import rng
from funnel.core.arrays import Array, Doubles, Ints, Longs
from funnel.core.errors import ConfigError, DataError
from funnel.core.progress import Bar
from funnel.core.stage import Learned, Taught
from funnel.core.world import PlatformView
from funnel.experiment.ablate import means
from funnel.experiment.folder import slug
from funnel.experiment.memory import remembering
from funnel.experiment.statistics import RESAMPLES, Effect, Resamples, effects
from funnel.experiment.study import Cell
from funnel.experiment.study_work import Findings, Row, Work, all_corrected, short
from funnel.experiment.variants import with_stages
from funnel.metrics import Judge, Measures, Outcome, Reference, Scene, collect, declared, measure
from funnel.metrics.evaluate import later_lists
from funnel.pipeline import Funnel
from funnel.simulate import _learnt_hash as learnt_hash
from funnel.store import digest
from funnel.world import World

_ON_CANDIDATES = {"best", "later", "candidates"}


class Pages(Work):
    """Pages at one moment, for the same viewers in every cell."""

    def findings(self) -> Findings:
        """Run the cells, then compare."""
        if self.study.seeds > 1:
            raise ConfigError("--seeds", "is for studies of `days`: pages at one moment pair viewer by viewer")
        self.scenes: dict[str, Scene] = {}
        self.judges: dict[str, Judge] = {}
        self.kitchen = Kitchen()
        cells = self.study.cells
        world = self.world(cells[0], self.seed)
        self.product = self.funnel(cells[0], world).product
        first = self._scene(world)
        rows_of = groups_of(first, self.study.groups, self.study.viewers, self.seed)
        self.viewers = np.unique(np.concatenate(list(rows_of.values()))).astype(np.int32)
        with self.progress.bar(self.study.name, len(cells)) as bar:
            outcomes = {cell: self._cell(cell, bar) for cell in cells}
        wanted = dict.fromkeys(declared(name).name for name in self.study.metrics)
        measured: dict[tuple[Cell, str], Measures] = {}
        for cell, (outcome, scene) in outcomes.items():
            for group, members in rows_of.items():
                part = outcome.of_viewers(np.searchsorted(self.viewers, members).astype(np.int64))
                measured[cell, group] = measure(part, scene, wanted)
        return Findings(
            study=self.study.name,
            quick=self.quick,
            world=first.world.name,
            world_hash=first.world.hash,
            counts=first.world.counts,
            at_h=first.at_h,
            viewers={group: int(members.size) for group, members in rows_of.items()},
            seeds=1,
            days=None,
            levels=self._levels(measured),
            rows=self._rows(cells, measured, rows_of),
            notes=self._missing(measured),
        )

    def _scene(self, world: World) -> Scene:
        return self.scenes.setdefault(world.hash, Scene(world, product=self.product))

    def _cell(self, cell: Cell, bar: Bar) -> tuple[Outcome, Scene]:
        world = self.world(cell, self.seed)
        scene = self._scene(world)
        if not _same_people(world, next(iter(self.scenes.values())).world):
            raise ConfigError(f"level {cell.name!r}", "has a world of other people — viewers could not be paired")
        funnel = self.funnel(cell, scene.world)
        funnel.ensure_trained(seed=self.seed, progress=self.progress)
        key = digest(
            [
                [funnel.hash, learnt_hash(funnel, scene.at_h), scene.world.hash, scene.at_h, __version__],
                [self.seed, self._viewers_hash(), sorted(self._needs())],
            ]
        )[:12]
        file = self.folder / "cells" / f"{slug(cell.name)}-{key}.safetensors"
        outcome = _kept(file)
        if outcome is None:
            judge = self._judge(scene)
            shared, view = self.kitchen.shared(funnel, scene.at_h)
            outcome = collect(
                shared, self.viewers, scene=scene, seed=self.seed, view=view, known_as=funnel.hash,
                looks=judge.looks(shared) if _ON_CANDIDATES & self._needs() else (), progress=self.progress,
            )  # fmt: skip
            if "chronological" in self._needs():
                outcome = judge.with_chronological(outcome)
            outcome.save(file)
        bar.advance()
        return outcome, scene

    def _needs(self) -> set[str]:
        return {need for name in self.study.metrics for need in declared(name).needs}

    def _judge(self, scene: Scene) -> Judge:
        """References cost more than a cell: only where a metric asks for them."""
        if scene.world.hash not in self.judges:
            nothing = Outcome({}, self.viewers, np.zeros(1, np.int64), {}, (), (), {}, np.zeros(0))
            reference = Reference(nothing, nothing, None, None)
            if {"best", "candidates", "chronological"} & self._needs():
                place = digest([scene.world.hash, scene.at_h, self.seed, self._viewers_hash()])
                where = self.folder / "references" / place
                places = scene.product.page_size
                reference = Reference.kept(
                    where, scene, self.viewers, size=places, seed=self.seed, progress=self.progress
                )
            later = later_lists(scene, self.viewers)
            self.judges[scene.world.hash] = Judge(scene, self.viewers, reference, later, self.seed)
        return self.judges[scene.world.hash]

    def _viewers_hash(self) -> str:
        return hashlib.sha256(self.viewers.tobytes()).hexdigest()[:16]

    def _levels(self, measured: Mapping[tuple[Cell, str], Measures]) -> list[dict[str, object]]:
        found = []
        for (cell, group), known in measured.items():
            values = means(known)
            row: dict[str, object] = {"group": group, "context": list(cell.context), "level": cell.levels[0].name}
            row["metrics"] = {name: short(values[name]) for name in self.study.metrics if name in values}
            found.append(row)
        return found

    def _rows(
        self, cells: Sequence[Cell], measured: Mapping[tuple[Cell, str], Measures], rows_of: Mapping[str, Ints]
    ) -> list[Row]:
        """All comparisons; Holm's correction over every one of them."""
        found: list[Row] = []
        draws = {
            group: Resamples.of(members.size, count=RESAMPLES, seed=self.seed) for group, members in rows_of.items()
        }
        for group in rows_of:
            for cell in cells:
                base = self.base_of(cell, cells)
                if cell is not base:
                    known = effects(
                        measured[base, group], measured[cell, group], draws[group], metrics=self.study.metrics
                    )
                    found += [Row("level", group, cell.context, cell.levels[0].name, one) for one in known]
        first, *others = rows_of
        for group in others:
            for cell in cells:
                pair = (measured[cell, first], measured[cell, group])
                known = [
                    between(name, pair[0].viewers[name], pair[1].viewers[name], seed=self.seed)
                    for name in self.study.metrics
                    if name in pair[0].viewers and name in pair[1].viewers
                ]
                found += [Row("groups", group, cell.context, cell.levels[0].name, one) for one in known]
        return all_corrected(found)

    def _missing(self, measured: Mapping[tuple[Cell, str], Measures]) -> list[str]:
        known = {
            name for one in measured.values() for name in (*one.viewers, *one.statistics, *one.numbers)
        }  # fmt: skip
        return [f"{name} cannot be measured here" for name in self.study.metrics if name not in known]


class Kitchen:
    """What cells share: the view of a moment, lists of sources, scores of rankers; of one world and one set of jobs."""

    def __init__(self) -> None:
        self._of = ""
        self._view: PlatformView | None = None
        self._parts: dict[str, object] = {}

    def shared(self, funnel: Funnel, at_h: float) -> tuple[Funnel, PlatformView]:
        """The funnel with stages that remember, and the view that they remember for."""
        jobs = digest([funnel.world.hash, at_h, funnel.learnt_seed, [slot.describe() for slot in funnel.jobs]])
        if jobs != self._of or self._view is None:
            self._of, self._parts = jobs, {}
            self._view = funnel.world.view(at_h, assets=funnel.assets_at(at_h))
        stages = []
        for slot, lasting in zip(funnel.stages, remembering(funnel.stages), strict=True):
            if slot.part is lasting.part:
                stages.append(slot)
            else:
                known = self._parts.setdefault(_stage_key(slot), lasting.part)
                stages.append(replace(lasting, part=known))  # type: ignore[arg-type]  # a part that was a slot's
        return with_stages(funnel, stages, funnel.name), self._view


def _same_people(a: World, b: World) -> bool:
    """Whether two worlds have the same accounts and end at the same moment."""
    users = [world.tables.table("users") for world in (a, b)]
    same = all(np.array_equal(users[0][name], users[1][name]) for name in ("created_h", "language", "verified"))
    return same and a.meta.end_h == b.meta.end_h


def _stage_key(slot: Slot) -> str:
    """Equal for stages that say the same of the same row."""
    learnt: dict[str, Array] = slot.part.state() if isinstance(slot.part, Learned | Taught) else {}
    running = hashlib.sha256()
    for name in sorted(learnt):
        running.update(name.encode() + learnt[name].tobytes())
    return digest([slot.use, settings_of(slot.part), running.hexdigest()])


def between(name: str, a: Doubles, b: Doubles, *, seed: int) -> Effect:
    """The difference of means of two groups of viewers, who are other people: each group is resampled by itself."""
    one, other = a[~np.isnan(a)], b[~np.isnan(b)]
    if min(one.size, other.size) < 2:
        nan = float("nan")
        return Effect(name, nan, nan, nan, nan, nan, nan, nan, nan, 0, nan, "")
    draws = [
        Resamples.of(values.size, count=RESAMPLES, seed=rng.key(seed, f"group {side}") % 2**31).weights @ values
        / values.size
        for side, values in enumerate((one, other))
    ]  # fmt: skip
    spread = draws[1] - draws[0]
    low, high = (float(q) for q in np.quantile(spread, (0.025, 0.975)))
    difference = float(other.mean() - one.mean())
    error = float(spread.std())
    p = erfc(abs(difference) / error / sqrt(2)) if error > 0 else float(difference == 0)
    sd = float(one.std(ddof=1))
    size = difference / sd if sd > 0 else float("nan")
    mean_a, mean_b = float(one.mean()), float(other.mean())
    count = int(min(one.size, other.size))
    return Effect(name, mean_a, mean_b, difference, low, high, p, p, size, count, float("nan"), "")


def groups_of(scene: Scene, names: Sequence[str], count: int, seed: int) -> dict[str, Ints]:
    """int32 [R] by group, ascending: a sample of those who belong to it before the moment.

    active: more impressions than the median viewer; dormant: the fifth with fewest; producers: the tenth who wrote
    most; consumers: who wrote no more than the median. A smaller sample is part of a larger one.
    """
    everybody = np.arange(scene.world.meta.viewer_count, dtype=np.int32)
    view = scene.world.view(scene.at_h)
    seen = np.bincount(view.impressions["viewer"], minlength=everybody.size)[: everybody.size]
    wrote = np.bincount(view.tweets["author"], minlength=everybody.size)[: everybody.size]
    members = {
        "all": np.ones(everybody.size, np.bool_),
        "active": seen > np.median(seen),
        "dormant": seen <= np.quantile(seen, 0.2),
        "producers": wrote > np.quantile(wrote, 0.9),
        "consumers": wrote <= np.median(wrote),
    }
    luck: Longs = np.argsort(rng.hashed(seed, "sample of viewers", everybody), kind="stable")
    found = {}
    for name in names:
        chosen = luck[members[name][luck]][:count]
        if not chosen.size:
            raise ConfigError(f"group {name!r}", f"has nobody in world {scene.world.name!r}")
        found[name] = np.sort(everybody[chosen])
    return found


def _kept(file: Path) -> Outcome | None:
    """An outcome that is there; None if it is not or is damaged. DataError if a newer version wrote it."""
    if not file.exists():
        return None
    try:
        return Outcome.load(file)
    except DataError as error:
        if "newer version" in error.what:
            raise
        return None

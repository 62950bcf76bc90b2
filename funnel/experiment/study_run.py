"""Runs a study: every cell once, kept in a folder, and then held against the base of its factor.

    FOLDER/manifest.json                       which study this is
    FOLDER/cells/<cell>-<key>.safetensors      the `Outcome` of a cell; the key names everything that it depends on
    FOLDER/loops/<cell>-<key>/                 a world lived through (`funnel.loop`), which goes on after its last day
    FOLDER/references/<key>/                   chronological pages, pages by lot and the best pages of the viewers

A cell that is there is not computed again, so that an interrupted study goes on and a study with one more level costs
one more level. Cells of one world whose batch jobs are alike share what sources retrieve and rankers score
(`funnel.experiment.memory`).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from math import isfinite
from pathlib import Path

import numpy as np
import yaml

from funnel import __version__
from funnel.compose import Slot, load_funnel, settings_of
from funnel.core import rng
from funnel.core.arrays import Array, Doubles, Ints, Longs
from funnel.core.errors import ConfigError, DataError, FunnelWarning
from funnel.core.progress import SILENT, Bar, Progress
from funnel.core.stage import Learned, Taught
from funnel.core.world import PlatformView
from funnel.experiment.ablate import means, with_stages
from funnel.experiment.folder import claim, slug
from funnel.experiment.lived import later_half
from funnel.experiment.memory import remembering
from funnel.experiment.statistics import Effect, Resamples, corrected, effects, over_worlds
from funnel.experiment.study import Cell, Study
from funnel.features import model_features
from funnel.loop import loop_to
from funnel.metrics import Judge, Measures, Outcome, Reference, Scene, collect, declared, measure
from funnel.metrics.evaluate import PAGE, later_lists
from funnel.pipeline import Funnel
from funnel.simulate import _learnt_hash as learnt_hash
from funnel.store import digest, home, read_yaml, write_atomically
from funnel.world import World
from funnel.world_cache import configured

_ON_CANDIDATES = {"best", "later", "candidates"}
_RESAMPLES = 2_000


@dataclass(frozen=True)
class Row:
    """One level held against the base: in a group of viewers, within the levels of the other factors, on a metric.

    kind: "level" (against the base), "groups" (a group of viewers against the first one) or "days" (the last quarter of
    the days against the first).
    """

    kind: str
    group: str
    context: tuple[str, ...]
    level: str
    effect: Effect

    def as_json(self) -> dict[str, object]:
        """Plain data, numbers with six digits."""
        found = {"kind": self.kind, "group": self.group, "context": list(self.context), "level": self.level}
        wanted = ("metric", "a", "b", "difference", "low", "high", "p_holm", "viewers", "verdict")
        numbers = {name: _short(value) for name, value in self.effect.as_json().items() if name in wanted}
        return found | numbers


@dataclass(frozen=True)
class Findings:
    """Everything that a study's page is made of.

    levels: group, context, level and the metrics' values of each cell; days: metric by day of each cell lived through.
    """

    study: str
    quick: bool
    world: str
    world_hash: str
    counts: Mapping[str, int]
    at_h: float
    viewers: Mapping[str, int]
    seeds: int
    days: int | None
    levels: list[dict[str, object]]
    rows: list[Row]
    series: list[dict[str, object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        return {**asdict(replace(self, rows=[])), "version": __version__, "rows": [row.as_json() for row in self.rows]}


def run_study(
    study: Study, *, folder: Path | None = None, quick: bool = False, seed: int = 0, progress: Progress = SILENT
) -> Findings:
    """Run what is not there yet, and compare. folder: where cells are kept; in the cache if not given.

    seed: of viewers and reactions. ConfigError if the folder is another study's.
    """
    place = folder if folder is not None else home() / "studies" / study.name
    claim(place, {"experiment": "study", "study": study.name})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FunnelWarning)  # levels are meant to be odd
        run = _Lives if study.days is not None else _Pages
        return run(study, place, quick, seed, progress).findings()


@dataclass
class _Work:
    """What both kinds of studies do."""

    study: Study
    folder: Path
    quick: bool
    seed: int
    progress: Progress

    def world(self, cell: Cell, seed: int) -> World:
        """The world of a cell, with what its levels change in it."""
        base = self.study.world
        changes: dict[str, object] = {}
        for level in cell.levels:
            changes |= level.world
        if isinstance(base, str) and not changes:
            return World.load(base, seed=seed, progress=self.progress)
        content = _world_config(base) if isinstance(base, str) else dict(base)
        name = slug(f"{base if isinstance(base, str) else self.study.name}-{digest([content, changes])[:8]}")
        path = home() / "studies" / "worlds" / f"{name}.yaml"
        text = yaml.safe_dump({**content, **changes}, sort_keys=True)
        write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))
        return World.load(str(path), seed=seed, progress=self.progress)

    def funnel(self, cell: Cell, world: World) -> Funnel:
        """The funnel of a cell; ConfigError if a setting or a stage is unknown."""
        named = [level.funnel for level in cell.levels if level.funnel is not None]
        name = named[-1] if named else self.study.funnel
        settings = [*self.study.settings, *(one for level in cell.levels for one in level.settings)]
        blind = [pattern for level in cell.levels for pattern in level.blind_to]
        if blind:
            settings.append(f"heavy_ranker.features=[{', '.join(_seen(blind))}]")
        without = [one for level in cell.levels for one in level.without]
        if without:
            content = yaml.safe_dump({"extends": name, "without": without})
            path = home() / "studies" / "funnels" / digest(content) / f"{Path(name).stem}.yaml"
            write_atomically(path, lambda partial: partial.write_text(content, encoding="utf-8"))
            name = str(path)
        wanted = _there(name, world, settings)
        return load_funnel(name, world, settings=wanted)

    def base_of(self, cell: Cell, cells: Sequence[Cell]) -> Cell:
        """The cell with the first factor's base and the same other levels."""
        first = self.study.factors[0]
        return next(c for c in cells if c.levels[0].name == first.base and c.context == cell.context)


class _Pages(_Work):
    """Pages at one moment, for the same viewers in every cell."""

    def findings(self) -> Findings:
        """Run the cells, then compare."""
        if self.study.seeds > 1:
            raise ConfigError("--seeds", "is for studies of `days`: pages at one moment pair viewer by viewer")
        self.scenes: dict[str, Scene] = {}
        self.judges: dict[str, Judge] = {}
        self.kitchen = _Kitchen()
        cells = self.study.cells
        first = self._scene(self.world(cells[0], self.seed))
        rows_of = _groups(first, self.study.groups, self.study.viewers, self.seed)
        self.viewers = np.unique(np.concatenate(list(rows_of.values()))).astype(np.int32)
        with self.progress.bar(self.study.name, len(cells)) as bar:
            outcomes = {cell: self._cell(cell, bar) for cell in cells}
        wanted = dict.fromkeys(declared(name).name for name in self.study.metrics)
        measured: dict[tuple[Cell, str], Measures] = {}
        for cell, (outcome, scene) in outcomes.items():
            for group, members in rows_of.items():
                part = outcome.of_viewers(np.searchsorted(self.viewers, members).astype(np.int64))
                measured[cell, group] = measure(part, scene, wanted)
        metas = {scene.world.meta.end_h for _, scene in outcomes.values()}
        assert len(metas) == 1  # settings of worlds that change the length are refused by the builder's comparison
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
        return self.scenes.setdefault(world.hash, Scene(world))

    def _cell(self, cell: Cell, bar: Bar) -> tuple[Outcome, Scene]:
        world = self.world(cell, self.seed)
        scene = self._scene(world)
        if self.viewers[-1] >= world.meta.viewer_count:
            raise ConfigError(f"level {cell.name!r}", "has a world with fewer people — viewers could not be paired")
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
                reference = Reference.kept(
                    where, scene, self.viewers, size=PAGE, seed=self.seed, progress=self.progress
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
            row["metrics"] = {name: _short(values[name]) for name in self.study.metrics if name in values}
            found.append(row)
        return found

    def _rows(
        self, cells: Sequence[Cell], measured: Mapping[tuple[Cell, str], Measures], rows_of: Mapping[str, Ints]
    ) -> list[Row]:
        """All comparisons; Holm's correction over every one of them."""
        found: list[Row] = []
        draws = {
            group: Resamples.of(members.size, count=_RESAMPLES, seed=self.seed) for group, members in rows_of.items()
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
        return _corrected(found)

    def _missing(self, measured: Mapping[tuple[Cell, str], Measures]) -> list[str]:
        known = {
            name for one in measured.values() for name in (*one.viewers, *one.statistics, *one.numbers)
        }  # fmt: skip
        return [f"{name} cannot be measured here" for name in self.study.metrics if name not in known]


class _Kitchen:
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


def _stage_key(slot: Slot) -> str:
    """Equal for stages that say the same of the same row."""
    learnt: dict[str, Array] = slot.part.state() if isinstance(slot.part, Learned | Taught) else {}
    running = hashlib.sha256()
    for name in sorted(learnt):
        running.update(name.encode() + learnt[name].tobytes())
    return digest([slot.use, settings_of(slot.part), running.hexdigest()])


class _Lives(_Work):
    """Whole worlds lived through, a world for each seed and cell."""

    def findings(self) -> Findings:
        """Run the loops, then compare over worlds."""
        study, cells = self.study, self.study.cells
        assert study.days is not None
        lives: dict[Cell, list[list[dict[str, float]]]] = {cell: [] for cell in cells}
        first = self.world(cells[0], self.seed)
        worlds = [self.seed + number for number in range(study.seeds)]
        if study.seeds > 1 and self.world(cells[0], worlds[1]).hash == first.hash:
            raise ConfigError("--seeds", f"world {first.name!r} is the same for every seed — only made worlds differ")
        for world_seed in worlds:
            for cell in cells:
                lives[cell].append(self._life(cell, world_seed))
        return Findings(
            study=study.name,
            quick=self.quick,
            world=first.name,
            world_hash=first.hash,
            counts=first.counts,
            at_h=first.meta.end_h,
            viewers={"all": first.meta.viewer_count},
            seeds=study.seeds,
            days=study.days,
            levels=self._levels(lives),
            rows=self._rows(cells, lives),
            series=self._series(lives),
        )

    def _life(self, cell: Cell, world_seed: int) -> list[dict[str, float]]:
        """The metrics of every day."""
        world = self.world(cell, world_seed)
        funnel = self.funnel(cell, world)
        assert self.study.days is not None
        key = digest([funnel.hash, world.hash, self.seed, self.study.viewers_per_day, __version__])[:12]
        run = loop_to(
            funnel, self.folder / "loops" / f"{slug(cell.name)}-{key}", days=self.study.days, seed=self.seed,
            viewers_per_day=self.study.viewers_per_day, progress=self.progress,
        )  # fmt: skip
        return [later_half([day]) for day in run.days[: self.study.days]]

    def _levels(self, lives: Mapping[Cell, list[list[dict[str, float]]]]) -> list[dict[str, object]]:
        found = []
        for cell, worlds in lives.items():
            row: dict[str, object] = {"group": "all", "context": list(cell.context), "level": cell.levels[0].name}
            row["metrics"] = {
                name: _short(float(np.mean([_mean_of(days[len(days) // 2 :], name) for days in worlds])))
                for name in self.study.metrics
            }
            found.append(row)
        return found

    def _series(self, lives: Mapping[Cell, list[list[dict[str, float]]]]) -> list[dict[str, object]]:
        found = []
        for cell, worlds in lives.items():
            row: dict[str, object] = {"context": list(cell.context), "level": cell.levels[0].name}
            row["metrics"] = {
                name: [
                    _short(float(np.mean([days[day][name] for days in worlds]))) for day in range(len(worlds[0]))
                ]
                for name in self.study.metrics
            }  # fmt: skip
            found.append(row)
        return found

    def _rows(self, cells: Sequence[Cell], lives: Mapping[Cell, list[list[dict[str, float]]]]) -> list[Row]:
        found: list[Row] = []
        for cell in cells:
            quarter = max(1, len(lives[cell][0]) // 4)
            for name in self.study.metrics:
                early = [_mean_of(days[:quarter], name) for days in lives[cell]]
                late = [_mean_of(days[-quarter:], name) for days in lives[cell]]
                found.append(Row("days", "all", cell.context, cell.levels[0].name, over_worlds(name, early, late)))
            base = self.base_of(cell, cells)
            if cell is base:
                continue
            for name in self.study.metrics:
                a, b = ([_mean_of(days[len(days) // 2 :], name) for days in lives[side]] for side in (base, cell))
                found.append(Row("level", "all", cell.context, cell.levels[0].name, over_worlds(name, a, b)))
        return _corrected(found)


def between(name: str, a: Doubles, b: Doubles, *, seed: int) -> Effect:
    """The difference of means of two groups of viewers, who are other people: each group is resampled by itself."""
    one, other = a[~np.isnan(a)], b[~np.isnan(b)]
    if min(one.size, other.size) < 2:
        nan = float("nan")
        return Effect(name, nan, nan, nan, nan, nan, nan, nan, nan, 0, nan, "")
    draws = [
        Resamples.of(values.size, count=_RESAMPLES, seed=rng.key(seed, f"group {side}") % 2**31).weights @ values
        / values.size
        for side, values in enumerate((one, other))
    ]  # fmt: skip
    spread = draws[1] - draws[0]
    low, high = (float(q) for q in np.quantile(spread, (0.025, 0.975)))
    difference = float(other.mean() - one.mean())
    error = float(spread.std())
    from math import erfc, sqrt

    p = erfc(abs(difference) / error / sqrt(2)) if error > 0 else float(difference == 0)
    sd = float(one.std(ddof=1))
    size = difference / sd if sd > 0 else float("nan")
    mean_a, mean_b = float(one.mean()), float(other.mean())
    count = int(min(one.size, other.size))
    return Effect(name, mean_a, mean_b, difference, low, high, p, p, size, count, float("nan"), "")


def _groups(scene: Scene, names: Sequence[str], count: int, seed: int) -> dict[str, Ints]:
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


def _corrected(rows: Sequence[Row]) -> list[Row]:
    """Holm's correction over all questions that the study asks."""
    return [replace(row, effect=effect) for row, effect in zip(rows, corrected([r.effect for r in rows]), strict=True)]


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


def _there(name: str, world: World, settings: Sequence[str]) -> list[str]:
    """Settings for all levels, without those that say `?` of a stage that this funnel has not."""
    stages = {slot.name for part in (load_funnel(name, world),) for slot in (*part.stages, *part.jobs)}
    return [
        one.removeprefix("?")
        for one in settings
        if not (one.startswith("?") and one[1:].partition(".")[0] not in stages)
    ]


def _seen(patterns: Sequence[str]) -> list[str]:
    """Features of the heavy ranker that match none of the patterns; ConfigError for a pattern that matches none."""
    names = model_features()
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in names):
            raise ConfigError(f"blind_to {pattern!r}", "matches no feature of the heavy ranker")
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in patterns)]


def _world_config(name: str) -> dict[str, object]:
    known = configured()
    if name not in known and not name.endswith((".yaml", ".yml")):
        raise ConfigError(f"world {name!r}", "wants a configured world, whose settings a level could change")
    return dict(read_yaml(known.get(name, Path(name))))


def _mean_of(days: Sequence[Mapping[str, float]], name: str) -> float:
    known = [day[name] for day in days if isfinite(day[name])]
    return float(np.mean(known)) if known else float("nan")


def _short(value: object) -> object:
    """Six digits; None for what does not exist."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if isfinite(value) else None

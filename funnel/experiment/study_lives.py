"""Studies of days: each level lives through whole worlds of its own, in which people react (`funnel.loop`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from funnel import __version__
from funnel.compose import load_funnel
from funnel.core.errors import ConfigError
from funnel.experiment.folder import slug
from funnel.experiment.lived import later_half
from funnel.experiment.statistics import over_worlds
from funnel.experiment.study import Cell, Level
from funnel.experiment.study_work import Findings, Row, Work, all_corrected, short
from funnel.loop import Switch, loop_to
from funnel.store import digest
from funnel.world import World

MICRO_BATCH = 128  # viewers at a time, for speed; the days are the same whatever it is
_ALWAYS = "loop.author_gini"  # there on every day on which anybody was shown anything


class Lives(Work):
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
            notes=_gone_dark(lives),
        )

    def _life(self, cell: Cell, world_seed: int) -> list[dict[str, float]]:
        """The metrics of every day."""
        world = self.world(cell, world_seed)
        funnel = self.funnel(cell, world)
        assert self.study.days is not None
        beside = load_funnel(self.study.beside, world) if self.study.beside is not None else None
        switch = self._switch(cell, world)
        what: list[object] = [funnel.hash, world.hash, self.seed, self.study.viewers_per_day, __version__]
        what += [beside.hash] if beside is not None else []
        what += [switch.after_days, switch.funnel.hash] if switch is not None else []
        key = digest(what)[:12]
        run = loop_to(
            funnel, self.folder / "loops" / f"{slug(cell.name)}-{key}", days=self.study.days, seed=self.seed,
            viewers_per_day=self.study.viewers_per_day, beside=beside, switch=switch,
            micro_batch=MICRO_BATCH, progress=self.progress,
        )  # fmt: skip
        return [later_half([day]) for day in run.days[: self.study.days]]

    def _switch(self, cell: Cell, world: World) -> Switch | None:
        """To the funnel that a level's `then` names, with the study's settings for all levels."""
        named = [level.then for level in cell.levels if level.then is not None]
        if not named or self.study.switch_after is None:
            return None
        other = Cell((Level("then", funnel=named[-1]),))
        return Switch(self.study.switch_after, self.funnel(other, world))

    def _levels(self, lives: Mapping[Cell, list[list[dict[str, float]]]]) -> list[dict[str, object]]:
        found = []
        for cell, worlds in lives.items():
            row: dict[str, object] = {"group": "all", "context": list(cell.context), "level": cell.levels[0].name}
            row["metrics"] = {
                name: short(float(np.mean([_mean_of(days[len(days) // 2 :], name) for days in worlds])))
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
                    short(float(np.mean([days[day][name] for days in worlds]))) for day in range(len(worlds[0]))
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
            on = _never_switched(cell, cells)
            if on is None:
                continue
            for name in self.study.metrics:
                for kind, side in (("switched", cell), ("unswitched", on)):
                    a, b = ([_mean_of(days[-quarter:], name) for days in lives[one]] for one in (base, side))
                    found.append(Row(kind, "all", cell.context, cell.levels[0].name, over_worlds(name, a, b)))
        return all_corrected(found)


def _never_switched(cell: Cell, cells: Sequence[Cell]) -> Cell | None:
    """Of a cell that switches, the one that goes on with what it began with; None if there is no such level."""
    level = cell.levels[0]
    for other in cells:
        begins = other.levels[0]
        same = (begins.funnel, begins.settings, begins.without) == (level.funnel, level.settings, level.without)
        if level.then is not None and begins.then is None and same and other.context == cell.context:
            return other
    return None


def _gone_dark(lives: Mapping[Cell, list[list[dict[str, float]]]]) -> list[str]:
    """Where a feed ends up showing nothing to anybody, so that its days have no metrics."""
    found = []
    for cell, worlds in lives.items():
        lit = [sum(isfinite(day[_ALWAYS]) for day in days) for days in worlds if not isfinite(days[-1][_ALWAYS])]
        if lit:
            what = f"in {len(lit)} of {len(worlds)} worlds nobody is shown anything by the last day"
            found.append(f"{cell.name}: {what} (days with any page: {min(lit)} at least, {max(lit)} at most)")
    return found


def _mean_of(days: Sequence[Mapping[str, float]], name: str) -> float:
    known = [day[name] for day in days if isfinite(day[name])]
    return float(np.mean(known)) if known else float("nan")

"""What the two kinds of studies share: rows of findings, and the world and the funnel of a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from math import isfinite
from pathlib import Path

import yaml

from funnel import __version__
from funnel.compose import load_funnel
from funnel.core.errors import ConfigError
from funnel.core.progress import Progress
from funnel.experiment.folder import slug
from funnel.experiment.statistics import Effect, corrected
from funnel.experiment.study import Cell, Study
from funnel.features import model_features
from funnel.pipeline import Funnel
from funnel.store import digest, home, read_yaml, write_atomically
from funnel.world import World
from funnel.world_cache import configured


@dataclass(frozen=True)
class Row:
    """One level held against the base: in a group of viewers, within the levels of the other factors, on a metric.

    kind: "level" (against the base), "groups" (a group of viewers against the first one), "days" (the last quarter of
    the days against the first); and, in the last quarter against the base, "switched" (what is left after the switch)
    and "unswitched" (what there is without one).
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
        numbers = {name: short(value) for name, value in self.effect.as_json().items() if name in wanted}
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


@dataclass
class Work:
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


def all_corrected(rows: Sequence[Row]) -> list[Row]:
    """Holm's correction over all questions that the study asks."""
    return [replace(row, effect=effect) for row, effect in zip(rows, corrected([r.effect for r in rows]), strict=True)]


def short(value: object) -> object:
    """Six digits; None for what does not exist."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if isfinite(value) else None


def _there(name: str, world: World, settings: Sequence[str]) -> list[str]:
    """Settings for all levels, without those that say `?` of a stage that this funnel has not."""
    if not any(one.startswith("?") for one in settings):
        return list(settings)
    plain = load_funnel(name, world)
    stages = {slot.name for slot in (*plain.stages, *plain.jobs)}
    wanted = [one for one in settings if not one.startswith("?") or one[1:].partition(".")[0] in stages]
    return [one.removeprefix("?") for one in wanted]


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

"""A study: a question, factors whose levels are funnels, settings or worlds, and the metrics that answer it.

    about: one line for people
    question: what one wants to know
    notes: how it is asked, and what it leaves out     # optional, a list
    source: whose question it is                        # optional
    world: small                        # a world's name, or the settings of a world as in configs/worlds
    viewers: 400                        # of each group
    groups: [active, dormant]           # whose pages; `all` if not given
    funnel: twitter_2023                # what the levels change
    settings: [light_ranker.keep=200]   # for all levels, as after --set
    metrics: [page.value, creators.gini]
    factors:                            # the first is compared level by level, within each combination of the others
      delay:
        unit: hours
        values: [0, 6, 24]              # `{value}` in settings stands for each; or `levels:` by name
        settings: ["simclusters.delay_h={value}"]
        base: 0                         # what the other levels are held against; the first if not given
    days: 28                            # live through so many days in each world instead of looking at one moment
    switch_after: 14                    # so many days, after which levels with `then` are served by another funnel
    beside: chronological               # with days: a funnel of another product that serves the same people
    seeds: 3                            # whole worlds
    quick: {world: tiny, viewers: 40, settings: [twhin.epochs=1], only: {delay: [0, 24]}}

A level may have `funnel`, `settings`, `without` (stages), `blind_to` (patterns of features that the heavy ranker does
not get), `world` (settings that differ from the study's world) and `then` (the funnel after the switch: of the gap that
the level without `then` has to the base, the page says how much is left, the hysteresis). A setting that begins with
`?` is left out where the funnel lacks its stage. `funnel.experiment.study_run` runs it,
`funnel.experiment.study_page` writes its page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import cast

from funnel.compose import funnel_names, product_of
from funnel.core.errors import ConfigError, nearest
from funnel.core.products import TIMELINE, Product
from funnel.experiment.lived import loop_metrics
from funnel.metrics import declared
from funnel.store import read_yaml

GROUPS = ("all", "active", "dormant", "producers", "consumers")
_KEYS = (
    "about", "question", "notes", "source", "world", "viewers", "groups", "funnel", "settings", "metrics", "factors",
    "days", "beside", "viewers_per_day", "seeds", "switch_after", "quick",
)  # fmt: skip
_FACTOR_KEYS = ("about", "unit", "values", "levels", "settings", "base")
_LEVEL_KEYS = ("funnel", "settings", "without", "blind_to", "world", "then")
_QUICK_KEYS = ("world", "viewers", "days", "viewers_per_day", "seeds", "switch_after", "settings", "only")


@dataclass(frozen=True, eq=False)
class Level:
    """One level of a factor: what it changes; value: its number, if it has one."""

    name: str
    value: float | None = None
    funnel: str | None = None
    settings: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    blind_to: tuple[str, ...] = ()
    world: Mapping[str, object] = field(default_factory=dict)
    then: str | None = None


@dataclass(frozen=True)
class Factor:
    """What is varied; base: the level that others are held against."""

    name: str
    levels: tuple[Level, ...]
    base: str
    unit: str = ""

    @property
    def numeric(self) -> bool:
        """Whether all levels are numbers."""
        return all(level.value is not None for level in self.levels)


@dataclass(frozen=True, eq=False)
class Cell:
    """One combination of levels, a level of each factor in their order."""

    levels: tuple[Level, ...]

    @property
    def name(self) -> str:
        """The names of its levels."""
        return " × ".join(level.name for level in self.levels)

    @property
    def context(self) -> tuple[str, ...]:
        """The levels of all factors but the first."""
        return tuple(level.name for level in self.levels[1:])


@dataclass(frozen=True)
class Study:
    """A study as its file says; days: None for one moment, else how long each world is lived through."""

    name: str
    about: str
    question: str
    metrics: tuple[str, ...]
    factors: tuple[Factor, ...]
    notes: tuple[str, ...] = ()
    source: str = ""
    world: str | Mapping[str, object] = "small"
    viewers: int = 400
    groups: tuple[str, ...] = ("all",)
    funnel: str = "twitter_2023"
    settings: tuple[str, ...] = ()
    days: int | None = None
    beside: str | None = None
    viewers_per_day: float | None = None
    seeds: int = 1
    switch_after: int | None = None
    quick: Mapping[str, object] = field(default_factory=dict)

    @property
    def cells(self) -> list[Cell]:
        """Every combination of levels, the first factor's changing fastest."""
        return [Cell(levels[::-1]) for levels in product(*(factor.levels for factor in self.factors[::-1]))]

    @property
    def product(self) -> Product:
        """What its funnels make: all levels the same."""
        named = [level.funnel for factor in self.factors for level in factor.levels if level.funnel is not None]
        name = named[0] if named else self.funnel
        known = name in funnel_names() or name.endswith((".yaml", ".yml"))
        return product_of(name) if known else TIMELINE  # an unknown one is an error when it is loaded

    def quickly(self) -> Study:
        """The small version that the file describes under `quick`."""
        given = dict(self.quick)
        made = self.only(_mapping(f"{self.name}: quick.only", given.pop("only", {})))
        settings = (*self.settings, *_texts(f"{self.name}: quick.settings", given.pop("settings", [])))
        return replace(made, settings=settings, **given)  # type: ignore[arg-type]  # checked by `study_from`

    def only(self, chosen: Mapping[str, object]) -> Study:
        """Some levels of some factors, by name; the base stays. ConfigError for a factor or a level that is unknown."""
        for name in chosen:
            if name not in [factor.name for factor in self.factors]:
                known = [factor.name for factor in self.factors]
                raise ConfigError(f"factor {name!r}", f"unknown in study {self.name!r} — {nearest(name, known)}")
        return replace(
            self,
            factors=tuple(
                _chosen(self.name, factor, chosen[factor.name]) if factor.name in chosen else factor
                for factor in self.factors
            ),
        )


def study_names() -> list[str]:
    """The names of the shipped studies."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load_study(name: str) -> Study:
    """A shipped study by name, or that of a YAML file; ConfigError if there is none or something in it is wrong."""
    if name.endswith((".yaml", ".yml")):
        return study_from(Path(name).stem, read_yaml(Path(name)))
    if name not in study_names():
        raise ConfigError(f"study {name!r}", f"unknown — {nearest(name, study_names())} (or the path of a .yaml file)")
    return study_from(name, read_yaml(_folder() / f"{name}.yaml"))


def study_from(name: str, content: Mapping[str, object]) -> Study:
    """The study that a file's content describes, checked; ConfigError says where it is wrong."""
    _known(name, content, _KEYS)
    for key in ("about", "question", "metrics", "factors"):
        if not content.get(key):
            raise ConfigError(name, f"wants `{key}`")
    quick = _mapping(f"{name}: quick", content.get("quick", {}))
    _known(f"{name}: quick", quick, _QUICK_KEYS)
    for where, mapping in ((name, content), (f"{name}: quick", quick)):
        for key in ("viewers", "days", "seeds", "switch_after"):
            _whole(f"{where}: {key}", mapping.get(key, 1))
    world = content.get("world", "small")
    factors = _mapping(f"{name}: factors", content["factors"])
    days = cast("int | None", content.get("days"))
    found = Study(
        name=name,
        about=str(content["about"]),
        question=" ".join(str(content["question"]).split()),
        metrics=_texts(f"{name}: metrics", content["metrics"]),
        factors=tuple(_factor(f"{name}: factors.{key}", key, factors[key]) for key in factors),
        notes=_texts(f"{name}: notes", content.get("notes", [])),
        source=str(content.get("source", "")),
        world=world if isinstance(world, str) else _mapping(f"{name}: world", world),
        viewers=int(str(content.get("viewers", 400))),
        groups=_texts(f"{name}: groups", content.get("groups", ["all"])),
        funnel=str(content.get("funnel", "twitter_2023")),
        settings=_texts(f"{name}: settings", content.get("settings", [])),
        days=days,
        beside=str(content["beside"]) if "beside" in content else None,
        viewers_per_day=cast("float | None", content.get("viewers_per_day")),
        seeds=int(str(content.get("seeds", 1))),
        switch_after=cast("int | None", content.get("switch_after")),
        quick=quick,
    )
    _check_switch(found)
    known = None
    if days is not None:
        known = loop_metrics(found.product, product_of(found.beside) if found.beside is not None else None)
    elif found.beside is not None:
        raise ConfigError(f"{name}: beside", "is for studies of `days`")
    for metric in found.metrics:
        _check_metric(metric, known)
    for group in found.groups:
        if group not in GROUPS:
            raise ConfigError(f"{name}: groups", f"unknown group {group!r} — {nearest(group, GROUPS)}")
    found.quickly()  # an unknown factor or level there is an error now
    return found


def _factor(where: str, name: str, content: object) -> Factor:
    given = _mapping(where, content)
    _known(where, given, _FACTOR_KEYS)
    if ("values" in given) == ("levels" in given):
        raise ConfigError(where, "wants either `values` (with settings that hold {value}) or `levels`")
    if "values" in given:
        values, settings = given["values"], _texts(f"{where}.settings", given.get("settings", []))
        if not isinstance(values, list) or not all(isinstance(v, int | float) for v in values):
            raise ConfigError(f"{where}.values", "wants a list of numbers")
        levels = [
            Level(f"{v:g}", float(v), settings=tuple(one.replace("{value}", f"{v:g}") for one in settings))
            for v in values
        ]
    else:
        named = {str(key): inner for key, inner in _plain(f"{where}.levels", given["levels"]).items()}
        levels = [_level(f"{where}.levels.{key}", key, inner or {}) for key, inner in named.items()]
    names = [level.name for level in levels]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ConfigError(where, "wants two levels or more, of different names")
    base = str(given.get("base", names[0]))
    if base not in names:
        raise ConfigError(f"{where}.base", f"no level {base!r} — {nearest(base, names)}")
    return Factor(name, tuple(levels), base, str(given.get("unit", "")))


def _level(where: str, name: str, content: object) -> Level:
    given = _mapping(where, content)
    _known(where, given, _LEVEL_KEYS)
    funnel = given.get("funnel")
    return Level(
        name,
        _number(name),
        funnel=str(funnel) if funnel is not None else None,
        settings=_texts(f"{where}.settings", given.get("settings", [])),
        without=_texts(f"{where}.without", given.get("without", [])),
        blind_to=_texts(f"{where}.blind_to", given.get("blind_to", [])),
        world=_mapping(f"{where}.world", given.get("world", {})),
        then=str(given["then"]) if "then" in given else None,
    )


def _check_switch(study: Study) -> None:
    """ConfigError unless a study whose levels switch says when, within its days."""
    switching = any(level.then is not None for factor in study.factors for level in factor.levels)
    if switching != (study.switch_after is not None):
        raise ConfigError(f"{study.name}: switch_after", "goes with levels that have `then`, and they with it")
    if study.switch_after is not None and (study.days is None or study.switch_after >= study.days):
        raise ConfigError(f"{study.name}: switch_after", "wants fewer days than `days`")


def _chosen(study: str, factor: Factor, wanted: object) -> Factor:
    if not isinstance(wanted, list | tuple):
        raise ConfigError(f"{study}: {factor.name}", f"wants a list of levels, got {wanted!r}")
    names = [level.name for level in factor.levels]
    texts = [f"{one:g}" if isinstance(one, float) else str(one) for one in wanted]
    for one in texts:
        if one not in names:
            raise ConfigError(f"level {one!r}", f"unknown of factor {factor.name!r} — {nearest(one, names)}")
    return replace(factor, levels=tuple(level for level in factor.levels if level.name in {*texts, factor.base}))


def _check_metric(name: str, lived: tuple[str, ...] | None) -> None:
    """ConfigError, with the nearest names, for a metric that this kind of study cannot measure.

    lived: what a life through days has, where the study is of one.
    """
    if lived is not None:
        if name not in lived:
            raise ConfigError(f"metric {name!r}", f"unknown of a world lived through — {nearest(name, lived)}")
        return
    if "full pool" in declared(name).needs:
        raise ConfigError(f"metric {name!r}", "is not measured in studies — `funnel compare` has it")


def _known(where: str, given: Mapping[str, object], keys: Sequence[str]) -> None:
    for key in given:
        if key not in keys:
            raise ConfigError(f"{where}.{key}", f"no such key — {nearest(key, keys)}")


def _whole(where: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(where, f"wants a whole number of at least 1, got {value!r}")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _plain(where: str, value: object) -> dict[object, object]:
    if not isinstance(value, Mapping):
        raise ConfigError(where, f"wants `name: …` pairs, got {type(value).__name__}")
    return dict(value)


def _mapping(where: str, value: object) -> dict[str, object]:
    found = _plain(where, value)
    if not all(isinstance(key, str) for key in found):
        raise ConfigError(where, "wants names that are text — put numbers in quotes")
    return cast(dict[str, object], found)


def _texts(where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ConfigError(where, f"wants a list of texts, got {value!r}")
    return tuple(value)


def _folder() -> Path:
    return Path(str(files("configs") / "studies"))

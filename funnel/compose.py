"""From the names in a YAML file to a funnel: the one place that imports stages, by name.

A funnel's file:

    about: one line for people
    extends: twitter_2023          # optional; the only inheritance
    product: push                  # what it makes (funnel.core.products); a timeline if not given
    jobs: [real_graph, simclusters]
    stages:                        # in order
      - in_network: {window_h: 24, quota: 600}
      - own_tweets
    settings:                      # changes to what was inherited
      light_ranker: {keep: 200}
    without: [replies]             # stages left out
    after:                         # stages put behind one that is there: to move one, leave it out and put it in again
      author_diversity: [feedback_discount]

The name of a stage is the name of its file; `use: my_package.my_module:MyStage` takes one from
elsewhere. `quota` and `on_error` (sources), `keep` (scorers), `cadence_h` and `delay_h` (jobs), `trained_at`
(stages that learn) and `name` are the runner's own keys; everything else is a field of the stage.
"""

from __future__ import annotations

import inspect
import math
import pkgutil
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import yaml
from pydantic import TypeAdapter, ValidationError

from funnel.core.errors import ConfigError, nearest
from funnel.core.products import TIMELINE, Product, product_named
from funnel.core.stage import Configured, Learned
from funnel.core.world import WorldBuilder
from funnel.store import read_yaml

if TYPE_CHECKING:
    from funnel.pipeline import Funnel
    from funnel.world import World

STAGE_PACKAGES = (
    "candidates",
    "light_ranker",
    "heavy_ranker",
    "heuristics.filters",
    "heuristics.boosts",
    "heuristics.selectors",
    "heuristics.visibility",
    "heuristics.mixer",
    "heuristics.baselines",
    "heuristics.quality",
    "heuristics.push",
)
BUILDER_PACKAGES = ("synthetic", "synthetic.datasets")
_KEYS = ("about", "extends", "product", "jobs", "stages", "settings", "without", "after")
_TIMES = ("cadence_h", "delay_h", "trained_at")
_RUNNER_KEYS = ("name", "use", "quota", "keep", "on_error", *_TIMES)
_LONGEST_CHAIN = 16


@dataclass(frozen=True)
class Slot:
    """One stage or job in its place: the object and what the runner does with it.

    cadence_h, delay_h: a job runs every so many hours, and what it made is there so many hours later; see `snapshot_h`.
    trained_at: the hour of the world at which a stage learnt, for a model that nobody trained since.
    """

    name: str
    use: str
    part: Configured
    quota: int | None = None
    keep: int | None = None
    on_error: Literal["fail", "skip"] = "fail"
    cadence_h: float | None = None
    delay_h: float | None = None
    trained_at: float | None = None

    def snapshot_h(self, moment: float, frozen_h: float) -> float:
        """The moment whose data a job's assets show at `moment`, hours of the world.

        The last k × cadence_h that is delay_h old at least, but not before the world's beginning; without a cadence
        exactly delay_h ago; with neither, the job ran once, at `frozen_h`.
        """
        if self.cadence_h is None and self.delay_h is None:
            return frozen_h
        there = max(0.0, moment - (self.delay_h or 0.0))
        if self.cadence_h is None:
            return there
        return min(there, math.floor(there / self.cadence_h) * self.cadence_h)  # rounding must not reach ahead

    def describe(self) -> dict[str, object]:
        """The slot as it would stand in a YAML file, with every default filled in."""
        runner = {
            "quota": self.quota, "keep": self.keep,
            "cadence_h": self.cadence_h, "delay_h": self.delay_h, "trained_at": self.trained_at,
        }  # fmt: skip
        shown: dict[str, object] = {"name": self.name, "use": self.use}
        shown |= {key: value for key, value in runner.items() if value is not None}
        if self.on_error != "fail":
            shown["on_error"] = self.on_error
        return shown | settings_of(self.part)


@dataclass
class _Plan:
    """What a chain of files says, before anything is imported."""

    about: str = ""
    product: Product = TIMELINE
    jobs: list[dict[str, object]] = field(default_factory=list)
    stages: list[dict[str, object]] = field(default_factory=list)


def load_funnel(name: str, world: World, *, settings: Sequence[str] = ()) -> Funnel:
    """The funnel of a shipped name or of a YAML file, on a world.

    settings: "stage.field=value" strings, as after `--set`; the value is YAML.
    Raises ConfigError if a name, a setting or the order of the stages is wrong.
    """
    from funnel.pipeline import Funnel  # the runner needs `Slot` from here

    about, jobs, stages = read_slots(name, settings=settings)
    product = product_of(name)
    return Funnel(Path(name).stem, about=about, world=world, jobs=jobs, stages=stages, product=product)


def load_chosen(name: str | None, world: World, *, settings: Sequence[str] = (), product: str | None = None) -> Funnel:
    """The funnel of that name or, where none is named, the one that makes the product called so on this world.

    ConfigError if the funnel makes another product than the one asked for.
    """
    asked = product_named(product, f"--product {product}") if product is not None else None
    own = (asked.default_funnel if asked is not None else None) or world.meta.default_funnel
    made = load_funnel(name or own, world, settings=settings)
    if asked is not None and made.product is not asked:
        what = f"makes {made.product.pages} ({made.product.name}), not {asked.pages}"
        raise ConfigError(f"funnel {made.name!r}", f"{what} — leave --product out, or name another funnel")
    return made


def read_slots(name: str, *, settings: Sequence[str] = ()) -> tuple[str, list[Slot], list[Slot]]:
    """(about, jobs, stages) of a funnel by name or YAML file, on no world yet."""
    plan = _read(name, ())
    for setting in settings:
        _apply(plan, *_split(setting))
    jobs = [_slot(f"{name}.jobs", entry) for entry in plan.jobs]
    return plan.about, jobs, [_slot(name, entry) for entry in plan.stages]


def product_of(name: str) -> Product:
    """What a funnel makes, by its name or YAML file."""
    return _read(name, ()).product


def funnel_names() -> list[str]:
    """The names of the shipped funnels."""
    return sorted(Path(entry.name).stem for entry in _folder("funnels") if entry.name.endswith(".yaml"))


def about_funnel(name: str) -> str:
    """One line about a funnel."""
    return _read(name, ()).about


def stage_names() -> list[str]:
    """The names that a funnel's file can use, without importing anything."""
    return sorted(
        name for package in STAGE_PACKAGES for name in _modules(package) if _defines(f"{package}.{name}", name)
    )


def stage_classes() -> dict[str, type[Configured]]:
    """Every shipped stage and job, by name."""
    found = {}
    for package in STAGE_PACKAGES:
        for name in _modules(package):
            kind = _class_in(f"{package}.{name}", name)
            if kind is not None:
                found[name] = kind
    return dict(sorted(found.items()))


def builder(use: str) -> type[WorldBuilder]:
    """The class that makes worlds of a kind: `generated`, or the name of a real data set."""
    for package in BUILDER_PACKAGES:
        module = f"{package}.{use}"
        if use.isidentifier() and find_spec(module) is not None:
            for name, member in inspect.getmembers(import_module(module), inspect.isclass):
                if name.lower() == use.replace("_", "") and member.__module__.startswith(package):
                    return cast(type[WorldBuilder], member)
    known = [name for package in BUILDER_PACKAGES for name in _modules(package)]
    raise ConfigError(f"use: {use!r}", f"no such kind of world — {nearest(use, known)}")


def settings_of(part: object) -> dict[str, object]:
    """The fields of a configured object as plain data, defaults included."""
    return cast(dict[str, object], TypeAdapter(type(part)).dump_python(part, mode="json"))


def make(where: str, kind: type, fields: Mapping[str, object]) -> object:
    """An object of a pydantic dataclass; ConfigError names the setting that is wrong and its neighbours."""
    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join([where, *(str(part) for part in first["loc"])])
        if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            known = list(inspect.signature(kind).parameters)
            raise ConfigError(path, f"no such setting — {nearest(str(first['loc'][-1]), known)}") from None
        raise ConfigError(path, f"{first['msg'].lower()}, got {first['input']!r}") from None
    except TypeError as error:
        raise ConfigError(where, str(error)) from None


def _read(name: str, chain: tuple[str, ...]) -> _Plan:
    """A file and, below it, what it extends."""
    if name in chain or len(chain) > _LONGEST_CHAIN:
        raise ConfigError(f"funnel {name!r}", f"extends itself: {' → '.join((*chain, name))}")
    path = _funnel_file(name)
    content = read_yaml(path)
    for key in content:
        if key not in _KEYS:
            raise ConfigError(f"{path.name}: {key}", f"no such key — {nearest(str(key), _KEYS)}")
    base = content.get("extends")
    plan = _read(str(base), (*chain, name)) if base is not None else _Plan()
    plan.about = str(content.get("about", plan.about))
    if "product" in content:
        plan.product = product_named(content["product"], f"{path.name}: product: {content['product']}")
    for key in ("jobs", "stages"):
        if key in content:
            setattr(plan, key, _entries(f"{path.name}: {key}", content[key]))
    if not plan.stages:
        raise ConfigError(path.name, "has no stages — list at least one source under `stages:`")
    for stage, fields in _mapping(f"{path.name}: settings", content.get("settings", {})).items():
        for key, value in _mapping(f"{path.name}: settings.{stage}", fields).items():
            _apply(plan, f"{stage}.{key}", value)
    for left_out in _names(f"{path.name}: without", content.get("without", [])):
        plan.stages.remove(_entry(plan, left_out, f"{path.name}: without"))
    for stage, listed in _mapping(f"{path.name}: after", content.get("after", {})).items():
        _insert(plan, stage, listed, f"{path.name}: after")
    return plan


def _insert(plan: _Plan, stage: str, listed: object, where: str) -> None:
    """Put stages behind one that is there."""
    added = _entries(f"{where}.{stage}", listed)
    known = {str(entry["name"]) for entry in (*plan.stages, *plan.jobs)}
    for entry in added:
        if entry["name"] in known:
            raise ConfigError(
                f"{where}.{stage}", f"{entry['name']!r} is there already — list it in `without` to move it"
            )
    behind = _entry(plan, stage, where)
    if behind not in plan.stages:
        raise ConfigError(f"{where}.{stage}", "is a batch job — only stages have an order")
    place = plan.stages.index(behind) + 1
    plan.stages[place:place] = added


def _funnel_file(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    for entry in _folder("funnels"):
        if entry.name == f"{name}.yaml":
            return entry
    raise ConfigError(
        f"funnel {name!r}", f"unknown — {nearest(name, funnel_names())} (or give the path of a .yaml file)"
    )


def _folder(kind: str) -> list[Path]:
    folder = files("configs") / kind
    return sorted(Path(str(entry)) for entry in folder.iterdir()) if folder.is_dir() else []


def _entries(where: str, listed: object) -> list[dict[str, object]]:
    """A list of `name` or `name: {fields}` as dictionaries with `name` and `use`."""
    if not isinstance(listed, list):
        raise ConfigError(where, f"wants a list of stages, got {type(listed).__name__}")
    entries = []
    for number, item in enumerate(listed):
        if isinstance(item, str):
            entry: dict[str, object] = {"use": item}
        elif isinstance(item, dict) and len(item) == 1 and "use" not in item:
            use, fields = next(iter(item.items()))
            entry = {"use": use, **_mapping(f"{where}[{number}].{use}", fields or {})}
        elif isinstance(item, dict) and "use" in item:
            entry = dict(item)
        else:
            raise ConfigError(f"{where}[{number}]", f"wants `stage` or `stage: {{field: value}}`, got {item!r}")
        entry.setdefault("name", str(entry["use"]).rpartition(":")[2])
        entries.append(entry)
    names = [str(entry["name"]) for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}.{name}", "stands there twice — give one of them another `name`")
    return entries


def _mapping(where: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(where, f"wants `field: value` pairs, got {type(value).__name__}")
    return value


def _names(where: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(where, f"wants a list of stage names, got {value!r}")
    return value


def _entry(plan: _Plan, name: str, where: str) -> dict[str, object]:
    entries = [*plan.stages, *plan.jobs]
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise ConfigError(f"{where} {name!r}", f"no such stage here — {nearest(name, [str(e['name']) for e in entries])}")


def _split(setting: str) -> tuple[str, object]:
    path, equals, text = setting.partition("=")
    if not equals or "." not in path:
        raise ConfigError(f"--set {setting}", "wants stage.field=value, for instance author_diversity.decay=0.5")
    try:
        return path.strip(), yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {setting}", f"{text!r} is not a YAML value") from None


def _apply(plan: _Plan, path: str, value: object) -> None:
    """Set `stage.field` (or `stage.field.key` inside a mapping) to a value."""
    stage, *keys = path.split(".")
    target = _entry(plan, stage, "setting of")
    if len(keys) > 1 and keys[0] not in target:
        defaults = settings_of(make(stage, _find(str(target["use"])), _fields(target)))
        target[keys[0]] = defaults.get(keys[0], {})
    for key in keys[:-1]:
        inner = target.get(key)
        if not isinstance(inner, dict):
            raise ConfigError(path, f"{key!r} holds no further settings")
        target[key] = dict(inner)
        target = cast(dict[str, object], target[key])
    target[keys[-1]] = value


def _fields(entry: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in entry.items() if key not in _RUNNER_KEYS}


def _slot(where: str, entry: Mapping[str, object]) -> Slot:
    name, use = str(entry["name"]), str(entry["use"])
    part = make(f"{where}.{name}", _find(use), _fields(entry))
    assert isinstance(part, Configured)
    quota, keep = (_limit(f"{where}.{name}.{key}", entry.get(key)) for key in ("quota", "keep"))
    on_error = entry.get("on_error", "fail")
    if on_error not in ("fail", "skip"):
        raise ConfigError(f"{where}.{name}.on_error", f"wants fail or skip, got {on_error!r}")
    cadence_h, delay_h, trained_at = (
        _hours(f"{where}.{name}.{key}", entry.get(key), zero=key == "delay_h") for key in _TIMES
    )
    allowed = {"source": ("quota", "on_error"), "scorer": ("keep",), "job": ("cadence_h", "delay_h")}.get(part.kind, ())
    if isinstance(part, Learned):
        allowed = (*allowed, "trained_at")
    for key in ("quota", "keep", "on_error", *_TIMES):
        if key in entry and key not in allowed:
            why = "does not learn and has" if key == "trained_at" else "has"
            raise ConfigError(f"{where}.{name}.{key}", f"a {part.kind} {why} no `{key}`")
    return Slot(name, use, part, quota, keep, on_error, cadence_h, delay_h, trained_at)


def _limit(where: str, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(where, f"wants a whole number of at least 1, got {value!r}")
    return value


def _hours(where: str, value: object, *, zero: bool) -> float | None:
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= cast(float, value) < math.inf or (value == 0 and not zero):
        raise ConfigError(where, f"wants hours, {'0 or more' if zero else 'above 0'}, got {value!r}")
    return float(cast(float, value))


def _find(use: str) -> type[Configured]:
    """The class behind a name, or behind `package.module:Class`."""
    if ":" in use:
        return _foreign(use)
    for package in STAGE_PACKAGES:
        if use in _modules(package):
            kind = _class_in(f"{package}.{use}", use)
            if kind is not None:
                return kind
    raise ConfigError(f"stage {use!r}", f"unknown — {nearest(use, stage_names())} (or package.module:Class)")


def _foreign(use: str) -> type[Configured]:
    module, _, name = use.partition(":")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"stage {use!r}", f"cannot be imported: {error}") from None
    if not (inspect.isclass(kind) and issubclass(kind, Configured)):
        raise ConfigError(f"stage {use!r}", "is no stage — subclass one of funnel.core.stage")
    return kind


@cache
def _modules(package: str) -> tuple[str, ...]:
    """Names of the modules (and packages) in a package."""
    spec = find_spec(package)
    locations: Iterable[str] = (spec.submodule_search_locations or ()) if spec is not None else ()
    return tuple(module.name for module in pkgutil.iter_modules(list(locations)) if not module.name.startswith("_"))


def _defines(module: str, name: str) -> bool:
    """Whether a module holds the stage it is named after, judged by its text: importing a helper could load torch."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return False
    file = Path(spec.origin)
    source = file.read_text("utf-8")
    named = re.search(rf"^(class|from .* import) {name.replace('_', '')}\b", source, re.IGNORECASE | re.MULTILINE)
    return named is not None and ("funnel.core.stage" in source or file.name == "__init__.py")


def _class_in(module: str, name: str) -> type[Configured] | None:
    """The stage or job that a module is named after; None if the module is something else."""
    if not _defines(module, name):
        return None
    wanted = name.replace("_", "")
    for member_name, member in inspect.getmembers(import_module(module), inspect.isclass):
        if member_name.lower() == wanted and issubclass(member, Configured) and not inspect.isabstract(member):
            return member
    return None

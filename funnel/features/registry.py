"""Features: one function each, declared by name, hydrated once and only when somebody needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TypeAlias

import numpy as np

from funnel.core.arrays import Array, frozen
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, ContractError, nearest

RowFunction: TypeAlias = Callable[[CandidateBatch], Array]
RequestFunction: TypeAlias = Callable[[Requests], Array]
# Members of a family by name -> a column [n] of each: what is looked up or walked for one serves them all.
FamilyFunction: TypeAlias = Callable[[CandidateBatch, tuple[str, ...]], Sequence[Array]]


@dataclass(frozen=True)
class Feature:
    """A named column: its unit, group, what it reads, its point-in-time rule, and its family if it has one.

    of_request: what it is for each request, [R], if all candidates of a request share it.
    """

    name: str
    meaning: str
    unit: str
    group: str
    rule: str
    compute: RowFunction
    needs: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    family: FamilyFunction | None = None
    of_request: RequestFunction | None = None

    @property
    def per_request(self) -> bool:
        """Whether all candidates of a request share it."""
        return self.of_request is not None


FEATURES: dict[str, Feature] = {}
BEFORE_NOW = "events strictly before the request"
FIXED = "fixed when the tweet or account was made"
SNAPSHOT = "as of the batch job's last run"


def feature(
    name: str,
    *,
    unit: str,
    group: str,
    rule: str = BEFORE_NOW,
    needs: tuple[str, ...] = (),
    requires: tuple[str, ...] = (),
    meaning: str = "",
) -> Callable[[RowFunction], RowFunction]:
    """Declare a feature of a row; the function takes the batch (with `needs` present) and returns [n].

    meaning: one line; the function's docstring if not given.
    """

    def declare(compute: RowFunction) -> RowFunction:
        _register(Feature(name, meaning or _first_line(compute), unit, group, rule, compute, needs, requires))
        return compute

    return declare


def request_feature(
    name: str,
    *,
    unit: str,
    group: str,
    rule: str = BEFORE_NOW,
    requires: tuple[str, ...] = (),
    meaning: str = "",
) -> Callable[[RequestFunction], RequestFunction]:
    """Declare a feature that all candidates of a request share; the function takes the requests and returns [R]."""

    def declare(compute: RequestFunction) -> RequestFunction:
        line = meaning or _first_line(compute)
        alone = _alone(name, _of_requests)
        _register(Feature(name, line, unit, group, rule, alone, (), requires, family=_of_requests, of_request=compute))
        return compute

    return declare


def member(
    family: FamilyFunction,
    name: str,
    *,
    unit: str,
    group: str,
    meaning: str,
    rule: str = BEFORE_NOW,
    needs: tuple[str, ...] = (),
) -> None:
    """Declare a feature of a row that its family computes, with whatever else of the family is wanted."""
    _register(Feature(name, meaning, unit, group, rule, _alone(name, family), needs, family=family))


def lookup(name: str) -> Feature:
    """The feature of that name, or ConfigError with the nearest names."""
    if name not in FEATURES:
        raise ConfigError(f"feature {name!r}", f"unknown — {nearest(name, FEATURES)}")
    return FEATURES[name]


def hydrate(batch: CandidateBatch, names: Iterable[str]) -> CandidateBatch:
    """The batch with the named features (and what they stand on); columns already there are kept."""
    missing = batch.lacking(names)
    if not missing:
        return batch
    columns: dict[str, Array | None] = {}
    growing = batch.sharing(columns)
    rows = (len(batch),)
    for compute, family, wanted in _steps(missing, frozenset(columns)):
        found = (compute(growing),) if family is None else family(growing, wanted)
        for name, values in zip(wanted, found, strict=True):
            if values.shape[:1] != rows:
                raise ContractError(f"feature {name!r}", f"wants {rows[0]} rows, got shape {values.shape}")
            columns[name] = frozen(values)
    return growing


@lru_cache(maxsize=512)
def _steps(
    names: tuple[str, ...], present: frozenset[str]
) -> tuple[tuple[RowFunction, FamilyFunction | None, tuple[str, ...]], ...]:
    """What to compute, in order, for these names: single features, or all wanted members of a family at once."""
    wanted: dict[str, Feature] = {}

    def want(name: str) -> None:
        if name not in wanted and name not in present:
            declared = wanted[name] = lookup(name)
            for needed in declared.needs:
                want(needed)

    for name in names:
        want(name)
    steps: list[tuple[Feature, ...]] = []
    done: set[str] = set()

    def add(declared: Feature) -> None:
        if declared.name in done:
            return
        relatives = [other for other in wanted.values() if other.family is declared.family]
        step = (declared,) if declared.family is None else tuple(relatives)
        done.update(part.name for part in step)
        for needed in dict.fromkeys(name for part in step for name in part.needs):
            if needed in wanted:
                add(wanted[needed])
        steps.append(step)

    for declared in wanted.values():
        add(declared)
    return tuple((step[0].compute, step[0].family, tuple(part.name for part in step)) for step in steps)


def _alone(name: str, family: FamilyFunction) -> RowFunction:
    return lambda batch: family(batch, (name,))[0]


def _of_requests(batch: CandidateBatch, names: tuple[str, ...]) -> Sequence[Array]:
    """Features that all candidates of a request share: one table of them is repeated, and its rows are read."""
    found = [of_request(batch.requests) for name in names if (of_request := FEATURES[name].of_request) is not None]
    if len({values.dtype for values in found}) > 1:
        return [batch.per_request(values) for values in found]
    return list(np.array(found).repeat(batch.counts, axis=1))


def matrix(batch: CandidateBatch, names: tuple[str, ...]) -> Array:
    """float32 [n, F]: hydrated features side by side, in the order of `names`."""
    hydrated = hydrate(batch, names)
    out = np.empty((len(batch), len(names)), np.float32)
    for column, name in zip(out.T, names, strict=True):
        column[:] = hydrated[name]
    return out


@cache
def of_groups(groups: tuple[str, ...]) -> tuple[str, ...]:
    """The sorted names of all features of these groups."""
    return tuple(sorted(name for name, declared in FEATURES.items() if declared.group in groups))


def assets_needed(names: Iterable[str]) -> set[str]:
    """The assets that these features, and what they stand on, read."""
    found: set[str] = set()
    for name in names:
        if name in FEATURES:
            found.update(FEATURES[name].requires)
            found |= assets_needed(FEATURES[name].needs)
    return found


def _register(declared: Feature) -> None:
    if declared.name in FEATURES:
        raise ConfigError(f"feature {declared.name!r}", "declared twice — choose another name")
    FEATURES[declared.name] = declared
    _steps.cache_clear()
    of_groups.cache_clear()


def _first_line(function: Callable[..., Array]) -> str:
    return (function.__doc__ or "").strip().split("\n")[0].rstrip(".")

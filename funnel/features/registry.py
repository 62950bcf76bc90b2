"""Features: one function each, declared by name, hydrated once and only when somebody needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from funnel.core.arrays import Array, frozen
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, ContractError, nearest

RowFunction: TypeAlias = Callable[[CandidateBatch], Array]
RequestFunction: TypeAlias = Callable[[Requests], Array]


@dataclass(frozen=True)
class Feature:
    """A named column: its unit, group, what it reads, and its point-in-time rule."""

    name: str
    meaning: str
    unit: str
    group: str
    rule: str
    compute: RowFunction
    needs: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    per_request: bool = False


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
        def spread(batch: CandidateBatch) -> Array:
            return batch.per_request(compute(batch.requests))

        line = meaning or _first_line(compute)
        _register(Feature(name, line, unit, group, rule, spread, (), requires, per_request=True))
        return compute

    return declare


def lookup(name: str) -> Feature:
    """The feature of that name, or ConfigError with the nearest names."""
    if name not in FEATURES:
        raise ConfigError(f"feature {name!r}", f"unknown — {nearest(name, FEATURES)}")
    return FEATURES[name]


def hydrate(batch: CandidateBatch, names: Iterable[str]) -> CandidateBatch:
    """The batch with the named features (and what they stand on); columns already there are kept."""
    missing = [name for name in names if name not in batch]
    if not missing:
        return batch
    columns: dict[str, Array | None] = {}
    growing = batch.sharing(columns)
    for name in missing:
        _add(growing, columns, name)
    return growing


def _add(growing: CandidateBatch, columns: dict[str, Array | None], name: str) -> None:
    """Put a feature, and what it stands on, into the columns of a batch that is being hydrated."""
    if name in growing:
        return
    declared = lookup(name)
    for needed in declared.needs:
        _add(growing, columns, needed)
    values = declared.compute(growing)
    if values.shape[:1] != (len(growing),):
        raise ContractError(f"feature {name!r}", f"wants {len(growing)} rows, got shape {values.shape}")
    columns[name] = frozen(values)


def matrix(batch: CandidateBatch, names: tuple[str, ...]) -> Array:
    """float32 [n, F]: hydrated features side by side, in the order of `names`."""
    hydrated = hydrate(batch, names)
    out = np.empty((len(batch), len(names)), np.float32)
    for column, name in enumerate(names):
        out[:, column] = hydrated[name]
    return out


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


def _first_line(function: Callable[..., Array]) -> str:
    return (function.__doc__ or "").strip().split("\n")[0].rstrip(".")

"""Runs on disk as outcomes: two folders that `funnel simulate --out` wrote can be compared like two funnels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from funnel import __version__
from funnel.core.arrays import Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, DataError
from funnel.core.products import TIMELINE, Product, product_named
from funnel.experiment.compare import Against, overlap
from funnel.experiment.statistics import Resamples, effects
from funnel.features import hydrate
from funnel.metrics import Outcome, Scene, check_comparable, measure
from funnel.simulate import VIEWERS
from funnel.store import read_json
from funnel.world import World

WANTED = ("funnel", "funnel_hash", "world", "world_hash", "seed", "at_h", "version", "status")


def is_run(path: str) -> bool:
    """Whether it is a folder, and so no funnel."""
    return Path(path).is_dir()


def read_run(path: Path) -> tuple[dict[str, object], pl.DataFrame]:
    """(manifest, shown tweets) of a finished run.

    ConfigError if the run is not finished or shows nothing; DataError if it is damaged or of a newer version.
    """
    manifest = read_json(path / "manifest.json")
    if any(key not in manifest for key in WANTED):
        raise DataError(str(path), "is no run of `funnel simulate --out`")
    if _parts(str(manifest["version"])) > _parts(__version__):
        raise DataError(str(path), f"was written by a newer version, {manifest['version']} — this is {__version__}")
    if manifest["status"] != "complete":
        raise ConfigError(str(path), "is not finished — the same `funnel simulate` command goes on with it")
    files = sorted((path / "pages").glob("part-*.parquet"))
    try:
        frame = pl.concat([pl.read_parquet(file) for file in files], how="diagonal") if files else pl.DataFrame()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(str(path), f"has pages that cannot be read ({error})") from None
    if not frame.height:
        raise ConfigError(str(path), "is an empty run: nothing was shown to anybody")
    return manifest, frame


def outcome_of_run(path: Path) -> Outcome:
    """The pages of a finished run; what happened to candidates is not in it.

    ConfigError if the run is not finished or shows nothing; DataError if it is damaged or of a newer version.
    """
    manifest, frame = read_run(path)
    frame = frame.sort("viewer", "rank")
    product = product_of_run(manifest)
    shown = frame["viewer"].to_numpy()
    viewers = asked_of(path) if product.optional else np.unique(shown)
    counts = np.bincount(np.searchsorted(viewers, shown), minlength=viewers.size)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    truth = [f"{what}.{name}" for what in ("expected", "did") for name in product.action_names]
    kept = ["tweet", "author", "in_network", "age_h", "light_score", "value", "score", "satisfaction", *truth]
    kept += [name for name in frame.columns if name.startswith("p.")]
    about = {key: manifest[key] for key in WANTED} | {"size": manifest.get("size"), "product": product.name}
    nothing = {"modules": np.zeros(viewers.size, np.int32)}
    page = {name: frame[name].to_numpy() for name in kept if name in frame.columns}
    return Outcome(about, viewers.astype(np.int32), offsets, page, (), (), nothing, np.zeros(0))


def product_of_run(manifest: Mapping[str, object]) -> Product:
    """What the run's funnel makes."""
    return product_named(manifest.get("product", TIMELINE.name), "manifest.json: product")


def asked_of(path: Path) -> Ints:
    """int32 [R], ascending: everybody whom a run of a product that may show nothing asked for; DataError if unsaid."""
    try:
        return np.unique(pl.read_parquet(path / VIEWERS)["viewer"].to_numpy()).astype(np.int32)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(str(path / VIEWERS), f"cannot be read ({error}) — simulate again") from None


def compare_runs(a: Path, b: Path, *, metrics_seed: int = 0) -> Against:
    """Run b against run a: of the same world, seed, moment and viewers; ConfigError if they are not."""
    one, other = outcome_of_run(a), outcome_of_run(b)
    if one.about["product"] != other.about["product"]:
        raise ConfigError(f"{a} and {b}", f"are of {one.about['product']} and {other.about['product']}")
    both = np.intersect1d(one.viewers, other.viewers)  # a viewer whose timeline is empty is in no file
    if not both.size:
        raise ConfigError(f"{a} and {b}", "have no viewer in common")
    one, other = one.of_viewers(_rows(one, both)), other.of_viewers(_rows(other, both))
    check_comparable(one, other)
    product = product_named(one.about["product"], str(a))
    scene = Scene(_world_of(one), float(one.about["at_h"]), product=product)
    one, other = _completed(one, scene), _completed(other, scene)
    resamples = Resamples.of(len(one), seed=metrics_seed)
    found = effects(measure(one, scene), measure(other, scene), resamples)
    left_out = ("page.modules",)  # a run does not keep them
    kept = [effect for effect in found if effect.metric not in left_out]
    return Against(f"{a.name} ({one.name})", f"{b.name} ({other.name})", kept, [], overlap(one, other))


def _world_of(outcome: Outcome) -> World:
    world = World.load(str(outcome.about["world"]))
    if world.hash != outcome.about["world_hash"]:
        what = f"is of world {outcome.about['world']!r} as {outcome.about['world_hash']}, which is now {world.hash}"
        raise ConfigError(f"run of {outcome.name!r}", f"{what} — simulate again")
    return world


def _completed(outcome: Outcome, scene: Scene) -> Outcome:
    """With the columns that a run has only if one of its stages needed them."""
    requests = Requests.of(outcome.viewers, scene.at_h, scene.world.view(scene.at_h))
    page = hydrate(CandidateBatch(requests, outcome.offsets, {"tweet": outcome.page["tweet"]}), ("in_network", "age_h"))
    return replace(outcome, page={**outcome.page, **{name: page[name] for name in ("author", "in_network", "age_h")}})


def _rows(outcome: Outcome, viewers: Ints) -> Longs:
    return np.searchsorted(outcome.viewers, viewers)


def _parts(version: str) -> tuple[int, ...]:
    """(0, 1, 0) of "0.1.0"; what is no number ends it."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)

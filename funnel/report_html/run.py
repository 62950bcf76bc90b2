"""Everything that a report shows of a run: its folder, what experiments left beside it, and its world if it is here.

`attribution.json` (`funnel attribute`) and `ablation.json` (`funnel ablate --out`) are looked for in the run's folder,
or read from the files that the caller names. Without the world there are ids in place of names and texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from funnel.core.errors import DataError
from funnel.experiment.runs import read_run
from funnel.simulate import MODULES
from funnel.store import home, read_json
from funnel.world import World

ATTRIBUTION, ABLATION = "attribution.json", "ablation.json"
STAGE_COLUMNS = ("stage", "kind", "n_in", "n_out", "removed")


@dataclass(frozen=True)
class RunData:
    """One finished run.

    pages, stages, modules: tables as docs/runs.md describes them; modules is None for a run that kept none.
    attribution, ablation: what the experiments said, or None; notes: what a reader should know.
    """

    path: Path
    manifest: Mapping[str, Any]
    pages: pl.DataFrame
    stages: pl.DataFrame
    modules: pl.DataFrame | None
    attribution: Mapping[str, Any] | None
    ablation: Mapping[str, Any] | None
    world: World | None
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called on the page."""
        return f"{self.manifest['funnel']} on {self.manifest['world']}"

    @property
    def has_truth(self) -> bool:
        """Whether the pages say what viewers would do."""
        return "satisfaction" in self.pages.columns


def open_run(path: Path, *, attribution: Path | None = None, ablation: Path | None = None) -> RunData:
    """The run in a folder; ConfigError if it is empty or not finished, DataError if it is damaged or too new."""
    if not path.is_dir():
        raise DataError(str(path), "is no folder of a run — `funnel simulate --viewers N --out RUN` makes one")
    manifest, pages = read_run(path)
    stages = _table(path / "stages.parquet", STAGE_COLUMNS)
    world = known_world(str(manifest["world_hash"]))
    notes = [str(text) for file in sorted((path / "notes").glob("part-*.json")) for text in read_json(file)["warnings"]]
    if world is None:
        notes.append(
            f"The world {manifest['world']} is not in the cache: tweets and authors are shown by their numbers, and "
            "authors are those who were shown"
        )
    files = sorted((path / "modules").glob("part-*.parquet"))
    modules = pl.concat([_table(file, tuple(MODULES)) for file in files]) if files else None
    return RunData(
        path=path,
        manifest=manifest,
        pages=pages.sort("viewer", "rank"),
        stages=stages,
        modules=modules,
        attribution=_said(attribution, path / ATTRIBUTION, "segments"),
        ablation=_said(ablation, path / ABLATION, "ablations"),
        world=world,
        notes=tuple(dict.fromkeys(notes)),
    )


def known_world(hash_: str) -> World | None:
    """The world of that hash if the cache has it; nothing is built."""
    for file in sorted((home() / "worlds").glob("*/manifest.json")):
        try:
            if read_json(file).get("hash") == hash_:
                return World.load(file.parent)
        except DataError:  # a damaged one is noticed when it is asked for
            continue
    return None


def _said(chosen: Path | None, beside: Path, wanted: str) -> Mapping[str, Any] | None:
    """What an experiment left; None if it left nothing, DataError if the file is something else."""
    file = chosen if chosen is not None else beside
    if chosen is None and not beside.exists():
        return None
    found = read_json(file)
    if wanted not in found:
        raise DataError(str(file), f"is not what the experiment writes: it has no {wanted!r}")
    return found


def _table(file: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(str(file), f"cannot be read ({' '.join(str(error).split())}) — simulate again") from None
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise DataError(str(file), f"has no column {missing[0]!r} — simulate again")
    return frame

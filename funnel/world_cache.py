"""Where worlds come from: a name, a YAML file or a folder; a builder; the cache.

A world's folder in the cache is called by its name and a hash of its configuration, its seed and the code of its
builder, so that a world is never mistaken for one that another version made. Building happens in a temporary folder
that is renamed when it is complete: two processes may build the same world, and one of them wins.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import importlib.util
import math
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from funnel.checks import check_tables
from funnel.core.errors import ConfigError, DataError, nearest
from funnel.core.progress import Progress
from funnel.core.tables import TABLES
from funnel.core.world import Oracle, WorldBuilder, WorldData, WorldMeta, WorldTables
from funnel.store import digest, home, read_json, read_table, read_yaml, sha256_of, writing
from funnel.world_files import FORMAT, MANIFEST, meta_of, read_manifest, remove, save_world, verify

BUILDER_PACKAGES = ("synthetic", "synthetic.datasets")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# Versions of one world (same name, configuration and seed, other code) that stay in the cache.
_KEPT_VERSIONS = 3
# How often, and after what pause, to look again at a folder that another process is replacing.
_PATIENCE, _PAUSE_S = 20, 0.05
_ABANDONED_S = 24 * 3600.0


@dataclass(frozen=True)
class Stored:
    """A verified folder; owned: whether it is in the cache, where indices may be added."""

    folder: Path
    manifest: Mapping[str, Any]
    meta: WorldMeta
    owned: bool


class Folder:
    """Reads a world from a folder of Parquet tables whose manifest.json has no more than `meta`."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def build(self, name: str, seed: int, progress: Progress) -> WorldData:  # a builder's signature
        """The tables as they are; whoever asks checks them."""
        manifest = read_json(self.path / MANIFEST)
        meta = meta_of(manifest, str(self.path / MANIFEST))
        present = [table for table in TABLES if (self.path / f"{table}.parquet").exists()]
        return WorldData(meta, {table: read_table(self.path / f"{table}.parquet") for table in present})

    def oracle(self, data: WorldTables, truth: Mapping[str, Any]) -> Oracle | None:
        """Nobody knows its truth."""
        return None


def stored_world(source: str | Path, *, progress: Progress, seed: int, rebuild: bool) -> Stored:
    """The stored world of a name, YAML file or folder; made first where it has to be."""
    if isinstance(source, Path) or "/" in source or source.endswith((".yaml", ".yml")):
        path = Path(source).expanduser()
        if path.is_dir():
            return _from_folder(path, progress=progress, rebuild=rebuild)
        if not path.is_file():
            raise ConfigError(f"world {str(source)!r}", "there is no such file or folder")
        return _from_config(path.stem, read_yaml(path), str(path), progress=progress, seed=seed, rebuild=rebuild)
    known = configured()
    if source in known:
        return _from_config(source, read_yaml(known[source]), source, progress=progress, seed=seed, rebuild=rebuild)
    if source in cached():
        config = cached()[source]
        return _from_config(source, config, source, progress=progress, seed=seed, rebuild=rebuild)
    raise ConfigError(f"world {source!r}", f"unknown — {nearest(source, {*known, *cached()})}")


def configured() -> dict[str, Path]:
    """Name -> YAML file of the worlds that are configured."""
    folder = Path(str(importlib.resources.files("configs") / "worlds"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def cached() -> dict[str, dict[str, Any]]:
    """Name -> configuration of the worlds in the cache, the newest of each name."""
    found: dict[str, dict[str, Any]] = {}
    folders = [path for path in _worlds().glob("*-*") if not path.name.startswith(".") and (path / MANIFEST).is_file()]
    for folder in sorted(folders, key=lambda path: (path / MANIFEST).stat().st_mtime):
        with suppress(DataError, KeyError, TypeError, ValueError):  # a damaged one is noticed when it is asked for
            manifest = read_manifest(folder)
            found[str(manifest["name"])] = dict(manifest["config"])
    return found


def make_builder(config: Mapping[str, Any], where: str) -> WorldBuilder:
    """The builder that a configuration names, with its settings; ConfigError if one is unknown or wrong."""
    if "folder" in config:
        return Folder(config["folder"])
    from funnel import compose  # pydantic and the stages' contracts, which a stored world opens without

    settings = {key: value for key, value in config.items() if key != "use"}
    return cast(WorldBuilder, compose.make(where, compose.builder(config["use"]), settings))


def _from_config(
    name: str, config: dict[str, Any], where: str, *, progress: Progress, seed: int, rebuild: bool
) -> Stored:
    if not _NAME.fullmatch(name):
        raise ConfigError(where, "wants a world's name of letters, digits, '_', '-' and '.'")
    if "folder" in config:
        code = _folder_stamp(Path(config["folder"]))
    elif isinstance(config.get("use"), str):
        code = _code_of(config["use"], where)
    else:
        raise ConfigError(f"{where}.use", f"wants the name of a builder — {nearest('', _builder_files())}")
    made_of = digest({"name": name, "config": config, "seed": seed})
    version = digest({"code": code, "tables": repr(TABLES), "format": FORMAT})
    folder = _worlds() / f"{name}-{made_of[:8]}-{version[:8]}"
    if not rebuild and (folder / MANIFEST).exists():
        try:
            return _open(folder, owned=True)
        except DataError as damage:
            progress.note(f"world {name!r} is damaged and is built again ({damage})")
    elif not rebuild and folder.exists():
        progress.note(f"world {name!r} has no manifest and is built again")
    return _build(folder, name, config, where, progress=progress, seed=seed, rebuild=rebuild)


def _from_folder(path: Path, *, progress: Progress, rebuild: bool) -> Stored:
    """A stored world opens where it is; tables with only `meta` are checked and taken into the cache."""
    if not (path / MANIFEST).exists():
        raise DataError(str(path), f"has no {MANIFEST}; a folder of tables wants one with at least 'meta'")
    if "files" in read_json(path / MANIFEST):
        if rebuild:
            raise ConfigError(str(path), "a stored world cannot be built again from its folder; load it by its name")
        return _open(path, owned=path.absolute().parent == _worlds())
    config = {"folder": str(path.absolute())}
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.absolute().name).lstrip("_.-") or "world"
    return _from_config(name, config, str(path), progress=progress, seed=0, rebuild=rebuild)


def _open(folder: Path, *, owned: bool) -> Stored:
    manifest = read_manifest(folder)
    verify(folder, manifest)
    return Stored(folder, manifest, meta_of(manifest, str(folder / MANIFEST)), owned)


def _build(
    folder: Path, name: str, config: dict[str, Any], where: str, *, progress: Progress, seed: int, rebuild: bool
) -> Stored:
    builder = make_builder(config, where)
    with writing(folder.parent):  # better said before the work than after it
        folder.parent.mkdir(parents=True, exist_ok=True)
    data = builder.build(name, seed, progress)
    check_tables(data.tables, where if "folder" in config else f"world {name!r}")
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    try:
        content = save_world(partial, data, {"name": name, "config": config, "seed": seed})
        _swap(partial, folder, content, replace=rebuild)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _tidy(folder)
    return _open_again(folder)


def _open_again(folder: Path) -> Stored:
    """Open what has just been put in place; another process may be putting an equal one there at this moment."""
    for _ in range(_PATIENCE):
        with suppress(DataError):
            return _open(folder, owned=True)
        time.sleep(_PAUSE_S)
    return _open(folder, owned=True)


def _swap(partial: Path, folder: Path, content: str, *, replace: bool) -> None:
    """Put a complete folder in its place, unless another process has just put an equal one there."""
    for turn in range(5):  # each turn that fails means that yet another process was faster
        with suppress(DataError):
            wanted = not (replace and turn == 0)
            if wanted and (folder / MANIFEST).exists() and _open(folder, owned=True).manifest["hash"] == content:
                return
        remove(folder)
        try:
            partial.rename(folder)
            return
        except FileExistsError:
            continue
        except OSError as error:
            if folder.exists():
                continue
            with writing(folder):
                raise error
    raise DataError(
        str(folder), "cannot be replaced: other processes write here, or it may not be deleted; delete it by hand"
    )


def _tidy(folder: Path) -> None:
    """Remove what superseded code made of the same configuration, and what a killed process left."""
    family = folder.name.rsplit("-", 1)[0]
    made: dict[Path, float] = {}
    for path in folder.parent.glob(f"{family}-*"):
        with suppress(OSError):  # no manifest, or another process is swapping the folder at this moment
            made[path] = (path / MANIFEST).stat().st_mtime
    made[folder] = math.inf
    for old in sorted(made, key=lambda path: made[path], reverse=True)[_KEPT_VERSIONS:]:
        remove(old)
    for left in folder.parent.glob(".*.partial"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)


def _worlds() -> Path:
    return home() / "worlds"


def _builder_files() -> dict[str, Path]:
    """Name -> file of the modules that may hold a builder; nothing is imported."""
    found: dict[str, Path] = {}
    for package in BUILDER_PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            found |= {path.stem: path for path in Path(folder).glob("[a-z]*.py")}
    return found


def _code_of(use: str, where: str) -> str:
    """A hash of the files beside a builder's own: another version of the code makes another world."""
    builders = _builder_files()
    if use not in builders:
        raise ConfigError(f"{where}.use", f"unknown builder {use!r} — {nearest(use, builders)}")
    running = hashlib.sha256()
    for path in sorted(builders[use].parent.glob("*.py")):
        running.update(path.name.encode() + path.read_bytes())
    return running.hexdigest()


def _folder_stamp(path: Path) -> str:
    """A hash of the tables in a folder, so that an edited table is read again."""
    if not path.is_dir():
        raise DataError(str(path), "is no longer there")
    return digest({file.name: sha256_of(file) for file in [*sorted(path.glob("*.parquet")), path / MANIFEST]})

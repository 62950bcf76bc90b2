"""A world as a folder: Parquet to read, memory-mapped columns to run on, a manifest to trust them by.

    users.parquet, tweets.parquet, …   the tables, for people and other tools
    columns/<table>.<column>.npy       the same columns, opened without being read; text as bytes and offsets
    truth.safetensors                  what only the oracle opens, if the world has a truth
    index/                             indices that `WorldTables` keeps
    manifest.json                      configuration, seed, meta, row counts, sha256 of every file, the world's hash

A file is taken for what it was if its size and time of change are; otherwise its sha256 decides.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from funnel.core.arrays import Array, Longs, mapped
from funnel.core.errors import DataError
from funnel.core.tables import TABLES
from funnel.core.world import WorldData, WorldMeta
from funnel.store import digest, read_json, save_arrays, sha256_of, write_json, write_table, writing

FORMAT = 1
MANIFEST = "manifest.json"
TRUTH = "truth.safetensors"


class Texts:
    """A column of text that is decoded only where it is read: UTF-8 bytes [B] and offsets int64 [n + 1]."""

    def __init__(self, content: Array, offsets: Longs) -> None:
        self.content = content
        self.offsets = offsets

    @classmethod
    def of(cls, values: Array) -> Texts:
        """From an object array of str."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in values.tolist()]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    def __len__(self) -> int:
        return int(self.offsets.size - 1)

    def take(self, rows: ArrayLike) -> list[str]:
        """The texts of some rows."""
        chosen = np.asarray(rows, dtype=np.int64)
        begin, end = self.offsets[chosen].tolist(), self.offsets[chosen + 1].tolist()
        return [self.content[b:e].tobytes().decode("utf-8", "surrogatepass") for b, e in zip(begin, end, strict=True)]

    def all(self) -> Array:
        """object [n] of str."""
        raw = self.content.tobytes()
        bounds = self.offsets.tolist()
        out = np.empty(len(self), dtype=object)
        if raw.isascii():  # then a byte is a character, and slicing one string is three times as fast
            text = raw.decode("ascii")
            out[:] = [text[b:e] for b, e in pairwise(bounds)]
        else:
            out[:] = [raw[b:e].decode("utf-8", "surrogatepass") for b, e in pairwise(bounds)]
        return out


def content_hash(data: WorldData) -> str:
    """16 hexadecimal digits that name what is in a world: its meta, tables and truth."""
    parts: dict[str, str] = {}
    for name, table in TABLES.items():
        for column in table.columns:
            if name in data.tables:
                for key, values in stored_columns(data.tables[name][column], f"{name}.{column}").items():
                    parts[key] = _hash_of(values)
    truth = {name: _hash_of(values) for name, values in data.truth.items()}
    return digest({"meta": data.meta, "tables": parts, "truth": truth})


def stored_columns(values: Array, key: str) -> dict[str, Array]:
    """What is kept of a column: itself, or bytes and offsets of text."""
    if values.dtype != object:
        return {key: values}
    texts = Texts.of(values)
    return {f"{key}.bytes": texts.content, f"{key}.offsets": texts.offsets}


def save_world(folder: Path, data: WorldData, about: Mapping[str, object]) -> str:
    """Write a world into a new folder, the manifest last; `about` (configuration, seed) goes into it. The hash."""
    with writing(folder):
        (folder / "columns").mkdir(parents=True)
    for name, table in TABLES.items():
        columns = data.tables.get(name)
        if columns is None or not next(iter(columns.values())).size:
            continue
        write_table(folder / f"{name}.parquet", {column: columns[column] for column in table.columns})
        for column in table.columns:
            for key, values in stored_columns(columns[column], f"{name}.{column}").items():
                with writing(folder):
                    np.save(folder / "columns" / f"{key}.npy", values)
    if data.truth:
        save_arrays(folder / TRUTH, data.truth)
    rows = {name: int(next(iter(columns.values())).size) for name, columns in data.tables.items()}
    content = content_hash(data)
    manifest = {"format": FORMAT, **about, "meta": data.meta, "hash": content, "rows": rows}
    stored = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): {**_stamp(path), "sha256": sha256_of(path)} for path in stored}
    write_json(folder / MANIFEST, {**manifest, "files": files})
    return content


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a stored world; DataError if it is missing or of another format."""
    manifest = read_json(folder / MANIFEST)
    missing = {"format", "meta", "hash", "rows", "files"} - set(manifest)
    if missing or manifest["format"] != FORMAT:
        raise DataError(str(folder / MANIFEST), f"is no manifest of a stored world, format {FORMAT}")
    return manifest


def meta_of(manifest: Mapping[str, Any], where: str) -> WorldMeta:
    """The `WorldMeta` that a manifest holds."""
    content = manifest["meta"]
    known = {field.name for field in fields(WorldMeta)}
    wanted = {"name", "end_h", "train_until_h", "viewer_count"}
    if not isinstance(content, dict) or set(content) - known or wanted - set(content):
        raise DataError(where, f"its 'meta' wants {', '.join(sorted(wanted))} and nothing unknown")
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    return WorldMeta(**settings)


def verify(folder: Path, manifest: Mapping[str, Any]) -> None:
    """DataError unless every file is the one that was written."""
    moved = False
    for name, written in manifest["files"].items():
        path = folder / name
        try:
            found = _stamp(path)
        except OSError as error:
            raise DataError(str(path), f"is missing or cannot be read ({error.strerror or error})") from error
        if found["size"] != written["size"]:
            raise DataError(str(path), f"is damaged: {found['size']} bytes, wants {written['size']}")
        if found["mtime_ns"] != written["mtime_ns"]:
            if sha256_of(path) != written["sha256"]:
                raise DataError(str(path), "is damaged or was changed: its sha256 is not the manifest's")
            written.update(found)
            moved = True
    if moved:
        # A copy of a world has new times: note them, so that the next start need not hash. Where that may not be
        # written, the next start hashes again.
        with suppress(DataError):
            write_json(folder / MANIFEST, manifest)


def open_columns(folder: Path, rows: Mapping[str, int]) -> tuple[dict[str, dict[str, Array]], dict[str, Texts]]:
    """(table -> column -> memory-mapped array, "table.column" -> Texts) of a verified folder.

    Texts of tweets stay out of the tables: they are read where people look, never by a stage.
    """
    tables: dict[str, dict[str, Array]] = {}
    texts: dict[str, Texts] = {}
    for name, table in TABLES.items():
        if not rows.get(name):
            continue
        columns: dict[str, Array] = {}
        for column, spec in table.columns.items():
            key = f"{name}.{column}"
            if spec.dtype == "str":
                texts[key] = Texts(_mapped(folder, f"{key}.bytes"), _mapped(folder, f"{key}.offsets"))
                if name != "texts":
                    columns[column] = texts[key].all()
            else:
                columns[column] = _mapped(folder, key)
        if name != "texts":
            tables[name] = columns
    return tables, texts


def remove(folder: Path) -> None:
    """Delete a stored world: first out of sight in one step, then file by file."""
    hidden = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    with suppress(OSError):
        folder.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def _mapped(folder: Path, key: str) -> Array:
    path = folder / "columns" / f"{key}.npy"
    try:
        return mapped(path)
    except (OSError, ValueError) as error:
        if path.exists() and path.stat().st_size:
            with suppress(OSError, ValueError):
                return np.asarray(np.load(path))  # a column of no bytes cannot be mapped
        raise DataError(str(path), f"cannot be opened ({error})") from error


def _stamp(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _hash_of(values: Array) -> str:
    contiguous = np.ascontiguousarray(values)
    running = hashlib.sha256(f"{values.dtype.str}|{values.shape}|".encode())
    running.update(contiguous.tobytes() if not contiguous.ndim else contiguous.data)
    return running.hexdigest()

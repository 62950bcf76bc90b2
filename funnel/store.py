"""Files on disk: written whole or not at all, read back only if they are what was written.

Everything that the project keeps (worlds, models, runs) goes through here: `home()` says where,
`write_atomically` writes under a temporary name, syncs and renames, `save_arrays` / `load_arrays`
keep NumPy arrays with a checksum, `write_table` / `read_table` keep tables as Parquet, and
`read_yaml`, `read_json`, `digest`, `sha256_of` do what their names say. `check_tables` holds a
world's tables against `funnel.core.tables`.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from funnel.checks import check_tables
from funnel.core.arrays import Array
from funnel.core.errors import ConfigError, ContractError, DataError

__all__ = [
    "check_tables", "digest", "home", "load_arrays", "read_json", "read_table", "read_yaml", "save_arrays",
    "sha256_of", "write_atomically", "write_json", "write_table", "writing",
]  # fmt: skip

YAML_LIMIT_BYTES = 1 << 20  # a configuration is a page or two; a megabyte is a mistake
_CHECKSUM = "funnel.sha256"


def home() -> Path:
    """The folder for worlds, models and runs: $FUNNEL_HOME, else the user's cache directory."""
    chosen = os.environ.get("FUNNEL_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache).expanduser().absolute() if cache else Path.home() / ".cache") / "funnel"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns whatever the operating system says while `path` is written into a DataError with advice."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError(
            str(path),
            f"cannot be written ({why}); free some space, or set FUNNEL_HOME to a folder that you may write to",
        ) from error


def write_atomically(path: Path, writer: Callable[[Path], object]) -> None:
    """Let `writer` write a temporary file beside `path`, then put it in place; nothing half-written ever shows.

    Makes the folder. DataError if the disk is full or writing is not allowed; on any error the temporary file goes.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            writer(partial)
            with partial.open("rb+") as written:
                os.fsync(written.fileno())
            partial.replace(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes; DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(str(path), f"cannot be read ({error.strerror or error})") from error


def digest(obj: object) -> str:
    """16 hexadecimal digits that name a configuration: the start of the sha256 of its canonical JSON."""
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_json(path: Path, value: object) -> None:
    """Write a manifest: indented JSON, atomically; dataclasses, paths and NumPy scalars are allowed."""
    text = json.dumps(value, indent=1, default=_plain) + "\n"
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """A manifest's mapping; DataError if it is missing, not JSON or not a mapping."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(str(path), f"cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(str(path), f"is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise DataError(str(path), f"wants a mapping, got a {type(value).__name__}")
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """A configuration: one mapping with unique keys, no aliases, at most 1 MB; ConfigError otherwise."""
    import yaml  # 30 ms that only readers of YAML should pay

    from funnel.yaml_loader import StrictLoader

    try:
        with path.open("rb") as file:
            raw = file.read(YAML_LIMIT_BYTES + 1)
        if len(raw) > YAML_LIMIT_BYTES:
            raise ConfigError(
                str(path), f"is larger than {YAML_LIMIT_BYTES >> 20} MB; a configuration is a page or two"
            )
        value = yaml.load(raw, StrictLoader)  # noqa: S506 - StrictLoader is a SafeLoader
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read ({error.strerror or error})") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(str(path), f"is not valid YAML ({' '.join(str(error).split())})") from error
    except RecursionError as error:
        raise ConfigError(str(path), "is nested too deeply for a configuration") from error
    if not isinstance(value, dict):
        got = "nothing" if value is None else f"a {type(value).__name__}"
        raise ConfigError(str(path), f"wants a mapping of settings, got {got}")
    if any(not isinstance(key, str) for key in value):
        raise ConfigError(str(path), "wants settings whose names are text")
    return value


def save_arrays(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Keep numeric or boolean arrays of any shape under their names, with a checksum (safetensors).

    metadata: text to keep beside them. ContractError for arrays of text or objects.
    """
    from safetensors.numpy import save  # a world without truth, or a first look, needs none

    kept = {name: np.ascontiguousarray(values).reshape(values.shape) for name, values in arrays.items()}
    for name, values in kept.items():
        if values.dtype.kind not in "biuf":
            raise ContractError(f"array {name!r}", f"wants numbers or booleans, got {values.dtype}")
    header = {str(key): str(value) for key, value in (metadata or {}).items()}
    if _CHECKSUM in header:
        raise ContractError("save_arrays", f"the name {_CHECKSUM!r} is taken by the checksum")
    content = save(kept, metadata={**header, _CHECKSUM: _checksum(kept, header)})
    write_atomically(path, lambda partial: partial.write_bytes(content))


def load_arrays(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """(arrays, metadata) as `save_arrays` kept them; DataError if the file is missing, truncated or altered."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            arrays: dict[str, Array] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except OSError as error:
        raise DataError(str(path), f"cannot be read ({error.strerror or error})") from error
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            str(path), f"is damaged or not a file of arrays ({error}); delete it to have it made again"
        ) from error
    if metadata.pop(_CHECKSUM, None) != _checksum(arrays, metadata):
        raise DataError(
            str(path), "is damaged: its content does not match its checksum; delete it to have it made again"
        )
    return arrays, metadata


def write_table(path: Path, columns: Mapping[str, Array]) -> None:
    """Write columns of equal length as Parquet, atomically; object arrays of str become text."""
    import polars as pl  # 0.3 s that a warm start must not pay

    frame = pl.DataFrame(
        [pl.Series(name, values.tolist(), dtype=pl.String) if values.dtype == object else pl.Series(name, values)
         for name, values in columns.items()]
    )  # fmt: skip
    try:
        write_atomically(path, lambda partial: frame.write_parquet(partial, compression="zstd", compression_level=1))
    except pl.exceptions.PolarsError as error:
        raise DataError(str(path), f"cannot be written as Parquet ({error})") from error


def read_table(path: Path) -> dict[str, Array]:
    """The columns of a Parquet file as NumPy arrays, text as object arrays of str.

    DataError if the file is missing, truncated, not Parquet, or has an empty cell (null).
    """
    import polars as pl

    if not path.is_file():
        raise DataError(str(path), "is missing")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            str(path), f"cannot be read as Parquet: truncated, damaged or another format ({error})"
        ) from error
    columns: dict[str, Array] = {}
    for series in frame:
        if series.null_count():
            row = int(series.is_null().arg_max() or 0)
            raise DataError(str(path), f"column {series.name!r}, row {row} is empty (null); every cell wants a value")
        columns[series.name] = series.rechunk().to_numpy()
    return columns


def _checksum(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    running = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name in sorted(arrays):
        values = arrays[name]
        running.update(f"{name}|{values.dtype.str}|{values.shape}|".encode())
        running.update(
            np.ascontiguousarray(values).tobytes() if values.ndim == 0 else np.ascontiguousarray(values).data
        )
    return running.hexdigest()


def _plain(value: object) -> object:
    """What JSON cannot write, in terms of what it can."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise ContractError("json", f"cannot write a {type(value).__name__}")

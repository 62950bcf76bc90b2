"""Raw files of data sets: where they are, whether they are the right ones, and their columns of numbers."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from funnel.core.arrays import Array
from funnel.core.errors import DataError


def data_folder(name: str, source: str) -> Path:
    """The folder of a data set: in $FUNNEL_DATA, else in ../shared/data beside the checkout.

    source: where a user gets the files, for the DataError if they are not there.
    """
    chosen = os.environ.get("FUNNEL_DATA")
    checkout = Path(__file__).resolve().parents[2]
    beside = [Path.cwd().parent / "shared" / "data", checkout.parent / "shared" / "data"]
    for folder in [Path(chosen).expanduser()] if chosen else beside:
        if (folder / name).is_dir():
            return folder / name
    looked = chosen or "../shared/data"
    raise DataError(name, f"no such folder in {looked}; get the files from {source} and set FUNNEL_DATA to its parent")


def published(path: Path, sha256: str | None) -> bytes:
    """The bytes of a file; DataError if it cannot be read or is not the one that `sha256` names."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(str(path), f"cannot be read ({error.strerror or error})") from error
    if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
        raise DataError(str(path), f"is not the published file: wants sha256 {sha256}; fetch it again")
    return raw


def unzipped(path: Path, sha256: str | None = None) -> bytes:
    """What a gzipped file holds; DataError if it is missing, not the published one, or truncated."""
    try:
        return gzip.decompress(published(path, sha256))
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(str(path), f"is truncated or no gzip file ({error}); fetch it again") from error


def read_csv(
    path: Path, columns: Mapping[str, pl.DataType | type[pl.DataType]], sha256: str | None = None
) -> pl.DataFrame:
    """Some columns of a gzipped CSV file with a header; DataError if it is not such a file or a column is absent."""
    text = unzipped(path, sha256)
    try:
        return pl.read_csv(io.BytesIO(text), columns=list(columns), schema_overrides=dict(columns)).select(
            list(columns)
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(str(path), f"wants a CSV file with columns {', '.join(columns)} ({error})") from error


def read_parquet(path: Path, columns: Sequence[str], sha256: str | None = None) -> pl.DataFrame:
    """Some columns of a Parquet file; DataError if it is damaged or lacks one of them."""
    raw = published(path, sha256)
    try:
        return pl.read_parquet(io.BytesIO(raw), columns=list(columns)).select(list(columns))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(str(path), f"wants a Parquet file with columns {', '.join(columns)} ({error})") from error


def read_numbers(
    path: Path, columns: Mapping[str, str | None], *, sha256: str | None = None, kinds: tuple[str, ...] = ()
) -> dict[str, Array]:
    """Columns of a gzipped text file whose lines are whole numbers (and one of `kinds`) between single blanks.

    columns: name -> "kind" for the column of kinds, which becomes int8 codes in the order of `kinds`; None for
    numbers, which become int64. DataError, with the line where there is one, if the file is missing, not the one that
    `sha256` names, truncated, or has another line in it.
    """
    text = unzipped(path, sha256)
    schema = {name: pl.String if kind else pl.Int64 for name, kind in columns.items()}
    try:
        frame = pl.read_csv(io.BytesIO(text), separator=" ", has_header=False, schema=schema, quote_char=None)
        codes = {name: frame[name].replace_strict(list(kinds), range(len(kinds)), return_dtype=pl.Int8)
                 for name, kind in columns.items() if kind}  # fmt: skip
        found = frame.with_columns(**codes)
        if not found.height or any(series.has_nulls() for series in found):
            raise pl.exceptions.ComputeError("an empty cell, or nothing at all")
    except pl.exceptions.PolarsError as error:
        raise DataError(str(path), _first_wrong_line(text, columns, kinds)) from error
    return {series.name: series.to_numpy().astype(np.int8 if columns[series.name] else np.int64) for series in found}


def _first_wrong_line(text: bytes, columns: Mapping[str, str | None], kinds: tuple[str, ...]) -> str:
    """Where it went wrong: a scan in Python, because it is slow and seldom."""
    choice = "(?:" + "|".join(map(re.escape, kinds)) + ")"
    wanted = re.compile(" ".join(choice if kind else r"-?\d{1,18}" for kind in columns.values()).encode())
    for number, line in enumerate(text.splitlines(), start=1):
        if not wanted.fullmatch(line):
            said = " ".join(f"<{name}>" for name in columns)
            return f"line {number} wants {said!r}, got {line[:60].decode(errors='replace')!r}"
    return "is empty" if not text.strip() else "is not a table of whole numbers"

"""Anybody's tables: CSV or Parquet files read into typed columns, with the line or row of whatever is wrong.

What can be mended (a follow that stands there twice, say) is left out and counted in `Repairs`; in strict mode it is
an error like everything else.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from funnel.core.arrays import Array, Bools, Doubles, Longs
from funnel.core.errors import DataError, nearest
from synthetic.datasets.files import published

TRUE, FALSE = ("true", "1", "yes", "t", "y"), ("false", "0", "no", "f", "n", "")
SEPARATORS = (";", "\t", "|", " ")
# Whole numbers beyond this are milliseconds: as seconds it is the year 5138, as milliseconds March 1973.
MILLISECONDS_FROM = 1e11


@dataclass
class Repairs:
    """What was left out or changed: text -> how often; in strict mode the first one is an error."""

    strict: bool
    counts: dict[str, int] = field(default_factory=dict)

    def note(self, table: Foreign, wrong: Bools, what: str) -> Bools:
        """bool [n]: the rows that stay. `what`: "dropped {} duplicate follows", for instance."""
        if wrong.any():
            if self.strict:
                row = int(np.argmax(wrong))
                raise DataError(f"{table.path}, {table.at(row)}", f"--strict: would have {what.format('this one and')}")
            self.counts[what] = self.counts.get(what, 0) + int(wrong.sum())
        return ~wrong

    def told(self) -> tuple[str, ...]:
        """One line a repair."""
        return tuple(what.format(f"{count:,}") for what, count in self.counts.items())


@dataclass(frozen=True)
class Foreign:
    """One file: its columns under our names (text from CSV, typed from Parquet).

    origin: int64 [n], the row of the file that each row comes from.
    """

    name: str
    path: Path
    frame: pl.DataFrame
    lines: bool
    theirs: Mapping[str, str]
    origin: Longs

    @classmethod
    def read(
        cls,
        name: str,
        path: Path,
        known: Iterable[str],
        needed: Iterable[str],
        mapped: Mapping[str, str],
        *,
        sha256: str | None = None,
    ) -> Foreign:
        """The file's columns called as in `known`, or as `mapped` (ours -> theirs) says; others are left alone.

        DataError if the file is missing, truncated or has another separator, if a `needed` column is not there, or if
        a row has not as many cells as the header.
        """
        raw = published(path, sha256)
        parquet = raw[:4] == b"PAR1" or path.suffix in (".parquet", ".pq")
        frame = _parquet(path, raw) if parquet else _csv(path, raw, [mapped.get(column, column) for column in needed])
        found = {ours: mapped.get(ours, ours) for ours in known if mapped.get(ours, ours) in frame.columns}
        for ours, theirs in mapped.items():
            if ours not in known:
                raise DataError(f"--map {name}.{ours}", f"{name} have no such column — {nearest(ours, known)}")
            if theirs not in frame.columns:
                raise DataError(str(path), f"has no column {theirs!r} (--map) — {nearest(theirs, frame.columns)}")
        for ours in needed:
            if ours not in found:
                said = f"--map {name}.{ours}=THEIRS names another one"
                raise DataError(str(path), f"has no column {ours!r} — {nearest(ours, frame.columns)} ({said})")
        chosen = frame.select(**{ours: pl.col(theirs) for ours, theirs in found.items()})
        return cls(name, path, chosen, not parquet, found, np.arange(chosen.height))

    def __contains__(self, column: str) -> bool:
        return column in self.frame.columns

    def __len__(self) -> int:
        return self.frame.height

    def at(self, row: int) -> str:
        """Where a row stands in the file, for people: the header is line 1; rows of Parquet count from 0."""
        return f"line {self.origin[row] + 2}" if self.lines else f"row {self.origin[row]}"

    def where(self, keep: Bools) -> Foreign:
        """The rows that stay."""
        if keep.all():
            return self
        return Foreign(self.name, self.path, self.frame.filter(keep), self.lines, self.theirs, self.origin[keep])

    def refuse(self, column: str, wrong: Bools, wanted: str) -> None:
        """DataError at the first wrong cell."""
        if wrong.any():
            row = int(np.argmax(wrong))
            cell = self.frame[column][row]
            got = "nothing (is the file cut off?)" if cell is None else repr(cell)
            raise DataError(f"{self.path}, {self.at(row)}", f"column {self.theirs[column]!r} wants {wanted}, got {got}")

    def ids(self, column: str, *, missing: bool = False) -> pl.Series:
        """Any whole numbers or text, as text; null only where `missing` allows an empty cell."""
        series = self.frame[column]
        if series.dtype.is_float():
            whole = series.cast(pl.Int64, strict=False)
            self.refuse(column, ((whole != series) & series.is_not_null()).fill_null(value=True).to_numpy(), "an id")
            series = whole
        text = series.cast(pl.String).str.strip_chars()
        text = text.set(text == "", None)
        if missing:
            return text.set(text.is_in(["-1"]), None)
        self.refuse(column, text.is_null().to_numpy(), "an id")
        return text

    def numbers(self, column: str, low: float, high: float) -> Doubles:
        """float64 [n] between two bounds; an empty cell is an error."""
        series = self.frame[column].cast(pl.Float64, strict=False)
        wrong = (series.is_between(low, high)).fill_null(value=False).not_()
        self.refuse(column, wrong.to_numpy(), f"a number from {low:g} to {high:g}")
        return series.to_numpy()

    def flags(self, column: str) -> Bools:
        """bool [n]: true/false, yes/no, 1/0; an empty cell is false."""
        if self.frame[column].dtype == pl.Boolean:
            return self.frame[column].fill_null(value=False).to_numpy()
        text = self.frame[column].cast(pl.String).fill_null("").str.strip_chars().str.to_lowercase()
        self.refuse(column, text.is_in([*TRUE, *FALSE]).not_().to_numpy(), "true or false")
        return text.is_in(TRUE).to_numpy()

    def choices(self, column: str, names: Mapping[str, int]) -> Longs:
        """int64 [n]: codes of names; the error for another name says which one is near."""
        text = self.frame[column].cast(pl.String).fill_null("").str.strip_chars().str.to_lowercase()
        codes = text.replace_strict(list(names), list(names.values()), default=None, return_dtype=pl.Int64)
        unknown = codes.is_null().to_numpy()
        first = str(text[int(np.argmax(unknown))])
        hint = f"; --map action.{first}=OURS renames it" if column == "action" else ""
        self.refuse(column, unknown, f"a known {column} ({nearest(first, names)}{hint})")
        return codes.to_numpy()

    def unix_s(self, column: str) -> Doubles:
        """float64 [n]: Unix seconds (or milliseconds, by their size), ISO times (UTC unless they say so), dates."""
        series = self.frame[column]
        if series.dtype.is_temporal():
            naive = series.cast(pl.Datetime("us"))
            self.refuse(column, naive.is_null().to_numpy(), "a time")
            return naive.dt.epoch("us").to_numpy() / 1e6
        number = series.cast(pl.Float64, strict=False)
        if number.is_null().any() and series.dtype == pl.String:
            return self._iso(column, number)
        self.refuse(column, number.is_finite().fill_null(value=False).not_().to_numpy(), "a time")
        seconds = number.to_numpy()
        return np.where(np.abs(seconds) > MILLISECONDS_FROM, seconds / 1000.0, seconds)

    def _iso(self, column: str, number: pl.Series) -> Doubles:
        """ISO text. A column is of one kind: a number among ISO times is as wrong as the reverse."""
        text = self.frame[column].str.strip_chars().str.replace("T", " ").str.replace(r"Z$", "+00:00")
        zoned = text.str.contains(r"[+-]\d\d:?\d\d$")
        full = pl.when(zoned).then(text).otherwise(text + "+00:00")
        day = text.str.contains(r"^\d{4}-\d\d-\d\d$")
        known = text.to_frame("t").select(
            pl.coalesce(
                pl.when(day).then(text + " 00:00:00+00:00").otherwise(full)
                .str.to_datetime(form, time_unit="us", strict=False, time_zone="UTC")
                for form in ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M%z")
            )
        ).to_series()  # fmt: skip
        if number.is_not_null().sum() > known.is_not_null().sum():
            self.refuse(column, number.is_null().to_numpy(), "Unix seconds, as in the other rows")
        self.refuse(column, known.is_null().to_numpy(), "Unix seconds or an ISO time such as 2024-05-01T12:00:00Z")
        return known.dt.epoch("us").to_numpy() / 1e6

    def text(self, column: str) -> Array:
        """object [n] of str; an empty cell is ""."""
        out = np.empty(len(self), dtype=object)
        out[:] = self.frame[column].cast(pl.String).fill_null("").to_list()
        return out


def _parquet(path: Path, raw: bytes) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(raw))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            str(path), f"cannot be read as Parquet: truncated, damaged or another format ({error})"
        ) from error


def _csv(path: Path, raw: bytes, needed: list[str]) -> pl.DataFrame:
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(str(path), f"is a truncated or damaged gzip file ({error})") from error
    header = raw.partition(b"\n")[0].decode("utf-8-sig", "replace").strip()
    if not header:
        raise DataError(str(path), "is empty; wants a header and rows, separated by commas")
    cells = header.split(",")
    other = next((mark for mark in SEPARATORS if mark in header), None)
    if len(cells) == 1 and len(needed) > 1 and other is not None:
        raise DataError(
            str(path), f"line 1 wants names separated by commas, got {header[:60]!r}, separated by {other!r}"
        )
    try:
        frame = pl.read_csv(io.BytesIO(raw), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(str(path), _wrong_line(raw, len(cells), str(error))) from error
    return frame


def _wrong_line(raw: bytes, width: int, said: str) -> str:
    """The first line with another number of cells: a scan in Python, because it is slow and seldom."""
    import csv

    reader = csv.reader(io.StringIO(raw.decode("utf-8", "replace")))
    for cells in reader:
        if cells and len(cells) != width:
            return f"line {reader.line_num} has {len(cells)} cells, the header has {width}"
    return f"is no table of comma-separated values ({' '.join(said.split())})"

"""Tables of an experiment as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from funnel.store import write_atomically


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as CSV with a head line; missing values are empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows([{name: "" if value is None else value for name, value in row.items()} for row in rows])
    return out.getvalue()


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a CSV file, whole or not at all."""
    text = csv_text(rows)
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))

"""The pages of some viewers as plain data, for a reader who wants to see what one person was shown and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from funnel.core.arrays import Longs
from funnel.report import age_words, clean
from funnel.report_html.run import RunData

DIGITS = 5  # of probabilities, values and scores on the page
_SCORES = ("light_score", "value", "score", "satisfaction")


def drill_down(run: RunData, count: int) -> list[dict[str, Any]]:
    """Viewers spread evenly over the run, each with its page from the top and the modules on it.

    One dictionary a viewer: viewer, name, rows (rank, tweet, author, text, age, in_network, sources, scores, p, boosts,
    did), modules (place, kind, text).
    """
    viewers = run.pages["viewer"].unique().sort().to_numpy()
    chosen = viewers[np.unique(np.linspace(0, viewers.size - 1, min(count, viewers.size)).round().astype(np.int64))]
    some = run.pages.filter(pl.col("viewer").is_in(chosen.tolist()))
    texts, handles = _words(run, some)
    names = _handles(run, chosen.astype(np.int64))
    modules = _modules(run, chosen.astype(np.int64))
    rows: dict[int, list[dict[str, Any]]] = {int(viewer): [] for viewer in chosen}
    for number, row in enumerate(some.iter_rows(named=True)):
        rows[int(row["viewer"])].append(_row(row, texts[number], handles[number]))
    return [
        {"viewer": viewer, "name": name, "rows": rows[viewer], "modules": modules.get(viewer, [])}
        for viewer, name in zip((int(viewer) for viewer in chosen), names, strict=True)
    ]


def _row(row: dict[str, Any], text: str, handle: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rank": row["rank"],
        "tweet": row["tweet"],
        "author": handle,
        "text": text,
        "sources": [name[5:] for name, value in row.items() if name.startswith("from.") and value],
        "scores": {name: _short(row[name]) for name in _SCORES if row.get(name) is not None},
        "p": _named(row, "p."),
        "boosts": _named(row, "boost."),
        "did": [name[4:] for name, value in row.items() if name.startswith("did.") and value],
    }
    if row.get("age_h") is not None:
        found["age"] = age_words(float(row["age_h"]))
    if row.get("in_network") is not None:
        found["in_network"] = bool(row["in_network"])
    return found


def _named(row: dict[str, Any], prefix: str) -> dict[str, float]:
    return {
        name[len(prefix) :]: _short(value)
        for name, value in row.items()
        if name.startswith(prefix) and value is not None
    }


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _words(run: RunData, some: pl.DataFrame) -> tuple[list[str], list[str]]:
    """Texts and names of the authors of shown tweets."""
    tweet, author = (some[name].to_numpy().astype(np.int64) for name in ("tweet", "author"))
    texts = [f"tweet {number}" for number in tweet] if run.world is None else list(run.world.texts(tweet))
    return [clean(str(text)) for text in texts], _handles(run, author)


def _handles(run: RunData, users: Longs) -> list[str]:
    found = [f"user {number}" for number in users] if run.world is None else run.world.handles(users)
    return [clean(str(name)) for name in found]


def _modules(run: RunData, viewers: Longs) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    if run.modules is None:
        return found
    for row in run.modules.filter(pl.col("viewer").is_in(viewers.tolist())).sort("place").iter_rows(named=True):
        shown = _handles(run, np.asarray(row["users"], np.int64))
        text = clean(str(row["text"])) + (f": {', '.join(shown)}" if shown else "")
        found.setdefault(int(row["viewer"]), []).append({"place": row["place"], "kind": row["kind"], "text": text})
    return found

"""Where the benchmarks on real data keep what they found, and the page that their tables stand on.

A table stands between `<!-- name -->` and `<!-- end name -->`.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from funnel.core.errors import DataError

PAGE = Path(__file__).resolve().parents[1] / "docs" / "real_data_results.md"


def folder() -> Path:
    """$FUNNEL_HOME/bench."""
    return Path(os.environ.get("FUNNEL_HOME", "~/.cache/funnel")).expanduser() / "bench"


def kept(kind: str, name: str) -> dict[str, Any] | None:
    """What an earlier run wrote, or None."""
    path = _path(kind, name)
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError:
        return None  # half-written: it is measured again
    return found


def write(kind: str, name: str, found: object) -> None:
    """Keep it for the next run."""
    path = _path(kind, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found))
    partial.replace(path)


def written(name: str, text: str, *, page: Path = PAGE) -> None:
    """Put a table into its place on the page; DataError if the page has no such place."""
    old = page.read_text()
    place = re.compile(f"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    if not place.search(old):
        raise DataError(str(page), f"wants <!-- {name} --> and <!-- end {name} -->")
    page.write_text(place.sub(lambda found: f"{found[1]}{text}\n{found[2]}", old))


def _path(kind: str, name: str) -> Path:
    return folder() / kind / f"{re.sub('[^a-z0-9_.]+', '_', name.lower())}.json"

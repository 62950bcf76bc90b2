"""Results on disk: FUNNEL_HOME/bench/<when>-<suite>.json, and the last ones of the same machine and question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from funnel import __version__
from funnel.bench.result import Result
from funnel.core.errors import DataError
from funnel.store import home, read_json, write_json

FORMAT = 1


def folder() -> Path:
    """Where results are kept."""
    return home() / "bench"


def last(asked: Mapping[str, object], machine: Mapping[str, object]) -> Mapping[str, Any] | None:
    """The newest kept results of the same question on the same machine; what cannot be read is passed over."""
    for file in sorted(folder().glob("*.json"), reverse=True):
        try:
            found = read_json(file)
        except DataError:
            continue
        known = found.get("format") == FORMAT and isinstance(found.get("results"), list)
        if known and found.get("asked") == asked and found.get("machine") == machine:
            return found
    return None


def keep(
    asked: Mapping[str, object], machine: Mapping[str, object], ceilings: Mapping[str, float], results: Sequence[Result]
) -> Path:
    """Write results; the file."""
    now = datetime.now(UTC)
    file = folder() / f"{now:%Y%m%dT%H%M%S.%f}Z-{asked['suite']}.json"
    content = {
        "format": FORMAT,
        "version": __version__,
        "when": now.isoformat(timespec="seconds"),
        "machine": machine,
        "asked": asked,
        "ceilings": ceilings,
        "results": [result.as_json() for result in results],
    }
    write_json(file, content)
    return file

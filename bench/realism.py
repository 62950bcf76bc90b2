"""Measures how real worlds are, for docs/realism.md.

    python -m bench.realism                 # world `small`: writes docs/realism.json
    python -m bench.realism --real          # also the data sets in $FUNNEL_DATA: writes funnel/realism/real.json
    python -m bench.realism --learnability  # also what can be learnt from the world's log (2 minutes)
    python -m docs.generate                 # then puts them into docs/realism.md

What is not measured again is kept as it is.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from funnel.realism.real import measured_sets
from funnel.realism.report import REAL
from funnel.store import read_json, write_json
from funnel.world import World

WORLDS = Path(__file__).resolve().parents[1] / "docs" / "realism.json"
_DIGITS = 5


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="How real worlds are, for docs/realism.md.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--real", action="store_true", help="measure the data sets in $FUNNEL_DATA too")
    parser.add_argument("--learnability", action="store_true", help="measure what can be learnt too")
    asked = parser.parse_args()
    today = datetime.now(UTC).date().isoformat()
    if asked.real:
        sets, curves = measured_sets()
        write_json(REAL, {"measured": today, "sets": rounded(sets), "curves": curves})
        sys.stdout.write(f"wrote {REAL}: {', '.join(sets) or 'no data set found'}\n")
    known: dict[str, Any] = read_json(WORLDS) if WORLDS.exists() else {}
    world = World.load(asked.world)
    began = perf_counter()
    statistics = world.describe()["statistics"]
    took = perf_counter() - began
    assert isinstance(statistics, list)
    values = {row["name"]: row["value"] for row in statistics}
    known |= {"measured": today, "world": world.name, "counts": world.counts, "seconds": round(took, 1)}
    known |= {"values": rounded(values)}
    if asked.learnability:
        from bench.learnability import learnability

        known["learnability"] = rounded(learnability(world))
    write_json(WORLDS, known)
    sys.stdout.write(f"wrote {WORLDS}\n")


def rounded(content: Any) -> Any:
    """The same with five significant digits, so that files stay small and differences readable."""
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    if isinstance(content, list):
        return [rounded(value) for value in content]
    return float(f"{content:.{_DIGITS}g}") if isinstance(content, float) else content


if __name__ == "__main__":
    main()

"""One measured figure, and the comparison of two measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite

LOWER, HIGHER = "lower", "higher"


@dataclass(frozen=True)
class Result:
    """A figure beside its baseline.

    suite: speed or quality; value in `unit`; better: lower or higher; baseline: what it is held against, in words, and
    baseline_value in the same unit; noise: half the width of what the figure is sure to, in its unit. before, change:
    the last value and the relative change since; flagged: the change is outside both noises, which are known.
    """

    suite: str
    world: str
    what: str
    value: float
    unit: str
    better: str
    baseline: str = ""
    baseline_value: float | None = None
    noise: float | None = None
    before: float | None = None
    change: float | None = None
    flagged: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from the other figures of a measurement."""
        return self.suite, self.world, self.what

    @property
    def ratio(self) -> float | None:
        """How many times as good as the baseline: above 1 is better than it, whichever way is better.

        None without a baseline, or where one of the two is not above 0.
        """
        over, under = self.value, self.baseline_value
        if under is None or not (over > 0 and under > 0):
            return None
        return under / over if self.better == LOWER else over / under

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        return {
            "suite": self.suite, "world": self.world, "what": self.what, "value": self.value, "unit": self.unit,
            "better": self.better, "baseline": self.baseline, "baseline_value": self.baseline_value,
            "ratio": self.ratio, "noise": self.noise, "before": self.before, "change": self.change,
            "flagged": self.flagged,
        }  # fmt: skip


def beside(results: Sequence[Result], last: Sequence[Mapping[str, object]]) -> list[Result]:
    """The results with what changed since the last measurement; a figure that it did not have stays as it is."""
    known = {(str(row["suite"]), str(row["world"]), str(row["what"])): row for row in last}
    return [_changed(result, known[result.key]) if result.key in known else result for result in results]


def _changed(result: Result, before: Mapping[str, object]) -> Result:
    value, noise = before.get("value"), before.get("noise")
    if not isinstance(value, int | float) or not isfinite(value):
        return result
    difference = result.value - value
    change = difference / abs(value) if value else None
    flagged = result.noise is not None and isinstance(noise, int | float) and abs(difference) > result.noise + noise
    return replace(result, before=float(value), change=change, flagged=flagged)

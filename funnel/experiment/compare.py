"""Two or more funnels on the same requests, with the same random numbers: what differs, how much, and how sure that is.

The first funnel is the base; every other one is held against it. Requests, references and every draw of a reaction are
the same for all, so that differences pair viewer by viewer (common random numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from funnel.core.arrays import Array, Ints, Longs
from funnel.core.errors import ConfigError
from funnel.core.progress import SILENT, Progress
from funnel.experiment.ablate import means
from funnel.experiment.statistics import Effect, Resamples, corrected, effects, over_worlds
from funnel.metrics import Judge, Measures, Outcome, check_comparable, measure
from funnel.metrics.evaluate import FULL_POOL_VIEWERS
from funnel.pipeline import Funnel
from funnel.trace import Page

WHY_WORLDS = (
    "Inside one world a split of viewers is biased where people and authors react: both halves change the same "
    "popularity, follows and tweets that the other half is served, so that effects leak from one arm to the other and "
    "the difference shrinks or grows. Whole worlds, each lived through by every funnel, share nothing but their rules."
)


@dataclass(frozen=True)
class Against:
    """One funnel held against the base.

    effects: differences of every metric; stages: candidates and survivors of each stage in both; overlap: how alike the
    pages are.
    """

    a: str
    b: str
    effects: list[Effect]
    stages: list[dict[str, object]]
    overlap: dict[str, float]

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        return {
            "a": self.a,
            "b": self.b,
            "effects": [effect.as_json() for effect in self.effects],
            "stages": self.stages,
            "overlap": {name: value if np.isfinite(value) else None for name, value in self.overlap.items()},
        }


@dataclass(frozen=True)
class Comparison:
    """All comparisons with the base; metrics of every funnel, of pages by lot and of the best pages."""

    world: str
    seed: int
    at_h: float
    viewers: int
    metrics: dict[str, dict[str, float]]
    chance: dict[str, float]
    best: dict[str, float]
    against: list[Against]

    def table(self) -> list[dict[str, object]]:
        """One row a pair and metric, for a file."""
        return [
            {"funnel_a": one.a, "funnel_b": one.b, **effect.as_json()} for one in self.against for effect in one.effects
        ]

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        return {
            "world": self.world,
            "seed": self.seed,
            "at_h": self.at_h,
            "viewers": self.viewers,
            "metrics": self.metrics,
            "chance": self.chance,
            "best": self.best,
            "against": [one.as_json() for one in self.against],
        }


def compare(
    funnels: Sequence[Funnel],
    viewers: Ints,
    *,
    at_h: float | None = None,
    seed: int = 0,
    full_pool: int = FULL_POOL_VIEWERS,
    progress: Progress = SILENT,
) -> Comparison:
    """Hold every funnel against the first one.

    viewers: int32 [R]. full_pool: viewers for whom the heavy ranker scores what the light ranker would remove.
    ConfigError unless there are two funnels of different names on one world.
    """
    _check(funnels, viewers)
    judge = Judge.of(funnels[0].world, viewers, at_h=at_h, seed=seed, product=funnels[0].product, progress=progress)
    outcomes = [judge.observe(one, full_pool=full_pool, progress=progress) for one in funnels]
    measured = [measure(outcome, judge.scene) for outcome in outcomes]
    resamples = Resamples.of(judge.viewers.size, seed=seed)
    best = judge.reference.best
    return Comparison(
        world=funnels[0].world.name,
        seed=seed,
        at_h=judge.scene.at_h,
        viewers=int(judge.viewers.size),
        metrics={one.name: means(found) for one, found in zip(funnels, measured, strict=True)},
        chance=means(measure(judge.with_chronological(judge.reference.chance), judge.scene)),
        best=means(measure(judge.with_chronological(best), judge.scene)) if best is not None else {},
        against=[
            against(outcomes[0], outcomes[place], measured[0], measured[place], resamples)
            for place in range(1, len(outcomes))
        ],
    )


def against(a: Outcome, b: Outcome, of_a: Measures, of_b: Measures, resamples: Resamples) -> Against:
    """Two outcomes of the same requests; ConfigError if they are not."""
    check_comparable(a, b)
    return Against(a.name, b.name, effects(of_a, of_b, resamples), stage_rows(a, b), overlap(a, b))


def stage_rows(a: Outcome, b: Outcome) -> list[dict[str, object]]:
    """Each stage of either: candidates in and out per request, in both, in the order of a and then b."""
    rows: dict[str, dict[str, object]] = {}
    for side, outcome in (("a", a), ("b", b)):
        for name, entered, left in _flow(outcome):
            row = rows.setdefault(name, {"stage": name})
            row |= {f"in {side}": entered, f"out {side}": left}
    return list(rows.values())


def overlap(a: Outcome, b: Outcome) -> dict[str, float]:
    """How alike the pages are, as means over viewers.

    same_pages: share with the same tweets in the same order; jaccard: tweets on both over tweets on either; kendall:
    rank correlation (tau) of the tweets on both; new: tweets of b's page that are not on a's.
    """
    width = 1 << 40
    keys = [outcome.request * width + outcome.page["tweet"] for outcome in (a, b)]
    order = np.argsort(keys[0], kind="stable")
    ordered = keys[0][order]
    at = np.minimum(np.searchsorted(ordered, keys[1]), max(ordered.size - 1, 0))
    common = ordered[at] == keys[1] if ordered.size else np.zeros(keys[1].size, np.bool_)
    rows_b = np.flatnonzero(common)
    rows_a = order[at[rows_b]] if ordered.size else rows_b
    shared = np.bincount(b.request[rows_b], minlength=len(b))
    either = a.counts + b.counts - shared
    tau = _taus(b.request[rows_b], a.place[rows_a], b.place[rows_b], len(b))
    placed = np.bincount(b.request[rows_b], weights=a.place[rows_a] == b.place[rows_b], minlength=len(b))
    same = (placed == a.counts) & (placed == b.counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "same_pages": float(same.mean()),
            "jaccard": _nanmean(np.where(either > 0, shared / either, np.nan)),
            "kendall": _nanmean(tau),
            "new": _nanmean(np.where(b.counts > 0, 1 - shared / b.counts, np.nan)),
        }


def moved(a: Page, b: Page) -> list[dict[str, object]]:
    """What moved on one viewer's page, and why: each tweet of either page with its rank in both.

    why: for a tweet on one page alone, what the other funnel did with it; else the columns that changed.
    """
    ranks = [{int(str(row["tweet"])): row for row in page.rows} for page in (a, b)]
    rows = []
    for tweet in dict.fromkeys([*ranks[1], *ranks[0]]):
        in_a, in_b = (side.get(tweet) for side in ranks)
        known = in_b or in_a
        assert known is not None
        rows.append(
            {
                "tweet": tweet,
                "handle": known["handle"],
                "a": in_a["rank"] if in_a else None,
                "b": in_b["rank"] if in_b else None,
                "why": _why(a, b, tweet, in_a, in_b),
            }
        )
    return rows


def compare_worlds(
    runs: Sequence[Comparison],
) -> list[dict[str, object]]:
    """Whole worlds as the unit: the mean difference over comparisons of the same funnels in K worlds, per metric.

    Student's t intervals over worlds; Holm's correction over metrics of each pair.
    """
    rows: list[dict[str, object]] = []
    for place, first in enumerate(runs[0].against):
        pairs = [run.against[place] for run in runs]
        known = [{effect.metric: effect for effect in pair.effects} for pair in pairs]
        found = [
            over_worlds(name, [one[name].a for one in known], [one[name].b for one in known])
            for name in known[0]
            if all(name in one for one in known)
        ]
        rows += [
            {"funnel_a": first.a, "funnel_b": first.b, "worlds": len(runs), **effect.as_json()}
            for effect in corrected(found)
        ]
    return rows


def _check(funnels: Sequence[Funnel], viewers: Ints) -> None:
    if len(funnels) < 2:
        raise ConfigError("funnel compare", "wants two funnels, or one and a --set for each variant of it")
    if not viewers.size:
        raise ConfigError("--viewers", "wants at least one viewer")
    names = [one.name for one in funnels]
    if len(set(names)) < len(names):
        raise ConfigError("funnel compare", f"two funnels are called {max(names, key=names.count)!r} — rename a file")
    for one in funnels[1:]:
        if one.product is not funnels[0].product:
            what = f"{funnels[0].name!r} makes {funnels[0].product.pages}, {one.name!r} {one.product.pages}"
            raise ConfigError("funnel compare", f"{what} — compare funnels of one product")
        if one.world.hash != funnels[0].world.hash:
            what = f"{funnels[0].name!r} is on world {funnels[0].world.name!r} ({funnels[0].world.hash}), "
            what += f"{one.name!r} on {one.world.name!r} ({one.world.hash}) — compare funnels on one world"
            raise ConfigError("funnel compare", what)


def _flow(outcome: Outcome) -> list[tuple[str, float | None, float]]:
    """(stage, candidates in, candidates out), per request; sources have no candidates in."""
    requests = max(len(outcome), 1)
    alive, found = int(outcome.per_viewer["retrieved"].sum()), outcome.per_viewer["found"].sum(axis=0)
    rows: list[tuple[str, float | None, float]] = []
    for place, (name, kind) in enumerate(outcome.stages):
        if kind == "source":
            rows.append((name, None, int(found[outcome.sources.index(name)]) / requests))
        elif kind == "merge":
            rows.append((name, int(found.sum()) / requests, alive / requests))
        elif kind != "mixer":
            left = alive - int(outcome.per_viewer["removed"][:, place].sum())
            rows.append((name, alive / requests, left / requests))
            alive = left
    return rows


def _taus(request: Longs, x: Array, y: Array, requests: int) -> Array:
    """float64 [R]: Kendall's tau of two orders without ties inside each request; NaN with fewer than two."""
    out = np.full(requests, np.nan)
    cuts = np.searchsorted(request, np.arange(requests + 1))
    # A loop over requests: a page has tens of tweets, of which all pairs are looked at.
    for number in range(requests):
        rows = slice(int(cuts[number]), int(cuts[number + 1]))
        n = rows.stop - rows.start
        if n > 1:
            signs = np.sign(x[rows][:, None] - x[rows]) * np.sign(y[rows][:, None] - y[rows])
            out[number] = signs.sum() / (n * (n - 1))
    return out


def _why(a: Page, b: Page, tweet: int, in_a: dict[str, object] | None, in_b: dict[str, object] | None) -> str:
    if in_a is None or in_b is None:
        page, which = (a, "a") if in_a is None else (b, "b")
        known = page.find(tweet)
        if known is None:
            return f"no source of {which} found it"
        return f"removed by {known['removed_by']} in {which}"
    said = []
    for name in ("light_score", "value", "score"):
        one, other = in_a.get(name), in_b.get(name)
        if isinstance(one, float) and isinstance(other, float) and one != other:
            said.append(f"{name} {one:.4g} → {other:.4g}")
    for name, factor in _mapping(in_b.get("boosts")).items():
        before = _mapping(in_a.get("boosts")).get(name)
        if factor != before:
            said.append(f"{name} × {factor:.3g}" + (f" (was × {before:.3g})" if before is not None else ""))
    for name, before in _mapping(in_a.get("boosts")).items():
        if name not in _mapping(in_b.get("boosts")) and before != 1:
            said.append(f"no {name} (was × {before:.3g})")
    if in_a["rank"] == in_b["rank"]:
        return ", ".join(said) or "unchanged"
    return ", ".join(said) or "others moved"


def _mapping(value: object) -> dict[str, float]:
    return value if isinstance(value, dict) else {}


def _nanmean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")

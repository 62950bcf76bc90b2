"""How good each ranker and each source is, beside what a simpler thing would do on the same impressions and viewers.

rankers   AUC on impressions that they never saw, beside favourites so far and, for the heavy ranker, the light one
          (`funnel.evaluate.held_out_table`)
sources   of the 100 eligible tweets truly worth most to a viewer, those that a source finds, beside as many of the
          most engaged tweets of two days. Without a truth: of the tweets that the viewer engaged with later
pages     true value of the page, beside the best, the chronological and one by lot (`funnel.metrics`)
"""

from __future__ import annotations

import numpy as np

from funnel import ask
from funnel.bench.result import HIGHER, Result
from funnel.compose import load_funnel
from funnel.core.arrays import Doubles, Ints
from funnel.core.progress import SILENT, Progress
from funnel.evaluate import held_out_table
from funnel.metrics import Judge, Measures, Outcome, measure
from funnel.metrics.looks import Lists
from funnel.pipeline import Funnel
from funnel.world import World

WINDOW_H = 48.0  # tweets that popular ones are taken from: the age that the shipped funnels look back
Z = 1.96  # half an interval of 95 % in standard errors


def quality(world_name: str, *, viewers: int = 200, requests: int = 1_000, progress: Progress = SILENT) -> list[Result]:
    """All figures of one world's own funnel; viewers: for sources and pages, requests: held-out ones, for rankers."""
    world = World.load(world_name, progress=progress)
    funnel = load_funnel(world.meta.default_funnel, world)
    funnel.ensure_trained(progress=progress)
    chosen = ask.many_viewers(str(min(viewers, world.meta.viewer_count)), world.meta, seed=0)
    judge = Judge.of(world, chosen, progress=progress)
    outcome = judge.observe(funnel, progress=progress)
    found = rankers(funnel, requests=requests, progress=progress)
    return [*found, *sources(judge, outcome, funnel), *pages(judge, outcome)]


def rankers(funnel: Funnel, *, requests: int, progress: Progress = SILENT) -> list[Result]:
    """AUC of each head that has enough positives; the noise is half the interval."""
    found = []
    for row in held_out_table(funnel, requests=requests, progress=progress):
        auc, low, high = (row.get(name) for name in ("auc", "auc_low", "auc_high"))
        if not (isinstance(auc, float) and isinstance(low, float) and isinstance(high, float)):
            continue
        light = row.get("auc_light")
        words = "AUC of favourites so far" if light is None else "AUC of the light ranker"
        other = row.get("auc_popularity") if light is None else light
        value = other if isinstance(other, float) else None
        what = f"{row['stage']}: {row['head']}"
        half = (high - low) / 2 if np.isfinite(high - low) else None  # a resample may have no positive
        found.append(Result("quality", funnel.world.name, what, auc, "AUC", HIGHER, words, value, half))
    return found


def sources(judge: Judge, outcome: Outcome, funnel: Funnel) -> list[Result]:
    """What share of the best (or later engaged) tweets each source finds."""
    which, lists = ("best", judge.reference.top) if judge.reference.top is not None else ("later", judge.later)
    if lists is None:
        return []
    measured = measure(outcome, judge.scene)
    popular = _popular(judge)
    found = []
    for number, name in enumerate(outcome.sources):
        share = measured.viewers.get(f"stage.{which}_left.{name}")
        if share is None or np.isnan(share).all():
            continue
        count = max(1, round(float(outcome.per_viewer["found"][:, number].mean())))
        words = f"the {count} most engaged tweets of {WINDOW_H:.0f} h"
        unit = "of the 100 best" if which == "best" else "of later engagements"
        baseline = _share_within(lists, judge.viewers, popular[:count])
        found.append(
            Result(
                "quality", funnel.world.name, f"source {name}: finds", float(np.nanmean(share)), unit, HIGHER,
                words, baseline, _half(share),
            )
        )  # fmt: skip
    return found


def pages(judge: Judge, outcome: Outcome) -> list[Result]:
    """The true value of a page beside the references; nothing where nobody knows it."""
    mine = measure(outcome, judge.scene)
    reference = judge.reference
    if "page.value" not in mine.viewers or reference.best is None:
        return []
    mean, noise = float(np.nanmean(mine.viewers["page.value"])), _half(mine.viewers["page.value"])
    others = {"by lot": reference.chance, "chronological": reference.chronological, "best": reference.best}
    return [
        Result(
            "quality", str(outcome.about["world"]), f"page value, beside {name}", mean, "value", HIGHER,
            f"page {name}", _mean(measure(judge.with_chronological(one), judge.scene)), noise,
        )
        for name, one in others.items()
    ]  # fmt: skip


def _mean(measured: Measures) -> float:
    return float(np.nanmean(measured.viewers["page.value"]))


def _half(values: Doubles) -> float | None:
    """Half the 95 % interval of a mean over viewers; None of one viewer."""
    known = values[~np.isnan(values)]
    return float(Z * known.std(ddof=1) / np.sqrt(known.size)) if known.size > 1 else None


def _popular(judge: Judge) -> Ints:
    """int32 [W]: tweets of the window by falling engagements, ties by id."""
    scene = judge.scene
    begin, end = np.searchsorted(scene.world.tables.table("tweets")["time_h"], [scene.at_h - WINDOW_H, scene.at_h])
    order = np.argsort(-scene.engagements[begin:end], kind="stable")
    return np.asarray(begin + order, np.int32)


def _share_within(lists: Lists, viewers: Ints, tweets: Ints) -> float:
    """Mean over viewers of the share of their list that is among the tweets."""
    row, listed = lists.of(viewers)
    hits = np.bincount(row, np.isin(listed, tweets), viewers.size)
    counts = np.bincount(row, minlength=viewers.size)
    return float((hits[counts > 0] / counts[counts > 0]).mean())

"""What is measured on candidates while they are in memory: which of the good ones each stage keeps.

A look sees the trace of one micro-batch and returns arrays [R, …] that stand in `Outcome.per_viewer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from funnel.core import segments
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.metrics.outcome import SHOWN, Look, places_of
from funnel.metrics.scene import Scene
from funnel.trace import BatchTrace

BEST = 35  # of a stage's input, and of a ranker's list: the length of a page
_SCORES = ("light_score", "value", "score")


@dataclass(frozen=True)
class Lists:
    """A list of tweets for each viewer: offsets int64 [R + 1] and tweets int32; viewers int32 [R] ascending."""

    viewers: Ints
    offsets: Longs
    tweets: Ints

    def of(self, viewers: Ints) -> tuple[Longs, Ints]:
        """(row int64 [m], tweet int32 [m]): the lists of some viewers, rows counted within `viewers`."""
        at = np.searchsorted(self.viewers, viewers)
        counts = np.diff(self.offsets)[at]
        begin = np.cumsum(counts) - counts
        place = np.repeat(self.offsets[:-1][at] - begin, counts) + np.arange(int(counts.sum()))
        return np.repeat(np.arange(viewers.size), counts), self.tweets[place]


def whereabouts(name: str, lists: Lists, stages: tuple[tuple[str, str], ...]) -> Look:
    """A look at how many tweets of the viewers' lists are left after each stage.

    Gives `left.<name>` int32 [R, S] (for a source, how many it found) and `listed.<name>` int32 [R].
    """

    def look(trace: BatchTrace, _: Scene) -> Mapping[str, Array]:
        requests = len(trace.requests)
        row, tweet = lists.of(trace.requests.viewer)
        at = _find(trace.retrieved, row, tweet)
        known = np.flatnonzero(at >= 0)
        place = places_of(trace, stages)[at[known]]
        left = np.zeros((requests, len(stages)), np.int32)
        for number, (stage, kind) in enumerate(stages):
            if kind == "source":
                here = trace.retrieved[f"from.{stage}"][at[known]]
            else:
                here = (place > number) | (place == SHOWN)
            left[:, number] = np.bincount(row[known][here], minlength=requests)
        return {f"left.{name}": left, f"listed.{name}": np.bincount(row, minlength=requests).astype(np.int32)}

    return look


def true_best(stages: tuple[tuple[str, str], ...], *, best: int = BEST) -> Look:
    """A look at how well stages and scores agree with the truth (as if shown on top of the page).

    Gives `kept_best` float64 [R, S]: of the best of what came into a stage, the share that it let through; NaN where
    nothing came in or the stage finds, scores or mixes only. And `ndcg.<score>` float64 [R] for each score there is.
    """

    def look(trace: BatchTrace, scene: Scene) -> Mapping[str, Array]:
        batch = trace.retrieved
        truth = _truth(batch, scene)
        place = places_of(trace, stages)
        kept = np.full((len(trace.requests), len(stages)), np.nan)
        for number in np.unique(place[place >= 0]):
            entered = (place >= number) | (place == SHOWN)
            inside = batch.take(entered)
            top = segments.top_k(inside.offsets, truth[entered], inside["tweet"], best)
            stayed = top & (place[entered] != number)
            hits, wanted = (np.bincount(inside.request[mask], minlength=len(kept)) for mask in (stayed, top))
            with np.errstate(invalid="ignore"):
                kept[:, number] = hits / wanted
        found: dict[str, Array] = {"kept_best": kept}
        for name in _SCORES:
            scored = scored_rows(trace, name)
            if scored is not None:
                rows, score = scored
                found[f"ndcg.{name}"] = ndcg(batch.take(rows), score, np.maximum(truth[rows], 0.0), best)
        return found

    return look


def scored_rows(trace: BatchTrace, name: str) -> tuple[Longs, Floats] | None:
    """(rows of `retrieved` in order, float32 [m]): the candidates that have a score of that name; None if none has.

    Needs a trace with detail.
    """
    rows, scores = [], []
    for gone, batch in trace.snapshots:
        if name in batch:
            rows.append(gone)
            scores.append(batch[name])
    shown = np.flatnonzero(trace.removed_by < 0)
    if name in trace.page:
        at = _find(trace.retrieved, trace.page.request, trace.page["tweet"])
        rows.append(at)
        scores.append(trace.page[name])
    if not rows or (not shown.size and not any(part.size for part in rows)):
        return None
    row = np.concatenate(rows)
    order = np.argsort(row)
    return row[order], np.concatenate(scores)[order]


def ndcg(batch: CandidateBatch, score: Floats, gain: Array, k: int) -> Doubles:
    """float64 [R]: DCG of the best k by score over that of the best k by gain; NaN where there is no gain.

    DCG = sum gain / log2(1 + rank), rank from 1 (Järvelin & Kekäläinen, TOIS 2002). gain: float [n] >= 0.
    """
    had, could = _dcg(batch, score, gain, k), _dcg(batch, gain.astype(np.float32), gain, k)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(could > 0, had / could, np.nan)


def _dcg(batch: CandidateBatch, score: Floats, gain: Array, k: int) -> Doubles:
    rank = segments.rank_in_group(batch.offsets, score, batch["tweet"])
    top = rank < k
    weights = gain[top] / np.log2(2.0 + rank[top])
    found: Doubles = np.bincount(batch.request[top], weights=weights, minlength=len(batch.requests)).astype(np.float64)
    return found


def _truth(batch: CandidateBatch, scene: Scene) -> Floats:
    """float32 [n]: what the tweet is really worth, on top of the page."""
    oracle = scene.oracle
    assert oracle is not None
    viewer = batch.viewer.astype(np.int32, copy=False)
    top = np.zeros(len(batch), np.int32)
    return scene.value(oracle.probabilities(viewer, batch["tweet"], top, batch.now_h)).astype(np.float32)


def _find(retrieved: CandidateBatch, row: Array, tweet: Array) -> Longs:
    """int64 [m]: the rows of (request, tweet) pairs, −1 where it was not retrieved; rows ascend in both."""
    key = (retrieved.request << 32) | retrieved["tweet"]
    wanted = (row.astype(np.int64) << 32) | tweet
    at = np.searchsorted(key, wanted)
    inside = at < key.size
    match: Bools = np.zeros(wanted.size, np.bool_)
    match[inside] = key[at[inside]] == wanted[inside]
    return np.where(match, at, -1)

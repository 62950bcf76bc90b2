"""Which logged impressions the heavy ranker learns from, and their features.

Actions are rare, so the log is sampled: all impressions with some action (or half of the room) and
as many others as there is room for. Each example's weight is the inverse of the share kept, so that
the loss is, on average, that of the whole log, for every head (twitter/the-algorithm-ml,
projects/home/recap/data/preprocessors.py, DownsampleNegatives, weights its negatives alike). The
latest part of the log is for validation and stays as it was logged.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from funnel.core.actions import ACTION_CODE, HEAVY_ACTIONS
from funnel.core.arrays import Array, Bools, Doubles, Floats, Longs
from funnel.core.errors import DataError
from funnel.core.progress import SILENT, Progress
from funnel.core.rng import stream
from funnel.core.world import PlatformView
from funnel.features import hydrate
from funnel.features.logged import labels, logged_batch
from heavy_ranker.inputs import inputs

LEAST_IMPRESSIONS = 100  # below that there is nothing to learn from
ROWS_AT_ONCE = 16_384  # impressions hydrated together; bounds memory
MOST_THREADS = 4  # that hydrate side by side: each holds the columns of its own rows


@dataclass(frozen=True)
class Sample:
    """Rows of the log, ascending in time: first the examples to learn from, then those to validate on.

    rows: int64 [n]; labels: bool [n, A] in the order of HEAVY_ACTIONS; weight: float32 [n], mean 1 over
    the first `training` rows; positives: int64 [A], in the whole log; logged: rows of the whole log.
    """

    rows: Longs
    labels: Bools
    weight: Floats
    training: int
    positives: Longs
    logged: int


@dataclass(frozen=True)
class Examples:
    """A sample with features: float32 [n, m], of which the first `continuous` columns are not yes-or-no; names: [F].

    embeddings, widths: the vectors behind them, and how wide each is.
    """

    sample: Sample
    features: Floats
    continuous: int
    names: tuple[str, ...]
    embeddings: tuple[str, ...] = ()
    widths: tuple[int, ...] = ()


def sample_log(view: PlatformView, *, limit: int, validation_share: float, seed: int) -> Sample:
    """At most `limit` examples to learn from, and at most a fifth as many, of the latest share, to validate on."""
    logged = int(view.impressions["viewer"].size)
    if logged < LEAST_IMPRESSIONS:
        raise DataError("heavy_ranker", f"wants at least {LEAST_IMPRESSIONS} logged impressions, the view has {logged}")
    done = labels(view, np.arange(logged))[:, [ACTION_CODE[name] for name in HEAVY_ACTIONS]]
    cut = int(logged * (1 - validation_share))
    active: Bools = np.any(done[:cut], axis=1)
    draw = stream(seed, "heavy ranker: sample of the log")
    room = limit - min(int(active.sum()), limit // 2)
    negative = _choose(draw, np.flatnonzero(~active), room)
    positive = _choose(draw, np.flatnonzero(active), limit - negative.size)
    learnt = np.sort(np.concatenate([positive, negative]))
    latest = _choose(draw, np.arange(cut, logged), max(1, limit // 5))
    stands_for: Doubles = np.where(
        active[learnt], int(active.sum()) / max(1, positive.size), int((~active).sum()) / max(1, negative.size)
    )
    weight = np.ones(learnt.size + latest.size, np.float32)
    weight[: learnt.size] = stands_for / stands_for.mean()
    rows = np.concatenate([learnt, latest])
    return Sample(rows, done[rows], weight, int(learnt.size), done.sum(axis=0), logged)


def with_features(
    sample: Sample,
    view: PlatformView,
    names: tuple[str, ...],
    embeddings: tuple[str, ...] = (),
    *,
    progress: Progress = SILENT,
) -> Examples:
    """The sample's features, each as of its impression's moment."""
    first = hydrate(logged_batch(view, sample.rows[:1]), (*names, *embeddings))
    ordered = tuple(sorted(names, key=lambda name: (first[name].dtype == np.bool_, name)))
    continuous = sum(first[name].dtype != np.bool_ for name in ordered)
    widths = tuple(int(first[name].shape[1]) for name in embeddings)
    out: Array = np.empty((sample.rows.size, len(ordered) + sum(widths)), np.float32)

    def fill(begin: int) -> int:
        part = sample.rows[begin : begin + ROWS_AT_ONCE]
        out[begin : begin + part.size] = inputs(logged_batch(view, part), ordered, embeddings)
        return int(part.size)

    begins = range(0, sample.rows.size, ROWS_AT_ONCE)
    with (
        progress.bar("heavy ranker: features of logged impressions", int(sample.rows.size)) as bar,
        ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as threads,
    ):
        bar.advance(fill(0))  # what the world's features share is made once, before they are asked for side by side
        for done in threads.map(fill, begins[1:]):
            bar.advance(done)
    return Examples(sample, out, continuous, ordered, embeddings, widths)


def sampling_ratios(sample: Sample) -> Doubles:
    """float64 [A]: (share of negatives kept) / (share of positives kept) among the examples to learn from, per head.

    A network that learns from them without weights predicts odds that are too high by its inverse;
    `calibrate(p, ratio)` undoes that. 1 for a head of which only one kind was kept.
    """
    done, stands_for = sample.labels[: sample.training], sample.weight[: sample.training].astype(np.float64)
    ratios = np.ones(done.shape[1])
    for head in range(done.shape[1]):
        hit = done[:, head]
        if hit.any() and not hit.all():
            kept = [rows.sum() / stands_for[rows].sum() for rows in (~hit, hit)]
            ratios[head] = kept[0] / kept[1]
    return ratios


def _choose(draw: np.random.Generator, rows: Longs, limit: int) -> Longs:
    """All rows, or a random choice of `limit` of them, ascending."""
    if rows.size <= limit:
        return rows
    return np.sort(draw.choice(rows, limit, replace=False))

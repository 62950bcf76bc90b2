"""Which logged notifications the push ranker learns from, with their inputs and what viewers did.

The earlier part of the log, or a random choice of it, is to learn from; the latest part, as it was logged, decides when
to stop. Labels are those of the published records: OONC, engagement, and the dislike in the notification tab, with
which neither counts.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from funnel.core.actions import PUSH_ACTION_CODE
from funnel.core.arrays import Bools, Longs
from funnel.core.errors import DataError
from funnel.core.products import PUSH
from funnel.core.progress import SILENT, Progress
from funnel.core.rng import stream
from funnel.core.world import PlatformView
from funnel.features import hydrate
from funnel.features.logged import labels, logged_batch
from heavy_ranker.examples import MOST_THREADS, ROWS_AT_ONCE
from heavy_ranker.push_inputs import PushInputs, push_inputs

LEAST_NOTIFICATIONS = 100  # below that there is nothing to learn from
HEADS = ("oonc", "engage")


@dataclass(frozen=True)
class PushExamples:
    """Notifications, ascending in time: first those to learn from, then those to validate on.

    rows: int64 [n], of the log; labels: bool [n, 2] in the order of HEADS; disliked: bool [n]; names: of the columns of
    `inputs.numbers`, of which the first `continuous` are not yes-or-no.
    """

    rows: Longs
    labels: Bools
    disliked: Bools
    training: int
    inputs: PushInputs
    names: tuple[str, ...]
    continuous: int


def push_examples(
    view: PlatformView,
    features: tuple[str, ...],
    sparse: tuple[str, ...],
    bits: int,
    *,
    limit: int,
    validation_share: float,
    seed: int,
    progress: Progress = SILENT,
) -> PushExamples:
    """At most `limit` notifications to learn from, and at most a fifth as many, of the latest share, to validate on."""
    logged = int(view.shown(PUSH)["viewer"].size)
    if logged < LEAST_NOTIFICATIONS:
        what = f"wants at least {LEAST_NOTIFICATIONS} logged notifications, the view has {logged}"
        raise DataError("clemnet_ranker", what)
    cut = int(logged * (1 - validation_share))
    draw = stream(seed, "push ranker: sample of the log")
    learnt, latest = _choose(draw, np.arange(cut), limit), _choose(draw, np.arange(cut, logged), max(1, limit // 5))
    rows = np.concatenate([learnt, latest])
    done = labels(view, rows, PUSH)
    names, continuous = ordered(view, rows[:1], features)
    return PushExamples(
        rows=rows,
        labels=done[:, [PUSH_ACTION_CODE[name] for name in HEADS]],
        disliked=done[:, PUSH_ACTION_CODE["dislike"]],
        training=int(learnt.size),
        inputs=inputs_of(view, rows, names, sparse, bits, progress=progress),
        names=names,
        continuous=continuous,
    )


def inputs_of(
    view: PlatformView,
    rows: Longs,
    names: tuple[str, ...],
    sparse: tuple[str, ...],
    bits: int,
    *,
    progress: Progress = SILENT,
) -> PushInputs:
    """What the ranker reads of logged notifications, each as of its moment."""

    def read(begin: int) -> PushInputs:
        batch = logged_batch(view, rows[begin : begin + ROWS_AT_ONCE], PUSH)
        return push_inputs(hydrate(batch, ("original", "original_author")), names, sparse, bits)

    begins = range(0, rows.size, ROWS_AT_ONCE)
    with (
        progress.bar("push ranker: features of logged notifications", len(begins)) as bar,
        ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as threads,
    ):
        parts = [read(0)]  # what the world's features share is made once, before they are asked for side by side
        bar.advance(1)
        for part in threads.map(read, begins[1:]):
            parts.append(part)
            bar.advance(1)
    return PushInputs.joined(parts)


def ordered(view: PlatformView, rows: Longs, features: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """The features with yes-or-no ones last, and how many are not yes-or-no."""
    first = hydrate(logged_batch(view, rows, PUSH), features)
    names = tuple(sorted(features, key=lambda name: (first[name].dtype == np.bool_, name)))
    return names, sum(first[name].dtype != np.bool_ for name in names)


def _choose(draw: np.random.Generator, rows: Longs, limit: int) -> Longs:
    """All rows, or a random choice of `limit` of them, ascending."""
    return rows if rows.size <= limit else np.sort(draw.choice(rows, limit, replace=False))

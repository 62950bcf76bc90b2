"""What variants of a funnel share is computed once: lists of sources and scores of rankers.

A source's list depends on the requests alone, a scorer's number on its row and the request alone, as long as it reads
nothing but features; so both are remembered by (viewer, tweet), for the requests of one view, and the variants of a
funnel, which differ in what comes before and after, meet the same rows again. Results are the same bytes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from funnel.compose import Slot
from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.stage import Scorer, Source
from funnel.features import FEATURES, hydrate
from funnel.oracle_stage import SeesTruth


class RememberedSource(Source):
    """A source whose lists are kept, by the viewers of the micro-batch."""

    def __init__(self, source: Source) -> None:
        self.inner = source
        self._known: dict[tuple[object, ...], CandidateBatch] = {}

    @property
    def requires(self) -> tuple[str, ...]:
        """As the source."""
        return self.inner.requires

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """What the source found for these viewers."""
        key = (id(requests.view), requests.seed, requests.viewer.tobytes(), requests.now_h.tobytes())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.inner.retrieve(requests)
        return CandidateBatch(requests, found.offsets, {name: found[name] for name in found.names})

    def forget(self) -> None:
        """Let go of all lists."""
        self._known.clear()


class RememberedScorer(Scorer):
    """A scorer whose numbers are kept by viewer and tweet; it hydrates what it needs for new rows only."""

    def __init__(self, scorer: Scorer) -> None:
        self.inner = scorer
        self._known: dict[int, tuple[Array, dict[str, Floats]]] = {}
        self._of: tuple[object, ...] = ()

    @property
    def adds(self) -> tuple[str, ...]:
        """As the scorer."""
        return self.inner.adds

    @property
    def requires(self) -> tuple[str, ...]:
        """As the scorer."""
        return self.inner.requires

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """float32 [n] for each name of `adds`."""
        now = batch.requests
        of = (id(now.view), now.seed)
        if of != self._of:
            self.forget()
            self._of = of
        new = self._unknown(batch)
        if new.any():
            self._learn(batch.take(new))
        out = {name: np.empty(len(batch), np.float32) for name in self.adds}
        for request, viewer in enumerate(now.viewer.tolist()):
            rows = slice(int(batch.offsets[request]), int(batch.offsets[request + 1]))
            if rows.stop > rows.start:
                tweets, columns = self._known[viewer]
                at = np.searchsorted(tweets, batch["tweet"][rows])
                for name, values in columns.items():
                    out[name][rows] = values[at]
        return out

    def forget(self) -> None:
        """Let go of all numbers."""
        self._known.clear()

    def _unknown(self, batch: CandidateBatch) -> Array:
        """bool [n]: rows that were never scored."""
        new = np.ones(len(batch), np.bool_)
        for request, viewer in enumerate(batch.requests.viewer.tolist()):
            if viewer in self._known:
                rows = slice(int(batch.offsets[request]), int(batch.offsets[request + 1]))
                tweets = self._known[viewer][0]
                wanted = batch["tweet"][rows]
                at = np.minimum(np.searchsorted(tweets, wanted), tweets.size - 1)
                new[rows] = tweets[at] != wanted
        return new

    def _learn(self, batch: CandidateBatch) -> None:
        scored = self.inner.score(hydrate(batch, self.inner.needs))
        for request, viewer in enumerate(batch.requests.viewer.tolist()):
            rows = slice(int(batch.offsets[request]), int(batch.offsets[request + 1]))
            if rows.stop == rows.start:
                continue
            tweets = batch["tweet"][rows]
            columns = {name: scored[name][rows] for name in self.adds}
            if viewer in self._known:
                before, known = self._known[viewer]
                tweets = np.concatenate([before, tweets])
                columns = {name: np.concatenate([known[name], columns[name]]) for name in self.adds}
            order = np.argsort(tweets, kind="stable")
            self._known[viewer] = (tweets[order], {name: values[order] for name, values in columns.items()})


def remembering(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """The same stages, with sources and rankers that remember; others are as they were.

    A viewer is asked about at one moment only: `forget` before another.
    """
    changed = []
    for slot in slots:
        part = slot.part
        if isinstance(part, Source) and not isinstance(part, SeesTruth):
            changed.append(replace(slot, part=RememberedSource(part)))
        elif isinstance(part, Scorer) and not isinstance(part, SeesTruth) and _by_features(part):
            changed.append(replace(slot, part=RememberedScorer(part)))
        else:
            changed.append(slot)
    return tuple(changed)


def forget(slots: tuple[Slot, ...]) -> None:
    """Let go of everything that is remembered."""
    for slot in slots:
        if isinstance(slot.part, RememberedSource | RememberedScorer):
            slot.part.forget()


def _by_features(scorer: Scorer) -> bool:
    """Whether it reads features alone, of which there is something to save."""
    return bool(scorer.needs) and all(name in FEATURES for name in scorer.needs)

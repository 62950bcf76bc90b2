"""Latent interests: a two-level tree of topics, and what each user cares about.

A user has a main topic, a second one, and a little of the rest of the main topic's field; the
weights are a Dirichlet draw around that (independent gamma draws, normalised).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funnel.core.arrays import Floats, Ints
from synthetic.arrays import pick

# Dirichlet parameters: everything a little, the field more, two topics by far the most.
_ANY, _FIELD, _MAIN, _SECOND = 0.04, 0.2, 2.4, 1.0


@dataclass(frozen=True)
class TopicTree:
    """K topics. names: "field/topic"; field: int32 [K], its number; share: float32 [K], how many people prefer each."""

    names: tuple[str, ...]
    field: Ints
    share: Floats

    @classmethod
    def of(cls, names: tuple[str, ...], rng: np.random.Generator) -> TopicTree:
        """Topics of unequal size: the r-th most popular has a share proportional to 1 / sqrt(r)."""
        fields = [name.split("/")[0] for name in names]
        numbers = {field: number for number, field in enumerate(dict.fromkeys(fields))}
        share = rng.permutation(1.0 / np.sqrt(np.arange(1, len(names) + 1)))
        return cls(names, np.array([numbers[f] for f in fields], np.int32), (share / share.sum()).astype(np.float32))

    def draw(self, count: int, rng: np.random.Generator) -> Ints:
        """int32 [count]: topics drawn by their share."""
        return pick(self.share, rng.random(count))

    def interests(self, users: int, rng: np.random.Generator) -> tuple[Floats, Ints]:
        """(interests float32 [U, K], rows >= 0 that sum to 1; main topic int32 [U])."""
        topic_count = len(self.names)
        main, second = self.draw(users, rng), self.draw(users, rng)
        row = np.arange(users)
        shape = np.where(self.field[main][:, None] == self.field[None, :], _FIELD, _ANY)
        shape[row, second] += _SECOND
        shape[row, main] += _MAIN
        weights = rng.standard_gamma(shape.reshape(users, topic_count)) + 1e-6
        return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32), main

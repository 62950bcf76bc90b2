"""Trends: topics that everybody who cares for them writes about for some hours, under one hashtag.

A trend is a topic, a hashtag in each language, the hour when it begins and how long it takes; its tweets come with the
delay of a gamma distribution of shape 2, which rises within an hour or two and falls slowly. Their sizes are Pareto,
so that one trend of a week may be as large as the ten after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funnel.core.arrays import Array, Doubles, Floats, Ints
from synthetic.arrays import pick
from synthetic.clock import moments
from synthetic.taste import TopicTree
from synthetic.text import Grammar

_A_DAY = 4.0
_SIZE_TAIL = 1.2
_MEDIAN_SCALE_H, _SCALE_SIGMA = 2.0, 0.5  # of the gamma distribution; its peak is one scale after the beginning


@dataclass(frozen=True)
class Trends:
    """N trends. topic: int32 [N]; begin_h, scale_h, size: float64 [N]; word: int16 [N, L], hashtags."""

    topic: Ints
    begin_h: Doubles
    scale_h: Doubles
    size: Doubles
    word: Array

    @classmethod
    def of(cls, tree: TopicTree, grammar: Grammar, end_h: float, rng: np.random.Generator) -> Trends:
        """About four a day."""
        count = max(1, int(_A_DAY * end_h / 24.0))
        topic = tree.draw(count, rng)
        sizes = grammar.topical_sizes[:, topic]  # [L, N]
        place = (rng.random(count) * sizes).astype(np.int64)
        word = grammar.topical[np.arange(sizes.shape[0])[:, None], topic, place].T
        begin_h = moments(rng.random(count), end_h)
        scale_h = _MEDIAN_SCALE_H * np.exp(_SCALE_SIGMA * rng.standard_normal(count))
        return cls(
            topic, begin_h, scale_h, (1.0 - rng.random(count)) ** (-1.0 / _SIZE_TAIL), np.ascontiguousarray(word)
        )

    def draw(
        self, count: int, interests: Floats, writing: Doubles, end_h: float, rng: np.random.Generator
    ) -> tuple[Doubles, Ints, Array]:
        """(time_h float64, author int32, trend int16 [m]) of at most `count` tweets; those after `end_h` fall away."""
        trend = pick(self.size, rng.random(count)).astype(np.int16)
        time_h = self.begin_h[trend] + self.scale_h[trend] * rng.standard_gamma(2.0, count)
        inside = time_h < end_h
        trend, time_h = trend[inside], time_h[inside]
        author, draws = np.empty(trend.size, np.int32), rng.random(trend.size)
        for number in range(self.topic.size):
            rows = np.flatnonzero(trend == number)
            author[rows] = pick(writing * interests[:, self.topic[number]], draws[rows])
        return time_h, author, trend

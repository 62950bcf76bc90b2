"""Funnels that cost nothing on the tiny world, whose truth is known."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from pydantic.dataclasses import dataclass

from funnel.compose import Slot
from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Boost
from funnel.pipeline import Funnel
from funnel.world import World
from heuristics.boosts.out_of_network import OutOfNetwork
from heuristics.filters.own_tweets import OwnTweets
from heuristics.selectors.top_k import TopK
from tests.laws.funnels import Coarse, Lottery, Remainder, Taste, slot


@dataclass(config=STRICT, kw_only=True)
class One(Boost):
    """Multiplies by 1: it changes nothing."""

    def factor(self, batch: CandidateBatch) -> Floats:
        return np.ones(len(batch), np.float32)


@lru_cache(maxsize=1)
def tiny() -> World:
    return World.load("tiny")


def stages(*, size: int = 10, count: int = 60, keep: int = 40) -> list[Slot]:
    """Two sources, two filters, a light cut, a value, two boosts and a selector."""
    return [
        slot(Lottery(count=count), "lottery"),
        slot(Lottery(salt=1, count=count), "second"),
        slot(OwnTweets(), "own_tweets"),
        slot(Remainder(), "remainder"),
        slot(Coarse(levels=7), "coarse", keep=keep),
        slot(Taste(), "taste"),
        slot(One(), "one"),
        slot(OutOfNetwork(scale=0.5), "out_of_network"),
        slot(TopK(size=size), "top_k"),
    ]


def cheap(*, name: str = "cheap", world: World | None = None, size: int = 10, keep: int = 40) -> Funnel:
    made = Funnel(name, about="", world=world or tiny(), jobs=[], stages=stages(size=size, keep=keep))
    made.trained = True
    return made


def viewers(count: int = 40) -> np.ndarray:
    return np.arange(count, dtype=np.int32)

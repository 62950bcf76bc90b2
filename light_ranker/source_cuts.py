"""Where candidates are cut: each source by itself, some together, or all in one pool.

Sources hand over more than goes on: TimelineRanker takes the best 600 of its index's hits in network and the best 300
of 800 from UTEG, home-mixer then sends at most 500 of each source to the heavy ranker (twitter/the-algorithm,
home-mixer/…/scored_tweets/query_transformer and param/ScoredTweetsParam.scala, July 2023); in March 2023 in-network,
UTEG and FRS shared one pool of 1,100.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools, Floats, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.segments import rank_in_group
from funnel.core.stage import STRICT, Filter

EVERYTHING = "*"
# What the index returns is the model's probability times this.
LIGHT_SCALE = 100.0


@dataclass(config=STRICT, kw_only=True)
class SourceCuts(Filter):
    """Keeps the best candidates of each source by the light ranker's score.

    A candidate stays if it is among the best of at least one of its sources, or if a source found it that has no cut.
    A name such as `in_network+uteg` stands for the pool of what any of them found, `*` for all candidates; a source
    that the funnel lacks has found nothing. Ties break by the smaller tweet id.
    """

    list_wise = True

    cuts: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=lambda: {"in_network": 600, "uteg": 300, "frs": 100},
        description="how many stay of each source, of sources joined by +, or of all (*)",
    )
    by: Literal["light_score", "legacy_score", "distilled_score"] = Field(
        default="light_score", description="the score that decides"
    )
    plus_source: dict[str, Annotated[float, Field(ge=0, le=20)]] = Field(
        default_factory=dict,
        description="sources cut by source score + this × 100 × the score; UTEG has 1 (earlybirdScoreMultiplier)",
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The score; which sources found a candidate is always there."""
        return (self.by,)

    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: whether the candidate is within a cut, or free of any."""
        found = {name[5:]: batch[name] for name in batch.names if name.startswith("from.")}
        cut = {source for pool in self.cuts for source in pool.split("+")}
        kept: Bools = np.zeros(len(batch), np.bool_)
        if EVERYTHING not in self.cuts:
            kept = ~np.logical_or.reduce([kept, *(rows for name, rows in found.items() if name in cut)])
            for name, rows in found.items():
                if name not in cut:
                    kept |= rows
        for place, limit in self.places(batch).values():
            kept |= (place >= 0) & (place < limit)
        return kept

    def places(self, batch: CandidateBatch) -> dict[str, tuple[Longs, int]]:
        """For each cut, the place of every candidate (0 is best, −1 if it is not in that pool) and how many stay."""
        said = {}
        for pool, limit in self.cuts.items():
            rows = np.flatnonzero(self._members(batch, pool))
            offsets = np.searchsorted(rows, batch.offsets).astype(np.int64)
            place = np.full(len(batch), -1, np.int64)
            place[rows] = rank_in_group(offsets, self._score(batch, pool)[rows], batch["tweet"][rows])
            said[pool] = place, limit
        return said

    def _members(self, batch: CandidateBatch, pool: str) -> Bools:
        if pool == EVERYTHING:
            return np.ones(len(batch), np.bool_)
        columns = [batch[f"from.{source}"] for source in pool.split("+") if f"from.{source}" in batch]
        found: Bools = np.logical_or.reduce([np.zeros(len(batch), np.bool_), *columns])
        return found

    def _score(self, batch: CandidateBatch, pool: str) -> Floats:
        score = batch[self.by]
        if pool not in self.plus_source or f"source_score.{pool}" not in batch:
            return score
        combined: Floats = batch[f"source_score.{pool}"] + np.float32(LIGHT_SCALE * self.plus_source[pool]) * score
        return combined

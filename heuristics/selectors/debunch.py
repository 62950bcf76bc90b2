"""Never more than two tweets from outside the network in a row, as long as there is one from inside.

Source: twitter/the-algorithm (2023), home-mixer/.../functional_component/selector/DebunchCandidates.scala with
MaxBunchSize 2 (for_you/ForYouScoredTweetsMixerPipelineConfig.scala): in the order of scores, the next in-network tweet
is pulled up to the place of the third in a row; when none is left the rest stays as it is. Then the page is cut to
`for_you_server_max_results`, 35 with bounds [1, 500] (for_you/param/ForYouParam.scala). Polling for newer tweets, which
shortens the tail, is no part of this simulation.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.kernels import kernel
from funnel.core.segments import sorted_rows
from funnel.core.stage import STRICT, Selector


@dataclass(config=STRICT, kw_only=True)
class Debunch(Selector):
    """Orders by score, pulls in-network tweets up where others would bunch, and cuts the page."""

    needs = ("score", "in_network")

    max_in_a_row: int = Field(2, ge=1, le=500, description="out-of-network tweets that may follow each other")
    size: int = Field(35, ge=1, le=500, description="greatest number of tweets on the page")

    def order(self, batch: CandidateBatch) -> Longs:
        """int64 [m]: the rows that stay, in the order of the page."""
        rows = sorted_rows(batch.offsets, batch["score"], batch["tweet"])
        return _debunched(batch.offsets, rows, batch["in_network"], self.max_in_a_row, self.size)


@kernel
def _debunched(offsets: Longs, rows: Longs, inside: Bools, limit: int, size: int) -> Longs:
    """Two queues in the order of `rows`, the better head first; after `limit` from outside it is the insiders' turn."""
    page, found = np.empty(rows.size, np.int64), 0
    for request in range(offsets.size - 1):
        end = offsets[request + 1]
        insider = outsider = offsets[request]
        bunch, room = 0, size
        while room > 0:
            while insider < end and not inside[rows[insider]]:
                insider += 1
            while outsider < end and inside[rows[outsider]]:
                outsider += 1
            if insider == end and outsider == end:
                break
            if insider < end and (outsider == end or insider < outsider or bunch >= limit):
                page[found] = rows[insider]
                insider, bunch = insider + 1, 0
            else:
                page[found] = rows[outsider]
                outsider, bunch = outsider + 1, bunch + 1
            found += 1
            room -= 1
    return page[:found].copy()

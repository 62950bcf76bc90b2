"""Tweepcred: the reputation of accounts, from 0 to 100, by PageRank on the follow graph.

Code and constants: twitter/the-algorithm, src/scala/com/twitter/graph/batch/job/tweepcred.
"""

from __future__ import annotations

from candidates.tweepcred.job import Tweepcred

__all__ = ["Tweepcred"]

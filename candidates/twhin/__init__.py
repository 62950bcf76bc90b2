"""TwHIN: dense embeddings of users from the heterogeneous network of follows and engagements.

El-Kishky et al., "TwHIN: Embedding the Twitter Heterogeneous Information Network for Personalized Recommendation",
KDD 2022; code in twitter/the-algorithm-ml, projects/twhin.
"""

from __future__ import annotations

from candidates.twhin.job import TwHIN

__all__ = ["TwHIN"]

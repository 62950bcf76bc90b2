"""SimClusters: sparse, interpretable communities of the follow graph.

Satuluri et al., "SimClusters: Community-Based Representations for Heterogeneous Recommendations at Twitter", KDD 2020;
code in twitter/the-algorithm, src/scala/com/twitter/simclusters_v2, and twitter/sbf. docs/simclusters.md explains it.
"""

from __future__ import annotations

from candidates.simclusters.job import SimClusters

__all__ = ["SimClusters"]

"""RealGraph: how likely a viewer is to interact with an author within a day.

Kamath et al., "RealGraph: user interaction prediction at Twitter", UEO@KDD 2014; code in twitter/the-algorithm,
src/scala/com/twitter/interaction_graph. The features are `funnel.features.affinity.PAIR_FEATURES`.
"""

from __future__ import annotations

from candidates.real_graph.job import RealGraph

__all__ = ["RealGraph"]

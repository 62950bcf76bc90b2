"""Metrics of funnels: what one does for a list of requests (`Outcome`), and numbers that say how good that is.

    >>> from funnel.metrics import Judge, measure
    >>> judge = Judge.of(world, viewers)                          # doctest: +SKIP
    >>> found = measure(judge.observe(funnel), judge.scene)       # doctest: +SKIP
    >>> found.viewers["page.value"]                               # doctest: +SKIP

Every metric is declared in a file of this package (`page`, `diversity`, `creators`, `society`, `stages`,
`push`) with its
source, its chance level and its ceiling; `funnel list metrics` and docs/metrics.md list them.
"""

from __future__ import annotations

from funnel.metrics import creators, diversity, page, push, society, stages
from funnel.metrics.evaluate import Judge
from funnel.metrics.metric import METRICS, Measures, Metric, declared, measure, metric_rows
from funnel.metrics.outcome import Outcome, check_comparable, collect, joined, redrawn
from funnel.metrics.reference import Reference, references
from funnel.metrics.scene import Scene

__all__ = [
    "METRICS", "Judge", "Measures", "Metric", "Outcome", "Reference", "Scene", "check_comparable", "collect",
    "creators", "declared", "diversity", "joined", "measure", "metric_rows", "page", "push", "redrawn", "references",
    "society", "stages",
]  # fmt: skip

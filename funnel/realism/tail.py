"""Heavy tails and inequality: the power law of a tail, the share of the top, the Gini coefficient.

The exponent is the maximum-likelihood estimate for whole numbers from `least` on, in the approximation that Clauset,
Shalizi & Newman, "Power-law distributions in empirical data", SIAM Review 51 (2009), eq. 3.7 give for least >= 6:

    alpha = 1 + n / sum ln(x / (least - 1/2)),   standard error (alpha - 1) / sqrt(n)

and `least`, the cut, is where the Kolmogorov-Smirnov distance of data and law is smallest (their section 3.3). alpha is
the exponent of the density; the complementary distribution function falls with alpha - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funnel.core.arrays import Array, Doubles

_LEAST_CUT = 6  # the approximation is within a percent from here on (Clauset et al., section 3.5)
_TAIL_SHARE, _TAIL_LEAST = 0.01, 100  # a cut leaves at least so much of the values in the tail
_CUTS = 100  # tried, evenly among the distinct values


@dataclass(frozen=True)
class Tail:
    """exponent of the density; least: the cut; size: values in the tail; error: of the exponent; distance: of KS."""

    exponent: float
    least: int
    size: int
    error: float
    distance: float


def power_law_tail(values: Array) -> Tail | None:
    """The tail of whole numbers, or None where fewer than a hundred are left above the lowest cut."""
    ordered = np.sort(values[values >= _LEAST_CUT]).astype(np.float64)
    wanted = max(_TAIL_LEAST, int(_TAIL_SHARE * values.size))
    if ordered.size < wanted or ordered[-1] == ordered[0]:
        return None
    cuts = np.unique(ordered[: ordered.size - wanted + 1])
    chosen = cuts[np.unique(np.linspace(0, cuts.size - 1, min(_CUTS, cuts.size)).astype(np.int64))]
    tails = [_fit(ordered[np.searchsorted(ordered, cut) :], float(cut)) for cut in chosen]
    return min(tails, key=lambda tail: tail.distance)


def _fit(tail: Doubles, cut: float) -> Tail:
    exponent = 1.0 + tail.size / float(np.log(tail / (cut - 0.5)).sum())
    distinct, first = np.unique(tail, return_index=True)
    observed = 1.0 - first / tail.size  # share of the tail that is at least this large
    expected = ((distinct - 0.5) / (cut - 0.5)) ** (1.0 - exponent)
    distance = float(np.abs(observed - expected).max())
    return Tail(exponent, int(cut), tail.size, (exponent - 1.0) / tail.size**0.5, distance)


def share_of_top(counts: Array, share: float) -> float:
    """The part of a total that the top `share` of the ranks (the busiest tenth of the users, say) accounts for."""
    top = np.sort(counts)[::-1][: max(1, round(share * counts.size))]
    return float(top.sum() / max(1, counts.sum()))


def gini(counts: Array) -> float | None:
    """0 if all have the same, towards 1 if one has everything; None if there is nothing to have."""
    ordered = np.sort(counts).astype(np.float64)
    total = ordered.sum()
    if total <= 0:
        return None
    rank = np.arange(1, ordered.size + 1)
    return float(2.0 * (rank * ordered).sum() / (ordered.size * total) - (ordered.size + 1.0) / ordered.size)


def ccdf(values: Array) -> tuple[Doubles, Doubles]:
    """(distinct values >= 1, share of all values that are at least as large), float64 each."""
    ordered = np.sort(values[values >= 1]).astype(np.float64)
    distinct, first = np.unique(ordered, return_index=True)
    return distinct, (ordered.size - first) / max(1, values.size)

"""How the light ranker learns: weighted labels, sampled negatives, percentile bins, one linear layer.

twitter/the-algorithm, src/python/twitter/deepbird/projects/timelines/scripts/models/earlybird (model and
weights) and timelines/data_processing/ad_hoc/earlybird_ranking (sampling).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression, Ridge

from funnel.core import rng
from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Bools, Doubles, Floats, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.segments import rank_in_group
from funnel.core.world import PlatformView
from funnel.features import hydrate, matrix
from funnel.features.logged import labels, logged_batch
from funnel.features.tweet import ENGAGEMENT_WEIGHTS
from light_ranker.binned import Binned

# Share kept of an engagement's label and of records without one: (out-of-network, in-network).
KEPT_LABELS, KEPT_NEGATIVES = (0.5, 1.0), (0.04, 0.08)
ROWS_AT_ONCE = 65_536  # rows hydrated together
SOFTENED = 20.0  # places: that of the best and of the twentieth differ by a factor of two, not of twenty


@dataclass(frozen=True)
class Examples:
    """values: float32 [m, F]; positive: bool [m]; weight: float64 [m], mean 1; in_network: bool [m]."""

    values: Floats
    positive: Bools
    weight: Doubles
    in_network: Bools


def sampled_examples(view: PlatformView, features: tuple[str, ...], limit: int, seed: int) -> Examples:
    """Logged impressions with the record weights of the release, each seen at its own moment.

    A label that happened is kept with probability r⁺ and the record then weighs Σ importance / r⁺; records that
    lose all their labels are dropped; those that had none are kept with probability r⁻ and weigh 1 / r⁻.
    """
    count = view.impressions["viewer"].size
    rows = np.arange(count)
    if count > limit:
        rows = np.sort(rng.stream(seed, "light_ranker impressions").choice(count, limit, replace=False))
    inside = _hydrated(view, rows, ("in_network",))[:, 0] > 0
    done, side = labels(view, rows), inside.astype(np.int64)
    label_rate, negative_rate = np.take(KEPT_LABELS, side), np.take(KEPT_NEGATIVES, side)
    weight = np.zeros(rows.size)
    engaged = np.zeros(rows.size, np.bool_)
    for action, importance in ENGAGEMENT_WEIGHTS.items():
        happened = done[:, ACTION_CODE[action]]
        engaged |= happened
        drawn = rng.uniform(seed, f"light_ranker {action}", rows) < label_rate
        weight += np.where(happened & drawn, importance / label_rate, 0.0)
    sampled = ~engaged & (rng.uniform(seed, "light_ranker negatives", rows) < negative_rate)
    weight = np.where(sampled, 1.0 / negative_rate, weight)
    kept = weight > 0
    values = _hydrated(view, rows[kept], features)
    mean = weight[kept].mean() if kept.any() else 1.0
    return Examples(values, engaged[kept], weight[kept] / mean, inside[kept])


def percentile_boundaries(values: Floats, bins: int) -> Floats:
    """float32 [F, bins - 1]: ascending upper ends of all bins but the last; unused ones are infinite."""
    out = np.full((values.shape[1], bins - 1), np.inf, np.float32)
    for feature in range(values.shape[1]):
        ends = np.unique(np.quantile(values[:, feature], np.arange(1, bins) / bins, method="lower"))
        out[feature, : ends.size] = ends
    return out


def fitted_bins(
    examples: Examples, chosen: Bools, boundaries: Floats, regularisation: float
) -> tuple[Floats, Floats, np.float32]:
    """(boundaries, float32 [F, bins], bias): logistic regression on the bins of the chosen rows as binary inputs.

    A feature without finite boundaries is the same for all rows: its weight goes into the bias.
    """
    values = examples.values[chosen]
    count, bins = values.shape[1], boundaries.shape[1] + 1
    binary = _binary(values, boundaries)
    model = LogisticRegression(C=regularisation, max_iter=200, tol=1e-3)
    model.fit(binary, examples.positive[chosen], sample_weight=examples.weight[chosen])
    weights = model.coef_[0].reshape(count, bins)
    same = ~np.isfinite(boundaries[:, 0])
    bias = model.intercept_[0] + weights[same, 0].sum()
    weights[same] = 0.0
    return boundaries, weights.astype(np.float32), np.float32(bias)


def distilled_bins(
    batch: CandidateBatch, value: Floats, features: tuple[str, ...], bins: int, penalty: float
) -> Binned:
    """Ridge regression of minus log(place + 20) on bins and on a level for each request, which is forgotten afterwards.

    The place is that of the teacher's order, 0 for the best: the head of the order counts most, and how the value is
    scaled counts nothing.
    Without candidates the model says 0 of everything.
    """
    if not len(batch):
        empty = np.full((1, len(features), bins - 1), np.inf, np.float32)
        return Binned(empty, np.zeros((1, len(features), bins), np.float32), np.zeros(1, np.float32))
    values = np.empty((len(batch), len(features)), np.float32)
    for begin, end in _request_parts(batch.offsets):
        values[begin:end] = matrix(_of_requests(batch, begin, end), features)
    boundaries = percentile_boundaries(values, bins)
    level = csr_matrix((np.ones(len(batch)), (np.arange(len(batch)), batch.request)))
    design = hstack([_binary(values, boundaries), level], format="csr")
    target = -np.log(rank_in_group(batch.offsets, value, batch["tweet"]) + SOFTENED)
    model = Ridge(alpha=penalty, fit_intercept=True, solver="lsqr", tol=1e-4)
    model.fit(design, target)
    weights = model.coef_[: len(features) * bins].reshape(len(features), bins)
    weights[~np.isfinite(boundaries[:, 0])] = 0.0
    return Binned(boundaries[None], weights[None].astype(np.float32), np.zeros(1, np.float32))


def _binary(values: Floats, boundaries: Floats) -> csr_matrix:
    """[m, F × bins]: a 1 in the bin of each feature."""
    count, bins = values.shape[1], boundaries.shape[1] + 1
    columns: Longs = np.empty(values.shape, np.int64)
    for feature in range(count):
        columns[:, feature] = feature * bins + np.searchsorted(boundaries[feature], values[:, feature], side="left")
    starts = np.arange(values.shape[0] + 1) * count
    return csr_matrix((np.ones(columns.size), columns.ravel(), starts), shape=(values.shape[0], count * bins))


def _request_parts(offsets: Longs) -> Iterator[tuple[int, int]]:
    """Ranges of rows, whole requests, of some ten thousands each."""
    begin = 0
    for end in offsets[1:].tolist():
        if end - begin >= ROWS_AT_ONCE or end == int(offsets[-1]):
            if end > begin:
                yield begin, end
            begin = end


def _of_requests(batch: CandidateBatch, begin: int, end: int) -> CandidateBatch:
    """The rows begin … end − 1; requests without any of them stay as empty ones."""
    return batch.take(np.arange(begin, end))


def _hydrated(view: PlatformView, rows: Longs, features: tuple[str, ...]) -> Floats:
    """float32 [n, F], some rows at a time so that intermediate columns stay small."""
    out = np.empty((rows.size, len(features)), np.float32)
    for begin in range(0, rows.size, ROWS_AT_ONCE):
        part = slice(begin, begin + ROWS_AT_ONCE)
        batch = hydrate(logged_batch(view, rows[part]), features)
        out[part] = matrix(batch, features)
    return out

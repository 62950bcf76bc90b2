"""RealGraph's models of a pair: boosted trees, or logistic regression, as arrays that one compiled loop adds up.

    log-odds = intercept + Σ weight · log(1 + column) + Σ trees

Trees (the release): BQML's BOOSTED_TREE_CLASSIFIER with 20 iterations of histogram trees and its defaults, learning
rate 0.3, depth 6, L2 of 1 (twitter/the-algorithm, interaction_graph/bqe/training/train_model.sql), here by
scikit-learn. Logistic regression: Kamath et al., UEO@KDD 2014. A model has one or the other; weights of 0 cost nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints
from funnel.core.kernels import kernel

ITERATIONS, RATE, DEPTH, L2 = 20, 0.3, 6, 1.0


class PairModel(NamedTuple):
    """linear: float64 [C + 1], intercept last; the nodes of all trees: feature int32 (−1 at a leaf), threshold and
    value float64, left and right int32; root: int32 [T]. A pair goes left where its column is ≤ the threshold."""

    linear: Doubles
    feature: Ints
    threshold: Doubles
    left: Ints
    right: Ints
    value: Doubles
    root: Ints

    def probabilities(self, columns: Floats) -> Floats:
        """float32 [n] of float32 [n, C]; on balanced classes, see `unbalanced`."""
        return _probabilities(columns, *self, bool(self.linear[:-1].any()))


def fit_trees(columns: Floats, positive: Bools) -> PairModel:
    """Boosted trees; the same for any number of threads."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # serving a timeline needs no sklearn
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    learner = HistGradientBoostingClassifier(
        max_iter=ITERATIONS, learning_rate=RATE, max_depth=DEPTH, max_leaf_nodes=None, l2_regularization=L2,
        early_stopping=False, random_state=0,
    )  # fmt: skip
    with threadpool_limits(limits=1):
        learner.fit(columns, positive)
    return exported(learner)


def exported(learner: object) -> PairModel:
    """The arrays of a fitted HistGradientBoostingClassifier of two classes and plain numbers."""
    trees = [stage[0].nodes for stage in learner._predictors]  # type: ignore[attr-defined]
    root = np.cumsum([0, *(nodes.size for nodes in trees)])
    node = np.concatenate(trees)
    shift = np.repeat(root[:-1], [nodes.size for nodes in trees])
    leaf = node["is_leaf"].astype(np.bool_)
    linear = np.zeros(int(learner.n_features_in_) + 1)  # type: ignore[attr-defined]
    linear[-1] = np.ravel(learner._baseline_prediction)[0]  # type: ignore[attr-defined]
    return PairModel(
        linear,
        np.where(leaf, -1, node["feature_idx"]).astype(np.int32),
        np.where(leaf, 0.0, np.minimum(node["num_threshold"], np.finfo(np.float64).max)),
        np.where(leaf, 0, node["left"] + shift).astype(np.int32),
        np.where(leaf, 0, node["right"] + shift).astype(np.int32),
        np.where(leaf, node["value"], 0.0),
        root[:-1].astype(np.int32),
    )


def fit_logistic(columns: Floats, positive: Bools, regularisation: float) -> PairModel:
    """Logistic regression on standardised log(1 + column), in terms of the plain ones."""
    return linear_model(logistic(np.log1p(columns.astype(np.float64)), positive, regularisation))


def logistic(columns: Array, positive: Bools, regularisation: float) -> Doubles:
    """float64 [C + 1]: logistic regression on standardised columns, in terms of the raw ones, intercept last."""
    from sklearn.linear_model import LogisticRegression  # serving a timeline needs no sklearn

    mean, spread = columns.mean(axis=0, dtype=np.float64), columns.std(axis=0, dtype=np.float64)
    spread[spread == 0] = 1.0
    model = LogisticRegression(C=regularisation, max_iter=500).fit((columns - mean) / spread, positive)
    weight = model.coef_[0] / spread
    return np.append(weight, model.intercept_[0] - weight @ mean)


def linear_model(linear: Doubles) -> PairModel:
    """A model without trees."""
    whole, real = np.empty(0, np.int32), np.empty(0, np.float64)
    return PairModel(linear.astype(np.float64), whole, real, whole, whole, real, whole)


def unbalanced(score: Floats, base_rate: float) -> Floats:
    """float32 [n]: probabilities, from scores learnt where positives stayed with 1 − p and negatives with p.

    That multiplies the odds by (1 − p) / p.
    """
    odds_of_score = score * base_rate
    total = odds_of_score + (1.0 - score) * (1.0 - base_rate)
    return np.asarray(odds_of_score / np.maximum(total, 1e-12), np.float32)


@kernel
def _probabilities(
    columns: Floats,
    linear: Doubles,
    feature: Ints,
    threshold: Doubles,
    left: Ints,
    right: Ints,
    value: Doubles,
    root: Ints,
    has_weights: bool,
) -> Floats:
    out = np.empty(columns.shape[0], np.float32)
    count = columns.shape[1]
    for n in range(columns.shape[0]):
        row = columns[n]
        logit = linear[count]
        if has_weights:
            for c in range(count):
                logit += linear[c] * np.log1p(np.float64(row[c]))
        for t in range(root.size):
            at = root[t]
            while feature[at] >= 0:
                at = left[at] if row[feature[at]] <= threshold[at] else right[at]
            logit += value[at]
        out[n] = 1.0 / (1.0 + np.exp(-logit))
    return out

"""What nobody should give the heavy ranker, and what it then says or does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.arrays import Floats
from funnel.core.errors import DataError
from funnel.core.rng import stream
from heavy_ranker.double_norm_log import AS_RELEASED, DoubleNormLog
from heavy_ranker.examples import Examples, Sample
from heavy_ranker.heavy_ranker import HeavyRanker
from heavy_ranker.network import HeavyNetwork
from heavy_ranker.serving import ServingNetwork
from heavy_ranker.training import fit_network

ROWS, WIDTH = 2_000, 6
SMALL = {
    "blocks": 1,
    "block_size": 8,
    "aggregation_size": 8,
    "mlp": (8,),
    "towers": (4,),
    "batch_size": 100,
    "epochs": 1,
}


def _features() -> Floats:
    """Five numbers, of which one never changes, and a flag."""
    x = stream(0, "bad input").normal(size=(ROWS, WIDTH)).astype(np.float32)
    x[:, 2] = 3.0
    x[:, 5] = x[:, 5] > 0
    return x


def _fit(x: Floats, **settings: object) -> ServingNetwork:
    labels = stream(0, "labels").random((ROWS, len(HEAVY_ACTIONS))) < 0.2
    labels[:, HEAVY_ACTIONS.index("report")] = False
    sample = Sample(np.arange(ROWS), labels, np.ones(ROWS, np.float32), 1_600, labels.sum(axis=0), ROWS)
    served, _, _ = fit_network(
        Examples(sample, x, WIDTH - 1, tuple("abcdef")), HeavyRanker(**{**SMALL, **settings}), seed=0
    )
    return served


def test_a_constant_column_and_numbers_that_are_none_leave_everything_finite() -> None:
    x = _features()
    x[::7, 0], x[::11, 1], x[::13, 3] = np.nan, np.inf, -np.inf
    served = _fit(x)
    p = served.probabilities(x)
    assert np.isfinite(p).all()
    assert ((p >= 0) & (p <= 1)).all()
    # They count as 0.
    plain = np.where(np.isfinite(x), x, 0).astype(np.float32)
    assert served.probabilities(plain).tobytes() == p.tobytes()


def test_a_row_of_equal_features_is_defined_here_and_nan_as_released() -> None:
    x = torch.zeros(3, 4)
    assert torch.isfinite(DoubleNormLog(4, 0).eval()(x, torch.zeros(3, 0))).all()
    released = DoubleNormLog(4, 0, layer_norm_epsilon=AS_RELEASED).eval()
    assert torch.isnan(released(x, torch.zeros(3, 0))).all()


def test_an_embedding_that_is_missing_is_a_row_of_zeros_and_changes_nothing_else() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = HeavyNetwork.of(
            continuous=3, binary=1, embeddings=(4, 4), blocks=1, block_size=8, aggregation_size=8, mlp=(8,),
            tasks=("favorite",), towers=(4,), layer_norm_epsilon=1e-5,
        ).eval()  # fmt: skip
    x = torch.rand(5, 12)
    x[2, 4:8] = 0.0
    with torch.inference_mode():
        embedding = network.embedding(x)
        assert torch.isfinite(network(x)).all()
    # The layer norm of zeros is its bias, which is 0 in a fresh network.
    assert torch.equal(embedding[2, 4:8], torch.zeros(4))
    assert embedding[1, 4:8].abs().sum() > 1


def test_a_batch_of_one_is_refused_in_training_and_served_otherwise() -> None:
    network = HeavyNetwork.of(
        continuous=3, binary=1, blocks=1, block_size=8, aggregation_size=8, mlp=(8,), tasks=("favorite",), towers=(4,),
        layer_norm_epsilon=1e-5,
    )  # fmt: skip
    with pytest.raises(DataError, match="two rows"):
        network.train()(torch.rand(1, 4))
    with torch.inference_mode():
        assert network.eval()(torch.rand(1, 4)).shape == (1, 1)


def test_a_head_without_positives_says_that_it_never_happens() -> None:
    served = _fit(_features())
    report = HEAVY_ACTIONS.index("report")
    assert not served.trained[report]
    assert (served.probabilities(_features())[:, report] == 0).all()
    with pytest.raises(DataError, match="lower min_positives"):
        _fit(_features(), min_positives=ROWS)

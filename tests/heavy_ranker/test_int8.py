"""The network in 8 bits: close to float32, in the same order, and the same for a row in any company."""

from __future__ import annotations

import numpy as np
import pytest

from heavy_ranker.int8 import Int8Network
from tests.heavy_ranker.test_serving import TRAINED, _networks, _rows

pytest.importorskip("onnxruntime", reason="the extra `fast`")


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("mlp", [(), (40,), (33, 20)])
def test_8_bits_keep_the_order_of_float32(mlp: tuple[int, ...], paper: bool) -> None:
    _, served = _networks(mlp, paper)
    small = Int8Network(served, _rows(500, seed=1))
    x = _rows(400, seed=2)
    exact, rounded = served.logits(x), small.logits(x)
    assert rounded.shape == exact.shape
    for head in range(exact.shape[1]):
        # Layers this narrow average little rounding noise away; a column or a layer mixed up leaves no correlation.
        assert np.corrcoef(exact[:, head], rounded[:, head])[0, 1] > 0.98
        assert np.abs(exact[:, head] - rounded[:, head]).mean() < 0.2 * exact[:, head].std()
    p = small.probabilities(x)
    assert (p[:, ~TRAINED] == served.base_rate[~TRAINED]).all()
    assert p == pytest.approx(served.probabilities(x), abs=0.2)


def test_a_row_gets_the_same_bytes_in_any_batch() -> None:
    _, served = _networks()
    small = Int8Network(served, _rows(500, seed=1))
    x = _rows(64, seed=2)
    whole = small.logits(x)
    assert np.concatenate([small.logits(x[i : i + 1]) for i in range(64)]).tobytes() == whole.tobytes()
    assert small.logits(x[::-1].copy())[::-1].tobytes() == whole.tobytes()
    assert small.logits(x[:0]).shape == (0, int(TRAINED.sum()))

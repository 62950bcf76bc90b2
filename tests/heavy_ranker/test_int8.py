"""The network in 8 bits: close to float32, in the same order, and the same for a row in any company."""

from __future__ import annotations

import numpy as np
import pytest

from funnel.core.errors import DataError
from funnel.features import hydrate
from funnel.features.logged import logged_batch
from heavy_ranker.heavy_ranker import HeavyRanker
from heavy_ranker.int8 import Int8Network
from tests.heavy_ranker.test_serving import TRAINED, _networks, _rows
from tests.heavy_ranker.test_training import FEATURES, SMALL
from tests.support import mini_view

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


def test_the_stage_serves_8_bits_if_asked_and_keeps_what_sets_their_steps() -> None:
    view = mini_view()
    exact = HeavyRanker(**SMALL, features=FEATURES, epochs=2)
    exact.fit(view, seed=0)
    batch = hydrate(logged_batch(view, np.arange(300)), exact.needs)
    rounded = HeavyRanker(**SMALL, features=FEATURES, epochs=2, backend="int8")
    rounded.restore(exact.state())
    p, q = exact.score(batch)["p.favorite"], rounded.score(batch)["p.favorite"]
    assert p.tobytes() != q.tobytes()
    assert np.corrcoef(p, q)[0, 1] > 0.98
    alone = rounded.score(batch.take(np.array([250])))["p.favorite"]
    assert alone.tobytes() == q[250:251].tobytes()
    state = {name: values for name, values in exact.state().items() if name != "sample"}
    rounded.restore(state)
    with pytest.raises(DataError, match="8-bit"):
        rounded.score(batch)
    with pytest.raises(DataError, match="sample of shape"):
        rounded.restore({**state, "sample": np.zeros((4, 2), np.float32)})

"""Serving from arrays: equal to the torch module, and independent of company, place and batch size."""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.arrays import Floats
from funnel.core.errors import DataError
from funnel.core.kernels.dense import grouped_dense, pack
from funnel.core.rng import stream
from heavy_ranker.export import export
from heavy_ranker.network import HeavyNetwork
from heavy_ranker.serving import ServingNetwork

CONTINUOUS, BINARY = 21, 6
# Arrays whose length nothing else must match, and those that are empty without vectors.
NOT_NUMBERED = {"features", "transform.clip_and_epsilon", "embeddings", "embeddings.widths"}
TRAINED = np.array([name != "report" for name in HEAVY_ACTIONS])


@lru_cache
def _networks(mlp: tuple[int, ...] = (40,), paper: bool = False) -> tuple[HeavyNetwork, ServingNetwork]:
    """A network with random weights, gains and running statistics, and its export."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = HeavyNetwork.of(
            continuous=CONTINUOUS,
            binary=BINARY,
            blocks=3,
            block_size=24,
            aggregation_size=17,
            paper=paper,
            mlp=mlp,
            tasks=[name for name, learns in zip(HEAVY_ACTIONS, TRAINED, strict=True) if learns],
            towers=(9, 5),
            layer_norm_epsilon=1e-5,
        ).eval()
        for name, values in (*network.named_parameters(), *network.named_buffers()):
            if values.dtype == torch.float32:
                values.data += torch.rand_like(values) * (1.0 if name.endswith("running_var") else 0.3)
    names = tuple(f"feature{i}" for i in range(CONTINUOUS + BINARY))
    rates = np.linspace(0.01, 0.1, len(HEAVY_ACTIONS)).astype(np.float32)
    ratio = np.linspace(0.5, 2.0, len(HEAVY_ACTIONS)).astype(np.float32)
    return network, export(network, features=names, ratio=ratio, trained=TRAINED, base_rate=rates)


def _rows(n: int, seed: int = 0) -> Floats:
    draw = stream(seed, "features")
    x = draw.normal(size=(n, CONTINUOUS + BINARY)) * 10.0 ** draw.integers(-2, 4, CONTINUOUS + BINARY)
    x[:, CONTINUOUS:] = draw.random((n, BINARY)) < 0.3
    return x.astype(np.float32)


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("mlp", [(), (40,), (33, 20)])
def test_the_arrays_compute_what_the_torch_module_computes(mlp: tuple[int, ...], paper: bool) -> None:
    network, served = _networks(mlp, paper)
    x = _rows(700)
    x[0], x[1, 3] = 0.0, np.inf
    with torch.inference_mode():
        expected = network(torch.from_numpy(x)).numpy()
    assert np.abs(served.logits(x) - expected).max() <= 1e-5 * (1 + np.abs(expected).max())


@given(cuts=st.lists(st.integers(0, 700), max_size=6), seed=st.integers(0, 1000))
def test_a_row_gets_the_same_bytes_in_any_batch_at_any_place(cuts: list[int], seed: int) -> None:
    _, served = _networks()
    x = _rows(700)
    whole = served.probabilities(x)
    edges = [0, *sorted(cuts), 700]
    parts = [served.probabilities(x[a:b]) for a, b in pairwise(edges)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    order = stream(seed, "order").permutation(700)
    assert served.probabilities(x[order]).tobytes() == whole[order].tobytes()


def test_probabilities_are_calibrated_and_an_untrained_head_says_its_base_rate() -> None:
    _, served = _networks()
    x = _rows(50)
    p = served.probabilities(x)
    assert p.dtype == np.float32
    assert ((p >= 0) & (p <= 1)).all()
    assert (p[:, ~TRAINED] == served.base_rate[~TRAINED]).all()
    odds = np.exp(served.logits(x)[:, 2].astype(np.float64)) * served.ratio[2]
    assert p[:, 2] == pytest.approx(odds / (1 + odds), rel=1e-5)


@given(
    rows=st.integers(0, 20), groups=st.integers(1, 3), terms=st.integers(1, 20), columns=st.integers(1, 40),
    relu=st.booleans(),
)  # fmt: skip
def test_a_grouped_dense_layer_is_a_matrix_product(
    rows: int, groups: int, terms: int, columns: int, relu: bool
) -> None:
    draw = stream(rows + 100 * columns, "dense")
    x, weight, bias = (
        draw.normal(size=shape).astype(np.float32)
        for shape in ((rows, groups, terms), (groups, terms, columns), (groups, columns))
    )
    expected = np.einsum("ngk,gkc->ngc", x, weight) + bias
    expected = np.maximum(expected, 0) if relu else expected
    assert grouped_dense(x, *pack(weight, bias), columns, relu) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("rows", [1, 7, 12])
def test_relu_cuts_off_what_is_below_0_and_keeps_what_is_no_number(rows: int) -> None:
    weight = np.eye(3, dtype=np.float32)[None]
    x = np.tile(np.array([-2.0, 3.0, np.nan], np.float32), (rows, 1, 1))
    x[:, 0, :2] *= np.arange(1, rows + 1, dtype=np.float32)[:, None]
    # NaN times 0 is NaN, so one makes its whole row so.
    cut = grouped_dense(x, *pack(weight, np.zeros((1, 3), np.float32)), 3, True)
    assert np.isnan(cut).all()
    x[:, :, 2] = 0.0
    cut = grouped_dense(x, *pack(weight, np.zeros((1, 3), np.float32)), 3, True)
    assert cut[:, 0].tolist() == [[0.0, 3.0 * row, 0.0] for row in range(1, rows + 1)]


@pytest.mark.parametrize("constant", [0.0, -0.0, 4.5, np.nan, np.inf])
def test_a_row_is_transformed_the_same_beside_rows_of_equal_values(constant: float) -> None:
    serving = _networks()[1]
    x = _rows(75)
    x[::3, : CONTINUOUS // 2] = constant
    x[1::3] = x[0]
    together = serving.transformed(x)
    assert together.tobytes() == b"".join(serving.transformed(x[i : i + 1]).tobytes() for i in range(x.shape[0]))


def test_state_and_back_gives_the_same_bytes() -> None:
    _, served = _networks(paper=True)
    restored = ServingNetwork.of(served.state(), "test")
    assert restored.features == served.features
    assert restored.probabilities(_rows(20)).tobytes() == served.probabilities(_rows(20)).tobytes()


@pytest.mark.parametrize("name", sorted(_networks()[1].state()))
def test_a_missing_array_is_named(name: str) -> None:
    state = _networks()[1].state()
    del state[name]
    with pytest.raises(DataError, match=r"train it again"):
        ServingNetwork.of(state, "test")


@pytest.mark.parametrize("name", sorted(set(_networks()[1].state()) - NOT_NUMBERED))
def test_an_array_of_another_shape_is_refused(name: str) -> None:
    state = _networks(paper=True)[1].state()
    with pytest.raises(DataError, match=r"train it again"):
        ServingNetwork.of({**state, name: state[name][..., :-1]}, "test")


def test_serving_does_not_import_torch() -> None:
    code = "import sys, heavy_ranker.heavy_ranker, heavy_ranker.value; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "False"


def test_vectors_are_normalised_each_by_itself_and_served_as_trained() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = HeavyNetwork.of(
            continuous=5, binary=2, embeddings=(4, 3), blocks=2, block_size=8, aggregation_size=6, mlp=(7,),
            tasks=HEAVY_ACTIONS, towers=(5,), layer_norm_epsilon=1e-5,
        )  # fmt: skip
        for values in network.state_dict().values():
            if values.dtype == torch.float32:
                values.add_(torch.rand_like(values))
        x = torch.rand(50, 14) * 9
    x[0, 7:] = 0  # neither vector is known
    heads = len(HEAVY_ACTIONS)
    served = export(
        network.eval(), features=tuple("abcdefg"), embeddings=("u", "v"), ratio=np.ones(heads, np.float32),
        trained=np.ones(heads, np.bool_), base_rate=np.full(heads, 0.1, np.float32),
    )  # fmt: skip
    restored = ServingNetwork.of(served.state(), "test")
    assert (restored.embeddings, list(restored.widths), restored.width) == (("u", "v"), [4, 3], 14)
    with torch.inference_mode():
        wanted = network(x).numpy()
    np.testing.assert_allclose(restored.logits(x.numpy()), wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(restored.logits(x.numpy() * [*[1] * 7, *[3] * 7])[1:], wanted[1:], rtol=1e-2, atol=1e-2)

"""The push ranker's serving from arrays: equal to the torch module, and without torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from heavy_ranker.push_export import export_push
from heavy_ranker.push_inputs import PushInputs
from heavy_ranker.push_network import PushNetwork, tensors_of
from heavy_ranker.push_serving import ROWS_AT_ONCE, ServingPush
from tests.heavy_ranker.push_support import BINARY, BITS, CONTINUOUS, NAMES, made_inputs


def _network(**settings: object) -> PushNetwork:
    """Random weights, gains and statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PushNetwork(continuous=CONTINUOUS, binary=BINARY, bits=BITS, **settings).eval()  # type: ignore[arg-type]
        for name, values in network.state_dict().items():
            if not name.endswith("batches"):
                values.add_(torch.rand_like(values) * 0.3)
    return network


@pytest.mark.parametrize(
    "settings",
    [
        {"sizes": (24, 16, 5), "embedding": 7},
        {"sizes": (18, 18, 18), "embedding": 4, "residual": True},
        {"sizes": (9,), "embedding": 0, "kernel_size": 4, "filters": 2, "renorm": False},
    ],
    ids=["plain", "residual", "no sparse features"],
)
def test_serving_is_the_torch_module_to_float32_rounding(settings: dict[str, object]) -> None:
    network, inputs = _network(**settings), made_inputs(2 * ROWS_AT_ONCE + 3, 0)
    inputs.numbers[0, 0], inputs.numbers[1, 1], inputs.numbers[2, 2] = np.nan, np.inf, -np.inf
    served = ServingPush.of(export_push(network, features=NAMES, sparse=("author",)).state(), "test")
    with torch.inference_mode():
        wanted = network(*tensors_of(inputs))
    np.testing.assert_allclose(served.logits(inputs), wanted.numpy(), rtol=1e-4, atol=1e-4)
    p = torch.sigmoid(wanted).cumprod(dim=1).numpy()
    np.testing.assert_allclose(served.probabilities(inputs), p, rtol=1e-4, atol=1e-5)


def test_a_row_alone_has_the_bits_that_it_has_in_company() -> None:
    served = export_push(_network(sizes=(20, 6), embedding=5), features=NAMES, sparse=("author",))
    inputs = made_inputs(300, 1)
    together = served.logits(inputs)
    for row in (0, 7, 255, 299):
        at = np.array([row])
        alone = PushInputs(inputs.numbers[at], inputs.flags.take(at), inputs.amounts.take(at))
        assert served.logits(alone).tobytes() == together[at].tobytes()
    none = np.arange(0)
    nobody = PushInputs(inputs.numbers[none], inputs.flags.take(none), inputs.amounts.take(none))
    assert served.probabilities(nobody).shape == (0, 2)


def test_serving_imports_no_torch() -> None:
    code = "import sys, heavy_ranker.clemnet_ranker, heavy_ranker.push_value; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own interpreter

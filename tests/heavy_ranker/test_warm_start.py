"""Warm starts across a changed list of features: rows follow their names, and what is new begins without effect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.errors import DataError
from funnel.core.rng import stream
from funnel.learn.checkpoints import Checkpoint
from heavy_ranker.examples import Examples, Sample
from heavy_ranker.heavy_ranker import HeavyRanker
from heavy_ranker.network import HeavyNetwork
from heavy_ranker.training import fit_network
from heavy_ranker.warm_start import described, warm_start

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's
OLD = ("a", "b", "c", "flag")


def _network(continuous: int = 3, binary: int = 1, *, seed: int = 0, block_size: int = 8) -> HeavyNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = HeavyNetwork.of(
            continuous=continuous, binary=binary, blocks=2, block_size=block_size, aggregation_size=6, mlp=(7,),
            tasks=HEAVY_ACTIONS, towers=(5,), layer_norm_epsilon=1e-5,
        )  # fmt: skip
        for values in network.state_dict().values():
            if values.dtype == torch.float32:
                values.add_(torch.rand_like(values))
    return network.eval()


def _saved(network: HeavyNetwork, folder: Path, names: tuple[str, ...] = OLD) -> Path:
    file = Checkpoint(folder / "checkpoint.safetensors", 1, about=described(names, network.continuous))
    file.save(1, {"model": network.state_dict()}, {"step": [], "training_loss": [], "validation_loss": []})
    return file.path


def _logits(network: HeavyNetwork, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(x)


def test_a_feature_keeps_its_weights_wherever_it_stands(tmp_path: Path) -> None:
    before, after = _network(), _network(seed=1)
    warm_start(after, ("c", "a", "b", "flag"), _saved(before, tmp_path))
    x = torch.rand(20, 4) * 9
    x[:, 3] = (x[:, 3] > 4).float()
    assert torch.allclose(_logits(after, x[:, [2, 0, 1, 3]]), _logits(before, x), atol=1e-5)


def test_a_new_feature_has_no_effect_beyond_the_layer_norm(tmp_path: Path) -> None:
    after = _network(continuous=4, seed=1)
    warm_start(after, ("a", "new", "b", "c", "flag"), _saved(_network(), tmp_path))
    for norm in [after.transform.layer_norm]:
        assert norm is not None
    after.transform.layer_norm = None  # the one place where all features meet
    x = torch.rand(20, 5)
    moved = x.clone()
    moved[:, 1] += 7
    assert torch.equal(_logits(after, moved), _logits(after, x))
    moved[:, 0] += 7
    assert not torch.allclose(_logits(after, moved), _logits(after, x), atol=1e-3)


def test_a_feature_that_is_gone_is_dropped_and_a_training_goes_on_from_there(tmp_path: Path) -> None:
    draw = stream(0, "warm start")
    x = draw.normal(size=(3_000, 4)).astype(np.float32)
    x[:, 3] = x[:, 3] > 0
    labels = np.repeat(draw.random((3_000, 1)) < 1 / (1 + np.exp(1 - 3 * x[:, :1])), len(HEAVY_ACTIONS), axis=1)
    sample = Sample(np.arange(3_000), labels, np.ones(3_000, np.float32), 2_500, labels.sum(axis=0), 3_000)
    small = {"blocks": 2, "block_size": 8, "aggregation_size": 6, "mlp": (7,), "towers": (5,), "batch_size": 100}
    _, _, first = fit_network(Examples(sample, x, 3, OLD), HeavyRanker(**small, epochs=4), seed=0, log_dir=tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    fewer = Examples(sample, np.ascontiguousarray(x[:, [0, 1, 3]]), 2, ("a", "b", "flag"))
    again = HeavyRanker(**small, epochs=1, evaluations=2, warm_start=str(path), ramp_share=1.0)
    fresh = HeavyRanker(**small, epochs=1, evaluations=2, ramp_share=1.0)
    _, _, warm = fit_network(fewer, again, seed=0)
    _, _, cold = fit_network(fewer, fresh, seed=0)
    assert warm.validation_loss[0] < cold.validation_loss[0]
    assert warm.validation_loss[0] == pytest.approx(min(first.validation_loss), rel=0.1)


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = _saved(_network(), tmp_path)
    with pytest.raises(DataError, match="another architecture"):
        warm_start(_network(block_size=9), OLD, path)
    with pytest.raises(DataError, match="none of these features"):
        warm_start(_network(), ("x", "y", "z", "u"), path)
    with pytest.raises(DataError, match="no checkpoint"):
        warm_start(_network(), OLD, tmp_path / "nowhere.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="no checkpoint"):
        warm_start(_network(), OLD, broken)


def test_vectors_can_come_stay_and_go(tmp_path: Path) -> None:
    def network(embeddings: tuple[int, ...], seed: int) -> HeavyNetwork:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            made = HeavyNetwork.of(
                continuous=3, binary=1, embeddings=embeddings, blocks=2, block_size=8, aggregation_size=6, mlp=(7,),
                tasks=HEAVY_ACTIONS, towers=(5,), layer_norm_epsilon=1e-5,
            )  # fmt: skip
            for norm in made.embedding_norms:
                norm.get_parameter("weight").data += torch.rand(2)
        return made.eval()

    x, vector = torch.rand(20, 4), ("v.0", "v.1")
    before, with_vector, without = network((), 0), network((2,), 1), network((), 2)
    warm_start(with_vector, (*OLD, *vector), _saved(before, tmp_path))
    assert torch.allclose(_logits(with_vector, torch.cat([x, torch.rand(20, 2)], 1)), _logits(before, x), atol=1e-5)
    again = network((2,), 3)
    warm_start(again, (*OLD, *vector), _saved(with_vector, tmp_path, (*OLD, *vector)))
    wide = torch.cat([x, torch.rand(20, 2)], 1)
    assert torch.equal(_logits(again, wide), _logits(with_vector, wide))
    warm_start(without, OLD, tmp_path / "checkpoint.safetensors")
    assert torch.allclose(_logits(without, x), _logits(before, x), atol=1e-5)

"""Warm starts of the push ranker: what belongs to a feature follows its name, what is new is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from funnel.core.errors import DataError
from funnel.learn.checkpoints import Checkpoint
from heavy_ranker.clemnet_ranker import ClemnetRanker
from heavy_ranker.push_network import PushNetwork, Rows
from heavy_ranker.push_training import fit_push
from heavy_ranker.push_warm_start import described_push, warm_start_push
from tests.heavy_ranker.push_support import TINY, made_examples

OLD = ("a", "b", "c", "flag")
NO_ROWS: Rows = (torch.tensor([0, 1] + [1] * 19), torch.tensor([1]), torch.tensor([1.0]))


def _network(continuous: int = 3, binary: int = 1, *, seed: int = 0, size: int = 6, embedding: int = 2) -> PushNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = PushNetwork(continuous=continuous, binary=binary, sizes=(size, 4), bits=2, embedding=embedding)
        for name, values in network.state_dict().items():
            if not name.endswith("batches"):
                values.add_(torch.rand_like(values))
    return network.eval()


def _saved(network: PushNetwork, folder: Path, names: tuple[str, ...] = OLD) -> Path:
    file = Checkpoint(folder / "clemnet.safetensors", 1, about=described_push(names, network.continuous))
    file.save(1, {"model": network.state_dict()}, {"step": [], "training_loss": [], "validation_loss": []})
    return file.path


def _logits(network: PushNetwork, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(x, NO_ROWS, NO_ROWS)


def _numbers(columns: int) -> Tensor:
    x = torch.rand(20, columns) * 9
    x[:, -1] = (x[:, -1] > 4).float()
    return x


def test_a_feature_keeps_its_weights_wherever_it_stands(tmp_path: Path) -> None:
    before, after = _network(), _network(seed=1)
    warm_start_push(after, ("c", "a", "b", "flag"), _saved(before, tmp_path))
    x = _numbers(4)
    assert torch.allclose(_logits(after, x[:, [2, 0, 1, 3]]), _logits(before, x), atol=1e-5)


def test_a_new_feature_is_drawn_within_half_a_standard_deviation_of_the_old_tensor(tmp_path: Path) -> None:
    before, after = _network(), _network(continuous=4, seed=1)
    fresh = {name: values.clone() for name, values in after.state_dict().items()}
    warm_start_push(after, ("a", "new", "b", "c", "flag"), _saved(before, tmp_path))
    old, now = before.state_dict(), after.state_dict()
    kept = torch.tensor([0, 2, 3])
    for name in ("weight", "bias", "moving_mean", "moving_variance", "renorm_mean", "renorm_stddev"):
        assert torch.equal(now[f"norm.{name}"][kept], old[f"norm.{name}"])
    for name in ("norm.weight", "norm.bias"):
        assert 0 < float(now[name][1].abs()) <= 0.5 * float(old[name].std(correction=0))
    for name in ("norm.moving_mean", "norm.moving_variance", "norm.renorm_mean", "norm.renorm_stddev"):
        assert torch.equal(now[name][1], fresh[name][1])  # of the examples, not drawn
    for net in (0, 1):
        name = f"nets.{net}.blocks.0.dense.weight"
        # Features a, b, c and the flag, and the four rows of the sparse sums behind them.
        assert torch.equal(now[name][:, [0, 2, 3, 4, 5, 6, 7, 8]], old[name])
        drawn = now[name][:, 1]
        assert 0 < float(drawn.abs().max()) <= 0.5 * float(old[name].std(correction=0))
        assert torch.unique(drawn).numel() == drawn.numel()
    assert torch.equal(now["flags.weight"], old["flags.weight"])


def test_a_feature_that_is_gone_is_dropped_and_one_that_became_a_flag_has_no_statistics(tmp_path: Path) -> None:
    before, after = _network(), _network(continuous=2, binary=2, seed=1)
    warm_start_push(after, ("c", "flag", "a", "new"), _saved(before, tmp_path))
    old, now = before.state_dict(), after.state_dict()
    assert torch.equal(now["norm.moving_mean"][0], old["norm.moving_mean"][2])
    assert not torch.isin(now["norm.moving_mean"][1], old["norm.moving_mean"])  # the flag had none
    name = "nets.1.blocks.0.dense.weight"
    assert torch.equal(now[name][:, [0, 1, 2, 4, 5, 6, 7]], old[name][:, [2, 3, 0, 4, 5, 6, 7]])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's
def test_a_training_goes_on_from_there(tmp_path: Path) -> None:
    examples = made_examples(3_000, 0)
    _, _, first = fit_push(examples, ClemnetRanker(**{**TINY, "epochs": 4}), seed=0, log_dir=tmp_path)
    path = str(tmp_path / "clemnet.safetensors")
    short = {**TINY, "epochs": 1, "ramp_share": 1.0}
    _, _, warm = fit_push(examples, ClemnetRanker(**short, warm_start=path), seed=0)
    _, _, cold = fit_push(examples, ClemnetRanker(**short), seed=0)
    assert warm.validation_loss[0] < cold.validation_loss[0] - 0.05
    assert warm.validation_loss[0] == pytest.approx(min(first.validation_loss), rel=0.1)


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = _saved(_network(), tmp_path)
    for other in (_network(size=7), _network(embedding=3), _network(embedding=0)):
        with pytest.raises(DataError, match="another architecture"):
            warm_start_push(other, OLD, path)
    with pytest.raises(DataError, match="none of these features"):
        warm_start_push(_network(), ("x", "y", "z", "u"), path)
    with pytest.raises(DataError, match="no checkpoint"):
        warm_start_push(_network(), OLD, tmp_path / "nowhere.safetensors")

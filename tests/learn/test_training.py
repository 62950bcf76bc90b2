"""The training loop learns, stops early, keeps the best weights and repeats itself bit for bit."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from funnel.core.errors import DataError
from funnel.core.rng import stream
from funnel.learn.checkpoints import Checkpoint
from funnel.learn.schedules import constant, ramp_to_constant
from funnel.learn.training import Group, History, Plan, seeded, train

ROWS = 400


def _fit(
    *,
    seed: int = 0,
    plan: Plan | None = None,
    rate: float = 0.05,
    noise: bool = False,
    log_dir: Path | None = None,
    checkpoint: Checkpoint | None = None,
    stop_at: int | None = None,
) -> tuple[nn.Module, History]:
    """A line through noisy points, or through nothing but noise."""
    draw = stream(7, "points")
    x = torch.from_numpy(draw.normal(size=(2 * ROWS, 5)).astype(np.float32))
    y = torch.from_numpy(draw.normal(size=2 * ROWS).astype(np.float32))
    if not noise:
        y = 0.1 * y + x[:, 0] - 2 * x[:, 1]
    with seeded(seed, "test"):
        model = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 1))

        calls = count()

        def error(rows: Tensor) -> Tensor:
            if stop_at is not None and model.training and next(calls) == stop_at:
                raise KeyboardInterrupt
            return ((model(x[rows]).squeeze(1) - y[rows]) ** 2).mean()

        history = train(
            model,
            loss=error,
            rows=ROWS,
            validate=lambda: float(error(torch.arange(ROWS, 2 * ROWS))),
            groups=[
                Group("first", list(model[0].parameters()), constant(rate)),
                Group("last", list(model[3].parameters()), ramp_to_constant(rate, ramp_steps=20)),
            ],
            plan=plan or Plan(epochs=10, batch_size=50),
            seed=seed,
            log_dir=log_dir,
            checkpoint=checkpoint,
        )
    return model, history


def _bytes(model: nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


def test_the_same_seed_gives_the_same_weights_whatever_ran_before() -> None:
    first, _ = _fit()
    torch.manual_seed(123)
    torch.rand(10)
    assert _bytes(_fit()[0]) == _bytes(first)
    assert _bytes(_fit(seed=1)[0]) != _bytes(first)


def test_training_leaves_torch_as_it_found_it() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    _fit(plan=Plan(epochs=1, batch_size=50))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_a_line_is_learnt() -> None:
    # The points have variance 5 around a line with noise of variance 0.01.
    _, history = _fit()
    assert history.validation_loss[history.best] < 0.5
    assert history.step == [8 * epoch for epoch in range(1, 11)]


def test_noise_stops_the_training_early_and_the_best_weights_stay() -> None:
    plan = Plan(epochs=40, batch_size=50, patience=3)
    model, history = _fit(noise=True, plan=plan)
    assert len(history.step) == history.best + 1 + plan.patience < plan.epochs
    shorter = Plan(epochs=history.best + 1, batch_size=50, patience=3)
    assert _bytes(_fit(noise=True, plan=shorter)[0]) == _bytes(model)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_curves_are_written_if_asked_for(tmp_path: Path) -> None:
    _fit(plan=Plan(epochs=1, batch_size=50), log_dir=tmp_path / "curves")
    assert next(file.name for file in (tmp_path / "curves").iterdir()).startswith("events")


@pytest.mark.parametrize("stop_at", [0, 5, 33, 79])
def test_a_training_stopped_and_resumed_ends_with_the_bytes_of_one_that_was_not(stop_at: int, tmp_path: Path) -> None:
    # Dropout, ramps, Adam's moments, the best weights so far and the history must all go on where they were.
    whole, history = _fit()
    checkpoint = Checkpoint(tmp_path / "state.safetensors", every=7)
    with pytest.raises(KeyboardInterrupt):
        _fit(checkpoint=checkpoint, stop_at=stop_at)
    assert checkpoint.path.exists() == (stop_at >= 7)
    torch.rand(10)
    resumed, told = _fit(checkpoint=checkpoint)
    assert _bytes(resumed) == _bytes(whole)
    assert told == history
    assert list(tmp_path.iterdir()) == [checkpoint.path]  # nothing half-written stays
    finished, told = _fit(checkpoint=checkpoint, stop_at=0)  # takes no step any more
    assert _bytes(finished) == _bytes(whole)
    assert told == history


def test_an_early_stop_is_remembered(tmp_path: Path) -> None:
    plan = Plan(epochs=40, batch_size=50, patience=3)
    whole, history = _fit(noise=True, plan=plan)
    checkpoint = Checkpoint(tmp_path / "state.safetensors", every=3)
    with pytest.raises(KeyboardInterrupt):
        _fit(noise=True, plan=plan, checkpoint=checkpoint, stop_at=history.step[-1] - 2)
    resumed, told = _fit(noise=True, plan=plan, checkpoint=checkpoint)
    assert _bytes(resumed) == _bytes(whole)
    assert told == history


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    _fit(plan=Plan(epochs=1, batch_size=50), checkpoint=Checkpoint(path, every=4, fingerprint="a"))
    with pytest.raises(DataError, match="another training"):
        _fit(checkpoint=Checkpoint(path, every=4, fingerprint="b"))
    with pytest.raises(DataError, match=r"another network: .*weight"):
        Checkpoint(path, every=4, fingerprint="a").load({"model": {"weight": torch.zeros(1)}})
    with pytest.raises(DataError, match="has no schedule"):
        Checkpoint(path, every=4, fingerprint="a").load({"schedule": None})
    path.write_bytes(b"not this")
    with pytest.raises(DataError, match="is no checkpoint"):
        _fit(checkpoint=Checkpoint(path, every=4))

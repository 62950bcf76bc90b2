"""A seeded training loop for torch modules: groups with their own learning rates, clipping, early stopping.

The same seed gives the same weights, bit for bit, whatever ran before: initial weights and dropout
draw from torch's generator inside `seeded`, the order of rows from `funnel.core.rng`, and the number
of threads is fixed, because it decides how sums are split. Import this module only where training
happens; it needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from funnel.core import rng
from funnel.core.progress import SILENT, Progress
from funnel.learn.checkpoints import Checkpoint, optimizer_tensors, restore_optimizer
from funnel.learn.schedules import Schedule

# If not told otherwise. Fixed, because the split of a sum over threads decides its last bit. One, because layers this
# narrow gain little from a second thread, and two that wait for each other on busy cores are ten times slower than one.
THREADS = 1

# Adam as in twitter/the-algorithm-ml, projects/home/recap/config/local_prod.yaml.
BETAS = (0.95, 0.999)
ADAM_EPSILON = 1e-7


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate."""

    name: str
    parameters: Sequence[nn.Parameter]
    schedule: Schedule


@dataclass(frozen=True)
class Plan:
    """How long and how carefully to train.

    clip_norm: gradients are scaled down to this global L2 norm; patience: evaluations without a
    better validation loss before training stops; evaluations: per epoch.
    """

    epochs: int
    batch_size: int
    clip_norm: float = 10.0
    patience: int = 3
    evaluations: int = 1

    def steps_per_epoch(self, rows: int) -> int:
        """Batches in one pass; a last, smaller batch is left out, since batch norm needs full ones."""
        return max(1, rows // self.batch_size)

    def steps(self, rows: int) -> int:
        """Batches in the whole training, if it is not stopped early."""
        return self.epochs * self.steps_per_epoch(rows)


@dataclass
class History:
    """What happened: the mean training loss before each evaluation and the validation loss at it."""

    step: list[int] = field(default_factory=list)
    training_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        """The evaluation with the smallest validation loss, whose weights the model keeps."""
        return int(np.argmin(self.validation_loss))


@contextmanager
def seeded(seed: int, purpose: str, *, threads: int = THREADS) -> Iterator[None]:
    """Torch draws from a generator of its own for this purpose, on a fixed number of threads."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.key(seed, purpose) >> 1)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def train(
    model: nn.Module,
    *,
    loss: Callable[[Tensor], Tensor],
    rows: int,
    validate: Callable[[], float],
    groups: Sequence[Group],
    plan: Plan,
    seed: int,
    label: str = "training",
    progress: Progress = SILENT,
    log_dir: Path | None = None,
    checkpoint: Checkpoint | None = None,
    optimizer_of: Callable[[Sequence[Group]], Optimizer] | None = None,
) -> History:
    """Train the model in place; it ends with the weights of the best validation loss.

    loss: from int64 row numbers [B] to the scalar to minimise; validate: the validation loss, called in
    evaluation mode without gradients; log_dir: where TensorBoard curves go; checkpoint: a file that
    training writes as it goes on, and takes up again if it is there: what is stopped and resumed ends
    with the same bytes as what was not; optimizer_of: `adam` if not said. Call it inside `seeded`.
    """
    optimizer = (optimizer_of or adam)(groups)
    history, best = History(), _Best(model)
    losses: list[Tensor] = []
    begun = 0
    if checkpoint is not None and checkpoint.path.exists():
        begun = _take_up(checkpoint, model, optimizer, history, best, losses)
    curves = _Curves(log_dir)
    total = plan.steps(rows)
    every = max(1, plan.steps_per_epoch(rows) // plan.evaluations)
    with progress.bar(label, total) as bar:
        model.train()
        bar.advance(begun)
        for step, batch in enumerate(_batches(rows, plan, seed)):
            if step < begun:
                continue
            if _done(history, plan):
                break
            set_rates(optimizer, groups, step)
            optimizer.zero_grad(set_to_none=True)
            value = loss(batch)
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), plan.clip_norm)
            optimizer.step()
            losses.append(value.detach())
            bar.advance(1)
            if (step + 1) % every == 0 or step + 1 == total:
                history.step.append(step + 1)
                history.training_loss.append(float(torch.stack(losses).mean()))
                history.validation_loss.append(_evaluate(model, validate))
                losses.clear()
                curves.write(history, {group.name: group.schedule(step) for group in groups})
                best.consider(history)
            if checkpoint is not None and ((step + 1) % checkpoint.every == 0 or step + 1 == total):
                _put_down(checkpoint, step + 1, model, optimizer, history, best, losses)
    best.restore()
    curves.close()
    model.eval()
    return history


def adam(groups: Sequence[Group], *, betas: tuple[float, float] = BETAS, epsilon: float = ADAM_EPSILON) -> Adam:
    """Adam without weight decay, each group with a rate of its own, 0 until `set_rates` says it."""
    parameters = [{"params": list(group.parameters), "lr": 0.0} for group in groups]
    return Adam(parameters, betas=betas, eps=epsilon, fused=True)


def gradient_descent(groups: Sequence[Group]) -> SGD:
    """Plain gradient descent, each group with a rate of its own, 0 until `set_rates` says it."""
    return SGD([{"params": list(group.parameters), "lr": 0.0} for group in groups])


def set_rates(optimizer: Optimizer, groups: Sequence[Group], step: int) -> None:
    """Give every group the rate that its schedule has at a step."""
    for slot, group in zip(optimizer.param_groups, groups, strict=True):
        slot["lr"] = group.schedule(step)


def _done(history: History, plan: Plan) -> bool:
    """Whether the validation loss has not become better for too long."""
    return bool(history.step) and len(history.step) - 1 - history.best >= plan.patience


def _put_down(
    checkpoint: Checkpoint,
    step: int,
    model: nn.Module,
    optimizer: Optimizer,
    history: History,
    best: _Best,
    losses: Sequence[Tensor],
) -> None:
    checkpoint.save(
        step,
        {
            "model": model.state_dict(),
            "best": {} if history.step and history.step[history.best] == step else best.weights,
            "optimizer": optimizer_tensors(optimizer),
            "random": {"torch": torch.get_rng_state()},
            "losses": {"since evaluation": torch.stack(list(losses)) if losses else torch.empty(0)},
        },
        asdict(history),
    )


def _take_up(
    checkpoint: Checkpoint, model: nn.Module, optimizer: Optimizer, history: History, best: _Best, losses: list[Tensor]
) -> int:
    """The step to go on from; everything else is put back where it was."""
    remembers: dict[str, None] = {"optimizer": None} if isinstance(optimizer, Adam) else {}
    step, tensors, past = checkpoint.load({"model": model.state_dict(), **remembers})
    model.load_state_dict(tensors["model"])
    best.weights = tensors.get("best", dict(tensors["model"]) if past["step"] else {})
    restore_optimizer(optimizer, tensors.get("optimizer", {}))
    torch.set_rng_state(tensors["random"]["torch"])
    losses.extend(tensors["losses"]["since evaluation"].unbind())
    history.step.extend(int(at) for at in past["step"])
    history.training_loss.extend(past["training_loss"])
    history.validation_loss.extend(past["validation_loss"])
    return step


def _batches(rows: int, plan: Plan, seed: int) -> Iterator[Tensor]:
    size = min(plan.batch_size, rows)
    for epoch in range(plan.epochs):
        order = torch.from_numpy(rng.stream(seed, f"order of training rows, epoch {epoch}").permutation(rows))
        for begin in range(0, plan.steps_per_epoch(rows) * size, size):
            yield order[begin : begin + size]


def _evaluate(model: nn.Module, validate: Callable[[], float]) -> float:
    model.eval()
    with torch.inference_mode():
        found = validate()
    model.train()
    return found


class _Best:
    """The weights at the smallest validation loss so far."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.weights: dict[str, Tensor] = {}

    def consider(self, history: History) -> None:
        if history.best == len(history.step) - 1:
            self.weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def restore(self) -> None:
        if self.weights:
            self.model.load_state_dict(self.weights)


class _Curves:
    """TensorBoard curves, if somebody wants them."""

    def __init__(self, log_dir: Path | None) -> None:
        self.writer = None
        if log_dir is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(log_dir))

    def write(self, history: History, rates: dict[str, float]) -> None:
        if self.writer is None:
            return
        step = history.step[-1]
        self.writer.add_scalar("loss/training", history.training_loss[-1], step)
        self.writer.add_scalar("loss/validation", history.validation_loss[-1], step)
        for name, rate in rates.items():
            self.writer.add_scalar(f"learning_rate/{name}", rate, step)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

"""Parity of networks: MaskNet, ClemNet, towers, the feature transform, and a whole model with its training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from funnel.learn.calibration import calibrate, sampling_ratio
from funnel.learn.training import Group, adam, set_rates
from heavy_ranker.double_norm_log import DoubleNormLog, signed_log
from heavy_ranker.masknet import MaskNet
from heavy_ranker.mlp import Mlp
from heavy_ranker.network import HeavyNetwork, multitask_loss, task_losses
from heavy_ranker.parity import DOUBLE, FORWARD, GRADIENT, Fixture, Report
from heavy_ranker.parity_clemnet import check_clemnet
from heavy_ranker.published import (
    EMBEDDINGS,
    Arrays,
    Names,
    fill,
    heavy_network,
    joined,
    masknet,
    masknet_names,
    mlp_config,
    random_in_training,
    side_by_side,
    transform,
    transform_names,
    without_gradient,
)


def _masknet(fixture: Fixture, arrays: Arrays, report: Report) -> None:
    net = masknet(fixture["masknet_config"], int(fixture["in_features"])).eval()
    names = masknet_names(net)
    fill(net, arrays, names, prefix="param/")
    x = _tensor(arrays["input"])
    masked = x
    for place, block in enumerate(net.blocks):
        prefix = f"intermediate/_mask_blocks.{place}"
        out = block(x, masked)
        if f"{prefix}._mask_layer" in arrays:
            report.compare(
                f"mask of block {place}",
                block.get_submodule("project")(torch.relu(block.get_submodule("aggregate")(x))),
                arrays[f"{prefix}._mask_layer"],
                FORWARD,
            )
        if prefix in arrays:
            report.compare(f"block {place}", out, arrays[prefix], FORWARD)
        masked = masked if net.parallel else out
    if "shared_layer" in arrays:
        report.compare("merged blocks", net.merge(x), arrays["shared_layer"], FORWARD)
    report.compare("output", net(x), arrays["output"], FORWARD)
    if "output_f64" in arrays:
        exact = copy.deepcopy(net).double()
        report.compare("output in float64", exact(x.double()), arrays["output_f64"], DOUBLE)
    if "cotangent" in arrays:
        _masknet_gradients(net, names, x, arrays, report)


def _masknet_gradients(net: MaskNet, names: Names, x: Tensor, arrays: Arrays, report: Report) -> None:
    inputs = x.clone().requires_grad_()
    (net(inputs) * _tensor(arrays["cotangent"])).sum().backward()
    assert inputs.grad is not None
    report.compare("gradient of the input", inputs.grad, arrays["grad/input"], GRADIENT)
    _gradients(net, names, arrays, report, prefix="grad/")


def _mlp(fixture: Fixture, arrays: Arrays, report: Report) -> None:
    config, width = mlp_config(fixture), int(fixture["in_features"])
    tower = Mlp(width, config)
    fill(tower, arrays, _own_names(tower), prefix="param/")
    x = _tensor(arrays["input"])
    for mode in ("eval", "train"):
        tower.train(mode == "train")
        if f"{mode}/output" not in arrays or (mode == "train" and random_in_training(tower)):
            continue
        before = copy.deepcopy(tower)
        report.compare(f"{mode}: output", tower(x), arrays[f"{mode}/output"], FORWARD)
        if f"{mode}/shared_layer" in arrays and len(before.layers) > 1:
            second = before.layers[1](before.layers[0](x))
            report.compare(f"{mode}: second module", second, arrays[f"{mode}/shared_layer"], FORWARD)
    _after("after_train/", tower, _own_names(tower), arrays, report)


def _transform(fixture: Fixture, arrays: Arrays, report: Report) -> None:
    continuous, binary = _tensor(arrays["continuous"]), _tensor(arrays["binary"])
    for variant, settings in fixture["variants"].items():
        module = transform(settings, continuous.shape[1], binary.shape[1]).eval()
        names = transform_names(module)
        fill(module, arrays, names, prefix=f"{variant}/param/")
        for step, value in _steps(module, continuous).items():
            expected = [key for key in arrays if key.startswith(f"{variant}/eval/step") and key.endswith(f"_{step}")]
            for key in expected:
                report.compare(f"{variant}: {step}", value, arrays[key], FORWARD)
        report.compare(f"{variant}: output", module(continuous, binary), arrays[f"{variant}/eval/output"], FORWARD)
        if f"{variant}/train/output" in arrays:
            trained = module.train()(continuous, binary)
            report.compare(f"{variant}: training", trained, arrays[f"{variant}/train/output"], FORWARD)
            _after(f"{variant}/after_train/", module, names, arrays, report)


def _steps(module: DoubleNormLog, continuous: Tensor) -> dict[str, Tensor]:
    """What the published layers give one after the other, by the name of their class."""
    steps = {"InputNonFinite": torch.where(torch.isfinite(continuous), continuous, 0.0)}
    steps["Log1pAbs"] = x = signed_log(continuous)
    if module.batch_norm is not None:
        steps["BatchNorm"] = x = module.batch_norm(x)
    steps["Clamp"] = x.clamp(-module.clip, module.clip)
    return steps


def _model(fixture: Fixture, arrays: Arrays, report: Report) -> None:
    ways = {"towers apart": False}
    if side_by_side(fixture):
        ways["towers together"] = True
    for name, together in ways.items():
        network, names = heavy_network(fixture, arrays, together=together)
        fill(network, arrays, names, prefix="param/")
        _Model(fixture, arrays, report, name, network, names).compare()


class _Model:
    """One whole model of a fixture and all that is said about it."""

    def __init__(
        self, fixture: Fixture, arrays: Arrays, report: Report, way: str, network: HeavyNetwork, names: Names
    ) -> None:
        self.fixture, self.arrays, self.report, self.way = fixture, arrays, report, way
        self.network, self.names = network, names
        self.tasks: tuple[str, ...] = tuple(fixture["tasks"])
        inputs = ["continuous_features", "binary_features", *EMBEDDINGS]
        present = [_tensor(arrays[f"input/{name}"]) for name in inputs if f"input/{name}" in arrays]
        self.x = torch.cat([part.to(torch.float32) for part in present], dim=1)
        self.labels = _tensor(arrays["input/labels"])
        self.weights = _tensor(arrays["input/weights"]) if "input/weights" in arrays else None
        towers = fixture["model_config"]["tasks"]
        positive = [towers[task].get("pos_weight") for task in self.tasks]
        self.positive = (
            torch.tensor([1.0 if weight is None else weight for weight in positive])
            if any(weight is not None for weight in positive)
            else None
        )

    def compare(self) -> None:
        """Serving, then gradients and training, each where the fixture has it."""
        self._serving()
        if random_in_training(self.network):
            self.report.note = "dropout: training draws random numbers, so gradients and steps are not compared"
            return
        self._gradients()
        if "training_log" in self.fixture:
            self._training()

    def _said(self, what: str, ours: Tensor | np.ndarray, theirs: object, tolerance: float) -> None:
        self.report.compare(f"{what} ({self.way})", ours, np.asarray(theirs), tolerance)

    def _losses(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        each = task_losses(logits, self.labels, self.weights, pos_weights=self.positive)
        return each, multitask_loss(logits, self.labels, self.weights, pos_weights=self.positive)

    def _serving(self) -> None:
        with torch.no_grad():
            logits = self.network.eval()(self.x)
            each, total = self._losses(logits)
        p = torch.sigmoid(logits).numpy()
        rates = self.fixture.get("sampling_rates", {})
        ratios = [
            sampling_ratio(positive_rate=rates[task][0], negative_rate=rates[task][1]) if task in rates else 1.0
            for task in self.tasks
        ]
        calibrated = np.stack([calibrate(p[:, place], ratio) for place, ratio in enumerate(ratios)], axis=1)
        found = {"logits": logits, "probabilities": p, "calibrated_probabilities": calibrated, "loss": total}
        found |= {f"loss/{task}": each[place] for place, task in enumerate(self.tasks)}
        for name, value in found.items():
            if f"eval/{name}" in self.arrays:
                self._said(f"serving: {name}", value, self.arrays[f"eval/{name}"], FORWARD)

    def _gradients(self) -> None:
        if not any(key.startswith("step0_grad/") for key in self.arrays):
            return
        network = copy.deepcopy(self.network).train()
        logits = network(self.x)
        _, total = self._losses(logits)
        total.backward()  # type: ignore[no-untyped-call]
        if "step0_train/logits" in self.arrays:
            self._said("training: logits of step 0", logits, self.arrays["step0_train/logits"], FORWARD)
        _gradients(network, self.names, self.arrays, self.report, prefix="step0_grad/", way=f" ({self.way})")

    def _training(self) -> None:
        """Repeat the logged steps with the optimiser that trains the product."""
        network, log, settings = self.network.train(), self.fixture["training_log"], self.fixture["adam"]

        def rate(name: str) -> Callable[[int], float]:
            return lambda step: float(log[step]["lr"][name])

        groups = [Group(name, parameters, rate(name)) for name, parameters in network.groups().items()]
        optimizer = adam(groups, betas=(settings["beta1"], settings["beta2"]), epsilon=settings["eps"])
        losses, expected = [], []
        for step, entry in enumerate(log):
            set_rates(optimizer, groups, step)
            optimizer.zero_grad(set_to_none=True)
            each, total = self._losses(network(self.x))
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append([*each.tolist(), total.item()])
            expected.append([*(entry["losses"][f"loss/{task}"] for task in self.tasks), entry["losses"]["loss"]])
        self._said(f"training: losses of {len(log)} steps", np.array(losses), expected, GRADIENT)
        idle = without_gradient(network)
        _after(f"after{len(log)}/", network, self.names, self.arrays, self.report, idle=idle, way=f" ({self.way})")


def _gradients(net: nn.Module, names: Names, arrays: Arrays, report: Report, *, prefix: str, way: str = "") -> None:
    pairs = [
        (parameter.grad, joined(arrays, names[ours], prefix=prefix))
        for ours, parameter in net.named_parameters()
        if parameter.grad is not None
    ]
    ours, theirs = (torch.cat([part.reshape(-1) for part in side]) for side in zip(*pairs, strict=True))
    report.compare(f"gradients of {len(pairs)} parameters{way}", ours, theirs, GRADIENT)


def _after(
    prefix: str,
    module: nn.Module,
    names: Names,
    arrays: Arrays,
    report: Report,
    *,
    idle: Collection[str] = (),
    way: str = "",
) -> None:
    """Compare what the fixture says of the module's tensors after training, save the idle ones."""
    state = module.state_dict()
    told = [
        (state[ours], joined(arrays, theirs, prefix=prefix))
        for ours, theirs in names.items()
        if ours not in idle and all(prefix + name in arrays for name in theirs)
    ]
    if told:
        ours, expected = (torch.cat([part.reshape(-1).float() for part in side]) for side in zip(*told, strict=True))
        report.compare(f"{prefix.rstrip('/')}: state of {len(told)} tensors{way}", ours, expected, GRADIENT)


def _own_names(module: nn.Module) -> Names:
    return {name: (name,) for name in module.state_dict() if not name.endswith("num_batches_tracked")}


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values)


CHECKS: Mapping[str, Callable[[Fixture, Arrays, Report], None]] = {
    "masknet": _masknet,
    "clemnet": check_clemnet,
    "mlp": _mlp,
    "transform": _transform,
    "model": _model,
}

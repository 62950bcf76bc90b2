"""Networks built from the published configurations, with the published parameters: what parity is checked on.

Names and configurations are those of twitter/the-algorithm-ml, projects/home/recap (config/local_prod.yaml,
model/*.py). A name of ours stands for one published tensor, or for several that we keep side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from funnel.core.arrays import Array
from funnel.core.errors import DataError
from heavy_ranker.double_norm_log import DoubleNormLog
from heavy_ranker.masknet import BlockConfig, MaskNet
from heavy_ranker.mlp import Mlp, MlpConfig
from heavy_ranker.network import HeavyNetwork
from heavy_ranker.towers import SeparateTowers, Towers

Config: TypeAlias = Mapping[str, Any]  # as read from JSON
Arrays: TypeAlias = Mapping[str, Array]
Names: TypeAlias = dict[str, tuple[str, ...]]  # ours -> theirs

EMBEDDINGS = ("user_embedding", "user_eng_embedding", "author_embedding")
_BLOCK_PARTS = {
    "aggregate": "_mask_layer.0",
    "project": "_mask_layer.2",
    "hidden": "_hidden_layer",
    "norm": "_layer_norm",
    "input_norm": "_input_layer_norm",
}
_TRANSFORM_PARTS = {"batch_norm": "_before_concat_layers.2.layer", "layer_norm": "layer_norm.layer"}


def mlp_config(config: Config) -> MlpConfig:
    """Of a published `mlp_config`."""
    norm, dropout = config.get("batch_norm"), config.get("dropout")
    return MlpConfig(
        sizes=tuple(config["layer_sizes"]),
        batch_norm_momentum=norm.get("momentum", 0.1) if norm else None,
        batch_norm_affine=bool(norm and norm.get("affine", True)),
        dropout=float(dropout["rate"]) if dropout else 0.0,
        final_activation=bool(config.get("final_layer_activation", False)),
    )


def masknet(config: Config, input_size: int) -> MaskNet:
    """Of a published `mask_net_config`."""
    mlp = config.get("mlp")
    return MaskNet(
        input_size,
        [BlockConfig(**block) for block in config["mask_blocks"]],
        mlp=mlp_config(mlp) if mlp else None,
        parallel=bool(config["use_parallel"]),
    )


def transform(config: Config, continuous: int, binary: int) -> DoubleNormLog:
    """Of a published `double_norm_log_config`."""
    batch_norm, layer_norm = config.get("batch_norm_config"), config.get("layer_norm_config")
    return DoubleNormLog(
        continuous,
        binary,
        batch_norm_momentum=batch_norm.get("momentum", 0.1) if batch_norm else None,
        batch_norm_affine=bool(batch_norm and batch_norm.get("affine", True)),
        clip=config["clip_magnitude"],
        layer_norm_epsilon=layer_norm["epsilon"] if layer_norm else None,
    )


def heavy_network(config: Config, arrays: Arrays, *, together: bool) -> tuple[HeavyNetwork, Names]:
    """The whole model of a fixture, and the names of its tensors; together: with the towers that train side by side."""
    model, tasks = config["model_config"], tuple(config["tasks"])
    continuous, binary = int(config["n_continuous"]), int(config["n_binary"])
    present = [name for name in EMBEDDINGS if f"input/{name}" in arrays]
    sizes = [arrays[f"input/{name}"].shape[1] for name in present]
    width = continuous + binary + sum(sizes)
    sharing = model["multi_task_type"]
    backbone = None if sharing == "share_none" else _part(model["backbone"], width)
    reads = {"share_all": 0, "share_partial": width, "share_none": width}[sharing]
    reads += backbone.output_size if backbone is not None else 0
    towers = [model["tasks"][task] for task in tasks]
    network = HeavyNetwork(
        transform=transform(model["featurization_config"]["double_norm_log_config"], continuous, binary),
        continuous=continuous,
        binary=binary,
        embeddings=sizes,
        normalise_embeddings=any(f"param/_{name}_layer_norm.weight" in arrays for name in present),
        backbone=backbone,
        towers=_together(tasks, towers, reads) if together else _separate(tasks, towers, reads),
        sharing=sharing,
        affine={
            task: (tower["affine_map"]["scale"], tower["affine_map"]["bias"])
            for task, tower in zip(tasks, towers, strict=True)
            if tower.get("affine_map")
        },
    )
    return network, model_names(network, [f"_{name}_layer_norm" for name in present])


def side_by_side(config: Config) -> bool:
    """Whether all towers of a model are MLPs of the same widths, which `Towers` computes together."""
    towers = list(config["model_config"]["tasks"].values())
    if not all(tower.get("mlp_config") for tower in towers):
        return False
    plain = {(tuple(c.sizes), c.batch_norm_momentum, c.final_activation) for c in map(_tower_mlp, towers)}
    return (
        len(plain) == 1
        and all(c.sizes[-1] == 1 and not c.final_activation for c in map(_tower_mlp, towers))
        and all(c.batch_norm_momentum is not None and not c.batch_norm_affine for c in map(_tower_mlp, towers))
    )


def random_in_training(network: nn.Module) -> bool:
    """Whether a training step draws random numbers, so that nobody else's can be repeated."""
    return any(isinstance(part, nn.Dropout) for part in network.modules()) or any(
        bool(part.dropped) for part in network.modules() if isinstance(part, Towers)
    )


def masknet_names(net: MaskNet) -> Names:
    """Published names of the tensors of a MaskNet."""
    names: Names = {}
    for ours in _tensors(net):
        head, _, leaf = ours.rpartition(".")
        parts = head.split(".")
        theirs = (
            f"_mask_blocks.{parts[1]}.{_BLOCK_PARTS[parts[2]]}" if parts[0] == "blocks" else f"_dense_layers.{head[4:]}"
        )
        names[ours] = (f"{theirs}.{leaf}",)
    return names


def transform_names(module: DoubleNormLog) -> Names:
    """Published names of the tensors of a feature transform."""
    return {ours: (f"{_TRANSFORM_PARTS[ours.split('.')[0]]}.{ours.split('.')[1]}",) for ours in _tensors(module)}


def model_names(network: HeavyNetwork, embedding_norms: Sequence[str]) -> Names:
    """Published names of the tensors of a whole model."""
    tasks = [task.replace(".", "__") for task in network.towers.tasks]
    names: Names = {f"transform.{o}": (f"_preprocessor.{t[0]}",) for o, t in transform_names(network.transform).items()}
    if isinstance(network.backbone, MaskNet):
        names |= {f"backbone.{o}": (f"_backbone.{t[0]}",) for o, t in masknet_names(network.backbone).items()}
    elif network.backbone is not None:
        names |= {f"backbone.{o}": (f"_backbone.{o}",) for o in _tensors(network.backbone)}
    for ours in _tensors(network):
        kind, *rest = ours.split(".")
        if kind == "embedding_norms":
            names[ours] = (f"{embedding_norms[int(rest[0])]}.{rest[1]}",)
        elif kind == "affine":
            names[ours] = (f"_affine_maps.{tasks[network.affine.places[int(rest[1])]]}.{rest[2]}",)
        elif kind == "towers" and isinstance(network.towers, SeparateTowers):
            tower = network.towers.towers[int(rest[1])]
            inner = ".".join(rest[2:])
            theirs = masknet_names(tower)[inner][0] if isinstance(tower, MaskNet) else inner
            names[ours] = (f"_towers.{tasks[int(rest[1])]}.{theirs}",)
        elif kind == "towers" and isinstance(network.towers, Towers):
            strides = [4 if place in dict(network.towers.dropped) else 3 for place in range(len(tasks))]
            if rest[0] == "towers":
                task, layer = int(rest[1]), int(rest[3])
                names[ours] = (f"_towers.{tasks[task]}.layers.{strides[task] * layer}.{rest[4]}",)
            else:  # batch norms of all towers side by side
                names[ours] = tuple(
                    f"_towers.{task}.layers.{stride * int(rest[1]) + 1}.{rest[2]}"
                    for task, stride in zip(tasks, strides, strict=True)
                )
    return names


def fill(module: nn.Module, arrays: Arrays, names: Names, *, prefix: str) -> None:
    """Give the module's tensors the published values `prefix + theirs`."""
    own = module.state_dict()
    for ours, theirs in names.items():
        value = joined(arrays, theirs, prefix=prefix)
        if value.shape != own[ours].shape:
            what = f"{theirs[0]} has shape {tuple(value.shape)} where its configuration says {tuple(own[ours].shape)}"
            raise DataError("fixture", what)
        own[ours].copy_(value)


def joined(arrays: Arrays, theirs: Sequence[str], *, prefix: str) -> Tensor:
    """Published tensors, side by side if there are several."""
    missing = [name for name in theirs if prefix + name not in arrays]
    if missing:
        raise DataError("fixture", f"has no array {prefix + missing[0]!r}")
    parts = [torch.from_numpy(arrays[prefix + name]) for name in theirs]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def without_gradient(module: nn.Module) -> set[str]:
    """Tensors that a loss does not depend on: biases before a batch norm, and the running means that follow them.

    Adam makes visible steps of the rounding noise in their gradients, so they are no part of parity.
    """
    idle: set[str] = set()
    for name, part in module.named_modules():
        lead = f"{name}." if name else ""
        if isinstance(part, Mlp):
            for place, layer in enumerate(part.layers):
                if isinstance(layer, nn.BatchNorm1d):
                    idle |= {f"{lead}layers.{place - 1}.bias", f"{lead}layers.{place}.running_mean"}
        elif isinstance(part, Towers):
            for layer_place in range(len(part.sizes)):
                idle |= {f"{lead}towers.{task}.layers.{layer_place}.bias" for task in range(len(part.tasks))}
                idle.add(f"{lead}norms.{layer_place}.running_mean")
    return idle


def _tensors(module: nn.Module) -> list[str]:
    return [name for name in module.state_dict() if not name.endswith("num_batches_tracked")]


def _part(config: Config, input_size: int) -> MaskNet | Mlp:
    if config.get("mask_net_config"):
        return masknet(config["mask_net_config"], input_size)
    if config.get("mlp_config"):
        return Mlp(input_size, mlp_config(config["mlp_config"]))
    raise DataError("fixture", "wants a mask_net_config or an mlp_config; DCN and DLRM were never published")


def _tower_mlp(tower: Config) -> MlpConfig:
    return mlp_config(tower["mlp_config"])


def _together(tasks: Sequence[str], towers: Sequence[Config], reads: int) -> Towers:
    configs = [_tower_mlp(tower) for tower in towers]
    return Towers(
        tasks,
        reads,
        tuple(configs[0].sizes[:-1]),
        dropout={task: config.dropout for task, config in zip(tasks, configs, strict=True)},
        momentum=configs[0].batch_norm_momentum or 0.1,
    )


def _separate(tasks: Sequence[str], towers: Sequence[Config], reads: int) -> SeparateTowers:
    return SeparateTowers(tasks, [_part(tower, reads) for tower in towers])

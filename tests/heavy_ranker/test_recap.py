"""The published configuration: its size, its labels, its random data and its training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from funnel.core.errors import ConfigError, DataError
from heavy_ranker.random_data import read_examples, write_random_data
from heavy_ranker.recap import Inputs, RecapConfig, label_columns
from heavy_ranker.train_recap import train_recap

MODELS = Path(__file__).parents[2] / "configs" / "models"


def _published() -> RecapConfig:
    return RecapConfig(**yaml.safe_load((MODELS / "local_prod.yaml").read_text()))


def _small() -> RecapConfig:
    inputs = Inputs(continuous=11, binary=5, embeddings=(3, 4))
    small = {"blocks": 2, "block_size": 8, "aggregation_size": 8, "mlp": (16,), "towers": (8, 4)}
    return replace(
        _published(), inputs=inputs, batch_size=32, steps=8, checkpoint_every=3, layer_norm_epsilon=1e-5, **small
    )


def test_the_published_network_has_48115108_parameters() -> None:
    with torch.device("meta"):  # shapes without memory
        network = _published().network()
    assert sum(parameter.numel() for parameter in network.parameters()) == 48_115_108
    # batch norms' means, variances and counts: 11,948 numbers, of which the towers' counts stand side by side here
    buffers = sum(buffer.numel() for name, buffer in network.named_buffers() if "num_batches" not in name)
    assert buffers == 2 * 2117 + 10 * 2 * (256 + 128)
    assert {name: len(owned) for name, owned in network.groups().items()}["is_replied"] == 6


@pytest.mark.parametrize("sharing", ["share_all", "share_partial", "share_none"])
def test_towers_read_what_the_sharing_says(sharing: str) -> None:
    config = replace(_small(), sharing=sharing)
    network = config.network().eval()
    width = {"share_all": 16, "share_partial": 23 + 16, "share_none": 23}[sharing]  # 11 + 5 + 3 + 4 = 23 inputs
    assert network.towers.stacked(0)[0].shape == (10, 8, width)  # type: ignore[operator]
    assert network(torch.rand(7, 23)).shape == (7, 10)


def test_every_head_learns_its_own_label_and_as_released_none_does() -> None:
    config = _published()
    tasks = tuple(config.tasks)
    by_name = label_columns(config.labels, tasks, "by_name")
    assert [config.labels[column] for column in by_name] == list(tasks)
    as_released = [config.labels[column] for column in label_columns(config.labels, tasks, "as_released")]
    assert as_released[0] == "is_bookmarked"  # for the head is_favorited
    assert as_released[9] == "is_retweeted"  # for the head is_video_playback_50
    assert not any(label == task for label, task in zip(as_released, tasks, strict=True))
    labels = np.arange(2 * 13).reshape(2, 13)
    assert config.targets(labels)[0].tolist() == by_name
    assert replace(config, label_matching="as_released").targets(labels)[0].tolist() == list(range(10))
    with pytest.raises(ConfigError, match=r"is_replied.*no label"):
        label_columns([name for name in config.labels if name != "is_replied"], tasks, "by_name")
    with pytest.raises(DataError, match="13 columns"):
        config.targets(labels[:, :-1])


def test_random_examples_have_the_layout_of_the_published_records(tmp_path: Path) -> None:
    config = _published()
    file = write_random_data(tmp_path, config, examples=3, seed=1)
    features, labels = read_examples(file, config)
    assert features.shape == (3, 2117 + 59 + 600)
    assert labels.shape == (3, 13)
    assert set(np.unique(labels)) <= {0, 1}
    assert 0 <= features.min() <= features.max() <= 1
    again = write_random_data(tmp_path / "again", config, examples=3, seed=1)
    assert file.read_bytes() == again.read_bytes()
    with pytest.raises(DataError, match="random-data"):
        read_examples(tmp_path / "nothing", config)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_published_training_runs_and_a_finished_one_is_not_done_again(tmp_path: Path) -> None:
    config = _small()
    data = write_random_data(tmp_path, config, examples=100, seed=0)
    report = train_recap(config, data, tmp_path / "whole", seed=3)
    assert report["steps"] == 8
    assert abs(float(str(report["loss"])) - np.log(2)) < 0.3  # labels are coin tosses
    assert {file.suffix for file in (tmp_path / "whole").iterdir()} >= {".safetensors", ".json"}
    state = (tmp_path / "whole" / "checkpoint.safetensors").read_bytes()
    again = train_recap(config, data, tmp_path / "whole", seed=3)
    assert {**again, "seconds": 0} == {**report, "seconds": 0}
    assert (tmp_path / "whole" / "checkpoint.safetensors").read_bytes() == state
    with pytest.raises(DataError, match="another training"):
        train_recap(config, data, tmp_path / "whole", seed=4)

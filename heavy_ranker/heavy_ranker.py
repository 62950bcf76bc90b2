"""The heavy ranker: probabilities of ten actions from a parallel MaskNet.

Architecture and heads: twitter/the-algorithm-ml, projects/home/recap (April 2023). The widths here
are for a laptop; `configs/models/heavy_ranker_production.yaml` has the published ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError, DataError, NotFittedError, nearest
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, Learned, Scorer
from funnel.core.world import PlatformView
from funnel.features import embedding_features, lookup, model_features
from heavy_ranker.examples import LEAST_IMPRESSIONS, sample_log, with_features
from heavy_ranker.inputs import inputs
from heavy_ranker.int8 import Int8Network
from heavy_ranker.serving import ServingNetwork

SAMPLE = 512  # rows of the examples that set the steps of the 8-bit form


@dataclass(config=STRICT, kw_only=True)
class HeavyRanker(Scorer, Learned):
    """Predicts, for each candidate, the probability of every action that counts."""

    features: tuple[str, ...] = Field((), description="features it reads; none means all model features")
    embeddings: tuple[str, ...] = Field(
        (), description="vectors it reads, each with a layer norm of its own: twhin.viewer_vector and its like"
    )
    blocks: int = Field(3, ge=1, le=16, description="mask blocks side by side")
    block_size: int = Field(64, ge=1, le=4096, description="width of each block's output")
    aggregation_size: int = Field(64, ge=1, le=4096, description="width of the hidden layer of each block's mask")
    block_activation: Literal["none", "relu"] = Field(
        "none", description="what follows a block's layer norm: nothing, as published, or ReLU, as in the paper"
    )
    mlp: tuple[int, ...] = Field((128,), description="widths of the layers shared by all heads")
    towers: tuple[int, ...] = Field((32, 16), description="hidden widths of each head's tower")
    dropout: dict[str, float] = Field(
        default_factory=lambda: {"negative_feedback": 0.1, "report": 0.2},  # config/local_prod.yaml
        description="share of tower units dropped in training, by action",
    )
    layer_norm_epsilon: float = Field(
        1e-5, ge=0, description="epsilon of the feature layer norm; as released 0, NaN for a row of equal values"
    )
    max_examples: int = Field(300_000, ge=LEAST_IMPRESSIONS, description="logged impressions to learn from, at most")
    validation_share: float = Field(0.1, gt=0, lt=1, description="latest share of the log, which stops the training")
    min_positives: int = Field(20, ge=1, description="a head with fewer positives says its base rate")
    epochs: int = Field(2, ge=1, description="passes over the examples, at most")
    batch_size: int = Field(1024, ge=2, description="examples a step")
    learning_rate: float = Field(8e-3, gt=0, description="of Adam, at the top of its ramp")
    task_learning_rate: dict[str, float] = Field(
        default_factory=dict, description="of the towers of these actions, instead of learning_rate"
    )
    task_ramp_share: dict[str, float] = Field(
        default_factory=dict, description="of the towers of these actions, instead of ramp_share"
    )
    down_sampling: Literal["weights", "calibration"] = Field(
        "weights", description="negatives left out count by weight in the loss, or are calibrated back afterwards"
    )
    ramp_share: float = Field(0.1, ge=0, le=1, description="share of the steps in which the rate rises from 0")
    final_rate_share: float = Field(0.02, ge=0, le=1, description="the last step's rate as a share of the top")
    clip_norm: float = Field(10.0, gt=0, description="largest norm of the gradient")
    patience: int = Field(3, ge=1, description="evaluations without improvement before training stops")
    evaluations: int = Field(2, ge=1, description="evaluations an epoch")
    training_numbers: Literal["float32", "bfloat16"] = Field(
        "float32", description="numbers of the matrix products in training; bfloat16 is faster for wide layers"
    )
    training_threads: int = Field(1, ge=1, le=64, description="threads of training; another number, other last bits")
    warm_start: str = Field("", description="file of a checkpoint whose weights training begins with; none means fresh")
    backend: Literal["float32", "int8"] = Field(
        "float32", description="numbers that serving computes with; int8 wants ONNX Runtime, the extra `fast`"
    )

    def __post_init__(self) -> None:
        self.network_: ServingNetwork | None = None
        self.sample_: Floats | None = None
        self._rounded: Int8Network | None = None
        for setting in ("dropout", "task_learning_rate", "task_ramp_share"):
            for name in getattr(self, setting):
                if name not in HEAVY_ACTIONS:
                    what = f"no such head — {nearest(name, HEAVY_ACTIONS)}"
                    raise ConfigError(f"heavy_ranker.{setting}.{name}", what)
        for name in (*self.features, *self.embeddings):
            lookup(name)
        for name in self.embeddings:
            if name not in embedding_features():
                what = f"{name} is no vector — {nearest(name, embedding_features())}"
                raise ConfigError("heavy_ranker.embeddings", what)

    @property
    def needs(self) -> tuple[str, ...]:
        """The features that it reads."""
        return (self.features or model_features()) + self.embeddings

    @property
    def adds(self) -> tuple[str, ...]:
        """A probability per head."""
        return tuple(f"p.{name}" for name in HEAVY_ACTIONS)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """Columns p.<action>, float32 [n] in [0, 1]."""
        if self.network_ is None:
            raise NotFittedError("heavy_ranker", "has not learnt yet — run `funnel train`")
        p = self._served(self.network_).probabilities(inputs(batch, self.network_.features, self.network_.embeddings))
        return {name: np.ascontiguousarray(p[:, place]) for place, name in enumerate(self.adds)}

    def _served(self, network: ServingNetwork) -> ServingNetwork | Int8Network:
        """What computes: the network, or its form in 8 bits, made once."""
        if self.backend == "float32":
            return network
        if self._rounded is None or self._rounded.network is not network:
            if self.sample_ is None:
                raise DataError("heavy_ranker", "was saved without the sample that sets 8-bit steps — train it again")
            self._rounded = Int8Network(network, self.sample_)
        return self._rounded

    def fit(self, view: PlatformView, *, seed: int, progress: Progress = SILENT, log_dir: Path | None = None) -> None:
        """Learn from the view's impressions; the latest share of them decides when to stop and how to calibrate."""
        from heavy_ranker.training import fit_network

        sample = sample_log(view, limit=self.max_examples, validation_share=self.validation_share, seed=seed)
        names = self.features or model_features()
        examples = with_features(sample, view, names, self.embeddings, progress=progress)
        self.network_, _, _ = fit_network(examples, self, seed=seed, progress=progress, log_dir=log_dir)
        some = np.unique(np.linspace(0, examples.features.shape[0] - 1, SAMPLE).astype(np.int64))
        self.sample_ = examples.features[some]

    def state(self) -> dict[str, Array]:
        """What was learnt, as arrays."""
        if self.network_ is None:
            raise NotFittedError("heavy_ranker", "has not learnt yet — run `funnel train`")
        assert self.sample_ is not None
        return {**self.network_.state(), "sample": self.sample_}

    def restore(self, state: dict[str, Array]) -> None:
        """Take up what `state` gave."""
        network = ServingNetwork.of(state, "heavy_ranker")
        known = {*network.features, *network.embeddings}
        if known != set(self.needs) or network.embeddings != self.embeddings:
            changed = sorted(known ^ set(self.needs)) or list(self.embeddings)
            raise DataError(
                "heavy_ranker", f"was trained on other features ({', '.join(changed[:5])}) — train it again"
            )
        sample = state.get("sample")
        if sample is not None and sample.shape[1:] != (network.width,):
            raise DataError("heavy_ranker", f"has a sample of shape {sample.shape} — train it again")
        self.network_, self.sample_ = network, sample

"""The push ranker: how likely a notification of a tweet is opened, and engaged with, from two ClemNets.

Architecture, features and loss: twitter/the-algorithm, pushservice/src/main/python/models/heavy_ranking. The widths
here are for a laptop; `configs/models/clemnet_production.yaml` has the published ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError, DataError, NotFittedError, nearest
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, Learned, Scorer
from funnel.core.world import PlatformView
from funnel.features import lookup
from heavy_ranker.push_examples import HEADS, LEAST_NOTIFICATIONS, push_examples
from heavy_ranker.push_inputs import SPARSE, push_features, push_inputs
from heavy_ranker.push_serving import ServingPush

BASE = ("original", "original_author")  # what the sparse features stand on


@dataclass(config=STRICT, kw_only=True)
class ClemnetRanker(Scorer, Learned):
    """Predicts, for each candidate, whether its notification is opened, and whether the viewer engages then."""

    features: tuple[str, ...] = Field(
        (), description="features it reads; none means all model features and those about notifications"
    )
    sparse: tuple[str, ...] = Field(SPARSE, description="hashed features it reads: author, language, word, topic")
    sparse_bits: int = Field(14, ge=1, le=24, description="logarithm of the number of buckets of sparse features")
    embedding_size: int = Field(16, ge=1, le=512, description="width of the sums over flags and over amounts")
    blocks: tuple[int, ...] = Field((64, 32, 16, 16), min_length=1, description="features that each block gives")
    filters: int = Field(5, ge=1, le=64, description="channels of each block's convolution")
    kernel_size: int = Field(3, ge=1, le=31, description="features that a convolution sees at once")
    residual: bool = Field(False, description="a shortcut around each block that keeps the number of features")
    batch_norm_momentum: float = Field(0.95, ge=0, lt=1, description="of the moving statistics")
    renorm: bool = Field(True, description="batch renorm of the continuous features in training")
    input_dropout: float = Field(0.1, ge=0, lt=1, description="share of the inputs that a training step leaves out")
    max_examples: int = Field(
        200_000, ge=LEAST_NOTIFICATIONS, description="logged notifications to learn from, at most"
    )
    validation_share: float = Field(0.1, gt=0, lt=1, description="latest share of the log, which stops the training")
    epochs: int = Field(4, ge=1, description="passes over the examples, at most")
    batch_size: int = Field(512, ge=2, description="examples a step")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="adam, or plain gradient descent as published")
    learning_rate: float = Field(3e-3, gt=0, description="at the top of its ramp")
    ramp_share: float = Field(0.1, ge=0, le=1, description="share of the steps in which the rate rises from 0")
    final_rate_share: float = Field(0.02, ge=0, le=1, description="the last step's rate as a share of the top")
    clip_norm: float = Field(10.0, gt=0, description="largest norm of the gradient")
    patience: int = Field(3, ge=1, description="evaluations without a better PR-AUC of OONC before training stops")
    evaluations: int = Field(2, ge=1, description="evaluations an epoch")
    training_threads: int = Field(1, ge=1, le=64, description="threads of training; another number, other last bits")
    warm_start: str = Field("", description="file of a checkpoint whose weights training begins with; none means fresh")

    def __post_init__(self) -> None:
        self.network_: ServingPush | None = None
        for name in self.features:
            lookup(name)
        for name in self.sparse:
            if name not in SPARSE:
                raise ConfigError("clemnet_ranker.sparse", f"no sparse feature {name!r} — {nearest(name, SPARSE)}")
        if min(self.blocks) < 1:
            raise ConfigError("clemnet_ranker.blocks", f"wants widths above 0, got {self.blocks}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The sparse features, in the order of SPARSE."""
        return tuple(name for name in SPARSE if name in self.sparse)

    @property
    def bits(self) -> int:
        """Of the hash of sparse features; one where there are none."""
        return self.sparse_bits if self.sparse else 1

    @property
    def needs(self) -> tuple[str, ...]:
        """The features that it reads, and what sparse features stand on."""
        return tuple(dict.fromkeys((*(self.features or push_features()), *BASE)))

    @property
    def adds(self) -> tuple[str, ...]:
        """P(OONC), and P(engagement), which is never larger."""
        return tuple(f"p.{name}" for name in HEADS)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """Columns p.oonc and p.engage, float32 [n] in [0, 1]."""
        if self.network_ is None:
            raise NotFittedError("clemnet_ranker", "has not learnt yet — run `funnel train`")
        p = self.network_.probabilities(push_inputs(batch, self.network_.features, self.kinds, self.bits))
        return {name: np.ascontiguousarray(p[:, place]) for place, name in enumerate(self.adds)}

    def fit(self, view: PlatformView, *, seed: int, progress: Progress = SILENT, log_dir: Path | None = None) -> None:
        """Learn from the view's notifications; the latest share of them decides when to stop."""
        from heavy_ranker.push_training import fit_push

        examples = push_examples(
            view,
            self.features or push_features(),
            self.kinds,
            self.bits,
            limit=self.max_examples,
            validation_share=self.validation_share,
            seed=seed,
            progress=progress,
        )
        self.network_, _, _ = fit_push(examples, self, seed=seed, progress=progress, log_dir=log_dir)

    def state(self) -> dict[str, Array]:
        """What was learnt, as arrays."""
        if self.network_ is None:
            raise NotFittedError("clemnet_ranker", "has not learnt yet — run `funnel train`")
        return self.network_.state()

    def restore(self, state: dict[str, Array]) -> None:
        """Take up what `state` gave."""
        network = ServingPush.of(state, "clemnet_ranker")
        changed = sorted(set(network.features) ^ set(self.features or push_features()))
        if changed:
            what = f"was trained on other features ({', '.join(changed[:5])}) — train it again"
            raise DataError("clemnet_ranker", what)
        if network.sparse != self.kinds or (self.sparse and network.bits != self.bits):
            raise DataError("clemnet_ranker", "was trained on other sparse features — train it again")
        self.network_ = network

"""The light ranker of recommended notifications: a small network that repeats the heavy ranker's choice.

Source: twitter/the-algorithm (2023), pushservice/src/main/python/models/light_ranking: `light_ranking_mlp_ngbdt`, one
model for each task: was the candidate sent, is it among the heavy ranker's best three (HeavyRankPosition), how probable
is an open in the heavy ranker's eyes (HeavyRankProbability). Its labels come from the heavy ranker, so it is taught by
the value of its own funnel after everything else has learnt (docs/adr/008-a-distilled-stage-is-taught-last.md).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch
from funnel.core.errors import NotFittedError
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, Scorer, Taught
from funnel.features import NOTIFICATION_FEATURES, lookup, matrix
from light_ranker.distilled import FEATURES as TIMELINE_FEATURES
from light_ranker.push_model import PushModel, buckets

TASKS: tuple[str, ...] = ("sent", "top3", "distilled")
FEATURES: tuple[str, ...] = tuple(dict.fromkeys((*TIMELINE_FEATURES, *NOTIFICATION_FEATURES)))
# What is hashed and embedded; the tweet's language besides it.
IDS: tuple[str, ...] = ("author", "kind", "notification_kind")


@dataclass(config=STRICT, kw_only=True)
class PushLightRanker(Scorer, Taught):
    """Scores candidates of a notification by a self-attentive network taught by the heavy ranker's value.

    Continuous features pass z-scores and a tiny network each; author, language and kinds are hashed and embedded.
    """

    task: Literal["sent", "top3", "distilled"] = Field(
        default="distilled",
        description="what it learns: the best of a request, the best three, or the heavy value",
    )
    features: tuple[str, ...] = Field(default=FEATURES, min_length=1, description="continuous inputs")
    requests: int = Field(default=1200, ge=1, description="requests whose candidates it is taught on")
    max_examples: int = Field(default=120_000, ge=1, description="candidates it learns from at most")
    epochs: int = Field(default=6, ge=1, le=100, description="passes over the lessons at most")
    batch_size: int = Field(default=256, ge=2, description="candidates a step")
    optimizer: Literal["adam", "sgd"] = Field(default="adam", description="sgd as released, for many more steps")
    learning_rate: float = Field(default=0.002, gt=0, le=1, description="at the first step; falls to 0 along a line")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="of the transformed features and of the ids")
    missing_branch: bool = Field(
        default=False, description="read in a branch of its own which features have no value (NaN or infinite)"
    )
    patience: int = Field(default=2, ge=1, description="epochs without a better RCE before training stops")
    record_weight: bool = Field(
        default=False, description="weigh a candidate by 1 / (1 + its place in the heavy order)"
    )
    smooth_weight: float = Field(default=0.0, ge=0, description="added to the place, if record_weight")
    min_record_weight: float = Field(default=0.0, ge=0, le=1, description="least weight, if record_weight")

    def __post_init__(self) -> None:
        for name in self.features:
            lookup(name)
        self.model_: PushModel | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Its features, and what is embedded."""
        return tuple(dict.fromkeys((*self.features, *IDS)))

    @property
    def adds(self) -> tuple[str, ...]:
        """The score."""
        return ("light_score",)

    @property
    def lessons(self) -> int:
        """How many requests it wants to be taught on."""
        return self.requests

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """light_score: float32 [n] in [0, 1], the probability that the task asks for."""
        if self.model_ is None:
            raise NotFittedError("push_light_ranker", "has not been taught yet — run `funnel train`")
        values = matrix(batch, self.features)
        return {"light_score": self.model_.scores(values, buckets(self.id_columns(batch)))}

    def id_columns(self, batch: CandidateBatch) -> dict[str, Array]:
        """The ids that are hashed, int [n] by name."""
        language = batch.requests.view.tweets["language"][batch["tweet"]]
        return {name: batch[name] for name in IDS} | {"language": language}

    def teach(self, batch: CandidateBatch, value: Floats, *, seed: int, progress: Progress = SILENT) -> None:
        """Learn the task from the value of the rest of the funnel."""
        from light_ranker.push_training import fit_push

        self.model_ = fit_push(batch, value, self, seed=seed, progress=progress)

    def state(self) -> dict[str, Array]:
        """The numbers of `PushModel`, and the task, int64 [1], place in TASKS."""
        if self.model_ is None:
            raise NotFittedError("push_light_ranker", "has not been taught yet — run `funnel train`")
        return dict(self.model_.arrays)

    def restore(self, state: dict[str, Array]) -> None:
        """Take up what `state` gave."""
        task = TASKS.index(self.task)
        self.model_ = PushModel.of(
            state, "push_light_ranker", features=len(self.features), task=task, missing=self.missing_branch
        )

"""A modern light ranker: it repeats what the heavy ranker would say, from features that cost little.

Twitter's light ranker of push notifications can be trained on the heavy ranker's score, or on who is among
its best three (twitter/the-algorithm, pushservice/src/main/python/models/libs/get_feat_config.py, LABELS_LR); this one
learns the heavy ranker's order, for the timeline.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch
from funnel.core.errors import NotFittedError
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, Scorer, Taught
from funnel.features import lookup
from light_ranker.binned import Binned
from light_ranker.features import IN_NETWORK, OUT_OF_NETWORK

# Of what the heavy ranker reads, the part that most of its order comes from.
FEATURES = tuple(
    dict.fromkeys(
        (
            *IN_NETWORK,
            *OUT_OF_NETWORK,
            "tweet.video_s",
            "tweet.impression.count",
            *(f"tweet.{action}.rate" for action in ("favorite", "retweet", "reply", "click", "dwell")),
            *(f"author.{action}.rate" for action in ("favorite", "retweet", "reply", "click")),
            "author.followers",
            *(f"pair.{action}.rate" for action in ("favorite", "reply", "click", "dwell")),
            "pair.in_network",
            "pair.mutual",
            "simclusters.similarity",
            "twhin.follow_dot",
            "twhin.likers_similarity",
            "social_proof.favorited_by",
        )
    )
)
_NO_SIDE = np.uint8(0)


@dataclass(config=STRICT, kw_only=True)
class Distilled(Scorer, Taught):
    """Scores candidates by an additive model of the heavy ranker's value, learnt from candidates like these.

    The funnel's own value of all candidates of some requests is the teacher. The model is a sum over features, each in
    percentile bins with a weight; it is fitted by ridge regression to the logarithm of the place that the teacher gives
    a candidate, with a level of its own for every request, since only the order inside a request counts.
    """

    features: tuple[str, ...] = Field(default=FEATURES, min_length=1, description="what it reads")
    bins: int = Field(default=32, ge=2, le=256, description="percentile bins a feature")
    requests: int = Field(default=200, ge=1, description="requests whose candidates it is taught on")
    penalty: float = Field(default=10.0, gt=0, description="strength of the L2 penalty, in candidates a bin")

    def __post_init__(self) -> None:
        for name in self.features:
            lookup(name)
        self.model_: Binned | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Its features."""
        return self.features

    @property
    def adds(self) -> tuple[str, ...]:
        """The score."""
        return ("distilled_score",)

    @property
    def lessons(self) -> int:
        """How many requests it wants to be taught on."""
        return self.requests

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """distilled_score: float32 [n], of any sign: the higher, the better the teacher's place."""
        if self.model_ is None:
            raise NotFittedError("distilled", "has not been taught yet — run `funnel train`")
        return {"distilled_score": self.model_.logits(batch, self.features, np.full(len(batch), _NO_SIDE))}

    def teach(self, batch: CandidateBatch, value: Floats, *, seed: int, progress: Progress = SILENT) -> None:
        """Learn the order that the teacher gives to the candidates of each request."""
        from light_ranker.training import distilled_bins

        with progress.bar("distilled light ranker", 1) as bar:
            self.model_ = distilled_bins(batch, value, self.features, self.bins, self.penalty)
            bar.advance()

    def state(self) -> dict[str, Array]:
        """boundaries float32 [1, F, bins − 1], weights float32 [1, F, bins], bias float32 [1]."""
        if self.model_ is None:
            raise NotFittedError("distilled", "has not been taught yet — run `funnel train`")
        return self.model_.state()

    def restore(self, state: dict[str, Array]) -> None:
        """Take up what `state` gave."""
        self.model_ = Binned.of(state, "distilled", sides=1, features=len(self.features), bins=self.bins)

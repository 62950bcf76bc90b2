"""The light ranker: who is worth the heavy ranker's time, by two logistic regressions on binned features.

Earlybird's models `recap_earlybird` for in-network and `rectweet_earlybird` for out-of-network tweets
(twitter/the-algorithm, src/python/twitter/deepbird/projects/timelines/scripts/models/earlybird/README.md).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array, Bools, Floats
from funnel.core.batch import CandidateBatch
from funnel.core.errors import NotFittedError
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, Learned, Scorer
from funnel.core.world import PlatformView
from funnel.features import lookup
from light_ranker.binned import Binned
from light_ranker.features import IN_NETWORK, OUT_OF_NETWORK

# A side with fewer engaged (or fewer ignored) impressions learns from both sides together.
LEAST_EXAMPLES = 100
# Where even both sides are too few, popularity decides: each doubling of the weighted count adds to the log-odds.
POPULARITY, POPULARITY_STEP, POPULARITY_BIAS = "tweet.weighted_count", 0.3, -3.0


@dataclass(config=STRICT, kw_only=True)
class LightRanker(Scorer, Learned):
    """Scores each candidate with the probability that the viewer engages, by its network's own model.

    Engagement is any of Earlybird's labels that the world has (favourite, retweet, reply, profile click, click,
    half a video), in training weighted as published, so that a reply counts nine times a favourite; the probability
    is one of weighted engagement and orders candidates. Features become percentile bins, and each bin has a
    weight. A network with fewer than 100 engaged or 100 ignored impressions learns from both networks' together;
    if those are too few as well, the tweet's weighted engagements decide.
    """

    in_network: tuple[str, ...] = Field(default=IN_NETWORK, min_length=1, description="features of the one model")
    out_of_network: tuple[str, ...] = Field(default=OUT_OF_NETWORK, min_length=1, description="and of the other")
    bins: int = Field(default=32, ge=2, le=256, description="percentile bins a feature")
    regularisation: float = Field(default=0.1, gt=0, description="inverse strength of the L2 penalty (sklearn's C)")
    max_examples: int = Field(default=2_000_000, ge=1_000, description="logged impressions looked at, at most")

    def __post_init__(self) -> None:
        for name in (*self.in_network, *self.out_of_network):
            lookup(name)
        self.model_: Binned | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The features of both models, and which one a row takes."""
        return (*self._features, "in_network")

    @property
    def adds(self) -> tuple[str, ...]:
        """The score."""
        return ("light_score",)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """light_score: float32 [n] in [0, 1]."""
        if self.model_ is None:
            raise NotFittedError("light_ranker", "has not learnt yet — run `funnel train`")
        logit = self.model_.logits(batch, self._features, batch["in_network"])
        probability: Floats = (1 / (1 + np.exp(-np.clip(logit, -30, 30)))).astype(np.float32)
        return {"light_score": probability}

    def fit(self, view: PlatformView, *, seed: int, progress: Progress = SILENT, log_dir: Path | None = None) -> None:
        """Learn from the view's impressions."""
        from light_ranker.training import Examples, fitted_bins, percentile_boundaries, sampled_examples

        def enough(examples: Examples, chosen: Bools) -> bool:
            engaged = int(examples.positive[chosen].sum())
            return min(engaged, int(chosen.sum()) - engaged) >= LEAST_EXAMPLES

        with progress.bar("light ranker", 3) as bar:
            examples = sampled_examples(view, self._features, self.max_examples, seed)
            bar.advance()
            tables = []
            for inside, names in enumerate((self.out_of_network, self.in_network)):
                own = examples.in_network == bool(inside)
                chosen = own if enough(examples, own) else np.ones_like(own)
                if enough(examples, chosen):
                    boundaries = percentile_boundaries(examples.values[chosen], self.bins)
                    boundaries[[name not in names for name in self._features]] = np.inf
                    tables.append(fitted_bins(examples, chosen, boundaries, self.regularisation))
                else:
                    progress.note("light ranker: too few logged engagements to learn from; ranks by popularity")
                    tables.append(self._popularity())
                bar.advance()
        self.model_ = Binned(*(np.stack(part) for part in zip(*tables, strict=True)))

    def state(self) -> dict[str, Array]:
        """boundaries float32 [2, F, bins − 1], weights float32 [2, F, bins], bias float32 [2]; in-network second."""
        if self.model_ is None:
            raise NotFittedError("light_ranker", "has not learnt yet — run `funnel train`")
        return self.model_.state()

    def restore(self, state: dict[str, Array]) -> None:
        """Take up what `state` gave."""
        self.model_ = Binned.of(state, "light_ranker", sides=2, features=len(self._features), bins=self.bins)

    @property
    def _features(self) -> tuple[str, ...]:
        """Features of either model, and what stands in for them, each once."""
        return tuple(dict.fromkeys((*self.in_network, *self.out_of_network, POPULARITY)))

    def _popularity(self) -> tuple[Floats, Floats, np.float32]:
        """Tables that order by the weighted count alone, in bins that end at 0, 1, 3, 7, …"""
        count, place = len(self._features), self._features.index(POPULARITY)
        boundaries = np.full((count, self.bins - 1), np.inf, np.float32)
        boundaries[place] = 2.0 ** np.minimum(np.arange(self.bins - 1), 100) - 1.0
        weights = np.zeros((count, self.bins), np.float32)
        weights[place] = POPULARITY_STEP * np.arange(self.bins)
        return boundaries, weights, np.float32(POPULARITY_BIAS)

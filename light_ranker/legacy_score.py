"""Earlybird's linear score, from before its rankers were learnt: a weighted sum, boosts, age decay.

twitter/the-algorithm, src/java/com/twitter/search/earlybird/search/relevance/scoring/LinearScoringFunction.java and
FeatureBasedScoringFunction.java; parameters: relevance/LinearScoringParams.java, search/common/ranking/thrift/
ranking.thrift; age decay: relevance/features/AgeDecay.java.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools, Floats
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError, nearest
from funnel.core.stage import STRICT, Scorer
from light_ranker.text_quality import with_goodwill

LEAST = 1e-4  # what the sum starts with
TO_SCORE = 100.0  # the score returned is the sum times this
# Kept finite and below any other: what the release skips, a scorer can only put last.
SKIPPED = np.float32(-1e9)
_LOGS = {"replies": "tweet.reply.count", "retweets": "tweet.retweet.count", "favorites": "tweet.favorite.count"}
_SUMMED = {"reputation": "author.reputation", "text_score": "tweet.text_score", "author_specific": "real_graph.score"}
_FLAGGED = {"has_url": "tweet.has_link", "is_reply": "tweet.is_reply", "quotes": "tweet.quote.count"}
_BOOSTED = {
    "spam": "tweet.label.spam",
    "nsfw": "tweet.sensitive",
    "hashtags": "tweet.many_hashtags",
    "media": "tweet.has_image",
    "verified": "author.verified",
    "self_tweet": "is_own",
}
Factor = Annotated[float, Field(ge=0.0)]


@dataclass(config=STRICT, kw_only=True)
class LegacyScore(Scorer):
    """Scores candidates by Earlybird's weighted sum, its boosts and its age decay, without learning anything.

        s = 0.0001 + sum of w x, with x: reputation, text score, 1 + floor(log2 count) of replies, retweets and
            favourites (0 for none), RealGraph score, quotes, and flags
        score = 100 × ((s × boosts) − 10 if an out-of-network reply) × language factor × A(age)

    The product's weights are not published, only their places and that they are 0 by default; those here are ours.
    Factors that the release leaves at 1 are 1. The search score, PageRank of users, video views and trust circles of
    the release have no counterpart. Tweets below a minimum, which the release skips, come last.
    """

    weights: dict[str, float] = Field(
        default_factory=lambda: {"reputation": 0.02, "text_score": 0.01, "replies": 0.5, "retweets": 1.0,
                                 "favorites": 1.0, "author_specific": 5.0},
        description=f"weight of each part: {', '.join((*_SUMMED, *_LOGS, *_FLAGGED))}; one that is not named is 0",
    )  # fmt: skip
    boosts: dict[str, Factor] = Field(
        default_factory=dict, description=f"factors: {', '.join((*_BOOSTED, 'followed'))}; one that is not named is 1"
    )
    reply_penalty: float = Field(default=10.0, ge=0, description="taken from the sum of an out-of-network reply")
    english_tweet: float = Field(
        default=0.7, ge=0, le=1, description="factor of an English tweet for who reads another language"
    )
    english_viewer: float = Field(
        default=0.3, ge=0, le=1, description="factor of a foreign tweet for who reads English"
    )
    other_language: float = Field(default=0.1, ge=0, le=1, description="factor of a foreign tweet for anybody else")
    age_slope: float = Field(default=0.003, ge=0, description="slope of the age decay, per minute")
    age_middle_min: float = Field(default=360.0, ge=0, description="age at which half of the decay is done, minutes")
    age_base: float = Field(default=0.6, gt=0, le=1, description="what the age decay tends to for old tweets")
    min_reputation: float = Field(
        default=0.0, ge=0, le=100, description="Tweepcred that an unknown, unverified author needs"
    )
    min_text_score: float = Field(default=0.0, ge=0, le=100, description="text score that their tweets need")

    def __post_init__(self) -> None:
        known = {"weights": (*_SUMMED, *_LOGS, *_FLAGGED), "boosts": (*_BOOSTED, "followed")}
        for setting, names in known.items():
            for name in getattr(self, setting):
                if name not in names:
                    raise ConfigError(f"legacy_score.{setting}.{name}", f"no such part — {nearest(name, names)}")

    @property
    def needs(self) -> tuple[str, ...]:
        """Parts of the sum, flags of the boosts, languages, and the age."""
        parts = (*_SUMMED.values(), *_LOGS.values(), *_FLAGGED.values(), *_BOOSTED.values())
        languages = ("language.match", "language.english_tweet_only", "language.english_viewer_only")
        return tuple(dict.fromkeys((*parts, *languages, "age_h", "in_network")))

    @property
    def adds(self) -> tuple[str, ...]:
        """The score."""
        return ("legacy_score",)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """legacy_score: float32 [n], of any sign."""
        reputation = with_goodwill("reputation", batch["author.reputation"])
        text = with_goodwill("text_score", batch["tweet.text_score"])
        total = LEAST + self._weight("reputation") * reputation + self._weight("text_score") * text
        total = total + self._weight("author_specific") * batch["real_graph.score"]
        for part, column in _LOGS.items():
            total += self._weight(part) * log2_view(batch[column])
        for part, column in _FLAGGED.items():
            total += self._weight(part) * batch[column].astype(np.float32)
        for boost, column in _BOOSTED.items():
            total *= np.where(batch[column] > 0, np.float32(self.boosts.get(boost, 1.0)), np.float32(1))
        inside = batch["in_network"]
        total *= np.where(inside, np.float32(self.boosts.get("followed", 1.0)), np.float32(1))
        total -= np.where(~inside & batch["tweet.is_reply"], np.float32(self.reply_penalty), np.float32(0))
        total *= self._language(batch) * self._age(batch["age_h"])
        spared = inside | batch["author.verified"]
        skipped = ~spared & ((reputation < self.min_reputation) | (text < self.min_text_score))
        return {"legacy_score": np.where(skipped, SKIPPED, np.float32(TO_SCORE) * total).astype(np.float32)}

    def _weight(self, part: str) -> np.float32:
        return np.float32(self.weights.get(part, 0.0))

    def _language(self, batch: CandidateBatch) -> Floats:
        foreign = np.where(batch["language.english_viewer_only"], self.english_viewer, self.other_language)
        foreign = np.where(batch["language.english_tweet_only"], self.english_tweet, foreign)
        return np.where(batch["language.match"], 1.0, foreign).astype(np.float32)

    def _age(self, age_h: Floats) -> Floats:
        """A(m) = base + (1 − base) / (1 + exp(slope (m − middle))), m minutes."""
        steps = np.minimum(self.age_slope * (60.0 * age_h - self.age_middle_min), 80.0)
        decay: Floats = (self.age_base + (1.0 - self.age_base) / (1.0 + np.exp(steps))).astype(np.float32)
        return decay


def log2_view(count: Floats) -> Floats:
    """float32 [n]: 1 + floor(log2 count), 0 for a count of 0: how Earlybird's one-byte counts are read."""
    some: Bools = count >= 1
    return np.where(some, 1.0 + np.floor(np.log2(np.maximum(count, 1.0))), 0.0).astype(np.float32)

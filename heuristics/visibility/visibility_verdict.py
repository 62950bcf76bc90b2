"""What the viewer may see of each candidate: allow, avoid, downrank, interstitial or drop.

Source: twitter/the-algorithm (2023), visibilitylib: safety level TimelineHome for in-network tweets,
TimelineHomeRecommendations for all others (home-mixer asks for them while hydrating from Tweetypie); MagicRecs for
recommended notifications (rules/VisibilityPolicy.scala, MagicRecsPolicy). The rules are the table in rules.py;
`visibility` removes what they drop.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError, nearest
from funnel.core.stage import STRICT, Scorer
from funnel.core.tables import TWEET_LABELS
from heuristics.visibility.policy import NEEDS, verdicts
from heuristics.visibility.rules import RULE_NAMES


@dataclass(config=STRICT, kw_only=True)
class VisibilityVerdict(Scorer):
    """Judges each candidate by labels, relationships, settings and country, more strictly out of network."""

    needs = NEEDS
    adds = ("visibility.verdict", "visibility.rule")

    level: Literal["home", "notifications"] = Field(
        "home", description="safety level: home (by network), or notifications, which is strict with every candidate"
    )
    without: tuple[str, ...] = Field((), description="rules that are switched off, by name")
    withheld: dict[int, tuple[str, ...]] = Field(
        default_factory=dict, description="tweet labels that may not be shown to viewers of a country, by its code"
    )

    def __post_init__(self) -> None:
        for name in self.without:
            if name not in RULE_NAMES:
                raise ConfigError("visibility_verdict.without", f"no rule {name!r} — {nearest(name, RULE_NAMES)}")
        for code, labels in self.withheld.items():
            for label in labels:
                if label not in TWEET_LABELS:
                    where = f"visibility_verdict.withheld.{code}"
                    raise ConfigError(where, f"unknown label {label!r} — {nearest(label, TWEET_LABELS)}")

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """verdict: −1 allow, 1 avoid, 5 downrank, 10 interstitial, 16 drop; rule: its place in RULES, −1 for none."""
        off, pushed = frozenset(self.without), self.level == "notifications"
        verdict, rule = verdicts(batch, without=off, withheld=self.withheld, notifications=pushed)
        return {"visibility.verdict": verdict, "visibility.rule": rule.astype(np.float32)}

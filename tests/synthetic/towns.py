"""Made worlds that the tests of this package share; each is built once in a run."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml

from funnel.core.actions import ACTIONS
from funnel.core.arrays import Array, Bools
from funnel.core.progress import SILENT
from funnel.core.world import WorldData, WorldTables
from synthetic.behaviour import ResponseModel, Truth
from synthetic.generated import Generated

WORLDS = Path(__file__).parents[2] / "configs" / "worlds"


def configured(name: str, **changed: object) -> Generated:
    """The builder of a shipped YAML, with some settings changed."""
    settings = yaml.safe_load((WORLDS / f"{name}.yaml").read_text())
    assert settings.pop("use") == "generated"
    return Generated(**{**settings, **changed})


@lru_cache
def town(users: int = 2_000, tweets: int = 30_000, seed: int = 0) -> WorldData:
    """A world large enough for statistics, in about a second."""
    return Generated(users=users, tweets=tweets, follows_per_user=40).build("town", seed, SILENT)


@lru_cache
def oracle() -> ResponseModel:
    """The truth of `town()`."""
    data = town()
    return ResponseModel(WorldTables(data.meta, data.tables), Truth.of(data.truth))


def reactions(data: WorldData) -> Bools:
    """bool [impressions, A]: what the log says that viewers did."""
    engagements = data.tables["engagements"]
    done = np.zeros((data.tables["impressions"]["viewer"].size, len(ACTIONS)), np.bool_)
    done[engagements["impression"], engagements["action"]] = True
    return done


def auc(score: Array, label: Array) -> float:
    """Probability that a positive stands above a negative (ties do not occur among the scores of these tests)."""
    rank = np.empty(score.size)
    rank[np.argsort(score, kind="stable")] = np.arange(1, score.size + 1)
    positives = int(label.sum())
    return float((rank[label].sum() - positives * (positives + 1) / 2) / (positives * (score.size - positives)))

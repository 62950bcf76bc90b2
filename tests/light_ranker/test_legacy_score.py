"""The legacy score is the published sum, boosted and decayed in the published order."""

from __future__ import annotations

import math

import numpy as np
import pytest

from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError
from light_ranker.legacy_score import SKIPPED, LegacyScore, log2_view
from light_ranker.text_quality import UNSET, with_goodwill
from tests.support import fake_batch


def row(**columns: float | bool) -> CandidateBatch:
    """One candidate, out of network, in the viewer's language, just written, about whom nothing speaks."""
    batch = fake_batch([1], tweet=[5])
    blank: dict[str, float | bool] = dict.fromkeys(LegacyScore().needs, 0.0)
    flags = ("in_network", "tweet.is_reply", "author.verified")
    blank |= dict.fromkeys((*flags, "language.english_tweet_only", "language.english_viewer_only"), False)
    blank |= {"language.match": True, **columns}
    return batch.with_columns(
        {name: np.array([v], np.bool_ if isinstance(v, bool) else np.float32) for name, v in blank.items()}
    )


def score(batch: CandidateBatch, **settings: object) -> float:
    chosen = {"weights": {"favorites": 1.0}, "age_slope": 0.0, "age_base": 1.0} | settings
    return float(LegacyScore(**chosen).score(batch)["legacy_score"][0])  # type: ignore[arg-type]


def test_counts_are_read_through_the_log2_view() -> None:
    counts = np.array([0, 1, 2, 3, 4, 1023, 1024], np.float32)
    assert log2_view(counts).tolist() == [0, 1, 2, 2, 3, 10, 11]


def test_the_sum_is_weighted_and_times_a_hundred() -> None:
    liked = row(**{"tweet.favorite.count": 5.0, "author.reputation": 50.0})
    # 0.0001 + 1 * (1 + 2) + 0.02 * 50 = 4.0001
    assert score(liked, weights={"favorites": 1.0, "reputation": 0.02}) == pytest.approx(400.01)


def test_boosts_multiply_before_the_penalty_of_replies_and_language_after_it() -> None:
    answer = row(**{"tweet.favorite.count": 1.0, "tweet.is_reply": True, "author.verified": True})
    assert score(answer, boosts={"verified": 2.0}) == pytest.approx(100 * (2 * 1.0001 - 10))
    foreign = row(**{"tweet.favorite.count": 1.0, "language.match": False})
    assert score(foreign) == pytest.approx(0.1 * 100.01)
    english = row(**{"tweet.favorite.count": 1.0, "language.match": False, "language.english_tweet_only": True})
    assert score(english) == pytest.approx(0.7 * 100.01)
    followed = row(**{"tweet.favorite.count": 1.0, "tweet.is_reply": True, "in_network": True})
    assert score(followed, boosts={"followed": 3.0}) == pytest.approx(300.03)


@pytest.mark.parametrize(("age_h", "decay"), [(0.0, 0.8985), (6.0, 0.8), (48.0, 0.6002)])
def test_old_tweets_decay_to_the_published_floor(age_h: float, decay: float) -> None:
    # At 0 min: 0.6 + 0.4 / (1 + exp(−1.08)) = 0.8986; at the middle 0.8; at 2,880 min 0.6 + 0.4 / (1 + exp(7.56)).
    said = score(row(**{"tweet.favorite.count": 1.0, "age_h": age_h}), age_slope=0.003, age_base=0.6)
    assert said == pytest.approx(100.01 * decay, rel=1e-3)
    assert decay == pytest.approx(0.6 + 0.4 / (1 + math.exp(0.003 * (60 * age_h - 360))), abs=2e-4)


def test_who_was_never_judged_has_goodwill() -> None:
    values = np.array([UNSET, 0, 60], np.float32)
    assert with_goodwill("reputation", values).tolist() == [17, 0, 60]
    assert with_goodwill("text_score", values).tolist() == [19, 0, 60]
    unset = row(**{"tweet.text_score": -128.0})
    assert score(unset, weights={"text_score": 0.1}) == pytest.approx(100 * (0.0001 + 1.9))
    assert score(unset, min_text_score=19.5) == SKIPPED
    assert score(unset, min_text_score=19.0) > 0


def test_minima_spare_the_followed_and_the_verified() -> None:
    for spared in ("in_network", "author.verified"):
        assert score(row(**{spared: True}), min_reputation=30.0) > 0
    assert score(row(), min_reputation=30.0) == SKIPPED


@pytest.mark.parametrize(
    ("column", "weight"), [("tweet.favorite.count", "favorites"), ("real_graph.score", "author_specific")]
)
def test_more_of_a_part_with_a_weight_never_lowers_the_score(column: str, weight: str) -> None:
    scores = [score(row(**{column: float(x)}), weights={weight: 0.5}) for x in (0, 1, 2, 7, 64, 1e6, 3e9)]
    assert scores == sorted(scores)
    assert np.isfinite(scores).all()


def test_an_unknown_part_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="favorites"):
        LegacyScore(weights={"favourites": 1.0})
    with pytest.raises(ConfigError, match="verified"):
        LegacyScore(boosts={"verify": 1.0})

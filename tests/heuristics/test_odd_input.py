"""All of July's filters, verdicts, boosts and selectors together, on candidates that no product would have."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic.dataclasses import dataclass

from funnel.compose import Slot, read_slots
from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.stage import STRICT, Mixer, Scorer, Source
from funnel.core.tables import RETWEET
from funnel.trace import Pages
from heavy_ranker.value import PRESETS
from tests.laws.funnels import Lottery, Nothing, funnel_of, slot
from tests.support import mini_world

# Empty pages are what is asked for here; that the runner warns of them is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::funnel.core.errors.FunnelWarning")


@dataclass(config=STRICT, kw_only=True)
class Same(Scorer):
    """One value for all."""

    adds = ("value",)
    value: float = 1.0

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        return {"value": np.full(len(batch), self.value, np.float32)}


@dataclass(config=STRICT, kw_only=True)
class OneAuthor(Source):
    """Everything that one account wrote before the request, retweets aside."""

    author: int = 0

    def retrieve(self, requests: Requests) -> CandidateBatch:
        tweets = requests.view.tweets
        mine = np.flatnonzero((tweets["author"] == self.author) & (tweets["kind"] != RETWEET)).astype(np.int32)
        count, limits = len(requests), requests.view.tweets_before(requests.now_h)
        assert (limits > mine.max(initial=0)).all()
        tweet = np.tile(mine, count)
        score = np.ones(tweet.size, np.float32)
        return CandidateBatch.of(requests, np.full(count, mine.size), tweet=tweet, source_score=score)


def _july(source: Source, value: Scorer, viewers: list[int]) -> Pages:
    """Pages of the mini world's viewers by July's heuristics, with one source and one ranker."""
    rules = [one for one in read_slots("twitter_2023")[2] if type(one.part).__module__.startswith("heuristics.")]
    rules = [one for one in rules if not isinstance(one.part, Mixer)]
    first = next(place for place, one in enumerate(rules) if one.part.kind == "boost")
    stages: list[Slot] = [slot(source, "source"), *rules[:first], slot(value, "value_of_all"), *rules[first:]]
    return funnel_of(stages).run(viewers)


EVERYBODY = list(range(30))


def test_without_candidates_every_stage_sees_an_empty_page() -> None:
    pages = _july(Nothing(), Same(), EVERYBODY)
    assert [len(page) for page in pages] == [0] * 30
    assert all(stage.n_in == stage.n_out == 0 for stage in pages.stages)


def test_of_one_author_strangers_see_one_tweet_and_followers_discounted_ones() -> None:
    follows = mini_world().table("follows")
    author = int(np.bincount(follows["followee"]).argmax())
    followers = set(follows["follower"][follows["followee"] == author].tolist())
    pages = _july(OneAuthor(author=author), Same(), [viewer for viewer in EVERYBODY if viewer != author])
    assert any(len(page) > 1 for page in pages)
    for page in pages:
        if page.viewer not in followers:
            assert len(page) <= 1
        # Of equal values each has a rank of its own among the author's: 0.75 · 0.5^k + 0.25, every k at most once.
        factors = [round(float(row["boosts"]["author_diversity"]), 6) for row in page]  # type: ignore[index]
        assert set(factors) <= {round(0.75 * 0.5**k + 0.25, 6) for k in range(20)}
        assert len(set(factors)) == len(factors)


def test_where_everybody_is_a_stranger_the_page_is_in_order_of_scores() -> None:
    follows = mini_world().table("follows")
    alone = sorted(set(EVERYBODY) - set(follows["follower"].tolist()))
    assert alone, "the mini world has somebody who follows nobody"
    pages = _july(Lottery(count=200), Same(), alone)
    for page in pages:
        scores = [row["score"] for row in page]
        assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]


def test_ties_everywhere_are_broken_by_the_smaller_tweet() -> None:
    pages = _july(Lottery(count=200), Same(), EVERYBODY)
    shown = 0
    for page in pages:
        for inside in (True, False):  # debunching keeps the order of either
            rows = [(-float(row["score"]), int(row["tweet"])) for row in page if row["in_network"] == inside]  # type: ignore[call-overload, arg-type]
            assert rows == sorted(rows)
            shown += len(rows)
    assert shown > 50


def test_values_below_epsilon_stay_there_whatever_the_boosts() -> None:
    # The worst sum is -N and becomes 0; nothing below 0 gets over 4.4 · 0.001 by blue and creator's factors.
    assert sum(weight for weight in PRESETS["april_2023"].values() if weight < 0) == -443.0
    for value in (0.0, 0.0009):
        for page in _july(Lottery(count=100), Same(value=value), EVERYBODY):
            assert all(0.0 <= float(row["score"]) <= 4.4001 * value for row in page)  # type: ignore[arg-type]

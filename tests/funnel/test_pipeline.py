"""The runner refuses what cannot work and reports what should not be silent."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic.dataclasses import dataclass

from funnel.compose import Slot
from funnel.core.arrays import Bools, Floats, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, ContractError, FunnelWarning
from funnel.core.stage import STRICT, Boost, Filter, Scorer, Selector, Source
from heuristics.boosts.replies import Replies
from heuristics.filters.too_old import TooOld
from heuristics.selectors.top_k import TopK
from tests.laws.funnels import Lottery, Nothing, Taste, funnel_of, slot
from tests.support import one_request

LOTTERY = slot(Lottery(), "lottery")
TASTE = slot(Taste(), "taste")
TOP = slot(TopK())


@dataclass(config=STRICT, kw_only=True)
class Refuses(Filter):
    """Lets nothing through."""

    def keep(self, batch: CandidateBatch) -> Bools:
        return np.zeros(len(batch), np.bool_)


@dataclass(config=STRICT, kw_only=True)
class Broken(Scorer):
    """Breaks the contract in a chosen way."""

    adds = ("value",)
    way: str = "nan"

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        n = len(batch)
        return {
            "nan": {"value": np.full(n, np.nan, np.float32)},
            "negative": {"value": np.full(n, -1, np.float32)},
            "dtype": {"value": np.ones(n)},
            "shape": {"value": np.ones(n + 1, np.float32)},
            "name": {"worth": np.ones(n, np.float32)},
        }[self.way]


@dataclass(config=STRICT, kw_only=True)
class Zero(Boost):
    """A factor that no boost may have."""

    def factor(self, batch: CandidateBatch) -> Floats:
        return np.zeros(len(batch), np.float32)


@dataclass(config=STRICT, kw_only=True)
class Twice(Selector):
    """Returns its first row twice."""

    def order(self, batch: CandidateBatch) -> Longs:
        return np.zeros(2, np.int64)


@dataclass(config=STRICT, kw_only=True)
class Clairvoyant(Source):
    """Retrieves a tweet of the future."""

    def retrieve(self, requests: Requests) -> CandidateBatch:
        tweet = requests.view.tweets_before(requests.now_h).astype(np.int32)
        return CandidateBatch.of(
            requests, np.ones(len(requests)), tweet=tweet, source_score=np.ones(tweet.size, np.float32)
        )


def bad(part: Scorer | Boost | Selector | Source | Filter) -> Slot:
    return slot(part, "bad")


@pytest.mark.parametrize(
    ("stages", "complaint"),
    [
        ([TASTE, TOP], "has no source"),
        ([LOTTERY, TASTE], "has no selector"),
        ([LOTTERY, TOP], "must come after the stage that adds `value`"),
        ([LOTTERY, slot(Replies()), TASTE, TOP], "must come after the stage that adds `value`"),
        ([LOTTERY, TASTE, LOTTERY, TOP], "must come before everything"),
        ([LOTTERY, TASTE, TOP, slot(Replies())], "before the first selector"),
        ([LOTTERY, TASTE, slot(Taste(), "taste2"), TOP], "there already"),
    ],
)
def test_an_order_of_stages_that_cannot_work_is_refused_before_running(stages: list[Slot], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        funnel_of(stages)


@pytest.mark.parametrize("way", ["nan", "negative", "dtype", "shape", "name"])
def test_a_scorer_that_breaks_its_contract_is_named(way: str) -> None:
    with pytest.raises(ContractError, match="bad"):
        funnel_of([LOTTERY, bad(Broken(way=way)), TOP]).run([1])


def test_a_boost_of_zero_a_double_row_and_a_future_tweet_break_the_contract() -> None:
    with pytest.raises(ContractError, match="above 0"):
        funnel_of([LOTTERY, TASTE, bad(Zero()), TOP]).run([1])
    with pytest.raises(ContractError, match="twice"):
        funnel_of([LOTTERY, TASTE, bad(Twice())]).run([1])
    with pytest.raises(ContractError, match="does not exist yet"):
        funnel_of([bad(Clairvoyant()), TASTE, TOP]).run([1], at_h=10)


def test_a_stage_that_lets_nothing_through_is_a_loud_warning() -> None:
    with pytest.warns(FunnelWarning, match="'bad' let nothing through: 60 candidates in"):
        pages = funnel_of([LOTTERY, bad(Refuses()), TASTE, TOP]).run([1, 2, 3])
    assert [len(page) for page in pages] == [0, 0, 0]


class Gated(Nothing):
    gated = True


def test_a_source_that_finds_nothing_is_a_loud_warning() -> None:
    with pytest.warns(FunnelWarning, match="source 'nothing' found nothing"):
        funnel_of([LOTTERY, slot(Nothing(), "nothing"), TASTE, TOP]).run([1])
    assert not funnel_of([LOTTERY, slot(Gated(), "nothing"), TASTE, TOP]).run([1]).warnings


def test_a_source_may_fail_open_and_the_trace_says_so() -> None:
    lost = Slot("lost", "lost", Clairvoyant(), on_error="skip")
    with pytest.warns(FunnelWarning, match="'lost' failed and was skipped"):
        pages = funnel_of([LOTTERY, lost, TASTE, TOP]).run([1], at_h=10)
    assert len(pages[0]) > 0
    assert any("skipped" in text for text in pages.warnings)


@pytest.mark.parametrize("viewer", [-1, 30, 10**12])
def test_an_unknown_viewer_is_refused(viewer: int) -> None:
    with pytest.raises(ConfigError, match="viewers 0 … 29"):
        funnel_of([LOTTERY, TASTE, TOP]).run([viewer])


@pytest.mark.parametrize("moment", [-1.0, 48.5, float("nan")])
def test_a_moment_outside_the_world_is_refused(moment: float) -> None:
    with pytest.raises(ConfigError, match="runs from 0 to 48 h"):
        funnel_of([LOTTERY, TASTE, TOP]).run([1], at_h=moment)


def test_a_page_as_json_has_the_published_layout() -> None:
    page = funnel_of([LOTTERY, slot(TooOld()), TASTE, slot(Replies()), slot(TopK(size=3))]).run([1], seed=5)[0]
    found = json.loads(json.dumps(page.as_json()))
    assert {"viewer", "at", "world", "funnel", "seed", "stages", "page", "removed"} <= set(found)
    assert set(found["stages"][0]) == {"stage", "kind", "n_in", "n_out", "wall_ms"}
    assert [row["rank"] for row in found["page"]] == [1, 2, 3]
    for row in found["page"]:
        assert {"tweet", "author", "text", "age_h", "sources", "p", "value", "boosts", "score"} <= set(row)
        assert row["boosts"] == {"replies": row["boosts"]["replies"]}
    assert sum(found["removed"].values()) == 20 - 3


def test_no_requests_give_no_pages() -> None:
    pages = funnel_of([LOTTERY, TASTE, TOP]).run([])
    assert len(pages) == 0
    assert pages.warnings == []


def test_a_request_alone_says_of_removed_candidates_what_it_says_in_a_micro_batch() -> None:
    funnel = funnel_of([LOTTERY, slot(TooOld(max_age_h=12.0)), TASTE, slot(Replies()), TOP])
    viewers = np.arange(4)
    [together], alone = funnel.run(viewers).traces, funnel.run(viewers, micro_batch=1).traces
    for viewer, one in enumerate(alone):
        parts = [one_request(batch, viewer) for _, batch in together.snapshots]
        assert [len(part) for part in parts] == [len(batch) for _, batch in one.snapshots]
        for part, (_, batch) in zip(parts, one.snapshots, strict=True):
            assert len(batch)
            assert all(part[name].tobytes() == batch[name].tobytes() for name in batch.names)

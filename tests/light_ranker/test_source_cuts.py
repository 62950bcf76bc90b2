"""Cuts by source: a candidate stays if one of its pools keeps it, and the trace says where it stood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from funnel.compose import load_funnel
from funnel.core.batch import CandidateBatch
from funnel.explain import explain, words
from funnel.pipeline import Funnel
from light_ranker.source_cuts import SourceCuts
from tests.support import QUICK, batches, fake_batch, shuffled_rows

FOUND = ("from.in_network", "from.uteg", "from.twhin_ann")


def plainly(batch: CandidateBatch, cuts: dict[str, int]) -> list[bool]:
    """Sort each pool and look the candidate up."""
    stays = [False] * len(batch)
    for r in range(len(batch.requests)):
        rows = range(int(batch.offsets[r]), int(batch.offsets[r + 1]))
        cut = {name for pool in cuts for name in pool.split("+")}
        for row in rows:
            sources = {name[5:] for name in FOUND if batch[name][row]}
            stays[row] = "*" not in cuts and (not sources or bool(sources - cut))
        for pool, limit in cuts.items():
            inside = [row for row in rows if pool == "*" or any(batch[f"from.{s}"][row] for s in pool.split("+"))]
            inside.sort(key=lambda row: (-batch["light_score"][row], batch["tweet"][row]))
            for row in inside[:limit]:
                stays[row] = True
    return stays


@given(
    batch=batches(bools=FOUND, scores=("light_score",)),
    cuts=st.sampled_from(
        [{"in_network": 3}, {"in_network": 2, "uteg": 4}, {"in_network+uteg": 5, "twhin_ann": 1}, {"*": 4}]
    ),
)
def test_a_candidate_stays_if_one_of_its_sources_keeps_it(batch: CandidateBatch, cuts: dict[str, int]) -> None:
    assert SourceCuts(cuts=cuts).keep(batch).tolist() == plainly(batch, cuts)


@given(batch=batches(bools=FOUND, scores=("light_score",)))
def test_a_wider_cut_keeps_all_that_a_narrower_one_keeps(batch: CandidateBatch) -> None:
    narrow = SourceCuts(cuts={"in_network": 2, "uteg": 2, "twhin_ann": 2}).keep(batch)
    wide = SourceCuts(cuts={"in_network": 3, "uteg": 5, "twhin_ann": 2}).keep(batch)
    assert not (narrow & ~wide).any()


@given(batch=batches(bools=FOUND, scores=("light_score",)))
def test_the_order_of_rows_does_not_matter(batch: CandidateBatch) -> None:
    rows = shuffled_rows(batch)
    cuts = SourceCuts(cuts={"in_network": 2, "uteg": 3})
    np.testing.assert_array_equal(cuts.keep(batch.take(rows)), cuts.keep(batch)[rows])


def test_uteg_is_cut_by_the_published_sum() -> None:
    batch = fake_batch([3], tweet=[1, 2, 3], light_score=[0.01, 0.02, 0.03])
    batch = batch.with_columns(
        {"from.uteg": np.ones(3, np.bool_), "source_score.uteg": np.array([5.0, 1.0, 2.5], np.float32)}
    )
    # Sums 5 + 1, 1 + 2 and 2.5 + 3: the first and the third stay; by light score alone the second and the third would.
    assert SourceCuts(cuts={"uteg": 2}, plus_source={"uteg": 1.0}).keep(batch).tolist() == [True, False, True]
    assert SourceCuts(cuts={"uteg": 2}).keep(batch).tolist() == [False, True, True]


def test_a_source_that_the_funnel_lacks_cuts_nobody() -> None:
    batch = fake_batch([4], tweet=[1, 2, 3, 4], light_score=[0.4, 0.3, 0.2, 0.1])
    assert SourceCuts().keep(batch).all()
    assert SourceCuts(cuts={"frs+lists": 1}).keep(batch).all()


@pytest.mark.parametrize("wrong", [{"cuts": {"uteg": 0}}, {"by": "score"}, {"plus_source": {"uteg": 21.0}}])
def test_a_cut_below_one_or_by_an_unknown_score_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SourceCuts(**wrong)


def test_explain_says_where_a_cut_tweet_stood(trained: Funnel) -> None:
    narrow = ("source_cuts.cuts.in_network=30", "source_cuts.cuts.uteg=10")
    funnel = load_funnel("twitter_2023", trained.world, settings=(*QUICK, *narrow))
    pages = funnel.run([7])
    gone = pages.candidates().filter(pages.candidates()["removed_by"] == "source_cuts")
    assert {"light_score", "source_score.in_network"} <= set(gone.columns)
    assert gone["light_score"].null_count() == 0
    said = explain(funnel, pages, 7, int(gone["tweet"][0]))
    assert said["removed_by"] == "source_cuts"
    assert said["saw"] == {"light_score": pytest.approx(float(gone["light_score"][0]))}
    for fact in said["cuts"]:
        assert fact["kept"] < fact["place"] <= fact["found"]
    first = said["cuts"][0]
    line = f"  {first['pool']}: place {first['place']:,} of {first['found']:,}; {first['kept']:,} come through."
    assert line in words(said)

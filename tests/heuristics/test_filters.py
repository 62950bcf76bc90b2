"""Filters remove what their rule says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from funnel.core.batch import CandidateBatch
from funnel.core.stage import Filter
from heuristics.filters.already_seen import AlreadySeen
from heuristics.filters.blocked_authors import BlockedAuthors
from heuristics.filters.hidden_authors import HiddenAuthors
from heuristics.filters.muted_authors import MutedAuthors
from heuristics.filters.muted_keywords import MutedKeywords
from heuristics.filters.own_tweets import OwnTweets
from heuristics.filters.retweet_duplicates import RetweetDuplicates
from heuristics.filters.too_old import TooOld
from tests.support import batches, fake_batch

FLAGS: list[tuple[Filter, tuple[str, ...]]] = [
    (OwnTweets(), ("is_own",)),
    (AlreadySeen(), ("seen",)),
    (BlockedAuthors(), ("blocked",)),
    (MutedAuthors(), ("muted",)),
    (MutedKeywords(), ("muted_keyword",)),
    (HiddenAuthors(), ("protected_hidden", "author_suspended")),
]


@pytest.mark.parametrize(("stage", "flags"), FLAGS, ids=lambda value: value.name if isinstance(value, Filter) else "")
@given(
    batch=batches(bools=("is_own", "seen", "blocked", "muted", "muted_keyword", "protected_hidden", "author_suspended"))
)
def test_a_candidate_stays_exactly_if_no_flag_is_raised(
    stage: Filter, flags: tuple[str, ...], batch: CandidateBatch
) -> None:
    raised = np.any([batch[name] for name in flags], axis=0)
    assert np.array_equal(stage.keep(batch), ~raised)


def test_a_tweet_of_exactly_the_greatest_age_stays() -> None:
    batch = fake_batch([3], age_h=[0.5, 48.0, 48.5])
    assert TooOld().keep(batch).tolist() == [True, True, False]
    assert TooOld(max_age_h=24.0).keep(batch).tolist() == [True, False, False]


def test_a_retweet_goes_if_its_original_is_a_candidate_of_the_same_request() -> None:
    # Request 0: tweet 5 and its retweet 9; request 1: the retweet alone, so it stays.
    batch = fake_batch([2, 1], tweet=[9, 5, 9], original=[5, 5, 5], is_retweet=[True, False, True])
    assert RetweetDuplicates().keep(batch).tolist() == [False, True, True]


def test_of_several_retweets_of_one_original_the_earliest_stays() -> None:
    # 7, 8 and 9 retweet 5; 6 retweets 4. The smallest id of each original stays: 7 and 6.
    batch = fake_batch([4], tweet=[9, 7, 6, 8], original=[5, 5, 4, 5], is_retweet=[True] * 4)
    assert RetweetDuplicates().keep(batch).tolist() == [False, True, True, False]


@given(batch=batches(bools=("is_retweet",)))
def test_after_retweet_deduplication_every_original_is_there_once_and_none_is_lost(batch: CandidateBatch) -> None:
    # Originals that are no later than the retweet, few so that they repeat; tweets of the world are drawn at random.
    original = np.where(batch["is_retweet"], batch["tweet"] // 40, batch["tweet"]).astype(np.int32)
    batch = batch.with_columns({"original": original, "is_retweet": batch["is_retweet"] & (original < batch["tweet"])})
    keep = RetweetDuplicates().keep(batch)
    assert bool(keep[~batch["is_retweet"]].all())
    before = list(zip(batch.request.tolist(), original.tolist(), strict=True))
    after = [pair for pair, kept in zip(before, keep.tolist(), strict=True) if kept]
    assert len(after) == len(set(after))
    assert set(after) == set(before)

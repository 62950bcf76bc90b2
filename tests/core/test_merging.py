"""Merging the lists of sources: each tweet once, all provenance kept."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.kernels.merging import merge_lists

# Per request and source: the tweets that the source found, each once.
FOUND = st.lists(st.lists(st.sets(st.integers(0, 15), max_size=8), min_size=3, max_size=3), max_size=4)


@given(found=FOUND)
def test_every_tweet_stands_once_with_the_score_of_each_source_that_found_it(found: list[list[set[int]]]) -> None:
    rows = [
        (request, tweet, source)
        for request, lists in enumerate(found)
        for source, tweets in enumerate(lists)
        for tweet in tweets
    ]
    counts = np.bincount([request for request, _, _ in rows], minlength=len(found))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    tweet = np.array([tweet for _, tweet, _ in rows], np.int32)
    source = np.array([source for _, _, source in rows], np.int32)
    score = (tweet + 100 * source).astype(np.float32)
    out_offsets, out_tweet, out_score = merge_lists(offsets, tweet, source, score, 3)
    assert out_score.dtype == np.float32
    for request, lists in enumerate(found):
        here = slice(int(out_offsets[request]), int(out_offsets[request + 1]))
        union = sorted(set().union(*lists))
        assert out_tweet[here].tolist() == union
        for place, found_tweet in enumerate(union):
            expected = [found_tweet + 100.0 * s if found_tweet in lists[s] else np.nan for s in range(3)]
            np.testing.assert_array_equal(out_score[here][place], np.array(expected, np.float32))
    assert int(out_offsets[-1]) == out_tweet.size == out_score.shape[0]

"""How fast the search index is fed and searched, beside what the machine could do.

    python -m bench.index [--users 1000000] [--tweets 5000000] [--viewers 2048] [--json]

Makes accounts and the tweets of one day directly, without a world: authors by a power law, viewers with 200 follows
drawn by fame. Feeds the index in batches of 4,096 tweets, as they come, then searches it in micro-batches with every
rule, and once more with no limit but the best 600 (gather and top 600). One core, processor time; the ceilings of
`bench.ceilings` are taken in the same run, and a search's reads of an author's postings are compared with independent
random reads.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from time import process_time

import numpy as np

from bench.ceilings import ceilings, machine
from candidates.earlybird.context import SearchContext
from candidates.earlybird.index import EarlybirdIndex, HitRules
from candidates.earlybird.kernels import ANSWERS, ANSWERS_ROOT, PLAIN, RETWEETS
from funnel.core.arrays import Array, Longs
from funnel.core.rng import stream
from funnel.core.segments import top_k
from funnel.pipeline import MICRO_BATCH
from funnel.report import console, fields

FOLLOWS = 200
WINDOW_H = 24.0
FAME = 1.25  # exponent of the power laws of writing and being followed: about 1,060 tweets of the day a viewer
FEED = 4_096
BEST = 600
SEEN = 300  # impressions of a viewer that are left out
PUBLISHED = HitRules(
    per_author=3, in_a_row=2, hits=1000, retweets=5, extended=True, age_slope=0.003, age_middle_min=360.0, age_base=0.6
)
NO_LIMIT = 1 << 30
GATHER = replace(PUBLISHED, per_author=NO_LIMIT, in_a_row=NO_LIMIT, hits=NO_LIMIT, retweets=NO_LIMIT)
GOALS = {"searches": 10_000, "ingest": 500_000}


def measure(users: int, tweets: int, viewers: int) -> dict[str, object]:
    """All figures, by name."""
    columns = _tweets(users, tweets)
    _fed(100, _tweets(100, 1000))  # compiles
    began = process_time()
    index = _fed(users, columns)
    fed = process_time() - began
    searches = [_context(users, columns, first) for first in range(0, viewers, MICRO_BATCH)]
    hits = np.concatenate([np.diff(index.collect(context).rows).sum(axis=0) for context in searches])
    limits = ceilings()
    plain = [
        replace(context, excluded=context.excluded[:0], excluded_offsets=np.zeros_like(context.excluded_offsets))
        for context in searches
    ]
    published = viewers / _seconds(lambda: _search(index, searches, PUBLISHED))
    gathered = viewers / _seconds(lambda: _search(index, plain, GATHER))
    collected = viewers / _seconds(lambda: [index.collect(context) for context in plain])
    reads = 2 * FOLLOWS * len(index.segments)
    return {
        "machine": machine(),
        "ceilings": limits,
        "users": users,
        "tweets": tweets,
        "segments": len(index.segments),
        "tweets_of_followees": float(hits.mean()),
        "ingest_tweets_per_s": tweets / fed,
        "searches_per_s": published,
        "gather_and_top_600_per_s": gathered,
        "gather_alone_per_s": collected,
        "tweets_read_m_s": gathered * float(hits.mean()) / 1e6,
        # Each author in each segment costs a read of the offsets and one of the postings that no cache holds.
        "reads_over_ceiling": reads * collected / 1e6 / limits["random_reads_m_s"],
        "over_goal": {
            "gather_and_top_600": gathered / GOALS["searches"],
            "all_rules": published / GOALS["searches"],
            "ingest": tweets / fed / GOALS["ingest"],
        },
    }


def _fed(users: int, columns: dict[str, Array]) -> EarlybirdIndex:
    """An index that got the tweets as they came."""
    index = EarlybirdIndex(user_count=users, keep_h=WINDOW_H)
    for first in range(0, columns["time_h"].size, FEED):
        index.ingest({name: values[first : first + FEED] for name, values in columns.items()}, first=first)
    return index


def _tweets(users: int, tweets: int) -> dict[str, Array]:
    """Tweets of a day: authors by a power law, four in ten retweets or replies of any other tweet."""
    draw = stream(0, "bench index tweets")
    author = (users * draw.random(tweets) ** FAME).astype(np.int32)
    rule = draw.choice(4, tweets, p=[0.6, 0.2, 0.12, 0.08]).astype(np.int8)
    assert (PLAIN, RETWEETS, ANSWERS_ROOT, ANSWERS) == (0, 1, 2, 3)
    source = (np.arange(tweets) * draw.random(tweets)).astype(np.int32)
    reference = np.where(rule == RETWEETS, source, np.where(rule == PLAIN, -1, author[source])).astype(np.int32)
    time_h = np.sort(draw.random(tweets)) * WINDOW_H
    return {"author": author, "time_h": time_h, "rule": rule, "reference": reference}


def _context(users: int, columns: dict[str, Array], number: int) -> SearchContext:
    """A micro-batch of searches of the last day by viewers with FOLLOWS follows each."""
    draw = stream(number, "bench index viewers")
    size = MICRO_BATCH
    follows = [np.unique((users * draw.random(FOLLOWS) ** FAME).astype(np.int32)) for _ in range(size)]
    now_h, tweets = np.full(size, WINDOW_H), columns["time_h"].size
    none = np.zeros(size + 1, np.int64)
    return SearchContext(
        viewer=np.full(size, -1, np.int32),
        now_h=now_h,
        since_h=now_h - WINDOW_H,
        until_h=now_h - 15.0 / 3600.0,
        offsets=_offsets([part.size for part in follows]),
        author=np.concatenate(follows),
        followed_h=np.zeros(sum(part.size for part in follows)),
        excluded_offsets=_offsets([SEEN] * size),
        excluded=draw.integers(tweets // 2, tweets, SEEN * size).astype(np.int32),
        muted_offsets=none,
        muted=np.empty(0, np.int32),
    )


def _offsets(sizes: list[int]) -> Longs:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _search(index: EarlybirdIndex, searches: list[SearchContext], rules: HitRules) -> None:
    """The best 600 of each search."""
    for context in searches:
        hits = index.collect(context)
        # Weights as RealGraph's scores would give them: from 1 to 2.97, by lot.
        weight = (1.0 + 1.97 * (context.author * 0.6180339887 % 1.0)).astype(np.float32)
        counts, tweet, score = hits.accepted(weight, rules)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        kept = top_k(offsets, score, tweet, BEST)
        assert int(kept.sum()) == int(np.minimum(counts, BEST).sum())


def _seconds(work: Callable[[], object]) -> float:
    """Processor seconds of the quickest of three rounds, after one to warm up."""
    work()
    took = []
    for _ in range(3):
        began = process_time()
        work()
        took.append(process_time() - began)
    return min(took)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of the search index beside the machine's ceilings.")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--tweets", type=int, default=5_000_000)
    parser.add_argument("--viewers", type=int, default=2_048)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    figures = measure(asked.users, asked.tweets, -(-asked.viewers // MICRO_BATCH) * MICRO_BATCH)
    if asked.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    console().print(fields(figures, title="The search index, one core"))


if __name__ == "__main__":
    main()

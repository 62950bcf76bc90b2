"""Vectors that a network reads whole: viewer, author and tweet in the space of the follow relation.

The published network takes three TwHIN embeddings, of the user by follows and by engagements and of the author by
follows (twitter/the-algorithm-ml, projects/home/recap/config/local_prod.yaml). Vectors of engagements know the labels
that a ranker learns from, so in the place of the second stands the tweet's own, made of those who liked it: inductive,
in the space of follows, and as of the request.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.kernels import kernel
from funnel.features.kernels import newest_before
from funnel.features.registry import FEATURES, SNAPSHOT, feature

GROUP = "embedding"
LIKERS = 20  # the newest, as many as `twhin.likers_similarity` compares


@feature("twhin.viewer_vector", unit="vector", group=GROUP, rule=SNAPSHOT, requires=("twhin.user_follow",))
def viewer_vector(batch: CandidateBatch) -> Floats:
    """The viewer as a follower, of length 1, or 0 for whoever follows nobody."""
    vectors: Floats = batch.requests.view.asset("twhin.user_follow")[batch.viewer]
    return vectors


@feature(
    "twhin.author_vector",
    unit="vector",
    group=GROUP,
    rule=SNAPSHOT,
    needs=("original_author",),
    requires=("twhin.author_follow",),
)
def author_vector(batch: CandidateBatch) -> Floats:
    """The (original) author as one who is followed, of length 1, or 0 for whoever has no follower."""
    vectors: Floats = batch.requests.view.asset("twhin.author_follow")[batch["original_author"]]
    return vectors


@feature(
    "twhin.tweet_vector",
    unit="vector",
    group=GROUP,
    rule=SNAPSHOT + " for the vectors, favourites strictly before the request",
    needs=("original",),
    requires=("twhin.user_follow",),
)
def tweet_vector(batch: CandidateBatch) -> Floats:
    """Mean vector of the tweet's latest 20 likers but the viewer, 0 if there are none."""
    view = batch.requests.view
    liked = view.events("favorite", by="tweet")
    return mean_of_latest(
        liked.offsets,
        liked.time_h,
        liked.row,
        view.engagements["viewer"],
        view.asset("twhin.user_follow"),
        batch.viewer,
        batch["original"],
        batch.now_h,
        LIKERS,
    )


def embedding_features() -> tuple[str, ...]:
    """The sorted names of all vectors: float32 [n, d], finite."""
    return tuple(sorted(name for name, declared in FEATURES.items() if declared.group == GROUP))


@kernel
def mean_of_latest(
    offsets: Longs,
    times: Doubles,
    rows: Ints,
    user_of_row: Ints,
    vectors: Floats,
    viewer: Ints,
    group: Ints,
    now: Doubles,
    newest: int,
) -> Floats:
    """float32 [n, d]: mean vector of the users of the `newest` events of group[i] before now[i], without viewer[i]."""
    out = np.zeros((group.size, vectors.shape[1]), np.float32)
    for i in range(group.size):
        begin = offsets[group[i]]
        e = newest_before(times, begin, offsets[group[i] + 1], now[i]) - 1
        found = 0
        while e >= begin and found < newest:
            user = user_of_row[rows[e]]
            if user != viewer[i]:
                found += 1
                for d in range(vectors.shape[1]):
                    out[i, d] += vectors[user, d]
            e -= 1
        if found > 0:
            out[i] /= np.float32(found)
    return out

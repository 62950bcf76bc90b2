"""How near a tweet lies to the viewer: in communities, in the follow graph, in language.

The embeddings are learnt from the follow graph alone, so that no engagement of the kind that the
rankers predict leaks into what they see.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch
from funnel.features.kernels import favorited_by, interest_in, row_dots, two_hop_counts
from funnel.features.registry import SNAPSHOT, feature

# Social proof looks at the latest likers of a tweet, and likeness to likers at the latest twenty.
PROOF_LIKERS, COMPARED_LIKERS = 50, 20
# Graph-feature-service keeps the top 512 out-neighbours of a user; we walk as many followees.
FIRST_HOPS = 512


@feature(
    "simclusters.similarity",
    unit="weight",
    group="similarity",
    rule=SNAPSHOT,
    needs=("original_author",),
    requires=("simclusters.known_for", "simclusters.interested_in", "simclusters.interest"),
)
def simclusters_similarity(batch: CandidateBatch) -> Floats:
    """The viewer's interest in the community that the (original) author is known for."""
    view = batch.requests.view
    cluster = view.asset("simclusters.known_for")[batch["original_author"]]
    interested_in, interest = view.asset("simclusters.interested_in"), view.asset("simclusters.interest")
    return interest_in(interested_in, interest, batch.viewer, cluster)


@feature(
    "twhin.follow_dot",
    unit="cosine",
    group="similarity",
    rule=SNAPSHOT,
    needs=("original_author",),
    requires=("twhin.user_follow", "twhin.author_follow"),
)
def follow_dot(batch: CandidateBatch) -> Floats:
    """Viewer's and (original) author's vectors of the follow relation, multiplied."""
    view = batch.requests.view
    users, authors = view.asset("twhin.user_follow"), view.asset("twhin.author_follow")
    return row_dots(users, authors, batch.viewer, batch["original_author"])


@feature(
    "internal.likers",
    unit="mixed",
    group="internal",
    rule=SNAPSHOT + " for the vectors, favourites strictly before the request",
    needs=("original",),
    requires=("twhin.user_follow",),
)
def likers(batch: CandidateBatch) -> Floats:
    """The tweet's latest likers: how many the viewer follows, and their mean likeness to the viewer."""
    view = batch.requests.view
    liked = view.events("favorite", by="tweet")
    graph = view.following
    return favorited_by(
        liked.offsets,
        liked.time_h,
        liked.row,
        view.engagements["viewer"],
        graph.offsets,
        graph.targets,
        graph.time_h,
        view.asset("twhin.user_follow"),
        batch.viewer,
        batch["original"],
        batch.now_h,
        PROOF_LIKERS,
        COMPARED_LIKERS,
    )


@feature("social_proof.favorited_by", unit="count", group="similarity", needs=("internal.likers",))
def social_proof(batch: CandidateBatch) -> Array:
    """How many of the tweet's latest 50 likers the viewer follows."""
    return batch["internal.likers"][:, 0]


@feature("twhin.likers_similarity", unit="cosine", group="similarity", needs=("internal.likers",))
def likers_similarity(batch: CandidateBatch) -> Array:
    """Mean likeness of the viewer to the tweet's latest 20 likers, by vectors of the follow relation."""
    return batch["internal.likers"][:, 1]


@feature("two_hop.followed_by", unit="count", group="similarity", needs=("author",))
def two_hop(batch: CandidateBatch) -> Floats:
    """How many of the viewer's followees follow the author."""
    graph, asked = batch.requests.view.following, batch.requests
    edges = (graph.offsets, graph.targets, graph.time_h)
    return two_hop_counts(batch.offsets, asked.viewer, asked.now_h, batch["author"], *edges, FIRST_HOPS)


@feature("language.match", unit="flag", group="similarity", needs=("original",))
def language_match(batch: CandidateBatch) -> Array:
    """The tweet is in the viewer's language."""
    view = batch.requests.view
    return np.equal(view.tweets["language"][batch["original"]], view.users["language"][batch.viewer])

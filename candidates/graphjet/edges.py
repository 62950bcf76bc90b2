"""Types of edges, and how an edge's node and type share one whole number.

Codes: twitter/the-algorithm, recos-injector/…/edges/ and GraphJet's use of them: Click 0, Favorite 1, Retweet 2,
Reply 3, Tweet 4, IsMentioned 5, IsMediatagged 6, Quote 7, Unfavorite 8. The node is in the low 28 bits and the type in
the 4 bits above it, as in UTEG (user_tweet_entity_graph, RecosConfig and its edge type mask).
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Ints

CLICK, FAVORITE, RETWEET, REPLY, TWEET, IS_MENTIONED, IS_MEDIATAGGED, QUOTE, UNFAVORITE = range(9)
EDGE_TYPES: tuple[str, ...] = (
    "click",
    "favorite",
    "retweet",
    "reply",
    "tweet",
    "is_mentioned",
    "is_mediatagged",
    "quote",
    "unfavorite",
)
EDGE_CODE: dict[str, int] = {name: code for code, name in enumerate(EDGE_TYPES)}
NODE_BITS = 28
MAX_NODES = 1 << NODE_BITS
NODE_MASK = MAX_NODES - 1


def pack(node: Array, kind: Array) -> Ints:
    """int32 [n]: node (< 2^28) and type (< 16) in one number; the sign bit is the type's highest."""
    return (node.astype(np.uint32) | (kind.astype(np.uint32) << np.uint32(NODE_BITS))).view(np.int32)


def node_of(packed: Ints) -> Ints:
    """int32 [n]: the nodes."""
    return packed & np.int32(NODE_MASK)


def kind_of(packed: Ints) -> Ints:
    """int32 [n]: the types."""
    return (packed.view(np.uint32) >> np.uint32(NODE_BITS)).astype(np.int32)


def kinds_mask(kinds: tuple[str, ...]) -> int:
    """A bit for each type."""
    return sum(1 << EDGE_CODE[kind] for kind in kinds)

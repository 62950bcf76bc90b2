"""The store of a world: its public engagements as edges, made once for all views and moments.

Engaging with a retweet is engaging with the tweet it carries; a quote is an edge to what it quotes
(twitter/the-algorithm, recos-injector/…/edges/TweetEventToUserTweetEntityGraphBuilder.scala). The other edges of that
file (an author's own tweet, mentions, photo tags) change nothing where tweets by followed authors are left out, or are
not logged by our worlds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from candidates.graphjet import edges
from candidates.graphjet.store import BipartiteStore
from funnel.core import tables
from funnel.core.actions import ACTION_CODE, PUBLIC_ACTIONS
from funnel.core.arrays import Array, Doubles, Ints
from funnel.core.world import PlatformView

# What the edges of a world can be.
WORLD_EDGES: tuple[str, ...] = ("favorite", "retweet", "reply", "quote")
_SEGMENT = 1 << 22  # edges of a segment at most: 42 MB of them


@dataclass(frozen=True)
class WorldEdges:
    """A world's store and the rows of its tables that are in it."""

    store: BipartiteStore
    engagements: int
    tweets: int


def world_store(view: PlatformView) -> BipartiteStore:
    """Every public engagement of the world, whenever it is; read it at the request's moment and no later."""
    return view.shared("graphjet", _build).store


def _build(view: PlatformView, before: WorldEdges | None) -> WorldEdges:
    """From all of a world, or from the store of the world that it grew from."""
    users, tweets, logged = view.user_count, int(view.tweets["author"].size), int(view.engagements["tweet"].size)
    if before is not None:
        store = before.store.grown(users=users, tweets=tweets)
        store.ingest(*_edges_of(view, before.engagements, before.tweets))
        return WorldEdges(store, logged, tweets)
    columns = _edges_of(view, 0, 0)
    total = int(columns[0].size)
    parts = max(1, -(-total // _SEGMENT))
    store = BipartiteStore(users=users, tweets=tweets, edges_per_segment=max(1024, -(-total // parts)))
    store.ingest(*columns)
    store.seal()
    return WorldEdges(store, logged, tweets)


def _edges_of(view: PlatformView, first_engagement: int, first_tweet: int) -> tuple[Ints, Ints, Array, Doubles]:
    """(user, tweet, type, time_h) in the order of time, from these rows of the tables on."""
    log = {name: view.engagements[name][first_engagement:] for name in ("viewer", "tweet", "action", "time_h")}
    tweets = view.tweets
    code = np.full(len(ACTION_CODE), -1, np.int8)
    for action in PUBLIC_ACTIONS:
        code[ACTION_CODE[action]] = edges.EDGE_CODE[action]
    rows = np.flatnonzero(code[log["action"]] >= 0)
    quotes = first_tweet + np.flatnonzero(tweets["kind"][first_tweet:] == tables.QUOTE)
    user = np.concatenate([log["viewer"][rows], tweets["author"][quotes]])
    tweet = np.concatenate([log["tweet"][rows], tweets["parent"][quotes]])
    carried = np.where(tweets["kind"][tweet] == tables.RETWEET, tweets["parent"][tweet], tweet)
    kind = np.concatenate([code[log["action"][rows]], np.full(quotes.size, edges.QUOTE, np.int8)])
    time_h = np.concatenate([log["time_h"][rows], tweets["time_h"][quotes]])
    known = np.flatnonzero(carried >= 0)
    order = known[np.argsort(time_h[known], kind="stable")]
    return user[order], carried[order], kind[order], time_h[order]

"""What is asked of retrieval on real data: viewers at a moment, what they will do afterwards, what they did before.

A task is one moment. Relevant is what a viewer engages with for the first time in the hours after it, out of what is
already there and by nobody whom they follow; of viewers who have done something before it, or whose follow list is
known. For accounts it is whom somebody engages with (or follows) for the first time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from candidates.retrieval import showable
from funnel.core.actions import ACTION_CODE, PUBLIC_ACTIONS
from funnel.core.arrays import Array, Ints, Longs
from funnel.core.events import Adjacency
from funnel.core.rng import stream
from funnel.core.tables import RETWEET
from funnel.core.world import Columns, PlatformView, WorldData
from funnel.world import World

MOST_VIEWERS = 1000  # of a task, drawn by lot
HELD_OUT = 0.1  # of the follow edges
LEAST_FOLLOWS = 20  # of somebody who is asked about


@dataclass(frozen=True, eq=False)  # a task is itself: caches go by identity
class Task:
    """One moment of one data set.

    viewer: int32 [R], ascending; known: float32 [U, I], how often each user had engaged with each item; relevant,
    hidden: bool [R, I] as sparse matrices: what is to be found, and what no model may answer; item: int32 [m], all that
    may be answered; view: what was to be seen at the moment; graph: for tasks about accounts, the edges there were.
    """

    name: str
    view: PlatformView
    viewer: Ints
    known: csr_matrix
    relevant: csr_matrix
    hidden: csr_matrix
    item: Ints
    graph: Adjacency | None = None


def engaged(log: Columns, tweets: Columns) -> tuple[Ints, Ints]:
    """(viewer, tweet) int32 [n] of public engagements with others' tweets; one with a retweet is with its original."""
    public = np.isin(log["action"], [ACTION_CODE[action] for action in PUBLIC_ACTIONS])
    viewer, tweet = log["viewer"][public], log["tweet"][public]
    tweet = np.where(tweets["kind"][tweet] == RETWEET, tweets["parent"][tweet], tweet)
    return viewer, tweet.astype(np.int32)


def tweet_task(
    world: World, now_h: float, horizon_h: float, *, viewers: int | None = None, authors: bool = True
) -> Task:
    """Tweets that somebody engages with in the hours after the moment.

    viewers: only the first few users, those whose follow lists are known, who may have done nothing before it.
    authors: whether whoever wrote a tweet counts as engaged with it before (a link's first tweeter).
    """
    view, whole = world.view(now_h), world.tables
    users, count = view.user_count, int(view.tweets["author"].size)
    who, what = engaged(view.engagements, view.tweets)
    if authors:
        original = np.flatnonzero(showable(view, 0, count)).astype(np.int32)
        who, what = np.concatenate([who, view.tweets["author"][original]]), np.concatenate([what, original])
    known = _counts(who, what, (users, count))
    log = whole.table("engagements")
    begin, end = np.searchsorted(log["time_h"], [now_h, now_h + horizon_h])
    later, found = engaged({name: log[name][begin:end] for name in log}, whole.table("tweets"))
    there = found < count
    later, found = later[there], found[there]
    item = np.flatnonzero(showable(view, 0, count)).astype(np.int32)
    graph = view.following
    follows = csr_matrix((np.ones(graph.targets.size, np.bool_), graph.targets, graph.offsets), shape=(users, users))
    inside = np.asarray(follows[later, view.tweets["author"][found]]).ravel() | (view.tweets["author"][found] == later)
    fresh = np.asarray(known[later, found]).ravel() == 0
    asked = np.diff(known.indptr)[later] > 0 if viewers is None else later < viewers
    kept = fresh & ~inside & asked & np.isin(found, item)
    viewer = _some(np.unique(later[kept]), f"viewers at {now_h}")
    row = _rows(viewer, later[kept])
    relevant = _marks(row[row >= 0], found[kept][row >= 0], (viewer.size, count))
    author = csr_matrix((np.ones(count, np.bool_), (view.tweets["author"], np.arange(count))), shape=(users, count))
    own = csr_matrix((np.ones(users, np.bool_), (np.arange(users), np.arange(users))), shape=(users, users))
    network = (follows + own)[viewer].astype(np.int8) @ author.astype(np.int8)
    hidden = network.astype(np.bool_) + (known[viewer] > 0)
    return Task(f"{world.name} at {now_h:g} h", view, viewer, known, relevant, hidden.tocsr(), item)


def account_task(world: World, now_h: float, horizon_h: float) -> Task:
    """Accounts that somebody engages with for the first time in the hours after the moment."""
    view, whole = world.view(now_h), world.tables
    users = view.user_count
    who, what = engaged(view.engagements, view.tweets)
    known = _counts(who, view.tweets["author"][what], (users, users))
    log = whole.table("engagements")
    begin, end = np.searchsorted(log["time_h"], [now_h, now_h + horizon_h])
    later, found = engaged({name: log[name][begin:end] for name in log}, whole.table("tweets"))
    return _of_accounts(
        f"{world.name} accounts at {now_h:g} h", view, known, later, whole.table("tweets")["author"][found]
    )


def follow_tasks(world: World) -> tuple[Task, Task]:
    """(for the choice of settings, for the test): a tenth of the edges are held out, then a tenth of the rest."""
    test, rest = _held_out(world, "test")
    return _held_out(rest, "validation")[0], test


def _held_out(world: World, purpose: str) -> tuple[Task, World]:
    """The task and the world to learn from, which lacks the edges."""
    follows = world.tables.table("follows")
    users = world.tables.count("users")
    out = stream(0, f"held-out follows: {purpose}").random(follows["follower"].size) < HELD_OUT
    rest = without(world, ~out)
    known = _counts(follows["follower"][~out], follows["followee"][~out], (users, users))
    task = _of_accounts(
        f"{world.name}, {purpose}", rest.view(), known, follows["follower"][out], follows["followee"][out],
        least=LEAST_FOLLOWS,
    )  # fmt: skip
    return task, rest


def without(world: World, kept: Array) -> World:
    """The world with some of its follow edges; kept: bool [E]."""
    tables = {name: world.tables.table(name) for name in ("users", "tweets")}
    follows = {name: values[kept] for name, values in world.tables.table("follows").items()}
    handles = np.empty(world.tables.count("users"), object)
    handles[:] = [f"user{number}" for number in range(handles.size)]
    users = {**tables["users"], "handle": handles}
    return World.of(WorldData(world.meta, {"users": users, "follows": follows}))


def _of_accounts(
    name: str,
    view: PlatformView,
    known: csr_matrix,
    who: Array,
    whom: Array,
    *,
    least: int = 1,
    most: int = MOST_VIEWERS,
) -> Task:
    users = view.user_count
    fresh = (np.asarray(known[who, whom]).ravel() == 0) & (who != whom) & (np.diff(known.indptr)[who] >= least)
    viewer = _some(np.unique(who[fresh]), name, most)
    row = _rows(viewer, who[fresh])
    relevant = _marks(row[row >= 0], whom[fresh][row >= 0], (viewer.size, users))
    own = csr_matrix((np.ones(viewer.size, np.bool_), (np.arange(viewer.size), viewer)), shape=(viewer.size, users))
    hidden = ((known[viewer] > 0) + own).tocsr()
    edge = known.tocoo()
    graph = Adjacency.of(edge.row, edge.col, np.full(edge.row.size, view.now_h - 1.0), users)
    return Task(name, view, viewer, known, relevant, hidden, np.arange(users, dtype=np.int32), graph)


def _counts(row: Array, column: Array, shape: tuple[int, int]) -> csr_matrix:
    made = csr_matrix((np.ones(row.size, np.float32), (row, column)), shape=shape)
    made.sum_duplicates()
    return made


def _marks(row: Array, column: Array, shape: tuple[int, int]) -> csr_matrix:
    return _counts(row, column, shape) > 0


def _some(viewers: Array, purpose: str, most: int = MOST_VIEWERS) -> Ints:
    chosen = stream(0, purpose).permutation(viewers)[:most] if viewers.size > most else viewers
    return np.sort(chosen).astype(np.int32)


def _rows(viewer: Ints, who: Array) -> Longs:
    """int64 [n]: the place of each among the viewers, −1 if it has none."""
    if not viewer.size:
        return np.full(who.size, -1, np.int64)
    place = np.minimum(np.searchsorted(viewer, who), viewer.size - 1)
    return np.where(viewer[place] == who, place, -1).astype(np.int64)

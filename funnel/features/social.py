"""What the viewer's circle says of a candidate, and what the viewer said of its people.

Social proof: who among those the viewer follows liked an out-of-network tweet or follows its author.
Valid is a proof by somebody with whom the viewer has no block in either direction and no mute; the
first ten count (twitter/the-algorithm, home-mixer/.../feature_hydrator/SGSValidSocialContextFeatureHydrator.scala).
In-network tweets have no proof: they need none.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.kernels import helper, kernel
from funnel.features.base import given, given_by_each
from funnel.features.kernels import find_target, newest_before, pair_slots
from funnel.features.registry import RowFunction, feature

PROOFS = 10  # SGSValidSocialContextFeatureHydrator: MaxSocialProofs per kind
# The newest likers that are looked through; the product reads the lists that its graph services cut.
LIKERS = 500

_LIKERS, _LIKERS_H, _FOLLOWERS, _FOLLOWERS_H = range(4)


@feature("mutes_author", unit="flag", group="base", needs=("author",))
def mutes_author(batch: CandidateBatch) -> Bools:
    """The viewer mutes the author (for a retweet: the retweeter)."""
    return given(batch.requests.view, "mute", batch.viewer, batch["author"], batch.now_h)


@feature("blocks_author", unit="flag", group="base", needs=("author", "original_author"))
def blocks_author(batch: CandidateBatch) -> Bools:
    """The viewer blocks the author or the author of the retweeted tweet."""
    view, viewer, now_h = batch.requests.view, batch.viewer, batch.now_h
    blocks = given(view, "block", viewer, batch["author"], now_h)
    return blocks | given(view, "block", viewer, batch["original_author"], now_h)


@feature("blocked_by_author", unit="flag", group="base", needs=("author",))
def blocked_by_author(batch: CandidateBatch) -> Bools:
    """The author (for a retweet: the retweeter) blocks the viewer."""
    return given_by_each(batch.requests.view, "block", batch["author"], batch.viewer, batch.now_h)


@feature("quoted_author_blocked", unit="flag", group="base", needs=("quoted",))
def quoted_author_blocked(batch: CandidateBatch) -> Bools:
    """The viewer blocks the author of the quoted tweet, or is blocked by them."""
    blocked = np.zeros(len(batch), np.bool_)
    rows = np.flatnonzero(batch["quoted"] >= 0)
    view, viewer, now_h = batch.requests.view, batch.viewer[rows], batch.now_h[rows]
    author = view.tweets["author"][batch["quoted"][rows]]
    blocked[rows] = given(view, "block", viewer, author, now_h) | given_by_each(view, "block", author, viewer, now_h)
    return blocked


@feature("see_fewer_h", unit="h", group="base", needs=("original_author",))
def see_fewer_h(batch: CandidateBatch) -> Floats:
    """Hours since the viewer last asked to see fewer tweets of the original author, infinite if never."""
    return _asked_fewer(batch, "original_author")


@feature("retweeter_see_fewer_h", unit="h", group="base", needs=("author", "is_retweet"))
def retweeter_see_fewer_h(batch: CandidateBatch) -> Floats:
    """The same about who retweeted it, infinite if it is no retweet."""
    return np.where(batch["is_retweet"], _asked_fewer(batch, "author"), np.float32(np.inf))


@feature("internal.proof", unit="mixed", group="internal", needs=("author", "original", "in_network"))
def proof(batch: CandidateBatch) -> Floats:
    """Valid proofs of out-of-network tweets: likers, followers of the author, and see-fewer about all of them."""
    view, asked = batch.requests.view, batch.requests
    likes = view.events("favorite", by="tweet")
    blocks, blockers = view.events("block", by="viewer"), view.events("block", by="author")
    mutes, fewer = view.events("mute", by="viewer"), view.events("see_fewer", by="viewer")
    graph, back = view.following, view.followers
    return _proofs(
        batch.offsets, asked.viewer, np.minimum(asked.now_h, view.now_h),
        batch["author"], batch["original"], ~batch["in_network"],
        likes.offsets, likes.time_h, likes.row, view.engagements["viewer"],
        graph.offsets, graph.targets, graph.time_h,
        back.offsets, back.targets, back.time_h,
        blocks.offsets, blocks.time_h, blocks.row,
        mutes.offsets, mutes.time_h, mutes.row,
        fewer.offsets, fewer.time_h, fewer.row,
        blockers.offsets, blockers.time_h, blockers.row,
        view.feedback["user"], view.feedback["author"],
        PROOFS, LIKERS,
    )  # fmt: skip


@feature("vouched_for", unit="flag", group="base", needs=("author", "original", "in_network"))
def vouched_for(batch: CandidateBatch) -> Bools:
    """Somebody whom the viewer follows liked an out-of-network tweet or follows its author: one valid proof or more."""
    view, asked = batch.requests.view, batch.requests
    likes = view.events("favorite", by="tweet")
    blocks, blockers = view.events("block", by="viewer"), view.events("block", by="author")
    mutes, graph = view.events("mute", by="viewer"), view.following
    return _vouched(
        batch.offsets, asked.viewer, np.minimum(asked.now_h, view.now_h),
        batch["author"], batch["original"], ~batch["in_network"],
        likes.offsets, likes.time_h, likes.row, view.engagements["viewer"],
        graph.offsets, graph.targets, graph.time_h,
        blocks.offsets, blocks.time_h, blocks.row,
        mutes.offsets, mutes.time_h, mutes.row,
        blockers.offsets, blockers.time_h, blockers.row,
        view.feedback["user"], view.feedback["author"],
        LIKERS,
    )  # fmt: skip


def _of_proof(at: int) -> RowFunction:
    return lambda batch: batch["internal.proof"][:, at]


for _name, _at, _unit, _line in (
    (
        "valid_likers",
        _LIKERS,
        "count",
        "Whom the viewer follows among the likers of an out-of-network tweet, at most 10",
    ),
    ("likers_see_fewer_h", _LIKERS_H, "h", "Hours since the viewer asked to see fewer of each of them, the longest"),
    ("valid_followers", _FOLLOWERS, "count", "Whom the viewer follows among its author's followers, at most 10"),
    ("followers_see_fewer_h", _FOLLOWERS_H, "h", "Hours since the viewer asked to see fewer of each, the longest"),
):
    feature(_name, unit=_unit, group="base", needs=("internal.proof",), meaning=_line)(_of_proof(_at))


def _asked_fewer(batch: CandidateBatch, whom: str) -> Floats:
    index = batch.requests.view.events("see_fewer", by="viewer_author")
    assert index.keys is not None
    if not index.keys.size:
        return np.full(len(batch), np.inf, np.float32)
    last = index.last_h(pair_slots(index.keys, batch.viewer, batch[whom]), batch.now_h)
    return (batch.now_h - last).astype(np.float32)


@helper
def _mark(
    circle: Array, user: Ints, offsets: Longs, times: Doubles, rows: Ints, whose: int, now: float, value: int
) -> None:
    """Give `value` to the users of these events before now, if they are in the circle at all."""
    for e in range(offsets[whose], newest_before(times, offsets[whose], offsets[whose + 1], now)):
        other = user[rows[e]]
        if other >= 0 and circle[other] > 0:
            circle[other] = value


@helper
def _since(
    circle: Array, user: Ints, offsets: Longs, times: Doubles, rows: Ints, whose: int, other: int, now: float
) -> float:
    """Hours since the newest of these events about `other`, infinite if there is none: the circle's mark is 2 if so."""
    if circle[other] != 2:
        return np.inf
    for e in range(newest_before(times, offsets[whose], offsets[whose + 1], now) - 1, offsets[whose] - 1, -1):
        if user[rows[e]] == other:
            return float(now - times[e])
    return np.inf


@kernel
def _proofs(  # noqa: PLR0912 — one walk over the viewer's circle serves both proofs
    request_offsets: Longs, viewers: Ints, moments: Doubles,
    author: Ints, original: Ints, wanted: Bools,
    like_offsets: Longs, like_h: Doubles, like_rows: Ints, liker: Ints,
    follow_offsets: Longs, follow_targets: Ints, follow_h: Doubles,
    back_offsets: Longs, back_sources: Ints, back_h: Doubles,
    block_offsets: Longs, block_h: Doubles, block_rows: Ints,
    mute_offsets: Longs, mute_h: Doubles, mute_rows: Ints,
    fewer_offsets: Longs, fewer_h: Doubles, fewer_rows: Ints,
    blocker_offsets: Longs, blocker_h: Doubles, blocker_rows: Ints,
    giver: Ints, about: Ints,
    proofs: int, likers: int,
) -> Floats:  # fmt: skip
    """float32 [n, 4]: valid likers, the longest see-fewer about them, valid followers, the longest about them.

    Marks each viewer's circle once (1: followed; 2: and asked to see fewer of; 0: not followed, blocked or muted).
    """
    out = np.zeros((author.size, 4), np.float32)
    out[:, 1] = np.inf
    out[:, 3] = np.inf
    circle = np.zeros(follow_offsets.size - 1, np.int8)
    for r in range(viewers.size):
        me, now = viewers[r], moments[r]
        low, high = follow_offsets[me], follow_offsets[me + 1]
        for hop in range(low, high):
            circle[follow_targets[hop]] = follow_h[hop] < now
        _mark(circle, about, fewer_offsets, fewer_h, fewer_rows, me, now, 2)
        _mark(circle, about, block_offsets, block_h, block_rows, me, now, 0)
        _mark(circle, about, mute_offsets, mute_h, mute_rows, me, now, 0)
        _mark(circle, giver, blocker_offsets, blocker_h, blocker_rows, me, now, 0)
        for i in range(request_offsets[r], request_offsets[r + 1]):
            if not wanted[i]:
                continue
            begin = like_offsets[original[i]]
            end = newest_before(like_h, begin, like_offsets[original[i] + 1], now)
            longest = -1.0
            found = 0
            for e in range(end - 1, max(begin, end - likers) - 1, -1):
                user = liker[like_rows[e]]
                if circle[user] > 0:
                    found += 1
                    since = _since(circle, about, fewer_offsets, fewer_h, fewer_rows, me, user, now)
                    longest = max(longest, since)
                    if found == proofs:
                        break
            if found > 0:
                out[i, 0], out[i, 1] = found, longest
            longest = -1.0
            found = 0
            first, last = back_offsets[author[i]], back_offsets[author[i] + 1]
            scan = last - first <= 8 * (high - low)  # else a search for each followee is cheaper
            for at in range(first if scan else low, last if scan else high):
                user = back_sources[at] if scan else follow_targets[at]
                if circle[user] == 0:
                    continue
                edge = at if scan else find_target(back_sources, first, last, user)
                if edge >= 0 and back_h[edge] < now:
                    found += 1
                    since = _since(circle, about, fewer_offsets, fewer_h, fewer_rows, me, user, now)
                    longest = max(longest, since)
                    if found == proofs:
                        break
            if found > 0:
                out[i, 2], out[i, 3] = found, longest
        for hop in range(low, high):
            circle[follow_targets[hop]] = 0
    return out


@kernel
def _vouched(
    request_offsets: Longs, viewers: Ints, moments: Doubles,
    author: Ints, original: Ints, wanted: Bools,
    like_offsets: Longs, like_h: Doubles, like_rows: Ints, liker: Ints,
    follow_offsets: Longs, follow_targets: Ints, follow_h: Doubles,
    block_offsets: Longs, block_h: Doubles, block_rows: Ints,
    mute_offsets: Longs, mute_h: Doubles, mute_rows: Ints,
    blocker_offsets: Longs, blocker_h: Doubles, blocker_rows: Ints,
    giver: Ints, about: Ints,
    likers: int,
) -> Bools:  # fmt: skip
    """bool [n]: whether `_proofs` would find a valid liker or follower; stops at the first."""
    out = np.zeros(author.size, np.bool_)
    circle, followed_in = np.zeros(follow_offsets.size - 1, np.int8), np.zeros(follow_offsets.size - 1, np.int32)
    for r in range(viewers.size):
        me, now = viewers[r], moments[r]
        low, high = follow_offsets[me], follow_offsets[me + 1]
        for hop in range(low, high):
            circle[follow_targets[hop]] = follow_h[hop] < now
        _mark(circle, about, block_offsets, block_h, block_rows, me, now, 0)
        _mark(circle, about, mute_offsets, mute_h, mute_rows, me, now, 0)
        _mark(circle, giver, blocker_offsets, blocker_h, blocker_rows, me, now, 0)
        # Whom the circle follows is marked in one walk: reading every author's followers would be ten times as much.
        for hop in range(low, high):
            if circle[follow_targets[hop]] > 0:
                for edge in range(follow_offsets[follow_targets[hop]], follow_offsets[follow_targets[hop] + 1]):
                    if follow_h[edge] < now:
                        followed_in[follow_targets[edge]] = r + 1
        for i in range(request_offsets[r], request_offsets[r + 1]):
            if not wanted[i]:
                continue
            if followed_in[author[i]] == r + 1:
                out[i] = True
                continue
            begin = like_offsets[original[i]]
            end = newest_before(like_h, begin, like_offsets[original[i] + 1], now)
            for e in range(end - 1, max(begin, end - likers) - 1, -1):
                if circle[liker[like_rows[e]]] > 0:
                    out[i] = True
                    break
        for hop in range(low, high):
            circle[follow_targets[hop]] = 0
    return out

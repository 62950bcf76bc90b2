"""The follow graph: communities of taste, heavy-tailed fame, friends of friends, and follow-backs.

An edge starts at a follower and ends, by chance: (1) at somebody of a topic drawn from the follower's
interests, with probability proportional to fame times that person's weight in the topic (a
degree-corrected block model with mixed membership: Karrer & Newman, Phys. Rev. E 83, 2011); (2) at
somebody whom a followee follows, which closes triangles; or (3) at anybody, by fame. Some edges
are then answered, the famous answering seldom.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from synthetic.arrays import distinct, pick
from synthetic.people import People

_DEGREE_SIGMA = 0.9  # log-normal number of follows
_FRIEND_OF_FRIEND, _ANYBODY = 0.2, 0.05  # shares of the edges; the rest are by topic
_FOREIGN = 0.1  # chance that an edge to another language is kept
_DURING = 0.02  # share of edges made during the world's days
_FAME_THAT_HALVES_ANSWERS = 10.0  # in units of the least famous
_MAX_SHARE = 0.25  # nobody is followed by more than about a quarter of all users


def make_follows(
    people: People, *, mean: float, reciprocated: float, end_h: float, rng: np.random.Generator
) -> dict[str, Array]:
    """The `follows` table. mean: follows a user; reciprocated: share of edges whose reverse exists, aimed at."""
    users = people.fame.size
    fame = np.minimum(people.fame, max(2.0, _MAX_SHARE * users / mean * people.fame.mean()))
    # Each first edge brings `answers` more, and 2 * answers / (1 + answers) = reciprocated.
    answers = reciprocated / (2.0 - reciprocated)
    # Drawn twice over and cut to size: repeats and foreign edges fall away, most of all in small worlds.
    wanted = min(mean, 0.5 * (users - 1)) / (1.0 + answers)
    degree = np.exp(_DEGREE_SIGMA * rng.standard_normal(users))
    first = _by_topic(people, fame, 1.0 - _FRIEND_OF_FRIEND, degree, wanted, rng)
    if first.size == 0:  # two or three users who all happened to be drawn for themselves
        first = np.array([1], np.int64)  # user 0 follows user 1
    second = _friends_of_friends(first, users, int(_FRIEND_OF_FRIEND * wanted * users * 1.3), rng)
    edges = _kept(np.concatenate([first, _code(second, users, people, rng)]), max(1, int(wanted * users)), rng)
    edges = _answered(edges, fame, answers, users, rng)
    follower, followee = np.divmod(edges, users)
    return {
        "follower": follower.astype(np.int32),
        "followee": followee.astype(np.int32),
        "time_h": _times(people.table["created_h"], follower, followee, end_h, rng),
    }


def _by_topic(
    people: People, fame: Doubles, share: float, degree: Doubles, wanted: float, rng: np.random.Generator
) -> Longs:
    """int64: codes of distinct edges to people of a topic or, at times, to anybody."""
    users = fame.size
    count = max(1, int(share * wanted * users))
    found = np.empty(0, np.int64)
    for _ in range(4):  # repeats are drawn anew, a few times over
        missing = count - found.size
        if missing <= 0:
            break
        follower = pick(degree, rng.random(int(missing * 1.25) + 8))
        followee = _somebody_of(_topic_of(people.interests, follower, rng), people.interests, fame, rng)
        anybody = rng.random(follower.size) < _ANYBODY
        followee = np.where(anybody, pick(fame, rng.random(follower.size)), followee)
        found = distinct(np.concatenate([found, _code((follower, followee), users, people, rng)]))
    return _kept(found, count, rng)


def _topic_of(interests: Floats, user: Ints, rng: np.random.Generator) -> Ints:
    """int32 [n]: a topic drawn from each user's interests."""
    cumulative = np.cumsum(interests, axis=1)[user]
    draws = (rng.random(user.size) * cumulative[:, -1]).astype(np.float32)
    topic: Ints = np.minimum((cumulative <= draws[:, None]).sum(axis=1), interests.shape[1] - 1).astype(np.int32)
    return topic


def _somebody_of(topic: Ints, interests: Floats, fame: Doubles, rng: np.random.Generator) -> Ints:
    """int32 [n]: a user drawn by fame times weight in the topic."""
    out = np.empty(topic.size, np.int32)
    draws = rng.random(topic.size)
    for code in range(interests.shape[1]):
        rows = np.flatnonzero(topic == code)
        out[rows] = pick(fame * interests[:, code], draws[rows])
    return out


def _friends_of_friends(edges: Longs, users: int, count: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """(follower, followee) int32 [count]: the ends of random walks of two steps over sorted `edges`."""
    follower, followee = np.divmod(edges, users)
    offsets = np.searchsorted(follower, np.arange(users + 1))
    start = rng.integers(0, edges.size, count)
    middle = followee[start]
    degree = offsets[middle + 1] - offsets[middle]
    step = offsets[middle] + (rng.random(count) * degree).astype(np.int64)
    walks = np.flatnonzero(degree > 0)
    return follower[start[walks]].astype(np.int32), followee[step[walks]].astype(np.int32)


def _code(edges: tuple[Ints, Ints], users: int, people: People, rng: np.random.Generator) -> Longs:
    """int64: follower * U + followee, without edges to oneself and most of those to another language."""
    follower, followee = edges
    same = people.language[follower] == people.language[followee]
    keep = (follower != followee) & (same | (rng.random(follower.size) < _FOREIGN))
    coded: Longs = follower[keep].astype(np.int64) * users + followee[keep]
    return coded


def _kept(edges: Longs, count: int, rng: np.random.Generator) -> Longs:
    """At most `count` of the distinct edges, at random, sorted."""
    found = distinct(edges)
    if found.size <= count:
        return found
    return np.sort(rng.choice(found, count, replace=False, shuffle=False))


def _answered(edges: Longs, fame: Doubles, answers: float, users: int, rng: np.random.Generator) -> Longs:
    """The edges and the follow-backs; `answers` is the wanted number of follow-backs for each edge."""
    follower, followee = np.divmod(edges, users)
    willing = 1.0 / (1.0 + fame[followee] / _FAME_THAT_HALVES_ANSWERS)
    back = followee * users + follower
    # Edges that are answered already count towards the aim.
    already = np.isin(back, edges, assume_unique=True)
    goal = max(0.0, answers - 0.5 * already.mean()) * edges.size
    chance = np.minimum(1.0, willing * goal / max(float(willing[~already].sum()), 1e-9))
    return distinct(np.concatenate([edges, back[~already & (rng.random(edges.size) < chance)]]))


def _times(created_h: Doubles, follower: Longs, followee: Longs, end_h: float, rng: np.random.Generator) -> Doubles:
    """float64 [E]: after both accounts were made; a few during the world's days."""
    earliest = np.maximum(created_h[follower], created_h[followee])
    times: Doubles = earliest * rng.random(follower.size)
    during = rng.random(follower.size) < _DURING
    return np.where(during, end_h * rng.random(follower.size), times)

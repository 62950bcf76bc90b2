"""The follow graph: circles, communities of taste, heavy-tailed fame, friends of friends, and follow-backs.

A user's follows are, in this order: (1) members of the same small circles (`synthetic.circles`), who
mostly follow back; (2) people of a topic drawn from the user's interests, with probability proportional
to fame times their weight in the topic (a degree-corrected block model with mixed membership: Karrer
& Newman, Phys. Rev. E 83, 2011), or at times anybody, by fame; (3) people whom a followee follows, which
closes triangles (Holme & Kim, Phys. Rev. E 65, 2002). Some edges are then answered, the famous answering
seldom. Every draw is a hash of (seed, user, number of the draw); the work is linear in the edges.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.kernels import helper, kernel
from funnel.core.rng import key
from synthetic.circles import circle_edges, topic_at
from synthetic.draws import below, fold, unit
from synthetic.people import People

_DEGREE_SIGMA = 0.9  # log-normal number of follows
_DEGREE_WITH_READING = 0.4  # power: people who read much follow more
_IN_CIRCLES, _FRIEND_OF_FRIEND = 0.27, 0.12  # shares of the edges that people make; the rest are by topic
_CIRCLES_GROW = 0.4  # power of the degree by which those who follow many have a greater share in circles
_ANYBODY = 0.05  # of the draws by topic, those of anybody at all, by fame
_FIRST_LANGUAGE = 0.15  # and those of people who write the first language, for users of another one
_TRIES = 4  # for each edge, since a draw may be somebody who is followed already
_DURING = 0.02  # share of edges made during the world's days
_FAME_THAT_HALVES_ANSWERS = 10.0  # in units of the least famous
_MAX_SHARE = 0.25  # nobody is followed by more than about a quarter of all users
_MAX_DEGREE = 0.6  # of all users


def make_follows(
    people: People, *, mean: float, reciprocated: float, end_h: float, seed: int, rng: np.random.Generator
) -> dict[str, Array]:
    """The `follows` table. mean: follows a user; reciprocated: share of edges whose reverse exists, aimed at."""
    users = people.fame.size
    mean = min(mean, 0.5 * (users - 1))
    fame = np.minimum(people.fame, max(2.0, _MAX_SHARE * users / mean * people.fame.mean()))
    degree = np.exp(_DEGREE_SIGMA * rng.standard_normal(users)) * (0.1 + people.reading) ** _DEGREE_WITH_READING
    degree = np.minimum(degree * mean / degree.mean(), _MAX_DEGREE * (users - 1))
    state = np.uint64(key(seed, "circles"))
    share = _IN_CIRCLES * (degree / mean) ** _CIRCLES_GROW
    inner = circle_edges(share * degree, people.interests, people.language, state, rng.random(users))
    offsets, followee = _grouped(inner, users)
    mutual = np.count_nonzero(answered(offsets, followee))
    # Of `mean * U` edges in the end, these are mutual by circles; answers to others bring the rest.
    total = mean * users
    answers = max(0.0, (reciprocated - mutual / total) / 2.0) * total
    made = (degree * (1.0 - answers / total) + rng.random(users)).astype(np.int64)
    state = np.uint64(key(seed, "follows"))
    tables = _tables_of_topics(people, fame)
    offsets, followee = drawn_follows(offsets, followee, made, people.interests, people.language, *tables, state)
    if followee.size == 0:  # two or three users who all happened to be drawn for themselves
        offsets, followee = _grouped(np.array([1], np.int64), users)  # user 0 follows user 1
    offsets, followee = _with_answers(offsets, followee, fame, reciprocated, rng)
    follower = np.repeat(np.arange(users, dtype=np.int32), np.diff(offsets))
    return {
        "follower": follower,
        "followee": followee,
        "time_h": _times(people.table["created_h"], follower, followee, end_h, rng),
    }


def _grouped(codes: Longs, users: int) -> tuple[Longs, Ints]:
    """(offsets int64 [U + 1], followee int32 [E]) of sorted codes follower * U + followee."""
    offsets = np.searchsorted(codes, np.arange(users + 1, dtype=np.int64) * users).astype(np.int64)
    return offsets, (codes % users).astype(np.int32)


def _tables_of_topics(people: People, fame: Doubles) -> tuple[Ints, Longs, Floats, Ints]:
    """(order, bounds, share, alias) for `drawn_follows`: whom a draw of a language and a topic finds."""
    order = np.argsort(people.language, kind="stable").astype(np.int32)
    languages = int(people.language.max()) + 1
    bounds = np.searchsorted(people.language[order], np.arange(languages + 1)).astype(np.int64)
    return order, bounds, *alias_tables(people.interests, fame, order, bounds)


def _with_answers(
    offsets: Longs, followee: Ints, fame: Doubles, reciprocated: float, rng: np.random.Generator
) -> tuple[Longs, Ints]:
    """The graph with as many follow-backs as make `reciprocated` the share of edges whose reverse exists."""
    users = offsets.size - 1
    already = answered(offsets, followee)
    open_ = np.flatnonzero(~already)
    goal = max(0.0, (reciprocated * followee.size - np.count_nonzero(already)) / (2.0 - reciprocated))
    willing = 1.0 / (1.0 + fame[followee[open_]] / _FAME_THAT_HALVES_ANSWERS)
    chance = willing * (goal / max(float(willing.sum()), 1e-9))
    chosen = open_[rng.random(open_.size) < chance]
    follower = np.searchsorted(offsets, chosen, side="right") - 1
    edges = np.repeat(np.arange(users, dtype=np.int64) * users, np.diff(offsets)) + followee
    edges = np.concatenate([edges, followee[chosen].astype(np.int64) * users + follower])
    edges.sort()
    return _grouped(edges, users)


def _times(created_h: Doubles, follower: Ints, followee: Ints, end_h: float, rng: np.random.Generator) -> Doubles:
    """float64 [E]: after both accounts were made; a few during the world's days."""
    times: Doubles = np.maximum(created_h[follower], created_h[followee])
    times *= rng.random(follower.size)
    during = np.flatnonzero(rng.random(follower.size, np.float32) < _DURING)
    times[during] = end_h * rng.random(during.size)
    return times


@kernel
def alias_tables(interests: Floats, fame: Doubles, order: Ints, bounds: Longs) -> tuple[Floats, Ints]:
    """(share float32, alias int32) [K + 1, U]: Walker's tables (Vose 1991), by which a weighted draw takes one look.

    Row k, places bounds[l] to bounds[l + 1] of `order`: users of language l, by fame times weight in topic k. Row K,
    all places: anybody by fame. A draw takes a place and stays with probability share[place], or else goes to alias.
    """
    users, topics = interests.shape
    share = np.ones((topics + 1, users), np.float32)
    alias = np.empty((topics + 1, users), np.int32)
    weight = np.empty(users, np.float64)
    stack = np.empty(users, np.int32)
    for row in range(topics + 1):
        for language in range(bounds.size - 1 if row < topics else 1):
            begin, end = (bounds[language], bounds[language + 1]) if row < topics else (0, users)
            total = 0.0
            for p in range(begin, end):
                weight[p] = fame[order[p]] * (interests[order[p], row] if row < topics else 1.0)
                total += weight[p]
                alias[row, p] = p
            small, large = begin, end  # two stacks in one array, from both ends
            for p in range(begin, end):
                weight[p] *= (end - begin) / total
                if weight[p] < 1.0:
                    stack[small] = p
                    small += 1
                else:
                    large -= 1
                    stack[large] = p
            while small > begin and large < end:
                small -= 1
                low, high = stack[small], stack[large]
                share[row, low], alias[row, low] = weight[low], high
                weight[high] -= 1.0 - weight[low]
                if weight[high] < 1.0:
                    large += 1
                    stack[small] = high
                    small += 1
    return share, alias


@kernel
def drawn_follows(
    inner_offsets: Longs,
    inner: Ints,
    made: Longs,
    interests: Floats,
    language: Array,
    order: Ints,
    bounds: Longs,
    share: Floats,
    alias: Ints,
    state: np.uint64,
) -> tuple[Longs, Ints]:
    """(offsets int64 [U + 1], followee int32 [E]), sorted: the circles' edges, those by topic, and friends of friends.

    made: int64 [U], how many follows each user should have; circles may bring more.
    """
    users = made.size
    place = np.zeros(users + 1, np.int64)
    for u in range(users):
        place[u + 1] = place[u] + max(made[u], inner_offsets[u + 1] - inner_offsets[u])
    found = np.empty(place[users], np.int32)
    size = np.zeros(users, np.int64)
    mark = np.full(users, -1, np.int32)  # the last user who already follows this one
    for u in range(users):
        mine, begin = fold(state, u), place[u]
        mark[u] = u
        for e in range(inner_offsets[u], inner_offsets[u + 1]):
            found[begin + size[u]] = inner[e]
            mark[inner[e]] = u
            size[u] += 1
        by_topic = int(made[u] * (1.0 - _FRIEND_OF_FRIEND) + unit(fold(mine, -1)))
        for attempt in range(_TRIES * max(0, by_topic - size[u])):
            if size[u] >= by_topic:
                break
            v = order[_somebody(interests[u], language[u], bounds, share, alias, fold(mine, attempt))]
            if mark[v] != u:
                mark[v] = u
                found[begin + size[u]] = v
                size[u] += 1
    size = _friends_of_friends(found, place, size, made, mark, state)
    out_offsets = np.zeros(users + 1, np.int64)
    out_offsets[1:] = np.cumsum(size)
    out = np.empty(out_offsets[users], np.int32)
    for u in range(users):
        out[out_offsets[u] : out_offsets[u + 1]] = np.sort(found[place[u] : place[u] + size[u]])
    return out_offsets, out


@helper
def _somebody(interests: Floats, language: int, bounds: Longs, share: Floats, alias: Ints, draw: np.uint64) -> int:
    """The place of a user drawn by topic, or of anybody, in the tables of `alias_tables`."""
    topics, how = interests.size, unit(draw)
    k, low, high = topics, 0, share.shape[1]
    if how >= _ANYBODY:
        own = 0 if how > 1.0 - _FIRST_LANGUAGE and bounds[1] > 0 else language
        k = topic_at(interests, unit(fold(draw, 1)), topics)
        low, high = bounds[own], bounds[own + 1]
    p = low + below(fold(draw, 2), high - low)
    return p if unit(fold(draw, 3)) < share[k, p] else alias[k, p]


@helper
def _friends_of_friends(found: Ints, place: Longs, size: Longs, made: Longs, mark: Ints, state: np.uint64) -> Longs:
    """Fill up everybody's follows, found[place[u] : place[u] + size[u]], to `made`; the new sizes.

    A friend of a friend is looked for among the follows that were there at the start.
    """
    now = size.copy()
    for u in range(size.size):
        mine, begin, me = fold(fold(state, u), -2), place[u], -u - 2
        mark[u] = me
        for e in range(begin, begin + size[u]):
            mark[found[e]] = me
        for attempt in range(_TRIES * (made[u] - size[u]) if size[u] > 0 else 0):
            draw = fold(mine, attempt)
            v = found[begin + below(draw, size[u])]
            w = found[place[v] + below(fold(draw, 1), size[v])] if size[v] > 0 else np.int32(u)
            if mark[w] != me:
                mark[w] = me
                found[begin + now[u]] = w
                now[u] += 1
            if now[u] >= made[u]:
                break
    return now


@kernel
def answered(offsets: Longs, followee: Ints) -> Bools:
    """bool [E]: whether the reverse of each edge of a sorted graph is there."""
    out = np.zeros(followee.size, np.bool_)
    for u in range(offsets.size - 1):
        for e in range(offsets[u], offsets[u + 1]):
            low, high = offsets[followee[e]], offsets[followee[e] + 1]
            end = high
            while low < high:
                middle = (low + high) >> 1
                if followee[middle] < u:
                    low = middle + 1
                else:
                    high = middle
            out[e] = low < end and followee[low] == u
    return out

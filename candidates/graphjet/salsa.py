"""SALSA: random walks that go from users to tweets and back.

twitter/GraphJet, algorithms/salsa/ (after Lempel & Moran, "The stochastic approach for link-structure analysis (SALSA)
and the TKC effect", Computer Networks 33, 2000). A walk stands at a user. With probability p it goes to the query node
and waits there for the next step; otherwise to the tweet of one of the user's edges, each as likely as another, which
is a visit; then back to the user of one of that tweet's edges. score(t) = visits of t / all visits.

Where walks start: W = Σ of the seeds' weights; the query node, if it is no seed and has edges, weighs W · f / (1 − f),
or 1 if W = 0; a node of weight w starts ⌈w / Σ weights · walks⌉ walks.

`walk` plays this with all walks of a request in lockstep. `on_subgraph` needs no edges by tweet: it samples the edges
of the starting nodes once (a node with no more edges than walks brings each of them, others as many as walks, with
repetition), and then moves the weights themselves along them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from candidates.graphjet.edges import NODE_MASK
from candidates.graphjet.reading import (
    NOTE_WORDS,
    TICK_LIMIT,
    Reading,
    StoreArrays,
    Whole,
    left_degree,
    left_range,
    newest_edges,
    noted_owner,
    open_edge,
    open_range,
    owner_from,
    owner_of,
    right_range,
    three,
)
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.errors import ConfigError, ContractError
from funnel.core.kernels import helper, kernel

# SalsaRequestBuilder's defaults.
RESET_PROBABILITY = 0.3
QUERY_NODE_WEIGHT_FRACTION = 0.9


def walk(
    reading: Reading,
    query: Ints,
    seeds: tuple[Longs, Ints, Floats],
    keys: Longs,
    *,
    walks: int = 1000,
    length: int = 3,
    reset: float = RESET_PROBABILITY,
    query_share: float = QUERY_NODE_WEIGHT_FRACTION,
) -> tuple[Longs, Ints, Floats]:
    """(request int64 [n], tweet int32 [n], score float32 [n]) of all tweets visited, each once a request.

    query: int32 [R], −1 for none; seeds: offsets int64 [R + 1], user int32 [m], weight float32 [m] >= 0; keys: uint64
    [R] of the draws (`funnel.core.rng.hashed`); length: steps of a walk, odd, so that it ends at a tweet.
    """
    check(walks, length, reset, query_share)
    if not reading.arrays.right_offsets.size and reading.arrays.start.size and length > 1:
        raise ContractError("salsa.walk", "wants a store with both sides — or use on_subgraph")
    return _walk(*reading, query, *seeds, keys, int(walks), int(length), float(reset), float(query_share))


def on_subgraph(
    reading: Reading,
    query: Ints,
    seeds: tuple[Longs, Ints, Floats],
    keys: Longs,
    *,
    walks: int = 1000,
    length: int = 3,
    reset: float = RESET_PROBABILITY,
    query_share: float = QUERY_NODE_WEIGHT_FRACTION,
    round_up: bool = False,
) -> tuple[Longs, Ints, Floats]:
    """As `walk`, on a sampled subgraph; round_up: weights of users become whole after each step, as released."""
    check(walks, length, reset, query_share)
    return _on_subgraph(
        *reading, query, *seeds, keys, int(walks), int(length), float(reset), float(query_share), bool(round_up)
    )


def check(walks: int, length: int, reset: float, query_share: float) -> None:
    """ConfigError unless walks can be made so."""
    wrong: Iterable[tuple[bool, str]] = (
        (walks < 1, f"walks wants at least 1, got {walks}"),
        (length < 1 or length % 2 == 0, f"length wants an odd number, got {length}"),
        (not 0 <= reset < 1, f"reset wants 0 to less than 1, got {reset}"),
        (not 0 <= query_share < 1, f"query_share wants 0 to less than 1, got {query_share}"),
    )
    for bad, what in wrong:
        if bad:
            raise ConfigError("salsa", what)


@helper
def draw(key: np.uint64, counter: Whole) -> float:
    """One draw in [0, 1) of the stream that begins at the key: SplitMix64, as `funnel.core.rng`."""
    x = key + np.uint64(counter + 1) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float64((x ^ (x >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@helper
def _edge_of_user(
    left_offsets: Ints,
    start: Longs,
    ticks: Array,
    pool: Longs,
    pool_last: Ints,
    pool_degree: Ints,
    low: Ints,
    high: Ints,
    user: Whole,
    number: Whole,
) -> Whole:
    """An edge of the user by its number: its place if it is sealed, −2 − (its number) if it is open."""
    sealed, rest = start.size, np.int64(number)
    begin: Whole = 0
    end: Whole = 0
    for segment in range(sealed):
        if low[segment] < high[segment]:
            if low[segment] <= 0 and high[segment] >= TICK_LIMIT:  # the whole segment: no call, no search
                begin = start[segment] + left_offsets[user, segment]
                end = start[segment] + left_offsets[user + 1, segment]
            else:
                begin, end = left_range(left_offsets, start, ticks, segment, user, low[segment], high[segment])
            if rest < end - begin:
                return np.int64(begin + rest)
            rest -= end - begin
    begin, _ = open_range(pool, pool_last[user], pool_degree[user], low[sealed], high[sealed])
    return np.int64(-2 - (begin + rest))


@helper
def _place(offsets: Ints, start: Longs, node: Whole, number: Whole) -> tuple[Whole, Whole]:
    """(place among all edges, segment) of a node's edge by its number, if all segments count; without a branch."""
    place, part, before = np.int64(-1), np.int64(0), np.int64(0)
    for segment in range(start.size):
        begin = np.int64(offsets[node, segment])
        after = before + np.int64(offsets[node + 1, segment]) - begin
        inside = (before <= number) & (number < after)
        place = start[segment] + begin + number - before if inside else place
        part = np.int64(segment) if inside else part
        before = after
    return place, part


@helper
def _tweet_at(packed: Ints, pool: Longs, pool_last: Ints, pool_degree: Ints, user: Whole, edge: Whole) -> Whole:
    """The tweet of an edge that `_edge_of_user` gave."""
    if edge >= 0:
        return np.int64(packed[edge]) & NODE_MASK
    return open_edge(pool, pool_last[user], pool_degree[user], -2 - edge) & NODE_MASK


@helper
def _user_of_tweet(
    right_offsets: Ints,
    start: Longs,
    ticks: Array,
    pointers: Array,
    left_offsets: Ints,
    notes: Ints,
    note_start: Longs,
    back: Longs,
    back_last: Ints,
    back_degree: Ints,
    low: Ints,
    high: Ints,
    tweet: Whole,
    drawn: float,
) -> Whole:
    """The user of one of the tweet's edges; there is one."""
    sealed, total = start.size, np.int64(0)
    open_begin: Whole = 0
    open_end: Whole = 0
    begin: Whole = 0
    end: Whole = 0
    if back.size and back_degree[tweet]:
        open_begin, open_end = open_range(back, back_last[tweet], back_degree[tweet], low[sealed], high[sealed])
        total += open_end - open_begin
    for segment in range(sealed):
        if low[segment] < high[segment]:
            if low[segment] <= 0 and high[segment] >= TICK_LIMIT:
                begin = start[segment] + right_offsets[tweet, segment]
                end = start[segment] + right_offsets[tweet + 1, segment]
            else:
                begin, end = right_range(
                    right_offsets, start, ticks, pointers, segment, tweet, low[segment], high[segment]
                )
            total += end - begin
    rest = min(np.int64(drawn * total), total - 1)
    for segment in range(sealed):
        if low[segment] < high[segment]:
            if low[segment] <= 0 and high[segment] >= TICK_LIMIT:
                begin = start[segment] + right_offsets[tweet, segment]
                end = start[segment] + right_offsets[tweet + 1, segment]
            else:
                begin, end = right_range(
                    right_offsets, start, ticks, pointers, segment, tweet, low[segment], high[segment]
                )
            if rest < end - begin:
                return owner_of(left_offsets, notes, note_start, segment, three(pointers, begin + rest))
            rest -= end - begin
    last, degree = back_last[tweet], back_degree[tweet]
    return open_edge(back, last, degree, open_begin + rest) & NODE_MASK


@helper
def _starts(
    left_offsets: Ints,
    start: Longs,
    ticks: Array,
    pool: Longs,
    pool_last: Ints,
    pool_degree: Ints,
    low: Ints,
    high: Ints,
    query: Whole,
    seed: Ints,
    weight: Floats,
    walks: Whole,
    share: float,
) -> tuple[Ints, Longs]:
    """(user int32 [m + 1], walks int64 [m + 1]): where walks begin, the query node last (−1 if there is none)."""
    users, counts = np.empty(seed.size + 1, np.int32), np.zeros(seed.size + 1, np.int64)
    total, is_seed = 0.0, False
    for i in range(seed.size):
        users[i] = seed[i]
        total += weight[i]
        is_seed = is_seed or seed[i] == query
    users[seed.size] = query
    own = 0.0
    if (
        query >= 0
        and not is_seed
        and left_degree(left_offsets, start, ticks, pool, pool_last, pool_degree, low, high, query) > 0
    ):
        own = total * share / (1.0 - share) if total > 0.0 else 1.0
    total += own
    if total > 0.0:
        for i in range(seed.size):
            counts[i] = np.int64(np.ceil(np.float64(weight[i]) / total * walks))
        counts[seed.size] = np.int64(np.ceil(own / total * walks))
    return users, counts


@helper
def _slot(keys: Longs, key: Whole) -> Whole:
    """Where a key stands, or is to stand, in a table of open addresses; −1 is an empty place."""
    width = keys.size - 1
    at = ((key * 0x9E3779B97F4A7C1) >> 20) & width
    while keys[at] >= 0 and keys[at] != key:
        at = (at + 1) & width
    return at


@helper
def _table(entries: Whole) -> Longs:
    width = 16
    while width < 2 * entries:
        width *= 2
    return np.full(width, -1, np.int64)


@kernel
def has_edge(a: StoreArrays, low: Ints, high: Ints, user: Ints, request: Longs, tweet: Ints) -> Bools:
    """bool [n]: whether the user of the request has an edge to the tweet; rows of a request stand together."""
    left_offsets = a.left_offsets
    start = a.start
    packed = a.packed
    ticks = a.ticks
    pool = a.open_left
    pool_last = a.open_left_last
    pool_degree = a.open_left_degree
    out, begin = np.zeros(tweet.size, np.bool_), 0
    while begin < tweet.size:
        r, end = request[begin], begin
        since, until = low[r], high[r]
        while end < tweet.size and request[end] == r:
            end += 1
        edges = np.empty(
            left_degree(left_offsets, start, ticks, pool, pool_last, pool_degree, since, until, user[r]), np.int32
        )
        newest_edges(left_offsets, start, ticks, packed, pool, pool_last, pool_degree, since, until, user[r], edges)
        edges = np.sort(edges & np.int32(NODE_MASK))
        for i in range(begin, end):
            at = np.searchsorted(edges, tweet[i])
            out[i] = at < edges.size and edges[at] == tweet[i]
        begin = end
    return out


@helper
def _draws(key: np.uint64, first: Whole, who: Ints, n: Whole, out: Doubles) -> None:
    """The draws number first + who of n walks, as `draw`: a loop of its own, of vector instructions."""
    for i in range(n):
        out[i] = draw(key, first + np.int64(who[i]))


@helper
def _take(values: Array, at: Longs, n: Whole, out: Longs) -> None:
    """out[i] = values[at[i]] for n places: so short a loop that the processor waits for many reads at a time."""
    for i in range(n):
        out[i] = values[np.uint64(at[i])]


@helper
def _take_rows(flat: Ints, width: Whole, node: Longs, n: Whole, at: Longs, out: Longs) -> None:
    """Bring the offsets of n nodes, two rows of `width` beside each other, into the cache."""
    for i in range(n):
        at[i] = node[i] * width
    for i in range(n):
        out[i] = flat[np.uint64(at[i])] + flat[np.uint64(at[i] + 2 * width - 1)]


@helper
def _degrees(flat: Ints, width: Whole, node: Longs, n: Whole, out: Longs) -> None:
    """How many edges n nodes have, if all segments count."""
    for i in range(n):
        at, total = node[i] * width, np.int64(0)
        for segment in range(width):
            total += np.int64(flat[np.uint64(at + segment + width)]) - np.int64(flat[np.uint64(at + segment)])
        out[i] = total


@helper
def _places(flat: Ints, start: Longs, node: Longs, number: Longs, n: Whole, place: Longs, part: Longs) -> None:
    """Of n nodes' edges by their numbers: the place among all edges, and the segment; all segments count.

    Without a branch: how many segments are over before the number is reached.
    """
    width = start.size
    for i in range(n):
        at, wanted = node[i] * width, number[i]
        segment, over, before = np.int64(0), np.int64(0), np.int64(0)
        for s in range(width - 1):
            over += np.int64(flat[np.uint64(at + s + width)]) - np.int64(flat[np.uint64(at + s)])
            past = over <= wanted
            segment += np.int64(past)
            before = over if past else before
        part[i] = segment
        place[i] = start[np.uint64(segment)] + np.int64(flat[np.uint64(at + segment)]) + wanted - before


@helper
def _owners(
    flat: Ints, notes: Ints, note_start: Longs, part: Longs, place: Longs, n: Whole, at: Longs, spare: Longs, out: Longs
) -> None:
    """The users of n edges by segment and place, as `owner_of`, one read of all after the other."""
    width = note_start.size
    for i in range(n):
        at[i] = note_start[np.uint64(part[i])] + (place[i] >> 6) * NOTE_WORDS
    _take(notes, at, n, spare)
    for i in range(n):
        out[i] = noted_owner(notes, note_start[np.uint64(part[i])], place[i])
    for _ in range(2):  # the user of an edge, or of one up to 3 before
        for i in range(n):
            at[i] = (out[i] + 1) * width + part[i]
        _take(flat, at, n, spare)
        for i in range(n):
            out[i] += np.int64(spare[i] <= place[i])


@kernel
def _walk(  # noqa: PLR0912, PLR0915 (one loop, so that a request's walks stay in the cache)
    a: StoreArrays,
    low: Ints,
    high: Ints,
    query: Ints,
    offsets: Longs,
    seed: Ints,
    weight: Floats,
    keys: Longs,
    walks: int,
    length: int,
    reset: float,
    share: float,
) -> tuple[Longs, Ints, Floats]:
    left_offsets = a.left_offsets
    start = a.start
    packed = a.packed
    ticks = a.ticks
    pool = a.open_left
    pool_last = a.open_left_last
    pool_degree = a.open_left_degree
    right_offsets = a.right_offsets
    flat_left = left_offsets.reshape(-1)
    flat_right = right_offsets.reshape(-1)
    pointers = a.pointers
    notes = a.notes
    note_start = a.note_start
    back = a.open_right
    back_last = a.open_right_last
    back_degree = a.open_right_degree
    rounds, longest = (length + 1) // 2, 0
    for r in range(query.size):
        longest = max(longest, offsets[r + 1] - offsets[r])
    most = walks + longest + 2  # each start rounds up
    # Of all walks: where each stands. Of those that move: which they are, from where, and what they have drawn.
    at, everyone, who = np.empty(most, np.int64), np.arange(most).astype(np.int32), np.empty(most, np.int32)
    here, drawn, luck = np.empty(most, np.int64), np.empty(most), np.empty(most)
    degree, number, edge = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    node, part = np.empty(most, np.int64), np.empty(most, np.int64)
    # Open addresses: a tweet above 32 bits of its visits; 0 is an empty place.
    width = np.int64(16)
    while 2 * width < 3 * most * rounds:
        width *= 2
    table, slots = np.zeros(width, np.int64), np.empty(most * rounds + 1, np.int64)
    out_request, out_tweet, out_score = np.empty(64, np.int64), np.empty(64, np.int32), np.empty(64, np.float32)
    found = 0
    for r in range(query.size):
        since, until = low[r], high[r]
        users, counts = _starts(
            left_offsets, start, ticks, pool, pool_last, pool_degree, since, until, query[r],
            seed[offsets[r] : offsets[r + 1]], weight[offsets[r] : offsets[r + 1]], walks, share,
        )  # fmt: skip
        n = 0
        for i in range(users.size):
            for _ in range(counts[i]):
                at[n] = users[i]
                n += 1
        whole = not pool.size
        for segment in range(start.size):
            whole = whole and since[segment] <= 0 and until[segment] >= TICK_LIMIT
        home = np.int64(query[r])
        distinct: Whole = 0
        total: Whole = 0
        for step in range(rounds):
            base = np.int64(step) << 33  # draws of a walk do not depend on how many others there are
            # All walks make one step, and each read of it, before any makes the next: reads do not wait for each other.
            _draws(keys[r], base, everyone, n, drawn)
            moving: Whole = 0
            for w in range(n):
                who[moving], here[moving], luck[moving] = w, at[w], drawn[w]
                moving += np.int64((at[w] >= 0) & (drawn[w] >= reset))
                at[w] = home if at[w] >= 0 else -1  # of those that move until they are back
            if whole:
                _take_rows(flat_left, start.size, here, moving, edge, degree)
                _degrees(flat_left, start.size, here, moving, degree)
            else:
                known, have = np.int64(-1), np.int64(0)
                for i in range(moving):
                    if here[i] != known:
                        known = here[i]
                        have = np.int64(
                            left_degree(left_offsets, start, ticks, pool, pool_last, pool_degree, since, until, known)
                        )
                    degree[i] = have
            able = 0
            for i in range(moving):
                if degree[i] == 0:
                    at[who[i]] = -1  # nowhere to go: the walk ends
                    continue
                who[able], here[able], luck[able], degree[able] = who[i], here[i], luck[i], degree[i]
                able += 1
            moving = able
            for i in range(moving):
                number[i] = min(np.int64((luck[i] - reset) / (1.0 - reset) * degree[i]), degree[i] - 1)
            if whole:
                _places(flat_left, start, here, number, moving, edge, part)
                _take(packed, edge, moving, node)
                for i in range(moving):
                    node[i] &= NODE_MASK
            else:
                for i in range(moving):
                    edge[i] = _edge_of_user(
                        left_offsets, start, ticks, pool, pool_last, pool_degree, since, until, here[i], number[i]
                    )
                for i in range(moving):
                    node[i] = _tweet_at(packed, pool, pool_last, pool_degree, here[i], edge[i])
            for i in range(moving):
                slot = ((node[i] * 0x9E3779B97F4A7C1) >> 20) & (width - 1)
                while table[slot] and table[slot] >> 32 != node[i]:
                    slot = (slot + 1) & (width - 1)
                entry = table[slot]
                slots[distinct] = slot
                distinct += np.int64(entry == 0)
                table[slot] = ((node[i] << 32) if entry == 0 else entry) + 1
            total += moving
            if step + 1 == rounds:
                continue
            _draws(keys[r], base + (np.int64(1) << 32), who, moving, luck)
            if not whole:
                for i in range(moving):
                    at[who[i]] = _user_of_tweet(
                        right_offsets, start, ticks, pointers, left_offsets, notes, note_start,
                        back, back_last, back_degree, since, until, node[i], luck[i],
                    )  # fmt: skip
                continue
            _take_rows(flat_right, start.size, node, moving, edge, degree)
            _degrees(flat_right, start.size, node, moving, degree)
            for i in range(moving):
                number[i] = min(np.int64(luck[i] * degree[i]), degree[i] - 1)
            _places(flat_right, start, node, number, moving, edge, part)
            for i in range(moving):
                number[i] = 3 * edge[i]
            _take(pointers, number, moving, degree)
            for i in range(moving):
                edge[i] = three(pointers, edge[i])
            _owners(flat_left, notes, note_start, part, edge, moving, number, degree, here)
            for i in range(moving):
                at[who[i]] = owner_from(left_offsets, part[i], edge[i], here[i])
        if found + distinct > out_tweet.size:
            size = max(found + distinct, 2 * out_tweet.size)
            old_request, old_tweet, old_score = out_request, out_tweet, out_score
            out_request, out_tweet = np.empty(size, np.int64), np.empty(size, np.int32)
            out_score = np.empty(size, np.float32)
            out_request[:found], out_tweet[:found] = old_request[:found], old_tweet[:found]
            out_score[:found] = old_score[:found]
        for i in range(distinct):
            entry = table[slots[i]]
            out_request[found], out_tweet[found] = r, entry >> 32
            out_score[found] = (entry & 0xFFFFFFFF) / total
            table[slots[i]] = 0
            found += 1
    return out_request[:found].copy(), out_tweet[:found].copy(), out_score[:found].copy()


@kernel
def _on_subgraph(  # noqa: PLR0912, PLR0915 (one loop that shares its arrays)
    a: StoreArrays,
    low: Ints,
    high: Ints,
    query: Ints,
    offsets: Longs,
    seed: Ints,
    weight: Floats,
    keys: Longs,
    walks: int,
    length: int,
    reset: float,
    share: float,
    round_up: bool,
) -> tuple[Longs, Ints, Floats]:
    left_offsets = a.left_offsets
    start = a.start
    packed = a.packed
    ticks = a.ticks
    pool = a.open_left
    pool_last = a.open_left_last
    pool_degree = a.open_left_degree
    longest = 0
    for r in range(query.size):
        longest = max(longest, offsets[r + 1] - offsets[r])
    most = walks + longest + 2
    owner, place = np.empty(most, np.int64), np.empty(most, np.int64)
    table = _table(most)
    names = np.empty(table.size, np.int64)
    tweets, degree = np.empty(most, np.int32), np.empty(most, np.int64)
    mass, visited = np.empty(most), np.empty(most)
    out_request, out_tweet = np.empty(query.size * most, np.int64), np.empty(query.size * most, np.int32)
    out_score, found = np.empty(query.size * most, np.float32), 0
    for r in range(query.size):
        since, until = low[r], high[r]
        users, counts = _starts(
            left_offsets, start, ticks, pool, pool_last, pool_degree, since, until, query[r],
            seed[offsets[r] : offsets[r + 1]], weight[offsets[r] : offsets[r + 1]], walks, share,
        )  # fmt: skip
        home = users.size - 1
        for i in range(users.size - 1):
            if users[i] == query[r]:
                home = i
        m, distinct = 0, 0
        left, left_edges = np.empty(users.size), np.zeros(users.size)
        for i in range(users.size):
            left[i] = counts[i]
            if counts[i] == 0:
                continue
            have = left_degree(left_offsets, start, ticks, pool, pool_last, pool_degree, since, until, users[i])
            for n in range(min(have, counts[i])):
                number = min(np.int64(draw(keys[r], m) * have), have - 1) if have > counts[i] else np.int64(n)
                tweet = _tweet_at(
                    packed,
                    pool,
                    pool_last,
                    pool_degree,
                    users[i],
                    _edge_of_user(
                        left_offsets, start, ticks, pool, pool_last, pool_degree, since, until, users[i], number
                    ),
                )
                slot = _slot(table, tweet)
                if table[slot] < 0:
                    table[slot], names[slot] = tweet, distinct
                    tweets[distinct], degree[distinct], visited[distinct] = tweet, 0, 0.0
                    distinct += 1
                owner[m], place[m] = i, names[slot]
                degree[names[slot]] += 1
                left_edges[i] += 1.0
                m += 1
        for step in range((length + 1) // 2):
            kept = 0.0
            mass[:distinct] = 0.0
            for e in range(m):
                mass[place[e]] += left[owner[e]] * (1.0 - reset) / left_edges[owner[e]]
            for i in range(users.size):
                kept += reset * left[i]
                left[i] = 0.0
            if query[r] >= 0:
                left[home] = kept
            for t in range(distinct):
                visited[t] += mass[t]
            if 2 * step + 1 < length:
                for e in range(m):
                    left[owner[e]] += mass[place[e]] / degree[place[e]]
                if round_up:
                    for i in range(users.size):
                        left[i] = np.ceil(left[i])
        total = 0.0
        for t in range(distinct):
            total += visited[t]
        for t in range(distinct):
            out_request[found], out_tweet[found], out_score[found] = r, tweets[t], visited[t] / total
            found += 1
        table[:] = -1
    return out_request[:found].copy(), out_tweet[:found].copy(), out_score[:found].copy()

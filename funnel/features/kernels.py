"""Compiled loops of the features: edges of the follow graph, pairs, counts with decay, social proof."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.kernels import helper, kernel
from funnel.core.kernels.grouping import first_not_before


@helper
def find_target(targets: Array, low: int, high: int, wanted: int | np.int64) -> int:
    """The place of `wanted` in targets[low:high] (ascending), -1 if it is not there."""
    at = first_not_before(targets, low, high, wanted)
    return at if at < high and targets[at] == wanted else -1


# As many questions about one range at least, before a table of it is worth making; and as many per entry of the range.
_TABLE_FROM, _TABLE_PER_ENTRY = 64, 0.25


@helper
def _table_of(values: Array, low: int, high: int) -> Ints:
    """A hash table of open addresses: places of values[low:high] (distinct), -1 where nothing stands."""
    width = 4
    while width < 4 * (high - low):
        width *= 2
    table = np.full(width, -1, np.int32)
    for place in range(low, high):
        at = _slot(values[place], width)
        while table[at] >= 0:
            at = (at + 1) & (width - 1)
        table[at] = place
    return table


@helper
def _slot(value: int | np.int32 | np.int64, width: int) -> int:
    """Where in a table of that width (a power of two) a value stands if the place is free."""
    return int((np.int64(value) * np.int64(0x9E3779B97F4A7C1)) >> 24) & (width - 1)


@helper
def _in_table(table: Ints, values: Array, wanted: int | np.int64) -> int:
    """The place of `wanted` among the values, -1 if it is not there."""
    at = _slot(wanted, table.size)
    while table[at] >= 0 and values[table[at]] != wanted:
        at = (at + 1) & (table.size - 1)
    return int(table[at])


@helper
def _end_of_run(values: Ints, begin: int) -> int:
    end = begin + 1
    while end < values.size and values[end] == values[begin]:
        end += 1
    return end


@kernel
def edge_time(offsets: Longs, targets: Ints, times: Doubles, source: Ints, target: Ints) -> Doubles:
    """float64 [n]: since when source[i] points at target[i], inf if it never does.

    Neighbouring rows mostly share the source (the viewer): many questions about one are answered by a table.
    """
    out = np.full(source.size, np.inf)
    begin = 0
    while begin < source.size:
        end = _end_of_run(source, begin)
        low, high = offsets[source[begin]], offsets[source[begin] + 1]
        if end - begin >= max(_TABLE_FROM, _TABLE_PER_ENTRY * (high - low)):
            table = _table_of(targets, low, high)
            for i in range(begin, end):
                at = _in_table(table, targets, target[i])
                if at >= 0:
                    out[i] = times[at]
        else:
            for i in range(begin, end):
                at = find_target(targets, low, high, target[i])
                if at >= 0:
                    out[i] = times[at]
        begin = end
    return out


@kernel
def pair_slots(keys: Longs, first: Ints, second: Ints) -> Longs:
    """int64 [n]: the group of each pair in a sparse index by pair, -1 if it has none.

    Neighbouring rows mostly share `first` (the viewer), whose keys stand together: their range is searched once, and
    many questions about it are answered by a table.
    """
    out = np.full(first.size, -1, np.int64)
    begin = 0
    while begin < first.size:
        end = _end_of_run(first, begin)
        own = np.int64(first[begin]) << 32
        low = first_not_before(keys, 0, keys.size, own)
        high = first_not_before(keys, low, keys.size, own + (np.int64(1) << 32))
        if high > low and end - begin >= max(_TABLE_FROM, _TABLE_PER_ENTRY * (high - low)):
            table = _table_of(keys, low, high)
            for i in range(begin, end):
                out[i] = _in_table(table, keys, own | np.int64(second[i]))
        elif high > low:
            for i in range(begin, end):
                out[i] = find_target(keys, low, high, own | np.int64(second[i]))
        begin = end
    return out


@kernel
def gave(
    offsets: Longs, times: Doubles, rows: Ints, about_of_row: Ints, giver: Ints, about: Ints, now: Doubles
) -> Bools:
    """bool [n]: whether one of the giver's events before now is about about[i]; offsets: by giver."""
    out = np.zeros(giver.size, np.bool_)
    for i in range(giver.size):
        for e in range(offsets[giver[i]], offsets[giver[i] + 1]):
            if times[e] >= now[i]:
                break
            if about_of_row[rows[e]] == about[i]:
                out[i] = True
                break
    return out


@kernel
def has_muted_word(
    mutes: Longs,
    mute_h: Doubles,
    mute_row: Ints,
    word_of_row: Ints,
    tweet_offsets: Longs,
    tweet_words: Ints,
    viewer: Ints,
    tweet: Ints,
    original: Ints,
    now: Doubles,
) -> Bools:
    """bool [n]: whether the tweet, or the one it retweets, has a word that the viewer muted before now."""
    out = np.zeros(viewer.size, np.bool_)
    begin, end = 0, 0
    for i in range(viewer.size):
        if i == 0 or viewer[i] != viewer[i - 1] or now[i] != now[i - 1]:
            begin = mutes[viewer[i]]
            end = first_not_before(mute_h, begin, mutes[viewer[i] + 1], now[i])
        for m in range(begin, end):
            word = word_of_row[mute_row[m]]
            shown = original[i]
            out[i] |= find_target(tweet_words, tweet_offsets[shown], tweet_offsets[shown + 1], word) >= 0
            shown = tweet[i]
            if shown != original[i]:
                out[i] |= find_target(tweet_words, tweet_offsets[shown], tweet_offsets[shown + 1], word) >= 0
    return out


@helper
def newest_before(times: Doubles, low: int, high: int, now: float) -> int:
    """The first place in times[low:high] that is not before `now`, searched from the end.

    Most questions are about the present, after which little or nothing is known.
    """
    step = 1
    place = high
    while place > low and times[place - 1] >= now:
        high = place - 1
        place = max(low, high - step)
        step *= 2
    return first_not_before(times, place, high, now)


@kernel
def event_totals(
    offsets: Longs, times: Doubles, states: Floats, rates: Doubles, slots: Longs, now: Doubles, never: float
) -> Floats:
    """float32 [n, 2 + H]: of the group's events before now[i], the count, the hours since the last, H decayed counts.

    states: float32 [E, H], what `decay_states` gives for each half-life; rates: float64 [H], ln 2 / half-life;
    never: the hours since the last event where there is none, and the most that are told.
    """
    kinds = rates.size
    out = np.zeros((slots.size, 2 + kinds), np.float32)
    for i in range(slots.size):
        out[i, 1] = never
        if slots[i] < 0:
            continue
        begin = offsets[slots[i]]
        end = newest_before(times, begin, offsets[slots[i] + 1], now[i])
        if end > begin:
            since = now[i] - times[end - 1]
            out[i, 0] = end - begin
            out[i, 1] = min(since, never)
            for kind in range(kinds):
                out[i, 2 + kind] = states[end - 1, kind] * np.exp(-since * rates[kind])
    return out


@kernel
def totals_of_kinds(
    begins: Ints,
    times: tuple[Doubles, ...],
    states: tuple[Floats, ...],
    rates: tuple[Doubles, ...],
    wanted: Bools,
    own_too: Bools,
    group: Ints,
    own: Ints,
    now: Doubles,
    never: float,
    width: int,
) -> Floats:
    """float32 [K, n, width]: `event_totals` for each wanted kind of event, whose index is dense; 0 in further columns.

    begins: [G + 1, wanted kinds], where each group begins among the events of each kind: side by side, so that a row's
    look-ups for all kinds wait for memory once.
    own: a second group whose events count as well where it is another one and `own_too` says so for the kind.
    """
    out = np.zeros((len(times), group.size, width), np.float32)
    # Look-ups far apart wait for memory, all at once if no branch stands between them: so a loop for each step.
    rows, begin, end = np.empty(group.size, np.int64), np.empty(group.size, np.int64), np.empty(group.size, np.int64)
    last = np.empty(group.size)
    column = -1
    for kind in range(len(times)):
        if not wanted[kind]:
            continue
        column += 1
        of_kind = out[kind]
        of_kind[:, 1] = never
        moments, decayed, rate = times[kind], states[kind], rates[kind]
        for again in range(2 if own_too[kind] else 1):
            asked = own if again else group
            some = 0
            for i in range(group.size):
                rows[some], begin[some], end[some] = i, begins[asked[i], column], begins[asked[i] + 1, column]
                some += end[some] > begin[some] and not (again and own[i] == group[i])
            for k in range(some):
                last[k] = moments[end[k] - 1]
            for k in range(some):
                i = rows[k]
                if last[k] >= now[i]:
                    end[k] = newest_before(moments, begin[k], end[k], now[i])
                    if end[k] == begin[k]:
                        continue
                    last[k] = moments[end[k] - 1]
                since = now[i] - last[k]
                of_kind[i, 0] += np.float32(end[k] - begin[k])
                of_kind[i, 1] = min(since, np.float64(of_kind[i, 1]))
                for life in range(rate.size):
                    of_kind[i, 2 + life] += np.float32(decayed[end[k] - 1, life] * np.exp(-since * rate[life]))
    return out


@helper
def _add_totals(
    out: Floats,
    i: int,
    offsets: Longs,
    times: Doubles,
    states: Floats,
    rates: Doubles,
    slot: int | np.int32 | np.int64,
    now: float,
) -> None:
    """Add a group's events to out[i]: the count, hours since the last (if fewer), decayed counts."""
    begin, end = offsets[slot], offsets[slot + 1]
    if end > begin and times[end - 1] >= now:
        end = newest_before(times, begin, end, now)
    if end > begin:
        since = now - times[end - 1]
        out[i, 0] += np.float32(end - begin)
        out[i, 1] = min(since, np.float64(out[i, 1]))
        for kind in range(rates.size):
            out[i, 2 + kind] += np.float32(states[end - 1, kind] * np.exp(-since * rates[kind]))


@kernel
def totals_of_pairs(  # noqa: PLR0912 — one walk over a request's candidates serves all kinds
    request_offsets: Longs,
    viewers: Ints,
    moments: Doubles,
    author: Ints,
    keys: tuple[Longs, ...],
    offsets: tuple[Longs, ...],
    times: tuple[Doubles, ...],
    states: tuple[Floats, ...],
    rates: Doubles,
    never: float,
) -> Floats:
    """float32 [n, K + 1, 2 + H]: `event_totals` of each kind of event, for a request's viewer and an author.

    The last kind is left for the caller. A viewer's own keys are walked once for each kind, and the candidates' authors
    are found among them by a table; where a viewer has many more keys than candidates, each candidate searches them.
    """
    kinds = len(keys) + 1
    out = np.zeros((author.size * kinds, 2 + rates.size), np.float32)
    out[:, 1] = never
    for r in range(viewers.size):
        first, last = request_offsets[r], request_offsets[r + 1]
        if first == last:
            continue
        now, own = moments[r], np.int64(viewers[r]) << 32
        width = 4
        while width < 3 * (last - first):
            width *= 2
        table = np.full(width, -1, np.int32)  # open addresses: a row of each author
        same = np.empty(last - first, np.int32)  # the row that stands for a row's author
        for i in range(first, last):
            at = _slot(author[i], width)
            while table[at] >= 0 and author[table[at]] != author[i]:
                at = (at + 1) & (width - 1)
            if table[at] < 0:
                table[at] = i
            same[i - first] = table[at]
        for kind in range(len(keys)):
            known, begins, hours, decayed = keys[kind], offsets[kind], times[kind], states[kind]
            low = first_not_before(known, 0, known.size, own)
            high = first_not_before(known, low, known.size, own + (np.int64(1) << 32))
            if high - low <= 8 * (last - first):
                for slot in range(low, high):
                    i = _row_of(table, author, np.int32(known[slot] & 0xFFFFFFFF))
                    if i >= 0:
                        _add_totals(out, i * kinds + kind, begins, hours, decayed, rates, slot, now)
            else:
                for i in range(first, last):
                    if same[i - first] == i:
                        slot = find_target(known, low, high, own | np.int64(author[i]))
                        if slot >= 0:
                            _add_totals(out, i * kinds + kind, begins, hours, decayed, rates, slot, now)
        for i in range(first, last):
            if same[i - first] != i:
                for row in range(kinds):
                    out[i * kinds + row] = out[same[i - first] * kinds + row]
    return out.reshape((author.size, kinds, 2 + rates.size))


@helper
def _row_of(table: Ints, values: Ints, wanted: int | np.int32) -> int:
    """The row that the table has for a value, -1 if it is not there."""
    at = _slot(wanted, table.size)
    while table[at] >= 0 and values[table[at]] != wanted:
        at = (at + 1) & (table.size - 1)
    return int(table[at])


@kernel
def count_within(offsets: Longs, times: Doubles, slots: Ints, now: Doubles, hours: Doubles) -> Floats:
    """float32 [H, n]: events of the group in [now[i] - hours[h], now[i]); hours descend."""
    out = np.zeros((hours.size, slots.size), np.float32)
    begins, ends = np.empty(slots.size, np.int64), np.empty(slots.size, np.int64)
    for i in range(slots.size):  # apart, so that look-ups of all rows wait for memory together
        begins[i], ends[i] = offsets[slots[i]], offsets[slots[i] + 1]
    for i in range(slots.size):
        begin, end = begins[i], newest_before(times, begins[i], ends[i], now[i])
        for h in range(hours.size):
            begin = newest_before(times, begin, end, now[i] - hours[h])
            out[h, i] = end - begin
    return out


@kernel
def favorited_by(
    offsets: Longs,
    times: Doubles,
    rows_of_event: Ints,
    user_of_row: Ints,
    follow_offsets: Longs,
    follow_targets: Ints,
    follow_h: Doubles,
    vectors: Floats,
    viewer: Ints,
    tweet: Ints,
    now: Doubles,
    newest: int,
    compared: int,
) -> Floats:
    """float32 [n, 2]: among the `newest` users who favourited the tweet before now, how many the viewer follows;
    and the mean dot product of the viewer's vector with those of the `compared` newest (0 if there are none).

    vectors: float32 [U, d]; an empty one (d = 0) leaves the second column 0.
    """
    out = np.zeros((viewer.size, 2), np.float32)
    dimensions = vectors.shape[1]
    rows, begins, ends = (
        np.empty(viewer.size, np.int64),
        np.empty(viewer.size, np.int64),
        np.empty(viewer.size, np.int64),
    )
    some = 0
    for i in range(viewer.size):  # apart, so that look-ups of all rows wait for memory together
        rows[some], begins[some], ends[some] = i, offsets[tweet[i]], offsets[tweet[i] + 1]
        some += ends[some] > begins[some]
    for k in range(some):
        i, begin = rows[k], begins[k]
        me = viewer[i]
        end = newest_before(times, begin, ends[k], now[i])
        low, high = follow_offsets[me], follow_offsets[me + 1]
        followed = 0
        similarity = np.float32(0.0)
        others = 0
        for e in range(end - 1, max(begin, end - newest) - 1, -1):
            user = user_of_row[rows_of_event[e]]
            at = find_target(follow_targets, low, high, user)
            if at >= 0 and follow_h[at] < now[i]:
                followed += 1
            if others < compared and user != me:
                others += 1
                for d in range(dimensions):
                    similarity += vectors[me, d] * vectors[user, d]
        out[i, 0] = followed
        if others > 0:
            out[i, 1] = similarity / others
    return out


@kernel
def two_hop_counts(
    request_offsets: Longs,
    request_viewer: Ints,
    request_now: Doubles,
    author: Ints,
    follow_offsets: Longs,
    follow_targets: Ints,
    follow_h: Doubles,
    first_hops: int,
) -> Floats:
    """float32 [n]: how many of the viewer's followees follow the author, both edges before the request.

    Walks each viewer's two hops once and reads the candidates off; at most `first_hops` followees are walked.
    """
    users = follow_offsets.size - 1
    count = np.zeros(users, np.int32)
    out = np.zeros(author.size, np.float32)
    for r in range(request_viewer.size):
        if request_offsets[r] == request_offsets[r + 1]:
            continue
        me, now = request_viewer[r], request_now[r]
        begin = follow_offsets[me]
        end = min(follow_offsets[me + 1], begin + first_hops)
        for hop in range(begin, end):
            if follow_h[hop] < now:
                friend = follow_targets[hop]
                for e in range(follow_offsets[friend], follow_offsets[friend + 1]):
                    if follow_h[e] < now:
                        count[follow_targets[e]] += 1
        for i in range(request_offsets[r], request_offsets[r + 1]):
            out[i] = count[author[i]]
        for hop in range(begin, end):
            friend = follow_targets[hop]
            for e in range(follow_offsets[friend], follow_offsets[friend + 1]):
                count[follow_targets[e]] = 0
    return out


@kernel
def row_dots(left: Floats, right: Floats, left_row: Ints, right_row: Ints) -> Floats:
    """float32 [n]: left[left_row[i]] · right[right_row[i]]."""
    out = np.zeros(left_row.size, np.float32)
    for i in range(left_row.size):
        total = np.float32(0.0)
        for d in range(left.shape[1]):
            total += left[left_row[i], d] * right[right_row[i], d]
        out[i] = total
    return out


@kernel
def interest_in(interested_in: Ints, interest: Floats, viewer: Ints, cluster: Ints) -> Floats:
    """float32 [n]: the viewer's weight of a cluster, 0 if it is not among theirs or is -1.

    interested_in: int32 [U, k], clusters padded with -1; interest: float32 [U, k], their weights.
    """
    out = np.zeros(viewer.size, np.float32)
    for i in range(viewer.size):
        for k in range(interested_in.shape[1]):
            found = interested_in[viewer[i], k]
            if found < 0 or cluster[i] < 0:
                break
            if found == cluster[i]:
                out[i] = interest[viewer[i], k]
                break
    return out


@kernel
def topic_histories(  # noqa: PLR0912 — one walk over events and words serves all kinds
    request_offsets: Longs,
    viewers: Ints,
    moments: Doubles,
    tweet: Ints,
    event_offsets: tuple[Longs, ...],
    event_h: tuple[Doubles, ...],
    event_rows: tuple[Ints, ...],
    tweet_of_row: tuple[Ints, ...],
    newest: Longs,
    word_offsets: Longs,
    words: Ints,
    topic_of_word: Ints,
    topic_count: int,
) -> Floats:
    """float32 [K, n, 3]: how many of the viewer's `newest` events of each kind before the request were about the
    candidate's topics: the mean over its words that have a topic, and the most, 0 if none has; and how many have one.

    event_offsets: by viewer; tweet_of_row: of the events' tables, empty where a row is a tweet; topic_of_word: -1 for
    none. An event counts once for each word of its tweet that has a topic. Walks each viewer's events once and reads
    the candidates off.
    """
    kinds = len(event_offsets)
    out = np.zeros((kinds, tweet.size, 3), np.float32)
    count = np.zeros((topic_count, kinds), np.float32)
    word_begin, word_end = np.empty(tweet.size, np.int64), np.empty(tweet.size, np.int64)
    for i in range(tweet.size):  # apart, so that look-ups of all rows wait for memory together
        word_begin[i], word_end[i] = word_offsets[tweet[i]], word_offsets[tweet[i] + 1]
    for r in range(viewers.size):
        if request_offsets[r] == request_offsets[r + 1]:
            continue
        for kind in range(kinds):
            begins, hours, rows, tweets = event_offsets[kind], event_h[kind], event_rows[kind], tweet_of_row[kind]
            first = begins[viewers[r]]
            end = newest_before(hours, first, begins[viewers[r] + 1], moments[r])
            for e in range(max(first, end - newest[kind]), end):
                about = tweets[rows[e]] if tweets.size else rows[e]
                for k in range(word_offsets[about], word_offsets[about + 1]):
                    topic = topic_of_word[words[k]]
                    if topic >= 0:
                        count[topic, kind] += 1
        for i in range(request_offsets[r], request_offsets[r + 1]):
            known = 0
            for k in range(word_begin[i], word_end[i]):
                topic = topic_of_word[words[k]]
                if topic >= 0:
                    known += 1
                    for kind in range(kinds):
                        out[kind, i, 0] += count[topic, kind]
                        out[kind, i, 1] = max(out[kind, i, 1], count[topic, kind])
            if known > 0:
                for kind in range(kinds):
                    out[kind, i, 0] /= np.float32(known)
                    out[kind, i, 2] = known
        count[:] = 0
    return out


@kernel
def word_pairs(word_offsets: Longs, words: Ints, tweets: int, place: Ints, size: int) -> Doubles:
    """float64 [size, size]: how often two words stand in the same of the first `tweets` tweets.

    place: int32 [W], row of each word, -1 for those that are left out.
    """
    out = np.zeros((size, size))
    for t in range(tweets):
        for k in range(word_offsets[t], word_offsets[t + 1]):
            for m in range(word_offsets[t], k):
                a, b = place[words[k]], place[words[m]]
                if a >= 0 and b >= 0 and a != b:
                    out[a, b] += 1
                    out[b, a] += 1
    return out


@kernel
def local_moves(links: Doubles, resolution: float, sweeps: int) -> Ints:
    """int32 [n]: each node's community, by moving nodes one after the other to where modularity grows most.

    links: [n, n], symmetric. The first phase of Blondel et al. 2008 (arXiv 0803.0476), in the order of the nodes.
    """
    n = links.shape[0]
    home = np.arange(n).astype(np.int32)
    degree = links.sum(axis=1)
    inside = degree.copy()
    total = max(degree.sum(), 1e-300)
    into = np.zeros(n)
    for _ in range(sweeps):
        moved = 0
        for i in range(n):
            if degree[i] == 0.0:
                continue
            into[:] = 0.0
            for j in range(n):
                if j != i:
                    into[home[j]] += links[i, j]
            inside[home[i]] -= degree[i]
            best, most = home[i], into[home[i]] - resolution * degree[i] * inside[home[i]] / total
            for c in range(n):
                if into[c] > 0.0:
                    gain = into[c] - resolution * degree[i] * inside[c] / total
                    if gain > most + 1e-12:
                        best, most = c, gain
            moved += best != home[i]
            home[i] = best
            inside[best] += degree[i]
        if moved == 0:
            break
    return home

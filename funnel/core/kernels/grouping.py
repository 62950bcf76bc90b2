"""Group rows by a dense or sparse key and search inside groups that are sorted by time."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.kernels import helper, kernel


@kernel
def group_rows(keys: Longs, key_count: int) -> tuple[Longs, Ints]:
    """Counting sort: (offsets int64 [key_count + 1], order int32 [n]); stable. Keys below 0 are left out."""
    offsets = np.zeros(key_count + 1, np.int64)
    for i in range(keys.size):
        if keys[i] >= 0:
            offsets[keys[i] + 1] += 1
    for k in range(key_count):
        offsets[k + 1] += offsets[k]
    order = np.empty(offsets[key_count], np.int32)
    place = offsets[:-1].copy()
    for i in range(keys.size):
        if keys[i] >= 0:
            order[place[keys[i]]] = i
            place[keys[i]] += 1
    return offsets, order


@helper
def first_not_before(values: Array, low: int, high: int, wanted: float | np.int64) -> int:
    """The first place in values[low:high] (ascending: times, keys or ids) that is not below `wanted`."""
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def find_keys(sorted_keys: Longs, wanted: Longs) -> Longs:
    """int64 [n]: where each wanted key stands among the sorted ones, -1 if it does not."""
    out = np.empty(wanted.size, np.int64)
    for i in range(wanted.size):
        at = first_not_before(sorted_keys, 0, sorted_keys.size, wanted[i])
        out[i] = at if at < sorted_keys.size and sorted_keys[at] == wanted[i] else -1
    return out


@kernel
def count_before(offsets: Longs, times: Doubles, slots: Longs, now: Doubles) -> Ints:
    """int32 [n]: events of group `slots[i]` strictly before `now[i]`; 0 for slot -1."""
    out = np.zeros(slots.size, np.int32)
    for i in range(slots.size):
        if slots[i] >= 0:
            begin = offsets[slots[i]]
            out[i] = first_not_before(times, begin, offsets[slots[i] + 1], now[i]) - begin
    return out


@kernel
def last_before(offsets: Longs, times: Doubles, slots: Longs, now: Doubles) -> Doubles:
    """float64 [n]: time of the newest event of the group strictly before `now[i]`; -inf if there is none."""
    out = np.full(slots.size, -np.inf)
    for i in range(slots.size):
        if slots[i] >= 0:
            begin = offsets[slots[i]]
            end = first_not_before(times, begin, offsets[slots[i] + 1], now[i])
            if end > begin:
                out[i] = times[end - 1]
    return out


@kernel
def decay_states(offsets: Longs, times: Doubles, half_life: float) -> Floats:
    """float32 [E]: S_i = 1 + S_(i-1) * 2^-((t_i - t_(i-1)) / half_life) along each group."""
    out = np.empty(times.size, np.float32)
    for group in range(offsets.size - 1):
        state = 0.0
        for i in range(offsets[group], offsets[group + 1]):
            if i > offsets[group]:
                state *= 2.0 ** (-(times[i] - times[i - 1]) / half_life)
            state += 1.0
            out[i] = state
    return out


@kernel
def decayed_before(
    offsets: Longs, times: Doubles, states: Floats, slots: Longs, now: Doubles, half_life: float
) -> Floats:
    """float32 [n]: sum over the group's events before `now[i]` of 2^-((now - t) / half_life)."""
    out = np.zeros(slots.size, np.float32)
    for i in range(slots.size):
        if slots[i] >= 0:
            begin = offsets[slots[i]]
            end = first_not_before(times, begin, offsets[slots[i] + 1], now[i])
            if end > begin:
                out[i] = states[end - 1] * 2.0 ** (-(now[i] - times[end - 1]) / half_life)
    return out


def pair_keys(first: Array, second: Array) -> Longs:
    """int64 [n]: one key for a pair of ids; -1 where either is missing."""
    keys = (first.astype(np.int64) << 32) | second.astype(np.int64)
    return np.where((first < 0) | (second < 0), np.int64(-1), keys)

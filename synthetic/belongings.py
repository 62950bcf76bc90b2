"""What people keep: lists of accounts, and subscriptions to creators whom they follow."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array
from synthetic.arrays import distinct, pick
from synthetic.people import People

_WITH_LIST = 0.02  # share of users
_LONGEST_LIST = 12
_PAYING = 0.04  # share of a creator's followers


def make_lists(people: People, topics: int, rng: np.random.Generator) -> dict[str, Array]:
    """Two users in a hundred keep a list of up to twelve accounts of their main topic, mostly famous ones."""
    users = people.main.size
    owners = np.flatnonzero(rng.random(users) < _WITH_LIST).astype(np.int32)
    number = np.repeat(np.arange(owners.size, dtype=np.int64), _LONGEST_LIST)
    topic, draws = people.main[owners[number]], rng.random(number.size)
    member = np.zeros(number.size, np.int64)
    for code in range(topics):
        rows = topic == code
        member[rows] = pick(people.fame * people.interests[:, code], draws[rows])
    number, member = np.divmod(distinct(number * users + member), users)
    return {"list": number.astype(np.int32), "owner": owners[number], "member": member.astype(np.int32)}


def make_subscriptions(
    people: People, follows: dict[str, Array], end_h: float, rng: np.random.Generator
) -> dict[str, Array]:
    """Who pays for the exclusive tweets of a creator, since some moment after following."""
    rows = np.flatnonzero(people.table["creator"][follows["followee"]])
    rows = rows[rng.random(rows.size) < _PAYING]
    since_h = follows["time_h"][rows]
    return {
        "subscriber": follows["follower"][rows],
        "author": follows["followee"][rows],
        "time_h": since_h + (end_h - since_h) * rng.random(rows.size),
    }

"""The past of notifications: what a simple policy sent before any funnel ran, and what viewers did with it.

Moments come to every viewer alike, at the settings' rate and in the rhythm of the day (`synthetic.clock`), so that few
fall into the night. At a moment the policy considers up to three tweets, one for each arm: FOLLOWED, one of the three
newest tweets of followees; POPULAR and EXPLORED as in `synthetic.log`, with the same pools and the same exclusions.
What was considered for a viewer is not considered again. One of the arms that found something is drawn by the settings'
shares, and its tweet is sent. `propensity` is the probability of the arm among those times that of the tweet in the
arm's pool.

Some viewers have had notifications off since before the first hour. Whoever turns them off gets no more. All that a
viewer does with a notification happens within twelve minutes, so that the log is whole at its end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from funnel.core.actions import ACTION_CODE, PUBLIC_ACTIONS, PUSH_ACTION_CODE
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints
from funnel.core.rng import key, uniform
from funnel.core.tables import BLOCK, MUTE, RECOMMENDED
from funnel.core.world import WorldTables
from synthetic.clock import moments
from synthetic.log import (
    LAST_MOMENT_H,
    WINDOW_H,
    Town,
    bar_authors,
    count_public,
    fresh_state,
    pages_at,
)
from synthetic.notifying import DISLIKE, ENGAGE, OPEN, TURN_OFF, NotificationModel

_ARMS = 3
_SPREAD = 6.0  # standard deviations above the mean for which the memory of what was considered is long enough
_BLOCK = 1 << 17  # notifications that are reacted to at a time, so that memory stays bounded
# Seconds until a notification is opened from the lock screen, and until anything else is done with it.
_SOON_S, _LATER_S = (10.0, 120.0), (120.0, 600.0)
_AFTER_S = {ENGAGE: 60.0, DISLIKE: 30.0, TURN_OFF: 60.0}  # and then until what comes after that
_HOUR_S = 3600.0


class Sent(NamedTuple):
    """Notifications in order of time; columns as in the table."""

    viewer: Ints
    tweet: Ints
    time_h: Doubles
    arm: Array
    propensity: Floats


def early_settings(created_h: Doubles, never_share: float, rng: np.random.Generator) -> dict[str, Array]:
    """Rows of `notification_settings` for those who have had them off since before the first hour."""
    time_h = created_h * rng.random(created_h.size)
    user = np.flatnonzero(rng.random(created_h.size) < never_share)
    user = user[np.argsort(time_h[user], kind="stable")].astype(np.int32)
    return {"user": user, "allowed": np.zeros(user.size, np.bool_), "time_h": time_h[user]}


def choose_notifications(
    tables: WorldTables,
    off: Ints,
    *,
    per_user_day: float,
    arm_shares: tuple[float, float, float],
    seed: int,
    rng: np.random.Generator,
) -> Sent:
    """What the policy sends over the world's time if nobody turns notifications off; off: who has them off already."""
    users, end_h = tables.table("users"), tables.meta.end_h
    reached = ~users["suspended"]
    reached[off] = False
    targets = np.flatnonzero(reached).astype(np.int32)
    count = rng.poisson(targets.size * per_user_day * end_h / 24.0)
    time_h = np.sort(moments(rng.random(count), end_h - LAST_MOMENT_H))
    viewer = targets[rng.integers(0, max(targets.size, 1), count)]
    seen = per_user_day * WINDOW_H / 24.0  # in a window
    memory = _ARMS * int(np.ceil(seen + _SPREAD * np.sqrt(seen) + 1.0))
    town, arms = Town.of(tables), [int(share > 0.0) for share in arm_shares]
    state = fresh_state(reached.size, town.author.size, memory)
    engaged, barred = _public_engagements(tables), _barring_feedback(tables)
    parts: list[Sent] = []
    for hour in range(int(np.ceil(end_h))):
        low, high = np.searchsorted(time_h, (hour, hour + 1))
        count_public(state, *_during(engaged, hour - 1.0, hour))
        bar_authors(state, *_during(barred, -np.inf if hour == 0 else hour - 1.0, hour), reached.size)
        asked = viewer[low:high], time_h[low:high], np.arange(low, high) + 1
        pages = pages_at(state, town, *asked, float(hour), arms=arms, state_key=key(seed, "notifications"))
        parts.append(_one_of(pages, viewer[low:high], time_h[low:high], int(low), np.array(arm_shares), seed))
    return Sent(*map(np.concatenate, zip(*parts, strict=True)))


def as_sent(sent: Sent) -> dict[str, Array]:
    """Rows of `notifications`, all of one kind."""
    columns: dict[str, Array] = dict(zip(Sent._fields, sent, strict=True))
    return columns | {"kind": np.full(sent.viewer.size, RECOMMENDED, np.int8)}


def write_notifications(
    model: NotificationModel, sent: Sent, settings: dict[str, Array], seed: int
) -> dict[str, dict[str, Array]]:
    """The tables `notifications`, `notification_actions` and `notification_settings`.

    model: of a world in which all of `sent` was sent. What comes after a viewer's turning off is left out, which
    changes nothing that was before.
    """
    kind, did = np.empty(sent.viewer.size, np.int8), np.empty((sent.viewer.size, len(PUSH_ACTION_CODE)), np.bool_)
    for begin in range(0, sent.viewer.size, _BLOCK):
        part = slice(begin, begin + _BLOCK)
        viewer, tweet, now_h = sent.viewer[part], sent.tweet[part], sent.time_h[part]
        kind[part] = model.kinds(viewer, tweet, now_h)
        did[part] = model.react(viewer, tweet, np.zeros_like(viewer), now_h, seed=seed)
    actions = actions_of(sent.viewer, sent.tweet, sent.time_h, did, first=0, seed=seed)
    off = settings_of(actions)
    off_h = np.full(int(sent.viewer.max(initial=-1)) + 1, np.inf)
    off_h[off["user"]] = off["time_h"]
    kept = sent.time_h <= off_h[sent.viewer]
    place = (np.cumsum(kept) - 1).astype(np.int32)
    caused = kept[actions["impression"]]
    actions = {name: values[caused] for name, values in actions.items()}
    actions["impression"] = place[actions["impression"]]
    notifications = {**as_sent(sent), "kind": kind}
    return {
        "notifications": {name: values[kept] for name, values in notifications.items()},
        "notification_actions": actions,
        "notification_settings": {name: np.concatenate([settings[name], off[name]]) for name in settings},
    }


def actions_of(
    viewer: Ints, tweet: Ints, time_h: Doubles, did: Bools, *, first: int, seed: int, within_h: float = np.inf
) -> dict[str, Array]:
    """Rows of `notification_actions` for n notifications, whose rows are `first` and up; did: bool [n, 7].

    within_h: the longest that a viewer takes, if it must be less than usual.
    """
    notification, action = np.nonzero(did)
    draw = uniform(seed, "notified wait", np.arange(first, first + viewer.size))
    low_s, high_s = np.where(did[:, [OPEN]], _SOON_S, _LATER_S).T
    after_s = np.array([_AFTER_S.get(code, 0.0) for code in range(did.shape[1])])
    wait_h = ((low_s + (high_s - low_s) * draw)[notification] + after_s[action]) / _HOUR_S
    wait_h *= min(1.0, within_h / float(wait_h.max(initial=1e-9)))
    done_h = time_h[notification] + wait_h
    order = np.argsort(done_h, kind="stable")
    notification = notification[order]
    return {
        "viewer": viewer[notification],
        "tweet": tweet[notification],
        "action": action[order].astype(np.int8),
        "time_h": done_h[order],
        "impression": (first + notification).astype(np.int32),
    }


def settings_of(actions: dict[str, Array]) -> dict[str, Array]:
    """Rows of `notification_settings`: each viewer's first turning off."""
    rows = np.flatnonzero(actions["action"] == TURN_OFF)
    _, first = np.unique(actions["viewer"][rows], return_index=True)
    rows = rows[np.sort(first)]
    return {
        "user": actions["viewer"][rows],
        "allowed": np.zeros(rows.size, np.bool_),
        "time_h": actions["time_h"][rows],
    }


def _one_of(
    pages: tuple[Ints, Array, Floats], viewer: Ints, time_h: Doubles, first: int, arm_shares: Doubles, seed: int
) -> Sent:
    """Draw one of the tweets considered at each moment; moments at which none was found are left out."""
    tweet, arm, propensity = pages
    share = np.where(tweet >= 0, arm_shares[arm], 0.0)
    some = np.flatnonzero(share.sum(axis=1) > 0.0)
    share = np.cumsum(share[some], axis=1)
    draw = uniform(seed, "notification arm", first + some) * share[:, -1]
    place = np.argmax(share > draw[:, None], axis=1)
    chance = arm_shares[arm[some, place]] / share[:, -1] * propensity[some, place]
    return Sent(viewer[some], tweet[some, place], time_h[some], arm[some, place], chance.astype(np.float32))


def _public_engagements(tables: WorldTables) -> tuple[Doubles, Ints, Array]:
    """(when, of which tweet, how many times: 1) in order of time."""
    done = tables.table("engagements")
    rows = np.flatnonzero(np.isin(done["action"], [ACTION_CODE[name] for name in PUBLIC_ACTIONS]))
    return done["time_h"][rows], done["tweet"][rows], np.ones(rows.size, np.float32)


def _barring_feedback(tables: WorldTables) -> tuple[Doubles, Ints, Array]:
    """(when, by whom, about which author) blocks and mutes, in order of time."""
    given = tables.table("feedback")
    rows = np.flatnonzero(np.isin(given["kind"], (BLOCK, MUTE)))
    return given["time_h"][rows], given["user"][rows], given["author"][rows]


def _during(events: tuple[Doubles, Ints, Array], begin_h: float, end_h: float) -> tuple[Ints, Array]:
    low, high = np.searchsorted(events[0], (begin_h, end_h))
    return events[1][low:high], events[2][low:high]

"""What the platform sent the viewer before, what became of it, and why it would send this tweet.

Features of recommended notifications (`funnel.core.products.PUSH`): the history that quality control asks and that the
push rankers learn from, as twitter/the-algorithm, pushservice reads it from a target's history, caret feedback and
device settings (pushservice/.../predicate/TargetPredicates.scala, .../ntab_caret_fatigue). All of them look only at
what was sent, done or set strictly before the request.
"""

from __future__ import annotations

import numpy as np

from funnel.core.actions import PUSH_ACTION_CODE
from funnel.core.arrays import Array, Bools, Doubles, Floats, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.events import EventIndex
from funnel.core.kernels.grouping import pair_keys
from funnel.core.tables import FIRST_DEGREE, NOTIFICATION_KINDS, RECOMMENDED, SOCIAL_PROOF, original_of
from funnel.core.world import PlatformView
from funnel.features.counts import NEVER_H, within
from funnel.features.kernels import favorited_by, pair_slots
from funnel.features.memo import once_per
from funnel.features.registry import FIXED, feature, request_feature

HOUR_H, DAY_H = 1.0, 24.0
# The newest who engaged with a tweet that are asked whether the viewer follows them; as `funnel.features.social` does.
ENGAGED = 500
# An open rate is (opened + 1) / (sent + 10): 10 % with nothing sent yet. Our choice; notifications are few.
PRIOR_OPENED, PRIOR_SENT = 1.0, 10.0
PRIOR_DISMISSED = 2.0  # of as many sent

# What a push ranker may learn from besides `funnel.features.model_features()`: finite, and not the same for all that
# was ever sent.
NOTIFICATION_FEATURES: tuple[str, ...] = (
    "notifications_1h",
    "notifications_24h",
    "hours_since_notification",
    "author_notifications_24h",
    "kind_notifications_24h",
    "notification_kind",
    "kind_notification_open_rate",
    "notification_open_rate",
    "notification_open_rate_at_hour",
    "notification_dismiss_rate",
    "notification_dismiss_rate_at_hour",
    "notification_open_hour_cos",
    "notification_open_hour_sin",
    "notification_dislike_h",
    "author_notification_dislike_h",
    "hour_of_day",
)


@request_feature("notifications_1h", unit="count", group="notification")
def notifications_1h(requests: Requests) -> Floats:
    """Notifications sent to the viewer in the last hour."""
    return _sent_within(requests, HOUR_H)


@request_feature("notifications_24h", unit="count", group="notification")
def notifications_24h(requests: Requests) -> Floats:
    """Notifications sent to the viewer in the last 24 hours."""
    return _sent_within(requests, DAY_H)


@request_feature("hours_since_notification", unit="h", group="notification")
def hours_since_notification(requests: Requests) -> Floats:
    """Hours since the last notification to the viewer, 720 if none or longer ago."""
    return _since_of_viewer(requests, "notification")


@request_feature("notification_dislike_h", unit="h", group="notification")
def notification_dislike_h(requests: Requests) -> Floats:
    """Hours since the viewer last disliked a notification, 720 if never or longer ago."""
    return _since_of_viewer(requests, "dislike")


@request_feature("notification_open_rate", unit="rate", group="notification")
def notification_open_rate(requests: Requests) -> Floats:
    """Notifications opened or clicked by the viewer, of those sent, drawn towards 10 % while few are known."""
    opened, sent = (_of_days(requests, what)[0] for what in ("oonc", "notification"))
    return _rate(opened, sent, PRIOR_OPENED)


@request_feature("notification_dismiss_rate", unit="rate", group="notification")
def notification_dismiss_rate(requests: Requests) -> Floats:
    """Notifications wiped away by the viewer, of those sent, drawn towards 20 % while few are known."""
    dismissed, sent = (_of_days(requests, what)[0] for what in ("dismiss", "notification"))
    return _rate(dismissed, sent, PRIOR_DISMISSED)


@request_feature("notification_open_rate_at_hour", unit="rate", group="notification")
def notification_open_rate_at_hour(requests: Requests) -> Floats:
    """The viewer's open rate near this hour of the day: one d hours from it counts 1 + cos(2 pi d / 24)."""
    return _rate(_near_hour(requests, "oonc"), _near_hour(requests, "notification"), PRIOR_OPENED)


@request_feature("notification_dismiss_rate_at_hour", unit="rate", group="notification")
def notification_dismiss_rate_at_hour(requests: Requests) -> Floats:
    """Notifications wiped away near this hour of the day, of those sent then, weighed as for opening."""
    return _rate(_near_hour(requests, "dismiss"), _near_hour(requests, "notification"), PRIOR_DISMISSED)


@request_feature("notification_open_hour_cos", unit="ratio", group="notification")
def notification_open_hour_cos(requests: Requests) -> Floats:
    """Where the viewer's openings lie on the clock of the day: mean cosine of their hours, with one at nowhere more."""
    opened, cos, _ = _of_days(requests, "oonc")
    return (cos / (opened + 1.0)).astype(np.float32)


@request_feature("notification_open_hour_sin", unit="ratio", group="notification")
def notification_open_hour_sin(requests: Requests) -> Floats:
    """As its cosine; the length of both is how regular the viewer's hours are."""
    opened, _, sin = _of_days(requests, "oonc")
    return (sin / (opened + 1.0)).astype(np.float32)


@request_feature("notifications_allowed", unit="flag", group="notification")
def notifications_allowed(requests: Requests) -> Bools:
    """The viewer has recommended notifications on: the last setting before the request says so, or there is none."""
    index = requests.view.events("notification_setting", by="viewer")
    last = index.last_row(requests.viewer.astype(np.int64), requests.now_h)
    allowed = np.ones(last.size, np.bool_)
    allowed[last >= 0] = requests.view.notification_settings["allowed"][last[last >= 0]]
    return allowed


@request_feature("hour_of_day", unit="h", group="notification", rule=FIXED)
def hour_of_day(requests: Requests) -> Floats:
    """Hours since midnight, in [0, 24), by the world's own clock."""
    hour = (requests.view.meta.epoch_unix_s / 3600.0 + requests.now_h) % DAY_H
    # Just before midnight the nearest float32 is 24, which is the next day's 0.
    return hour.astype(np.float32) % np.float32(DAY_H)


@feature("author_notifications_24h", unit="count", group="notification", needs=("author",))
def author_notifications_24h(batch: CandidateBatch) -> Floats:
    """Notifications of the author's tweets sent to the viewer in the last 24 hours."""
    index = batch.requests.view.events("notification", by="viewer_author")
    slots = _pairs(index, batch, batch["author"])  # -1 for a pair of whom nothing is known
    return (index.count(slots, batch.now_h) - index.count(slots, batch.now_h - DAY_H)).astype(np.float32)


@feature("author_notification_dislike_h", unit="h", group="notification", needs=("author",))
def author_notification_dislike_h(batch: CandidateBatch) -> Floats:
    """Hours since the viewer last disliked a notification of the author's, 720 if never or longer ago."""
    index = batch.requests.view.events("dislike", by="viewer_author")
    return _hours_since(index.last_h(_pairs(index, batch, batch["author"]), batch.now_h), batch.now_h)


@feature("notification_kind", unit="code", group="notification", needs=("internal.follow_h", "original"))
def notification_kind(batch: CandidateBatch) -> Array:
    """Why it would be sent: 0 the viewer follows the author, 1 somebody followed engaged with it, 2 recommended."""
    view, follows = batch.requests.view, batch.requests.view.following
    public = view.events("public", by="tweet")
    kind = np.full(len(batch), FIRST_DEGREE, np.int8)
    rest = np.flatnonzero(np.isinf(batch["internal.follow_h"]))
    no_vectors = np.empty((view.user_count, 0), np.float32)
    circle = favorited_by(
        public.offsets, public.time_h, public.row, view.engagements["viewer"],
        follows.offsets, follows.targets, follows.time_h, no_vectors,
        batch.viewer[rest], batch["original"][rest], np.minimum(batch.now_h[rest], view.now_h), ENGAGED, 0,
    )  # fmt: skip
    kind[rest] = np.where(circle[:, 0] > 0, SOCIAL_PROOF, RECOMMENDED)
    return kind


@feature("kind_notifications_24h", unit="count", group="notification", needs=("notification_kind",))
def kind_notifications_24h(batch: CandidateBatch) -> Floats:
    """Notifications sent to the viewer for the same reason in the last 24 hours."""
    index = _by_kind(batch.requests.view)
    slots = batch.viewer * np.int32(len(NOTIFICATION_KINDS)) + batch["notification_kind"]
    sent: Floats = within(index, slots, batch.now_h, (DAY_H,))[0]
    return sent


@feature("kind_notification_open_rate", unit="rate", group="notification", needs=("notification_kind",))
def kind_notification_open_rate(batch: CandidateBatch) -> Floats:
    """Notifications opened or clicked by the viewer, of those sent for the same reason, drawn towards 10 %."""
    view = batch.requests.view
    slots = (batch.viewer * np.int32(len(NOTIFICATION_KINDS)) + batch["notification_kind"]).astype(np.int64)
    opened, sent = (index.count(slots, batch.now_h) for index in (_opened_by_kind(view), _by_kind(view)))
    return _rate(opened, sent, PRIOR_OPENED)


@feature("notified_h", unit="h", group="notification", needs=("original",))
def notified_h(batch: CandidateBatch) -> Floats:
    """Hours since the tweet, its original or another retweet of that was sent to the viewer, infinite if never."""
    index = _by_original(batch.requests.view)
    last = index.last_h(_pairs(index, batch, batch["original"]), batch.now_h)
    return (batch.now_h - last).astype(np.float32)


def _sent_within(requests: Requests, hours: float) -> Floats:
    index = requests.view.events("notification", by="viewer")
    sent: Floats = within(index, requests.viewer, requests.now_h, (hours,))[0]
    return sent


def _rate(done: Array, sent: Array, prior: float) -> Floats:
    rate: Floats = ((done + prior) / (sent + PRIOR_SENT)).astype(np.float32)
    return rate


def _of_days(requests: Requests, what: str) -> tuple[Doubles, Doubles, Doubles]:
    """Of the viewer's events before now: how many, and the sums of the cosines and of the sines of their hours."""
    index = requests.view.events(what, by="viewer")
    begun_h = requests.view.meta.epoch_unix_s / 3600.0

    def sums() -> tuple[Doubles, Doubles]:
        turn = _turn(begun_h + index.time_h)
        cos, sin = (np.concatenate([[0.0], np.cumsum(part(turn))]) for part in (np.cos, np.sin))
        return cos, sin

    def of_viewers() -> tuple[Doubles, Doubles, Doubles]:
        viewer = requests.viewer.astype(np.int64)
        begin, count = index.offsets[viewer], index.count(viewer, requests.now_h)
        cos, sin = (total[begin + count] - total[begin] for total in once_per(index.time_h, ("hours", begun_h), sums))
        return count.astype(np.float64), cos, sin

    return once_per(requests, ("hours of events", what), of_viewers)  # several features ask


def _near_hour(requests: Requests, what: str) -> Doubles:
    """Events of the viewer before now, each weighing 1 + cos of its distance in the hour of the day."""
    count, cos, sin = _of_days(requests, what)
    turn = _turn(requests.view.meta.epoch_unix_s / 3600.0 + requests.now_h)
    # cos(a - b) = cos a cos b + sin a sin b; rounding may leave a little less than nothing.
    return np.maximum(count + np.cos(turn) * cos + np.sin(turn) * sin, 0.0)


def _turn(time_h: Doubles) -> Doubles:
    """The angle of the hour of the day."""
    angle: Doubles = 2.0 * np.pi * (time_h % DAY_H) / DAY_H
    return angle


def _since_of_viewer(requests: Requests, what: str) -> Floats:
    index = requests.view.events(what, by="viewer")
    return _hours_since(index.last_h(requests.viewer.astype(np.int64), requests.now_h), requests.now_h)


def _hours_since(last_h: Doubles, now_h: Doubles) -> Floats:
    return np.minimum(now_h - last_h, NEVER_H).astype(np.float32)


def _pairs(index: EventIndex, batch: CandidateBatch, second: Array) -> Longs:
    assert index.keys is not None
    return pair_slots(index.keys, batch.viewer, second.astype(np.int32, copy=False))


def _by_kind(view: PlatformView) -> EventIndex:
    """Notifications by viewer × kind."""

    def build(everything: PlatformView, _: EventIndex | None) -> EventIndex:
        sent, kinds = everything.notifications, len(NOTIFICATION_KINDS)
        keys = sent["viewer"].astype(np.int64) * kinds + sent["kind"]
        return EventIndex.dense(keys, sent["time_h"], everything.user_count * kinds)

    return view.shared("notifications by kind", build).until(view.now_h)


def _opened_by_kind(view: PlatformView) -> EventIndex:
    """Openings by viewer × kind of the notification."""

    def build(everything: PlatformView, _: EventIndex | None) -> EventIndex:
        done, kinds = everything.notification_actions, len(NOTIFICATION_KINDS)
        rows = np.flatnonzero(done["action"] == PUSH_ACTION_CODE["oonc"])
        kind = everything.notifications["kind"][done["impression"][rows]]
        keys = done["viewer"][rows].astype(np.int64) * kinds + kind
        return EventIndex.dense(keys, done["time_h"][rows], everything.user_count * kinds)

    return view.shared("openings by kind", build).until(view.now_h)


def _by_original(view: PlatformView) -> EventIndex:
    """Notifications by viewer and the tweet that is read, so that copies of a tweet are one."""

    def build(everything: PlatformView, _: EventIndex | None) -> EventIndex:
        sent, tweets = everything.notifications, everything.tweets
        tweet = sent["tweet"]
        read = original_of(tweets["kind"][tweet], tweets["parent"][tweet], tweet)
        return EventIndex.sparse(pair_keys(sent["viewer"], read), sent["time_h"])

    return view.shared("notifications by original", build).until(view.now_h)

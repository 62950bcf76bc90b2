"""What viewers do with a notification of a tweet, and what it costs them: the response model of the product `push`.

A notification is opened, or clicked in the notification tab, with the log-odds

    b + w [min(u, 0) 2 sigma(-moment) + max(u, 0)] + (1 - h close) moment + k(kind)
      + c close + opening(viewer) - s stale
    moment = p in_app - r cos(own) - n night - f log(1 + received)
    u      = z - centre - 2

where z is the timeline's utility of the tweet to the viewer (`synthetic.behaviour`) and centre that of an average
impression; kind says whether the viewer follows its author, or somebody who engaged with it; close is 1 - 2^(-e), with
e the viewer's public engagements with the author so far; and stale is whether the viewer was shown the tweet before, by
either product.

The moment is good for a viewer who is in the app (in_app is 1 this very moment, 1 / 2 an hour later), and by their own
day: own is the angle of the hour on a clock whose midnight, the middle of this viewer's night, differs from person to
person (half past three in the mean), and night is max(0, cos(own))^2. Received counts the notifications of the past,
one of age a hours as 2^(-a / 8). At a bad moment only a tweet of much use is opened: what it falls short of that counts
up to twice. At a good one it counts little, and people open what they would leave otherwise. What somebody close wrote
is opened whenever it comes. That is what studies of interruptions find: attention that is not scarce takes what is
offered (Pielot et al., "When attention is not scarce: detecting boredom from mobile phone usage", UbiComp 2015);
content and sender decide in company with the moment (Fischer et al., "Effects of content and time of delivery on
receptivity to mobile interruptions", MobileHCI 2010; Mehrotra et al., "Designing content-driven intelligent
notification mechanisms for mobile applications", UbiComp 2015); and what people one knows have sent is seen to within
minutes at any hour (Pielot et al., "An in-situ study of mobile phone notifications", MobileHCI 2014). The weights are
our choice.

Whoever is in the app sees the notification in the tab, others on the lock screen. Engaging, given that, depends on z
and on how readily the viewer likes tweets. Wiping away (what was not opened), disliking (mostly by those who stand in
the tab) and turning off have the log-odds

    b_a + annoyance(viewer) + n / 2 night + f / 2 log(1 + received) - v z

`probabilities` are the exact marginals of what `react` draws. Satisfaction is the tweet's, less what interrupting
costs: a clickable tweet at night may be opened and still be resented. To whom notifications are off, nothing is
delivered: probabilities and satisfaction are zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from funnel.core.actions import ACTION_CODE, PUSH_ACTION_CODE
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints
from funnel.core.kernels.grouping import pair_keys
from funnel.core.rng import uniform
from funnel.core.tables import FIRST_DEGREE, SOCIAL_PROOF
from funnel.core.world import WorldTables
from synthetic.notification_kinds import kinds_of
from synthetic.settings import Notified

if TYPE_CHECKING:
    from synthetic.behaviour import ResponseModel, Truth

OONC, OPEN, NTAB_CLICK, ENGAGE, DISMISS, DISLIKE, TURN_OFF = range(7)
assert list(PUSH_ACTION_CODE) == ["oonc", "open", "ntab_click", "engage", "dismiss", "dislike", "turn_off"]
OPENING, ANNOYANCE, LATE_H = range(3)  # columns of `Truth.notice`

_HALF_LIFE_H = 8.0  # of a notification in the memory of who received it: a day later it weighs an eighth
_IN_APP_HALF_LIFE_H = 1.0
_DEAD_OF_NIGHT_H, _DAY_H = 3.5, 24.0
_OPENING_SIGMA, _ANNOYANCE_SIGMA = 0.7, 0.7
# Standard deviation of the middle of people's nights, of the order of that in Roenneberg et al., "Epidemiology of the
# human circadian clock", Sleep Medicine Reviews 2007; cut at three of them.
_LATE_SIGMA_H, _MOST_SIGMAS = 1.5, 3.0
_AMPLE = 2.0  # above the utility of an average impression, a tweet is of so much use that it falls short of nothing
_STEPS = 40  # of the calibration


class Causes(NamedTuple):
    """What the probabilities depend on besides the viewer; n rows.

    utility, fatigue (log-odds before weighting), closeness, night and in_app (0 to 1), waking (-1 in the middle of the
    viewer's night, 1 twelve hours later): float32; kind: int8; stale, allowed: bool.
    """

    utility: Floats
    kind: Array
    closeness: Floats
    fatigue: Floats
    waking: Floats
    night: Floats
    stale: Bools
    in_app: Floats
    allowed: Bools


class _Odds(NamedTuple):
    """float32 [n]: opening; the tab given that; engaging given that; wiping away given that it is not opened; disliking
    from the tab and otherwise; turning off."""

    oonc: Floats
    tab: Floats
    engage: Floats
    dismiss: Floats
    dislike_in_tab: Floats
    dislike: Floats
    turn_off: Floats


class NotificationModel:
    """The oracle of notifications in a made world: `funnel.core.world.Oracle` with the actions of PUSH."""

    def __init__(self, tables: WorldTables, truth: Truth, timeline: ResponseModel) -> None:
        self._tables, self._truth, self._timeline = tables, truth, timeline

    def probabilities(self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles) -> Floats:
        """float32 [n, 7]: probability of each action if the tweet is sent; there is one place only."""
        causes = self.causes(viewer, tweet, now_h)
        return marginals(self._odds(viewer, causes), causes.allowed)

    def react(self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles, *, seed: int) -> Bools:
        """bool [n, 7]: what the viewer does; the draws are hashes of (seed, viewer, tweet, moment, action)."""
        causes = self.causes(viewer, tweet, now_h)
        odds = self._odds(viewer, causes)
        moment = np.ascontiguousarray(now_h, np.float64).view(np.int64)
        ids = (np.asarray(part)[:, None] for part in (viewer, tweet, moment))
        draw = uniform(seed, "notified", *ids, np.arange(len(PUSH_ACTION_CODE)))
        out = np.zeros(draw.shape, np.bool_)
        opened = out[:, OONC] = causes.allowed & (draw[:, OONC] < odds.oonc)
        in_tab = out[:, NTAB_CLICK] = opened & (draw[:, NTAB_CLICK] < odds.tab)
        out[:, OPEN] = opened & ~in_tab
        out[:, ENGAGE] = opened & (draw[:, ENGAGE] < odds.engage)
        out[:, DISMISS] = causes.allowed & ~opened & (draw[:, DISMISS] < odds.dismiss)
        out[:, DISLIKE] = causes.allowed & (draw[:, DISLIKE] < np.where(in_tab, odds.dislike_in_tab, odds.dislike))
        out[:, TURN_OFF] = causes.allowed & (draw[:, TURN_OFF] < odds.turn_off)
        return out

    def satisfaction(self, viewer: Ints, tweet: Ints, *, now_h: Doubles | None = None) -> Floats:
        """float32 [n] in [-1, 1]: how glad the viewer is to have been told of the tweet, at the world's end or then."""
        if now_h is None:
            now_h = np.full(np.shape(viewer), self._tables.meta.end_h)
        causes, weight = self.causes(viewer, tweet, now_h), _weights(self._truth)
        cost = weight["interruption"] + weight["tired"] * causes.fatigue
        cost += weight["woken"] * causes.night + weight["known"] * causes.stale
        glad: Floats = np.clip(self._timeline.satisfaction(viewer, tweet) - cost, -1.0, 1.0).astype(np.float32)
        return np.where(causes.allowed, glad, np.float32(0.0))

    def kinds(self, viewer: Ints, tweet: Ints, now_h: Doubles) -> Array:
        """int8 [n]: why the viewer would be notified (NOTIFICATION_KINDS)."""
        follows, public = self._tables.following, self._tables.index("public", "tweet")
        return kinds_of(
            np.ascontiguousarray(viewer, np.int32),
            np.ascontiguousarray(tweet, np.int32),
            np.ascontiguousarray(now_h, np.float64),
            self._tables.table("tweets")["author"],
            follows.offsets,
            follows.targets,
            follows.time_h,
            public.offsets,
            public.time_h,
            public.row,
            self._tables.table("engagements")["viewer"],
        )

    def causes(self, viewer: Ints, tweet: Ints, now_h: Doubles) -> Causes:
        """What the probabilities depend on, from the tables before each moment."""
        now_h, who = np.ascontiguousarray(now_h, np.float64), np.asarray(viewer, np.int64)
        tables, pairs = self._tables, pair_keys(viewer, tweet)
        stale = np.zeros(who.size, np.bool_)
        for what in ("impression", "notification"):
            index = tables.index(what, "viewer_tweet")
            stale |= index.count(index.slots(pairs), now_h) > 0
        received = tables.index("notification", "viewer").decayed(who, now_h, half_life_h=_HALF_LIFE_H)
        author = tables.table("tweets")["author"][tweet]
        engaged = tables.index("public", "viewer_author")
        acts = engaged.count(engaged.slots(pair_keys(viewer, author)), now_h)
        late_h = self._truth.notice[who, LATE_H]
        away_h = now_h - tables.index("impression", "viewer").last_h(who, now_h)
        return Causes(
            utility=self._timeline.utility(viewer, tweet, now_h),
            kind=self.kinds(viewer, tweet, now_h),
            closeness=(1.0 - np.exp2(-acts.astype(np.float32))).astype(np.float32),
            fatigue=np.log1p(received),
            waking=waking_at(now_h, late_h),
            night=night_at(now_h, late_h),
            stale=stale,
            in_app=np.exp2(-away_h / _IN_APP_HALF_LIFE_H).astype(np.float32),
            allowed=allowed_at(tables, who, now_h),
        )

    def _odds(self, viewer: Ints, causes: Causes) -> _Odds:
        return _odds(self._truth, viewer, causes, self._truth.push_intercepts)


def waking_at(now_h: Doubles, late_h: Floats | float = 0.0) -> Floats:
    """float32 [n] in [-1, 1]: -1 in the middle of a viewer's night, 1 in the middle of the day.

    late_h: hours by which the viewer's night is later than half past three; everybody lives in one time zone.
    """
    height: Floats = np.cos(2.0 * np.pi * (now_h - _DEAD_OF_NIGHT_H - late_h) / _DAY_H).astype(np.float32)
    return -height


def night_at(now_h: Doubles, late_h: Floats | float = 0.0) -> Floats:
    """float32 [n] in [0, 1]: how deep the night of a viewer is at a moment; late_h: as in `waking_at`."""
    depth: Floats = np.maximum(-waking_at(now_h, late_h), np.float32(0.0)) ** 2
    return depth


def allowed_at(tables: WorldTables, viewer: Array, now_h: Doubles) -> Bools:
    """bool [n]: whether the viewer's recommended notifications are on just before each moment."""
    last = tables.index("notification_setting", "viewer").last_row(np.asarray(viewer, np.int64), now_h)
    out = np.ones(last.size, np.bool_)
    out[last >= 0] = tables.table("notification_settings")["allowed"][last[last >= 0]]
    return out


def marginals(odds: _Odds, allowed: Bools) -> Floats:
    """float32 [n, 7]: probability of each action."""
    out = np.empty((allowed.size, len(PUSH_ACTION_CODE)), np.float32)
    in_tab = odds.oonc * odds.tab
    out[:, OONC] = odds.oonc
    out[:, OPEN] = odds.oonc - in_tab
    out[:, NTAB_CLICK] = in_tab
    out[:, ENGAGE] = odds.oonc * odds.engage
    out[:, DISMISS] = (1.0 - odds.oonc) * odds.dismiss
    out[:, DISLIKE] = in_tab * odds.dislike_in_tab + (1.0 - in_tab) * odds.dislike
    out[:, TURN_OFF] = odds.turn_off
    out *= allowed[:, None]
    return out


def _odds(truth: Truth, viewer: Ints, causes: Causes, intercepts: Floats) -> _Odds:
    weight, own = _weights(truth), truth.notice[viewer]
    z, fatigue, night = causes.utility, weight["fatigue"] * causes.fatigue, weight["night"] * causes.night
    by_kind = np.zeros(3, np.float32)
    by_kind[[FIRST_DEGREE, SOCIAL_PROOF]] = weight["first_degree"], weight["social_proof"]
    moment = weight["present"] * causes.in_app + weight["rhythm"] * causes.waking - night - fatigue
    above = z - (truth.centre[0] + np.float32(_AMPLE))
    content = np.minimum(above, 0.0) * (2.0 * _logistic(-moment)) + np.maximum(above, 0.0)
    opening = weight["utility"] * content + by_kind[causes.kind] + weight["closeness"] * causes.closeness
    opening += own[:, OPENING] - weight["stale"] * causes.stale + (1.0 - weight["heard"] * causes.closeness) * moment
    liking = z + truth.propensity[viewer, ACTION_CODE["favorite"]]
    annoyed = own[:, ANNOYANCE] + np.float32(0.5) * (night + fatigue) - weight["annoyance"] * z
    dislike = intercepts[DISLIKE] + annoyed
    return _Odds(
        oonc=_logistic(intercepts[OONC] + opening),
        tab=_logistic(intercepts[NTAB_CLICK] + weight["in_app"] * causes.in_app),
        engage=_logistic(intercepts[ENGAGE] + liking),
        dismiss=_logistic(intercepts[DISMISS] + annoyed),
        dislike_in_tab=_logistic(dislike + weight["disappointed"]),
        dislike=_logistic(dislike),
        turn_off=_logistic(intercepts[TURN_OFF] + annoyed),
    )


def calibrated_intercepts(model: NotificationModel, rates: Floats, viewer: Ints, tweet: Ints, now_h: Doubles) -> Floats:
    """float32 [7]: the intercepts that give each action its rate, on average over these notifications.

    rates: float32 [7], in the order of PUSH_ACTIONS. That of `open` follows from two others, and its intercept is 0.
    """
    truth, causes = model._truth, model.causes(viewer, tweet, now_h)
    intercepts = np.log(rates / (1.0 - rates)).astype(np.float32)
    intercepts[OPEN] = 0.0
    drawn = [OONC, NTAB_CLICK, ENGAGE, DISMISS, DISLIKE, TURN_OFF]
    for _ in range(_STEPS if viewer.size else 0):
        mean = marginals(_odds(truth, viewer, causes, intercepts), causes.allowed).mean(axis=0, dtype=np.float64)
        step = np.clip(np.log(rates / np.maximum(mean, 1e-12)), -2.0, 2.0).astype(np.float32)
        intercepts[drawn] += step[drawn]
    return intercepts


def draw_notice(users: int, rng: np.random.Generator) -> Floats:
    """float32 [U, 3]: how readily each user opens notifications, and is annoyed by them, both added to log-odds; and by
    how many hours the user's nights are later than others'."""
    ways = rng.standard_normal((users, 2)) * (_OPENING_SIGMA, _ANNOYANCE_SIGMA)
    late = np.clip(rng.standard_normal(users), -_MOST_SIGMAS, _MOST_SIGMAS) * _LATE_SIGMA_H
    return np.column_stack([ways, late]).astype(np.float32)


def _logistic(x: Floats) -> Floats:
    share: Floats = np.float32(1.0) / (np.float32(1.0) + np.exp(-x))
    return share


def _weights(truth: Truth) -> dict[str, np.float32]:
    """The settings `Notified` by name."""
    return dict(zip(Notified.__dataclass_fields__, truth.push_weights, strict=True))

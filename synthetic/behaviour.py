"""The response model: what a viewer does with a tweet at a place of the page, and how glad they are of it.

A viewer looks at place p with probability exp(-p / patience). Having looked, each action a has the
log-odds

    intercept_a + utility_a * z + controversy_a * c + propensity(viewer, a)

where z, the utility, adds up the match of taste and topics, the tweet's quality, whether and how much
the viewer likes its author, its age and its language, less what the viewer has tired of: authors and
topics that stood among the last tweets shown (`synthetic.habituation`), of which the novelty-seeking
tire faster; and c is the tweet's controversy, which the combative feel more. An action that happens
within another (ACTIONS: `within`) has that probability given the other one. All of this is exact:
`probabilities` are the marginals of what `react` draws.

Actions are correlated beyond what these causes explain: a viewer who looks is, by one more draw, in
the mood to act (all actions become likelier by one factor) or not; irritation, for the negative ones.
Satisfaction is another function of the same causes: controversy, which brings replies, lowers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from funnel.core.actions import ACTION_CODE, ACTION_NAMES, ACTIONS
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints
from funnel.core.products import PUSH, TIMELINE, Product
from funnel.core.rng import key
from funnel.core.world import Oracle, WorldTables
from synthetic.habituation import Habituation
from synthetic.notifying import NotificationModel
from synthetic.responses import action_odds, draw_reactions, utilities

# Action -> (weight of utility, weight of controversy) in its log-odds. Negative actions fall with utility.
SLOPES: dict[str, tuple[float, float]] = {
    "favorite": (1.0, -0.3),
    "retweet": (0.95, 0.5),
    "reply": (0.6, 1.6),
    "reply_engaged_by_author": (0.4, 0.3),
    "good_click": (0.5, 0.3),
    "good_click_v2": (0.4, 0.6),
    "good_profile_click": (0.6, 0.0),
    "video_playback50": (0.7, 0.1),
    "negative_feedback": (-0.7, 1.2),
    "report": (-0.5, 2.2),
    "click": (0.55, 0.9),
    "profile_click": (0.6, 0.2),
    "dwell": (0.6, 0.7),
    "bookmark": (0.9, 0.0),
    "share": (0.8, 0.5),
    "block": (-0.3, 0.8),
    "mute": (-0.2, 0.3),
}
_WITHIN = np.array([ACTION_CODE[action.within] if action.within else -1 for action in ACTIONS], np.int32)
_NEEDS_VIDEO = np.array([action.needs_video for action in ACTIONS])
_NEGATIVE = np.array([action.negative for action in ACTIONS])
_SLOPES = np.ascontiguousarray(np.array([SLOPES[name] for name in ACTION_NAMES], np.float32).T)  # [2, A]
_NOBODY: Floats = np.zeros(0, np.float32)
_FRESH: Floats = np.zeros((0, 2), np.float32)  # nothing was seen before
_STEPS = 25  # of the calibration; the slowest action, dwelling, is within 1 % after ten


@dataclass(frozen=True)
class Truth:
    """What only the oracle knows; shapes as in `People` and `Tweets`.

    weights: float32 [8], of taste, quality, following, liking an author, age (per e-fold of hours), foreign language,
    and having seen the author and the topic lately, in the utility; intercepts: float32 [A]; centre: float32 [1], the
    utility of an average impression; seed: uint64 [1], the key of the likings between viewers and authors; novelty:
    float32 [U] in [-1, 1], how much faster than others a viewer tires of what was there before, or empty if all are
    alike. Of notifications (`synthetic.notifying`), empty if nobody knows: notice: float32 [U, 3], the viewers'
    propensities and rhythm; push_weights: float32 [17], the settings `Notified`; push_intercepts: float32 [7].
    """

    interests: Floats
    propensity: Floats
    patience: Floats
    conflict: Floats
    topics: Array
    topic_share: Floats
    quality: Floats
    controversy: Floats
    weights: Floats
    intercepts: Floats
    centre: Floats
    seed: Array
    novelty: Floats = field(default_factory=lambda: _NOBODY)
    notice: Floats = field(default_factory=lambda: _NOBODY)
    push_weights: Floats = field(default_factory=lambda: _NOBODY)
    push_intercepts: Floats = field(default_factory=lambda: _NOBODY)

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Truth:
        """From the arrays of a stored world, which may hold more."""
        return cls(**{name: arrays[name] for name in cls.__dataclass_fields__ if name in arrays})


class ResponseModel:
    """The oracle of a made world (`funnel.core.world.Oracle`)."""

    def __init__(self, tables: WorldTables, truth: Truth) -> None:
        self._tables, self._truth = tables, truth
        self._users, self._tweets = tables.table("users"), tables.table("tweets")
        self._following = tables.following

    def of(self, product: Product) -> Oracle | None:
        """The truth about a product; see `funnel.core.world.KnowsProducts`."""
        if product.name == TIMELINE.name:
            return self
        if product.name == PUSH.name and self._truth.push_intercepts.size:
            return notification_model(self._tables, self._truth)
        return None

    @property
    def topics(self) -> Array:
        """int16 [T, 2]: the main and the second topic of each tweet."""
        return self._truth.topics

    def probabilities(
        self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles, *, seen: Floats | None = None
    ) -> Floats:
        """float32 [n, A]: probability of each action if the tweet is shown at that place of the page.

        seen: float32 [n, 2], how many of the tweets shown to the viewer lately are by its author, and of its main topic
        (`Habituation` counts them); none if not given.
        """
        return self._odds(viewer, tweet, position, self.utility(viewer, tweet, now_h, seen=seen), marginal=True)

    def react(
        self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles, *, seed: int, seen: Floats | None = None
    ) -> Bools:
        """bool [n, A]: what the viewer does.

        The draws are hashes of (seed, viewer, tweet, moment, action); the place and what was seen before act through
        the probabilities alone, so that whoever likes a tweet at place 9 would have liked it at place 3.
        """
        odds = self._odds(viewer, tweet, position, self.utility(viewer, tweet, now_h, seen=seen), marginal=False)
        moment = np.ascontiguousarray(now_h, np.float64).view(np.int64)
        state = np.uint64(key(seed, "react"))
        return draw_reactions(odds, _int32(viewer), _int32(tweet), moment, _WITHIN, _NEGATIVE, state)

    def satisfaction(
        self, viewer: Ints, tweet: Ints, *, now_h: Doubles | None = None, seen: Floats | None = None
    ) -> Floats:
        """float32 [n] in [-1, 1]: how glad the viewer is to have seen it, at whatever moment, age and place."""
        truth = self._truth
        fresh = self._tweets["time_h"][tweet]  # the moment it was written: its age does not count
        gladness = self.utility(viewer, tweet, fresh, seen=seen) - truth.centre[0]
        strain = truth.controversy[tweet] * (1.5 - 0.5 * truth.conflict[viewer])
        glad: Floats = np.tanh(0.6 * gladness - strain).astype(np.float32)
        return glad

    def utility(self, viewer: Ints, tweet: Ints, now_h: Doubles, *, seen: Floats | None = None) -> Floats:
        """float32 [n]: z of the module's formula."""
        truth = self._truth
        return utilities(
            _int32(viewer),
            _int32(tweet),
            np.ascontiguousarray(now_h, np.float64),
            truth.interests,
            truth.topics,
            truth.topic_share,
            truth.quality,
            self._tweets["author"],
            self._tweets["time_h"],
            self._tweets["language"],
            self._users["language"],
            self._following.offsets,
            self._following.targets,
            self._following.time_h,
            _FRESH if seen is None else np.ascontiguousarray(seen, np.float32),
            truth.novelty,
            truth.weights,
            np.uint64(truth.seed[0]),
        )

    def _odds(self, viewer: Ints, tweet: Ints, position: Ints, utility: Floats, *, marginal: bool) -> Floats:
        """See `action_odds`."""
        truth = self._truth
        return action_odds(
            _int32(viewer),
            _int32(tweet),
            _int32(position),
            utility,
            truth.propensity,
            truth.patience,
            truth.conflict,
            truth.controversy,
            self._tweets["video_s"],
            truth.intercepts,
            _SLOPES,
            _NEEDS_VIDEO,
            _WITHIN,
            marginal,
        )


def notification_model(tables: WorldTables, truth: Truth) -> NotificationModel:
    """The oracle of notifications of the same viewers."""
    return NotificationModel(tables, truth, ResponseModel(tables, truth))


def calibrated(
    tables: WorldTables, truth: Truth, rates: Floats, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles
) -> Truth:
    """The truth with the intercepts that give each action its rate, on average over these impressions.

    The impressions are in order of time, so that it can be counted who tires of what. rates: float32 [A]; that of an
    action which needs a video is a rate among videos.
    """
    author, users = tables.table("tweets")["author"], tables.count("users")
    seen = Habituation(users).expose(viewer, tweet, author, truth.topics)
    utility = ResponseModel(tables, truth).utility(viewer, tweet, now_h, seen=seen)
    centre = float(utility.mean())
    video = tables.table("tweets")["video_s"][tweet] > 0
    share = np.where(_NEEDS_VIDEO, max(float(video.mean()), 1e-6), 1.0)
    parent = np.where(_WITHIN >= 0, rates[_WITHIN], 1.0)
    intercepts = np.log(rates / parent).astype(np.float32) - _SLOPES[0] * np.float32(centre)
    for _ in range(_STEPS):
        model = ResponseModel(tables, _with(truth, intercepts, centre))
        odds = model._odds(viewer, tweet, position, utility, marginal=True)
        mean = odds.mean(axis=0, dtype=np.float64) / share
        intercepts = intercepts + np.clip(np.log(rates / np.maximum(mean, 1e-12)), -2.0, 2.0).astype(np.float32)
    return _with(truth, intercepts, centre)


def _with(truth: Truth, intercepts: Floats, centre: float) -> Truth:
    arrays = {name: getattr(truth, name) for name in Truth.__dataclass_fields__}
    return Truth(**{**arrays, "intercepts": intercepts, "centre": np.array([centre], np.float32)})


def _int32(values: Array) -> Ints:
    return np.ascontiguousarray(values, np.int32)

"""The kinds of signals, what they are about, how far back they go and what makes one good.

twitter/the-algorithm, user-signal-service/server/src/main/scala/com/twitter/usersignalservice/ (base/, signals/):
favourites, retweets, replies and original tweets 540 days (the newer types only if the newest is at most 90 days old),
shares 14 days, videos of 10 s and more 90 days, follows, blocks and mutes 90 days and 200 at most (SGSUtils.scala);
favourites and retweets of tweets with 10 favourites at least; profiles visited twice in 14 days or six times in 90 or
180. Our worlds log that a conversation or a profile was opened, not for how many seconds: any opening is a good click,
and a good profile click is one after which the visitor liked or replied there.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from funnel.core.errors import ConfigError, nearest

DAY_H = 24.0
NEWEST = 500  # events read of a viewer and kind at most, where the release names no number
GRAPH_NEWEST = 200  # follows, blocks and mutes: SGSUtils.scala
MIN_FAVORITES = 10  # of a tweet that was favourited or retweeted
MIN_VIDEO_S = 10.0
# (days, visits): a profile visited as often in so many days is visited repeatedly.
REPEATED_VISITS: tuple[tuple[float, int], ...] = ((14.0, 2), (90.0, 6), (180.0, 6))


class SignalKind(NamedTuple):
    """One kind: whether it names a tweet or a user, the events it comes from, and its rules.

    event: a name for `PlatformView.events`, or "follow"; rejected: whether tweets that the viewer reported or wants to
    see less of are left out; fresh_h: nothing counts if the newest is older.
    """

    name: str
    about: Literal["tweet", "user"]
    event: str
    lookback_h: float
    fresh_h: float = float("inf")
    newest: int = NEWEST
    popular: bool = False
    video: bool = False
    repeated: bool = False
    rejected: bool = False
    negative: bool = False


SIGNALS: tuple[SignalKind, ...] = (
    SignalKind("tweet_favorite", "tweet", "favorite", 540 * DAY_H, fresh_h=90 * DAY_H, popular=True),
    SignalKind("retweet", "tweet", "retweet", 540 * DAY_H, fresh_h=90 * DAY_H, popular=True),
    SignalKind("reply", "tweet", "reply", 540 * DAY_H, fresh_h=90 * DAY_H),
    SignalKind("original_tweet", "tweet", "tweet", 540 * DAY_H, fresh_h=90 * DAY_H),
    SignalKind("tweet_share", "tweet", "share", 14 * DAY_H),
    SignalKind("tweet_bookmark", "tweet", "bookmark", 14 * DAY_H),
    SignalKind("good_tweet_click", "tweet", "click", 90 * DAY_H, rejected=True),
    SignalKind("video_view", "tweet", "video_playback50", 90 * DAY_H, video=True, rejected=True),
    SignalKind("account_follow", "user", "follow", 90 * DAY_H, newest=GRAPH_NEWEST),
    SignalKind("profile_visit", "user", "profile_click", 90 * DAY_H),
    SignalKind("repeated_profile_visit", "user", "profile_click", 180 * DAY_H, repeated=True),
    SignalKind("good_profile_click", "user", "good_profile_click", 90 * DAY_H),
    SignalKind("tweet_see_fewer", "tweet", "see_fewer", 90 * DAY_H, negative=True),
    SignalKind("tweet_report", "tweet", "report", 90 * DAY_H, negative=True),
    SignalKind("negative_feedback", "tweet", "negative_feedback", 90 * DAY_H, negative=True),
    SignalKind("account_block", "user", "block", 90 * DAY_H, newest=GRAPH_NEWEST, negative=True),
    SignalKind("account_mute", "user", "mute", 90 * DAY_H, newest=GRAPH_NEWEST, negative=True),
)
KINDS: dict[str, SignalKind] = {kind.name: kind for kind in SIGNALS}
CODE: dict[str, int] = {kind.name: code for code, kind in enumerate(SIGNALS)}
# What takes a tweet out of the signals that say `rejected`.
REJECTIONS = ("tweet_see_fewer", "tweet_report", "negative_feedback")


def checked(where: str, names: tuple[str, ...], about: Literal["tweet", "user"]) -> None:
    """ConfigError unless all are names of signals about that, and none is a negative one."""
    known = [kind.name for kind in SIGNALS if kind.about == about and not kind.negative]
    for name in names:
        if name not in known:
            raise ConfigError(where, f"no signal about a {about} is called {name!r} — {nearest(name, known)}")

"""The world's tables: their columns, types, units and references, in one place.

Importers write these tables, the store checks them, the platform's view reads them. Ids are dense
row numbers: user 7 is row 7 of `users`, tweet 12 is row 12 of `tweets`. Times are hours since the
world's epoch (`_h`); history may be negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from funnel.core.arrays import Array, Bools, Ints

ORIGINAL, RETWEET, REPLY, QUOTE = range(4)
TWEET_KINDS: tuple[str, ...] = ("original", "retweet", "reply", "quote")

SEE_FEWER, BLOCK, MUTE, REPORT, MUTE_KEYWORD = range(5)
FEEDBACK_KINDS: tuple[str, ...] = ("see_fewer", "block", "mute", "report", "mute_keyword")

FOLLOWED, POPULAR, EXPLORED, RECONSTRUCTED, SERVED = range(5)
LOG_ARMS: tuple[str, ...] = ("followed", "popular", "explored", "reconstructed", "served")

# Why a notification was sent: somebody whom the viewer follows wrote the tweet, or engaged with it, or neither.
FIRST_DEGREE, SOCIAL_PROOF, RECOMMENDED = range(3)
NOTIFICATION_KINDS: tuple[str, ...] = ("first_degree", "social_proof", "recommended")

# What the platform's models and people attach to tweets and accounts; names as in twitter/the-algorithm,
# visibilitylib/…/models/{TweetSafetyLabel,UserLabel}.scala.
TWEET_LABELS: tuple[str, ...] = (
    "spam",
    "abusive",
    "low_quality",
    "nsfw_high_precision",
    "nsfw_high_recall",
    "gore_and_violence",
    "spam_high_recall",
    "duplicate_content",
    "bystander_abusive",
    "do_not_amplify",
    "hateful_conduct",
)
USER_LABELS: tuple[str, ...] = (
    "nsfw",
    "abusive",
    "low_quality",
    "read_only",
    "compromised",
    "recommendations_blacklist",
    "spam_high_recall",
    "duplicate_content",
    "engagement_spammer",
    "do_not_amplify",
    "not_graduated",
)


@dataclass(frozen=True)
class Column:
    """One column: its NumPy type ("str" for text), what it means, and what its values may be."""

    dtype: str
    meaning: str
    refers: str | None = None  # a table whose row number this is
    missing: bool = False  # whether -1 stands for "none"; for floats, whether NaN does
    low: float | None = None
    high: float | None = None
    default: float | None = None  # what a world that lacks the column has everywhere


@dataclass(frozen=True)
class Table:
    """One table: its columns, the column it is sorted by, and whether a world must have it, with rows."""

    meaning: str
    columns: dict[str, Column]
    sorted_by: tuple[str, ...] = ()
    required: bool = True
    may_lack: bool = False  # a required table that a real data set may lack: left out, never handed over empty


TABLES: dict[str, Table] = {
    "users": Table(
        "accounts, one row each",
        {
            "handle": Column("str", "screen name without @"),
            "created_h": Column("float64", "when the account was made"),
            "language": Column("int8", "code of the preferred language", low=0),
            "verified": Column("bool", "has the blue mark"),
            "creator": Column("bool", "offers subscriptions"),
            "protected": Column("bool", "only followers may see the tweets"),
            "suspended": Column("bool", "suspended by the platform"),
            "country": Column("int8", "code of the country", low=0, default=0),
            "device": Column("int8", "code of the device used most", low=0, default=0),
            "allows_sensitive": Column("bool", "wants to see sensitive media without a warning", default=False),
        },
    ),
    "follows": Table(
        "who follows whom",
        {
            "follower": Column("int32", "who follows", refers="users"),
            "followee": Column("int32", "who is followed", refers="users"),
            "time_h": Column("float64", "since when"),
        },
        sorted_by=("follower", "followee"),
        may_lack=True,
    ),
    "tweets": Table(
        "tweets, in order of time, so that what exists at a moment is a prefix",
        {
            "author": Column("int32", "who wrote it (who retweeted it, for a retweet)", refers="users"),
            "time_h": Column("float64", "when"),
            "kind": Column("int8", "0 original, 1 retweet, 2 reply, 3 quote", low=0, high=3),
            "parent": Column("int32", "the tweet retweeted, replied to or quoted", refers="tweets", missing=True),
            "root": Column("int32", "first tweet of the conversation, for a reply", refers="tweets", missing=True),
            "language": Column("int8", "code of the language", low=0),
            "has_image": Column("bool", "carries a picture"),
            "has_link": Column("bool", "carries a link"),
            "video_s": Column("float32", "length of the video in seconds; 0 means none", low=0),
            "hashtag_count": Column("int16", "number of hashtags", low=0),
            "mention_count": Column("int16", "number of mentions", low=0),
            "length": Column("int16", "number of characters", low=0),
            "sensitive": Column("bool", "labelled sensitive by the platform (with errors)"),
            "exclusive": Column("bool", "for subscribers of the author only", default=False),
        },
        sorted_by=("time_h",),
        may_lack=True,
    ),
    "texts": Table(
        "the words people read, row by row beside `tweets`",
        {"text": Column("str", "the text")},
        required=False,
    ),
    "vocabulary": Table(
        "words that tweets contain, lower case",
        {"word": Column("str", "the word")},
        required=False,
    ),
    "tweet_words": Table(
        "which words a tweet contains, each once",
        {
            "tweet": Column("int32", "the tweet", refers="tweets"),
            "word": Column("int32", "the word", refers="vocabulary"),
        },
        sorted_by=("tweet", "word"),
        required=False,
    ),
    "impressions": Table(
        "what was shown to whom, in order of time",
        {
            "viewer": Column("int32", "who saw it", refers="users"),
            "tweet": Column("int32", "what was shown", refers="tweets"),
            "time_h": Column("float64", "when"),
            "position": Column("int16", "place on the page, 0 is the top", low=0),
            "request": Column("int32", "number of the page it was on; rows of a page stand together", low=0),
            "arm": Column("int8", "part of the logging policy that chose it (LOG_ARMS)", low=0, high=4),
            "propensity": Column(
                "float32", "probability that the policy showed it; NaN if unknown", missing=True, low=0, high=1
            ),
        },
        sorted_by=("time_h",),
        required=False,
    ),
    "engagements": Table(
        "what viewers did, in order of time",
        {
            "viewer": Column("int32", "who did it", refers="users"),
            "tweet": Column("int32", "to which tweet", refers="tweets"),
            "action": Column("int8", "code of funnel.core.actions", low=0, high=127),
            "time_h": Column("float64", "when"),
            "impression": Column("int32", "the impression that led to it", refers="impressions", missing=True),
        },
        sorted_by=("time_h",),
        may_lack=True,
    ),
    "feedback": Table(
        "see-fewer, blocks, mutes, reports and muted keywords, in order of time",
        {
            "user": Column("int32", "who gave it", refers="users"),
            "kind": Column("int8", "0 see fewer, 1 block, 2 mute, 3 report, 4 mute keyword", low=0, high=4),
            "author": Column("int32", "about whom", refers="users", missing=True),
            "tweet": Column("int32", "about which tweet", refers="tweets", missing=True),
            "word": Column("int32", "which word is muted", refers="vocabulary", missing=True),
            "time_h": Column("float64", "when"),
        },
        sorted_by=("time_h",),
        required=False,
    ),
    "notifications": Table(
        "which tweets were recommended by notification to whom, in order of time",
        {
            "viewer": Column("int32", "who was notified", refers="users"),
            "tweet": Column("int32", "of which tweet", refers="tweets"),
            "time_h": Column("float64", "when"),
            "kind": Column("int8", "why (NOTIFICATION_KINDS)", low=0, high=len(NOTIFICATION_KINDS) - 1),
            "arm": Column("int8", "part of the logging policy that chose it (LOG_ARMS)", low=0, high=4),
            "propensity": Column(
                "float32", "probability that the policy chose it; NaN if unknown", missing=True, low=0, high=1
            ),
        },
        sorted_by=("time_h",),
        required=False,
    ),
    "notification_actions": Table(
        "what viewers did with notifications, in order of time",
        {
            "viewer": Column("int32", "who did it", refers="users"),
            "tweet": Column("int32", "the tweet it was about", refers="tweets"),
            "action": Column("int8", "code of funnel.core.actions.PUSH_ACTIONS", low=0, high=127),
            "time_h": Column("float64", "when"),
            "impression": Column("int32", "the notification that led to it", refers="notifications"),
        },
        sorted_by=("time_h",),
        required=False,
    ),
    "notification_settings": Table(
        "who turned recommended notifications off or on, in order of time; they are on for whoever never did",
        {
            "user": Column("int32", "who", refers="users"),
            "allowed": Column("bool", "on from now on"),
            "time_h": Column("float64", "when"),
        },
        sorted_by=("time_h",),
        required=False,
    ),
    "tweet_labels": Table(
        "safety labels of tweets, in order of time (with the labeller's errors)",
        {
            "tweet": Column("int32", "which tweet", refers="tweets"),
            "label": Column("int8", "code of TWEET_LABELS", low=0, high=len(TWEET_LABELS) - 1),
            "time_h": Column("float64", "when it was attached"),
        },
        sorted_by=("time_h",),
        required=False,
    ),
    "user_labels": Table(
        "safety labels of accounts, in order of time (with the labeller's errors)",
        {
            "user": Column("int32", "which account", refers="users"),
            "label": Column("int8", "code of USER_LABELS", low=0, high=len(USER_LABELS) - 1),
            "time_h": Column("float64", "when it was attached"),
        },
        sorted_by=("time_h",),
        required=False,
    ),
    "subscriptions": Table(
        "who pays for whose exclusive tweets",
        {
            "subscriber": Column("int32", "who pays", refers="users"),
            "author": Column("int32", "for whose tweets", refers="users"),
            "time_h": Column("float64", "since when"),
        },
        sorted_by=("subscriber", "author"),
        required=False,
    ),
    "lists": Table(
        "lists of accounts that users made",
        {
            "list": Column("int32", "number of the list", low=0),
            "owner": Column("int32", "who made it", refers="users"),
            "member": Column("int32", "who is on it", refers="users"),
        },
        sorted_by=("list", "member"),
        required=False,
    ),
}
# Tables whose rows are events: a view at a moment sees the rows before it, which are a prefix.
EVENT_TABLES: tuple[str, ...] = (
    "tweets",
    "impressions",
    "engagements",
    "feedback",
    "notifications",
    "notification_actions",
    "notification_settings",
    "tweet_labels",
    "user_labels",
)


def numpy_type(dtype: str) -> np.dtype[np.generic]:
    """The NumPy type of a column; text is held as objects."""
    return np.dtype(object if dtype == "str" else dtype)


def original_of(kind: Array, parent: Array, tweet: Array) -> Ints:
    """int32 [n]: the tweet that is read: the one that a retweet passes on, if it is known, else the tweet itself."""
    return np.where((kind == RETWEET) & (parent >= 0), parent, tweet)


def open_to_all(users: Mapping[str, Array], tweets: Mapping[str, Array]) -> Bools:
    """bool [T]: tweets that may be shown to anybody: no retweets, nothing protected, suspended or for subscribers."""
    shut = (users["protected"] | users["suspended"])[tweets["author"]]
    found: Bools = ~shut & (tweets["kind"] != RETWEET) & ~tweets["exclusive"]
    return found


def completed(tables: Mapping[str, Mapping[str, Array]]) -> dict[str, dict[str, Array]]:
    """The same tables with the columns that have a default filled in where they are absent."""
    full = {name: dict(columns) for name, columns in tables.items()}
    for name, table in TABLES.items():
        for column, spec in table.columns.items():
            if name in full and full[name] and column not in full[name] and spec.default is not None:
                size = next(iter(full[name].values())).size
                full[name][column] = np.full(size, spec.default, numpy_type(spec.dtype))
    return full

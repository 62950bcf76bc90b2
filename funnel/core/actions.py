"""What a viewer can do with a tweet, and with a notification of one: the lists of actions that everything iterates.

The ten actions with `heavy=True` are the heads of the heavy ranker as published in
twitter/the-algorithm-ml, projects/home/recap/README.md (April 2023). The others are what the
platform logs besides them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Action:
    """One action: its name, whether the heavy ranker predicts it, and what it presupposes."""

    name: str
    meaning: str
    heavy: bool = False
    negative: bool = False
    within: str | None = None  # an action that must have happened too
    needs_video: bool = False


ACTIONS: tuple[Action, ...] = (
    Action("favorite", "likes the tweet", heavy=True),
    Action("retweet", "retweets it", heavy=True),
    Action("reply", "replies to it", heavy=True),
    Action("reply_engaged_by_author", "replies and the author engages with the reply", heavy=True, within="reply"),
    Action("good_click", "opens the conversation and likes or replies there", heavy=True, within="click"),
    Action("good_click_v2", "opens the conversation and stays two minutes or more", heavy=True, within="click"),
    Action("good_profile_click", "opens the profile and likes or replies there", heavy=True, within="profile_click"),
    Action("video_playback50", "watches at least half of the video", heavy=True, needs_video=True),
    Action("negative_feedback", "asks to see less, or blocks or mutes the author", heavy=True, negative=True),
    Action("report", "opens the report dialogue", heavy=True, negative=True),
    Action("click", "opens the conversation"),
    Action("profile_click", "opens the author's profile"),
    Action("dwell", "stays on the tweet for two seconds or more"),
    Action("bookmark", "bookmarks it"),
    Action("share", "shares it outside the timeline"),
    Action("block", "blocks the author", negative=True, within="negative_feedback"),
    Action("mute", "mutes the author", negative=True, within="negative_feedback"),
)
ACTION_NAMES: tuple[str, ...] = tuple(action.name for action in ACTIONS)
ACTION_CODE: dict[str, int] = {name: code for code, name in enumerate(ACTION_NAMES)}
HEAVY_ACTIONS: tuple[str, ...] = tuple(action.name for action in ACTIONS if action.heavy)

# Actions by which a viewer publicly engages with a tweet: what the light ranker and the graphs count.
PUBLIC_ACTIONS: tuple[str, ...] = ("favorite", "retweet", "reply")

# What can be done with a recommended notification of a tweet. The labels of the published heavy ranker
# (twitter/the-algorithm, pushservice/src/main/python/models/heavy_ranking/README.md) are `oonc`, "open or click in the
# notification tab", `engage` given that, and the dislike in the tab, for which both labels do not count.
PUSH_ACTIONS: tuple[Action, ...] = (
    Action("oonc", "opens the notification, or clicks it in the notification tab", heavy=True),
    Action("open", "opens it from the lock screen", within="oonc"),
    Action("ntab_click", "clicks it later, in the notification tab", within="oonc"),
    Action("engage", "likes, retweets or answers the tweet, once there", heavy=True, within="oonc"),
    Action("dismiss", "wipes it away", negative=True),
    Action("dislike", "asks in the notification tab for fewer of the kind", negative=True),
    Action("turn_off", "turns recommended notifications off", negative=True),
)
PUSH_ACTION_NAMES: tuple[str, ...] = tuple(action.name for action in PUSH_ACTIONS)
PUSH_ACTION_CODE: dict[str, int] = {name: code for code, name in enumerate(PUSH_ACTION_NAMES)}

"""Safety labels: what tweets and accounts really are, and what the platform's labellers say about them.

Truth is a set of labels of `funnel.core.tables` for each tweet and account, kept as bits: bit c stands for label c. A
labeller finds a share of them (recall), and what it says is right in a share of the cases (precision). Two names for
one thing, "high precision" and "high recall", are two labellers of one truth.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints
from funnel.core.tables import TWEET_LABELS, USER_LABELS
from synthetic.people import ADULT, ORDINARY, SPAMMER, TROLL, People

Part = Annotated[float, Field(gt=0.0, le=1.0)]
_TWEET = {name: code for code, name in enumerate(TWEET_LABELS)}
_USER = {name: code for code, name in enumerate(USER_LABELS)}

# Share of an account's tweets, by its character, that really deserve a label.
_DESERVED: dict[str, dict[int, float]] = {
    "spam": {ORDINARY: 0.001, SPAMMER: 0.5, TROLL: 0.002, ADULT: 0.03},
    "abusive": {ORDINARY: 0.002, SPAMMER: 0.002, TROLL: 0.12, ADULT: 0.002},
    "nsfw_high_precision": {ORDINARY: 0.003, SPAMMER: 0.02, TROLL: 0.006, ADULT: 0.6},
    "gore_and_violence": {ORDINARY: 0.0008, SPAMMER: 0.0005, TROLL: 0.006, ADULT: 0.001},
    "duplicate_content": {ORDINARY: 0.001, SPAMMER: 0.35, TROLL: 0.01, ADULT: 0.02},
    "bystander_abusive": {ORDINARY: 0.0003, SPAMMER: 0.0003, TROLL: 0.02, ADULT: 0.0003},
    "hateful_conduct": {ORDINARY: 0.0001, SPAMMER: 0.0001, TROLL: 0.02, ADULT: 0.0001},
}
_LOW_QUALITY = -2.0  # of a tweet, in standard deviations
_SAME_TRUTH = {"nsfw_high_recall": "nsfw_high_precision", "spam_high_recall": "spam"}
# The same for accounts.
_ACCOUNTS: dict[str, dict[int, float]] = {
    "nsfw": {ORDINARY: 0.001, ADULT: 0.95},
    "abusive": {TROLL: 0.4},
    "low_quality": {ORDINARY: 0.004, SPAMMER: 0.5, TROLL: 0.05},
    "read_only": {ORDINARY: 0.0005, TROLL: 0.03},
    "compromised": {ORDINARY: 0.001},
    "recommendations_blacklist": {ORDINARY: 0.001, SPAMMER: 0.1, TROLL: 0.05, ADULT: 0.05},
    "spam_high_recall": {SPAMMER: 0.9},
    "duplicate_content": {SPAMMER: 0.5},
    "engagement_spammer": {SPAMMER: 0.3},
    "do_not_amplify": {ORDINARY: 0.0005, TROLL: 0.1, SPAMMER: 0.05},
}
_NOT_GRADUATED_H = 730.5  # age below which a quiet account is still new to the platform
_MEAN_DELAY_H = 0.5  # from writing a tweet to its label
_LABELLED_BEFORE = 0.8  # share of the accounts' labels that are older than the world


@dataclass(config={"extra": "forbid"}, kw_only=True, frozen=True)
class Labeller:
    """How well the platform's models know spam, abuse and nudity when they see it."""

    precision: Part = 0.8
    """Share of the labels that are right."""
    recall: Part = 0.75
    """Share of what deserves a label that gets it."""
    strict: Part = 0.95
    """Precision of "high precision" labels, and recall of "high recall" ones."""
    lax: Part = 0.5
    """Recall of "high precision" labels, and precision of "high recall" ones."""

    def quality(self, label: str) -> tuple[float, float]:
        """(precision, recall) of one label."""
        if label.endswith("high_precision"):
            return self.strict, self.lax
        if label.endswith("high_recall"):
            return self.lax, self.strict
        return self.precision, self.recall


def deserved_labels(people: People, author: Ints, quality: Floats, rng: np.random.Generator) -> Array:
    """uint16 [n]: bits of TWEET_LABELS that tweets with these authors and qualities deserve."""
    bits = np.zeros(author.size, np.uint16)
    character = people.character[author]
    for name, shares in _DESERVED.items():
        share = np.array([shares[code] for code in range(len(shares))], np.float32)
        bits |= _bit(rng.random(author.size, np.float32) < share[character], _TWEET[name])
    bits |= _bit(quality < _LOW_QUALITY, _TWEET["low_quality"])
    for name, other in _SAME_TRUTH.items():
        bits |= _bit(_has(bits, _TWEET[other]), _TWEET[name])
    amplified_never = _has(bits, _TWEET["hateful_conduct"]) | (rng.random(author.size, np.float32) < 0.0005)
    return bits | _bit(amplified_never, _TWEET["do_not_amplify"])


def is_sensitive(bits: Array) -> Bools:
    """bool [n]: nudity or violence, by the bits of TWEET_LABELS."""
    return _has(bits, _TWEET["nsfw_high_precision"]) | _has(bits, _TWEET["gore_and_violence"])


def is_spam(bits: Array) -> Bools:
    """bool [n]: by the bits of TWEET_LABELS."""
    return _has(bits, _TWEET["spam"])


def deserved_user_labels(people: People, rng: np.random.Generator) -> Array:
    """uint16 [U]: bits of USER_LABELS that accounts deserve."""
    users = people.character.size
    bits = np.zeros(users, np.uint16)
    for name, shares in _ACCOUNTS.items():
        share = np.array([shares.get(code, 0.0) for code in range(4)])
        bits |= _bit(rng.random(users) < share[people.character], _USER[name])
    young = -people.table["created_h"] < _NOT_GRADUATED_H
    return bits | _bit(young & (rng.random(users) < 0.5), _USER["not_graduated"])


def tweet_label_table(
    bits: Array, source: Array, time_h: Doubles, labeller: Labeller, end_h: float, rng: np.random.Generator
) -> dict[str, Array]:
    """The `tweet_labels` table: what was said soon after writing; source: which tweets are judged, not retweets."""
    rows, label = _said(bits[source], TWEET_LABELS, labeller, rng)
    tweet = source[rows].astype(np.int32)
    when = time_h[tweet] + rng.exponential(_MEAN_DELAY_H, tweet.size)
    return _in_time("tweet", tweet, label, when, end_h)


def user_label_table(
    bits: Array, created_h: Doubles, labeller: Labeller, end_h: float, rng: np.random.Generator
) -> dict[str, Array]:
    """The `user_labels` table: most are older than the world, the others come while it runs."""
    user, label = _said(bits, USER_LABELS, labeller, rng)
    before = rng.random(user.size) < _LABELLED_BEFORE
    draws = rng.random(user.size)
    return _in_time(
        "user", user.astype(np.int32), label, np.where(before, created_h[user] * draws, end_h * draws), end_h
    )


def noisy(truth: Bools, precision: float, recall: float, rng: np.random.Generator) -> Bools:
    """bool [n]: a labeller's opinion, with so many false alarms that `precision` of what it says is right."""
    draws = rng.random(truth.size, np.float32)
    false_alarms = truth.sum() * recall * (1.0 - precision) / precision / max(1, truth.size - truth.sum())
    said: Bools = draws < np.where(truth, np.float32(recall), np.float32(min(false_alarms, 1.0)))
    return said


def _said(bits: Array, names: tuple[str, ...], labeller: Labeller, rng: np.random.Generator) -> tuple[Array, Array]:
    """(row int64, label int8): what the labellers say, label by label."""
    found = [np.flatnonzero(noisy(_has(bits, code), *labeller.quality(name), rng)) for code, name in enumerate(names)]
    label = np.repeat(np.arange(len(names), dtype=np.int8), [rows.size for rows in found])
    return np.concatenate(found), label


def _in_time(who: str, rows: Ints, label: Array, time_h: Doubles, end_h: float) -> dict[str, Array]:
    order = np.argsort(time_h, kind="stable")
    order = order[time_h[order] < end_h]
    return {who: rows[order], "label": label[order], "time_h": time_h[order]}


def _bit(flags: Bools, code: int) -> Array:
    return flags.astype(np.uint16) << np.uint16(code)


def _has(bits: Array, code: int) -> Bools:
    flags: Bools = (bits >> np.uint16(code)) & np.uint16(1) > 0
    return flags

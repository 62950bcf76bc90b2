"""Verdicts: facts of viewer and tweet against the ordered rules; the first drop ends.

Without a drop, the most severe of the other verdicts stands, the first of those that are equally
severe (visibilitylib/…/engine/VisibilityRuleEngine.scala evaluates rules in order; xai-org/x-algorithm,
visibility-filtering, 2026: "first drop ends").
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import get_args

import numpy as np

from funnel.core.arrays import Bools, Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.kernels import helper, kernel
from funnel.core.kernels.grouping import first_not_before
from funnel.core.tables import TWEET_LABELS
from heuristics.visibility.rules import (
    ALLOW,
    CONDITIONS,
    DROP,
    FACT_BIT,
    NOTIFICATIONS,
    RECOMMENDATIONS,
    RULES,
    Who,
)

# The features that the facts are made of.
NEEDS: tuple[str, ...] = (
    "author",
    "original_author",
    "in_network",
    "is_reply",
    "exclusive_hidden",
    "muted_keyword",
    "muted",
    "blocked",
    "protected_hidden",
    "author_suspended",
    "tweet_labels",
    "author_labels",
)
NO_RULE = -1
# Bits of facts, and where the labels begin.
EXCLUSIVE, KEYWORD, MUTED, BLOCKS, BLOCKED, PROTECTED, SUSPENDED, WITHHELD = (
    1 << FACT_BIT[name] for name in CONDITIONS
)
TWEET_SHIFT, AUTHOR_SHIFT = len(CONDITIONS), len(CONDITIONS) + len(TWEET_LABELS)


def verdicts(
    batch: CandidateBatch,
    *,
    without: Collection[str] = (),
    withheld: Mapping[int, tuple[str, ...]] | None = None,
    notifications: bool = False,
) -> tuple[Floats, Ints]:
    """(verdict float32 [n], one of VERDICTS; rule int32 [n], place in RULES of who decided, -1 for none).

    batch: with NEEDS. without: names of rules that are switched off. withheld: country code -> tweet labels that may
    not be shown to viewers there. notifications: judge on the level MagicRecs.
    """
    view, viewer = batch.requests.view, batch.viewer
    follows, blocks = view.following, view.events("block", by="viewer")
    facts, concerned = _facts(
        viewer, np.minimum(batch.now_h, view.now_h), view.users["allows_sensitive"],
        batch["author"], batch["original_author"], batch["in_network"], batch["is_reply"], batch["exclusive_hidden"],
        batch["muted_keyword"], batch["muted"], batch["blocked"], batch["protected_hidden"], batch["author_suspended"],
        batch["tweet_labels"], batch["author_labels"],
        follows.offsets, follows.targets, follows.time_h,
        blocks.offsets, blocks.time_h, blocks.row, view.feedback["author"],
        _withheld(batch, withheld) if withheld else np.empty(0, np.bool_),
    )  # fmt: skip
    if notifications:
        concerned = concerned | (FOREIGN | NOTIFIED)
    on = np.array([rule.name not in without for rule in RULES]) if without else _ALL
    return _judge(facts, concerned, on, *_TABLE)


def dropped_by(facts: Longs, concerned: Longs) -> Bools:
    """bool [n]: whether the rules as published drop a tweet with these FACTS for whom these BITS hold."""
    verdict: Bools = _judge(facts, concerned, _ALL, *_TABLE)[0] >= DROP
    return verdict


# Bits of whom a rule concerns, and of the level: a rule applies where all of its bits are set.
BITS: dict[str, int] = {who: 1 << bit for bit, who in enumerate((*get_args(Who), RECOMMENDATIONS, NOTIFICATIONS))}
ANYBODY, OTHER, NOT_FOLLOWER, NO_FRIEND, UNWANTED, FOREIGN, NOTIFIED = BITS.values()
_ALL = np.ones(len(RULES), np.bool_)
# For each rule: the bit of its fact, whom it concerns, its verdict.
_TABLE: tuple[Longs, Longs, Longs] = (
    np.array([FACT_BIT[rule.fact] for rule in RULES]),
    np.array([BITS[rule.who] | BITS.get(rule.level, 0) for rule in RULES]),
    np.array([rule.verdict for rule in RULES]),
)


@kernel
def _judge(
    facts: Longs, concerned: Longs, on: Bools, fact_bit: Longs, concerns: Longs, severity: Longs
) -> tuple[Floats, Ints]:
    verdict = np.full(facts.size, ALLOW, np.float32)
    decided = np.full(facts.size, NO_RULE, np.int32)
    for i in range(facts.size):
        if facts[i] == 0:  # most candidates have nothing that a rule asks about
            continue
        for rule in range(on.size):
            applies = on[rule] and (facts[i] >> fact_bit[rule]) & 1 and concerned[i] & concerns[rule] == concerns[rule]
            if applies and severity[rule] > verdict[i]:
                verdict[i], decided[i] = severity[rule], rule
                if severity[rule] == DROP:
                    break
    return verdict, decided


@helper
def linked(offsets: Longs, targets: Ints, times: Doubles, source: int, target: int, now: float) -> bool:
    """Whether an edge stands before now."""
    at = first_not_before(targets, offsets[source], offsets[source + 1], target)
    return bool(at < offsets[source + 1] and targets[at] == target and times[at] < now)


@helper
def gave(offsets: Longs, times: Doubles, rows: Ints, about: Ints, giver: int, whom: int, now: float) -> bool:
    """Whether one of the giver's events before now is about somebody."""
    for e in range(offsets[giver], offsets[giver + 1]):
        if times[e] >= now:
            return False
        if about[rows[e]] == whom:
            return True
    return False


@kernel
def _facts(
    viewer: Ints, now: Doubles, allows_sensitive: Bools,
    author: Ints, original_author: Ints, in_network: Bools, is_reply: Bools, exclusive_hidden: Bools,
    muted_keyword: Bools, muted: Bools, blocked: Bools, protected_hidden: Bools, author_suspended: Bools,
    tweet_labels: Ints, author_labels: Ints,
    follow_offsets: Longs, follow_targets: Ints, follow_h: Doubles,
    block_offsets: Longs, block_h: Doubles, block_rows: Ints, about: Ints,
    withheld: Bools,
) -> tuple[Longs, Longs]:  # fmt: skip
    """(bits of FACTS, bits of BITS) int64 [n] of each candidate; whom rules concern only where there are facts."""
    facts, concerned = np.zeros(viewer.size, np.int64), np.zeros(viewer.size, np.int64)
    for i in range(viewer.size):
        me, by, writer = viewer[i], author[i], original_author[i]
        found = (np.int64(tweet_labels[i]) << TWEET_SHIFT) | (np.int64(author_labels[i]) << AUTHOR_SHIFT)
        if exclusive_hidden[i]:
            found |= EXCLUSIVE
        if muted_keyword[i]:
            found |= KEYWORD
        if muted[i]:
            found |= MUTED
        if protected_hidden[i]:
            found |= PROTECTED
        if author_suspended[i]:
            found |= SUSPENDED
        if withheld.size > 0 and withheld[i]:
            found |= WITHHELD
        if blocked[i]:  # which way the block goes
            for whom in (by, writer):
                if gave(block_offsets, block_h, block_rows, about, me, whom, now[i]):
                    found |= BLOCKS
                if gave(block_offsets, block_h, block_rows, about, whom, me, now[i]):
                    found |= BLOCKED
        facts[i] = found
        if found != 0:
            back = is_reply[i] and in_network[i] and linked(follow_offsets, follow_targets, follow_h, by, me, now[i])
            concerned[i] = whom_it_concerns(
                writer != me, in_network[i], is_reply[i] and not back, not allows_sensitive[me]
            )
    return facts, concerned


@helper
def whom_it_concerns(other: bool, inside: bool, stranger: bool, unwanted: bool) -> int:
    """BITS of a viewer and a tweet.

    other: it is by somebody else; stranger: a reply, unless the two follow each other; unwanted: no sensitive media.
    """
    bits = ANYBODY
    if unwanted:
        bits |= UNWANTED
    if not inside:
        bits |= FOREIGN
    if other:
        bits |= OTHER
        if not inside:
            bits |= NOT_FOLLOWER
        if stranger:
            bits |= NO_FRIEND
    return bits


def _withheld(batch: CandidateBatch, withheld: Mapping[int, tuple[str, ...]]) -> Bools:
    """bool [n]: whether the tweet has a label that may not be shown in the viewer's country."""
    country = batch.requests.view.users["country"][batch.viewer]
    found = np.zeros(len(batch), np.bool_)
    for code, labels in withheld.items():
        bits = sum(1 << TWEET_LABELS.index(label) for label in labels)
        found |= (country == code) & ((batch["tweet_labels"] & bits) != 0)
    return found

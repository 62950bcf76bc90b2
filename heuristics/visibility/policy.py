"""Verdicts: facts of viewer and tweet against the ordered rules; the first drop ends.

Without a drop, the most severe of the other verdicts stands, the first of those that are equally
severe (visibilitylib/…/engine/VisibilityRuleEngine.scala evaluates rules in order; xai-org/x-algorithm,
visibility-filtering, 2026: "first drop ends").
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import get_args

import numpy as np

from funnel.core.arrays import Bools, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.kernels import kernel
from funnel.core.tables import TWEET_LABELS
from funnel.features.base import followed_since, given, given_by_each
from heuristics.visibility.rules import (
    ALLOW,
    CONDITIONS,
    DROP,
    FACT_BIT,
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
_FLAGS = ("exclusive_hidden", "muted_keyword", "muted", "protected_hidden", "author_suspended")


def verdicts(
    batch: CandidateBatch, *, without: Collection[str] = (), withheld: Mapping[int, tuple[str, ...]] | None = None
) -> tuple[Floats, Ints]:
    """(verdict float32 [n], one of VERDICTS; rule int32 [n], place in RULES of who decided, -1 for none).

    batch: with NEEDS. without: names of rules that are switched off. withheld: country code -> tweet labels that may
    not be shown to viewers there.
    """
    facts = _facts(batch, withheld or {})
    verdict = np.full(len(batch), ALLOW, np.float32)
    decided = np.full(len(batch), NO_RULE, np.int32)
    rows = np.flatnonzero(facts)  # most candidates have nothing that a rule asks about
    if not rows.size:
        return verdict, decided
    asked = batch.only(NEEDS).take(rows)
    on = np.array([rule.name not in without for rule in RULES])
    verdict[rows], decided[rows] = _judge(facts[rows], _concerned(asked), on, *_TABLE)
    return verdict, decided


def dropped_by(facts: Longs, concerned: Longs) -> Bools:
    """bool [n]: whether the rules as published drop a tweet with these FACTS for whom these BITS hold."""
    verdict: Bools = _judge(facts, concerned, np.ones(len(RULES), np.bool_), *_TABLE)[0] >= DROP
    return verdict


# Bits of whom a rule concerns, and of the level: a rule applies where all of its bits are set.
BITS: dict[str, int] = {who: 1 << bit for bit, who in enumerate((*get_args(Who), RECOMMENDATIONS))}
# For each rule: the bit of its fact, whom it concerns, its verdict.
_TABLE: tuple[Longs, Longs, Longs] = (
    np.array([FACT_BIT[rule.fact] for rule in RULES]),
    np.array([BITS[rule.who] | (BITS[RECOMMENDATIONS] if rule.level == RECOMMENDATIONS else 0) for rule in RULES]),
    np.array([rule.verdict for rule in RULES]),
)


def _concerned(batch: CandidateBatch) -> Longs:
    """int64 [n]: which of BITS hold of viewer and tweet."""
    view, viewer, author = batch.requests.view, batch.viewer, batch["author"]
    foreign = ~batch["in_network"]
    other = batch["original_author"] != viewer
    stranger = batch["is_reply"] & other  # of a reply, unless the two follow each other
    rows = np.flatnonzero(stranger & batch["in_network"])
    stranger[rows] = ~np.isfinite(followed_since(view, author[rows], viewer[rows], batch.now_h[rows]))
    holds: dict[str, Bools] = {
        "anybody": np.ones(len(batch), np.bool_),
        "not_author": other,
        "not_follower": other & foreign,
        "not_friend_of_reply": stranger,
        "sensitive_unwanted": ~view.users["allows_sensitive"][viewer],
        RECOMMENDATIONS: foreign,
    }
    bits = np.zeros(len(batch), np.int64)
    for name, bit in BITS.items():
        bits |= holds[name] * np.int64(bit)
    return bits


@kernel
def _judge(
    facts: Longs, concerned: Longs, on: Bools, fact_bit: Longs, concerns: Longs, severity: Longs
) -> tuple[Floats, Ints]:
    verdict = np.full(facts.size, ALLOW, np.float32)
    decided = np.full(facts.size, NO_RULE, np.int32)
    for i in range(facts.size):
        for rule in range(on.size):
            applies = on[rule] and (facts[i] >> fact_bit[rule]) & 1 and concerned[i] & concerns[rule] == concerns[rule]
            if applies and severity[rule] > verdict[i]:
                verdict[i], decided[i] = severity[rule], rule
                if severity[rule] == DROP:
                    break
    return verdict, decided


def _facts(batch: CandidateBatch, withheld: Mapping[int, tuple[str, ...]]) -> Longs:
    """int64 [n]: bits of FACTS that hold of viewer and tweet."""
    facts = batch["tweet_labels"].astype(np.int64) << len(CONDITIONS)
    facts |= batch["author_labels"].astype(np.int64) << (len(CONDITIONS) + len(TWEET_LABELS))
    for name in _FLAGS:
        facts |= batch[name].astype(np.int64) << FACT_BIT[name]
    blocked = np.flatnonzero(batch["blocked"])
    if blocked.size:  # which way the block goes
        view, viewer, now_h = batch.requests.view, batch.viewer[blocked], batch.now_h[blocked]
        authors = (batch["author"][blocked], batch["original_author"][blocked])
        mine = np.any([given(view, "block", viewer, author, now_h) for author in authors], axis=0)
        theirs = np.any([given_by_each(view, "block", author, viewer, now_h) for author in authors], axis=0)
        facts[blocked] |= mine.astype(np.int64) << FACT_BIT["viewer_blocks"]
        facts[blocked] |= theirs.astype(np.int64) << FACT_BIT["blocked_by"]
    if withheld:
        country = batch.requests.view.users["country"][batch.viewer]
        for code, labels in withheld.items():
            bits = sum(1 << TWEET_LABELS.index(label) for label in labels)
            here = (country == code) & ((batch["tweet_labels"] & bits) != 0)
            facts |= here.astype(np.int64) << FACT_BIT["withheld"]
    return facts

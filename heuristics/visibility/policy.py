"""Verdicts: facts of viewer and tweet against the ordered rules; the first drop ends.

Without a drop, the most severe of the other verdicts stands, the first of those that are equally
severe (visibilitylib/…/engine/VisibilityRuleEngine.scala evaluates rules in order; xai-org/x-algorithm,
visibility-filtering, 2026: "first drop ends").
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import get_args

import numpy as np

from funnel.core.arrays import Bools, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.tables import TWEET_LABELS
from funnel.features.base import followed_since, given
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
    "is_own",
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
    facts, asked = facts[rows], batch.only(NEEDS).take(rows)
    foreign, concerned = _recommended(asked), dict[str, Bools]()
    worst, by = verdict[rows], decided[rows]
    for place, rule in enumerate(RULES):
        if rule.name in without:
            continue
        hit = (facts & (np.int64(1) << FACT_BIT[rule.fact])) != 0
        if not hit.any():
            continue
        if rule.who not in concerned:
            concerned[rule.who] = _WHO[rule.who](asked)
        hit &= (worst < rule.verdict) & concerned[rule.who]
        if rule.level == RECOMMENDATIONS:
            hit &= foreign
        worst[hit], by[hit] = rule.verdict, place
    verdict[rows], decided[rows] = worst, by
    return verdict, decided


def dropped(batch: CandidateBatch) -> Bools:
    """bool [n]: whether the rules as published drop the candidate; batch: with NEEDS."""
    verdict: Bools = verdicts(batch)[0] >= DROP
    return verdict


def _anybody(batch: CandidateBatch) -> Bools:
    return np.ones(len(batch), np.bool_)


def _recommended(batch: CandidateBatch) -> Bools:
    foreign: Bools = ~batch["in_network"]
    return foreign


def _not_author(batch: CandidateBatch) -> Bools:
    return np.not_equal(batch["original_author"], batch.viewer)


def _not_follower(batch: CandidateBatch) -> Bools:
    return _not_author(batch) & _recommended(batch)


def _sensitive_unwanted(batch: CandidateBatch) -> Bools:
    wanted: Bools = batch.requests.view.users["allows_sensitive"][batch.viewer]
    return ~wanted


def _not_friend_of_reply(batch: CandidateBatch) -> Bools:
    back = followed_since(batch.requests.view, batch["author"], batch.viewer, batch.now_h)
    friends = np.isfinite(back) & batch["in_network"]
    concerned: Bools = batch["is_reply"] & _not_author(batch) & ~friends
    return concerned


# Whom a rule concerns; each is worked out when a rule first has a row to ask about.
_WHO: dict[str, Callable[[CandidateBatch], Bools]] = {
    "anybody": _anybody,
    "not_author": _not_author,
    "not_follower": _not_follower,
    "not_friend_of_reply": _not_friend_of_reply,
    "sensitive_unwanted": _sensitive_unwanted,
}
assert set(_WHO) == set(get_args(Who))


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
        theirs = np.any([given(view, "block", author, viewer, now_h) for author in authors], axis=0)
        facts[blocked] |= mine.astype(np.int64) << FACT_BIT["viewer_blocks"]
        facts[blocked] |= theirs.astype(np.int64) << FACT_BIT["blocked_by"]
    if withheld:
        country = batch.requests.view.users["country"][batch.viewer]
        for code, labels in withheld.items():
            bits = sum(1 << TWEET_LABELS.index(label) for label in labels)
            here = (country == code) & ((batch["tweet_labels"] & bits) != 0)
            facts |= here.astype(np.int64) << FACT_BIT["withheld"]
    return facts

"""Judging tweets that are shown with a candidate: what it quotes, and what it answers."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.kernels import helper, kernel
from funnel.core.kernels.grouping import first_not_before
from funnel.core.tables import REPLY, RETWEET
from heuristics.visibility.policy import (
    AUTHOR_SHIFT,
    BLOCKED,
    BLOCKS,
    EXCLUSIVE,
    KEYWORD,
    MUTED,
    PROTECTED,
    SUSPENDED,
    TWEET_SHIFT,
    dropped_by,
    gave,
    linked,
    whom_it_concerns,
)


def dropped_for(batch: CandidateBatch, rows: Longs, tweet: Ints) -> Bools:
    """bool [m]: whether tweet[i] is dropped for the viewer of rows[i].

    On the safety level of the tweet itself: whether the viewer follows its author. The same as hydrating the tweets as
    candidates and asking `policy.verdicts`, in one walk, since most have nothing that a rule asks about.
    """
    if not rows.size:
        return np.zeros(0, np.bool_)
    view = batch.requests.view
    tweets, users, feedback = view.tweets, view.users, view.feedback
    follows, paid = view.following, view.subscriptions
    of_tweet, of_user = view.events("tweet_label", by="tweet"), view.events("user_label", by="author")
    blocks, mutes = view.events("block", by="viewer"), view.events("mute", by="viewer")
    keywords, words = view.events("mute_keyword", by="viewer"), view.words_of_tweet
    facts, concerned = _facts_of(
        batch.viewer[rows], tweet, np.minimum(batch.now_h[rows], view.now_h),
        tweets["author"], tweets["kind"], tweets["parent"], tweets["root"], tweets["exclusive"],
        users["protected"], users["suspended"], users["allows_sensitive"],
        follows.offsets, follows.targets, follows.time_h,
        paid.offsets, paid.targets, paid.time_h,
        of_tweet.offsets, of_tweet.time_h, of_tweet.row, view.tweet_labels["label"],
        of_user.offsets, of_user.time_h, of_user.row, view.user_labels["label"],
        blocks.offsets, blocks.time_h, blocks.row, mutes.offsets, mutes.time_h, mutes.row, feedback["author"],
        keywords.offsets, keywords.time_h, keywords.row, feedback["word"], *words,
    )  # fmt: skip
    return dropped_by(facts, concerned)


@helper
def _labels(offsets: Longs, times: Doubles, rows: Ints, label: Ints, key: int, now: float) -> int:
    """Bits of the labels attached before now."""
    bits = 0
    for e in range(offsets[key], offsets[key + 1]):
        if times[e] < now:
            bits |= 1 << label[rows[e]]
    return bits


@helper
def _has_word(offsets: Longs, words: Ints, tweet: int, word: int) -> bool:
    at = first_not_before(words, offsets[tweet], offsets[tweet + 1], word)
    return bool(at < offsets[tweet + 1] and words[at] == word)


@kernel
def _facts_of(  # noqa: PLR0912 — the conditions of the rules, one after the other
    viewers: Ints, tweets: Ints, moments: Doubles,
    author: Ints, kind: Array, parent: Ints, root: Ints, exclusive: Bools,
    protected: Bools, suspended: Bools, allows_sensitive: Bools,
    follow_offsets: Longs, follow_targets: Ints, follow_h: Doubles,
    paid_offsets: Longs, paid_targets: Ints, paid_h: Doubles,
    tweet_label_offsets: Longs, tweet_label_h: Doubles, tweet_label_rows: Ints, tweet_label: Array,
    user_label_offsets: Longs, user_label_h: Doubles, user_label_rows: Ints, user_label: Array,
    block_offsets: Longs, block_h: Doubles, block_rows: Ints,
    mute_offsets: Longs, mute_h: Doubles, mute_rows: Ints, about: Ints,
    keyword_offsets: Longs, keyword_h: Doubles, keyword_rows: Ints, word: Ints,
    word_offsets: Longs, words: Ints,
) -> tuple[Longs, Longs]:  # fmt: skip
    """(bits of FACTS, bits of BITS) int64 [n] of each viewer and tweet; whom rules concern only where there are facts.

    Each condition as in the feature of its name.
    """
    facts, concerned = np.zeros(tweets.size, np.int64), np.zeros(tweets.size, np.int64)
    for i in range(tweets.size):
        me, tweet, now = viewers[i], tweets[i], moments[i]
        again = kind[tweet] == RETWEET and parent[tweet] >= 0
        original = parent[tweet] if again else tweet
        by, writer = author[tweet], author[original]
        found = _labels(tweet_label_offsets, tweet_label_h, tweet_label_rows, tweet_label, original, now)
        if again:
            found |= _labels(tweet_label_offsets, tweet_label_h, tweet_label_rows, tweet_label, tweet, now)
        of_author = _labels(user_label_offsets, user_label_h, user_label_rows, user_label, writer, now)
        if writer != by:
            of_author |= _labels(user_label_offsets, user_label_h, user_label_rows, user_label, by, now)
        found = (found << TWEET_SHIFT) | (of_author << AUTHOR_SHIFT)
        inside = by == me or linked(follow_offsets, follow_targets, follow_h, me, by, now)
        first = root[original]
        of_root = first >= 0 and exclusive[first]
        if of_root or exclusive[original]:
            whose = author[first] if of_root else writer
            if whose != me and not linked(paid_offsets, paid_targets, paid_h, me, whose, now):
                found |= EXCLUSIVE
        for m in range(keyword_offsets[me], keyword_offsets[me + 1]):
            if keyword_h[m] >= now:
                break
            muted = word[keyword_rows[m]]
            if _has_word(word_offsets, words, original, muted) or _has_word(word_offsets, words, tweet, muted):
                found |= KEYWORD
                break
        if protected[by] and not inside:
            found |= PROTECTED
        for whom in (by, writer):
            if suspended[whom]:
                found |= SUSPENDED
            if gave(mute_offsets, mute_h, mute_rows, about, me, whom, now):
                found |= MUTED
            if gave(block_offsets, block_h, block_rows, about, me, whom, now):
                found |= BLOCKS
            if gave(block_offsets, block_h, block_rows, about, whom, me, now):
                found |= BLOCKED
        facts[i] = found
        if found == 0:
            continue
        back = kind[tweet] == REPLY and inside and linked(follow_offsets, follow_targets, follow_h, by, me, now)
        stranger = kind[tweet] == REPLY and not back
        concerned[i] = whom_it_concerns(writer != me, inside, stranger, not allows_sensitive[me])
    return facts, concerned

"""Where a tweet stands among others: what it answers or quotes, and who may read its conversation.

A retweet stands for the tweet it passes on where the text is concerned (`quoted`, `exclusive_author`),
and for itself where it is an answer (`conversation`, `reply_delay_s`): it answers nobody.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Floats, Ints
from funnel.core.batch import CandidateBatch
from funnel.core.tables import QUOTE
from funnel.features.kernels import edge_time
from funnel.features.registry import FIXED, feature

HOUR_S = 3600.0


@feature("answers", unit="tweet", group="base", rule=FIXED, needs=("is_reply",))
def answers(batch: CandidateBatch) -> Ints:
    """The tweet that a reply answers, -1 if it is no reply or the tweet is not known."""
    return np.where(batch["is_reply"], _tweets(batch, "parent")[batch["tweet"]], np.int32(-1))


@feature("conversation", unit="tweet", group="base", rule=FIXED, needs=("answers",))
def conversation(batch: CandidateBatch) -> Ints:
    """The first tweet of the conversation that a reply belongs to; any other tweet is its own."""
    root = np.where(batch["is_reply"], _tweets(batch, "root")[batch["tweet"]], np.int32(-1))
    first = np.where(root >= 0, root, batch["answers"])
    return np.where(first >= 0, first, batch["tweet"])


@feature("reply_delay_s", unit="s", group="base", rule=FIXED, needs=("answers",))
def reply_delay_s(batch: CandidateBatch) -> Floats:
    """Seconds from a tweet to its answer, infinite if this is no reply or the tweet is not known."""
    delay = np.full(len(batch), np.inf, np.float32)
    rows = np.flatnonzero(batch["answers"] >= 0)
    written = _tweets(batch, "time_h")
    delay[rows] = HOUR_S * (written[batch["tweet"][rows]] - written[batch["answers"][rows]])
    return delay


@feature("quoted", unit="tweet", group="base", rule=FIXED, needs=("original",))
def quoted(batch: CandidateBatch) -> Ints:
    """The tweet that the tweet (or the one it retweets) quotes, -1 if there is none."""
    original = batch["original"]
    return np.where(_tweets(batch, "kind")[original] == QUOTE, _tweets(batch, "parent")[original], np.int32(-1))


@feature("exclusive_author", unit="user", group="base", rule=FIXED, needs=("original",))
def exclusive_author(batch: CandidateBatch) -> Ints:
    """Whose subscribers alone may read the tweet, because it or its conversation is exclusive; -1 if all may."""
    original, exclusive, author = batch["original"], _tweets(batch, "exclusive"), _tweets(batch, "author")
    root = _tweets(batch, "root")[original]
    of_root = (root >= 0) & exclusive[np.maximum(root, 0)]
    first = np.where(of_root, root, original)
    return np.where(of_root | exclusive[original], author[first], np.int32(-1))


@feature("exclusive_hidden", unit="flag", group="base", needs=("exclusive_author",))
def exclusive_hidden(batch: CandidateBatch) -> Bools:
    """The tweet is for subscribers of an author, and the viewer is neither that author nor one of them."""
    hidden: Bools = (batch["exclusive_author"] >= 0) & (batch["exclusive_author"] != batch.viewer)
    rows = np.flatnonzero(hidden)
    if rows.size:
        paid = batch.requests.view.subscriptions
        whose = batch["exclusive_author"][rows]
        since = edge_time(paid.offsets, paid.targets, paid.time_h, batch.viewer[rows], whose)
        hidden[rows] = since >= batch.now_h[rows]
    return hidden


def _tweets(batch: CandidateBatch, column: str) -> Array:
    return batch.requests.view.tweets[column]

"""Columns about which a data set says nothing, in the one way that all importers fill them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from funnel.core.arrays import Array, Doubles

BEFORE_EPOCH_H = -1.0  # of follows whose time is unknown
ACCOUNT_MADE_H = -8_760.0  # of accounts: a year before, for nobody knows
UNKNOWN_LANGUAGE = "und"  # "undetermined" in ISO 639-2


def accounts(handles: Iterable[str], created_h: Doubles | None = None) -> dict[str, Array]:
    """The table `users` of accounts of which only a name, and perhaps the age, is known."""
    names = texts(handles)
    no = np.zeros(names.size, np.bool_)
    return {
        "handle": names,
        "created_h": np.full(names.size, ACCOUNT_MADE_H) if created_h is None else created_h,
        "language": np.zeros(names.size, np.int8),
        "verified": no,
        "creator": no,
        "protected": no,
        "suspended": no,
    }


def plain_tweets(count: int) -> dict[str, Array]:
    """The columns of `tweets` besides author, time, kind and references, if nothing is known of them."""
    no = np.zeros(count, np.bool_)
    return {
        "language": np.zeros(count, np.int8),
        "has_image": no,
        "has_link": no,
        "video_s": np.zeros(count, np.float32),
        "hashtag_count": np.zeros(count, np.int16),
        "mention_count": np.zeros(count, np.int16),
        "length": np.zeros(count, np.int16),
        "sensitive": no,
    }


def originals(count: int) -> dict[str, Array]:
    """Columns `kind`, `parent` and `root` of tweets that all stand for themselves."""
    none = np.full(count, -1, np.int32)
    return {"kind": np.zeros(count, np.int8), "parent": none, "root": none}


def texts(values: Iterable[str]) -> Array:
    """object [n] of str."""
    listed = list(values)
    out = np.empty(len(listed), dtype=object)
    out[:] = listed
    return out

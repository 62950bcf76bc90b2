"""Logged impressions as batches and labels: what everything that ranks learns from."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.products import TIMELINE, Product
from funnel.core.world import PlatformView


def logged_batch(view: PlatformView, rows: Array, product: Product = TIMELINE) -> CandidateBatch:
    """Impressions as candidates of the requests that showed them; each notification is a request of its own.

    rows: int64 [n], ascending row numbers of `view.shown(product)`. Columns: `tweet`, `position`. Features
    hydrated on it see each impression at its own moment.
    """
    log = view.shown(product)
    request = log["request"][rows] if "request" in log else rows
    position = log["position"][rows] if "position" in log else np.zeros(rows.size, np.int16)
    starts = np.flatnonzero(np.r_[True, request[1:] != request[:-1]][: rows.size])
    offsets = np.append(starts, rows.size).astype(np.int64)
    first = rows[starts]
    requests = Requests(log["viewer"][first], log["time_h"][first], view)
    return CandidateBatch(requests, offsets, {"tweet": log["tweet"][rows], "position": position})


def labels(view: PlatformView, rows: Array, product: Product = TIMELINE) -> Bools:
    """bool [n, A]: which actions followed each impression, in the order of the product's actions."""
    place: Longs = np.full(view.shown(product)["viewer"].size, -1, np.int64)
    place[rows] = np.arange(rows.size)
    done = view.done(product)
    from_log = done["impression"] >= 0
    impression, action = done["impression"][from_log], done["action"][from_log]
    at = place[impression]
    found = np.zeros((rows.size, len(product.actions)), np.bool_)
    found[at[at >= 0], action[at >= 0]] = True
    return found

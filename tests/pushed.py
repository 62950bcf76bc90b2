"""Small worlds whose log of notifications is written by hand.

world = pushed_world(sent=[(0, 12, 30.0)], done=[(0, "dislike", 30.5)], settings=[(3, False, 20.0)])
view = PlatformView(world, 48.0)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from funnel.core.actions import PUSH_ACTION_CODE
from funnel.core.tables import TABLES
from funnel.core.world import WorldTables
from tests.support import mini_world


def pushed_world(
    sent: Sequence[tuple[int, int, float]] | Sequence[tuple[int, int, float, int]] = (),
    *,
    done: Sequence[tuple[int, str, float]] = (),
    settings: Sequence[tuple[int, bool, float]] = (),
    world: WorldTables | None = None,
) -> WorldTables:
    """`mini_world()`, or another one, with this log in place of its own.

    sent: (viewer, tweet, time_h) and optionally the kind, ascending in time; done: (row of `sent`, action, time_h),
    ascending in time; settings: (user, allowed, time_h), ascending in time.
    """
    base = mini_world() if world is None else world
    tables = {name: dict(base.table(name)) for name in TABLES}
    n = len(sent)
    tables["notifications"] = {
        "viewer": np.array([row[0] for row in sent], np.int32),
        "tweet": np.array([row[1] for row in sent], np.int32),
        "time_h": np.array([row[2] for row in sent], np.float64),
        "kind": np.array([row[3] if len(row) > 3 else 0 for row in sent], np.int8),
        "arm": np.zeros(n, np.int8),
        "propensity": np.ones(n, np.float32),
    }
    rows = np.array([row for row, _, _ in done], np.int32)
    tables["notification_actions"] = {
        "viewer": tables["notifications"]["viewer"][rows],
        "tweet": tables["notifications"]["tweet"][rows],
        "action": np.array([PUSH_ACTION_CODE[name] for _, name, _ in done], np.int8),
        "time_h": np.array([time_h for _, _, time_h in done], np.float64),
        "impression": rows,
    }
    tables["notification_settings"] = {
        "user": np.array([user for user, _, _ in settings], np.int32),
        "allowed": np.array([allowed for _, allowed, _ in settings], np.bool_),
        "time_h": np.array([time_h for _, _, time_h in settings], np.float64),
    }
    return WorldTables(base.meta, tables)

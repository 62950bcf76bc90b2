"""Authors to pay for, on a page now and then.

Source: twitter/the-algorithm (2023), home-mixer/.../for_you/param/ForYouParam.scala: position 7 (from 0), at least
1,800 minutes between two injections. What proposes them is not published; here they are the creators whom the viewer
follows and does not pay for, those first with whose tweets the viewer engaged most. The numbers of users are those of
who-to-follow.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Ints
from funnel.core.errors import ConfigError
from funnel.core.kernels.grouping import pair_keys
from funnel.core.page import MixedPages
from funnel.core.stage import STRICT, Mixer
from funnel.core.world import PlatformView
from heuristics.mixer.accounts import with_accounts
from heuristics.mixer.who_to_follow import followed


@dataclass(config=STRICT, kw_only=True)
class WhoToSubscribe(Mixer):
    """Proposes to subscribe to creators whom the viewer follows."""

    place: int = Field(7, ge=0, le=99, description="entries above it")
    min_users: int = Field(3, ge=1, le=20, description="with fewer proposals there is no module")
    max_users: int = Field(20, ge=1, le=100, description="greatest number of authors proposed")
    min_interval_h: float = Field(30.0, ge=0, le=100, description="hours between two such modules, at least")

    def __post_init__(self) -> None:
        if self.max_users < self.min_users:
            raise ConfigError("who_to_subscribe.max_users", f"wants at least min_users, {self.min_users}")

    def insert(self, pages: MixedPages) -> MixedPages:
        """The pages with a module of kind "who_to_subscribe" where one is due and there is somebody to propose."""
        return with_accounts(pages, self, "Creators to subscribe to", _proposals)


def paid_for(view: PlatformView, viewer: int, now_h: float) -> Ints:
    """int32 [k]: the authors whom a viewer pays for at a moment, ascending."""
    graph = view.subscriptions
    edges = slice(int(graph.offsets[viewer]), int(graph.offsets[viewer + 1]))
    return graph.targets[edges][graph.time_h[edges] < now_h]


def _proposals(view: PlatformView, viewer: int, now_h: float) -> Ints:
    users = followed(view, viewer, now_h)
    offered = view.users["creator"][users] & ~view.users["suspended"][users]
    users = users[offered & ~np.isin(users, paid_for(view, viewer, now_h))]
    index = view.events("public", by="viewer_author")
    slots = index.slots(pair_keys(np.full(users.size, viewer), users))
    count = index.count(slots, np.full(users.size, now_h))
    proposals: Ints = users[np.lexsort((users, -count.astype(np.int64)))]
    return proposals

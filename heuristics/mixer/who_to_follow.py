"""Accounts to follow, on a page now and then.

Source: twitter/the-algorithm (2023), home-mixer/.../for_you/param/ForYouParam.scala and
ForYouScoredTweetsMixerPipelineConfig.scala: position 5 (from 0), 3 to 20 users, at least 1,800 minutes between two
injections; xai-org/x-algorithm (2026): position 6, fatigue 30 h. Whom the service behind it proposes is simulated by
what it stands on: accounts that most of those whom the viewer follows follow. Fatigue after dismissals (7 days each)
is left out, because no world knows a dismissal.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Ints
from funnel.core.errors import ConfigError
from funnel.core.page import MixedPages
from funnel.core.stage import STRICT, Mixer
from funnel.core.world import PlatformView
from funnel.features.base import given
from heuristics.mixer.accounts import with_accounts

# Of each followee so many follows are read, as graph-feature-service keeps the top 512 neighbours of a user.
SECOND_HOPS = 512


@dataclass(config=STRICT, kw_only=True)
class WhoToFollow(Mixer):
    """Proposes accounts that many of the viewer's followees follow."""

    place: int = Field(5, ge=0, le=99, description="entries above it")
    min_users: int = Field(3, ge=1, le=20, description="with fewer proposals there is no module")
    max_users: int = Field(20, ge=1, le=100, description="greatest number of accounts proposed")
    min_interval_h: float = Field(30.0, ge=0, le=100, description="hours between two such modules, at least")

    def __post_init__(self) -> None:
        if self.max_users < self.min_users:
            raise ConfigError("who_to_follow.max_users", f"wants at least min_users, {self.min_users}")

    def insert(self, pages: MixedPages) -> MixedPages:
        """The pages with a module of kind "who_to_follow" where one is due and there is somebody to propose."""
        return with_accounts(pages, self, "Who to follow", _proposals)


def _proposals(view: PlatformView, viewer: int, now_h: float) -> Ints:
    """int32 [k]: accounts two steps away, most followed by followees first, then by id."""
    first = followed(view, viewer, now_h)
    second = [followed(view, int(user), now_h)[:SECOND_HOPS] for user in first]
    users, count = np.unique(np.concatenate([np.empty(0, np.int32), *second]), return_counts=True)
    wanted = (users != viewer) & ~np.isin(users, first) & ~view.users["suspended"][users]
    asker, now = np.full(users.size, viewer, np.int32), np.full(users.size, now_h)
    for what in ("block", "mute"):
        wanted &= ~given(view, what, asker, users, now)
    wanted &= ~given(view, "block", users, asker, now)
    users, count = users[wanted], count[wanted]
    proposals: Ints = users[np.lexsort((users, -count))]
    return proposals


def followed(view: PlatformView, user: int, now_h: float) -> Ints:
    """int32 [k]: whom a user follows before a moment, ascending."""
    graph = view.following
    edges = slice(int(graph.offsets[user]), int(graph.offsets[user + 1]))
    return graph.targets[edges][graph.time_h[edges] < now_h]

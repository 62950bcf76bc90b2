"""Modules that propose accounts: what who-to-follow and who-to-subscribe share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from funnel.core.arrays import Ints
from funnel.core.page import MixedPages, Module
from funnel.core.world import PlatformView
from heuristics.mixer.history import due


class AccountModule(Protocol):
    """The settings of such a stage, and its name, which is the module's kind."""

    place: int
    min_users: int
    max_users: int
    min_interval_h: float

    @property
    def name(self) -> str:
        """The module's kind."""


def with_accounts(
    pages: MixedPages, settings: AccountModule, text: str, proposals: Callable[[PlatformView, int, float], Ints]
) -> MixedPages:
    """The pages with a module where one is due and there are enough accounts to propose.

    proposals: (view, viewer, now_h) -> int32 [k], best first.
    """
    requests = pages.tweets.requests
    for request in np.flatnonzero(due(requests, settings.min_interval_h) & (pages.tweets.counts > 0)).tolist():
        viewer, now_h = int(requests.viewer[request]), float(requests.now_h[request])
        users = proposals(requests.view, viewer, now_h)[: settings.max_users]
        if users.size >= settings.min_users:
            module = Module(settings.name, text, users=tuple(users.tolist()))
            pages = pages.insert(request, settings.place, module)
    return pages

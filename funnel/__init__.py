"""Twitter's For You on a laptop: simulate a full recommendation funnel and know the truth.

    >>> import funnel as fn                                   # doctest: +SKIP
    >>> world = fn.World.load("small")                        # doctest: +SKIP
    >>> f = fn.load_funnel("twitter_2023", world)             # doctest: +SKIP
    >>> pages = f.run(viewers=[7, 8])                         # doctest: +SKIP

Names are loaded when they are used: importing this package is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_WHERE = {
    "World": "funnel.world",
    "Funnel": "funnel.pipeline",
    "load_funnel": "funnel.compose",
    "funnel_names": "funnel.compose",
    "Pages": "funnel.trace",
    "Page": "funnel.trace",
    "FunnelError": "funnel.core.errors",
    "ACTIONS": "funnel.core.actions",
}

if TYPE_CHECKING:
    from funnel.compose import funnel_names as funnel_names
    from funnel.compose import load_funnel as load_funnel
    from funnel.core.actions import ACTIONS as ACTIONS
    from funnel.core.errors import FunnelError as FunnelError
    from funnel.pipeline import Funnel as Funnel
    from funnel.trace import Page as Page
    from funnel.trace import Pages as Pages
    from funnel.world import World as World

__all__ = ["ACTIONS", "Funnel", "FunnelError", "Page", "Pages", "World", "__version__", "funnel_names", "load_funnel"]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'funnel' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

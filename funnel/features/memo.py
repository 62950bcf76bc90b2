"""Things derived from a world's arrays, or from requests, once and kept as long as those live."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")

# By identity: worlds share nothing, and an entry goes when what it hangs on does.
_KEPT: dict[int, dict[Hashable, object]] = {}


def once_per(anchor: object, what: Hashable, build: Callable[[], T]) -> T:
    """What `build` makes, made once for this anchor and `what`.

    anchor: something unchanging that stays alive, such as the times of a world's event index, or `Requests`.
    The result must depend on nothing but the anchor's world (or requests) and `what`, and must not hold the anchor, or
    neither would ever go: what holds a world's arrays belongs to `PlatformView.shared`.
    """
    kept = _KEPT.get(id(anchor))
    if kept is None:
        kept = _KEPT[id(anchor)] = {}
        weakref.finalize(anchor, _KEPT.pop, id(anchor), None).atexit = False
    if what not in kept:
        kept[what] = build()
    return cast(T, kept[what])

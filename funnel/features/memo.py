"""Things derived from a world's arrays once and kept as long as those arrays live."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from funnel.core.arrays import Array

T = TypeVar("T")

# By identity of the array: worlds share nothing, and an entry goes when its array does.
_KEPT: dict[int, tuple[weakref.ref[Array], dict[Hashable, object]]] = {}


def once_per(anchor: Array, what: Hashable, build: Callable[[], T]) -> T:
    """What `build` makes, made once for this array and `what`.

    anchor: an array that a world keeps for good, such as the times of an event index. The result must depend
    on nothing but that world and `what`.
    """
    key = id(anchor)
    entry = _KEPT.get(key)
    if entry is None or entry[0]() is not anchor:
        entry = _KEPT[key] = (weakref.ref(anchor, lambda dead: _forget(key, dead)), {})
    kept = entry[1]
    if what not in kept:
        kept[what] = build()
    return cast(T, kept[what])


def _forget(key: int, dead: weakref.ref[Array]) -> None:
    entry = _KEPT.get(key)
    if entry is not None and entry[0] is dead:
        del _KEPT[key]

"""A world that grows has the indices that it would have had if it had been built whole."""

from __future__ import annotations

import numpy as np
import pytest

from funnel.core.arrays import Array
from funnel.core.tables import TABLES
from funnel.core.world import WorldTables
from tests.support import mini_world

KINDS = ("tweet", "impression", "public", "favorite", "click", "see_fewer", "block", "mute_keyword")
GROUPINGS = ("tweet", "viewer", "author", "viewer_author", "viewer_tweet")


def halves(moment_h: float = 30.0) -> tuple[WorldTables, dict[str, dict[str, Array]]]:
    """The mini world up to a moment, and the rows of the rest; follows in two parts whatever their time."""
    world = mini_world()
    before, after = {}, {}
    for name in TABLES:
        columns = world.table(name)
        size = world.count(name)
        late = np.zeros(size, np.bool_)
        if name == "follows":
            late = np.arange(size) % 3 == 0
        elif name in ("tweets", "impressions", "engagements", "feedback"):
            late = columns["time_h"] >= moment_h
        elif name == "tweet_words":
            late = world.table("tweets")["time_h"][columns["tweet"]] >= moment_h
        before[name] = {column: values[~late] for column, values in columns.items()}
        after[name] = {column: values[late] for column, values in columns.items()}
    return WorldTables(world.meta, before), after


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("by", GROUPINGS)
def test_an_index_that_is_extended_equals_one_that_is_built_anew(what: str, by: str) -> None:
    start, rows = halves()
    start.index(what, by)
    grown = start.grown(rows, end_h=48.0)
    assert (what, by) in grown._indices
    extended, anew = grown.index(what, by), mini_world().index(what, by)
    for part in ("offsets", "time_h", "row", "keys"):
        one, other = getattr(extended, part), getattr(anew, part)
        assert (one is None and other is None) or np.array_equal(one, other), part
        assert one is None or one.dtype == other.dtype, part
    assert extended.time_h.size or what in ("mute_keyword", "block", "see_fewer")


def test_a_grown_world_has_all_rows_and_its_graph_both_ways() -> None:
    start, rows = halves()
    assert start.following.targets.size < mini_world().following.targets.size
    grown = start.grown(rows, end_h=48.0)
    for name in TABLES:
        for column in TABLES[name].columns:
            one, other = grown.table(name)[column], mini_world().table(name)[column]
            assert one.dtype == other.dtype
            assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f"), (name, column)
    for graph in ("following", "followers"):
        for part in ("offsets", "targets", "time_h"):
            one, other = (getattr(getattr(world, graph), part) for world in (grown, mini_world()))
            assert np.array_equal(one, other), (graph, part)


def test_growing_leaves_the_world_before_as_it_was() -> None:
    start, rows = halves()
    count = start.index("impression", "viewer").time_h.size
    start.grown(rows, end_h=48.0)
    assert start.index("impression", "viewer").time_h.size == count == start.count("impressions")

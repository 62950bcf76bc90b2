"""Who engaged with tweets, as counted by hand; the same for a world that grew; shared by sources."""

from __future__ import annotations

import numpy as np
import pytest

from candidates.cr_mixer import CRMixer
from candidates.engaged import engaged_with
from candidates.retrieval import action_codes
from candidates.simclusters.tweets import cluster_lists
from candidates.simclusters_ann import SimClustersANN
from funnel.core.actions import ACTION_CODE
from funnel.core.tables import RETWEET
from funnel.core.world import PlatformView, WorldTables
from tests.candidates.planted import with_random_assets
from tests.support import altered_after, mini_view, mini_world

NOW_H = 33.3
PUBLIC = ("favorite", "retweet", "reply")


def by_hand(view: PlatformView, actions: tuple[str, ...], now_h: float) -> dict[int, list[tuple[float, int]]]:
    """{tweet: [(time, viewer)]}, in the order of the log."""
    log, tweets, found = view.engagements, view.tweets, {}
    wanted = {ACTION_CODE[action] for action in actions}
    for viewer, tweet, action, time_h in zip(
        *(log[name].tolist() for name in ("viewer", "tweet", "action", "time_h")), strict=True
    ):
        carried = int(tweets["parent"][tweet]) if tweets["kind"][tweet] == RETWEET else tweet
        if action in wanted and time_h < now_h and carried >= 0 and tweets["author"][carried] != viewer:
            found.setdefault(carried, []).append((time_h, viewer))
    return found


@pytest.mark.parametrize("least", [1, 3])
@pytest.mark.parametrize("actions", [("favorite",), PUBLIC])
def test_everybody_who_engaged_before_the_moment_is_known_in_order(actions: tuple[str, ...], least: int) -> None:
    view = mini_view()
    tweets = np.array([5, 0, 5, *range(int(view.tweets_before(np.array([NOW_H]))[0]))], np.int32)
    found = engaged_with(view, action_codes("test", actions), NOW_H, tweets, least=least)
    known = by_hand(view, actions, NOW_H)
    for row, tweet in enumerate(tweets.tolist()):
        part = slice(int(found.offsets[row]), int(found.offsets[row + 1]))
        pairs = list(zip(found.time_h[part].tolist(), found.viewer[part].tolist(), strict=True))
        assert pairs == (known.get(tweet, []) if len(known.get(tweet, [])) >= least else [])
    assert found.viewer.size


def test_no_engagement_after_the_views_moment_is_known_whatever_is_asked() -> None:
    world = mini_world()
    for tables in (world, altered_after(world, NOW_H)):
        view = PlatformView(tables, NOW_H)
        tweets = np.arange(view.tweets["author"].size, dtype=np.int32)
        found = engaged_with(view, action_codes("test", PUBLIC), 1e9, tweets)
        assert found.viewer.size == sum(map(len, by_hand(view, PUBLIC, 1e9).values())) > 0


def test_a_world_that_grew_knows_the_same_as_one_made_at_once() -> None:
    whole, cut = mini_world(), 30.0
    tables, rows = {}, {}
    for name in ("users", "follows", "tweets", "engagements", "vocabulary"):
        table = whole.table(name)
        first = int(np.searchsorted(table["time_h"], cut)) if name in ("tweets", "engagements") else None
        tables[name] = {column: values[:first] for column, values in table.items()}
        if first is not None:
            rows[name] = {column: values[first:] for column, values in table.items()}
    codes, tweets = action_codes("test", PUBLIC), np.arange(whole.count("tweets"), dtype=np.int32)
    start = WorldTables(whole.meta, tables)
    engaged_with(PlatformView(start, cut), codes, cut, tweets[:10])
    grown = PlatformView(start.grown(rows, end_h=48.0), 48.0)
    for one, other in zip(
        engaged_with(grown, codes, 40.0, tweets), engaged_with(PlatformView(whole, 48.0), codes, 40.0, tweets),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(one, other)


def test_sources_with_the_same_settings_share_one_index_of_communities() -> None:
    view = with_random_assets(mini_view())
    one, other = SimClustersANN(), CRMixer()._settings(0.5)
    assert cluster_lists(view, NOW_H, one) is cluster_lists(view, NOW_H, other)
    assert cluster_lists(view, NOW_H, one) is not cluster_lists(view, NOW_H - 1, one)
    assert cluster_lists(view, NOW_H, one) is not cluster_lists(view, NOW_H, SimClustersANN(min_signals=1))

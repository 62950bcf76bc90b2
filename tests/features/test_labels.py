"""Labels, as bits, against a plain reading of their tables."""

from __future__ import annotations

import numpy as np

from funnel.core.tables import TWEET_LABELS, USER_LABELS
from funnel.core.world import PlatformView, WorldTables
from funnel.features import hydrate
from tests.heuristics.plain import Plain
from tests.support import fake_batch, mini_world


def _named(bits: int, labels: tuple[str, ...]) -> set[str]:
    return {label for bit, label in enumerate(labels) if bits >> bit & 1}


def test_a_tweet_has_its_own_labels_and_those_of_what_it_retweets() -> None:
    world = mini_world(users=24, tweets=240)
    batch = fake_batch([120, 80], now_h=[48.0, 24.0], view=PlatformView(world, 48.0))
    batch = hydrate(batch, ("tweet_labels", "author_labels", "nsfw"))
    plain = [Plain(world, 0, 48.0), Plain(world, 0, 24.0)]
    for row, tweet in enumerate(batch["tweet"].tolist()):
        known = plain[int(batch.request[row])]
        mine = set().union(*(known.tweet_labels[one] for one in known.both(tweet)))
        assert _named(int(batch["tweet_labels"][row]), TWEET_LABELS) == mine
        theirs = set().union(*(known.user_labels[one] for one in known.authors(tweet)))
        assert _named(int(batch["author_labels"][row]), USER_LABELS) == theirs
        assert batch["nsfw"][row] == known.nsfw(tweet)
    assert batch["tweet_labels"].any()
    assert batch["nsfw"].any()


def test_a_label_counts_from_the_moment_when_it_was_attached() -> None:
    world = mini_world()
    labels = world.table("tweet_labels")
    late = np.flatnonzero(labels["time_h"] > world.table("tweets")["time_h"][labels["tweet"]])[0]
    tweet, bit, moment = labels["tweet"][late], 1 << int(labels["label"][late]), labels["time_h"][late]
    for now_h, known in ((moment, 0), (np.nextafter(moment, np.inf), bit)):
        view = PlatformView(world, 48.0)
        found = hydrate(fake_batch([1], tweet=[tweet], now_h=now_h, view=view), ("tweet_labels",))
        assert found["tweet_labels"][0] & bit == known


def test_a_world_without_labels_has_none() -> None:
    world = mini_world()
    named = ("users", "tweets", "follows", "engagements")
    bare = WorldTables(world.meta, {name: dict(world.table(name)) for name in named})
    batch = fake_batch([50, 50], view=PlatformView(bare, 48.0))
    found = hydrate(batch, ("tweet_labels", "author_labels", "exclusive_hidden", "valid_likers", "see_fewer_h"))
    assert not found["tweet_labels"].any()
    assert not found["author_labels"].any()
    assert np.isinf(found["see_fewer_h"]).all()

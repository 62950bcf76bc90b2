"""Vectors for the heavy ranker: those of a plain scan, and nothing of what comes later."""

from __future__ import annotations

import numpy as np
import pytest

from funnel.core.actions import ACTION_CODE
from funnel.core.batch import CandidateBatch
from funnel.core.world import PlatformView
from funnel.features import embedding_features, hydrate
from funnel.features.embedding import LIKERS
from tests.features.test_model import assets
from tests.support import altered_after, fake_batch, mini_world

NOW_H = 30.0


def _batch(*, altered: bool = False) -> CandidateBatch:
    world = mini_world()
    view = PlatformView(altered_after(world, NOW_H) if altered else world, 48.0, assets=assets())
    return hydrate(fake_batch(np.full(12, 15), now_h=NOW_H, view=view), embedding_features())


def test_the_tweets_vector_is_the_mean_of_its_latest_likers() -> None:
    batch = _batch()
    view, users = batch.requests.view, assets()["twhin.user_follow"]
    done = view.engagements
    found = 0
    for i in range(len(batch)):
        liked = (done["action"] == ACTION_CODE["favorite"]) & (done["tweet"] == batch["original"][i])
        likers = done["viewer"][liked & (done["time_h"] < NOW_H) & (done["viewer"] != batch.viewer[i])][-LIKERS:]
        found += likers.size > 0
        wanted = users[likers].mean(axis=0) if likers.size else np.zeros(users.shape[1])
        assert batch["twhin.tweet_vector"][i] == pytest.approx(wanted, abs=1e-5)
    assert found > 10


def test_viewer_and_author_have_the_vectors_of_their_side() -> None:
    batch = _batch()
    assert (batch["twhin.viewer_vector"] == assets()["twhin.user_follow"][batch.viewer]).all()
    assert (batch["twhin.author_vector"] == assets()["twhin.author_follow"][batch["original_author"]]).all()


def test_vectors_do_not_see_what_comes_later() -> None:
    before, after = _batch(), _batch(altered=True)
    for name in embedding_features():
        assert before[name].tobytes() == after[name].tobytes()

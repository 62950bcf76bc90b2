"""UTEG counts as its rules say: types, minimum proofs, ages, un-favourites; and it names who stands behind a tweet."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from candidates.graphjet import edges
from candidates.graphjet.counting import second_degree
from candidates.graphjet.store import BipartiteStore
from candidates.uteg import UTEG
from funnel import explain
from funnel.core import rng
from funnel.core.actions import ACTION_CODE
from funnel.core.batch import Requests
from funnel.core.errors import ConfigError
from funnel.core.stage import GivesProofs
from funnel.core.world import PlatformView
from funnel.pipeline import Funnel
from tests.candidates import naive
from tests.candidates.planted import with_random_assets
from tests.support import mini_view

FAV, RT, REPLY, UNFAV = edges.FAVORITE, edges.RETWEET, edges.REPLY, edges.UNFAVORITE
NOBODY = 9  # writes every tweet


@pytest.fixture(scope="module")
def ready() -> PlatformView:
    return with_random_assets(mini_view())


def count(log: list[tuple[int, int, int]], authors: dict[int, int] | None = None, **rules: object) -> dict[int, float]:
    """{tweet: score} for viewer 0, whose seeds are 1, 2, 3 with weights 1.25, 1.5, 2; edges in the order of time."""
    store = BipartiteStore(users=10, tweets=8, edges_per_segment=4)
    user, tweet, kind = zip(*log, strict=True)
    store.ingest(user, tweet, kind, np.arange(len(log), dtype=float))
    author = np.full(8, NOBODY, np.int32)
    for known, writer in (authors or {}).items():
        author[known] = writer
    seeds = (np.array([0, 3]), np.array([1, 2, 3], np.int32), np.array([1.25, 1.5, 2.0], np.float32))
    nobody_followed = (np.zeros(11, np.int64), np.empty(0, np.int32), np.empty(0))
    settings: dict[str, object] = {"counted": edges.kinds_mask(("favorite", "retweet", "reply")), "proofs": (FAV,)}
    _, found, score = second_degree(
        store.read(100.0), np.array([0], np.int32), np.array([100.0]), seeds, (author, np.zeros(10, np.bool_)),
        nobody_followed, (np.array([0]), np.array([8])), **{**settings, **rules},  # type: ignore[arg-type]
    )  # fmt: skip
    return dict(zip(found.tolist(), score.tolist(), strict=True))


def test_every_type_adds_the_weight_and_only_some_prove() -> None:
    log = [(1, 4, FAV), (1, 4, RT), (2, 4, REPLY), (2, 5, RT), (3, 6, edges.QUOTE), (3, 6, FAV)]
    # 4: 1.25 twice and 1.5; 5 has no favourite; a quote is not counted here.
    assert count(log) == {4: 4.0, 6: 2.0}
    assert count(log, proofs=(RT,)) == {4: 4.0, 5: 1.5}


def test_the_same_thing_twice_counts_once_or_by_runs() -> None:
    log = [(1, 4, FAV), (1, 4, FAV), (1, 4, RT), (1, 4, FAV)]
    assert count(log) == {4: 2.5}
    assert count(log, runs=True) == {
        4: 3.75
    }  # favourite, retweet, favourite: GraphJet forgets what was before the last


def test_a_favourite_taken_back_is_none_unless_it_is_given_again() -> None:
    log = [
        (1, 4, FAV),
        (2, 4, FAV),
        (1, 4, UNFAV),
        (3, 5, FAV),
        (3, 5, UNFAV),
        (3, 6, UNFAV),
        (2, 6, UNFAV),
        (2, 6, FAV),
    ]
    assert count(log) == {4: 1.5, 6: 1.5}


def test_proofs_of_types_reach_the_minimum_together_or_alone() -> None:
    log = [(1, 4, FAV), (2, 4, RT), (1, 5, FAV), (3, 5, FAV), (1, 6, FAV), (1, 6, RT)]
    both = (FAV, RT)
    assert count(log, proofs=both, min_proofs=2) == {4: 2.75, 5: 3.25}  # 6: one person, who did both
    assert count(log, proofs=both, min_proofs=2, together=False) == {5: 3.25}


def test_an_authors_own_favourite_adds_weight_and_proves_nothing() -> None:
    log = [(1, 4, FAV), (2, 4, RT), (1, 5, FAV), (2, 5, FAV)]
    assert count(log, authors={4: 1, 5: 1}) == {5: 2.75}


def test_what_the_viewer_touched_or_wrote_is_left_out() -> None:
    log = [(1, 4, FAV), (1, 5, FAV), (1, 6, FAV), (0, 4, edges.CLICK)]
    assert count(log, authors={5: 0}) == {6: 1.25}


def test_only_the_newest_edges_of_a_seed_are_read_across_segments() -> None:
    log = [(1, tweet, FAV) for tweet in range(7)]
    assert set(count(log, max_edges=5)) == {2, 3, 4, 5, 6}
    assert set(count(log, k=2)) == {0, 1}  # equal scores: the older tweets


def test_an_engagement_may_be_too_old(ready: PlatformView) -> None:
    requests = Requests.of(np.arange(30), 48.0, ready)
    found = {hours: UTEG(max_engagement_age_h=hours).retrieve(requests) for hours in (1.0, 6.0, 24.0, 8760.0)}
    sizes = [len(batch) for batch in found.values()]
    assert 0 < sizes[0] < sizes[1] < sizes[2] == sizes[3]
    log = ready.engagements
    for r in range(30):
        for tweet in naive.result(found[6.0], r):
            carried = [naive.original(ready, int(t)) for t in log["tweet"]]
            new = (np.array(carried) == tweet) & (log["time_h"] >= 48.0 - 6.0 - 1e-4)
            assert new.any()
            own = (np.array(carried) == tweet) & (log["viewer"] == r)
            own &= np.isin(log["action"], [ACTION_CODE[name] for name in ("favorite", "retweet", "reply")])
            assert not own.any()  # an old engagement of the viewer's own still counts


def test_every_tweet_found_has_the_proofs_that_the_log_has(ready: PlatformView) -> None:
    source = UTEG(social_proof=("favorite", "retweet"))
    assert isinstance(source, GivesProofs)
    requests = Requests.of(np.arange(30), 40.0, ready)
    batch, log, compared = source.retrieve(requests), ready.engagements, 0
    for row in range(0, len(batch), 7):
        r, tweet = int(batch.request[row]), int(batch["tweet"][row])
        weight = naive.weights(ready, r, naive.followees(ready, r, 40.0), 40.0)
        wanted: dict[str, set[int]] = defaultdict(set)
        for user, engaged, action, time in zip(log["viewer"], log["tweet"], log["action"], log["time_h"], strict=True):
            if time < 40.0 and user in weight and naive.original(ready, int(engaged)) == tweet:
                for kind in source.social_proof:
                    if action == ACTION_CODE[kind] and user != ready.tweets["author"][tweet]:
                        wanted[kind].add(int(user))
        said: dict[str, list[int]] = defaultdict(list)
        for kind, user in source.proofs(requests, r, tweet):
            said[kind].append(user)
        assert {kind: set(users) for kind, users in said.items()} == wanted
        for users in said.values():
            assert users == sorted(users, key=lambda user: (-weight[user], user))
            compared += len(users)
    assert compared > 20
    few = UTEG(max_social_proofs=1)
    assert all(len(few.proofs(requests, r, int(t))) <= 1 for r, t in zip(batch.request, batch["tweet"], strict=True))


def test_nobody_proves_a_tweet_that_is_not_there(ready: PlatformView) -> None:
    requests = Requests.of([3, 29], 40.0, ready)
    newest = int(ready.tweets_before(np.array([40.0]))[0])
    assert UTEG().proofs(requests, 0, newest) == []
    assert UTEG().proofs(requests, 0, -1) == []
    assert UTEG().proofs(requests, 1, 5) == []  # follows nobody


def test_proofs_must_count() -> None:
    with pytest.raises(ConfigError, match="add quote"):
        UTEG(social_proof=("quote",), counted=("favorite",))
    with pytest.raises(ConfigError, match="did you mean 'quote'"):
        UTEG(counted=("qoute",))


def test_an_explanation_names_the_followees_who_stand_behind_a_tweet(trained: Funnel) -> None:
    pages, named = trained.run(range(20), seed=0), 0
    for viewer in range(20):
        for row in pages.of(viewer).rows:
            if "uteg" not in row["sources"]:  # type: ignore[operator]
                continue
            said = explain.explain(trained, pages, viewer, int(str(row["tweet"])))
            (proof,) = [proof for proof in said["proofs"] if proof["source"] == "uteg"]
            assert proof["action"] == "favorite"
            follows = trained.world.tables.following.neighbours(viewer)
            assert set(proof["users"]) <= set(follows.tolist())
            assert proof["handles"] == trained.world.handles(np.array(proof["users"]))
            people = "1 person" if len(proof["users"]) == 1 else f"{len(proof['users'])} people"
            line = f"uteg: liked by {people} you follow: @{proof['handles'][0]}"
            assert any(words.startswith(line) for words in explain.words(said))
            named += 1
    assert named > 0


@pytest.mark.parametrize("window_h", [np.inf, 30.0])
@pytest.mark.parametrize("per_segment", [5_000, 1 << 16])
def test_many_edges_are_counted_as_one_by_one(per_segment: int, window_h: float) -> None:
    # 60 seeds with 300 edges each are read in three turns; segments whole, cut by the window, or all of them open.
    draw, users, tweets, edges_ = rng.stream(3, "many edges"), 61, 400, 18_300
    user, tweet = draw.permutation(np.repeat(np.arange(users), 300)), draw.integers(0, tweets, edges_)
    kind, time_h = draw.choice([FAV, FAV, RT, UNFAV], edges_), np.sort(draw.uniform(0.0, 48.0, edges_))
    time_h = np.round(time_h * 36_000) / 36_000 + 1e-6  # inside a tick of 0.1 s
    store = BipartiteStore(users=users, tweets=tweets, edges_per_segment=per_segment)
    store.ingest(user, tweet, kind, time_h)
    weight = (1 + draw.integers(0, 8, users) / 8).astype(np.float32)
    author = draw.integers(0, users, tweets).astype(np.int32)
    graph = (np.zeros(users + 1, np.int64), np.empty(0, np.int32), np.empty(0))
    seeds = (np.array([0, users - 1]), np.arange(1, users, dtype=np.int32), weight[1:])
    _, found, score = second_degree(
        store.read(49.0, window_h=window_h), np.array([0], np.int32), np.array([49.0]), seeds,
        (author, np.zeros(users, np.bool_)), graph, (np.array([100]), np.array([tweets])),
        counted=edges.kinds_mask(("favorite", "retweet")), proofs=(FAV,), min_proofs=2, own_low=store.read(49.0).low,
    )  # fmt: skip
    kept: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for who, what, how, when in zip(user.tolist(), tweet.tolist(), kind.tolist(), time_h.tolist(), strict=True):
        if when >= 49.0 - window_h:
            kept[what] = kept[what] - {(who, FAV)} if how == UNFAV else kept[what] | {(who, how)}
    own, wanted = set(tweet[user == 0].tolist()), {}
    for what, done in kept.items():
        proofs = {who for who, how in done if how == FAV and who not in (0, author[what])}
        if what >= 100 and what not in own and author[what] != 0 and len(proofs) >= 2:
            wanted[what] = sum(float(weight[who]) for who, _ in done)
    assert len(wanted) > 50
    assert dict(zip(found.tolist(), score.tolist(), strict=True)) == wanted

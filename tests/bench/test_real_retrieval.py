"""The tasks and measures of `bench.real_retrieval`, on a world that fits on a screen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from bench import real_document
from bench.real_accounts import clusters_of_items, recommended, recommended_by, two_hop
from bench.real_models import (
    K,
    als,
    best,
    configured,
    even_weights,
    filled,
    item_knn,
    listed,
    popularity,
    similar_tweets,
    source,
)
from bench.real_retrieval import chosen, recalls, summary
from bench.real_tasks import Task, account_task, follow_tasks, tweet_task
from candidates.uteg import UTEG
from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array
from funnel.core.errors import DataError
from funnel.core.world import WorldData, WorldMeta
from funnel.world import World
from synthetic.datasets.blank import accounts, originals, plain_tweets

# Users 0, 1, 2 look; 3, 4, 5 wrote tweets 0 … 3 at 0, 0, 1 and 5 h. User 0 follows 4.
AUTHOR = (3, 4, 5, 3)
WRITTEN_H = (0.0, 0.0, 1.0, 5.0)
FOLLOWS = ((0, 4),)
EVENTS = (  # viewer, tweet, hour
    (0, 0, 2.0), (1, 0, 2.0), (1, 2, 3.0), (2, 1, 3.0),
    (0, 0, 4.5), (0, 1, 4.5), (0, 2, 4.6), (1, 1, 4.7), (2, 3, 5.5), (0, 3, 9.0),
)  # fmt: skip


def small(events: tuple[tuple[int, int, float], ...] = EVENTS, follows: tuple[tuple[int, int], ...] = FOLLOWS) -> World:
    count = len(AUTHOR)
    log = np.array(events)
    edge = np.array(sorted(follows), np.int32).reshape(-1, 2)
    tables: dict[str, dict[str, Array]] = {
        "users": accounts(f"user{number}" for number in range(6)),
        "follows": {"follower": edge[:, 0], "followee": edge[:, 1], "time_h": np.full(len(edge), -1.0)},
        "tweets": {
            **plain_tweets(count),
            **originals(count),
            "author": np.array(AUTHOR, np.int32),
            "time_h": np.array(WRITTEN_H),
        },
        "engagements": {
            "viewer": log[:, 0].astype(np.int32),
            "tweet": log[:, 1].astype(np.int32),
            "action": np.full(len(log), ACTION_CODE["favorite"], np.int8),
            "time_h": log[:, 2],
            "impression": np.full(len(log), -1, np.int32),
        },
    }
    if not follows:
        del tables["follows"]
    return World.of(WorldData(WorldMeta("small", end_h=10.0, train_until_h=4.0, viewer_count=3), tables))


def test_what_is_relevant_is_new_to_the_viewer_and_out_of_network() -> None:
    task = tweet_task(small(), 4.0, 2.0)
    # 0 knows tweet 0 and follows the author of 1, so 2 is left; 1 finds 1; tweet 3 of 2 did not exist at 4 h.
    assert task.viewer.tolist() == [0, 1]
    assert [row.indices.tolist() for row in task.relevant] == [[2], [1]]
    assert task.item.tolist() == [0, 1, 2]


def test_the_known_and_the_network_may_not_be_answered() -> None:
    task = tweet_task(small(), 4.0, 2.0)
    assert sorted(task.hidden[0].nonzero()[1].tolist()) == [0, 1]
    assert sorted(task.hidden[1].nonzero()[1].tolist()) == [0, 2]
    assert popularity(task)[:, :2].tolist() == [[2, -1], [1, -1]]


def test_what_happens_after_the_moment_does_not_change_what_is_known() -> None:
    other = (*(event for event in EVENTS if event[2] < 4.0), (1, 1, 4.2), (2, 0, 4.3))
    assert (tweet_task(small(), 4.0, 2.0).known != tweet_task(small(other), 4.0, 2.0).known).nnz == 0


def test_an_account_is_relevant_once_the_viewer_engages_with_it_for_the_first_time() -> None:
    task = account_task(small(), 4.0, 10.0)
    found = {int(who): row.indices.tolist() for who, row in zip(task.viewer, task.relevant, strict=True)}
    assert found == {0: [4, 5], 1: [4], 2: [3]}  # 0 has engaged with 3 before


def test_recall_counts_hits_over_what_could_be_hit() -> None:
    relevant = csr_matrix(np.array([[True, True, False], [False, False, True]]))
    task = Task(
        "t", small().view(), np.array([0, 1], np.int32), relevant, relevant, relevant, np.arange(3, dtype=np.int32)
    )
    answer = np.full((2, 200), -1, np.int32)
    answer[0, :2], answer[1, 150] = [2, 1], 2
    # First viewer: one of two; second: the only one, but in place 151, so within 200 and not within 100.
    assert recalls(task, answer).tolist() == [[0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 1.0]]


def test_equal_scores_go_to_the_smaller_id_and_hidden_items_to_nobody() -> None:
    task = tweet_task(small(follows=()), 4.0, 2.0)
    assert best(task, lambda rows: np.ones((rows.size, 3)), k=2).tolist() == [[1, 2], [1, -1]]
    row, item = np.array([0, 0, 0, 1]), np.array([2, 1, 0, 1])
    assert listed(task, row, item, np.ones(4), k=2).tolist() == [[1, 2], [1, -1]]
    assert listed(task, row[:0], item[:0], np.ones(0), k=2).tolist() == [[-1, -1], [-1, -1]]


def test_settings_are_chosen_by_what_they_find_on_the_earlier_moments() -> None:
    task = tweet_task(small(), 4.0, 2.0)
    nothing = np.full((2, 200), -1, np.int32)
    settings = [("nothing", lambda _: nothing), ("popular", popularity)]
    assert chosen(settings, [task])[0] == "popular"


def test_two_hops_count_the_common_neighbours() -> None:
    follows = tuple(sorted({(0, 1), (0, 2), (1, 3), (1, 4), (2, 4), (2, 0), (5, 3)}))
    world = small(follows=follows)
    known = np.zeros((6, 6), np.float32)
    known[tuple(np.array(follows).T)] = 1
    matrix = csr_matrix(known)
    hidden = csr_matrix((known[[0]] > 0) | (np.arange(6) == 0))
    viewer = np.array([0], np.int32)
    task = Task("t", world.view(), viewer, matrix, hidden, hidden, np.arange(6, dtype=np.int32), world.view().following)
    # 0 → 1 → 3, 0 → 1 → 4, 0 → 2 → 4: account 4 twice, 3 once.
    assert two_hop(task, max_edges=10)[0, :3].tolist() == [4, 3, -1]


def test_held_out_follows_are_not_in_the_world_to_learn_from() -> None:
    draw = np.random.Generator(np.random.Philox(0))
    pairs = {(int(a), int(b)) for a, b in draw.integers(0, 60, (2400, 2)) if a != b}
    edge = np.array(sorted(pairs), np.int32)
    users = {"users": accounts(f"user{number}" for number in range(60))}
    follows = {"follower": edge[:, 0], "followee": edge[:, 1], "time_h": np.full(len(edge), -1.0)}
    world = World.of(
        WorldData(WorldMeta("g", end_h=0.0, train_until_h=0.0, viewer_count=60), {**users, "follows": follows})
    )
    tuned, tested = follow_tasks(world)
    for task in (tuned, tested):
        rows, accounts_found = task.relevant.nonzero()
        assert rows.size > 50
        assert not np.asarray(task.known[task.viewer[rows], accounts_found]).any()
    rows, found = tested.relevant.nonzero()
    assert not np.asarray(tuned.known[tested.viewer[rows], found]).any()  # nor when settings are chosen


def test_a_model_differs_from_itself_by_nothing_and_the_best_stands_first() -> None:
    recall = np.tile([0.1, 0.2, 0.3, 0.4], (5, 1)).tolist()
    better = np.tile([0.2, 0.3, 0.4, 0.5], (5, 1)).tolist()
    found = {
        name: {"settings": "", "processor_s": 0.0, "recall": values, "answers": [200] * 5, "filled": [0.6] * 5}
        for name, values in (("popularity", recall), ("als", recall), ("salsa", better))
    }
    rows = summary(found, np.arange(5, dtype=np.int32))
    assert [row["model"] for row in rows] == ["salsa", "popularity", "als"]
    assert rows[2]["over_popularity"] == 0.0
    assert rows[0]["over_als_low"] == pytest.approx(0.1)
    assert rows[0]["over_filled"] == pytest.approx(0.2)  # 0.6 with popularity's items behind them, against 0.4


def test_item_knn_finds_what_is_liked_together() -> None:
    pytest.importorskip("implicit")
    task = tweet_task(small(follows=()), 4.0, 2.0)
    # 1 engaged with 0 and 2, so whoever knows 0 is shown 2 before 1, which nobody shares.
    assert item_knn(task, neighbours=3, weighting="cosine")[0, :2].tolist() == [2, -1]


def test_a_table_goes_to_its_place_and_nowhere_else(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x -->\nold\n<!-- end x -->\nb\n")
    real_document.written("x", "new", page=page)
    assert page.read_text() == "a\n<!-- x -->\nnew\n<!-- end x -->\nb\n"
    with pytest.raises(DataError, match="end y"):
        real_document.written("y", "new", page=page)
    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path))
    assert real_document.kept("k", "a model") is None
    real_document.write("k", "a model", {"v": 1})
    assert real_document.kept("k", "a model") == {"v": 1}


def test_a_source_answers_as_in_a_funnel_less_what_is_known() -> None:
    task = tweet_task(small(follows=((0, 1),)), 4.0, 2.0)
    stage = configured(UTEG, social_proof=("favorite",))
    # 0 follows 1, who favoured tweets 0 and 2; 0 knows the first.
    assert source(task, stage=stage, assets=even_weights)[0, :2].tolist() == [2, -1]


def test_tweets_are_similar_that_the_same_people_engaged_with() -> None:
    task = tweet_task(small(follows=()), 4.0, 2.0)
    # 0 engaged with tweet 0, which shares user 1 with tweet 2.
    assert similar_tweets(task, signals=10, normaliser="cosine")[0, :2].tolist() == [2, -1]


def test_short_answers_are_filled_up_by_what_is_not_there_yet() -> None:
    answer = np.array([[5, 3, -1, -1], [-1, -1, -1, -1]])
    reserve = np.array([[3, 7, 9, 11], [1, -1, -1, -1]])
    assert filled(answer, reserve).tolist() == [[5, 3, 7, 9], [1, -1, -1, -1]]


@pytest.mark.filterwarnings("ignore:OpenBLAS is configured")  # ALS wants one thread of it, tests have more
def test_whoever_has_done_nothing_yet_but_follows_somebody_is_asked_about_and_gets_what_is_popular() -> None:
    pytest.importorskip("implicit")
    events = ((1, 2, 1.5), (1, 2, 2.5), (2, 2, 3.0), (2, 1, 3.0), (0, 1, 4.5))
    world = small(events, follows=((0, 1),))
    assert tweet_task(world, 4.0, 2.0).viewer.size == 0
    task = tweet_task(world, 4.0, 2.0, viewers=3)
    assert task.viewer.tolist() == [0]
    # Tweet 2 has two users beside its author, tweet 1 one, tweet 0 none.
    assert item_knn(task, neighbours=3, weighting="cosine")[0, :3].tolist() == [2, 1, 0]
    assert als(task, factors=2, alpha=1.0, penalty=1.0)[0, :3].tolist() == [2, 1, 0]


def test_frs_recommends_whom_followees_follow() -> None:
    follows = tuple(sorted({(0, 1), (0, 2), (1, 3), (1, 4), (2, 4), (4, 0), (5, 3)}))
    world = small(follows=follows)
    known = np.zeros((6, 6), np.float32)
    known[tuple(np.array(follows).T)] = 1
    matrix, viewer = csr_matrix(known), np.array([0], np.int32)
    hidden = csr_matrix((known[[0]] > 0) | (np.arange(6) == 0))
    task = Task("t", world.view(), viewer, matrix, hidden, hidden, np.arange(6, dtype=np.int32), world.view().following)
    assert recommended_by(task, name="two_hop")[0, :3].tolist() == [4, 3, -1]
    assert recommended_by(task, name="triangular_loops")[0, :2].tolist() == [4, -1]  # 0 → 1 → 4 → 0
    assert recommended(task, weights=("triangular_loops",))[0, :2].tolist() == [4, -1]


def test_communities_of_items_are_those_whose_users_are_the_same() -> None:
    # Users 0 … 9 take from items 0 … 5, users 10 … 19 from items 6 … 11, each all but one of its half.
    known = np.zeros((20, 12), np.float32)
    for user in range(20):
        half = 6 * (user // 10)
        known[user, half : half + 6] = 1
        known[user, half + user % 6] = 0
    viewer, matrix = np.array([0, 10], np.int32), csr_matrix(known)
    relevant = csr_matrix(np.zeros((2, 12), np.bool_))
    hidden = csr_matrix(known[viewer] > 0)
    task = Task("t", small().view(), viewer, matrix, relevant, hidden, np.arange(12, dtype=np.int32))
    answer = clusters_of_items(task, popular=False, size=6.0)
    assert answer.shape == (2, K)
    assert answer[:, 0].tolist() == [0, 10]  # the one of the own half that is not known: 0 % 6, and 6 + 10 % 6

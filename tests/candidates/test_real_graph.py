"""RealGraph learns which pairs interact on the next day, from the past alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from candidates.real_graph import RealGraph
from candidates.real_graph.job import Lists, fitted, prior, standing_pairs
from candidates.real_graph.model import PairModel, exported, fit_logistic, unbalanced
from candidates.real_graph.roll_up import (
    CODE,
    COLUMNS,
    EXPLICIT,
    KINDS,
    PUBLISHED,
    Days,
    as_of,
    candidates,
    columns,
    daily,
    labelled,
    roll_up,
)
from funnel.core.actions import ACTION_NAMES
from funnel.core.arrays import Array
from funnel.core.rng import stream
from funnel.core.tables import QUOTE, RETWEET
from funnel.core.world import PlatformView, WorldTables
from funnel.features.affinity import COEFFICIENTS, PAIR_FEATURES, pair_matrix, pair_scores
from funnel.learn.metrics import auc
from tests.candidates import naive
from tests.support import altered_after, mini_view, mini_world

FAVORITE, CLICK = CODE["favorite"], CODE["click"]
BIG: dict[str, Any] = {"users": 60, "tweets": 1500, "pages": 900}


def learnt(view: PlatformView) -> Array:
    """The job's coefficients at the view's moment."""
    return RealGraph().run(view, seed=0)[COEFFICIENTS]


def test_the_score_orders_pairs_better_than_past_interactions_and_follows() -> None:
    world = mini_world(**BIG)
    view = PlatformView(world, 36.0)
    keys = standing_pairs(view)
    viewer, author = (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)
    now_h = np.full(keys.size, view.now_h)
    columns = pair_matrix(view, viewer, author, now_h)
    later = PlatformView(world, 48.0).engagements
    chosen = later["time_h"] >= 36.0
    authors = world.table("tweets")["author"][later["tweet"][chosen]]
    positive = np.isin(keys, (later["viewer"][chosen].astype(np.int64) << 32) | authors)
    score = pair_scores(view.with_assets({COEFFICIENTS: learnt(view)}), viewer, author, now_h)
    past = columns[:, PAIR_FEATURES.index("public_decayed_log")]
    follows = columns[:, PAIR_FEATURES.index("follows")]
    assert auc(positive, score) > max(auc(positive, past), auc(positive, follows), 0.55)


def test_the_same_seed_learns_the_same_coefficients_and_nothing_from_the_future() -> None:
    now_h = 40.0
    expected = learnt(mini_view(now_h))
    assert expected.shape == (len(PAIR_FEATURES) + 1,)
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(learnt(mini_view(now_h)), expected)
    np.testing.assert_array_equal(learnt(PlatformView(altered_after(mini_world(), now_h), now_h)), expected)


def test_classes_are_about_balanced() -> None:
    # Positives stay with probability 1 - p and negatives with p: p (1 - p) of all pairs each.
    _, positive = RealGraph().examples(mini_view(**BIG), seed=0)
    assert positive.size > 100
    assert positive.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(positive.size))


def test_standardisation_is_folded_into_the_coefficients() -> None:
    draw = stream(0, "folding")
    columns = (draw.normal(size=(400, len(PAIR_FEATURES))) * 5 + 3).astype(np.float32)
    columns[:, 1] = 7.0  # a feature that says nothing
    moved = columns * np.float32(2.0) + np.float32(1.0)
    positive = columns[:, 0] + draw.normal(size=400) > 3
    plain, scaled = fitted(columns, positive, 1.0), fitted(moved, positive, 1.0)
    logit, same = columns @ plain[:-1] + plain[-1], moved @ scaled[:-1] + scaled[-1]
    np.testing.assert_allclose(logit, same, atol=2e-3)
    assert plain[1] == 0


def test_a_world_where_nothing_happened_gets_the_prior_which_prefers_followed_authors() -> None:
    full = mini_world()
    tables = {name: full.table(name) for name in ("users", "follows", "tweets")}
    view = PlatformView(WorldTables(full.meta, tables), 48.0)
    np.testing.assert_array_equal(learnt(view), prior())
    follows = full.table("follows")
    viewer = np.repeat(follows["follower"][:1], 2)
    stranger = np.int32(full.count("users") - 1)
    author = np.array([follows["followee"][0], stranger], np.int32)
    score = pair_scores(view.with_assets({COEFFICIENTS: prior()}), viewer, author, np.full(2, 48.0))
    assert score[0] > score[1] > 0


def test_the_roll_up_is_a_decayed_sum_by_day() -> None:
    # Two favourites on the latest day, none on the next two, one on the day before those: 2 + 0.955^3.
    days = Days(*(np.array(v) for v in ([7, 7, 7], [FAVORITE, FAVORITE, CLICK], [0, 3, 61], [2.0, 1.0, 5.0])))
    rolled = roll_up(days)
    assert rolled.key.tolist() == [7]
    assert rolled.ewma[0, FAVORITE] == pytest.approx(2 + 0.955**3)
    assert rolled.days_active[0, FAVORITE] == 2
    assert rolled.mean[0, FAVORITE] == pytest.approx(1.5)
    assert rolled.variance[0, FAVORITE] == pytest.approx(0.25)
    assert rolled.days_since[0, [FAVORITE, CLICK]].tolist() == [0, -1]  # a click of 61 days ago is forgotten
    assert rolled.ewma[0, CLICK] == 0


def test_what_was_known_days_ago_is_cut_from_what_is_known_now() -> None:
    view = mini_view(hours=120.0, **BIG)
    for ago in (0, 1, 3):
        for now, then in zip(as_of(daily(view), ago), daily(view.at(120.0 - 24.0 * ago)), strict=True):
            recent = daily(view.at(120.0 - 24.0 * ago)).day <= 60 - ago
            np.testing.assert_array_equal(now, then[recent])


def test_columns_agree_with_counting_by_hand() -> None:
    view = mini_view(now_h=100.0, hours=100.0, **BIG)
    days = daily(view)
    key = candidates(view, days)[::7]
    found = columns(view, days, roll_up(days), key, published=False)
    log, tweets, follows = view.engagements, view.tweets, view.following
    names = {"favorite", "retweet", "reply", "share", "click", "profile_click"}
    events: dict[int, list[tuple[str, int]]] = {}
    for viewer, tweet, action, time_h in zip(log["viewer"], log["tweet"], log["action"], log["time_h"], strict=True):
        name, again = ACTION_NAMES[action], tweets["kind"][tweet] == RETWEET
        if name in names and viewer != tweets["author"][tweet]:
            name = f"rt_{name}" if again and f"rt_{name}" in KINDS else name
            events.setdefault(int(viewer) << 32 | int(tweets["author"][tweet]), []).append(
                (name, int((100.0 - time_h) // 24))
            )
    for row, pair in zip(found, key.tolist(), strict=True):
        viewer, author = pair >> 32, pair & 0xFFFFFFFF
        seen = list(events.get(pair, []))
        for edge in range(follows.offsets[viewer], follows.offsets[viewer + 1]):
            if follows.targets[edge] == author and 0 <= 100.0 - follows.time_h[edge] < 24 * 30:
                seen.append(("follow", int((100.0 - follows.time_h[edge]) // 24)))
        for tweet in np.flatnonzero((tweets["kind"] == QUOTE) & (tweets["author"] == viewer)):
            parent = tweets["parent"][tweet]
            if tweets["author"][parent] == author != viewer:
                kind = "rt_quote" if tweets["kind"][parent] == RETWEET else "quote"
                seen.append((kind, int((100.0 - tweets["time_h"][tweet]) // 24)))
        is_followed = (
            author
            in follows.neighbours(viewer)[follows.time_h[follows.offsets[viewer] : follows.offsets[viewer + 1]] < 100.0]
        )
        recent = int(((tweets["author"] == author) & (tweets["time_h"] >= 4.0)).sum()) if is_followed else 0
        rows = {(name, day) for name, day in seen}
        count = {name: sum(kind == name for kind, _ in rows) for name in KINDS}
        wanted = [
            len({day for _, day in rows}), recent, count["follow"], count["favorite"], count["click"],
            count["profile_click"], min((day for _, day in rows), default=30), len({name for name, _ in rows}),
        ]  # fmt: skip
        assert row[: len(PUBLISHED)].tolist() == wanted
        ewma = sum(0.955**day for name, day in seen if name == "favorite")
        assert row[COLUMNS.index("favorite_ewma")] == pytest.approx(ewma, rel=1e-5)


def test_stored_trees_answer_as_scikit_learn_does() -> None:
    draw = stream(0, "trees")
    matrix = draw.poisson(2.0, (3000, 6)).astype(np.float32)
    positive = matrix[:, 0] * matrix[:, 1] + draw.normal(size=3000) > 4
    learner = HistGradientBoostingClassifier(max_iter=20, early_stopping=False, random_state=0).fit(matrix, positive)
    fresh = np.concatenate([matrix, draw.normal(size=(500, 6)).astype(np.float32) * 10])
    expected = learner.predict_proba(fresh)[:, 1].astype(np.float32)
    np.testing.assert_array_max_ulp(exported(learner).probabilities(fresh), expected, maxulp=1)
    assert exported(learner).probabilities(fresh[:0]).shape == (0,)


def test_logistic_regression_answers_as_scikit_learn_does() -> None:
    draw = stream(0, "logistic")
    matrix = draw.poisson(2.0, (500, 3)).astype(np.float32)
    positive = matrix[:, 0] + draw.normal(size=500) > 2
    logs = np.log1p(matrix.astype(np.float64))
    scaled = (logs - logs.mean(0)) / logs.std(0)
    expected = LogisticRegression(C=1.0, max_iter=500).fit(scaled, positive).predict_proba(scaled)[:, 1]
    np.testing.assert_allclose(fit_logistic(matrix, positive, 1.0).probabilities(matrix), expected, atol=1e-5)


def test_balancing_can_be_undone() -> None:
    # Of 1,000 pairs with p = 0.2 and base rate 0.1: positives stay with 0.9, negatives with 0.1, so 180 and 80 stay.
    assert unbalanced(np.array([180 / 260], np.float32), 0.1)[0] == pytest.approx(0.2)
    np.testing.assert_allclose(unbalanced(np.array([0.0, 1.0], np.float32), 0.3), [0.0, 1.0])


@pytest.mark.parametrize("model", ["trees", "logistic"])
def test_the_lists_order_the_next_day_better_than_past_interactions(model: Any) -> None:
    world = mini_world(users=120, tweets=3000, pages=3000, hours=120.0)
    view = PlatformView(world, 96.0)
    made = RealGraph(model=model).run(view, seed=0)
    days = daily(view)
    key = candidates(view, days)
    matrix = columns(view, days, roll_up(days), key, published=False)
    next_day = daily(PlatformView(world, 120.0))
    for target in ("any", "explicit"):
        fitted_model = PairModel(*(made[f"real_graph.{target}_{part}"] for part in PairModel._fields))
        hit = labelled(next_day, key, explicit=target == "explicit")
        past = matrix[:, [COLUMNS.index(f"{kind}_ewma") for kind in EXPLICIT]].sum(axis=1)
        assert auc(hit, fitted_model.probabilities(matrix)) > max(auc(hit, past), 0.55)


def test_followed_accounts_and_others_have_their_lists_best_first() -> None:
    view = mini_view(**BIG)
    made = RealGraph(max_scores=9).run(view, seed=0)
    for kind in ("followed", "other"):
        offsets, author, score, explicit = (made[f"real_graph.{kind}_{part}"] for part in Lists._fields)
        assert offsets.shape == (view.user_count + 1,)
        assert ((score >= 0) & (score <= 1) & (explicit >= 0) & (explicit <= 1)).all()
        assert author.size > 0
        for viewer in range(view.user_count):
            rows = slice(int(offsets[viewer]), int(offsets[viewer + 1]))
            assert (np.diff(score[rows]) <= 0).all()
            followees = naive.followees(view, viewer, view.now_h)
            assert viewer not in author[rows]
            if kind == "followed":
                assert len(author[rows]) == min(9, len(followees))
            assert all((int(a) in followees) == (kind == "followed") for a in author[rows])


def test_who_never_did_anything_has_scores_for_everybody_they_follow() -> None:
    full = mini_world(**BIG)
    quiet = 5
    log = full.table("engagements")
    others = (log["viewer"] != quiet) & (full.table("tweets")["author"][log["tweet"]] != quiet)
    tables = {name: dict(full.table(name)) for name in ("users", "follows", "tweets", "engagements")}
    tables["engagements"] = {name: values[others] for name, values in log.items()}
    view = PlatformView(WorldTables(full.meta, tables), 48.0)
    made = RealGraph().run(view, seed=0)
    rows = slice(*made["real_graph.followed_offsets"][quiet : quiet + 2])
    assert set(made["real_graph.followed_author"][rows]) == set(naive.followees(view, quiet, 48.0))
    assert (made["real_graph.followed_score"][rows] > 0).all()


def test_a_followee_beyond_the_cap_scores_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("candidates.real_graph.roll_up.MAX_DESTINATIONS", 3)
    view = mini_view(**BIG)
    made = RealGraph().run(view, seed=0)
    offsets, score = made["real_graph.followed_offsets"], made["real_graph.followed_score"]
    others = np.diff(made["real_graph.other_offsets"])
    for viewer in range(view.user_count):
        rows = score[offsets[viewer] : offsets[viewer + 1]]
        assert rows.size == len(naive.followees(view, viewer, view.now_h))
        assert (rows > 0).sum() + others[viewer] <= 3
    assert (score == 0).any()


def test_a_world_without_anything_gives_empty_lists_and_the_prior() -> None:
    full = mini_world()
    tables = {name: full.table(name) for name in ("users",)}
    made = RealGraph().run(PlatformView(WorldTables(full.meta, tables), 48.0), seed=0)
    assert made["real_graph.followed_author"].size == 0
    assert made["real_graph.other_author"].size == 0
    assert not made["real_graph.any_root"].size
    assert (made["real_graph.base_rate"] == 0).all()


@pytest.mark.parametrize("model", ["trees", "logistic"])
def test_lists_know_nothing_of_the_future(model: Any) -> None:
    job = RealGraph(model=model)
    expected = job.run(mini_view(40.0), seed=0)
    for name, values in job.run(PlatformView(altered_after(mini_world(), 40.0), 40.0), seed=0).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)

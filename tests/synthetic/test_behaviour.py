from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from funnel.core.actions import ACTION_CODE, ACTIONS, Action
from funnel.core.arrays import Array, Doubles, Ints, Longs
from funnel.core.rng import hashed, key, uniform
from funnel.core.world import WorldTables
from synthetic.behaviour import ResponseModel, Truth
from synthetic.draws import fold, unit
from synthetic.habituation import MEMORY, Habituation
from synthetic.responses import exponential
from synthetic.settings import Rates
from tests.synthetic.towns import auc, oracle, reactions, town


def test_probabilities_are_probabilities_of_every_action() -> None:
    p = oracle().probabilities(*_some(2_000))
    assert p.shape == (2_000, len(ACTIONS))
    assert p.dtype == np.float32
    assert ((p >= 0) & (p <= 1)).all()


@pytest.mark.parametrize("action", [action for action in ACTIONS if action.within], ids=lambda action: action.name)
def test_an_action_within_another_is_never_likelier_and_never_alone(action: Action) -> None:
    child, parent = ACTION_CODE[action.name], ACTION_CODE[action.within or ""]
    p = oracle().probabilities(*_some(5_000))
    assert (p[:, child] <= p[:, parent]).all()
    done = reactions(town())
    assert not (done[:, child] & ~done[:, parent]).any()


def test_nobody_watches_half_of_no_video() -> None:
    viewer, tweet, position, now_h = _some(5_000)
    none = town().tables["tweets"]["video_s"][tweet] == 0
    watched = oracle().probabilities(viewer, tweet, position, now_h)[:, ACTION_CODE["video_playback50"]]
    assert (watched[none] == 0).all()
    assert (watched[~none] > 0).all()


def test_everything_is_likelier_further_up() -> None:
    viewer, tweet, position, now_h = _some(1_000)
    top, below = (oracle().probabilities(viewer, tweet, position + down, now_h) for down in (0, 5))
    assert (below <= top).all()
    assert below.sum() < top.sum()


def test_reactions_follow_the_probabilities() -> None:
    """400 pairs, 300 seeds: the standard error of the mean of (share - p) is `error`; four of them."""
    some = _some(400)
    p = oracle().probabilities(*some).astype(np.float64)
    share = np.mean([oracle().react(*some, seed=seed) for seed in range(300)], axis=0)
    error = np.sqrt((p * (1 - p)).sum(axis=0) / 300) / 400
    assert (np.abs((share - p).mean(axis=0)) < 4 * error + 1e-9).all()


def test_reactions_of_single_pairs_follow_their_own_probabilities() -> None:
    """Chi-square of 400 pairs: its mean is 400, its standard deviation about sqrt(2 * 400) = 28; five of them."""
    some = _some(400)
    p = oracle().probabilities(*some)[:, ACTION_CODE["dwell"]].astype(np.float64)
    share = np.mean([oracle().react(*some, seed=seed)[:, ACTION_CODE["dwell"]] for seed in range(300)], axis=0)
    assert ((share - p) ** 2 / (p * (1 - p) / 300)).sum() < 400 + 5 * 28


def test_reactions_depend_on_seed_and_row_but_not_on_company_or_order() -> None:
    some = _some(500)
    all_at_once = oracle().react(*some, seed=1)
    backwards = oracle().react(*_rows(some, np.arange(500)[::-1]), seed=1)
    alone = oracle().react(*_rows(some, np.array([7])), seed=1)
    assert np.array_equal(all_at_once, backwards[::-1])
    assert np.array_equal(all_at_once[7:8], alone)
    assert not np.array_equal(all_at_once, oracle().react(*some, seed=2))


def test_nothing_is_answered_with_nothing() -> None:
    none = _rows(_some(1), np.empty(0, np.int64))
    assert oracle().probabilities(*none).shape == (0, len(ACTIONS))
    assert oracle().react(*none, seed=0).shape == (0, len(ACTIONS))


def test_positive_actions_come_together_more_often_than_by_chance() -> None:
    """Of those who dwell more favourite, among impressions alike: draws of one pair over many seeds."""
    viewer, tweet, position, now_h = _rows(_some(200), np.repeat(np.arange(200), 100))
    moments = now_h + np.tile(np.arange(100) * 1e-6, 200)  # another moment, another draw
    done = oracle().react(viewer, tweet, position, moments, seed=0).reshape(200, 100, -1)
    favorite, click = done[:, :, ACTION_CODE["favorite"]], done[:, :, ACTION_CODE["click"]]
    assert (favorite & click).mean() > 1.5 * (favorite.mean(axis=1) * click.mean(axis=1)).mean()


def test_the_truth_predicts_the_log_and_its_parts_predict_less() -> None:
    """So that the world is neither noise nor trivial: truth > taste > quality > chance."""
    data = town()
    shown = data.tables["impressions"]
    rows = np.random.default_rng(0).choice(shown["viewer"].size, 60_000, replace=False)
    viewer, tweet = shown["viewer"][rows], shown["tweet"][rows]
    favorite = reactions(data)[rows, ACTION_CODE["favorite"]]
    author, topics = data.tables["tweets"]["author"], data.truth["topics"]
    seen = Habituation(2_000).expose(shown["viewer"], shown["tweet"], author, topics)[rows]
    p = oracle().probabilities(viewer, tweet, shown["position"][rows], shown["time_h"][rows], seen=seen)
    interests, topics, share = (data.truth[name] for name in ("interests", "topics", "topic_share"))
    taste = share[tweet] * interests[viewer, topics[tweet, 0]]
    truth, match, quality = (auc(s, favorite) for s in (p[:, 0], taste, data.truth["quality"][tweet]))
    assert truth > 0.83
    assert truth - 0.05 > match > quality > 0.55
    # Calibrated in the large, too: 3,000 favourites or so have a standard error under 2 %.
    assert p[:, 0].mean() == pytest.approx(favorite.mean(), rel=0.08)


def test_satisfaction_is_not_engagement() -> None:
    viewer, tweet, position, now_h = _some(20_000)
    glad = oracle().satisfaction(viewer, tweet)
    assert glad.dtype == np.float32
    assert (np.abs(glad) <= 1).all()
    p = oracle().probabilities(viewer, tweet, position * 0, now_h)
    heated = town().truth["controversy"][tweet] > 0.5
    reply, favorite = ACTION_CODE["reply"], ACTION_CODE["favorite"]
    assert np.corrcoef(glad, p[:, favorite])[0, 1] > 0.3
    # Controversy raises replies as much as it lowers gladness.
    assert p[heated, reply].mean() > 1.3 * p[~heated, reply].mean()
    assert glad[heated].mean() < glad[~heated].mean() - 0.1


def test_satisfaction_ignores_the_blue_mark() -> None:
    viewer, tweet, _, _ = _some(5_000)
    data = town()
    users = {**data.tables["users"], "verified": ~data.tables["users"]["verified"]}
    flipped = ResponseModel(WorldTables(data.meta, {**data.tables, "users": users}), Truth.of(data.truth))
    assert np.array_equal(flipped.satisfaction(viewer, tweet), oracle().satisfaction(viewer, tweet))


def test_who_has_seen_the_author_or_the_topic_lately_acts_less_and_is_less_glad() -> None:
    some = _some(2_000)
    viewer, tweet = some[0], some[1]
    favorite, block = ACTION_CODE["favorite"], ACTION_CODE["block"]
    never, author, topic, more = (
        np.full((2_000, 2), counts, np.float32) for counts in ((0, 0), (3, 0), (0, 3), (9, 9))
    )
    p = [oracle().probabilities(*some, seen=seen) for seen in (never, topic, author, more)]
    assert np.array_equal(p[0], oracle().probabilities(*some))  # nothing seen is the default
    for less, tired in pairwise(p):
        assert (tired[:, favorite] < less[:, favorite]).all()
        assert (tired[:, block] >= less[:, block]).all()
    glad = [oracle().satisfaction(viewer, tweet, seen=seen) for seen in (never, author)]
    assert (glad[1] <= glad[0]).all()
    assert glad[1].mean() < glad[0].mean() - 0.05
    # Log-odds of a favourite fall by the weight for each e-fold of exposures, plus one; faster for the novelty-seeking.
    eagerness = 1 + 0.5 * town().truth["novelty"][viewer]
    odds = [np.log(q[:, favorite] / _look(some) / (1 - q[:, favorite] / _look(some))) for q in (p[0], p[2])]
    assert np.allclose(odds[0] - odds[1], 0.25 * np.log(4) * eagerness, atol=5e-3)


def test_the_novelty_seeking_tire_faster() -> None:
    """By half as much again at the most, since the weight of what was seen is times 1 + 0.5 * novelty."""
    data, truth = town(), Truth.of(town().truth)
    viewer, tweet, _, now_h = _some(100)
    seen = np.full((100, 2), 5, np.float32)
    tired = []
    for novelty in (-1.0, 0.0, 1.0):
        keen = replace(truth, novelty=np.full(2_000, novelty, np.float32))
        model = ResponseModel(WorldTables(data.meta, data.tables), keen)
        tired.append(model.utility(viewer, tweet, now_h) - model.utility(viewer, tweet, now_h, seen=seen))
    assert np.allclose(tired[0], 0.5 * tired[1], atol=1e-4)
    assert np.allclose(tired[2], 1.5 * tired[1], atol=1e-4)


def test_exposures_are_those_among_the_last_tweets_shown() -> None:
    """Against counting by hand: 3 viewers, 40 tweets by 4 authors on 3 topics, in two goes."""
    rng = np.random.default_rng(0)
    viewer, tweet = rng.integers(0, 3, 300).astype(np.int32), rng.integers(0, 40, 300).astype(np.int32)
    author, topics = (np.arange(40) % 4).astype(np.int32), (np.arange(80).reshape(40, 2) // 26).astype(np.int16)
    habits = Habituation(2)  # the third viewer joins later
    found = np.concatenate(
        [habits.expose(viewer[part], tweet[part], author, topics) for part in (slice(0, 100), slice(100, 300))]
    )
    for i in range(300):
        last = tweet[:i][viewer[:i] == viewer[i]][-MEMORY:]
        assert found[i, 0] == (author[last] == author[tweet[i]]).sum()
        assert found[i, 1] == (topics[last, 0] == topics[tweet[i], 0]).sum()
    assert found.max() > 9


def test_the_exponential_is_that_of_numpy() -> None:
    x = np.linspace(-30.0, 30.0, 2_001)
    found = np.array([exponential(np.float32(value)) for value in x], np.float64)
    expected = np.exp(np.float32(x).astype(np.float64))
    assert np.abs(found / expected - 1).max() < 4e-6
    assert exponential(np.float32(-1_000.0)) >= 0.0
    assert np.isfinite(exponential(np.float32(1_000.0)))


def test_each_weighted_action_contributes_about_equally_where_that_is_plausible() -> None:
    """Weights of April 2023 times the default rates: all but retweets and videos within 2 % of 0.03."""
    rates = Rates()
    weights = {
        "favorite": 0.5, "reply": 13.5, "reply_engaged_by_author": 75.0, "good_click": 11.0, "good_click_v2": 10.0,
        "good_profile_click": 12.0, "negative_feedback": -74.0, "report": -369.0,
    }  # fmt: skip
    for name, weight in weights.items():
        assert abs(weight) * getattr(rates, name) == pytest.approx(0.03, rel=0.02), name
    assert rates.favorite > 5 * rates.retweet > 20 * rates.reply
    assert rates.report < 1e-4


def test_the_log_has_the_rates_that_were_set() -> None:
    """The calibration knows a pilot only; within a tenth, for actions that happened a thousand times."""
    done, rates = reactions(town()), Rates().column()
    video = (town().tables["tweets"]["video_s"][town().tables["impressions"]["tweet"]] > 0).mean()
    for action in ACTIONS:
        code = ACTION_CODE[action.name]
        if done[:, code].sum() > 1_000:
            share = done[:, code].mean() / (video if action.needs_video else 1.0)
            assert share == pytest.approx(rates[code], rel=0.1), action.name


def test_the_compiled_hash_is_that_of_the_core() -> None:
    start = np.uint64(key(5, "react"))
    for first, second in ((0, 0), (7, 12), (-1, 2**40)):
        # A compiled function hands a Python int back, whose type would be lost on the way in again.
        state = np.uint64(fold(np.uint64(fold(start, first)), second))
        assert int(state) == int(hashed(5, "react", np.array([first]), np.array([second]))[0])
        assert unit(state) == float(uniform(5, "react", np.array([first]), np.array([second]))[0])


def _look(some: tuple[Ints, Ints, Ints, Doubles]) -> Array:
    return np.exp(-some[2] / town().truth["patience"][some[0]]).astype(np.float64)


def _rows(some: tuple[Ints, Ints, Ints, Doubles], rows: Longs) -> tuple[Ints, Ints, Ints, Doubles]:
    viewer, tweet, position, now_h = some
    return viewer[rows], tweet[rows], position[rows], now_h[rows]


def _some(count: int) -> tuple[Ints, Ints, Ints, Doubles]:
    """Random viewers, tweets, places and later moments."""
    rng = np.random.default_rng(count)
    data = town()
    viewer = rng.integers(0, data.meta.viewer_count, count).astype(np.int32)
    tweet = rng.integers(0, data.tables["tweets"]["author"].size, count).astype(np.int32)
    return viewer, tweet, rng.integers(0, 10, count).astype(np.int32), data.tables["tweets"]["time_h"][tweet] + 3.0

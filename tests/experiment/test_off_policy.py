"""Estimates from the log: right on average, honest about their error, and about the choices they claim to be about."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pytest

from funnel.cli import main
from funnel.compose import load_funnel
from funnel.core.arrays import Doubles, Longs
from funnel.core.errors import ConfigError
from funnel.core.tables import EXPLORED, TABLES
from funnel.core.world import WorldData
from funnel.experiment.explored import LoggedChoices, logged_choices
from funnel.experiment.off_policy import (
    Policy,
    choices,
    estimates,
    expected_rewards,
    off_policy,
    reward_of,
    seen_before,
)
from funnel.world import World
from heuristics.selectors.top_k import TopK
from synthetic.habituation import Habituation
from tests.laws.funnels import Lottery, Remainder, Taste, funnel_of, slot
from tests.support import mini_view, mini_world

PAGES, DRAWN = 400, 4
RATE = reward_of("favorite")[1]


@lru_cache
def tiny() -> tuple[World, LoggedChoices]:
    world = World.load("tiny")
    return world, logged_choices(world.view(), limit=10**9, seed=0)


def made_up(first: Longs) -> LoggedChoices:
    """Pages with so many explored tweets each, the topmost of which is given."""
    offsets = np.arange(PAGES + 1, dtype=np.int64) * DRAWN
    rows = np.arange(PAGES * DRAWN)
    return LoggedChoices(rows, rows.astype(np.int32), offsets, offsets[:-1] + first, mini_view())


@pytest.mark.parametrize("guess", ["nothing", "nonsense", "truth"])
def test_all_three_are_right_on_average_and_their_errors_are_honest(guess: str) -> None:
    """600 logs of 400 pages from known expectations, averaged and counted.

    The mean estimate is within 4 standard errors of the truth (SNIPS: and a bias of order 1 / 400); twice the reported
    error holds the truth in 92 to 99 % of the logs (95.4 % ± 0.9 % if normal; more, as pages differ in what they are
    worth). A doubly robust estimate is right whatever the reward model says; a good one makes its error smaller.
    """
    draw = np.random.default_rng(1)
    expected = draw.uniform(0.1, 0.9, PAGES * DRAWN)
    choice = np.arange(PAGES) * DRAWN + draw.integers(0, DRAWN, PAGES)
    choice[:40] = -1  # a tenth of the pages stays empty
    guessed = {"nothing": 0 * expected, "nonsense": draw.random(expected.size), "truth": expected}[guess]
    found: dict[str, list[tuple[float, float]]] = {}
    truth = 0.0
    for _ in range(600):
        logged = made_up(draw.integers(0, DRAWN, PAGES))
        reward = (draw.random(expected.size) < expected).astype(float)
        for one in estimates("p", logged, choice, reward, guessed, expected):
            found.setdefault(one.estimator, []).append((one.estimate, one.error))
            truth = one.truth
    assert truth == pytest.approx(np.where(choice >= 0, expected[choice], 0.0).mean())
    for name, pairs in found.items():
        estimate, error = np.array(pairs).T
        bias = 0.005 if name == "SNIPS" else 0.0
        assert abs(estimate.mean() - truth) < 4 * estimate.std() / np.sqrt(600) + bias, name
        assert 0.92 < (np.abs(estimate - truth) < 2 * error).mean() <= 0.99, name
    if guess == "truth":
        assert np.mean(found["DR"], axis=0)[1] < 0.8 * np.mean(found["IPS"], axis=0)[1]


def test_estimates_of_one_page_worked_out_by_hand() -> None:
    """Two pages of two: the first shows what is chosen (w = 2, r = 1), the second shows the other (w = 0).

    IPS = (2 × 1 + 0) / 2 = 1, SNIPS = 1 × 2 / 2 = 1, DR = ((0.5 + 2 (1 − 0.5)) + (0.25 + 0)) / 2 = 0.875.
    """
    rows = np.arange(4)
    logged = LoggedChoices(rows, rows.astype(np.int32), np.array([0, 2, 4]), np.array([0, 3]), mini_view())
    reward, guessed = np.array([1.0, 0.0, 0.0, 1.0]), np.array([0.5, 0.1, 0.25, 0.1])
    expected = np.array([0.8, 0.0, 0.4, 0.0])
    found = {one.estimator: one for one in estimates("p", logged, np.array([0, 2]), reward, guessed, expected)}
    assert [found[name].estimate for name in ("IPS", "SNIPS", "DR")] == [1.0, 1.0, 0.875]
    assert found["IPS"].truth == pytest.approx(0.6)
    assert found["IPS"].sample_size == 1.0


def test_the_first_explored_place_is_any_of_the_explored_tweets_with_the_same_chance() -> None:
    """Among pages with six: the first one's place in the order of tweet ids is uniform (chi-squared, 5 degrees)."""
    _, logged = tiny()
    six = np.flatnonzero(np.diff(logged.offsets) == 6)
    tweet = logged.view.impressions["tweet"][logged.rows]
    rows = logged.offsets[six][:, None] + np.arange(6)
    rank = (tweet[rows] < tweet[logged.first[six]][:, None]).sum(axis=1)
    counts = np.bincount(rank, minlength=6)
    expected = six.size / 6
    assert six.size > 1_000
    assert ((counts - expected) ** 2 / expected).sum() < 20.5  # P = 0.001


def test_logged_choices_are_explored_places_and_the_first_is_topmost() -> None:
    world, logged = tiny()
    log = world.view().impressions
    assert (log["arm"][logged.rows] == EXPLORED).all()
    position = log["position"][logged.rows]
    assert (position[logged.first] == np.minimum.reduceat(position, logged.offsets[:-1])).all()
    assert (logged.page[logged.first] == np.arange(logged.first.size)).all()
    assert (np.diff(logged.offsets) > 1).all()
    later = logged_choices(world.view(), since_h=world.meta.train_until_h, limit=50, seed=0)
    assert later.first.size == 50
    assert log["time_h"][later.rows].min() >= world.meta.train_until_h


def test_what_was_seen_is_counted_as_the_world_counts_it() -> None:
    world, logged = tiny()
    log, author = world.view().impressions, world.tables.table("tweets")["author"]
    topics = world.truth["topics"]
    counted = Habituation(world.tables.count("users")).expose(log["viewer"], log["tweet"], author, topics)
    rows = logged.rows[:3_000]
    assert (seen_before(log, author, topics[:, 0], rows, log["tweet"][rows]) == counted[rows]).all()


def test_the_truth_is_what_the_log_brings_on_average() -> None:
    """For the tweets that did stand first: mean favourites against mean expectation, within 4 standard errors."""
    world, logged = tiny()
    assert world.oracle is not None
    expected = expected_rewards(world, world.oracle, logged, RATE)[logged.first]
    done = world.view().engagements
    liked = np.isin(logged.rows[logged.first], done["impression"][done["action"] == 0])
    assert abs(liked.mean() - expected.mean()) < 4 * np.sqrt((expected * (1 - expected)).sum()) / liked.size


def test_a_funnel_chooses_its_best_score_among_what_its_filters_leave() -> None:
    """Chronological is the newest; Remainder leaves nothing of some pages."""
    world, logged = tiny()
    funnel = load_funnel("chronological", world)
    chosen = choices(Policy(funnel), logged)
    some = np.flatnonzero(chosen >= 0)
    assert (logged.page[chosen[some]] == some).all()
    tweet = world.view().impressions["tweet"][logged.rows]
    newest = np.maximum.reduceat(tweet, logged.offsets[:-1])
    assert (tweet[chosen[some]] == newest[some]).mean() > 0.9  # unless a filter removes it
    assert (tweet[chosen[some]] <= newest[some]).all()


def test_a_page_of_which_all_is_removed_has_no_choice() -> None:
    tables = mini_world()
    impressions = {**tables.table("impressions"), "arm": np.full(tables.count("impressions"), EXPLORED, np.int8)}
    world = World.of(WorldData(tables.meta, {**{n: tables.table(n) for n in TABLES}, "impressions": impressions}))
    view = world.view()
    logged = logged_choices(view, limit=10**6, seed=0)
    funnel = funnel_of([slot(Lottery()), slot(Remainder(divisor=2)), slot(Taste()), slot(TopK())], tables)
    chosen = choices(Policy(funnel), logged)
    tweet = view.impressions["tweet"][logged.rows]
    even = np.logical_or.reduceat(tweet % 2 != 1, logged.offsets[:-1])
    assert ((chosen >= 0) == even).all()
    assert (tweet[chosen[chosen >= 0]] % 2 == 0).all()


def test_a_choice_does_not_depend_on_the_pages_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world, logged = tiny()
    policy = Policy(load_funnel("random", world))
    whole = choices(policy, logged)
    monkeypatch.setattr("funnel.experiment.off_policy.ROWS_AT_ONCE", 50)
    assert (choices(policy, logged) == whole).all()


def test_the_estimates_of_tiny_agree_with_the_truth() -> None:
    """Three policies, three estimators, one log: all within 4 errors; the oracle's choice is better than by lot."""
    world, _ = tiny()
    report = off_policy([Policy(load_funnel(name, world)) for name in ("popular", "random", "oracle")])
    assert [one.estimator for one in report.estimates[:3]] == ["IPS", "SNIPS", "DR"]
    for one in report.estimates:
        assert one.error > 0
        assert one.off_by is not None
        assert abs(one.off_by) < 4, one
        assert 0 < one.sample_size < report.pages
    truth: Doubles = np.array([one.truth for one in report.estimates[::3]])
    assert truth.argmax() == 2


@pytest.mark.parametrize(
    ("value", "said"),
    [("satisfaction", "leaves no trace"), ("popular", "weighs no actions"), ("favourite", "did you mean 'favorite'")],
)
def test_a_reward_that_no_log_has_is_refused(value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        reward_of(value)


def test_a_funnels_weights_are_a_reward() -> None:
    assert reward_of("twitter_2023")[1][:3].tolist() == [0.5, 1.0, 13.5]
    assert (reward_of("oracle")[1] == reward_of("twitter_2023")[1]).all()


def test_bad_input_is_refused_in_words() -> None:
    world, _ = tiny()
    popular = load_funnel("popular", world)
    with pytest.raises(ConfigError, match="no such scorer"):
        Policy(popular, "light_ranker")
    with pytest.raises(ConfigError, match="at least one funnel"):
        off_policy([])
    with pytest.raises(ConfigError, match="at least 2 pages"):
        off_policy([Policy(popular)], requests=1)
    tables = mini_world()
    blind = World.of(WorldData(tables.meta, {name: tables.table(name) for name in TABLES}))
    with pytest.raises(ConfigError, match="has no truth"):
        off_policy([Policy(load_funnel("popular", blind))])


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    policies = ["popular", "random:random_value"]
    with pytest.raises(SystemExit) as ended:
        main(["off-policy", *policies, "--world", "tiny", "--json"])
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert {row["policy"] for row in said["estimates"]} == set(policies)
    assert set(said["chosen_share"]) == set(policies)

"""Estimates from the log of notifications: the same estimators, on what the lot sent and might have sent instead."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from funnel.cli import main
from funnel.compose import load_funnel
from funnel.core.arrays import Array
from funnel.core.errors import ConfigError
from funnel.core.products import PUSH
from funnel.core.tables import EXPLORED, TABLES
from funnel.core.world import PlatformView, WorldTables
from funnel.experiment.explored import DRAWN, LoggedChoices, Pool, check_propensities, logged_choices
from funnel.experiment.off_policy import (
    ESTIMATORS,
    Policy,
    choices,
    estimates,
    expected_rewards,
    off_policy,
    reward_of,
)
from funnel.features.logged import labels
from funnel.world import World

OONC = reward_of("oonc", PUSH)[1]


@lru_cache
def tiny() -> World:
    return World.load("tiny")


@lru_cache
def logged() -> LoggedChoices:
    """All of the log, so that there is much to count."""
    return logged_choices(tiny().view(), PUSH, limit=10**9, seed=0)


def altered(**columns: Array) -> PlatformView:
    """What is seen of a world whose log of notifications has other columns."""
    tables = {name: dict(tiny().tables.table(name)) for name in TABLES}
    tables["notifications"] |= columns
    world = WorldTables(tiny().meta, tables)
    return PlatformView(world, tiny().meta.end_h)


def test_beside_what_was_sent_stands_what_might_have_been() -> None:
    """Of the pool of that moment, nobody's own, nothing sent before, no tweet twice, the sent one first."""
    view, found = tiny().view(), logged()
    log = view.notifications
    assert (log["arm"][found.place] == EXPLORED).all()
    assert (found.tweet[found.first] == log["tweet"][found.place]).all()
    assert np.array_equal(np.flatnonzero(found.rows >= 0), found.first)
    counts = np.diff(found.offsets)
    assert counts.min() > 1
    assert (counts == DRAWN).mean() > 0.99
    now_h, viewer = log["time_h"][found.place][found.page], log["viewer"][found.place][found.page]
    assert Pool(view).has(found.tweet, now_h).all()
    assert (view.tweets["author"][found.tweet] != viewer).all()
    sent = set(zip(log["viewer"].tolist(), log["tweet"].tolist(), strict=True))
    others = found.rows < 0
    again = [pair in sent for pair in zip(viewer[others].tolist(), found.tweet[others].tolist(), strict=True)]
    assert np.mean(again) < 0.02  # sent later, never before
    assert len(set(zip(found.page.tolist(), found.tweet.tolist(), strict=True))) == found.tweet.size


def test_what_was_sent_is_any_of_the_candidates_with_the_same_chance() -> None:
    """Its place in the order of tweet ids is uniform (chi-squared, 3 degrees)."""
    found = logged()
    four = np.flatnonzero(np.diff(found.offsets) == DRAWN)
    tweet = found.tweet[found.offsets[four][:, None] + np.arange(DRAWN)]
    counts = np.bincount((tweet < found.tweet[found.first[four]][:, None]).sum(axis=1), minlength=DRAWN)
    expected = four.size / DRAWN
    assert four.size > 1_000
    assert ((counts - expected) ** 2 / expected).sum() < 16.3  # P = 0.001


@pytest.mark.parametrize("name", ["push_oracle", "push_random", "push_newest"])
def test_the_estimates_cover_the_truth(name: str) -> None:
    """From 1,258 notifications sent by lot: each estimator within 4 of its errors, the truth as reward model or not."""
    world, found = tiny(), logged()
    oracle = world.oracle_of(PUSH)
    assert oracle is not None
    expected = expected_rewards(world, oracle, found, OONC)
    reward = np.zeros(found.tweet.size)
    reward[found.first] = labels(world.view(), found.place, PUSH) @ OONC
    choice = choices(Policy(load_funnel(name, world)), found)
    for guessed in (np.full(found.tweet.size, 0.02), expected):
        for one in estimates(name, found, choice, reward, guessed, expected):
            assert one.sample_size > 200
            assert one.off_by is not None
            assert abs(one.off_by) < 4, one


def test_the_oracle_sends_better_tweets_than_the_lot_and_the_log_shows_it() -> None:
    """On what was sent after the training's end alone, which is little; SNIPS and the truth agree on the order."""
    report = off_policy([Policy(load_funnel(name, tiny())) for name in ("push_oracle", "push_random")])
    assert report.product is PUSH
    assert report.pages > 100
    truth = {one.policy: one.truth for one in report.estimates}
    assert truth["push_oracle"] > 2 * truth["push_random"] > 0
    assert [one.estimator for one in report.estimates] == 2 * list(ESTIMATORS)
    assert 0.5 < report.chosen_share["push_random"] <= 1.0
    support = report.support["push_oracle"]
    assert support is not None
    assert 0.5 < support <= 1.0
    assert "logged decisions" in report.title


def test_the_truth_is_what_the_log_brings_on_average() -> None:
    """Openings of what was sent against their expectation, within 4 standard errors."""
    oracle = tiny().oracle_of(PUSH)
    assert oracle is not None
    expected = expected_rewards(tiny(), oracle, logged(), OONC)[logged().first]
    opened = labels(tiny().view(), logged().place, PUSH)[:, 0]
    assert abs(opened.mean() - expected.mean()) < 4 * np.sqrt((expected * (1 - expected)).sum()) / opened.size


def test_a_log_whose_propensities_are_missing_or_of_another_lot_is_refused() -> None:
    propensity = tiny().view().notifications["propensity"]
    check_propensities(altered(propensity=propensity), PUSH)
    with pytest.raises(ConfigError, match="without a propensity"):
        check_propensities(altered(propensity=np.full_like(propensity, np.nan)), PUSH)
    with pytest.raises(ConfigError, match="propensities of another lot"):
        check_propensities(altered(propensity=propensity * np.float32(2)), PUSH)
    none = altered(arm=np.zeros_like(tiny().view().notifications["arm"]))
    assert logged_choices(none, PUSH, limit=100, seed=0).first.size == 0


def test_a_funnel_that_seldom_or_never_sends_what_the_log_sent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"effective sample size is .* below 20"):
        off_policy([Policy(load_funnel("push_newest", tiny()))], requests=8)
    silent = tmp_path / "silent.yaml"
    silent.write_text(
        "extends: push_newest\nproduct: push\nafter:\n  notifications_off:\n    - daily_cap: {per_day: 0}\n"
    )
    with pytest.raises(ConfigError, match="no overlap with the log"):
        off_policy([Policy(load_funnel(str(silent), tiny()))])


def test_products_and_their_rewards_are_not_mixed() -> None:
    push = Policy(load_funnel("push_random", tiny()))
    with pytest.raises(ConfigError, match="ask for each alone"):
        off_policy([push, Policy(load_funnel("random", tiny()))])
    with pytest.raises(ConfigError, match="makes no decisions"):
        off_policy([push], value="twitter_2023")
    with pytest.raises(ConfigError, match="wants an action"):
        off_policy([push], value="favorite")
    assert reward_of("push_2023", PUSH)[1][0] == pytest.approx(0.9)


def test_the_command_says_how_much_of_a_funnel_the_log_can_judge(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["off-policy", "push_random", "--world", "tiny", "--json"])
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["product"], said["reward"]) == ("push", "oonc")
    assert 0 < said["support"]["push_random"] <= 1
    assert said["estimates"][0]["effective_n"] >= 20

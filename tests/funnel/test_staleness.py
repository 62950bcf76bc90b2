"""What a batch job made is as old as its cadence and delay say, and a model as old as `trained_at` says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates.tweepcred import Tweepcred
from funnel.compose import Slot, load_funnel
from funnel.core.arrays import Array
from funnel.core.errors import ConfigError
from funnel.core.stage import BatchJob
from funnel.pipeline import Funnel
from funnel.train import ensure_trained
from funnel.world import World
from light_ranker.light_ranker import LightRanker
from tests.support import QUICK, altered_after

STALE = """
jobs: [real_graph, {tweepcred: {cadence_h: 10, delay_h: 5}}]
stages: [in_network, recency_value, top_k]
"""
LIGHT = """
jobs: [real_graph, tweepcred, simclusters, twhin]
stages: [in_network, light_ranker, recency_value, top_k]
"""


def slot(**hours: float) -> Slot:
    return Slot("tweepcred", "tweepcred", Tweepcred(), **hours)  # type: ignore[arg-type]


def test_a_snapshot_is_the_last_one_that_would_have_been_there() -> None:
    # Made at 0, 10, 20, … h and there 5 h later: at 24.9 h the one of 10 h, at 25 h that of 20 h.
    weekly = slot(cadence_h=10.0, delay_h=5.0)
    assert [weekly.snapshot_h(moment, 99.0) for moment in (24.9, 25.0, 34.9, 35.0)] == [10.0, 20.0, 20.0, 30.0]
    assert slot(delay_h=6.0).snapshot_h(50.0, 99.0) == 44.0
    assert slot(cadence_h=10.0).snapshot_h(59.0, 99.0) == 50.0
    assert slot().snapshot_h(50.0, 99.0) == 99.0
    assert weekly.snapshot_h(3.0, 99.0) == 0.0  # nothing was there yet: an empty world


@given(st.floats(0, 1e4), st.floats(0.1, 1e3), st.floats(0, 1e3))
def test_a_snapshot_is_never_younger_than_the_delay_nor_older_than_delay_and_cadence(
    moment: float, cadence_h: float, delay_h: float
) -> None:
    at_h = slot(cadence_h=cadence_h, delay_h=delay_h).snapshot_h(moment, 0.0)
    assert 0 <= at_h <= max(0.0, moment - delay_h)
    assert at_h == 0 or moment - at_h <= (delay_h + cadence_h) * (1 + 1e-9)


def test_a_request_sees_what_the_job_made_of_the_world_as_it_was_then(trained: Funnel, tmp_path: Path) -> None:
    (tmp_path / "stale.yaml").write_text(STALE)
    funnel = load_funnel(str(tmp_path / "stale.yaml"), trained.world)
    ensure_trained(funnel)
    then, later = (Tweepcred().run(trained.world.view(hour), seed=0)["tweepcred.score"] for hour in (40.0, 50.0))
    assert not np.array_equal(then, later)
    np.testing.assert_array_equal(funnel.assets_at(54.9)["tweepcred.score"], then)
    np.testing.assert_array_equal(funnel.assets_at(55.0)["tweepcred.score"], later)
    assert funnel.assets_at(55.0) is funnel.assets_at(56.0)


def test_a_delayed_job_does_not_see_the_hours_of_its_delay(trained: Funnel, tmp_path: Path) -> None:
    (tmp_path / "stale.yaml").write_text(STALE)
    late = ("tweepcred.cadence_h=null", "tweepcred.delay_h=24")
    world, end_h = trained.world, trained.world.meta.end_h
    funnel = load_funnel(str(tmp_path / "stale.yaml"), world, settings=late)
    ensure_trained(funnel)
    assert len(funnel.run([7, 8])) == 2
    altered = World(altered_after(world.tables, end_h - 24), {})
    theirs = Tweepcred().run(altered.view(end_h - 24), seed=0)["tweepcred.score"]
    np.testing.assert_array_equal(funnel.assets_at(end_h)["tweepcred.score"], theirs)


def test_a_ranker_frozen_at_a_date_learns_nothing_from_later(
    trained: Funnel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path))
    world = trained.world
    old_h = world.meta.train_until_h / 2
    (tmp_path / "light.yaml").write_text(LIGHT)
    states = []
    for setting in ((), (f"light_ranker.trained_at={old_h:g}",)):
        funnel = load_funnel(str(tmp_path / "light.yaml"), world, settings=setting)
        assert "light_ranker" in ensure_trained(funnel).seconds
        (ranker,) = [slot.part for slot in funnel.stages if slot.name == "light_ranker"]
        assert isinstance(ranker, LightRanker)
        states.append(ranker.state())
    assert any(not np.array_equal(states[0][name], states[1][name]) for name in states[0])
    direct = LightRanker()
    direct.fit(world.view(old_h, assets=_made_at(funnel, old_h)), seed=0)
    for name, values in direct.state().items():
        np.testing.assert_array_equal(states[1][name], values)


def _made_at(funnel: Funnel, hour: float) -> dict[str, Array]:
    made: dict[str, Array] = {}
    for job in funnel.jobs:
        assert isinstance(job.part, BatchJob)
        made |= job.part.run(funnel.world.view(hour), seed=0)
    return made


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("light_ranker.trained_at=1000000", "is held out"),
        ("light_ranker.trained_at=0", "wants hours, above 0, got 0"),
        ("own_tweets.trained_at=5", "a filter does not learn and has no `trained_at`"),
        ("light_ranker.cadence_h=5", "a scorer has no `cadence_h`"),
        ("tweepcred.cadence_h=0", "wants hours, above 0, got 0"),
        ("tweepcred.delay_h=-1", "wants hours, 0 or more, got -1"),
        ("tweepcred.delay_h=.inf", "wants hours, 0 or more, got inf"),
        ("tweepcred.delay_h=yes", "wants hours, 0 or more, got True"),
    ],
)
def test_a_wrong_age_is_refused(trained: Funnel, setting: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        ensure_trained(load_funnel("twitter_2023", trained.world, settings=(*QUICK, setting)))

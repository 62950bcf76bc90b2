"""Outcomes: the books balance, nothing depends on the micro-batch, files give back what was kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from funnel.compose import load_funnel
from funnel.core.errors import ConfigError, DataError
from funnel.metrics import Judge, Outcome, Scene, check_comparable, collect, joined
from funnel.metrics.reference import best_funnel
from funnel.store import load_arrays, save_arrays
from tests.experiment.cheap import cheap, tiny, viewers


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.of(tiny(), viewers(), size=10)


@pytest.fixture(scope="module")
def outcome(judge: Judge) -> Outcome:
    return judge.observe(cheap())


def test_what_was_retrieved_is_shown_or_removed_by_one_stage(outcome: Outcome) -> None:
    known = outcome.per_viewer
    np.testing.assert_array_equal(known["retrieved"], known["removed"].sum(axis=1) + outcome.counts)
    for number, source in enumerate(outcome.sources):
        shown = outcome.total(outcome.page[f"from.{source}"])
        np.testing.assert_array_equal(
            known["found"][:, number], known["removed_from"][:, :, number].sum(axis=1) + shown
        )


def test_an_outcome_does_not_depend_on_the_micro_batch_or_on_looking(judge: Judge, outcome: Outcome) -> None:
    plain = collect(cheap(), viewers(), scene=judge.scene, micro_batch=7)
    for name, values in plain.page.items():
        np.testing.assert_array_equal(values, outcome.page[name], err_msg=name)
    np.testing.assert_array_equal(plain.per_viewer["removed_from"], outcome.per_viewer["removed_from"])


def test_parts_put_together_are_the_whole(judge: Judge, outcome: Outcome) -> None:
    parts = [collect(cheap(), some, scene=judge.scene) for some in (viewers()[:15], viewers()[15:])]
    whole = joined(parts)
    np.testing.assert_array_equal(whole.offsets, outcome.offsets)
    np.testing.assert_array_equal(whole.page["did.favorite"], outcome.page["did.favorite"])
    back = outcome.of_viewers(np.arange(15, 40))
    np.testing.assert_array_equal(back.page["tweet"], parts[1].page["tweet"])


def test_a_file_gives_back_what_was_kept(outcome: Outcome, tmp_path: Path) -> None:
    outcome.save(tmp_path / "one.safetensors")
    back = Outcome.load(tmp_path / "one.safetensors")
    assert back.about == dict(outcome.about)
    assert back.stages == outcome.stages
    assert back.sources == outcome.sources
    for name, values in outcome.page.items():
        np.testing.assert_array_equal(back.page[name], values)
    for name, values in outcome.per_viewer.items():
        np.testing.assert_array_equal(back.per_viewer[name], values)


def test_a_file_of_a_newer_version_or_of_something_else_is_refused(outcome: Outcome, tmp_path: Path) -> None:
    file = tmp_path / "one.safetensors"
    outcome.save(file)
    arrays, metadata = load_arrays(file)
    about = json.loads(metadata["outcome"]) | {"format": 99}
    save_arrays(file, arrays, {"outcome": json.dumps(about)})
    with pytest.raises(DataError, match="newer version"):
        Outcome.load(file)
    save_arrays(file, arrays)
    with pytest.raises(DataError, match="no outcome"):
        Outcome.load(file)


def test_outcomes_of_other_seeds_moments_or_viewers_are_not_comparable(judge: Judge, outcome: Outcome) -> None:
    with pytest.raises(ConfigError, match="has seed 0, 'cheap' has 5"):
        check_comparable(outcome, collect(cheap(), viewers(), scene=judge.scene, seed=5))
    with pytest.raises(ConfigError, match="at_h"):
        check_comparable(outcome, collect(cheap(), viewers(), scene=Scene(tiny(), 100.0)))
    with pytest.raises(ConfigError, match="other viewers"):
        check_comparable(outcome, collect(cheap(), viewers() + 1, scene=judge.scene))
    nobody = collect(cheap(), viewers(0), scene=judge.scene)
    with pytest.raises(ConfigError, match="at least one viewer"):
        check_comparable(nobody, nobody)


def test_the_best_pages_are_those_of_the_preset_oracle(judge: Judge) -> None:
    # The preset looks at every tweet of two days, the reference at a short list: the pages must be the same.
    whole = load_funnel("oracle", tiny(), settings=["top_k.size=100"]).run(viewers(8).tolist()).frame()
    short = collect(best_funnel(judge.scene, 100), viewers(8), scene=judge.scene)
    np.testing.assert_array_equal(short.page["tweet"], whole["tweet"].to_numpy())


def test_the_same_tweet_at_the_same_place_gets_the_same_reaction(judge: Judge, outcome: Outcome) -> None:
    other = judge.observe(cheap(keep=60), candidates=False)
    known = {
        key: row for row, key in enumerate(zip(outcome.request, outcome.place, outcome.page["tweet"], strict=True))
    }
    rows = [
        (known[key], row)
        for row, key in enumerate(zip(other.request, other.place, other.page["tweet"], strict=True))
        if key in known
    ]
    assert len(rows) > 20
    here, there = (np.array(side) for side in zip(*rows, strict=True))
    np.testing.assert_array_equal(outcome.page["did.dwell"][here], other.page["did.dwell"][there])

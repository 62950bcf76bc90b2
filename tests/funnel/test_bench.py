"""`funnel bench`: ratios that mean what they say, changes flagged only outside the noise, results that stay."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funnel.bench import history, quality, speed
from funnel.bench.baselines import Baselines, network_flops
from funnel.bench.ceilings import best
from funnel.bench.result import HIGHER, LOWER, Result, beside
from funnel.cli import main
from funnel.core.arrays import Array
from funnel.core.stage import Learned
from tests.experiment.cheap import cheap, stages, tiny

MACHINE = {"processor": "abacus"}
ASKED = {"suite": "speed", "worlds": ["tiny"], "quick": True}


def figure(value: float, *, better: str = LOWER, baseline: float | None = None, noise: float | None = 1.0) -> Result:
    return Result("speed", "tiny", "stage, alone", value, "ms", better, "NumPy", baseline, noise)


def test_a_ratio_above_one_is_better_than_the_baseline_whichever_way_is_better() -> None:
    assert figure(10.0, baseline=20.0).ratio == 2.0
    assert figure(10.0, better=HIGHER, baseline=20.0).ratio == 0.5
    assert figure(10.0).ratio is None
    assert figure(0.0, baseline=1.0).ratio is None
    assert figure(5.0, better=HIGHER, baseline=-1.0).ratio is None


@pytest.mark.parametrize(("before", "flagged"), [(12.0, False), (12.1, True), (7.9, True), (10.0, False)])
def test_a_change_is_flagged_only_outside_the_noise_of_both(before: float, flagged: bool) -> None:
    (now,) = beside([figure(10.0)], [figure(before).as_json()])
    assert now.flagged is flagged
    assert now.change == pytest.approx(10.0 / before - 1)
    assert now.before == before


def test_a_figure_that_was_not_there_before_has_no_change() -> None:
    (now,) = beside([figure(10.0)], [replace(figure(9.0), world="small").as_json()])
    assert now.change is None
    assert not now.flagged
    (now,) = beside([figure(10.0)], [{**figure(9.0).as_json(), "value": None}])
    assert now.change is None
    (now,) = beside([figure(10.0, noise=None)], [figure(90.0).as_json()])
    assert now.change is not None
    assert not now.flagged  # nobody knows how sure it is


def test_the_last_results_are_those_of_the_same_machine_and_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path))
    assert history.last(ASKED, MACHINE) is None
    history.keep(ASKED, MACHINE, {}, [figure(1.0)])
    newest = history.keep(ASKED, MACHINE, {}, [figure(2.0)])
    history.keep({**ASKED, "quick": False}, MACHINE, {}, [figure(3.0)])
    history.keep(ASKED, {"processor": "slide rule"}, {}, [figure(4.0)])
    (newest.parent / "99990101T000000.000000Z-speed.json").write_text('{"format": 1, "resu')
    (newest.parent / "99990102T000000.000000Z-speed.json").write_text('{"format": 2, "results": []}')
    found = history.last(ASKED, MACHINE)
    assert found is not None
    assert found["results"][0]["value"] == 2.0


class Layers(Learned):
    """Two matrices, of which one is a stack of three."""

    def state(self) -> dict[str, Array]:
        return {
            "a.weight": np.zeros((2, 5)), "b.weight": np.zeros((3, 4, 2)), "a.bias": np.zeros((1, 5)),
            "scale.weight": np.zeros(9),
        }  # fmt: skip

    def fit(self, *_: object, **__: object) -> None: ...

    def restore(self, *_: object, **__: object) -> None: ...


def test_a_network_takes_two_operations_for_each_entry_of_its_matrices() -> None:
    assert network_flops(Layers()) == 2 * (2 * 5 + 3 * 4 * 2)
    assert network_flops(stages()[0].part) == 0


def test_every_kind_of_stage_has_a_baseline_that_grows_with_the_rows() -> None:
    baselines = Baselines(100.0)
    said = set()
    for kind in ("source", "merge", "filter", "scorer", "boost", "selector", "mixer"):
        words, small = baselines.of(kind, None, 100)
        _, large = baselines.of(kind, None, 200_000)
        assert 0 < small < large, kind
        said.add(words)
    assert len(said) == 7


def test_the_quickest_round_counts_by_any_clock() -> None:
    ticks = iter([0.0, 5.0, 5.0, 7.0, 7.0, 10.0])
    assert best(lambda: None, rounds=3, clock=lambda: next(ticks)) == 2.0


def test_the_noise_is_the_distance_from_the_quickest_to_the_middle_round() -> None:
    least, noise = speed._least(np.array([[3.0], [1.0], [2.5]]))
    assert (least[0], noise[0]) == (1.0, 1.5)


def _on_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    world = tiny()  # loaded before `load` is replaced
    for module in (speed, quality):
        monkeypatch.setattr(module.World, "load", staticmethod(lambda *_, **__: world))
        monkeypatch.setattr(module, "load_funnel", lambda *_, **__: cheap())


def test_every_stage_is_timed_alone_and_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    _on_cheap(monkeypatch)
    found = speed.speed("tiny", peak={"gemm_gflops": 100.0}, requests=40, alone=4, rounds=2)
    names = [slot.name for slot in stages()]
    expected = [f"{name}, {how}" for how in (speed.ALONE, speed.BATCHED) for name in [*names[:2], "merge", *names[2:]]]
    assert [result.what for result in found[2:]] == expected
    assert all(result.value > 0 and result.noise is not None and result.noise >= 0 for result in found)
    assert all(result.ratio is not None and result.ratio > 0 for result in found[1:])
    alone, batched = found[:2]
    assert batched.ratio == pytest.approx(batched.value * alone.value / 1e3)


def test_sources_and_pages_are_held_against_simpler_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    _on_cheap(monkeypatch)
    found = {result.what: result for result in quality.quality("tiny", viewers=12, requests=5)}
    assert {"source lottery: finds", "source second: finds"} < set(found)
    lottery = found["source lottery: finds"]
    assert 0 <= lottery.value <= 1
    assert lottery.baseline == "the 60 most engaged tweets of 48 h"
    best_page, lot = found["page value, beside best"], found["page value, beside by lot"]
    assert best_page.baseline_value is not None
    assert lot.baseline_value is not None
    assert best_page.value == lot.value <= best_page.baseline_value
    assert lot.baseline_value < best_page.baseline_value


def test_the_command_keeps_results_and_compares_with_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    values = iter([10.0, 20.0, 20.5])

    def measured(*_: object, **__: object) -> list[Result]:
        whole = replace(figure(next(values)), what="whole timelines, in batches of 32")
        return [whole, figure(math.inf)]

    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path))
    monkeypatch.setattr("funnel.cli_report._measured", measured)
    monkeypatch.setattr("funnel.bench.ceilings.ceilings", lambda *_: {"gemm_gflops": 100.0})

    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as left:
            main(["bench", "--suite", "speed", *arguments])
        assert left.value.code == 0
        return str(capsys.readouterr().out)

    first = json.loads(call("--json", "--csv", str(tmp_path / "all.csv")))
    assert first["since"] is None
    assert first["results"][1]["value"] is None  # JSON has no infinity
    assert (tmp_path / "all.csv").read_text().startswith("suite,world,what,value")
    second = json.loads(call("--json"))
    assert second["since"] is not None
    assert second["results"][0]["change"] == 1.0
    assert second["results"][0]["flagged"]
    said = call()
    assert "+2.5%" in said
    assert "+2.5% *" not in said
    assert len(list((tmp_path / "bench").glob("*.json"))) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--suite", "beauty"], "wants one of speed, quality, all"),
        (["--worlds", ","], "wants names by commas"),
        (["--worlds", "atlantis", "--suite", "speed"], "atlantis"),
    ],
)
def test_bad_input_of_the_command_is_one_paragraph(arguments: list[str], said: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as left:
        main(["bench", *arguments])
    assert left.value.code == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err

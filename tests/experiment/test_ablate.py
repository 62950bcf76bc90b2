"""Ablations and comparisons: what is left out is gone, what is shared is the same, what is there is not done again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from funnel.compose import load_funnel
from funnel.core.errors import ConfigError, DataError, FunnelWarning
from funnel.experiment import ablate as ablation
from funnel.experiment.ablate import ablate, changed
from funnel.experiment.compare import compare, compare_worlds, moved
from funnel.experiment.lived import later_half, lived
from funnel.experiment.memory import remembering
from funnel.experiment.runs import compare_runs
from funnel.experiment.shapley import players, shapley_values
from funnel.experiment.variants import left_out, variants, with_stages
from funnel.metrics import Judge, Scene, collect, measure, redrawn
from funnel.metrics.page import value_realised
from funnel.pipeline import Funnel
from funnel.simulate import simulate_to
from tests.experiment.cheap import cheap, stages, tiny, viewers
from tests.laws.funnels import Nothing, funnel_of, slot
from tests.support import mini_world


def without_clock(report: ablation.AblationReport) -> dict[str, object]:
    """The report as JSON, without how long stages took."""
    said = report.as_json()
    for name in ("base", "chance", "best"):
        numbers = said[name]
        assert isinstance(numbers, dict)
        said[name] = {key: value for key, value in numbers.items() if not key.startswith("stage.ms")}
    return said


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(tiny())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ablation.AblationReport:
    return ablate(cheap(), viewers(), out=tmp_path_factory.mktemp("ablation"), permutations=2, shapley_viewers=10)


def test_every_stage_is_left_out_in_every_way_there_is(scene: Scene) -> None:
    found, notes = variants(cheap(), scene)
    assert [one.name for one in found] == [
        "lottery", "second", "own_tweets", "remainder", "coarse", "coarse: random", "coarse: oracle", "taste: random",
        "taste: light", "taste: oracle", "one", "out_of_network", "top_k",
    ]  # fmt: skip
    assert notes == []


def test_the_heads_of_a_ranker_and_its_value_are_left_out_together(trained: Funnel) -> None:
    scene = Scene(trained.world)
    found, notes = variants(trained, scene)
    assert [one.how for one in found if one.stage == "heavy_ranker"] == ["random", "light", "oracle"]
    assert any(note.startswith("value is left out together with heavy_ranker") for note in notes)
    (alone,) = (one for one in found if one.name == "heavy_ranker: random")
    assert not {"heavy_ranker"} & {slot.name for slot in alone.funnel.stages}
    assert alone.funnel.run([7])[0].rows  # what is left works


def test_a_stage_that_is_not_there_is_an_error_with_the_nearest_name(scene: Scene) -> None:
    with pytest.raises(ConfigError, match="out_of_network"):
        variants(cheap(), scene, ["out_of_netwrk"])


def test_without_a_source_none_of_its_own_candidates_is_left(scene: Scene) -> None:
    outcome = collect(left_out(cheap(), [("second", "removed")], scene), viewers(), scene=scene)
    assert outcome.sources == ("lottery",)
    whole = collect(cheap(), viewers(), scene=scene)
    alone = whole.page["from.second"] & ~whole.page["from.lottery"]
    gone = set(zip(whole.request[alone], whole.page["tweet"][alone], strict=True))
    assert gone
    assert not gone & set(zip(outcome.request, outcome.page["tweet"], strict=True))


def test_remembered_sources_and_rankers_give_the_same_bytes(trained: Funnel) -> None:
    scene = Scene(trained.world)
    slots = remembering(trained.stages)
    shared = with_stages(trained, slots, trained.name)
    view = trained.world.view(scene.at_h, assets=trained.assets)
    some = viewers(40)
    plain = collect(trained, some, scene=scene)
    # Another variant first, so that half of the rows are remembered and half are new.
    collect(left_out(shared, [("in_network", "removed")], scene), some, scene=scene, view=view, known_as="x")
    again = collect(shared, some, scene=scene, view=view, known_as="x")
    for name, values in plain.page.items():
        np.testing.assert_array_equal(values, again.page[name], err_msg=name)


def test_a_stage_that_changes_nothing_is_said_to_do_nothing(report: ablation.AblationReport) -> None:
    by_name = {one.variant: one for one in report.ablations}
    assert by_name["one"].does_nothing
    assert not by_name["out_of_network"].does_nothing
    (row,) = (row for row in report.rows() if row["without"] == "one")
    assert row["verdict"] == "does nothing"


def test_a_ranker_replaced_by_the_truth_gains_and_the_report_is_sorted(report: ablation.AblationReport) -> None:
    by_name = {one.variant: one.effect("page.value") for one in report.ablations}
    truth = by_name["taste: oracle"]
    assert truth is not None
    assert truth.verdict == "better"
    differences = [one.effect("page.value").difference for one in report.ablations]  # type: ignore[union-attr]
    assert differences == sorted(differences)
    assert len(report.sources()) == 2
    json.dumps(report.as_json())


def test_nothing_is_computed_again_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation, "PART_VIEWERS", 10)
    first = ablate(cheap(), viewers(20), out=tmp_path, permutations=0)
    part = tmp_path / "parts" / "second" / "part-00001.safetensors"
    part.write_bytes(part.read_bytes()[:-30])
    ran: list[str] = []
    really = ablation.collect

    def counted(funnel: Funnel, some: np.ndarray, **options: object) -> object:
        ran.append(f"{len(funnel.stages)} {some[0]}")
        return really(funnel, some, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ablation, "collect", counted)
    monkeypatch.setattr("funnel.metrics.reference.collect", counted)
    again = ablate(cheap(), viewers(20), out=tmp_path, permutations=0)
    assert ran == ["8 10"]  # one of nine stages is missing, in the second part: the file that was cut
    assert without_clock(again) == without_clock(first)


def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation, "PART_VIEWERS", 10)
    one = ablate(cheap(), viewers(20), stages=["second", "top_k"])
    two = ablate(cheap(), viewers(20), stages=["second", "top_k"], workers=2)
    assert without_clock(one) == without_clock(two)


def test_the_folder_of_another_ablation_is_refused(tmp_path: Path) -> None:
    ablate(cheap(), viewers(5), out=tmp_path, stages=["second"])
    with pytest.raises(ConfigError, match="seed 0, this one has 1"):
        ablate(cheap(), viewers(5), out=tmp_path, stages=["second"], seed=1)
    with pytest.raises(ConfigError, match="funnel_hash"):
        ablate(cheap(keep=30), viewers(5), out=tmp_path, stages=["second"])
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 9}))
    with pytest.raises(DataError, match="newer version"):
        ablate(cheap(), viewers(5), out=tmp_path, stages=["second"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="something else"):
        ablate(cheap(), viewers(5), out=tmp_path / "other", stages=["second"])


def test_a_world_without_truth_can_be_ablated() -> None:
    found = ablate(funnel_of(stages(), mini_world()), viewers(20), stages=["second", "one"])
    assert found.sorted_by == "later.hits"
    assert found.shares is None
    assert {one.variant for one in found.ablations if one.does_nothing} == {"one"}


def test_shapley_values_add_up_and_an_idle_stage_has_none(report: ablation.AblationReport) -> None:
    shares = report.shares
    assert shares is not None
    assert sum(shares.values.values()) == pytest.approx(shares.total)
    assert shares.values["one"] == pytest.approx(0, abs=1e-12)
    assert set(shares.values) == set(players(cheap()))


def test_shapley_values_of_two_sources_are_those_worked_out(scene: Scene) -> None:
    # Two players: φ(1) = (v(1) + v(12) − v(2)) / 2, from both orders, whichever is drawn first.
    both = [*(one for one in stages() if one.name in ("lottery", "second", "taste", "top_k"))]
    funnel = with_stages(cheap(), both, "two")
    found = shapley_values(funnel, viewers(10), scene, permutations=8, size=10)
    assert found.total == pytest.approx(sum(found.values.values()))

    def value(*absent: tuple[str, str]) -> float:
        outcome = collect(left_out(funnel, absent, scene), viewers(10), scene=scene, size=10)
        return float(measure(outcome, scene, ["page.value"]).viewers["page.value"].mean())

    only = with_stages(cheap(), [replace(one) for one in both if one.name != "second"], "one")
    assert found.interactions["second"] == pytest.approx(
        found.values["second"] - (value() - value(("second", "removed")))
    )
    assert collect(only, viewers(1), scene=scene).sources == ("lottery",)


def test_equal_funnels_do_not_differ_and_others_do() -> None:
    found = compare([cheap(), cheap(name="twin"), cheap(name="short", size=5)], viewers(), full_pool=10)
    twin, short = found.against
    assert twin.overlap == {"same_pages": 1.0, "jaccard": 1.0, "kendall": 1.0, "new": 0.0}
    assert {effect.verdict for effect in twin.effects} == {"none shown"}
    assert short.overlap["jaccard"] == pytest.approx(0.5, abs=0.02)  # the upper half of the same pages
    (tweets,) = (effect for effect in short.effects if effect.metric == "page.tweets")
    assert (tweets.verdict, tweets.difference) == ("differs", -5.0)
    (last,) = (row for row in short.stages if row["stage"] == "top_k")
    assert (last["out a"], last["out b"]) == (10.0, 5.0)
    json.dumps(found.as_json())


def test_what_moved_is_said_with_its_cause() -> None:
    a, b = cheap(), cheap(name="short", size=5)
    rows = moved(a.run([3])[0], b.run([3])[0])
    assert [row["why"] for row in rows[:5]] == ["unchanged"] * 5
    assert [row["why"] for row in rows[5:]] == ["removed by top_k in b"] * 5
    lost = moved(a.run([3])[0], left_out(a, [("lottery", "removed")], Scene(tiny())).run([3])[0])
    assert "no source of b found it" in {row["why"] for row in lost}


def test_funnels_on_other_worlds_or_of_one_name_are_not_compared() -> None:
    with pytest.raises(ConfigError, match="compare funnels on one world"):
        compare([cheap(), funnel_of(stages(), mini_world())], viewers(5))
    with pytest.raises(ConfigError, match="two funnels are called"):
        compare([cheap(), cheap()], viewers(5))
    with pytest.raises(ConfigError, match="wants two funnels"):
        compare([cheap()], viewers(5))


def test_whole_worlds_are_the_unit_where_they_are_asked_for() -> None:
    runs = [compare([cheap(), cheap(name="short", size=5)], viewers(10), seed=seed, full_pool=0) for seed in range(3)]
    rows = {str(row["metric"]): row for row in compare_worlds(runs)}
    assert rows["page.tweets"]["difference"] == -5.0
    assert rows["page.value"]["worlds"] == 3


def test_a_world_lived_through_gives_means_of_its_later_days(tmp_path: Path) -> None:
    found = lived(load_funnel("chronological", tiny()), tmp_path, days=1)
    days = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert found["loop.satisfaction"] == pytest.approx(days[0]["satisfaction"])
    assert found["loop.rate.favorite"] == pytest.approx(days[0]["rates"]["favorite"])
    made = [{**days[0], "satisfaction": value} for value in (0.9, 0.1, 0.2, 0.4)]
    assert later_half(made)["loop.satisfaction"] == pytest.approx(0.3)  # of 0.2 and 0.4
    assert np.isnan(later_half([{**days[0], "satisfaction": None}])["loop.satisfaction"])  # nothing was shown


def test_runs_are_compared_like_the_funnels_that_made_them(tmp_path: Path) -> None:
    simulate_to(cheap(), viewers(), tmp_path / "a")
    simulate_to(cheap(name="short", size=5), viewers(), tmp_path / "b")
    found = {effect.metric: effect for effect in compare_runs(tmp_path / "a", tmp_path / "b").effects}
    direct = compare([cheap(), cheap(name="short", size=5)], viewers(), full_pool=0).against[0]
    for effect in direct.effects:
        if effect.metric in ("page.value", "page.satisfaction", "creators.gini"):
            assert found[effect.metric].difference == pytest.approx(effect.difference, rel=1e-6)


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    a = tmp_path / "a"
    simulate_to(cheap(), viewers(5), a)
    simulate_to(cheap(), viewers(5), tmp_path / "seed", seed=1)
    with pytest.raises(ConfigError, match="has seed 0, 'cheap' has 1"):
        compare_runs(a, tmp_path / "seed")
    other = funnel_of(stages(), mini_world())
    simulate_to(other, viewers(5), tmp_path / "world")
    with pytest.raises(ConfigError, match="'random' has 'mini0'"):
        compare_runs(a, tmp_path / "world")
    with pytest.warns(FunnelWarning, match="found nothing"):
        simulate_to(funnel_of([slot(Nothing(), "nothing"), *stages()[-4:]]), viewers(5), tmp_path / "empty")
    with pytest.raises(ConfigError, match="empty run"):
        compare_runs(a, tmp_path / "empty")
    manifest = json.loads((a / "manifest.json").read_text())
    (a / "manifest.json").write_text(json.dumps({**manifest, "version": "99.0.0"}))
    with pytest.raises(DataError, match=r"newer version, 99\.0\.0"):
        compare_runs(a, a)
    (a / "manifest.json").write_text(json.dumps({**manifest, "status": "running"}))
    with pytest.raises(ConfigError, match="not finished"):
        compare_runs(a, a)
    (a / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match="no run"):
        compare_runs(a, a)


def test_common_random_numbers_make_differences_less_noisy() -> None:
    # Pages of ten tweets and the same without the last: with one seed only the noise of one tweet is left, not of 19.
    scene = Scene(tiny(), weights={"favorite": 1.0, "dwell": 0.5})  # frequent ones, so that 30 draws suffice
    pages = [collect(funnel, viewers(), scene=scene) for funnel in (cheap(), cheap(size=9))]
    noise = {}
    for name, shift in {"common": 0, "own": 1000}.items():
        differences = []
        for seed in range(30):
            drawn = (redrawn(pages[0], scene, seed), redrawn(pages[1], scene, seed + shift))
            a, b = (value_realised(outcome, scene) for outcome in drawn)
            differences.append((b - a).mean())
        noise[name] = float(np.var(differences))
    assert noise["common"] < noise["own"] / 5


def test_pages_that_differ_in_order_alone_are_changed(scene: Scene) -> None:
    judge = Judge.of(tiny(), viewers(10), size=10)
    whole = judge.observe(cheap())
    assert changed(whole, whole) == (0.0, 0.0)
    pages = zip(whole.offsets[:-1], whole.offsets[1:], strict=True)
    order = np.concatenate([np.arange(begin, end)[::-1] for begin, end in pages])
    turned = replace(whole, page={name: values[order] for name, values in whole.page.items()})
    assert changed(whole, turned)[0] == 1.0


def test_a_preset_is_ablated_where_it_has_no_light_ranker() -> None:
    funnel = load_funnel("popular", tiny())
    found = ablate(funnel, viewers(10), permutations=0)
    assert {one.how for one in found.ablations if one.stage == "popularity_value"} == {"random", "oracle"}

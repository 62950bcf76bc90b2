"""Studies: their files and runs, that they go on where they stopped, and that pages say what the numbers say."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funnel import compose
from funnel.cli import main
from funnel.core.errors import ConfigError, DataError
from funnel.core.progress import SILENT
from funnel.core.tables import TABLES
from funnel.core.world import WorldData
from funnel.experiment import study_pages, study_work
from funnel.experiment.study import Study, load_study, study_from, study_names
from funnel.experiment.study_page import _left, index, page, sentences, shown_study
from funnel.experiment.study_pages import Kitchen, Pages, between
from funnel.experiment.study_plot import plot
from funnel.experiment.study_run import run_study
from funnel.metrics import Outcome, Scene, collect
from funnel.pipeline import Funnel
from funnel.store import save_arrays
from funnel.world import World
from tests.experiment.cheap import cheap, tiny, viewers

DOCS = Path(__file__).parents[2] / "docs" / "studies"
CONTENT: dict[str, Any] = {
    "about": "Shorter pages",
    "question": "What is lost with shorter pages?",
    "world": "tiny",
    "viewers": 30,
    "funnel": "cheap",
    "metrics": ["page.tweets", "page.value", "creators.gini"],
    "factors": {"size": {"values": [10, 5], "settings": ["top_k.size={value}"]}},
    "quick": {"viewers": 8},
}


@pytest.fixture
def cheaply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap funnels and the tiny world, whatever a study names."""
    really, town = compose.load_funnel, tiny()

    def load(name: str, world: World, *, settings: tuple[str, ...] = ()) -> Funnel:
        if name != "cheap":
            return really(name, world, settings=settings)
        size = next((int(one.partition("=")[2]) for one in settings if one.startswith("top_k.size")), 10)
        return cheap(world=world, size=size)

    monkeypatch.setattr(study_work, "load_funnel", load)
    monkeypatch.setattr(World, "load", staticmethod(lambda *_, **__: town))


def _study(**changes: object) -> Study:
    return study_from("shorter", {**CONTENT, **changes})


def _tables(world: World) -> dict[str, dict[str, Any]]:
    return {name: dict(world.tables.table(name)) for name in TABLES if name != "texts"} | {
        "texts": {"text": np.array(world.texts(np.arange(world.tables.count("tweets"))), object)}
    }


def _found(study: Study, folder: Path) -> dict[str, Any]:
    return json.loads(json.dumps(run_study(study, folder=folder).as_json()))


@pytest.mark.parametrize("name", study_names())
def test_every_shipped_study_makes_its_funnels(name: str) -> None:
    study = load_study(name)
    work = Pages(study, Path(), quick=False, seed=0, progress=SILENT)
    for cell in study.cells:
        assert work.funnel(cell, tiny()).stages
    assert set(study.quickly().metrics) == set(study.metrics)


def test_the_questions_that_were_asked_are_shipped() -> None:
    complaints = {"timeliness", "long_tail", "popularity_bias", "tweet_age", "user_hierarchy", "implicit_signals"}
    others = {"old_light_ranker", "verified_boost", "reply_weight", "weights", "author_diversity", "in_out_balance"}
    others |= {"eras", "engagement_vs_satisfaction", "light_cut", "enforcement", "label_shift", "closed_loop"}
    assert complaints | others <= set(study_names())


@pytest.mark.usefixtures("cheaply")
def test_a_study_finds_a_difference_that_is_there(tmp_path: Path) -> None:
    found = _found(_study(), tmp_path)
    (tweets,) = (row for row in found["rows"] if row["metric"] == "page.tweets")
    assert (tweets["level"], tweets["a"], tweets["b"], tweets["difference"]) == ("5", 10.0, 5.0, -5.0)
    assert (tweets["low"], tweets["high"]) == (-5.0, -5.0)
    text = page(found, _study())
    assert "- **page.tweets**: from 10 at 10, -50 % (-50 % … -50 %) at 5." in text
    assert "World `tiny` (300 people" in text
    assert "| size | 5 | `top_k.size=5` |" in text


@pytest.mark.usefixtures("cheaply")
def test_levels_that_are_the_same_change_nothing(tmp_path: Path) -> None:
    study = _study(factors={"nothing": {"levels": {"one": {}, "other": {"settings": ["top_k.size=10"]}}}})
    text = page(_found(study, tmp_path), study)
    assert "- **page.value**: nothing changes from" in text


@pytest.mark.usefixtures("cheaply")
def test_groups_of_viewers_are_told_apart(tmp_path: Path) -> None:
    study = _study(groups=["active", "dormant"], viewers=12)
    found = _found(study, tmp_path)
    assert found["viewers"] == {"active": 12, "dormant": 12}
    assert {row["group"] for row in found["rows"] if row["kind"] == "level"} == {"active", "dormant"}
    assert "dormant against active, at 10" in page(found, study)


@pytest.mark.usefixtures("cheaply")
def test_an_interrupted_study_goes_on_and_nothing_is_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def interrupted(funnel: Funnel, *arguments: Any, **options: Any) -> Outcome:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(funnel.name)
        return collect(funnel, *arguments, **options)

    whole = _found(_study(), tmp_path / "whole")
    monkeypatch.setattr(study_pages, "collect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_study(_study(), folder=tmp_path / "cut")
    monkeypatch.setattr(study_pages, "collect", lambda *a, **o: done.append("again") or collect(*a, **o))
    assert _found(_study(), tmp_path / "cut") == whole
    assert done == ["cheap", "again"]
    assert _found(_study(), tmp_path / "cut") == whole
    assert done == ["cheap", "again"]


@pytest.mark.usefixtures("cheaply")
def test_a_damaged_cell_is_made_again_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    whole = _found(_study(), tmp_path)
    file = sorted((tmp_path / "cells").iterdir())[0]
    file.write_bytes(file.read_bytes()[:100])
    assert _found(_study(), tmp_path) == whole
    about = json.dumps({"about": {}, "stages": [], "sources": [], "format": 99})
    save_arrays(file, {"viewers": np.zeros(1, np.int32)}, {"outcome": about})
    with pytest.raises(DataError, match="newer version"):
        run_study(_study(), folder=tmp_path)


@pytest.mark.usefixtures("cheaply")
def test_a_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    run_study(_study(), folder=tmp_path)
    with pytest.raises(ConfigError, match="choose another folder"):
        run_study(study_from("other", CONTENT), folder=tmp_path)


def test_a_level_with_other_people_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cheaply: None) -> None:
    other = World.of(WorldData(replace(tiny().meta, end_h=tiny().meta.end_h + 1), _tables(tiny())))
    monkeypatch.setattr(World, "load", staticmethod(lambda name, **_: tiny() if name == "tiny" else other))
    study = _study(factors={"size": {"levels": {"a": {}, "b": {"world": {"users": 9}}}}})
    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="other people"):
        run_study(study, folder=tmp_path / "cells")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": ["page.valeu"]}, "did you mean 'page.value'"),
        ({"metrics": ["loop.satisfaction"]}, "unknown"),
        ({"metrics": ["page.value"], "days": 3}, "unknown of a world lived through"),
        ({"metrics": ["consistency.recall"]}, "funnel compare"),
        ({"groups": ["activ"]}, "did you mean 'active'"),
        ({"factrs": {}}, "did you mean 'factors'"),
        ({"factors": {}}, "wants `factors`"),
        ({"viewers": 0}, "at least 1"),
        ({"quick": {"only": {"szie": [10]}}}, "factor 'szie': unknown in study 'shorter' — did you mean 'size'"),
        ({"quick": {"only": {"size": [7]}}}, "level '7': unknown of factor 'size'"),
        ({"factors": {"size": {"values": [10, 5], "base": 7}}}, "no level '7'"),
        ({"factors": {"size": {"values": [10]}}}, "two levels"),
        ({"factors": {"size": {"values": ["a"]}}}, "list of numbers"),
        ({"factors": {"size": {"levels": {"a": {"setings": []}, "b": {}}}}}, "did you mean 'settings'"),
        ({"factors": {"size": {"levels": {"a": {}, "b": {}}, "values": [1]}}}, "either `values`"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match="(?s).*" + said.replace("(", r"\(")):
        _study(**changes)


@pytest.mark.usefixtures("cheaply")
@pytest.mark.parametrize(
    ("level", "said"),
    [
        ({"funnel": "twiter_2023"}, "did you mean 'twitter_2023"),
        ({"funnel": "popular", "settings": ["top_k.sise=3"]}, "did you mean 'size'"),
        ({"funnel": "popular", "without": ["top_q"]}, "did you mean 'top_k'"),
        ({"blind_to": ["*.dwel.*"]}, "matches no feature"),
    ],
)
def test_what_is_wrong_in_a_level_is_named(level: dict[str, object], said: str, tmp_path: Path) -> None:
    study = _study(factors={"size": {"levels": {"a": {}, "b": level}}})
    with pytest.raises(ConfigError, match=said):
        run_study(study, folder=tmp_path)


def test_stages_that_cells_share_give_the_same_pages() -> None:
    kitchen, scene = Kitchen(), Scene(tiny())
    for size in (10, 5):
        alone = collect(cheap(size=size), viewers(), scene=scene)
        shared, view = kitchen.shared(cheap(size=size), scene.at_h)
        together = collect(shared, viewers(), scene=scene, view=view, known_as="cheap")
        assert np.array_equal(alone.page["tweet"], together.page["tweet"])
        assert np.array_equal(alone.page["score"], together.page["score"])
    sources = {slot.name: slot.part for slot in shared.stages[:2]}
    again, _ = kitchen.shared(cheap(size=3), scene.at_h)
    assert {slot.name: slot.part for slot in again.stages[:2]} == sources


def test_requests_see_what_jobs_had_made_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    late = {"job.made": np.arange(3)}
    monkeypatch.setattr(Funnel, "assets_at", lambda *_: late)
    _, view = Kitchen().shared(cheap(), tiny().meta.end_h)
    assert np.array_equal(view.asset("job.made"), late["job.made"])


def test_groups_of_other_people_are_resampled_separately() -> None:
    draw = np.random.Generator(np.random.Philox(key=5))
    a, b = draw.normal(1.0, 1.0, 400), draw.normal(2.0, 1.0, 900)
    effect = between("page.value", a, b, seed=0)
    # sqrt(1/400 + 1/900) = 0.06: the interval is 4 × 0.06 wide, give or take the draw
    assert effect.low < 1.0 < effect.high
    assert 0.2 < effect.high - effect.low < 0.28
    assert effect.difference == pytest.approx(b.mean() - a.mean())


def _row(level: str, difference: float, low: float, high: float, verdict: str) -> dict[str, Any]:
    head = {"kind": "level", "group": "all", "context": [], "level": level, "metric": "page.value"}
    numbers = {"a": 2.0, "b": 2.0 + difference, "difference": difference, "low": low, "high": high, "p_holm": 0.01}
    return {**head, **numbers, "viewers": 9, "verdict": verdict}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("5", -0.1, -0.3, 0.2, "none shown")], "no effect shown: every interval contains 0"),
        ([("5", -0.1, -0.3, -0.05, "none shown")], "no effect that survives the correction"),
        ([("5", -0.5, -0.6, -0.4, "worse")], "from 2 at 10, -25 % (-30 % … -20 %) at 5, worse"),
        (
            [("5", -0.5, -0.6, -0.4, "worse"), ("2", -1.0, -1.2, -0.8, "worse")],
            "rises with every step of size; from 2 at 10, -50 % (-60 % … -40 %) at 2, worse",
        ),
        (
            [("5", -0.5, -0.6, -0.4, "worse"), ("2", 1.0, 0.8, 1.2, "better")],
            "+50 % (+40 % … +60 %) at 2, better; -25 % (-30 % … -20 %) at 5, worse; 2 of 2 levels shown to differ",
        ),
    ],
)
def test_sentences_follow_from_the_numbers(rows: list[tuple[Any, ...]], said: str) -> None:
    study = _study(metrics=["page.value"], factors={"size": {"values": [10, 5, 2], "settings": ["top_k.size={value}"]}})
    found = {"rows": [_row(*row) for row in rows], "viewers": {"all": 9}, "notes": []}
    found["levels"] = [{"group": "all", "context": [], "level": "10", "metrics": {"page.value": 2.0}}]
    (line,) = sentences(found, study)
    assert said in line


def test_worlds_lived_through_are_compared_as_wholes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = {seed: World.load("tiny", seed=seed) for seed in (0, 1)}
    monkeypatch.setattr(World, "load", staticmethod(lambda *_, seed, **__: worlds[seed]))
    content = {
        **CONTENT, "days": 2, "viewers_per_day": 12, "seeds": 2, "metrics": ["loop.author_gini"], "quick": {},
        "factors": {"feed": {"levels": {"newest": {"funnel": "chronological"}, "most": {"funnel": "popular"}}}},
    }  # fmt: skip
    study = study_from("lived", content)
    found = _found(study, tmp_path)
    kinds = [(row["kind"], row["level"]) for row in found["rows"]]
    assert kinds == [("days", "newest"), ("days", "most"), ("level", "most")]
    assert [len(row["metrics"]["loop.author_gini"]) for row in found["series"]] == [2, 2]
    assert all(0 < row["a"] < 1 for row in found["rows"])
    text = page(found, study)
    assert "in 2 worlds of other seeds" in text
    assert "most, over the days" in text
    assert _found(study, tmp_path) == found


def test_what_is_left_after_a_switch_is_a_share_of_the_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = {seed: World.load("tiny", seed=seed) for seed in (0, 1)}
    monkeypatch.setattr(World, "load", staticmethod(lambda *_, seed, **__: worlds[seed]))
    levels = {
        "off": {"funnel": "chronological"},
        "on": {"funnel": "random"},
        "on, then off": {"funnel": "random", "then": "chronological"},
    }
    content = {
        **CONTENT, "days": 2, "switch_after": 1, "viewers_per_day": 12, "seeds": 2, "metrics": ["loop.author_gini"],
        "quick": {}, "factors": {"feed": {"levels": levels}},
    }  # fmt: skip
    study = study_from("lived", content)
    found = _found(study, tmp_path)
    rows = {(row["kind"], row["level"]): row for row in found["rows"]}
    switched, without = rows["switched", "on, then off"], rows["unswitched", "on, then off"]
    assert switched["a"] == without["a"]  # the feed that never was on
    assert without["b"] == rows["days", "on"]["b"]
    assert "on, then off, after the switch" in page(found, study)
    half = {"verdict": "differs", "difference": 0.1, "low": 0.05, "high": 0.15, "metric": "loop.author_gini", "a": 0.5}
    whole = {**half, "difference": 0.2, "low": 0.15, "high": 0.25}
    assert "+50 % (+25 % … +75 %) is left" in _left(half, whole)
    with pytest.raises(ConfigError, match="switch_after"):
        study_from("lived", {**content, "switch_after": 2})
    with pytest.raises(ConfigError, match="switch_after"):
        study_from("lived", {name: content[name] for name in content if name != "switch_after"})


@pytest.mark.usefixtures("cheaply")
def test_plots_hold_every_level_and_are_well_formed(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    names = {"<10 & more>": {}, "five": {"settings": ["top_k.size=5"]}}
    for study in (_study(), _study(factors={"size": {"levels": names}})):
        drawn = plot(_found(study, tmp_path / study.factors[0].levels[0].name[:2]), study)
        root = ElementTree.fromstring(drawn)  # noqa: S314 - drawn here
        texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
        assert {level.name for level in study.factors[0].levels} <= texts
        assert "page.value" in texts


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, cheaply: None, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process."""
    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as left:
            main(("study", *arguments))
        return int(str(left.value.code)), out.getvalue(), err.getvalue()

    return call


def test_the_command_writes_a_page_a_plot_the_numbers_and_the_index(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    file = tmp_path / "shorter.yaml"
    file.write_text(json.dumps(CONTENT))  # JSON is YAML
    code, out, _ = run(str(file), "--quick", "--only", "size=5", "--out", str(tmp_path / "pages"))
    assert code == 0
    assert "page.tweets: from 10 at 10, -50 %" in out
    written = {path.name for path in (tmp_path / "pages").iterdir()}
    assert written == {"shorter.json", "shorter.md", "shorter.svg", "index.md"}
    found = json.loads((tmp_path / "pages" / "shorter.json").read_text())
    assert found["viewers"] == {"all": 8}
    assert "The quick version" in (tmp_path / "pages" / "shorter.md").read_text()
    assert "[Shorter](shorter.md)" in (tmp_path / "pages" / "index.md").read_text()


def test_studies_are_listed(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = run("--list", "--json")
    assert code == 0
    assert [row["study"] for row in json.loads(out)] == study_names()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "wants the name of a study, or --list"),
        (("verified_bost",), "did you mean 'verified_boost'"),
        (("verified_boost", "--viewers", "0"), "--viewers"),
        (("verified_boost", "--seeds", "2"), "looks at one moment"),
        (("verified_boost", "--only", "bost=1"), "did you mean 'boost'"),
        (("verified_boost", "--only", "boost"), "wants factor=level,level"),
        (("verified_boost", "long_tail", "--cells", "x"), "holds one study"),
    ],
)
def test_bad_input_ends_in_one_paragraph(
    run: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", sorted(path.stem for path in DOCS.glob("*.json")))
def test_the_shipped_pages_are_what_their_numbers_say(name: str) -> None:
    found = json.loads((DOCS / f"{name}.json").read_text("utf-8"))
    study = shown_study(name, found)
    assert (DOCS / f"{name}.md").read_text("utf-8") == page(found, study)
    assert (DOCS / f"{name}.svg").read_text("utf-8") == plot(found, study)


def test_the_index_of_studies_is_current() -> None:
    every = {path.stem: json.loads(path.read_text("utf-8")) for path in DOCS.glob("*.json")}
    assert (DOCS / "index.md").read_text("utf-8") == index(every)

"""Reports of runs: complete, true to the run, self-contained, and safe to open whatever the tweets say."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest
from PIL import Image

from funnel.core.errors import ConfigError, DataError
from funnel.report_html import calibration, forest, lorenz, sankey, waterfall
from funnel.report_html.figure import Figure, Missing
from funnel.report_html.page import figures, html_page, page_facts, stage_rows, write_figures
from funnel.report_html.run import RunData, open_run
from funnel.report_html.viewers import drill_down
from funnel.simulate import simulate_to
from tests.experiment.cheap import cheap, viewers

EVIL = '</script><img src=x onerror="alert(1)"><b>&amp;'

LEDGER: dict[str, Any] = {
    "value": "favorite",
    "places": 10,
    "segments": {
        name: {
            "viewers": count, "corpus": 10.0, "eligible": 9.0, "served": 5.0, "served_share": 5 / 9,
            "ledger": [
                {"stage": "too_old", "kind": "filter", "charge": "rule", "before": 10.0, "after": 9.0, "loss": 1.0,
                 "low": 0.5, "high": 1.5, "share": 1 / 9},
                {"stage": "retrieval", "kind": "source", "charge": "cut", "before": 9.0, "after": 4.0, "loss": 5.0,
                 "low": 4.0, "high": 6.0, "share": 5 / 9},
                {"stage": "idle", "kind": "filter", "charge": "cut", "before": 4.0, "after": 4.0, "loss": 0.0,
                 "low": 0.0, "high": 0.0, "share": 0.0},
                {"stage": "boost", "kind": "boost", "charge": "order", "before": 4.0, "after": 5.0, "loss": -1.0,
                 "low": -2.0, "high": 0.5, "share": -1 / 9},
            ],
        }
        for name, count in (("all", 40), ("new", 12))
    },
}  # fmt: skip


def ablated(name: str, difference: float, low: float, high: float, *, idle: bool = False) -> dict[str, Any]:
    effect = {"metric": "page.value", "difference": difference, "low": low, "high": high}
    return {"without": name, "stage": name, "kind": "filter", "does_nothing": idle, "effects": [effect]}


ABLATION: dict[str, Any] = {
    "viewers": 40,
    "sorted_by": "page.value",
    "ablations": [
        ablated("ranker: random", -2.0, -3.0, -1.0),
        ablated("filter", 0.5, -0.5, 1.5),
        ablated("one", 0.0, 0.0, 0.0, idle=True),
    ],
}


class Parsed(HTMLParser):
    """Tags, what they load, and the content of elements by id."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.data = ""
        self.text: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attrs)
        self.loads += [str(value) for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        self._inside = "data" if named.get("id") == "data" else tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data += data
        elif self._inside not in ("script", "style"):
            self.text.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of forty viewers of the tiny world."""
    out = tmp_path_factory.mktemp("runs") / "first"
    simulate_to(cheap(), viewers(), out)
    return out


@pytest.fixture(scope="module")
def run(folder: Path) -> RunData:
    """The same, opened, with what experiments leave and a ranker that is right."""
    opened = open_run(folder)
    pages = opened.pages.with_columns(pl.col("expected.favorite").alias("p.favorite"))
    return replace(opened, pages=pages, attribution=LEDGER, ablation=ABLATION)


def test_the_page_asks_nothing_of_any_network(run: RunData) -> None:
    page = html_page(run)
    parsed = Parsed(page)
    assert parsed.loads == []
    assert not {"link", "iframe", "img", "object", "base", "form"} & set(parsed.tags)
    assert "@import" not in page.partition("<script>")[0]
    assert "url(" not in page.partition("<script>")[0]


def test_every_figure_is_on_the_page_and_valid(run: RunData) -> None:
    page = html_page(run)
    data = json.loads(Parsed(page).data)
    assert list(data["figures"]) == ["funnel", "waterfall", "ablation", "calibration", "exposure"]
    for name, figure in data["figures"].items():
        go.Figure(figure)  # plotly refuses a property that it does not know
        assert f'data-figure="{name}"' in page
    assert Parsed(page).tags.count("svg") == 5  # readable without scripts


def test_texts_of_others_never_become_markup(run: RunData) -> None:
    class Town:
        """A world whose people write markup."""

        name = "town"
        meta = run.world.meta if run.world else None

        def texts(self, ids: np.ndarray) -> list[str]:
            return [EVIL] * len(ids)

        def handles(self, ids: np.ndarray) -> list[str]:
            return [EVIL] * len(ids)

        def __getattr__(self, name: str) -> object:
            return getattr(run.world, name)

    modules = pl.DataFrame(
        {"viewer": [0], "place": [1], "kind": [EVIL], "text": [EVIL], "users": [[1]], "tweets": [[1]]}
    )
    stages = run.stages.with_columns(stage=pl.col("stage") + EVIL)
    manifest = {**run.manifest, "funnel": EVIL, "world": EVIL}
    bad = replace(run, world=Town(), modules=modules, stages=stages, manifest=manifest, notes=(EVIL,))  # type: ignore[arg-type]
    parsed = Parsed(html_page(bad))
    plain = Parsed(html_page(run))
    assert "img" not in parsed.tags
    assert parsed.tags.count("script") == plain.tags.count("script")
    assert any(EVIL in text for text in parsed.text)  # shown as it is
    assert json.loads(parsed.data)["viewers"][0]["rows"][0]["text"] == EVIL


def test_candidates_are_neither_lost_nor_made_in_the_sankey(run: RunData) -> None:
    trace = sankey.figure(run).plotly["data"][0]
    link, labels = trace["link"], trace["node"]["label"]
    into, out = np.zeros(len(labels)), np.zeros(len(labels))
    np.add.at(out, link["source"], link["value"])
    np.add.at(into, link["target"], link["value"])
    between = (into > 0) & (out > 0)
    assert between.any()
    np.testing.assert_array_equal(into[between], out[between])
    assert into[labels.index("on pages")] == run.pages.height
    assert out[[labels.index("lottery"), labels.index("second")]].sum() == 2 * 60 * 40


def test_the_stage_table_says_what_survives(run: RunData) -> None:
    rows = {row["stage"]: row for row in stage_rows(run)}
    merged = rows["merge"]["out"]
    assert rows["lottery"]["survive"] is None
    for row in rows.values():
        if row["in"] is not None:
            assert row["in"] - row["out"] == row["removed"]
            assert row["survive"] == row["out"] / row["in"]
    assert rows["top_k"]["of all candidates"] == run.pages.height / merged
    assert {"what": "timelines", "value": 40} in page_facts(run)


def test_what_a_run_has_no_data_for_says_how_to_get_them(folder: Path) -> None:
    missing = [one for one in figures(open_run(folder)) if isinstance(one, Missing)]
    assert [one.title for one in missing] == [waterfall.TITLE, forest.TITLE, calibration.TITLE]
    page = " ".join(Parsed(html_page(open_run(folder))).text)
    assert "funnel attribute --world tiny" in page
    assert "funnel ablate --world tiny --all" in page


def test_experiments_are_found_beside_the_run_or_where_one_says(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "said.json"
    file.write_text(json.dumps(LEDGER))
    assert open_run(folder, attribution=file).attribution == LEDGER
    with pytest.raises(DataError, match="it has no 'ablations'"):
        open_run(folder, ablation=file)
    beside = folder / "ablation.json"
    beside.write_text(json.dumps(ABLATION))
    try:
        assert open_run(folder).ablation == ABLATION
    finally:
        beside.unlink()


def test_the_waterfall_ends_where_its_losses_lead(run: RunData) -> None:
    figure = waterfall.figure(run)
    assert isinstance(figure, Figure)
    everybody, new = figure.plotly["data"]
    assert everybody["visible"]
    assert not new["visible"]
    assert everybody["y"][1:-1] == ["may not be shown: too_old", "retrieval", "order: boost"]  # idle changes nothing
    assert everybody["x"][0] + sum(everybody["x"][1:-1]) == everybody["x"][-1] == 5.0


def test_the_forest_plot_marks_what_is_sure_and_what_does_nothing(run: RunData) -> None:
    figure = forest.figure(run)
    assert isinstance(figure, Figure)
    (trace,) = figure.plotly["data"]
    assert trace["y"] == ["ranker by random", "without filter", "without one (does nothing)"]
    assert trace["error_x"]["array"] == [1.0, 1.0, 0.0]
    sure = [colour != "#8b949e" for colour in trace["marker"]["color"]]
    assert sure == [True, False, False]


def test_a_ranker_that_is_right_lies_on_the_diagonal(run: RunData) -> None:
    figure = calibration.figure(run)
    assert isinstance(figure, Figure)
    _, curve = figure.plotly["data"]
    assert len(curve["x"]) == calibration.BINS
    np.testing.assert_allclose(curve["y"], np.maximum(curve["x"], calibration.LEAST))
    twice = run.pages.with_columns(pl.col("p.favorite") * 2)
    wrong = calibration.figure(replace(run, pages=twice))
    assert isinstance(wrong, Figure)
    assert np.all(np.array(wrong.plotly["data"][1]["y"])[-3:] < np.array(wrong.plotly["data"][1]["x"])[-3:])


def test_exposure_is_equal_or_all_of_one_author() -> None:
    assert lorenz.gini(np.full(10, 7)) == pytest.approx(0.0)
    alone = np.r_[np.zeros(99, np.int64), 50]
    assert lorenz.gini(alone) == pytest.approx(0.99)  # 1 - 1/n
    assert lorenz.top_share(alone) == 1.0
    # Of 1, 3: the mean difference over all pairs is (0 + 2 + 2 + 0) / 4 = 1; over twice the mean of 2: 1/4.
    assert lorenz.gini(np.array([1, 3])) == pytest.approx(0.25)


def test_the_curve_of_exposure_counts_every_impression_and_every_writer(run: RunData) -> None:
    counts = lorenz.impressions(run)
    assert counts.sum() == run.pages.height
    assert (counts == 0).any()  # somebody wrote whom nobody saw
    curve = lorenz.figure(run).plotly["data"][1]["y"]
    assert curve[0] == 0.0
    assert curve[-1] == 1.0
    assert np.all(np.diff(curve) >= 0)
    stranger = lorenz.impressions(replace(run, world=None))
    assert (stranger > 0).all()


def test_one_viewer_is_shown_with_the_page_of_the_run(run: RunData) -> None:
    chosen = drill_down(run, 3)
    assert [one["viewer"] for one in chosen] == [0, 20, 39]  # spread evenly (round(19.5) is 20)
    rows = run.pages.filter(pl.col("viewer") == 20)
    assert [row["tweet"] for row in chosen[1]["rows"]] == rows["tweet"].to_list()
    for row, score in zip(chosen[1]["rows"], rows["score"], strict=True):
        product = row["scores"]["value"] * np.prod(list(row["boosts"].values()))
        assert row["scores"]["score"] == pytest.approx(score, rel=1e-4)
        assert product == pytest.approx(score, rel=1e-4)
    assert len(drill_down(run, 1_000)) == 40
    assert drill_down(run, 0) == []


def test_figures_are_files_for_light_dark_and_paper(run: RunData, tmp_path: Path) -> None:
    written = write_figures(run, tmp_path)
    assert len(written) == 10
    for file in written:
        if file.suffix == ".svg":
            root = ElementTree.fromstring(file.read_text(encoding="utf-8"))  # noqa: S314 - our own file
            assert root.tag.endswith("svg")
            assert "prefers-color-scheme:dark" in file.read_text(encoding="utf-8")
        else:
            image = Image.open(BytesIO(file.read_bytes()))
            assert len(image.convert("RGB").getcolors(1 << 24)) > 10  # something is drawn
            assert image.getpixel((0, 0)) == (255, 255, 255)


def _newer(folder: Path) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": "99.0.0"}))


def _unfinished(folder: Path) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "status": "running"}))


def _empty(folder: Path) -> None:
    file = folder / "pages" / "part-00000.parquet"
    pl.read_parquet(file).head(0).write_parquet(file)


def _cut(name: str) -> Any:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:-9])

    return damage


def _without_column(folder: Path) -> None:
    file = folder / "stages.parquet"
    pl.read_parquet(file).drop("n_in").write_parquet(file)


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_newer, "newer version, 99.0.0"),
        (_unfinished, "is not finished"),
        (_empty, "is an empty run"),
        (_cut("manifest.json"), "manifest.json"),
        (_cut("stages.parquet"), "stages.parquet: cannot be read"),
        (_cut("pages/part-00000.parquet"), "pages that cannot be read"),
        (_cut("modules/part-00000.parquet"), "part-00000.parquet: cannot be read"),
        (_without_column, "has no column 'n_in'"),
        (_no_manifest, "manifest.json"),
    ],
)
def test_a_run_that_cannot_be_shown_says_why(tmp_path: Path, damage: Any, said: str) -> None:
    simulate_to(cheap(), [1, 2], tmp_path)
    damage(tmp_path)
    with pytest.raises((ConfigError, DataError), match=said):
        open_run(tmp_path)


def test_what_is_no_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder of a run"):
        open_run(tmp_path / "nowhere")


def test_without_its_world_a_run_is_shown_by_numbers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funnel.report_html.run.known_world", lambda _: None)
    run = open_run(folder)
    assert "is not in the cache" in run.notes[0]
    row = drill_down(run, 1)[0]["rows"][0]
    assert row["text"] == f"tweet {row['tweet']}"
    assert "not in the cache" in " ".join(Parsed(html_page(run)).text)


def _report(*arguments: str) -> NoReturn:
    from funnel.cli import main

    main(["report", *arguments])


def test_the_command_writes_the_page_and_the_figures(folder: Path, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as left:
        _report(
            str(folder), "--out", str(tmp_path / "a" / "r.html"), "--figures", str(tmp_path / "f"), "--viewers", "2"
        )
    assert left.value.code == 0
    written = capsys.readouterr().out.split()
    assert written[0] == str(tmp_path / "a" / "r.html")
    assert all(Path(file).stat().st_size > 0 for file in written)
    with pytest.raises(SystemExit) as left:
        _report(str(tmp_path))
    assert left.value.code == 2
    assert "manifest.json" in capsys.readouterr().err

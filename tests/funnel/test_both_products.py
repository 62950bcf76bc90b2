"""Both products on the same people: what each learns again, what the days' rows and the report say of both."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic.dataclasses import dataclass

from funnel.cli import main
from funnel.compose import load_funnel
from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, DataError, NotFittedError
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, Learned, Scorer, Taught
from funnel.core.world import PlatformView
from funnel.experiment.lived import later_half
from funnel.loop import LoopRun, by_product, loop_to
from funnel.report_html.days import days_page, figure, open_days
from funnel.store import load_arrays
from funnel.trace import BatchTrace
from funnel.world import World

HERE = "tests.funnel.test_both_products"
PUSH = f"""
about: a notification of who is opened most
product: push
stages:
  - popular: {{max_results: 40, max_age_h: 48}}
  - own_tweets
  - notifications_off
  - daily_cap: {{per_day: 3}}
  - {{use: "{HERE}:Echo", name: echo}}
  - {{use: "{HERE}:OpenedAuthors", name: opened_authors}}
  - already_notified
  - top_k: {{size: 1}}
"""
TIMELINE = f"""
about: whose tweets are looked at most
stages:
  - popular: {{max_results: 40, max_age_h: 48}}
  - own_tweets
  - {{use: "{HERE}:SeenAuthors", name: seen_authors}}
  - top_k: {{size: 5}}
"""
DAYS = 2


class _Counts(Scorer, Learned):
    """Says how often something was logged of an author."""

    adds = ("value",)
    needs = ("author",)
    log = "impressions"

    def fit(self, view: PlatformView, *, seed: int, progress: Progress = SILENT, log_dir: Path | None = None) -> None:
        table = view.notification_actions if self.log == "opened" else view.impressions
        rows = table["tweet"][table["action"] == 0] if self.log == "opened" else table["tweet"]
        self.counts_: Floats = np.bincount(view.tweets["author"][rows], minlength=view.user_count).astype(np.float32)

    def state(self) -> dict[str, Array]:
        if not hasattr(self, "counts_"):
            raise NotFittedError("counts", "fit it first")
        return {"counts": self.counts_}

    def restore(self, state: dict[str, Array]) -> None:
        self.counts_ = state["counts"]

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        known = np.append(self.counts_, np.zeros(batch.requests.view.user_count, np.float32))
        return {"value": known[batch["author"]]}


@dataclass(config=STRICT, kw_only=True)
class SeenAuthors(_Counts):
    """By impressions."""


@dataclass(config=STRICT, kw_only=True)
class OpenedAuthors(_Counts):
    """By openings of notifications."""

    log = "opened"


@dataclass(config=STRICT, kw_only=True)
class Echo(Scorer, Taught):
    """Learns the mean of what its teacher says."""

    adds = ("echo",)
    lessons = 8

    def teach(self, batch: CandidateBatch, value: Floats, *, seed: int, progress: Progress = SILENT) -> None:
        self.mean_: Floats = np.array([value.mean()], np.float32)

    def state(self) -> dict[str, Array]:
        if not hasattr(self, "mean_"):
            raise NotFittedError("echo", "teach it first")
        return {"mean": self.mean_}

    def restore(self, state: dict[str, Array]) -> None:
        self.mean_ = state["mean"]

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        return {"echo": np.full(len(batch), self.mean_[0], np.float32)}


def lived(folder: Path, out: str, days: int = DAYS) -> LoopRun:
    """Days of both funnels, which learn again after each."""
    for name, text in (("push.yaml", PUSH), ("timeline.yaml", TIMELINE)):
        (folder / name).write_text(text, encoding="utf-8")
    world = World.load("tiny")
    push, timeline = (load_funnel(str(folder / name), world) for name in ("push.yaml", "timeline.yaml"))
    return loop_to(push, folder / out, days=days, beside=timeline, retrain_every_days=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LoopRun:
    return lived(tmp_path_factory.mktemp("both"), "run")


def day(run: LoopRun, number: int) -> Path:
    return run.path / "days" / f"day-{number:03d}"


def test_both_products_learn_again_from_what_both_have_logged(run: LoopRun) -> None:
    """What each has counted at midnight are the world's log and the days' rows, taught stages last."""
    world = World.load("tiny")
    past = world.tables
    opened = int((past.table("notification_actions")["action"] == 0).sum())
    seen = past.count("impressions")
    means = []
    for number in range(DAYS):
        done = pl.read_parquet(day(run, number) / "notification_actions.parquet")
        opened += done.filter(pl.col("action") == 0).height
        seen += pl.read_parquet(day(run, number) / "impressions.parquet").height
        of_push, _ = load_arrays(day(run, number) / "models.safetensors")
        of_timeline, _ = load_arrays(day(run, number) / "models_timeline.safetensors")
        assert set(of_push) == {"opened_authors/counts", "echo/mean"}
        assert of_push["opened_authors/counts"].sum() == opened
        assert of_timeline["seen_authors/counts"].sum() == seen
        means.append(float(of_push["echo/mean"][0]))
    assert means[1] != means[0] > 0


def test_a_stage_that_nothing_reaches_cannot_be_taught(tmp_path: Path) -> None:
    """Behind a cap of no notification a day there are no lessons."""
    (tmp_path / "push.yaml").write_text(PUSH.replace("per_day: 3", "per_day: 0"), encoding="utf-8")
    with pytest.raises(DataError, match="echo: has no lessons"):
        load_funnel(str(tmp_path / "push.yaml"), World.load("tiny")).ensure_trained()


def test_days_of_both_that_go_on_end_with_the_same_bytes(run: LoopRun, tmp_path: Path) -> None:
    """The second day from the first one's folder alone, with what both had learnt."""
    shutil.copytree(run.path, tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "days" / "day-001")
    again = lived(tmp_path, "cut")
    assert again.resumed_days == 1
    for file in sorted(day(run, 1).iterdir()):
        assert (day(again, 1) / file.name).read_bytes() == file.read_bytes(), file.name


def test_expected_opt_outs_are_what_the_pages_say_and_close_to_those_that_happen(run: LoopRun) -> None:
    for number, row in enumerate(run.days):
        pages = pl.read_parquet(day(run, number) / "pages.parquet")
        turned = pages["expected.turn_off"].cast(pl.Float64)
        assert row["expected_opt_outs"] == pytest.approx(float(turned.sum()))
        assert float(str(turned.min())) > 0
        opened = pages["expected.oonc"].cast(pl.Float64)
        rates = row["rates"]
        assert isinstance(rates, dict)
        # Openings are one draw of these probabilities: within 4 standard errors.
        error = np.sqrt(float((opened * (1 - opened)).sum())) / pages.height
        assert abs(rates["oonc"] - float(str(opened.mean()))) < 4 * error
    assert later_half(run.days)["loop.expected_opt_outs"] == run.days[1]["expected_opt_outs"]


def test_a_row_a_day_and_product_says_what_both_did(run: LoopRun) -> None:
    rows = by_product(run.days)
    assert [(row["day"], row["product"]) for row in rows] == [
        (1, "push"),
        (1, "timeline"),
        (2, "push"),
        (2, "timeline"),
    ]
    for number in range(DAYS):
        push, timeline = rows[2 * number], rows[2 * number + 1]
        done = pl.read_parquet(day(run, number) / "notification_actions.parquet")["action"]
        sent = pl.read_parquet(day(run, number) / "notifications.parquet").height
        engaged = pl.read_parquet(day(run, number) / "engagements.parquet").height
        assert (push["shown"], push["opened"]) == (sent, int((done == 0).sum()))
        assert push["engagements"] == int((done == 3).sum())
        assert (timeline["engagements"], timeline["opened"], timeline["opt_outs"]) == (engaged, None, None)
        assert list(push) == list(timeline)


def test_the_report_of_days_shows_both_products(run: LoopRun, tmp_path: Path) -> None:
    opened = open_days(run.path)
    assert opened is not None
    page = days_page(opened)
    assert len(re.findall("<td>push</td>", page)) == len(re.findall("<td>timeline</td>", page)) == DAYS
    assert "beside" in page
    assert "timeline" in opened.name
    drawn = figure(opened)
    names = {trace["name"] for trace in drawn.plotly["data"]}
    assert names == {"push", "timeline"}
    sent = next(trace for trace in drawn.plotly["data"] if trace["yaxis"] == "y")
    assert sent["y"] == [row["shown"] for row in opened.rows if row["product"] == "push"]
    assert "http" not in re.sub(r"<script>.*?</script>|xmlns=\S+", "", page, flags=re.DOTALL)
    out = tmp_path / "page.html"
    assert said("report", str(run.path), "--out", str(out), "--figures", str(tmp_path / "figures")) == 0
    assert out.read_text(encoding="utf-8") == page
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"days.svg", "days.png"}


def test_the_report_prints_its_tables_as_json(run: LoopRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert said("report", str(run.path), "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["by_product"] == json.loads(json.dumps(by_product(run.days)))
    assert content["run"]["beside"]["funnel"] == "timeline"
    assert not (run.path / "report.html").exists()


def test_a_run_without_a_finished_day_or_of_a_newer_version_has_no_report(run: LoopRun, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    (tmp_path / "run" / "manifest.json").write_text(json.dumps({**manifest, "version": "999.0"}))
    with pytest.raises(DataError, match="newer version"):
        open_days(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    for number in range(DAYS):
        shutil.rmtree(tmp_path / "run" / "days" / f"day-{number:03d}")
    with pytest.raises(ConfigError, match="no finished day"):
        open_days(tmp_path / "run")
    assert open_days(tmp_path) is None


def test_whom_nothing_can_reach_is_not_retrieved_for_and_the_days_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cap says no before any candidate is there: the files are those of a loop that retrieves for everybody."""
    text = re.sub("  - {use.*\n", "", PUSH).replace("  - own_tweets\n", "  - own_tweets\n  - popularity_value\n")
    (tmp_path / "push.yaml").write_text(text.replace("per_day: 3", "per_day: 1"), encoding="utf-8")
    served: dict[str, int] = {"all": 0, "some": 0}

    def days(name: str) -> Path:
        funnel = load_funnel(str(tmp_path / "push.yaml"), World.load("tiny"))
        run_batch = funnel.run_batch

        def counted(requests: Requests, *, detail: bool) -> BatchTrace:
            served[name] += len(requests)
            return run_batch(requests, detail=detail)

        monkeypatch.setattr(funnel, "run_batch", counted)
        return loop_to(funnel, tmp_path / name, days=1).path

    some = days("some")
    monkeypatch.setattr("funnel.loop.reachable", lambda funnel, requests: np.ones(len(requests), np.bool_))
    every = days("all")
    assert 0 < served["some"] < 0.5 * served["all"]
    for file in sorted((every / "days" / "day-000").iterdir()):
        assert (some / "days" / "day-000" / file.name).read_bytes() == file.read_bytes(), file.name


def said(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(str(ended.value.code))

"""Runs of many viewers: whole parts, resumed, refused, and the same bytes however they were made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic.dataclasses import dataclass

from funnel import ask
from funnel.compose import Slot
from funnel.core import rng
from funnel.core.actions import ACTION_CODE, ACTION_NAMES
from funnel.core.arrays import Bools, Doubles, Floats, Ints
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, DataError
from funnel.core.page import MixedPages, Module
from funnel.core.stage import STRICT, Mixer, Source
from funnel.core.world import WorldMeta
from funnel.pipeline import Funnel
from funnel.simulate import simulate_to
from heuristics.selectors.top_k import TopK
from tests.laws.funnels import Lottery, Nothing, Remainder, Taste, funnel_of, slot
from tests.support import mini_world

META = WorldMeta("mini", end_h=48.0, train_until_h=40.0, viewer_count=30)


def small_funnel(*, divisor: int = 3) -> Funnel:
    stages = [slot(Lottery(), "lottery"), slot(Remainder(divisor=divisor), "remainder"), slot(Taste(), "taste")]
    return funnel_of([*stages, slot(TopK(size=5), "top_k")])


@pytest.fixture
def parts_of_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty viewers make four parts."""
    monkeypatch.setattr("funnel.simulate.PART_VIEWERS", 8)


def contents(run: Path) -> dict[str, bytes]:
    """All files of a run by name, the wall clock aside."""
    files = (path for path in run.rglob("*") if path.is_file() and path.name != "timings.json")
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


@pytest.mark.usefixtures("parts_of_eight")
@pytest.mark.parametrize("how", [{"micro_batch": 1}, {"micro_batch": 7}, {"workers": 3}])
def test_a_run_has_the_same_bytes_whatever_the_micro_batch_and_the_workers(tmp_path: Path, how: dict[str, int]) -> None:
    simulate_to(small_funnel(), range(30), tmp_path / "one")
    simulate_to(small_funnel(), range(30), tmp_path / "two", **how)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(list((tmp_path / "one" / "pages").iterdir())) == 4  # ⌈30 / 8⌉


@pytest.mark.usefixtures("parts_of_eight")
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate_to(small_funnel(), range(30), tmp_path / "whole")
    funnel, asked = small_funnel(), []
    really = funnel.run

    def interrupted(viewers: list[int], **options: int) -> object:
        asked.append(viewers[0])
        if len(asked) == 3:
            raise KeyboardInterrupt
        return really(viewers, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(funnel, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate_to(funnel, range(30), tmp_path / "cut")
    assert json.loads((tmp_path / "cut" / "manifest.json").read_text())["status"] == "running"
    assert len(list((tmp_path / "cut" / "pages").iterdir())) == 2
    run = simulate_to(funnel, range(30), tmp_path / "cut")
    assert asked == [0, 8, 16, 16, 24]
    assert run.resumed_parts == 2
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.usefixtures("parts_of_eight")
def test_a_part_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    simulate_to(small_funnel(), range(30), tmp_path)
    before = contents(tmp_path)
    part = tmp_path / "pages" / "part-00002.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    run = simulate_to(small_funnel(), range(30), tmp_path)
    assert run.resumed_parts == 3
    assert contents(tmp_path) == before


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    simulate_to(small_funnel(), [1, 2], tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="seed 0, this one has 1"):
        simulate_to(small_funnel(), [1, 2], tmp_path, seed=1)
    with pytest.raises(ConfigError, match="funnel_hash"):
        simulate_to(small_funnel(divisor=5), [1, 2], tmp_path)
    with pytest.raises(ConfigError, match="viewers_hash"):
        simulate_to(small_funnel(), [1, 3], tmp_path)
    trained_anew = small_funnel()
    trained_anew.assets = {"graph.weights": np.ones(3, np.float32)}
    with pytest.raises(ConfigError, match="learnt_hash"):
        simulate_to(trained_anew, [1, 2], tmp_path)
    assert contents(tmp_path) == before


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds something else"):
        simulate_to(small_funnel(), [1], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "manifest.json").write_text('{"seed": ')
    with pytest.raises(DataError, match="is damaged"):
        simulate_to(small_funnel(), [1], tmp_path)


def test_a_run_adds_up_what_the_stages_did(tmp_path: Path) -> None:
    run = simulate_to(small_funnel(), range(30), tmp_path)
    pages = small_funnel().run(range(30))
    expected = [(row.stage, row.kind, row.n_in, row.n_out) for row in pages.stages]
    assert run.stages.drop("removed").rows() == expected
    assert run.pages().drop("at_h").equals(pages.frame().drop("at_h"))
    assert run.manifest["tweets_shown"] == run.pages().height
    assert run.manifest["status"] == "complete"


def test_a_run_keeps_the_modules_that_mixers_put_on_each_page(tmp_path: Path) -> None:
    mixed = [slot(Lottery(), "lottery"), slot(Taste(), "taste"), slot(TopK(size=5), "top_k"), slot(Spots(), "spots")]
    run = simulate_to(funnel_of(mixed), [4, 2, 9], tmp_path)
    rows = run.modules().rows()
    assert rows == [(viewer, 2, "spot", f"for {viewer}", [viewer], []) for viewer in (4, 2, 9)]
    assert simulate_to(small_funnel(), [4], tmp_path / "none").modules().schema == run.modules().schema
    (tmp_path / "modules" / "part-00000.parquet").unlink()
    assert simulate_to(funnel_of(mixed), [4, 2, 9], tmp_path).modules().rows() == rows


def test_a_run_that_shows_nothing_says_so(tmp_path: Path) -> None:
    funnel = funnel_of([slot(Nothing(), "nothing"), slot(Taste(), "taste"), slot(TopK(), "top_k")])
    with pytest.warns(UserWarning, match="found nothing"):
        run = simulate_to(funnel, [1, 2], tmp_path)
    assert run.warnings == ("nothing found no candidate for any viewer", "2 of 2 viewers have an empty page")


@dataclass(config=STRICT, kw_only=True)
class Spots(Mixer):
    """Puts one module under the second entry of each page."""

    def insert(self, pages: MixedPages) -> MixedPages:
        for request, viewer in enumerate(pages.tweets.requests.viewer.tolist()):
            pages = pages.insert(request, 2, Module("spot", f"for {viewer}", users=(viewer,)))
        return pages


class KnowsAll:
    """An oracle for which viewers like even tweets, and satisfaction is the probability of a like."""

    def probabilities(self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles) -> Floats:
        found = np.zeros((viewer.size, len(ACTION_NAMES)), np.float32)
        found[:, ACTION_CODE["favorite"]] = np.where(tweet % 2 == 0, 1.0, 0.5 / (1 + position))
        return found

    def react(self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles, *, seed: int) -> Bools:
        draws = rng.uniform(seed, "reaction", viewer, tweet)[:, None]
        return np.asarray(draws < self.probabilities(viewer, tweet, position, now_h))

    def satisfaction(self, viewer: Ints, tweet: Ints, *, now_h: Doubles | None = None) -> Floats:
        return (tweet % 2 == 0).astype(np.float32)


def test_where_the_truth_is_known_pages_say_what_viewers_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    funnel = small_funnel()
    monkeypatch.setitem(funnel.world.__dict__, "oracle", KnowsAll())
    shown = simulate_to(funnel, range(10), tmp_path).pages()
    even = shown.filter(pl.col("tweet") % 2 == 0)
    assert even["did.favorite"].all()
    odd = shown.filter((pl.col("tweet") % 2 == 1) & (pl.col("rank") == 2))
    assert odd["expected.favorite"].unique().to_list() == [0.25]  # 0.5 / (1 + position 1)
    assert not shown["did.reply"].any()
    assert shown["satisfaction"].equals((shown["tweet"] % 2 == 0).cast(pl.Float32).alias("satisfaction"))


@pytest.mark.parametrize(
    ("text", "hours"),
    [("end", 48.0), ("12.5", 12.5), ("1d6h", 30.0), ("36h", 36.0), ("90m", 1.5), ("0", 0.0)],
)
def test_a_moment_can_be_written_in_several_ways(text: str, hours: float) -> None:
    assert ask.moment(text, META) == hours


def test_an_iso_time_counts_from_the_epoch_of_the_world() -> None:
    meta = WorldMeta("real", 168.0, 144.0, 5, epoch_unix_s=1341100800.0)  # 2012-07-01 00:00 UTC
    assert ask.moment("2012-07-03T06:00", meta) == 54.0  # two days and six hours
    assert ask.moment("2012-07-03T08:00+02:00", meta) == 54.0


@pytest.mark.parametrize("text", ["49", "-1", "nan", "inf", "", "yesterday", "3x", "1e400", "2012-07-03"])
def test_a_moment_outside_of_the_world_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--at"):
        ask.moment(text, META)


def test_a_smaller_sample_of_viewers_is_part_of_a_larger_one() -> None:
    ten, twenty = (set(ask.many_viewers(text, META, seed=3).tolist()) for text in ("10", "20"))
    assert len(ten) == 10
    assert ten < twenty
    assert ask.many_viewers("all", META, seed=3).tolist() == list(range(30))


def test_viewers_come_from_a_file_of_numbers(tmp_path: Path) -> None:
    file = tmp_path / "viewers.txt"
    file.write_text("# a panel\n7\n\n3  # an early one\n")
    assert ask.many_viewers(str(file), META, seed=0).tolist() == [3, 7]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"7\nx\n", "line 2"),
        (b"30\n", "0 to 29"),
        (b"-1\n", "no viewer"),
        (b"7\n8\n7\n", "line 3: viewer 7 stands in line 1"),
        (b"", "names no viewer"),
        (b"\xff\xfe", "is not text"),
        ("٣\n".encode(), "no viewer"),
    ],
)
def test_a_file_with_a_wrong_line_names_it(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "viewers.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=said):
        ask.many_viewers(str(file), META, seed=0)


@pytest.mark.parametrize("text", ["0", "-3", "31", "/no/such/file"])
def test_an_impossible_number_of_viewers_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--viewers"):
        ask.many_viewers(text, META, seed=0)


def test_the_mini_world_has_the_viewers_that_these_tests_assume() -> None:
    assert mini_world().meta.viewer_count == 30
    assert mini_world().meta.end_h == 48.0


@dataclass(config=STRICT, kw_only=True)
class Broken(Source):
    """Fails for viewer 3."""

    def retrieve(self, requests: Requests) -> CandidateBatch:
        if 3 in requests.viewer:
            raise DataError("index", "is gone")
        return Nothing().retrieve(requests)


@pytest.mark.filterwarnings("ignore::funnel.core.errors.FunnelWarning")
def test_a_run_remembers_that_a_source_was_skipped(tmp_path: Path) -> None:
    broken = Slot("broken", "broken", Broken(), on_error="skip")
    funnel = funnel_of([slot(Lottery(), "lottery"), broken, slot(Taste(), "taste"), slot(TopK(), "top_k")])
    for _ in range(2):  # the second time everything is there already
        run = simulate_to(funnel, [2, 3], tmp_path)
        assert "source 'broken' failed and was skipped: index: is gone" in run.warnings

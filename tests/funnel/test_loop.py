"""The closed loop on the tiny world: what came to be, came of what was served, and always with the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from funnel.checks import check_tables
from funnel.cli import main
from funnel.compose import load_funnel
from funnel.core.actions import ACTION_CODE
from funnel.core.errors import ConfigError
from funnel.core.tables import QUOTE, REPLY, RETWEET, SERVED, TABLES
from funnel.loop import Switch, gini, loop_to
from funnel.pipeline import Funnel
from funnel.store import read_table
from funnel.world import World
from heuristics.filters.own_tweets import OwnTweets
from heuristics.selectors.top_k import TopK
from synthetic.future import MadeFuture
from tests.laws.funnels import Lottery, Taste, funnel_of, slot
from tests.support import QUICK

DAYS, SEED = 2, 3


def cheap_funnel() -> Funnel:
    """A lottery on the tiny world; nothing in it learns."""
    stages = [slot(Lottery(), "lottery"), slot(OwnTweets()), slot(Taste(), "taste"), slot(TopK(size=10))]
    made = Funnel("lottery", about="for tests", world=World.load("tiny"), jobs=[], stages=stages)
    made.trained = True
    return made


def whole_funnel() -> Funnel:
    return load_funnel("twitter_2023", World.load("tiny"), settings=[*QUICK, "heavy_ranker.max_examples=5000"])


def contents(run: Path) -> dict[str, bytes]:
    """All files of a run by name, the wall clock aside."""
    files = (path for path in run.rglob("*") if path.is_file() and path.name != "timings.json")
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of Twitter's funnel, which learns again after each."""
    path = tmp_path_factory.mktemp("loop") / "run"
    loop_to(whole_funnel(), path, days=DAYS, seed=SEED, viewers_per_day=150, retrain_every_days=1)
    return path


def day(out: Path, table: str, number: int) -> pl.DataFrame:
    return pl.read_parquet(out / "days" / f"day-{number:03d}" / f"{table}.parquet")


def both(out: Path, table: str) -> pl.DataFrame:
    return pl.concat([day(out, table, number) for number in range(DAYS)])


def test_engagements_come_from_impressions_that_were_served(out: Path) -> None:
    shown, done = both(out, "impressions"), both(out, "engagements")
    first = World.load("tiny").tables.count("impressions")
    row = done["impression"].to_numpy() - first
    assert done.height > 100
    assert row.min() >= 0
    for column in ("viewer", "tweet"):
        assert np.array_equal(shown[column].to_numpy()[row], done[column].to_numpy())
    wait_h = done["time_h"].to_numpy() - shown["time_h"].to_numpy()[row]
    assert (wait_h > 0).all()
    assert (wait_h < 1).all()
    assert (shown["arm"] == SERVED).all()
    pages = both(out, "pages")
    assert np.array_equal(pages["tweet"].to_numpy(), shown["tweet"].to_numpy())
    assert np.array_equal(pages["position"].to_numpy(), shown["position"].to_numpy())


def test_no_tweet_is_served_before_it_is_written_and_new_ones_are_served(out: Path) -> None:
    shown, past = both(out, "impressions"), World.load("tiny").tables
    written_h = np.concatenate([past.table("tweets")["time_h"], both(out, "tweets")["time_h"].to_numpy()])
    assert (np.diff(written_h) >= 0).all()
    tweet = shown["tweet"].to_numpy()
    assert (written_h[tweet] < shown["time_h"].to_numpy()).all()
    assert (tweet >= past.count("tweets")).any()


def test_what_has_become_of_the_world_is_a_world(out: Path) -> None:
    """All tables, those of the past with those of the days, pass the checks of a stored world."""
    tables = World.load("tiny").tables
    for number in range(DAYS):
        folder = out / "days" / f"day-{number:03d}"
        found = {name: folder / f"{name}.parquet" for name in TABLES}
        rows = {name: read_table(path) for name, path in found.items() if path.exists()}
        tables = tables.grown(rows, end_h=168.0 + 24.0 * (number + 1))
    check_tables({name: dict(tables.table(name)) for name in TABLES if tables.count(name)}, "grown")
    assert tables.count("tweets") > 6_000
    assert tables.meta.viewer_count == tables.count("users")


def test_retweets_replies_and_quotes_are_those_that_reactions_brought_about(out: Path) -> None:
    written, done = both(out, "tweets"), both(out, "engagements")
    kinds = np.bincount(written["kind"].to_numpy(), minlength=4)
    actions = np.bincount(done["action"].to_numpy(), minlength=len(ACTION_CODE))
    # What is protected or one's own is not retweeted, so some reactions leave no tweet.
    assert 0 < kinds[RETWEET] + kinds[QUOTE] <= actions[ACTION_CODE["retweet"]]
    assert 0 < kinds[REPLY] <= actions[ACTION_CODE["reply"]]
    caused = written.filter(pl.col("kind") > 0)
    moments = set(zip(done["viewer"].to_list(), done["time_h"].to_list(), strict=True))
    assert set(zip(caused["author"].to_list(), caused["time_h"].to_list(), strict=True)) <= moments


def test_new_follows_are_by_people_who_opened_the_profile(out: Path) -> None:
    follows = both(out, "follows").filter(pl.col("follower") < 300)  # newcomers follow when they join
    past, done = World.load("tiny").tables, both(out, "engagements")
    author = np.concatenate([past.table("tweets")["author"], both(out, "tweets")["author"].to_numpy()])
    opened = done.filter(pl.col("action") == ACTION_CODE["profile_click"])
    pairs = set(zip(opened["viewer"].to_list(), author[opened["tweet"].to_numpy()].tolist(), strict=True))
    made = set(zip(follows["follower"].to_list(), follows["followee"].to_list(), strict=True))
    assert made
    assert made <= pairs


def test_the_days_have_sane_metrics(out: Path) -> None:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["day"] for line in lines] == [1, 2]
    for number, line in enumerate(lines):
        pages = day(out, "pages", number)
        assert line["impressions"] == pages.height
        assert line["satisfaction"] == pytest.approx(pages["satisfaction"].cast(pl.Float64).mean())
        assert -1 < line["satisfaction"] < 1
        assert 90 < line["timelines"] < 210  # 150 wanted, less at the weekend; five standard errors
        assert 0 < line["in_network_share"] < 1
        assert 0 < line["author_gini"] < 1
        assert 0 < line["top_1_percent_share"] < 0.6
        assert 0 < line["age_h"] < 48
        assert 0.005 < line["rates"]["favorite"] < 0.3
        assert line["rates"]["report"] <= line["rates"]["favorite"]


def test_a_run_that_goes_on_ends_with_the_same_bytes(out: Path, tmp_path: Path) -> None:
    """The second day from the first one's folder alone: world, truth, habits, assets and models."""
    cut = tmp_path / "cut"
    shutil.copytree(out, cut)
    shutil.rmtree(cut / "days" / "day-001")
    run = loop_to(whole_funnel(), cut, days=DAYS, seed=SEED, viewers_per_day=150, retrain_every_days=1)
    assert run.resumed_days == 1
    assert contents(cut) == contents(out)


def test_the_same_seed_gives_the_same_bytes_whatever_the_micro_batch(tmp_path: Path) -> None:
    loop_to(cheap_funnel(), tmp_path / "one", days=1, viewers_per_day=60)
    loop_to(cheap_funnel(), tmp_path / "two", days=1, viewers_per_day=60, micro_batch=3)
    loop_to(cheap_funnel(), tmp_path / "other", days=1, viewers_per_day=60, seed=1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    pages = [pl.read_parquet(tmp_path / name / "days/day-000/pages.parquet") for name in ("one", "other")]
    assert not pages[0].equals(pages[1])


def test_an_interrupted_day_leaves_the_days_before_it_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    really = MadeFuture.visitors

    def interrupted(self: MadeFuture, world: object, begin_h: float, end_h: float, **more: float | None) -> object:
        if begin_h >= 168 + 30:
            raise KeyboardInterrupt
        return really(self, world, begin_h, end_h, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(MadeFuture, "visitors", interrupted)
    monkeypatch.setattr("funnel.compose.load_funnel", lambda *_, **__: cheap_funnel())
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as ended:
        main(["loop", "--world", "tiny", "--days", "2", "--viewers-per-day", "50", "--out", str(out)])
    assert ended.value.code == 130
    assert "keeps the days that are finished" in " ".join(capsys.readouterr().err.split())  # the terminal wraps lines
    assert [path.name for path in (out / "days").iterdir()] == ["day-000"]
    assert json.loads((out / "manifest.json").read_text())["status"] == "running"
    monkeypatch.setattr(MadeFuture, "visitors", really)
    assert loop_to(cheap_funnel(), out, days=2, viewers_per_day=50).resumed_days == 1


def test_people_join_at_night_and_come_on_the_next_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthetic.future._NEWCOMERS", 0.2)
    run = loop_to(cheap_funnel(), tmp_path, days=2)
    joined = day(tmp_path, "users", 0)
    assert run.days[0]["newcomers"] == joined.height > 20
    assert ((joined["created_h"] > 191) & (joined["created_h"] <= 192)).all()
    assert day(tmp_path, "impressions", 0)["viewer"].max() < 300  # type: ignore[operator]
    assert day(tmp_path, "impressions", 1)["viewer"].max() >= 300  # type: ignore[operator]


def test_interests_drift_but_stay_shares(out: Path) -> None:
    from funnel.store import load_arrays

    first, second = (load_arrays(out / "days" / f"day-{n:03d}" / "truth.safetensors")[0] for n in range(DAYS))
    before, after = first["interests"], second["interests"][: first["interests"].shape[0]]
    assert np.allclose(after.sum(axis=1), 1.0, atol=1e-4)
    moved = np.abs(after - before).sum(axis=1)
    assert 0 < moved.mean() < 0.05


def test_a_world_without_truth_is_refused(tmp_path: Path) -> None:
    funnel = funnel_of([slot(Lottery(), "lottery"), slot(Taste(), "taste"), slot(TopK(size=5), "top_k")])
    with pytest.raises(ConfigError, match="wants a world with truth"):
        loop_to(funnel, tmp_path / "run", days=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"days": 0}, "--days: wants a whole number"),
        ({"days": 1, "retrain_every_days": 0}, "--retrain-every-days"),
        ({"days": 1, "viewers_per_day": -1.0}, "--viewers-per-day"),
        ({"days": 1, "viewers_per_day": float("nan")}, "--viewers-per-day"),
        ({"days": 1, "micro_batch": 0}, "--micro-batch"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, wrong: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loop_to(cheap_funnel(), tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_something_else_or_of_another_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds something else"):
        loop_to(cheap_funnel(), tmp_path, days=1)
    out = tmp_path / "run"
    loop_to(cheap_funnel(), out, days=1, viewers_per_day=20)
    with pytest.raises(ConfigError, match="seed 0, this one has 1"):
        loop_to(cheap_funnel(), out, days=1, viewers_per_day=20, seed=1)


@pytest.mark.parametrize(("option", "name"), [("--world", "smalll"), ("--funnel", "twiter_2023")])
def test_unknown_names_are_one_paragraph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, name: str
) -> None:
    given = {"--world": "tiny", "--funnel": "twitter_2023", option: name}
    with pytest.raises(SystemExit) as ended:
        main(["loop", "--out", str(tmp_path / "run"), *(word for pair in given.items() for word in pair)])
    assert ended.value.code == 2
    assert "did you mean" in capsys.readouterr().err


def test_gini_is_zero_for_equals_and_near_one_for_a_single_owner() -> None:
    """One of n has everything: (n - 1) / n. Counts 1 and 3: mean difference 1 over twice the mean 4, by hand 0.25."""
    assert gini(np.array([5, 5, 5])) == pytest.approx(0.0)
    assert gini(np.array([0, 0, 0, 7])) == pytest.approx(0.75)
    assert gini(np.array([1, 3])) == pytest.approx(0.25)


def test_after_a_switch_another_funnel_serves_the_world_that_the_first_one_left(tmp_path: Path) -> None:
    first = cheap_funnel()
    stages = [slot(Lottery(), "lottery"), slot(Taste(), "taste"), slot(TopK(size=3))]
    other = Funnel("few", about="for tests", world=first.world, jobs=[], stages=stages)
    other.trained = True
    loop_to(cheap_funnel(), tmp_path / "plain", days=1, seed=SEED, viewers_per_day=20)
    loop_to(first, tmp_path / "run", days=2, seed=SEED, viewers_per_day=20, switch=Switch(1, other))
    before, after = (day(tmp_path / "run", "pages", number) for number in range(2))
    assert before.equals(day(tmp_path / "plain", "pages", 0))
    assert before["position"].max() == 9
    assert after["position"].max() == 2
    # Interrupted after the first day it ends with the same bytes.
    loop_to(first, tmp_path / "again", days=1, seed=SEED, viewers_per_day=20, switch=Switch(1, other))
    loop_to(first, tmp_path / "again", days=2, seed=SEED, viewers_per_day=20, switch=Switch(1, other))
    assert contents(tmp_path / "again") == contents(tmp_path / "run")
    with pytest.raises(ConfigError, match="then"):
        loop_to(first, tmp_path / "plain", days=1, seed=SEED, viewers_per_day=20, switch=Switch(1, other))

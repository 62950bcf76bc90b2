"""A product is a setting: notifications run on the timeline's runner, experiments, loop and commands."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic.dataclasses import dataclass

from funnel.cli import main
from funnel.compose import load_chosen, load_funnel, product_of
from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError, FunnelWarning
from funnel.core.products import PRODUCTS, PUSH, TIMELINE, Product
from funnel.core.stage import STRICT, Scorer
from funnel.core.tables import NOTIFICATION_KINDS, SERVED
from funnel.core.world import Oracle
from funnel.decision import decision, words
from funnel.diff import differences
from funnel.evaluate import held_out_table
from funnel.experiment.attribute import attribute
from funnel.experiment.compare import compare
from funnel.experiment.objective import objective_of
from funnel.experiment.runs import outcome_of_run
from funnel.loop import loop_to
from funnel.metrics import METRICS, Judge, Scene, measure
from funnel.oracle_stage import OracleValue, SeesTruth
from funnel.pipeline import Funnel
from funnel.simulate import simulate_to
from funnel.world import World
from tests.laws.funnels import funnel_of, world_of
from tests.support import mini_world

CHEAP = """
about: a notification of what is popular
product: push
stages:
  - popular: {max_results: 60, max_age_h: 48}
  - own_tweets
  - popularity_value
  - notifications_off
  - daily_cap: {per_day: 3}
  - already_notified
  - top_k: {size: 1}
"""
VIEWERS = np.arange(30, dtype=np.int32)


@lru_cache(maxsize=1)
def tiny() -> World:
    return World.load("tiny")


@pytest.fixture
def cheap(tmp_path: Path) -> str:
    path = tmp_path / "cheap_push.yaml"
    path.write_text(CHEAP, encoding="utf-8")
    return str(path)


def written(tmp_path: Path, text: str, name: str = "other.yaml") -> str:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


def said(*arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
    finally:
        sys.stdout, sys.stderr = before
    return int(str(ended.value.code or 0)), out.getvalue(), " ".join(err.getvalue().split())


# ---------------------------------------------------------------- a setting


def test_a_product_is_inherited_and_an_unknown_one_is_refused_with_the_nearest(cheap: str, tmp_path: Path) -> None:
    assert product_of(written(tmp_path, f"extends: {cheap}\n")) is PUSH
    assert product_of(written(tmp_path, f"extends: {cheap}\nproduct: timeline\n")) is TIMELINE
    assert product_of("twitter_2023") is TIMELINE
    with pytest.raises(ConfigError, match="no such product — did you mean 'push'"):
        product_of(written(tmp_path, f"extends: {cheap}\nproduct: psh\n"))
    with pytest.raises(ConfigError, match="no such product"):
        product_of(written(tmp_path, f"extends: {cheap}\nproduct: [push]\n"))


def test_a_timelines_configuration_says_nothing_of_products_and_anothers_hash_differs(
    cheap: str, tmp_path: Path
) -> None:
    world = world_of(mini_world())
    push = load_funnel(cheap, world)
    same = load_funnel(written(tmp_path, CHEAP.replace("product: push", "product: timeline")), world)
    assert (push.config["product"], push.product) == ("push", PUSH)
    assert "product" not in same.config
    assert push.hash != same.hash
    assert push.config["stages"] == same.config["stages"]
    found = differences(cheap, str(tmp_path / "other.yaml"))
    assert found["changed"] == [{"stage": "funnel", "setting": "product", "a": "push", "b": "timeline"}]


def test_the_same_stages_give_the_same_pages_whatever_the_product(cheap: str, tmp_path: Path) -> None:
    """Nothing of the runner is copied: there is one class, and a product changes no row."""
    push = load_funnel(cheap, tiny())
    timeline = load_funnel(written(tmp_path, CHEAP.replace("product: push", "product: timeline")), tiny())
    assert type(push) is type(timeline) is Funnel
    pages = [funnel.run(VIEWERS, at_h=160.0).frame() for funnel in (push, timeline)]
    assert pages[0].equals(pages[1])
    assert 0 < pages[0].height < VIEWERS.size  # sent to some


def test_the_product_chooses_the_funnel_and_refuses_that_of_another(cheap: str) -> None:
    assert load_chosen(None, tiny(), product="push").name == "push_2023"
    assert load_chosen(None, tiny()).name == load_chosen(None, tiny(), product="timeline").name == "twitter_2023"
    assert load_chosen(cheap, tiny(), product="push").product is PUSH
    with pytest.raises(ConfigError, match="makes timelines"):
        load_chosen("popular", tiny(), product="push")


def test_a_notification_is_decided_at_six_in_the_evening_unless_somebody_says_when() -> None:
    """Day 7 begins at 168 h; the evening before is 6 x 24 + 18 = 162 h."""
    assert PUSH.moment(168.0) == 162.0
    assert PUSH.moment(162.0) == 162.0
    assert PUSH.moment(10.0) == 10.0
    assert TIMELINE.moment(168.0) == 168.0
    assert Scene(tiny(), product=PUSH).at_h == 162.0


def test_every_product_has_its_presets_and_their_actions() -> None:
    for product in PRODUCTS.values():
        for name in (product.best, product.chance, product.newest, product.default_funnel or "twitter_2023"):
            assert product_of(name) is product
        assert set(Scene(tiny(), product=product).weights) <= set(product.action_names)
        assert set(product.engaging) <= set(product.action_names)


def test_a_weight_of_another_products_action_is_refused() -> None:
    stage = OracleValue(weights={"favorite": 1.0})
    with pytest.raises(ConfigError, match=r"oracle_value\.weights\.favorite: no action of push"):
        stage.lend(lambda: None, PUSH)


# ---------------------------------------------------------------- metrics and experiments


def test_push_metrics_are_sums_over_what_was_sent(cheap: str) -> None:
    judge = Judge.of(tiny(), VIEWERS, product=PUSH)
    outcome = judge.observe(load_funnel(cheap, tiny()))
    found = measure(outcome, judge.scene)
    sent, page = outcome.counts > 0, outcome.page
    oonc, engage = (page[f"expected.{name}"].astype(np.float64) for name in ("oonc", "engage"))
    assert outcome.counts.max() == 1
    assert np.array_equal(found.viewers["push.sent"], sent)
    np.testing.assert_allclose(found.viewers["page.value"][sent], 0.9 * oonc + 0.1 * engage, rtol=1e-6)
    assert (found.viewers["page.value"][~sent] == 0).all()
    once = np.ones((1, VIEWERS.size))
    assert found.statistics["push.rate.oonc"](once)[0] == pytest.approx(oonc.mean())
    assert found.viewers["push.opt_outs"].sum() == pytest.approx(1000 * page["expected.turn_off"].sum(dtype=np.float64))
    assert found.viewers["push.welfare"].sum() == pytest.approx(page["satisfaction"].sum(dtype=np.float64))
    negative = page["expected.dismiss"] + page["expected.dislike"] + page["expected.turn_off"]
    np.testing.assert_allclose(found.viewers["page.negative"][sent], negative, rtol=1e-6)


def test_a_metric_is_measured_for_the_products_that_it_declares(cheap: str) -> None:
    of_push = Judge.of(tiny(), VIEWERS, product=PUSH)
    named = {name.split(".")[0] for name in measure(of_push.observe(load_funnel(cheap, tiny())), of_push.scene).viewers}
    assert "push" in named
    assert "serendipity" not in named
    assert METRICS["push.sent"].products == (PUSH,)
    assert METRICS["diversity.topics"].products == (TIMELINE,)
    assert METRICS["page.value"].products == tuple(PRODUCTS.values())


def test_no_notification_beats_the_truth_and_lots_are_worth_less() -> None:
    found = compare([load_funnel(name, tiny()) for name in ("push_random", "push_oracle")], VIEWERS, full_pool=0)
    lot, best = (found.metrics[name]["page.value"] for name in ("push_random", "push_oracle"))
    assert lot < best
    assert best == pytest.approx(found.best["page.value"])
    assert lot == pytest.approx(found.chance["page.value"])


def test_funnels_of_two_products_are_not_compared(cheap: str) -> None:
    with pytest.raises(ConfigError, match="compare funnels of one product"):
        compare([load_funnel(cheap, tiny()), load_funnel("popular", tiny())], VIEWERS)
    with pytest.raises(ConfigError, match="funnels of one product can be compared"):
        Judge.of(tiny(), VIEWERS[:2]).observe(load_funnel(cheap, tiny()))


def test_losses_of_a_notification_add_up(cheap: str) -> None:
    ledger = attribute(load_funnel(cheap, tiny()), VIEWERS, value="oonc")
    assert ledger.meta["places"] == 1
    assert ledger.meta["product"] == "push"
    np.testing.assert_allclose(ledger.loss.sum(axis=1), ledger.value[:, 0] - ledger.value[:, -1], atol=1e-12)
    assert (ledger.value[:, 0] >= ledger.value[:, -1]).all()
    assert ledger.value[:, 0].mean() > 2 * ledger.value[:, -1].mean() > 0


def test_an_objective_is_of_the_funnels_own_product(cheap: str) -> None:
    funnel = load_funnel(cheap, tiny())
    assert objective_of(funnel, "push_oracle").weights[PUSH.action_code["oonc"]] == 0.9
    with pytest.raises(ConfigError, match="another product"):
        objective_of(funnel, "oracle")
    with pytest.raises(ConfigError, match="wants an action, satisfaction"):
        objective_of(funnel, "favorite")


def test_held_out_notifications_judge_a_push_funnel(tmp_path: Path) -> None:
    """A head that is the truth's own has the truth's AUC on what was sent after the training's end."""
    text = CHEAP.replace("  - popularity_value\n", '  - {use: "tests.funnel.test_products:Told", name: told}\n')
    funnel = load_funnel(written(tmp_path, text), tiny())
    funnel.trained = True
    rows = held_out_table(funnel)
    assert [row["head"] for row in rows] == ["oonc"]
    log = tiny().view().notifications
    late = int((log["time_h"] >= tiny().meta.train_until_h).sum())
    assert rows[0]["impressions"] == late > 100
    auc, oracle = rows[0]["auc"], rows[0]["auc_oracle"]
    assert isinstance(auc, float)
    assert auc == pytest.approx(oracle, abs=1e-9)
    assert auc > 0.6


@dataclass(config=STRICT, kw_only=True)
class Told(Scorer, SeesTruth):
    """Says the true probability of opening, as a heavy ranker's head, and as the value."""

    adds = ("p.oonc", "value")

    def lend(self, oracle: Callable[[], Oracle | None], product: Product = TIMELINE) -> None:
        self._oracle = oracle

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        oracle = self._oracle()
        assert oracle is not None
        viewer, top = batch.viewer.astype(np.int32), np.zeros(len(batch), np.int32)
        p = np.ascontiguousarray(oracle.probabilities(viewer, batch["tweet"], top, batch.now_h)[:, 0])
        return {"p.oonc": p, "value": p}


# ---------------------------------------------------------------- decisions


def test_a_decision_names_what_is_sent_or_what_stopped_it(cheap: str) -> None:
    pages = load_funnel(cheap, tiny()).run(VIEWERS, at_h=160.0)
    told = [decision(page, pages) for page in pages]
    assert any(one["sent"] is None for one in told)
    for page, one in zip(pages, told, strict=True):
        if one["sent"] is not None:
            assert [row["tweet"] for row in page] == [one["sent"]]
            assert words(one).startswith(f"Tweet {one['sent']} is sent")
            continue
        assert one["stopped_by"] in ("notifications_off", "daily_cap", "already_notified")
        assert page.removed[str(one["stopped_by"])] > 0
        assert words(one).startswith(f"Nothing is sent, of {one['candidates']} candidates")
    values = [fallen["value"] for fallen in told[0]["fell"]]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]


def test_no_candidates_are_a_decision_too(tmp_path: Path) -> None:
    funnel = load_funnel(written(tmp_path, CHEAP.replace("max_age_h: 48", "max_age_h: 0.001")), tiny())
    with pytest.warns(FunnelWarning, match="found nothing"):
        pages = funnel.run([3], at_h=160.0)
    one = decision(pages[0], pages)
    assert (one["sent"], one["stopped_by"], one["fell"]) == (None, None, [])
    assert words(one) == "Nothing is sent: no source found a candidate."


# ---------------------------------------------------------------- days


def contents(run: Path) -> dict[str, bytes]:
    files = (path for path in run.rglob("*") if path.is_file() and path.name != "timings.json")
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def test_the_log_grows_by_what_is_sent_so_that_caps_hold_from_day_to_day(cheap: str, tmp_path: Path) -> None:
    run = loop_to(load_funnel(cheap, tiny(), settings=["daily_cap.per_day=1"]), tmp_path / "run", days=2)
    folders = [tmp_path / "run" / "days" / f"day-{day:03d}" for day in range(2)]
    sent = pl.concat([pl.read_parquet(folder / "notifications.parquet") for folder in folders])
    assert sent.height == sum(int(str(day["impressions"])) for day in run.days) > 100
    assert (sent["arm"] == SERVED).all()
    assert sent["kind"].is_between(0, len(NOTIFICATION_KINDS) - 1).all()
    assert sent["kind"].n_unique() > 1
    gap_h = sent.sort("viewer", "time_h").with_columns(gap=pl.col("time_h").diff().over("viewer"))["gap"].drop_nulls()
    assert float(str(gap_h.min())) >= 24.0  # one a day, also over midnight
    assert not sent.select("viewer", "tweet").is_duplicated().any()
    done = pl.concat([pl.read_parquet(folder / "notification_actions.parquet") for folder in folders])
    row = done["impression"].to_numpy() - tiny().tables.count("notifications")
    assert np.array_equal(sent["viewer"].to_numpy()[row], done["viewer"].to_numpy())
    assert (folders[1] / "tweets.parquet").exists()  # people go on writing
    first = run.days[0]
    assert first["sent_share"] == pytest.approx(int(str(first["impressions"])) / int(str(first["decisions"])))
    assert isinstance(first["rates"], dict)
    assert list(first["rates"]) == list(PUSH.action_names)


def test_days_of_notifications_resume_with_the_same_bytes(cheap: str, tmp_path: Path) -> None:
    loop_to(load_funnel(cheap, tiny()), tmp_path / "once", days=2, viewers_per_day=60)
    loop_to(load_funnel(cheap, tiny()), tmp_path / "twice", days=1, viewers_per_day=60)
    again = loop_to(load_funnel(cheap, tiny()), tmp_path / "twice", days=2, viewers_per_day=60, micro_batch=5)
    assert again.resumed_days == 1
    assert contents(tmp_path / "once") == contents(tmp_path / "twice")


def test_two_products_served_together_see_each_others_log(cheap: str, tmp_path: Path) -> None:
    """`seen_in_timeline` lets no tweet through that the funnel beside has shown before, also on these days."""
    text = CHEAP.replace("  - already_notified\n", "  - already_notified\n  - seen_in_timeline\n")
    careful = load_funnel(written(tmp_path, text), tiny())
    run = loop_to(careful, tmp_path / "both", days=2, beside=load_funnel("random", tiny()))
    assert {"sent_share", "timeline"} <= set(run.days[0])
    timeline = run.days[0]["timeline"]
    assert isinstance(timeline, dict)
    assert timeline["timelines"] > 50
    folders = [tmp_path / "both" / "days" / f"day-{day:03d}" for day in range(2)]
    shown, sent = (
        pl.concat([pl.read_parquet(folder / f"{name}.parquet") for folder in folders])
        for name in ("impressions", "notifications")
    )
    both = sent.join(shown, on=["viewer", "tweet"], suffix="_shown")
    assert both.filter(pl.col("time_h_shown") < pl.col("time_h")).height == 0
    with pytest.raises(ConfigError, match="only another product"):
        loop_to(careful, tmp_path / "not", days=1, beside=load_funnel(cheap, tiny()))


def test_a_world_that_knows_no_notifications_is_refused(cheap: str, tmp_path: Path) -> None:
    funnel = load_funnel(cheap, funnel_of(list(load_funnel(cheap, tiny()).stages)).world)
    with pytest.raises(ConfigError, match="wants a world with truth"):
        loop_to(funnel, tmp_path / "run", days=1)
    with pytest.raises(ConfigError, match="no truth to measure decisions by"):
        objective_of(funnel, "oonc")


# ---------------------------------------------------------------- commands


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "110")


def test_simulate_shows_the_decision(cheap: str) -> None:
    code, out, err = said("simulate", "--funnel", cheap, "--product", "push", "--viewer", "2", "--world", "tiny")
    assert code == 0, err
    assert "Notification · " in out
    assert re.search(r"Tweet \d+ is sent|Nothing is sent", out)
    code, out, _ = said("simulate", "--funnel", cheap, "--viewer", "2", "--world", "tiny", "--json", "--at", "160")
    told = json.loads(out)
    assert told["decision"]["sent"] == (told["page"][0]["tweet"] if told["page"] else None)


def test_runs_of_decisions_keep_whom_nothing_was_sent_to(cheap: str, tmp_path: Path) -> None:
    run = simulate_to(load_funnel(cheap, tiny()), VIEWERS, tmp_path / "run")
    outcome = outcome_of_run(tmp_path / "run")
    assert np.array_equal(outcome.viewers, VIEWERS)
    assert int(outcome.counts.sum()) == run.manifest["tweets_shown"] < VIEWERS.size
    assert not run.warnings  # an empty page is an answer
    assert run.manifest["product"] == "push"
    for command in (
        ("compare", str(tmp_path / "run"), str(tmp_path / "run"), "--json"),
        ("report", str(tmp_path / "run")),
    ):
        code, out, err = said(*command)
        assert code == 0, err
        assert out
    assert "oonc" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_the_experiments_take_notifications_as_they_are(cheap: str, tmp_path: Path) -> None:
    common = ("--world", "tiny", "--viewers", "8", "--json")
    for command in (
        ("compare", cheap, "push_random"),
        ("ablate", "--funnel", cheap, "--product", "push", "--stage", "daily_cap"),
        ("attribute", "--funnel", cheap, "--product", "push", "--value", "oonc"),
    ):
        code, out, err = said(*command, *common)
        assert code == 0, err
        assert json.loads(out)
    code, out, err = said("explain", "--funnel", cheap, "--viewer", "2", "--tweet", "5000", "--world", "tiny", "--json")
    assert code == 0, err
    assert json.loads(out)["tweet"] == 5000
    code, out, err = said("train", "--funnel", cheap, "--product", "push", "--world", "tiny", "--json")
    assert code == 0, err
    assert json.loads(out)["funnel"] == "cheap_push"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("simulate", "--product", "psh", "--viewer", "1"), "no such product"),
        (("simulate", "--product", "push", "--funnel", "popular", "--viewer", "1"), "makes timelines"),
        (("simulate", "--product", "push", "--viewers", "5", "--days", "2", "--out", "x"), "wants --viewers all"),
        (("explain", "--product", "timeline", "--funnel", "push_random", "--viewer", "1", "--tweet", "1"), "decisions"),
        (("loop", "--product", "push", "--beside", "push_random", "--out", "x"), "only another product"),
    ],
)
def test_what_does_not_fit_the_product_is_one_paragraph(arguments: tuple[str, ...], what: str) -> None:
    code, _, err = said(*arguments, "--world", "tiny")
    assert code == 2
    assert what in err
    assert "Traceback" not in err


def test_days_of_all_viewers_are_simulated_into_a_folder(cheap: str, tmp_path: Path) -> None:
    out = str(tmp_path / "week")
    asked = ("simulate", "--funnel", cheap, "--viewers", "all", "--days", "1", "--world", "tiny", "--out", out)
    code, shown, err = said(*asked)
    assert code == 0, err
    assert "day by day" in shown
    assert "oonc" in shown
    assert json.loads((tmp_path / "week" / "manifest.json").read_text(encoding="utf-8"))["product"] == "push"

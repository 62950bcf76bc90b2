"""The shipped funnels of the eras, and the baselines: what they show, and that they run."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from funnel import explain
from funnel.compose import funnel_names, load_funnel, product_of, stage_names
from funnel.core.actions import ACTION_CODE, ACTION_NAMES
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints
from funnel.core.errors import ConfigError, FunnelWarning
from funnel.core.products import TIMELINE
from funnel.core.progress import Progress
from funnel.core.tables import TABLES
from funnel.core.world import Oracle, WorldData, WorldTables
from funnel.oracle_stage import OracleValue
from funnel.pipeline import Funnel
from funnel.trace import Pages
from funnel.world import World
from tests.laws.funnels import world_of
from tests.support import mini_world

GOLDEN = Path(__file__).with_name("golden_presets.json")
UNLEARNT = ("chronological", "popular", "random")
LEARNT = tuple(
    name for name in funnel_names() if name not in (*UNLEARNT, "oracle", "higgs_2012") and product_of(name) is TIMELINE
)
# What lets the rankers learn within seconds from the few impressions of the mini world.
QUICK = (
    "heavy_ranker.epochs=1", "heavy_ranker.batch_size=256", "heavy_ranker.max_examples=4000", "heavy_ranker.blocks=1",
)  # fmt: skip


def _run(funnel: Funnel, viewers: list[int], **options: float) -> Pages:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FunnelWarning)
        return funnel.run(viewers, **options)  # type: ignore[arg-type]


def test_the_eras_and_baselines_are_shipped() -> None:
    eras = {"twitter_2023_03", "twitter_2023", "blog", "x_2026", "tiktok_like"}
    assert {*eras, "chronological", "popular", "random", "oracle"} <= set(funnel_names())


def test_the_golden_pages_of_what_learns_nothing_are_unchanged() -> None:
    found: dict[str, object] = {}
    for name in UNLEARNT:
        pages = _run(load_funnel(name, world_of(mini_world())), [0, 7, 14, 21, 29])
        found[name] = {str(page.viewer): [row["tweet"] for row in page] for page in pages}
    if os.environ.get("FUNNEL_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found) + "\n", encoding="utf-8")
    assert found == json.loads(GOLDEN.read_text("utf-8"))


def test_the_chronological_page_is_followed_authors_newest_first() -> None:
    for page in _run(load_funnel("chronological", world_of(mini_world())), list(range(12))):
        ages = [float(str(row["age_h"])) for row in page]
        assert ages == sorted(ages)
        assert all(row["in_network"] for row in page)


def test_the_popular_page_is_the_same_for_two_viewers_but_for_what_they_may_not_see() -> None:
    pages = _run(load_funnel("popular", world_of(mini_world())), [0, 1, 2], size=500)
    shown = [[row["tweet"] for row in page] for page in pages]
    for one in shown:
        for other in shown:
            common = [tweet for tweet in one if tweet in other]
            assert common == [tweet for tweet in other if tweet in one]  # in the same order
    assert all(shown)


def test_chance_shows_another_page_with_another_seed() -> None:
    funnel = load_funnel("random", world_of(mini_world()))
    first, again, other = (_run(funnel, [3], seed=seed)[0].rows for seed in (0, 0, 1))
    assert [row["tweet"] for row in first] == [row["tweet"] for row in again]
    assert [row["tweet"] for row in first] != [row["tweet"] for row in other]


# ---------------------------------------------------------------- the oracle


class Likes:
    """A truth for tests: viewer v likes tweet t with probability (7 v + t mod 50) / 1000, and nothing else happens."""

    def probabilities(self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles) -> Floats:
        chance = np.zeros((viewer.size, len(ACTION_NAMES)), np.float32)
        chance[:, ACTION_CODE["favorite"]] = (7 * viewer + tweet % 50) / 1000
        return chance

    def react(self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles, *, seed: int) -> Bools:
        return self.probabilities(viewer, tweet, position, now_h) > 0.2

    def satisfaction(self, viewer: Ints, tweet: Ints, *, now_h: Doubles | None = None) -> Floats:
        return (tweet % 3 - 1).astype(np.float32)


class Builder:
    """Knows the truth of the mini world."""

    def build(self, name: str, seed: int, progress: Progress) -> WorldData:
        raise NotImplementedError

    def oracle(self, data: WorldTables, truth: Mapping[str, Array]) -> Oracle | None:
        return Likes()


@lru_cache(maxsize=1)
def _with_truth() -> World:
    tables = mini_world()
    data = WorldData(tables.meta, {name: tables.table(name) for name in TABLES}, {"known": np.ones(1)})
    return World.of(data, builder=Builder())


def test_no_funnel_shows_a_better_page_than_the_oracle_by_its_own_measure() -> None:
    world = _with_truth()
    best = load_funnel("oracle", world, settings=["oracle_value.weights={favorite: 1}"])
    truth = Likes()
    viewers = list(range(20))
    for name in UNLEARNT:
        # Size 5: a page that every funnel can fill; the other funnel's window is the oracle's.
        settings = ["thunder.window_h=48"] if name == "chronological" else []
        other = _run(load_funnel(name, world, settings=settings), viewers, size=5)
        for page, bound in zip(other, _run(best, viewers, size=5), strict=True):
            assert _liked(truth, page.viewer, page.rows) <= _liked(truth, page.viewer, bound.rows) + 1e-9


def _liked(truth: Likes, viewer: int, rows: list[dict[str, object]]) -> float:
    tweet = np.array([row["tweet"] for row in rows], np.int32)
    asked = np.full(tweet.size, viewer, np.int32)
    chance = truth.probabilities(asked, tweet, np.zeros_like(tweet), np.zeros(tweet.size))
    return float(chance[:, ACTION_CODE["favorite"]].astype(np.float64).sum())


def test_the_oracle_is_marked_and_offered_to_nobody_as_a_stage() -> None:
    assert load_funnel("oracle", world_of(mini_world())).sees_truth
    assert not load_funnel("chronological", world_of(mini_world())).sees_truth
    assert "NO RECOMMENDER" in load_funnel("oracle", world_of(mini_world())).about
    assert not [name for name in stage_names() if "oracle" in name]


def test_a_world_without_truth_is_said_to_have_none() -> None:
    with pytest.raises(ConfigError, match="'mini0' has no truth"):
        _run(load_funnel("oracle", world_of(mini_world())), [1])


def test_the_true_value_is_never_negative_and_keeps_the_order_of_sums() -> None:
    from tests.support import fake_batch

    stage = OracleValue(weights={"favorite": -1.0}, satisfaction=0.5)
    stage.lend(Likes)
    batch = fake_batch([60, 40])
    value = stage.score(batch)["value"]
    chance = Likes().probabilities(batch.viewer, batch["tweet"], batch["tweet"], batch.now_h)
    total = -chance[:, ACTION_CODE["favorite"]].astype(np.float64) + 0.5 * (batch["tweet"] % 3 - 1)
    assert (value >= 0).all()
    assert (np.diff(value[np.argsort(total, kind="stable")]) >= 0).all()
    assert (value[total < 0] <= 0.001).all()
    assert (value[total >= 0] >= 0.001 - 1e-9).all()


@pytest.mark.parametrize("settings", [{"weights": {"favourite": 1.0}}, {"weights": {"favorite": float("nan")}}])
def test_a_wrong_weight_of_the_oracle_is_refused(settings: dict[str, dict[str, float]]) -> None:
    with pytest.raises(ConfigError, match=r"oracle_value\.weights"):
        OracleValue(**settings)  # type: ignore[arg-type]


# ---------------------------------------------------------------- the eras


@pytest.mark.parametrize("name", LEARNT)
def test_a_preset_of_an_era_runs_and_its_pages_add_up(name: str) -> None:
    funnel = load_funnel(name, world_of(_busy()), settings=QUICK)
    pages = _run(funnel, list(range(10)))
    assert max(map(len, pages)) > 5
    for page in pages:
        assert len(page) <= 35
        for row in page:
            factors = np.prod(list(row["boosts"].values()))  # type: ignore[attr-defined]
            assert row["score"] == pytest.approx(row["value"] * factors, rel=1e-5)  # type: ignore[operator]
    if "debunch" in [slot.name for slot in funnel.stages]:
        _check_bunches(pages)
    if name == "twitter_2023":
        _check_words(funnel, pages)


def _busy() -> WorldTables:
    return mini_world(users=60, tweets=600, pages=600)


def _check_bunches(pages: Pages) -> None:
    for page in pages:
        inside = [bool(row["in_network"]) for row in page]
        last = len(inside) - inside[::-1].index(True) if True in inside else 0
        assert "FFF" not in "".join("T" if network else "F" for network in inside[:last])


def _check_words(funnel: Funnel, pages: Pages) -> None:
    """A discounted tweet says so in words, on the page and in its explanation."""
    said = 0
    for page in pages:
        for row in page:
            why = explain.causes(funnel, row)
            factor = row["boosts"]["author_diversity"]  # type: ignore[index]
            if factor == 0.4375:
                assert why["author_diversity"] == "third tweet of this author"
                assert "third tweet of this author × 0.4375" in explain.reason(row, {}, why)
                told = explain.words(explain.explain(funnel, pages, page.viewer, int(str(row["tweet"]))))
                assert "  third tweet of this author: × 0.4375" in told
                said += 1
    assert said

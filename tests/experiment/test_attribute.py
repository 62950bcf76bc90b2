"""The loss ledger: what it says adds up, bounds hold, and small cases come out as worked out by hand."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from functools import lru_cache
from itertools import permutations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.cli import main
from funnel.compose import Slot, load_funnel
from funnel.core.actions import ACTION_CODE, ACTION_NAMES
from funnel.core.arrays import Bools, Doubles, Floats, Ints
from funnel.core.batch import Requests
from funnel.core.errors import ConfigError, FunnelWarning
from funnel.core.tables import TABLES
from funnel.core.world import WorldData
from funnel.experiment import waterfall
from funnel.experiment.attribute import CUT, ELIGIBLE, ORDER, RETRIEVAL, RULE, SERVED, Ledger, Step, attribute
from funnel.experiment.objective import Objective, objective_of, page_values
from funnel.pipeline import Funnel
from funnel.world import World
from heuristics.filters.already_seen import AlreadySeen
from heuristics.filters.own_tweets import OwnTweets
from heuristics.filters.retweet_duplicates import RetweetDuplicates
from heuristics.selectors.network_caps import NetworkCaps
from heuristics.selectors.top_k import TopK
from tests.laws.funnels import Coarse, Lottery, Nothing, Remainder, Taste, slot, stage_lists
from tests.support import fake_batch, mini_world

FAVORITE = ACTION_CODE["favorite"]


class Planted:
    """An oracle of hashes: the place is looked at with probability 0.9^place; every third pair is disliked."""

    def probabilities(self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles) -> Floats:
        p = ((viewer.astype(np.int64)[:, None] * 31 + tweet[:, None] * 17 + np.arange(len(ACTION_NAMES))) % 97) / 97
        return (p * 0.9 ** position[:, None].astype(np.float64)).astype(np.float32)

    def react(self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles, *, seed: int) -> Bools:
        return np.zeros((viewer.size, len(ACTION_NAMES)), np.bool_)

    def satisfaction(self, viewer: Ints, tweet: Ints, *, now_h: Doubles | None = None) -> Floats:
        return (((viewer.astype(np.int64) * 7 + tweet * 13) % 30) / 10 - 1).astype(np.float32) / 2


class Builder:
    """Knows the planted oracle."""

    def oracle(self, data: object, truth: object) -> Planted:
        return Planted()


@lru_cache
def planted_world() -> World:
    tables = mini_world()
    columns = {name: tables.table(name) for name in TABLES}
    return World.of(WorldData(tables.meta, columns, {"x": np.zeros(1)}), builder=Builder())  # type: ignore[arg-type]


def planted(stages: list[Slot]) -> Funnel:
    made = Funnel("planted", about="", world=planted_world(), jobs=[], stages=stages)
    made.trained = True
    return made


def plain(*between: Slot, size: int = 6) -> Funnel:
    return planted([slot(Lottery(count=60), "lottery"), *between, slot(Taste(), "taste"), slot(TopK(size=size))])


def _line(ledger: Ledger, stage: str) -> Doubles:
    """float64 [R]: the loss at a stage."""
    return ledger.loss[:, [step.stage for step in ledger.steps].index(stage)]


@settings(max_examples=25)
@given(stage_lists(), st.integers(1, 12), st.sampled_from(["favorite", "report", "satisfaction"]))
def test_losses_add_up_and_no_cut_wins_anything(stages: list[Slot], size: int, value: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FunnelWarning)
        ledger = attribute(planted(stages), range(6), size=size, value=value, max_age_h=48.0)
        pages = planted(stages).run(range(6), size=size)
    corpus, served = ledger.value[:, 0], ledger.value[:, -1]
    np.testing.assert_allclose(ledger.loss.sum(axis=1), corpus - served, rtol=0, atol=1e-12)
    for number, step in enumerate(ledger.steps):
        if step.charge in (RULE, CUT) and not any(before.charge == ORDER for before in ledger.steps[:number]):
            assert (ledger.loss[:, number] >= 0).all(), step
    first = next(number for number, step in enumerate(ledger.steps) if step.charge == ORDER)
    assert (ledger.loss[:, first] >= 0).all()  # no order beats the best one
    assert (ledger.value <= corpus[:, None] + 1e-12).all()
    by_hand = [_worth(page.viewer, [int(str(row["tweet"])) for row in page], value) for page in pages]
    np.testing.assert_allclose(served, by_hand, atol=1e-5)


def _worth(viewer: int, tweets: list[int], value: str) -> float:
    """The value of a page straight from the oracle; the second copy of a post is worth nothing."""
    written, oracle = planted_world().tables.table("tweets"), Planted()
    total, seen = 0.0, set()
    for place, tweet in enumerate(tweets):
        post = int(written["parent"][tweet]) if written["kind"][tweet] == 1 and written["parent"][tweet] >= 0 else tweet
        who, what = np.array([viewer], np.int32), np.array([tweet], np.int32)
        if value == "satisfaction":
            worth = float(oracle.satisfaction(who, what)[0]) * 0.9**place
        else:
            p = oracle.probabilities(who, what, np.array([place], np.int32), np.zeros(1))
            worth = float(p[0, ACTION_CODE[value]])
        total += worth if post not in seen else 0.0
        seen.add(post)
    return total


@given(st.lists(st.tuples(st.integers(-3, 5), st.integers(0, 3)), max_size=6), st.integers(1, 3))
def test_the_best_page_is_the_best_of_all_pages(tweets: list[tuple[int, int]], places: int) -> None:
    """Against every ordered choice of at most so many tweets, (value, post) each."""
    looks = np.array([[1.0, 0.6, 0.3][:places]])
    value, post = (np.array([tweet[part] for tweet in tweets]) for part in (0, 1))
    rows = np.argsort(-value, kind="stable").astype(np.int64)
    alive = np.ones(len(tweets), np.bool_)
    offsets = np.array([0, len(tweets)])
    found = page_values(offsets, rows, alive, value.astype(np.float64), post.astype(np.int32), looks, True)
    best = 0.0
    for length in range(1, min(places, len(tweets)) + 1):
        for page in permutations(range(len(tweets)), length):
            first = [post[row] not in post[list(page[:place])] for place, row in enumerate(page)]
            best = max(best, sum(looks[0, i] * value[row] * first[i] for i, row in enumerate(page)))
    assert found[0] == pytest.approx(best)


def test_the_best_page_of_a_page_worked_out_by_hand() -> None:
    """Values 5, 4, 4, −1; the two of 4 are one post: 5 × 1 + 4 × 0.5 = 7; shown as they come, 5 + 2 + 0 − 0.125."""
    value, post = np.array([5.0, 4.0, 4.0, -1.0]), np.array([0, 1, 1, 3], np.int32)
    looks = np.array([[1.0, 0.5, 0.25, 0.125]])
    asked = (np.array([0, 4]), np.arange(4), np.ones(4, np.bool_), value, post, looks)
    assert page_values(*asked, True)[0] == 7.0
    assert page_values(*asked, False)[0] == 6.875


def test_a_rule_is_charged_on_the_corpus_and_not_again_on_the_funnel() -> None:
    """What Remainder removes is no loss of retrieval: without the filter, retrieval is charged against more."""
    ledger = attribute(plain(slot(Remainder(divisor=3), "remainder")), range(12), size=6, value="favorite")
    assert [step.charge for step in ledger.steps] == [RULE, CUT, ORDER, ORDER]
    assert ledger.rules == 1
    assert (_line(ledger, "remainder") > 0).any()
    written = planted_world().tables.table("tweets")
    for row, viewer in enumerate(ledger.viewer):
        allowed = [tweet for tweet in range(written["author"].size) if tweet % 3 != 1]
        best = sorted(allowed, key=lambda tweet: -Planted().probabilities(*_pair(viewer, tweet))[0, FAVORITE])
        assert ledger.value[row, 1] == pytest.approx(_best_worth(int(viewer), best, 6), abs=1e-5)


def _pair(viewer: int, tweet: int) -> tuple[Ints, Ints, Ints, Doubles]:
    return np.array([viewer], np.int32), np.array([tweet], np.int32), np.zeros(1, np.int32), np.zeros(1)


def _best_worth(viewer: int, ranked: list[int], places: int) -> float:
    written = planted_world().tables.table("tweets")
    page: list[int] = []
    posts: set[int] = set()
    for tweet in ranked:
        post = int(written["parent"][tweet]) if written["kind"][tweet] == 1 and written["parent"][tweet] >= 0 else tweet
        if post not in posts and len(page) < places:
            posts.add(post)
            page.append(tweet)
    return _worth(viewer, page, "favorite")


@pytest.mark.parametrize("first_look", [1, 7, 100])
def test_looking_at_more_of_the_corpus_at_once_changes_nothing(
    first_look: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = (slot(Remainder(divisor=2), "half"), slot(OwnTweets()), slot(AlreadySeen()), slot(RetweetDuplicates()))
    whole = attribute(plain(*stages), range(10), size=8, value="favorite")
    monkeypatch.setattr("funnel.experiment.attribute.FIRST_LOOK", first_look)
    assert (attribute(plain(*stages), range(10), size=8, value="favorite").value == whole.value).all()


def test_a_viewer_has_the_same_ledger_alone_and_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = (slot(OwnTweets()), slot(Coarse(), "coarse", keep=20))
    together = attribute(plain(*stages), range(10), size=5, value="reply")
    monkeypatch.setattr("funnel.experiment.attribute.VIEWERS_AT_ONCE", 3)
    assert (attribute(plain(*stages), range(10), size=5, value="reply").value == together.value).all()
    assert (attribute(plain(*stages), [7], size=5, value="reply").value[0] == together.value[7]).all()


def test_every_stage_that_can_lose_something_has_one_line() -> None:
    stages = (
        slot(OwnTweets()),
        slot(RetweetDuplicates()),
        slot(Coarse(), "coarse", keep=20),
        slot(Remainder(), "late"),
    )
    funnel = planted(
        [
            slot(Lottery(count=80), "lottery"), *stages, slot(Taste(), "taste"),
            slot(NetworkCaps(max_in_network=3, max_out_of_network=8)), slot(TopK(size=5)),
        ]
    )  # fmt: skip
    ledger = attribute(funnel, range(5), size=5, value="favorite")
    assert [step.stage for step in ledger.steps] == [
        "own_tweets", "late", RETRIEVAL, "retweet_duplicates", "coarse", "taste", "network_caps", "top_k",
    ]  # fmt: skip


def test_a_page_that_ranks_by_the_truth_loses_nothing_to_its_order() -> None:
    """The oracle's funnel on tiny: the best of everything it may show; only the cut by duplicates can cost."""
    funnel = load_funnel("oracle", World.load("tiny"))
    ledger = attribute(funnel, range(8), size=20)
    assert _line(ledger, RETRIEVAL) == pytest.approx(0.0, abs=1e-9)
    assert _line(ledger, "oracle_value") == pytest.approx(0.0, abs=1e-4)  # it orders by a float32
    assert _line(ledger, "top_k") == pytest.approx(0.0, abs=1e-9)


def test_the_default_funnel_is_charged_stage_by_stage(trained: Funnel) -> None:
    """By its own weights the value's line is 0, since wanting and measuring are one; satisfaction is another thing."""
    own = attribute(trained, range(12), size=20)
    names = [step.stage for step in own.steps]
    assert names[names.index("source_cuts") : names.index("source_cuts") + 4] == [
        "source_cuts", "heavy_ranker_cap", "value", "heavy_ranker",
    ]  # fmt: skip
    assert own.rules == names.index(RETRIEVAL)
    assert np.abs(_line(own, "value")).max() < 1e-4 * own.value.max()
    glad = attribute(trained, range(12), size=20, value="satisfaction")
    assert _line(glad, "value").mean() > 0
    assert own.meta["value"] == "weights of twitter_2023"
    plain_pages = trained.run(range(12), size=20)
    oracle = trained.world.oracle
    assert oracle is not None
    objective = objective_of(trained, "favorite")
    served = attribute(trained, range(12), size=20, value="favorite").value[:, -1]
    for row, page in enumerate(plain_pages):
        tweet = np.array([shown["tweet"] for shown in page], np.int32)
        place = np.arange(tweet.size, dtype=np.int32)
        who, now_h = np.full(tweet.size, page.viewer, np.int32), np.full(tweet.size, page.at_h)
        straight = oracle.probabilities(who, tweet, place, now_h)[:, FAVORITE].sum()
        assert served[row] == pytest.approx(straight, rel=1e-4)
    assert objective.name == "favorite"


def test_looks_are_those_of_the_oracle_for_any_tweet_and_action() -> None:
    world = World.load("tiny")
    objective = objective_of(load_funnel("oracle", world), "favorite")
    view = world.view()
    requests = Requests.of([3, 5], view.now_h, view)
    looks = objective.looks(requests, 10, 12)
    assert (looks[:, 0] == 1.0).all()
    assert (np.diff(looks, axis=1) <= 0).all()
    assert world.oracle is not None
    for row, viewer in enumerate((3, 5)):
        who, tweet = np.full(12, viewer, np.int32), np.full(12, 77, np.int32)
        p = world.oracle.probabilities(who, tweet, np.arange(12, dtype=np.int32), np.full(12, view.now_h))
        np.testing.assert_allclose(p, looks[row][:, None] * p[0], rtol=1e-5)


def test_segments_are_parts_of_all_viewers_and_their_means_make_the_whole() -> None:
    ledger = attribute(load_funnel("random", World.load("tiny")), range(60), size=10, value="favorite")
    parts = ledger.segments
    assert (parts["new"].astype(int) + parts["light"] + parts["heavy"] == 1).all()
    assert (parts["follows few"] ^ parts["follows many"]).all()
    served = {name: ledger.totals(name) for name in ("follows few", "follows many", "all")}
    weighted = sum(float(str(served[name][SERVED])) * int(str(served[name]["viewers"])) for name in list(served)[:2])
    assert weighted / 60 == pytest.approx(float(str(served["all"][SERVED])))
    for row in ledger.rows():
        assert float(str(row["low"])) <= float(str(row["loss"])) <= float(str(row["high"]))


def test_an_interval_covers_the_mean_of_many_viewers() -> None:
    """Of 40 samples of 40 viewers, the 95 % interval holds the mean of all 1,600 in 33 or more (fewer: P < 0.001)."""
    draw = np.random.default_rng(0)
    value = np.column_stack([10 + draw.exponential(3, 1_600), draw.exponential(2, 1_600)])
    whole = float((value[:, 0] - value[:, 1]).mean())
    hit = 0
    for part in np.split(value, 40):
        rows = _ledger(part).rows()
        hit += float(str(rows[0]["low"])) <= whole <= float(str(rows[0]["high"]))
    assert hit >= 33


def _ledger(value: Doubles) -> Ledger:
    everybody = np.ones(len(value), np.bool_)
    steps = tuple(Step(f"stage{i} <&>", "filter", CUT) for i in range(value.shape[1] - 1))
    meta = {"funnel": "f", "world": "w", "places": 3, "value": "v", "corpus_tweets": 9, "max_age_h": 48.0}
    return Ledger(np.arange(len(value), dtype=np.int32), steps, 0, value, {"all": everybody}, meta)


def test_the_svg_is_well_formed_and_stays_inside_its_frame() -> None:
    """Values that win, lose and fall below 0; names that are markup."""
    ledger = _ledger(np.array([[5.0, 6.0, 2.0, -1.0], [4.0, 4.0, 3.0, -2.0]]))
    image = waterfall.svg(ledger)
    root = ElementTree.fromstring(image)  # noqa: S314 - our own
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    boxes = [part.attrib for part in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(boxes) == 6  # corpus, eligible, three stages, served
    for box in boxes:
        assert 0 <= float(box["x"]) <= float(box["x"]) + float(box["width"]) <= width
        assert 0 <= float(box["y"]) <= float(box["y"]) + float(box["height"]) <= height
    assert [box["class"] for box in boxes] == ["total", "total", "gain", "loss", "loss", "total"]
    assert "prefers-color-scheme: dark" in image


def test_the_page_stands_alone() -> None:
    page = waterfall.html_page(_ledger(np.array([[5.0, 3.0, 2.0], [4.0, 4.0, 1.0]])))
    head = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", head)
    assert "Where f loses value on w" in page
    assert "stage0 &lt;&amp;&gt;" in page


def test_a_ledger_of_nothing_can_still_be_shown() -> None:
    """All values 0: no shares, no bars, no division by zero."""
    ledger = _ledger(np.zeros((3, 4)))
    assert json.loads(json.dumps(ledger.as_json(), allow_nan=False))["segments"]["all"]["served_share"] is None
    assert ElementTree.fromstring(waterfall.svg(ledger)).tag.endswith("svg")  # noqa: S314 - our own
    assert len(waterfall.terminal_rows(ledger)) == 6


@pytest.mark.parametrize(
    ("funnel", "asked", "said"),
    [
        ("random", {"viewers": [], "value": "favorite"}, "at least one viewer"),
        ("random", {"viewers": [1]}, "weighs no actions"),
        ("random", {"viewers": [1], "value": "favourite"}, "did you mean 'favorite'"),
        ("random", {"viewers": [1], "value": "popular"}, "weighs no actions"),
        ("oracle", {"viewers": [1], "size": 0}, "at least 1 tweet"),
        ("oracle", {"viewers": [1], "size": 5_000}, "more than the corpus"),
        ("oracle", {"viewers": [1], "max_age_h": 0.0}, "above 0"),
        ("oracle", {"viewers": [99_999]}, "unknown"),
        ("oracle", {"viewers": [1], "at_h": 9_999.0}, "outside this world"),
    ],
)
def test_bad_input_is_refused_in_words(funnel: str, asked: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        attribute(load_funnel(funnel, World.load("tiny")), **asked)  # type: ignore[arg-type]


def test_a_world_without_truth_is_refused() -> None:
    tables = mini_world()
    world = World.of(WorldData(tables.meta, {name: tables.table(name) for name in TABLES}))
    funnel = Funnel("f", about="", world=world, jobs=[], stages=plain().stages)
    with pytest.raises(ConfigError, match="has no truth"):
        attribute(funnel, [1], value="favorite")


def test_a_funnel_that_finds_nothing_loses_everything_to_retrieval() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FunnelWarning)
        funnel = planted([slot(Nothing(), "nothing"), slot(Taste(), "taste"), slot(TopK())])
        ledger = attribute(funnel, range(4), size=5, value="favorite")
    assert (ledger.value[:, -1] == 0).all()
    assert (_line(ledger, RETRIEVAL) == ledger.value[:, 0]).all()


def test_the_command_writes_what_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    svg, table = tmp_path / "ledger.svg", tmp_path / "ledger.csv"
    asked = ["--world", "tiny", "--funnel", "oracle", "--viewers", "9", "--size", "10"]
    with pytest.raises(SystemExit) as ended:
        main(["attribute", *asked, "--json", "--svg", str(svg), "--csv", str(table)])
    assert ended.value.code == 0
    whole = json.loads(capsys.readouterr().out)["segments"]["all"]
    lost = sum(row["loss"] for row in whole["ledger"])
    assert whole["corpus"] - lost == pytest.approx(whole["served"])
    assert whole[ELIGIBLE] <= whole["corpus"]
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [row["stage"] for row in rows if row["segment"] == "all"] == [row["stage"] for row in whole["ledger"]]
    ElementTree.fromstring(svg.read_text())  # noqa: S314 - our own
    with pytest.raises(SystemExit):
        main(["attribute", *asked])
    shown = capsys.readouterr().out
    assert "ELIGIBLE" in shown
    assert "follows many" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--world", "nowhere"), "nowhere"),
        (("--world", "tiny", "--funnel", "popular", "--viewers", "3"), "weighs no actions"),
        (("--world", "tiny", "--funnel", "oracle", "--viewers", "0"), "wants 1 to 300"),
    ],
)
def test_the_command_refuses_in_one_paragraph(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["attribute", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_an_objective_of_actions_is_the_weighted_sum() -> None:
    weights = np.zeros(len(ACTION_NAMES))
    weights[:2] = (2.0, -1.0)
    made = Objective("mine", Planted(), None, weights, 0.5)
    batch = fake_batch([3, 2])
    p = Planted().probabilities(batch.viewer, batch["tweet"], np.zeros(5, np.int32), batch.now_h).astype(np.float64)
    glad = Planted().satisfaction(batch.viewer, batch["tweet"])
    np.testing.assert_allclose(made.values(batch), 2 * p[:, 0] - p[:, 1] + 0.5 * glad)

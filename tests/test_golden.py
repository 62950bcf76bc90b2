"""Golden run: the same small worlds and the same pages, until somebody changes them on purpose.

`make golden` writes tests/golden.json anew; look at the difference before you commit it. Ids are
compared exactly, scores with a tolerance, and counts of the generated world within one per cent,
because the last bits of exp and log differ between processors.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from funnel.compose import funnel_names, load_funnel
from funnel.core.stage import Learned
from funnel.world import World
from heuristics.boosts.author_diversity import AuthorDiversity
from heuristics.boosts.out_of_network import OutOfNetwork
from heuristics.boosts.replies import Replies
from heuristics.filters.already_seen import AlreadySeen
from heuristics.filters.hidden_authors import HiddenAuthors
from heuristics.filters.own_tweets import OwnTweets
from heuristics.filters.retweet_duplicates import RetweetDuplicates
from heuristics.selectors.network_caps import NetworkCaps
from heuristics.selectors.top_k import TopK
from tests.laws.funnels import Lottery, Taste, funnel_of, slot

GOLDEN = Path(__file__).with_name("golden.json")
PRESETS = Path(__file__).with_name("golden_presets.json")
VIEWERS, SHOWN = range(6), 12
# What learns rounds differently on other processors, and a tie can fall the other way: so much of a page stays.
LEARNT_ALIKE = 0.75


def golden_run() -> dict[str, object]:
    """Counts of the tiny world, and pages of ten viewers of the mini world with every heuristic on."""
    parts = [OwnTweets(), HiddenAuthors(), RetweetDuplicates(), AlreadySeen()]
    rest = [OutOfNetwork(), Replies(), AuthorDiversity(), NetworkCaps(), TopK(size=5)]
    stages = [slot(Lottery(count=120), "lottery"), *map(slot, parts), slot(Taste(), "taste"), *map(slot, rest)]
    pages = funnel_of(stages).run(list(range(10)), seed=0)
    return {
        "tiny": World.load("tiny").counts,
        "stages": {stage.stage: [stage.n_in, stage.n_out] for stage in pages.stages},
        "pages": {str(page.viewer): [[row["tweet"], row["score"]] for row in page] for page in pages},
    }


def test_the_golden_run_is_unchanged() -> None:
    found = json.loads(json.dumps(golden_run()))
    if os.environ.get("FUNNEL_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    golden = json.loads(GOLDEN.read_text("utf-8"))
    assert found["tiny"] == pytest.approx(golden["tiny"], rel=0.01)
    assert found["stages"] == golden["stages"]
    for viewer, page in golden["pages"].items():
        assert [row[0] for row in found["pages"][viewer]] == [row[0] for row in page]
        assert [row[1] for row in found["pages"][viewer]] == pytest.approx([row[1] for row in page], rel=1e-5)


def preset_run(name: str) -> dict[str, object]:
    """What each stage of a shipped funnel leaves for six viewers of the tiny world, and the tops of their pages."""
    funnel = load_funnel(name, World.load("tiny"))
    pages = funnel.run(list(VIEWERS), seed=0)
    learns = bool(funnel.jobs) or any(isinstance(slot.part, Learned) for slot in funnel.stages)
    return {
        "learns": learns,
        "stages": {stage.stage: stage.n_out for stage in pages.stages},
        "pages": {str(page.viewer): [row["tweet"] for row in page][:SHOWN] for page in pages},
    }


@pytest.mark.filterwarnings("ignore::funnel.core.errors.FunnelWarning")
def test_the_pages_of_every_preset_are_unchanged() -> None:
    found = {name: preset_run(name) for name in funnel_names()}
    if os.environ.get("FUNNEL_WRITE_GOLDEN"):
        PRESETS.write_text(json.dumps(found) + "\n", encoding="utf-8")
    golden = json.loads(PRESETS.read_text("utf-8"))
    assert set(found) == set(golden), "a preset came or went: `make golden`"
    for name, preset in golden.items():
        stages, pages = found[name]["stages"], found[name]["pages"]
        assert isinstance(stages, dict) and isinstance(pages, dict)  # noqa: PT018
        assert list(stages) == list(preset["stages"]), name
        assert found[name]["learns"] == preset["learns"]
        same = [tweet in page for viewer, page in preset["pages"].items() for tweet in pages[viewer]]
        if preset["learns"]:
            assert sum(same) >= LEARNT_ALIKE * len(same), name
            assert stages == pytest.approx(preset["stages"], rel=0.1, abs=12), name
        else:
            assert pages == preset["pages"], name
            assert stages == preset["stages"], name

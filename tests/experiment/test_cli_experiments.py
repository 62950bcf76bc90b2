"""The commands compare, ablate and list metrics: what they print, and one paragraph for what is wrong."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from funnel import compose
from funnel.cli import main
from funnel.pipeline import Funnel
from funnel.world import World
from tests.experiment.cheap import cheap, tiny


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process, on the tiny world and cheap funnels."""

    def load(name: str, world: World, *, settings: object = ()) -> Funnel:
        sizes = {"cheap": 10, "short": 5}
        if name in sizes:
            return cheap(name=name, size=5 if settings else sizes[name])
        return really(name, world, settings=settings)  # type: ignore[arg-type]

    really = compose.load_funnel
    world = tiny()  # loaded by `World.load`, which is about to be another
    monkeypatch.setattr(World, "load", staticmethod(lambda *_, **__: world))
    monkeypatch.setattr(compose, "load_funnel", load)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as left:
            main(arguments)
        return int(str(left.value.code)), out.getvalue(), err.getvalue()

    return call


def test_compare_prints_stages_differences_and_what_moved(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, _ = run(
        "compare", "cheap", "short", "--viewers", "30", "--viewer", "3", "--csv", str(tmp_path / "all.csv")
    )
    assert code == 0
    for part in ("Stages: candidates per request", "page.value", "removed by top_k in b", "jaccard"):
        assert part in out
    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text())))
    (tweets,) = (row for row in rows if row["metric"] == "page.tweets")
    assert (tweets["funnel_a"], tweets["funnel_b"], tweets["difference"]) == ("cheap", "short", "-5.0")


def test_compare_prints_json_and_nothing_else(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = run("compare", "cheap", "--set", "top_k.size=5", "--viewers", "20", "--json")
    assert code == 0
    said = json.loads(out)
    assert said["against"][0]["b"] == "cheap top_k.size=5"
    assert said["viewers"] == 20


def test_ablate_says_what_does_nothing(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    asked = ("ablate", "--funnel", "cheap", "--stage", "one", "--stage", "taste", "--viewers", "20")
    code, out, _ = run(*asked, "--svg", str(tmp_path / "plot.svg"))
    assert code == 0
    plot = (tmp_path / "plot.svg").read_text("utf-8")
    assert "taste by random" in plot
    assert "page.value does not change at all without" in plot
    assert "Does nothing here (no page of any of 20 viewers changes without it): one" in out
    assert "taste: oracle" in out
    code, out, _ = run("ablate", "--funnel", "cheap", "--stage", "second", "--viewers", "20", "--json")
    assert json.loads(out)["ablations"][0]["stage"] == "second"


def test_metrics_are_listed(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = run("list", "metrics", "--json")
    assert code == 0
    assert {"page.value", "creators.gini", "stage.survival.<stage>"} <= {row["metric"] for row in json.loads(out)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare", "cheap"), "wants two funnels"),
        (("compare", "cheap", "cheap"), "two funnels are called 'cheap'"),
        (("compare", "cheap", "short", "--metric", "page.valeu"), "page.value"),
        (("compare", "cheap", "short", "--worlds", "2", "--viewers", "5"), "same for every seed"),
        (("compare", "cheap", "short", "--days", "2"), "wants --worlds 2 or more"),
        (("compare", "cheap", "short", "--viewer", "999999"), "--viewer"),
        (("compare", "cheap", "short", "--viewers", "0"), "--viewers 0"),
        (("ablate", "--funnel", "cheap"), "wants either --all or --stage"),
        (("ablate", "--funnel", "cheap", "--stage", "oen"), "did you mean 'one'"),
        (("ablate", "--funnel", "cheap", "--all", "--workers", "0"), "--workers"),
    ],
)
def test_bad_input_ends_in_one_paragraph(
    run: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("funnel: ")]
    assert len(lines) == 1
    assert said in lines[0]

"""The command line: what it prints where, and one paragraph for everything that is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from pydantic.dataclasses import dataclass

from funnel import compose, explain
from funnel import world as worlds
from funnel.cli import main
from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch
from funnel.core.stage import STRICT, Scorer
from funnel.pipeline import Funnel
from funnel.world import World
from heuristics.boosts.author_diversity import AuthorDiversity
from heuristics.boosts.out_of_network import OutOfNetwork
from heuristics.filters.too_old import TooOld
from heuristics.selectors.top_k import TopK
from tests.laws.funnels import Coarse, Lottery, Taste, funnel_of, slot

ROOT = Path(__file__).parents[2]


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@dataclass(config=STRICT, kw_only=True)
class Guess(Scorer):
    """Predicts every heavy action: (tweet mod 10) / 100."""

    adds = tuple(f"p.{name}" for name in HEAVY_ACTIONS)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        guess = ((batch["tweet"] % 10) / 100).astype(np.float32)
        return dict.fromkeys(self.adds, guess)


@dataclass(config=STRICT, kw_only=True)
class Weigh(Scorer):
    """Value = 2 p(favorite) + 3 p(reply)."""

    needs = ("p.favorite", "p.reply")
    adds = ("value",)

    def terms(self, batch: CandidateBatch) -> dict[str, Floats]:
        return {"favorite": 2 * batch["p.favorite"], "reply": 3 * batch["p.reply"]}

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        return {"value": sum(self.terms(batch).values(), np.zeros(len(batch), np.float32))}


def full_funnel() -> Funnel:
    """Every kind of stage; the mini world's tweets are 300, the newest 24 h of them about half."""
    return funnel_of(
        [
            slot(Lottery(count=250), "lottery", quota=200),
            slot(TooOld(max_age_h=24), "too_old"),
            slot(Coarse(), "coarse", keep=40),
            slot(Guess(), "guess"),
            slot(Weigh(), "weigh"),
            slot(OutOfNetwork(), "out_of_network"),
            slot(AuthorDiversity(), "author_diversity"),
            slot(TopK(size=8), "top_k"),
        ]
    )


@pytest.fixture
def funnel(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Runs a command in this process, on the mini world and `full_funnel`."""
    made = full_funnel()
    monkeypatch.setattr(World, "load", staticmethod(lambda *_, **__: made.world))
    monkeypatch.setattr(compose, "load_funnel", lambda *_, **__: made)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    return run_in_process(monkeypatch)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Said]:
    """Runs a command in this process with an empty cache."""
    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path / "home"))
    return run_in_process(monkeypatch)


def run_in_process(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    import io

    def run(*arguments: str) -> Said:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return Said(int(str(ended.value.code or 0)), out.getvalue(), err.getvalue())

    return run


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "funnel.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, **options)  # noqa: S603


def test_json_has_the_documented_layout_and_stdout_to_itself(funnel: Callable[..., Said]) -> None:
    said = funnel("simulate", "--viewer", "7", "--json")
    assert said.code == 0, said.err
    page = json.loads(said.out)
    assert list(page) == ["viewer", "at", "world", "funnel", "seed", "stages", "page", "removed", "modules"]
    assert (page["viewer"], page["at"], page["seed"]) == (7, 48.0, 0)
    assert list(page["stages"][0]) == ["stage", "kind", "n_in", "n_out", "wall_ms"]
    keys = {"rank", "tweet", "author", "text", "age_h", "in_network", "sources", "light_score", "p", "value", "boosts"}
    assert keys | {"score"} <= set(page["page"][0])
    assert [row["rank"] for row in page["page"]] == list(range(1, 9))
    merged = next(stage["n_out"] for stage in page["stages"] if stage["stage"] == "merge")
    assert merged == len(page["page"]) + sum(page["removed"].values())


@pytest.mark.parametrize("width", [80, 120])
def test_the_timeline_keeps_within_the_terminal(
    funnel: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    said = funnel("simulate", "--viewer", "7", "--explain")
    assert said.code == 0, said.err
    assert max(map(len, said.out.splitlines())) <= width
    for stage in ("lottery", "too_old", "coarse", "weigh", "author_diversity", "top_k"):
        assert re.search(rf"^ *{stage} ", said.out, re.MULTILINE), stage
    assert "value mostly from" in said.out
    assert "\x1b" not in said.out  # NO_COLOR


def test_control_characters_of_a_tweet_never_reach_the_terminal(
    funnel: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "[bold]plain[/bold] \x1b[2Jgone\x07 \u202eright to left"
    monkeypatch.setattr(World, "texts", lambda _, ids: [evil] * len(ids))
    said = funnel("simulate", "--viewer", "7", "--size", "1")
    assert "[bold]plain[/bold] [2Jgone right to left" in said.out


def test_a_stage_that_lets_nothing_through_is_a_loud_warning(
    funnel: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [slot(Lottery(), "lottery"), slot(TooOld(max_age_h=1e-6), "too_old"), slot(Taste(), "taste")]
    monkeypatch.setattr(compose, "load_funnel", lambda *_, **__: funnel_of([*stages, slot(TopK(), "top_k")]))
    said = funnel("simulate", "--viewer", "7")
    assert said.code == 0
    assert "Nothing to show" in said.out
    assert "Warning" in said.err
    assert "'too_old' let nothing through" in said.err


def test_the_parts_of_an_explanation_multiply_to_the_score(funnel: Callable[..., Said]) -> None:
    page = json.loads(funnel("simulate", "--viewer", "7", "--json").out)["page"]
    for row in page:
        said = json.loads(funnel("explain", "--viewer", "7", "--tweet", str(row["tweet"]), "--json").out)
        assert (said["verdict"], said["rank"]) == ("shown", row["rank"])
        assert said["terms"]["reply"]["weight"] == 3.0
        assert sum(term["product"] for term in said["terms"].values()) == pytest.approx(said["value"], abs=1e-6)
        assert said["value"] * np.prod(list(said["boosts"].values())) == pytest.approx(said["score"], rel=1e-6)


def test_every_tweet_of_the_world_can_be_explained(funnel: Callable[..., Said]) -> None:
    pages = full_funnel().run([7])
    removed_by = dict(pages.candidates().select("tweet", "removed_by").rows())
    for tweet in range(0, 300, 7):
        said = json.loads(funnel("explain", "--viewer", "7", "--tweet", str(tweet), "--json").out)
        if tweet not in removed_by:
            assert said["verdict"] == "not retrieved"
            place = said["searched"][0]["place"]  # the lottery draws 250, its quota is 200
            assert place is None or place > 200
        else:
            assert said.get("removed_by") == removed_by[tweet]


def test_an_explanation_says_what_the_removing_stage_saw(funnel: Callable[..., Said]) -> None:
    candidates = full_funnel().run([7]).candidates()
    for stage, words in {
        "too_old": "It saw: age_h = ",
        "coarse": "It stood at place ",
        "top_k": "8 come through",
    }.items():
        tweet = candidates.filter(removed_by=stage)["tweet"][0]
        said = funnel("explain", "--viewer", "7", "--tweet", str(tweet))
        assert f"Removed by {stage} " in said.out
        assert words in said.out


def test_a_tweet_of_the_future_is_said_to_be_one(funnel: Callable[..., Said]) -> None:
    said = funnel("explain", "--viewer", "7", "--tweet", "299", "--at", "1h")
    assert "h after the request" in said.out


def test_the_reason_of_a_tweet_is_in_plain_words() -> None:
    row = {"sources": ["in_network", "homebrew"], "boosts": {"out_of_network": 0.75, "replies": 1.0}}
    terms: dict[str, explain.Term] = {
        "reply": {"weight": 13.5, "p": 0.02, "product": 0.27},
        "report": {"weight": -369.0, "p": 0.001, "product": -0.369},
    }
    assert explain.reason(row, terms) == (
        "from an account that the viewer follows and found by homebrew; "
        "value mostly from reply (2.0%); out of network ×0.75"
    )


def test_many_viewers_are_written_to_a_folder(funnel: Callable[..., Said], tmp_path: Path) -> None:
    said = funnel("simulate", "--viewers", "12", "--out", str(tmp_path / "run"), "--json")
    assert said.code == 0, said.err
    manifest = json.loads(said.out)
    assert (manifest["viewers"], manifest["status"]) == (12, "complete")
    again = funnel("simulate", "--viewers", "12", "--out", str(tmp_path / "run"))
    assert "parts taken over" in again.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("simulate",), "--viewer NUMBER or --viewers"),
        (("simulate", "--viewer", "1", "--viewers", "2"), "either --viewer"),
        (("simulate", "--viewers", "2"), "--out RUN_DIR together"),
        (("simulate", "--viewer", "1", "--out", "x"), "--out RUN_DIR together"),
        (("simulate", "--viewer", "30"), "are 0 to 29"),
        (("simulate", "--viewer", "-1"), "--viewer -1: unknown"),
        (("simulate", "--viewer", "1", "--size", "0"), "at least 1 tweet"),
        (("simulate", "--viewer", "1", "--size", "-5"), "got -5"),
        (("simulate", "--viewer", "1", "--at", "99"), "--at 99: is hour 99, outside"),
        (("simulate", "--viewer", "1", "--at", "soon"), "--at soon: wants end, hours"),
        (("simulate", "--viewers", "31", "--out", "x"), "wants 1 to 30"),
        (("simulate", "--viewers", "3", "--out", "x", "--workers", "0"), "--workers"),
        (("explain", "--viewer", "1", "--tweet", "300"), "are 0 to 299"),
        (("explain", "--viewer", "1", "--tweet", "-1"), "--tweet -1"),
    ],
)
def test_bad_input_is_one_paragraph_and_exit_code_2(
    funnel: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = funnel(*arguments)
    assert code == 2
    assert out == ""
    assert said in err
    assert err.startswith("funnel: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("world", "describe", "smal"), "did you mean 'small'?"),
        (("simulate", "--viewer", "1", "--world", "LIST.yaml"), "wants a mapping of settings, got a list"),
        (("simulate", "--viewer", "1", "--world", "EMPTY.yaml"), "got nothing"),
        (("simulate", "--viewer", "1", "--world", "LARGE.yaml"), "is larger than 1 MB"),
        (("world", "build", "WRONG.yaml"), "nothing_like_it"),
    ],
)
def test_a_wrong_world_is_one_paragraph(
    bare: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "LIST.yaml").write_text("- a\n- b\n")
    (tmp_path / "EMPTY.yaml").write_text("")
    (tmp_path / "LARGE.yaml").write_text("a: b\n" * 2_000_000)
    (tmp_path / "WRONG.yaml").write_text("use: nothing_like_it\n")
    code, out, err = bare(*arguments)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(28, "No space left on device", "/x/y"), 2, "/x/y: No space left on device"),
        (PermissionError(13, "Permission denied", "/x/y"), 2, "Permission denied"),
        (MemoryError(), 2, "out of memory"),
        (ZeroDivisionError("float"), 1, "unexpected ZeroDivisionError: float"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_whatever_goes_wrong_there_is_no_traceback(
    bare: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(worlds.World, "load", staticmethod(fail))
    found = bare("simulate", "--viewer", "1")
    assert found.code == code
    assert said in found.err
    assert "Traceback" not in found.err


def test_help_imports_nothing_heavy() -> None:
    assert process("--help").returncode == 0
    heavy = "numpy polars torch sklearn faiss numba rich scipy pydantic yaml"
    code = f"import sys, funnel.cli; print([name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"


def test_every_command_has_help(bare: Callable[..., Said]) -> None:
    commands = [
        "",
        "simulate",
        "explain",
        "train",
        "train heavy",
        "train random-data",
        "parity",
        "world",
        "world build",
        "world import",
        "world describe",
    ]
    for command in [*commands, "world list", "list stages", "list features", "list funnels", "list worlds"]:
        said = bare(*command.split(), "--help")
        assert (said.code, said.err) == (0, ""), command


def test_an_unknown_option_is_named() -> None:
    done = process("simulate", "--viewr", "7")
    assert done.returncode == 2
    assert "--viewr" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_ends_the_command_quietly() -> None:
    script = f"{sys.executable} -m funnel.cli list worlds --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)  # noqa: S603, S607
    assert done.stderr == ""
    assert done.returncode in (0, 1)  # 0 if it was done before the reader left


def test_the_version_is_the_packages(bare: Callable[..., Said]) -> None:
    from funnel import __version__

    assert bare("--version").out == f"funnel {__version__}\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_paragraph(funnel: Callable[..., Said], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    said = funnel("simulate", "--viewers", "3", "--out", str(tmp_path / "run"))
    assert said.code == 2
    assert "Permission denied" in said.err


def test_a_page_of_a_real_data_set_shows_a_date(funnel: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    made = full_funnel()
    monkeypatch.setattr(made.world, "meta", replace(made.world.meta, epoch_unix_s=1341100800.0))
    monkeypatch.setattr(compose, "load_funnel", lambda *_, **__: made)
    assert "2012-07-03 00:00 UTC" in funnel("simulate", "--viewer", "7").out  # 48 h after 2012-07-01


def test_parity_ends_with_1_where_a_number_is_over_its_tolerance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["parity", str(ROOT / "tests" / "parity" / "fixtures"), "--json"])
    reports = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert {report["kind"] for report in reports} >= {"model", "masknet", "metrics", "schedules"}
    spoilt = {"x": [1.0], "y_f32": [0.7], "y_f64": [0.693147180559945]}  # ln 2 = 0.6931
    (tmp_path / "anything.json").write_text(json.dumps(spoilt))
    with pytest.raises(SystemExit) as ended:
        main(["parity", str(tmp_path)])
    assert ended.value.code == 1
    assert "OVER: float32" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["parity", str(tmp_path / "nothing")])
    assert ended.value.code == 2
    assert "does not exist" in capsys.readouterr().err

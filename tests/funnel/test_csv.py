"""Tables as CSV: what stands in the file is what the command shows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from funnel import diff
from funnel.cli import main
from funnel.report import flat_rows


def read(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def test_nested_values_become_columns_and_lists_become_words() -> None:
    rows = [{"tweet": 7, "p": {"reply": 0.5, "deep": {"er": 1}}, "sources": ["uteg", "popular"]}]
    assert flat_rows(rows) == [{"tweet": 7, "p.reply": 0.5, "p.deep.er": 1, "sources": "uteg; popular"}]


def test_a_row_of_a_diff_is_a_difference() -> None:
    found = diff.differences("twitter_2023", "twitter_2023_03")
    count = sum(len(found[key]) for key in ("only_in_a", "only_in_b", "moved", "changed"))  # type: ignore[literal-required]
    rows = diff.rows(found)
    assert len(rows) == count > 0
    assert {tuple(row) for row in rows} == {("what", "stage", "setting", "a", "b")}
    assert diff.rows(diff.differences("twitter_2023", "twitter_2023")) == []


def test_diff_writes_its_differences(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "new" / "d.csv"
    with pytest.raises(SystemExit) as left:
        main(["diff", "twitter_2023", "twitter_2023_03", "--csv", str(file)])
    assert left.value.code == 0
    rows = read(file)
    found = diff.differences("twitter_2023", "twitter_2023_03")
    assert [row["stage"] for row in rows] == [str(row["stage"]) for row in diff.rows(found)]
    assert capsys.readouterr().out


def test_simulate_writes_the_page_or_the_stages(tmp_path: Path, capsys: Any) -> None:
    page, stages = tmp_path / "page.csv", tmp_path / "stages.csv"
    asked = ["simulate", "--world", "tiny", "--funnel", "chronological"]
    for more in (
        ["--viewer", "3", "--csv", str(page)],
        ["--viewers", "2", "--out", str(tmp_path / "run"), "--csv", str(stages)],
    ):
        with pytest.raises(SystemExit) as left:
            main([*asked, *more])
        assert left.value.code == 0
    rows = read(page)
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0]["sources"]
    assert {"stage", "kind", "n_in", "n_out", "removed"} == set(read(stages)[0])
    tweet = rows[0]["tweet"]
    with pytest.raises(SystemExit) as left:
        main(
            [
                "explain",
                "--world",
                "tiny",
                "--funnel",
                "chronological",
                "--viewer",
                "3",
                "--tweet",
                tweet,
                "--csv",
                str(page),
            ]
        )
    assert left.value.code == 0
    said = {row["field"]: row["value"] for row in read(page)}
    assert said["tweet"] == tweet
    capsys.readouterr()

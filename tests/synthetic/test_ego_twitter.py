"""The ego networks become a world of follows and lists, without tweets."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from funnel.checks import check_tables
from funnel.core.errors import DataError
from funnel.core.progress import SILENT
from funnel.core.world import WorldData
from synthetic.datasets.ego_twitter import ARCHIVE, EgoTwitter
from tests.synthetic.data_sets import real, rows

# Ego 5 follows 10, 20 and 30 (who stands in .feat alone); ego 20 follows 10.
FILES = {
    "twitter/5.edges": "10 20\n20 10\n10 20\n20 20\n",
    "twitter/5.feat": "10 0 1\n20 1 1\n30 0 0\n",
    "twitter/5.circles": "0\t10\t20\n1\t10\t99\n",
    "twitter/20.edges": "10 5\n",
    "twitter/20.circles": "0\t10\n",
}


def build(folder: Path, **changed: str) -> WorldData:
    with tarfile.open(folder / ARCHIVE, "w:gz") as archive:
        for name, text in {**FILES, **{f"twitter/{key}": value for key, value in changed.items()}}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    data = EgoTwitter(folder=folder, verify=False).build("ego", 0, SILENT)
    check_tables(data.tables, "ego")
    return data


def test_an_ego_follows_everybody_in_its_files_and_circles_become_lists(tmp_path: Path) -> None:
    data = build(tmp_path)
    assert data.tables["users"]["handle"].tolist() == ["user5", "user10", "user20", "user30"]
    # 5 -> 10, 20, 30; 10 -> 5 and 20; 20 -> 5 and 10; nobody oneself, each once.
    assert rows(data, "follows", "follower", "followee") == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 2), (2, 0), (2, 1)]
    # Files in the order of their names: the list of 20 first. 99 follows nobody and is followed by nobody.
    assert rows(data, "lists", "list", "owner", "member") == [(0, 2, 1), (1, 0, 1), (1, 0, 2), (2, 0, 1)]
    assert "tweets" not in data.tables
    assert data.meta.observed_actions == ()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"5.edges": "10 20\n10,20\n"}, r"5\.edges: line 2 wants '<follower> <followee>', got '10,20'"),
        ({"5.edges": "10 20\n10\n"}, r"5\.edges: line 2 wants"),
        ({"5.circles": "0\t10\tx\n"}, r"5\.circles: line 1 wants"),
        ({"5.feat": "x 0 1\n"}, r"5\.edges: the \.feat file beside it wants"),
        ({"x.edges": "1 2\n"}, r"x\.edges: wants a file named by the ego's number"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, changed: dict[str, str], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        build(tmp_path, **changed)


def test_a_truncated_and_another_archive_are_refused(tmp_path: Path) -> None:
    build(tmp_path)
    with pytest.raises(DataError, match="is not the published file"):
        EgoTwitter(folder=tmp_path).build("ego", 0, SILENT)
    whole = (tmp_path / ARCHIVE).read_bytes()
    (tmp_path / ARCHIVE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"is truncated or no tar\.gz archive"):
        EgoTwitter(folder=tmp_path, verify=False).build("ego", 0, SILENT)


def test_the_counts_are_those_of_the_data() -> None:
    data = real("ego_twitter", "ego-twitter")
    assert data.tables["users"]["handle"].size == 81_306
    # The published 1,768,149 less 14 who "follow themselves".
    assert data.tables["follows"]["follower"].size == 1_768_149 - 14
    assert int(data.tables["lists"]["list"].max()) == 4_065 - 1

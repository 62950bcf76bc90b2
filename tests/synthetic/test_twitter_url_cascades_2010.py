"""The cascades become a world of links that are retweeted."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from funnel.checks import check_tables
from funnel.core.errors import DataError
from funnel.core.progress import SILENT
from funnel.core.tables import ORIGINAL, RETWEET
from funnel.core.world import WorldData
from synthetic.datasets.twitter_url_cascades_2010 import EPOCH_UNIX_S, SHA256, TwitterUrlCascades2010
from tests.synthetic.data_sets import real, rows


def line(*events: tuple[int, float]) -> str:
    return " ".join(f"{user},{(EPOCH_UNIX_S + hour * 3600) * 1000:.0f}" for user, hour in events) + " \n"


def build(folder: Path, *lines: str) -> WorldData:
    for name, text in zip(SHA256, ("".join(lines), "", ""), strict=True):
        (folder / name).write_bytes(gzip.compress(text.encode()))
    data = TwitterUrlCascades2010(folder=folder, verify=False).build("urls", 0, SILENT)
    check_tables(data.tables, "urls")
    return data


def test_a_link_is_an_original_and_its_retweets(tmp_path: Path) -> None:
    data = build(tmp_path, line((30, 2.0), (10, 4.0), (20, 4.0)), line((20, 1.0), (30, 3.0)))
    assert data.tables["users"]["handle"].tolist() == ["user10", "user20", "user30"]
    assert rows(data, "tweets", "time_h", "author", "kind", "parent") == [
        (1.0, 1, ORIGINAL, -1),
        (2.0, 2, ORIGINAL, -1),
        (3.0, 2, RETWEET, 0),
        (4.0, 0, RETWEET, 1),
        (4.0, 1, RETWEET, 1),
    ]
    assert rows(data, "engagements", "viewer", "tweet", "time_h") == [(2, 0, 3.0), (0, 1, 4.0), (1, 1, 4.0)]
    assert "follows" not in data.tables


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (line((1, 1.0)) + "1 2\n", "line 2 wants '<user>,<unix_ms>"),
        (line((1, 2.0), (2, 1.0)), "line 1 is not in order of time"),
        (line((1, 2.0), (2, 400.0)), "line 1 is not of 20 September"),
        ("", "its files are empty"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        build(tmp_path, content)


def test_the_counts_are_those_of_the_data() -> None:
    data = real("twitter_url_cascades_2010", "twitter-url-cascades-2010")
    assert data.meta.viewer_count == 12_627
    assert np.bincount(data.tables["tweets"]["kind"]).tolist() == [3_461, 135_559 - 3_461]
    assert data.tables["engagements"]["viewer"].size == 135_559 - 3_461
    shown, done = data.tables["impressions"], data.tables["engagements"]
    led = done["impression"][done["impression"] >= 0]
    assert np.bincount(shown["request"][led]).max() == 1  # one answer a page

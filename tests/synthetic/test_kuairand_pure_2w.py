"""The Kuaishou log becomes impressions with reactions, each after the impression that led to it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from funnel.checks import check_tables
from funnel.core.actions import ACTION_CODE, ACTION_NAMES
from funnel.core.errors import DataError
from funnel.core.progress import SILENT
from funnel.core.world import WorldData
from synthetic.datasets.kuairand_pure_2w import EPOCH_UNIX_S, HISTORY, LABELS, LOGS, USERS, VIDEOS, KuairandPure2w
from tests.synthetic.data_sets import real, rows

VIDEO_ROWS = """video_id,author_id,upload_dt,video_duration,tag
0,70,2022-04-10,10000,"3,9"
1,50,2022-04-09,,
"""


def shown(user: int, video: int, hour: float, play_ms: int = 0, **labels: int) -> dict[str, int]:
    moment = round((EPOCH_UNIX_S + hour * 3600) * 1000)
    none = dict.fromkeys((*LABELS, "is_follow"), 0)
    return {"user_id": user, "video_id": video, "time_ms": moment, "play_time_ms": play_ms, **none, **labels}


def build(folder: Path, *log: dict[str, int]) -> WorldData:
    (folder / USERS).write_bytes(gzip.compress(b"user_id,register_days\n0,2\n1,30\n"))
    (folder / VIDEOS).write_bytes(gzip.compress(VIDEO_ROWS.encode()))
    for name, part in zip(LOGS, (log[:1], log[1:]), strict=True):
        pl.DataFrame(part or log[:1]).head(len(part)).write_parquet(folder / name)
    likes = {"user_id": [0, 1], "last_time_ms": [(EPOCH_UNIX_S - 7200) * 1000] * 2, "like_seq": [[1, 0, 1], []]}
    pl.DataFrame(likes, schema_overrides={"like_seq": pl.List(pl.Int64)}).write_parquet(folder / HISTORY)
    data = KuairandPure2w(folder=folder, verify=False).build("kuai", 0, SILENT)
    check_tables(data.tables, "kuai")
    return data


def test_labels_become_actions_at_the_end_of_playing(tmp_path: Path) -> None:
    data = build(
        tmp_path,
        shown(1, 0, 2.0, 5_000, is_click=1, is_like=1, is_follow=1),
        shown(0, 1, 1.0, 3_000, is_hate=1),
        shown(1, 1, 2.0, 1_000, is_comment=1),
    )
    # Users 0 and 1, then authors 50 and 70; video 1 of 9 April comes before video 0.
    assert data.tables["users"]["handle"].tolist() == ["user0", "user1", "author50", "author70"]
    assert data.tables["users"]["created_h"][:2].tolist() == [-48.0, -720.0]
    assert rows(data, "tweets", "author", "video_s") == [(2, 0.0), (3, 10.0)]
    # One millisecond is one page.
    assert rows(data, "impressions", "viewer", "tweet", "request") == [(0, 0, 0), (1, 1, 1), (1, 0, 1)]
    assert data.tables["impressions"]["time_h"].tolist() == pytest.approx([1.0, 2.0, 2.0])
    done = [
        (ACTION_NAMES[action], impression, round(time_h * 3600) % 3600)
        for action, impression, time_h in zip(
            *(data.tables["engagements"][name].tolist() for name in ("action", "impression", "time_h")), strict=True
        )
    ]
    # Before the log: user 0 liked videos 1 and 0, each once. A video without a length is never half watched.
    assert done == [
        ("favorite", -1, 0),
        ("favorite", -1, 0),
        ("negative_feedback", 0, 3),
        ("dwell", 0, 3),
        ("reply", 2, 1),
        ("favorite", 1, 5),
        ("click", 1, 5),
        ("dwell", 1, 5),
        ("video_playback50", 1, 5),
    ]
    assert rows(data, "follows", "follower", "followee") == [(1, 3)]
    assert data.tables["follows"]["time_h"][0] == pytest.approx(2.0 + 5 / 3600)
    assert rows(data, "feedback", "user", "author", "tweet") == [(0, 2, 0)]


def test_a_wrong_row_is_named(tmp_path: Path) -> None:
    for wrong in (shown(2, 0, 1.0), shown(0, 7, 1.0), shown(0, 0, -1.0), shown(0, 0, 400.0), shown(0, 0, 1.0, -5)):
        with pytest.raises(DataError, match=rf"{LOGS[1]}: row 1: wants a known user and video"):
            build(tmp_path, shown(0, 0, 1.0), shown(0, 0, 1.0), wrong)
    (tmp_path / LOGS[0]).write_bytes((tmp_path / LOGS[0]).read_bytes()[:-30])
    with pytest.raises(DataError, match=rf"{LOGS[0]}: wants a Parquet file with columns user_id"):
        KuairandPure2w(folder=tmp_path, verify=False).build("kuai", 0, SILENT)


def test_the_counts_are_those_of_the_data() -> None:
    data = real("kuairand_pure_2w", "kuairand-pure-2w")
    log, done = data.tables["impressions"], data.tables["engagements"]
    assert log["viewer"].size == 228_329
    assert np.unique(log["viewer"]).size == 25_156
    assert np.unique(log["tweet"]).size == 6_361
    counts = np.bincount(done["action"][done["impression"] >= 0], minlength=len(ACTION_NAMES))
    published = {"click": 100_900, "profile_click": 4_231, "favorite": 3_915, "reply": 579, "retweet": 195}
    published["negative_feedback"] = 190
    assert {name: int(counts[ACTION_CODE[name]]) for name in published} == published
    caused = done["impression"] >= 0
    assert (done["time_h"][caused] >= log["time_h"][done["impression"][caused]]).all()
    assert (done["time_h"][~caused] < 0).all()

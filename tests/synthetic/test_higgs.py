"""The Higgs data become a world whose counts are the data's and whose reconstructions keep to time."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array
from funnel.core.errors import DataError
from funnel.core.events import EventIndex
from funnel.core.kernels.grouping import find_keys, pair_keys
from funnel.core.progress import SILENT
from funnel.core.tables import ORIGINAL, RECONSTRUCTED, REPLY, RETWEET
from funnel.core.world import WorldData
from funnel.store import check_tables
from synthetic.datasets.files import data_folder
from synthetic.datasets.higgs import ACTIVITY, EPOCH_UNIX_S, FOLLOWS, SOURCE, Higgs
from synthetic.datasets.reconstruct import bursts

# A small data set of the same form. Users 10, 20 and 30 have follow lists, of which the last is cut.
#   hour 1: 20 and 40 retweet 10 (40 half an hour later); hour 2: 20 retweets 10 again, and mentions 50 in that second
#   hour 20: 40 replies to 10 and mentions 10 in the same second; hour 30: 10 mentions 40 and 50 in one second
EVENTS = [
    (20, 10, 1.0, "RT"),
    (40, 10, 1.5, "RT"),
    (20, 10, 2.0, "RT"),
    (20, 50, 2.0, "MT"),
    (40, 10, 20.0, "MT"),
    (40, 10, 20.0, "RE"),
    (10, 40, 30.0, "MT"),
    (10, 50, 30.0, "MT"),
]
EDGES = [(10, 20), (10, 10), (20, 10), (20, 60), (30, 10)]


def write_data(folder: Path, events: list[tuple[int, int, float, str]] = EVENTS) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [f"{a} {b} {EPOCH_UNIX_S + round(hour * 3600)} {kind}" for a, b, hour, kind in events]
    (folder / ACTIVITY).write_bytes(gzip.compress("\n".join(lines).encode()))
    (folder / FOLLOWS).write_bytes(gzip.compress("".join(f"{a} {b}\n" for a, b in EDGES).encode()))
    return folder


def build(folder: Path, **settings: float) -> WorldData:
    data = Higgs(folder=folder, verify=False, **settings).build("higgs", 0, SILENT)  # type: ignore[arg-type]
    check_tables(data.tables, "higgs")
    return data


def test_a_repeated_retweet_a_pause_and_old_age_begin_a_new_tweet() -> None:
    author = np.array([0, 0, 0, 0, 1, 1, 1])
    time_h = np.array([0.0, 1.0, 2.0, 9.0, 0.0, 2.0, 4.0])
    repeat_of = np.array([0, 1, 0, -1, 2, -1, 3])
    # Author 0: pair 0 retweets again at 2 h; a pause of 7 h > 6 h. Author 1: at 4 h the tweet is older than 3 h.
    assert bursts(author, time_h, repeat_of, 6.0, 3.0).tolist() == [0, 0, 1, 2, 3, 3, 4]
    assert bursts(author[:0], time_h[:0], repeat_of[:0], 6.0, 3.0).size == 0


def test_tweets_of_a_small_data_set_are_reconstructed_by_the_rules(tmp_path: Path) -> None:
    data = build(write_data(tmp_path / "d"))
    # Viewers 10 and 20 come first. 30 stands nowhere but over the list that is cut.
    assert data.tables["users"]["handle"].tolist() == ["user10", "user20", "user40", "user50", "user60"]
    assert data.meta.viewer_count == 2
    follows = data.tables["follows"]
    assert list(zip(follows["follower"], follows["followee"], strict=True)) == [(0, 1), (1, 0), (1, 4)]
    tweets = data.tables["tweets"]
    # Three tweets of 10 (hours 1, 2 and 20), each retweet and reply, and one with the two mentions of hour 30.
    own = np.flatnonzero((tweets["author"] == 0) & (tweets["kind"] == ORIGINAL))
    assert own.size == 4
    assert tweets["mention_count"][own].tolist() == [0, 0, 0, 2]
    retweets = np.flatnonzero(tweets["kind"] == RETWEET)
    assert tweets["author"][retweets].tolist() == [1, 2, 1]
    assert tweets["parent"][retweets].tolist() == [own[0], own[0], own[1]]
    assert tweets["mention_count"][retweets].tolist() == [0, 0, 1]
    reply = np.flatnonzero(tweets["kind"] == REPLY)
    assert tweets["parent"][reply].tolist() == tweets["root"][reply].tolist() == [own[2]]
    assert tweets["mention_count"][reply].tolist() == [1]
    engagements = data.tables["engagements"]
    assert engagements["viewer"].tolist() == [1, 2, 1, 2]
    assert engagements["tweet"].tolist() == [own[0], own[0], own[1], own[2]]
    # Only the retweet of hour 1.5 is not its tweet's first event.
    assert np.flatnonzero(engagements["impression"] >= 0).tolist() == [1]


def test_the_same_seed_gives_the_same_bytes_and_another_one_another_log(tmp_path: Path) -> None:
    hours = np.random.Generator(np.random.PCG64(5)).uniform(0, 160, 400)
    events = [(10 + 10 * (i % 7), 200 + 10 * (i * i % 11), float(hour), "RT") for i, hour in enumerate(sorted(hours))]
    folder = write_data(tmp_path / "d", events)
    first, second = build(folder), build(folder)
    for name, columns in first.tables.items():
        for column, values in columns.items():
            np.testing.assert_array_equal(values, second.tables[name][column])
    other = Higgs(folder=folder, verify=False).build("higgs", 1, SILENT)
    assert not np.array_equal(first.tables["impressions"]["tweet"], other.tables["impressions"]["tweet"])


def test_the_past_is_the_same_whatever_comes_later(tmp_path: Path) -> None:
    hours = sorted(np.random.Generator(np.random.PCG64(6)).uniform(0, 160, 400).tolist())
    events = [(10 + 10 * (i % 7), 200 + 10 * (i * i % 11), hour, "RT") for i, hour in enumerate(hours)]
    whole = build(write_data(tmp_path / "whole", events))
    early = build(write_data(tmp_path / "early", [event for event in events if event[2] < 80.0]))
    # A tweet is written before its first event, so the last hours before the cut may miss tweets.
    for name in ("tweets", "engagements"):
        before = early.tables[name]["time_h"] < 78.0
        count = int(before.sum())
        for column in ("time_h", "author") if name == "tweets" else ("time_h", "viewer", "tweet"):
            np.testing.assert_array_equal(early.tables[name][column][:count], whole.tables[name][column][:count])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"10 20 1341100900 RT\n10 x 1341100900 RT\n", r"line 2 wants '<a> <b> <unix_s> <kind>', got '10 x 13"),
        (b"10 20 1341100900 RT\n10 20 1341100900\n", "line 2 wants"),
        (b"10 20 1341100900 RT\n10 20 1341100900 RT 7\n", "line 2 wants"),
        (b"10 20 1341100900 LIKE\n", "line 1 wants"),
        (b"10 20 9341100900 RT\n", "line 1 is not of 1 to 7 July 2012"),
        (b"10 20 1341100901 RT\n10 20 1341100900 RT\n", "line 2 is earlier than the one before it"),
        (b"", "is empty"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    folder = write_data(tmp_path / "d")
    (folder / ACTIVITY).write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=rf"{ACTIVITY}.*{complaint}"):
        build(folder)


def test_a_truncated_a_wrong_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    folder = write_data(tmp_path / "d")
    with pytest.raises(DataError, match=f"{ACTIVITY}: is not the published file: wants sha256 901b1997"):
        Higgs(folder=folder).build("higgs", 0, SILENT)
    (folder / ACTIVITY).write_bytes((folder / ACTIVITY).read_bytes()[:-12])
    with pytest.raises(DataError, match=f"{ACTIVITY}: is truncated or no gzip file"):
        build(folder)
    (folder / ACTIVITY).write_bytes(b"plain text")
    with pytest.raises(DataError, match="is truncated or no gzip file"):
        build(folder)
    (folder / ACTIVITY).unlink()
    with pytest.raises(DataError, match=f"{ACTIVITY}: cannot be read"):
        build(folder)


def test_absent_data_say_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNNEL_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"higgs-twitter: no such folder in .*snap\.stanford\.edu.*FUNNEL_DATA"):
        Higgs().build("higgs", 0, SILENT)


# The real data


@lru_cache(maxsize=1)
def _real() -> WorldData:
    return Higgs().build("higgs", 0, SILENT)


@pytest.fixture
def real() -> WorldData:
    try:
        data_folder("higgs-twitter", SOURCE)
    except DataError as absent:
        pytest.skip(str(absent))
    return _real()


def follows_known(data: WorldData, viewer: Array, author: Array) -> Array:
    follows = data.tables["follows"]
    return np.asarray(find_keys(pair_keys(follows["follower"], follows["followee"]), pair_keys(viewer, author)) >= 0)


def test_the_counts_are_those_of_the_data(real: WorldData) -> None:
    tweets = real.tables["tweets"]
    counts = np.bincount(tweets["kind"])
    # 354,930 retweets and 36,902 replies; 171,237 mentions stand in those or in original tweets: 563,069 events.
    assert (counts[RETWEET], counts[REPLY]) == (354_930, 36_902)
    assert int(tweets["mention_count"].sum()) == 171_237
    assert counts[RETWEET] + counts[REPLY] + int(tweets["mention_count"].sum()) == 563_069
    # Of the replies, 507 are to oneself, and not engagements.
    assert np.bincount(real.tables["engagements"]["action"])[
        [ACTION_CODE["retweet"], ACTION_CODE["reply"]]
    ].tolist() == [
        354_930,
        36_395,
    ]
    assert real.meta.viewer_count == 5_394
    # 355,075 follows less the cut list of user 22732 and 14 self-follows.
    follower = real.tables["follows"]["follower"]
    assert np.unique(follower).tolist() == list(range(5_394))


def test_more_than_half_of_the_viewers_engagement_is_in_network(real: WorldData) -> None:
    engagements, tweets = real.tables["engagements"], real.tables["tweets"]
    of_viewers = engagements["viewer"] < real.meta.viewer_count
    author = tweets["author"][engagements["tweet"]]
    inside = follows_known(real, engagements["viewer"], author)
    for action, share in (("retweet", 0.548), ("reply", 0.846)):
        rows = of_viewers & (engagements["action"] == ACTION_CODE[action])
        assert inside[rows].mean() == pytest.approx(share, abs=0.005)


def test_the_real_world_keeps_to_time(real: WorldData) -> None:
    check_tables(real.tables, "higgs")
    tweets, engagements = real.tables["tweets"], real.tables["engagements"]
    child = np.flatnonzero(tweets["parent"] >= 0)
    assert (tweets["time_h"][tweets["parent"][child]] < tweets["time_h"][child]).all()
    assert (tweets["time_h"][engagements["tweet"]] < engagements["time_h"]).all()
    retweeted = engagements["action"] == ACTION_CODE["retweet"]
    pairs = pair_keys(engagements["viewer"], engagements["tweet"])[retweeted]
    assert np.unique(pairs).size == pairs.size  # nobody retweets a tweet twice


def test_the_log_gives_no_answer_away(real: WorldData) -> None:
    shown, engagements, tweets = real.tables["impressions"], real.tables["engagements"], real.tables["tweets"]
    answered = np.zeros(shown["tweet"].size, np.bool_)
    answered[engagements["impression"][engagements["impression"] >= 0]] = True
    assert (shown["arm"] == RECONSTRUCTED).all()
    assert np.isnan(shown["propensity"]).all()
    assert (np.bincount(shown["request"], weights=answered) == 1).all()
    assert (tweets["author"][shown["tweet"]] != shown["viewer"]).all()
    # Everything on a page had been written and engaged with before, the answer and the others alike.
    reactions = EventIndex.dense(engagements["tweet"], engagements["time_h"], tweets["author"].size)
    before = reactions.count(shown["tweet"].astype(np.int64), shown["time_h"])
    assert (before > 0).all()
    # The place on the page says nothing: 5 places, so each has a fifth of the answers (313,000; sd 0.0007).
    assert np.bincount(shown["position"][answered], minlength=5) / answered.sum() == pytest.approx([0.2] * 5, abs=0.004)
    assert not np.isin(
        pair_keys(shown["viewer"], shown["tweet"])[~answered], pair_keys(engagements["viewer"], engagements["tweet"])
    ).any()

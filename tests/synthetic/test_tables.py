"""Anybody's tables become a world; what is wrong is an error with its line, or a counted repair."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from funnel.checks import check_tables
from funnel.core.actions import ACTION_CODE
from funnel.core.errors import ConfigError, DataError
from funnel.core.progress import SILENT
from funnel.core.tables import ORIGINAL, REPLY, RETWEET
from funnel.core.world import WorldData
from synthetic.datasets.tables import Tables

TWEETS = """id,author,time,kind,parent,text
t1,bob,2024-05-02T10:00:00Z,original,,Hello #world
t2,cat,2024-05-02 11:00:00,reply,t1,"@bob hi, you https://x.y"
t3,bob,2024-05-02T14:00+02:00,retweet,t2,
"""
FOLLOWS = """follower,followee,time
ann,bob,2024-05-01
bob,cat,2024-05-02T10:00:00.500Z
"""
ENGAGEMENTS = """viewer,tweet,action,time
ann,t1,favorite,2024-05-02T10:30:00Z
dan,t1,reply,2024-05-02T10:45:00Z
"""


def write(folder: Path, **content: str) -> dict[str, Path]:
    texts = {"tweets": TWEETS, "follows": FOLLOWS, "engagements": ENGAGEMENTS, **content}
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return {name: folder / f"{name}.csv" for name in texts}


def build(paths: dict[str, Path], **settings: object) -> WorldData:
    data = Tables(**paths, **settings).build("mine", 0, SILENT)  # type: ignore[arg-type]
    check_tables(data.tables, "mine")
    return data


def test_ids_become_rows_and_times_hours_since_the_first_midnight(tmp_path: Path) -> None:
    data = build(write(tmp_path))
    # ann, bob and dan follow or engage, so they are the viewers; cat only writes.
    assert data.tables["users"]["handle"].tolist() == ["ann", "bob", "dan", "cat"]
    assert data.meta.viewer_count == 3
    tweets = data.tables["tweets"]
    assert tweets["time_h"].tolist() == [10.0, 11.0, 12.0]  # 14:00 at +02:00 is noon
    assert tweets["author"].tolist() == [1, 3, 1]
    assert tweets["kind"].tolist() == [ORIGINAL, REPLY, RETWEET]
    assert tweets["parent"].tolist() == [-1, 0, 1]
    assert tweets["root"].tolist() == [-1, 0, -1]
    assert tweets["hashtag_count"].tolist() == [1, 0, 0]
    assert tweets["has_link"].tolist() == [False, True, False]
    assert data.tables["follows"]["time_h"].tolist() == pytest.approx([-24.0, 10 + 0.5 / 3600])
    assert data.tables["engagements"]["action"].tolist() == [ACTION_CODE["favorite"], ACTION_CODE["reply"]]
    assert data.meta.observed_actions == ("favorite", "reply")
    assert data.meta.epoch_unix_s == 1_714_608_000  # 2024-05-02
    # ann's favourite tells us that t1 exists, so dan's reply is the one page of the reconstructed log.
    assert data.tables["engagements"]["impression"].tolist() == [-1, 0]


def test_unix_seconds_milliseconds_parquet_and_other_names_give_the_same_world(tmp_path: Path) -> None:
    wanted = build(write(tmp_path))
    tweets = pl.read_csv(tmp_path / "tweets.csv").with_columns(
        time=pl.Series([1_714_644_000_000, 1_714_647_600_000, 1_714_651_200_000])
    )
    tweets.rename({"author": "writer"}).write_parquet(tmp_path / "tweets.parquet")
    engagements = ENGAGEMENTS.replace("2024-05-02T10:30:00Z", "1714645800").replace(
        "2024-05-02T10:45:00Z", "1714646700"
    )
    paths = write(tmp_path, engagements=engagements.replace("favorite", "Like"))
    (tmp_path / "follows.csv.gz").write_bytes(gzip.compress(FOLLOWS.encode()))
    paths |= {"tweets": tmp_path / "tweets.parquet", "follows": tmp_path / "follows.csv.gz"}
    data = build(paths, map={"tweets.author": "writer", "action.Like": "favorite"})
    for table, columns in wanted.tables.items():
        for column, values in columns.items():
            assert data.tables[table][column].tolist() == pytest.approx(values.tolist(), nan_ok=True), column


def test_hours_stand_as_they_are(tmp_path: Path) -> None:
    paths = write(
        tmp_path,
        tweets="id,author,time_h\n7,1,-3.5\n9,2,0.25\n",
        follows="follower,followee\n2,1\n",
        engagements="viewer,tweet,action,time_h\n2,7,favorite,0.5\n",
    )
    data = build(paths)
    assert data.tables["tweets"]["time_h"].tolist() == [-3.5, 0.25]
    assert data.tables["users"]["handle"].tolist() == ["user2", "user1"]
    assert data.meta.epoch_unix_s == 0.0


def test_tweets_alone_are_a_world(tmp_path: Path) -> None:
    data = build({"tweets": write(tmp_path)["tweets"]})
    assert set(data.tables) == {"users", "tweets", "texts"}
    assert data.meta.observed_actions == ()
    assert "No follows: nothing is in-network" in data.meta.notes


def test_impressions_are_grouped_into_pages_and_cause_engagements(tmp_path: Path) -> None:
    impressions = (
        "viewer,tweet,time,request,position\nann,t1,2024-05-02T12:00:01Z,p1,1\ndan,t1,2024-05-02T10:40:00Z,p0,0\n"
        "ann,t2,2024-05-02T12:00:00Z,p1,0\n"
    )
    late = ENGAGEMENTS.replace("10:30:00", "13:00:00")
    data = build(write(tmp_path, impressions=impressions, engagements=late))
    shown = data.tables["impressions"]
    assert shown["viewer"].tolist() == [2, 0, 0]
    assert shown["tweet"].tolist() == [0, 1, 0]
    assert shown["time_h"].tolist() == pytest.approx([10 + 40 / 60, 12.0, 12.0])
    assert data.tables["engagements"]["impression"].tolist() == [0, 2]
    mixed = impressions.replace("dan,t1,2024-05-02T10:40:00Z,p0", "dan,t1,2024-05-02T10:40:00Z,p1")
    with pytest.raises(DataError, match=r"impressions\.csv, line 4: column 'request' wants rows of one viewer"):
        build(write(tmp_path, impressions=mixed))


@pytest.mark.parametrize(
    ("table", "row", "note"),
    [
        ("follows", "ann,bob,2024-05-01", "dropped 1 duplicate follows"),
        ("follows", "ann,ann,2024-05-01", "dropped 1 self-follows"),
        ("engagements", "ann,t9,favorite,2024-05-02T10:30:00Z", "dropped 1 engagements with tweets that are not in"),
        ("engagements", "ann,t3,favorite,2024-05-02T11:59:59Z", "dropped 1 engagements before their tweet was written"),
        ("engagements", "ann,t1,favorite,2024-05-02T10:31:00Z", "dropped 1 engagements that stood there before"),
        ("tweets", "t1,cat,2024-05-02T10:00:00Z,original,,", "dropped 1 tweets whose id stood there before"),
        ("tweets", "t4,cat,2024-05-02T13:00:00Z,retweet,t0,", "made 1 retweets of an unknown tweet originals"),
        ("tweets", "t4,cat,2024-05-02T10:30:00Z,reply,t2,", "forgot 1 parents that are not earlier than the tweet"),
    ],
)
def test_a_repair_is_counted_and_refused_if_strict(tmp_path: Path, table: str, row: str, note: str) -> None:
    texts = {"tweets": TWEETS, "follows": FOLLOWS, "engagements": ENGAGEMENTS}
    paths = write(tmp_path, **{table: texts[table] + row + "\n"})
    line = texts[table].count("\n") + 1
    data = build(paths)
    assert any(told.startswith(note) for told in data.meta.notes), data.meta.notes
    clean = build(write(tmp_path))
    if note.startswith("dropped"):
        assert {name: len(next(iter(rows.values()))) for name, rows in data.tables.items()} == {
            name: len(next(iter(rows.values()))) for name, rows in clean.tables.items()
        }
    paths = write(tmp_path, **{table: texts[table] + row + "\n"})
    with pytest.raises(DataError, match=rf"{table}\.csv, line {line}: --strict: would have"):
        build(paths, strict=True)


@pytest.mark.parametrize(
    ("table", "content", "complaint"),
    [
        ("engagements", ENGAGEMENTS.replace("favorite", "favourit"), r"line 2: .*mean 'favorite'.*got 'favourit'"),
        ("engagements", ENGAGEMENTS + "dan,t1,reply,", r"line 4: column 'time' wants .* got nothing \(is the"),
        ("engagements", ENGAGEMENTS + "dan,t1,reply,2024-05-02T10:45:00Z,7\n", "line 4 has 5 cells, the header has 4"),
        ("engagements", ENGAGEMENTS + "dan,t1,reply,yesterday\n", "line 4: column 'time' wants Unix seconds or an ISO"),
        ("engagements", ENGAGEMENTS + "dan,t1,reply,2031-01-01\n", "line 4: .*'time' wants a time until 2024-06-01"),
        ("engagements", ENGAGEMENTS + ",t1,reply,2024-05-02\n", "line 4: column 'viewer' wants an id, got nothing"),
        ("engagements", ENGAGEMENTS.replace("time", "moment"), r"has no column 'time' or 'time_h' \(--map engagements"),
        ("engagements", ENGAGEMENTS.replace("time", "time_h"), "wants the same in all files"),
        ("follows", FOLLOWS.replace(",", ";"), "line 1 wants names separated by commas, got 'follower;followee;time'"),
        ("engagements", ENGAGEMENTS + "dan,t1,rep", "line 4: column '(time|action)' wants"),
        ("follows", "", "is empty; wants a header"),
        ("follows", FOLLOWS.replace("followee", "folowee"), "has no column 'followee' — did you mean 'folowee'"),
        ("tweets", TWEETS + "t9,cat,2024-05-02T10:00:00Z,tweet,,\n", "line 5: .* wants a known kind .*'tweet'"),
        ("tweets", "id,author,time\n", "has no rows; a world needs tweets"),
        ("tweets", "id,author,time,video_s\n1,2,5,-1\n", "line 2: column 'video_s' wants a number from 0"),
        ("tweets", "id,author,time,has_link\n1,2,5,perhaps\n", "line 2: column 'has_link' wants true or false"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_with_its_line(tmp_path: Path, table: str, content: str, complaint: str) -> None:
    paths = write(tmp_path, **{table: content})
    with pytest.raises(DataError, match=rf"{table}\.csv.*{complaint}"):
        build(paths, until_unix_s=1_717_200_000.0)  # 2024-06-01


def test_a_truncated_a_changed_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    paths = write(tmp_path)
    with pytest.raises(DataError, match=r"follows\.csv: is not the published file: wants sha256 00"):
        build(paths, sha256={"follows": "00"})
    pl.read_csv(paths["follows"]).write_parquet(tmp_path / "follows.parquet")
    whole = (tmp_path / "follows.parquet").read_bytes()
    (tmp_path / "follows.parquet").write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"follows\.parquet: cannot be read as Parquet: truncated"):
        build({**paths, "follows": tmp_path / "follows.parquet"})
    (tmp_path / "follows.csv").write_bytes(gzip.compress(FOLLOWS.encode())[:-9])
    with pytest.raises(DataError, match="truncated or damaged gzip"):
        build(paths)
    with pytest.raises(DataError, match=r"users\.csv: cannot be read"):
        build({**write(tmp_path), "users": tmp_path / "users.csv"})


def test_a_wrong_map_names_what_is_near(tmp_path: Path) -> None:
    paths = write(tmp_path)
    with pytest.raises(ConfigError, match=r"--map tweet\.author: .*did you mean 'tweets\.author'"):
        build(paths, map={"tweet.author": "writer"})
    with pytest.raises(ConfigError, match=r"--map action\.like: 'favourite' — did you mean 'favorite'"):
        build(paths, map={"action.like": "favourite"})
    with pytest.raises(DataError, match=r"tweets\.csv: has no column 'writer'"):
        build(paths, map={"tweets.author": "writer"})
    with pytest.raises(DataError, match=r"--map tweets\.autor: tweets have no such column — did you mean 'author'"):
        build(paths, map={"tweets.autor": "author"})


def test_users_of_a_file_bring_what_is_known_of_them(tmp_path: Path) -> None:
    users = "id,handle,created,language,verified\nbob,Bobby,2024-05-01,de,yes\neve,Eve,2024-05-02,,no\n"
    data = build(write(tmp_path, users=users))
    found = data.tables["users"]
    assert found["handle"].tolist() == ["ann", "Bobby", "dan", "cat", "Eve"]
    assert found["created_h"].tolist() == [-8760.0, -24.0, -8760.0, -8760.0, 0.0]
    assert found["verified"].tolist() == [False, True, False, False, False]
    assert [data.meta.languages[code] for code in found["language"]] == ["und", "de", "und", "und", "und"]
    assert any(note.startswith("3 users occur but are not in the file") for note in data.meta.notes)


def test_an_imported_world_is_found_again_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from funnel.cli import main
    from funnel.world import World

    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path / "home"))
    paths = write(tmp_path)
    options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    with pytest.raises(SystemExit) as ended:
        main(["world", "import", "tables", "mine", *options, "--json"])
    assert ended.value.code == 0
    world = World.load("mine")
    assert world.texts([0]) == ["Hello #world"]
    assert set(world._manifest["config"]["sha256"]) == {"tweets", "follows", "engagements"}
    for wrong in (["tables"], ["tables", "small", *options], ["higgs", "mine"], ["tables", "a/b", *options]):
        with pytest.raises(SystemExit) as ended:
            main(["world", "import", *wrong])
        assert ended.value.code == 2

"""Files are whole or absent, and read back only if they are what was written."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array
from funnel.core.errors import ConfigError, ContractError, DataError
from funnel.core.tables import TABLES
from funnel.store import (
    check_tables,
    digest,
    home,
    load_arrays,
    read_json,
    read_table,
    read_yaml,
    save_arrays,
    write_atomically,
    write_json,
    write_table,
)
from tests.support import mini_world

Tables = dict[str, dict[str, Array]]


@pytest.fixture
def tables() -> Tables:
    world = mini_world()
    return {name: {column: values.copy() for column, values in world.table(name).items()} for name in TABLES}


# Arrays


@given(
    st.dictionaries(
        st.text("abc._", min_size=1, max_size=5),
        hnp.arrays(
            st.sampled_from([np.float32, np.float64, np.int8, np.int32, np.int64, np.uint64, np.bool_]),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=3,
    )
)
def test_arrays_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Array]) -> None:
    path = tmp_path_factory.mktemp("arrays") / "a.safetensors"
    save_arrays(path, arrays, {"stage": "x"})
    again, metadata = load_arrays(path)
    assert metadata == {"stage": "x"}
    assert set(again) == set(arrays)
    for name, values in arrays.items():
        assert again[name].dtype == values.dtype
        np.testing.assert_array_equal(again[name], values)


def test_a_truncated_file_of_arrays_is_noticed_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_arrays(path, {"w": np.arange(10.0)}, {"stage": "x"})
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"a\.safetensors"):
            load_arrays(path)


def test_a_changed_byte_in_a_file_of_arrays_is_noticed_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_arrays(path, {"w": np.arange(10.0), "b": np.arange(10.0) + 1}, {"stage": "x"})
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 0x01
        path.write_bytes(changed)
        with pytest.raises(DataError, match=r"a\.safetensors"):
            load_arrays(path)


def test_arrays_of_text_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="wants numbers or booleans"):
        save_arrays(tmp_path / "a.safetensors", {"words": np.array(["a"], dtype=object)})
    assert not list(tmp_path.iterdir())


# Writing


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})

    def half(partial: Path) -> None:
        partial.write_text("{")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"No space left on device.*FUNNEL_HOME"):
        write_atomically(path, half)
    assert read_json(path) == {"old": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(partial: Path) -> None:
        partial.write_text("{")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.json", interrupted)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_clear_sentence() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(DataError, match="cannot be written"):
        write_atomically(Path("/dev/full/a.json"), lambda partial: partial.write_text("x"))


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path / "here"))
    assert home() == tmp_path / "here"
    monkeypatch.delenv("FUNNEL_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert home() == tmp_path / "cache" / "funnel"


def test_the_digest_depends_on_content_and_not_on_order() -> None:
    assert digest({"a": 1, "b": (1, 2)}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest({})) == 16


# Parquet


def test_a_table_comes_back_as_it_was(tmp_path: Path, tables: Tables) -> None:
    for name, columns in tables.items():
        write_table(tmp_path / f"{name}.parquet", columns)
        again = read_table(tmp_path / f"{name}.parquet")
        assert list(again) == list(columns)
        for column, values in columns.items():
            assert again[column].dtype == values.dtype
            np.testing.assert_array_equal(again[column], values)


def test_a_truncated_parquet_file_is_a_data_error(tmp_path: Path, tables: Tables) -> None:
    path = tmp_path / "tweets.parquet"
    write_table(path, tables["tweets"])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_table(path)


# YAML


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- a\n- b\n", "wants a mapping of settings, got a list"),
        ("", "got nothing"),
        ("just words", "got a str"),
        ("a: 1\na: 2\n", "'a' stands there twice"),
        ("a: {b: 1, b: 2}\n", "'b' stands there twice"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: [1\n", "is not valid YAML"),
        ("1: 2\n", "names are text"),
        ("a: !!python/object/apply:os.system [ls]\n", "is not valid YAML"),
        ("[" * 5_000, "nested too deeply"),
        ("# " + "x" * (10 << 20), "larger than 1 MB"),
        ("a: \x00", "is not valid YAML"),
    ],
)
def test_yaml_that_is_no_configuration_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        read_yaml(path)


def test_yaml_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"a: \xff\xfe\xfa")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_yaml(path)


def test_a_yaml_mapping_is_read(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text("use: generated\nusers: 10\nnested: {rate: 0.5}\n")
    assert read_yaml(path) == {"use": "generated", "users": 10, "nested": {"rate": 0.5}}


# Tables


def test_a_right_world_passes(tables: Tables) -> None:
    check_tables(tables, "mini")


def test_optional_tables_may_be_absent(tables: Tables) -> None:
    for name, table in TABLES.items():
        if not table.required and name not in ("impressions", "vocabulary"):
            del tables[name]
    check_tables(tables, "mini")


@pytest.mark.parametrize(
    ("table", "column", "row", "value", "complaint"),
    [
        ("tweets", "author", 17, 30, r"mini, tweets\.author, row 17: got 30: wants a row number of 'users', 0 to 29"),
        ("tweets", "author", 3, -1, r"tweets\.author, row 3: got -1"),
        ("tweets", "time_h", 9, np.nan, r"tweets\.time_h, row 9: got nan: wants a finite number"),
        ("tweets", "time_h", 9, -np.inf, r"tweets\.time_h, row 9: got -inf"),
        ("tweets", "time_h", 9, 1e6, r"tweets\.time_h, row 10: .* is before the row above"),
        ("tweets", "kind", 5, 4, r"tweets\.kind, row 5: got 4: wants a value >= 0 <= 3"),
        ("tweets", "parent", 7, 7, r"tweets\.parent, row 7: got 7: wants a tweet earlier"),
        ("tweets", "parent", 7, 300, r"tweets\.parent, row 7: got 300"),
        ("tweets", "video_s", 2, -1.0, r"tweets\.video_s, row 2: got -1\.0: wants a value >= 0"),
        ("users", "handle", 4, None, r"users\.handle, row 4: wants text, got None"),
        ("users", "created_h", 4, np.nan, r"users\.created_h, row 4: got nan"),
        ("impressions", "propensity", 6, 1.5, r"impressions\.propensity, row 6: got 1\.5"),
        ("impressions", "tweet", 0, 299, r"impressions\.time_h, row 0: .* is before its tweet was written"),
        ("engagements", "impression", 8, 1_500, r"engagements\.impression, row 8: got 1500"),
        ("tweet_words", "word", 1, 40, r"tweet_words\.word, row 1: got 40"),
    ],
)
def test_a_wrong_value_is_named_by_table_column_and_row(
    tables: Tables, table: str, column: str, row: int, value: object, complaint: str
) -> None:
    tables[table][column][row] = value
    with pytest.raises(DataError, match=complaint):
        check_tables(tables, "mini")


def test_a_missing_propensity_is_allowed(tables: Tables) -> None:
    tables["impressions"]["propensity"][:] = np.nan
    check_tables(tables, "mini")


def test_a_retweet_wants_what_it_retweets(tables: Tables) -> None:
    row = int(np.flatnonzero(tables["tweets"]["kind"] == 1)[0])
    tables["tweets"]["parent"][row] = -1
    with pytest.raises(DataError, match=rf"tweets\.parent, row {row}: got -1: wants the tweet that this one retweets"):
        check_tables(tables, "mini")


def test_an_engagement_wants_the_impression_of_its_own_viewer(tables: Tables) -> None:
    engagements = tables["engagements"]
    row = int(np.flatnonzero(engagements["impression"] >= 0)[3])
    engagements["viewer"][row] = (engagements["viewer"][row] + 1) % 30
    with pytest.raises(DataError, match=rf"engagements\.impression, row {row}: .* is of another viewer"):
        check_tables(tables, "mini")


def test_a_page_stands_together(tables: Tables) -> None:
    tables["impressions"]["request"][40] = 0
    with pytest.raises(DataError, match=r"impressions\.request, row 40: .*page 0 goes on here"):
        check_tables(tables, "mini")


def test_a_follow_stands_once_and_in_order(tables: Tables) -> None:
    follows = tables["follows"]
    for name in follows:
        follows[name][5] = follows[name][4]
    with pytest.raises(DataError, match=r"follows\.follower, row 5: .*each pair once"):
        check_tables(tables, "mini")


def test_columns_are_missing_unknown_short_or_of_another_type(tables: Tables) -> None:
    def refused(complaint: str, **columns: Array) -> None:
        changed = {**tables, "engagements": {**tables["engagements"], **columns}}
        with pytest.raises(DataError, match=complaint):
            check_tables(changed, "mini")

    actions = tables["engagements"]["action"]
    refused(r"mini, engagements\.action: wants a column of type int8, got int64", action=actions.astype(np.int64))
    refused(r"wants columns of one length", action=actions[:-1])
    refused(r"has an unknown column 'acton' — did you mean 'action'\?", acton=actions)
    del tables["engagements"]["action"]
    refused(r"mini, engagements: has no column 'action'")


def test_a_required_table_is_absent_or_empty(tables: Tables) -> None:
    empty = {name: values[:0] for name, values in tables["follows"].items()}
    with pytest.raises(DataError, match="mini, follows: is empty"):
        check_tables({**tables, "follows": empty}, "mini")
    with pytest.raises(DataError, match="mini: has no table 'users'"):
        check_tables({name: columns for name, columns in tables.items() if name != "users"}, "mini")
    with pytest.raises(DataError, match=r"unknown table 'tweet' — did you mean 'tweets'"):
        check_tables({**tables, "tweet": {}}, "mini")


def test_the_code_of_an_action_fits_its_column() -> None:
    assert max(ACTION_CODE.values()) <= 127

"""A world is the same in memory and on disk, and damage to its files is noticed."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import funnel.world_cache
from funnel.core.errors import ConfigError, DataError
from funnel.core.progress import Bar, Silent
from funnel.core.tables import TABLES
from funnel.core.world import WorldData, WorldMeta
from funnel.store import write_json, write_table
from funnel.world import NO_TEXT, World
from tests.support import mini_world

# A builder as a file of its own, as a data set's importer would be; it counts how often it builds.
BUILDER = """
    from dataclasses import asdict
    from pathlib import Path
    import numpy as np
    from pydantic import Field
    from pydantic.dataclasses import dataclass
    from funnel.core.tables import TABLES
    from funnel.core.world import WorldData
    from tests.support import mini_world

    @dataclass(config={"extra": "forbid"}, kw_only=True)
    class MiniBuilder:
        users: int = Field(30, ge=6, description="users")
        broken: bool = False

        def build(self, name, seed, progress):
            with (Path(__file__).parent / "built").open("a") as log:
                log.write("x")
            world = mini_world(seed=seed, users=self.users)
            tables = {table: dict(world.table(table)) for table in TABLES}
            if self.broken:
                tables["tweets"]["author"] = tables["tweets"]["author"] + np.int32(1000)
            meta = asdict(world.meta) | {"name": name}
            from funnel.core.world import WorldMeta
            return WorldData(WorldMeta(**meta), tables, {"secret": np.arange(3.0)})

        def oracle(self, data, truth):
            return float(truth["secret"].sum())
"""


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Bar]:
        with super().bar(label, total) as bar:
            yield bar

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home for worlds, and a package of builders with one configured world, "mini"."""
    package = tmp_path / "extra_builders"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "mini_builder.py").write_text(textwrap.dedent(BUILDER))
    worlds = tmp_path / "configs"
    worlds.mkdir()
    (worlds / "mini.yaml").write_text("use: mini_builder\nusers: 30\n")
    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(funnel.world_cache, "BUILDER_PACKAGES", ("extra_builders",))
    monkeypatch.setattr("funnel.compose.BUILDER_PACKAGES", ("extra_builders",))
    monkeypatch.setattr(
        funnel.world_cache, "configured", lambda: {path.stem: path for path in sorted(worlds.glob("*.yaml"))}
    )
    yield tmp_path
    from funnel.compose import _modules

    _modules.cache_clear()
    for name in [name for name in sys.modules if name.startswith("extra_builders")]:
        del sys.modules[name]


def built(place: Path) -> int:
    log = place / "extra_builders" / "built"
    return len(log.read_text()) if log.exists() else 0


def stored(place: Path) -> Path:
    (folder,) = (path for path in (place / "home" / "worlds").iterdir() if not path.name.startswith("."))
    return folder


def in_memory(seed: int = 0) -> World:
    world = mini_world(seed=seed)
    meta = WorldMeta("mini", world.meta.end_h, world.meta.train_until_h, world.meta.viewer_count)
    tables = {name: dict(world.table(name)) for name in TABLES}
    return World.of(WorldData(meta, tables, {"secret": np.arange(3.0)}))


def test_a_world_is_the_same_in_memory_and_on_disk(place: Path) -> None:
    memory, disk = in_memory(), World.load("mini")
    assert disk.hash == memory.hash
    assert disk.meta == memory.meta
    assert disk.counts == memory.counts
    for name, table in TABLES.items():
        assert disk.frame(name).equals(memory.frame(name))
        if name != "texts":
            for column in table.columns:
                found, wanted = disk.tables.table(name)[column], memory.tables.table(name)[column]
                assert found.dtype == wanted.dtype
                np.testing.assert_array_equal(found, wanted)
    assert disk.texts(range(300)) == memory.texts(range(300)) == mini_world().table("texts")["text"].tolist()
    assert disk.handles([3, 1]) == ["user3", "user1"]
    assert disk.describe() == memory.describe()


def test_another_seed_is_another_world(place: Path) -> None:
    assert World.load("mini", seed=1).hash == in_memory(seed=1).hash != World.load("mini").hash


def test_a_world_is_built_once_and_opened_after_that(place: Path) -> None:
    notes = Notes()
    first, second = World.load("mini", progress=notes), World.load("mini", progress=notes)
    assert (first.hash, built(place), notes.texts) == (second.hash, 1, [])
    World.load("mini", rebuild=True)
    assert built(place) == 2


def test_other_settings_and_other_code_make_another_world(place: Path) -> None:
    World.load("mini")
    (place / "configs" / "mini.yaml").write_text("use: mini_builder\nusers: 31\n")
    assert World.load("mini").counts["users"] == 31
    code = place / "extra_builders" / "mini_builder.py"
    code.write_text(code.read_text() + "\n# another version\n")
    World.load("mini")
    assert built(place) == 3


def test_processes_that_build_the_same_world_at_once_all_get_it(place: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        worlds = list(pool.map(lambda _: World.load("mini"), range(4)))
        again = list(pool.map(lambda _: World.load("mini", rebuild=True), range(4)))
    assert len({world.hash for world in worlds + again}) == 1
    assert [path.name for path in (place / "home" / "worlds").iterdir()] == [worlds[0].folder.name]  # type: ignore[union-attr]
    assert worlds[0].tables.table("tweets")["author"].sum() == again[0].tables.table("tweets")["author"].sum()


def test_superseded_versions_of_a_world_leave_the_cache_one_day(place: Path) -> None:
    code = place / "extra_builders" / "mini_builder.py"
    for version in range(5):
        code.write_text(code.read_text() + f"\n# version {version}\n")
        World.load("mini")
    assert len(list((place / "home" / "worlds").iterdir())) == 3


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    "name",
    [
        "tweets.parquet",
        "columns/tweets.time_h.npy",
        "columns/texts.text.bytes.npy",
        "truth.safetensors",
        "manifest.json",
    ],
)
@pytest.mark.parametrize("harm", [truncate, flip, Path.unlink])
def test_damage_to_any_file_is_noticed_and_the_world_is_built_again(place: Path, name: str, harm: object) -> None:
    wanted = World.load("mini").hash
    path = stored(place) / name
    if name == "manifest.json" and harm is flip:
        path.write_text(path.read_text().replace('"files"', '"flies"'))
    else:
        assert callable(harm)
        harm(path)
    notes = Notes()
    again = World.load("mini", progress=notes)
    assert again.hash == wanted
    assert built(place) == 2
    assert len(notes.texts) == 1
    assert "built again" in notes.texts[0]
    assert again.frame("tweets").height == 300
    assert World.load("mini").hash == wanted
    assert built(place) == 2


def test_a_copied_world_opens_where_it_is_and_a_changed_copy_does_not(place: Path) -> None:
    wanted = World.load("mini").hash
    copy = place / "copy"
    shutil.copytree(stored(place), copy)
    for file in copy.rglob("*.*"):
        os.utime(file, ns=(5, 5))
    assert World.load(copy).hash == wanted
    assert World.load(str(copy)).oracle == 3.0  # type: ignore[comparison-overlap]
    flip(copy / "users.parquet")
    with pytest.raises(DataError, match=r"users\.parquet: is damaged or was changed"):
        World.load(copy)


def test_nothing_half_built_stays_when_building_fails(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(DataError, match="No space left on device"):
        World.load("mini")
    monkeypatch.undo()
    assert not list((place / "home" / "worlds").iterdir())


def test_a_builder_that_breaks_the_contract_is_told_where(place: Path) -> None:
    (place / "configs" / "mini.yaml").write_text("use: mini_builder\nbroken: true\n")
    with pytest.raises(DataError, match=r"world 'mini', tweets\.author, row 0: got 10\d\d: wants a row number"):
        World.load("mini")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("use: mini_bilder\n", "did you mean 'mini_builder'"),
        ("users: 10\n", "wants the name of a builder"),
        ("use: mini_builder\nuser: 10\n", r"user: .*did you mean 'users'"),
        ("use: mini_builder\nusers: 2\n", r"users: .*got 2"),
        ("use: mini_builder\nusers: many\n", r"users: .*got 'many'"),
        ("- use\n", "wants a mapping"),
    ],
)
def test_a_wrong_configuration_is_a_config_error(place: Path, text: str, complaint: str) -> None:
    path = place / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        World.load(path)


def test_an_unknown_name_gives_the_nearest_one(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"world 'mimi': unknown — did you mean 'mini'\?"):
        World.load("mimi")
    with pytest.raises(ConfigError, match="no such file or folder"):
        World.load(place / "nowhere.yaml")


def test_a_world_of_a_yaml_file_is_known_by_name_afterwards(place: Path) -> None:
    (place / "own.yaml").write_text("use: mini_builder\nusers: 33\n")
    assert World.list() == ["mini"]
    World.load(place / "own.yaml")
    assert World.list() == ["mini", "own"]
    assert World.load("own").counts["users"] == 33
    assert built(place) == 1


def folder_of_tables(folder: Path) -> Path:
    """What a user would bring: Parquet tables and the meta."""
    world = mini_world()
    for name in TABLES:
        write_table(folder / f"{name}.parquet", world.table(name))
    write_json(
        folder / "manifest.json", {"meta": {"name": "brought", "end_h": 48, "train_until_h": 40, "viewer_count": 30}}
    )
    return folder


def test_a_folder_of_parquet_tables_is_a_world(place: Path) -> None:
    folder = folder_of_tables(place / "brought")
    files = sorted(folder.iterdir())
    world = World.load(folder)
    assert world.name == "brought"
    np.testing.assert_array_equal(world.view().tweets["author"], mini_world().table("tweets")["author"])
    assert world.oracle is None
    assert sorted(folder.iterdir()) == files  # nothing is written beside the user's own files


@pytest.mark.parametrize(
    ("column", "values", "complaint"),
    [
        ("author", None, "has no column 'author'"),
        ("author", np.zeros(300, np.float32), "wants a column of type int32, got float32"),
        ("author", np.full(300, 30, np.int32), r"tweets\.author, row 0: got 30"),
        ("time_h", np.full(300, np.nan), r"tweets\.time_h, row 0: got nan"),
    ],
)
def test_a_wrong_table_that_a_user_brings_is_named(
    place: Path, column: str, values: np.ndarray[tuple[int], np.dtype[np.generic]] | None, complaint: str
) -> None:
    folder = folder_of_tables(place / "brought")
    columns = dict(mini_world().table("tweets")) | ({column: values} if values is not None else {})
    if values is None:
        del columns[column]
    write_table(folder / "tweets.parquet", columns)
    with pytest.raises(DataError, match=complaint):
        World.load(folder)


def test_a_folder_without_a_right_manifest_is_refused(place: Path) -> None:
    folder = folder_of_tables(place / "brought")
    (folder / "manifest.json").write_text(json.dumps({"meta": {"name": "x", "wrong": 1}}))
    with pytest.raises(DataError, match="'meta' wants"):
        World.load(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"has no manifest\.json"):
        World.load(folder)


def test_the_oracle_belongs_to_worlds_with_a_truth(place: Path) -> None:
    assert World.load("mini").oracle == 3.0  # type: ignore[comparison-overlap]
    assert in_memory().oracle is None  # nobody said who made it


def test_a_view_stands_at_the_end_unless_told(place: Path) -> None:
    world = World.load("mini")
    assert world.view().now_h == 48.0
    assert world.view(10.0).tweets["time_h"].max() < 10.0


def test_texts_of_a_world_without_texts_say_so() -> None:
    world = mini_world()
    tables = {name: dict(world.table(name)) for name in TABLES if name != "texts"}
    assert World.of(WorldData(world.meta, tables)).texts([1, 2]) == [NO_TEXT, NO_TEXT]


def test_texts_keep_every_character() -> None:
    tables = {name: dict(mini_world().table(name)) for name in TABLES}
    said = ["", "naïve 🙂", "\ud83d lone", "a\x00b", "日本"] * 60
    tables["texts"] = {"text": np.array(said, dtype=object)}
    assert World.of(WorldData(mini_world().meta, tables)).texts(range(300)) == said


def test_ids_that_do_not_exist_are_refused() -> None:
    with pytest.raises(DataError, match="wants 0 to 29, got 30"):
        in_memory().handles([1, 30])
    with pytest.raises(DataError, match="wants whole numbers"):
        in_memory().texts([0.5])


def test_the_graph_is_the_follow_table() -> None:
    world = in_memory()
    graph = world.graph()
    follows = world.tables.table("follows")
    assert graph.number_of_nodes() == 30
    assert set(graph.edges()) == set(zip(follows["follower"].tolist(), follows["followee"].tolist(), strict=True))


def test_statistics_are_what_they_say() -> None:
    # Users 0 -> 1, 1 -> 0, 0 -> 2: two of three follows are returned; each of three users follows one on average.
    tables = {name: dict(mini_world().table(name)) for name in ("users", "tweets", "engagements", "vocabulary")}
    tables["engagements"]["impression"] = np.full_like(tables["engagements"]["impression"], -1)
    follows = np.array([[0, 1], [0, 2], [1, 0]], np.int32)
    tables["follows"] = {"follower": follows[:, 0], "followee": follows[:, 1], "time_h": np.zeros(3)}
    meta = WorldMeta("three", 48.0, 40.0, viewer_count=3)
    about = World.of(WorldData(meta, tables)).describe()
    assert about["reciprocity"] == pytest.approx(2 / 3)
    assert about["mean_follows"] == 1.0
    assert about["clustering"] == 0.0


def test_a_world_shows_itself() -> None:
    world = in_memory()
    assert repr(world).startswith("World('mini': 30 users, ")
    assert "<td>tweets</td>" in world._repr_html_()

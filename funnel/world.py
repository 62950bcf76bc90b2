"""A world by name: built or imported on first use, kept in the cache, opened in a moment after that.

    >>> world = World.load("small")            # also "tiny", "higgs", a world folder, a YAML file
    >>> world.view().tweets["author"][:3]      # what the platform could have observed
    >>> world.frame("tweets")                  # a polars frame
    >>> world.texts([0, 1])

A folder that was damaged is noticed and built again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from funnel import world_cache
from funnel.checks import check_tables
from funnel.core.arrays import Array
from funnel.core.errors import ConfigError, DataError, nearest
from funnel.core.products import TIMELINE, Product
from funnel.core.progress import SILENT, Progress
from funnel.core.tables import TABLES
from funnel.core.world import (
    Columns,
    Future,
    KnowsProducts,
    Oracle,
    PlatformView,
    RendersTexts,
    WorldBuilder,
    WorldData,
    WorldMeta,
    WorldTables,
)
from funnel.store import load_arrays
from funnel.world_files import TRUTH, Texts, content_hash, open_columns

if TYPE_CHECKING:
    import networkx
    import polars

Names: TypeAlias = list[str]  # inside the class, `list` is its method

NO_TEXT = "(this data set carries no text)"


class World:
    """A world: its tables, the platform's views of it and, for a synthetic one, its truth.

    Made by `World.load` or `World.of`. name; meta: WorldMeta; tables: WorldTables (texts of tweets stay out of them);
    folder: where it is stored, or None.
    """

    def __init__(self, tables: WorldTables, texts: Mapping[str, Texts], *, folder: Path | None = None) -> None:
        self.name = tables.meta.name
        self.meta: WorldMeta = tables.meta
        self.tables = tables
        self.folder = folder
        self._texts = texts
        self._manifest: Mapping[str, Any] = {}
        self._data: WorldData | None = None
        self._builder: WorldBuilder | None = None
        tables.read_texts_with(self._texts_if_any)

    @classmethod
    def load(cls, name: str | Path, *, progress: Progress = SILENT, seed: int = 0, rebuild: bool = False) -> World:
        """The world called `name`, or the one that a folder or a YAML file describes.

        Built on first use, or if its files are damaged, or if `rebuild`; `progress` hears of it. ConfigError for an
        unknown name or a wrong setting; DataError for data that cannot be read, checked or written.
        """
        stored = world_cache.stored_world(name, progress=progress, seed=seed, rebuild=rebuild)
        try:
            tables, texts = open_columns(stored.folder, stored.manifest["rows"])
        except DataError:  # verified a moment ago, so another process is replacing it: look again
            stored = world_cache.stored_world(name, progress=progress, seed=seed, rebuild=False)
            tables, texts = open_columns(stored.folder, stored.manifest["rows"])
        index_dir = stored.folder / "index" if stored.owned else None
        world = cls(WorldTables(stored.meta, tables, index_dir=index_dir), texts, folder=stored.folder)
        world._manifest = stored.manifest
        return world

    @classmethod
    def of(cls, data: WorldData, *, builder: WorldBuilder | None = None) -> World:
        """A world in memory, checked; `builder` knows its oracle."""
        check_tables(data.tables, f"world {data.meta.name!r}")
        texts = {
            f"{name}.{column}": Texts.of(values)
            for name, columns in data.tables.items()
            for column, values in columns.items()
            if values.dtype == object
        }
        tables = {name: columns for name, columns in data.tables.items() if name != "texts"}
        world = cls(WorldTables(data.meta, tables), texts)
        world._data, world._builder = data, builder
        return world

    @staticmethod
    def list() -> Names:
        """Names that `load` knows: configured ones, and others that are in the cache."""
        return sorted({*world_cache.configured(), *world_cache.cached()})

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits that name what is in this world; equal content, equal hash."""
        return content_hash(self._data) if self._data is not None else str(self._manifest["hash"])

    @cached_property
    def oracle(self) -> Oracle | None:
        """The truth, or None if nobody knows it. Only `funnel.simulate` and `funnel.evaluate` ask."""
        builder, truth = self._made_by
        return builder.oracle(self.tables, truth) if builder is not None else None

    def oracle_of(self, product: Product) -> Oracle | None:
        """The truth about what viewers do with a product, or None if nobody knows it; see `oracle`."""
        return _about(self.oracle, product)

    def oracle_grown(self, product: Product, tables: WorldTables, truth: Columns) -> Oracle | None:
        """The same in a world that has grown from this one; truth: the `state` of its `Future` at that moment."""
        builder, known = self._made_by
        return _about(builder.oracle(tables, truth), product) if builder is not None and known else None

    def future(self, *, seed: int, product: Product = TIMELINE) -> Future | None:
        """How this world goes on after its end with a product alone, or None if nobody knows the truth about it."""
        builder, truth = self._made_by
        go_on: Callable[..., Future | None] | None = getattr(builder, "future", None)
        if go_on is None or not truth:
            return None
        return go_on(self.tables, truth, seed=seed, **({} if product is TIMELINE else {"product": product}))

    @property
    def truth(self) -> Mapping[str, Array]:
        """Arrays that the oracle, and nothing but statistics of the world besides, reads; empty if nobody knows it."""
        return self._made_by[1]

    def view(self, now_h: float | None = None, assets: Columns | None = None) -> PlatformView:
        """What the platform could have observed before `now_h` hours (default: the world's last moment)."""
        return PlatformView(self.tables, self.meta.end_h if now_h is None else now_h, assets=assets)

    def frame(self, table: str) -> polars.DataFrame:
        """One table as a polars frame."""
        import polars as pl  # 0.3 s that a timeline must not pay

        if table not in TABLES:
            raise ConfigError(f"table {table!r}", f"unknown — {nearest(table, TABLES)}")
        if self.folder is not None and (self.folder / f"{table}.parquet").exists():
            return pl.read_parquet(self.folder / f"{table}.parquet")
        columns = self._data.tables.get(table) if self._data is not None else None
        return pl.DataFrame(
            [
                _series(name, spec.dtype, (columns or self.tables.table(table))[name])
                for name, spec in TABLES[table].columns.items()
            ]
        )

    def texts(self, ids: ArrayLike) -> Names:
        """The texts of tweets, by id; a world without texts says so in their place."""
        rows = self._rows(ids, "tweets")
        found = self._texts_if_any(rows)
        return found if found is not None else [NO_TEXT] * rows.size

    def handles(self, ids: ArrayLike) -> Names:
        """The screen names of users, by id, without @."""
        return self._texts["users.handle"].take(self._rows(ids, "users"))

    def graph(self) -> networkx.DiGraph:
        """Who follows whom, follower → followee, every user a node."""
        import networkx as nx  # 0.2 s that only a look at the graph should pay

        follows = self.tables.table("follows")
        graph = nx.DiGraph()
        graph.add_nodes_from(range(self.tables.count("users")))
        graph.add_edges_from(zip(follows["follower"].tolist(), follows["followee"].tolist(), strict=True))
        return graph

    def describe(self, *, sample: int | None = None) -> dict[str, object]:
        """Row counts, and `statistics` beside their targets; sample: users over whom the costly ones are averaged."""
        from funnel.world_statistics import describe  # needs scipy

        return {"name": self.name, "hash": self.hash, "counts": self.counts, **describe(self, sample=sample)}

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each table."""
        texts = self._texts.get("texts.text")
        return {
            name: (len(texts) if texts is not None else 0) if name == "texts" else self.tables.count(name)
            for name in TABLES
        }

    def __repr__(self) -> str:
        counts = self.counts
        told = ("users", "follows", "tweets", "impressions", "engagements")
        shown = ", ".join(f"{counts[name]:,} {name}" for name in told)
        return f"World({self.name!r}: {shown})"

    def _repr_html_(self) -> str:
        from html import escape  # notebooks only

        cells = "<tr><td>{}</td><td style='text-align:right'>{:,}</td></tr>"
        rows = "".join(cells.format(name, count) for name, count in self.counts.items())
        title = f"{escape(self.name)} · {self.meta.end_h:g} h · {self.meta.viewer_count:,} viewers · {self.hash}"
        return f"<table><caption>{title}</caption><tr><th>table</th><th>rows</th></tr>{rows}</table>"

    @cached_property
    def _made_by(self) -> tuple[WorldBuilder | None, Columns]:
        """Who made this world, and its truth; nobody where there is no truth."""
        if self._data is not None:
            return (self._builder, self._data.truth) if self._data.truth else (None, {})
        if self.folder is None or TRUTH not in self._manifest["files"]:
            return None, {}
        truth, _ = load_arrays(self.folder / TRUTH)
        return world_cache.make_builder(self._manifest["config"], self.name), truth

    def _texts_if_any(self, rows: Array) -> Names | None:
        texts = self._texts.get("texts.text")
        if texts is not None and len(texts):
            return texts.take(rows)
        builder, truth = self._made_by
        return builder.texts(self.tables, truth, rows) if isinstance(builder, RendersTexts) else None

    def _rows(self, ids: ArrayLike, table: str) -> Array:
        rows = np.atleast_1d(np.asarray(ids))
        if rows.size and rows.dtype.kind not in "iu":
            raise DataError(f"ids of {table!r}", f"wants whole numbers, got {rows.dtype}")
        rows = rows.astype(np.int64)
        wrong = (rows < 0) | (rows >= self.tables.count(table))
        if wrong.any():
            raise DataError(f"ids of {table!r}", f"wants 0 to {self.tables.count(table) - 1}, got {rows[wrong][0]}")
        return rows


def _about(oracle: Oracle | None, product: Product) -> Oracle | None:
    """What an oracle of timelines knows about a product."""
    if product is TIMELINE or oracle is None:
        return oracle
    return oracle.of(product) if isinstance(oracle, KnowsProducts) else None


def _series(name: str, dtype: str, values: Array) -> polars.Series:
    import polars as pl

    return pl.Series(name, values.tolist(), dtype=pl.String) if dtype == "str" else pl.Series(name, values)

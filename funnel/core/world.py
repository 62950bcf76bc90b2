"""The world as the platform may see it (`PlatformView`) and as it really is (`Oracle`).

Everything that retrieves, ranks or filters gets a `PlatformView`: what could have been observed
before a moment. Only `funnel.simulate` and `funnel.evaluate` meet the `Oracle`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

import numpy as np

from funnel.core.actions import ACTION_CODE, ACTION_NAMES, PUBLIC_ACTIONS, PUSH_ACTION_CODE
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs, frozen, mapped
from funnel.core.errors import ContractError, NotFittedError, nearest
from funnel.core.events import Adjacency, EventIndex
from funnel.core.kernels.grouping import pair_keys
from funnel.core.products import Product
from funnel.core.progress import Progress
from funnel.core.tables import EVENT_TABLES, FEEDBACK_KINDS, TABLES, completed, numpy_type

Columns: TypeAlias = Mapping[str, Array]
T = TypeVar("T")

_EVENT_KEYS = ("tweet", "viewer", "author", "viewer_author", "viewer_tweet")
_TABLES_OF_EVENTS = ("tweet", "impression", "notification", "notification_setting", "tweet_label", "user_label")


@dataclass(frozen=True)
class WorldMeta:
    """What a world says about itself.

    end_h: its last moment, the default time of a request. train_until_h: stages learn from what
    came before; the rest is held out. viewer_count: requests are made for users 0 … viewer_count − 1
    (in a real data set, those whose follow lists are whole).
    """

    name: str
    end_h: float
    train_until_h: float
    viewer_count: int
    epoch_unix_s: float = 0.0
    observed_actions: tuple[str, ...] = ACTION_NAMES
    default_funnel: str = "twitter_2023"
    notes: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en",)


@dataclass(frozen=True)
class WorldData:
    """A world as a builder or importer hands it over: columns per table, and the truth if there is one.

    tables: table -> column -> array (text as object arrays of str), as `funnel.core.tables` describes.
    truth: arrays that only the world's oracle understands; empty for a real data set.
    """

    meta: WorldMeta
    tables: Mapping[str, Mapping[str, Array]]
    truth: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", completed(self.tables))


class WorldBuilder(Protocol):
    """What a file of `synthetic/` or `synthetic/datasets/` offers: a configured way to make a world."""

    def build(self, name: str, seed: int, progress: Progress) -> WorldData:
        """Make the world called `name`; the same seed gives the same bytes."""

    def oracle(self, data: WorldTables, truth: Mapping[str, Array]) -> Oracle | None:
        """The truth of a world that this builder made, or None if nobody knows it."""


@runtime_checkable
class RendersTexts(Protocol):
    """A builder whose worlds may lack the table `texts`, because it can put any text together anew."""

    def texts(self, data: WorldTables, truth: Mapping[str, Array], ids: Longs) -> list[str]:
        """The texts of some tweets of a world that this builder made."""


class Oracle(Protocol):
    """What viewers would really do. Arrays of one length n; actions in the order of the product's, mostly ACTIONS."""

    def probabilities(self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles) -> Floats:
        """float32 [n, A]: probability of each action if the tweet is shown at that place of the page."""

    def react(self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles, *, seed: int) -> Bools:
        """bool [n, A]: what the viewer does; a pure function of (seed, viewer, tweet, place, moment)."""

    def satisfaction(self, viewer: Ints, tweet: Ints, *, now_h: Doubles | None = None) -> Floats:
        """float32 [n] in [-1, 1]: how glad the viewer is to have seen it, which is not engagement.

        now_h: when, for products where it matters (a notification at night); the world's end if not given.
        """


@runtime_checkable
class KnowsProducts(Protocol):
    """An oracle that knows what viewers would do with other products than the timeline."""

    def of(self, product: Product) -> Oracle | None:
        """The truth about a product, actions in its order; None if nobody knows it."""


Rows: TypeAlias = Mapping[str, Mapping[str, Array]]


class Future(Protocol):
    """How a made world goes on after its end: who comes, what they do with what they are shown, what is written.

    It holds the truth, which grows with the tables: whoever asks appends what `react` and `night` return to the tables,
    in this order, and asks about the grown world next. Everything is a function of the seed, the moment, the tables and
    the truth.
    """

    def visitors(self, world: WorldTables, begin_h: float, end_h: float, *, per_day: float | None) -> Ints:
        """int32 [R], ascending: who looks at a timeline in these hours; per_day: how many in all, if not as before.

        Of another product: for whom a page is made, for instance for whom it is decided whether to notify.
        """

    def react(self, world: WorldTables, shown: Columns, begin_h: float, end_h: float) -> tuple[Rows, Floats]:
        """(new rows of tables, satisfaction float32 [n] with each impression).

        shown: new rows of `impressions` (of the product's log), made at `begin_h`. All else that happens does so after
        it and before `end_h`: `engagements`, `feedback`, `follows`, `tweets` and `tweet_words`.
        """

    def night(self, world: WorldTables, begin_h: float, end_h: float) -> Rows:
        """Let interests drift by what was liked in these hours; new rows of `users` and `follows`."""

    def state(self) -> dict[str, Array]:
        """The truth as it is now."""

    def restore(self, world: WorldTables, state: Mapping[str, Array]) -> None:
        """Take up what `state` gave, in the world as it was then."""


@runtime_checkable
class FutureOfProducts(Protocol):
    """A future of timelines that also knows how people go on with another product beside them, with the same truth."""

    def of(self, product: Product) -> Future | None:
        """The future of a product: `shown` are new rows of its log, and nights are those of the timeline's future."""


class WorldTables:
    """A world's columns in memory and the indices built from them, shared by all views.

    Indices are made on first use; with `index_dir` they are kept there as memory-mapped files.
    """

    def __init__(
        self, meta: WorldMeta, tables: Mapping[str, Mapping[str, Array]], *, index_dir: Path | None = None
    ) -> None:
        self.meta = meta
        tables = completed(tables)
        self._tables = {
            name: MappingProxyType(
                {
                    column: frozen(tables[name][column] if name in tables else np.empty(0, numpy_type(spec.dtype)))
                    for column, spec in table.columns.items()
                }
            )
            for name, table in TABLES.items()
        }
        self._index_dir = index_dir
        self._indices: dict[tuple[str, str], EventIndex] = {}
        self._shared: dict[str, object] = {}
        self._of_the_world_before: dict[str, object] = {}
        self._texts_of: Callable[[Longs], list[str] | None] | None = None  # in the table
        self._texts_known = self.count("tweets")

    def read_texts_with(self, texts_of: Callable[[Longs], list[str] | None]) -> None:
        """Where texts are read that the table `texts` does not hold; None stands for a world that has none."""
        self._texts_of = texts_of

    def texts(self, tweets: Longs) -> list[str | None]:
        """The texts of some tweets; None for one whose text nobody has kept."""
        known = tweets < self._texts_known
        found: list[str | None] = [None] * tweets.size
        texts_of = self._texts_of or self._texts_in_table
        for place, text in zip(np.flatnonzero(known).tolist(), texts_of(tweets[known]) or (), strict=False):
            found[place] = text
        return found

    def _texts_in_table(self, tweets: Longs) -> list[str] | None:
        text = self.table("texts")["text"]
        return text[tweets].tolist() if text.size == self.count("tweets") else None

    def table(self, name: str) -> Columns:
        """All rows of one table; an absent one has no rows."""
        return self._tables[name]

    def count(self, name: str) -> int:
        """The number of rows of a table."""
        return int(next(iter(self._tables[name].values())).size)

    @cached_property
    def following(self) -> Adjacency:
        """Who each user follows."""
        follows = self.table("follows")
        return Adjacency.of(follows["follower"], follows["followee"], follows["time_h"], self.count("users"))

    @cached_property
    def followers(self) -> Adjacency:
        """Who follows each user."""
        follows = self.table("follows")
        return Adjacency.of(follows["followee"], follows["follower"], follows["time_h"], self.count("users"))

    @cached_property
    def subscriptions(self) -> Adjacency:
        """Whose exclusive tweets each user pays for."""
        paid = self.table("subscriptions")
        return Adjacency.of(paid["subscriber"], paid["author"], paid["time_h"], self.count("users"))

    @cached_property
    def words_of_tweet(self) -> tuple[Longs, Ints]:
        """(offsets int64 [T + 1], words int32): the words of each tweet."""
        words = self.table("tweet_words")
        counts = np.bincount(words["tweet"], minlength=self.count("tweets"))
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), words["word"]

    def index(self, what: str, by: str) -> EventIndex:
        """See `PlatformView.events`; over all of the world's time."""
        found = self._indices.get((what, by))
        if found is None:
            found = self._load_index(what, by) or self._save_index(what, by, self._build_index(what, by))
            self._indices[what, by] = found
        return found

    def grown(self, rows: Rows, *, end_h: float) -> WorldTables:
        """This world with more rows, its end at `end_h`; what is not appended is shared, and indices are extended.

        rows: of some tables, columns as in the table (others are left aside), none of an event before those there are.
        """
        tables: dict[str, Columns] = dict(self._tables)
        added = {name: columns for name, columns in rows.items() if next(iter(columns.values())).size}
        for name, columns in added.items():
            tables[name] = {old: np.concatenate([self._tables[name][old], columns[old]]) for old in self._tables[name]}
        if "follows" in added:
            follows = tables["follows"]
            order = np.argsort(pair_keys(follows["follower"], follows["followee"]), kind="stable")
            tables["follows"] = {name: values[order] for name, values in follows.items()}
        everybody = self.count("users") == self.meta.viewer_count
        viewers = int(tables["users"]["created_h"].size) if everybody else self.meta.viewer_count
        world = WorldTables(replace(self.meta, end_h=end_h, viewer_count=viewers), tables)
        world._texts_of, world._texts_known = self._texts_of or self._texts_in_table, self._texts_known
        if not {"follows", "users"} & set(added):
            for name in ("following", "followers"):
                if name in self.__dict__:
                    world.__dict__[name] = self.__dict__[name]
        for what, by in self._indices:
            world._indices[what, by] = world._extended(self, what, by)
        world._of_the_world_before = self._of_the_world_before | self._shared
        return world

    def shared(self, name: str, build: Callable[[PlatformView, T | None], T]) -> T:
        """See `PlatformView.shared`."""
        if name not in self._shared:
            before = cast("T | None", self._of_the_world_before.pop(name, None))
            self._shared.setdefault(name, build(PlatformView(self, np.inf), before))
        return cast(T, self._shared[name])

    def _extended(self, before: WorldTables, what: str, by: str) -> EventIndex:
        """The index of a world that grew, from that of the world before."""
        first = before.count(_table_of(what))
        viewer, tweet, author, time_h, rows = self._event_columns(what, first)
        keys, key_count = self._event_keys(by, viewer, tweet, author)
        numbers = np.arange(first, first + time_h.size, dtype=np.int32) if rows is None else rows
        return before._indices[what, by].extended(keys, time_h, numbers, key_count)

    def _build_index(self, what: str, by: str) -> EventIndex:
        if by not in _EVENT_KEYS:
            raise ContractError(f"events({what!r}, by={by!r})", f"unknown grouping — {nearest(by, _EVENT_KEYS)}")
        viewer, tweet, author, time_h, rows = self._event_columns(what)
        keys, key_count = self._event_keys(by, viewer, tweet, author)
        if by in ("viewer_author", "viewer_tweet"):
            return EventIndex.sparse(keys, time_h, rows=rows)
        return EventIndex.dense(keys, time_h, key_count, rows=rows)

    def _event_keys(self, by: str, viewer: Array, tweet: Array, author: Array) -> tuple[Array, int]:
        """(key of each event, number of dense groups; 0 for pairs)."""
        if by in ("viewer_author", "viewer_tweet"):
            return pair_keys(viewer, author if by == "viewer_author" else tweet), 0
        keys, size = {"tweet": (tweet, "tweets"), "viewer": (viewer, "users"), "author": (author, "users")}[by]
        return keys, self.count(size)

    def _event_columns(self, what: str, first: int = 0) -> tuple[Array, Array, Array, Doubles, Ints | None]:
        """(viewer, tweet, author, time_h, rows) of the events called `what`, from row `first` of their table on."""
        table = {name: values[first:] for name, values in self.table(_table_of(what)).items()}
        if what == "tweet":
            ids = np.arange(first, self.count("tweets"), dtype=np.int32)
            return table["author"], ids, table["author"], table["time_h"], None
        if what == "tweet_label":
            author = self.table("tweets")["author"][table["tweet"]]
            return author, table["tweet"], author, table["time_h"], None
        if what == "user_label":
            return table["user"], np.full(table["user"].size, -1, np.int32), table["user"], table["time_h"], None
        if _table_of(what) == "feedback":
            given = np.flatnonzero(table["kind"] == FEEDBACK_KINDS.index(what)).astype(np.int32)
            user, tweet, author, time_h = (table[name][given] for name in ("user", "tweet", "author", "time_h"))
            return user, tweet, author, time_h, given + np.int32(first)
        if what == "notification_setting":
            changed, none = table["user"], np.full(table["user"].size, -1, np.int32)
            return changed, none, changed, table["time_h"], None
        rows: Ints | None = None
        if what not in ("impression", "notification"):
            code_of = PUSH_ACTION_CODE if what in PUSH_ACTION_CODE else ACTION_CODE
            codes = [code_of[name] for name in (PUBLIC_ACTIONS if what == "public" else (what,))]
            rows = np.flatnonzero(np.isin(table["action"], codes)).astype(np.int32)
        viewer, tweet, time_h = (
            table[name] if rows is None else table[name][rows] for name in ("viewer", "tweet", "time_h")
        )
        if rows is not None:
            rows = rows + np.int32(first)
        return viewer, tweet, self.table("tweets")["author"][tweet], time_h, rows

    def _index_files(self, what: str, by: str) -> dict[str, Path]:
        assert self._index_dir is not None
        return {
            part: self._index_dir / f"{what}.{by}.{part}.npy"
            for part in ("offsets", "time_h", "row") + (("keys",) if by.startswith("viewer_") else ())
        }

    def _load_index(self, what: str, by: str) -> EventIndex | None:
        if self._index_dir is None:
            return None
        files = self._index_files(what, by)
        if not all(file.exists() for file in files.values()):
            return None
        try:
            parts: dict[str, Any] = {part: mapped(file) for part, file in files.items()}
            return EventIndex(**parts)
        except (OSError, ValueError, EOFError):
            return None  # truncated: it is built and written anew

    def _save_index(self, what: str, by: str, index: EventIndex) -> EventIndex:
        if self._index_dir is not None:
            try:
                self._index_dir.mkdir(parents=True, exist_ok=True)
                for part, file in self._index_files(what, by).items():
                    with NamedTemporaryFile(dir=self._index_dir, suffix=".partial", delete=False) as out:
                        np.save(out, getattr(index, part))
                    Path(out.name).replace(file)
            except OSError:
                return index  # read-only or full: the index is as good in memory
        return index


def _table_of(what: str) -> str:
    """The table of the events called `what`."""
    if what in _TABLES_OF_EVENTS:
        return f"{what}s"
    if what in PUSH_ACTION_CODE:
        return "notification_actions"
    if (what in FEEDBACK_KINDS and what not in ACTION_CODE) or what in ("block", "mute"):
        return "feedback"
    if what in ACTION_CODE or what == "public":
        return "engagements"
    known = (*_TABLES_OF_EVENTS, "public", *ACTION_NAMES, *FEEDBACK_KINDS, *PUSH_ACTION_CODE)
    raise ContractError(f"events({what!r})", f"unknown kind of event — {nearest(what, known)}")


class PlatformView:
    """What the platform could have observed before `now_h`.

    Event tables are cut there; an index never answers about that moment or later. Users are known
    from the start (accounts made later have no events before they exist). `assets` holds what batch
    jobs computed, by name.
    """

    def __init__(self, world: WorldTables, now_h: float, *, assets: Columns | None = None) -> None:
        self._world = world
        self.now_h = float(now_h)
        self.assets: Columns = assets if assets is not None else {}
        self._events: dict[tuple[str, str], EventIndex] = {}

    @property
    def meta(self) -> WorldMeta:
        """What the world says about itself."""
        return self._world.meta

    @property
    def users(self) -> Columns:
        """Accounts."""
        return self._world.table("users")

    @property
    def user_count(self) -> int:
        """U, the number of accounts."""
        return self._world.count("users")

    @cached_property
    def tweets(self) -> Columns:
        """Tweets written before now; ids are row numbers and ascend in time."""
        return self._before("tweets")

    @cached_property
    def impressions(self) -> Columns:
        """Impressions logged before now."""
        return self._before("impressions")

    @cached_property
    def engagements(self) -> Columns:
        """Engagements logged before now."""
        return self._before("engagements")

    @cached_property
    def feedback(self) -> Columns:
        """Feedback given before now."""
        return self._before("feedback")

    @cached_property
    def notifications(self) -> Columns:
        """Recommended notifications sent before now."""
        return self._before("notifications")

    @cached_property
    def notification_actions(self) -> Columns:
        """What was done with notifications before now."""
        return self._before("notification_actions")

    @cached_property
    def notification_settings(self) -> Columns:
        """Who turned recommended notifications off or on before now."""
        return self._before("notification_settings")

    def shown(self, product: Product) -> Columns:
        """What a product showed before now: its log of impressions."""
        return self._before(product.shown)

    def done(self, product: Product) -> Columns:
        """What viewers did before now with what a product showed."""
        return self._before(product.done)

    @cached_property
    def tweet_labels(self) -> Columns:
        """Safety labels attached to tweets before now."""
        return self._before("tweet_labels")

    @cached_property
    def user_labels(self) -> Columns:
        """Safety labels attached to accounts before now."""
        return self._before("user_labels")

    @property
    def subscriptions(self) -> Adjacency:
        """Whose exclusive tweets each user pays for; check `time_h` of an edge against the request's moment."""
        return self._world.subscriptions

    @property
    def lists(self) -> Columns:
        """Lists of accounts and their members."""
        return self._world.table("lists")

    @property
    def following(self) -> Adjacency:
        """Who each user follows; check `time_h` of an edge against the request's moment."""
        return self._world.following

    @property
    def followers(self) -> Adjacency:
        """Who follows each user; check `time_h` of an edge against the request's moment."""
        return self._world.followers

    @property
    def words_of_tweet(self) -> tuple[Longs, Ints]:
        """(offsets int64 [T + 1], words int32): the words of each tweet."""
        return self._world.words_of_tweet

    @property
    def vocabulary(self) -> Array:
        """object [W] of str: the words that `words_of_tweet` numbers."""
        return self._world.table("vocabulary")["word"]

    def texts(self, tweets: Longs) -> list[str | None]:
        """The texts of some tweets, int64 [n], written before now; None for one whose text nobody has kept."""
        return self._world.texts(tweets)

    def events(self, what: str, *, by: str) -> EventIndex:
        """Events of one kind grouped by "tweet", "viewer", "author" (of the tweet), "viewer_author" or "viewer_tweet".

        what: an action's name, "public" (any of PUBLIC_ACTIONS), "impression", "tweet" (the writing of one, by
        author), a kind of feedback ("see_fewer", "block", "mute", "mute_keyword"; by "viewer" or "viewer_author"),
        "notification" and the names of PUSH_ACTIONS, "notification_setting" (by "viewer"), or "tweet_label" (by
        "tweet") and "user_label" (by "author").
        Pairs are looked up by `pair_keys(viewer, author)`. `row` of the index points into the table of the events.
        """
        known = self._events.get((what, by))
        if known is None:
            known = self._events[what, by] = self._world.index(what, by).until(self.now_h)
        return known

    def shared(self, name: str, build: Callable[[PlatformView, T | None], T]) -> T:
        """What `build(view of all of the world's time, what it gave for the world that this one grew from)` gives.

        Built once for all views of the world, as indices are: whoever reads it cuts it at the request's own moment.
        """
        return self._world.shared(name, build)

    def tweets_before(self, now_h: Doubles) -> Longs:
        """int64 [n]: how many tweets existed before each moment; the ids below that number."""
        return np.searchsorted(self.tweets["time_h"], np.minimum(now_h, self.now_h), side="left").astype(np.int64)

    def asset(self, name: str) -> Array:
        """What a batch job computed, or NotFittedError."""
        if name not in self.assets:
            raise NotFittedError(f"asset {name!r}", f"no batch job has made it yet — {nearest(name, self.assets)}")
        return self.assets[name]

    def at(self, now_h: float) -> PlatformView:
        """The view of an earlier moment."""
        if now_h > self.now_h:
            raise ContractError("PlatformView.at", f"{now_h} h lies after this view's own moment, {self.now_h} h")
        return PlatformView(self._world, now_h, assets=self.assets)

    def with_assets(self, assets: Columns) -> PlatformView:
        """The same view with more assets."""
        return PlatformView(self._world, self.now_h, assets={**self.assets, **assets})

    def _before(self, table: str) -> Columns:
        assert table in EVENT_TABLES
        columns = self._world.table(table)
        end = int(np.searchsorted(columns["time_h"], self.now_h, side="left"))
        return MappingProxyType({name: values[:end] for name, values in columns.items()})

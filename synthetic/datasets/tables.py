"""Anybody's tables as a world: tweets, and whatever there is of follows, engagements, impressions and users.

    funnel world import tables NAME --tweets T --follows F --engagements E [--impressions I] [--users U]
                                    [--map table.column=theirs] [--map action.theirs=ours] [--strict]

CSV (with a header; gzipped or not) or Parquet. Columns, * needed; `time` is Unix seconds or milliseconds or ISO text,
and `time_h` in its place is hours since a moment of your own, in all files alike:

    follows      follower* followee* time
    tweets       id* author* time* kind parent root text language has_image has_link video_s hashtag_count
                 mention_count length sensitive exclusive
    engagements  viewer* tweet* action* time*
    impressions  viewer* tweet* time* position request propensity
    users        id* handle created language verified creator protected suspended

Ids are whole numbers or text, and become row numbers: first users who act or follow (they are the viewers), then the
others; tweets in order of time. What is missing is derived or absent, and `meta.notes` says which; what is wrong and
can be mended is left out and counted there. Without impressions a log is reconstructed, as for the Higgs data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass as configured

from funnel.core.actions import ACTION_CODE, ACTION_NAMES
from funnel.core.arrays import Array, Doubles, Longs
from funnel.core.errors import ConfigError, DataError, nearest
from funnel.core.events import Adjacency
from funnel.core.kernels.grouping import pair_keys
from funnel.core.progress import Progress
from funnel.core.stage import STRICT
from funnel.core.tables import ORIGINAL, REPLY, RETWEET, SERVED, TWEET_KINDS
from funnel.core.world import Oracle, WorldData, WorldMeta, WorldTables
from synthetic.datasets.blank import ACCOUNT_MADE_H, BEFORE_EPOCH_H, UNKNOWN_LANGUAGE, accounts, plain_tweets
from synthetic.datasets.foreign import Foreign, Repairs
from synthetic.datasets.reconstruct import Seen, not_first, sample_log

NEEDED = {
    "tweets": ("id", "author"),
    "follows": ("follower", "followee"),
    "engagements": ("viewer", "tweet", "action"),
    "impressions": ("viewer", "tweet"),
    "users": ("id",),
}
FLAGS = {
    "tweets": ("has_image", "has_link", "sensitive", "exclusive"),
    "users": ("verified", "creator", "protected", "suspended"),
}
COUNTS = ("hashtag_count", "mention_count", "length")
TIMES = ("time", "time_h")
KNOWN = {
    "tweets": (*NEEDED["tweets"], *TIMES, "kind", "parent", "root", "text", "language", "video_s", *COUNTS,
               *FLAGS["tweets"]),
    "follows": (*NEEDED["follows"], *TIMES),
    "engagements": (*NEEDED["engagements"], *TIMES),
    "impressions": (*NEEDED["impressions"], *TIMES, "position", "request", "propensity"),
    "users": (*NEEDED["users"], "handle", "created", "language", *FLAGS["users"]),
}  # fmt: skip
ACTION = "action"  # the "table" of --map that renames actions
LANGUAGES_AT_MOST = 127
SHORT = np.iinfo(np.int16).max


@configured(config=STRICT, kw_only=True)
class Tables:
    """Imports tables from files of CSV or Parquet."""

    tweets: Path = Field(..., description="file of tweets")
    follows: Path | None = Field(None, description="file of follows; without it nothing is in-network")
    engagements: Path | None = Field(None, description="file of engagements; without it nothing learns")
    impressions: Path | None = Field(None, description="file of impressions; without it a log is reconstructed")
    users: Path | None = Field(None, description="file of users; without it users are those that occur")
    map: dict[str, str] = Field(default_factory=dict, description="table.column -> their name; action.theirs -> ours")
    sha256: dict[str, str] = Field(default_factory=dict, description="table -> sha256 that its file must have")
    strict: bool = Field(False, description="whether anything that would be mended is an error")
    until_unix_s: float = Field(math.inf, description="no event may be later, Unix seconds; ignored for `time_h`")
    held_out: float = Field(0.2, gt=0, lt=1, description="share of the log, the latest, that nothing learns from")
    others: int = Field(4, ge=1, le=50, description="tweets without engagement beside each of a reconstructed log")
    in_network_share: float = Field(0.5, ge=0, le=1, description="share of those drawn from followed accounts")
    window_h: float = Field(24.0, gt=0, le=8760, description="how far back those are drawn from, hours")
    default_funnel: str = Field("twitter_2023", description="the funnel for this world")

    def __post_init__(self) -> None:
        for key in self.map:
            table, _, column = key.partition(".")
            if table not in (*KNOWN, ACTION) or not column:
                known = [f"{name}.{other}" for name, columns in KNOWN.items() for other in columns]
                raise ConfigError(f"--map {key}", f"wants table.column=theirs — {nearest(key, known)}")
            if table == ACTION and self.map[key] not in ACTION_CODE:
                raise ConfigError(f"--map {key}", f"{self.map[key]!r} — {nearest(self.map[key], ACTION_NAMES)}")

    def build(self, name: str, seed: int, progress: Progress) -> WorldData:
        """The world; the same files, settings and seed give the same bytes. DataError says where a file is wrong."""
        with progress.bar(f"import {name}", 3) as bar:
            files = self._files()
            bar.advance()
            work = _Import(self, files, Repairs(strict=self.strict))
            tables = work.tables(seed)
            bar.advance()
            meta = work.meta(name)
            bar.advance()
        for line in work.repairs.told():
            progress.note(line)
        return WorldData(meta, tables)

    def oracle(self, data: WorldTables, truth: Mapping[str, Array]) -> Oracle | None:
        """None: nobody knows what these people would have done."""
        return None

    def renamed(self, table: str) -> dict[str, str]:
        """Ours -> theirs, for the columns of one table."""
        return {key.partition(".")[2]: theirs for key, theirs in self.map.items() if key.partition(".")[0] == table}

    def _files(self) -> dict[str, Foreign]:
        paths = {"tweets": self.tweets, "follows": self.follows, "engagements": self.engagements,
                 "impressions": self.impressions, "users": self.users}  # fmt: skip
        return {
            name: Foreign.read(name, path, KNOWN[name], NEEDED[name], self.renamed(name), sha256=self.sha256.get(name))
            for name, path in paths.items()
            if path is not None
        }


@dataclass
class _Import:
    """One import: settings, files, and what is found out on the way."""

    settings: Tables
    files: dict[str, Foreign]
    repairs: Repairs
    notes: list[str] = field(default_factory=list)
    epoch_s: float | None = None
    languages: tuple[str, ...] = (UNKNOWN_LANGUAGE,)
    viewer_count: int = 0
    end_h: float = 0.0
    train_until_h: float = 0.0
    observed: tuple[str, ...] = ()
    written_h: Doubles = field(default_factory=lambda: np.empty(0))

    def tables(self, seed: int) -> dict[str, dict[str, Array]]:
        """All tables, checked against each other."""
        times = self._times()
        tweets, order, tweet_ids, author_ids = self._tweets(times.pop("tweets"))
        self.written_h = tweets["time_h"].astype(np.float64)
        events: dict[str, _Events] = {name: self._events(name, times[name], tweet_ids)
                  for name in ("engagements", "impressions") if name in self.files}  # fmt: skip
        follows = self._follow_rows(times.get("follows"))
        people = self._people(author_ids, events, follows)
        tweets["author"] = people.dense(author_ids)
        found: dict[str, dict[str, Array]] = {"users": self._users(people), "tweets": tweets}
        if "text" in self.files["tweets"]:
            found["texts"] = {"text": self.files["tweets"].text("text")[order]}
        if follows is not None and follows[0].len():
            found["follows"] = _sorted_pairs(people.dense(follows[0]), people.dense(follows[1]), follows[2])
        shown = self._impressions(events.get("impressions"), people)
        done = self._engagements(events.get("engagements"), people)
        if done is not None and shown is None:
            shown = self._reconstructed(tweets, done, found.get("follows"), people.ids.len(), seed)
        elif done is not None and shown is not None:
            done["impression"] = _causes(done, shown)
        found |= {name: rows for name, rows in (("impressions", shown), ("engagements", done)) if rows}
        self._moments(tweets, shown, done)
        return found

    def meta(self, name: str) -> WorldMeta:
        """What the world says about itself."""
        able = "retrieval from engagements, and the rankers" if self.observed else "retrieval from follows"
        absent = [f"no {table}" for table in KNOWN if table not in self.files]
        return WorldMeta(
            name,
            end_h=self.end_h,
            train_until_h=self.train_until_h,
            viewer_count=self.viewer_count,
            epoch_unix_s=self.epoch_s or 0.0,
            observed_actions=self.observed,
            default_funnel=self.settings.default_funnel,
            languages=self.languages,
            notes=(
                "Imported from " + ", ".join(f"{file.path.name} ({len(file):,} rows)" for file in self.files.values()),
                *self.notes,
                *self.repairs.told(),
                f"Can exercise: {able}" + (" (not given: " + ", ".join(absent) + ")" if absent else ""),
                "Cannot exercise: anything that needs the truth; feedback, labels, lists and subscriptions are absent",
            ),
        )

    # Times

    def _times(self) -> dict[str, Doubles]:
        """Hours of every file's rows since the epoch, which is the midnight (UTC) before the first tweet."""
        kinds = {name: file for name, file in self.files.items() if name != "users"}
        in_hours = [name for name, file in kinds.items() if "time_h" in file]
        in_seconds = [name for name, file in kinds.items() if "time" in file and "time_h" not in file]
        if in_hours and in_seconds:
            raise DataError(
                str(self.files[in_hours[0]].path),
                f"has `time_h` and {self.files[in_seconds[0]].path.name} has `time`; wants the same in all files",
            )
        for name in ("tweets", "engagements", "impressions"):
            if name in kinds and name not in (*in_hours, *in_seconds):
                raise DataError(
                    str(kinds[name].path), f"has no column 'time' or 'time_h' (--map {name}.time=THEIRS names another)"
                )
        if in_hours:
            return {name: self.files[name].numbers("time_h", -1e7, 1e7) for name in in_hours}
        seconds = {name: self.files[name].unix_s("time") for name in in_seconds}
        for name, values in seconds.items():
            late = f"a time until {_iso(self.settings.until_unix_s)}, not the future"
            self.files[name].refuse("time", values > self.settings.until_unix_s, late)
        if not seconds["tweets"].size:
            raise DataError(str(self.files["tweets"].path), "has no rows; a world needs tweets")
        self.epoch_s = float(np.floor(seconds["tweets"].min() / 86_400) * 86_400)
        return {name: (values - self.epoch_s) / 3600.0 for name, values in seconds.items()}

    def _moments(self, tweets: dict[str, Array], shown: dict[str, Array] | None, done: dict[str, Array] | None) -> None:
        """The end is a second after the last event; the latest share of the log is held out."""
        events = [rows["time_h"] for rows in (tweets, shown, done) if rows is not None]
        self.end_h = float(max(times.max() for times in events)) + 1 / 3600
        log = shown if shown is not None else done if done is not None else tweets
        self.train_until_h = float(np.quantile(log["time_h"], 1 - self.settings.held_out))

    # Tweets

    def _tweets(self, time_h: Doubles) -> tuple[dict[str, Array], Longs, pl.Series, pl.Series]:
        """(columns but the author, order in the file that ascends in time, ids and authors in that order)."""
        file = self.files["tweets"]
        if not len(file):
            raise DataError(str(file.path), "has no rows; a world needs tweets")
        keep = self.repairs.note(file, file.ids("id").is_first_distinct().not_().to_numpy(),
                                 "dropped {} tweets whose id stood there before")  # fmt: skip
        file, time_h = file.where(keep), time_h[keep]
        self.files["tweets"] = file
        order = np.argsort(time_h, kind="stable")
        ids = file.ids("id")[order]
        columns = {**plain_tweets(order.size), "time_h": time_h[order], **self._references(file, ids, order)}
        for name in FLAGS["tweets"]:
            if name in file:
                columns[name] = file.flags(name)[order]
        if "video_s" in file:
            columns["video_s"] = file.numbers("video_s", 0, 1e7)[order].astype(np.float32)
        columns |= self._counts(file, order)
        return columns, order, ids, file.ids("author")[order]

    def _references(self, file: Foreign, ids: pl.Series, order: Longs) -> dict[str, Array]:
        """Columns kind, parent and root; what refers to nothing, or to something later, is mended."""
        kind = np.zeros(order.size, np.int64)
        if "kind" in file:
            names = {name: code for code, name in enumerate(TWEET_KINDS)}
            kind = file.choices("kind", names | {str(code): code for code in names.values()})[order]
        ordered = Foreign(file.name, file.path, file.frame[order], file.lines, file.theirs, file.origin[order])
        place = {}
        for column in ("parent", "root"):
            place[column] = np.full(order.size, -1, np.int64)
            if column in file:
                wanted = ordered.ids(column, missing=True)
                place[column] = _places(ids, wanted)
                lost = (place[column] < 0) & wanted.is_not_null().to_numpy()
                self.repairs.note(ordered, lost, f"forgot {{}} {column}s that are no tweet of the file")
                later = place[column] >= np.arange(order.size)
                self.repairs.note(ordered, later, f"forgot {{}} {column}s that are not earlier than the tweet")
                place[column][later] = -1
        if "parent" in file and "kind" not in file:
            kind[place["parent"] >= 0] = REPLY
            self.notes.append("Tweets with a parent are taken for replies")
        orphan = (kind == RETWEET) & (place["parent"] < 0)
        self.repairs.note(ordered, orphan, "made {} retweets of an unknown tweet originals")
        kind[orphan] = ORIGINAL
        root = np.where(kind == REPLY, place["root"], -1)
        if "root" not in file:
            root = np.where(kind == REPLY, _roots(kind, place["parent"]), -1)
        return {
            "kind": kind.astype(np.int8),
            "parent": np.where(kind == ORIGINAL, -1, place["parent"]).astype(np.int32),
            "root": root.astype(np.int32),
        }

    def _counts(self, file: Foreign, order: Longs) -> dict[str, Array]:
        """Columns that the text tells where the file does not, and the language."""
        out: dict[str, Array] = {
            name: file.numbers(name, 0, SHORT)[order].astype(np.int16) for name in COUNTS if name in file
        }
        if "text" in file:
            text = pl.Series(file.text("text").tolist(), dtype=pl.String)[order]
            told = {"hashtag_count": text.str.count_matches(r"#\w"), "mention_count": text.str.count_matches(r"@\w"),
                    "length": text.str.len_chars()}  # fmt: skip
            derived = [name for name in COUNTS if name not in file]
            out |= {name: told[name].clip(0, SHORT).to_numpy().astype(np.int16) for name in derived}
            if "has_link" not in file:
                out["has_link"] = text.str.contains(r"https?://").to_numpy()
                derived.append("has_link")
            self.notes.append(f"From the text: {', '.join(derived)}")
        else:
            self.notes.append("Tweets have no text")
        absent = [name for name in ("language", "video_s", *FLAGS["tweets"]) if name not in file and name not in out]
        if absent:
            self.notes.append(f"Unknown of tweets, and so nothing: {', '.join(absent)}")
        out["language"] = self._languages(file)[order]
        return out

    def _languages(self, file: Foreign) -> Array:
        """int8 [n]: codes of the languages of tweets, which users share; an empty cell is "und"."""
        if "language" not in file:
            return np.zeros(len(file), np.int8)
        names = pl.Series(file.text("language").tolist(), dtype=pl.String).replace("", UNKNOWN_LANGUAGE)
        new = [name for name in names.unique().sort().to_list() if name not in self.languages]
        if len(self.languages) + len(new) > LANGUAGES_AT_MOST:
            raise DataError(str(file.path), f"column 'language' has more than {LANGUAGES_AT_MOST} languages")
        self.languages = (*self.languages, *new)
        codes = {name: code for code, name in enumerate(self.languages)}
        return names.replace_strict(codes, return_dtype=pl.Int8).to_numpy()

    # Events and follows

    def _events(self, name: str, time_h: Doubles, tweet_ids: pl.Series) -> _Events:
        """Engagements or impressions with known tweets, not before them, ascending in time."""
        file = self.files[name]
        tweet = _places(tweet_ids, file.ids("tweet"))
        keep = self.repairs.note(file, tweet < 0, f"dropped {{}} {name} with tweets that are not in the file of tweets")
        early = keep & (time_h < self.written_h[np.maximum(tweet, 0)])
        keep &= self.repairs.note(file, early, f"dropped {{}} {name} before their tweet was written")
        action = np.zeros(len(file), np.int64)
        if name == "engagements":
            codes = ACTION_CODE | {
                theirs.lower(): ACTION_CODE[ours] for theirs, ours in self.settings.renamed(ACTION).items()
            }
            action = file.choices("action", codes)
            triple = pl.DataFrame({"v": file.ids("viewer"), "t": tweet, "a": action}).select(pl.struct(pl.all()))
            again = keep & triple.to_series().is_first_distinct().not_().to_numpy()
            keep &= self.repairs.note(file, again, "dropped {} engagements that stood there before")
        rows = np.flatnonzero(keep)
        rows = rows[np.argsort(time_h[rows], kind="stable")]
        kept = Foreign(name, file.path, file.frame[rows], file.lines, file.theirs, file.origin[rows])
        self.files[name] = kept
        return _Events(kept.ids("viewer"), tweet[rows], time_h[rows], action[rows])

    def _follow_rows(self, time_h: Doubles | None) -> tuple[pl.Series, pl.Series, Doubles] | None:
        """(follower, followee, hours), without self-follows, each pair once."""
        if "follows" not in self.files:
            self.notes.append("No follows: nothing is in-network")
            return None
        file = self.files["follows"]
        if time_h is None:
            time_h = np.full(len(file), BEFORE_EPOCH_H)
            self.notes.append("Follows have no time and are taken to be from before the first tweet")
        follower, followee = file.ids("follower"), file.ids("followee")
        own = (follower == followee).to_numpy()
        keep = self.repairs.note(file, own, "dropped {} self-follows")
        pairs = pl.DataFrame({"a": follower, "b": followee}).select(pl.struct(pl.all())).to_series()
        again = keep & pairs.is_first_distinct().not_().to_numpy()
        keep &= self.repairs.note(file, again, "dropped {} duplicate follows")
        self.files["follows"] = file.where(keep)
        return follower.filter(keep), followee.filter(keep), time_h[keep]

    def _impressions(self, events: _Events | None, people: _People) -> dict[str, Array] | None:
        if events is None or not events.tweet.size:
            return None
        file, count = self.files["impressions"], events.tweet.size
        viewer = people.dense(events.viewer)
        page = np.arange(count)
        if "request" in file:
            page = file.ids("request").rank("dense").to_numpy().astype(np.int64) - 1
        else:
            self.notes.append("Impressions have no request: those of a viewer at one moment are a page")
            pairs = np.stack([events.time_h, viewer.astype(np.float64)])
            page = np.unique(pairs, axis=1, return_inverse=True)[1].astype(np.int64).ravel()
        # A page is one moment, its first, so that its rows stand together.
        first = np.full(int(page.max()) + 1, np.inf)
        np.minimum.at(first, page, events.time_h)
        position = file.numbers("position", 0, SHORT) if "position" in file else np.zeros(count)
        if "position" not in file:
            self.notes.append("Places on pages are unknown (all 0)")
        order = np.lexsort((position, page, first[page]))
        apart = first[page] < events.time_h
        if apart.any():
            self.notes.append(f"{int(apart.sum()):,} impressions were moved to the first moment of their page")
        opens = np.unique(page, return_index=True)[1]
        several = viewer != viewer[opens][page]
        if "request" in file:
            file.refuse("request", several, "rows of one viewer on a page")
        early = first[page] < self.written_h[events.tweet]
        keep = self.repairs.note(file, early, "dropped {} impressions on pages that began before their tweet")
        order = order[keep[order]]
        share = file.numbers("propensity", 0, 1) if "propensity" in file else np.full(count, np.nan)
        return {
            "viewer": viewer[order],
            "tweet": events.tweet[order].astype(np.int32),
            "time_h": first[page][order],
            "position": position[order].astype(np.int16),
            "request": page[order].astype(np.int32),
            "arm": np.full(order.size, SERVED, np.int8),
            "propensity": share[order].astype(np.float32),
        }

    def _engagements(self, events: _Events | None, people: _People) -> dict[str, Array] | None:
        if events is None or not events.tweet.size:
            self.notes.append("No engagements: nothing learns")
            return None
        self.observed = tuple(ACTION_NAMES[code] for code in np.unique(events.action))
        return {
            "viewer": people.dense(events.viewer),
            "tweet": events.tweet.astype(np.int32),
            "action": events.action.astype(np.int8),
            "time_h": events.time_h,
            "impression": np.full(events.tweet.size, -1, np.int32),
        }

    def _reconstructed(
        self, tweets: dict[str, Array], done: dict[str, Array], follows: dict[str, Array] | None, users: int, seed: int
    ) -> dict[str, Array] | None:
        """A log from the engagements, whose `impression` is set; None if nobody follows another one's engagement."""
        _, first = np.unique(pair_keys(done["viewer"], done["tweet"]), return_index=True)
        others = not_first(done)
        chosen = others[np.isin(others, first)]
        chosen = chosen[tweets["author"][done["tweet"][chosen]] != done["viewer"][chosen]]
        if not chosen.size:
            self.notes.append("No impressions, and too few engagements to reconstruct a log from: nothing learns")
            return None
        none = {"follower": np.empty(0, np.int64), "followee": np.empty(0, np.int64), "time_h": np.empty(0)}
        lists = follows or none
        following = Adjacency.of(lists["follower"], lists["followee"], lists["time_h"], users)
        settings = self.settings
        shown, done["impression"] = sample_log(
            Seen(tweets, done["viewer"], done["tweet"], done["time_h"], following), chosen, others=settings.others,
            in_network_share=settings.in_network_share, window_h=settings.window_h, seed=seed,
        )  # fmt: skip
        self.notes.append(
            f"Impressions are reconstructed: each engagement but a tweet's first, beside {settings.others} tweets of "
            "the moment that the viewer did not engage with; rates of actions mean nothing"
        )
        return shown

    # People

    def _people(
        self, authors: pl.Series, events: Mapping[str, _Events], follows: tuple[pl.Series, pl.Series, Doubles] | None
    ) -> _People:
        """Viewers first: whoever engages, is shown something, or follows; all in the order of their ids."""
        active = [rows.viewer for rows in events.values()] + ([follows[0]] if follows is not None else [])
        passive = [authors] + ([follows[1]] if follows is not None else [])
        if "users" in self.files:
            file = self.files["users"]
            again = file.ids("id").is_first_distinct().not_().to_numpy()
            self.files["users"] = file = file.where(
                self.repairs.note(file, again, "dropped {} users whose id stood there before")
            )
            passive.append(file.ids("id"))
        viewers = _in_order(active) if active else _in_order(passive)
        everybody = pl.concat([viewers, *passive]).unique()
        self.viewer_count = viewers.len()
        others = _in_order([everybody.filter(everybody.is_in(viewers.implode()).not_())])
        if not active:
            self.notes.append("Nobody acts or follows: everybody is a viewer")
        return _People(pl.concat([viewers, others]))

    def _users(self, people: _People) -> dict[str, Array]:
        number = people.ids.str.contains(r"^-?\d+$")
        out = accounts(pl.select(pl.when(number).then("user" + people.ids).otherwise(people.ids)).to_series().to_list())
        if "users" not in self.files:
            self.notes.append("Users are those that occur; ages of accounts, verified marks and the rest are unknown")
            return out
        file = self.files["users"]
        row = _places(file.ids("id"), people.ids)
        known = row >= 0
        if not known.all():
            self.notes.append(f"{int((~known).sum()):,} users occur but are not in the file of users; they were added")
        if "handle" in file:
            out["handle"] = np.where(known, file.text("handle")[np.maximum(row, 0)], out["handle"])
        if "created" in file:
            if self.epoch_s is None:
                made = file.numbers("created", -1e7, 1e7)
            else:
                made = (file.unix_s("created") - self.epoch_s) / 3600.0
            out["created_h"] = np.where(known, made[np.maximum(row, 0)], ACCOUNT_MADE_H)
        for name in FLAGS["users"]:
            if name in file:
                out[name] = known & file.flags(name)[np.maximum(row, 0)]
        out["language"] = np.where(known, self._languages(file)[np.maximum(row, 0)], 0).astype(np.int8)
        absent = [name for name in ("handle", "created", "language", *FLAGS["users"]) if name not in file]
        if absent:
            self.notes.append(f"Unknown of users: {', '.join(absent)}")
        return out


@dataclass(frozen=True)
class _Events:
    """viewer: ids; tweet, action: int64 [n]; time_h: float64 [n], ascending."""

    viewer: pl.Series
    tweet: Longs
    time_h: Doubles
    action: Longs


@dataclass(frozen=True)
class _People:
    """ids: the file's id of each row of `users`."""

    ids: pl.Series

    def dense(self, ids: pl.Series) -> Array:
        """int32 [n]: row numbers of users."""
        return _places(self.ids, ids).astype(np.int32)


def _places(known: pl.Series, wanted: pl.Series) -> Longs:
    """int64 [n]: where each wanted id stands among the known ones, -1 if it is null or not there."""
    table = pl.DataFrame({"id": known, "place": np.arange(known.len())})
    asked = pl.DataFrame({"id": wanted.cast(pl.String)})
    found = asked.join(table, on="id", how="left", maintain_order="left")["place"]
    return found.fill_null(-1).to_numpy().astype(np.int64)


def _in_order(parts: list[pl.Series]) -> pl.Series:
    """Each id once: by number if all are numbers, else by text."""
    known = pl.concat(parts).unique()
    numbers = known.cast(pl.Int64, strict=False)
    return known.sort() if numbers.has_nulls() else known.to_frame("id").select(
        pl.col("id").sort_by(numbers, "id")
    ).to_series()  # fmt: skip


def _roots(kind: Longs, parent: Longs) -> Longs:
    """int64 [n]: the first tweet of each reply's conversation. Parents stand before their replies."""
    root = np.where(kind == REPLY, parent, -1)
    while True:
        above = np.where(root >= 0, np.where(kind[root] == REPLY, parent[root], -1), -1)
        if (above < 0).all():
            return root
        root = np.where(above >= 0, above, root)


def _sorted_pairs(follower: Array, followee: Array, time_h: Doubles) -> dict[str, Array]:
    order = np.argsort(pair_keys(follower, followee), kind="stable")
    return {"follower": follower[order], "followee": followee[order], "time_h": time_h[order]}


def _causes(done: Mapping[str, Array], shown: Mapping[str, Array]) -> Array:
    """int32 [E]: the last impression of the same viewer and tweet before each engagement or with it, -1 if none."""
    left = pl.DataFrame({"key": pair_keys(done["viewer"], done["tweet"]), "time": done["time_h"]})
    right = pl.DataFrame(
        {
            "key": pair_keys(shown["viewer"], shown["tweet"]),
            "time": shown["time_h"],
            "row": np.arange(shown["tweet"].size),
        }
    )
    joined = left.with_row_index("at").join_asof(right, on="time", by="key", check_sortedness=False).sort("at")
    return joined["row"].fill_null(-1).to_numpy().astype(np.int32)


def _iso(unix_s: float) -> str:
    return str(pl.from_epoch(pl.Series([int(unix_s)]))[0]) if math.isfinite(unix_s) else "the end of time"

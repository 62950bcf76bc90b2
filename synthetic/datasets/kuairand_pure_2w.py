"""Two weeks of Kuaishou's feed, 25 April to 8 May 2022, as a world: every impression with eight kinds of reaction.

Gao et al., "KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly Exposed Videos", CIKM 2022
(chongminggao/KuaiRand, KuaiRand-Pure, log_standard of those days; CC BY-SA 4.0). A video is a tweet. The rules:

- Users: the data's users 0 … 27,284 in that order (they are the viewers), then an account for each author, whose ids
  are another space. Accounts of users are as old as `register_days` says, counted from the epoch.
- Tweets: every video, at the beginning of its day of upload (Beijing), with its length and the tags as its text.
- Impressions: every row of the log. There are no pages in it: impressions of one user in one millisecond are one, and
  places are unknown (all 0). The propensities of the platform's recommender are unknown too.
- Engagements, at the end of playing, for nobody knows when before that (so a like is seen late, never early):
      is_like → favorite        is_comment → reply          is_forward → retweet      is_click → click
      is_profile_enter → profile_click                      is_hate → negative_feedback, and feedback "see fewer"
      play_time ≥ 2 s → dwell   play_time ≥ half the length → video_playback50
  `long_view` (18 s, or the whole of a shorter video) has no counterpart. Before the epoch: the last likes of each
  user, whose order is known, at the time of the user's last event, which is the latest that they can be.
- Follows: is_follow, at the end of playing. Whom people followed before is unknown.

Left out because they look ahead or are outcomes: the `*_cnt` statistics of videos (aggregates over the whole
collection), numbers of fans and follows of users, stay times, and whatever is derived from play_time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Doubles, Longs
from funnel.core.errors import DataError
from funnel.core.kernels.grouping import pair_keys
from funnel.core.progress import Progress
from funnel.core.stage import STRICT
from funnel.core.tables import SEE_FEWER, SERVED
from funnel.core.world import Oracle, WorldData, WorldMeta, WorldTables
from synthetic.datasets.blank import UNKNOWN_LANGUAGE, accounts, originals, plain_tweets, texts
from synthetic.datasets.files import data_folder, read_csv, read_parquet

SOURCE = "https://kuairand.com (KuaiRand-Pure; the part from 25 April 2022 on, as Parquet)"
LOGS = ("log_standard_20220425_20220430.parquet", "log_standard_20220501_20220508.parquet")
USERS, VIDEOS = "user_features_pure.csv.gz", "video_features_basic_pure.csv.gz"
HISTORY = "user_sequences_upto_20220424.parquet"
SHA256 = {
    LOGS[0]: "77d41160c6ad7b67ea9497881c965d7650d3e1b494c3f3b1dfcf8df11e6395c0",
    LOGS[1]: "afe40f62090c7cf086700038c7f754b9598e4f3b7e2d3fd923fe662e30ea01cb",
    USERS: "8774bf03b52b644f359f7bba593876782e0354d4c18ca35ed3867937a10773f7",
    VIDEOS: "46440949fcde92c99b2be65ca9d21386539ca08a00c6f84fbad15a4bb3205db5",
    HISTORY: "322e6dcd06ed2939611287b3dc5ce49b2154bbe6bf65183248cd58e9925fcc5d",
}
LABELS = {
    "is_like": "favorite",
    "is_comment": "reply",
    "is_forward": "retweet",
    "is_click": "click",
    "is_profile_enter": "profile_click",
    "is_hate": "negative_feedback",
}
OBSERVED = (*LABELS.values(), "dwell", "video_playback50")
DWELL_MS = 2_000  # the meaning of `dwell` in funnel.core.actions
EPOCH_UNIX_S = 1_650_812_400  # 2022-04-24 15:00 UTC, the hour of the log's first row
END_H = 337.0  # an hour after midnight of 8 May in Beijing: the last video has been played
TRAIN_UNTIL_H = 265.0  # midnight before 6 May in Beijing: the last three days are held out
BEIJING_H = 8.0


@dataclass(config=STRICT, kw_only=True)
class KuairandPure2w:
    """Imports the log; `folder` is where the files are, found by $FUNNEL_DATA if it is not given."""

    folder: Path | None = Field(None, description="folder of the five files; default: $FUNNEL_DATA/kuairand-pure-2w")
    verify: bool = Field(True, description="whether the files must be the published ones (sha256)")

    def build(self, name: str, seed: int, progress: Progress) -> WorldData:
        """The world; nothing in it is drawn. DataError if the files are not right."""
        folder = self.folder or data_folder("kuairand-pure-2w", SOURCE)
        checks = SHA256 if self.verify else {}
        with progress.bar(f"import {name}", 2) as bar:
            people = read_csv(folder / USERS, {"user_id": pl.Int64, "register_days": pl.Int64}, checks.get(USERS))
            videos = _videos(folder / VIDEOS, checks.get(VIDEOS))
            log = _log(folder, checks, people.height, videos)
            history = _likes_before(folder / HISTORY, checks.get(HISTORY), people.height, videos)
            bar.advance()
            authors, author = np.unique(videos["author_id"].to_numpy(), return_inverse=True)
            shown = _impressions(log)
            tweets, words = _tweets(videos, author + people.height)
            tables = {
                "users": _users(people, authors),
                "follows": _follows(log, tweets["author"]),
                "tweets": tweets,
                "texts": {"text": words},
                "impressions": shown,
                "engagements": _engagements(log, history),
                "feedback": _feedback(log, tweets["author"]),
            }
            bar.advance()
        return WorldData(_meta(name, people.height), {name: rows for name, rows in tables.items() if _size(rows)})

    def oracle(self, data: WorldTables, truth: Mapping[str, Array]) -> Oracle | None:
        """None: nobody knows what these people would have done."""
        return None


def _meta(name: str, viewers: int) -> WorldMeta:
    return WorldMeta(
        name,
        end_h=END_H,
        train_until_h=TRAIN_UNTIL_H,
        viewer_count=viewers,
        epoch_unix_s=float(EPOCH_UNIX_S),
        observed_actions=OBSERVED,
        default_funnel="kuairand_2022",
        languages=(UNKNOWN_LANGUAGE,),
        notes=(
            f"Real impressions of short videos, 25 April to 8 May 2022; {SOURCE}; CC BY-SA 4.0",
            "like → favorite, comment → reply, forward → retweet, click → click, profile → profile_click, hate → "
            "negative_feedback, 2 s of playing → dwell, half the length → video_playback50, follow → follows",
            "Pages, places and propensities are unknown; a video's time is the beginning of its day of upload",
            "Can exercise: the rankers on real labels (calibration, AUC on the last three days), negative feedback, "
            "retrieval from engagements (TwHIN), for viewers who liked, commented or forwarded something",
            "Cannot exercise: in-network sources, UTEG, SimClusters (304 follows in two weeks, none from before); "
            "recency (all videos are of three days, two weeks before the log); languages, replies, conversations",
        ),
    )


def _size(rows: Mapping[str, Array]) -> int:
    return int(next(iter(rows.values())).size)


def _hours(unix_ms: pl.Expr) -> pl.Expr:
    return (unix_ms - EPOCH_UNIX_S * 1000) / 3_600_000


def _videos(path: Path, sha256: str | None) -> pl.DataFrame:
    """Columns video_id, author_id, time_h, video_s, tags (list), in order of time, then id."""
    wanted = {"video_id": pl.Int64, "author_id": pl.Int64, "upload_dt": pl.String, "video_duration": pl.Float64}
    found = read_csv(path, {**wanted, "tag": pl.String}, sha256)
    try:
        found = found.with_columns(uploaded_ms=pl.col("upload_dt").str.to_datetime("%Y-%m-%d").dt.epoch("ms"))
    except pl.exceptions.PolarsError as error:
        raise DataError(str(path), f"column 'upload_dt' wants dates such as 2022-04-09 ({error})") from error
    return found.select(
        "video_id",
        "author_id",
        time_h=_hours(pl.col("uploaded_ms")) - BEIJING_H,
        video_s=pl.col("video_duration").fill_null(0.0) / 1000,
        tags=pl.col("tag").fill_null("").str.split(","),
    ).sort("time_h", "video_id")


def _log(folder: Path, checks: Mapping[str, str], users: int, videos: pl.DataFrame) -> pl.DataFrame:
    """The rows of both files, ascending in time: user_id, tweet, time_h, done_h, the labels as booleans, …"""
    columns = ["user_id", "video_id", "time_ms", "play_time_ms", "is_follow", *LABELS]
    parts = [read_parquet(folder / name, columns, checks.get(name)) for name in LOGS]
    for name, part in zip(LOGS, parts, strict=True):
        begin, end = EPOCH_UNIX_S * 1000, int(EPOCH_UNIX_S * 1000 + END_H * 3_600_000)
        known = part["user_id"].is_between(0, users - 1) & part["video_id"].is_in(videos["video_id"].implode())
        over = (part["time_ms"] + part["play_time_ms"]).to_numpy()
        early = part["time_ms"].to_numpy() < begin
        wrong = ~known.to_numpy() | early | (over >= end) | (part["play_time_ms"] < 0).to_numpy()
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                str(folder / name), f"row {row}: wants a known user and video, and a time of 24 April to 8 May 2022"
            )
    place = videos.select("video_id", "video_s", tweet=pl.int_range(pl.len()))
    both = pl.concat(parts).join(place, on="video_id", how="left", maintain_order="left")
    return both.sort("time_ms", "user_id", maintain_order=True).with_columns(
        time_h=_hours(pl.col("time_ms")),
        done_h=_hours(pl.col("time_ms") + pl.col("play_time_ms")),
        dwell=pl.col("play_time_ms") >= DWELL_MS,
        video_playback50=(pl.col("play_time_ms") / 1000 >= pl.col("video_s") / 2) & (pl.col("video_s") > 0),
        page=pl.struct("time_ms", "user_id").rle_id(),
        **{action: pl.col(label) > 0 for label, action in LABELS.items()},
    )


def _impressions(log: pl.DataFrame) -> dict[str, Array]:
    return {
        "viewer": log["user_id"].to_numpy().astype(np.int32),
        "tweet": log["tweet"].to_numpy().astype(np.int32),
        "time_h": log["time_h"].to_numpy(),
        "position": np.zeros(log.height, np.int16),
        "request": log["page"].to_numpy().astype(np.int32),
        "arm": np.full(log.height, SERVED, np.int8),
        "propensity": np.full(log.height, np.nan, np.float32),
    }


def _engagements(log: pl.DataFrame, history: Mapping[str, Array]) -> dict[str, Array]:
    """Reactions of the log and, without impressions, the likes before it; ascending in time."""
    done_h = log["done_h"].to_numpy()
    parts: list[dict[str, Array]] = [dict(history)]
    for action in OBSERVED:
        rows = np.flatnonzero(log[action].to_numpy())
        parts.append(
            {
                "viewer": log["user_id"].to_numpy()[rows].astype(np.int32),
                "tweet": log["tweet"].to_numpy()[rows].astype(np.int32),
                "action": np.full(rows.size, ACTION_CODE[action], np.int8),
                "time_h": done_h[rows],
                "impression": rows.astype(np.int32),
            }
        )
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["time_h"], kind="stable")
    return {name: values[order] for name, values in columns.items()}


def _likes_before(path: Path, sha256: str | None, users: int, videos: pl.DataFrame) -> dict[str, Array]:
    """The last likes of each user before the log, in their order, each once, at the time of the user's last event."""
    found = read_parquet(path, ["user_id", "last_time_ms", "like_seq"], sha256)
    likes = found.explode("like_seq").drop_nulls("like_seq").unique(["user_id", "like_seq"], maintain_order=True)
    place = videos.select(like_seq="video_id", tweet=pl.int_range(pl.len()), written_h="time_h")
    known = likes.filter(pl.col("user_id").is_between(0, users - 1)).join(
        place, on="like_seq", how="inner", maintain_order="left"
    )
    # Hours before the epoch: the data end there. A video is liked after its upload.
    time_h = np.minimum(known.select(_hours(pl.col("last_time_ms"))).to_series().to_numpy(), -1.0 / 3600)
    right = time_h > known["written_h"].to_numpy()
    count = int(right.sum())
    return {
        "viewer": known["user_id"].to_numpy()[right].astype(np.int32),
        "tweet": known["tweet"].to_numpy()[right].astype(np.int32),
        "action": np.full(count, ACTION_CODE["favorite"], np.int8),
        "time_h": time_h[right],
        "impression": np.full(count, -1, np.int32),
    }


def _users(people: pl.DataFrame, authors: Longs) -> dict[str, Array]:
    if people["user_id"].to_list() != list(range(people.height)):
        raise DataError(USERS, "column 'user_id' wants 0, 1, 2, … in order")
    made_h: Doubles = np.full(people.height + authors.size, -8_760.0)
    made_h[: people.height] = -24.0 * people["register_days"].to_numpy()
    names = [f"user{number}" for number in range(people.height)] + [f"author{number}" for number in authors.tolist()]
    return accounts(names, made_h)


def _tweets(videos: pl.DataFrame, author: Longs) -> tuple[dict[str, Array], Array]:
    """(tweets, their texts)."""
    words = texts(
        " ".join([f"video {number}", *(f"#tag{tag}" for tag in tags if tag)])
        for number, tags in videos.select("video_id", "tags").iter_rows()
    )
    return {
        **plain_tweets(videos.height),
        **originals(videos.height),
        "author": author.astype(np.int32),
        "time_h": videos["time_h"].to_numpy(),
        "video_s": videos["video_s"].to_numpy().astype(np.float32),
        "hashtag_count": np.array([text.count("#") for text in words.tolist()], np.int16),
        "length": np.array([len(text) for text in words.tolist()], np.int16),
    }, words


def _follows(log: pl.DataFrame, author: Array) -> dict[str, Array]:
    """The first time that a user follows an author."""
    rows = np.flatnonzero(log["is_follow"].to_numpy() > 0)
    rows = rows[np.argsort(log["done_h"].to_numpy()[rows], kind="stable")]
    follower = log["user_id"].to_numpy()[rows]
    followee = author[log["tweet"].to_numpy()[rows]]
    keys, first = np.unique(pair_keys(follower, followee), return_index=True)
    return {
        "follower": (keys >> 32).astype(np.int32),
        "followee": (keys & 0xFFFFFFFF).astype(np.int32),
        "time_h": log["done_h"].to_numpy()[rows[first]],
    }


def _feedback(log: pl.DataFrame, author: Array) -> dict[str, Array]:
    """What people hated, as see-fewer, ascending in time."""
    rows = np.flatnonzero(log["negative_feedback"].to_numpy())
    rows = rows[np.argsort(log["done_h"].to_numpy()[rows], kind="stable")]
    tweet = log["tweet"].to_numpy()[rows].astype(np.int32)
    return {
        "user": log["user_id"].to_numpy()[rows].astype(np.int32),
        "kind": np.full(rows.size, SEE_FEWER, np.int8),
        "author": author[tweet].astype(np.int32),
        "tweet": tweet,
        "word": np.full(rows.size, -1, np.int32),
        "time_h": log["done_h"].to_numpy()[rows],
    }

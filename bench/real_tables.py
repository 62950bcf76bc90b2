"""Two logs of real reactions as categorical fields and labels, in order of time.

KuaiRand-Pure, 25 April to 8 May 2022 (Gao et al., CIKM 2022): eight labels of 228,329 impressions. Trained to 5
May, tested on 6 to 8 May; settings are chosen by training to 3 May and looking at 4 and 5 May. Left out because they
are outcomes or look ahead: play_time_ms, watch_ratio, finish, like, long_watch, is_positive, stay times, and the
`*_cnt` statistics of videos.

MovieLens latest-small of 2016 (Harper & Konstan, ACM TiiS 2015): whether a rating has four stars or more. The first
80 % by time are for training, the last 10 % for the test, those between for the choice of settings and then for
training.

A field's codes are numbered by what stands in the training rows at least `LEAST_COUNT` times; 0 is everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from funnel.core.arrays import Array, Floats, Longs
from funnel.core.errors import DataError
from synthetic.datasets.files import data_folder, read_csv, read_parquet

LEAST_COUNT = 2  # so that the code of what is unknown is trained too
DURATIONS = 50  # bins of equally many videos
KUAIRAND = "kuairand-pure-2w"
MOVIELENS = "movielens-latest-small"
LOGS = ("log_standard_20220425_20220430.parquet", "log_standard_20220501_20220508.parquet")
KUAIRAND_LABELS = (
    "is_click", "long_view", "is_like", "is_profile_enter", "is_comment", "is_follow", "is_forward", "is_hate",
)  # fmt: skip
OF_USERS = (
    "user_active_degree", "is_lowactive_period", "is_live_streamer", "is_video_author", "follow_user_num_range",
    "fans_user_num_range", "friend_user_num_range", "register_days_range",
    *(f"onehot_feat{number}" for number in range(18)),
)  # fmt: skip
OF_VIDEOS = ("author_id", "video_type", "upload_type", "music_id", "music_type", "tag")
VALIDATED_FROM, TESTED_FROM = 20220504, 20220506
LIKED_FROM = 4.0


@dataclass(frozen=True)
class Fields:
    """Examples, ascending in time.

    codes: int64 [n, F], 0 … sizes[f] − 1; names: of the fields; labels: float32 [n, A], 0 or 1; tasks: their names;
    validated, tested: rows from which the validation and the test slice begin.
    """

    codes: Longs
    sizes: tuple[int, ...]
    names: tuple[str, ...]
    labels: Floats
    tasks: tuple[str, ...]
    validated: int
    tested: int

    def slices(self, *, tuning: bool) -> tuple[slice, slice]:
        """(rows to learn from, rows to be judged by); tuning: for the choice of settings, which sees no test row."""
        if tuning:
            return slice(0, self.validated), slice(self.validated, self.tested)
        return slice(0, self.tested), slice(self.tested, len(self.codes))


def tables(name: str, *, tuning: bool, folder: Path | None = None) -> Fields:
    """The fields of a data set by name; codes know the rows to learn from alone."""
    made = {KUAIRAND: kuairand, MOVIELENS: movielens}[name]
    return made(folder, tuning=tuning)


def kuairand(folder: Path | None = None, *, tuning: bool = False) -> Fields:
    """38 fields and eight labels of KuaiRand's standard log."""
    folder = folder or data_folder(KUAIRAND, "https://kuairand.com")
    wanted = ("user_id", "video_id", "date", "hourmin", "time_ms", "duration_ms", "tab", *KUAIRAND_LABELS)
    log = pl.concat([read_parquet(folder / part, wanted) for part in LOGS]).sort("time_ms", "user_id", "video_id")
    if log.select(pl.col(KUAIRAND_LABELS).is_between(0, 1).all()).row(0) != (True,) * len(KUAIRAND_LABELS):
        raise DataError(str(folder / LOGS[0]), f"wants 0 or 1 in {', '.join(KUAIRAND_LABELS)}")
    people = read_csv(folder / "user_features_pure.csv.gz", dict.fromkeys(("user_id", *OF_USERS), pl.String))
    videos = read_csv(
        folder / "video_features_basic_pure.csv.gz",
        dict.fromkeys(("video_id", "upload_dt", *OF_VIDEOS), pl.String),
    )
    told = (
        log.with_columns(pl.col("user_id", "video_id").cast(pl.String))
        .join(people, on="user_id", how="left", maintain_order="left")
        .join(videos, on="video_id", how="left", maintain_order="left")
    )
    day = pl.col("date").cast(pl.String).str.to_date("%Y%m%d")
    age = (day - pl.col("upload_dt").str.to_date("%Y-%m-%d")).dt.total_days()
    told = told.with_columns(hour=pl.col("hourmin") // 100, age_days=age)
    date = log["date"].to_numpy()
    validated, tested = (int(np.searchsorted(date, first)) for first in (VALIDATED_FROM, TESTED_FROM))
    learnt = validated if tuning else tested
    duration = log["duration_ms"].to_numpy().astype(np.float64)
    edges = np.quantile(duration[:learnt], np.linspace(0, 1, DURATIONS + 1)[1:-1])
    columns = {name: _words(told[name]) for name in ("user_id", "video_id", *OF_USERS, *OF_VIDEOS)}
    columns |= {name: told[name].to_numpy() for name in ("tab", "hour")}
    columns |= {"age_days": told["age_days"].fill_null(-1).to_numpy(), "duration": np.searchsorted(edges, duration)}
    codes, sizes = _coded(columns, learnt)
    labels = log.select(KUAIRAND_LABELS).to_numpy().astype(np.float32)
    return Fields(codes, sizes, tuple(columns), labels, KUAIRAND_LABELS, validated, tested)


def movielens(folder: Path | None = None, *, tuning: bool = False) -> Fields:
    """Who, which film, its genres (all, and the first three), its year, hour and weekday; a good rating or not."""
    folder = folder or data_folder(MOVIELENS, "https://grouplens.org/datasets/movielens")
    kinds = {"userId": pl.Int64, "movieId": pl.Int64, "rating": pl.Float64, "timestamp": pl.Int64}
    log = read_csv(folder / "ratings.csv.gz", kinds).sort("timestamp", "userId", "movieId")
    films = read_csv(folder / "movies.csv.gz", {"movieId": pl.Int64, "title": pl.String, "genres": pl.String})
    told = log.join(films, on="movieId", how="left", maintain_order="left")
    genres = pl.col("genres").str.split("|")
    when = pl.from_epoch("timestamp")
    told = told.with_columns(
        *(genres.list.get(place, null_on_oob=True).alias(f"genre{place}") for place in range(3)),
        year=pl.col("title").str.extract(r"\((\d{4})\)\s*$"),
        hour=when.dt.hour(),
        weekday=when.dt.weekday(),
    )
    rows = told.height
    validated, tested = int(0.8 * rows), int(0.9 * rows)
    names = ("userId", "movieId", "genre0", "genre1", "genre2", "year", "hour", "weekday", "genres")
    columns = {name: _words(told[name].cast(pl.String)) for name in names}
    codes, sizes = _coded(columns, validated if tuning else tested)
    labels = (log["rating"].to_numpy() >= LIKED_FROM).astype(np.float32)[:, None]
    return Fields(codes, sizes, names, labels, ("liked",), validated, tested)


def _words(column: pl.Series) -> Array:
    return np.asarray(column.fill_null("").to_numpy(), dtype=str)


def _coded(columns: dict[str, Array], learnt: int) -> tuple[Longs, tuple[int, ...]]:
    """(codes int64 [n, F], codes of each field)."""
    codes, sizes = [], []
    for values in columns.values():
        known, count = np.unique(values[:learnt], return_counts=True)
        known = known[count >= LEAST_COUNT]
        place = np.minimum(np.searchsorted(known, values), max(known.size - 1, 0))
        found = known[place] == values if known.size else np.zeros(values.size, np.bool_)
        codes.append(np.where(found, place + 1, 0))
        sizes.append(known.size + 1)
    return np.stack(codes, axis=1).astype(np.int64), tuple(sizes)

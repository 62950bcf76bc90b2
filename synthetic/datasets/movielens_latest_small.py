"""Ratings of films, 1995 to 2016, as a world: a rating is an impression, a good one is a favourite.

Harper & Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5:4 (2015); grouplens.org/datasets/movielens,
`ml-latest-small` of October 2016. Nobody follows anybody, and films are not tweets. The rules:

- Users: first those who rate (they are the viewers), by id; then an account for each rated film, which is its author.
- Tweets: a film is a tweet of its account, written a second before anybody rates it; the text is title and genres.
- Impressions: every rating. Whoever rates a film has seen it; films that were seen and not rated are unknown. Ratings
  by one user in one second are one page, and places on it are unknown (all 0).
- Engagements: ratings of `liked_from` stars and more are favourites.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Longs
from funnel.core.errors import DataError
from funnel.core.progress import Progress
from funnel.core.stage import STRICT
from funnel.core.tables import SERVED
from funnel.core.world import Oracle, WorldData, WorldMeta, WorldTables
from synthetic.datasets.blank import UNKNOWN_LANGUAGE, accounts, originals, plain_tweets, texts
from synthetic.datasets.files import data_folder, read_csv

SOURCE = "https://grouplens.org/datasets/movielens/ (ml-latest-small of 2016, files gzipped)"
RATINGS, MOVIES = "ratings.csv.gz", "movies.csv.gz"
SHA256 = {
    RATINGS: "a400fa473d3017022d039cd9a265c89fd96c56403ef9aa16383eda1973a21386",
    MOVIES: "9f3ef831e97d128fba2b6b4cfb369d942a85d553fe0c34d18950fa7df90bfc92",
}
EPOCH_UNIX_S = 788_918_400  # 1995-01-01 00:00 UTC
END_H = 191_040.0  # 2016-10-17
TRAIN_UNTIL_H = 180_024.0  # 2015-07-16: nine ratings in ten come before
BEFORE_FIRST_RATING_S = 1.0  # the resolution of the data


@dataclass(config=STRICT, kw_only=True)
class MovielensLatestSmall:
    """Imports the ratings; `folder` is where the files are, found by $FUNNEL_DATA if it is not given."""

    folder: Path | None = Field(
        None, description="folder of the two files; default: $FUNNEL_DATA/movielens-latest-small"
    )
    verify: bool = Field(True, description="whether the files must be the published ones (sha256)")
    liked_from: float = Field(4.0, ge=0.5, le=5, description="stars from which a rating is a favourite")

    def build(self, name: str, seed: int, progress: Progress) -> WorldData:
        """The world; nothing in it is drawn. DataError if the files are not right."""
        folder = self.folder or data_folder("movielens-latest-small", SOURCE)
        with progress.bar(f"import {name}", 1) as bar:
            ratings = self._ratings(folder)
            movies = read_csv(folder / MOVIES, {"movieId": pl.Int64, "title": pl.String, "genres": pl.String},
                              SHA256[MOVIES] if self.verify else None)  # fmt: skip
            tables = self._tables(ratings, movies, folder)
            bar.advance()
        viewers = int(ratings["userId"].n_unique())
        return WorldData(self._meta(name, viewers), tables)

    def oracle(self, data: WorldTables, truth: Mapping[str, Array]) -> Oracle | None:
        """None: nobody knows what these people would have done."""
        return None

    def _ratings(self, folder: Path) -> pl.DataFrame:
        """Columns userId, movieId, rating, timestamp, ascending in time, then user, then film."""
        wanted = {"userId": pl.Int64, "movieId": pl.Int64, "rating": pl.Float64, "timestamp": pl.Int64}
        found = read_csv(folder / RATINGS, wanted, SHA256[RATINGS] if self.verify else None)
        if not found.height:
            raise DataError(str(folder / RATINGS), "is empty")
        last = EPOCH_UNIX_S + int(END_H * 3600)
        right = pl.col("rating").is_between(0.5, 5) & pl.col("timestamp").is_between(EPOCH_UNIX_S, last - 1)
        wrong = found.select(
            (right & pl.all_horizontal(pl.all().is_not_null())).fill_null(value=False).not_()
        ).to_series()
        if wrong.any():
            line = int(wrong.arg_max() or 0) + 2
            raise DataError(str(folder / RATINGS), f"line {line} is no rating of 0.5 to 5 stars of 1995 to 2016")
        return found.sort("timestamp", "userId", "movieId")

    def _tables(self, ratings: pl.DataFrame, movies: pl.DataFrame, folder: Path) -> dict[str, dict[str, Array]]:
        people, viewer = np.unique(ratings["userId"].to_numpy(), return_inverse=True)
        films = ratings.group_by("movieId").agg(pl.col("timestamp").min()).sort("timestamp", "movieId")
        told = films.join(movies, on="movieId", how="left")
        if told["title"].has_nulls():
            lost = told.filter(pl.col("title").is_null())["movieId"][0]
            raise DataError(str(folder / MOVIES), f"has no film {lost}, which is rated")
        tweet = _places(films["movieId"].to_numpy(), ratings["movieId"].to_numpy())
        time_h = (ratings["timestamp"].to_numpy() - EPOCH_UNIX_S) / 3600.0
        page = ratings.select(pl.struct("timestamp", "userId").rle_id()).to_series().to_numpy()
        written_h = (films["timestamp"].to_numpy() - BEFORE_FIRST_RATING_S - EPOCH_UNIX_S) / 3600.0
        words = texts(_text(title, genres) for title, genres in told.select("title", "genres").iter_rows())
        count = films.height
        liked = np.flatnonzero(ratings["rating"].to_numpy() >= self.liked_from)
        handles = [f"user{number}" for number in people.tolist()] + [f"film{number}" for number in films["movieId"]]
        return {
            "users": accounts(handles),
            "tweets": {
                **plain_tweets(count),
                **originals(count),
                "author": (people.size + np.arange(count)).astype(np.int32),
                "time_h": written_h,
                "hashtag_count": np.array([text.count("#") for text in words.tolist()], np.int16),
                "length": np.array([len(text) for text in words.tolist()], np.int16),
            },
            "texts": {"text": words},
            "impressions": {
                "viewer": viewer.astype(np.int32),
                "tweet": tweet.astype(np.int32),
                "time_h": time_h,
                "position": np.zeros(viewer.size, np.int16),
                "request": page.astype(np.int32),
                "arm": np.full(viewer.size, SERVED, np.int8),
                "propensity": np.full(viewer.size, np.nan, np.float32),
            },
            "engagements": {
                "viewer": viewer[liked].astype(np.int32),
                "tweet": tweet[liked].astype(np.int32),
                "action": np.full(liked.size, ACTION_CODE["favorite"], np.int8),
                "time_h": time_h[liked],
                "impression": liked.astype(np.int32),
            },
        }

    def _meta(self, name: str, viewers: int) -> WorldMeta:
        return WorldMeta(
            name,
            end_h=END_H,
            train_until_h=TRAIN_UNTIL_H,
            viewer_count=viewers,
            epoch_unix_s=float(EPOCH_UNIX_S),
            observed_actions=("favorite",),
            default_funnel="movielens_2016",
            languages=(UNKNOWN_LANGUAGE,),
            notes=(
                f"Real ratings of films, 1995 to 2016; {SOURCE}",
                f"A rating is an impression and, from {self.liked_from:g} stars on, a favourite; half of all are, "
                "for people rate what they chose to watch",
                "A film is a tweet of an account of its own, written a second before its first rating",
                "Can exercise: retrieval from favourites (TwHIN), the rankers' favourite head; sources look back a "
                "year (8,760 h) at most, so pages show films first rated in the last one",
                "Cannot exercise: anything in-network, RealGraph, UTEG, SimClusters (no follows); other actions than "
                "favourites; positions, propensities, feedback; author features (a film is its own author)",
            ),
        )


def _text(title: str, genres: str) -> str:
    """`Toy Story (1995) #Adventure #Animation`."""
    told = [] if genres.startswith("(") else genres.split("|")
    return " ".join([title, *("#" + genre.replace("-", "").replace(" ", "") for genre in told)])


def _places(known: Longs, wanted: Longs) -> Longs:
    """int64 [n]: where each wanted id stands in `known`."""
    order = np.argsort(known)
    return order[np.searchsorted(known[order], wanted)]

"""Ratings become impressions, good ones favourites."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from funnel.checks import check_tables
from funnel.core.errors import DataError
from funnel.core.progress import SILENT
from funnel.core.world import WorldData
from synthetic.datasets.movielens_latest_small import EPOCH_UNIX_S, MOVIES, RATINGS, MovielensLatestSmall
from tests.synthetic.data_sets import real, rows

MOVIE_ROWS = (
    'movieId,title,genres\n3,Alien (1979),Horror|Sci-Fi\n4,"Piano, The (1993)",(no genres listed)\n5,Unrated,Drama\n'
)


def build(folder: Path, *ratings: tuple[int, int, float, int], movies: str = MOVIE_ROWS) -> WorldData:
    lines = [f"{user},{film},{stars},{EPOCH_UNIX_S + hour * 3600}" for user, film, stars, hour in ratings]
    text = "\n".join(["userId,movieId,rating,timestamp", *lines]) + "\n"
    (folder / RATINGS).write_bytes(gzip.compress(text.encode()))
    (folder / MOVIES).write_bytes(gzip.compress(movies.encode()))
    data = MovielensLatestSmall(folder=folder, verify=False).build("films", 0, SILENT)
    check_tables(data.tables, "films")
    return data


def test_a_rating_is_an_impression_and_four_stars_a_favourite(tmp_path: Path) -> None:
    data = build(tmp_path, (8, 4, 4.0, 10), (9, 3, 5.0, 20), (8, 3, 3.5, 20), (8, 4, 4.5, 30))
    assert data.tables["users"]["handle"].tolist() == ["user8", "user9", "film4", "film3"]
    assert data.meta.viewer_count == 2
    assert data.tables["texts"]["text"].tolist() == ["Piano, The (1993)", "Alien (1979) #Horror #SciFi"]
    assert data.tables["tweets"]["time_h"].tolist() == pytest.approx([10 - 1 / 3600, 20 - 1 / 3600])
    assert rows(data, "impressions", "viewer", "tweet", "time_h", "request") == [
        (0, 0, 10.0, 0),
        (0, 1, 20.0, 1),
        (1, 1, 20.0, 2),
        (0, 0, 30.0, 3),
    ]
    assert rows(data, "engagements", "viewer", "tweet", "impression") == [(0, 0, 0), (1, 1, 2), (0, 0, 3)]


def test_wrong_ratings_and_films_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{RATINGS}: line 3 is no rating of 0.5 to 5 stars"):
        build(tmp_path, (8, 3, 4.0, 10), (8, 4, 6.0, 10))
    with pytest.raises(DataError, match=rf"{RATINGS}: line 2 is no rating"):
        build(tmp_path, (8, 3, 4.0, -10))
    with pytest.raises(DataError, match=rf"{MOVIES}: has no film 7, which is rated"):
        build(tmp_path, (8, 7, 4.0, 10))
    with pytest.raises(DataError, match=rf"{MOVIES}: wants a CSV file with columns movieId, title, genres"):
        build(tmp_path, (8, 3, 4.0, 10), movies="a;b\n1;2\n")


def test_the_counts_are_those_of_the_data() -> None:
    data = real("movielens_latest_small", "movielens-latest-small")
    assert data.tables["impressions"]["viewer"].size == 100_004
    assert data.meta.viewer_count == 671
    assert data.tables["tweets"]["author"].size == 9_066
    assert data.tables["engagements"]["viewer"].size == 51_568

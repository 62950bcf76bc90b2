"""Who tweeted which link when, 20 September to 1 October 2010, as a world without follows.

Hodas & Lerman, "The Simple Rules of Social Contagion", Scientific Reports 4:4343 (2014), in the form of Yang et al.,
"Multi-scale Information Diffusion Prediction with Reinforced Recurrent Networks", IJCAI 2019 (albertyang33/FOREST,
data/twitter). A line is one link: `user,unix_ms user,unix_ms …` in order of time. There are no follow lists, texts,
replies, favourites or impressions. The rules:

- Users: everybody who tweets a link, by original id. All are viewers.
- Tweets: the first tweet of a link is an original; each later one is taken for a retweet of it, though its writer may
  have found the link elsewhere.
- Engagements: the retweets.
- Impressions: reconstructed as for the Higgs data; see `reconstruct.sample_log`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Doubles, Longs
from funnel.core.errors import DataError
from funnel.core.events import Adjacency
from funnel.core.progress import Progress
from funnel.core.stage import STRICT
from funnel.core.tables import ORIGINAL, RETWEET
from funnel.core.world import Oracle, WorldData, WorldMeta, WorldTables
from synthetic.datasets.blank import UNKNOWN_LANGUAGE, accounts, plain_tweets
from synthetic.datasets.files import data_folder, unzipped
from synthetic.datasets.reconstruct import Seen, not_first, sample_log

SOURCE = "https://github.com/albertyang33/FOREST (data/twitter, gzipped)"
SHA256 = {
    "cascade.txt.gz": "4c4357390cc8d0008fa476769315e30faed2d67a9869f30bc2c83c93ff0a6e08",
    "cascadevalid.txt.gz": "5a5320c70834e92d6176f2bf61605b3d3246972fcb4706f277ea7050e58bc57d",
    "cascadetest.txt.gz": "7fc2a5562ca00b395c7c3d1cb89c2e84051ff7f15cd045d37653832012e269e5",
}
EPOCH_UNIX_S = 1_284_940_800  # 2010-09-20 00:00 UTC
END_H = 288.0
TRAIN_UNTIL_H = 160.0  # about 80 % of the events come before
_LINE = re.compile(rb"\d{1,18},\d[\d.]*(e\+\d\d)?( \d{1,18},\d[\d.]*(e\+\d\d)?)*")


@dataclass(config=STRICT, kw_only=True)
class TwitterUrlCascades2010:
    """Imports the cascades; `folder` is where the files are, found by $FUNNEL_DATA if it is not given."""

    folder: Path | None = Field(
        None, description="folder of the three files; default: $FUNNEL_DATA/twitter-url-cascades-2010"
    )
    verify: bool = Field(True, description="whether the files must be the published ones (sha256)")
    others: int = Field(4, ge=1, le=50, description="tweets without engagement beside each engagement of the log")
    window_h: float = Field(24.0, gt=0, le=288, description="how far back those are drawn from, hours")

    def build(self, name: str, seed: int, progress: Progress) -> WorldData:
        """The world; the same files, settings and seed give the same bytes. DataError if the files are not right."""
        folder = self.folder or data_folder("twitter-url-cascades-2010", SOURCE)
        with progress.bar(f"import {name}", 2) as bar:
            item, user, time_h = _events(folder, verify=self.verify)
            known, author = np.unique(user, return_inverse=True)
            tweets, engagements = _tweets(item, author, time_h)
            bar.advance()
            nobody = np.empty(0, np.int64)
            follows = Adjacency.of(nobody, nobody, nobody.astype(np.float64), known.size)
            seen = Seen(tweets, engagements["viewer"], engagements["tweet"], engagements["time_h"], follows)
            impressions, impression = sample_log(
                seen,
                not_first(engagements),
                others=self.others,
                in_network_share=0.0,
                window_h=self.window_h,
                seed=seed,
            )
            bar.advance()
        tables = {
            "users": accounts(f"user{original}" for original in known.tolist()),
            "tweets": tweets,
            "impressions": impressions,
            "engagements": {**engagements, "impression": impression},
        }
        return WorldData(self._meta(name, known.size), tables)

    def oracle(self, data: WorldTables, truth: Mapping[str, Array]) -> Oracle | None:
        """None: nobody knows what these people would have done."""
        return None

    def _meta(self, name: str, users: int) -> WorldMeta:
        return WorldMeta(
            name,
            end_h=END_H,
            train_until_h=TRAIN_UNTIL_H,
            viewer_count=users,
            epoch_unix_s=float(EPOCH_UNIX_S),
            observed_actions=("retweet",),
            default_funnel="twitter_url_cascades_2010",
            languages=(UNKNOWN_LANGUAGE,),
            notes=(
                f"Real tweets of links, 20 September to 1 October 2010; {SOURCE}",
                "The first tweet of a link is an original, the later ones are taken for retweets of it",
                f"Impressions are reconstructed: each retweet but a link's first, beside {self.others} links of the "
                "moment that the viewer did not tweet; rates of actions mean nothing",
                "Can exercise: retrieval from engagements (TwHIN), the rankers' retweet head, sizes of cascades",
                "Cannot exercise: anything in-network, RealGraph, UTEG, SimClusters (no follows); favourites, replies, "
                "clicks, feedback, texts, languages, ages of accounts",
            ),
        )


def _events(folder: Path, *, verify: bool) -> tuple[Longs, Longs, Doubles]:
    """(link int64 [n], the data's id of the user int64 [n], hours since the epoch float64 [n]), by link, then time."""
    lengths: list[int] = []
    cells: list[bytes] = []
    for name, sha256 in SHA256.items():
        text = unzipped(folder / name, sha256 if verify else None)
        for number, line in enumerate(map(bytes.strip, text.splitlines()), start=1):
            if not _LINE.fullmatch(line):
                got = line[:60].decode(errors="replace")
                raise DataError(
                    str(folder / name), f"line {number} wants '<user>,<unix_ms> <user>,<unix_ms> …', got {got!r}"
                )
            _check_times(line, f"line {number}", folder / name)
            lengths.append(line.count(b" ") + 1)
            cells.append(line)
    if not cells:
        raise DataError(str(folder), "its files are empty")
    numbers = b" ".join(cells).replace(b",", b" ").split()
    user = np.array(numbers[::2], dtype="S18").astype(np.int64)
    time_ms = np.array(numbers[1::2], dtype="S24").astype(np.float64)
    return np.repeat(np.arange(len(lengths)), lengths), user, (time_ms / 1000.0 - EPOCH_UNIX_S) / 3600.0


def _check_times(line: bytes, where: str, path: Path) -> None:
    times = [float(pair.partition(b",")[2]) / 1000.0 for pair in line.split()]
    if any(later < earlier for earlier, later in pairwise(times)):
        raise DataError(str(path), f"{where} is not in order of time")
    if times[0] < EPOCH_UNIX_S or times[-1] >= EPOCH_UNIX_S + END_H * 3600:
        raise DataError(str(path), f"{where} is not of 20 September to 1 October 2010")


def _tweets(item: Longs, author: Longs, time_h: Doubles) -> tuple[dict[str, Array], dict[str, Array]]:
    """(tweets, engagements without their impressions). Events come by link, then time."""
    first = np.searchsorted(item, item)  # the event that opens the link of each event
    order = np.lexsort((np.arange(item.size), time_h))
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    opens = (first == np.arange(item.size))[order]
    parent = np.where(opens, -1, place[first[order]]).astype(np.int32)
    tweets: dict[str, Array] = {
        **plain_tweets(order.size),
        "author": author[order].astype(np.int32),
        "time_h": time_h[order],
        "kind": np.where(opens, ORIGINAL, RETWEET).astype(np.int8),
        "parent": parent,
        "root": np.full(order.size, -1, np.int32),
        "has_link": np.ones(order.size, np.bool_),
    }
    again = np.flatnonzero(~opens & (tweets["author"] != tweets["author"][parent]))
    return tweets, {
        "viewer": tweets["author"][again],
        "tweet": parent[again],
        "action": np.full(again.size, ACTION_CODE["retweet"], np.int8),
        "time_h": tweets["time_h"][again],
    }

"""The follow graph around 973 Twitter users and their lists, about 2012, as a world without tweets.

McAuley & Leskovec, "Learning to Discover Social Circles in Ego Networks", NIPS 2012;
snap.stanford.edu/data/ego-Twitter.html. `<ego>.edges` has lines "a b": a follows b; the ego is absent and follows
everybody there and in `<ego>.feat`, whose lines begin with a user. `<ego>.circles` has the ego's lists: a number, then
the members. The rules:

- Users: everybody who follows or is followed, by Twitter's id. All of them are viewers, although only what lies inside
  some ego's network is known of their follow lists.
- Follows: the union over all egos, from before the epoch; when exactly is unknown.
- Lists: the circles, each owned by its ego.

There is no time, tweet or engagement. The hashtags and mentions that `<ego>.feat` says people used are left out:
without a time and a tweet they are no event.
"""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array, Longs
from funnel.core.errors import DataError
from funnel.core.kernels.grouping import find_keys
from funnel.core.progress import Progress
from funnel.core.stage import STRICT
from funnel.core.world import Oracle, WorldData, WorldMeta, WorldTables
from synthetic.datasets.blank import BEFORE_EPOCH_H, UNKNOWN_LANGUAGE, accounts
from synthetic.datasets.files import data_folder, published

SOURCE = "https://snap.stanford.edu/data/ego-Twitter.html"
ARCHIVE = "twitter.tar.gz"
SHA256 = "ae95a9cafff1706e8a6c8600c9c438c87e712a9f468638f4f5a5413d0c2affa6"
_EDGE = re.compile(rb"\d{1,18} \d{1,18}")
_CIRCLE = re.compile(rb"\S+(\t\d{1,18})*\t?")


@dataclass(config=STRICT, kw_only=True)
class EgoTwitter:
    """Imports the graph; `folder` is where the archive is, found by $FUNNEL_DATA if it is not given."""

    folder: Path | None = Field(None, description="folder of twitter.tar.gz; default: $FUNNEL_DATA/ego-twitter")
    verify: bool = Field(True, description="whether the archive must be the published one (sha256)")

    def build(self, name: str, seed: int, progress: Progress) -> WorldData:
        """The world; nothing in it is drawn. DataError if the archive is not right."""
        folder = self.folder or data_folder("ego-twitter", SOURCE)
        path = folder / ARCHIVE
        with progress.bar(f"import {name}", 2) as bar:
            members = _members(path, SHA256 if self.verify else None)
            bar.advance()
            edges = np.concatenate([_edges(path, name, members) for name in members if name.endswith(".edges")])
            if not edges.size:
                raise DataError(str(path), "has no follows; wants <ego>.edges with lines '<follower> <followee>'")
            known, dense = np.unique(edges, return_inverse=True)
            tables = {
                "users": accounts(f"user{number}" for number in known.tolist()),
                "follows": _follows(dense.reshape(edges.shape)),
                "lists": _lists(path, members, known),
            }
            bar.advance()
        return WorldData(_meta(name, known.size), {key: rows for key, rows in tables.items() if rows})

    def oracle(self, data: WorldTables, truth: Mapping[str, Array]) -> Oracle | None:
        """None: nobody knows what these people would have done."""
        return None


def _meta(name: str, viewers: int) -> WorldMeta:
    return WorldMeta(
        name,
        end_h=0.0,
        train_until_h=0.0,
        viewer_count=viewers,
        observed_actions=(),
        languages=(UNKNOWN_LANGUAGE,),
        notes=(
            f"A real follow graph of about 2012 and real lists; {SOURCE}",
            "A union of ego networks: outside of them follows are unknown, and friends of friends are flattered",
            "Can exercise: what stands on the follow graph alone (SimClusters' communities beside real lists, follow "
            "vectors of TwHIN, friends of friends), and statistics of graphs",
            "Cannot exercise: timelines, rankers, heuristics, RealGraph and everything else that needs tweets, time or "
            "engagements; there are none",
        ),
    )


def _members(path: Path, sha256: str | None) -> dict[str, bytes]:
    """File name -> content of the archive's .edges and .circles files, and the first column of .feat files."""
    raw = published(path, sha256)
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name.endswith((".edges", ".circles", ".feat")) else None
                if file is not None:
                    content = file.read()
                    found[Path(member.name).name] = _first_words(content) if member.name.endswith(".feat") else content
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(str(path), f"is truncated or no tar.gz archive ({error}); fetch it again") from error
    return dict(sorted(found.items()))


def _first_words(content: bytes) -> bytes:
    return b" ".join(line.partition(b" ")[0] for line in content.splitlines())


def _ego(path: Path, name: str) -> int:
    stem = name.partition(".")[0]
    if not stem.isdigit():
        raise DataError(f"{path}: {name}", "wants a file named by the ego's number")
    return int(stem)


def _edges(path: Path, name: str, members: Mapping[str, bytes]) -> Longs:
    """int64 [m, 2]: the follows of one file, those of the ego included."""
    pairs = _pairs(path, name, members[name])
    beside = members.get(f"{name.removesuffix('.edges')}.feat", b"").split()
    if not all(word.isdigit() for word in beside):
        raise DataError(f"{path}: {name}", "the .feat file beside it wants lines that begin with a user's number")
    friends = np.union1d(pairs, np.array(beside, dtype="S18").astype(np.int64))
    own = np.stack([np.full(friends.size, _ego(path, name)), friends], axis=1)
    return np.concatenate([pairs, own])


def _pairs(path: Path, name: str, content: bytes) -> Longs:
    """int64 [m, 2]: the lines of an .edges file."""
    if not content.strip():
        return np.empty((0, 2), np.int64)
    try:
        found = pl.read_csv(
            io.BytesIO(content), separator=" ", has_header=False, schema={"a": pl.Int64, "b": pl.Int64}, quote_char=None
        )
        if not found.select(pl.all_horizontal(pl.all().is_not_null()).all()).item():
            raise pl.exceptions.ComputeError("an empty cell")
    except pl.exceptions.PolarsError as error:
        lines = content.splitlines()
        number = next((i for i, line in enumerate(lines) if not _EDGE.fullmatch(line)), 0)
        got = lines[number][:60].decode(errors="replace")
        wrong = f"line {number + 1} wants '<follower> <followee>', got {got!r}"
        raise DataError(f"{path}: {name}", wrong) from error
    return found.to_numpy().astype(np.int64)


def _follows(edges: Longs) -> dict[str, Array]:
    """Each follow once, nobody oneself."""
    other = edges[edges[:, 0] != edges[:, 1]]
    keys = np.sort((other[:, 0] << 32) | other[:, 1])  # np.unique's hashing is slow on such keys
    keys = keys[np.diff(keys, prepend=-1) > 0]
    return {
        "follower": (keys >> 32).astype(np.int32),
        "followee": (keys & 0xFFFFFFFF).astype(np.int32),
        "time_h": np.full(keys.size, BEFORE_EPOCH_H),
    }


def _lists(path: Path, members: Mapping[str, bytes], known: Longs) -> dict[str, Array]:
    """The circles, numbered in the order of egos and lines; members and egos who are in no follow are left out."""
    number, rows = 0, [np.empty((3, 0), np.int64)]
    for name, content in members.items():
        if not name.endswith(".circles"):
            continue
        ego = _ego(path, name)
        for line, text in enumerate(content.splitlines(), start=1):
            if not _CIRCLE.fullmatch(text):
                got = text[:60].decode(errors="replace")
                raise DataError(f"{path}: {name}", f"line {line} wants '<list>\\t<member>\\t…', got {got!r}")
            listed = np.unique(np.array(text.split()[1:], dtype="S18").astype(np.int64))
            rows.append(np.stack([np.full(listed.size, number), np.full(listed.size, ego), listed]))
            number += 1
    which, owner, member = np.concatenate(rows, axis=1)
    inside = (find_keys(known, owner) >= 0) & (find_keys(known, member) >= 0)
    if not inside.any():
        return {}
    return {
        "list": which[inside].astype(np.int32),
        "owner": find_keys(known, owner[inside]).astype(np.int32),
        "member": find_keys(known, member[inside]).astype(np.int32),
    }

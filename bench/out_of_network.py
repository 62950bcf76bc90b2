"""What each out-of-network source brings, beside popularity, and what it costs.

    python -m bench.out_of_network [--world small] [--viewers 150] [--k 200] [--json]

All viewers ask at one moment after the end of training, with assets made at that end. The world's oracle says which of
the tweets of the last 24 h, by nobody the viewer follows, the viewer would favourite if they were shown at the top of a
page: `share` is how many of these a source has among its best k, the mean over viewers who have any; `precision` how
many of its best k are such. `less_popular` is the share less that of popularity. Intervals are 95 %, by a Poisson
bootstrap over viewers. `alone` is the share that no other source in the table found. `cpu_ms` is process time a
request, what is kept for a moment made beforehand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from time import process_time
from typing import TypeVar

import numpy as np

from bench.ceilings import machine
from candidates.cr_mixer import CRMixer
from candidates.frs import FRS
from candidates.lists import Lists
from candidates.popular import Popular
from candidates.popular_videos import PopularVideos
from candidates.real_graph import RealGraph
from candidates.retrieval import showable, tweet_window
from candidates.simclusters import SimClusters
from candidates.simclusters_ann import SimClustersANN
from candidates.topic_social_proof import TopicSocialProof
from candidates.twhin import TwHIN
from candidates.twhin_ann import TwHINANN
from candidates.uteg import UTEG
from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Bools, Doubles, Longs
from funnel.core.batch import Requests
from funnel.core.rng import stream
from funnel.core.segments import top_k
from funnel.core.stage import BatchJob, Source
from funnel.core.world import PlatformView
from funnel.features.base import followed_since
from funnel.report import TerminalProgress, console, rows_table
from funnel.world import World

T = TypeVar("T")
RESAMPLES, BATCH = 400, 32
WINDOW_H = 24.0
# A world of 10,000 has far fewer engagements per tweet than Twitter: thresholds on counts are lower, as in the presets.
SMALL: dict[str, object] = {
    "min_signals": 3,
    "min_favorites": 3,
    "min_degree": 5,
    "min_query_degree": 3,
    "min_cooccurrence": 2,
}


def _made(kind: Callable[..., T], **settings: object) -> T:
    """A stage with some settings, the others at their defaults."""
    return kind(**settings)


def sources(k: int) -> dict[str, Source]:
    """Every source that finds tweets out of network, `popular` first."""
    tweet_only: dict[str, object] = {"producer_signals": (), "interested_in": False}
    return {
        "popular": _made(Popular, max_results=k),
        "uteg": _made(UTEG, max_results=k),
        "simclusters_ann": _made(SimClustersANN, min_signals=3, max_results=k),
        "twhin_ann": _made(TwHINANN, max_results=k),
        "cr_mixer": _made(CRMixer, **SMALL, max_results=k),
        "cr_mixer, no blue first": _made(CRMixer, **SMALL, max_results=k, blue_verified_first=False),
        "cr_mixer, favourites only": _made(CRMixer, **SMALL, **tweet_only, max_results=k),
        "frs": _made(FRS, max_results=k),
        "topic_social_proof": _made(TopicSocialProof, min_signals=3, max_results=k),
        "popular_videos": _made(PopularVideos),
        "lists": _made(Lists),
    }


def measure(world_name: str, *, viewers: int, k: int) -> dict[str, object]:
    """One row a source."""
    progress = TerminalProgress()
    world = World.load(world_name, progress=progress)
    now_h = min(world.meta.train_until_h + 12.0, world.meta.end_h)
    view = world.view(now_h, assets=_assets(world, progress))
    who = stream(0, "bench viewers").choice(
        world.meta.viewer_count, min(viewers, world.meta.viewer_count), replace=False
    )
    requests = Requests.of(np.sort(who), now_h, view)
    first, liked = _true_favourites(world, requests)
    found, rows = {}, []
    for name, source in sources(k).items():
        source.retrieve(Requests.of(who[:2], now_h, view))  # compiles, and makes what is kept for the moment
        hit, count, cost = _asked(source, requests, first, liked.shape[1], k)
        found[name] = hit
        rows.append({"source": name, "candidates": float(count.mean()), "cpu_ms": 1000.0 * cost})
    weights = stream(0, "bench bootstrap").poisson(1.0, (RESAMPLES, len(requests))).astype(np.float64)
    has = liked.sum(axis=1) > 0
    shares = {name: (hit & liked).sum(axis=1) / np.maximum(liked.sum(axis=1), 1) for name, hit in found.items()}
    for row in rows:
        name = str(row["source"])
        others = [hit for other, hit in found.items() if other != name and not _same(other, name)]
        only = found[name] & ~np.any(others, axis=0)
        row.update(_interval("share", shares[name][has], weights[:, has]))
        row.update(_interval("less_popular", (shares[name] - shares["popular"])[has], weights[:, has]))
        row["precision"] = float((found[name] & liked).sum() / max(found[name].sum(), 1))
        row["alone"] = float(((only & liked).sum(axis=1) / np.maximum(liked.sum(axis=1), 1))[has].mean())
    return {
        "machine": machine(), "world": world.name, "k": k, "viewers": len(requests), "with_favourites": int(has.sum()),
        "tweets": liked.shape[1], "favourites_a_viewer": float(liked.sum(axis=1).mean()), "sources": rows,
    }  # fmt: skip


def _same(first: str, second: str) -> bool:
    """Two settings of one source."""
    return first.partition(",")[0] == second.partition(",")[0]


def _assets(world: World, progress: TerminalProgress) -> dict[str, Array]:
    past = world.view(world.meta.train_until_h)
    made: dict[str, Array] = {}
    jobs: tuple[BatchJob, ...] = (RealGraph(), _made(SimClusters), TwHIN())
    for job in jobs:
        made |= job.run(past, seed=0, progress=progress)
    return made


def _true_favourites(world: World, requests: Requests) -> tuple[int, Bools]:
    """(first tweet, bool [R, T]): tweets of the window, out of network, that each viewer would favourite."""
    assert world.oracle is not None, "wants a world whose truth is known"
    view = requests.view
    (first,), (end,) = tweet_window(view, requests.now_h[:1], WINDOW_H)
    window = (int(first) + np.flatnonzero(showable(view, int(first), int(end)))).astype(np.int32)
    liked = np.zeros((len(requests), int(end - first)), np.bool_)
    for row, viewer in enumerate(requests.viewer.tolist()):
        asked = window[_outside(view, viewer, window, float(requests.now_h[row]))]
        who, when = np.full(asked.size, viewer, np.int32), np.full(asked.size, requests.now_h[row])
        does = world.oracle.react(who, asked, np.zeros(asked.size, np.int32), when, seed=0)
        liked[row, asked - first] = does[:, ACTION_CODE["favorite"]]
    return int(first), liked


def _outside(view: PlatformView, viewer: int, tweet: Array, now_h: float) -> Bools:
    author = view.tweets["author"][tweet]
    who, when = np.full(tweet.size, viewer, np.int32), np.full(tweet.size, now_h)
    return np.asarray(np.isinf(followed_since(view, who, author, when)) & (author != viewer), np.bool_)


def _asked(source: Source, requests: Requests, first: int, tweets: int, k: int) -> tuple[Bools, Longs, float]:
    """(bool [R, T] of the best k, candidates of each request, seconds a request)."""
    hit, counts, cost = np.zeros((len(requests), tweets), np.bool_), [np.empty(0, np.int64)], 0.0
    for begin in range(0, len(requests), BATCH):
        part = slice(begin, begin + BATCH)
        some = Requests.of(requests.viewer[part], requests.now_h[part], requests.view)
        started = process_time()
        found = source.retrieve(some)
        cost += process_time() - started
        best = top_k(found.offsets, found["source_score"], found["tweet"], k) & (found["tweet"] >= first)
        hit[begin + found.request[best], found["tweet"][best] - first] = True
        counts.append(found.counts)
    return hit, np.concatenate(counts), cost / max(len(requests), 1)


def _interval(name: str, values: Doubles, weights: Doubles) -> dict[str, float]:
    drawn = (weights @ values) / np.maximum(weights.sum(axis=1), 1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {name: float(values.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Out-of-network sources: true favourites found, and cost.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--viewers", type=int, default=150)
    parser.add_argument("--k", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.world, viewers=asked.viewers, k=asked.k)
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    rows = found["sources"]
    assert isinstance(rows, list)
    console().print(rows_table(rows, title=f"Out of network, {found['world']}, best {asked.k}"))


if __name__ == "__main__":
    main()

"""SimClusters: how fast it searches and finds communities, and how well it finds those that were planted.

    python -m bench.simclusters [--world small] [--seed 0] [--full] [--json]

Speed: viewers a second of the ANN, 50 clusters of a viewer times 800 tweets of a cluster, beside plain random reads of
the same machine; and Metropolis–Hastings on a planted graph of 100,000 producers and 5,000,000 links. Quality: NMI and
ARI of Metropolis–Hastings, Leiden and Louvain on the same graphs, asked for the same number of clusters: the world's
producer graph, against (main topic, language) of each producer, and planted graphs. "everybody" counts a producer
without a cluster as a cluster of its own; "audience" is what somebody would say who knew the interests of
all followers. All times are processor seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
from time import process_time

import numpy as np
from pydantic import TypeAdapter
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from bench.ceilings import ceilings, machine
from candidates.simclusters import SimClusters
from candidates.simclusters.ann import AnnSettings, Queries, search
from candidates.simclusters.metropolis import communities
from candidates.simclusters.modularity import Algorithm, modularity_communities
from candidates.simclusters.producers import ProducerGraph, producer_graph
from candidates.simclusters.sizes import cluster_count
from candidates.simclusters.tweets import by_cluster
from funnel.core.arrays import Array, Ints
from funnel.core.rng import stream
from funnel.core.world import PlatformView
from funnel.report import TerminalProgress, console, rows_table
from funnel.world import World

LIBRARY: tuple[Algorithm, ...] = ("leiden", "louvain")
# The searched index: tweets with 20 clusters each, so that every list is longer than what is read of it.
TWEETS, CLUSTERS, PER_TWEET, SCANNED, LISTED, VIEWERS = 200_000, 2_000, 20, 50, 800, 300
PLANTED_PRODUCERS, PLANTED_LINKS = 100_000, 5_000_000
WEIGHT = 0.1  # of a planted link: 10 cos², for a cosine of 0.1
DEGREE_POWER, MOST_POPULAR = 2.5, 30.0  # exponent of the degrees, and the greatest in units of the smallest


def measure(world_name: str, *, seed: int, full: bool) -> dict[str, object]:
    """All figures, by name."""
    progress = TerminalProgress()
    world = World.load(world_name, progress=progress, seed=seed)
    limits = ceilings()
    searched = search_speed(world.view(), seed)
    rows = world_rows(world, seed)
    for inner in (0.6, 0.3):
        rows += planted_rows(PLANTED_PRODUCERS // 10, PLANTED_LINKS // 10, inner, seed)
    speed = planted_rows(PLANTED_PRODUCERS, PLANTED_LINKS, 0.6, seed, library=full)
    return {
        "machine": machine(),
        "ceilings": limits,
        "seed": seed,
        "search": {**searched, "of_random_reads": searched["postings_m_s"] / limits["random_reads_m_s"]},
        "metropolis_s": speed[0]["cpu_s"],
        "metropolis_goal_s": 60.0,
        "times_leiden": float(str(speed[1]["cpu_s"])) / float(str(speed[0]["cpu_s"])) if full else None,
        "communities": rows + speed,
    }


def search_speed(view: PlatformView, seed: int) -> dict[str, float]:
    """Viewers a second and core, and postings read; weights drawn by lot, lists of full length."""
    draw = stream(seed, "bench.simclusters")
    settings = AnnSettings(max_results=200)
    clusters = draw.integers(0, CLUSTERS, (TWEETS, PER_TWEET), dtype=np.int32)
    lists = by_cluster(clusters, draw.random((TWEETS, PER_TWEET), dtype=np.float32), LISTED)
    # The tweets that can be found are the view's newest, over and over: only their authors and times are looked at.
    lists = lists._replace(tweet=(lists.tweet % view.tweets["author"].size).astype(np.int32))
    lists = lists._replace(tweet=np.sort(lists.tweet))
    asked = np.stack([draw.choice(CLUSTERS, SCANNED, replace=False) for _ in range(VIEWERS)]).astype(np.int32)
    weights = -np.sort(-draw.random((VIEWERS, SCANNED), dtype=np.float32), axis=1)
    viewer = draw.integers(0, view.user_count, VIEWERS, dtype=np.int32)
    took = []
    for _ in range(6):
        began = process_time()
        search(view, view.now_h, lists, Queries(asked, weights), settings, viewer=viewer)
        took.append(process_time() - began)
    seconds = min(took[1:])
    return {
        "viewers_per_s": VIEWERS / seconds,
        "goal_viewers_per_s": 3_000.0,
        "postings_m_s": VIEWERS * SCANNED * LISTED / seconds / 1e6,
    }


def world_rows(world: World, seed: int) -> list[dict[str, object]]:
    """Quality on a world's own producer graph; nothing without the truth."""
    if "interests" not in world.truth:
        return []
    view, settings = world.view(), _settings()
    graph = producer_graph(view, settings, seed)
    main = world.truth["interests"].argmax(axis=1)
    language = view.users["language"].astype(np.int64)
    truth = main * (int(language.max()) + 1) + language
    name = f"{world.name} ({graph.producer.size:,} producers, {graph.targets.size // 2:,} links)"
    rows = compared(name, graph, truth[graph.producer], settings, seed)
    rows.append(
        {"graph": name, "by": "audience", **agreement(truth[graph.producer], audience(view, main)[graph.producer])}
    )
    return rows


def audience(view: PlatformView, main: Array) -> Array:
    """int64 [U]: topic and language that each account's followers have more often than everybody's followers do."""
    graph, language = view.following, view.users["language"].astype(np.int64)
    follower = np.repeat(np.arange(view.user_count), graph.degree())
    answer = np.zeros(view.user_count, np.int64)
    for kind in (main, language):
        counts = np.zeros((view.user_count, int(kind.max()) + 1))
        np.add.at(counts, (graph.targets, kind[follower]), 1.0)
        lift = counts / np.maximum(counts.sum(axis=0), 1.0) if kind is main else counts
        answer = answer * counts.shape[1] + lift.argmax(axis=1)
    return answer


def planted_rows(
    producers: int, links: int, inner: float, seed: int, *, library: bool = True
) -> list[dict[str, object]]:
    """Quality and time on a graph with planted communities."""
    settings = _settings(cluster_size=138.0)
    graph, truth = planted(producers, links, cluster_count(settings, producers), inner, seed)
    name = f"planted, {inner:.0%} inside ({producers:,} producers, {graph.targets.size // 2:,} links)"
    return compared(name, graph, truth, settings, seed, library=library)


def planted(producers: int, links: int, clusters: int, inner: float, seed: int) -> tuple[ProducerGraph, Array]:
    """(graph, community int64 [P]): a degree-corrected block model (Karrer & Newman, Phys. Rev. E 83, 2011).

    Both ends of a link are drawn by popularity, in `inner` of them from one community; all links weigh the same.
    """
    draw = stream(seed, f"bench.planted.{inner}")
    community = draw.integers(0, clusters, producers)
    popularity = np.minimum((1.0 - draw.random(producers)) ** (-1.0 / (DEGREE_POWER - 1.0)), MOST_POPULAR)
    order = np.argsort(community, kind="stable")
    running = np.concatenate([[0.0], np.cumsum(popularity[order])])
    bounds = running[np.searchsorted(community[order], np.arange(clusters + 1))]
    drawn = int(1.6 * links)
    first = order[np.searchsorted(running, draw.random(drawn) * running[-1], side="right") - 1]
    inside = draw.random(drawn) < inner
    low = np.where(inside, bounds[community[first]], 0.0)
    high = np.where(inside, bounds[community[first] + 1], running[-1])
    place = np.searchsorted(running, low + draw.random(drawn) * (high - low), side="right") - 1
    second = order[np.minimum(place, producers - 1)]
    key = np.minimum(first, second) * producers + np.maximum(first, second)
    _, where = np.unique(key[first != second], return_index=True)
    kept = np.flatnonzero(first != second)[np.sort(where)[:links]]
    source, target = np.concatenate([first[kept], second[kept]]), np.concatenate([second[kept], first[kept]])
    by_source = np.argsort(source * producers + target)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=producers))]).astype(np.int64)
    targets = target[by_source].astype(np.int32)
    weights = np.full(targets.size, WEIGHT, np.float32)
    return ProducerGraph(np.arange(producers, dtype=np.int32), offsets, targets, weights), community


def compared(
    name: str, graph: ProducerGraph, truth: Array, settings: SimClusters, seed: int, *, library: bool = True
) -> list[dict[str, object]]:
    """A row for each algorithm; the library's are asked for as many clusters as Metropolis–Hastings found."""
    began = process_time()
    found = communities(graph, settings, seed)
    rows = [_row(name, "metropolis", process_time() - began, truth, found)]
    for algorithm in LIBRARY if library else ():
        began = process_time()
        other = modularity_communities(graph, int(found.max()) + 1, algorithm, seed)
        rows.append(_row(name, algorithm, process_time() - began, truth, other))
    return rows


def _row(name: str, by: str, seconds: float, truth: Array, cluster: Ints) -> dict[str, object]:
    return {"graph": name, "by": by, "cpu_s": seconds, **agreement(truth, cluster)}


def agreement(truth: Array, cluster: Array) -> dict[str, float]:
    """NMI and ARI of those with a cluster, their share, and both when all others are clusters of their own."""
    known = cluster >= 0
    alone = np.where(known, cluster, cluster.max() + 1 + np.arange(cluster.size))
    return {
        "clusters": int(np.unique(cluster[known]).size),
        "covered": float(known.mean()),
        "nmi": float(normalized_mutual_info_score(truth[known], cluster[known])),
        "ari": float(adjusted_rand_score(truth[known], cluster[known])),
        "nmi_everybody": float(normalized_mutual_info_score(truth, alone)),
        "ari_everybody": float(adjusted_rand_score(truth, alone)),
    }


def _settings(**chosen: float) -> SimClusters:
    return TypeAdapter(SimClusters).validate_python(chosen)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed and quality of SimClusters.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", action="store_true", help="the library on the large graph too: minutes")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    figures = measure(asked.world, seed=asked.seed, full=asked.full)
    if asked.json:
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
        return
    rows = figures.pop("communities")
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    assert isinstance(rows, list)
    shown = [{key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()} for row in rows]
    console().print(rows_table(shown, title="Communities"))


if __name__ == "__main__":
    main()

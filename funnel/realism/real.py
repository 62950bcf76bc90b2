"""Real data sets, measured by the same code as the worlds.

Everything that $FUNNEL_DATA holds of: higgs-twitter (through its world), the follow graph of ego-twitter (SNAP's 81,306
users, a union of ego networks, which flatters reciprocity and clustering), and twitter-url-cascades-2010 (posts of
links). `python -m bench.realism --real` writes the numbers to funnel/realism/real.json.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl

from funnel.core.arrays import Longs
from funnel.core.errors import DataError
from funnel.realism.activity import cascade_statistics
from funnel.realism.curves import Curve, graph_curves, tail_curve, world_curves
from funnel.realism.graph import SAMPLE, FollowGraph, graph_statistics
from funnel.realism.report import graph_of, measure
from funnel.world import World

EGO = "ego-twitter/derived_combined_edges.txt.gz"
Values: TypeAlias = dict[str, dict[str, float | None]]
Curves: TypeAlias = dict[str, dict[str, Curve]]

CASCADES = ("cascade.txt.gz", "cascadevalid.txt.gz", "cascadetest.txt.gz")


def measured_sets(*, sample: int = SAMPLE) -> tuple[Values, Curves]:
    """(values, distributions) by data set; those whose files are not there are left out."""
    values: Values = {}
    curves: Curves = {}
    folder = Path(os.environ.get("FUNNEL_DATA", "../shared/data")).expanduser()
    if (folder / "higgs-twitter").is_dir():
        world = World.load("higgs")
        graph = graph_of(world)
        values["higgs-twitter"] = measure(world, graph, sample=sample)
        curves["higgs-twitter"] = world_curves(world, graph)
    if (folder / EGO).exists():
        graph = read_edges(folder / EGO)
        values["ego-twitter"] = graph_statistics(graph, sample=sample)
        curves["ego-twitter"] = graph_curves(graph)
    links = folder / "twitter-url-cascades-2010"
    if links.is_dir():
        sizes = np.concatenate([cascade_lines(links / name) for name in CASCADES if (links / name).exists()])
        values["twitter-url-cascades-2010"] = cascade_statistics(sizes)
        curves["twitter-url-cascades-2010"] = {"cascades": tail_curve(sizes)}
    return values, curves


def read_edges(path: Path) -> FollowGraph:
    """The follow graph of gzipped lines <follower> <followee>; DataError if it is not one."""
    try:
        frame = pl.read_csv(gzip.decompress(path.read_bytes()), separator=" ", has_header=False, schema=_PAIR)
    except (OSError, EOFError, pl.exceptions.PolarsError) as error:
        raise DataError(str(path), f"wants gzipped lines <follower> <followee> ({error})") from error
    pairs = frame.to_numpy()
    users, dense = np.unique(pairs, return_inverse=True)
    dense = dense.reshape(pairs.shape).astype(np.int32)
    return FollowGraph.of(dense[:, 0], dense[:, 1], users.size)


_PAIR = {"follower": pl.Int64, "followee": pl.Int64}


def cascade_lines(path: Path) -> Longs:
    """int64 [c]: posts of each cascade, of gzipped lines "user,time user,time …"; DataError if it is no gzip file."""
    try:
        lines = gzip.decompress(path.read_bytes()).splitlines()
    except (OSError, EOFError) as error:
        raise DataError(str(path), f"wants a gzipped file of cascades ({error})") from error
    return np.array([line.count(b",") for line in lines if line.strip()], np.int64)

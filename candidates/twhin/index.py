"""The index of unit vectors: exact while they are few, approximate when they are many.

Below `EXACT_BELOW` vectors a search looks at all of them, above it at the lists of an inverted file that are nearest to
the query (IVF, half-precision vectors), or walks a graph (HNSW, which Twitter's engine uses: cr-mixer/…/
HnswANNSimilarityEngine.scala). All are built alike from the same vectors, on one thread where the order of insertion
matters, so that an answer depends on nothing but the vectors and the query.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import faiss
import numpy as np

from funnel.core.arrays import Array

IndexKind = Literal["auto", "exact", "ivf", "hnsw"]
EXACT_BELOW = 100_000
NEIGHBOURS, BUILD_EF = 16, 200  # of an HNSW graph
LEAST_PER_LIST, MOST_LISTS = 40, 2048  # faiss wants 39 training vectors for each list


class Tuning(NamedTuple):
    """How thorough a search is."""

    probes: int
    ef: int


def built(vectors: Array, kind: IndexKind) -> Any:
    """A faiss index of float32 [m, d] by inner product."""
    count, d = vectors.shape
    if kind == "auto":
        kind = "exact" if count < EXACT_BELOW else "ivf"
    if kind == "exact" or count == 0:
        index = faiss.IndexFlatIP(d)
    elif kind == "ivf":
        lists = int(np.clip(2 * math.sqrt(count), 1, min(MOST_LISTS, max(count // LEAST_PER_LIST, 1))))
        half = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(d), d, lists, half, faiss.METRIC_INNER_PRODUCT)
        # So many vectors are enough to place the lists, and fewer than that are no reason to warn.
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid, index.cp.niter = 1, 64, 10
        index.by_residual = False
        index.train(vectors)
    else:
        index = faiss.IndexHNSWFlat(d, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = BUILD_EF
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        index.add(vectors)
    finally:
        faiss.omp_set_num_threads(threads)
    return index


def search_parameters(index: Any, allowed: Any, tuning: Tuning) -> Any:
    """What faiss wants with a search of this index: which rows are allowed (None: all), and how far to look."""
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=allowed, nprobe=min(tuning.probes, index.nlist))
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(sel=allowed, efSearch=tuning.ef)
    return faiss.SearchParameters(sel=allowed)

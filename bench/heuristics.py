"""What the filters, boosts and selectors of a funnel cost, without its rankers.

    python -m bench.heuristics [--world small] [--funnel twitter_2023] [--candidates 1500]

Each request has so many tweets of the last two days drawn by lot instead of the funnel's sources, and lots instead of
its rankers, of which a cut stays; then come the funnel's own filters, verdicts, boosts and selectors, with the
features that they need. In the same run the same stages work as if every filter gathered all columns anew
(`times_eager`), and author diversity on 400 candidates a request is compared with one sort of the whole batch by
(request, author, score, tweet).
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time

import numpy as np
from pydantic.dataclasses import dataclass

from bench.ceilings import machine
from funnel import pipeline
from funnel.compose import Slot, read_slots
from funnel.core import rng
from funnel.core.arrays import Floats
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import FunnelWarning
from funnel.core.segments import nth_of
from funnel.core.stage import STRICT, Scorer
from funnel.pipeline import MICRO_BATCH, Funnel
from funnel.report import TerminalProgress
from funnel.world import World

ROUNDS, REQUESTS, RANKED = 15, 64, 400
# Of 1,500 candidates so many reach the heavy ranker of twitter_2023 on `small`, whose cuts are by source.
REACH_THE_RANKER = 900
YOUNG_H = 47.9  # so that no candidate is too old for the funnel
KINDS = ("filter", "boost", "selector")


def measure(world_name: str, funnel_name: str, candidates: int) -> dict[str, object]:
    """All figures, by name."""
    warnings.simplefilter("ignore", FunnelWarning)
    vars(pipeline)["perf_counter"] = process_time  # other work on the machine does not count
    world = World.load(world_name, progress=TerminalProgress())
    funnel = _without_rankers(world, funnel_name, candidates)
    funnel.ensure_trained()
    single, batched = _cost(funnel, 1), _cost(funnel, MICRO_BATCH)
    with _eager():
        eager = sum(_cost(funnel, 1).values()), sum(_cost(funnel, MICRO_BATCH).values())
    return {
        "machine": machine(),
        "world": world.name,
        "funnel": funnel_name,
        "single_ms": sum(single.values()) / 1e3,
        "batched_ms": sum(batched.values()) / 1e3,
        "times_eager": [round(eager[0] / sum(single.values()), 2), round(eager[1] / sum(batched.values()), 2)],
        "candidates": _left(funnel),
        "us_per_request": {name: [round(single[name], 1), round(batched[name], 1)] for name in single},
        **_diversity(world),
    }


def _without_rankers(world: World, name: str, candidates: int) -> Funnel:
    about, jobs, stages = read_slots(name)
    lottery = Slot("everything", "everything", _part("everything", sample=candidates, max_age_h=YOUNG_H))
    keep = next((slot.keep for slot in stages if slot.keep is not None), REACH_THE_RANKER)
    ranking = [Slot("draw", "draw", Draw(), keep=keep), Slot("random_value", "random_value", _part("random_value"))]
    own = [slot for slot in stages if _is_rule(slot)]
    first = next(place for place, slot in enumerate(stages) if "value" in getattr(slot.part, "adds", ()))
    before = [slot for slot in own if stages.index(slot) < first]
    after = [slot for slot in own if stages.index(slot) > first]
    needed = jobs if any(slot.part.kind == "selector" and slot.name == "dpp" for slot in stages) else []
    return Funnel(name, about=about, world=world, jobs=needed, stages=[lottery, *before, *ranking, *after])


def _is_rule(slot: Slot) -> bool:
    """Whether a stage is one of the heuristics, as the verdicts of visibility are and the cuts of rankers are not."""
    module = type(slot.part).__module__
    return module.startswith("heuristics.") if slot.part.kind in KINDS else module.startswith("heuristics.visibility.")


@dataclass(config=STRICT, kw_only=True)
class Draw(Scorer):
    """A light score by lot."""

    adds = ("draw",)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """float32 [n] in [0, 1)."""
        return {"draw": rng.uniform(1, "draw", batch.viewer, batch["tweet"]).astype(np.float32)}


@contextmanager
def _eager() -> Iterator[None]:
    """Every filter lets go of its rows at once, and every `take` gathers all columns."""
    take, share = CandidateBatch.take, pipeline.COMPACT_BELOW
    CandidateBatch.take = lambda self, rows: take(self, rows).settled()  # type: ignore[method-assign]
    pipeline.COMPACT_BELOW = 2.0
    try:
        yield
    finally:
        CandidateBatch.take = take  # type: ignore[method-assign]
        pipeline.COMPACT_BELOW = share


def _left(funnel: Funnel) -> dict[str, float]:
    """Candidates a request after each stage."""
    view = funnel.world.view(assets=funnel.assets)
    trace = funnel.run_batch(Requests.of(np.arange(MICRO_BATCH), view.now_h, view), detail=False)
    return {stage.stage: round(stage.n_out / MICRO_BATCH, 1) for stage in trace.stages if stage.n_in != stage.n_out}


def _part(name: str, **settings: object):  # type: ignore[no-untyped-def]
    from funnel.compose import stage_classes

    return stage_classes()[name](**settings)


def _cost(funnel: Funnel, requests: int) -> dict[str, float]:
    """Processor microseconds a request of each filter, boost and selector: the median of some rounds."""
    view = funnel.world.view(assets=funnel.assets)
    viewers = np.arange(REQUESTS) % funnel.world.meta.viewer_count
    took: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        for first in range(0, REQUESTS, requests):
            trace = funnel.run_batch(Requests.of(viewers[first : first + requests], view.now_h, view), detail=False)
            for stage in trace.stages:
                if stage.kind in KINDS or stage.stage == "visibility_verdict":
                    took[stage.stage].append(stage.wall_ms * 1e3 / requests)
    return {name: float(np.median(values)) for name, values in took.items()}


def _diversity(world: World) -> dict[str, float]:
    """Requests a second and core of author diversity, and how many times those of one lexsort."""
    draw = np.random.Generator(np.random.Philox(0))
    view = world.view()
    known = view.tweets["author"].size
    tweet = np.concatenate([draw.choice(known, RANKED, replace=False) for _ in range(MICRO_BATCH)]).astype(np.int32)
    value = draw.random(tweet.size, dtype=np.float32)
    author = view.tweets["author"][tweet]
    requests = Requests.of(np.zeros(MICRO_BATCH), view.now_h, view)
    counts = np.full(MICRO_BATCH, RANKED)
    batch = CandidateBatch.of(requests, counts, tweet=tweet, author=author, value=value)
    stage = _part("author_diversity")
    quick = _seconds(lambda: stage.factor(batch))
    ranked = _seconds(lambda: nth_of(batch.offsets, author, value, tweet))
    sort = _seconds(lambda: np.lexsort((tweet, -value, author, batch.request)))
    return {
        "diversity_requests_per_s": MICRO_BATCH / quick,
        "nth_of_us": ranked / MICRO_BATCH * 1e6,
        "times_lexsort": sort / quick,
    }


def _seconds(work) -> float:  # type: ignore[no-untyped-def]
    """Processor seconds of the median of a hundred rounds."""
    work()
    took = []
    for _ in range(100):
        began = process_time()
        work()
        took.append(process_time() - began)
    return float(np.median(took))


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description="What filters, boosts and selectors cost.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--funnel", default="twitter_2023")
    parser.add_argument("--candidates", type=int, default=1500)
    asked = parser.parse_args()
    figures = measure(asked.world, asked.funnel, asked.candidates)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""What a page is worth: the oracle's probabilities of what a viewer would do, weighed into one number.

The value of a tweet on top of the page is a weighted sum of the true probabilities; further down it is that times the
chance d(place) that the viewer looks there, relative to the top, which the oracle is asked for too:

    value of a page = sum over places of d(place) x value(tweet)

A post counts once on a page: where a retweet and what it carries are both there, the second copy is worth nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from funnel.compose import Slot, funnel_names, product_of, read_slots
from funnel.core.arrays import Bools, Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, nearest
from funnel.core.kernels import kernel
from funnel.core.products import TIMELINE, Product
from funnel.core.stage import Scorer
from funnel.core.world import Oracle
from funnel.explain import WeighsActions
from funnel.oracle_stage import OracleValue, weights_of
from funnel.pipeline import VALUE, Funnel

SATISFACTION = "satisfaction"
ROWS_AT_ONCE = 250_000  # pairs of viewer and tweet whose probabilities are held in memory together, 17 MB


@dataclass(frozen=True)
class Objective:
    """What is added up over a page.

    weigher: the stage whose weighted sum is taken, on true probabilities; without one, weights (float64 [A]) of the
    actions and the weight of satisfaction.
    """

    name: str
    oracle: Oracle
    weigher: WeighsActions | None
    weights: Doubles
    satisfaction: float = 0.0
    product: Product = TIMELINE

    def values(self, batch: CandidateBatch) -> Doubles:
        """float64 [n]: what each tweet of the batch is worth on top of its viewer's page."""
        parts = [
            self._values(batch.take(np.arange(begin, min(begin + ROWS_AT_ONCE, len(batch)))))
            for begin in range(0, len(batch), ROWS_AT_ONCE)
        ]
        return np.concatenate([np.empty(0), *parts])

    def _values(self, batch: CandidateBatch) -> Doubles:
        viewer, tweet = batch.viewer.astype(np.int32, copy=False), batch["tweet"]
        if self.weigher is None and not self.weights.any():
            return self.satisfaction * self.oracle.satisfaction(viewer, tweet, now_h=batch.now_h).astype(np.float64)
        p = self.oracle.probabilities(viewer, tweet, np.zeros(len(batch), np.int32), batch.now_h)
        if self.weigher is not None:
            return self.weighed(self.weigher, batch, p)
        total: Doubles = np.einsum("na,a->n", p.astype(np.float64), self.weights)
        if self.satisfaction:
            total = total + self.satisfaction * self.oracle.satisfaction(viewer, tweet, now_h=batch.now_h)
        return total

    def looks(self, requests: Requests, tweet: int, places: int) -> Doubles:
        """float64 [R, places], 1 first and never rising: how likely each viewer looks at a place, relative to the top.

        Every action needs a look, so that the ratio is the same for all actions and tweets; any `tweet` shows it.
        """
        viewer, place = np.repeat(requests.viewer, places), np.tile(np.arange(places, dtype=np.int32), len(requests))
        now_h = np.repeat(requests.now_h, places)
        p = self.oracle.probabilities(viewer, np.full(viewer.size, tweet, np.int32), place, now_h)
        total = p.sum(axis=1, dtype=np.float64).reshape(len(requests), places)
        first = total[:, :1]
        # Who would do nothing even on top, as one to whom nothing is delivered, has nothing to lose further down.
        share = np.divide(total, first, out=np.ones_like(total), where=first > 0)
        return np.minimum.accumulate(share, axis=1)

    def weighed(self, weigher: WeighsActions, batch: CandidateBatch, p: Floats) -> Doubles:
        """float64 [n]: the weighted sum of a stage on given probabilities, float32 [n, A]."""
        known = batch.with_columns({f"p.{name}": p[:, code] for name, code in self.product.action_code.items()})
        total = np.zeros(len(batch))
        for term in weigher.terms(known).values():
            total += term
        return total


def objective_of(funnel: Funnel, value: str | None = None) -> Objective:
    """What to add up: `value` is an action, "satisfaction", another funnel, or None for the funnel's own weights.

    ConfigError if the world has no truth, the name is unknown, or the funnel weighs no actions.
    """
    product = funnel.product
    oracle = funnel.world.oracle_of(product)
    if oracle is None:
        what = f"has no truth to measure {product.pages} by — use a generated world (funnel list worlds)"
        raise ConfigError(f"world {funnel.world.name!r}", what)
    if value is None:
        return _weights_of(funnel.name, funnel.stages, product, oracle)
    if value == SATISFACTION:
        return Objective(SATISFACTION, oracle, None, weights_of({}, product), 1.0, product)
    if value in product.action_code:
        return Objective(value, oracle, None, weights_of({value: 1.0}, product), product=product)
    if value in funnel_names() or value.endswith((".yaml", ".yml")):
        if product_of(value) is not product:
            raise ConfigError(f"--value {value}", f"is a funnel of another product than {funnel.name!r}")
        return _weights_of(value, read_slots(value)[2], product, oracle)
    known = (SATISFACTION, *product.action_names, *funnel_names())
    raise ConfigError(f"--value {value}", f"wants an action, satisfaction, or a funnel — {nearest(value, known)}")


def value_slot(stages: Sequence[Slot]) -> tuple[int, Slot] | None:
    """(place, slot) of the stage that adds `value`."""
    for place, slot in enumerate(stages):
        if isinstance(slot.part, Scorer) and VALUE in slot.part.adds:
            return place, slot
    return None


def _weights_of(name: str, stages: Sequence[Slot], product: Product, oracle: Oracle) -> Objective:
    found = value_slot(stages)
    if found is not None:
        stage = found[1].part
        if isinstance(stage, WeighsActions):
            return Objective(f"weights of {name}", oracle, stage, weights_of({}, product), product=product)
        if isinstance(stage, OracleValue):
            weights = weights_of(stage.weights, product)
            return Objective(f"weights of {name}", oracle, None, weights, stage.satisfaction, product)
    said = f"its {found[1].name} weighs no actions" if found is not None else "has no stage that adds `value`"
    raise ConfigError(
        f"funnel {name!r}", f"{said}, so it has no value of its own — give one, as --value favorite or twitter_2023"
    )


@kernel
def page_values(
    offsets: Longs, rows: Longs, alive: Bools, value: Doubles, post: Ints, looks: Doubles, best: bool
) -> Doubles:
    """float64 [R]: what the first places of each request's rows are worth.

    rows: int64 [m], request by request (offsets int64 [R + 1] into them), in the order of the page; those that are not
    alive (bool [n]) are passed over. value: float64 [n]; post: int32 [n], the tweet that is read; looks: float64
    [R, places]. best: rows come by falling value, copies of a post leave no gap, and what is worth 0 or less is left
    out: the best page of the set.
    """
    places = looks.shape[1]
    shown = np.empty(places, np.int64)
    out = np.zeros(offsets.size - 1)
    for request in range(offsets.size - 1):
        place = 0
        for i in range(offsets[request], offsets[request + 1]):
            row = rows[i]
            if not alive[row]:
                continue
            if place == places or (best and value[row] <= 0.0):
                break
            again = False
            for j in range(place):
                again = again or shown[j] == post[row]
            if again and best:
                continue
            shown[place] = post[row]
            if not again:
                out[request] += looks[request, place] * value[row]
            place += 1
    return out

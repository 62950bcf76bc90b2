"""What each stage brings in the company of any others: Shapley values over stages, sampled.

    φ(s) = mean over orders of the stages of v(those before s, and s) − v(those before s)

where v is the mean expected value of the page of a funnel that has these stages alone: a ranker that is not there is
replaced by a lottery, a selector by the order of scores and the cut to the page's size, and without any source the page
is empty and worth nothing. The values add up to v(all) − v(none) exactly, whatever orders were drawn. Each order is
used forwards and backwards (antithetic sampling), which removes most of the noise from where in the order a stage
falls; the standard error is that of the pairs. Source: Shapley, 1953; sampling: Castro, Gómez & Tejada, Computers & OR
36, 2009; antithetic pairs: Mitchell et al., JMLR 23, 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from funnel.core import rng
from funnel.core.arrays import Ints
from funnel.core.errors import ConfigError, DataError
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import Mixer, Scorer, Source
from funnel.core.world import PlatformView
from funnel.experiment.memory import remembering
from funnel.experiment.variants import RANDOM, REMOVED, left_out, ranker_of, with_stages
from funnel.metrics import Scene, collect
from funnel.metrics.page import value as page_value
from funnel.pipeline import Funnel
from funnel.store import read_json, write_json


@dataclass(frozen=True)
class Shares:
    """Shapley values by stage, their standard errors (of the orders drawn), and how each stage is missing.

    interactions: Shapley value less what leaving the stage out of the whole funnel costs: above 0 where other stages
    stand in for it, below 0 where it needs the others.
    """

    values: dict[str, float]
    errors: dict[str, float]
    interactions: dict[str, float]
    ways: dict[str, str]
    total: float
    viewers: int
    orders: int

    def as_json(self) -> dict[str, object]:
        """Plain data; an error that one pair of orders cannot give is null."""
        plain = asdict(self)
        plain["errors"] = {name: error if math.isfinite(error) else None for name, error in self.errors.items()}
        return plain


def shapley_values(
    funnel: Funnel,
    viewers: Ints,
    scene: Scene,
    *,
    seed: int = 0,
    permutations: int = 8,
    size: int,
    file: Path | None = None,
    progress: Progress = SILENT,
) -> Shares:
    """Shapley values of all stages but mixers, from pairs of orders.

    permutations: orders, rounded up to pairs. file: where values of sets of stages are kept, so that none is computed
    twice.
    """
    ways = players(funnel)
    game = _Game(funnel, viewers, scene, seed, size, ways, file)
    names = list(ways)
    pairs = max(1, (permutations + 1) // 2)
    found = np.zeros((pairs, len(names)))
    with progress.bar("Shapley values", 2 * pairs * len(names)) as bar:
        for pair in range(pairs):
            order = rng.stream(seed, f"order of stages {pair}").permutation(len(names))
            for direction in (order, order[::-1]):
                present: list[str] = []
                before = game.value(present)
                for number in direction.tolist():
                    present.append(names[number])
                    after = game.value(present)
                    found[pair, number] += (after - before) / 2
                    before = after
                    bar.advance()
            game.keep()
    everything = game.value(names)
    alone = {name: everything - game.value([other for other in names if other != name]) for name in names}
    game.keep()
    mean = found.mean(axis=0)
    spread = found.std(axis=0, ddof=1) / math.sqrt(pairs) if pairs > 1 else np.full(len(names), math.nan)
    values = {name: float(mean[number]) for number, name in enumerate(names)}
    return Shares(
        values=values,
        errors={name: float(spread[number]) for number, name in enumerate(names)},
        interactions={name: values[name] - alone[name] for name in names},
        ways=ways,
        total=everything - game.value([]),
        viewers=int(viewers.size),
        orders=2 * pairs,
    )


def players(funnel: Funnel) -> dict[str, str]:
    """How each stage that can change the tweets of a page is missing, by name; a ranker of several stages is one."""
    heads = ranker_of(funnel)
    found: dict[str, str] = {}
    for slot in funnel.stages:
        if isinstance(slot.part, Mixer) or slot.name in heads[1:]:
            continue
        how = RANDOM if slot.name in heads else REMOVED
        if isinstance(slot.part, Scorer) and slot.name not in heads and slot.keep is None:
            continue  # columns for other stages: without them those could not run
        found[slot.name] = how
    return found


class _Game:
    """Values of sets of stages, remembered."""

    def __init__(
        self, funnel: Funnel, viewers: Ints, scene: Scene, seed: int, size: int, ways: dict[str, str], file: Path | None
    ) -> None:
        self.plain = funnel
        self.funnel = with_stages(funnel, remembering(funnel.stages), funnel.name)
        self.viewers, self.scene, self.seed, self.size, self.ways = viewers, scene, seed, size, ways
        self.view: PlatformView = funnel.world.view(scene.at_h, assets=funnel.assets_at(scene.at_h))
        self.sources = {slot.name for slot in funnel.stages if isinstance(slot.part, Source)}
        self.file = file
        self._about: dict[str, Any] = {"viewers": int(viewers.size), "size": size}
        self._known: dict[str, float] = self._kept()

    def value(self, present: Sequence[str]) -> float:
        """Mean expected value of the pages of the funnel with these stages."""
        key = " ".join(name for name in self.ways if name in present)
        if key not in self._known:
            self._known[key] = self._compute(set(present))
        return self._known[key]

    def keep(self) -> None:
        """Write down what is known."""
        if self.file is not None:
            write_json(self.file, {**self._about, "values": self._known})

    def _kept(self) -> dict[str, float]:
        if self.file is None or not self.file.exists():
            return {}
        try:
            kept = read_json(self.file)
        except DataError:
            return {}  # cut short: it is computed anew
        same = all(kept.get(name) == value for name, value in self._about.items())
        return {str(key): float(value) for key, value in kept["values"].items()} if same else {}

    def _compute(self, present: set[str]) -> float:
        if not present & self.sources:
            return 0.0
        absent = [(name, how) for name, how in self.ways.items() if name not in present]
        try:
            made = left_out(self.funnel, absent, self.scene)
        except ConfigError as error:
            raise ConfigError(
                "Shapley values", f"stages of {self.plain.name!r} depend on each other: {error}"
            ) from None
        outcome = collect(
            made, self.viewers, scene=self.scene, seed=self.seed, size=self.size, view=self.view, known_as="set"
        )  # fmt: skip
        return float(page_value(outcome, self.scene).mean())

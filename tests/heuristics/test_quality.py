"""The quality factor: the released rule of control, on simulated latencies, in simulated time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike

from funnel.core import quality
from funnel.core.arrays import Doubles
from funnel.core.batch import Requests
from funnel.core.errors import ConfigError
from funnel.core.world import PlatformView
from funnel.pipeline import Funnel
from heuristics.quality.quality_factor import QualityFactor
from heuristics.selectors.top_k import TopK
from tests.laws.funnels import Coarse, Lottery, Taste, funnel_of, slot
from tests.support import altered_after, mini_world


def _controlled(noise: ArrayLike, **settings: float) -> Doubles:
    """q of a fetch loop over pages that come one an hour, whose latencies are 100 ms × noise."""
    given = {"base_ms": 100.0, "fetch_cost_ms": 0.0, "capacity_per_min": 1e9, **settings}
    loop = QualityFactor(**given)  # type: ignore[arg-type]
    row = loop.run(PlatformView(mini_world(), 0.0), seed=0)[quality.SETTINGS][quality.FETCH]
    times = np.arange(np.size(noise), dtype=np.float64)
    return quality.controlled(times, np.asarray(noise, dtype=np.float64), row)


def test_the_constants_are_those_of_home_mixer() -> None:
    # HomeMixerFlagsModule.scala: default 0.95, bounds [0.1, 1.0], targets 300 and 700 ms, percentile 95, delta 0.00125.
    known = QualityFactor()
    assert (known.initial, known.lowest, known.highest) == (0.95, 0.1, 1.0)
    assert (known.fetch_target_ms, known.scoring_target_ms) == (300.0, 700.0)
    assert (known.percentile, known.delta) == (95.0, 0.00125)


def test_a_page_within_the_target_adds_delta_and_a_late_one_takes_nineteen() -> None:
    # 100 and 200 ms are within 300, 400 ms are not: 0.00125 · 95 / 5 = 0.02375.
    assert _controlled([1.0, 2.0, 4.0]).tolist() == pytest.approx([0.95, 0.95125, 0.9525, 0.92875])


def test_the_factor_stays_within_its_bounds() -> None:
    assert _controlled([1.0] * 100)[-1] == 1.0
    assert _controlled([9.0] * 100)[-1] == pytest.approx(0.1)


def test_at_rest_five_pages_in_a_hundred_are_late() -> None:
    # Latency grows with q, so q settles where the drift is none: 20,000 draws, and a standard error of 0.0015.
    noise = np.exp(np.random.Generator(np.random.Philox(0)).standard_normal(20_000) * 0.25)
    q = _controlled(noise, base_ms=0.0, fetch_cost_ms=0.3)
    late = 0.3 * 1500 * q[:-1] * noise > 300.0
    assert abs(late[5_000:].mean() - 0.05) < 0.01
    assert 0.2 < q[5_000:].mean() < 0.6


def test_load_shrinks_the_factor_and_its_absence_brings_it_back() -> None:
    row = QualityFactor(capacity_per_min=100.0, window_min=1.0, noise=0.0).run(PlatformView(mini_world(), 0.0), seed=0)
    times = np.concatenate([np.arange(2000) / 2000 / 6, 1.0 + np.arange(2000)])  # 200 a minute, then one an hour
    q = quality.controlled(times, np.ones(times.size), row[quality.SETTINGS][quality.FETCH])
    assert q[2000] < 0.6
    assert q[-1] == 1.0


def _funnel(**settings: float) -> Funnel:
    """Forty of a lottery's sixty, then twenty of those, with a quality factor or without."""
    stages = [slot(Lottery(count=60), "lottery", quota=40), slot(Coarse(), "coarse", keep=20), slot(Taste(), "taste")]
    funnel = funnel_of([*stages, slot(TopK(size=20))])
    if settings:
        funnel.assets = QualityFactor(**settings).run(PlatformView(funnel.world.tables, 0.0), seed=0)  # type: ignore[arg-type]
    return funnel


def _counts(funnel: Funnel, now_h: float) -> list[int]:
    view = funnel.world.view(now_h, assets=funnel.assets)
    trace = funnel.run_batch(Requests.of([3], now_h, view))
    return [trace.stages[0].n_out, trace.stages[2].n_out]


def test_it_is_off_by_default_and_scales_quotas_and_cuts_where_it_is_on() -> None:
    assert _counts(_funnel(), 48.0) == [40, 20]
    # 0.5 · 40 and 0.5 · 20.
    assert _counts(_funnel(initial=0.5, lowest=0.5, highest=0.5), 48.0) == [20, 10]
    # Every page is late: 0.1, the lowest.
    assert _counts(_funnel(base_ms=10_000.0, delta=0.05), 48.0) == [4, 2]


def test_what_is_logged_later_changes_nothing() -> None:
    world, now_h = mini_world(), 30.0
    later = altered_after(world, now_h)
    row = QualityFactor(noise=1.0, base_ms=250.0).run(PlatformView(world, 0.0), seed=0)[quality.SETTINGS][0]
    loop = quality.Loop(*row.tolist())
    moments = np.linspace(0.0, now_h, 50)
    known = [quality.at(quality.history(PlatformView(tables, 48.0), loop, 0), moments) for tables in (world, later)]
    assert np.unique(known[0]).size > 5
    assert known[0].tolist() == known[1].tolist()


def test_an_initial_factor_out_of_its_bounds_is_refused() -> None:
    with pytest.raises(ConfigError, match="wants a factor from lowest"):
        QualityFactor(initial=0.05)

from __future__ import annotations

import numpy as np
import pytest

from synthetic.clock import activity, moments


def test_the_days_of_a_week_have_seven_days_of_activity_and_weekends_less() -> None:
    days = [activity(24.0 * day, 24.0 * (day + 1)) for day in range(14)]
    assert sum(days[:7]) == pytest.approx(7.0)
    assert days[7:] == pytest.approx(days[:7])
    assert max(days[5:7]) < min(days[:5])


def test_activity_adds_up_over_parts_of_an_hour() -> None:
    assert activity(30.25, 31.75) == pytest.approx(sum(activity(30.25 + k / 4, 30.5 + k / 4) for k in range(6)))
    assert activity(30.0, 30.0) == 0.0


def test_moments_are_drawn_in_proportion_to_activity() -> None:
    """100,000 draws over three days: the share of each hour has a standard error below 0.0004; five of them."""
    found = moments(np.random.default_rng(0).random(100_000), 72.0)
    assert found.min() >= 0
    assert found.max() < 72
    share = np.bincount(found.astype(int), minlength=72) / found.size
    expected = np.array([activity(hour, hour + 1.0) for hour in range(72)]) / activity(0.0, 72.0)
    assert np.abs(share - expected).max() < 0.002

"""Hypothesis profiles and the small world that most tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from funnel.core.world import PlatformView, WorldTables
from tests.support import mini_view, mini_world

settings.register_profile(
    "dev", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session")
def world() -> WorldTables:
    """Thirty users, 300 tweets, 48 hours; see tests.support.mini_world."""
    return mini_world()


@pytest.fixture(scope="session")
def view() -> PlatformView:
    """That world at its end."""
    return mini_view()

"""Hypothesis profiles and the small world that most tests share."""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings

from funnel.core.world import PlatformView, WorldTables
from funnel.pipeline import Funnel
from tests.support import QUICK, mini_view, mini_world

# Worlds and models of the tests live in a folder of their own, which parallel workers inherit and share.
_HOME = None if "FUNNEL_TEST_HOME" in os.environ else TemporaryDirectory(prefix="funnel-tests-")
if _HOME is not None:
    os.environ["FUNNEL_TEST_HOME"] = _HOME.name
os.environ["FUNNEL_HOME"] = os.environ["FUNNEL_TEST_HOME"]

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


@pytest.fixture(scope="session")
def trained() -> Funnel:
    """The default funnel on the tiny world, trained with a small heavy ranker."""
    from funnel.compose import load_funnel
    from funnel.train import ensure_trained
    from funnel.world import World

    funnel = load_funnel("twitter_2023", World.load("tiny"), settings=QUICK)
    ensure_trained(funnel)
    return funnel

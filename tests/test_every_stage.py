"""Every shipped stage keeps the contract, by existing: nothing has to be registered here.

The checks are in `tests.stage_checks`; `tests/test_stage_checks.py` plants stages that break the contract.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from funnel import compose
from funnel.core.stage import BatchJob, Configured, Stage
from tests.stage_checks import CHECKS, CONFIGURATION_CHECKS, JOB_CHECKS, Workshop, stage_classes
from tests.support import mini_world

SHIPPED = stage_classes("candidates", "light_ranker", "heavy_ranker", "heuristics")
JOBS = {name: kind for name, kind in SHIPPED.items() if issubclass(kind, BatchJob)}
STAGES = {name: kind for name, kind in SHIPPED.items() if issubclass(kind, Stage)}


@pytest.fixture(scope="module")
def workshop() -> Workshop:
    """A world of sixty quarrelsome users with what the jobs make of it."""
    return Workshop(mini_world(users=60, tweets=600, pages=300, feedback=4), JOBS)


def _sentence(check: Callable[..., None]) -> str:
    return check.__name__.removeprefix("check_")


def test_every_stage_can_be_named_in_a_funnels_file() -> None:
    assert compose.stage_classes() == SHIPPED


@pytest.mark.parametrize("check", CONFIGURATION_CHECKS, ids=_sentence)
@pytest.mark.parametrize("name", SHIPPED)
def test_every_stage_can_be_configured(name: str, check: Callable[[type[Configured]], None]) -> None:
    check(SHIPPED[name])


@pytest.mark.parametrize("check", CHECKS, ids=_sentence)
@pytest.mark.parametrize("name", STAGES)
def test_every_stage_keeps_the_contract(
    name: str, check: Callable[[Stage, Workshop], None], workshop: Workshop
) -> None:
    stage = workshop.ready(STAGES[name])
    assert isinstance(stage, Stage)
    check(stage, workshop)


@pytest.mark.parametrize("check", JOB_CHECKS, ids=_sentence)
@pytest.mark.parametrize("name", JOBS)
def test_every_job_keeps_the_contract(
    name: str, check: Callable[[BatchJob, Workshop], None], workshop: Workshop
) -> None:
    job = workshop.ready(JOBS[name])
    assert isinstance(job, BatchJob)
    check(job, workshop)

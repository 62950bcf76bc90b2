"""The checks notice stages that break the contract: each planted stage below breaks one law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Array, Bools, Floats, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import FunnelError, NotFittedError
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import STRICT, BatchJob, Boost, Configured, Filter, Learned, Scorer, Selector, Source
from funnel.core.world import PlatformView
from tests import stage_checks as checks
from tests.stage_checks import Workshop
from tests.support import mini_world


class Named:
    """Planted stages share this file, so they are called by their class."""

    @property
    def name(self) -> str:
        return type(self).__name__.lower()


@dataclass(config=STRICT, kw_only=True)
class Sound(Named, Scorer):
    """Breaks nothing: the count of impressions before the request, times a setting."""

    adds = ("sound",)
    scale: float = Field(1.0, gt=0, description="factor")

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        shown = batch.requests.view.events("impression", by="tweet")
        return {"sound": (self.scale * shown.count(batch["tweet"].astype(np.int64), batch.now_h)).astype(np.float32)}


class Planted(Named, Scorer):
    """A scorer whose one column comes from `compute`."""

    adds = ("x",)
    needs = ("age_h",)

    def compute(self, batch: CandidateBatch) -> Array:
        return np.zeros(len(batch), np.float32)

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        return {"x": self.compute(batch).astype(np.float32)}


class BatchZScore(Planted):
    def compute(self, batch: CandidateBatch) -> Array:
        age = batch["age_h"]
        return (age - age.mean()) / (age.std() + 1) if age.size else age


class RequestRank(Planted):
    def compute(self, batch: CandidateBatch) -> Array:
        return np.arange(len(batch)) - batch.offsets[batch.request]


class GlobalRandom(Planted):
    def compute(self, batch: CandidateBatch) -> Array:
        return np.random.random(len(batch))  # noqa: NPY002 — the fault that is planted


class Remembers(Planted):
    calls = 0

    def compute(self, batch: CandidateBatch) -> Array:
        self.calls += 1
        return np.full(len(batch), self.calls)


class EditsInPlace(Planted):
    def compute(self, batch: CandidateBatch) -> Array:
        age = batch["age_h"]
        owner = age.base  # a read-only column is a view of somebody's array
        assert owner is not None
        owner.flags.writeable = True
        owner += 1
        return age


class SeesTheFuture(Planted):
    def compute(self, batch: CandidateBatch) -> Array:
        view = batch.requests.view
        shown: Array = np.bincount(view.impressions["tweet"], minlength=view.tweets["author"].size)
        return shown[batch["tweet"]]


class CrashesOnNothing(Planted):
    def compute(self, batch: CandidateBatch) -> Array:
        oldest: float = batch["age_h"].max()
        return batch["age_h"] / oldest


class NotANumber(Planted):
    def compute(self, batch: CandidateBatch) -> Array:
        return batch["age_h"] * np.nan


class ReadsUndeclared(Planted):
    def compute(self, batch: CandidateBatch) -> Array:
        return batch["in_network"]


class Doubles64(Planted):
    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        return {"x": np.zeros(len(batch), np.float64)}


class OtherColumn(Planted):
    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        return {"y": np.zeros(len(batch), np.float32)}


class UndeclaredAsset(Planted):
    def compute(self, batch: CandidateBatch) -> Array:
        return np.full(len(batch), batch.requests.view.asset("counter.total")[0])


class ZeroFactor(Named, Boost):
    def factor(self, batch: CandidateBatch) -> Floats:
        return np.zeros(len(batch), np.float32)


class IntegerMask(Named, Filter):
    def keep(self, batch: CandidateBatch) -> Bools:
        return np.ones(len(batch), np.int8)


class TiesByPlace(Named, Selector):
    needs = ("score",)

    def order(self, batch: CandidateBatch) -> Longs:
        return np.lexsort((-batch["score"], batch.request))


@dataclass(config=STRICT, kw_only=True)
class ForgetsHalf(Named, Scorer, Learned):
    adds = ("x",)

    def fit(self, view: PlatformView, *, seed: int, progress: Progress = SILENT, log_dir: Any = None) -> None:
        self.base_ = 1.0

    def state(self) -> dict[str, Array]:
        if not hasattr(self, "base_"):
            raise NotFittedError(self.name, "learn first")
        return {"slope": np.array([2.0])}

    def restore(self, state: dict[str, Array]) -> None:
        self.base_ = 0.0

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        if not hasattr(self, "base_"):
            raise NotFittedError(self.name, "learn first")
        return {"x": (batch["tweet"] + self.base_).astype(np.float32)}


@dataclass(config=STRICT, kw_only=True)
class AnswersUnfitted(ForgetsHalf):
    def state(self) -> dict[str, Array]:
        return {}


class Finds(Named, Source):
    """A source that finds what `tweets` says for each request."""

    def tweets(self, requests: Requests, r: int) -> Array:
        return np.arange(min(3, int(requests.view.tweets_before(requests.now_h[r : r + 1])[0])))

    def retrieve(self, requests: Requests) -> CandidateBatch:
        found = [np.asarray(self.tweets(requests, r), dtype=np.int32) for r in range(len(requests))]
        tweet = np.concatenate([np.empty(0, np.int32), *found])
        return CandidateBatch.of(
            requests, [f.size for f in found], tweet=tweet, source_score=np.ones(tweet.size, np.float32)
        )


class FindsTwice(Finds):
    def tweets(self, requests: Requests, r: int) -> Array:
        return np.array([1, 1])


class FindsTheUnwritten(Finds):
    def tweets(self, requests: Requests, r: int) -> Array:
        return np.array([requests.view.tweets["author"].size - 1])


class FindsTheProtected(Finds):
    def tweets(self, requests: Requests, r: int) -> Array:
        known = int(requests.view.tweets_before(requests.now_h[r : r + 1])[0])
        return np.arange(known)


class SharesAQuota(Finds):
    def tweets(self, requests: Requests, r: int) -> Array:
        return np.arange(12 // len(requests))


class FindsNothing(Finds):
    def tweets(self, requests: Requests, r: int) -> Array:
        return np.empty(0)


class NeedsARequest(Finds):
    def retrieve(self, requests: Requests) -> CandidateBatch:
        requests.now_h.max()
        return super().retrieve(requests)


@dataclass(config=STRICT, kw_only=True)
class Counter(Named, BatchJob):
    """Counts the engagements that the view knows."""

    provides = ("counter.total",)

    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        return {"counter.total": np.array([view.engagements["time_h"].size], np.int32)}


class Prophet(Counter):
    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        return {"counter.total": np.array([view._world.count("engagements")], np.int32)}


class Dice(Counter):
    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        return {"counter.total": np.random.default_rng().random(1)}


class BreaksPromise(Counter):
    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        return {"counter.other": np.zeros(1)}


@pytest.fixture(scope="module")
def workshop() -> Workshop:
    """A mini world with one asset."""
    return Workshop(mini_world(), {"counter": Counter})


PLANTED: list[tuple[type[Configured], Callable[..., None], str]] = [
    (BatchZScore, checks.check_requests_are_isolated, "request 0 alone: x differs"),
    (BatchZScore, checks.check_company_does_not_matter, "in other company: x differs"),
    (RequestRank, checks.check_order_of_rows_does_not_matter, "rows in another order: x differs"),
    (RequestRank, checks.check_company_does_not_matter, "in other company: x differs"),
    (GlobalRandom, checks.check_same_question_same_answer, "asked twice: x differs"),
    (Remembers, checks.check_same_question_same_answer, "asked twice: x differs"),
    (EditsInPlace, checks.check_nothing_given_is_changed, "changes column 'age_h'"),
    (SeesTheFuture, checks.check_the_future_does_not_matter, "another future: x differs"),
    (CrashesOnNothing, checks.check_answers_have_their_shape, "zero-size array"),
    (NotANumber, checks.check_answers_have_their_shape, "x is not finite"),
    (ReadsUndeclared, checks.check_answers_have_their_shape, "'in_network': not in this batch"),
    (Doubles64, checks.check_answers_have_their_shape, "x is float64, wants float32"),
    (OtherColumn, checks.check_answers_have_their_shape, "gives .'y'., wants .'x'."),
    (UndeclaredAsset, checks.check_assets_are_declared, "no batch job has made it"),
    (ZeroFactor, checks.check_answers_have_their_shape, "not above 0"),
    (IntegerMask, checks.check_answers_have_their_shape, "keep is int8, wants bool"),
    (TiesByPlace, checks.check_order_of_rows_does_not_matter, "page differs"),
    (ForgetsHalf, checks.check_what_was_learnt_can_be_stored, "after restore: x differs"),
    (AnswersUnfitted, checks.check_what_was_learnt_can_be_stored, "answers before it learnt"),
    (FindsTwice, checks.check_candidates_exist_and_are_there_once, "finds a tweet twice"),
    (FindsTheUnwritten, checks.check_candidates_exist_and_are_there_once, "not yet written"),
    (FindsTheProtected, checks.check_candidates_exist_and_are_there_once, "finds protected tweets"),
    (SharesAQuota, checks.check_requests_are_isolated, "viewer 0 alone: tweet differs"),
    (NeedsARequest, checks.check_anybody_may_ask_at_any_moment, "zero-size array"),
    (ZeroFactor, checks.check_it_does_something, "is 0.0 for all"),
    (FindsNothing, checks.check_it_does_something, "finds nothing"),
    (Prophet, checks.check_job_is_reproducible, "another future: counter.total differs"),
    (Dice, checks.check_job_is_reproducible, "run again: counter.total differs"),
    (BreaksPromise, checks.check_job_makes_what_it_says, "makes .'counter.other'."),
]


@pytest.mark.parametrize(("kind", "check", "notice"), PLANTED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_planted_fault_is_noticed(
    kind: type[Configured], check: Callable[..., None], notice: str, workshop: Workshop
) -> None:
    stage = kind()
    if isinstance(stage, Learned):
        stage.fit(workshop.view, seed=0)
    with pytest.raises((AssertionError, ValueError, FunnelError), match=notice):
        check(stage, workshop)


@pytest.mark.parametrize("check", [*checks.CONFIGURATION_CHECKS], ids=lambda check: check.__name__)
def test_a_sound_configuration_passes(check: Callable[[type[Configured]], None]) -> None:
    check(Sound)


@pytest.mark.parametrize("check", [*checks.CHECKS], ids=lambda check: check.__name__)
def test_a_sound_stage_passes(check: Callable[..., None], workshop: Workshop) -> None:
    check(Sound(scale=2.0), workshop)


@pytest.mark.parametrize("check", [*checks.JOB_CHECKS], ids=lambda check: check.__name__)
def test_a_sound_job_passes(check: Callable[..., None], workshop: Workshop) -> None:
    check(Counter(), workshop)


@dataclass(kw_only=True)
class Undocumented(Named, Scorer):
    adds = ("x",)
    limit: int = 3

    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        return {"x": np.zeros(len(batch), np.float32)}


@dataclass(config={"extra": "ignore"}, kw_only=True)
class TakesAnything(Undocumented):
    """Takes settings that it does not have."""

    secret: float = Field(0.0, exclude=True, description="lost when written")


@dataclass(config=STRICT, kw_only=True)
class WantsASetting(Undocumented):
    """Cannot be made without settings."""

    needed: int = Field(description="has no default")


def test_a_stage_without_words_is_noticed() -> None:
    with pytest.raises(AssertionError, match="docstring"):
        checks.check_documented(Undocumented)
    with pytest.raises(AssertionError, match="limit has no description"):
        checks.check_documented(WantsASetting)


def test_a_stage_that_takes_anything_is_noticed() -> None:
    with pytest.raises(AssertionError, match="does not have"):
        checks.check_unknown_setting_is_refused(TakesAnything)


def test_a_stage_without_defaults_is_noticed() -> None:
    with pytest.raises(Exception, match="needed"):
        checks.check_made_without_settings(WantsASetting)

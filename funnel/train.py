"""Training in order: batch jobs make their assets, then every stage that learns is fitted, then judged.

Everything learns from what was logged before the world's `train_until_h` (a stage with `trained_at`: before that
hour); the impressions after it are held out. A job with `cadence_h` or `delay_h` runs again for later requests, as
they need it; rankers still learn from what it had made at the training's end. What was learnt is cached per world and
configuration, so that only what changed is learnt again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from time import perf_counter

import numpy as np

from funnel.compose import Slot, settings_of
from funnel.core.arrays import Array
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, DataError
from funnel.core.progress import SILENT, Progress
from funnel.core.rng import stream
from funnel.core.stage import BatchJob, Learned, Scorer, Taught
from funnel.core.world import PlatformView
from funnel.evaluate import held_out_table
from funnel.pipeline import MICRO_BATCH, VALUE, Funnel, score_pool
from funnel.store import digest, home, load_arrays, save_arrays

# A distilled stage is taught on requests of the last day before the training's end, at so many moments of it.
LESSON_MOMENTS, LESSON_STEP_H = 4, 6.0
_SHARED_CODE = ("funnel.core", "funnel.features", "funnel.learn")


@dataclass
class TrainReport:
    """What training did: seconds of each step, what came from the cache, and held-out metrics.

    rows: see `funnel.evaluate.held_out_table`.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    cached: list[str] = field(default_factory=list)
    rows: list[dict[str, object]] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        seconds = {step: round(taken, 3) for step, taken in self.seconds.items()}
        return {"seconds": seconds, "cached": self.cached, "metrics": self.rows}


def train(
    funnel: Funnel,
    *,
    seed: int = 0,
    force: bool = False,
    progress: Progress = SILENT,
    log_dir: Path | None = None,
) -> TrainReport:
    """Fit everything in the funnel that learns, and measure it on held-out impressions.

    force: learn again even what the cache has. log_dir: where training curves go.
    """
    trainer = _Trainer(funnel, seed=seed, force=force, progress=progress, log_dir=log_dir)
    trainer.learn()
    trainer.report.rows = trainer.timed("evaluation", lambda: held_out_table(funnel, seed=seed, progress=progress))
    return trainer.report


def ensure_trained(
    funnel: Funnel, *, seed: int = 0, progress: Progress = SILENT, log_dir: Path | None = None
) -> TrainReport:
    """Take what was learnt from the cache; learn what is not there."""
    trainer = _Trainer(funnel, seed=seed, force=False, progress=progress, log_dir=log_dir)
    trainer.learn()
    return trainer.report


def snapshot(funnel: Funnel, moment: float) -> dict[str, Array]:
    """What the jobs of a trained funnel had made that a request at `moment` (hours) sees; from the cache if it can."""
    trainer = _Trainer(funnel, seed=funnel.learnt_seed, force=False, progress=SILENT, log_dir=None)
    return trainer.assets_at(moment, funnel.world.meta.train_until_h)[0]


class _Trainer:
    """One training: the funnel, where results are kept, and the report that grows."""

    def __init__(self, funnel: Funnel, *, seed: int, force: bool, progress: Progress, log_dir: Path | None) -> None:
        self.funnel = funnel
        self.seed = seed
        self.force = force
        self.progress = progress
        self.log_dir = log_dir
        self.report = TrainReport()
        self.until_h = funnel.world.meta.train_until_h

    def learn(self) -> None:
        """Jobs in the order listed, then stages in the order of the funnel."""
        self.funnel.assets, keys = self.assets_at(self.until_h, self.until_h)
        for slot in self.funnel.stages:
            if isinstance(slot.part, Learned):
                self._teach(slot, slot.part, keys)
        self.funnel.learnt_seed = self.seed
        for slot in self.funnel.stages:
            if isinstance(slot.part, Taught):
                self._distil(slot, slot.part, keys)
        self.funnel.trained = True

    def assets_at(self, moment: float, frozen_h: float) -> tuple[dict[str, Array], list[str]]:
        """(the jobs' assets, a key for each job) as of `moment`; jobs without a cadence as of `frozen_h`."""
        assets: dict[str, Array] = {}
        keys = []
        for slot in self.funnel.jobs:
            assert isinstance(slot.part, BatchJob)
            at_h = slot.snapshot_h(moment, frozen_h)
            # What a job reads of other jobs is as old as what it makes.
            read, read_keys = self.assets_at(at_h, min(at_h, frozen_h)) if slot.part.requires else ({}, [])
            key = self._key(slot, at_h, read_keys)
            assets |= self._remembered(slot, key) or self._run_job(slot, key, self._view(at_h, read))
            keys.append(key)
        return assets, keys

    def _view(self, at_h: float, assets: dict[str, Array]) -> PlatformView:
        return self.funnel.world.view(at_h, assets=assets)

    def timed(self, name: str, work: Callable[[], list[dict[str, object]]]) -> list[dict[str, object]]:
        """Do some work and book its seconds."""
        started = perf_counter()
        done = work()
        self.report.seconds[name] = perf_counter() - started
        return done

    def _run_job(self, slot: Slot, key: str, view: PlatformView) -> dict[str, Array]:
        assert isinstance(slot.part, BatchJob)
        started = perf_counter()
        made = slot.part.run(view, seed=self.seed, progress=self.progress)
        self.report.seconds[slot.name] = self.report.seconds.get(slot.name, 0.0) + perf_counter() - started
        self._remember(slot, key, made)
        return made

    def _teach(self, slot: Slot, stage: Learned, job_keys: list[str]) -> None:
        at_h, assets = self.until_h, self.funnel.assets
        if slot.trained_at is not None:
            if slot.trained_at > self.until_h:
                raise ConfigError(
                    f"{slot.name}.trained_at",
                    f"{slot.trained_at:g} h is held out — the training of {self.funnel.world.name!r} ends at "
                    f"{self.until_h:g} h",
                )
            at_h = slot.trained_at
            assets, job_keys = self.assets_at(at_h, at_h)
        key = self._key(slot, at_h, job_keys)
        known = self._remembered(slot, key)
        if known is not None:
            stage.restore(known)
            return
        started = perf_counter()
        curves = self.log_dir / slot.name if self.log_dir is not None else None
        stage.fit(self._view(at_h, assets), seed=self.seed, progress=self.progress, log_dir=curves)
        self.report.seconds[slot.name] = perf_counter() - started
        self._remember(slot, key, stage.state())

    def _distil(self, slot: Slot, stage: Taught, job_keys: list[str]) -> None:
        """Teach a stage the value of the candidates that reach it: docs/adr/008-a-distilled-stage-is-taught-last.md."""
        stages = teachers(self.funnel.stages, slot)
        keys = [[self._key(other, self.until_h, job_keys), other.describe()] for other in stages]
        key = digest([self._key(slot, self.until_h, job_keys), keys])
        known = self._remembered(slot, key)
        if known is not None:
            stage.restore(known)
            return
        started = perf_counter()
        view = self._view(self.until_h, self.funnel.assets)
        if not distil(slot, stage, stages, view, seed=self.seed, progress=self.progress):
            raise DataError(slot.name, "has no lessons — the stages before it let no candidate through on the last day")
        self.report.seconds[slot.name] = perf_counter() - started
        self._remember(slot, key, stage.state())

    def _key(self, slot: Slot, at_h: float, job_keys: list[str]) -> str:
        """What is learnt depends on the world, the moment, the seed, the settings, the jobs read, and the code."""
        return digest(
            {
                "world": self.funnel.world.hash,
                "at_h": at_h,
                "seed": self.seed,
                "use": slot.use,
                "settings": settings_of(slot.part),
                "jobs": job_keys,
                "code": _code(type(slot.part).__module__.partition(".")[0]),
            }
        )

    def _file(self, slot: Slot, key: str) -> Path:
        return home() / "models" / self.funnel.world.hash / f"{slot.name}-{key}.safetensors"

    def _remembered(self, slot: Slot, key: str) -> dict[str, Array] | None:
        path = self._file(slot, key)
        if self.force or not path.exists():
            return None
        try:
            known, _ = load_arrays(path)
        except DataError as error:
            self.progress.note(f"{error}; learning {slot.name} again")
            return None
        self.report.cached.append(slot.name)
        return known

    def _remember(self, slot: Slot, key: str, learnt: dict[str, Array]) -> None:
        path = self._file(slot, key)
        save_arrays(path, learnt, {"stage": slot.use, "world": self.funnel.world.hash})


def distil(
    slot: Slot, stage: Taught, stages: Sequence[Slot], view: PlatformView, *, seed: int, progress: Progress = SILENT
) -> bool:
    """Teach a stage what its `teachers` say of the candidates of requests on the last day before the view's moment.

    Whether there were any: the stages before it may let nothing through, and then it knows what it knew.
    """
    requests = _lessons(view, stage.lessons, seed)
    parts = []
    with progress.bar(f"lessons of {slot.name}", len(requests)) as bar:
        for begin in range(0, len(requests), MICRO_BATCH):
            some = slice(begin, begin + MICRO_BATCH)
            asked = Requests(requests.viewer[some], requests.now_h[some], requests.view, requests.seed)
            parts.append(score_pool(stages, asked))
            bar.advance(len(parts[-1].requests))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0].names}
    counts = np.concatenate([part.counts for part in parts])
    batch = CandidateBatch.of(requests, counts, **{name: columns[name] for name in columns if name != VALUE})
    if len(batch):
        stage.teach(batch, columns[VALUE], seed=seed, progress=progress)
    return len(batch) > 0


def _lessons(view: PlatformView, count: int, seed: int) -> Requests:
    """Requests of drawn viewers at moments of the last day before the view's, in order of time."""
    viewer_count = view.meta.viewer_count
    draw = stream(seed, "lessons")
    viewers = draw.choice(viewer_count, count, replace=count > viewer_count)
    moments = np.sort(view.now_h - LESSON_STEP_H * draw.integers(0, LESSON_MOMENTS, count))
    return Requests.of(viewers, np.maximum(moments, 0.0), view, seed=seed)


def teachers(stages: Sequence[Slot], pupil: Slot) -> list[Slot]:
    """What comes before the pupil, and the scorers after it up to the value, which look at all that reached it."""
    place = next(number for number, slot in enumerate(stages) if slot is pupil)
    chosen = [slot for slot in stages[:place] if not isinstance(slot.part, Taught)]
    for slot in stages[place + 1 :]:
        if isinstance(slot.part, Scorer) and not isinstance(slot.part, Taught):
            chosen.append(replace(slot, keep=None))
            if VALUE in slot.part.adds:
                return chosen
    raise ConfigError(pupil.name, f"wants a stage after it that adds `{VALUE}`, for instance `value`: its teacher")


@cache
def _code(package: str) -> str:
    """A hash of the Python files that what a stage learns can depend on."""
    contents = []
    for name in (*_SHARED_CODE, package):
        for location in import_module(name).__path__:
            folder = Path(location)
            contents += [
                [str(path.relative_to(folder)), path.read_text("utf-8")] for path in sorted(folder.rglob("*.py"))
            ]
    return digest(contents)

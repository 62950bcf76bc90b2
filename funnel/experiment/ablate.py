"""What each stage brings: every stage left out in turn, for the same viewers, with the same random numbers.

    OUT/manifest.json                       what was asked: funnel, what it learnt, world, seed, viewers
    OUT/reference/*.safetensors             pages by lot, chronological pages, the best pages
    OUT/parts/STAGE/part-00000.safetensors  the `Outcome` of 256 viewers without that stage (`all`: with every stage)
    OUT/shapley.json                        values of sets of stages, for the Shapley values
    OUT/effects.csv, OUT/ablation.json      the results

What is there is not computed again. Sources' lists and rankers' scores are shared between the variants, as they are the
same wherever a candidate is the same (`funnel.experiment.memory`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np

from funnel import __version__
from funnel.core.arrays import Ints
from funnel.core.errors import ConfigError, DataError
from funnel.core.progress import SILENT, Bar, Progress
from funnel.core.world import PlatformView
from funnel.experiment.folder import claim, slug
from funnel.experiment.memory import forget, remembering
from funnel.experiment.shapley import Shares, shapley_values
from funnel.experiment.statistics import Effect, Resamples, corrected, effects
from funnel.experiment.variants import Variant, variants, with_stages
from funnel.metrics import Judge, Measures, Outcome, Reference, Scene, collect, joined, measure
from funnel.metrics.evaluate import later_lists
from funnel.pipeline import Funnel
from funnel.simulate import _learnt_hash as learnt_hash

PART_VIEWERS = 256
BASE = "all"  # the funnel with every stage
VALUE, SUBSTITUTE = "page.value", "later.hits"  # what effects are sorted by; where nobody knows the truth
T = TypeVar("T")


@dataclass(frozen=True)
class Ablation:
    """Without one stage: differences of all metrics from the whole funnel, and whether any page changed at all."""

    variant: str
    stage: str
    kind: str
    how: str
    pages_changed: float
    modules_changed: float
    effects: list[Effect] = field(repr=False)

    @property
    def does_nothing(self) -> bool:
        """Whether leaving it out changed no page and no module of any viewer."""
        return self.pages_changed == 0 and self.modules_changed == 0

    def effect(self, metric: str) -> Effect | None:
        """The difference of one metric, if it was measured."""
        return next((effect for effect in self.effects if effect.metric == metric), None)


@dataclass(frozen=True)
class AblationReport:
    """All ablations, the largest loss of value first; base: means of the whole funnel; shares: Shapley values."""

    funnel: str
    world: str
    seed: int
    viewers: int
    sorted_by: str
    base: dict[str, float]
    chance: dict[str, float]
    best: dict[str, float]
    ablations: list[Ablation]
    shares: Shares | None
    notes: list[str]

    def rows(self, metric: str | None = None) -> list[dict[str, object]]:
        """One row a variant for people: the effect of leaving the stage out on one metric, with its interval."""
        wanted = metric or self.sorted_by
        rows = []
        for one in self.ablations:
            effect = one.effect(wanted)
            row: dict[str, object] = {"without": one.variant, "kind": one.kind}
            if one.does_nothing:
                row |= {"changes": None, "low": None, "high": None, "in sd": None, "verdict": "does nothing"}
            elif effect is not None:
                row |= {"changes": effect.difference, "low": effect.low, "high": effect.high}
                row |= {"in sd": effect.effect_sd, "verdict": effect.verdict}
            row["pages changed"] = one.pages_changed
            if self.shares is not None and one.how == self.shares.ways.get(one.stage):
                row |= {"Shapley": self.shares.values[one.stage], "±": self.shares.errors[one.stage]}
            rows.append(row)
        return rows

    def sources(self) -> list[dict[str, object]]:
        """One row a source: its share of the page, what it alone found, what leaving it out costs."""
        rows = []
        for one in self.ablations:
            if one.kind != "source":
                continue
            effect = one.effect(self.sorted_by)
            row: dict[str, object] = {"source": one.stage}
            for name in ("share", "only", "survival"):
                row[f"{name} of page" if name != "survival" else name] = self.base.get(f"source.{name}.{one.stage}")
            row["marginal"] = -effect.difference if effect is not None else None
            if self.shares is not None:
                row["Shapley"] = self.shares.values[one.stage]
            rows.append(row)
        return rows

    def table(self) -> list[dict[str, object]]:
        """One row a variant and metric: everything, for a file."""
        return [
            {"without": one.variant, "stage": one.stage, "kind": one.kind, "how": one.how, **effect.as_json()}
            for one in self.ablations
            for effect in one.effects
        ]

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        return {
            "funnel": self.funnel,
            "world": self.world,
            "seed": self.seed,
            "viewers": self.viewers,
            "sorted_by": self.sorted_by,
            "base": self.base,
            "chance": self.chance,
            "best": self.best,
            "ablations": [
                {
                    "without": one.variant,
                    "stage": one.stage,
                    "kind": one.kind,
                    "how": one.how,
                    "pages_changed": one.pages_changed,
                    "modules_changed": one.modules_changed,
                    "does_nothing": one.does_nothing,
                    "effects": [effect.as_json() for effect in one.effects],
                }
                for one in self.ablations
            ],
            "shapley": self.shares.as_json() if self.shares is not None else None,
            "notes": self.notes,
        }


def ablate(
    funnel: Funnel,
    viewers: Ints,
    *,
    out: Path | None = None,
    stages: Sequence[str] | None = None,
    at_h: float | None = None,
    seed: int = 0,
    permutations: int = 8,
    shapley_viewers: int = 200,
    workers: int = 1,
    progress: Progress = SILENT,
) -> AblationReport:
    """Leave out the stages named, or each in turn.

    viewers: int32 [R]. out: a folder to keep results in, and to go on from. permutations: orders of stages that Shapley
    values are sampled from (0: none; an order and its reverse count as two). workers: threads, which share the world.
    ConfigError for a stage that is not there.
    """
    if permutations < 0 or workers < 1 or not viewers.size:
        where = "--permutations" if permutations < 0 else "--workers" if workers < 1 else "--viewers"
        raise ConfigError(where, "is too small — ask for at least one viewer and worker, and no negative number")
    scene = Scene(funnel.world, at_h, product=funnel.product)
    which, notes = variants(funnel, scene, stages)
    funnel.ensure_trained(progress=progress)
    viewers = np.unique(viewers).astype(np.int32)
    with TemporaryDirectory() as folder:
        work = _Work(funnel, scene, viewers, out if out is not None else Path(folder), seed, progress)
        outcomes = work.outcomes(which, workers)
        shares = None
        if permutations and scene.has_truth and stages is None:
            some = viewers[: max(1, shapley_viewers)]
            shares = shapley_values(
                funnel, some, scene, seed=seed, permutations=permutations, size=work.size,
                file=work.out / "shapley.json", progress=progress,
            )  # fmt: skip
        report = work.report(which, outcomes, shares, notes)
        if out is not None:
            _write(out, report)
    return report


class _Work:
    """One ablation: the folder, the judge of its viewers, and the parts that are done."""

    def __init__(self, funnel: Funnel, scene: Scene, viewers: Ints, out: Path, seed: int, progress: Progress) -> None:
        self.funnel = funnel
        self.out = out
        self.seed = seed
        self.progress = progress
        claim(out, _manifest(funnel, scene, viewers, seed))
        reference = Reference.kept(
            out / "reference", scene, viewers, size=scene.product.page_size, seed=seed, progress=progress
        )
        self.judge = Judge(scene, viewers, reference, later_lists(scene, viewers), seed)
        self.view = funnel.world.view(scene.at_h, assets=funnel.assets_at(scene.at_h))
        self.size = _page_size(funnel, viewers, self.view, seed)
        self.parts = [viewers[first : first + PART_VIEWERS] for first in range(0, viewers.size, PART_VIEWERS)]

    def outcomes(self, which: Sequence[Variant], workers: int) -> dict[str, Outcome]:
        """The outcome of the whole funnel (`all`) and of each variant, computed where it is not there yet."""
        names = [BASE, *(one.name for one in which)]
        with self.progress.bar("leaving stages out", len(names) * len(self.parts)) as bar:
            for _ in _in_parallel([lambda n=n: self._part(n, which, bar) for n in range(len(self.parts))], workers):
                pass
        return {
            name: joined([Outcome.load(self._file(name, number)) for number in range(len(self.parts))])
            for name in names
        }

    def report(
        self, which: Sequence[Variant], outcomes: dict[str, Outcome], shares: Shares | None, notes: list[str]
    ) -> AblationReport:
        """Differences of each variant from the whole funnel."""
        scene = self.judge.scene
        base = outcomes[BASE]
        resamples = Resamples.of(len(base), seed=self.seed)
        known = measure(base, scene)
        sorted_by = VALUE if scene.has_truth else SUBSTITUTE
        found = []
        with self.progress.bar("intervals", len(which)) as bar:
            for one in which:
                outcome = outcomes[one.name]
                pages, modules = changed(base, outcome)
                difference = effects(known, measure(outcome, scene), resamples)
                found.append(Ablation(one.name, one.stage, one.kind, one.how, pages, modules, difference))
                bar.advance()
        found = _corrected_over_variants(found, sorted_by)

        def loss(one: Ablation) -> float:
            effect = one.effect(sorted_by)
            return effect.difference if effect is not None and effect.difference == effect.difference else 0.0

        found.sort(key=lambda one: (loss(one), one.variant))
        reference = self.judge.reference
        return AblationReport(
            funnel=self.funnel.name,
            world=self.funnel.world.name,
            seed=self.seed,
            viewers=len(base),
            sorted_by=sorted_by,
            base=means(known),
            chance=means(measure(self.judge.with_chronological(reference.chance), scene)),
            best=means(measure(self.judge.with_chronological(reference.best), scene)) if reference.best else {},
            ablations=found,
            shares=shares,
            notes=notes,
        )

    def _part(self, number: int, which: Sequence[Variant], bar: Bar) -> None:
        """All variants for one part's viewers; they share what is remembered."""
        slots = {slot.name: slot for slot in remembering(self.funnel.stages)}
        for name, funnel in [(BASE, self.funnel), *((one.name, one.funnel) for one in which)]:
            file = self._file(name, number)
            if not whole(file):
                shared = [
                    replace(slot, part=slots[slot.name].part)
                    if slot.part is self._own(slot.name)
                    else slot
                    for slot in funnel.stages
                ]  # fmt: skip
                made = with_stages(funnel, shared, funnel.name)
                outcome = collect(
                    made, self.parts[number], scene=self.judge.scene, seed=self.seed, size=self.size,
                    looks=self.judge.looks(made), view=self.view, known_as=funnel.hash,
                )  # fmt: skip
                self.judge.with_chronological(outcome).save(file)
            bar.advance()
        forget(tuple(slots.values()))

    def _own(self, name: str) -> object:
        """The funnel's own stage of that name, which its variants share."""
        return next((slot.part for slot in self.funnel.stages if slot.name == name), None)

    def _file(self, variant: str, number: int) -> Path:
        return self.out / "parts" / slug(variant) / f"part-{number:05d}.safetensors"


def changed(base: Outcome, other: Outcome) -> tuple[float, float]:
    """Shares of viewers whose page has other tweets or another order, and of those with another number of modules."""
    same_length = base.counts == other.counts
    differs = ~same_length
    width = int(max(base.counts.max(initial=0), other.counts.max(initial=0), 1))
    pages = np.full((2, len(base), width), -1, np.int64)
    for side, outcome in enumerate((base, other)):
        pages[side, outcome.request, outcome.place] = outcome.page["tweet"]
    differs |= (pages[0] != pages[1]).any(axis=1)
    modules = base.per_viewer["modules"] != other.per_viewer["modules"]
    return float(differs.mean()), float(modules.mean())


def means(measures: Measures) -> dict[str, float]:
    """Every metric as one number: the mean over viewers, the statistic, or the number; without those that are NaN."""
    found: dict[str, float] = {}
    for name, values in measures.viewers.items():
        known = values[~np.isnan(values)]
        if known.size:
            found[name] = float(known.mean())
    size = next((values.size for values in measures.viewers.values()), 0)
    once = np.ones((1, size))
    found |= {name: float(statistic(once)[0]) for name, statistic in measures.statistics.items()}
    return {name: value for name, value in (found | dict(measures.numbers)).items() if np.isfinite(value)}


def whole(file: Path) -> bool:
    """Whether a part is there and readable."""
    try:
        Outcome.load(file)
    except DataError:
        return False
    return True


def _corrected_over_variants(found: list[Ablation], metric: str) -> list[Ablation]:
    """The metric that everything is sorted by is one question asked of each variant: Holm over the variants."""
    asked = [effect for one in found if (effect := one.effect(metric)) is not None]
    answers = iter(corrected(asked))
    return [
        replace(one, effects=[next(answers) if effect.metric == metric else effect for effect in one.effects])
        for one in found
    ]


def _page_size(funnel: Funnel, viewers: Ints, view: PlatformView, seed: int) -> int:
    """Tweets on a page of the whole funnel: variants without its last cut get pages of the same length."""
    from funnel.core.batch import Requests

    requests = Requests.of(viewers[:32], view.now_h, view, seed=seed)
    return max(1, int(funnel.run_batch(requests, detail=False).page.counts.max(initial=1)))


def _manifest(funnel: Funnel, scene: Scene, viewers: Ints, seed: int) -> dict[str, object]:
    """What decides the bytes of every part."""
    return {
        "experiment": "ablate",
        "funnel": funnel.name,
        "funnel_hash": funnel.hash,
        "learnt_hash": learnt_hash(funnel, scene.at_h),
        "world": funnel.world.name,
        "world_hash": funnel.world.hash,
        "seed": seed,
        "at_h": scene.at_h,
        "viewers": int(viewers.size),
        "viewers_hash": hashlib.sha256(viewers.tobytes()).hexdigest()[:16],
        "version": __version__,
    }


def _write(out: Path, report: AblationReport) -> None:
    from funnel.experiment.files import write_rows
    from funnel.store import write_json

    write_rows(out / "effects.csv", report.table())
    write_json(out / "ablation.json", report.as_json())


def _in_parallel(jobs: Sequence[object], workers: int) -> Iterator[None]:
    """Do the jobs; an interruption or an error drops what has not begun."""
    calls = [job for job in jobs if callable(job)]
    if workers == 1 or len(calls) <= 1:
        for call in calls:
            yield call()
        return
    pool = ThreadPoolExecutor(workers)
    waiting: set[Future[None]] = {pool.submit(call) for call in calls}
    try:
        while waiting:
            # A timeout, because a wait without one cannot be interrupted on every platform.
            done, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)

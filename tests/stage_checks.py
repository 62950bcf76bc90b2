"""What every stage must do, as functions that ask one stage: each raises AssertionError if it does not.

    stage_classes("candidates", "my_package")     # every concrete stage and job in some packages
    workshop = Workshop(mini_world())             # makes assets and fits what learns, once
    stage = workshop.ready(MyStage)
    for check in CHECKS:
        check(stage, workshop)

`tests/test_every_stage.py` asks all shipped stages; a stage of your own can be asked in the same way.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import pkgutil
import random
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module

import numpy as np
from numpy.typing import ArrayLike
from pydantic import TypeAdapter, ValidationError

from funnel.core import rng
from funnel.core.arrays import Array
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import NotFittedError
from funnel.core.page import MixedPages
from funnel.core.stage import (
    BatchJob,
    Boost,
    Configured,
    Filter,
    Learned,
    Mixer,
    Scorer,
    Selector,
    Source,
    Stage,
    Taught,
)
from funnel.core.world import PlatformView, WorldTables
from funnel.features import FEATURES, assets_needed, hydrate
from tests.support import altered_after, fake_batch, one_request, shuffled_rows

# What a configuration of a test may be smaller in, by the name of the field: a world of thirty users needs little.
SMALL: dict[str, object] = {
    "epochs": 2,
    "max_epochs": 2,
    "max_examples": 4000,
    "batch_size": 256,
    "min_followers": 2,
    "min_signals": 1,
    "min_interest": 0.0,
    "min_score": 0.0,
    "max_age_h": 20.0,
    # Rules that concern few or none by default.
    "window_min": 2880.0,
    "authors": (0, 1, 2),
    "words": ("word0", "word1", "word2"),
    "min_delay_s": 10_000.0,
    "max_account_age_h": 20_000.0,
    "originals_percent": 20,
    "max_followers": 8,
    "cuts": {"*": 20},
    "min_favorites": 1,
    "min_degree": 0,
    "min_video_s": 0.0,
    "ttl_min": 600.0,
    "min_value": 0.5,
}
# Columns of other stages that stand for something: the values that they can have.
CODES: dict[str, tuple[float, ...]] = {"visibility.verdict": (-1.0, 1.0, 10.0, 16.0)}
# Candidates of the requests of most checks: many, one, none, some, two.
COUNTS = (80, 1, 0, 40, 2)
Answer = dict[str, Array]


# ---------------------------------------------------------------- finding, making, asking


def stage_classes(*packages: str) -> dict[str, type[Configured]]:
    """Every concrete stage and job that the modules of some packages define, by `name`."""
    found: dict[str, type[Configured]] = {}
    for module in (import_module(name) for package in packages for name in _module_names(package)):
        for _, member in inspect.getmembers(module, inspect.isclass):
            if issubclass(member, Configured) and member.__module__ == module.__name__:
                if inspect.isabstract(member) or member.__name__.startswith("_"):
                    continue
                name = member().name
                assert name not in found, f"two stages are called {name!r}: {found.get(name)} and {member}"
                found[name] = member
    return dict(sorted(found.items()))


def small(kind: type[Configured]) -> Configured:
    """The stage with default settings, but for those that `SMALL` names."""
    chosen = {name: SMALL[name] for name in _fields(kind) if name in SMALL}
    return kind(**chosen)


class Workshop:
    """A small world with everything that a stage may ask for: assets, fitted stages, batches with columns."""

    def __init__(self, world: WorldTables, jobs: Mapping[str, type[Configured]] | None = None) -> None:
        self.world = world
        self.jobs = jobs or {}
        self._ready: dict[type[Configured], Configured] = {}
        # Requests in the middle of the world's time, so that there is a future to leak.
        self.now_h = 0.75 * world.meta.end_h
        self.later = altered_after(world, self.now_h)

    @cached_property
    def assets(self) -> dict[str, Array]:
        """What the jobs make of the world up to the moment of the requests."""
        made: dict[str, Array] = {}
        waiting = [small(kind) for kind in self.jobs.values()]
        while waiting:
            runnable = [job for job in waiting if isinstance(job, BatchJob) and set(job.requires) <= set(made)]
            assert runnable, f"jobs wait for assets that nobody makes: {[job.name for job in waiting]}"
            for job in runnable:
                made |= job.run(PlatformView(self.world, self.now_h, assets=made), seed=0)
                waiting.remove(job)
        return made

    @cached_property
    def view(self) -> PlatformView:
        """The world at its end; requests are earlier."""
        return PlatformView(self.world, self.world.meta.end_h, assets=self.assets)

    @cached_property
    def altered(self) -> PlatformView:
        """Another world with the same past up to the moment of the requests."""
        return PlatformView(self.later, self.world.meta.end_h, assets=self.assets)

    def ready(self, kind: type[Configured]) -> Configured:
        """A stage that has learnt what it has to learn; made once."""
        if kind not in self._ready:
            stage = small(kind)
            if isinstance(stage, Learned):
                stage.fit(PlatformView(self.world, self.now_h, assets=self.assets), seed=0)
            if isinstance(stage, Taught) and isinstance(stage, Stage):
                lesson = self.batch(stage, (80, 80, 80))
                stage.teach(lesson, (1 + lesson["tweet"] % 7).astype(np.float32), seed=0)
            self._ready[kind] = stage
        return self._ready[kind]

    def requests(self, *viewers: int, view: PlatformView | None = None, now_h: ArrayLike | None = None) -> Requests:
        """Requests of some viewers, or of every fourth user and the one who follows nobody."""
        users = self.world.count("users")
        asked = list(viewers) or [*range(0, users - 1, 4), users - 1]
        return Requests.of(asked, self.now_h if now_h is None else now_h, self.view if view is None else view)

    def batch(self, stage: Stage, counts: tuple[int, ...] = COUNTS, *, seed: int = 0) -> CandidateBatch:
        """Random candidates, of requests at several moments, with exactly the columns that the stage says it needs."""
        return with_needs(stage, fake_batch(counts, view=self.view, now_h=self.moments(len(counts)), seed=seed))

    def moments(self, count: int) -> Array:
        """float64 [R]: the moment of the workshop and two earlier ones, in turn."""
        return self.now_h * np.array([1.0, 0.8, 0.9])[np.arange(count) % 3]


def with_needs(stage: Stage, batch: CandidateBatch) -> CandidateBatch:
    """The batch with `tweet`, `author` and what the stage needs, and nothing else.

    Columns of other stages (`value`, `p.favorite`, …) are made up from (viewer, tweet) in quarters, so that there
    are ties and so that a candidate's numbers do not depend on its place.
    """
    batch = hydrate(batch, [name for name in stage.needs if name in FEATURES])
    made_up: dict[str, Array] = {}
    for name in stage.needs:
        if name not in batch:
            drawn = rng.uniform(0, f"made up {name}", batch.viewer, batch["tweet"])
            quarter = np.ceil(drawn * 4)
            made_up[name] = drawn < 0.5 if name.startswith("from.") else (quarter / 4).astype(np.float32)
            if name in CODES:
                made_up[name] = np.asarray(CODES[name], np.float32)[quarter.astype(np.int64) - 1]
    return batch.with_columns(made_up).only(tuple(dict.fromkeys(("tweet", "author", *stage.needs))))


def answer(stage: Configured, given: CandidateBatch | Requests) -> Answer:
    """What a stage says, whatever its kind, as named arrays."""
    if isinstance(stage, Source):
        assert isinstance(given, Requests)
        found = stage.retrieve(given)
        return {"offsets": found.offsets, **{name: found[name] for name in found.names}}
    assert isinstance(given, CandidateBatch)
    if isinstance(stage, Filter):
        return {"keep": stage.keep(given)}
    if isinstance(stage, Boost):
        return {"factor": stage.factor(given)}
    if isinstance(stage, Selector):
        return {"order": stage.order(given)}
    if isinstance(stage, Mixer):
        return {"modules": np.array([_digest(page) for page in stage.insert(MixedPages.of(given)).modules], np.int64)}
    assert isinstance(stage, Scorer), f"{stage!r} is no kind of stage that these checks know"
    return stage.score(given)


# ---------------------------------------------------------------- configuration


def check_made_without_settings(kind: type[Configured]) -> None:
    """Defaults make a working stage; its class is called as its name says."""
    stage = kind()
    assert kind.__name__.lower() == stage.name.replace("_", ""), f"{kind.__name__} is not {stage.name!r} in CamelCase"


def check_documented(kind: type[Configured]) -> None:
    """The class and every field of it say what they are."""
    text = kind.__dict__.get("__doc__") or ""
    assert text.strip(), f"{kind.__name__} has no docstring"
    assert not text.startswith(f"{kind.__name__}("), f"{kind.__name__} has only the docstring that dataclasses make"
    module = inspect.getmodule(kind)
    assert module is not None
    assert (module.__doc__ or "").strip(), f"{module.__name__} has no docstring"
    commented = _attribute_docstrings(kind)
    for name, field in _fields(kind).items():
        assert field or name in commented, f"{kind.__name__}.{name} has no description"


def check_unknown_setting_is_refused(kind: type[Configured]) -> None:
    """A setting that does not exist is an error, from Python and from a file."""
    nonsense: dict[str, object] = {"no_such_setting": 1}
    makers: tuple[Callable[[], object], ...] = (
        lambda: kind(**nonsense),
        lambda: TypeAdapter(kind).validate_python(nonsense),
    )
    for make in makers:
        try:
            make()
        except (ValidationError, TypeError):
            continue
        raise AssertionError(f"{kind.__name__} takes a setting that it does not have")


def check_settings_round_trip(kind: type[Configured]) -> None:
    """Settings written as plain data and read again give an equal stage."""
    adapter = TypeAdapter(kind)
    for stage in (kind(), small(kind)):
        again = adapter.validate_json(adapter.dump_json(stage))
        assert again == stage, f"{stage!r} comes back as {again!r}"


CONFIGURATION_CHECKS: tuple[Callable[[type[Configured]], None], ...] = (
    check_made_without_settings,
    check_documented,
    check_unknown_setting_is_refused,
    check_settings_round_trip,
)


# ---------------------------------------------------------------- every stage with candidates


def check_answers_have_their_shape(stage: Stage, workshop: Workshop) -> None:
    """Right names, dtypes, lengths; finite; factors above 0; for n = 0, 1, 2 and more, R = 0, 1, 2 and more."""
    if isinstance(stage, Source):
        return
    for counts in ((), (0,), (1,), (2,), (0, 0), (1, 1), (0, 2), COUNTS):
        batch = workshop.batch(stage, counts)
        if isinstance(stage, Mixer):
            _check_mixed(stage, batch)
            continue
        said = answer(stage, batch)
        wanted = {"filter": ("keep",), "boost": ("factor",), "selector": ("order",), "mixer": ("modules",)}.get(
            stage.kind, stage.adds
        )
        assert set(said) == set(wanted), f"{stage.name} gives {sorted(said)}, wants {sorted(wanted)}"
        for name, values in said.items():
            _check_column(stage, batch, name, values)


def _check_mixed(stage: Mixer, batch: CandidateBatch) -> None:
    """The tweets are as they were, and modules stand at places that there are, each at its own, in order."""
    given = MixedPages.of(batch)
    mixed = stage.insert(given)
    assert mixed.tweets is given.tweets, f"{stage.name} changes the tweets"
    for request in range(len(batch.requests)):
        places = [known.place for known in mixed.modules[request]]
        assert places == sorted(set(places)), f"{stage.name}: places {places}"
        assert not places or 0 <= places[0] <= places[-1] < mixed.length(request), f"{stage.name}: places {places}"
        rows = [entry for entry in mixed.entries(request) if isinstance(entry, int)]
        assert rows == list(range(batch.offsets[request], batch.offsets[request + 1])), f"{stage.name} moves tweets"


def _digest(modules: object) -> int:
    return int.from_bytes(hashlib.blake2b(repr(modules).encode(), digest_size=7).digest(), "little")


def _check_column(stage: Stage, batch: CandidateBatch, name: str, values: Array) -> None:
    dtype = {"keep": np.bool_, "order": np.int64}.get(name, np.float32)
    assert values.dtype == dtype, f"{stage.name}: {name} is {values.dtype}, wants {np.dtype(dtype)}"
    if name == "order":
        batch.take(values)  # raises if requests are mixed
        assert np.unique(values).size == values.size, f"{stage.name} shows a row twice"
        return
    assert values.shape == (len(batch),), f"{stage.name}: {name} has shape {values.shape} for {len(batch)} rows"
    if values.dtype == np.float32:
        assert bool(np.isfinite(values).all()), f"{stage.name}: {name} is not finite"
    if name == "factor":
        assert bool((values > 0).all()), f"{stage.name} has a factor that is not above 0"


def check_same_question_same_answer(stage: Stage, workshop: Workshop) -> None:
    """No hidden state, no global randomness."""
    given = _question(stage, workshop)
    said = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 — to catch those who use it
        said.append(answer(stage, given))
    _assert_equal(stage, "asked twice", *said)


def check_nothing_given_is_changed(stage: Stage, workshop: Workshop) -> None:
    """Columns, requests, assets and the world's tables are as they were."""
    given = _question(stage, workshop)
    before = {name: values.copy() for name, values in _everything(given, workshop)}
    answer(stage, given)
    for name, values in _everything(given, workshop):
        assert _same(values, before[name]), f"{stage.name} changes {name}"


def check_order_of_rows_does_not_matter(stage: Stage, workshop: Workshop) -> None:
    """Rows in another order get the same answers, each its own; a selector makes the same page."""
    if isinstance(stage, Source | Mixer):  # to a mixer the order of rows is the page
        return
    batch = workshop.batch(stage)
    rows = shuffled_rows(batch)
    first, second = answer(stage, batch), answer(stage, batch.take(rows))
    if isinstance(stage, Selector):
        first, second = {"page": batch["tweet"][first["order"]]}, {"page": batch["tweet"][rows][second["order"]]}
    else:
        first = {name: values[rows] for name, values in first.items()}
    _assert_equal(stage, "with rows in another order", first, second)


def check_requests_are_isolated(stage: Stage, workshop: Workshop) -> None:
    """A request alone gets what it gets in company."""
    if isinstance(stage, Source):
        _check_source_isolated(stage, workshop)
        return
    batch = workshop.batch(stage)
    together = answer(stage, batch)
    for r in range(len(batch.requests)):
        begin, end = batch.offsets[r], batch.offsets[r + 1]
        alone = answer(stage, one_request(batch, r))
        if isinstance(stage, Selector):
            mine = together["order"][batch.request[together["order"]] == r]
            expected = {"order": mine - begin}
        elif isinstance(stage, Mixer):
            expected = {"modules": together["modules"][r : r + 1]}
        else:
            expected = {name: values[begin:end] for name, values in together.items()}
        _assert_equal(stage, f"for request {r} alone", expected, alone)


def check_company_does_not_matter(stage: Stage, workshop: Workshop) -> None:
    """Unless it is list-wise, a stage says the same of a candidate whoever stands beside it."""
    if isinstance(stage, Source | Selector | Mixer) or getattr(stage, "list_wise", False):
        return
    batch = workshop.batch(stage)
    together = answer(stage, batch)
    some = rng.stream(0, "company").random(len(batch)) < 0.4
    for rows in (np.flatnonzero(some), np.array([0]), np.array([len(batch) - 1])):
        fewer = answer(stage, batch.take(rows))
        _assert_equal(stage, "in other company", {name: values[rows] for name, values in together.items()}, fewer)


def check_the_future_does_not_matter(stage: Stage, workshop: Workshop) -> None:
    """What happens at or after the request's moment changes nothing, also if the view reaches further."""
    if isinstance(stage, Source):
        said = [answer(stage, workshop.requests(view=view)) for view in (workshop.view, workshop.altered)]
    else:
        plain = fake_batch(COUNTS, view=workshop.view, now_h=workshop.now_h)
        other = Requests(plain.requests.viewer, plain.requests.now_h, workshop.altered)
        moved = CandidateBatch(other, plain.offsets, {name: plain[name] for name in plain.names})
        said = [answer(stage, with_needs(stage, batch)) for batch in (plain, moved)]
    _assert_equal(stage, "with another future", *said)


def check_what_was_learnt_can_be_stored(stage: Stage, workshop: Workshop) -> None:
    """`state` and `restore` make an equal stage; before `fit` there is nothing to give."""
    if not isinstance(stage, Learned | Taught):
        return
    fresh = TypeAdapter(type(stage)).validate_json(TypeAdapter(type(stage)).dump_json(stage))
    for attempt in (fresh.state, lambda: answer(fresh, _question(stage, workshop))):
        try:
            attempt()
        except NotFittedError:
            continue
        raise AssertionError(f"{stage.name} answers before it learnt; wants NotFittedError")
    stored = {name: np.array(values, copy=True) for name, values in stage.state().items()}
    for name, values in stored.items():
        assert values.dtype.kind in "biuf", f"{stage.name}: {name} is {values.dtype}, which no checkpoint holds"
    fresh.restore(stored)
    _assert_equal(stage, "after restore", dict(stage.state()), dict(fresh.state()))
    given = _question(stage, workshop)
    _assert_equal(stage, "after restore", answer(stage, given), answer(fresh, given))


def check_assets_are_declared(stage: Stage, workshop: Workshop) -> None:
    """With the assets that `requires` and its features name, and no others, the stage still works."""
    declared = {*stage.requires, *assets_needed(stage.needs)}
    unknown = declared - set(workshop.assets)
    assert not unknown, f"{stage.name} wants assets that no job makes: {sorted(unknown)}"
    assets = {name: workshop.assets[name] for name in declared}
    view = PlatformView(workshop.world, workshop.world.meta.end_h, assets=assets)
    if isinstance(stage, Source):
        answer(stage, workshop.requests(view=view))
    else:
        answer(stage, with_needs(stage, fake_batch((5, 2), view=view, now_h=workshop.now_h)))


# ---------------------------------------------------------------- sources


def check_candidates_exist_and_are_there_once(stage: Stage, workshop: Workshop) -> None:
    """Columns, dtypes, ids in range, written before the request, each once, no protected author out of network."""
    if not isinstance(stage, Source):
        return
    requests = workshop.requests()
    found = stage.retrieve(requests)
    assert set(found.names) == {"tweet", "source_score"}, f"{stage.name} gives columns {found.names}"
    tweet, score = found["tweet"], found["source_score"]
    assert tweet.dtype == np.int32, f"{stage.name}: tweet is {tweet.dtype}, wants int32"
    assert score.dtype == np.float32, f"{stage.name}: source_score is {score.dtype}, wants float32"
    assert bool(np.isfinite(score).all()), f"{stage.name}: source_score is not finite"
    assert bool((tweet >= 0).all()), f"{stage.name} finds a negative tweet id"
    known = workshop.view.tweets_before(found.now_h)
    assert bool((tweet < known).all()), f"{stage.name} finds a tweet that is not yet written"
    pairs = (found.request << 32) | tweet
    assert np.unique(pairs).size == pairs.size, f"{stage.name} finds a tweet twice for one request"
    seen = hydrate(found, ("protected_hidden",))
    assert not bool(seen["protected_hidden"].any()), f"{stage.name} finds protected tweets of authors not followed"


def check_anybody_may_ask_at_any_moment(stage: Stage, workshop: Workshop) -> None:
    """A viewer who follows nobody, a moment before the first tweet, and no requests at all have defined answers."""
    if not isinstance(stage, Source):
        return
    loner = workshop.world.count("users") - 1
    for requests in (workshop.requests(loner), workshop.requests(0, loner, now_h=0.0)):
        found = stage.retrieve(requests)
        assert len(found.requests) == len(requests)
        assert bool((found["tweet"] < workshop.view.tweets_before(found.now_h)).all())
    nobody = Requests.of([], workshop.now_h, workshop.view)
    assert len(stage.retrieve(nobody)) == 0, f"{stage.name} finds candidates for nobody"


def _check_source_isolated(stage: Source, workshop: Workshop) -> None:
    users = workshop.world.count("users")
    viewers = [*range(0, users, 3), users - 1]
    moments = workshop.moments(len(viewers))
    together = stage.retrieve(workshop.requests(*viewers, now_h=moments))
    for r, viewer in enumerate(viewers):
        rows = slice(int(together.offsets[r]), int(together.offsets[r + 1]))
        alone = stage.retrieve(workshop.requests(viewer, now_h=moments[r]))
        expected = {name: together[name][rows] for name in together.names}
        found = {name: alone[name] for name in together.names}
        _assert_equal(stage, f"for viewer {viewer} alone", _by_tweet(expected), _by_tweet(found))


def _by_tweet(columns: Answer) -> Answer:
    """In order of tweet: a source may give its candidates in any order."""
    order = np.argsort(columns["tweet"], kind="stable")
    return {name: values[order] for name, values in columns.items()}


def check_it_does_something(stage: Stage, workshop: Workshop) -> None:
    """A source finds, a filter keeps and removes, scores and factors vary: no law holds by silence."""
    if isinstance(stage, Source):
        assert int(stage.retrieve(workshop.requests()).counts.max()) > 1, f"{stage.name} finds nothing"
        return
    if isinstance(stage, Mixer):  # what a mixer waits for is rare in random pages; each has tests of its own
        return
    batch = workshop.batch(stage, (90, 90, 90, 90, 90, 90))
    for name, values in answer(stage, batch).items():
        assert np.unique(values).size > 1, f"{stage.name}: {name} is {values[0]} for all of {len(batch)} candidates"


CHECKS: tuple[Callable[[Stage, Workshop], None], ...] = (
    check_same_question_same_answer,
    check_nothing_given_is_changed,
    check_order_of_rows_does_not_matter,
    check_requests_are_isolated,
    check_company_does_not_matter,
    check_the_future_does_not_matter,
    check_what_was_learnt_can_be_stored,
    check_assets_are_declared,
    check_candidates_exist_and_are_there_once,
    check_anybody_may_ask_at_any_moment,
    check_answers_have_their_shape,
    check_it_does_something,
)


# ---------------------------------------------------------------- jobs


def check_job_makes_what_it_says(job: BatchJob, workshop: Workshop) -> None:
    """Assets `<job>.<what>`, finite, of types that can be stored."""
    made = _run(job, PlatformView(workshop.world, workshop.now_h, assets=workshop.assets))
    assert set(made) == set(job.provides), f"{job.name} makes {sorted(made)}, says {sorted(job.provides)}"
    for name, values in made.items():
        assert name.startswith(f"{job.name}."), f"{name} should start with {job.name}."
        assert values.dtype.kind in "biuf", f"{name} is {values.dtype}, which no checkpoint holds"
        assert values.dtype.kind != "f" or bool(np.isfinite(values).all()), f"{name} is not finite"


def check_job_is_reproducible(job: BatchJob, workshop: Workshop) -> None:
    """The same seed and the same past give the same bytes, whatever comes later."""
    assets = workshop.assets
    first = _run(job, PlatformView(workshop.world, workshop.now_h, assets=assets))
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 — to catch those who use it
    _assert_equal(job, "run again", first, _run(job, PlatformView(workshop.world, workshop.now_h, assets=assets)))
    later = _run(job, PlatformView(workshop.later, workshop.now_h, assets=assets))
    _assert_equal(job, "with another future", first, later)


JOB_CHECKS: tuple[Callable[[BatchJob, Workshop], None], ...] = (check_job_makes_what_it_says, check_job_is_reproducible)


# ---------------------------------------------------------------- helpers


def _run(job: BatchJob, view: PlatformView) -> Answer:
    return job.run(view, seed=0)


def _question(stage: Stage, workshop: Workshop) -> CandidateBatch | Requests:
    return workshop.requests() if isinstance(stage, Source) else workshop.batch(stage)


def _everything(given: CandidateBatch | Requests, workshop: Workshop) -> Iterator[tuple[str, Array]]:
    """Every array that a stage can reach."""
    requests = given if isinstance(given, Requests) else given.requests
    yield from (("requests.viewer", requests.viewer), ("requests.now_h", requests.now_h))
    if isinstance(given, CandidateBatch):
        yield from ((f"column {name!r}", given[name]) for name in given.names)
    yield from ((f"asset {name!r}", values) for name, values in workshop.assets.items())
    read = ("users", "follows", "tweets", "impressions", "engagements", "feedback", "tweet_words")
    for table in (*read, "notifications", "notification_actions", "tweet_labels", "user_labels", "subscriptions"):
        yield from ((f"{table}.{name}", values) for name, values in workshop.world.table(table).items())


def _same(first: Array, second: Array) -> bool:
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    return bool(np.array_equal(first, second, equal_nan=first.dtype.kind == "f"))


def _assert_equal(stage: Configured, when: str, first: Answer, second: Answer) -> None:
    assert set(first) == set(second), f"{stage.name} {when}: {sorted(first)} becomes {sorted(second)}"
    for name, values in first.items():
        assert _same(values, second[name]), f"{stage.name} {when}: {name} differs"


def _module_names(package: str) -> Iterator[str]:
    module = import_module(package)
    yield package
    for found in pkgutil.walk_packages(module.__path__, f"{package}."):
        if not found.name.rpartition(".")[2].startswith("_"):
            yield found.name


def _fields(kind: type[Configured]) -> dict[str, str]:
    """Fields of the configuration and their descriptions ("" if there is none)."""
    assert dataclasses.is_dataclass(kind), f"{kind.__name__} is no dataclass"
    declared = getattr(kind, "__pydantic_fields__", None)
    assert declared is not None, f"{kind.__name__} is no pydantic dataclass"
    return {name: field.description or "" for name, field in declared.items()}


def _attribute_docstrings(kind: type[Configured]) -> set[str]:
    """Names of the fields with a string under them."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        first.target.id
        for first, second in zip(body.body, body.body[1:], strict=False)
        if isinstance(first, ast.AnnAssign)
        and isinstance(first.target, ast.Name)
        and isinstance(second, ast.Expr)
        and isinstance(second.value, ast.Constant)
        and isinstance(second.value.value, str)
    }

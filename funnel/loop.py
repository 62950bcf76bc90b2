"""The closed loop: days on which a funnel serves a world that reacts, writes, follows and changes because of it.

    RUN_DIR/manifest.json          what was asked (configuration, seed, hashes), status, number of finished days
    RUN_DIR/metrics.jsonl          one line a finished day
    RUN_DIR/days/day-000/…         what came to be on that day: pages, impressions, engagements, feedback, follows,
                                   tweets, tweet_words and users as Parquet (rows that are new), truth and learnt
                                   (safetensors: the truth at midnight, what jobs and stages had learnt), metrics.json;
                                   what another funnel beside showed and learnt has its product's name at its end
    RUN_DIR/timings.json           seconds a day; the only file that differs between equal runs

A day has ticks of an hour. At a tick's moment whoever comes is served a page, from what the platform has seen before
it; the reactions, and all that is written, fall between it and the next. A page of notifications has one tweet or none,
and its log is `notifications`; meanwhile people read timelines as they always did, or those of a funnel beside. At
midnight interests drift, people join, the batch jobs run on everything so far and, when told, every stage that learns
is fitted again. A day's folder is renamed into place when it is whole, and the next day depends on nothing but such
folders: a run that was interrupted goes on after its last finished day and ends with the same bytes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from funnel import __version__
from funnel.core.arrays import Array, Bools, Ints
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, DataError
from funnel.core.products import PRODUCTS, PUSH, TIMELINE, Product
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import BatchJob, Filter, Learned, Taught
from funnel.core.tables import SERVED, TABLES, TWEET_KINDS
from funnel.core.world import Future, FutureOfProducts, PlatformView, WorldTables
from funnel.features import FEATURES, hydrate
from funnel.pipeline import Funnel
from funnel.store import (
    load_arrays,
    read_json,
    read_table,
    save_arrays,
    write_atomically,
    write_json,
    write_table,
    writing,
)
from funnel.train import distil, teachers

TICK_H = 1.0
DAY_H = 24.0
MICRO_BATCH = 32
MANIFEST, METRICS, LINES = "manifest.json", "metrics.json", "metrics.jsonl"
RUNNING, COMPLETE = "running", "complete"
_PAGE_COLUMNS = ("in_network", "age_h", "value", "score")
_KIND = "notification_kind"  # the feature that says why somebody is notified
_TOP_SHARE = 0.01
_TO_PRODUCT = " to notifications — use a generated world"


@dataclass(frozen=True)
class LoopRun:
    """A finished run: where it is, its manifest, a row of metrics for each day, and how many days were there before."""

    path: Path
    manifest: dict[str, object]
    days: list[dict[str, object]]
    seconds: float
    resumed_days: int


@dataclass(frozen=True)
class Switch:
    """After so many days another funnel serves the same world: what the first one has changed in it remains."""

    after_days: int
    funnel: Funnel


@dataclass
class _Service:
    """A funnel at work in the loop, and how people react to its product; mark: ends the names of its files."""

    funnel: Funnel
    future: Future
    mark: str = ""
    per_day: float | None = None
    asked: int = 0

    @property
    def product(self) -> Product:
        """What it makes."""
        return self.funnel.product


@dataclass
class _Grown:
    """New rows of a day by table, in the order in which they came."""

    parts: dict[str, list[Mapping[str, Array]]]

    def add(self, table: str, rows: Mapping[str, Array]) -> None:
        if next(iter(rows.values())).size:
            self.parts.setdefault(table, []).append(rows)

    def columns(self, table: str) -> dict[str, Array]:
        parts = self.parts.get(table, [])
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def loop_to(
    funnel: Funnel,
    out: Path,
    *,
    days: int,
    seed: int = 0,
    viewers_per_day: float | None = None,
    retrain_every_days: int | None = None,
    beside: Funnel | None = None,
    switch: Switch | None = None,
    micro_batch: int = MICRO_BATCH,
    progress: Progress = SILENT,
) -> LoopRun:
    """Run the loop for some days after the world's end, and keep everything in the folder `out`.

    viewers_per_day: timelines (decisions) on an average day; as many as the log has if not given. retrain_every_days:
    fit what learns after every so many days; never if not given. beside: a funnel of another product that serves the
    same people in the same hours; each sees the other's log. switch: another funnel from some day on. Days that are
    there already are kept, also those beyond `days`; ConfigError if they are of another configuration, seed or world,
    or if nobody knows the world's truth.
    """
    began = time.perf_counter()
    _check(days, viewers_per_day, retrain_every_days, micro_batch)
    _check_switch(funnel, switch)
    future, services = _services(funnel, beside, seed, viewers_per_day)
    manifest = _manifest(funnel, beside, seed, viewers_per_day, retrain_every_days)
    if switch is not None:
        then = {"after_days": switch.after_days, "funnel": switch.funnel.name, "funnel_hash": switch.funnel.hash}
        manifest["then"] = then
        switch.funnel.ensure_trained(progress=progress)
    _claim(out, manifest)
    for service in services:
        service.funnel.ensure_trained(progress=progress)
    loop = _Loop(services, future, out, seed=seed, retrain=retrain_every_days, size=micro_batch, switch=switch)
    resumed = loop.take_up()
    seconds: list[float] = []
    for day in range(resumed, days):
        started = time.perf_counter()
        loop.day(day, progress)
        seconds.append(round(time.perf_counter() - started, 3))
        _write_lines(out)
    rows = finished_days(out)
    complete = {**manifest, "days": len(rows), "status": COMPLETE}
    _write_lines(out)
    write_json(out / "timings.json", {"seconds_of_days": seconds, "days_resumed": resumed})
    write_json(out / MANIFEST, complete)
    return LoopRun(out, complete, rows, time.perf_counter() - began, resumed)


def _services(
    funnel: Funnel, beside: Funnel | None, seed: int, per_day: float | None
) -> tuple[Future, tuple[_Service, ...]]:
    """(how the world goes on, the funnels at work, the first the one that the run is about).

    ConfigError if nobody knows how people react.
    """
    world = funnel.world
    if beside is None:
        alone = world.future(seed=seed, product=funnel.product)
        if alone is None:
            what = "wants a world with truth: nobody knows how people here react"
            raise ConfigError(f"world {world.name!r}", what + ("" if funnel.product is TIMELINE else _TO_PRODUCT))
        return alone, (_Service(funnel, alone, per_day=per_day),)
    if beside.product is funnel.product:
        what = f"makes {beside.product.pages}, as {funnel.name!r} does — only another product can be served beside"
        raise ConfigError(f"--beside {beside.name}", what)
    future = world.future(seed=seed)
    found: list[_Service] = []
    for one in (funnel, beside):
        own = future.of(one.product) if isinstance(future, FutureOfProducts) else None
        if future is None or own is None:
            what = "wants a world with truth: nobody knows how people here react" + _TO_PRODUCT
            raise ConfigError(f"world {world.name!r}", what)
        main = one is funnel
        found.append(_Service(one, own, "" if main else f"_{one.product.name}", per_day if main else None))
    assert future is not None
    return future, tuple(found)


class _Loop:
    """The world as it has become, and the funnels as they have learnt."""

    def __init__(
        self,
        services: tuple[_Service, ...],
        future: Future,
        out: Path,
        *,
        seed: int,
        retrain: int | None,
        size: int,
        switch: Switch | None,
    ) -> None:
        self.services = services
        self.main = services[0]
        self.first = self.main.funnel
        self.switch = switch
        self.future = future
        self.out = out
        self.seed = seed
        self.retrain = retrain
        self.size = size
        self.begin_h = self.main.funnel.world.meta.end_h
        self.world = self.main.funnel.world.tables

    def take_up(self) -> int:
        """Go to the end of the last finished day; how many days there are."""
        day = 0
        learnt: dict[str, Path] = {}
        while (_folder(self.out, day) / METRICS).exists():
            folder = _folder(self.out, day)
            rows = {name: read_table(folder / f"{name}.parquet") for name in TABLES if _has(folder, name)}
            self.world = self.world.grown(rows, end_h=self.begin_h + DAY_H * (day + 1))
            for service in self.services:
                if (folder / f"models{service.mark}.safetensors").exists():
                    learnt[service.mark] = folder / f"models{service.mark}.safetensors"
            day += 1
            if self._serve_from(day):
                learnt.pop(self.main.mark, None)
        if day:
            last = _folder(self.out, day - 1)
            truth, _ = load_arrays(last / "truth.safetensors")
            self.future.restore(self.world, truth)
            for service in self.services:
                service.funnel.assets, _ = load_arrays(last / f"assets{service.mark}.safetensors")
        for service in self.services:
            if service.mark in learnt:
                _restore_models(service.funnel, learnt[service.mark])
        return day

    def _serve_from(self, day: int) -> bool:
        """Let the funnel serve whose turn it is on a day; whether that is another one than before."""
        before = self.main.funnel
        switched = self.switch is not None and day >= self.switch.after_days
        self.main.funnel = self.switch.funnel if switched and self.switch is not None else self.first
        return self.main.funnel is not before

    def day(self, day: int, progress: Progress) -> None:
        """Live through a day and write it down."""
        begin_h = self.begin_h + DAY_H * day
        grown, pages = _Grown({}), _Grown({})
        for service in self.services:
            service.asked = 0
        ticks = round(DAY_H / TICK_H)
        with progress.bar(f"day {day + 1}", ticks) as bar:
            for tick in range(ticks):
                self._tick(begin_h + TICK_H * tick, begin_h + TICK_H * (tick + 1), grown, pages)
                bar.advance()
        metrics = _metrics(day, self.main, self.world, grown, pages)
        for service in self.services[1:]:
            metrics |= {service.product.name: _metrics(day, service, self.world, grown, pages)}
        end_h = begin_h + DAY_H
        self._grow(self.future.night(self.world, begin_h, end_h), end_h, grown)
        metrics |= {"newcomers": int(grown.columns("users").get("handle", np.empty(0)).size)}
        self._serve_from(day + 1)
        models = {service.mark: self._learn(service, day, end_h, progress) for service in self.services}
        self._write(day, grown, pages, models, metrics)

    def _tick(self, now_h: float, end_h: float, grown: _Grown, pages: _Grown) -> None:
        for service in self.services:
            viewers = service.future.visitors(self.world, now_h, end_h, per_day=service.per_day)
            service.asked += int(viewers.size)
            page = self._serve(service, viewers, now_h)
            shown = _log_rows(page, self.world, service.product)
            expected = self._expected(service, shown)
            rows, glad = service.future.react(self.world, shown, now_h, end_h)
            pages.add(f"pages{service.mark}", {**page, "satisfaction": glad, **expected})
            self._grow({service.product.shown: shown, **rows}, end_h, grown)

    def _expected(self, service: _Service, shown: Mapping[str, Array]) -> dict[str, Array]:
        """Columns `expected.<action>`: how likely it was at this moment; nothing of timelines, whose places tire."""
        if service.product is TIMELINE:
            return {}
        first = service.funnel.world
        oracle = first.oracle_grown(service.product, self.world, self.future.state())
        assert oracle is not None
        top = np.zeros(shown["viewer"].size, np.int32)
        p = oracle.probabilities(shown["viewer"], shown["tweet"], top, shown["time_h"])
        return {f"expected.{name}": np.array(p[:, code]) for name, code in service.product.action_code.items()}

    def _grow(self, rows: Mapping[str, Mapping[str, Array]], end_h: float, grown: _Grown) -> None:
        for name, columns in rows.items():
            grown.add(name, columns)
        self.world = self.world.grown(rows, end_h=end_h)

    def _serve(self, service: _Service, viewers: Ints, now_h: float) -> dict[str, Array]:
        """The pages of some viewers at one moment, a row for each tweet shown, those of a page together."""
        view = PlatformView(self.world, now_h, assets=service.funnel.assets)
        kind = (_KIND,) if "kind" in TABLES[service.product.shown].columns else ()
        parts: list[dict[str, Array]] = []
        viewers = viewers[reachable(service.funnel, Requests.of(viewers, now_h, view, seed=self.seed))]
        for begin in range(0, max(viewers.size, 1), self.size):
            requests = Requests.of(viewers[begin : begin + self.size], now_h, view, seed=self.seed)
            page = service.funnel.run_batch(requests, detail=False).page
            page = hydrate(page, ("in_network", "age_h", *kind))
            place = np.arange(len(page)) - np.repeat(page.offsets[:-1], page.counts)
            head: dict[str, Array] = {"viewer": page.viewer, "time_h": page.now_h, "position": place.astype(np.int16)}
            tweets: dict[str, Array] = {name: page[name] for name in ("tweet", "author", *_PAGE_COLUMNS, *kind)}
            parts.append(head | tweets)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _learn(self, service: _Service, day: int, end_h: float, progress: Progress) -> dict[str, Array] | None:
        """Run the batch jobs and, if it is the day for it, fit the stages, the taught ones last; what they learnt."""
        view = PlatformView(self.world, end_h)
        assets: dict[str, Array] = {}
        for slot in service.funnel.jobs:
            assert isinstance(slot.part, BatchJob)
            seen = PlatformView(self.world, slot.snapshot_h(end_h, end_h), assets=assets)
            assets |= slot.part.run(seen, seed=self.seed, progress=progress)
        service.funnel.assets = assets
        if self.retrain is None or (day + 1) % self.retrain:
            return None
        learnt: dict[str, Array] = {}
        for slot in service.funnel.stages:
            if isinstance(slot.part, Learned) and slot.trained_at is None:
                slot.part.fit(view.with_assets(assets), seed=self.seed, progress=progress)
                learnt |= {f"{slot.name}/{name}": values for name, values in slot.part.state().items()}
        for slot in service.funnel.stages:
            if isinstance(slot.part, Taught):
                stages = teachers(service.funnel.stages, slot)
                distil(slot, slot.part, stages, view.with_assets(assets), seed=self.seed, progress=progress)
                learnt |= {f"{slot.name}/{name}": values for name, values in slot.part.state().items()}
        return learnt

    def _write(
        self,
        day: int,
        grown: _Grown,
        pages: _Grown,
        models: Mapping[str, dict[str, Array] | None],
        metrics: dict[str, object],
    ) -> None:
        """The day's folder: first under another name, then, whole, in its place."""
        folder = _folder(self.out, day)
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)  # without metrics.json it is no finished day
        for name in grown.parts:
            columns = grown.columns(name)
            if name == "tweets":
                columns["text"] = _texts(columns["like"], self.main.funnel)
            write_table(partial / f"{name}.parquet", columns)
        for name in pages.parts:
            write_table(partial / f"{name}.parquet", pages.columns(name))
        save_arrays(partial / "truth.safetensors", self.future.state())
        for service in self.services:
            save_arrays(partial / f"assets{service.mark}.safetensors", service.funnel.assets)
            learnt = models[service.mark]
            if learnt is not None:
                save_arrays(partial / f"models{service.mark}.safetensors", learnt)
        write_json(partial / METRICS, metrics)
        with writing(folder):
            partial.rename(folder)


def reachable(funnel: Funnel, requests: Requests) -> Bools:
    """bool [R]: for whom anything can come through; False where a filter that asks of the request alone says no.

    Such a filter says the same of all candidates of a request (a cap, quiet hours, notifications turned off), so that
    its page stays empty whatever is retrieved: nothing need be.
    """
    found = np.ones(len(requests), np.bool_)
    asking = [slot.part for slot in funnel.stages if isinstance(slot.part, Filter) and not slot.part.list_wise]
    asking = [part for part in asking if part.needs and all(_of_request(name) for name in part.needs)]
    if not asking or not requests.view.tweets["author"].size:
        return found
    any_tweet = CandidateBatch.of(requests, np.ones(len(requests)), tweet=np.zeros(len(requests), np.int32))
    for part in asking:
        found &= part.keep(hydrate(any_tweet, part.needs))
    return found


def _of_request(name: str) -> bool:
    return name in FEATURES and FEATURES[name].per_request


def _restore_models(funnel: Funnel, path: Path) -> None:
    learnt, _ = load_arrays(path)
    for slot in funnel.stages:
        if isinstance(slot.part, Learned | Taught) and slot.trained_at is None:
            mark = f"{slot.name}/"
            slot.part.restore({key[len(mark) :]: learnt[key] for key in learnt if key.startswith(mark)})


def _texts(like: Ints, funnel: Funnel) -> Array:
    """object [n]: the words of the tweets whose form new ones take."""
    out = np.empty(like.size, object)
    out[:] = funnel.world.texts(like)
    return out


def _log_rows(page: Mapping[str, Array], world: WorldTables, product: Product) -> dict[str, Array]:
    """New rows of the product's log; pages that nothing was found for leave none."""
    before = world.table(product.shown).get("request", np.empty(0, np.int32))
    first = int(before[-1]) + 1 if before.size else 0
    starts = page["position"] == 0
    size = page["tweet"].size
    known = {
        "viewer": page["viewer"].astype(np.int32),
        "tweet": page["tweet"],
        "time_h": page["time_h"],
        "position": page["position"],
        "request": (first + np.cumsum(starts) - 1).astype(np.int32),
        "kind": page.get(_KIND, np.empty(0)).astype(np.int8),
        "arm": np.full(size, SERVED, np.int8),
        # The funnel is deterministic given its models: what it did not show, it would never have shown.
        "propensity": np.full(size, np.nan, np.float32),
    }
    return {name: known[name] for name in TABLES[product.shown].columns}


def _metrics(day: int, service: _Service, world: WorldTables, grown: _Grown, pages: _Grown) -> dict[str, object]:
    """What the day was like; shares and means are over impressions, and null if there were none."""
    names, written = service.product.action_names, grown.columns("tweets")
    shown, done = pages.columns(f"pages{service.mark}"), grown.columns(service.product.done)
    count = shown["tweet"].size if shown else 0
    actions = np.bincount(done["action"], minlength=len(names)) if done else np.zeros(len(names))
    kinds = np.bincount(written["kind"], minlength=len(TWEET_KINDS)) if written else np.zeros(len(TWEET_KINDS))
    row: dict[str, object] = {"day": day + 1}
    if service.product is TIMELINE:
        row |= {"timelines": int((shown["position"] == 0).sum()) if shown else 0}
    else:
        opened = float(actions[service.product.action_code["oonc"]]) / world.meta.viewer_count
        row |= {"product": service.product.name, **_of_notifications(service, world, grown, shown)}
        row |= {"opened_per_viewer": opened}
    row |= {
        "viewers": int(np.unique(shown["viewer"]).size) if shown else 0,
        "impressions": int(count),
        "engagements": int(actions.sum()),
        "rates": {name: float(n) / count if count else None for name, n in zip(names, actions, strict=True)},
    }
    means = {"satisfaction": "satisfaction", "in_network_share": "in_network", "age_h": "age_h"}
    row |= {name: float(shown[column].mean(dtype=np.float64)) if shown else None for name, column in means.items()}
    exposure = np.bincount(shown["author"] if shown else [], minlength=world.count("users"))
    writers = np.zeros(world.count("users"), np.bool_)
    writers[world.table("tweets")["author"]] = True
    row |= {"author_gini": gini(exposure[writers]) if count else None}
    top = np.sort(exposure[writers])[::-1][: max(1, round(_TOP_SHARE * int(writers.sum())))]
    row |= {"top_1_percent_share": float(top.sum()) / count if count else None}
    row |= {"tweets": dict(zip(TWEET_KINDS, map(int, kinds), strict=True))}
    follows = grown.columns("follows")
    return row | {"follows": int(follows["follower"].size) if follows else 0}


def _of_notifications(
    service: _Service, world: WorldTables, grown: _Grown, shown: Mapping[str, Array]
) -> dict[str, object]:
    """Decisions of the day, what they send, and who does not want that any more.

    expected_opt_outs: the sum of the probabilities of turning off, what `opt_outs` are a draw of.
    """
    count = int(shown["tweet"].size) if shown else 0
    changed, settings = grown.columns("notification_settings"), world.table("notification_settings")
    viewers = world.meta.viewer_count
    allowed = np.ones(world.count("users"), np.bool_)
    allowed[settings["user"]] = settings["allowed"]  # rows are in order of time, so that the last one stays
    return {
        "decisions": service.asked,
        "sent_share": count / service.asked if service.asked else None,
        "per_viewer": count / viewers,
        "opt_outs": int((~changed["allowed"]).sum()) if changed else 0,
        "expected_opt_outs": float(shown["expected.turn_off"].sum(dtype=np.float64)) if shown else 0.0,
        "opted_out_share": float((~allowed[:viewers]).mean()),
    }


def gini(counts: Array) -> float:
    """Gini's coefficient of counts >= 0 with a sum above 0: 0 if all are equal, towards 1 if one has everything."""
    ordered = np.sort(counts.astype(np.float64))
    n = ordered.size
    return float((2.0 * np.arange(1, n + 1) - n - 1.0) @ ordered / (n * ordered.sum()))


def _check(days: int, viewers_per_day: float | None, retrain_every_days: int | None, micro_batch: int) -> None:
    asked = {"--days": days, "--retrain-every-days": retrain_every_days, "--micro-batch": micro_batch}
    for option, value in asked.items():
        if value is not None and value < 1:
            raise ConfigError(option, f"wants a whole number of at least 1, got {value}")
    if viewers_per_day is not None and not 0 < viewers_per_day < np.inf:
        raise ConfigError("--viewers-per-day", f"wants a number above 0, got {viewers_per_day}")


def _check_switch(funnel: Funnel, switch: Switch | None) -> None:
    if switch is None:
        return
    if switch.after_days < 1:
        raise ConfigError("switch", f"wants at least 1 day before it, got {switch.after_days}")
    if switch.funnel.world is not funnel.world or switch.funnel.product is not funnel.product:
        raise ConfigError("switch", f"wants a funnel of the world and the product of {funnel.name!r}")


def _manifest(
    funnel: Funnel, beside: Funnel | None, seed: int, per_day: float | None, retrain: int | None
) -> dict[str, object]:
    """What decides the bytes of every day."""
    other = {"beside": {"funnel": beside.name, "funnel_hash": beside.hash}} if beside is not None else {}
    return {
        "funnel": funnel.name,
        "funnel_hash": funnel.hash,
        **funnel.about_product,
        **other,
        "config": funnel.config,
        "world": funnel.world.name,
        "world_hash": funnel.world.hash,
        "seed": seed,
        "viewers_per_day": per_day,
        "retrain_every_days": retrain,
        "tick_h": TICK_H,
        "version": __version__,
    }


def _claim(out: Path, manifest: dict[str, object]) -> None:
    """Make the folder this run's own, or refuse if it is somebody else's."""
    file = out / MANIFEST
    if not file.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"--out {out}", "holds something else than a run — choose a new or an empty folder")
        write_json(file, {**manifest, "status": RUNNING})
        return
    try:
        found = read_json(file)
    except DataError:
        raise DataError(str(file), "is damaged — remove the folder or choose another one") from None
    plain = json.loads(json.dumps(manifest))  # as the file would give it back
    for key in [key for key in plain if key != "config"]:
        if found.get(key) != plain[key]:
            what = f"holds a run with {key} {found.get(key)!r}, this one has {plain[key]!r} — choose another folder"
            raise ConfigError(f"--out {out}", what)


def _folder(out: Path, day: int) -> Path:
    return out / "days" / f"day-{day:03d}"


def _has(folder: Path, table: str) -> bool:
    return (folder / f"{table}.parquet").exists()


def finished_days(out: Path) -> list[dict[str, object]]:
    """The metrics of a run's finished days."""
    rows: list[dict[str, object]] = []
    while (_folder(out, len(rows)) / METRICS).exists():
        rows.append(read_json(_folder(out, len(rows)) / METRICS))
    return rows


def _write_lines(out: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in finished_days(out))
    write_atomically(out / LINES, lambda partial: partial.write_text(text, encoding="utf-8"))


def by_product(days: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """A row for each day and each product that is served on it, with the same columns; None for what a product has not.

    asked: timelines or decisions; shown: impressions or notifications sent; opened: notifications opened or clicked.
    """
    rows: list[dict[str, object]] = []
    for day in days:
        others = [day[name] for name in PRODUCTS if isinstance(day.get(name), Mapping)]
        for one in (day, *others):
            assert isinstance(one, Mapping)
            notified = "decisions" in one
            rates, count = one["rates"], one["impressions"]
            assert isinstance(rates, Mapping)
            assert isinstance(count, int)
            rows.append(
                {
                    "day": one["day"],
                    "product": PUSH.name if notified else TIMELINE.name,
                    "asked": one["decisions" if notified else "timelines"],
                    "viewers": one["viewers"],
                    "shown": count,
                    "opened": _times(rates["oonc"], count) if notified else None,
                    "engagements": _times(rates["engage"], count) if notified else one["engagements"],
                    "opt_outs": one["opt_outs"] if notified else None,
                    "expected_opt_outs": one.get("expected_opt_outs"),
                    "opted_out_share": one["opted_out_share"] if notified else None,
                    "satisfaction": one["satisfaction"],
                }
            )
    return rows


def both_rows(days: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """The same in few characters, for people."""
    named = {
        "day": "day", "product": "product", "asked": "asked", "shown": "shown", "opened": "opened",
        "engagements": "engaged", "opt_outs": "off", "expected_opt_outs": "off exp.", "satisfaction": "glad",
    }  # fmt: skip
    rounded = {"expected_opt_outs", "satisfaction"}
    return [
        {short: round(float(str(row[name])), 2) if name in rounded and row[name] is not None else row[name]
         for name, short in named.items()}
        for row in by_product(days)
    ]  # fmt: skip


def _times(rate: float | None, count: int) -> int:
    return round(rate * count) if rate is not None else 0


def summary(days: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """A few numbers a day, for people."""
    rows = []
    for day in days:
        rates = day["rates"]
        assert isinstance(rates, dict)
        notified = "decisions" in day
        first = ("day", "decisions", "impressions", "opt_outs") if notified else ("day", "timelines", "impressions")
        shown = {name: day[name] for name in first}
        told = ("oonc", "engage", "dislike") if notified else ("favorite", "retweet", "reply")
        per_thousand = {
            f"{name} /1000": round(1000 * rates[name], 2) if rates[name] is not None else None for name in told
        }
        means = ("satisfaction", "in_network_share", "author_gini", "top_1_percent_share", "age_h")
        rounded = {name: round(value, 3) if isinstance(value := day[name], float) else None for name in means}
        rows.append(shown | per_thousand | rounded)
    return rows

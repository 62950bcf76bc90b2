"""Recall of the sources on real data, beside popularity, ALS and item-kNN on the same data.

    python -m bench.real_retrieval [--set cascades …] [--model ALS …] [--json] [--document]

Each set has moments: on the earlier ones every model's settings are chosen, baselines included; on the later ones the
chosen ones are scored. Everything is learnt from what lies before the moment. recall@k = hits / min(k, relevant items),
mean over viewers; all items are candidates, those engaged with before are left out. Intervals are 95 %, by a Poisson
bootstrap over viewers; differences are paired. Wants `pip install 'funnel[bench]'` and the raw data ($FUNNEL_DATA).

What is finished is kept in $FUNNEL_HOME/bench and not computed again (--again does). --document writes the tables of
docs/real_data_results.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import process_time

import numpy as np

from bench.ceilings import machine
from bench.real_accounts import account_models, clusters_without_follows
from bench.real_document import kept, write, written
from bench.real_models import (
    ALL_TIME_H,
    BASELINES,
    Answer,
    K,
    Models,
    baselines,
    circles,
    communities_of_accounts,
    filled,
    popular_sources,
    tweet_sources,
    whole_history,
)  # fmt: skip
from bench.real_tasks import Task, account_task, follow_tasks, tweet_task
from candidates.simclusters.tweets import Interests
from funnel.core.arrays import Array, Doubles, Ints
from funnel.core.errors import FunnelWarning
from funnel.core.rng import stream
from funnel.report import TerminalProgress, console, rows_table
from funnel.world import World

CUTS = (10, 50, 100, K)
SHOWN = (10, 50, K)  # in the tables
RESAMPLES = 1000
AGAINST = ("popularity", "als")
HIGGS_H = (6.0, 24.0)  # windows of tweets: half of all engagements are with tweets younger than half an hour
# Higgs has 320,000 users: a fit takes many seconds, and fifty neighbours are too few for 200 answers.
FEWER_FACTORS = (32,)
BOTH: tuple[Interests, ...] = ("favorite", "follow")
YEAR_H, TUNED_YEARS, TESTED_YEARS = 8_766.0, 6, 10
Row = dict[str, object]


@dataclass(frozen=True)
class Set:
    """A data set with its moments. tasks: the world -> (for the choice of settings, for the score)."""

    title: str
    world: str
    tasks: Callable[[World], tuple[list[Task], list[Task]]]
    models: Models


def _moments(tuned: Sequence[float], tested: Sequence[float], horizon_h: float, *, followers: bool = False):  # type: ignore[no-untyped-def]
    def made(world: World) -> tuple[list[Task], list[Task]]:
        viewers = world.meta.viewer_count if followers else None
        return tuple(  # type: ignore[return-value]
            [tweet_task(world, now_h, horizon_h, viewers=viewers) for now_h in moments] for moments in (tuned, tested)
        )

    return made


def _split(world: World) -> tuple[list[Task], list[Task]]:
    """Nine tenths of what was shown before the test are the past when settings are chosen."""
    until, time_h = world.meta.train_until_h, world.tables.table("impressions")["time_h"]
    tuned_h = float(np.quantile(time_h[time_h < until], 0.9))
    return [tweet_task(world, tuned_h, until - tuned_h)], [tweet_task(world, until, world.meta.end_h - until)]


def _years(world: World) -> tuple[list[Task], list[Task]]:
    """A moment a year: few people come back to rate more, so many years are wanted."""
    moments = [world.meta.end_h - YEAR_H * back for back in range(TUNED_YEARS + TESTED_YEARS, 0, -1)]
    tasks = [tweet_task(world, now_h, YEAR_H) for now_h in moments]
    return tasks[:TUNED_YEARS], tasks[TUNED_YEARS:]


def _accounts(world: World) -> tuple[list[Task], list[Task]]:
    return [account_task(world, 120.0, 24.0)], [account_task(world, 144.0, 24.0)]


def _follows(world: World) -> tuple[list[Task], list[Task]]:
    tuned, tested = follow_tasks(world)
    return [tuned], [tested]


SETS: dict[str, Set] = {
    "higgs_tweets": Set(
        "Higgs: tweets of the next 12 h, out of network", "higgs",
        _moments((108.0,), (120.0, 132.0), 12.0),
        {**baselines(FEWER_FACTORS, HIGGS_H), **popular_sources(HIGGS_H), **tweet_sources(HIGGS_H, follows=True),
         **communities_of_accounts(HIGGS_H)},
    ),
    "higgs_followers": Set(
        "Higgs: tweets of the next 6 h for those whose follow lists are known", "higgs",
        _moments((78.0,), (84.0, 90.0, 96.0, 102.0), 6.0, followers=True),
        {**baselines(FEWER_FACTORS, HIGGS_H), **popular_sources(HIGGS_H),
         **tweet_sources(HIGGS_H, follows=True, by=BOTH), **communities_of_accounts(HIGGS_H, by=BOTH),
         **circles(HIGGS_H)},
    ),
    "higgs_accounts": Set(
        "Higgs: accounts engaged with for the first time on the last day", "higgs", _accounts,
        {**baselines(FEWER_FACTORS), **account_models(follows=False)},
    ),
    "cascades": Set(
        "URL cascades: links", "twitter_url_cascades_2010", _split,
        {**BASELINES, **popular_sources((24.0, 72.0)), **tweet_sources((72.0, 288.0), follows=False),
         **clusters_without_follows()},
    ),
    "kuairand": Set(
        "KuaiRand: likes of videos, day by day", "kuairand_pure_2w",
        _moments((96.0, 120.0, 144.0), (168.0, 192.0, 216.0, 240.0, 264.0, 288.0, 312.0), 24.0),
        {**BASELINES, **popular_sources((ALL_TIME_H,)), **tweet_sources((ALL_TIME_H,), follows=False),
         **clusters_without_follows()},
    ),
    "movielens": Set(
        "MovieLens: films with four stars and more, year by year", "movielens_latest_small", _years,
        {**BASELINES, **whole_history(), **clusters_without_follows()},
    ),
    "ego_follows": Set(
        "ego-Twitter: a tenth of the follows", "ego_twitter", _follows, {**BASELINES, **account_models(follows=True)},
    ),
}  # fmt: skip


def recalls(task: Task, answer: Ints) -> Doubles:
    """float64 [R, len(CUTS)]: recall of each viewer at each cut."""
    rows = np.repeat(np.arange(task.viewer.size), answer.shape[1])
    flat = answer.ravel()
    hit = np.asarray(task.relevant[rows, np.maximum(flat, 0)]).ravel() & (flat >= 0)
    found = np.cumsum(hit.reshape(answer.shape), axis=1)
    wanted = np.diff(task.relevant.indptr)[:, None]
    cuts = np.array(CUTS)
    return np.asarray(found[:, np.minimum(cuts, answer.shape[1]) - 1] / np.minimum(wanted, cuts), np.float64)


def chosen(settings: Sequence[tuple[str, Answer]], tasks: Sequence[Task]) -> tuple[str, Answer]:
    """The settings with the highest mean recall at the last cut."""
    if len(settings) == 1:
        return settings[0]
    scores = [np.mean(np.concatenate([recalls(task, answer(task))[:, -1] for task in tasks])) for _, answer in settings]
    return settings[int(np.argmax(scores))]


def measured(
    settings: Sequence[tuple[str, Answer]], tuned: Sequence[Task], tested: Sequence[Task], reserve: Sequence[Ints]
) -> Row:
    """What one model comes to: its settings, its processor time and every viewer's recall.

    reserve: popularity's answers to the tested tasks; `answers`: how many items a viewer got; `filled`: recall at the
    last cut with popularity's items behind the model's.
    """
    setting, answer = chosen(settings, tuned)
    began = process_time()
    answers = [answer(task) for task in tested]
    spent = process_time() - began
    full = [filled(*pair) for pair in zip(answers, reserve, strict=True)]
    return {
        "settings": setting,
        "processor_s": spent,
        "recall": np.concatenate([recalls(*pair) for pair in zip(tested, answers, strict=True)]).tolist(),
        "answers": np.concatenate([(answer >= 0).sum(axis=1) for answer in answers]).tolist(),
        "filled": np.concatenate([recalls(*pair)[:, -1] for pair in zip(tested, full, strict=True)]).tolist(),
    }


def summary(found: dict[str, Row], viewer: Ints) -> list[Row]:
    """A row for each model: means with intervals, differences to popularity and ALS."""
    counts = stream(0, "bench bootstrap").poisson(1.0, (RESAMPLES, int(viewer.max(initial=0)) + 1))[:, viewer]
    recall = {name: np.array(row["recall"]) for name, row in found.items()}
    rows = []
    for name, row in found.items():
        made: Row = {"model": name, "settings": row["settings"], "processor_s": row["processor_s"]}
        for place, cut in enumerate(CUTS):
            made[f"recall_{cut}"], low, high = _interval(recall[name][:, place], counts)
            made |= {f"recall_{cut}_low": low, f"recall_{cut}_high": high}
        made["answers"] = float(np.array(row["answers"], np.float64).mean())
        for other in AGAINST:
            if other in recall and other != name:
                gap = _interval(recall[name][:, -1] - recall[other][:, -1], counts)
                made |= dict(zip((f"over_{other}", f"over_{other}_low", f"over_{other}_high"), gap, strict=True))
        if name != "popularity" and "popularity" in recall:
            gap = _interval(np.array(row["filled"]) - recall["popularity"][:, -1], counts)
            made |= dict(zip(("over_filled", "over_filled_low", "over_filled_high"), gap, strict=True))
        rows.append(made)
    return sorted(rows, key=lambda made: -float(str(made[f"recall_{K}"])))


def _interval(values: Array, counts: Array) -> tuple[float, float, float]:
    drawn = counts @ values / np.maximum(counts.sum(axis=1), 1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def measure(name: str, *, only: Sequence[str] | None, again: bool, progress: TerminalProgress) -> Row:
    """All models of one set; what is already known is read."""
    part = SETS[name]
    wanted = [model for model in part.models if not only or model in only]
    found = {model: kept("retrieval", f"{name}.{model}") for model in part.models}
    missing = [model for model in wanted if again or found[model] is None]
    facts = kept("retrieval", name)
    if missing or facts is None:
        world = World.load(part.world, progress=progress)
        tuned, tested = part.tasks(world)
        viewer = np.concatenate([task.viewer for task in tested])
        facts = {
            "viewer": viewer.tolist(),
            "items": int(np.mean([task.item.size for task in tested])),
            "relevant": int(sum(task.relevant.nnz for task in tested)),
        }
        write("retrieval", name, facts)
        _, popular = chosen(part.models["popularity"], tuned)
        reserve = [popular(task) for task in tested] if missing else []
        with progress.bar(name, len(missing)) as bar:
            for model in missing:
                found[model] = measured(part.models[model], tuned, tested, reserve)
                write("retrieval", f"{name}.{model}", found[model])
                bar.advance()
    known = {model: row for model, row in found.items() if row is not None}
    viewer = np.array(facts["viewer"], np.int32)
    return {
        "title": part.title, "viewers": int(np.unique(viewer).size), "questions": int(viewer.size),
        "items": facts["items"], "relevant": facts["relevant"], "rows": summary(known, viewer),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Recall of the sources on real data.")
    parser.add_argument("--set", nargs="+", choices=SETS, default=list(SETS), dest="sets")
    parser.add_argument("--model", nargs="+", help="only these; those known already are shown too")
    parser.add_argument("--again", action="store_true", help="measure even what is kept")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--document", action="store_true", help="write docs/real_data_results.md")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", FunnelWarning)
    progress = TerminalProgress()
    found = {name: measure(name, only=asked.model, again=asked.again, progress=progress) for name in asked.sets}
    if asked.document:
        for name, part in found.items():
            written(name, _table(part))
        if len(found) == len(SETS):
            written("summary", _verdicts(found))
    if asked.json:
        sys.stdout.write(json.dumps({"machine": machine(), **found}) + "\n")
        return
    for part in found.values():
        rows = part["rows"]
        assert isinstance(rows, list)
        console().print(rows_table([_short(row) for row in rows], title=str(part["title"])))


def _short(row: Row) -> Row:
    """What fits a terminal."""
    return {name: row.get(name, "") for name in ("model", "settings", "recall_50", f"recall_{K}", *(
        f"over_{other}" for other in AGAINST))}  # fmt: skip


def _table(part: Row) -> str:
    """Markdown."""
    rows = part["rows"]
    assert isinstance(rows, list)
    lines = [
        f"{part['questions']:,} questions of {part['viewers']:,} viewers, {part['relevant']:,} relevant of "
        f"{part['items']:,} items.",
        "",
        "| model | settings | answers | @10 | @50 | @200 | @200 − popularity | @200 − ALS | filled up − popularity |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [f"{row[f'recall_{cut}']:.3f}" for cut in SHOWN]
        cells[-1] += f" [{row[f'recall_{K}_low']:.3f}, {row[f'recall_{K}_high']:.3f}]"
        gaps = [_gap(row, other) for other in (*AGAINST, "filled")]
        names = [str(row["model"]), str(row["settings"]), f"{row['answers']:.0f}"]
        lines.append("| " + " | ".join([*names, *cells, *gaps]) + " |")
    return "\n".join(lines)


def _verdicts(found: dict[str, Row]) -> str:
    """Markdown: of each set, which sources lie above ALS and popularity by their intervals, and which do not."""
    heads = ("above ALS", "level with ALS", "below ALS", "level with popularity", "below popularity")
    lines = [f"| set | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for name, part in found.items():
        rows = part["rows"]
        assert isinstance(rows, list)
        of_head: dict[str, list[str]] = {head: [] for head in heads}
        for row in rows:
            if row["model"] in BASELINES:
                continue
            for other, called in (("als", "ALS"), ("popularity", "popularity")):
                low, high = (row.get(f"over_{other}_{end}", 0.0) for end in ("low", "high"))
                head = f"{'above' if low > 0 else 'below' if high < 0 else 'level with'} {called}"
                of_head.get(head, []).append(str(row["model"]))
        lines.append(f"| {name} | " + " | ".join("; ".join(of_head[head]) for head in heads) + " |")
    return "\n".join(lines)


def _gap(row: Row, other: str) -> str:
    if f"over_{other}" not in row:
        return ""
    value, low, high = (row[f"over_{other}{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    main()

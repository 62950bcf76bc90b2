"""Writes the pages of docs/ that the code knows best, and the README's map of stages.

python docs/generate.py            # write: docs/{cli,stages,features,realism,metrics}.md, the map in README.md
python docs/generate.py --check    # only say what is out of date; exit code 1 if anything is
python docs/generate.py --timeline # also put a real timeline into README.md (builds and trains if need be)
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from itertools import groupby
from pathlib import Path

import yaml

from funnel.catalogue import feature_rows, first_line, setting_rows
from funnel.cli import app
from funnel.compose import about_funnel, funnel_names, stage_classes
from funnel.metrics import metric_rows
from funnel.realism.page import learnability_table, markdown_gaps, markdown_table
from funnel.realism.report import rows as statistic_rows

ROOT = Path(__file__).resolve().parents[1]
MADE = "<!-- Made by docs/generate.py (`make docs`); edits are lost. -->\n"
MAP_FUNNEL = "twitter_2023"
COMMANDS = (
    "simulate", "loop", "explain", "diff", "compare", "ablate", "attribute", "off-policy", "study", "report", "bench",
    "train", "train random-data", "train heavy", "parity",
    "world build", "world import", "world describe", "world list",
    "list stages", "list features", "list metrics", "list funnels", "list worlds",
)  # fmt: skip
KINDS = {
    "job": "Batch jobs",
    "source": "Sources",
    "filter": "Filters",
    "scorer": "Scorers",
    "boost": "Boosts",
    "selector": "Selectors",
    "mixer": "Mixers",
}


def pages() -> dict[Path, str]:
    """Every generated file and what it should hold."""
    readme = ROOT / "README.md"
    return {
        ROOT / "docs" / "cli.md": cli_page(),
        ROOT / "docs" / "stages.md": stages_page(),
        ROOT / "docs" / "features.md": features_page(),
        ROOT / "docs" / "realism.md": realism_page(),
        ROOT / "docs" / "metrics.md": metrics_page(),
        readme: between(readme.read_text(encoding="utf-8"), "map", stage_map()),
    }


def cli_page() -> str:
    """The help of every command."""
    parts = [MADE, "# The command line\n", CLI_INTRODUCTION]
    for command in ("", *COMMANDS):
        parts.append(f"## funnel {command}".rstrip() + f"\n\n```text\n{help_of(command)}\n```\n")
    return "\n".join(parts)


CLI_INTRODUCTION = """Results go to stdout; progress, notes, warnings and errors go to stderr, so `--json` can be piped.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a bug (`FUNNEL_DEBUG=1` shows the traceback), or nobody reads the output any more |
| 2 | bad input, damaged data, a full disk, no permission: one paragraph on stderr says what and what to do |
| 130 | interrupted (Ctrl-C); nothing is half-written |

| variable | meaning |
|---|---|
| `FUNNEL_HOME` | where worlds and models are kept; `~/.cache/funnel` if not set |
| `FUNNEL_DATA` | where real data sets lie; `../shared/data` beside the checkout if not set |
| `NO_COLOR` | no colours |
"""


def help_of(command: str) -> str:
    """What `funnel COMMAND --help` prints, 80 columns wide."""
    os.environ["COLUMNS"] = "82"  # typer keeps two columns free
    said = StringIO()
    with redirect_stdout(said):
        app([*command.split(), "--help"], prog_name="funnel", standalone_mode=False)
    return "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines())


def stages_page() -> str:
    """What each stage does, what it needs and adds, and its settings."""
    classes = stage_classes()
    parts = [MADE, "# Funnels, stages and batch jobs\n", STAGES_INTRODUCTION]
    parts.append("## Shipped funnels\n")
    parts.append(table([{"funnel": name, "about": about_funnel(name)} for name in funnel_names()]))
    for kind, title in KINDS.items():
        parts.append(f"## {title}\n")
        for name, stage in classes.items():
            if stage.kind == kind:
                parts.append(f"### {name}\n\n{first_line(stage)}. [Source]({link(stage, '../')})\n")
                parts.append(table(setting_rows(stage)) if setting_rows(stage) else "No settings.\n")
    return "\n".join(parts)


STAGES_INTRODUCTION = """A funnel's YAML file names stages in order; `funnel simulate --set stage.setting=value` changes
one setting. `quota` (sources: at most so many candidates), `keep` (scorers: only the best so many go on), `name` and
`on_error: skip` (sources) can stand beside the settings of a stage; so can ages ([how old what a stage knows
is](staleness.md)): `cadence_h` and `delay_h` (jobs), `trained_at` (stages that learn).
"""


def features_page() -> str:
    """Every feature by group."""
    parts = [MADE, "# Features\n", FEATURES_INTRODUCTION]
    for group, rows in groupby(feature_rows(), key=lambda row: str(row["group"])):
        parts.append(f"## {group.replace('_', ' ')}\n")
        parts.append(table([{key: str(row[key]) for key in ("feature", "unit", "meaning", "rule")} for row in rows]))
    return "\n".join(parts)


FEATURES_INTRODUCTION = """Columns that stages can need. They are computed on demand, for the candidates that are left
when the first stage needs them, and say only what could have been observed before the request.
"""


def metrics_page() -> str:
    """Every metric with its unit, chance level, ceiling and source, by the first part of its name."""
    parts = [MADE, "# Metrics\n", METRICS_INTRODUCTION]
    for group, rows in groupby(metric_rows(), key=lambda row: row["metric"].partition(".")[0]):
        parts.append(f"## {group}\n")
        parts.append(table([{"metric": row["metric"], **row} for row in rows]))
    return "\n".join(parts)


METRICS_INTRODUCTION = """What `funnel compare` and `funnel ablate` measure, and `funnel.metrics` in Python. A metric is
a number for each viewer, whose differences between two funnels pair; or a statistic of the whole world (Gini, coverage,
calibration, amplification), which is recomputed for each resample of the viewers.

*chance* is what a page by lot has, *ceiling* what the best page has; "measured" means that the commands print it, from
the presets `random` and `oracle` for the same viewers. *better* says which way is an improvement, where one can say so.
*product*: of whose pages it can be said, timelines or notifications (`push`), whose references are the presets
`push_random`, `push_oracle` and `push_newest`. *needs*: `truth`, a world that knows what its people would do; `counts`,
what each stage removed; `best`, the true best of all eligible tweets; `later`, engagements logged after the moment, the
only judge in a world without truth; `candidates`, a look at all candidates; `chronological`, the chronological pages of
the same viewers; `full pool`, the next ranker's scores of all candidates.

A world without truth is judged at the end of its training time. There `later.*`, `stage.later_left.*`, survival, shares
of sources, diversity of authors, novelty, freshness, coverage, `creators.*`, `society.cross_group` (by country) and
`society.homogenisation` are what is left.

What happens over days (hysteresis after switching off, drift) is no property of a page: see [loop.md](loop.md).
"""


def realism_page() -> str:
    """How real the default world is; the numbers are those that `python -m bench.realism` measured last."""
    known = json.loads((ROOT / "docs" / "realism.json").read_text(encoding="utf-8"))
    statistics = statistic_rows(known["values"])
    counts = known["counts"]
    size = f"{counts['users']:,} users, {counts['follows']:,} follows, {counts['tweets']:,} tweets"
    parts = [
        MADE,
        "# How real the worlds are\n",
        REALISM_INTRODUCTION,
        f"## The world `{known['world']}`\n\n{size}; measured on {known['measured']} in {known['seconds']} s.\n",
        markdown_table(statistics),
        "## Bands that are missed, and why\n",
        markdown_gaps(statistics),
        "## What can be learnt from it\n",
        LEARNABILITY_INTRODUCTION,
        table([{key: str(value) for key, value in row.items()} for row in learnability_table(known["learnability"])]),
        REALISM_END,
    ]
    return "\n".join(parts)


REALISM_INTRODUCTION = """Every statistic of a world beside what is published of the real Twitter, and beside real data
measured by the same code. `funnel world describe NAME` prints it, `--json` adds targets and sources, `--html FILE`
writes a page with plots. A band is what a believable world keeps to; a miss is marked, and explained below the table.

The real data sets are no random samples either: `higgs-twitter` has whole follow lists of 5,394 users who spoke of one
event in one week, `ego-twitter` is a union of ego networks, which raises reciprocity and clustering, and
`twitter-url-cascades-2010` has links that spread. What a set cannot say is left out (–).
"""

LEARNABILITY_INTRODUCTION = """A world is worth learning from if it is neither trivial nor noise. AUC on impressions of
the held-out last day, with 95 % intervals (bootstrap over pages): the world's oracle, gradient-boosted trees and
logistic regression on the features that rankers learn from. "In order" says that each is above the next, and the
regression above the base rate, by a paired interval that leaves 0 out; "no" beside few positives can be chance.
"""

REALISM_END = """The oracle's AUC is below 1 since people's choices are draws, not decisions; what lies between it and
the trees is what better models and features can win.

    python -m bench.realism                 # measure this page's world again
    python -m bench.realism --learnability  # and what can be learnt from it
    python -m bench.realism --real          # and the data sets in $FUNNEL_DATA
    make docs
"""


def stage_map() -> str:
    """The stages of the shipped funnel from left to right, each a link to its file."""
    content = yaml.safe_load((ROOT / "configs" / "funnels" / f"{MAP_FUNNEL}.yaml").read_text(encoding="utf-8"))
    classes = stage_classes()
    named = [entry if isinstance(entry, str) else entry.get("use", next(iter(entry))) for entry in content["stages"]]
    boxes = [(kind, list(names)) for kind, names in groupby(named, key=lambda name: classes[name].kind)]
    heads = " | ".join(f"{KINDS[kind].lower()} →" for kind, _ in boxes).removesuffix(" →")
    cells = " | ".join("<br>".join(f"[{name}]({link(classes[name])})" for name in names) for _, names in boxes)
    jobs = ", ".join(f"[{name}]({link(classes[name])})" for name in content["jobs"])
    return f"| {heads} |\n|{'---|' * len(boxes)}\n| {cells} |\n\nBatch jobs that they stand on: {jobs}.\n"


def link(kind: type, up: str = "") -> str:
    """The file of a class, relative to the project."""
    return up + Path(inspect.getfile(kind)).resolve().relative_to(ROOT).as_posix()


def table(rows: list[dict[str, str]]) -> str:
    """Rows of equal keys as Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([escape(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def escape(text: str) -> str:
    """Text for a Markdown cell."""
    return " ".join(text.replace("|", "\\|").split())


def between(text: str, mark: str, content: str) -> str:
    """The text with what stands between `<!-- mark -->` and `<!-- /mark -->` replaced."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}{content}{end}{tail}"


def put_timeline() -> None:
    """A real timeline into the README."""
    command = [sys.executable, "-m", "funnel.cli", "simulate", "--viewer", "7"]
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    )
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    third = next(number for number, line in enumerate(lines) if line.startswith("  3 "))
    table_at = lines.index("The funnel")
    shown = [*lines[:third], "  …", "", *lines[table_at:]]
    readme = ROOT / "README.md"
    block = "```text\n" + "\n".join(shown).strip("\n") + "\n```\n"
    readme.write_text(between(readme.read_text(encoding="utf-8"), "timeline", block), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write or check; the exit code."""
    if "--timeline" in arguments:
        put_timeline()
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        name = path.relative_to(ROOT)
        if "--check" in arguments:
            sys.stdout.write(f"{name} is out of date — `make docs` writes it\n")
        else:
            path.write_text(pages()[path], encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

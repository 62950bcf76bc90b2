"""The page of a study, from its findings alone: question, answer in words, plot, tables, method.

Every sentence about results follows a rule from the numbers:

    nothing differs at any level                        "nothing changes"
    every interval holds 0                              "no effect shown: every interval contains 0"
    some do not, but none after Holm's correction       "no effect that survives the correction"
    all levels are numbers, each step in one direction  "rises (falls) with every step"
    else                                                the level that differs most, and how many are shown to differ
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from funnel.experiment.study import Factor, Level, Study, load_study
from funnel.metrics.metric import declared, is_declared

Json = Mapping[str, Any]
_UNDECIDED = "none shown"
_LOOP_UNITS = {"loop.satisfaction": "−1 … 1", "loop.author_gini": "0 … 1"}
_DIGITS = 4


def page(found: Json, study: Study) -> str:
    """The page as Markdown; found: `Findings.as_json`, as written or as read from a file."""
    name = study.name
    parts = [
        f"<!-- Made by `funnel study {name}`; edits are lost. -->",
        f"# {title(name)}",
        study.about + ".",
        f"**Question.** {study.question}" + (f" (Source: {study.source}.)" if study.source else ""),
        *(["*The quick version: small, and made to be looked at, not cited.*"] if found["quick"] else []),
        "## What we see",
        "\n".join(f"- {line}" for line in sentences(found, study)),
        f"![{title(name)}: metrics by level]({name}.svg)",
        "## Numbers",
        _legend(found),
        *_tables(found, study),
        "## Method",
        "\n".join(f"- {line}" for line in _method(found, study)),
        _levels_table(study),
        "## Again",
        f"    funnel study {name}{_asked(found, study)} --out docs/studies",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def index(all_found: Mapping[str, Json]) -> str:
    """The list of all studies whose findings are there, each with its first answer."""
    rows = []
    for name, found in sorted(all_found.items()):
        study = shown_study(name, found)
        rows.append(f"| [{title(name)}]({name}.md) | {study.question} | {sentences(found, study)[0]} |")
    head = [
        "<!-- Made by `funnel study`; edits are lost. -->",
        "# Studies",
        "Questions that no log can answer, asked of a world whose truth is known. A study is a file in "
        "[configs/studies](../../configs/studies); its page is made by the run, words included.",
        "    funnel study --list\n    funnel study verified_boost --viewers 500 --out docs/studies\n"
        "    funnel study closed_loop --quick",
        "| study | question | first answer |\n|---|---|---|\n" + "\n".join(rows),
        _OWN,
    ]
    return "\n\n".join(head) + "\n"


_OWN = """## A study of your own

```yaml
about: "What page sizes do"
question: "Does a longer page serve people better?"
world: small            # or the settings of a world, as in configs/worlds
viewers: 300            # of each group
groups: [active, dormant]                   # or all, producers, consumers
funnel: twitter_2023
metrics: [page.value, page.satisfaction]    # `funnel list metrics`; with `days`, those of docs/loop.md as loop.*
factors:                # the first is compared level by level, within each combination of the others
  size: {values: [10, 20, 35], base: 35, settings: ["debunch.size={value}"]}
  era:
    levels:
      as it was: {}
      no boosts: {without: [blue_verified, creators]}
```

    funnel study mine.yaml --viewers 100 --only size=10,35

A level can also name a `funnel`, hide features from the heavy ranker (`blind_to: ["*.dwell.*"]`) and change the `world`
(`world: {labeller: {precision: 0.3}}`). With `days: 28` and `seeds: 3` whole worlds are lived through instead of one
moment looked at. What was computed is kept per level (`--cells`; in the cache if not given): an interrupted study goes
on, and one more level costs one more level. Levels at which rankers learn anew differ by the luck of training too:
add a factor that trains twice, as [timeliness](timeliness.md) does."""


def shown_study(name: str, found: Json) -> Study:
    """The study as it was run: whole or quick, with the levels that were asked for."""
    study = load_study(str(found.get("file", name)))
    study = study.quickly() if found["quick"] else study
    return study.only(found["only"]) if found.get("only") else study


def title(name: str) -> str:
    """A study's name as a title."""
    return name.replace("_", " ").capitalize()


def sentences(found: Json, study: Study) -> list[str]:
    """What we see, a sentence for each metric and group of viewers."""
    factor = study.factors[0]
    lines: list[str] = []
    for metric in study.metrics:
        for group, context in _places(found):
            rows = _rows(found, "level", metric, group, context)
            if rows:
                where = _where(found, group, context)
                lines.append(f"**{metric}**{where}: {_answer(rows, factor, found['viewers'][group])}.")
    for row in _of_kind(found, "days"):
        lines.append(f"**{row['metric']}**, {_named(row)}, over the days: {_over_days(row)}.")
    without = {(row["metric"], row["level"], *row["context"]): row for row in _of_kind(found, "unswitched")}
    for row in _of_kind(found, "switched"):
        on = without[row["metric"], row["level"], *row["context"]]
        lines.append(f"**{row['metric']}**, {_named(row)}, after the switch: {_left(row, on)}.")
    for row in _of_kind(found, "groups"):
        if row["level"] == factor.base and row["context"] == _of_kind(found, "groups")[0]["context"]:
            first = next(iter(found["viewers"]))
            lines.append(f"**{row['metric']}**, {row['group']} against {first}, at {factor.base}: {_plainly(row)}.")
    return [*lines, *(f"{note}." for note in found["notes"])]


def _answer(rows: Sequence[Json], factor: Factor, viewers: int) -> str:
    """One metric's differences from the base, in words; viewers: in the group."""
    known = [row for row in rows if row["difference"] is not None]
    if not known:
        return "not defined here"
    if all(row["difference"] == 0 and row["low"] == 0 and row["high"] == 0 for row in known):
        return f"nothing changes from {_number(known[0]['a'])}"
    with_interval = [row for row in known if row["low"] is not None]
    shown = [row for row in known if row["verdict"] not in (_UNDECIDED, "")]
    most = max(known, key=lambda row: abs(row["difference"]))
    if not shown:
        if with_interval and all(row["low"] <= 0 <= row["high"] for row in with_interval):
            widest = max(with_interval, key=lambda row: row["high"] - row["low"])
            return (
                f"no effect shown: every interval contains 0 (the widest is {_interval(widest)}, at {widest['level']})"
            )
        return f"no effect that survives the correction (the largest difference: {_change(most)} at {most['level']})"
    most = max(shown, key=lambda row: abs(row["difference"]))
    base = f"from {_number(most['a'])} at {factor.base}"
    if is_declared(most["metric"]) and most["viewers"] < viewers:
        base += f" (over the {most['viewers']:,} viewers who have a value at both)"
    if factor.numeric and _one_way(rows, factor) and len(shown) > 1:
        value = {level.name: level.value or 0.0 for level in factor.levels}
        end = max(shown, key=lambda row: abs(value[row["level"]] - value[factor.base]))
        verb = "rises" if (end["difference"] > 0) == (value[end["level"]] > value[factor.base]) else "falls"
        return f"{verb} with every step of {factor.name}; {base}, {_change(end)} at {end['level']}{_judged(end)}"
    others = [row for row in shown if (row["difference"] > 0) != (most["difference"] > 0)]
    text = f"{base}, {_change(most)} at {most['level']}{_judged(most)}"
    if others:
        other = max(others, key=lambda row: abs(row["difference"]))
        text += f"; {_change(other)} at {other['level']}{_judged(other)}"
    return text + (f"; {len(shown)} of {len(rows)} levels shown to differ" if len(rows) > 1 else "")


def _one_way(rows: Sequence[Json], factor: Factor) -> bool:
    """Whether the metric goes one way along the levels' numbers, the base among them."""
    difference = {row["level"]: row["difference"] for row in rows} | {factor.base: 0.0}
    ordered = sorted((level for level in factor.levels if level.name in difference), key=lambda one: one.value or 0.0)
    steps = [difference[b.name] - difference[a.name] for a, b in pairwise(ordered)]
    return all(step >= 0 for step in steps) or all(step <= 0 for step in steps)


def _over_days(row: Json) -> str:
    a, b = _number(row["a"]), _number(row["b"])
    if row["b"] is None:
        return f"{a} in the first quarter, and nothing to measure in the last"
    if row["low"] is None:
        return f"{a} in the first quarter, {b} in the last; one world has no interval"
    if row["verdict"] == _UNDECIDED:
        return f"{_none('change', row)} ({a} in the first quarter, {b} in the last; {_interval(row)})"
    verb = "rises" if row["difference"] > 0 else "falls"
    return f"{verb} from {a} in the first quarter to {b} in the last ({_interval(row)})"


def _left(row: Json, on: Json) -> str:
    """Hysteresis: how much of the gap to the base is left in the last quarter of the days, the feed switched off."""
    if on["difference"] is None or row["difference"] is None:
        return "nothing to measure in the last quarter of the days"
    if on["verdict"] in (_UNDECIDED, ""):
        return f"there was no gap to close that is shown ({_change(on)} without the switch)"
    share = row["difference"] / on["difference"]
    ends = sorted(end / on["difference"] for end in (row["low"], row["high"])) if row["low"] is not None else []
    interval = f" ({_per_cent(100 * ends[0])} … {_per_cent(100 * ends[1])})" if ends else ""
    shown = "" if row["verdict"] not in (_UNDECIDED, "") else f"; {_none('gap', row)} any more"
    return f"of a gap of {_change(on)} without the switch, {_per_cent(100 * share)}{interval} is left{shown}"


def _plainly(row: Json) -> str:
    if row["verdict"] in (_UNDECIDED, ""):
        return f"{_none('difference', row)} ({_number(row['a'])} and {_number(row['b'])}; {_interval(row)})"
    return f"{_change(row)}, {_number(row['b'])} instead of {_number(row['a'])}{_judged(row)}"


def _none(what: str, row: Json) -> str:
    """That nothing is shown, or that the correction leaves nothing."""
    holds_zero = row["low"] is None or row["low"] <= 0 <= row["high"]
    return f"no {what} shown" if holds_zero else f"no {what} that survives the correction"


def _change(row: Json) -> str:
    """The difference with its interval, in per cent where there is a positive base that is no score about 0."""
    inner = f" ({_interval(row)})" if row["low"] is not None else ""
    return f"{_amount(row)(row['difference'])}{inner}"


def _interval(row: Json) -> str:
    if row["low"] is None:
        return "no interval"
    amount = _amount(row)
    return f"{amount(row['low'])} … {amount(row['high'])}"


def _amount(row: Json) -> Callable[[float], str]:
    """How differences of a metric are written: in per cent, or as they are."""
    unit = declared(row["metric"]).unit if is_declared(row["metric"]) else _LOOP_UNITS.get(row["metric"], "")
    a = row["a"]
    if a is None or a <= 0 or "…" in unit or "ratio" in unit or unit == "bit":
        return lambda value: f"{value:+.{_DIGITS - 1}g}"
    return lambda value: _per_cent(round(100 * value / a, 9))


def _per_cent(value: float) -> str:
    return f"{value:+,.0f} %" if abs(value) >= 99.5 else f"{value:+.2g} %"


def _judged(row: Json) -> str:
    return f", {row['verdict']}" if row["verdict"] in ("better", "worse") else ""


def _tables(found: Json, study: Study) -> list[str]:
    parts: list[str] = []
    factor = study.factors[0]
    metrics = [name for name in study.metrics if any(name in row["metrics"] for row in found["levels"])]
    for group, context in _places(found):
        head = [f"{factor.name}{f' ({factor.unit})' if factor.unit else ''}", *metrics]
        lines = [_line(head), _line(["---"] * len(head))]
        for row in found["levels"]:
            if (row["group"], row["context"]) == (group, context):
                cells = [_cell(found, row, metric, factor) for metric in metrics]
                lines.append(_line([row["level"] + (" (base)" if row["level"] == factor.base else ""), *cells]))
        caption = _where(found, group, context)[2:]
        parts.append((f"{caption[0].upper()}{caption[1:]}:\n\n" if caption else "") + "\n".join(lines))
    return parts


def _cell(found: Json, row: Json, metric: str, factor: Factor) -> str:
    value = _number(row["metrics"].get(metric))
    against = [
        one
        for one in _rows(found, "level", metric, row["group"], row["context"])
        if one["level"] == row["level"] and one["level"] != factor.base
    ]
    if not against or against[0]["difference"] is None:
        return value
    mark = "**" if against[0]["verdict"] not in (_UNDECIDED, "") else ""
    return f"{value} ({mark}{_amount(against[0])(against[0]['difference'])}{mark}; {_interval(against[0])})"


def _legend(found: Json) -> str:
    unit = "worlds" if found["days"] else "viewers"
    return (
        "The metric, and in brackets its difference from the base with the 95 % interval"
        f" over {unit}; bold where the difference is shown after Holm's correction."
    )


def _method(found: Json, study: Study) -> list[str]:
    counts = found["counts"]
    lines = [
        f"World `{found['world']}` ({counts['users']:,} people, {counts['tweets']:,} tweets; {found['world_hash']})."
    ]
    if found["days"]:
        lines.append(
            f"{found['days']} days of the closed loop in {found['seeds']} worlds of other seeds for each level; levels "
            "are compared by their later half of the days, trends by the last quarter less the first"
            + (", what is left after the switch by the last quarter. " if study.switch_after else ". ")
            + "Worlds are the unit: intervals are Student's t over paired differences."
        )
    else:
        groups = ", ".join(f"{count:,}" + f" {name}" * (name != "all") for name, count in found["viewers"].items())
        lines.append(
            f"Viewers: {groups}; one page each at hour {found['at_h']:g}, the same viewers and the same random numbers "
            "at every level (common random numbers). Intervals: paired bootstrap over viewers, 2,000 resamples."
        )
        if len(found["viewers"]) > 1:
            lines.append("Groups are other people, so that differences between them are resampled separately.")
    lines.append(f"Holm's correction over all {len(found['rows'])} comparisons of this page, at 5 %.")
    lines.append("Metrics: " + "; ".join(f"`{name}` ({_meaning(name)})" for name in study.metrics) + ".")
    if study.settings:
        lines.append("All levels: " + ", ".join(f"`{one.removeprefix('?')}`" for one in study.settings) + ".")
    return [*lines, *study.notes]


def _meaning(name: str) -> str:
    if not is_declared(name):
        return "of a day of [the loop](../loop.md)"
    return declared(name).meaning.partition(". ")[0].partition(":")[0].partition(";")[0]


def _asked(found: Json, study: Study) -> str:
    """What the command line changed."""
    said = " --quick" if found["quick"] else ""
    for factor, levels in found.get("only", {}).items():
        said += f" --only '{factor}={','.join(levels)}'"
    for option, number in found.get("asked", {}).items():
        said += f" --{option} {number}" * (number != getattr(study, option))
    return said


def _levels_table(study: Study) -> str:
    lines = [_line(["factor", "level", "what it changes"]), _line(["---"] * 3)]
    for factor in study.factors:
        for level in factor.levels:
            lines.append(_line([factor.name, level.name, _changes(level, study)]))
    return "\n".join(lines)


def _changes(level: Level, study: Study) -> str:
    said = []
    if level.funnel is not None:
        said.append(f"funnel `{level.funnel}`")
    said += [f"`{one.removeprefix('?')}`" for one in level.settings]
    if level.without:
        said.append("without " + ", ".join(f"`{one}`" for one in level.without))
    if level.blind_to:
        said.append("heavy ranker without features " + ", ".join(f"`{one}`" for one in level.blind_to))
    said += [f"world: `{key}: {value}`" for key, value in level.world.items()]
    if level.then is not None:
        said.append(f"after {study.switch_after} days funnel `{level.then}`")
    return ", ".join(said) or f"nothing: funnel `{study.funnel}`"


def _places(found: Json) -> list[tuple[str, list[str]]]:
    """(group, context) in the order of the cells, each once."""
    places: list[tuple[str, list[str]]] = []
    for row in found["levels"]:
        if (row["group"], row["context"]) not in places:
            places.append((row["group"], row["context"]))
    return sorted(places, key=lambda place: list(found["viewers"]).index(place[0]))


def _where(found: Json, group: str, context: Sequence[str]) -> str:
    people = group if group.endswith("s") else f"{group} viewers"
    said = ([people] if len(found["viewers"]) > 1 else []) + list(context)
    return f", {', '.join(said)}" if said else ""


def _named(row: Json) -> str:
    return ", ".join([row["level"], *row["context"]])


def _rows(found: Json, kind: str, metric: str, group: str, context: Sequence[str]) -> list[Json]:
    return [
        row
        for row in found["rows"]
        if (row["kind"], row["metric"], row["group"], list(row["context"])) == (kind, metric, group, list(context))
    ]


def _of_kind(found: Json, kind: str) -> list[Json]:
    return [row for row in found["rows"] if row["kind"] == kind]


def _number(value: object) -> str:
    return f"{value:.{_DIGITS}g}" if isinstance(value, int | float) else "–"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

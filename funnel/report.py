"""What people see in a terminal: timelines, funnel tables, warnings, training tables and progress.

The only file that imports rich. Everything here takes plain data (pages, rows, dicts) and a console; colours follow
the terminal and the NO_COLOR environment variable. Texts of tweets are data: control characters never reach the
terminal and square brackets are not markup.
"""

from __future__ import annotations

import math
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, Protocol

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from funnel.core.progress import Bar

# Writing direction overrides can make a terminal show something else than what is there.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MIN_WIDTH, _MAX_WIDTH = 40, 120
_SHORT_S = 0.5  # a finished bar of less than this leaves no line behind


class StageLike(Protocol):
    """One row of the funnel table."""

    @property
    def stage(self) -> str:
        """Its name."""

    @property
    def kind(self) -> str:
        """Its job: source, filter, scorer, …"""

    @property
    def n_in(self) -> int:
        """Candidates that came in."""

    @property
    def n_out(self) -> int:
        """Candidates that came out."""

    @property
    def wall_ms(self) -> float:
        """Time it took, milliseconds."""


def console(*, stderr: bool = False, file: IO[str] | None = None, width: int | None = None) -> Console:
    """A console at most 120 columns wide, so that lines stay readable on a wide screen."""
    made = Console(stderr=stderr, file=file, width=width, highlight=False, emoji=False, markup=False)
    if width is None:
        made.width = max(_MIN_WIDTH, min(made.width, _MAX_WIDTH))
    return made


class TerminalProgress:
    """Progress on stderr: bars where there is a terminal, one line for each finished piece of work where not."""

    def __init__(self, out: Console | None = None) -> None:
        self._console = out if out is not None else console(stderr=True)
        self._progress: Progress | None = None
        self._open = 0

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Bar]:
        """A running bar; bars may nest."""
        began = time.perf_counter()
        progress = self._enter()
        task = progress.add_task(label, total=max(total, 1))
        try:
            yield _TaskBar(progress, task)
            self._close_line(label, time.perf_counter() - began)
        finally:
            progress.remove_task(task)
            self._leave()

    def note(self, text: str) -> None:
        """One line."""
        self._console.print(Text(clean(text), style="dim"))

    def _enter(self) -> Progress:
        if self._progress is None:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
                disable=not self._console.is_terminal,
            )
            self._progress.start()
        self._open += 1
        return self._progress

    def _leave(self) -> None:
        self._open -= 1
        if self._open == 0 and self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _close_line(self, label: str, seconds: float) -> None:
        if seconds >= _SHORT_S:
            self.note(f"{label}: {seconds:.1f} s")


class _TaskBar:
    def __init__(self, progress: Progress, task: object) -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: int = 1) -> None:
        """Say that more is done."""
        self._progress.advance(self._task, amount)  # type: ignore[arg-type]  # rich's TaskID is an int in disguise


def clean(text: str) -> str:
    """The text without control characters and direction overrides; line breaks become spaces."""
    kept = (" " if char in "\n\r\t" else char for char in text)
    return "".join(char for char in kept if unicodedata.category(char) != "Cc" and char not in _BIDI_CONTROLS)


def moment_words(at_h: float, epoch_unix_s: float) -> str:
    """A moment of the world: a date where the world has one, else the day and time since its start."""
    if epoch_unix_s:
        return f"{datetime.fromtimestamp(epoch_unix_s, UTC) + timedelta(hours=at_h):%Y-%m-%d %H:%M} UTC"
    days, hours = divmod(at_h, 24)
    return f"day {int(days)}, {int(hours):02d}:{round(hours % 1 * 60) % 60:02d}"


def age_words(age_h: float) -> str:
    """An age as a timeline shows it: 12 min, 5 h, 3 d."""
    if not math.isfinite(age_h):
        return "?"
    if age_h < 1:
        return f"{max(age_h, 0) * 60:.0f} min"
    return f"{age_h:.0f} h" if age_h < 48 else f"{age_h / 24:.0f} d"


def timeline(
    rows: Sequence[Mapping[str, object]],
    *,
    title: str,
    why: Sequence[str],
    details: Sequence[str] = (),
    modules: Sequence[tuple[int, str]] = (),
) -> RenderableType:
    """The page as cards.

    rows: dicts with rank, handle, text, age_h, in_network, sources, score; why: one line for each row, in plain words;
    details: more lines for each row (`--explain`); modules: what stands between them, (entries above it, one line).
    """
    heading = Text(clean(title), style="bold")
    if not rows:
        return Group(
            heading,
            Text("\nNothing to show: no candidate came through the funnel. The table below says where they went.\n"),
        )
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(justify="right", style="cyan", width=3)
    table.add_column(ratio=1)
    between = dict(modules)
    for place, row in enumerate(rows):
        while (entry := len(table.rows)) in between:
            table.add_row("", Text(clean(between[entry]) + "\n", style="yellow", overflow="ellipsis", no_wrap=True))
        table.add_row(str(row["rank"]), _card(row, why[place], details[place] if details else ""))
    for entry in sorted(entry for entry in between if entry >= len(table.rows)):
        table.add_row("", Text(clean(between[entry]) + "\n", style="yellow", overflow="ellipsis", no_wrap=True))
    return Group(heading, Text(), table)


def paragraph(text: str, *, bold: bool = False) -> RenderableType:
    """A line of text with space under it."""
    return Text(clean(text) + "\n", style="bold" if bold else "")


def _card(row: Mapping[str, object], why: str, details: str) -> RenderableType:
    head = Table.grid(expand=True)
    head.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    head.add_column(justify="right", style="green", no_wrap=True)
    sources = row["sources"]
    assert isinstance(sources, Iterable)
    name = Text(f"@{clean(str(row['handle']))}", style="bold")
    if "age_h" in row:  # a funnel whose stages need no age says none
        name.append(f" · {age_words(_number(row['age_h']))}", "not bold dim")
    if "in_network" in row:
        name.append(" · ", "not bold dim")
        name.append(*(("following", "not bold blue") if row["in_network"] else ("suggested", "not bold magenta")))
    name.append(f" · {', '.join(map(str, sources))}", "not bold dim")
    head.add_row(name, f"{_number(row['score']):.4g}")
    parts: list[RenderableType] = [head, Text(clean(str(row["text"])))]
    if why:
        parts.append(Text(clean(why), style="dim italic"))
    if details:
        parts.append(Text("\n".join(map(clean, details.split("\n"))), style="dim"))
    return Group(*parts, Text())


def funnel_table(stages: Sequence[StageLike], *, requests: int = 1) -> RenderableType:
    """What came into and out of each stage, and how long it took."""
    title = "The funnel" if requests == 1 else f"The funnel, {requests:,} timelines"
    table = _plain_table(("stage", ""), ("kind", ""), ("in", "r"), ("out", "r"), ("ms", "r"))
    for row in stages:
        lost = row.n_out < row.n_in
        entered = "" if row.kind == "source" else f"{row.n_in:,}"
        table.add_row(
            row.stage, row.kind, entered, Text(f"{row.n_out:,}", style="yellow" if lost else ""), f"{row.wall_ms:.2f}"
        )
    table.add_section()
    table.add_row("all stages", "", "", "", f"{sum(row.wall_ms for row in stages):.2f}")
    return _titled(title, table)


def warnings_panel(warnings: Sequence[str]) -> RenderableType:
    """Warnings that nobody can overlook."""
    text = Text("\n".join(f"• {clean(line)}" for line in warnings))
    return Panel(text, title="Warning" if len(warnings) == 1 else "Warnings", border_style="bold red", box=box.HEAVY)


def rows_table(rows: Sequence[Mapping[str, object]], *, title: str, empty: str = "nothing") -> RenderableType:
    """Rows of the same keys as a table: numbers to the right, missing values as –."""
    if not rows:
        return Text(f"{title}: {empty}")
    names = list(dict.fromkeys(name for row in rows for name in row))
    numeric = {name: all(isinstance(row.get(name), int | float | None) for row in rows) for name in names}
    table = _plain_table(*((name.replace("_", " "), "r" if numeric[name] else "") for name in names))
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    return _titled(title, table)


def flat_rows(rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """The rows with nested mappings as `outer.inner` and lists as words with semicolons: what a CSV file can hold."""
    return [dict(_leaves(row)) for row in rows]


def _leaves(pairs: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in pairs.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple | set):
            yield f"{prefix}{name}", "; ".join(str(part) for part in value)
        else:
            yield f"{prefix}{name}", value


def metrics_table(rows: Sequence[Mapping[str, object]]) -> RenderableType:
    """Held-out metrics of rankers: rows of `funnel.evaluate.held_out_table`.

    popular (favourites so far) and light (the light ranker) are AUCs on the same impressions; gain is the 95 %
    interval of the ranker's AUC minus the light ranker's; oracle is the AUC of the true probabilities.
    """
    if not rows:
        return Text("Held-out impressions: nothing to measure in this world")
    table = _plain_table(
        ("head", ""),
        ("positives", "r"),
        ("AUC", "r"),
        ("RCE", "r"),
        ("popular", "r"),
        ("light", "r"),
        ("gain 95%", ""),
        ("oracle", "r"),
    )
    before = None
    for row in rows:
        if row.get("stage") != before:
            before = row.get("stage")
            table.add_section()
            table.add_row(Text(_cell(before), style="bold", no_wrap=True))
        table.add_row(
            Text(_cell(row.get("head")), no_wrap=True),
            _cell(row.get("positives")),
            _fixed(row.get("auc"), 3),
            _fixed(row.get("rce"), 1),
            _fixed(row.get("auc_popularity"), 3),
            _fixed(row.get("auc_light"), 3),
            _interval(row, "gain_low", "gain_high"),
            _fixed(row.get("auc_oracle"), 3),
        )
    return _titled("Held-out impressions", table)


def _fixed(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) and math.isfinite(value) else "–"


def _interval(row: Mapping[str, object], low: str, high: str) -> str:
    sides = (_fixed(row.get(low), 3), _fixed(row.get(high), 3))
    return "" if "–" in sides else " ".join(sides)


def fields(pairs: Mapping[str, object], *, title: str) -> RenderableType:
    """Names and values, one a line; nested mappings are indented."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _flat(pairs):
        grid.add_row(name.replace("_", " "), _cell(value))
    return Group(Text(clean(title), style="bold"), grid)


def message(text: str) -> None:
    """One paragraph on stderr, for errors: plain, so that scripts can read it."""
    sys.stderr.write(clean(text) + "\n")


def _titled(title: str, table: Table) -> RenderableType:
    return Group(Text(clean(title), style="bold"), table)


def _plain_table(*columns: tuple[str, str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name, side in columns:
        table.add_column(name, justify="right" if side else "left", overflow="fold")
    return table


def _flat(pairs: Mapping[str, object], indent: str = "") -> Iterator[tuple[str, object]]:
    for name, value in pairs.items():
        if isinstance(value, Mapping):
            yield indent + str(name), ""
            yield from _flat(value, indent + "  ")
        else:
            yield indent + str(name), value


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, list | tuple | set):
        return ", ".join(map(_cell, value)) or "–"
    return clean(str(value))


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)

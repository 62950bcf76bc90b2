"""A loss ledger to look at: bars in the terminal, an SVG for light and dark pages, a page of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from funnel.experiment.attribute import ALL_VIEWERS, CORPUS, ELIGIBLE, RULE, SERVED, Ledger

_BAR = 16  # characters
_ROW, _LEFT, _WIDTH, _NUMBERS, _HEAD, _FOOT = 24, 230, 900, 150, 56, 34
# Colours that differ for the colour-blind too, each with 3:1 contrast or more on white and on GitHub's dark #0d1117.
_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px } .note { fill: #59636e; font-size: 12px }
.number { font-variant-numeric: tabular-nums }
.total { fill: #57606a } .rule { fill: #8c959f } .loss { fill: #d1542a } .gain { fill: #1f883d }
.link, .error { stroke: #59636e; stroke-width: 1 } .link { stroke-dasharray: 2 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9198a1 }
  .total { fill: #9198a1 } .rule { fill: #6e7681 } .loss { fill: #f0793f } .gain { fill: #3fb950 }
  .link, .error { stroke: #9198a1 }
}
"""


@dataclass(frozen=True)
class Bar:
    """One row of a waterfall: a total, or a loss from `begin` down to `end`, with its interval."""

    name: str
    begin: float
    end: float
    total: bool
    rule: bool = False
    low: float = 0.0
    high: float = 0.0

    @property
    def look(self) -> str:
        """How it is drawn: total, rule, loss or gain."""
        if self.total:
            return "total"
        return "gain" if self.end > self.begin else "rule" if self.rule else "loss"


def bars(ledger: Ledger, segment: str = ALL_VIEWERS) -> list[Bar]:
    """The corpus, each step, what is eligible where the rules end, and the page served."""
    totals = {name: _number(value) for name, value in ledger.totals(segment).items() if name in (CORPUS, SERVED)}
    found = [Bar(CORPUS, 0.0, totals[CORPUS], total=True)]
    for number, row in enumerate(ledger.rows(segment)):
        if number == ledger.rules:
            found.append(Bar(ELIGIBLE, 0.0, _number(row["before"]), total=True))
        begin, end, low, high = (_number(row[name]) for name in ("before", "after", "low", "high"))
        found.append(Bar(str(row["stage"]), begin, end, total=False, rule=row["charge"] == RULE, low=low, high=high))
    return [*found, Bar(SERVED, 0.0, totals[SERVED], total=True)]


def terminal_rows(ledger: Ledger, segment: str = ALL_VIEWERS) -> list[dict[str, object]]:
    """Rows for `funnel.report.rows_table`: value after each step, its loss with the interval as shares, a bar."""
    drawn = bars(ledger, segment)
    eligible = _number(ledger.totals(segment)[ELIGIBLE])
    widest = max(max(bar.begin, bar.end) for bar in drawn)
    per = 1.0 / eligible if eligible > 0 else 0.0
    return [
        {
            "stage": bar.name.upper() if bar.total else bar.name,
            "value": f"{bar.end:.4g}",
            "lost": "" if bar.total else _percent((bar.begin - bar.end) * per),
            "95 %": "" if bar.total else f"{_percent(bar.low * per)} … {_percent(bar.high * per)}",
            "": _blocks(bar, widest),
        }
        for bar in drawn
    ]


def _blocks(bar: Bar, widest: float) -> str:
    if widest <= 0:
        return ""
    low, high = sorted(min(max(round(value / widest * _BAR), 0), _BAR) for value in (bar.begin, bar.end))
    sign = {"total": "█", "rule": "▒", "loss": "▓", "gain": "+"}[bar.look]
    return ("·" * low + sign * (high - low)).ljust(_BAR, " ")


def segment_rows(ledger: Ledger) -> list[dict[str, object]]:
    """One row a segment of viewers: how much of its eligible value is served, and the two worst stages."""
    rows: list[dict[str, object]] = []
    for name, chosen in ledger.segments.items():
        if not chosen.any():
            continue
        totals = ledger.totals(name)
        worst = sorted(ledger.rows(name)[ledger.rules :], key=lambda row: -_number(row["loss"]))[:2]
        said = ", ".join(f"{row['stage']} {_share(row['share'])}" for row in worst)
        interval = f"{_share(totals['served_share_low'])} … {_share(totals['served_share_high'])}"
        rows.append(
            {
                "viewers": name,
                "count": totals["viewers"],
                ELIGIBLE: f"{_number(totals[ELIGIBLE]):.4g}",
                SERVED: f"{_number(totals[SERVED]):.4g}",
                "share": _share(totals["served_share"]),
                "95 %": interval,
                "lost most at": said,
            }
        )
    return rows


def csv_rows(ledger: Ledger) -> list[dict[str, object]]:
    """Every line of every segment."""
    return [
        {"segment": name, "viewers": int(chosen.sum()), **row}
        for name, chosen in ledger.segments.items()
        if chosen.any()
        for row in ledger.rows(name)
    ]


def svg(ledger: Ledger, segment: str = ALL_VIEWERS) -> str:
    """The waterfall as an SVG that follows the reader's light or dark scheme."""
    drawn = bars(ledger, segment)
    low = min(0.0, *(min(bar.begin, bar.end) for bar in drawn))
    span = max(*(max(bar.begin, bar.end) for bar in drawn), low + 1e-12) - low
    room = _WIDTH - _LEFT - _NUMBERS
    height = _HEAD + _ROW * len(drawn) + _FOOT
    eligible = _number(ledger.totals(segment)[ELIGIBLE])

    def x(value: float) -> float:
        return _LEFT + (value - low) / span * room

    title, note = captions(ledger, segment)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img"><title>{escape(title)}</title><style>{_STYLE}</style>',
        f'<text class="title" x="12" y="22">{escape(title)}</text>',
        f'<text class="note" x="12" y="42">{escape(note)}</text>',
    ]
    for place, bar in enumerate(drawn):
        parts.append(_svg_row(bar, _HEAD + place * _ROW, x, eligible))
    for place, (bar, after) in enumerate(pairwise(drawn)):
        if not after.total:
            y = _HEAD + place * _ROW
            ends = f'x1="{x(bar.end):.1f}" x2="{x(bar.end):.1f}" y1="{y + _ROW - 5}" y2="{y + _ROW + 5}"'
            parts.append(f'<line class="link" {ends}/>')
    foot = "Light grey: what may not be shown. Thin lines: 95 % intervals of a loss (bootstrap over viewers)."
    parts.append(f'<text class="note" x="12" y="{height - 12}">{escape(foot)}</text></svg>')
    return "\n".join(parts) + "\n"


def _svg_row(bar: Bar, y: int, x: Callable[[float], float], eligible: float) -> str:
    left, right = sorted((x(bar.begin), x(bar.end)))
    middle = y + _ROW // 2
    said = f"{bar.end:.3g}" if bar.total else f"{bar.end - bar.begin:+.3g}"
    if eligible > 0:
        said += f" · {bar.end / eligible:.1%}" if bar.total else f" · {(bar.end - bar.begin) / eligible:+.1%}"
    said = said.replace("-", "−")
    parts = [
        f'<text x="{_LEFT - 10}" y="{middle + 4}" text-anchor="end">{escape(bar.name)}</text>',
        f'<rect class="{bar.look}" x="{left:.1f}" y="{y + 5}" width="{max(right - left, 1.0):.1f}" '
        f'height="{_ROW - 10}" rx="2"/>',
    ]
    if not bar.total and bar.high - bar.low > 0:
        ends = f'x1="{x(bar.begin - bar.high):.1f}" x2="{x(bar.begin - bar.low):.1f}" y1="{middle}" y2="{middle}"'
        parts.append(f'<line class="error" {ends}/>')
    number = f'x="{_WIDTH - 12}" y="{middle + 4}" text-anchor="end"'
    parts.append(f'<text class="number" {number}>{escape(said)}</text>')
    return "".join(parts)


def html_page(ledger: Ledger) -> str:
    """A page that stands alone (plotly inside, no network): the waterfall, and losses by segment of viewers."""
    import plotly.graph_objects as go  # 0.3 s that only this page needs
    from plotly.offline import get_plotlyjs

    title, note = captions(ledger)
    drawn = bars(ledger)
    fall = go.Figure(
        go.Waterfall(
            orientation="h",
            y=[f"{place:02d} {bar.name}" for place, bar in enumerate(drawn)],
            x=[bar.end if bar.total else bar.end - bar.begin for bar in drawn],
            measure=["absolute" if bar.total else "relative" for bar in drawn],
            customdata=[f"{bar.low:.4g} … {bar.high:.4g}" if not bar.total else "" for bar in drawn],
            hovertemplate="%{y}: %{x:.4g}<br>95 % of the loss: %{customdata}<extra></extra>",
            decreasing={"marker": {"color": "#d1542a"}},
            increasing={"marker": {"color": "#1f883d"}},
            totals={"marker": {"color": "#57606a"}},
        )
    )
    fall.update_layout(title=title, height=120 + 26 * len(drawn), margin={"l": 260}, yaxis={"autorange": "reversed"})
    split = go.Figure()
    for name, chosen in ledger.segments.items():
        if chosen.any():
            rows = ledger.rows(name)[ledger.rules :]
            shares = [_number(row["share"]) if row["share"] is not None else 0.0 for row in rows]
            split.add_bar(name=f"{name} ({int(chosen.sum())})", y=[str(row["stage"]) for row in rows], x=shares,
                          orientation="h")  # fmt: skip
    split.update_layout(
        title="Share of the eligible value lost, by segment of viewers", barmode="group", height=160 + 40 * len(drawn),
        margin={"l": 260}, yaxis={"autorange": "reversed"}, xaxis={"tickformat": ".0%"},
    )  # fmt: skip
    figures = "".join(figure.to_html(full_html=False, include_plotlyjs=False) for figure in (fall, split))
    style = "body{font:15px system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}"
    style += "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right}td:first-child{text-align:left}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style><script>{get_plotlyjs()}</script></head><body><h1>{escape(title)}</h1>"
        f"<p>{escape(note)}</p>{figures}{_table(segment_rows(ledger))}{_table(csv_rows(ledger))}</body></html>\n"
    )


def captions(ledger: Ledger, segment: str = ALL_VIEWERS) -> tuple[str, str]:
    """(title, what was measured) in words."""
    meta, totals = ledger.meta, ledger.totals(segment)
    title = f"Where {meta['funnel']} loses value on {meta['world']}"
    if totals["served_share"] is not None:
        title += f": {_share(totals['served_share'])} of what is eligible is served"
    who = f"{totals['viewers']} viewers" + ("" if segment == ALL_VIEWERS else f" ({segment})")
    note = (
        f"{who}, pages of {meta['places']}, {meta['value']} on true probabilities, "
        f"corpus of {_number(meta['corpus_tweets']):,.0f} tweets of {_number(meta['max_age_h']):g} h"
    )
    return title, note


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(v))}</td>" for v in row.values()) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _share(value: object) -> str:
    return "–" if value is None else _percent(_number(value))


def _percent(share: float) -> str:
    return f"{round(share, 3) + 0.0:.1%}"  # + 0.0: no −0.0 %


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)

"""What pages of reports share: the document that needs no network, and tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from funnel.report_html.figure import Figure, Missing, number
from funnel.store import write_atomically


def document(title: str, parts: Sequence[str], data: Mapping[str, object]) -> str:
    """A page; parts: HTML, escaped; data: what its script draws."""
    from plotly.offline import get_plotlyjs  # 5 MB of text that only a page needs

    title = escape(title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><style>{_own("report.css")}</style></head><body><main>'
        f"<h1>{title}</h1>{''.join(parts)}</main>"
        f'<script type="application/json" id="data">{_json(data)}</script>'
        f"<script>{get_plotlyjs()}</script><script>{_own('report.js')}</script></body></html>\n"
    )


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows of the same keys; numbers to the right."""
    if not rows:
        return "<p>Nothing.</p>"
    head = "".join(f"<th>{escape(str(name))}</th>" for name in rows[0])
    body = "".join(f"<tr>{''.join(_cell(value) for value in row.values())}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def write_drawn(shown: Sequence[Figure | Missing], folder: Path) -> list[Path]:
    """Every figure that there are data for, as SVG and as PNG; the files written."""
    written = []
    for one in shown:
        if isinstance(one, Figure):
            for ending, content in (("svg", one.canvas.svg().encode()), ("png", one.canvas.png())):
                file = folder / f"{one.name}.{ending}"
                write_atomically(file, lambda partial, content=content: partial.write_bytes(content))  # type: ignore[misc]
                written.append(file)
    return written


def _cell(value: object) -> str:
    if isinstance(value, str) and not value.endswith("%"):
        return f"<td>{escape(value)}</td>"
    text = "" if value is None else value if isinstance(value, str) else number(value)
    return f'<td class="number">{escape(text)}</td>'


def _json(data: object) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _own(name: str) -> str:
    return (files("funnel.report_html") / name).read_text(encoding="utf-8")

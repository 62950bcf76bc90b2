"""A drawing of boxes, lines, shapes and texts that can be written as SVG or as PNG.

Coordinates are pixels from the top left. Colours are "ink" (texts), "muted", "grid" and "paper", which follow the
reader's light or dark mode in SVG, or "#rrggbb", which must be legible on both. Texts are data and are escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO

Point = tuple[float, float]

# light, dark: text at a contrast of 7 : 1 and muted text of 4.5 : 1 or more (WCAG 2.2, 1.4.3 and 1.4.6).
THEME = {
    "ink": ("#1f2328", "#e6edf3"),
    "muted": ("#59636e", "#9198a1"),
    "grid": ("#d1d9e0", "#3d444d"),
    "paper": ("#ffffff", "#0d1117"),
}
BLUE, ORANGE, GREEN, PURPLE, RED, TEAL, GREY = (
    "#3b7dd8", "#d9822b", "#3f9142", "#8e63ce", "#d1495b", "#2a9d9d", "#8b949e",
)  # fmt: skip
SERIES = (BLUE, ORANGE, GREEN, PURPLE, RED, TEAL, "#b58900", "#c2528b", "#6b7f3a", "#5f6b8a")
FONT = "system-ui,-apple-system,'Segoe UI',sans-serif"
SCALE = 2  # pixels of a PNG for one of the drawing


@dataclass(frozen=True)
class Shape:
    """A filled polygon or, if open, a line of some width."""

    points: tuple[Point, ...]
    colour: str
    width: float
    opacity: float
    closed: bool
    title: str
    dash: bool


@dataclass(frozen=True)
class Words:
    """A text: x, y is its base line's start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str
    size: float
    colour: str
    bold: bool


@dataclass
class Canvas:
    """What was drawn so far, in order."""

    width: float
    height: float
    title: str
    marks: list[Shape | Words] = field(default_factory=list)

    def polygon(self, points: Sequence[Point], colour: str, *, opacity: float = 1.0, title: str = "") -> None:
        """A filled shape; title: what a reader sees who points at it."""
        self.marks.append(Shape(tuple(points), colour, 0.0, opacity, True, title, False))

    def box(
        self, x: float, y: float, width: float, height: float, colour: str, *, opacity: float = 1.0, title: str = ""
    ) -> None:
        """A filled box; a negative width or height goes to the left or up."""
        self.polygon(
            [(x, y), (x + width, y), (x + width, y + height), (x, y + height)], colour, opacity=opacity, title=title
        )

    def line(self, points: Sequence[Point], colour: str, *, width: float = 1.0, dash: bool = False) -> None:
        """A line through points."""
        self.marks.append(Shape(tuple(points), colour, width, 1.0, False, "", dash))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: str = "start",
        size: float = 12.0,
        colour: str = "ink",
        bold: bool = False,
    ) -> None:
        """A text; anchor: start, middle or end."""
        self.marks.append(Words(x, y, text, anchor, size, colour, bold))

    def svg(self) -> str:
        """As SVG that follows the reader's light or dark mode."""
        size = f'viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" height="{self.height:g}"'
        marks = "".join(_svg_shape(mark) if isinstance(mark, Shape) else _svg_words(mark) for mark in self.marks)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} class="fr" role="img" font-family="{FONT}">'
            f"<title>{escape(self.title)}</title><style>{_style()}</style>{marks}</svg>"
        )

    def png(self) -> bytes:
        """As PNG on white, two pixels for one."""
        from PIL import Image, ImageDraw, ImageFont  # only who wants PNG files needs it

        image = Image.new("RGB", (round(self.width * SCALE), round(self.height * SCALE)), "#ffffff")
        draw = ImageDraw.Draw(image, "RGBA")
        for mark in self.marks:
            if isinstance(mark, Words):
                font = ImageFont.load_default(mark.size * SCALE)
                anchor = {"start": "ls", "middle": "ms", "end": "rs"}[mark.anchor]
                place = (mark.x * SCALE, mark.y * SCALE)
                draw.text(place, _drawable(mark.text), fill=_rgba(mark.colour, 1.0), font=font, anchor=anchor)
            else:
                points = [(x * SCALE, y * SCALE) for x, y in mark.points]
                if mark.closed:
                    draw.polygon(points, fill=_rgba(mark.colour, mark.opacity))
                else:
                    draw.line(points, fill=_rgba(mark.colour, 1.0), width=max(1, round(mark.width * SCALE)))
        out = BytesIO()
        image.save(out, "PNG", optimize=True)
        return out.getvalue()


def _style() -> str:
    def rules(place: int) -> str:
        return "".join(
            f".fr .{name}{{fill:{pair[place]}}}.fr .line.{name}{{fill:none;stroke:{pair[place]}}}"
            for name, pair in THEME.items()
        )

    return f".fr .line{{fill:none}}{rules(0)}@media(prefers-color-scheme:dark){{{rules(1)}}}"


def _svg_shape(mark: Shape) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.points)
    title = f"<title>{escape(mark.title)}</title>" if mark.title else ""
    if mark.closed:
        paint = f'class="{mark.colour}" stroke-width="0"' if mark.colour in THEME else f'fill="{mark.colour}"'
        opacity = f' fill-opacity="{mark.opacity:g}"' if mark.opacity < 1 else ""
        return f'<polygon points="{points}" {paint}{opacity}>{title}</polygon>'
    paint = f'class="{mark.colour} line"' if mark.colour in THEME else f'class="line" stroke="{mark.colour}"'
    dash = ' stroke-dasharray="4 4"' if mark.dash else ""
    return f'<polyline points="{points}" {paint} stroke-width="{mark.width:g}"{dash}>{title}</polyline>'


def _svg_words(mark: Words) -> str:
    paint = f'class="{mark.colour}"' if mark.colour in THEME else f'fill="{mark.colour}"'
    bold = ' font-weight="600"' if mark.bold else ""
    return (
        f'<text x="{mark.x:.1f}" y="{mark.y:.1f}" text-anchor="{mark.anchor}" font-size="{mark.size:g}"{bold} '
        f"{paint}>{escape(mark.text)}</text>"
    )


def _rgba(colour: str, opacity: float) -> tuple[int, int, int, int]:
    known = THEME[colour][0] if colour in THEME else colour
    red, green, blue = (int(known[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue, round(255 * opacity)


def _drawable(text: str) -> str:
    """Pillow's own font has Latin letters only: a few signs of ours in other words."""
    for sign, words in (("→", "->"), ("−", "-"), ("≤", "<="), ("≥", ">="), ("…", "..."), ("×", "x")):
        text = text.replace(sign, words)
    return text.encode("latin-1", "replace").decode("latin-1")

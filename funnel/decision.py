"""What was decided for one viewer where an empty page is an answer: which tweet is sent, or why none, and what fell.

>>> decision(pages[0], pages)["sent"]            # doctest: +SKIP
"""

from __future__ import annotations

from typing import TypedDict

from funnel.explain import does
from funnel.trace import Page, Pages

RUNNERS_UP = 8  # candidates that are told of besides the one that is sent


class Fallen(TypedDict):
    """A candidate that was not sent: by falling value, and after those the ones that no ranker saw."""

    tweet: int
    handle: str
    value: float | None
    p: dict[str, float]
    removed_by: str


class Decision(TypedDict):
    """What was decided: `sent` is a tweet or None; if None, `stopped_by` removed the last candidates, and `why` says
    what that stage does."""

    sent: int | None
    candidates: int
    stopped_by: str | None
    why: str
    fell: list[Fallen]


def decision(page: Page, pages: Pages) -> Decision:
    """The decision of one page of `pages`, which must have been run with detail."""
    import polars as pl  # 0.3 s that a timeline need not pay

    removals = [(name, count) for name, count in page.stage_removals if count]
    sent = int(str(page.rows[0]["tweet"])) if page.rows else None
    frame = pages.candidates().filter((pl.col("viewer") == page.viewer) & pl.col("removed_by").is_not_null())
    candidates = frame.height + len(page)
    stopped = removals[-1][0] if sent is None and removals else None
    if sent is not None:
        why = "it has the best value of those that came through"
    elif stopped is None:
        why = "no source found a candidate"
    else:
        why = _does(pages, stopped)
    if "value" in frame.columns:
        frame = frame.sort("value", "tweet", descending=[True, False], nulls_last=True)
    rows = frame.head(RUNNERS_UP).to_dicts()
    handles = pages.funnel.world.handles([row["author"] for row in rows]) if rows else []
    fell: list[Fallen] = [
        {
            "tweet": row["tweet"],
            "handle": handle,
            "value": row.get("value"),
            "p": {name[2:]: p for name, p in row.items() if name.startswith("p.") and p is not None},
            "removed_by": row["removed_by"],
        }
        for row, handle in zip(rows, handles, strict=True)
    ]
    return {"sent": sent, "candidates": candidates, "stopped_by": stopped, "why": why, "fell": fell}


def words(said: Decision) -> str:
    """The decision in one line."""
    if said["sent"] is not None:
        return f"Tweet {said['sent']} is sent, of {said['candidates']:,} candidates: {said['why']}."
    if said["stopped_by"] is None:
        return f"Nothing is sent: {said['why']}."
    return (
        f"Nothing is sent, of {said['candidates']:,} candidates: {said['stopped_by']} stopped the last. {said['why']}."
    )


def fallen_rows(said: Decision) -> list[dict[str, object]]:
    """One row a candidate that fell, for a table."""
    return [
        {
            "tweet": str(one["tweet"]),
            "author": f"@{one['handle']}",
            **{f"p {name}": round(p, 4) for name, p in one["p"].items()},
            "value": one["value"],
            "removed by": one["removed_by"],
        }
        for one in said["fell"]
    ]


def _does(pages: Pages, stage: str) -> str:
    """What a stage does, in its own words."""
    return next((does(slot) for slot in pages.funnel.stages if slot.name == stage), stage)

"""How people react to notifications in a made world, by what makes them: the tables of docs/notifications.md.

    python -m bench.notified [--world small] [--json]

Of the log's notifications, by hour, by reason, by how many were received lately, and by whether the viewer knew the
tweet: the share of each action, and the mean satisfaction according to the oracle. Then the oracle's AUC on the log,
the correlation of opening and satisfaction, and how many pairs a second of processor time it answers about.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from time import process_time

import numpy as np

from funnel.core.arrays import Array, Bools, Floats
from funnel.core.errors import ConfigError
from funnel.core.products import PUSH
from funnel.core.tables import NOTIFICATION_KINDS
from funnel.features.logged import labels
from funnel.learn.metrics import auc
from funnel.report import TerminalProgress, console, rows_table
from funnel.world import World
from synthetic.notifying import DISLIKE, DISMISS, ENGAGE, OONC, TURN_OFF, NotificationModel

_COLUMNS = {"oonc": OONC, "engage": ENGAGE, "dismiss": DISMISS, "dislike": DISLIKE, "turn_off": TURN_OFF}
_HOURS = (0, 3, 6, 9, 12, 15, 18, 21, 24)
_RECEIVED = (0, 0.5, 1, 2, 4, np.inf)  # notifications, each halved every eight hours
_SPEED_ROWS = 200_000


def measured(world: World) -> tuple[list[dict[str, object]], dict[str, float]]:
    """(a row for each group of the log's notifications, figures of the oracle)."""
    model = world.oracle_of(PUSH)
    if not isinstance(model, NotificationModel):
        raise ConfigError(f"world {world.name!r}", "wants a made world: nobody knows how people here react")
    log = world.tables.table("notifications")
    shown = log["viewer"], log["tweet"], np.zeros_like(log["viewer"]), log["time_h"]
    began = process_time()
    some = tuple(column[:_SPEED_ROWS] for column in shown)
    model.probabilities(*some)  # builds the indices
    indices_s, began = process_time() - began, process_time()
    model.probabilities(*some)
    seconds = process_time() - began
    p, glad = model.probabilities(*shown), model.satisfaction(shown[0], shown[1], now_h=log["time_h"])
    did = labels(world.view(), np.arange(log["viewer"].size), PUSH)
    causes = model.causes(shown[0], shown[1], log["time_h"])
    hour, received = log["time_h"] % 24.0, np.expm1(causes.fatigue)
    groups: list[tuple[str, Bools]] = [("all", np.ones(hour.size, np.bool_))]
    groups += [(f"{a} to {b} h", (hour >= a) & (hour < b)) for a, b in pairwise(_HOURS)]
    groups += [(name, log["kind"] == code) for code, name in enumerate(NOTIFICATION_KINDS)]
    groups += [(f"received {a:g} to {b:g}", (received >= a) & (received < b)) for a, b in pairwise(_RECEIVED)]
    groups += [("knew the tweet", causes.stale), ("did not", ~causes.stale)]
    figures = {
        "auc_of_oonc": auc(did[:, OONC], p[:, OONC]),
        "auc_of_turn_off": auc(did[:, TURN_OFF], p[:, TURN_OFF]),
        "correlation_of_oonc_and_satisfaction": float(np.corrcoef(p[:, OONC], glad)[0, 1]),
        "pairs_a_second": some[0].size / seconds,
        "seconds_of_indices": indices_s,
    }
    return [_row(name, chosen, did, glad) for name, chosen in groups], figures


def _row(name: str, chosen: Bools, did: Array, glad: Floats) -> dict[str, object]:
    size = max(int(chosen.sum()), 1)
    shares = {action: float(did[chosen, code].sum() / size) for action, code in _COLUMNS.items()}
    return {"notifications": name, "n": int(chosen.sum()), **shares, "satisfaction": float(glad[chosen].sum() / size)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How people react to notifications in a made world.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows, figures = measured(World.load(asked.world, progress=TerminalProgress()))
    if asked.json:
        sys.stdout.write(json.dumps({"rows": rows, **figures}, indent=1) + "\n")
        return
    shown = [{name: _said(value) for name, value in row.items()} for row in rows]
    out = console()
    out.print(rows_table(shown, title="What viewers do with notifications"))
    for name, value in figures.items():
        out.print(f"{name}: {value:,.3f}")


def _said(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value


if __name__ == "__main__":
    main()

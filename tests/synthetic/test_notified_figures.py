"""The tables of docs/notifications.md, measured on a small town."""

from __future__ import annotations

import pytest

from bench.notified import measured
from funnel.world import World
from tests.synthetic.towns import configured, town


def test_groups_of_each_kind_are_all_notifications_and_figures_are_of_the_oracle() -> None:
    rows, figures = measured(World.of(town(), builder=configured("small")))
    sizes = {str(row["notifications"]): row["n"] for row in rows}
    total = town().tables["notifications"]["viewer"].size
    assert sizes["all"] == total
    for parts in (slice(1, 9), slice(9, 12), slice(12, 17), slice(17, 19)):
        assert sum(list(sizes.values())[parts]) == total  # type: ignore[arg-type]
    by_name = {str(row["notifications"]): row for row in rows}
    assert by_name["all"]["oonc"] == pytest.approx(0.05, rel=0.1)
    assert by_name["3 to 6 h"]["oonc"] < by_name["12 to 15 h"]["oonc"]  # type: ignore[operator]
    assert by_name["first_degree"]["oonc"] > by_name["recommended"]["oonc"]  # type: ignore[operator]
    assert figures["auc_of_oonc"] > 0.85
    assert figures["pairs_a_second"] > 0

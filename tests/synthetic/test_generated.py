from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from funnel.core.actions import ACTION_NAMES
from funnel.core.errors import ConfigError
from funnel.core.progress import SILENT
from funnel.core.tables import TABLES
from funnel.core.world import WorldTables
from funnel.store import check_tables
from synthetic.generated import Generated
from synthetic.settings import Rates
from tests.synthetic.towns import configured, oracle, reactions, town


def test_every_table_is_there_with_the_declared_columns_and_types() -> None:
    tables = town().tables
    assert {name for name, table in TABLES.items() if table.required} < set(tables)
    for name in tables:
        table = TABLES[name]
        assert set(tables[name]) == set(table.columns), name
        for column, spec in table.columns.items():
            assert tables[name][column].dtype == (object if spec.dtype == "str" else spec.dtype), f"{name}.{column}"


def test_ids_ranges_and_orders_are_those_of_the_contract() -> None:
    check_tables(town().tables, "town")
    for table in ("tweets", "impressions", "engagements", "feedback"):
        assert (np.diff(town().tables[table]["time_h"]) >= 0).all(), table


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    builder = configured("tiny", users=60, tweets=600)
    first, again, other = (builder.build("t", seed, SILENT) for seed in (3, 3, 4))
    for name, columns in first.tables.items():
        for column, values in columns.items():
            same = again.tables[name][column]
            assert values.dtype == same.dtype
            assert values.tolist() == same.tolist() if values.dtype == object else values.tobytes() == same.tobytes()
    assert all(values.tobytes() == again.truth[name].tobytes() for name, values in first.truth.items())
    assert first.tables["tweets"]["time_h"].tobytes() != other.tables["tweets"]["time_h"].tobytes()


def test_the_builder_returns_an_oracle_only_where_there_is_truth() -> None:
    data = town()
    tables = WorldTables(data.meta, data.tables)
    assert Generated().oracle(tables, {}) is None
    model = Generated().oracle(tables, data.truth)
    assert model is not None
    ids = np.arange(5, dtype=np.int32)
    again = oracle().probabilities(ids, ids, ids, np.full(5, 100.0))
    assert np.array_equal(model.probabilities(ids, ids, ids, np.full(5, 100.0)), again)


@pytest.mark.parametrize(("name", "users"), [("tiny", 300), ("small", 10_000), ("medium", 100_000), ("large", 10**6)])
def test_shipped_worlds_are_valid_settings(name: str, users: int) -> None:
    assert configured(name).users == users


@pytest.mark.parametrize(("users", "tweets", "topics"), [(2, 10, 2), (3, 200, 2), (40, 10, 24)])
def test_the_smallest_worlds_can_be_built(users: int, tweets: int, topics: int) -> None:
    least = Generated(users=users, tweets=tweets, topics=topics, days=2, sessions_per_user_day=50)
    data = least.build("least", 1, SILENT)
    check_tables(data.tables, "least")


@pytest.mark.parametrize(
    "wrong",
    [
        {"users": 0},
        {"users": 1},
        {"topics": 1},
        {"tweets": 0},
        {"days": 1},
        {"retweet_share": 1.5},
        {"patience": 0},
        {"rates": {"favorite": 1.2}},
        {"rates": {"love": 0.1}},
        {"utility": {"taste": -1}},
        {"language_shares": ()},
        {"language_shares": (0.2,) * 5},
        {"dormant_share": 1.5},
        {"trend_share": -0.1},
        {"labeller": {"precision": 0}},
        {"peple": 9},
    ],
)
def test_settings_out_of_their_bounds_and_unknown_ones_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Generated(**wrong)  # type: ignore[arg-type]


def test_contradictory_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"rates\.block: happens within 'negative_feedback'"):
        Rates(block=0.01, negative_feedback=0.005)
    with pytest.raises(ConfigError, match="want a sum of 1 at most"):
        Generated(retweet_share=0.5, reply_share=0.4, quote_share=0.2)
    with pytest.raises(ConfigError, match=r"language_shares: want a sum of 1, got 0\.9"):
        Generated(language_shares=(0.5, 0.4))
    with pytest.raises(ConfigError, match="want a sum of 1 at least"):
        Generated(followed_places=0, popular_places=0, explored_places=0)


def test_there_is_a_rate_for_each_action() -> None:
    assert set(Rates.__dataclass_fields__) == set(ACTION_NAMES)


def test_actions_happen_in_the_log_about_as_often_as_the_settings_say() -> None:
    data = town()
    done = reactions(data)
    video = data.tables["tweets"]["video_s"][data.tables["impressions"]["tweet"]] > 0
    mean = done.mean(axis=0)
    mean[ACTION_NAMES.index("video_playback50")] = done[video, ACTION_NAMES.index("video_playback50")].mean()
    # The pilot finds less good tweets popular than the whole log does, and some actions are rare: a third either way.
    common = Rates().column() >= 0.004
    assert np.allclose(mean[common], Rates().column()[common], rtol=0.33)

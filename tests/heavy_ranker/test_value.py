"""The value: laws, and the worked example of the published weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.arrays import Array
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError
from funnel.core.rng import stream
from heavy_ranker.value import PRESETS, Value
from tests.support import fake_batch

ACTION = st.sampled_from(HEAVY_ACTIONS)
WEIGHTS = st.dictionaries(ACTION, st.floats(-400, 400))
POSITIVE = [name for name, weight in PRESETS["april_2023"].items() if weight > 0]


def _batch(**p: float | list[float]) -> CandidateBatch:
    rows = max((np.size(values) for values in p.values()), default=1)
    columns = {f"p.{name}": np.broadcast_to(np.float32(p.get(name, 0.0)), rows) for name in HEAVY_ACTIONS}
    return fake_batch([rows], **columns)


def _random(seed: int, rows: int = 40) -> CandidateBatch:
    draw = stream(seed, "probabilities")
    return _batch(**{name: list(draw.random(rows) ** 4) for name in HEAVY_ACTIONS})


def _value(stage: Value, batch: CandidateBatch) -> Array:
    return stage.score(batch)["value"]


def _weighted_sum(stage: Value, batch: CandidateBatch) -> Array:
    """float64 [n]: S, added in the order of the actions."""
    return np.asarray(sum(weight * batch[f"p.{name}"].astype(np.float64) for name, weight in stage.weight.items()))


@given(seed=st.integers(0, 10_000), weights=WEIGHTS)
def test_a_value_is_finite_and_never_negative_and_orders_like_the_weighted_sum(
    seed: int, weights: dict[str, float]
) -> None:
    stage, batch = Value(preset="none", weights=weights), _random(seed)
    value, total = _value(stage, batch), _weighted_sum(stage, batch)
    assert value.dtype == np.float32
    assert np.isfinite(value).all()
    assert (value >= 0).all()
    order = np.argsort(total)
    assert (np.diff(value[order]) >= 0).all()  # rounding to float32 makes ties, but turns nothing round


@given(seed=st.integers(0, 10_000), weights=WEIGHTS)
def test_a_non_negative_sum_is_worth_at_least_epsilon_and_a_negative_one_less(
    seed: int, weights: dict[str, float]
) -> None:
    stage, batch = Value(preset="none", weights={"favorite": 1.0, **weights}), _random(seed)
    value, total = _value(stage, batch), sum(stage.terms(batch).values())
    assert (value[total > 1e-3] >= np.float32(0.001)).all()
    assert (value[total < -1e-3] <= np.float32(0.001)).all()


@given(seed=st.integers(0, 10_000), action=ACTION, more=st.floats(0, 100))
def test_raising_a_weight_never_lowers_the_rank_of_the_tweet_strongest_in_that_action(
    seed: int, action: str, more: float
) -> None:
    batch = _random(seed)
    strongest = int(np.argmax(batch[f"p.{action}"]))
    raised = PRESETS["april_2023"][action] + more

    def better(stage: Value) -> int:
        value = _value(stage, batch)
        return int((value > value[strongest]).sum())

    assert better(Value(weights={action: raised})) <= better(Value())


@given(seed=st.integers(0, 10_000), action=st.sampled_from(POSITIVE))
def test_a_higher_probability_of_a_good_action_never_lowers_the_value(seed: int, action: str) -> None:
    batch = _random(seed)
    likelier = np.minimum(batch[f"p.{action}"] * np.float32(1.5), 1)
    assert (_value(Value(), batch.with_columns({f"p.{action}": likelier})) >= _value(Value(), batch)).all()


def test_the_value_of_a_row_does_not_depend_on_the_others() -> None:
    batch = _random(3)
    alone = np.concatenate([_value(Value(), batch.take(np.array([row]))) for row in range(len(batch))])
    assert alone.tobytes() == _value(Value(), batch).tobytes()
    assert _value(Value(), fake_batch([0, 0], **{name: np.empty(0, np.float32) for name in Value().needs})).size == 0


EXAMPLE = {
    "favorite": 0.05,
    "retweet": 0.01,
    "reply": 0.01,
    "reply_engaged_by_author": 0.002,
    "good_profile_click": 0.005,
    "good_click": 0.02,
    "good_click_v2": 0.03,
    "negative_feedback": 0.0005,
    "report": 0.00002,
}


def test_the_weighted_sum_of_the_worked_example() -> None:
    # .025 + .01 + .135 + .15 + .06 + 11 x .02 + 10 x .03 - .037 - .00738 = 0.85562, and epsilon
    assert _value(Value(), _batch(**EXAMPLE)) == pytest.approx([0.85662], rel=1e-6)
    # July 2023: 11 x max(.02, .03) = .33 instead of .22
    assert _value(Value(good_click="max"), _batch(**EXAMPLE)) == pytest.approx([0.96662], rel=1e-6)


def test_the_first_published_weights_take_the_larger_good_click_once_and_replies_at_27() -> None:
    # .025 + .01 + .27 + .15 + .06 + 11 x max(.02, .03) - .037 - .00738 = 0.80062, and epsilon
    assert _value(Value(preset="march_2023"), _batch(**EXAMPLE)) == pytest.approx([0.80162], rel=1e-6)
    # 27 x .01 is not 5 x .01: one weight can be set, and the preset's rule stays
    assert _value(Value(preset="march_2023", weights={"reply": 5.0}), _batch(**EXAMPLE)) == pytest.approx([0.58162])
    # and the rule can be set too: 11 x .02 instead of 11 x .03
    assert _value(Value(preset="march_2023", good_click="separate"), _batch(**EXAMPLE)) == pytest.approx([0.69162])


def test_boosts_act_on_the_value_of_the_worked_example() -> None:
    # x 4 for a blue in-network author, x 0.625 for an author's second best, x 0.75 for a reply in July
    value = float(_value(Value(good_click="max"), _batch(**EXAMPLE))[0])
    assert [value * 4, value * 0.625, value * 0.75] == pytest.approx([3.86648, 0.60414, 0.72497], abs=1e-5)


def test_both_names_of_the_latest_weights_mean_the_same() -> None:
    assert Value(preset="x_2026").weight == Value(preset="x_2026_08").weight
    assert Value(preset="x_2026").good_click_rule == "separate"


def test_a_negative_sum_is_squeezed_under_epsilon() -> None:
    # S = -369 x .5 = -184.5; N = 74 + 369 = 443; P = 123.005; (443 - 184.5) / 566.005 x .001 = 4.56710e-4
    assert _value(Value(), _batch(report=0.5)) == pytest.approx([4.56710e-4], rel=1e-5)
    # all that can be bad at once: S = -N, and the value is 0
    assert _value(Value(), _batch(report=1.0, negative_feedback=1.0)) == pytest.approx([0.0], abs=1e-12)
    # without any weight there is nothing to offset
    assert _value(Value(preset="none"), _batch(favorite=1.0)) == pytest.approx([0.0], abs=0)


def test_terms_say_what_each_action_adds() -> None:
    terms = Value().terms(_batch(**EXAMPLE))
    assert tuple(terms) == HEAVY_ACTIONS
    assert terms["reply"] == pytest.approx([0.135], rel=1e-6)
    assert terms["negative_feedback"] == pytest.approx([-0.037], rel=1e-6)
    assert sum(values[0] for values in terms.values()) == pytest.approx(0.85562, rel=1e-5)


def test_single_weights_replace_those_of_the_preset() -> None:
    assert Value(weights={"reply": 20.0}).weight == {**PRESETS["april_2023"], "reply": 20.0}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"preset": "april_2033"}, "did you mean 'april_2023'"),
        ({"weights": {"favourite": 1.0}}, "did you mean 'favorite'"),
        ({"weights": {"favorite": float("nan")}}, "finite"),
    ],
)
def test_a_wrong_weight_is_named(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Value(**fields)  # type: ignore[arg-type]

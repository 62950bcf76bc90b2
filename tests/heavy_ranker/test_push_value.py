"""The value of a notification."""

from __future__ import annotations

import numpy as np
import pytest

from funnel.core.actions import PUSH_ACTION_NAMES
from funnel.core.errors import ConfigError
from funnel.explain import WeighsActions
from heavy_ranker.push_value import PushValue
from tests.support import fake_batch

BATCH = fake_batch([3], **{"p.oonc": [0.5, 0.2, 0.0], "p.engage": [0.1, 0.2, 0.0]})


def test_the_value_is_nine_parts_of_opening_and_one_of_engaging() -> None:
    value = PushValue().score(BATCH)["value"]
    # 0.9 x 0.5 + 0.1 x 0.1 = 0.46; 0.9 x 0.2 + 0.1 x 0.2 = 0.2
    np.testing.assert_allclose(value, [0.46, 0.2, 0.0], rtol=1e-6)
    assert value.dtype == np.float32


def test_weights_are_divided_by_their_sum_and_terms_add_up_to_the_value() -> None:
    stage = PushValue(weights={"oonc": 3.0, "engage": 1.0})
    value = stage.score(BATCH)["value"]
    np.testing.assert_allclose(value, [0.4, 0.2, 0.0], rtol=1e-6)  # (3 x 0.5 + 0.1) / 4
    assert isinstance(stage, WeighsActions)
    terms = stage.terms(BATCH)
    assert tuple(terms) == PUSH_ACTION_NAMES
    np.testing.assert_allclose(sum(terms.values()), value, rtol=1e-6)


def test_an_action_that_nobody_predicts_counts_as_zero_and_one_that_is_known_counts() -> None:
    stage = PushValue(weights={"dislike": -1.0, "turn_off": -8.0})
    np.testing.assert_allclose(stage.score(BATCH)["value"], [0.046, 0.02, 0.0], rtol=1e-5)  # sizes sum to 10
    known = BATCH.with_columns({"p.dislike": np.float32([0.1, 0.9, 0.0]), "p.turn_off": np.float32([0.0, 0.0, 0.5])})
    np.testing.assert_allclose(stage.score(known)["value"], [0.036, 0.0, 0.0], rtol=1e-5)  # never negative


def test_no_weights_give_no_value_and_unknown_ones_are_named() -> None:
    assert not PushValue(weights={"oonc": 0.0, "engage": 0.0}).score(BATCH)["value"].any()
    with pytest.raises(ConfigError, match="did you mean 'dislike'"):
        PushValue(weights={"dislikes": 1.0})
    with pytest.raises(ConfigError, match="finite"):
        PushValue(weights={"oonc": float("nan")})

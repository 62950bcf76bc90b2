"""Errors say where and what, and survive the way between processes."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core import errors


@pytest.mark.parametrize(
    "kind", [errors.FunnelError, errors.ConfigError, errors.DataError, errors.ContractError, errors.NotFittedError]
)
def test_an_error_survives_pickling(kind: type[errors.FunnelError]) -> None:
    error = pickle.loads(pickle.dumps(kind("boosts.fatigue.floor", "wants 0..1, got 3")))  # noqa: S301
    assert type(error) is kind
    assert (error.where, error.what) == ("boosts.fatigue.floor", "wants 0..1, got 3")
    assert str(error) == "boosts.fatigue.floor: wants 0..1, got 3"


def test_every_error_of_the_project_is_a_funnel_error() -> None:
    for kind in (errors.ConfigError, errors.DataError, errors.ContractError, errors.NotFittedError):
        assert issubclass(kind, errors.FunnelError)
    assert issubclass(errors.FunnelWarning, UserWarning)


def test_a_slip_of_the_pen_is_answered_with_the_name_meant() -> None:
    names = ("author_diversity", "out_of_network", "replies")
    assert errors.nearest("author_diversty", names) == "did you mean 'author_diversity'?"


def test_a_strange_name_is_answered_with_the_names_there_are() -> None:
    assert errors.nearest("zzz", ("b", "a")) == "known are: a, b"
    assert errors.nearest("zzz", ()) == "there is none"


@given(name=st.text(max_size=12), known=st.lists(st.text(max_size=12), max_size=20))
def test_a_suggestion_is_always_a_clause(name: str, known: list[str]) -> None:
    clause = errors.nearest(name, known)
    assert clause.startswith(("did you mean ", "known are: ", "there is none"))

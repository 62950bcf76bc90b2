"""How much people write and read: producers, consumers, and those who hardly come any more.

Two in five users write; how much is log-normal among them, cut at 60 times the mean, so that the top tenth writes
about 80 % of all (Pew Research Center, "Sizing Up Twitter Users", 2019) and the top quarter about 97 % (Pew, "The
Behaviors and Attitudes of U.S. Adults on Twitter", 2021): with share w of writers, the part of the top p is
Phi(sigma - z(p / w)). Reading is log-normal for everybody, and correlated with writing.

User states are called as in twitter/the-algorithm (com.twitter.core_workflows.user_model: UserState). The
product counts active days; here the states are cut from the rates that a user really has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles

USER_STATES: tuple[str, ...] = (
    "new",
    "near_zero",
    "very_light",
    "light",
    "medium_non_tweeter",
    "medium_tweeter",
    "heavy_non_tweeter",
    "heavy_tweeter",
)
NEW, NEAR_ZERO, VERY_LIGHT, LIGHT, MEDIUM_NON_TWEETER, MEDIUM_TWEETER, HEAVY_NON_TWEETER, HEAVY_TWEETER = range(8)

_WRITERS = 0.4
_WRITING_SIGMA, _READING_SIGMA = 1.55, 0.9
_MAX_WRITING = 60.0  # times the mean; at 3 tweets a day, 180 a day
_OTHERS_WRITE = 0.004  # of the mean of a writer: a tweet in months
_READING_WITH_WRITING = 0.5  # correlation of the logarithms
_DORMANT_READS = 0.03  # of what the same person would read
_TWEETER = 0.2  # writes as much, in units of the mean of all users
# In units of the mean reading of all users, which at 1.6 pages a day is 0.05 for a page in two weeks.
_NEAR_ZERO, _VERY_LIGHT, _LIGHT, _MEDIUM = 0.05, 0.25, 0.7, 2.0


@dataclass(frozen=True)
class Activity:
    """writing, reading: float64 [U], mean 1; loud: float64 [U], near standard normal, for fame; state: int8 [U]."""

    writing: Doubles
    reading: Doubles
    loud: Doubles
    state: Array


def make_activity(
    is_new: Bools, suspended: Bools, *, dormant_share: float, normal: Doubles, rng: np.random.Generator
) -> Activity:
    """normal: float64 [2, U], standard normal; dormant_share: of the users, those who hardly come any more."""
    count = is_new.size
    writer, dormant = rng.random(count) < _WRITERS, rng.random(count) < dormant_share
    writing = np.where(writer, np.exp(_WRITING_SIGMA * normal[0] - _WRITING_SIGMA**2 / 2), _OTHERS_WRITE)
    writing = np.minimum(np.where(dormant, _DORMANT_READS, 1.0) * writing, _MAX_WRITING * _WRITERS)
    reading = np.exp(_READING_SIGMA * mixed(normal[0], normal[1], _READING_WITH_WRITING))
    reading = np.where(dormant, _DORMANT_READS, 1.0) * reading
    # At least a little, so that a town of three in which everybody is suspended still has somebody to draw.
    reading = mean_one(np.where(suspended, 1e-12, reading))
    writing = mean_one(writing)
    lift = 1.2  # standard deviations by which writers are louder than others
    loud = (normal[0] + lift * (writer - _WRITERS)) / np.sqrt(1.0 + lift**2 * _WRITERS * (1.0 - _WRITERS))
    return Activity(writing, reading, loud, _states(writing, reading, is_new))


def _states(writing: Doubles, reading: Doubles, is_new: Bools) -> Array:
    """int8 [U]: place in USER_STATES."""
    tweets = writing >= _TWEETER
    level = np.searchsorted([_NEAR_ZERO, _VERY_LIGHT, _LIGHT, _MEDIUM], reading, side="right")
    silent = np.array([NEAR_ZERO, VERY_LIGHT, LIGHT, MEDIUM_NON_TWEETER, HEAVY_NON_TWEETER], np.int8)[level]
    state: Array = np.where(tweets & (level >= 3), silent + np.int8(1), silent)
    return np.where(is_new, np.int8(NEW), state).astype(np.int8)


def mixed(first: Doubles, second: Doubles, correlation: float) -> Doubles:
    """A standard normal that has a correlation with the first of two independent ones."""
    out: Doubles = correlation * first + np.sqrt(1.0 - correlation**2) * second
    return out


def mean_one(values: Doubles) -> Doubles:
    """The values over their mean."""
    scaled: Doubles = values / values.mean()
    return scaled

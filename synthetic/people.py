"""Users: how much they write and read, how famous they are, and how they are inclined to react.

How much somebody writes, reads and is followed are correlated heavy-tailed draws (a Gaussian
copula). Writing is log-normal, cut at 60 times the mean, so that the top tenth writes about 80 % of
all (Pew Research Center, "Sizing Up Twitter Users", 2019: 80 %; without the cut, the share above the
p-quantile of a log-normal is Phi(sigma - z_p)). Fame is Pareto, so that the density of follower counts
falls with an exponent near that of Kwak et al., "What is Twitter", WWW 2010: 2.276.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf

import numpy as np

from funnel.core.actions import ACTIONS
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints
from synthetic.taste import TopicTree
from synthetic.text import Words

_WRITING_SIGMA = 2.3
_READING_SIGMA = 0.9
_FAME_TAIL = 1.2  # of the distribution function; the density falls with one more
_FAME_WITH_WRITING, _READING_WITH_WRITING = 0.6, 0.5  # correlations of the copula
_MAX_WRITING = 60.0  # times the mean; at 3 tweets a day, 180 a day
_HOURS_A_YEAR = 8766.0


@dataclass(frozen=True)
class People:
    """U users; what the platform knows is `table`, the rest is truth.

    interests: float32 [U, K]; main: int32 [U]; writing, reading: float64 [U], mean 1; fame: float64 [U], >= 1;
    propensity: float32 [U, A], additive on the log-odds of each action; patience: float32 [U], places of the page after
    which a viewer has stopped looking with probability 1 - 1/e; conflict: float32 [U] in [-1, 1], taste for it;
    originality: float32 [U], mean quality of what they write.
    """

    table: dict[str, Array]
    interests: Floats
    main: Ints
    writing: Doubles
    reading: Doubles
    fame: Doubles
    propensity: Floats
    patience: Floats
    conflict: Floats
    originality: Floats

    @property
    def language(self) -> Array:
        """int8 [U]."""
        return self.table["language"]

    @property
    def public(self) -> Bools:
        """bool [U]: whether everybody may see what they write."""
        return ~(self.table["protected"] | self.table["suspended"])


def make_people(
    count: int,
    tree: TopicTree,
    words: tuple[Words, ...],
    *,
    second_language_share: float,
    patience: float,
    rng: np.random.Generator,
) -> People:
    """Draw `count` users; words: one vocabulary a language; patience: its median, in places of the page."""
    interests, main = tree.interests(count, rng)
    normal = rng.standard_normal((6, count))
    fame_z = _mixed(normal[0], normal[1], _FAME_WITH_WRITING)
    writing = _mean_one(np.minimum(np.exp(_WRITING_SIGMA * normal[0] - _WRITING_SIGMA**2 / 2), _MAX_WRITING))
    reading = _mean_one(np.exp(_READING_SIGMA * _mixed(normal[0], normal[2], _READING_WITH_WRITING)))
    fame: Doubles = np.maximum(1.0 - _normal_cdf(fame_z), 0.5 / count) ** (-1.0 / _FAME_TAIL)
    age_h = _HOURS_A_YEAR * np.clip(np.exp(1.0 + 1.0 * normal[3]), 0.02, 15.0)
    language = np.zeros(count, np.int8)
    if len(words) > 1:
        language[rng.random(count) < second_language_share] = 1
    suspended = rng.random(count) < 0.004
    table: dict[str, Array] = {
        "handle": _handles(main, language, words, rng),
        "created_h": -age_h,
        "language": language,
        # About 6 %, and six times likelier for the famous tenth than for the rest.
        "verified": rng.random(count) < np.where(fame_z > 1.28, 0.24, 0.04),
        "creator": rng.random(count) < np.where(fame_z > 1.28, 0.08, 0.004),
        "protected": (rng.random(count) < 0.04) & (fame_z < 1.28),
        "suspended": suspended,
    }
    return People(
        table=table,
        interests=interests,
        main=main,
        writing=writing,
        reading=np.where(suspended, 0.0, reading),
        fame=fame,
        propensity=_propensity(count, rng),
        patience=(patience * np.exp(0.5 * normal[4])).astype(np.float32),
        conflict=np.tanh(normal[5]).astype(np.float32),
        originality=rng.normal(0.0, 0.6, count).astype(np.float32),
    )


def _propensity(count: int, rng: np.random.Generator) -> Floats:
    """Some people react to much and others to nothing, and each has actions of choice."""
    general = rng.normal(0.0, 0.5, (count, 1))
    own = rng.normal(0.0, 0.45, (count, len(ACTIONS)))
    negative = np.array([action.negative for action in ACTIONS])
    return (np.where(negative, 0.0, general) + own).astype(np.float32)


def _handles(main: Ints, language: Array, words: tuple[Words, ...], rng: np.random.Generator) -> Array:
    """object [U]: a first name, a word of the main topic and a number; unique, since the number is."""
    topics = list(words[0].topics.values())  # in the first language, which is plain ASCII
    number = rng.permutation(main.size)
    first, word = rng.random(main.size), rng.random(main.size)
    out = np.empty(main.size, object)
    out[:] = [
        f"{_at(words[code].names, a)}_{_at(topics[topic], b)}{n}"
        for topic, code, a, b, n in zip(
            main.tolist(), language.tolist(), first.tolist(), word.tolist(), number.tolist(), strict=True
        )
    ]
    return out


def _at(choices: tuple[str, ...], draw: float) -> str:
    return choices[int(draw * len(choices))]


def _mixed(first: Doubles, second: Doubles, correlation: float) -> Doubles:
    mixed: Doubles = correlation * first + np.sqrt(1.0 - correlation**2) * second
    return mixed


def _mean_one(values: Doubles) -> Doubles:
    scaled: Doubles = values / values.mean()
    return scaled


def _normal_cdf(z: Doubles) -> Doubles:
    return np.array([0.5 * (1.0 + erf(value / 2**0.5)) for value in z.tolist()], np.float64)

"""Users: what the platform knows of them, how famous they are, and how they are inclined to react.

How much somebody writes, reads and is followed are correlated (`synthetic.activity`; a Gaussian copula).
Fame is Pareto, so that the density of follower counts falls with an exponent near that of Kwak et al., "What
is Twitter", WWW 2010: 2.276.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funnel.core.actions import ACTIONS
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints
from synthetic.activity import make_activity, mixed
from synthetic.arrays import pick
from synthetic.taste import TopicTree
from synthetic.text import Words

DEVICES: tuple[str, ...] = ("iphone", "android", "web", "tablet")
COUNTRIES: tuple[str, ...] = ("US", "GB", "IN", "CA", "MX", "ES", "AR", "CO", "BR", "PT", "DE", "AT", "CH", "other")
# What an account is up to; most are ordinary.
ORDINARY, SPAMMER, TROLL, ADULT = range(4)

_DEVICE_SHARES = (0.42, 0.38, 0.16, 0.04)
# By language, in the order of synthetic.text.LANGUAGES: shares of COUNTRIES.
_COUNTRIES_OF: tuple[dict[str, float], ...] = (
    {"US": 0.58, "GB": 0.14, "IN": 0.13, "CA": 0.07, "other": 0.08},
    {"MX": 0.32, "ES": 0.24, "AR": 0.2, "CO": 0.12, "US": 0.08, "other": 0.04},
    {"BR": 0.86, "PT": 0.1, "other": 0.04},
    {"DE": 0.8, "AT": 0.08, "CH": 0.08, "other": 0.04},
)
_FAME_TAIL = 0.85  # of the distribution function; with what circles and answers add, the density falls with 2.0 to 2.5
_FAMOUS = 0.1  # share of users
_FAME_WITH_WRITING = 0.6  # correlation of the copula
_HOURS_A_YEAR, _HOURS_A_MONTH = 8766.0, 730.5
_NEW = 0.03  # share of accounts made in the last month
_SPAMMERS, _TROLLS, _ADULTS = 0.015, 0.03, 0.008
_WATCHERS = 0.25  # share of people who look and click and hardly ever react in public
_WATCHERS_HOLD_BACK = 1.4  # in log-odds
_PRIVATE_ACTIONS = ("dwell", "click", "video_playback50", "profile_click")  # which they do like everybody


@dataclass(frozen=True)
class People:
    """U users; what the platform knows is `table`, the rest is truth.

    interests: float32 [U, K]; main: int32 [U]; writing, reading: float64 [U], mean 1; fame: float64 [U], >= 1;
    propensity: float32 [U, A], additive on the log-odds of each action; patience: float32 [U], places of the page after
    which a viewer has stopped looking with probability 1 - 1/e; conflict: float32 [U] in [-1, 1], taste for it;
    novelty: float32 [U] in [-1, 1], taste for what is new to them; originality: float32 [U], mean quality of what they
    write; state: int8 [U], place in synthetic.activity.USER_STATES; character: int8 [U], ORDINARY to ADULT.
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
    novelty: Floats
    originality: Floats
    state: Array
    character: Array

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
    language_shares: tuple[float, ...],
    dormant_share: float,
    patience: float,
    rng: np.random.Generator,
) -> People:
    """Draw `count` users; words: one vocabulary a language; patience: its median, in places of the page."""
    interests, main = tree.interests(count, rng)
    normal = rng.standard_normal((6, count))
    suspended = rng.random(count) < 0.004
    is_new = rng.random(count) < _NEW
    activity = make_activity(is_new, suspended, dormant_share=dormant_share, normal=normal[[0, 2]], rng=rng)
    fame_z = mixed(activity.loud, normal[1], _FAME_WITH_WRITING)
    above = np.empty(count, np.float64)  # share of users who are more famous
    above[np.argsort(-fame_z, kind="stable")] = (np.arange(count) + 0.5) / count
    fame: Doubles = above ** (-1.0 / _FAME_TAIL)
    kind = np.searchsorted(np.cumsum([_SPAMMERS, _TROLLS, _ADULTS]), rng.random(count), side="right")
    character = np.array([SPAMMER, TROLL, ADULT, ORDINARY], np.int8)[kind]
    language = pick(np.array(language_shares), rng.random(count)).astype(np.int8)
    famous = above < _FAMOUS
    table: dict[str, Array] = {
        "handle": _handles(main, language, words, rng),
        "created_h": -_age_h(is_new, normal[3], rng),
        "language": language,
        # About 6 %, and six times likelier for the famous tenth than for the rest.
        "verified": (rng.random(count) < np.where(famous, 0.24, 0.04)) & (character != SPAMMER),
        "creator": rng.random(count) < np.where(famous, 0.08, 0.004),
        "protected": (rng.random(count) < 0.04) & ~famous,
        "suspended": suspended,
        "country": _countries(language, rng),
        "device": pick(np.array(_DEVICE_SHARES), rng.random(count)).astype(np.int8),
        "allows_sensitive": (rng.random(count) < 0.2) | (character == ADULT),
    }
    conflict = np.tanh(normal[5] + 1.0 * (character == TROLL)).astype(np.float32)
    originality = rng.normal(0.0, 0.6, count) - 0.8 * (character == SPAMMER)
    return People(
        table=table,
        interests=interests,
        main=main,
        writing=activity.writing,
        reading=activity.reading,
        fame=fame,
        propensity=_propensity(count, rng),
        patience=(patience * np.exp(0.5 * normal[4])).astype(np.float32),
        conflict=conflict,
        novelty=np.tanh(rng.standard_normal(count)).astype(np.float32),
        originality=originality.astype(np.float32),
        state=activity.state,
        character=character,
    )


def _age_h(is_new: Bools, normal: Doubles, rng: np.random.Generator) -> Doubles:
    """float64 [U]: ages of accounts in hours; those that are not new are three years old in the median."""
    age_h: Doubles = _HOURS_A_YEAR * np.clip(np.exp(1.0 + normal), 1.0 / 12.0, 15.0)
    return np.where(is_new, _HOURS_A_MONTH * rng.uniform(0.01, 1.0, is_new.size), age_h)


def _countries(language: Array, rng: np.random.Generator) -> Array:
    """int8 [U]: places in COUNTRIES."""
    draws = rng.random(language.size)
    out = np.zeros(language.size, np.int8)
    for code, shares in enumerate(_COUNTRIES_OF):
        rows = np.flatnonzero(language == code)
        out[rows] = pick(np.array([shares.get(country, 0.0) for country in COUNTRIES]), draws[rows])
    return out


def _propensity(count: int, rng: np.random.Generator) -> Floats:
    """Some people react to much and others to nothing, each has actions of choice, and some only look."""
    own = rng.normal(0.0, 0.45, (count, len(ACTIONS)))
    general = rng.normal(0.0, 0.5, count)
    watcher = rng.random(count) < _WATCHERS
    for code, action in enumerate(ACTIONS):
        if not action.negative:
            own[:, code] += general
            if action.name not in _PRIVATE_ACTIONS:
                own[:, code] -= _WATCHERS_HOLD_BACK * watcher
    return own.astype(np.float32)


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

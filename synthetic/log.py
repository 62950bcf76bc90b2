"""The past: what a simple logging policy showed before any funnel ran, and what viewers did with it.

A page has places for three arms, each of which draws without replacement and with equal chances from
its own pool, and is then shuffled: FOLLOWED, from the newest tweets of followees (three times as many as
it has places); POPULAR, from the tweets with most public engagement in the hours before; EXPLORED,
from all public tweets of the last two days. No pool holds the viewer's own tweets, tweets shown to
the viewer on the last few pages, or tweets by people whom the viewer blocked or muted; pools shared
by all viewers hold no retweets and nothing protected, suspended or for subscribers only.

`propensity` is the probability that the arm chose this tweet, given its pool and what the arms
before it chose: places / pool size. For EXPLORED the pool is counted before the viewer's own
exclusions, a handful of tweets among thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from funnel.core.actions import ACTION_CODE, PUBLIC_ACTIONS
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.events import Adjacency
from funnel.core.progress import Progress
from funnel.core.rng import key, uniform
from funnel.core.tables import BLOCK, MUTE, MUTE_KEYWORD, REPORT, SEE_FEWER, open_to_all
from funnel.core.world import WorldTables
from synthetic.arrays import distinct, pick
from synthetic.behaviour import ResponseModel
from synthetic.clock import moments
from synthetic.habituation import Habituation
from synthetic.pages import fill_pages
from synthetic.people import People

WINDOW_H = 48.0
POPULARITY_HALF_LIFE_H = 8.0
_POPULAR_SHARE, _POPULAR_LEAST = 0.01, 30  # size of the popular pool, among the public tweets of the window
MEMORY = 96  # tweets last shown to a viewer, about four pages
LAST_MOMENT_H = 0.25  # before the end, so that reactions fall inside the world
_SECONDS_A_PLACE, _SECONDS_TO_REACT = 4.0, 20.0
_HOUR_S = 3600.0


class _Shown(NamedTuple):
    """Impressions of one hour, in order, and the reactions to them."""

    viewer: Ints
    tweet: Ints
    time_h: Doubles
    position: Ints
    request: Longs
    arm: Array
    propensity: Floats
    reactions: Bools


@dataclass
class PolicyState:
    """What the policy remembers from hour to hour; `fill_pages` says what the arrays are."""

    newest: Ints
    written: Longs
    shown: Ints
    shown_count: Longs
    mark: Ints
    popularity: Floats
    barred: Longs
    has_barred: Bools


@dataclass(frozen=True)
class Town:
    """What the policy shows and to whom.

    author: int32, written_h: float64 and public: bool [T], of the tweets, of which the public ones may be shown to
    anybody; suspended: bool [U].

    All writable: a kernel that updates its arguments takes all of them so.
    """

    author: Ints
    written_h: Doubles
    public: Bools
    suspended: Bools
    following: Adjacency

    @classmethod
    def of(cls, world: WorldTables) -> Town:
        """That of a world's tables."""
        users, tweets = world.table("users"), world.table("tweets")
        author, public = np.array(tweets["author"]), open_to_all(users, tweets)
        return cls(author, np.array(tweets["time_h"]), public, np.array(users["suspended"]), world.following)

    @cached_property
    def previous(self) -> Ints:
        """int32 [T]: the author's tweet before, -1 if there is none."""
        return _previous_by_author(self.author)


def write_log(
    people: People,
    tweets: dict[str, Array],
    following: Adjacency,
    model: ResponseModel,
    before: dict[str, Array],
    *,
    sessions: int,
    arms: tuple[int, int, int],
    end_h: float,
    seed: int,
    rng: np.random.Generator,
    progress: Progress,
) -> dict[str, dict[str, Array]]:
    """The tables `impressions`, `engagements` and `feedback`; before: feedback given before the first hour."""
    users = people.reading.size
    time_h = np.sort(moments(rng.random(sessions), end_h - LAST_MOMENT_H))
    viewer = pick(people.reading, rng.random(sessions))
    state = fresh_state(users, tweets["author"].size)
    bar_authors(state, before["user"], before["author"], users)
    public = open_to_all(people.table, tweets)
    town = Town(tweets["author"], tweets["time_h"], public, people.table["suspended"], following)
    hours: list[_Shown] = []
    habits = Habituation(users)
    with progress.bar("log", int(np.ceil(end_h))) as bar:
        for hour in range(int(np.ceil(end_h))):
            bar.advance()
            low, high = np.searchsorted(time_h, (hour, hour + 1))
            asked = viewer[low:high], time_h[low:high], np.arange(low, high) + 1
            pages = pages_at(state, town, *asked, float(hour), arms=arms, state_key=key(seed, "pages"))
            if pages[0].size:
                shown = _react(viewer[low:high], time_h[low:high], low, pages, model, habits, tweets["author"], seed)
                _remember(state, shown, tweets["author"], users)
                hours.append(shown)
    return _tables(_Shown(*map(np.concatenate, zip(*hours, strict=True))), tweets["author"], before, seed)


def pages_at(
    state: PolicyState,
    town: Town,
    viewer: Ints,
    time_h: Doubles,
    session: Longs,
    pools_h: float,
    *,
    arms: Sequence[int],
    state_key: int,
) -> tuple[Ints, Array, Floats]:
    """See `fill_pages`: what some sessions, ascending in time and numbered from 1, are shown; the state goes on.

    pools_h: the moment that the popular and the public pool are of; session: 0 stands for "none yet" in `mark`.
    """
    return fill_pages(
        viewer,
        time_h,
        session,
        town.author,
        town.written_h,
        town.previous,
        town.following.offsets,
        town.following.targets,
        town.following.time_h,
        town.suspended,
        *_pools_at(state, town.written_h, town.public, pools_h),
        state.barred,
        state.has_barred,
        np.array(arms, np.int64),
        WINDOW_H,
        np.uint64(state_key),
        state.newest,
        state.written,
        state.shown,
        state.shown_count,
        state.mark,
    )


def fresh_state(users: int, tweet_count: int, memory: int = MEMORY) -> PolicyState:
    """The state before the first hour; memory: how many tweets shown to a viewer are not shown again."""
    return PolicyState(
        newest=np.full(users, -1, np.int32),
        written=np.zeros(1, np.int64),
        shown=np.zeros((users, memory), np.int32),
        shown_count=np.zeros(users, np.int64),
        mark=np.zeros(tweet_count, np.int32),
        popularity=np.zeros(tweet_count, np.float32),
        barred=np.empty(0, np.int64),
        has_barred=np.zeros(users, np.bool_),
    )


def _previous_by_author(author: Ints) -> Ints:
    """int32 [T]: the author's tweet before, -1 if there is none."""
    order = np.argsort(author, kind="stable").astype(np.int32)
    out = np.full(author.size, -1, np.int32)
    same = author[order[1:]] == author[order[:-1]]
    out[order[1:][same]] = order[:-1][same]
    return out


def _pools_at(state: PolicyState, time_h: Doubles, public: Bools, hour: float) -> tuple[Ints, Ints]:
    """(popular, public) int32: tweets of the window before the hour begins."""
    low, high = np.searchsorted(time_h, (hour - WINDOW_H, hour))
    recent = (low + np.flatnonzero(public[low:high])).astype(np.int32)
    size = min(recent.size, max(_POPULAR_LEAST, int(_POPULAR_SHARE * recent.size)))
    if size == 0:
        return recent, recent
    score = state.popularity[recent]
    least = np.partition(score, -size)[-size]
    above, tied = recent[score > least], recent[score == least]  # among equals, the newest
    return np.concatenate([above, tied[tied.size - (size - above.size) :]]), recent


def _react(
    viewer: Ints,
    time_h: Doubles,
    first: int,
    pages: tuple[Ints, Array, Floats],
    model: ResponseModel,
    habits: Habituation,
    author: Ints,
    seed: int,
) -> _Shown:
    session, position = np.nonzero(pages[0] >= 0)
    who, tweet, when, place = viewer[session], pages[0][session, position], time_h[session], position.astype(np.int32)
    seen = habits.expose(who, tweet, author, model.topics)
    reactions = model.react(who, tweet, place, when, seed=seed, seen=seen)
    chosen = pages[1][session, position], pages[2][session, position]
    return _Shown(who, tweet, when, place, first + session, *chosen, reactions)


def _remember(state: PolicyState, shown: _Shown, author: Ints, users: int) -> None:
    """Count public engagement, and bar the authors who were blocked or muted."""
    public = shown.reactions[:, [ACTION_CODE[name] for name in PUBLIC_ACTIONS]].sum(axis=1)
    count_public(state, shown.tweet, public)
    barring = shown.reactions[:, ACTION_CODE["block"]] | shown.reactions[:, ACTION_CODE["mute"]]
    bar_authors(state, shown.viewer[barring], author[shown.tweet[barring]], users)


def count_public(state: PolicyState, tweet: Ints, times: Array) -> None:
    """Take in an hour's public engagement: what came before weighs less from now on."""
    state.popularity *= np.float32(0.5 ** (1.0 / POPULARITY_HALF_LIFE_H))
    np.add.at(state.popularity, tweet, times.astype(np.float32))


def bar_authors(state: PolicyState, user: Ints, author: Ints, users: int) -> None:
    """Show these users nothing by these authors any more; an author of -1 is nobody."""
    about = author >= 0
    codes = user[about].astype(np.int64) * users + author[about]
    state.barred = distinct(np.concatenate([state.barred, codes]))
    state.has_barred[user[about]] = True


def _tables(shown: _Shown, author: Ints, before: dict[str, Array], seed: int) -> dict[str, dict[str, Array]]:
    request = np.cumsum(np.diff(shown.request, prepend=-1) > 0) - 1  # sessions that found nothing made no page
    impressions: dict[str, Array] = {
        "viewer": shown.viewer,
        "tweet": shown.tweet,
        "time_h": shown.time_h,
        "position": shown.position.astype(np.int16),
        "request": request.astype(np.int32),
        "arm": shown.arm,
        "propensity": shown.propensity,
    }
    impression, action = np.nonzero(shown.reactions)
    time_h = shown.time_h[impression] + wait_h(shown.position, impression, action, 0, seed)
    order = np.argsort(time_h, kind="stable")
    impression, action = impression[order].astype(np.int32), action[order].astype(np.int8)
    engagements: dict[str, Array] = {
        "viewer": shown.viewer[impression],
        "tweet": shown.tweet[impression],
        "action": action,
        "time_h": time_h[order],
        "impression": impression,
    }
    given = feedback_of(engagements, author)
    feedback = {name: np.concatenate([before[name], given[name]]) for name in given}
    return {"impressions": impressions, "engagements": engagements, "feedback": feedback}


def wait_h(position: Ints, impression: Longs, action: Longs, first: int, seed: int) -> Doubles:
    """float64 [m]: hours from a page's moment to each reaction: reading down to its place, and a little more.

    position: of n impressions, which have the numbers `first` and up; impression: int64 [m], rows of it.
    """
    thinking_s = 1.0 + _SECONDS_TO_REACT * uniform(seed, "wait", impression + first, action)
    wait: Doubles = (_SECONDS_A_PLACE * position[impression] + thinking_s) / _HOUR_S
    return wait


def feedback_of(engagements: dict[str, Array], author: Ints) -> dict[str, Array]:
    """Negative reactions as feedback: a block or a mute, or else the wish to see fewer; and reports."""
    action = engagements["action"]
    code = np.full(len(ACTION_CODE), -1, np.int8)
    for name, kind in (("negative_feedback", SEE_FEWER), ("block", BLOCK), ("mute", MUTE), ("report", REPORT)):
        code[ACTION_CODE[name]] = kind
    harder = np.isin(action, (ACTION_CODE["block"], ACTION_CODE["mute"]))
    explained = (code[action] == SEE_FEWER) & np.isin(engagements["impression"], engagements["impression"][harder])
    rows = np.flatnonzero((code[action] >= 0) & ~explained)
    tweet = engagements["tweet"][rows]
    return {
        "user": engagements["viewer"][rows],
        "kind": code[action[rows]],
        "author": author[tweet],
        "tweet": tweet,
        "word": np.full(rows.size, -1, np.int32),
        "time_h": engagements["time_h"][rows],
    }


def early_feedback(people: People, words: Ints, rng: np.random.Generator) -> dict[str, Array]:
    """Blocks and muted keywords from before the first hour, in order of time; words: what people mute, by number."""
    users = people.reading.size
    blocks, keywords = rng.poisson(0.3 * users), rng.poisson(0.3 * users) if words.size else 0
    user = rng.integers(0, users, blocks + keywords).astype(np.int32)
    author = pick(people.fame, rng.random(blocks + keywords))
    is_block = (np.arange(user.size) < blocks) & (author != user)
    is_word = np.arange(user.size) >= blocks
    word = words[rng.integers(0, max(words.size, 1), user.size)] if words.size else np.full(user.size, -1, np.int32)
    table = {
        "user": user,
        "kind": np.where(is_word, np.int8(MUTE_KEYWORD), np.int8(BLOCK)),
        "author": np.where(is_block, author, np.int32(-1)),
        "tweet": np.full(user.size, -1, np.int32),
        "word": np.where(is_word, word, np.int32(-1)),
        "time_h": people.table["created_h"][user] * rng.random(user.size),
    }
    order = np.argsort(table["time_h"], kind="stable")
    order = order[(is_block | is_word)[order]]
    return {name: column[order] for name, column in table.items()}

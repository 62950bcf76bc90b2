"""Small random worlds, views and batches, straight from NumPy, and hypothesis strategies over them.

    world = mini_world(users=30, tweets=300)          # WorldTables, every table filled
    view = mini_view()                                # at the end of that world
    batch = fake_batch([3, 0, 2], in_network=[...])   # three requests, five candidates

Nothing here imports the packages under test except funnel.core.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from funnel.core import rng
from funnel.core.actions import ACTION_CODE, ACTIONS, PUSH_ACTION_CODE, PUSH_ACTIONS
from funnel.core.arrays import Array, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.tables import (
    BLOCK,
    MUTE,
    MUTE_KEYWORD,
    NOTIFICATION_KINDS,
    QUOTE,
    REPLY,
    REPORT,
    RETWEET,
    SEE_FEWER,
    TWEET_LABELS,
    USER_LABELS,
)
from funnel.core.world import Columns, PlatformView, WorldMeta, WorldTables

# `--set` values with which the tiny world trains in seconds.
QUICK = ("heavy_ranker.epochs=1", "heavy_ranker.max_examples=20000", "twhin.epochs=2", "simclusters_ann.min_signals=1")
COMMUNITIES = 3
# Probability of each action on a shown tweet when viewer and tweet fit (a third of it when not). High, so that a
# world of a few hundred tweets has some of everything; an action `within` another is drawn only where that one is.
RATES = {
    "favorite": 0.4,
    "retweet": 0.2,
    "reply": 0.2,
    "reply_engaged_by_author": 0.4,
    "good_click": 0.4,
    "good_click_v2": 0.4,
    "good_profile_click": 0.4,
    "video_playback50": 0.4,
    "negative_feedback": 0.06,
    "report": 0.03,
    "click": 0.4,
    "profile_click": 0.3,
    "dwell": 0.6,
    "bookmark": 0.1,
    "share": 0.1,
    "block": 0.3,
    "mute": 0.3,
}


@lru_cache(maxsize=16)
def mini_world(
    seed: int = 0,
    users: int = 30,
    tweets: int = 300,
    hours: float = 48.0,
    *,
    pages: int = 150,
    page_size: int = 10,
    follows: float = 0.25,
    words: int = 40,
    feedback: int = 1,
) -> WorldTables:
    """A world whose every table has rows; the same arguments give the same (shared) object.

    Users fall into three communities (user % 3), and follow, retweet and like mostly inside their own. The last
    user follows nobody, is followed by nobody and has no events at all. One in ten is protected, one in 30
    suspended. Retweets, replies and quotes have an earlier parent that is no retweet. Time runs from 0 to `hours`.
    feedback: how many times over; 1 gives every second user one block, one mute and one muted word.
    """
    draw = rng.stream(seed, "mini world")
    people = _users(draw, users)
    written = _tweets(draw, users, tweets, hours)
    vocabulary = {"word": np.array([f"word{i}" for i in range(words)], dtype=object)}
    tweet_words = _tweet_words(draw, written, words)
    impressions = _impressions(draw, written, users, hours, pages, page_size)
    tables = {
        "users": people,
        "follows": _follows(draw, users, follows, hours),
        "tweets": written,
        "texts": {"text": _texts(tweet_words, vocabulary["word"], tweets)},
        "vocabulary": vocabulary,
        "tweet_words": tweet_words,
        "impressions": impressions,
        "engagements": _engagements(draw, written, impressions, hours),
        "feedback": _feedback(draw, written, users, words, hours, feedback),
        "lists": _lists(draw, users),
        **_labels(seed, written, users, hours),
        **_notifications(seed, written, users, hours, 3 * pages),
    }
    meta = WorldMeta(f"mini{seed}", end_h=hours, train_until_h=0.8 * hours, viewer_count=users)
    return WorldTables(meta, tables)


def mini_view(now_h: float | None = None, *, assets: Columns | None = None, **world: int | float) -> PlatformView:
    """What the platform knows of `mini_world(**world)` at a moment, by default its end."""
    tables = mini_world(**world)
    return PlatformView(tables, tables.meta.end_h if now_h is None else now_h, assets=assets)


def altered_after(world: WorldTables, now_h: float, *, seed: int = 1) -> WorldTables:
    """The same world up to `now_h` and another one afterwards: what happens later is shuffled and partly dropped."""
    draw = rng.stream(seed, "altered")
    names = ("users", "tweets", "texts", "vocabulary", "lists", "subscriptions")
    tables = {name: dict(world.table(name)) for name in names}
    later = world.table("tweets")["time_h"] >= now_h
    for column in ("author", "language", "has_image", "video_s", "length"):
        values = tables["tweets"][column].copy()
        values[later] = draw.permutation(values[later])
        tables["tweets"][column] = values
    tables["tweet_words"] = dict(world.table("tweet_words"))
    for name in ("impressions", "engagements", "feedback", "tweet_labels", "user_labels"):
        tables[name] = _altered(draw, world.table(name), now_h)
    for name in ("notifications", "notification_actions", "notification_settings"):
        tables[name] = _altered(draw, world.table(name), now_h)
    # What is done with a notification names it, so that later ones are dropped: those named may be others now.
    done = tables["notification_actions"]
    end = int(np.searchsorted(done["time_h"], now_h))
    tables["notification_actions"] = {name: values[:end] for name, values in done.items()}
    known = tables["engagements"]["time_h"] < now_h
    tables["engagements"]["impression"] = np.where(known, tables["engagements"]["impression"], -1).astype(np.int32)
    follows = dict(world.table("follows"))
    keep = (follows["time_h"] < now_h) | (draw.random(follows["time_h"].size) < 0.5)
    tables["follows"] = {name: values[keep] for name, values in follows.items()}
    return WorldTables(world.meta, tables)


def fake_batch(
    counts: ArrayLike = (6, 0, 3, 1),
    *,
    viewers: ArrayLike | None = None,
    now_h: ArrayLike | None = None,
    view: PlatformView | None = None,
    seed: int = 0,
    **columns: ArrayLike,
) -> CandidateBatch:
    """Requests with random candidates that exist at their moment, each once; `columns` are added or replace.

    Columns: `tweet` int32 and `author` int32 (of that tweet), then yours: floats become float32, integers int32.
    Viewers are random users if not given; all requests are at the view's own moment if not said otherwise.
    """
    view = mini_view() if view is None else view
    sizes = np.asarray(counts, dtype=np.int64)
    draw = rng.stream(seed, "fake batch")
    who = draw.integers(0, view.user_count, sizes.size) if viewers is None else viewers
    requests = Requests.of(who, view.now_h if now_h is None else now_h, view, seed=seed)
    given = {name: _column(values) for name, values in columns.items()}
    if "tweet" not in given:
        known = view.tweets_before(requests.now_h)
        chosen = [draw.choice(int(limit), int(size), replace=False) for limit, size in zip(known, sizes, strict=True)]
        given["tweet"] = np.concatenate([np.empty(0, np.int64), *chosen]).astype(np.int32)
    if "author" not in given:
        given["author"] = view.tweets["author"][given["tweet"]]
    return CandidateBatch.of(requests, sizes, **given)


def one_request(batch: CandidateBatch, r: int) -> CandidateBatch:
    """Request r of the batch in a batch of its own."""
    asked = batch.requests
    alone = Requests(asked.viewer[r : r + 1], asked.now_h[r : r + 1], asked.view, asked.seed)
    rows = slice(int(batch.offsets[r]), int(batch.offsets[r + 1]))
    return CandidateBatch.of(alone, [rows.stop - rows.start], **{name: batch[name][rows] for name in batch.names})


def shuffled_rows(batch: CandidateBatch, *, seed: int = 0) -> Longs:
    """int64 [n]: the rows in another order that keeps requests together; for `batch.take`."""
    keys = rng.stream(seed, "shuffled rows").random(len(batch))
    return np.lexsort((keys, batch.request)).astype(np.int64)


@st.composite
def batches(
    draw: st.DrawFn,
    *,
    max_requests: int = 5,
    max_count: int = 30,
    bools: tuple[str, ...] = (),
    scores: tuple[str, ...] = ("score",),
) -> CandidateBatch:
    """Batches of 0 … max_requests requests with 0 … max_count candidates each.

    Few authors, so that many are equal; columns named in `scores` are float32 ≥ 0 with few distinct values in half
    of the batches, so that there are ties; columns named in `bools` are random. `kind` int8 is consistent with
    `is_original`, `is_reply`, `is_retweet` if those are asked for.
    """
    counts = draw(st.lists(st.integers(0, max_count), max_size=max_requests))
    values = rng.stream(draw(st.integers(0, 2**32 - 1)), "batches")
    levels = draw(st.sampled_from([1, 3, 0]))
    view = mini_view()
    n = sum(counts)
    tweets = [values.choice(view.tweets["author"].size, size, replace=False) for size in counts]
    kind = values.integers(0, 4, n).astype(np.int8)
    columns: dict[str, Array] = {
        "tweet": np.concatenate([np.empty(0, np.int64), *tweets]).astype(np.int32),
        "author": values.integers(0, draw(st.integers(1, 6)), n).astype(np.int32),
        "kind": kind,
    }
    for name in bools:
        columns[name] = values.random(n) < 0.5
    for name, code in (("is_original", 0), ("is_retweet", RETWEET), ("is_reply", REPLY)):
        if name in bools:
            columns[name] = kind == code
    for name in scores:
        drawn = values.random(n) if levels == 0 else values.integers(0, levels, n) / 4
        columns[name] = drawn.astype(np.float32)
    viewers = values.integers(0, view.user_count, len(counts))
    return CandidateBatch.of(Requests.of(viewers, view.now_h, view), counts, **columns)


def _column(values: ArrayLike) -> Array:
    array = np.asarray(values)
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    return array if array.dtype.kind == "b" or array.dtype == np.int8 else array.astype(np.int32)


def _users(draw: np.random.Generator, users: int) -> dict[str, Array]:
    flag = {name: draw.random(users) < share for name, share in (("verified", 0.3), ("creator", 0.2))}
    protected = np.arange(users) % 10 == 4
    suspended = np.arange(users) % 30 == 7
    ids = np.arange(users)
    return {
        "handle": np.array([f"user{i}" for i in range(users)], dtype=object),
        "created_h": -draw.uniform(100.0, 50_000.0, users),
        "language": np.zeros(users, np.int8),
        **flag,
        "protected": protected,
        "suspended": suspended,
        "country": (ids % 4).astype(np.int8),
        "allows_sensitive": ids % 5 == 2,
    }


def _follows(draw: np.random.Generator, users: int, share: float, hours: float) -> dict[str, Array]:
    follower, followee = np.meshgrid(np.arange(users), np.arange(users), indexing="ij")
    same = follower % COMMUNITIES == followee % COMMUNITIES
    chosen = draw.random((users, users)) < np.where(same, min(1.0, 2 * share), share / 2)
    # Nobody follows themselves, and the last user is alone.
    chosen &= (follower != followee) & (follower != users - 1) & (followee != users - 1)
    count = int(chosen.sum())
    # Most edges are old; some are made while the world runs.
    since = np.where(draw.random(count) < 0.8, -draw.uniform(1.0, 5_000.0, count), draw.uniform(0.0, hours, count))
    return {
        "follower": follower[chosen].astype(np.int32),
        "followee": followee[chosen].astype(np.int32),
        "time_h": since,
    }


def _tweets(draw: np.random.Generator, users: int, tweets: int, hours: float) -> dict[str, Array]:
    time_h = np.sort(draw.uniform(0.0, hours, tweets))
    active = max(users - 1, 1)  # the last user writes nothing
    author = np.minimum((active * draw.random(tweets) ** 1.5).astype(np.int32), active - 1)
    kind = draw.choice(4, tweets, p=[0.55, 0.2, 0.15, 0.1]).astype(np.int8)
    if tweets:
        kind[0] = 0
    parent = np.full(tweets, -1, np.int32)
    root = np.full(tweets, -1, np.int32)
    for i in np.flatnonzero(kind > 0):  # a loop over a few hundred rows, each of which looks at those before it
        earlier = np.flatnonzero((kind[:i] != RETWEET) & (np.arange(i) >= i - 80))
        like = earlier[author[earlier] % COMMUNITIES == author[i] % COMMUNITIES]
        pool = like if like.size and draw.random() < 0.8 else earlier
        if not pool.size:
            kind[i] = 0
            continue
        parent[i] = draw.choice(pool)
        if kind[i] == REPLY:
            root[i] = root[parent[i]] if root[parent[i]] >= 0 else parent[i]
    video = draw.random(tweets) < 0.3
    assert set(np.unique(kind)) <= {0, RETWEET, REPLY, QUOTE}
    return {
        "author": author,
        "time_h": time_h,
        "kind": kind,
        "parent": parent,
        "root": root,
        "language": np.zeros(tweets, np.int8),
        "has_image": (draw.random(tweets) < 0.3) & ~video,
        "has_link": draw.random(tweets) < 0.2,
        "video_s": np.where(video, draw.uniform(5.0, 120.0, tweets), 0.0).astype(np.float32),
        "hashtag_count": draw.integers(0, 3, tweets).astype(np.int16),
        "mention_count": draw.integers(0, 2, tweets).astype(np.int16),
        "length": draw.integers(10, 280, tweets).astype(np.int16),
        "sensitive": draw.random(tweets) < 0.05,
        "exclusive": np.isin(kind, (0, QUOTE)) & (np.arange(tweets) % 11 == 3),
    }


def _tweet_words(draw: np.random.Generator, tweets: dict[str, Array], words: int) -> dict[str, Array]:
    chosen: list[Array] = []
    for i, author in enumerate(tweets["author"]):  # small on purpose
        if tweets["kind"][i] == RETWEET:
            chosen.append(chosen[tweets["parent"][i]])
            continue
        # Each community has its own third of the vocabulary, and everybody uses the rest now and then.
        weight = np.where(np.arange(words) % COMMUNITIES == author % COMMUNITIES, 8.0, 1.0)
        count = int(draw.integers(2, 7))
        chosen.append(np.sort(draw.choice(words, min(count, words), replace=False, p=weight / weight.sum())))
    return {
        "tweet": np.repeat(np.arange(len(chosen)), [w.size for w in chosen]).astype(np.int32),
        "word": np.concatenate([np.empty(0, np.int64), *chosen]).astype(np.int32),
    }


def _texts(tweet_words: dict[str, Array], vocabulary: Array, tweets: int) -> Array:
    ends = np.searchsorted(tweet_words["tweet"], np.arange(tweets + 1))
    said = vocabulary[tweet_words["word"]]
    return np.array([" ".join(said[ends[i] : ends[i + 1]]) for i in range(tweets)] + [""], dtype=object)[:tweets]


def _impressions(
    draw: np.random.Generator, tweets: dict[str, Array], users: int, hours: float, pages: int, page_size: int
) -> dict[str, Array]:
    moments = np.sort(draw.uniform(0.05 * hours, hours, pages))
    viewers = draw.integers(0, max(users - 1, 1), pages)
    known = np.searchsorted(tweets["time_h"], moments)
    shown = [draw.choice(int(k), min(int(k), page_size), replace=False) for k in known]
    size = np.array([s.size for s in shown], dtype=np.int64)
    n = int(size.sum())
    return {
        "viewer": np.repeat(viewers, size).astype(np.int32),
        "tweet": np.concatenate([np.empty(0, np.int64), *shown]).astype(np.int32),
        "time_h": np.repeat(moments, size),
        "position": (np.arange(n) - np.repeat(np.cumsum(size) - size, size)).astype(np.int16),
        "request": np.repeat(np.arange(pages), size).astype(np.int32),
        "arm": draw.integers(0, 3, n).astype(np.int8),
        "propensity": np.where(draw.random(n) < 0.9, draw.uniform(0.01, 1.0, n), np.nan).astype(np.float32),
    }


def _engagements(
    draw: np.random.Generator, tweets: dict[str, Array], shown: dict[str, Array], hours: float
) -> dict[str, Array]:
    n = shown["tweet"].size
    fit = tweets["author"][shown["tweet"]] % COMMUNITIES == shown["viewer"] % COMMUNITIES
    happened: dict[str, Array] = {}
    for action in sorted(ACTIONS, key=lambda action: action.within is not None):
        base = RATES[action.name] * np.where(fit != action.negative, 1.0, 1 / 3)
        possible = np.ones(n, np.bool_)
        if action.within is not None:
            possible &= happened[action.within]
        if action.needs_video:
            possible &= tweets["video_s"][shown["tweet"]] > 0
        happened[action.name] = possible & (draw.random(n) < base)
    parts = []
    for name, did in happened.items():
        rows = np.flatnonzero(did)
        moment = np.minimum(shown["time_h"][rows] + draw.uniform(0.001, 0.1, rows.size), hours)
        parts.append((shown["viewer"][rows], shown["tweet"][rows], rows, moment, ACTION_CODE[name]))
    # What somebody wrote is also an engagement with the parent, without an impression of ours.
    for kind, name in ((RETWEET, "retweet"), (REPLY, "reply")):
        rows = np.flatnonzero(tweets["kind"] == kind)
        none = np.full(rows.size, -1)
        parts.append((tweets["author"][rows], tweets["parent"][rows], none, tweets["time_h"][rows], ACTION_CODE[name]))
    time_h = np.concatenate([part[3] for part in parts])
    order = np.argsort(time_h, kind="stable")
    action_codes = np.concatenate([np.full(part[0].size, part[4]) for part in parts])
    viewer, tweet, impression = (np.concatenate([part[i] for part in parts]).astype(np.int32) for i in range(3))
    return {
        "viewer": viewer[order],
        "tweet": tweet[order],
        "action": action_codes.astype(np.int8)[order],
        "time_h": time_h[order],
        "impression": impression[order],
    }


def _feedback(
    draw: np.random.Generator, tweets: dict[str, Array], users: int, words: int, hours: float, times: int
) -> dict[str, Array]:
    per_kind = {SEE_FEWER: users, BLOCK: users // 2, MUTE: users // 2, REPORT: users // 3, MUTE_KEYWORD: users // 2}
    kind = np.repeat(list(per_kind), [times * count for count in per_kind.values()]).astype(np.int8)
    n = kind.size
    active = max(users - 1, 1)
    user = draw.integers(0, active, n).astype(np.int32)
    author = ((user + draw.integers(1, max(active, 2), n)) % active).astype(np.int32)  # somebody else
    time_h = draw.uniform(0.1 * hours, hours, n)
    about_tweet = np.isin(kind, (SEE_FEWER, REPORT))
    tweet = np.full(n, -1, np.int32)
    known = np.searchsorted(tweets["time_h"], time_h)
    about_tweet &= known > 0
    tweet[about_tweet] = (draw.random(int(about_tweet.sum())) * known[about_tweet]).astype(np.int32)
    author[about_tweet] = tweets["author"][tweet[about_tweet]]
    author[kind == MUTE_KEYWORD] = -1
    word = np.where(kind == MUTE_KEYWORD, draw.integers(0, words, n), -1).astype(np.int32)
    order = np.argsort(time_h, kind="stable")
    columns: dict[str, Array] = {
        "user": user,
        "kind": kind,
        "author": author,
        "tweet": tweet,
        "word": word,
        "time_h": time_h,
    }
    return {name: values[order] for name, values in columns.items()}


def _lists(draw: np.random.Generator, users: int) -> dict[str, Array]:
    size = min(5, users)
    members = [np.sort(draw.choice(users, size, replace=False)) for _ in range(3)]
    return {
        "list": np.repeat(np.arange(3), size).astype(np.int32),
        # Every fourth user may keep one: those whom the checks of all stages ask.
        "owner": np.repeat(draw.integers(0, users, 3) // 4 * 4, size).astype(np.int32),
        "member": np.concatenate(members).astype(np.int32),
    }


def _labels(seed: int, tweets: dict[str, Array], users: int, hours: float) -> dict[str, dict[str, Array]]:
    """A label on every eighth tweet and every third user, and a subscription of every second user."""
    draw = rng.stream(seed, "mini world labels")
    count = tweets["author"].size
    tables: dict[str, dict[str, Array]] = {}
    for table, column, size, known in (("tweet_labels", "tweet", count, count), ("user_labels", "user", users, users)):
        n = known // (8 if column == "tweet" else 3)
        which = draw.choice(size, n, replace=False).astype(np.int32)
        since = tweets["time_h"][which] if column == "tweet" else np.zeros(n)
        # Half of the labels come at once (a user's long ago), the others later.
        time_h = np.minimum(since + np.where(draw.random(n) < 0.5, 0.0, draw.uniform(0.0, hours / 2, n)), hours)
        label = draw.integers(0, len(TWEET_LABELS if column == "tweet" else USER_LABELS), n).astype(np.int8)
        order = np.argsort(time_h, kind="stable")
        tables[table] = {column: which[order], "label": label[order], "time_h": time_h[order]}
    payers = np.arange(0, max(users - 1, 0), 2)
    paid = (payers + draw.integers(1, max(users - 1, 2), payers.size)) % max(users - 1, 1)
    since = draw.uniform(-hours, hours, payers.size)
    tables["subscriptions"] = {
        "subscriber": payers.astype(np.int32),
        "author": paid.astype(np.int32),
        "time_h": since,
    }
    return tables


# Probability of each action on a notification, as RATES; actions of which `oonc` is made are split from it.
PUSH_RATES = {
    "oonc": 0.5,
    "open": 0.6,
    "ntab_click": 0.6,
    "engage": 0.5,
    "dismiss": 0.2,
    "dislike": 0.1,
    "turn_off": 0.04,
}


def _notifications(
    seed: int, tweets: dict[str, Array], users: int, hours: float, count: int
) -> dict[str, dict[str, Array]]:
    """Notifications of existing tweets, few for most and many for some; what was done; who turned them off."""
    draw = rng.stream(seed, "mini world notifications")
    n = count if tweets["author"].size else 0
    time_h = np.sort(draw.uniform(0.05 * hours, hours, n))
    known = np.maximum(np.searchsorted(tweets["time_h"], time_h), 1)
    tweet = (draw.random(n) * known).astype(np.int32)
    viewer = (max(users - 1, 1) * draw.random(n) ** 3).astype(np.int32)
    sent = {
        "viewer": viewer,
        "tweet": tweet,
        "time_h": time_h,
        "kind": draw.integers(0, len(NOTIFICATION_KINDS), n).astype(np.int8),
        "arm": draw.integers(0, 3, n).astype(np.int8),
        "propensity": np.where(draw.random(n) < 0.9, draw.uniform(0.01, 1.0, n), np.nan).astype(np.float32),
    }
    fit = tweets["author"][tweet] % COMMUNITIES == viewer % COMMUNITIES
    happened: dict[str, Array] = {}
    for action in PUSH_ACTIONS:
        base = PUSH_RATES[action.name] * np.where(fit != action.negative, 1.0, 1 / 3)
        possible = happened[action.within] if action.within is not None else np.ones(n, np.bool_)
        happened[action.name] = possible & (draw.random(n) < base)
    neither = happened["oonc"] & ~happened["open"]
    happened["ntab_click"] |= neither  # one of the two is what `oonc` means
    rows = np.concatenate([np.flatnonzero(did) for did in happened.values()])
    code = np.concatenate([np.full(int(did.sum()), PUSH_ACTION_CODE[name]) for name, did in happened.items()])
    moment = np.minimum(time_h[rows] + draw.uniform(0.001, 0.5, rows.size), hours)
    order = np.argsort(moment, kind="stable")
    done = {"viewer": viewer[rows], "tweet": tweet[rows], "action": code, "time_h": moment, "impression": rows}
    types = {"action": np.int8, "impression": np.int32}
    off = np.arange(0, max(users - 1, 0), 2).astype(np.int32)
    since = np.sort(draw.uniform(0.1 * hours, 0.8 * hours, off.size))
    return {
        "notifications": sent,
        "notification_actions": {
            name: values[order].astype(types.get(name, values.dtype)) for name, values in done.items()
        },
        "notification_settings": {
            "user": draw.permutation(off),
            "allowed": np.zeros(off.size, np.bool_),
            "time_h": since,
        },
    }


def _altered(draw: np.random.Generator, table: Columns, now_h: float) -> dict[str, Array]:
    """The rows before `now_h`, then half of the later ones with their users shuffled."""
    end = int(np.searchsorted(table["time_h"], now_h))
    later = end + np.flatnonzero(draw.random(table["time_h"].size - end) < 0.5)
    rows = np.concatenate([np.arange(end), later])
    columns = {name: values[rows].copy() for name, values in table.items()}
    who = next(columns[name] for name in ("user", "viewer", "tweet") if name in columns)
    who[end:] = draw.permutation(who[end:])
    return columns

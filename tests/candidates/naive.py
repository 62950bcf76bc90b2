"""Sources in plain Python, one viewer at a time, to compare the real ones with."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from funnel.core.actions import ACTION_CODE, PUBLIC_ACTIONS
from funnel.core.batch import CandidateBatch
from funnel.core.tables import MUTE, QUOTE, REPLY, RETWEET
from funnel.core.world import PlatformView
from funnel.features import affinity


def result(batch: CandidateBatch, r: int) -> dict[int, float]:
    """{tweet: score} of one request."""
    rows = slice(int(batch.offsets[r]), int(batch.offsets[r + 1]))
    found = dict(zip(batch["tweet"][rows].tolist(), batch["source_score"][rows].tolist(), strict=True))
    assert len(found) == rows.stop - rows.start
    return found


def followees(view: PlatformView, viewer: int, now_h: float) -> list[int]:
    """Whom the viewer followed before now."""
    graph = view.following
    edges = range(graph.offsets[viewer], graph.offsets[viewer + 1])
    return [int(graph.targets[e]) for e in edges if graph.time_h[e] < now_h]


def weights(view: PlatformView, viewer: int, users: list[int], now_h: float) -> dict[int, np.float32]:
    """1.97 * RealGraph score + 1 of each."""
    n = len(users)
    score = affinity.pair_scores(
        view, np.full(n, viewer, np.int32), np.array(users, np.int32), np.full(n, now_h, np.float64)
    )
    return {user: np.float32(1.97) * s + np.float32(1) for user, s in zip(users, score, strict=True)}


def original(view: PlatformView, tweet: int) -> int:
    """What a retweet carries."""
    tweets = view.tweets
    return int(tweets["parent"][tweet]) if tweets["kind"][tweet] == RETWEET else tweet


def hidden(view: PlatformView, author: int) -> bool:
    """Protected or suspended."""
    return bool(view.users["protected"][author] or view.users["suspended"][author])


def in_network(view: PlatformView, viewer: int, now_h: float, window_h: float, **changed: int) -> dict[int, float]:
    """As `InNetwork` says, with its default settings but for those changed, and one window for everybody."""
    limit = {
        "max_excluded": 1500,
        "max_per_author": 3,
        "max_in_a_row": 2,
        "max_hits": 1000,
        "max_retweets": 5,
    } | changed
    tweets, shown, told = view.tweets, view.impressions, view.feedback
    muted = {
        int(author)
        for user, kind, author, time in zip(told["user"], told["kind"], told["author"], told["time_h"], strict=True)
        if user == viewer and kind == MUTE and time < now_h
    }
    followed = set(followees(view, viewer, now_h)) - {viewer}
    weight = weights(view, viewer, sorted(followed - muted), now_h)
    mine = (shown["viewer"] == viewer) & (shown["time_h"] < now_h) & (shown["time_h"] >= now_h - window_h)
    seen = set(shown["tweet"][mine][::-1][: limit["max_excluded"]].tolist())
    hits: list[int] = []
    written: dict[int, int] = defaultdict(int)
    last, run = -1, 0
    for tweet in range(tweets["author"].size - 1, -1, -1):
        author, time = int(tweets["author"][tweet]), tweets["time_h"][tweet]
        if author not in weight or tweet in seen or not now_h - window_h <= time < now_h - 15 / 3600:
            continue
        if written[author] == limit["max_per_author"] or len(hits) == limit["max_hits"]:
            continue
        run = run + 1 if author == last else 1
        last = author
        if run <= limit["max_in_a_row"]:
            written[author] += 1
            hits.append(tweet)
    passed_on: dict[int, int] = defaultdict(int)
    found = {}
    for tweet in hits:
        author, parent = int(tweets["author"][tweet]), int(tweets["parent"][tweet])
        if tweets["kind"][tweet] == RETWEET:
            passed_on[parent] += 1
            if passed_on[parent] > limit["max_retweets"]:
                continue
        if tweets["kind"][tweet] == REPLY:
            answered = int(tweets["author"][parent])
            rooted = tweets["kind"][parent] not in (REPLY, RETWEET)
            inside = answered in followed or answered == author
            if answered in muted or not (inside or (rooted and answered != viewer)):
                continue
        minutes = (now_h - tweets["time_h"][tweet]) * 60
        found[tweet] = float(weight[author]) * (0.6 + 0.4 / (1 + np.exp(0.003 * (minutes - 360))))
    return found


def uteg(
    view: PlatformView, viewer: int, now_h: float, *, proofs: tuple[str, ...], min_proofs: int, max_age_h: float
) -> dict[int, float]:
    """As `UTEG` says, without its limits on seeds and edges."""
    log, tweets = view.engagements, view.tweets
    followed = followees(view, viewer, now_h)
    weight = weights(view, viewer, followed, now_h)
    public = {ACTION_CODE[name] for name in PUBLIC_ACTIONS}
    proof_codes = {ACTION_CODE[name] for name in proofs}
    edges, provers, own = set(), defaultdict(set), set()
    for user, tweet, action, time in zip(log["viewer"], log["tweet"], log["action"], log["time_h"], strict=True):
        if time >= now_h or action not in public:
            continue
        carried = original(view, int(tweet))
        if user == viewer:
            own.add(carried)
        elif user in weight:
            edges.add((int(user), carried, int(action)))
            if action in proof_codes and user != tweets["author"][carried]:
                provers[carried].add(int(user))
    for tweet, (kind, time) in enumerate(zip(tweets["kind"], tweets["time_h"], strict=True)):
        if kind == QUOTE and time < now_h:
            user, carried = int(tweets["author"][tweet]), original(view, int(tweets["parent"][tweet]))
            if user == viewer:
                own.add(carried)
            elif user in weight:
                edges.add((user, carried, -1))
    score: dict[int, float] = defaultdict(float)
    for user, tweet, _ in edges:
        author = int(tweets["author"][tweet])
        young = tweets["time_h"][tweet] >= now_h - max_age_h
        outside = author != viewer and author not in weight and not hidden(view, author)
        if young and outside and tweet not in own and len(provers[tweet]) >= min_proofs:
            score[tweet] += float(weight[user])
    return {tweet: float(np.float32(total)) for tweet, total in score.items()}


def may_show(view: PlatformView, tweet: int, viewer: int, now_h: float, max_age_h: float) -> bool:
    """Whether SimClusters and TwHIN may show a tweet to the viewer."""
    tweets = view.tweets
    author = int(tweets["author"][tweet])
    return bool(
        now_h - max_age_h <= tweets["time_h"][tweet] < now_h
        and tweets["kind"][tweet] not in (RETWEET, REPLY)
        and not hidden(view, author)
        and author != viewer
        and author not in followees(view, viewer, now_h)
    )


def favouriters(view: PlatformView, now_h: float, signal: str = "favorite") -> dict[int, list[tuple[int, float]]]:
    """{tweet: [(user, age in hours)]}, authors' own left out."""
    log, found = view.engagements, defaultdict(list)
    for row in np.flatnonzero((log["action"] == ACTION_CODE[signal]) & (log["time_h"] < now_h)):
        tweet = original(view, int(log["tweet"][row]))
        if view.tweets["author"][tweet] != log["viewer"][row]:
            found[tweet].append((int(log["viewer"][row]), float(now_h - log["time_h"][row])))
    return found


def simclusters(
    view: PlatformView, viewer: int, now_h: float, *, min_signals: int, min_interest: float, max_age_h: float
) -> dict[int, float]:
    """{tweet: cosine} as `SimClustersANN` says, without its limits on clusters and tweets."""
    clusters, interest = view.asset("simclusters.interested_in"), view.asset("simclusters.interest")
    source = {int(c): float(w) for c, w in zip(clusters[viewer], interest[viewer], strict=True) if c >= 0}
    found = {}
    for tweet, users in favouriters(view, now_h).items():
        if len(users) < min_signals or not may_show(view, tweet, viewer, now_h, max_age_h):
            continue
        embedding: dict[int, float] = defaultdict(float)
        for user, age in users:
            for c, w in zip(clusters[user], interest[user], strict=True):
                if c >= 0 and w >= np.float32(min_interest):
                    embedding[int(c)] += float(w) * 2 ** (-age / 8.0)
        norm = sum(embedding[c] ** 2 for c in source if c in embedding)
        if norm > 0:
            dot = sum(w * embedding.get(c, 0.0) for c, w in source.items())
            found[tweet] = dot / np.sqrt(norm * sum(w * w for w in source.values()))
    return found


def twhin(view: PlatformView, viewer: int, now_h: float, *, share: float, max_age_h: float) -> dict[int, float]:
    """{tweet: cosine} as `TwHINANN` says."""
    sides = (("follow", np.sqrt(share)), ("engagement", np.sqrt(1 - share)))
    users = np.hstack([scale * view.asset(f"twhin.user_{network}") for network, scale in sides]).astype(np.float64)
    authors = np.hstack([scale * view.asset(f"twhin.author_{network}") for network, scale in sides]).astype(np.float64)
    likers, found = favouriters(view, now_h), {}
    for tweet in range(int(np.searchsorted(view.tweets["time_h"], now_h))):
        if may_show(view, tweet, viewer, now_h, max_age_h):
            vector = authors[view.tweets["author"][tweet]].copy()
            if likers.get(tweet):
                vector += users[[user for user, _ in likers[tweet]]].mean(axis=0)
            found[tweet] = float(users[viewer] @ vector / np.linalg.norm(vector))
    return found

"""User–tweet–entity graph: tweets that the people a viewer follows engaged with ("X liked").

The algorithm is GraphJet's TopSecondDegreeByCount (twitter/GraphJet,
algorithms/counting/TopSecondDegreeByCount.java and counting/tweet/), asked as Home asks it
(twitter/the-algorithm, home-mixer/…/query_transformer/TimelineRankerUtegQueryTransformer.scala).
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.kernels import best_rows, mark_network, original_of
from candidates.retrieval import action_codes, hidden_users, ranked, tweet_window, weighted_followees
from funnel.core.actions import ACTIONS, PUBLIC_ACTIONS
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, nearest
from funnel.core.kernels import kernel
from funnel.core.kernels.grouping import first_not_before
from funnel.core.stage import STRICT, Source
from funnel.core.tables import RETWEET


@dataclass(config=STRICT, kw_only=True)
class UTEG(Source):
    """Out-of-network tweets by the summed weight of the followees who engaged with them.

    Seeds u are followees, w(u) = 1.97 * RealGraph score + 1. score(t) = sum of w(u) over distinct
    (u, t, type of engagement), every public type counting (the release has no weight per type). A tweet needs
    followees with one of the `social_proof` types, its author not counted. Engaging with a retweet is engaging
    with the tweet it carries. Tweets by followed, protected or suspended accounts, by the viewer, and those that
    the viewer has engaged with are left out.
    """

    social_proof: tuple[str, ...] = Field(
        ("favorite",), min_length=1, description="types of engagement that count as proof; Home asks for favourites"
    )
    min_proofs: int = Field(1, ge=1, description="followees with such a proof that a tweet needs, without its author")
    max_age_h: float = Field(24.0, gt=0, le=8760, description="oldest tweet, hours")
    max_seeds: int = Field(1000, ge=1, description="followees who count at most, by weight")
    max_edges: int = Field(500, ge=1, description="newest engagements read of each seed (MAX_EDGES_PER_NODE)")
    max_results: int = Field(800, ge=1, le=2500, description="tweets returned at most (utegCount)")

    def __post_init__(self) -> None:
        for action in self.social_proof:
            if action not in PUBLIC_ACTIONS:
                raise ConfigError("uteg.social_proof", f"unknown proof {action!r} — {nearest(action, PUBLIC_ACTIONS)}")

    @property
    def requires(self) -> tuple[str, ...]:
        """The RealGraph model."""
        return ("real_graph.coefficients",)

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32, best first."""
        view = requests.view
        index = view.events("public", by="viewer")
        # Whoever engaged with a tweet of the window did so inside the window.
        seeds = weighted_followees(
            requests, index, window_h=self.max_age_h, newest=self.max_edges, limit=self.max_seeds
        )
        proofs = np.zeros(len(ACTIONS), np.bool_)
        proofs[action_codes("uteg.social_proof", self.social_proof)] = True
        first, end = tweet_window(view, requests.now_h, self.max_age_h)
        graph = view.following
        request, tweet, score = _second_degree(
            requests.viewer, requests.now_h, seeds.offsets, seeds.followee, seeds.begin, seeds.end, seeds.weight,
            index.offsets, index.time_h, index.row, view.engagements["tweet"], view.engagements["action"],
            view.tweets["author"], view.tweets["kind"], view.tweets["parent"], hidden_users(view),
            graph.offsets, graph.targets, graph.time_h, first, end,
            float(self.max_age_h), proofs, self.min_proofs, self.max_results, RETWEET,
        )  # fmt: skip
        return ranked(requests, request, tweet, score)


@kernel
def _second_degree(  # noqa: PLR0912 (one loop that shares its dense accumulators)
    viewer: Ints,
    now: Doubles,
    seed_offsets: Longs,
    seed: Ints,
    begin: Longs,
    end: Longs,
    weight: Floats,
    event_offsets: Longs,
    event_time: Doubles,
    event_row: Ints,
    engaged: Ints,
    action: Array,
    author: Ints,
    kind: Array,
    parent: Ints,
    hidden: Bools,
    follow_offsets: Longs,
    follow_targets: Ints,
    follow_times: Doubles,
    first: Longs,
    last: Longs,
    max_age: float,
    proof_types: Bools,
    min_proofs: int,
    k: int,
    retweet: int,
) -> tuple[Longs, Ints, Floats]:
    """(request int64 [n], tweet int32 [n], score float32 [n]): dense accumulators over the window, with a touched list.

    Weights are float32 and their sums float64: 1,000 of them add up without rounding, in any order.
    """
    width = 0
    for r in range(viewer.size):
        width = max(width, last[r] - first[r])
    total, proofs = np.zeros(width), np.zeros(width, np.int32)
    counted_seed, counted_types = np.full(width, -1, np.int64), np.zeros(width, np.int64)
    own, network = np.full(width, -1, np.int64), np.full(hidden.size, -1, np.int64)
    touched = np.empty(width, np.int64)
    score, tweet = np.empty(width, np.float32), np.empty(width, np.int32)
    out_request = np.empty(viewer.size * min(k, width), np.int64)
    out_tweet, out_score = np.empty(out_request.size, np.int32), np.empty(out_request.size, np.float32)
    found = 0
    for r in range(viewer.size):
        if seed_offsets[r] == seed_offsets[r + 1]:
            continue
        mark_network(network, r, follow_offsets, follow_targets, follow_times, viewer[r], now[r])
        own_end = first_not_before(event_time, event_offsets[viewer[r]], event_offsets[viewer[r] + 1], now[r])
        own_begin = first_not_before(event_time, event_offsets[viewer[r]], own_end, now[r] - max_age)
        for e in range(own_begin, own_end):
            t = original_of(engaged[event_row[e]], kind, parent, retweet)
            if t >= first[r]:
                own[t - first[r]] = r
        count = 0
        for s in range(seed_offsets[r], seed_offsets[r + 1]):
            for e in range(begin[s], end[s]):
                t = original_of(engaged[event_row[e]], kind, parent, retweet)
                if t < first[r]:
                    continue
                at = t - first[r]
                if counted_seed[at] != s:
                    counted_seed[at], counted_types[at] = s, 0
                bit = np.int64(1) << np.int64(action[event_row[e]])
                if counted_types[at] & bit:
                    continue
                if total[at] == 0.0:
                    touched[count] = at
                    count += 1
                total[at] += weight[s]
                counted_types[at] |= bit
                # 1 << 62 marks that this seed is already among the proofs.
                if proof_types[action[event_row[e]]] and seed[s] != author[t] and not counted_types[at] >> 62:
                    proofs[at] += 1
                    counted_types[at] |= np.int64(1) << np.int64(62)
        n = 0
        for i in range(count):
            at = touched[i]
            writer = author[first[r] + at]
            if proofs[at] >= min_proofs and network[writer] != r and own[at] != r and not hidden[writer]:
                score[n], tweet[n] = total[at], first[r] + at
                n += 1
            total[at], proofs[at] = 0.0, 0
        for row in best_rows(score[:n], tweet[:n], k):
            out_request[found], out_tweet[found], out_score[found] = r, tweet[row], score[row]
            found += 1
    return out_request[:found].copy(), out_tweet[:found].copy(), out_score[:found].copy()

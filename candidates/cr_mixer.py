"""CR-mixer: tweets similar to what a viewer did lately, from several engines, dealt out in turn.

twitter/the-algorithm, cr-mixer/server/src/main/scala/com/twitter/cr_mixer/ (source_signal/, similarity_engine/,
candidate_generation/, blender/, filter/, param/). Home's tweet mixer, which took its place, is not published.

    signals → source keys → similarity engines → filters → dealt out in turn over the keys → verified authors first
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.graphjet.related import draw_keys, producer_based, tweet_based
from candidates.graphjet.seeds import alone
from candidates.graphjet.world import world_store
from candidates.mixing import interleave, newest_followers
from candidates.retrieval import action_codes, hidden_users, moments, tweet_window
from candidates.simclusters.ann import AnnSettings, Queries, producer_queries, search, tweet_queries, viewer_queries
from candidates.simclusters.tweets import Interests, cluster_lists, interest_assets
from candidates.user_signals import SIGNALS, checked, signals_of
from funnel.core.arrays import Array, Bools, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.kernels.grouping import pair_keys
from funnel.core.stage import STRICT, Source
from funnel.core.tables import REPLY, RETWEET
from funnel.core.world import PlatformView
from funnel.features.base import SEEN_FOR_H, followed_since

Engine = Literal["simclusters_ann", "user_tweet_graph"]
ENGINES: tuple[Engine, ...] = ("simclusters_ann", "user_tweet_graph")
INTERESTED_IN = len(SIGNALS)  # the code of the key that is no signal: the viewer's own interests


class Keys(NamedTuple):
    """What candidates are looked for by, in the order of dealing: by request, the newest signal first.

    request: int64 [q]; kind: int8 [q], a place in SIGNALS or INTERESTED_IN; target: int32 [q], a tweet or a user.
    """

    request: Longs
    kind: Array
    target: Ints


class Found(NamedTuple):
    """Candidates: key int64 [n], a row of `Keys`; engine int8 [n], a place in ENGINES; tweet int32 [n].

    Rows by key, then in the order of the engines asked, then best first.
    """

    key: Longs
    engine: Array
    tweet: Ints


@dataclass(config=STRICT, kw_only=True)
class CRMixer(Source):
    """Tweets near to the tweets that the viewer liked, to the accounts they turned to and to their interests.

    A source key is a tweet or an account of one of the signals, or the viewer's InterestedIn. Each key asks its
    engines; their lists are dealt out in turn, a tweet that is there already being replaced by the next of the same
    list. So are the lists of all keys, the newest signal first and InterestedIn last. source_score = candidates of the
    request − place. Retweets, replies, the source tweets, what was seen in 48 h, and tweets by followed, protected or
    suspended accounts and the viewer are left out.
    """

    tweet_signals: tuple[str, ...] = Field(
        ("tweet_favorite",),
        description="signals about tweets whose targets are source keys (on by default: favourites)",
    )
    producer_signals: tuple[str, ...] = Field(
        ("account_follow", "repeated_profile_visit"), description="signals about accounts whose targets are source keys"
    )
    interested_in: bool = Field(True, description="whether the viewer's InterestedIn is a source key")
    tweet_engines: tuple[Engine, ...] = Field(
        ("simclusters_ann", "user_tweet_graph"), description="who is asked about a tweet, in the order of dealing"
    )
    producer_engines: tuple[Engine, ...] = Field(
        ("simclusters_ann",), description="who is asked about an account; user_tweet_graph is off by default"
    )
    max_keys: int = Field(15, ge=1, le=1000, description="source keys of a signal (UnifiedMaxSourceKeyNum)")
    max_per_key: int = Field(
        200, ge=1, le=1000, description="tweets of a key at most (UnifiedMaxCandidateNumPerSourceKey)"
    )
    max_results: int = Field(
        400, ge=1, le=2000, description="tweets returned at most; Home asks 400 of the tweet mixer, the default is 100"
    )
    max_ranked: int = Field(
        2000, ge=1, description="tweets dealt out, of which verified authors' come first (MaxCandidatesToRank)"
    )
    min_favorites: int = Field(
        10, ge=0, description="favourites of a tweet that is a key by a favourite or a retweet (user-signal-service)"
    )
    min_tweet_score: float = Field(0.5, ge=0, le=1, description="least cosine to a source tweet")
    min_producer_score: float = Field(0.7, ge=0, le=1, description="least cosine to a source account")
    min_score: float = Field(0.072, ge=0, le=1, description="least cosine to the viewer's InterestedIn")
    signal: tuple[str, ...] = Field(
        ("favorite",),
        min_length=1,
        description="engagements that a tweet's embedding is made of, as in simclusters_ann",
    )
    interests: Interests = Field("follow", description="InterestedIn of viewers and of those who engaged")
    min_signals: int = Field(8, ge=1, description="engagements that a tweet needs to be in the index (Configs.scala)")
    min_interest: float = Field(
        0.1, ge=0, le=1, description="least interest in a cluster passed on to a tweet, as in simclusters_ann"
    )
    max_age_h: float = Field(24.0, gt=0, le=8760, description="oldest tweet of simclusters_ann, hours")
    graph_age_h: float = Field(48.0, gt=0, le=8760, description="oldest tweet of user_tweet_graph, hours")
    min_cooccurrence: int = Field(3, ge=1, description="users in common that user_tweet_graph wants for a tweet")
    min_producer_cooccurrence: int = Field(4, ge=1, description="the same for an account")
    min_degree: int = Field(50, ge=0, description="engagements that a tweet of user_tweet_graph has more than")
    min_query_degree: int = Field(10, ge=0, description="engagements that a source tweet needs in user_tweet_graph")
    min_graph_score: float = Field(0.5, ge=0, description="least score of user_tweet_graph for a tweet")
    min_producer_graph_score: float = Field(3.0, ge=0, description="least score of user_tweet_graph for an account")
    max_followers: int = Field(500, ge=1, description="newest followers who stand for an account in user_tweet_graph")
    blue_verified_first: bool = Field(
        True, description="tweets by verified authors before all others (EnableBlueVerifiedTopK)"
    )

    def __post_init__(self) -> None:
        action_codes("cr_mixer.signal", self.signal)
        checked("cr_mixer.tweet_signals", self.tweet_signals, "tweet")
        checked("cr_mixer.producer_signals", self.producer_signals, "user")

    @property
    def requires(self) -> tuple[str, ...]:
        """Users' interests in clusters, and producers' embeddings where accounts are keys."""
        producers = ("producer_row", "producer_clusters", "producer_weights") if self.producer_signals else ()
        return (*interest_assets(self.interests), *(f"simclusters.{what}" for what in producers))

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 >= 1, best first."""
        keys = self._keys(requests)
        found = self._found(requests, keys)
        tweets = int(requests.view.tweets["author"].size)
        # Engines into one list a key: queues are numbered by key and the engine's turn.
        turns = found.key * len(ENGINES) + found.engine
        queue_offsets = np.searchsorted(turns, np.arange(keys.request.size * len(ENGINES) + 1)).astype(np.int64)
        per_key = np.arange(keys.request.size + 1, dtype=np.int64) * len(ENGINES)
        key_offsets, rows = interleave(per_key, queue_offsets, found.tweet, tweets, self.max_per_key)
        tweet = found.tweet[rows]
        per_request = np.searchsorted(keys.request, np.arange(len(requests) + 1)).astype(np.int64)
        offsets, rows = interleave(per_request, key_offsets, tweet, tweets, max(self.max_ranked, self.max_results))
        return self._in_order(requests, offsets, tweet[rows])

    def proofs(self, requests: Requests, request: int, tweet: int) -> list[tuple[str, int]]:
        """("signal, engine", account): which keys led to a tweet; the account is the key's, or its tweet's author."""
        chosen = alone(requests, request)
        keys = self._keys(chosen)
        found = self._found(chosen, keys)
        said = []
        for row in np.flatnonzero(found.tweet == tweet).tolist():
            kind, target = int(keys.kind[found.key[row]]), int(keys.target[found.key[row]])
            signal = "interested_in" if kind == INTERESTED_IN else SIGNALS[kind].name
            about_tweet = kind != INTERESTED_IN and SIGNALS[kind].about == "tweet"
            account = int(chosen.view.tweets["author"][target]) if about_tweet else target
            said.append((f"{signal} by {ENGINES[self._engines(kind)[found.engine[row]]]}", account))
        return list(dict.fromkeys(said))

    def _in_order(self, requests: Requests, offsets: Longs, tweet: Ints) -> CandidateBatch:
        """The best of what was dealt out, verified authors first if so set."""
        request = np.repeat(np.arange(len(requests)), np.diff(offsets))
        if self.blue_verified_first:
            verified = requests.view.users["verified"][requests.view.tweets["author"][tweet]]
            tweet = tweet[np.lexsort((np.arange(tweet.size), ~verified, request))]
        place = np.arange(tweet.size) - offsets[:-1][request]
        kept = np.flatnonzero(place < self.max_results)
        size = np.minimum(np.diff(offsets), self.max_results)
        score = (size[request[kept]] - place[kept]).astype(np.float32)
        return CandidateBatch.of(requests, size, tweet=tweet[kept], source_score=score)

    def _keys(self, requests: Requests) -> Keys:
        names = (*self.tweet_signals, *self.producer_signals)
        said = signals_of(requests, names, limit=self.max_keys, min_favorites=self.min_favorites)
        viewers = np.arange(len(requests)) if self.interested_in else np.empty(0, np.int64)
        request = np.concatenate([said.request, viewers])
        kind = np.concatenate([said.kind, np.full(viewers.size, INTERESTED_IN, np.int8)])
        target = np.concatenate([said.target, requests.viewer[viewers]])
        time_h = np.concatenate([said.time_h, np.full(viewers.size, -np.inf)])
        order = np.lexsort((target, kind, -time_h, request))
        return Keys(request[order], kind[order], target[order])

    def _engines(self, kind: int) -> tuple[int, ...]:
        """Places in ENGINES of those that a kind of key asks, in turn."""
        if kind == INTERESTED_IN:
            return (0,)
        asked = self.tweet_engines if SIGNALS[kind].about == "tweet" else self.producer_engines
        return tuple(ENGINES.index(engine) for engine in asked)

    def _found(self, requests: Requests, keys: Keys) -> Found:
        """What the engines give for all keys, less what the filters take; `engine` is the turn at its key."""
        parts = [Found(np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.int32))]
        about = np.array([kind.about == "tweet" for kind in SIGNALS] + [False])
        groups = {
            "tweet": np.flatnonzero(about[keys.kind]),
            "producer": np.flatnonzero(~about[keys.kind] & (keys.kind != INTERESTED_IN)),
            "viewer": np.flatnonzero(keys.kind == INTERESTED_IN),
        }
        engines = {"tweet": self.tweet_engines, "producer": self.producer_engines, "viewer": ENGINES[:1]}
        for group, rows in groups.items():
            for turn, engine in enumerate(engines[group]):
                if not rows.size:
                    continue
                ask = self._near if engine == "simclusters_ann" else self._related
                row, tweet = ask(requests, group, keys.request[rows], keys.target[rows])
                parts.append(Found(rows[row], np.full(row.size, turn, np.int8), tweet))
        key, turn_of, tweet = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        kept = np.flatnonzero(self._allowed(requests, keys, key, tweet))
        kept = kept[np.lexsort((kept, turn_of[kept], key[kept]))]
        return Found(key[kept], turn_of[kept], tweet[kept])

    def _allowed(self, requests: Requests, keys: Keys, key: Longs, tweet: Ints) -> Bools:
        """bool [n]: no retweet or reply, out of network, not seen, no source tweet of the request."""
        view, request = requests.view, keys.request[key]
        viewer, now_h = requests.viewer[request], requests.now_h[request]
        kind, author = view.tweets["kind"][tweet], view.tweets["author"][tweet]
        allowed = (kind != RETWEET) & (kind != REPLY) & ~hidden_users(view)[author] & (author != viewer)
        allowed &= np.isinf(followed_since(view, viewer, author, now_h))
        shown = view.events("impression", by="viewer_tweet")
        allowed &= shown.last_h(shown.slots(pair_keys(viewer, tweet)), now_h) < now_h - SEEN_FOR_H
        about_tweet = np.isin(keys.kind, [code for code, kind in enumerate(SIGNALS) if kind.about == "tweet"])
        sources = pair_keys(keys.request[about_tweet].astype(np.int32), keys.target[about_tweet])
        out: Bools = allowed & ~np.isin(pair_keys(request.astype(np.int32), tweet), sources)
        return out

    def _near(self, requests: Requests, group: str, request: Longs, target: Ints) -> tuple[Longs, Ints]:
        """(row of the keys given, tweet), best first: SimClusters ANN."""
        view, parts = requests.view, [(np.empty(0, np.int64), np.empty(0, np.int32))]
        settings = self._settings(
            {"tweet": self.min_tweet_score, "producer": self.min_producer_score, "viewer": self.min_score}[group]
        )
        for now_h, asked in moments(requests):
            rows = np.flatnonzero(np.isin(request, asked))
            if not rows.size:
                continue
            lists = cluster_lists(view, now_h, settings)
            distinct, which = np.unique(target[rows], return_inverse=True)
            query = _queries(view, now_h, group, distinct, settings)
            query = Queries(query.clusters[which], query.weights[which])
            without = target[rows] if group == "tweet" else None
            row, tweet, score = search(
                view, now_h, lists, query, settings, viewer=requests.viewer[request[rows]], without=without
            )
            order = np.lexsort((tweet, -score, row))
            parts.append((rows[row[order]], tweet[order]))
        found, tweets = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.argsort(found, kind="stable")
        return found[order], tweets[order]

    def _related(self, requests: Requests, group: str, request: Longs, target: Ints) -> tuple[Longs, Ints]:
        """(row of the keys given, tweet), best first: the user-tweet-graph."""
        view, now_h = requests.view, requests.now_h[request]
        reading = world_store(view).read(now_h, window_h=self.graph_age_h)
        window = tweet_window(view, now_h, self.graph_age_h)
        if group == "tweet":
            found = tweet_based(
                reading, target, window, draw_keys(requests.seed, "cr_mixer", target, now_h),
                min_cooccurrence=self.min_cooccurrence, min_result_degree=self.min_degree,
                min_query_degree=self.min_query_degree, min_score=self.min_graph_score, max_results=self.max_per_key,
            )  # fmt: skip
        else:
            found = producer_based(
                reading, newest_followers(view, target, now_h, self.max_followers), window,
                max_followers=self.max_followers, min_cooccurrence=self.min_producer_cooccurrence,
                min_result_degree=self.min_degree, min_score=self.min_producer_graph_score,
                max_results=self.max_per_key,
            )  # fmt: skip
        return found.query, found.tweet

    def _settings(self, min_score: float) -> AnnSettings:
        return AnnSettings(
            signal=self.signal, interests=self.interests, min_signals=self.min_signals, min_interest=self.min_interest,
            max_age_h=self.max_age_h, min_score=min_score, max_results=self.max_per_key,
        )  # fmt: skip


def _queries(view: PlatformView, now_h: float, group: str, target: Ints, settings: AnnSettings) -> Queries:
    if group == "tweet":
        return tweet_queries(view, now_h, target, settings)
    return producer_queries(view, target) if group == "producer" else viewer_queries(view, target, settings)

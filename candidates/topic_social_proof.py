"""Topic social proof: out-of-network tweets about the topics that a viewer follows.

twitter/the-algorithm, topic-social-proof/ annotates a tweet with topics, scores each by cosine(consumer embedding of
the topic, tweet) + cosine(producer embedding of the topic, tweet), keeps scores above a threshold (0.0 by default) and
at most 10 topics a tweet; cr-mixer/…/candidate_generation/TopicTweetCandidateGenerator.scala makes candidates of them.
Our worlds have no topics that people subscribe to: a SimClusters community stands for a topic, and its followers are
those who have it among their main interests.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.graphjet.seeds import alone
from candidates.retrieval import PerMoment, joined, moments, ranked, shown_of_window
from candidates.simclusters.ann import AnnSettings
from candidates.simclusters.tweets import interest_assets, interests_of_users, tweet_embeddings
from funnel.core.arrays import Array, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.segments import top_k
from funnel.core.stage import STRICT, Source
from funnel.core.world import PlatformView
from funnel.features.base import followed_since


class Annotated(NamedTuple):
    """Tweets by topic at one moment: offsets int64 [C + 1]; tweet int32 [n]; score float32 [n], in [0, 2]."""

    offsets: Longs
    tweet: Ints
    score: Floats


class Topics(NamedTuple):
    """Embeddings of topics over clusters, rows of length 1 or 0: consumer, producer float32 [C, C]."""

    consumer: Array
    producer: Array


@dataclass(config=STRICT, kw_only=True)
class TopicSocialProof(Source):
    """Tweets annotated with one of the viewer's topics, by the best score among these.

    consumer(c) = sum of the interests of those whose main interest is topic c; producer(c) = sum of the embeddings of
    those who are known for it. score = cosine(consumer, tweet) + cosine(producer, tweet). A tweet has at most
    `max_topics` topics. Retweets, replies and tweets by followed, protected or suspended accounts and the viewer are
    left out.
    """

    max_followed: int = Field(
        3, ge=1, le=50, description="main interests of a viewer that count as followed topics; ours"
    )
    max_topics: int = Field(10, ge=1, description="topics of a tweet, the best")
    min_topic_score: float = Field(
        0.0, ge=0, le=2, description="a topic's score must be above it (the release's default is 0.0)"
    )
    max_tweets: int = Field(800, ge=1, description="tweets kept of a topic, the best")
    min_signals: int = Field(8, ge=1, description="favourites that a tweet needs to have an embedding (Configs.scala)")
    min_interest: float = Field(
        0.1, ge=0, le=1, description="least interest in a cluster passed on to a tweet, as in simclusters_ann"
    )
    max_age_h: float = Field(24.0, gt=0, le=8760, description="oldest tweet, hours")
    max_results: int = Field(200, ge=1, description="tweets returned at most")

    @property
    def requires(self) -> tuple[str, ...]:
        """Interests in communities, who is known for which, and producers' embeddings."""
        producers = ("known_for", "producer_row", "producer_clusters", "producer_weights")
        return (*interest_assets("follow"), *(f"simclusters.{what}" for what in producers))

    @cached_property
    def _annotated(self) -> PerMoment[Annotated]:
        return PerMoment()

    @cached_property
    def _topics(self) -> PerMoment[Topics]:
        return PerMoment(1)

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 in (0, 2], best first."""
        view = requests.view
        clusters, _ = interests_of_users(view, "follow")
        found: list[tuple[Longs, Ints, Floats]] = []
        for now_h, asked in moments(requests):
            lists = self._annotated.get(view, now_h, self._build)
            followed = clusters[requests.viewer[asked], : self.max_followed]
            row, column = np.nonzero(followed >= 0)
            topic = followed[row, column]
            size = np.diff(lists.offsets)[topic]
            which = np.repeat(np.arange(topic.size), size)
            place = np.arange(which.size) + np.repeat(lists.offsets[topic] - (np.cumsum(size) - size), size)
            found.append((asked[row[which]], lists.tweet[place], lists.score[place]))
        return self._best(requests, *joined(found))

    def proofs(self, requests: Requests, request: int, tweet: int) -> list[tuple[str, int]]:
        """("known for topic <number>", account): for each followed topic of a tweet, the producers known for it."""
        chosen = alone(requests, request)
        view, now_h = chosen.view, float(chosen.now_h[0])
        clusters, _ = interests_of_users(view, "follow")
        lists = self._annotated.get(view, now_h, self._build)
        known_for, said = view.asset("simclusters.known_for"), []
        for topic in clusters[chosen.viewer[0], : self.max_followed].tolist():
            if topic >= 0 and tweet in lists.tweet[lists.offsets[topic] : lists.offsets[topic + 1]]:
                said += [(f"known for topic {topic}", int(who)) for who in np.flatnonzero(known_for == topic)]
        return said

    def _best(self, requests: Requests, request: Longs, tweet: Ints, score: Floats) -> CandidateBatch:
        """Each tweet once a request, by its best topic, out of network."""
        view = requests.view
        order = np.lexsort((-score, tweet, request))
        request, tweet, score = request[order], tweet[order], score[order]
        first = np.ones(tweet.size, np.bool_)
        first[1:] = (request[1:] != request[:-1]) | (tweet[1:] != tweet[:-1])
        viewer, author = requests.viewer[request], view.tweets["author"][tweet]
        outside = np.isinf(followed_since(view, viewer, author, requests.now_h[request])) & (author != viewer)
        kept = np.flatnonzero(first & outside)
        request, tweet, score = request[kept], tweet[kept], score[kept]
        places = np.searchsorted(request, np.arange(len(requests) + 1)).astype(np.int64)
        best = top_k(places, score, tweet, self.max_results)
        return ranked(requests, request[best], tweet[best], score[best])

    def _build(self, view: PlatformView, now_h: float) -> Annotated:
        """Tweets of the window with their topics."""
        # Topics depend on the assets alone, so that any moment of the view has the same.
        topics = self._topics.get(view, 0.0, _embedded)
        window = shown_of_window(view, now_h, self.max_age_h)
        settings = AnnSettings(min_signals=self.min_signals, min_interest=self.min_interest, max_age_h=self.max_age_h)
        made = tweet_embeddings(view, now_h, window, settings)
        has = np.flatnonzero(np.diff(made.offsets))
        score = _scores(topics, made.offsets, made.cluster, made.value, has)
        row, topic, score = _best_topics(score, self.max_topics, self.min_topic_score)
        return _by_topic(window[has[row]], topic, score, topics.consumer.shape[0], self.max_tweets)


def _embedded(view: PlatformView, _: float) -> Topics:
    """Consumer and producer embeddings of all topics."""
    clusters, weights = interests_of_users(view, "follow")
    count = max(int(clusters.max(initial=-1)), int(view.asset("simclusters.known_for").max(initial=-1))) + 1
    consumer, producer = np.zeros((count, count)), np.zeros((count, count))
    main = clusters[:, 0]
    rows, columns = np.nonzero((clusters >= 0) & (main >= 0)[:, None])
    np.add.at(consumer, (main[rows], clusters[rows, columns]), weights[rows, columns])
    known_for, row = view.asset("simclusters.known_for"), view.asset("simclusters.producer_row")
    known = np.flatnonzero((known_for >= 0) & (row >= 0))
    audience, weight = (view.asset(f"simclusters.producer_{what}")[row[known]] for what in ("clusters", "weights"))
    rows, columns = np.nonzero(audience >= 0)
    np.add.at(producer, (known_for[known[rows]], audience[rows, columns]), weight[rows, columns])
    return Topics(*(_of_length_one(made) for made in (consumer, producer)))


def _of_length_one(vectors: Array) -> Array:
    length = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.where(length > 0, length, 1.0), np.float32)


def _scores(topics: Topics, offsets: Longs, cluster: Ints, value: Floats, rows: Longs) -> Array:
    """float32 [m, C]: the score of each topic for each of the tweets in `rows`."""
    both = topics.consumer + topics.producer
    made = np.zeros((rows.size, both.shape[0]), np.float32)
    for place, row in enumerate(rows.tolist()):  # a sparse row times a matrix: few clusters of many
        part = slice(int(offsets[row]), int(offsets[row + 1]))
        made[place] = value[part] @ both[:, cluster[part]].T / np.sqrt((value[part] ** 2).sum())
    return made


def _best_topics(score: Array, most: int, least: float) -> tuple[Longs, Ints, Floats]:
    """(row, topic, score) of the best topics of each tweet that are above the least."""
    order = np.argsort(-score, axis=1, kind="stable")[:, :most]
    row = np.repeat(np.arange(score.shape[0]), order.shape[1])
    topic = order.reshape(-1)
    value = score[row, topic]
    kept = np.flatnonzero(value > least)
    return row[kept], topic[kept].astype(np.int32), value[kept]


def _by_topic(tweet: Ints, topic: Ints, score: Floats, count: int, most: int) -> Annotated:
    order = np.lexsort((tweet, -score, topic))
    order = order[np.arange(order.size) - np.searchsorted(topic[order], topic[order]) < most]
    offsets = np.searchsorted(topic[order], np.arange(count + 1)).astype(np.int64)
    return Annotated(offsets, tweet[order], score[order])

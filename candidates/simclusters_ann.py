"""SimClusters ANN: tweets whose favouriters share the viewer's communities.

twitter/the-algorithm, simclusters-ann/ (ApproximateCosineSimilarity) over streaming tweet embeddings
(simclusters_v2/summingbird/storm/TweetJob.scala, summingbird/common/Configs.scala).
"""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from candidates.retrieval import action_codes, joined, moments, ranked
from candidates.simclusters.ann import Score, search, viewer_queries
from candidates.simclusters.tweets import Interests, cluster_lists, interest_assets
from funnel.core.arrays import Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.stage import STRICT, Source


@dataclass(config=STRICT, kw_only=True)
class SimClustersANN(Source):
    """Out-of-network tweets near to the viewer's interests in the space of communities.

    A tweet's weight in cluster c is the sum of c-interests of those who engaged with it, halved every
    `half_life_h`. score = sum_c s_c e_c / (|s| * sqrt(sum_c e_c²)), or one of its variants
    (`candidates.simclusters.ann`), over the viewer's best `max_clusters` clusters and each cluster's best `max_tweets`
    tweets only (the partial norm that makes it approximate). Retweets, replies and tweets by followed, protected or
    suspended accounts or the viewer are left out.
    """

    signal: tuple[str, ...] = Field(
        ("favorite",), min_length=1, description="engagements that a tweet's embedding is made of"
    )
    interests: Interests = Field(
        "follow", description="InterestedIn of viewers and of those who engaged: from follows, or from favourites too"
    )
    score: Score = Field("cosine", description="how near a tweet is (ScoringAlgorithm of simclusters-ann)")
    half_life_h: float = Field(8.0, gt=0, description="half-life of an engagement's weight, hours (Configs.scala)")
    min_signals: int = Field(
        8, ge=1, description="engagements that a tweet needs before it can be found (MinFavoriteCount of Configs.scala)"
    )
    min_interest: float = Field(
        0.1,
        ge=0,
        le=1,
        description="least interest of a user in a cluster that is passed on to a tweet; as Twitter's threshold "
        "on favScore it cuts off the many small ones",
    )
    max_clusters: int = Field(50, ge=1, description="the viewer's clusters that are scanned (maxScanClusters)")
    max_tweets: int = Field(800, ge=1, description="tweets read of a cluster (maxTopTweetsPerCluster)")
    max_age_h: float = Field(24.0, gt=0, le=8760, description="oldest tweet, hours")
    min_age_h: float = Field(0.0, ge=0, le=8760, description="youngest tweet, hours (minTweetAge)")
    min_score: float = Field(
        0.072,
        ge=0,
        description="least score (cr-mixer's threshold of the cosine for InterestedIn, SimClustersANNConfig.scala)",
    )
    max_results: int = Field(
        400,
        ge=1,
        le=1000,
        description="tweets returned at most; Home asks 400 of the tweet mixer, the engine caps at 1000",
    )

    def __post_init__(self) -> None:
        action_codes("simclusters_ann.signal", self.signal)

    @property
    def requires(self) -> tuple[str, ...]:
        """Users' interests in clusters."""
        return interest_assets(self.interests)

    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 >= min_score (a cosine at most 1), best first."""
        view = requests.view
        found: list[tuple[Longs, Ints, Floats]] = []
        for now_h, asked in moments(requests):
            lists = cluster_lists(view, now_h, self)
            viewer = requests.viewer[asked]
            query = viewer_queries(view, viewer, self)
            row, tweet, score = search(view, now_h, lists, query, self, viewer=viewer)
            found.append((asked[row], tweet, score))
        return ranked(requests, *joined(found))

"""What is measured, how, and what is known about the real Twitter: one list, which everything iterates.

A band is what a believable world keeps to; None as an end is open. Where no published number is solid enough for one,
there is none, and the real graphs beside the value are the only guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Band: TypeAlias = tuple[float | None, float | None]

_KWAK = "Kwak, Lee, Park & Moon, What is Twitter, WWW 2010"
_MYERS = "Myers, Sharma, Gupta & Lin, Information network or social network?, WWW 2014"
_PEW_2019 = "Pew Research Center, Sizing up Twitter users, 2019"
_PEW_2021 = "Pew Research Center, The behaviors and attitudes of U.S. adults on Twitter, 2021"
_LAZOVICH = "Lazovich et al., Measuring disparate outcomes of content recommendation, Patterns 2022"
_GABIELKOV = "Gabielkov, Rao & Legout, Studying social networks at scale, SIGMETRICS 2014"
_SAMPLING = "negative sampling rates in twitter/the-algorithm-ml, projects/home/recap/config/local_prod.yaml"


@dataclass(frozen=True)
class Statistic:
    """One number: what it is and how it is computed (meaning), what is known of it, and why it may miss (gap)."""

    name: str
    meaning: str
    target: str = ""
    band: Band | None = None
    source: str = ""
    gap: str = ""


STATISTICS: tuple[Statistic, ...] = (
    Statistic(
        "reciprocity",
        "share of follows that are returned, among users with whole follow lists",
        "0.22 to 0.42",
        (0.22, 0.42),
        f"{_KWAK}: 22.1 % (of linked pairs, which is 36 % of the follows); {_MYERS}: 42 %",
    ),
    Statistic(
        "reciprocal_pairs",
        "share of linked pairs that follow each other: r / (2 - r) of the above",
        "0.22",
        None,
        _KWAK,
    ),
    Statistic(
        "follower_tail_exponent",
        "of the density of follower counts: maximum likelihood above the cut of least Kolmogorov-Smirnov distance "
        "(Clauset, Shalizi & Newman 2009)",
        "2.276 below 100,000 followers",
        (2.0, 2.6),
        _KWAK,
        "nobody can have more followers than there are users, which bends the tail of a small world down: the exponent "
        "comes out too high",
    ),
    Statistic("follower_tail_cut", "followers from which that tail is counted"),
    Statistic(
        "mean_follows",
        "length of a follow list, whole ones only",
        "46 (23 G links of 505 M accounts); 40 to 60 at a million users",
        (40.0, 60.0),
        _GABIELKOV,
        "stated for a million users; a smaller world follows less, since nobody can follow half of it",
    ),
    Statistic(
        "mean_distance",
        "steps along follows from sampled users to everybody whom they reach, by breadth-first search",
        "4.12 at 41.7 million users",
        (3.5, 5.0),
        _KWAK,
        "distances grow with the logarithm of the number of users: the band is for a million and more; "
        "relative_distance takes the size out",
    ),
    Statistic(
        "relative_distance",
        "mean_distance over that of a random graph of this size, (ln N - 0.577) / ln(mean follows) + 1/2 (Fronczak et "
        "al. 2004)",
        "0.78 (4.12 at 41.7 M users and 35 follows)",
        (0.7, 1.1),
        f"{_KWAK}, derived",
        "more steps than a random graph wants: communities are too closed, or hubs too few",
    ),
    Statistic(
        "clustering_at_20",
        "mean local clustering in the mutual graph of users with 18 to 22 neighbours there",
        "0.1 to 0.25",
        (0.1, 0.25),
        _MYERS,
        "too few of the triangles among mutual friends are closed, or too many",
    ),
    Statistic(
        "clustering_at_100",
        "the same of users with 90 to 110 neighbours",
        "0.05 to 0.2",
        (0.05, 0.2),
        _MYERS,
        "as at 20 neighbours; in a small world few people have a hundred mutual friends",
    ),
    Statistic("clustering", "mean local clustering of everybody where directions are forgotten"),
    Statistic(
        "mutual_assortativity",
        "correlation of the log degrees at the ends of a mutual link",
        "positive, as in social networks",
        (0.0, None),
        _MYERS,
        "the mutual links of this world do not prefer those of like degree",
    ),
    Statistic(
        "follow_assortativity", "correlation of the follower's log number of follows and the followee's of followers"
    ),
    Statistic(
        "giant_component",
        "share of users with any follow in the largest weakly connected component",
        "0.93",
        (0.9, 1.0),
        _MYERS,
    ),
    Statistic("strong_component", "share of them in the largest strongly connected component", "0.69", None, _MYERS),
    Statistic("follows_gini", "Gini coefficient of the lengths of follow lists"),
    Statistic("followers_gini", "Gini coefficient of follower counts"),
    Statistic("followers_of_top_hundredth", "share of all follows that go to the most followed 1 % of users"),
    Statistic(
        "homophily",
        "mean cosine of the interests of follower and followee over that of random pairs",
        "at least 3",
        (3.0, None),
        "stated for this project; no single source",
        "interests are spread over too few topics for random pairs to differ so much",
    ),
    Statistic(
        "tweets_by_top_tenth", "share of tweets by the 10 % of users who tweet most", "0.80", (0.75, 0.9), _PEW_2019
    ),
    Statistic(
        "tweets_by_top_quarter",
        "share of tweets by the 25 % of users who tweet most",
        "0.97",
        (0.93, 0.995),
        _PEW_2021,
        "the middle of the population tweets more than Pew's panel",
    ),
    Statistic("silent_users", "share of users who wrote nothing"),
    Statistic(
        "original_share",
        "share of originals among the tweets of those 25 %",
        "0.14",
        (0.1, 0.25),
        _PEW_2021,
        "a funnel needs originals to rank: with Pew's mix most tweets are repeats of what is in the pool already",
    ),
    Statistic(
        "retweet_share",
        "share of retweets among them",
        "0.49",
        (0.4, 0.55),
        _PEW_2021,
        "see original_share",
    ),
    Statistic("reply_share", "share of replies among them", "0.33", (0.25, 0.4), _PEW_2021),
    Statistic("quote_share", "share of quotes among them", "0.04, what the others leave", (0.02, 0.1), _PEW_2021),
    Statistic("busiest_over_quietest_hour", "tweets in the busiest over the quietest hour of the day"),
    Statistic("busiest_over_quietest_day", "tweets on the busiest over the quietest day of the week"),
    Statistic(
        "like_rate",
        "likes per logged impression",
        "about 0.012",
        (0.004, 0.06),
        f"order of magnitude, from {_SAMPLING}",
    ),
    Statistic(
        "retweet_rate",
        "retweets per logged impression",
        "about 0.004",
        (0.001, 0.015),
        f"order of magnitude, from {_SAMPLING}",
    ),
    Statistic(
        "reply_rate",
        "replies per logged impression",
        "about 0.005",
        (0.001, 0.015),
        f"order of magnitude, from {_SAMPLING}",
    ),
    Statistic(
        "report_rate",
        "reports per logged impression",
        "about 0.000014",
        (3e-6, 1e-4),
        f"order of magnitude, from {_SAMPLING}",
        "reports are made more frequent on purpose: at 1 in 70,000 impressions a world of this size would log a "
        "handful, and no model could learn the action that weighs most",
    ),
    Statistic(
        "likes_per_retweet", "likes over retweets of logged impressions", "likes much more", (2.0, None), _SAMPLING
    ),
    Statistic(
        "retweets_per_reply",
        "retweets over replies of logged impressions",
        "more retweets than replies",
        (1.0, None),
        _PEW_2021,
        "both are set to nearly the same rate",
    ),
    Statistic("replies_per_quote", "replies over quotes written", "replies much more", (2.0, None), _PEW_2021),
    Statistic(
        "views_of_top_hundredth_of_authors",
        "share of logged views that go to the most seen 1 % of users",
        "about 0.8",
        (0.7, 0.9),
        _LAZOVICH,
        "measured there on hundreds of millions of accounts under a ranked timeline; a small world has fewer orders of "
        "magnitude of fame, and its log is a simple policy's with a share of exploration",
    ),
    Statistic("views_gini", "Gini coefficient of views over users as authors"),
    Statistic("median_views", "views of the median tweet in the log"),
    Statistic("unseen_tweets", "share of tweets that nobody saw in the log"),
    Statistic("likes_of_top_hundredth_of_tweets", "share of likes that go to the most liked 1 % of tweets"),
    Statistic("mean_cascade", "1 + retweets of a tweet that was retweeted at all (posts of a link, for cascades)"),
    Statistic("cascade_tail_exponent", "of the density of those sizes, as follower_tail_exponent"),
    Statistic("posts_in_top_hundredth_of_cascades", "share of those posts in the largest 1 % of cascades"),
)
STATISTIC: dict[str, Statistic] = {statistic.name: statistic for statistic in STATISTICS}

MET, MISSED, UNBOUNDED, UNKNOWN = "met", "missed", "no band", "not measured"


def verdict(statistic: Statistic, value: float | None) -> str:
    """Whether a value is in the band."""
    if value is None:
        return UNKNOWN
    if statistic.band is None:
        return UNBOUNDED
    low, high = statistic.band
    return MET if (low is None or value >= low) and (high is None or value <= high) else MISSED

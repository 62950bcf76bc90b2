"""What the two models read: the published lists as far as a world carries them.

twitter/the-algorithm, src/python/twitter/deepbird/projects/timelines/configs/recap_earlybird and
rectweet_earlybird, feature_config.py. The length stands for text_score, impressions for
embeds_impression_count and the negative feedback for the abuse and spam labels; cards, news, trends,
periscopes and fake counts have no counterpart.
"""

from __future__ import annotations

_BOTH = (
    "language.match",  # has_diff_lang
    "tweet.age_h",  # tweet_age_in_secs
    "tweet.has_image",
    "tweet.has_link",
    "tweet.has_video",
    "tweet.is_quote",
    "tweet.sensitive",
    "tweet.hashtag_count",
    "tweet.mention_count",
    "tweet.length",
    "tweet.favorite.count",
    "tweet.reply.count",
    "tweet.retweet.count",
    "tweet.weighted_count",
    "tweet.impression.count",
    "tweet.negative_feedback.rate",
    "author.reputation",  # user_reputation
)
# The in-network model knows the pair: author_specific_score is RealGraph's.
IN_NETWORK = (*_BOTH, "real_graph.score", "is_own", "author.verified", "tweet.is_reply", "tweet.is_retweet")
# The out-of-network model has no author score, and decayed counts beside the plain ones.
OUT_OF_NETWORK = (
    *_BOTH,
    "tweet.favorite.decayed_24h",
    "tweet.reply.decayed_24h",
    "tweet.retweet.decayed_24h",
)

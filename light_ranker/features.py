"""What the two models read: the published lists, each feature with the column that carries it or why none does.

twitter/the-algorithm, src/python/twitter/deepbird/projects/timelines/configs/recap_earlybird and
rectweet_earlybird, feature_config.py. `python -m bench.light_ranker --features` prints both lists as
docs/light_ranker.md shows them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One feature of the release: the column that carries it, or None; and what there is to say about that."""

    name: str
    column: str | None
    note: str = ""


_NO_CARDS = "a link has no preview, only the flag has_link"
_ONE_KIND_OF_IMAGE = "pictures are uploaded, never linked: has_native_image says it"
_NO_NEWS = "links lead nowhere that could be a newspaper"
_NO_LIVE = "nobody broadcasts live"
_ONE_KIND_OF_VIDEO = "all videos are of one kind: has_video_url says it"
_NO_TRENDS = "the tables have no list of trends"
_ONE_COUNT = "the coarse and the fine code of one count fall into the same percentile bins"
_NO_EMBEDS = "tweets are not embedded elsewhere"
_WEIGHTED = "its formula is not published; here each engagement counts for the Tweepcred of who did it / 100"
_FAKE = "engagements by accounts labelled engagement_spammer at that moment"
_DECAYED = "its formula is not published; half-life 24 h"

_COUNTS = ("favorite", "quote", "reply", "retweet")


def _counted(kind: str) -> tuple[Published, ...]:
    column, note = {
        "weighted": ("weighted_by_reputation", _WEIGHTED),
        "decayed": ("decayed_24h", _DECAYED),
        "fake": ("fake", _FAKE),
    }[kind]
    return tuple(Published(f"{kind}_{what}_count", f"tweet.{what}.{column}", note) for what in _COUNTS)


_LANGUAGE = Published("has_diff_lang", "language.match", "the same flag, turned round")
_AGE = Published("tweet_age_in_secs", "tweet.age_h", "in hours")
_FLAGS = (
    Published("has_card", None, _NO_CARDS),
    Published("has_image_url", None, _ONE_KIND_OF_IMAGE),
    Published("has_native_image", "tweet.has_image"),
    Published("has_news_url", None, _NO_NEWS),
    Published("has_periscope", None, _NO_LIVE),
    Published("has_pro_video", None, _ONE_KIND_OF_VIDEO),
    Published("has_quote", "tweet.is_quote"),
    Published("has_video_url", "tweet.has_video"),
    Published("has_vine", None, _ONE_KIND_OF_VIDEO),
    Published("has_visible_link", "tweet.has_link", "links stand in the text"),
    Published("is_sensitive_content", "tweet.sensitive"),
)
_VALUES = (
    Published("favorite_count", "tweet.favorite.count"),
    Published("link_language", None, "linked pages have no language"),
    Published("num_hashtags", "tweet.hashtag_count"),
    Published("num_mentions", "tweet.mention_count"),
    Published("reply_count", "tweet.reply.count"),
    Published("retweet_count", "tweet.retweet.count"),
    Published("text_score", "tweet.text_score"),
    Published("user_reputation", "author.reputation", "Tweepcred"),
)
_FINE_COUNTS = (
    Published("favorite_count_v2", "tweet.favorite.count", _ONE_COUNT),
    Published("reply_count_v2", "tweet.reply.count", _ONE_COUNT),
    Published("retweet_count_v2", "tweet.retweet.count", _ONE_COUNT),
    Published("quote_count", "tweet.quote.count"),
)

RECAP = (
    Published("author_specific_score", "real_graph.score", "RealGraph's weight of viewer and author"),
    _LANGUAGE,
    Published("has_english_tweet_diff_ui_lang", "language.english_tweet_only"),
    Published("has_english_ui_diff_tweet_lang", "language.english_viewer_only"),
    Published("is_self_tweet", "is_own", "also a retweet of the viewer"),
    _AGE,
    *_FLAGS,
    Published("from_verified_account", "author.verified"),
    Published("has_link", "tweet.has_link"),
    Published("has_multiple_hashtags_or_trends", "tweet.many_hashtags", "hashtags only"),
    Published("has_trend", None, _NO_TRENDS),
    Published("is_offensive", None, "no list of offensive words; the label abusive has a feature of its own"),
    Published("is_reply", "tweet.is_reply"),
    Published("is_retweet", "tweet.is_retweet"),
    *_VALUES,
    Published("language", "tweet.language"),
    Published("embeds_impression_count", None, _NO_EMBEDS),
    Published("embeds_impression_count_v2", None, _NO_EMBEDS),
    Published("embeds_url_count", None, _NO_EMBEDS),
    Published("embeds_url_count_v2", None, _NO_EMBEDS),
    *_FINE_COUNTS,
    *_counted("weighted"),
    Published("label_abusive_hi_rcl_flag", "tweet.label.abusive"),
    Published("label_dup_content_flag", "tweet.label.duplicate_content"),
    Published("label_nsfw_hi_prc_flag", "tweet.label.nsfw_high_precision"),
    Published("label_nsfw_hi_rcl_flag", "tweet.label.nsfw_high_recall"),
    Published("label_spam_flag", "tweet.label.spam"),
    Published("label_spam_hi_rcl_flag", "tweet.label.spam_high_recall"),
)

RECTWEET = (
    _LANGUAGE,
    _AGE,
    Published("composer_source_is_camera", None, "nobody says which button a tweet was written with"),
    *_FLAGS,
    Published("is_user_spam", "author.label.spam"),
    *_VALUES,
    *_counted("decayed"),
    *_counted("fake"),
    *_counted("weighted"),
    Published("embeds_impression_count_v2", None, _NO_EMBEDS),
    Published("embeds_url_count_v2", None, _NO_EMBEDS),
    *_FINE_COUNTS,
    Published("label_dup_content_flag", "tweet.label.duplicate_content"),
    Published("label_nsfw_hi_prc_flag", "tweet.label.nsfw_high_precision"),
    Published("label_nsfw_hi_rcl_flag", "tweet.label.nsfw_high_recall"),
    Published("label_spam_hi_rcl_flag", "tweet.label.spam_high_recall"),
    Published("periscope_exists", None, _NO_LIVE),
    Published("periscope_has_been_featured", None, _NO_LIVE),
    Published("periscope_is_currently_featured", None, _NO_LIVE),
    Published("periscope_is_from_quality_source", None, _NO_LIVE),
    Published("periscope_is_live", None, _NO_LIVE),
    Published("visible_token_ratio", None, "the app shows every text in full"),
)


def _columns(listed: tuple[Published, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.column for one in listed if one.column is not None))


IN_NETWORK = _columns(RECAP)
OUT_OF_NETWORK = _columns(RECTWEET)


def feature_table() -> str:
    """Both lists as a Markdown table."""
    inside, outside = {one.name for one in RECAP}, {one.name for one in RECTWEET}
    known = {one.name: one for one in (*RECAP, *RECTWEET)}
    lines = ["| published feature | in | out | column here | |", "|---|---|---|---|---|"]
    for name, one in known.items():
        marks = " | ".join("×" if name in group else "" for group in (inside, outside))
        column = f"`{one.column}`" if one.column is not None else "constant"
        lines.append(f"| {name} | {marks} | {column} | {one.note} |")
    return "\n".join(lines) + "\n"

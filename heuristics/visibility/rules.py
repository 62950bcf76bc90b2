"""The rules of visibility as data: safety level, condition, verdict, source.

A surface has a safety level, a level has an ordered list of rules, a rule has a condition and a verdict
(twitter/the-algorithm, 2023, visibilitylib/…/rules/VisibilityPolicy.scala). In-network tweets are judged by
TimelineHome; all others by TimelineHomeRecommendations, which is TimelineHome and the drops of RecommendationsPolicy
besides it; replies are also put into sections (TimelineConversationsDownranking). Rules have the published names, but
for two that stand for families: HatefulConduct (level 3 of FreedomOfSpeechNotReach.scala) and WithheldInCountry (the
takedowns). Recommended notifications have a level of their own, MagicRecs: whatever the network, the drops of both
levels hold, and one more that home leaves out. Left out are rules about what a world does not have: communities,
ads-only tweets, deactivated accounts, card images, scores of models, crises.

The numbers of verdicts are the severities of visibilitylib/…/rules/Action.scala.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from funnel.core.tables import TWEET_LABELS, USER_LABELS

ALLOW, AVOID, DOWNRANK, INTERSTITIAL, DROP = -1, 1, 5, 10, 16
VERDICTS: dict[str, int] = {
    "allow": ALLOW,
    "avoid": AVOID,  # no advertisement beside it
    "downrank": DOWNRANK,  # of a conversation's sections, the one of abusive quality
    "interstitial": INTERSTITIAL,  # behind a warning
    "drop": DROP,
}

# What a rule can ask of a viewer and a tweet besides labels; each is one bit of the facts.
CONDITIONS: tuple[str, ...] = (
    "exclusive_hidden",
    "muted_keyword",
    "muted",
    "viewer_blocks",
    "blocked_by",
    "protected_hidden",
    "author_suspended",
    "withheld",
)

HOME = "TimelineHome"  # and with it all others
RECOMMENDATIONS = "TimelineHomeRecommendations"
CONVERSATIONS = "TimelineConversationsDownranking"  # replies of both levels
NOTIFICATIONS = "MagicRecs"  # and RECOMMENDATIONS, also for those who follow the author
Who = Literal["anybody", "not_author", "not_follower", "not_friend_of_reply", "sensitive_unwanted"]


@dataclass(frozen=True)
class Rule:
    """One rule: to which candidates with the fact it gives which verdict, where, and who published it.

    fact: `tweet.<label>`, `author.<label>` or one of CONDITIONS. who: whom it concerns — anybody, viewers other than
    the author, of them those who do not follow the author, viewers of a reply who are not in the author's inner circle
    (do not follow each other), or viewers who want warnings of sensitive media.
    """

    name: str
    fact: str
    verdict: int
    level: str
    who: Who = "not_author"
    source: str = "VisibilityPolicy.scala"


def _drops(table: str, level: str, source: str, labels: dict[str, str], who: Who = "not_author") -> tuple[Rule, ...]:
    return tuple(Rule(name, f"{table}.{label}", DROP, level, who, source) for label, name in labels.items())


RULES: tuple[Rule, ...] = (
    # Both levels: first the base rules, then those of BaseTimelineHomePolicy.
    Rule("SpamTweetLabelRule", "tweet.spam", DROP, HOME, source="TweetLabelRules.scala"),
    Rule("DropExclusiveTweetContentRule", "exclusive_hidden", DROP, HOME, source="TweetRules.scala"),
    Rule("ViewerHasMatchingMutedKeywordForHomeTimelineRule", "muted_keyword", DROP, HOME, "anybody", "Rules.scala"),
    Rule("HatefulConduct", "tweet.hateful_conduct", DROP, HOME, source="FreedomOfSpeechNotReach.scala"),
    Rule("ViewerMutesAuthorRule", "muted", DROP, HOME, source="Rules.scala"),
    Rule("ViewerBlocksAuthorRule", "viewer_blocks", DROP, HOME, source="Rules.scala"),
    Rule("AuthorBlocksViewerDropRule", "blocked_by", DROP, HOME, source="Rules.scala"),
    Rule("ProtectedAuthorDropRule", "protected_hidden", DROP, HOME, source="Rules.scala"),
    Rule("SuspendedAuthorRule", "author_suspended", DROP, HOME, "anybody", "Rules.scala"),
    Rule("WithheldInCountry", "withheld", DROP, HOME, "anybody", "Rules.scala"),
    # Out of network only: the tweet and user rules of RecommendationsPolicy, and the high-recall NSFW label.
    *_drops(
        "tweet",
        RECOMMENDATIONS,
        "TweetLabelRules.scala",
        {
            "abusive": "AbusiveTweetLabelRule",
            "low_quality": "LowQualityTweetLabelDropRule",
            "gore_and_violence": "GoreAndViolenceHighPrecisionTweetLabelRule",
            "spam_high_recall": "SpamHighRecallTweetLabelDropRule",
            "duplicate_content": "DuplicateContentTweetLabelDropRule",
            "bystander_abusive": "BystanderAbusiveTweetLabelRule",
            "nsfw_high_recall": "NsfwHighRecallTweetLabelRule",
        },
    ),
    Rule(
        "DoNotAmplifyDropRule", "tweet.do_not_amplify", DROP, RECOMMENDATIONS, "not_follower", "TweetLabelRules.scala"
    ),
    *_drops(
        "author",
        RECOMMENDATIONS,
        "UserLabelRules.scala",
        {
            "nsfw": "DropNsfwAdminAuthorRule",
            "abusive": "AbusiveRule",
            "low_quality": "LowQualityRule",
            "read_only": "ReadOnlyRule",
            "compromised": "CompromisedRule",
            "recommendations_blacklist": "RecommendationsBlacklistRule",
            "spam_high_recall": "SpamHighRecallRule",
            "duplicate_content": "DuplicateContentRule",
            "engagement_spammer": "EngagementSpammerRule",
        },
    ),
    *_drops(
        "author",
        RECOMMENDATIONS,
        "UserLabelRules.scala",
        {"do_not_amplify": "DoNotAmplifyNonFollowerRule", "not_graduated": "NotGraduatedNonFollowerRule"},
        "not_follower",
    ),
    # Both levels, without a drop: warnings, then replies pushed down, then no advertisements.
    Rule(
        "NsfwHighPrecisionInterstitialAllUsersTweetLabelRule",
        "tweet.nsfw_high_precision",
        INTERSTITIAL,
        HOME,
        "sensitive_unwanted",
        "TweetLabelRules.scala",
    ),
    Rule(
        "GoreAndViolenceHighPrecisionAllUsersTweetLabelRule",
        "tweet.gore_and_violence",
        INTERSTITIAL,
        HOME,
        "sensitive_unwanted",
        "TweetLabelRules.scala",
    ),
    Rule(
        "DoNotAmplifySectionRule",
        "tweet.do_not_amplify",
        DOWNRANK,
        CONVERSATIONS,
        "not_friend_of_reply",
        "DownrankingRules.scala",
    ),
    Rule(
        "DoNotAmplifySectionUserRule",
        "author.do_not_amplify",
        DOWNRANK,
        CONVERSATIONS,
        "not_friend_of_reply",
        "UserLabelRules.scala",
    ),
    Rule(
        "NotGraduatedConversationsAuthorLabelRule",
        "author.not_graduated",
        DOWNRANK,
        CONVERSATIONS,
        "not_friend_of_reply",
        "DownrankingRules.scala",
    ),
    Rule(
        "NsfwHighPrecisionTweetLabelAvoidRule",
        "tweet.nsfw_high_precision",
        AVOID,
        HOME,
        "anybody",
        "TweetLabelRules.scala",
    ),
    Rule(
        "NsfwHighRecallTweetLabelAvoidRule", "tweet.nsfw_high_recall", AVOID, HOME, "anybody", "TweetLabelRules.scala"
    ),
    Rule(
        "GoreAndViolenceHighPrecisionAvoidAllUsersTweetLabelRule",
        "tweet.gore_and_violence",
        AVOID,
        HOME,
        "anybody",
        "TweetLabelRules.scala",
    ),
    Rule("DoNotAmplifyTweetLabelAvoidRule", "tweet.do_not_amplify", AVOID, HOME, "anybody", "TweetLabelRules.scala"),
    # Notifications only: RecommendationsPolicy drops these, home's version of it warns of them.
    Rule("NsfwHighPrecisionTweetLabelRule", "tweet.nsfw_high_precision", DROP, NOTIFICATIONS),
)
RULE_NAMES: tuple[str, ...] = tuple(rule.name for rule in RULES)

# The bits of a fact: conditions first, then tweet labels, then user labels.
FACTS: tuple[str, ...] = (
    *CONDITIONS,
    *(f"tweet.{label}" for label in TWEET_LABELS),
    *(f"author.{label}" for label in USER_LABELS),
)
FACT_BIT: dict[str, int] = {fact: bit for bit, fact in enumerate(FACTS)}

assert len(FACTS) <= 62
assert all(rule.fact in FACT_BIT for rule in RULES)
assert len(set(RULE_NAMES)) == len(RULES)

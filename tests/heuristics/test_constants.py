"""Every published constant of filters, boosts, selection, mixing and weights, with the file that it stands in.

Defaults of stages are asked of the stage, what an era sets of the preset of that era; so a preset cannot drift from
what was released without this table saying so. HM is twitter/the-algorithm, home-mixer/server/…/home_mixer (July 2023
if no other release is named); ML is twitter/the-algorithm-ml; X is xai-org/x-algorithm at 625f9e30, home-mixer/.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from funnel.catalogue import published_in, stage_rows
from funnel.compose import Slot, read_slots, settings_of, stage_classes
from funnel.core.quality import SETTINGS
from funnel.features.base import SEEN_FOR_H, SERVED_AT_MOST
from funnel.features.social import PROOFS
from heavy_ranker.value import PRESETS, Value
from heuristics.boosts.author_diversity import AuthorDiversity
from heuristics.boosts.feedback_discount import FeedbackDiscount
from heuristics.quality.quality_factor import QualityFactor
from heuristics.selectors.dpp import alpha_of
from heuristics.visibility.rules import VERDICTS

JULY, MARCH, BLOG, X = "twitter_2023", "twitter_2023_03", "blog", "x_2026"

# preset · stage · setting · value · source
OF_PRESETS: list[tuple[str, str, str, object, str]] = [
    # Filters before scoring.
    (JULY, "previously_served", "window_min", 10.0, "HM PersistenceStoreQueryFeatureHydrator: 10 minutes"),
    (JULY, "previously_served", "only_get_older", True, "HM PreviouslyServedTweetsFilter: GetOlder only"),
    (JULY, "feedback_fatigue", "days", 14.0, "HM FeedbackFatigueFilter: DurationForFiltering 14 days"),
    (JULY, "feedback_fatigue", "behaviour", "as_released", "HM the history is hydrated after the filter"),
    (MARCH, "feedback_fatigue", "behaviour", "as_intended", "ef4c5eb65: For You pipeline, where the history is known"),
    (X, "too_old", "max_age_h", 48.0, "X MAX_POST_AGE"),
    (X, "previously_served", "window_min", 10.0, "X PreviouslyServed: the last 10 minutes"),
    (X, "previously_served", "only_get_older", False, "X PreviouslyServed: all requests"),
    (X, "out_of_network_nsfw", "sources", ["simclusters_ann"], "X OONNsfwSimclusters"),
    # Filters after scoring.
    (JULY, "social_context", "keep_replies", True, "HM ScoredTweetsSocialContextFilter"),
    (JULY, "social_context", "verified_bypass", False, "HM ScoredTweetsSocialContextFilter"),
    (JULY, "for_you_social_context", "keep_replies", False, "HM for_you/filter/SocialContextFilter"),
    (JULY, "for_you_social_context", "verified_bypass", True, "HM for_you/filter/SocialContextFilter, default true"),
    (JULY, "competitor_authors", "authors", [], "HM scored_tweets_competitor_list: empty"),
    (JULY, "competitor_urls", "words", [], "HM scored_tweets_competitor_url_list: empty"),
    (JULY, "support_account_replies", "min_delay_s", 60.0, "HM GizmoduckAuthorFeatureHydrator: under a minute"),
    # Weighted score.
    (JULY, "value", "preset", "april_2023", "ML projects/home/recap/README.md"),
    (JULY, "value", "good_click", "max", "HM NaviModelScorer.scala"),
    (MARCH, "value", "good_click", "separate", "ef4c5eb65 HomeNaviModelDataRecordScorer.scala"),
    (X, "value", "preset", "x_2026_08", "X params/param.rs"),
    # Rescoring.
    (JULY, "out_of_network", "scale", 1.0, "HM ScoredTweetsParam: scored_tweets_out_of_network_scale_factor"),
    (MARCH, "out_of_network", "scale", 0.75, "ef4c5eb65 OONTweetScalingScorer.scala"),
    (MARCH, "out_of_network", "retweets", False, "ef4c5eb65 OONTweetScalingScorer.scala: not retweets"),
    (X, "out_of_network", "scale", 0.75, "X params/param.rs"),
    (X, "reply_repost_discount", "scale", 0.75, "X scorers/ranking_scorer.rs"),
    (JULY, "replies", "scale", 0.75, "HM RescoringFactorProvider.scala: RescoreReplies"),
    (JULY, "blue_verified", "in_network", 4.0, "HM BlueVerifiedAuthorInNetworkMultiplierParam"),
    (JULY, "blue_verified", "out_of_network", 2.0, "HM BlueVerifiedAuthorOutOfNetworkMultiplierParam"),
    (JULY, "blue_verified", "originals_only", True, "HM RescoringFactorProvider.scala"),
    (MARCH, "blue_verified", "in_network", 4.0, "ef4c5eb65 HomeGlobalParams.scala"),
    (MARCH, "blue_verified", "out_of_network", 2.0, "ef4c5eb65 HomeGlobalParams.scala"),
    (MARCH, "blue_verified", "originals_only", False, "ef4c5eb65: any kind of tweet"),
    (JULY, "creators", "in_network", 1.1, "HM CreatorInNetworkMultiplierParam"),
    (JULY, "creators", "out_of_network", 1.3, "HM CreatorOutOfNetworkMultiplierParam"),
    (JULY, "author_diversity", "decay", 0.5, "HM DiversityDiscountProvider.scala"),
    (JULY, "author_diversity", "floor", 0.25, "HM DiversityDiscountProvider.scala"),
    (JULY, "author_diversity", "rank_by", "value", "HM HeuristicScorer.scala: the score that enters"),
    (MARCH, "author_diversity", "rank_by", "score", "ef4c5eb65: on boosted scores"),
    (X, "author_diversity", "decay", 0.5, "X params/param.rs"),
    (X, "author_diversity", "floor", 0.25, "X params/param.rs"),
    (X, "author_diversity", "rank_by", "score", "X scorers/ranking_scorer.rs: after the cold start"),
    (JULY, "feedback_discount", "filtered_days", 14.0, "HM FeedbackFatigueScorer: DurationForFiltering"),
    (JULY, "feedback_discount", "discounted_days", 140.0, "HM FeedbackFatigueScorer: DurationForDiscounting"),
    (JULY, "feedback_discount", "lowest", 0.2, "HM FeedbackFatigueScorer: ScoreMultiplierLowerBound"),
    (JULY, "feedback_discount", "steps", 4, "HM FeedbackFatigueScorer: ScoreMultiplierIncrementsCount"),
    (X, "new_author_lift", "max_followers", 1000, "X params/param.rs, cold start"),
    (X, "new_author_lift", "max_views", 1000, "X params/param.rs, cold start"),
    (X, "new_author_lift", "within", 0.85, "X params/param.rs, cold start"),
    (X, "new_author_lift", "first_place", 15, "X params/param.rs, cold start: [15, 16)"),
    (X, "new_author_lift", "end_place", 16, "X params/param.rs, cold start: [15, 16)"),
    # Selection.
    (
        JULY,
        "best_out_of_network_per_author",
        "per_source",
        True,
        "HM KeepBestOutOfNetworkCandidatePerAuthorPerSuggestType",
    ),
    (MARCH, "best_out_of_network_per_author", "per_source", False, "ef4c5eb65 KeepBestOutOfNetworkTweetPerAuthor"),
    (JULY, "network_caps", "max_in_network", 60, "HM scored_tweets_max_in_network_results"),
    (JULY, "network_caps", "max_out_of_network", 60, "HM scored_tweets_max_out_of_network_results"),
    (JULY, "network_caps", "max_backfill", 50, "HM ScoredTweetsRecommendationPipelineConfig.scala"),
    (MARCH, "drop_max", "size", 120, "ef4c5eb65 DropMaxCandidates, scored_tweets_server_max_results"),
    (JULY, "debunch", "max_in_a_row", 2, "HM DebunchCandidates: MaxBunchSize"),
    (JULY, "debunch", "size", 35, "HM for_you_server_max_results"),
    (X, "dpp", "theta", 0.65, "X params/param.rs, VMRanker"),
    (X, "dpp", "max_rank", 150, "X params/param.rs, max_selected_rank"),
    (X, "dpp", "size", 50, "X params/param.rs, top_k"),
    (X, "top_k", "size", 35, "X RESULT_SIZE"),
    # Mixing.
    (JULY, "tweet_previews", "place", 3, "HM ForYouParam.scala"),
    (JULY, "tweet_previews", "min_interval_h", 2.0, "HM ForYouParam.scala: 2 hours"),
    (JULY, "tweet_previews", "min_length", 101, "HM TweetPreviewTextFilter: more than 100 characters"),
    (JULY, "who_to_follow", "place", 5, "HM ForYouParam.scala"),
    (JULY, "who_to_follow", "min_users", 3, "HM ForYouParam.scala"),
    (JULY, "who_to_follow", "max_users", 20, "HM ForYouParam.scala"),
    (JULY, "who_to_follow", "min_interval_h", 30.0, "HM ForYouParam.scala: 1,800 minutes"),
    (JULY, "who_to_subscribe", "place", 7, "HM ForYouParam.scala"),
    (JULY, "who_to_subscribe", "min_interval_h", 30.0, "HM ForYouParam.scala: 1,800 minutes"),
    (JULY, "prompts", "place", 0, "HM ForYouParam.scala: flip prompt"),
    (X, "who_to_follow", "place", 6, "X params/param.rs"),
    (X, "who_to_follow", "min_interval_h", 30.0, "X params/param.rs: fatigue 30 h"),
    (X, "prompts", "place", 0, "X params/param.rs"),
    (X, "ads", "min_tweets", 5, "X ads blending: at least 5 posts"),
    (X, "ads", "spacing", 3, "X ads blending: default 3"),
    # Sources of 2026.
    (X, "thunder", "max_results", 1200, "X params/param.rs"),
    (X, "thunder", "max_originals", 50, "X params/param.rs"),
    (X, "thunder", "max_replies", 30, "X params/param.rs"),
    (X, "thunder", "max_follows", 10_000, "X params/param.rs"),
    (X, "twhin_ann", "max_results", 1000, "X params/param.rs: Phoenix retrieval"),
    (X, "simclusters_ann", "max_results", 800, "X params/param.rs"),
]


@cache
def _preset(name: str) -> dict[str, Slot]:
    return {slot.name: slot for slot in read_slots(name)[2]}


@pytest.mark.parametrize(
    ("preset", "stage", "setting", "value", "source"), OF_PRESETS, ids=[".".join(row[:3]) for row in OF_PRESETS]
)
def test_a_preset_has_the_constant_of_its_era(
    preset: str, stage: str, setting: str, value: object, source: str
) -> None:
    assert settings_of(_preset(preset)[stage].part)[setting] == value, source


# stage · setting · bounds that feature switches give it, where they are narrower or as wide: values outside are refused
BOUNDS: list[tuple[str, str, tuple[float, float], str]] = [
    ("debunch", "size", (1, 500), "HM for_you_server_max_results [1, 500]"),
    ("top_k", "size", (1, 500), "HM scored_tweets_server_max_results [1, 500]"),
    ("network_caps", "max_in_network", (1, 500), "HM scored_tweets_max_in_network_results [1, 500]"),
    ("network_caps", "max_out_of_network", (1, 500), "HM scored_tweets_max_out_of_network_results [1, 500]"),
    ("tweet_previews", "place", (0, 99), "HM ForYouParam.scala [0, 99]"),
    ("who_to_follow", "place", (0, 99), "HM ForYouParam.scala [0, 99]"),
    ("who_to_subscribe", "place", (0, 99), "HM ForYouParam.scala [0, 99]"),
    ("prompts", "place", (0, 1000), "HM ForYouParam.scala [0, 1000]"),
]


@pytest.mark.parametrize(("stage", "setting", "bounds", "source"), BOUNDS, ids=[".".join(row[:2]) for row in BOUNDS])
def test_a_switch_has_its_published_bounds(stage: str, setting: str, bounds: tuple[float, float], source: str) -> None:
    kind = stage_classes()[stage]
    for value in bounds:
        assert settings_of(kind(**{setting: value}))[setting] == value, source
    for value in (bounds[0] - 1, bounds[1] + 1):
        with pytest.raises(ValueError, match="should be"):
            kind(**{setting: value})


def test_what_the_features_remember_has_the_published_limits() -> None:
    assert SEEN_FOR_H == 48.0  # HM TweetImpressionsQueryFeatureHydrator: TTL 2 days
    assert SERVED_AT_MOST == 100  # HM PersistenceStoreQueryFeatureHydrator
    assert PROOFS == 10  # HM SGSValidSocialContextFeatureHydrator


def test_the_factors_of_diversity_and_fatigue_are_the_published_series() -> None:
    # HM DiversityDiscountProvider.scala: 0.75 · 0.5^k + 0.25.
    assert [AuthorDiversity()._of(k) for k in range(5)] == [1.0, 0.625, 0.4375, 0.34375, 0.296875]
    # HM FeedbackFatigueScorer.scala: 0.12 at day 0, 0.2 at 14, 0.4 at 49, 0.6 at 84, 0.8 at 119, 1 from 154 on.
    days = np.array([0.0, 14, 49, 84, 119, 154, 400])
    assert FeedbackDiscount()._multiplier(days).tolist() == pytest.approx([0.12, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_the_weights_of_april_are_the_published_ones() -> None:
    # ML projects/home/recap/README.md, 5 April 2023: P = 123.005 and N = 443.
    weights = PRESETS["april_2023"]
    assert weights == {
        "favorite": 0.5,
        "retweet": 1.0,
        "reply": 13.5,
        "good_profile_click": 12.0,
        "video_playback50": 0.005,
        "reply_engaged_by_author": 75.0,
        "good_click": 11.0,
        "good_click_v2": 10.0,
        "negative_feedback": -74.0,
        "report": -369.0,
    }
    assert sum(w for w in weights.values() if w > 0) == pytest.approx(123.005)
    assert sum(w for w in weights.values() if w < 0) == pytest.approx(-443.0)


def test_the_offset_of_the_weighted_sum_is_the_published_one() -> None:
    assert Value().epsilon == 0.001  # HM NaviModelScorer.scala; X scorers/ranking_scorer.rs


def test_the_exponent_of_the_diverse_page_is_the_published_one() -> None:
    assert alpha_of(0.65) == pytest.approx(0.9286, abs=5e-5)  # X VMRanker: θ / (2 (1 − θ))


def test_the_severities_are_those_of_visibilitylib() -> None:
    # visibilitylib/…/rules/Action.scala
    assert VERDICTS == {"allow": -1, "avoid": 1, "downrank": 5, "interstitial": 10, "drop": 16}


def test_the_quality_factor_is_off_in_every_preset() -> None:
    for name in (JULY, MARCH, BLOG, X):
        assert not any(isinstance(slot.part, QualityFactor) for slot in read_slots(name)[1])
    assert QualityFactor().provides == (SETTINGS,)


def test_the_list_of_stages_has_the_source_of_every_rule() -> None:
    classes = stage_classes()
    for row in stage_rows():
        module = classes[str(row["stage"])].__module__
        ours = module.startswith("heuristics.push.") and row["source"] == ""  # says in its docstring that it is
        if module.startswith("heuristics.") and not module.startswith("heuristics.baselines.") and not ours:
            assert str(row["source"]).startswith(("twitter/the-algorithm", "xai-org/x-algorithm")), row["stage"]
            assert len(str(row["source"])) < 160
    assert published_in(AuthorDiversity).endswith("DiversityDiscountProvider.scala")


JULYS_ORDER = (
    # Global filters, postScoringFilters, result selectors and For You filters, as the configurations list them.
    "own_tweets", "retweet_duplicates", "already_seen", "previously_served", "subscription_reply", "feedback_fatigue",
    "social_context", "competitor_authors", "competitor_urls", "duplicate_conversations", "support_account_replies",
    "best_out_of_network_per_author", "network_caps",
    "visibility", "quoted_tweet_dropped", "out_of_network_nsfw", "for_you_social_context", "invalid_subscription",
    "invalid_conversation", "debunch",
)  # fmt: skip
MARCHS_ORDER = (
    "own_tweets", "retweet_duplicates", "previously_served", "already_seen", "competitor_authors",
    "out_of_network", "blue_verified", "author_diversity",
    "drop_max", "competitor_urls", "best_out_of_network_per_author",
)  # fmt: skip
OF_2026 = (
    "too_old", "own_tweets", "out_of_network_replies_and_retweets", "out_of_network_nsfw", "retweet_duplicates",
    "invalid_subscription", "already_seen", "previously_served", "muted_keywords", "author_socialgraph",
    "value", "new_author_lift", "author_diversity", "out_of_network", "reply_repost_discount", "dpp", "visibility",
    "conversation_dedup",
)  # fmt: skip


@pytest.mark.parametrize(("preset", "order"), [(JULY, JULYS_ORDER), (MARCH, MARCHS_ORDER), (X, OF_2026)])
def test_the_stages_of_an_era_stand_in_the_published_order(preset: str, order: tuple[str, ...]) -> None:
    assert [name for name in _preset(preset) if name in order] == list(order)

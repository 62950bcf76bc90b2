"""Verdicts: the table of rules against a plain reading of it, and what the published policies say."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
import pytest

from funnel.core.arrays import Array
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError
from funnel.core.tables import TWEET_LABELS, USER_LABELS
from funnel.core.world import PlatformView
from funnel.features import hydrate
from heuristics.filters.visibility import Visibility
from heuristics.selectors.top_k import TopK
from heuristics.visibility.rules import (
    ALLOW,
    AVOID,
    DOWNRANK,
    DROP,
    FACTS,
    HOME,
    INTERSTITIAL,
    RECOMMENDATIONS,
    RULE_NAMES,
    RULES,
)
from heuristics.visibility.visibility_verdict import VisibilityVerdict
from tests.heuristics.plain import Plain
from tests.laws.funnels import Lottery, Taste, funnel_of, slot
from tests.support import fake_batch, mini_world


def _judged(batch: CandidateBatch, stage: VisibilityVerdict | None = None) -> tuple[list[float], list[str]]:
    """(verdicts, names of the rules that decided, "" for none)."""
    said = (stage or VisibilityVerdict()).score(hydrate(batch, VisibilityVerdict().needs))
    rules = ["" if rule < 0 else RULE_NAMES[int(rule)] for rule in said["visibility.rule"]]
    return said["visibility.verdict"].tolist(), rules


def _labelled(tweet: list[str], author: list[str], *, follows: bool, **columns: object) -> CandidateBatch:
    """One candidate with these labels, by somebody whom the viewer follows or does not."""
    bits = sum(1 << TWEET_LABELS.index(label) for label in tweet)
    author_bits = sum(1 << USER_LABELS.index(label) for label in author)
    clean: dict[str, Array] = {
        name: np.zeros(1, np.bool_)
        for name in ("exclusive_hidden", "muted_keyword", "muted", "blocked", "protected_hidden", "author_suspended")
    }
    given = {**clean, **{name: np.asarray([value]) for name, value in columns.items()}}
    viewers = given.pop("viewers", np.asarray([0]))
    return fake_batch(
        [1],
        viewers=viewers,
        tweet=[0],
        author=[1],
        original_author=[1],
        in_network=[follows],
        tweet_labels=[bits],
        author_labels=[author_bits],
        **{"is_reply": np.zeros(1, np.bool_), **given},
    )


@pytest.mark.parametrize("level", ["home", "notifications"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_verdicts_are_those_of_the_rules_read_one_by_one(seed: int, level: Literal["home", "notifications"]) -> None:
    world = mini_world(seed=seed, users=24, tweets=240, feedback=3, pages=200)
    now_h = np.where(np.arange(8) % 2, 48.0, 25.0)
    batch = fake_batch([40] * 8, view=PlatformView(world, 48.0), now_h=now_h, seed=seed)
    said = VisibilityVerdict(level=level).score(hydrate(batch, VisibilityVerdict().needs))
    pushed = level == "notifications"
    expected = []
    for r in range(8):
        plain = Plain(world, int(batch.requests.viewer[r]), float(now_h[r]))
        mine = batch["tweet"][batch.offsets[r] : batch.offsets[r + 1]].tolist()
        expected += [plain.verdict(tweet, notifications=pushed) for tweet in mine]
    assert list(zip(said["visibility.verdict"].tolist(), said["visibility.rule"].tolist(), strict=True)) == expected
    assert {ALLOW, DROP} <= {verdict for verdict, _ in expected}


def test_every_label_has_a_rule_and_recommendations_are_stricter_with_most_of_them() -> None:
    assert {rule.fact for rule in RULES} == set(FACTS)
    strict = {rule.fact for rule in RULES if rule.level == RECOMMENDATIONS and rule.verdict == DROP}
    lenient = {rule.fact for rule in RULES if rule.level == HOME and rule.verdict == DROP}
    assert {f"author.{label}" for label in USER_LABELS} <= strict
    assert {f"tweet.{label}" for label in ("spam", "hateful_conduct")} <= lenient
    assert not strict & lenient


@pytest.mark.parametrize("label", TWEET_LABELS)
def test_out_of_network_no_label_is_treated_more_kindly(label: str) -> None:
    outside, inside = (_judged(_labelled([label], [], follows=follows))[0][0] for follows in (False, True))
    assert outside >= inside > ALLOW or (outside == DROP and inside == ALLOW)


def test_the_first_drop_ends_and_otherwise_the_most_severe_verdict_stands() -> None:
    # spam (rule 0) stands before abusive; both drop.
    assert _judged(_labelled(["abusive", "spam"], [], follows=False)) == ([DROP], ["SpamTweetLabelRule"])
    # In-network, NSFW by high precision is a warning, and the bar on advertisements beside it is milder.
    warned = _judged(_labelled(["nsfw_high_precision", "nsfw_high_recall"], [], follows=True))
    assert warned == ([INTERSTITIAL], ["NsfwHighPrecisionInterstitialAllUsersTweetLabelRule"])
    assert _judged(_labelled(["nsfw_high_recall"], [], follows=True))[0] == [AVOID]
    assert _judged(_labelled(["nsfw_high_recall"], [], follows=False))[0] == [DROP]


@pytest.mark.parametrize("label", TWEET_LABELS)
def test_a_notification_is_judged_as_a_stranger_would_be_whoever_wrote_it(label: str) -> None:
    pushed = VisibilityVerdict(level="notifications")
    outside, inside = (_judged(_labelled([label], [], follows=follows), pushed)[0][0] for follows in (False, True))
    # "Do not amplify" binds those who do not follow the author; all other labels end it for everybody.
    assert outside == DROP
    assert inside == (AVOID if label == "do_not_amplify" else DROP)


def test_hateful_and_warned_of_tweets_are_no_notifications() -> None:
    pushed = VisibilityVerdict(level="notifications")
    hateful, warned = (_labelled([label], [], follows=True) for label in ("hateful_conduct", "nsfw_high_precision"))
    assert _judged(hateful, pushed) == ([DROP], ["HatefulConduct"])
    assert _judged(warned, pushed) == ([DROP], ["NsfwHighPrecisionTweetLabelRule"])
    assert _judged(warned)[0] == [INTERSTITIAL]
    assert _judged(_labelled([], ["abusive"], follows=True), pushed)[0] == [DROP]


def test_who_wants_sensitive_media_is_not_warned() -> None:
    # Users 2, 7, … of the small world want them; user 0 does not.
    assert _judged(_labelled(["gore_and_violence"], [], follows=True, viewers=0))[0] == [INTERSTITIAL]
    assert _judged(_labelled(["gore_and_violence"], [], follows=True, viewers=2))[0] == [AVOID]


def test_ones_own_labelled_tweets_stay_visible() -> None:
    mine = _labelled(["spam"], ["abusive"], follows=True, viewers=1)
    assert _judged(mine) == ([ALLOW], [""])


def test_replies_with_weak_labels_are_pushed_down_unless_the_two_follow_each_other() -> None:
    world = mini_world()
    follows = world.table("follows")
    old = follows["time_h"] < 40.0
    edges = set(zip(follows["follower"][old].tolist(), follows["followee"][old].tolist(), strict=True))
    a, b = next((a, b) for a, b in sorted(edges) if (b, a) in edges)
    for viewer, verdict in ((a, ALLOW), (29, DOWNRANK)):  # nobody follows user 29
        batch = _labelled([], ["not_graduated"], follows=True, viewers=viewer, is_reply=True)
        author = np.asarray([b], np.int32)
        assert _judged(batch.with_columns({"author": author, "original_author": author}))[0] == [verdict]


def test_a_country_can_withhold_a_label_from_its_viewers() -> None:
    stage = VisibilityVerdict(withheld={3: ("nsfw_high_recall",)})
    for viewer, verdict in ((3, DROP), (4, AVOID)):  # the country of user u is u % 4
        batch = _labelled(["nsfw_high_recall"], [], follows=True, viewers=viewer)
        assert _judged(batch, stage)[0] == [verdict]


def test_a_rule_can_be_switched_off() -> None:
    stage = VisibilityVerdict(without=("SpamTweetLabelRule",))
    assert _judged(_labelled(["spam"], [], follows=False), stage)[0] == [ALLOW]


def test_unknown_rules_and_labels_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="SpamTweetLabelRule"):
        VisibilityVerdict(without=("SpamTweetLabelRul",))
    with pytest.raises(ConfigError, match="hateful_conduct"):
        VisibilityVerdict(withheld={0: ("hateful_conduc",)})


def test_a_label_that_no_rule_knows_changes_nothing() -> None:
    batch = _labelled([], [], follows=False)
    unknown = batch.with_columns({"author_labels": np.asarray([1 << 30], np.int32)})
    assert _judged(unknown)[0] == [ALLOW]


def test_the_filter_removes_what_is_dropped_or_what_it_is_told_to() -> None:
    column = {"visibility.verdict": np.array([ALLOW, AVOID, DOWNRANK, INTERSTITIAL, DROP], np.float32)}
    batch = fake_batch([5]).with_columns(column)
    assert Visibility().keep(batch).tolist() == [True, True, True, True, False]
    assert Visibility(removes="interstitial").keep(batch).tolist() == [True, True, True, False, False]
    assert Visibility(removes="downrank").keep(batch).tolist() == [True, True, False, False, False]


def test_verdicts_have_the_published_severities() -> None:
    # visibilitylib/…/rules/Action.scala; of its downranking actions, ConversationSectionAbusiveQuality.
    assert (DROP, INTERSTITIAL, DOWNRANK, AVOID, ALLOW) == (16, 10, 5, 1, -1)


def test_the_filter_without_its_scorer_is_refused_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match=r"visibility\.verdict"):
        funnel_of([slot(Lottery(), "lottery"), slot(Visibility()), slot(Taste(), "taste"), slot(TopK())])


def test_a_trace_keeps_the_verdict_of_what_was_shown() -> None:
    judged = [slot(VisibilityVerdict()), slot(Visibility())]
    funnel = funnel_of([slot(Lottery(), "lottery"), *judged, slot(Taste(), "taste"), slot(TopK())])
    shown = funnel.run([0, 1, 2]).candidates().filter(pl.col("removed_by").is_null())
    assert shown.height > 0
    assert shown["visibility.verdict"].max() < DROP
    removed = funnel.run([0, 1, 2]).candidates().filter(pl.col("removed_by") == "visibility")
    assert removed.height > 0
    assert set(removed["visibility.verdict"]) == {DROP}

from __future__ import annotations

import numpy as np

from funnel.core.rng import stream
from funnel.core.tables import RETWEET, TWEET_LABELS, USER_LABELS
from synthetic.labels import Labeller, noisy, user_label_table
from synthetic.people import SPAMMER
from tests.synthetic.towns import town


def test_a_labeller_has_the_precision_and_the_recall_of_its_settings() -> None:
    """Of 100,000, a tenth true: the standard error of either is below 0.01."""
    truth = np.arange(100_000) % 10 == 0
    said = noisy(truth, 0.8, 0.6, stream(0, "labels"))
    assert abs(said[truth].mean() - 0.6) < 0.02
    assert abs(truth[said].mean() - 0.8) < 0.02


def test_high_precision_labels_are_right_and_high_recall_ones_find_nearly_all() -> None:
    """Tens of tweets deserve the label, hence the wide bounds around 0.95 and 0.5."""
    data = town()
    deserved, said = data.truth["tweet_labels"], data.tables["tweet_labels"]
    for label, least_precision, least_recall in (("nsfw_high_precision", 0.85, 0.35), ("nsfw_high_recall", 0.38, 0.85)):
        code = TWEET_LABELS.index(label)
        true = np.flatnonzero((deserved >> code & 1 > 0) & (data.tables["tweets"]["kind"] != RETWEET))
        found = said["tweet"][said["label"] == code]
        assert true.size > 60, label
        assert np.isin(found, true).mean() > least_precision, label
        assert np.isin(true, found).mean() > least_recall, label


def test_a_tweet_is_labelled_after_it_is_written_and_a_retweet_never() -> None:
    said, tweets = town().tables["tweet_labels"], town().tables["tweets"]
    assert (said["time_h"] > tweets["time_h"][said["tweet"]]).all()
    assert said["time_h"].max() < town().meta.end_h
    assert (tweets["kind"][said["tweet"]] != RETWEET).all()
    assert set(np.unique(said["label"])) == set(range(len(TWEET_LABELS)))


def test_spammers_get_most_of_the_spam_labels() -> None:
    data = town()
    said = data.tables["tweet_labels"]
    spam = said["tweet"][said["label"] == TWEET_LABELS.index("spam")]
    spammer = data.truth["character"][data.tables["tweets"]["author"]] == SPAMMER
    assert spammer[spam].mean() > 5 * spammer.mean()


def test_labels_of_accounts_tell_something_about_them() -> None:
    data = town()
    said = data.tables["user_labels"]
    for label in ("spam_high_recall", "not_graduated"):
        code = USER_LABELS.index(label)
        true = data.truth["user_labels"] >> code & 1 > 0
        found = np.zeros(2_000, np.bool_)
        found[said["user"][said["label"] == code]] = True
        assert found[true].mean() > 5 * found[~true].mean(), label


def test_a_perfect_labeller_says_the_truth() -> None:
    bits, perfect = np.array([0, 1, 2, 5], np.uint16), Labeller(precision=1, recall=1, strict=1, lax=1)
    table = user_label_table(bits, np.full(4, -10.0), perfect, 24.0, stream(0, "x"))
    said = sorted(zip(table["user"].tolist(), table["label"].tolist(), strict=True))
    assert said == [(1, 0), (2, 1), (3, 0), (3, 2)]  # bits 1 -> 0; 2 -> 1; 5 -> 0 and 2
    assert (np.diff(table["time_h"]) >= 0).all()

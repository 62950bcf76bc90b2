"""Text quality against the published formula, and the light rankers' counts against a plain reading of the tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array
from funnel.core.batch import CandidateBatch
from funnel.core.tables import QUOTE, TWEET_LABELS, USER_LABELS
from funnel.core.world import PlatformView, WorldTables
from funnel.features import FEATURES, hydrate
from funnel.features.text import UNSET, text_parts, text_scores
from tests.support import altered_after, fake_batch, mini_view, mini_world, one_request

NAMES = tuple(name for name, declared in FEATURES.items() if declared.group == "light")
USERS = 30
NOTHING = np.zeros(1, np.bool_)


def assets() -> dict[str, Array]:
    """Reputations that differ."""
    return {"tweepcred.score": np.linspace(0, 100, USERS).astype(np.float32)}


@pytest.fixture(scope="module")
def batch() -> CandidateBatch:
    """Requests at several moments of the small world, with every feature of the light rankers."""
    view = mini_view(assets=assets())
    return hydrate(fake_batch(np.full(30, 25), now_h=np.linspace(20.0, 48.0, 30), seed=3, view=view), NAMES)


def with_spammers() -> WorldTables:
    """The small world, four of whose users are labelled as engagement spammers, two while it runs."""
    full = mini_world()
    tables = {name: dict(full.table(name)) for name in ("users", "follows", "tweets", "impressions", "engagements")}
    label = np.full(4, USER_LABELS.index("engagement_spammer"), np.int8)
    times = np.array([-5.0, -1.0, 12.0, 30.0])
    tables["user_labels"] = {"user": np.array([3, 9, 6, 12], np.int32), "label": label, "time_h": times}
    return WorldTables(full.meta, tables)


def one(text: str, **flags: Array) -> int:
    return int(text_scores([text], flags.pop("link", NOTHING), **flags)[0])


def normalised(x: float, slope: float) -> float:
    return 2 * (1 / (1 + math.exp(-slope * x)) - 0.5)


def test_the_five_parts_add_up_as_published() -> None:
    # Tokens: the 2, cat, SAT 1 capital word, on, mat: 6 tokens of 17 letters, 3 capitals + T of "The".
    text = "The cat SAT on the mat"
    entropy = -(2 / 6) * math.log2(2 / 6) - 4 * (1 / 6) * math.log2(1 / 6)
    read = 17 * math.log(6) / 6
    np.testing.assert_allclose(text_parts([text])[0], [22, read, 4, entropy])
    quality = (
        0.5 * normalised(22, 0.03)
        + 0.1 * normalised(read, 0.05)
        + 0.1 * (1 - 4 / 22)
        + 0.25 * normalised(entropy, 0.5)
        + 0.05
    )
    assert one(text, link=~NOTHING) == int(100 * quality)


def test_an_offensive_text_or_name_leaves_a_fifth() -> None:
    text = "a text of many different words that scores well"
    plain = one(text)
    assert one(text, offensive_text=~NOTHING) == pytest.approx(0.2 * plain, abs=1)
    assert one(text, offensive_name=~NOTHING, offensive_text=~NOTHING) == pytest.approx(0.04 * plain, abs=1)


def test_shouting_and_repeating_cost_and_a_link_gains() -> None:
    assert one("never say that again") > one("NEVER SAY THAT AGAIN")
    assert one("one two three four") > one("one one one oone")
    assert one("see this", link=~NOTHING) == one("see this") + 5


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        (" \n\t…!?", 0),
        ("😀😀🎉", 3),
        ("שלום עולם", 2),
        ("مرحبا بالعالم", 2),
        ("日本語", 1),
        ("𠮷𠮷", 1),
        ("\ud800", 0),
    ],
)
def test_odd_texts_have_defined_scores(text: str, tokens: int) -> None:
    length, readability, capitals, entropy = text_parts([text])[0]
    assert length == len(text)
    assert capitals == 0
    assert 0 <= entropy <= (math.log2(tokens) if tokens else 0)
    assert (readability > 0) == (tokens > 1)
    assert 10 <= one(text) <= 100


def test_ten_thousand_characters_are_worth_no_more_than_a_hundred() -> None:
    draw = np.random.Generator(np.random.Philox(1))
    long = " ".join("".join(chr(97 + c) for c in draw.integers(0, 26, 4)) for _ in range(2_000))
    assert len(long) == 9_999
    assert 90 < one(long) <= 100
    assert one("a" * 10_000) == 60  # length and no capitals; one token has no entropy and is not read


def test_neighbours_do_not_change_a_score() -> None:
    texts = ["", "one", "", "Two WORDS", "😀 three"]
    together = text_scores(texts, np.zeros(5, np.bool_))
    assert together.tolist() == [one(text) for text in texts]
    assert text_scores([], np.zeros(0, np.bool_)).shape == (0,)


def test_a_world_keeps_each_score_and_says_where_there_is_no_text(batch: CandidateBatch) -> None:
    texts, tweets = mini_world().table("texts")["text"], mini_world().table("tweets")
    expected = [one(str(texts[t]), link=tweets["has_link"][t : t + 1]) for t in batch["original"]]
    assert batch["tweet.text_score"].tolist() == expected
    silent = mini_world(seed=5)
    silent.read_texts_with(lambda _: None)
    asked = hydrate(fake_batch([20], view=PlatformView(silent, 48.0)), ("tweet.text_score",))
    assert set(asked["tweet.text_score"].tolist()) == {UNSET}


def test_a_world_that_grew_has_texts_of_the_tweets_it_had() -> None:
    world = mini_world(seed=6)
    last = {name: values[-1:] for name, values in world.table("tweets").items()}
    grown = world.grown({"tweets": last | {"time_h": np.array([47.99])}}, end_h=50.0)
    count = world.count("tweets")
    known, new = PlatformView(grown, 50.0).texts(np.array([0, count]))
    assert known == world.table("texts")["text"][0]
    assert new is None


def test_quotes_weighted_and_fake_counts_are_those_of_the_tables() -> None:
    world = with_spammers()
    view = PlatformView(world, 48.0, assets=assets())
    batch = hydrate(fake_batch(np.full(30, 25), now_h=np.linspace(20.0, 48.0, 30), seed=3, view=view), NAMES)
    tweets, done, labels = world.table("tweets"), world.table("engagements"), world.table("user_labels")
    spam = labels["label"] == USER_LABELS.index("engagement_spammer")
    reputation = assets()["tweepcred.score"].astype(np.float64)
    for row in range(0, len(batch), 7):
        of, now = batch["original"][row], batch.now_h[row]
        quoting = np.flatnonzero((tweets["kind"] == QUOTE) & (tweets["parent"] == of) & (tweets["time_h"] < now))
        assert batch["tweet.quote.count"][row] == quoting.size
        decayed = (2.0 ** (-(now - tweets["time_h"][quoting]) / 24)).sum()
        assert batch["tweet.quote.decayed_24h"][row] == pytest.approx(decayed, rel=1e-4, abs=1e-6)
        liked = np.flatnonzero(
            (done["tweet"] == of) & (done["action"] == ACTION_CODE["favorite"]) & (done["time_h"] < now)
        )
        weighted = reputation[done["viewer"][liked]].sum() / 100
        assert batch["tweet.favorite.weighted_by_reputation"][row] == pytest.approx(
            weighted, abs=1e-4 * (1 + liked.size)
        )
        for what, who, when in (
            ("favorite", done["viewer"][liked], done["time_h"][liked]),
            ("quote", tweets["author"][quoting], tweets["time_h"][quoting]),
        ):
            fake = [
                ((labels["user"] == u) & spam & (labels["time_h"] < h)).any() for u, h in zip(who, when, strict=True)
            ]
            assert batch[f"tweet.{what}.fake"][row] == sum(fake)
    assert batch["tweet.favorite.fake"].any()
    assert batch["tweet.quote.count"].any()


def test_labels_become_flags_from_the_moment_they_are_attached(batch: CandidateBatch) -> None:
    labels = mini_world().table("tweet_labels")
    for row in range(0, len(batch), 5):
        either = np.isin(labels["tweet"], [batch["tweet"][row], batch["original"][row]])
        known = labels["label"][either & (labels["time_h"] < batch.now_h[row])]
        for name in ("spam", "abusive", "nsfw_high_recall"):
            assert batch[f"tweet.label.{name}"][row] == (TWEET_LABELS.index(name) in known)


def test_language_flags_say_who_reads_what() -> None:
    full = mini_world(seed=7)
    tables = {name: dict(full.table(name)) for name in ("users", "follows", "tweets")}
    tables["users"]["language"] = (np.arange(30) % 2).astype(np.int8)
    tables["tweets"]["language"] = (np.arange(300) % 2).astype(np.int8)
    view = PlatformView(WorldTables(full.meta, tables), 48.0)
    both = ("language.english_tweet_only", "language.english_viewer_only")
    asked = hydrate(fake_batch([2, 2], viewers=[0, 1], tweet=[10, 11, 10, 11], view=view), both)
    # The one language that this world names, English, has code 0: viewer 0 and tweet 10.
    assert asked[both[0]].tolist() == [False, False, True, False]
    assert asked[both[1]].tolist() == [False, True, False, False]


def test_the_features_are_finite_isolated_and_blind_to_the_future(batch: CandidateBatch) -> None:
    later = PlatformView(altered_after(mini_world(), 40.0), 48.0, assets=assets())
    asked = fake_batch(np.full(10, 20), now_h=40.0, view=mini_view(assets=assets()))
    again = fake_batch(np.full(10, 20), now_h=40.0, view=later, tweet=asked["tweet"], viewers=asked.requests.viewer)
    first, second = hydrate(asked, NAMES), hydrate(again, NAMES)
    bare = one_request(asked, 3)
    alone = hydrate(bare, NAMES)
    rows = slice(int(asked.offsets[3]), int(asked.offsets[4]))
    for name in NAMES:
        assert np.isfinite(batch[name]).all(), name
        np.testing.assert_array_equal(first[name], second[name], name)
        np.testing.assert_array_equal(first[name][rows], alone[name], name)

from __future__ import annotations

import re

import numpy as np

from funnel.core.progress import SILENT
from funnel.core.tables import ORIGINAL, QUOTE, REPLY, RETWEET
from funnel.world import NO_TEXT, World
from synthetic.text import LANGUAGES, Words
from tests.synthetic.towns import configured, town


def test_a_parent_is_older_and_belongs_to_the_kind() -> None:
    tweets = town().tables["tweets"]
    kind, parent = tweets["kind"], tweets["parent"]
    assert ((parent < 0) == (kind == ORIGINAL)).all()
    child = np.flatnonzero(parent >= 0)
    assert (parent[child] < child).all()
    assert (tweets["time_h"][parent[child]] <= tweets["time_h"][child]).all()
    assert (kind[parent[child]] != RETWEET).all()
    assert (tweets["author"][parent[child]] != tweets["author"][child]).all()


def test_only_what_is_public_is_retweeted_or_quoted() -> None:
    tweets, users = town().tables["tweets"], town().tables["users"]
    shared = np.isin(tweets["kind"], (RETWEET, QUOTE))
    assert not users["protected"][tweets["author"][tweets["parent"][shared]]].any()


def test_the_root_of_a_reply_starts_its_conversation() -> None:
    tweets = town().tables["tweets"]
    kind, parent, root = tweets["kind"], tweets["parent"], tweets["root"]
    reply = np.flatnonzero(kind == REPLY)
    assert (root[kind != REPLY] == -1).all()
    assert (kind[root[reply]] != REPLY).all()
    above = parent[reply]
    assert np.array_equal(root[reply], np.where(kind[above] == REPLY, root[above], above))


def test_kinds_of_tweets_are_as_common_as_among_active_adults() -> None:
    """Pew 2021: originals 0.14, retweets 0.49, replies 0.33, the rest quotes; the draws are within 0.02 of that."""
    share = np.bincount(town().tables["tweets"]["kind"], minlength=4) / 30_000
    assert np.allclose(share[[ORIGINAL, RETWEET, REPLY, QUOTE]], [0.14, 0.49, 0.33, 0.04], atol=0.02)


def test_conversations_are_trees_in_which_people_answer_each_other() -> None:
    tweets = town().tables["tweets"]
    kind, parent, author = tweets["kind"], tweets["parent"], tweets["author"]
    reply = np.flatnonzero(kind == REPLY)
    deeper = reply[kind[parent[reply]] == REPLY]
    assert 0.2 < deeper.size / reply.size < 0.8
    back = author[parent[parent[deeper]]] == author[deeper]  # an answer to an answer to oneself
    assert back.mean() > 0.2
    assert np.bincount(parent[reply]).max() >= 3  # somebody got several replies


def test_what_is_exclusive_is_by_a_creator_and_nobody_passes_it_on() -> None:
    tweets, users = town().tables["tweets"], town().tables["users"]
    exclusive = np.flatnonzero(tweets["exclusive"])
    assert exclusive.size > 3
    assert users["creator"][tweets["author"][exclusive]].all()
    assert (tweets["kind"][exclusive] == ORIGINAL).all()
    assert not np.isin(exclusive, tweets["parent"]).any()


def test_less_is_written_at_the_weekend() -> None:
    day = (town().tables["tweets"]["time_h"] // 24).astype(int)
    by_day = np.bincount(day, minlength=7)
    assert by_day[5:7].mean() < 0.95 * by_day[:5].mean()


def test_trends_are_bursts_of_one_topic_with_a_common_hashtag() -> None:
    """Half of a trend's originals come within twelve of 168 hours; 60 % of all that it wrote carry its hashtag."""
    data = town()
    trend, tweets = data.truth["trend"], data.tables["tweets"]
    own = (trend >= 0) & (tweets["kind"] == ORIGINAL)
    assert np.array_equal(data.truth["topics"][own, 0], data.truth["trend_topic"][trend[own]])
    largest = np.bincount(trend[trend >= 0]).argmax()
    spread = np.quantile(tweets["time_h"][own & (trend == largest)], [0.25, 0.75])
    assert spread[1] - spread[0] < 12.0
    english = np.flatnonzero((trend == largest) & (tweets["kind"] != RETWEET) & (tweets["language"] == 0))
    tag = "#" + data.tables["vocabulary"]["word"][data.truth["trend_word"][largest, 0]]
    tagged = np.array([tag in data.tables["texts"]["text"][tweet].split() for tweet in english.tolist()])
    assert tagged.mean() > 0.6


def test_texts_put_together_later_are_those_of_the_table() -> None:
    """With the table and without it, the rest of the world is the same too."""
    settings = {"users": 60, "tweets": 600}
    stored = configured("tiny", **settings).build("t", 3, SILENT)
    builder = configured("tiny", **settings, stored_texts=False)
    lean = builder.build("t", 3, SILENT)
    assert "texts" not in lean.tables
    assert lean.tables["tweets"]["length"].tobytes() == stored.tables["tweets"]["length"].tobytes()
    ids = [5, 599, 0, 5]
    assert World.of(lean, builder=builder).texts(ids) == World.of(stored).texts(ids)
    assert World.of(lean).texts([5]) == [NO_TEXT]


def test_there_are_words_and_sentences_in_every_language() -> None:
    tweets, text = town().tables["tweets"], town().tables["texts"]["text"]
    for code, language in enumerate(LANGUAGES):
        mine = Words.load(language)
        rows = np.flatnonzero((tweets["language"] == code) & (tweets["kind"] == ORIGINAL))
        assert rows.size > 50, language
        known = {word for words in mine.topics.values() for word in words} | {*mine.describing, *mine.things}
        said = [set(re.findall(r"\w+", line.lower())) for line in text[rows[:50]].tolist()]
        assert all(words & known for words in said), language


def test_more_is_written_in_the_evening_than_before_dawn() -> None:
    by_hour = np.bincount(town().tables["tweets"]["time_h"].astype(int) % 24, minlength=24)
    assert by_hour[18:22].sum() > 2 * by_hour[2:6].sum()


def test_a_retweet_has_the_media_language_and_text_of_its_parent() -> None:
    tables = town().tables
    tweets, text = tables["tweets"], tables["texts"]["text"]
    retweet = np.flatnonzero(tweets["kind"] == RETWEET)
    parent = tweets["parent"][retweet]
    for column in ("has_image", "has_link", "video_s", "language", "sensitive", "hashtag_count"):
        assert np.array_equal(tweets[column][retweet], tweets[column][parent]), column
    for child, source in list(zip(retweet.tolist(), parent.tolist(), strict=True))[:200]:
        assert text[child] == f"RT @{tables['users']['handle'][tweets['author'][source]]}: {text[source]}"


def test_counts_of_hashtags_mentions_links_and_characters_are_those_of_the_text() -> None:
    tables = town().tables
    tweets = tables["tweets"]
    for tweet, text in enumerate(tables["texts"]["text"][:4_000].tolist()):
        assert tweets["length"][tweet] == len(text)
        assert tweets["hashtag_count"][tweet] == text.count("#"), text
        assert tweets["mention_count"][tweet] == text.count("@"), text
        assert tweets["has_link"][tweet] == ("https://" in text), text
        assert not re.search(r"[{}%]|  | $", text), text


def test_the_words_of_a_tweet_are_in_its_text_each_once() -> None:
    tables = town().tables
    words, vocabulary = tables["tweet_words"], tables["vocabulary"]["word"]
    pairs = words["tweet"].astype(np.int64) * vocabulary.size + words["word"]
    assert (np.diff(pairs) > 0).all()
    text = [set(re.findall(r"\w+", line.lower())) for line in tables["texts"]["text"][:2_000].tolist()]
    for tweet, word in zip(words["tweet"].tolist(), words["word"].tolist(), strict=True):
        if tweet < 2_000:
            assert vocabulary[word] in text[tweet]


def test_every_topical_word_of_a_text_is_in_the_table() -> None:
    tables = town().tables
    topical = {word for language in LANGUAGES for words in Words.load(language).topics.values() for word in words}
    vocabulary, words = tables["vocabulary"]["word"], tables["tweet_words"]
    for tweet in np.flatnonzero(tables["tweets"]["mention_count"] == 0)[:500].tolist():
        mine = set(vocabulary[words["word"][words["tweet"] == tweet]])
        body = tables["texts"]["text"][tweet].split(" https://")[0]
        # Function words of the templates that are topical elsewhere ("more", "matters") are not in any list.
        assert set(re.findall(r"\w+", body.lower())) & topical <= mine, body


def test_every_language_has_words_for_the_same_topics_and_no_capitals() -> None:
    first = Words.load(LANGUAGES[0])
    for language in LANGUAGES:
        words = Words.load(language)
        assert list(words.topics) == list(first.topics)
        assert all(len(some) >= 8 and len(set(some)) == len(some) for some in words.topics.values())
        assert all(word == word.lower() and word.isalnum() for some in words.topics.values() for word in some)


def test_the_label_sensitive_is_noisy_but_tells_something() -> None:
    label, truth = town().tables["tweets"]["sensitive"], town().truth["sensitive"]
    assert label[truth].mean() > 0.6
    assert label[~truth].mean() < 0.03

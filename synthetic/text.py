"""Tweets that a person can read: sentences of a small seeded grammar, filled with words of the tweet's topics.

The grammar and the words of a language are one file in `words/`. A retweet repeats its parent after
"RT @handle:"; a reply begins with the handle that it answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from itertools import repeat

import numpy as np

from funnel.core.arrays import Array, Ints
from funnel.core.errors import DataError
from funnel.core.tables import ORIGINAL, QUOTE, REPLY, RETWEET
from synthetic.arrays import distinct

LANGUAGES = ("en", "es")  # the code of a language is its place here
_SENTENCES = {"original": ORIGINAL, "reply": REPLY, "quote": QUOTE}
_SLOTS = ("{0}", "{1}", "{2}", "{d}", "{t}")  # columns 0-4 of a tweet's words; 5 and 6 are hashtags
_ZIPF = 1.7  # a draw u takes word n * u^1.7: the first of a topic's words are the commonest
_WITH_MENTION = 0.06  # share of originals and quotes that mention somebody


@dataclass(frozen=True)
class Words:
    """The words and sentences of one language. topics: topic -> its words; sentences: kind of tweet -> templates."""

    language: str
    topics: dict[str, tuple[str, ...]]
    describing: tuple[str, ...]
    things: tuple[str, ...]
    names: tuple[str, ...]
    sentences: dict[int, tuple[str, ...]]

    @classmethod
    def load(cls, language: str) -> Words:
        """Read `words/<language>.txt`."""
        text = (files("synthetic") / "words" / f"{language}.txt").read_text(encoding="utf-8")
        lists: dict[str, list[str]] = {}
        sentences: dict[int, list[str]] = {kind: [] for kind in _SENTENCES.values()}
        for number, line in enumerate(text.splitlines(), start=1):
            name, colon, rest = line.partition(": ")
            if line.startswith("#") or not line.strip():
                continue
            if not colon:
                raise DataError(f"words/{language}.txt, line {number}", 'wants "name: words"')
            if name in _SENTENCES:
                sentences[_SENTENCES[name]].append(rest)
            else:
                lists[name] = rest.split()
        describing, things, names = (tuple(lists.pop(name)) for name in ("describing", "thing", "name"))
        return cls(
            language,
            {name: tuple(words) for name, words in lists.items()},
            describing,
            things,
            names,
            {kind: tuple(templates) for kind, templates in sentences.items()},
        )

    def only(self, topics: tuple[str, ...]) -> Words:
        """The same language with some of its topics."""
        kept = {name: self.topics[name] for name in topics}
        return Words(self.language, kept, self.describing, self.things, self.names, self.sentences)


@dataclass(frozen=True)
class Texts:
    """text: object [T]; words: int32 [T, 7] into vocabulary, -1 for none; the rest: columns of `tweets`, int16 [T]."""

    text: Array
    words: Ints
    vocabulary: Array
    hashtag_count: Array
    mention_count: Array
    length: Array

    def used_words(self) -> Ints:
        """int32: the words that some tweet contains, ascending."""
        return np.flatnonzero(np.bincount(self.words[self.words >= 0], minlength=self.vocabulary.size)).astype(np.int32)

    def tweet_words(self) -> dict[str, Array]:
        """The `tweet_words` table: each word of a tweet once, sorted."""
        tweet, column = np.nonzero(self.words >= 0)
        pairs = distinct(tweet.astype(np.int64) * self.vocabulary.size + self.words[tweet, column])
        tweet, word = np.divmod(pairs, self.vocabulary.size)
        return {"tweet": tweet.astype(np.int32), "word": word.astype(np.int32)}


def write_texts(
    table: dict[str, Array], topics: Array, handles: Array, languages: tuple[Words, ...], rng: np.random.Generator
) -> Texts:
    """Texts for the tweets of `table` (kind, parent, author, language, has_link); topics: int16 [T, 2]."""
    kind, parent, author = table["kind"], table["parent"], table["author"]
    vocabulary = _vocabulary(languages)
    words = np.full((kind.size, 7), -1, np.int32)
    form = rng.random(kind.size)
    tails = _tails(kind, author, table["has_link"], handles, rng)
    hashtags = np.searchsorted([0.7, 0.93], rng.random(kind.size), side="right")
    mentions = (np.array([tail.startswith(" @") for tail in tails]) | (kind == REPLY)).astype(np.int16)
    text = np.empty(kind.size, object)
    for code, language in enumerate(languages):
        mine = np.flatnonzero((table["language"] == code) & (kind != RETWEET))
        words[mine] = _draw_words(language, topics[mine], vocabulary, rng)
        for sort, templates in language.sentences.items():
            rows = mine[kind[mine] == sort]
            which = (form[rows] * len(templates)).astype(np.int64)
            for number, template in enumerate(templates):
                some = rows[which == number]
                text[some] = _sentences(template, some, words, hashtags, vocabulary, tails)
    answers = np.flatnonzero(kind == REPLY)
    _prefix(text, answers, repeat("@"), handles[author[parent[answers]]], text[answers], " ")
    retweets = np.flatnonzero(kind == RETWEET)
    source = parent[retweets]
    words[retweets], hashtags[retweets] = words[source], hashtags[source]
    mentions[retweets] = mentions[source] + 1
    _prefix(text, retweets, repeat("RT @"), handles[author[source]], text[source], ": ")
    length = np.fromiter(map(len, text), np.int16, kind.size)
    return Texts(text, words, np.array(list(vocabulary), object), hashtags.astype(np.int16), mentions, length)


def _vocabulary(languages: tuple[Words, ...]) -> dict[str, int]:
    """Word -> number, in order of the alphabet."""
    known: set[str] = set()
    for language in languages:
        known.update(*language.topics.values(), language.describing, language.things)
    return {word: number for number, word in enumerate(sorted(known))}


def _draw_words(language: Words, topics: Array, vocabulary: dict[str, int], rng: np.random.Generator) -> Ints:
    """int32 [n, 7]: three words of the topics, a describing one, a thing, and two candidates for hashtags."""
    lists = [np.array([vocabulary[word] for word in words], np.int32) for words in language.topics.values()]
    sizes = np.array([words.size for words in lists])
    numbers = np.zeros((len(lists), sizes.max()), np.int32)
    for row, words in enumerate(lists):
        numbers[row, : words.size] = words
    count = topics.shape[0]
    out = np.empty((count, 7), np.int32)
    taken = np.full(count, -1)
    # Mostly of the main topic; the third word of the second one.
    for column, side in ((0, 0), (1, 0), (2, 1), (5, 0), (6, 1)):
        topic = topics[:, side]
        size = sizes[topic]
        place = (size * rng.random(count) ** _ZIPF).astype(np.int64)
        place = np.where(place == taken, (place + 1) % size, place)
        taken = place
        out[:, column] = numbers[topic, place]
    for column, choices in ((3, language.describing), (4, language.things)):
        shared = np.array([vocabulary[word] for word in choices], np.int32)
        out[:, column] = shared[rng.integers(0, shared.size, count)]
    return out


def _tails(kind: Array, author: Ints, has_link: Array, handles: Array, rng: np.random.Generator) -> list[str]:
    """What stands after the sentence: at times a mention, and the link."""
    count = kind.size
    friend = rng.integers(0, handles.size, count)
    mention = (rng.random(count) < _WITH_MENTION) & np.isin(kind, (ORIGINAL, QUOTE)) & (friend != author)
    tails = [""] * count
    for row in np.flatnonzero(mention).tolist():
        tails[row] = f" @{handles[friend[row]]}"
    for row in np.flatnonzero(has_link).tolist():
        tails[row] += f" https://t.co/{row:07x}"
    return tails


def _sentences(
    template: str, rows: Array, words: Ints, hashtags: Array, vocabulary: dict[str, int], tails: list[str]
) -> Array:
    """object [n]: the template filled; words that it does not use are taken out of `words`."""
    spelled = np.array(list(vocabulary), object)
    used = sorted((template.index(slot), column) for column, slot in enumerate(_SLOTS) if slot in template)
    for column in set(range(len(_SLOTS))) - {column for _, column in used}:
        words[rows, column] = -1
    words[rows, 5] = np.where(hashtags[rows] >= 1, words[rows, 5], -1)
    words[rows, 6] = np.where(hashtags[rows] >= 2, words[rows, 6], -1)
    pattern = template.replace("%", "%%").replace(" {#}", "%s%s")
    for slot in _SLOTS:
        pattern = pattern.replace(slot, "%s")
    tags = [
        ("" if one < 0 else f" #{spelled[one]}") + ("" if two < 0 else f" #{spelled[two]}")
        for one, two in words[rows, 5:7].tolist()
    ]
    columns = [spelled[words[rows, column]].tolist() for _, column in used]
    ends = [tails[row] for row in rows.tolist()]
    out = np.empty(rows.size, object)
    made = (pattern % parts for parts in zip(*columns, tags, ends, strict=True))
    out[:] = [line[0].upper() + line[1:] for line in made] if template.startswith("{") else list(made)
    return out


def _prefix(text: Array, rows: Array, mark: repeat[str], handles: Array, rest: Array, between: str) -> None:
    """Write mark + handle + between + rest into rows of `text`."""
    joined = [f"{at}{handle}{between}{body}" for at, handle, body in zip(mark, handles.tolist(), rest.tolist())]  # noqa: B905
    text[rows] = np.array(joined, object) if joined else rest

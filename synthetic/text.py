"""Tweets that a person can read: sentences of a small seeded grammar, filled with words of the tweet's topics.

The grammar and the words of a language are one file in `words/`. A retweet repeats its parent after
"RT @handle:"; a reply begins with the handle that it answers.

A text is a function of (key, tweet id, what is known of the tweet): which words it has, how many hashtags
and characters is drawn for all tweets at once, in a few bytes each; the sentence is put together only where
somebody reads it. So a world of ten million tweets holds no text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import numpy as np

from funnel.core.arrays import Array, Bools, Ints, Longs
from funnel.core.errors import DataError
from funnel.core.kernels import kernel
from funnel.core.tables import ORIGINAL, QUOTE, REPLY, RETWEET
from synthetic.draws import below, fold, unit

LANGUAGES = ("en", "es", "pt", "de")  # the code of a language is its place here
_SENTENCES = {"original": ORIGINAL, "reply": REPLY, "quote": QUOTE}
_SLOTS = ("{0}", "{1}", "{2}", "{d}", "{t}")  # columns 0-4 of a tweet's words; 5 and 6 are hashtags
_ZIPF = 1.7  # a draw u takes word n * u^1.7: the first of a topic's words are the commonest
_WITH_MENTION = 0.06  # share of originals and quotes that mention somebody
_NO_HASHTAG, _ONE_HASHTAG = 0.7, 0.23  # shares; the rest have two
_TRENDING_HASHTAG = 0.75  # share of a trend's tweets that carry its hashtag
_LINK = " https://t.co/{:07x}"
_LINK_LENGTH = len(_LINK.format(0))
_CHUNK = 1_000_000  # tweets drawn at a time


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
class Grammar:
    """Words and sentences of L languages for K topics, as arrays of numbers.

    vocabulary: object [W]; topical: int16 [L, K, most], sizes int64 [L, K]; shared: int16 [L, 2, most], describing
    words and things, sizes int64 [L, 2]; sentences: all templates; first, number: int64 [L, 4], where those of a
    language and a kind of tweet begin and how many there are; uses: bool [templates, 5], which slots are in a template.
    """

    vocabulary: Array
    topical: Array
    topical_sizes: Longs
    shared: Array
    shared_sizes: Longs
    sentences: tuple[str, ...]
    first: Longs
    number: Longs
    uses: Bools

    @classmethod
    def of(cls, languages: tuple[Words, ...]) -> Grammar:
        """The languages must have the same topics in the same order."""
        known: set[str] = set()
        for language in languages:
            known.update(*language.topics.values(), language.describing, language.things)
        numbers = {word: number for number, word in enumerate(sorted(known))}
        topical = [[_numbered(words, numbers) for words in language.topics.values()] for language in languages]
        shared = [[_numbered(words, numbers) for words in (each.describing, each.things)] for each in languages]
        sentences: list[str] = []
        first, number = np.zeros((len(languages), 4), np.int64), np.zeros((len(languages), 4), np.int64)
        for code, language in enumerate(languages):
            for kind, templates in language.sentences.items():
                first[code, kind], number[code, kind] = len(sentences), len(templates)
                sentences += templates
        uses = np.array([[slot in template for slot in _SLOTS] for template in sentences])
        return cls(
            np.array(list(numbers), object), *_padded(topical), *_padded(shared), tuple(sentences), first, number, uses
        )

    @cached_property
    def word_length(self) -> Longs:
        """int64 [W]: characters of each word."""
        return np.array([len(word) for word in self.vocabulary], np.int64)

    @cached_property
    def bare_length(self) -> Longs:
        """int64 [templates]: characters of each sentence besides its slots and its hashtags."""
        bare = [template.replace(" {#}", "") for template in self.sentences]
        slots = [sum(len(slot) for slot in _SLOTS if slot in template) for template in self.sentences]
        return np.array([len(text) - used for text, used in zip(bare, slots, strict=True)], np.int64)


@dataclass(frozen=True)
class Draft:
    """What n tweets say, in numbers, a retweet what its parent says.

    words: int16 [n, 7], places in the vocabulary, -1 for none, the last two hashtags; sentence: int16 [n]; mention:
    int32 [n], the user mentioned in the sentence, -1 for none.
    """

    words: Array
    sentence: Array
    mention: Ints


@dataclass(frozen=True)
class Prose:
    """The texts of a world's tweets: `columns` and `tweet_words` for its tables, `render` for people.

    handles: object [U]; tweets: kind, parent, author, language, has_link of the `tweets` table; topics: int16 [T, 2];
    trend: int16 [T], -1 for none; trend_word: int16 [trends, L], their hashtags; state: the key of the draws.
    """

    grammar: Grammar
    handles: Array
    tweets: Mapping[str, Array]
    topics: Array
    trend: Array
    trend_word: Array
    state: np.uint64

    def draft(self, ids: Longs) -> Draft:
        """What some tweets say."""
        kind = self.tweets["kind"]
        source = np.where(kind[ids] == RETWEET, self.tweets["parent"][ids], ids).astype(np.int64)
        grammar = self.grammar
        return Draft(
            *drafted(
                source,
                kind[source],
                self.tweets["author"][source],
                self.tweets["language"][source],
                self.topics[source],
                self.trend[source],
                self.trend_word,
                grammar.topical,
                grammar.topical_sizes,
                grammar.shared,
                grammar.shared_sizes,
                grammar.first,
                grammar.number,
                grammar.uses,
                self.handles.size,
                self.state,
            )
        )

    def columns(self) -> dict[str, Array]:
        """hashtag_count, mention_count and length (characters) of all tweets, int16 [T]."""
        handle_length = np.fromiter(map(len, self.handles), np.int64, self.handles.size)
        found = [self._columns(ids, self.draft(ids), handle_length) for ids in self._chunks()]
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def _columns(self, ids: Longs, draft: Draft, handle_length: Longs) -> dict[str, Array]:
        kind, parent, author = self.tweets["kind"], self.tweets["parent"], self.tweets["author"]
        retweet = kind[ids] == RETWEET
        source = np.where(retweet, parent[ids], ids)
        reply, mentions = kind[source] == REPLY, draft.mention >= 0
        said = np.append(self.grammar.word_length, 0)  # the last one for word -1
        length = self.grammar.bare_length[draft.sentence] + said[draft.words].sum(axis=1)
        hashtags = (draft.words[:, 5:] >= 0).sum(axis=1)
        length += 2 * hashtags  # " #"
        length += np.where(mentions, 2 + handle_length[draft.mention], 0)  # " @"
        length += _LINK_LENGTH * self.tweets["has_link"][source]
        length += np.where(reply, 2 + handle_length[author[parent[source]]], 0)  # "@", " "
        length += np.where(retweet, 6 + handle_length[author[source]], 0)  # "RT @", ": "
        mention_count = mentions.astype(np.int16) + reply + retweet
        return {
            "hashtag_count": hashtags.astype(np.int16),
            "mention_count": mention_count.astype(np.int16),
            "length": length.astype(np.int16),
        }

    def tweet_words(self) -> dict[str, Array]:
        """The `tweet_words` table: each word of a tweet once, sorted."""
        tweets, words = [], []
        for ids in self._chunks():
            ordered = np.sort(self.draft(ids).words, axis=1)
            new = ordered >= 0
            new[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
            row, column = np.nonzero(new)
            tweets.append(ids[row].astype(np.int32))
            words.append(ordered[row, column].astype(np.int32))
        return {"tweet": np.concatenate(tweets), "word": np.concatenate(words)}

    def render(self, ids: Longs) -> list[str]:
        """The texts of some tweets."""
        draft = self.draft(ids)
        kind, parent, author = self.tweets["kind"], self.tweets["parent"], self.tweets["author"]
        linked, handles, vocabulary = self.tweets["has_link"], self.handles, [*self.grammar.vocabulary, ""]
        retweet = kind[ids] == RETWEET
        source = np.where(retweet, parent[ids], ids)
        answers = np.where(kind[source] == REPLY, parent[source], -1)
        out: list[str] = []
        # One text at a time: this is what nobody does for a whole large world.
        for row, (tweet, number, answered, mentioned) in enumerate(
            zip(source.tolist(), draft.sentence.tolist(), answers.tolist(), draft.mention.tolist(), strict=True)
        ):
            words = draft.words[row].tolist()
            line = self.grammar.sentences[number].replace(" {#}", "")
            capital = line.startswith("{")
            for slot, word in zip(_SLOTS, words, strict=False):
                line = line.replace(slot, vocabulary[word])
            line = line[0].upper() + line[1:] if capital else line
            line += "".join(f" #{vocabulary[word]}" for word in words[5:] if word >= 0)
            line += f" @{handles[mentioned]}" if mentioned >= 0 else ""
            line += _LINK.format(tweet) if linked[tweet] else ""
            line = f"@{handles[author[answered]]} {line}" if answered >= 0 else line
            out.append(f"RT @{handles[author[tweet]]}: {line}" if retweet[row] else line)
        return out

    def _chunks(self) -> Iterator[Longs]:
        count = self.tweets["kind"].size
        return (np.arange(begin, min(begin + _CHUNK, count)) for begin in range(0, count, _CHUNK))


def _numbered(words: tuple[str, ...], numbers: dict[str, int]) -> list[int]:
    return [numbers[word] for word in words]


def _padded(lists: list[list[list[int]]]) -> tuple[Array, Longs]:
    """(int16 [a, b, longest], sizes int64 [a, b])."""
    sizes = np.array([[len(words) for words in row] for row in lists], np.int64)
    out = np.zeros((*sizes.shape, int(sizes.max())), np.int16)
    for one, row in enumerate(lists):
        for two, words in enumerate(row):
            out[one, two, : len(words)] = words
    return out, sizes


@kernel
def drafted(
    tweet: Longs,
    kind: Array,
    author: Ints,
    language: Array,
    topics: Array,
    trend: Array,
    trend_word: Array,
    topical: Array,
    topical_sizes: Longs,
    shared: Array,
    shared_sizes: Longs,
    first: Longs,
    number: Longs,
    uses: Bools,
    users: int,
    state: np.uint64,
) -> tuple[Array, Array, Ints]:
    """(words int16 [n, 7], sentence int16 [n], mention int32 [n]) of tweets that are no retweets; see `Draft`.

    The draws depend on the tweet's id alone. Three words of the topics (two of the main one), a describing word, a
    thing, and two hashtags; what the sentence does not use is taken out again.
    """
    words = np.full((tweet.size, 7), -1, np.int16)
    sentence = np.empty(tweet.size, np.int16)
    mention = np.full(tweet.size, -1, np.int32)
    for i in range(tweet.size):
        mine, code, sort = fold(state, tweet[i]), language[i], kind[i]
        sentence[i] = first[code, sort] + below(fold(mine, 0), number[code, sort])
        draw, trending = unit(fold(mine, 1)), trend[i] >= 0
        hashtags = 0 if draw < _NO_HASHTAG else 1 if draw < _NO_HASHTAG + _ONE_HASHTAG else 2
        taken = -1
        for c in (0, 1, 2, 5, 6):
            topic = topics[i, 1 if c in (2, 6) else 0]
            size = topical_sizes[code, topic]
            place = int(size * unit(fold(mine, 2 + c)) ** _ZIPF)
            if place == taken:
                place = (place + 1) % size
            taken = place
            if (c < 5 and uses[sentence[i], c]) or (c >= 5 and hashtags > c - 5):
                words[i, c] = topical[code, topic, place]
        for c in (3, 4):
            if uses[sentence[i], c]:
                words[i, c] = shared[code, c - 3, below(fold(mine, 2 + c), shared_sizes[code, c - 3])]
        if trending and unit(fold(mine, 9)) < _TRENDING_HASHTAG:
            words[i, 5] = trend_word[trend[i], code]
        if sort != REPLY and unit(fold(mine, 10)) < _WITH_MENTION:
            somebody = below(fold(mine, 11), users)
            if somebody != author[i]:
                mention[i] = somebody
    return words, sentence, mention

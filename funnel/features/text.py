"""What Earlybird's light rankers read besides the counts that everybody uses: text quality, languages, labels, quotes.

Text quality is twitter/the-algorithm, search/common/relevance/scorers/TweetTextScorer.java and
classifiers/TweetTextEvaluator.java. With N(x, a) = 2 (sigmoid(a x) − 1/2):

    text = d_off d_name [0.5 N(length, 0.03) + 0.1 N(read, 0.05) + 0.1 (1 − shout) + 0.25 N(H, 0.5) + 0.05 hasLink]

length: characters; read = (sum of token lengths) ln(n) / n of n tokens; shout: capitals / max(length, 1); H: entropy of
the distribution of tokens in bits; d_off, d_name: 0.2 where text or screen name is offensive. It is kept as the whole
number of 100 text, −128 where there is no text to judge.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.events import EventIndex
from funnel.core.kernels import helper, kernel
from funnel.core.tables import QUOTE, TWEET_LABELS, USER_LABELS
from funnel.core.world import PlatformView
from funnel.features.counts import COUNT, DECAYED, column, totals
from funnel.features.labels import labels_of_users
from funnel.features.memo import once_per
from funnel.features.registry import BEFORE_NOW, FIXED, SNAPSHOT, RowFunction, feature
from funnel.features.tweet import HALF_LIVES_H

# TweetTextScorer.java: weight and slope of each part; the weights sum to 1.
LENGTH_WEIGHT, LENGTH_SLOPE = 0.5, 0.03
READABILITY_WEIGHT, READABILITY_SLOPE = 0.1, 0.05
SHOUT_WEIGHT = 0.1
ENTROPY_WEIGHT, ENTROPY_SLOPE = 0.25, 0.5
LINK_WEIGHT = 0.05
OFFENSIVE_DAMPING = 0.2  # of an offensive text, and once more of an offensive screen name

UNSET = -128  # the byte of a tweet that was never judged
_NOT_YET = -127  # of our own cache: judged when somebody reads it
_CHARACTERS = 0x20000  # planes 0 and 1; ideographs of the planes above are letters like others
_SPACE, _WORD, _CAPITAL, _SYMBOL = range(4)

# Labels that the published lists name, and what this world's labellers call them.
LABEL_FLAGS = {name: 1 << TWEET_LABELS.index(name) for name in (
    "abusive", "duplicate_content", "nsfw_high_precision", "nsfw_high_recall", "spam", "spam_high_recall",
)}  # fmt: skip
SPAM_AUTHOR = 1 << USER_LABELS.index("spam_high_recall")
SPAMMER = 1 << USER_LABELS.index("engagement_spammer")
COUNTED = ("favorite", "reply", "retweet")
ENGLISH = "en"
REPUTATION_PARTS = 100  # a point of Tweepcred is summed in so many parts


def text_scores(
    texts: Sequence[str],
    has_link: Bools,
    *,
    offensive_text: Bools | None = None,
    offensive_name: Bools | None = None,
) -> Array:
    """int8 [n] in 0 … 100: the quality of each text.

    Defined for every text: an empty one has its capitals' part alone, 10, and a link's 5 if it has one. Tokens are runs
    of letters, digits and "_" in lower case, or single symbols such as emoji; ideographs without a space between them
    are one token.
    """
    parts = text_parts(texts)
    length, readability, capitals, entropy = parts.T
    quality = (
        LENGTH_WEIGHT * _normalised(length, LENGTH_SLOPE)
        + READABILITY_WEIGHT * _normalised(readability, READABILITY_SLOPE)
        + SHOUT_WEIGHT * (1.0 - capitals / np.maximum(length, 1.0))
        + ENTROPY_WEIGHT * _normalised(entropy, ENTROPY_SLOPE)
        + LINK_WEIGHT * has_link
    )
    for offensive in (offensive_text, offensive_name):
        if offensive is not None:
            quality = np.where(offensive, OFFENSIVE_DAMPING * quality, quality)
    stored: Array = (100.0 * quality + 1e-9).astype(np.int8)  # as a cast to byte does: towards 0
    return stored


def text_parts(texts: Sequence[str]) -> Doubles:
    """float64 [n, 4]: characters, readability, capitals, and entropy (bits) of each text."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    kinds, lower = _alphabet()
    return _parts(points.astype(np.int64), np.concatenate([[0], ends]).astype(np.int64), kinds, lower)


def _normalised(x: Doubles, slope: float) -> Doubles:
    """N(x, slope) = 2 (sigmoid(slope x) − 1/2), which is tanh(slope x / 2)."""
    return np.asarray(np.tanh(0.5 * slope * x))


@cache
def _alphabet() -> tuple[Array, Longs]:
    """(uint8, int64) [C]: what each character is (_SPACE, …), and its lower case."""
    kinds, lower = np.zeros(_CHARACTERS, np.uint8), np.arange(_CHARACTERS)
    for point in range(_CHARACTERS):  # a loop over Unicode, once in a process: 50 ms
        category = unicodedata.category(chr(point))
        if category[0] in "LNM" or point == ord("_"):
            kinds[point] = _CAPITAL if category == "Lu" else _WORD
            small = chr(point).lower()
            lower[point] = ord(small) if len(small) == 1 else point
        elif category in ("So", "Sk", "Sm", "Sc"):
            kinds[point] = _SYMBOL
    return kinds, lower


@helper
def _entropy(ordered: Longs) -> float:
    """Bits of the distribution of equal values; they stand together."""
    bits, run = 0.0, 1
    for j in range(1, ordered.size + 1):
        if j < ordered.size and ordered[j] == ordered[j - 1]:
            run += 1
        else:
            share = run / ordered.size
            bits -= share * np.log2(share)
            run = 1
    return bits


@kernel
def _parts(points: Longs, offsets: Longs, kinds: Array, lower: Longs) -> Doubles:
    """Tokens are told apart by a 64-bit hash (FNV-1a, over characters)."""
    longest = 0
    for i in range(offsets.size - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    tokens = np.empty(longest + 1, np.int64)
    out = np.zeros((offsets.size - 1, 4))
    for i in range(offsets.size - 1):
        count, characters, capitals = 0, 0, 0
        inside, token = False, np.int64(0)
        for at in range(offsets[i], offsets[i + 1]):
            point = points[at]
            known = point < kinds.size
            kind = kinds[point] if known else _WORD
            if kind == _CAPITAL:
                capitals += 1
            if inside and kind in (_SPACE, _SYMBOL):
                tokens[count] = token
                count += 1
                inside = False
            if kind == _SPACE:
                continue
            characters += 1
            if not inside:
                token = np.int64(-3750763034362895579)
            token = (token ^ (lower[point] if known else point)) * np.int64(1099511628211)
            inside = True
            if kind == _SYMBOL:
                tokens[count] = token
                count += 1
                inside = False
        if inside:
            tokens[count] = token
            count += 1
        out[i, 0], out[i, 2] = offsets[i + 1] - offsets[i], capitals
        if count > 0:
            out[i, 1] = characters * np.log(count) / count
            out[i, 3] = _entropy(np.sort(tokens[:count]))
    return out


@feature("tweet.text_score", unit="points", group="light", rule=FIXED, needs=("original",))
def text_score(batch: CandidateBatch) -> Floats:
    """Earlybird's quality of the text, 0 to 100; -128 if there is no text to judge."""
    view, tweet = batch.requests.view, batch["original"]
    written = view.events("tweet", by="author").time_h  # one entry for each tweet of this world, now or later
    known = once_per(written, "text scores", lambda: np.full(written.size, _NOT_YET, np.int8))
    missing = np.unique(tweet[known[tweet] == _NOT_YET]).astype(np.int64)
    if missing.size:
        texts = view.texts(missing)
        links = view.tweets["has_link"][missing]
        judged = text_scores([text or "" for text in texts], links)
        known[missing] = np.where([text is None for text in texts], np.int8(UNSET), judged)
    return known[tweet].astype(np.float32)


@feature("tweet.language", unit="code", group="light", rule=FIXED, needs=("original",))
def language(batch: CandidateBatch) -> Array:
    """Code of the tweet's language."""
    return batch.requests.view.tweets["language"][batch["original"]]


@feature("language.english_tweet_only", unit="flag", group="light", rule=FIXED, needs=("tweet.language",))
def english_tweet_only(batch: CandidateBatch) -> Bools:
    """The tweet is in English and the viewer reads another language."""
    tweet, viewer = _english(batch)
    return tweet & ~viewer


@feature("language.english_viewer_only", unit="flag", group="light", rule=FIXED, needs=("tweet.language",))
def english_viewer_only(batch: CandidateBatch) -> Bools:
    """The viewer reads English and the tweet is in another language."""
    tweet, viewer = _english(batch)
    return viewer & ~tweet


def _english(batch: CandidateBatch) -> tuple[Bools, Bools]:
    """Whether the tweet, and whether the viewer, speaks English."""
    view = batch.requests.view
    code = view.meta.languages.index(ENGLISH) if ENGLISH in view.meta.languages else -1
    return batch["tweet.language"] == code, batch.per_request(view.users["language"][batch.requests.viewer] == code)


@feature("tweet.many_hashtags", unit="flag", group="light", rule=FIXED, needs=("tweet.hashtag_count",))
def many_hashtags(batch: CandidateBatch) -> Bools:
    """Has two hashtags or more."""
    many: Bools = batch["tweet.hashtag_count"] >= 2
    return many


def _flag(bit: int) -> RowFunction:
    return lambda batch: (batch["tweet_labels"] & bit) != 0


for _name, _bit in LABEL_FLAGS.items():
    feature(
        f"tweet.label.{_name}",
        unit="flag",
        group="light",
        needs=("tweet_labels",),
        meaning=f"Has the safety label {_name}, or the tweet that it retweets has",
    )(_flag(_bit))


@feature("author.label.spam", unit="flag", group="light", needs=("author_labels",))
def spam_author(batch: CandidateBatch) -> Bools:
    """The author, or the author of the retweeted tweet, is labelled as a spammer."""
    spam: Bools = (batch["author_labels"] & SPAM_AUTHOR) != 0
    return spam


@feature("internal.tweet.quote", unit="mixed", group="internal", needs=("original",))
def quotes(batch: CandidateBatch) -> Floats:
    """Quotes of the tweet: count, hours since the last, half-life 24 h."""
    index = _quotes(batch.requests.view)
    return totals(index, batch["original"].astype(np.int64), batch.now_h, (HALF_LIVES_H["24h"],))


feature(
    "tweet.quote.count", unit="count", group="light", needs=("internal.tweet.quote",), meaning="Quotes of the tweet"
)(column("internal.tweet.quote", COUNT))
feature(
    "tweet.quote.decayed_24h",
    unit="count",
    group="light",
    needs=("internal.tweet.quote",),
    meaning="Quotes of the tweet, half-life 24 h",
)(column("internal.tweet.quote", DECAYED))


def _weighted(what: str) -> RowFunction:
    def compute(batch: CandidateBatch) -> Floats:
        view, tweet, now_h = batch.requests.view, batch["original"].astype(np.int64), batch.now_h
        index = _quotes(view) if what == "quote" else view.events(what, by="tweet")
        summed = _reputation_sums(view, what, index)
        begin = index.offsets[tweet]
        end = begin + index.count(tweet, now_h)
        weighted: Floats = ((summed[end] - summed[begin]) / (100.0 * REPUTATION_PARTS)).astype(np.float32)
        return weighted

    return compute


def _fake(what: str) -> RowFunction:
    def compute(batch: CandidateBatch) -> Floats:
        view = batch.requests.view
        index = view.shared(f"{what} by spammers", lambda everything, _: _by_spammers(everything, what))
        found: Floats = (
            index.until(view.now_h).count(batch["original"].astype(np.int64), batch.now_h).astype(np.float32)
        )
        return found

    return compute


for _what in (*COUNTED, "quote"):
    feature(
        f"tweet.{_what}.weighted_by_reputation",
        unit="count",
        group="light",
        rule=f"{SNAPSHOT} for the reputation, {BEFORE_NOW} for the rest",
        needs=("original",),
        requires=("tweepcred.score",),
        meaning=f"{_what} on the tweet, each counting for the Tweepcred of who did it, in hundredths",
    )(_weighted(_what))
    feature(
        f"tweet.{_what}.fake",
        unit="count",
        group="light",
        needs=("original",),
        meaning=f"{_what} on the tweet by accounts that were labelled as engagement spammers at that moment",
    )(_fake(_what))


def _quotes(view: PlatformView) -> EventIndex:
    """Quotes as events on the tweet that is quoted; rows are the quoting tweets."""

    def build(everything: PlatformView, _: EventIndex | None) -> EventIndex:
        kind, parent, time_h = (everything.tweets[name] for name in ("kind", "parent", "time_h"))
        rows = np.flatnonzero((kind == QUOTE) & (parent >= 0)).astype(np.int32)
        return EventIndex.dense(parent[rows], time_h[rows], kind.size, rows=rows)

    return view.shared("quotes", build).until(view.now_h)


def _reputation_sums(view: PlatformView, what: str, index: EventIndex) -> Longs:
    """int64 [E + 1]: reputation of who did them, summed over the events of an index in its order.

    Of all time, as the index is: whoever reads it stops at the request's moment. Whole numbers, so that a difference of
    two sums is the same whatever else was summed before.
    """
    reputation = view.asset("tweepcred.score")

    def build() -> tuple[Longs, Array]:
        # The columns, not the view of all time, which would hold the world that holds it.
        authors, viewers = view.shared("who wrote and who engaged", _who)
        who = (authors if what == "quote" else viewers)[index.row]
        judged = who < reputation.size
        points = np.rint(reputation * REPUTATION_PARTS).astype(np.int64)
        weight = np.where(judged, points[np.where(judged, who, 0)], 0)
        sums = np.concatenate([[0], np.cumsum(weight)]).astype(np.int64)
        return sums, reputation  # kept, so that its id stays its own

    return once_per(index.time_h, ("reputation sums", what, id(reputation)), build)[0]


def _who(view: PlatformView, _: object) -> tuple[Ints, Ints]:
    """The author of each tweet, and who did each engagement."""
    return view.tweets["author"], view.engagements["viewer"]


def _by_spammers(view: PlatformView, what: str) -> EventIndex:
    """Events of a kind by accounts that were labelled `engagement_spammer` before they did them, by tweet."""
    labelled = view.events("user_label", by="author")
    some = np.unique(view.user_labels["user"][view.user_labels["label"] == USER_LABELS.index("engagement_spammer")])
    index = view.events("tweet", by="author") if what == "quote" else view.events(what, by="viewer")
    counts = np.diff(index.offsets)[some]
    starts = np.repeat(index.offsets[some] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    place = starts + np.arange(int(counts.sum()))
    time_h, row, actor = index.time_h[place], index.row[place], np.repeat(some, counts).astype(np.int32)
    seen = time_h < view.now_h
    time_h, row, actor = time_h[seen], row[seen], actor[seen]
    spam = (labels_of_users(view, actor, time_h) & SPAMMER) != 0 if labelled.time_h.size else np.zeros(row.size, bool)
    tweet: Ints = (_quoted(view, row) if what == "quote" else view.engagements["tweet"][row])[spam]
    order = np.argsort(time_h[spam], kind="stable")
    return EventIndex.dense(tweet[order], time_h[spam][order], view.tweets["kind"].size)


def _quoted(view: PlatformView, tweet: Ints) -> Ints:
    """int32 [n]: what each tweet quotes, -1 if it is no quote."""
    return np.where(view.tweets["kind"][tweet] == QUOTE, view.tweets["parent"][tweet], np.int32(-1))


assert abs(LENGTH_WEIGHT + READABILITY_WEIGHT + SHOUT_WEIGHT + ENTROPY_WEIGHT + LINK_WEIGHT - 1.0) < 1e-9
assert set(COUNTED) <= set(ACTION_CODE)

"""The rules of the filters once more, one candidate at a time in plain Python, straight from the tables."""

from __future__ import annotations

from collections import defaultdict

from funnel.core.actions import ACTION_CODE
from funnel.core.tables import (
    BLOCK,
    MUTE,
    MUTE_KEYWORD,
    QUOTE,
    REPLY,
    RETWEET,
    SEE_FEWER,
    TWEET_LABELS,
    USER_LABELS,
)
from funnel.core.world import WorldTables
from heuristics.visibility.rules import CONVERSATIONS, NOTIFICATIONS, RECOMMENDATIONS, RULES

INF = float("inf")


class Plain:
    """One viewer's questions to the tables of a world at one moment."""

    def __init__(self, world: WorldTables, viewer: int, now: float) -> None:
        self.viewer, self.now = viewer, now
        self.users = {name: values.tolist() for name, values in world.table("users").items()}
        self.tweets = {name: values.tolist() for name, values in world.table("tweets").items()}
        self.author, self.kind = self.tweets["author"], self.tweets["kind"]
        self.follows = {(a, b) for a, b, t in _rows(world, "follows", "follower", "followee", "time_h") if t < now}
        self.paid = {(a, b) for a, b, t in _rows(world, "subscriptions", "subscriber", "author", "time_h") if t < now}
        self.feedback = [
            row for row in _rows(world, "feedback", "user", "kind", "author", "word", "time_h") if row[-1] < now
        ]
        self.likers: dict[int, list[int]] = defaultdict(list)
        self.counts: dict[tuple[int, int], int] = defaultdict(int)
        for who, tweet, action, t in _rows(world, "engagements", "viewer", "tweet", "action", "time_h"):
            if t < now:
                self.counts[tweet, action] += 1
                if action == ACTION_CODE["favorite"]:
                    self.likers[tweet].append(who)
        shown = [row for row in _rows(world, "impressions", "viewer", "tweet", "time_h") if row[-1] < now]
        self.shown = [(tweet, t) for who, tweet, t in shown if who == viewer]
        self.views: dict[int, int] = defaultdict(int)
        for _, tweet, _ in shown:
            self.views[tweet] += 1
        words: dict[int, set[int]] = defaultdict(set)
        for tweet, word in _rows(world, "tweet_words", "tweet", "word"):
            words[tweet].add(word)
        self.words = words
        self.vocabulary = world.table("vocabulary")["word"].tolist()
        self.tweet_labels: dict[int, set[str]] = defaultdict(set)
        for tweet, label, t in _rows(world, "tweet_labels", "tweet", "label", "time_h"):
            if t < now:
                self.tweet_labels[tweet].add(TWEET_LABELS[label])
        self.user_labels: dict[int, set[str]] = defaultdict(set)
        for user, label, t in _rows(world, "user_labels", "user", "label", "time_h"):
            if t < now:
                self.user_labels[user].add(USER_LABELS[label])

    def original(self, tweet: int) -> int:
        return self.tweets["parent"][tweet] if self.kind[tweet] == RETWEET else tweet

    def both(self, tweet: int) -> set[int]:
        """The tweet and the one it retweets."""
        return {tweet, self.original(tweet)}

    def authors(self, tweet: int) -> set[int]:
        return {self.author[one] for one in self.both(tweet)}

    def in_network(self, tweet: int) -> bool:
        author = self.author[tweet]
        return author == self.viewer or (self.viewer, author) in self.follows

    def gave(self, kind: int, giver: int, about: int) -> bool:
        return any(row[0] == giver and row[1] == kind and row[2] == about for row in self.feedback)

    def see_fewer_h(self, about: int) -> float:
        """Hours since the viewer's newest see-fewer about somebody."""
        mine = (row[-1] for row in self.feedback if row[:3] == (self.viewer, SEE_FEWER, about))
        return self.now - max(mine, default=-INF)

    def valid(self, people: list[int]) -> list[int]:
        """The first ten whom the viewer follows, without a block or a mute."""
        me = self.viewer
        return [
            one
            for one in people
            if (me, one) in self.follows
            and not (self.gave(BLOCK, me, one) or self.gave(BLOCK, one, me) or self.gave(MUTE, me, one))
        ][:10]

    def valid_likers(self, tweet: int) -> list[int]:
        return [] if self.in_network(tweet) else self.valid(self.likers[self.original(tweet)][::-1])

    def valid_followers(self, tweet: int) -> list[int]:
        if self.in_network(tweet):
            return []
        return self.valid(sorted(a for a, b in self.follows if b == self.author[tweet]))

    def quoted(self, tweet: int) -> int:
        original = self.original(tweet)
        return self.tweets["parent"][original] if self.kind[original] == QUOTE else -1

    def answers(self, tweet: int) -> int:
        return self.tweets["parent"][tweet] if self.kind[tweet] == REPLY else -1

    def ancestors(self, tweet: int) -> list[int]:
        """Upwards; the last is the root."""
        found = []
        while self.answers(tweet) >= 0:
            tweet = self.answers(tweet)
            found.append(tweet)
        return found

    def exclusive_author(self, tweet: int) -> int:
        original = self.original(tweet)
        root = self.tweets["root"][original]
        for one in (root, original):
            if one >= 0 and self.tweets["exclusive"][one]:
                return int(self.author[one])
        return -1

    def exclusive_hidden(self, tweet: int) -> bool:
        whose = self.exclusive_author(tweet)
        return whose >= 0 and whose != self.viewer and (self.viewer, whose) not in self.paid

    def nsfw(self, tweet: int) -> bool:
        judged = self.both(tweet) | ({self.quoted(tweet)} - {-1})
        return any(self.tweets["sensitive"][one] or "nsfw" in self.user_labels[self.author[one]] for one in judged)

    def facts(self, tweet: int) -> set[str]:
        """What the rules of visibility ask, by name."""
        me, authors = self.viewer, self.authors(tweet)
        found = {f"tweet.{label}" for one in self.both(tweet) for label in self.tweet_labels[one]}
        found |= {f"author.{label}" for one in authors for label in self.user_labels[one]}
        muted_words = {row[3] for row in self.feedback if row[:2] == (me, MUTE_KEYWORD)}
        held = {
            "exclusive_hidden": self.exclusive_hidden(tweet),
            "muted_keyword": any(muted_words & self.words[one] for one in self.both(tweet)),
            "muted": any(self.gave(MUTE, me, one) for one in authors),
            "viewer_blocks": any(self.gave(BLOCK, me, one) for one in authors),
            "blocked_by": any(self.gave(BLOCK, one, me) for one in authors),
            "protected_hidden": self.users["protected"][self.author[tweet]] and not self.in_network(tweet),
            "author_suspended": any(self.users["suspended"][one] for one in authors),
        }
        return found | {name for name, holds in held.items() if holds}

    def verdict(self, tweet: int, *, notifications: bool = False) -> tuple[int, int]:
        """(verdict, rule) by reading the table of rules from the top."""
        facts, network = self.facts(tweet), self.in_network(tweet)
        mine = self.author[self.original(tweet)] == self.viewer
        friends = network and (self.author[tweet], self.viewer) in self.follows
        concerned = {
            "anybody": True,
            "not_author": not mine,
            "not_follower": not mine and not network,
            "not_friend_of_reply": self.kind[tweet] == REPLY and not mine and not friends,
            "sensitive_unwanted": not self.users["allows_sensitive"][self.viewer],
        }
        found = (-1, -1)
        for place, rule in enumerate(RULES):
            assert rule.level != CONVERSATIONS or rule.who == "not_friend_of_reply"
            if rule.fact not in facts or not concerned[rule.who]:
                continue
            if not notifications and (rule.level == NOTIFICATIONS or (rule.level == RECOMMENDATIONS and network)):
                continue
            if rule.verdict == 16:
                return (16, place)
            if rule.verdict > found[0]:
                found = (rule.verdict, place)
        return found

    def dropped(self, tweet: int) -> bool:
        return self.verdict(tweet)[0] == 16

    def served(self, tweet: int, hours: float) -> bool:
        """Among the newest 100 impressions (with those of the same moment as the last), and no older than that."""
        times = sorted(t for _, t in self.shown)
        oldest = times[-100:][0] if times else INF
        return any(one in self.both(tweet) and t >= oldest and self.now - t <= hours for one, t in self.shown)


def _rows(world: WorldTables, table: str, *columns: str) -> list[tuple[float, ...]]:
    return list(zip(*(world.table(table)[name].tolist() for name in columns), strict=True))

"""Twitter around the discovery of the Higgs boson, 1 to 7 July 2012, as a world.

De Domenico, Lima, Mougel, Musolesi, "The Anatomy of a Scientific Rumor", Scientific Reports 3:2980 (2013);
snap.stanford.edu/data/higgs-twitter.html. The data are timed events "A retweets / replies to / mentions B" and follow
lists; there are no tweets, texts, favourites or impressions. What is missing is reconstructed by these rules:

- Users: first those with a whole follow list (they are the viewers), then everybody else, each by original id.
- Tweets of B: retweets of B and replies to B, in order of time, form bursts; a burst is a tweet. One ends after a pause
  of `gap_h`, after `life_h`, and when somebody retweets B again. B wrote the tweet a little before its first event: an
  exponential time with mean `lead_h`.
- Tweets of A: each retweet and each reply of A is a tweet of A whose parent is that tweet of B. Mentions in the same
  second belong to the first of them; other mentions of one second are one original tweet of A that mentions others.
- Engagements: each retweet or reply of A is one of viewer A with B's tweet, unless A is B.
- Impressions: each engagement but a tweet's first (without which we should not know that the tweet exists) stands on a
  page with `others` tweets that A did not engage with, at the moment of the engagement; see `reconstruct.sample_log`.
- Follows are from before the epoch, and so are accounts; when exactly is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as configured

from funnel.core import rng
from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Doubles, Longs
from funnel.core.errors import DataError
from funnel.core.events import Adjacency
from funnel.core.kernels.grouping import pair_keys
from funnel.core.progress import Progress
from funnel.core.stage import STRICT
from funnel.core.tables import ORIGINAL, REPLY, RETWEET
from funnel.core.world import Oracle, WorldData, WorldMeta, WorldTables
from synthetic.datasets.blank import BEFORE_EPOCH_H, UNKNOWN_LANGUAGE, accounts, plain_tweets
from synthetic.datasets.files import data_folder, read_numbers
from synthetic.datasets.reconstruct import Seen, bursts, not_first, sample_log

SOURCE = "https://snap.stanford.edu/data/higgs-twitter.html"
ACTIVITY = "higgs-activity_time.txt.gz"
FOLLOWS = "higgs-social_network.first355075.edgelist.gz"
SHA256 = {
    ACTIVITY: "901b199716a23b0fc0371705e3ae9941b5c9493277aec65456abc4988674ad79",
    FOLLOWS: "ddec7526f28ab861a7e823ce93c602ac7f142e7a5b5f55617415a735120f0c14",
}
KINDS = ("RT", "RE", "MT")
RT, RE, MT = range(3)
EPOCH_UNIX_S = 1_341_100_800  # 2012-07-01 00:00 UTC
END_H = 168.0
TRAIN_UNTIL_H = 144.0  # the last day is held out
# By kind of event: the kind of the actor's own tweet, and the action.
_TWEET_KIND = np.array([RETWEET, REPLY, ORIGINAL])
_ACTION = np.array([ACTION_CODE["retweet"], ACTION_CODE["reply"]])


@configured(config=STRICT, kw_only=True)
class Higgs:
    """Imports the Higgs data set; `folder` is where its files are, found by $FUNNEL_DATA if it is not given."""

    folder: Path | None = Field(None, description="folder of the two files; default: $FUNNEL_DATA/higgs-twitter")
    verify: bool = Field(True, description="whether the files must be the published ones (sha256)")
    gap_h: float = Field(6.0, gt=0, le=168, description="a longer pause between events: a new tweet, hours")
    life_h: float = Field(24.0, gt=0, le=168, description="events about one tweet span no more than this, hours")
    lead_h: float = Field(0.1, gt=0, le=24, description="mean time from a tweet to its first event, hours")
    others: int = Field(4, ge=1, le=50, description="tweets without engagement beside each engagement of the log")
    in_network_share: float = Field(
        0.5, ge=0, le=1, description="share of those drawn from followed accounts, where the follow list is known"
    )
    window_h: float = Field(24.0, gt=0, le=168, description="how far back those are drawn from, hours")

    def build(self, name: str, seed: int, progress: Progress) -> WorldData:
        """The world; the same files, settings and seed give the same bytes. DataError if the files are not right."""
        folder = self.folder or data_folder("higgs-twitter", SOURCE)
        with progress.bar(f"import {name}", 4) as bar:
            checks = SHA256 if self.verify else {}
            columns = {"a": None, "b": None, "unix_s": None, "kind": "kind"}
            events = read_numbers(folder / ACTIVITY, columns, kinds=KINDS, sha256=checks.get(ACTIVITY))
            edges = read_numbers(folder / FOLLOWS, {"a": None, "b": None}, sha256=checks.get(FOLLOWS))
            bar.advance()
            whole, edges = _whole_lists(edges)
            people = _People.of(events, edges, whole)
            follows = _follows(edges, people)
            bar.advance()
            tweets, engagements = self._tweets(events, people, seed)
            bar.advance()
            count = people.original.size
            following = Adjacency.of(follows["follower"], follows["followee"], follows["time_h"], count)
            seen = Seen(tweets, engagements["viewer"], engagements["tweet"], engagements["time_h"], following)
            impressions, impression = sample_log(
                seen,
                not_first(engagements),
                others=self.others,
                in_network_share=self.in_network_share,
                window_h=self.window_h,
                seed=seed,
            )
            bar.advance()
        tables = {
            "users": accounts(f"user{original}" for original in people.original.tolist()),
            "follows": follows,
            "tweets": tweets,
            "impressions": impressions,
            "engagements": {**engagements, "impression": impression},
        }
        return WorldData(self._meta(name, people.viewer_count), tables)

    def oracle(self, data: WorldTables, truth: Mapping[str, Array]) -> Oracle | None:
        """None: nobody knows what these people would have done."""
        return None

    def _tweets(
        self, events: Mapping[str, Array], people: _People, seed: int
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """(tweets, engagements without their impressions)."""
        time_h = _hours(events["unix_s"])
        actor, about, kind = people.dense(events["a"]), people.dense(events["b"]), events["kind"]
        acts = np.flatnonzero(kind != MT)
        target = np.full(actor.size, -1, np.int64)
        target[acts] = self._targets(actor[acts], about[acts], time_h[acts], kind[acts])
        _, opener = np.unique(target[acts], return_index=True)  # events ascend in time, so this is the first one
        opener = acts[opener]
        # Keyed by what opens the tweet, so that later events change nothing. At least a second, the resolution of the
        # data, so that a tweet is there before what it causes.
        u = rng.uniform(seed, "higgs.lead", events["b"][opener], events["unix_s"][opener])
        lead = np.maximum(-np.log1p(-u) * self.lead_h, 1 / 3600)
        own, mentions = _own_tweets(actor, events["unix_s"], kind)
        order, place = _sorted(np.concatenate([time_h[opener] - lead, time_h[own]]))
        none = np.full(opener.size, -1)
        parent = np.concatenate([none, target[own]])[order]
        parent = np.where(parent >= 0, place[parent], -1).astype(np.int32)
        kinds = np.concatenate([np.full(opener.size, ORIGINAL), _TWEET_KIND[kind[own]]])[order].astype(np.int8)
        tweets = {
            **plain_tweets(order.size),
            "author": np.concatenate([about[opener], actor[own]])[order].astype(np.int32),
            "time_h": np.concatenate([time_h[opener] - lead, time_h[own]])[order],
            "kind": kinds,
            "parent": parent,
            "root": np.where(kinds == REPLY, parent, -1).astype(np.int32),
            "mention_count": np.concatenate([none * 0, mentions])[order].astype(np.int16),
        }
        heard = acts[actor[acts] != about[acts]]
        engagements: dict[str, Array] = {
            "viewer": actor[heard].astype(np.int32),
            "tweet": place[target[heard]].astype(np.int32),
            "action": _ACTION[kind[heard]].astype(np.int8),
            "time_h": time_h[heard],
        }
        return tweets, engagements

    def _targets(self, actor: Longs, about: Longs, time_h: Array, kind: Array) -> Longs:
        """int64 [n]: the reconstructed tweet that each retweet or reply is about."""
        order = np.lexsort((time_h, about))
        pairs = np.unique(pair_keys(actor, about), return_inverse=True)[1]
        repeat = np.where(kind == RT, pairs, -1)
        out = np.empty(order.size, np.int64)
        out[order] = bursts(about[order], time_h[order], repeat[order], self.gap_h, self.life_h)
        return out

    def _meta(self, name: str, viewer_count: int) -> WorldMeta:
        return WorldMeta(
            name,
            end_h=END_H,
            train_until_h=TRAIN_UNTIL_H,
            viewer_count=viewer_count,
            epoch_unix_s=float(EPOCH_UNIX_S),
            observed_actions=("retweet", "reply"),
            default_funnel="higgs_2012",
            languages=(UNKNOWN_LANGUAGE,),
            notes=(
                f"Real events of 1 to 7 July 2012 about the Higgs boson; {SOURCE}",
                f"Tweets are reconstructed: events about an author with pauses up to {self.gap_h:g} h, within "
                f"{self.life_h:g} h with no retweet repeated, are one tweet, written {self.lead_h:g} h (mean) before",
                f"Impressions are reconstructed: each engagement but a tweet's first, beside {self.others} tweets that "
                "the viewer could have seen and did not engage with; rates of actions mean nothing",
                "No favourites, texts, languages or account ages; follow lists are whole for the viewers alone",
            ),
        )


def _hours(unix_s: Longs) -> Doubles:
    """float64 [n]: hours since the epoch; events ascend in time and lie in the week."""
    time_h = (unix_s - EPOCH_UNIX_S) / 3600.0
    wrong = (time_h < 0) | (time_h >= END_H)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(ACTIVITY, f"line {row + 1} is not of 1 to 7 July 2012: {unix_s[row]}")
    back = np.flatnonzero(np.diff(time_h) < 0)
    if back.size:
        raise DataError(
            ACTIVITY, f"line {back[0] + 2} is earlier than the one before it; wants events in order of time"
        )
    return np.asarray(time_h, dtype=np.float64)


def _sorted(time_h: Doubles) -> tuple[Longs, Longs]:
    """(order that sorts, place of each in that order)."""
    order = np.argsort(time_h, kind="stable")
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    return order, place


@dataclass(frozen=True)
class _People:
    """original: int64 [U], the data's id of each user; viewer_count: how many of the first have whole follow lists."""

    original: Longs
    viewer_count: int
    _known: Longs
    _rank: Longs

    @classmethod
    def of(cls, events: Mapping[str, Array], edges: Mapping[str, Array], whole: Longs) -> _People:
        """Everybody who acts, is acted upon, or is in a follow list."""
        known = np.unique(np.concatenate([events["a"], events["b"], edges["a"], edges["b"]]))
        others = np.setdiff1d(known, whole, assume_unique=True)
        original = np.concatenate([whole, others])
        rank = np.empty(known.size, np.int64)
        rank[np.searchsorted(known, original)] = np.arange(known.size)
        return cls(original, whole.size, known, rank)

    def dense(self, original: Array) -> Longs:
        """int64 [n]: row numbers of users by the data's ids."""
        return self._rank[np.searchsorted(self._known, original)]


def _whole_lists(edges: Mapping[str, Array]) -> tuple[Longs, dict[str, Array]]:
    """(the data's ids of users whose follow lists are whole, sorted; their follows without self-follows).

    The file is the beginning of a longer one, so the list that stands last is cut.
    """
    if not edges["a"].size:
        raise DataError(FOLLOWS, "is empty; wants lines of <follower> <followee>")
    whole = np.setdiff1d(edges["a"], edges["a"][-1:])
    stays = np.isin(edges["a"], whole)
    kept = {name: values[stays] for name, values in edges.items()}
    other = kept["a"] != kept["b"]
    return whole, {name: values[other] for name, values in kept.items()}


def _follows(edges: Mapping[str, Array], people: _People) -> dict[str, Array]:
    keys = np.unique(pair_keys(people.dense(edges["a"]), people.dense(edges["b"])))
    return {
        "follower": (keys >> 32).astype(np.int32),
        "followee": (keys & 0xFFFFFFFF).astype(np.int32),
        "time_h": np.full(keys.size, BEFORE_EPOCH_H),
    }


def _own_tweets(actor: Longs, unix_s: Longs, kind: Array) -> tuple[Longs, Longs]:
    """(events that are a tweet of the actor's own int64 [m], number of mentions of each).

    Every retweet and reply, and of the mentions of a second that has neither the first; mentions are counted where
    they stand: with the first retweet or reply of the second, or together.
    """
    second, first, group = np.unique(pair_keys(actor, unix_s - EPOCH_UNIX_S), return_index=True, return_inverse=True)
    acts = np.flatnonzero(kind != MT)
    stands = first.copy()
    stands[group[acts][::-1]] = acts[::-1]  # the last assignment wins: the first act of the second
    mentions = np.zeros(actor.size, np.int64)
    mentions[stands] = np.bincount(group[kind == MT], minlength=second.size)
    own = np.union1d(acts, stands)
    return own, mentions[own]

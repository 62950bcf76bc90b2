"""A page that is being mixed: the ranked tweets, whose order is settled, and modules put between them.

    mixed = MixedPages.of(batch)                              # the tweets alone
    mixed = mixed.insert(request, 3, Module("ad", "…"))       # the fourth entry of that request's page

Places count entries, tweets and modules alike, from 0. As in twitter/the-algorithm (product-mixer,
component_library/selector/InsertFixedPositionResults.scala) a place refers to the page as it stands at that moment,
and what would stand beyond the end is appended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from funnel.core.batch import CandidateBatch


class Module(NamedTuple):
    """Something on a page that is no ranked tweet.

    kind: "ad", "who_to_follow", …; text: what a person reads; users, tweets: ids of what it shows, in order.
    """

    kind: str
    text: str
    users: tuple[int, ...] = ()
    tweets: tuple[int, ...] = ()


class Placed(NamedTuple):
    """A module and where it stands: place counts the entries above it."""

    place: int
    module: Module


@dataclass(frozen=True)
class MixedPages:
    """The pages of R requests: `tweets` in the order of the page, and for each request its modules, top first."""

    tweets: CandidateBatch
    modules: tuple[tuple[Placed, ...], ...]

    @classmethod
    def of(cls, tweets: CandidateBatch) -> MixedPages:
        """Pages without modules."""
        return cls(tweets, ((),) * len(tweets.requests))

    def length(self, request: int) -> int:
        """Entries of a request's page, tweets and modules."""
        return int(self.tweets.counts[request]) + len(self.modules[request])

    def insert(self, request: int, place: int, module: Module) -> MixedPages:
        """The pages with one more module; what stands at `place` or below moves down by one."""
        at = min(place, self.length(request))
        above = [known for known in self.modules[request] if known.place < at]
        below = [Placed(known.place + 1, known.module) for known in self.modules[request] if known.place >= at]
        changed = (*above, Placed(at, module), *below)
        return MixedPages(self.tweets, (*self.modules[:request], changed, *self.modules[request + 1 :]))

    def entries(self, request: int) -> list[int | Module]:
        """The page from the top: rows of `tweets`, and modules."""
        entries: list[int | Module] = list(
            range(int(self.tweets.offsets[request]), int(self.tweets.offsets[request + 1]))
        )
        for known in self.modules[request]:
            entries.insert(known.place, known.module)
        return entries

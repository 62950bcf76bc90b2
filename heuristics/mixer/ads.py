"""Ads between the tweets.

Source: xai-org/x-algorithm (2026), home-mixer ads blending: at least 5 posts on the page, 3 posts between ads by
default and never fewer than 2, no ad beside a post that is no safe company (`partition_organic_low_risk`), and at
most half as many ads as safe posts. In 2023 the ad server said where each ad goes (Goldfinch) and its spacing was not
published; the order of the tweets was kept too.
"""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from funnel.core.arrays import Bools
from funnel.core.page import MixedPages, Module
from funnel.core.stage import STRICT, Mixer


@dataclass(config=STRICT, kw_only=True)
class Ads(Mixer):
    """Puts an ad after every few tweets, away from sensitive ones."""

    needs = ("tweet.sensitive",)

    spacing: int = Field(3, ge=2, le=100, description="tweets above the first ad and between two ads, at least")
    min_tweets: int = Field(5, ge=1, le=500, description="tweets that a page with ads has at least")

    def insert(self, pages: MixedPages) -> MixedPages:
        """The pages with ads of kind "ad"."""
        safe = ~pages.tweets["tweet.sensitive"]
        for request in range(len(pages.modules)):
            if pages.tweets.counts[request] >= self.min_tweets:
                for already, place in enumerate(self._places(pages.entries(request), safe)):
                    pages = pages.insert(request, place + already, Module("ad", f"Promoted: ad {already + 1}"))
        return pages

    def _places(self, entries: list[int | Module], safe: Bools) -> list[int]:
        """Entries above which an ad goes, counted without the ads."""
        rows = [entry for entry in entries if isinstance(entry, int)]
        room = sum(bool(safe[row]) for row in rows) // 2
        places: list[int] = []
        since, above = 0, -1  # tweets since the last ad, and the one above
        for place, entry in enumerate(entries):
            if not isinstance(entry, int):
                continue
            if since >= self.spacing and len(places) < room and safe[entry] and safe[above]:
                places.append(place)
                since = 0
            since, above = since + 1, entry
        return places

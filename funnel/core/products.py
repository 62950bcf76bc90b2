"""What a funnel makes: a timeline, or recommended notifications. A funnel's file says which by `product`.

A product is no code of its own: it names the actions that count, and the tables in which the platform logs what it
showed and what viewers did. Sources, features, runner, metrics and experiments are the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass

from funnel.core.actions import ACTIONS, PUBLIC_ACTIONS, PUSH_ACTIONS, Action
from funnel.core.errors import ConfigError, nearest

DAY_H = 24.0


@dataclass(frozen=True)
class Product:
    """A product: its name, what viewers can do with what it shows, and where that is logged.

    shown, done: names of tables (`funnel.core.tables`); `done` has a column `impression`, a row of `shown`.
    engaging: the actions by which somebody engages with what is shown at all, what a light ranker is judged by.
    default_funnel: the funnel that makes it where none is named; None for the world's own.
    best, chance, newest: funnels that make the best page there could be, one by lot, and the newest of who is followed.
    page_size: places of a page where nobody says how many; optional: whether an empty page is an answer, not a failure.
    hour: the hour of the day at which pages are made where nobody says when; None for the world's very end.
    pages, title: what people call its pages, and one of them.
    """

    name: str
    actions: tuple[Action, ...]
    shown: str
    done: str
    default_funnel: str | None = None
    engaging: tuple[str, ...] = PUBLIC_ACTIONS
    best: str = "oracle"
    chance: str = "random"
    newest: str = "chronological"
    page_size: int = 35  # for_you_server_max_results, twitter/the-algorithm, ForYouParam.scala
    optional: bool = False
    hour: float | None = None
    pages: str = "timelines"
    title: str = "For you"

    def moment(self, end_h: float) -> float:
        """The last moment, not after `end_h` hours, at which a page is made where nobody says when."""
        if self.hour is None or end_h < self.hour:
            return end_h
        return self.hour + DAY_H * ((end_h - self.hour) // DAY_H)

    @property
    def action_names(self) -> tuple[str, ...]:
        """The names of the actions, in order."""
        return tuple(action.name for action in self.actions)

    @property
    def action_code(self) -> dict[str, int]:
        """The place of each action."""
        return {action.name: code for code, action in enumerate(self.actions)}

    @property
    def heads(self) -> tuple[str, ...]:
        """The actions that its heavy ranker predicts."""
        return tuple(action.name for action in self.actions if action.heavy)


TIMELINE = Product("timeline", ACTIONS, "impressions", "engagements")
PUSH = Product(
    "push",
    PUSH_ACTIONS,
    "notifications",
    "notification_actions",
    "push_2023",
    engaging=("oonc",),
    best="push_oracle",
    chance="push_random",
    newest="push_newest",
    page_size=1,
    optional=True,
    hour=18.0,
    pages="decisions",
    title="Notification",
)
PRODUCTS: dict[str, Product] = {product.name: product for product in (TIMELINE, PUSH)}


def product_named(name: object, where: str) -> Product:
    """The product of that name; ConfigError, with the nearest one, if there is none."""
    if not isinstance(name, str) or name not in PRODUCTS:
        raise ConfigError(where, f"no such product — {nearest(str(name), PRODUCTS)}")
    return PRODUCTS[name]

"""What a funnel makes: a timeline, or recommended notifications. A funnel's file says which by `product`.

A product is no code of its own: it names the actions that count, and the tables in which the platform logs what it
showed and what viewers did. Sources, features, runner, metrics and experiments are the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass

from funnel.core.actions import ACTIONS, PUSH_ACTIONS, Action


@dataclass(frozen=True)
class Product:
    """A product: its name, what viewers can do with what it shows, and where that is logged.

    shown, done: names of tables (`funnel.core.tables`); `done` has a column `impression`, a row of `shown`.
    default_funnel: the funnel that makes it where none is named; None for the world's own.
    """

    name: str
    actions: tuple[Action, ...]
    shown: str
    done: str
    default_funnel: str | None = None

    @property
    def action_names(self) -> tuple[str, ...]:
        """The names of the actions, in order."""
        return tuple(action.name for action in self.actions)

    @property
    def action_code(self) -> dict[str, int]:
        """The place of each action."""
        return {action.name: code for code, action in enumerate(self.actions)}


TIMELINE = Product("timeline", ACTIONS, "impressions", "engagements")
PUSH = Product("push", PUSH_ACTIONS, "notifications", "notification_actions", "push_2023")
PRODUCTS: dict[str, Product] = {product.name: product for product in (TIMELINE, PUSH)}

"""How long work reports that it goes on, without knowing who shows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """One running piece of work."""

    def advance(self, amount: int = 1) -> None:
        """Say that `amount` more of the total is done."""


class Progress(Protocol):
    """Where long work shows itself; `funnel.report` has one for the terminal."""

    def bar(self, label: str, total: int) -> AbstractContextManager[Bar]:
        """A context manager that gives a `Bar` of `total` units."""

    def note(self, text: str) -> None:
        """One line for the person who waits."""


class Silent:
    """A `Progress` that shows nothing: the default in the Python interface and in tests."""

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Bar]:
        """A bar that shows nothing."""
        yield _NoBar()

    def note(self, text: str) -> None:
        """Say nothing."""


class _NoBar:
    def advance(self, amount: int = 1) -> None:
        """Show nothing."""


SILENT: Progress = Silent()

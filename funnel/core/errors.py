"""Errors that say where something is wrong, what is wrong, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class FunnelError(Exception):
    """Base of every error this project raises on purpose.

    where: the thing that is wrong (a setting's path, a file, a stage).
    what: what is wrong and what would be right, without a full stop.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what

    def __reduce__(self) -> tuple[type[FunnelError], tuple[str, str]]:
        # Exceptions cross process borders by pickle, which replays `args`: ours are two.
        return type(self), (self.where, self.what)


class ConfigError(FunnelError):
    """A setting, a name or a YAML file is wrong."""


class DataError(FunnelError):
    """A table, a data set or a stored file is wrong."""


class ContractError(FunnelError):
    """A stage broke its contract (shape, dtype, finite values, what it may add)."""


class NotFittedError(FunnelError):
    """Something that learns was used before it learnt."""


class FunnelWarning(UserWarning):
    """Something is allowed but almost surely not meant, such as a stage that lets nothing through."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The clause "did you mean ...?" for an unknown name, or the list of names when none is close."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    if not names:
        return "there is none"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"known are: {shown}"

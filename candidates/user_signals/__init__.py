"""User signals: what a viewer did lately, of every kind in the same form, for the sources that start from it.

    found = signals_of(requests, ("tweet_favorite", "account_follow"), limit=15)
    found.request, found.kind, found.target, found.time_h      # newest first inside a request and kind

twitter/the-algorithm, user-signal-service/. `candidates.user_signals.kinds` lists the kinds with their rules.
"""

from __future__ import annotations

from candidates.user_signals.fetch import Signals, signals_of
from candidates.user_signals.kinds import KINDS, SIGNALS, SignalKind, checked

__all__ = ["KINDS", "SIGNALS", "SignalKind", "Signals", "checked", "signals_of"]

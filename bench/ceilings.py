"""What this machine can do at best, for the scripts of this folder; `funnel bench` measures the same."""

from __future__ import annotations

from funnel.bench.ceilings import READS, SIDE, best, ceilings, machine

__all__ = ["READS", "SIDE", "best", "ceilings", "machine"]

"""Whose timelines and at which moment: what people write on the command line, as viewers and hours."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from funnel.core import rng
from funnel.core.arrays import Ints
from funnel.core.errors import ConfigError, DataError
from funnel.core.world import WorldMeta

_SPAN = re.compile(r"(?:(?P<days>\d+(?:\.\d+)?)d)?(?:(?P<hours>\d+(?:\.\d+)?)h)?(?:(?P<minutes>\d+(?:\.\d+)?)m)?")
_FILE_LIMIT = 64 << 20  # bytes: several million ids


def moment(text: str, meta: WorldMeta) -> float:
    """Hours since the world's start, from "end", hours ("150.5"), a span ("2d6h", "6h30m") or an ISO time.

    An ISO time without a zone is UTC. Raises ConfigError for anything else and for a moment outside of the
    world's time.
    """
    at_h = _hours(text.strip(), meta)
    if at_h is None:
        raise ConfigError(f"--at {text}", "wants end, hours (150.5), a span since the start (2d6h) or an ISO time")
    if not 0 <= at_h <= meta.end_h:
        raise ConfigError(f"--at {text}", f"is hour {at_h:g}, outside of this world's time, 0 to {meta.end_h:g}")
    return at_h


def _hours(text: str, meta: WorldMeta) -> float | None:
    if text == "end":
        return meta.end_h
    span = _SPAN.fullmatch(text)
    if span is not None and text:
        days, hours, minutes = (float(part or 0) for part in span.groups())
        return days * 24 + hours + minutes / 60
    try:
        at_h = float(text)
    except ValueError:
        return _iso_hours(text, meta.epoch_unix_s)
    return at_h if math.isfinite(at_h) else None


def _iso_hours(text: str, epoch_unix_s: float) -> float | None:
    try:
        moment_of_day = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment_of_day.tzinfo is None:
        moment_of_day = moment_of_day.replace(tzinfo=UTC)
    return (moment_of_day.timestamp() - epoch_unix_s) / 3600


def one_viewer(viewer: int, meta: WorldMeta) -> int:
    """The viewer, or ConfigError with the range of known ones."""
    if not 0 <= viewer < meta.viewer_count:
        raise ConfigError(f"--viewer {viewer}", f"unknown — {_range(meta)}")
    return viewer


def many_viewers(text: str, meta: WorldMeta, *, seed: int) -> Ints:
    """int32 [R], ascending: "all", the number of viewers to sample, or a file of ids, one a line (# starts a comment).

    A sample depends on the seed alone, and a smaller one is part of a larger one.
    """
    if text == "all":
        return np.arange(meta.viewer_count, dtype=np.int32)
    if re.fullmatch(r"[+-]?\d+", text):
        return _sample(int(text), meta, seed)
    return _from_file(Path(text), meta)


def _sample(count: int, meta: WorldMeta, seed: int) -> Ints:
    if not 1 <= count <= meta.viewer_count:
        raise ConfigError(f"--viewers {count}", f"wants 1 to {meta.viewer_count}, the viewers of {meta.name!r}")
    everybody = np.arange(meta.viewer_count, dtype=np.int32)
    order = np.argsort(rng.hashed(seed, "sample of viewers", everybody), kind="stable")
    return np.sort(everybody[order[:count]])


def _from_file(path: Path, meta: WorldMeta) -> Ints:
    if not path.is_file():
        raise ConfigError(f"--viewers {path}", "wants a number, all, or a file that exists")
    if path.stat().st_size > _FILE_LIMIT:
        raise DataError(str(path), f"is larger than {_FILE_LIMIT >> 20} MB — one viewer's number a line is wanted")
    found: dict[int, int] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError(str(path), "is not text — one viewer's number a line is wanted") from None
    for number, line in enumerate(lines, start=1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        if not (word.isascii() and word.isdigit() and int(word) < meta.viewer_count):
            raise DataError(f"{path}, line {number}", f"{word[:40]!r} is no viewer — {_range(meta)}")
        if int(word) in found:
            raise DataError(f"{path}, line {number}", f"viewer {word} stands in line {found[int(word)]} already")
        found[int(word)] = number
    if not found:
        raise DataError(str(path), "names no viewer — one viewer's number a line is wanted")
    return np.array(sorted(found), dtype=np.int32)


def _range(meta: WorldMeta) -> str:
    return f"the viewers of {meta.name!r} are 0 to {meta.viewer_count - 1}"

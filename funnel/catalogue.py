"""What there is, as rows: stages with their settings and features with their rules. Lists and docs are made from it."""

from __future__ import annotations

import re
import sys
from dataclasses import MISSING, Field, fields
from typing import Any, cast

from funnel.compose import stage_classes
from funnel.features import FEATURES


def stage_rows() -> list[dict[str, object]]:
    """One row a stage or job: name, kind, what it does, where that is published, and its settings."""
    return [
        {
            "stage": name,
            "kind": kind.kind,
            "does": first_line(kind),
            "source": published_in(kind),
            "settings": [row["setting"] for row in setting_rows(kind)],
        }
        for name, kind in stage_classes().items()
    ]


def feature_rows() -> list[dict[str, object]]:
    """One row a feature."""
    return [
        {"feature": one.name, "group": one.group, "unit": one.unit, "meaning": one.meaning, "rule": one.rule}
        for one in sorted(FEATURES.values(), key=lambda one: (one.group, one.name))
    ]


def setting_rows(kind: type) -> list[dict[str, str]]:
    """One row a setting of a stage: name, type, default, meaning with its bounds."""
    return [
        {"setting": one.name, "type": str(one.type), "default": _default(one), "meaning": _meaning(one)}
        for one in fields(kind)
        if one.init
    ]


def first_line(kind: type) -> str:
    """What a stage says about itself."""
    return (kind.__doc__ or "").strip().split("\n")[0].rstrip(".")


def published_in(kind: type) -> str:
    """The first source that a stage's module names, "" if it is of our own making."""
    text = " ".join((sys.modules[kind.__module__].__doc__ or "").split()).replace("/ ", "/")
    _, named, rest = text.partition("Source: ")
    # Up to the file, or to the end of the first clause where no file is named.
    found = re.match(r"[^;:]*?\.(?:scala|rs|md|py)\b|[^;:]*?(?=[;:] |\. |\.?$)", rest)
    return found.group() if named and found else ""


def _info(one: Field[Any]) -> Any:
    """pydantic's FieldInfo, where the setting was declared with one."""
    return one.default if type(one.default).__name__ == "FieldInfo" else None


def _default(one: Field[Any]) -> str:
    info = _info(one)
    value = info.get_default(call_default_factory=True) if info is not None else one.default
    if value is MISSING:
        value = one.default_factory() if one.default_factory is not MISSING else "–"
    return "" if value is None else str(value)


def _meaning(one: Field[Any]) -> str:
    info = _info(one)
    if info is None:
        return ""
    bounds = [
        f"{sign} {getattr(rule, attribute):g}"
        for rule in info.metadata
        for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if getattr(rule, attribute, None) is not None
    ]
    text = cast(str, info.description or "")
    return f"{text} ({', '.join(bounds)})" if bounds else text

"""What differs between two funnels, in words: stages that only one has, stages elsewhere in the order, settings.

    >>> differences("twitter_2023_03", "twitter_2023")         # plain data
    >>> words(differences("twitter_2023_03", "twitter_2023"))  # sentences

A setting counts with its default filled in, so that two files which say the same in different ways do not differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TypedDict

from funnel.compose import Slot, product_of, read_slots

_ABOUT_ITSELF = ("name", "use")


class OnlyOne(TypedDict):
    """A stage or job that one of the two has."""

    stage: str
    kind: str
    after: str | None


class Moved(TypedDict):
    """A stage of both whose place in the order differs: what stands directly before it in each."""

    stage: str
    after_in_a: str | None
    after_in_b: str | None


class Changed(TypedDict):
    """A setting that differs; None where it is not set at all (the runner's own, as `quota`)."""

    stage: str
    setting: str
    a: object
    b: object


class Differences(TypedDict):
    """Everything that differs from funnel `a` to funnel `b`."""

    a: str
    b: str
    same: bool
    only_in_a: list[OnlyOne]
    only_in_b: list[OnlyOne]
    moved: list[Moved]
    changed: list[Changed]


def differences(a: str, b: str, *, settings_a: Sequence[str] = (), settings_b: Sequence[str] = ()) -> Differences:
    """Compare two funnels by name or YAML file; settings are "stage.field=value", as after `--set`.

    Raises ConfigError for a funnel that cannot be read.
    """
    first, second = read_slots(a, settings=settings_a), read_slots(b, settings=settings_b)
    made = [product_of(name).name for name in (a, b)]
    found: Differences = {
        "a": a, "b": b, "same": True, "only_in_a": [], "only_in_b": [], "moved": [], "changed": [],
    }  # fmt: skip
    if made[0] != made[1]:
        found["changed"].append({"stage": "funnel", "setting": "product", "a": made[0], "b": made[1]})
    for old, new in zip(first[1:], second[1:], strict=True):  # jobs, then stages
        _compare(found, old, new)
    found["same"] = not (found["only_in_a"] or found["only_in_b"] or found["moved"] or found["changed"])
    return found


def _compare(found: Differences, old: Sequence[Slot], new: Sequence[Slot]) -> None:
    names_a, names_b = [slot.name for slot in old], [slot.name for slot in new]
    for names, slots, others, only in (
        (names_a, old, names_b, found["only_in_a"]),
        (names_b, new, names_a, found["only_in_b"]),
    ):
        for slot in slots:
            if slot.name not in others:
                only.append({"stage": slot.name, "kind": slot.part.kind, "after": _before(names, slot.name)})
    common_a = [name for name in names_a if name in names_b]
    common_b = [name for name in names_b if name in names_a]
    matcher = SequenceMatcher(a=common_a, b=common_b, autojunk=False)
    kept = {name for match in matcher.get_matching_blocks() for name in common_a[match.a : match.a + match.size]}
    for name in common_b:
        if name not in kept:
            found["moved"].append(
                {"stage": name, "after_in_a": _before(names_a, name), "after_in_b": _before(names_b, name)}
            )
        _compare_settings(found, old[names_a.index(name)], new[names_b.index(name)])


def _compare_settings(found: Differences, old: Slot, new: Slot) -> None:
    if type(old.part) is not type(new.part):
        found["changed"].append({"stage": new.name, "setting": "use", "a": old.use, "b": new.use})
        return
    a, b = _flat(old.describe()), _flat(new.describe())
    for setting in dict.fromkeys((*a, *b)):
        if a.get(setting) != b.get(setting) and setting not in _ABOUT_ITSELF:
            found["changed"].append({"stage": new.name, "setting": setting, "a": a.get(setting), "b": b.get(setting)})


def _flat(settings: object, path: str = "") -> dict[str, object]:
    """Settings inside mappings by their path, `weights.reply`."""
    if not isinstance(settings, dict):
        return {path: settings}
    return {
        key: value
        for name, inner in settings.items()
        for key, value in _flat(inner, f"{path}.{name}" if path else str(name)).items()
    }


def _before(names: Sequence[str], name: str) -> str | None:
    place = list(names).index(name)
    return names[place - 1] if place else None


def rows(found: Differences) -> list[dict[str, object]]:
    """One row a difference: what (only in a, only in b, moved, changed), stage, setting, and what a and b have."""
    only = [("only in a", entry) for entry in found["only_in_a"]] + [
        ("only in b", entry) for entry in found["only_in_b"]
    ]
    table: list[dict[str, object]] = [{"what": what, **_row(entry["stage"])} for what, entry in only]
    for moved in found["moved"]:
        sides = {"a": f"after {moved['after_in_a']}", "b": f"after {moved['after_in_b']}"}
        table.append({"what": "moved", **_row(moved["stage"]), **sides})
    for changed in found["changed"]:
        table.append(
            {"what": "changed", **_row(changed["stage"], changed["setting"]), "a": changed["a"], "b": changed["b"]}
        )
    return table


def _row(stage: str, setting: str | None = None) -> dict[str, object]:
    return {"stage": stage, "setting": setting, "a": None, "b": None}


def words(found: Differences) -> list[str]:
    """The differences as sentences, from `a` to `b`."""
    a, b = found["a"], found["b"]
    if found["same"]:
        return [f"{a} and {b} are the same funnel: same stages, same order, same settings"]
    lines = [f"{b} has no {one['stage']} ({one['kind']})" for one in found["only_in_a"]]
    lines += [f"{b} adds {one['stage']} ({one['kind']}){_where(one['after'])}" for one in found["only_in_b"]]
    lines += [
        f"{one['stage']} moves: in {a} it stands{_where(one['after_in_a'])}, in {b}{_where(one['after_in_b'])}"
        for one in found["moved"]
    ]
    lines += [f"{one['stage']}.{one['setting']}: {_plain(one['a'])} → {_plain(one['b'])}" for one in found["changed"]]
    return lines


def _where(after: str | None) -> str:
    return " first" if after is None else f" after {after}"


def _plain(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)

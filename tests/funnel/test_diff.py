"""What differs between two funnels, in words and as data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from funnel.compose import funnel_names
from funnel.core.errors import ConfigError
from funnel.diff import differences, words

ROOT = Path(__file__).parents[2]


def _file(tmp_path: Path, name: str, text: str) -> str:
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", funnel_names())
def test_a_funnel_does_not_differ_from_itself(name: str) -> None:
    found = differences(name, name)
    assert found["same"]
    assert words(found) == [f"{name} and {name} are the same funnel: same stages, same order, same settings"]


def test_a_default_that_is_written_out_is_no_difference(tmp_path: Path) -> None:
    same = _file(tmp_path, "same", "extends: twitter_2023\nsettings: {author_diversity: {decay: 0.5}}\n")
    assert differences("twitter_2023", same)["same"]


def test_each_kind_of_difference_is_said_in_words(tmp_path: Path) -> None:
    a = _file(tmp_path, "a", "stages:\n- thunder\n- own_tweets\n- too_old\n- recency_value\n- replies\n- top_k\n")
    b = _file(
        tmp_path,
        "b",
        "stages:\n- thunder: {quota: 100}\n- too_old: {max_age_h: 24}\n- own_tweets\n- random_value\n"
        "- creators\n- top_k\n",
    )
    found = differences(a, b)
    assert words(found) == [
        f"{b} has no recency_value (scorer)",
        f"{b} has no replies (boost)",
        f"{b} adds random_value (scorer) after own_tweets",
        f"{b} adds creators (boost) after random_value",
        f"too_old moves: in {a} it stands after own_tweets, in {b} after thunder",
        "thunder.quota: not set → 100",
        "too_old.max_age_h: 48 → 24",
    ]


def test_a_weight_inside_a_mapping_is_named_by_its_path() -> None:
    found = differences("oracle", "oracle", settings_b=["oracle_value.weights.reply=1"])
    assert found["changed"] == [{"stage": "oracle_value", "setting": "weights.reply", "a": 13.5, "b": 1.0}]


def test_turning_the_comparison_around_turns_the_answer_around() -> None:
    there, back = differences("twitter_2023", "x_2026"), differences("x_2026", "twitter_2023")
    assert there["only_in_a"] == back["only_in_b"]
    assert there["only_in_b"] == back["only_in_a"]
    settings = [(one["stage"], one["setting"], one["a"], one["b"]) for one in there["changed"]]
    assert sorted(map(str, settings)) == sorted(
        str((one["stage"], one["setting"], one["b"], one["a"])) for one in back["changed"]
    )


def test_march_and_july_differ_in_what_is_published() -> None:
    changed = {(one["stage"], one["setting"]): (one["a"], one["b"]) for one in _march_to_july()["changed"]}
    assert changed["out_of_network", "scale"] == (0.75, 1.0)
    assert changed["blue_verified", "originals_only"] == (False, True)
    assert changed["author_diversity", "rank_by"] == ("score", "value")
    assert changed["value", "good_click"] == ("separate", "max")
    added = {one["stage"] for one in _march_to_july()["only_in_b"]}
    assert added == {
        "replies", "creators", "subscription_reply", "social_context", "duplicate_conversations",
        "support_account_replies", "network_caps",
        "simclusters_ann", "twhin_ann", "lists", "popular_videos", "backfill",
    }  # fmt: skip
    assert [one["stage"] for one in _march_to_july()["only_in_a"]] == ["drop_max"]
    assert changed["feedback_fatigue", "behaviour"] == ("as_intended", "as_released")


def _march_to_july():  # type: ignore[no-untyped-def]
    return differences("twitter_2023_03", "twitter_2023")


def test_an_unknown_funnel_is_named_with_its_neighbour() -> None:
    with pytest.raises(ConfigError, match="did you mean 'twitter_2023'"):
        differences("twitter_2032", "blog")


def test_the_command_prints_sentences_or_json() -> None:
    command = [sys.executable, "-m", "funnel", "diff", "blog", "twitter_2023"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)  # noqa: S603
    assert "twitter_2023 adds blue_verified (boost) after replies" in said.stdout
    plain = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=ROOT, check=True)  # noqa: S603
    assert json.loads(plain.stdout) == json.loads(json.dumps(differences("blog", "twitter_2023")))

"""A funnel's YAML says what happens; what it says wrongly is named with its path and its neighbour."""

from __future__ import annotations

from pathlib import Path

import pytest

from funnel.compose import builder, funnel_names, load_funnel, stage_classes
from funnel.core.errors import ConfigError
from tests.laws.funnels import world_of
from tests.support import mini_world

GOOD = """
about: two sources of popular things
jobs: [real_graph]
stages:
  - in_network: {quota: 50}
  - own_tweets
  - value_of_nothing: {use: "tests.laws.funnels:Taste"}
  - author_diversity: {decay: 0.4}
  - top_k: {size: 5}
"""


def compose(tmp_path: Path, text: str, *settings: str, name: str = "mine.yaml"):  # type: ignore[no-untyped-def]
    path = tmp_path / name
    path.write_text(text)
    return load_funnel(str(path), world_of(mini_world()), settings=settings)


def good(tmp_path: Path, *settings: str):  # type: ignore[no-untyped-def]
    text = GOOD.replace(
        '  - value_of_nothing: {use: "tests.laws.funnels:Taste"}', '  - {use: "tests.laws.funnels:Taste"}'
    )
    return compose(tmp_path, text, *settings)


@pytest.mark.parametrize("name", funnel_names())
def test_every_shipped_funnel_composes_and_its_config_composes_again(name: str) -> None:
    funnel = load_funnel(name, world_of(mini_world()))
    assert funnel.about
    assert funnel.hash == load_funnel(name, world_of(mini_world())).hash


def test_settings_change_a_field_and_a_runner_key(tmp_path: Path) -> None:
    funnel = good(tmp_path, "author_diversity.decay=0.9", "in_network.quota=7")
    stages = {stage["name"]: stage for stage in funnel.config["stages"]}
    assert stages["author_diversity"]["decay"] == 0.9
    assert stages["in_network"]["quota"] == 7
    assert funnel.hash != good(tmp_path).hash


def test_a_child_changes_and_leaves_out_what_it_inherits(tmp_path: Path) -> None:
    child = tmp_path / "child.yaml"
    child.write_text("extends: twitter_2023\nsettings: {light_ranker: {keep: 100}}\nwithout: [replies]\n")
    base = load_funnel("twitter_2023", world_of(mini_world()))
    funnel = load_funnel(str(child), world_of(mini_world()))
    assert [slot.name for slot in funnel.stages] == [slot.name for slot in base.stages if slot.name != "replies"]
    assert next(slot.keep for slot in funnel.stages if slot.name == "light_ranker") == 100


def test_a_child_puts_stages_behind_one_of_its_base_and_so_moves_them(tmp_path: Path) -> None:
    text = "extends: {base}\nwithout: [own_tweets]\nafter:\n  author_diversity: [replies: {{scale: 0.5}}]\n"
    base = tmp_path / "base.yaml"
    good(tmp_path)
    base.write_text((tmp_path / "mine.yaml").read_text())
    funnel = compose(tmp_path, text.format(base=base), name="child.yaml")
    assert [slot.name for slot in funnel.stages] == ["in_network", "Taste", "author_diversity", "replies", "top_k"]
    moved = f"extends: {base}\nwithout: [own_tweets]\nafter:\n  top_k: [own_tweets]\n"
    assert [slot.name for slot in compose(tmp_path, moved, name="moved.yaml").stages][-2:] == ["top_k", "own_tweets"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("extends: twitter_2023\nafter: {nobody: [conversation_dedup]}", "no such stage here"),
        ("extends: twitter_2023\nafter: {replies: [too_old]}", "there already — list it in `without`"),
        ("extends: twitter_2023\nafter: {twhin: [own_tweets]}\nwithout: [own_tweets]", "is a batch job"),
        ("extends: twitter_2023\nafter: {ads: [conversation_dedup]}", "must come before the first mixer"),
        ("extends: twitter_2023\nafter: {in_network: [replies]}\nwithout: [replies]", "must come"),
        ("extends: twitter_2023\nafter: [replies]", "wants `field: value` pairs"),
        ("", "empty|mapping"),
        ("- a\n- b\n", "mapping"),
        ("stages: [", "YAML"),
        ("stages: {in_network: 1}", "wants a list of stages"),
        ("stages: []", "has no stages"),
        ("stages: [in_netwrok]", "did you mean 'in_network'"),
        ("stages: [[1, 2]]", "wants `stage`"),
        ("stage: [in_network]", "did you mean 'stages'"),
        ("extends: twitter_2032", "did you mean 'twitter_2023'"),
        ("extends: mine.yaml", "mine.yaml"),
        ("stages: [in_network, in_network]", "stands there twice"),
        ("extends: twitter_2023\nsettings: {author_diversty: {decay: 0.5}}", "did you mean 'author_diversity'"),
        ("extends: twitter_2023\nsettings: {author_diversity: {decai: 0.5}}", "did you mean 'decay'"),
        ("extends: twitter_2023\nsettings: {author_diversity: {decay: 3}}", "author_diversity.decay"),
        ("extends: twitter_2023\nsettings: {author_diversity: {keep: 3}}", "a boost has no `keep`"),
        ("extends: twitter_2023\nsettings: {light_ranker: {keep: 0}}", "at least 1"),
        ("extends: twitter_2023\nwithout: [everything]", "no such stage here"),
        ("extends: twitter_2023\nwithout: [value]", "must come after the stage that adds `value`"),
        ("extends: twitter_2023\njobs: [simclusters, twhin]", "add 'real_graph' to `jobs:`"),
        ('stages: [{use: "os:system"}]', "is no stage"),
        ('stages: [{use: "no_such_package:Stage"}]', "cannot be imported"),
    ],
)
def test_a_wrong_file_is_refused_with_its_reason(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        compose(tmp_path, text)


@pytest.mark.parametrize(
    "setting", ["decay=0.5", "author_diversity.decay", "nobody.decay=1", "author_diversity.decay=["]
)
def test_a_wrong_setting_is_refused(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ConfigError):
        good(tmp_path, setting)


def test_a_file_of_ten_megabytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MB"):
        compose(tmp_path, "#" * 10_000_000)


def test_a_missing_file_and_an_unknown_kind_of_world_are_refused() -> None:
    with pytest.raises(ConfigError):
        load_funnel("no/such/file.yaml", world_of(mini_world()))
    with pytest.raises(ConfigError, match="did you mean 'generated'"):
        builder("generatd")


def test_every_stage_can_be_named() -> None:
    found = stage_classes()
    assert {"in_network", "light_ranker", "heavy_ranker", "value", "author_diversity", "top_k", "real_graph"} <= set(
        found
    )

"""The documentation is current, complete, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from funnel.catalogue import setting_rows
from funnel.compose import funnel_names, stage_classes
from funnel.features import FEATURES

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py, which is no package."""
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current(generate: ModuleType) -> None:
    stale = [path.name for path, text in generate.pages().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = [link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8"))]
    missing = [link for link in links if link and "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_every_stage_and_setting_is_documented() -> None:
    text = (ROOT / "docs" / "stages.md").read_text(encoding="utf-8")
    for name, stage in stage_classes().items():
        assert f"### {name}\n" in text
        for row in setting_rows(stage):
            assert row["meaning"], f"{name}.{row['setting']} has no description"


def test_every_feature_is_documented() -> None:
    text = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    for name, feature in FEATURES.items():
        assert f"| {name} |" in text
        assert feature.meaning, name


def test_commands_and_targets_of_the_readme_exist(generate: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^    |`)make (\w+)", readme, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for line in re.findall(r"^    funnel (.+?)(?: +#.*)?$", readme, re.MULTILINE):
        words = line.split()
        command = " ".join(words[: 2 if words[0] in ("world", "list") else 1])
        said = generate.help_of(command)
        for option in re.findall(r"--[a-z-]+", line):
            assert option in said, f"{command} {option}"


def test_every_adr_says_context_choice_and_price() -> None:
    for page in (ROOT / "docs" / "adr").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert re.fullmatch(r"\d{3}-[a-z0-9-]+\.md", page.name)
        for part in ("**Context.**", "**Choice.**", "**Price.**"):
            assert part in text, page.name


def test_the_shipped_funnels_are_mentioned() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in funnel_names() if name not in text] == []

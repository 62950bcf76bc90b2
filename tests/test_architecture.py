"""The layers hold, and nobody pays for an import that they do not use."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("funnel", "candidates", "light_ranker", "heavy_ranker", "heuristics", "synthetic")
RANKING = ("candidates", "light_ranker", "heavy_ranker", "heuristics")
# What takes long to import: seconds for torch, tenths of a second for each of the others.
HEAVY = ("torch", "sklearn", "scipy", "faiss", "polars", "numba", "networkx", "tensorboard", "pyarrow")


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603


def _imported_by(statement: str, names: tuple[str, ...]) -> list[str]:
    """Which of the packages are loaded after a statement in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {names!r} if name in sys.modules])"
    done = _python(code)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def _sources(packages: tuple[str, ...]) -> Iterator[tuple[str, ast.Module]]:
    for package in packages:
        for file in sorted((ROOT / package).rglob("*.py")):
            yield str(file.relative_to(ROOT)), ast.parse(file.read_text(encoding="utf-8"))


def _stage_modules() -> list[str]:
    kinds = {"Source", "Filter", "Scorer", "Boost", "Selector", "Mixer", "BatchJob"}
    return [
        file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for file, tree in _sources(RANKING)
        for node in tree.body
        if isinstance(node, ast.ClassDef) and kinds & {_dotted(base) for base in node.bases}
    ]


def _dotted(node: ast.AST) -> str:
    """`np.random.rand` of the expression that says so, "" of any other."""
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


def test_every_shipped_package_has_stages_to_look_at() -> None:
    assert {module.split(".")[0] for module in _stage_modules()} == set(RANKING)


def test_the_contracts_between_layers_hold() -> None:
    done = _python("from importlinter.cli import lint_imports_command; lint_imports_command()")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["funnel", "funnel.cli"])
def test_the_public_interface_and_the_command_line_load_nothing_heavy(module: str) -> None:
    assert _imported_by(f"import {module}", HEAVY) == []


def test_core_loads_neither_pydantic_nor_polars() -> None:
    statement = "import funnel.core.stage, funnel.core.world, funnel.core.segments, funnel.core.tables"
    assert _imported_by(statement, ("pydantic", "polars", "torch", "sklearn")) == []


def test_a_timeline_is_served_without_loading_torch_or_sklearn() -> None:
    # Every module that defines a stage or a job, the features and the runner: what a funnel loads to serve.
    modules = ["funnel.pipeline", "funnel.features", *_stage_modules()]
    assert _imported_by(f"import {', '.join(modules)}", ("torch", "sklearn", "tensorboard", "networkx")) == []


def test_nobody_draws_from_global_randomness() -> None:
    allowed = {"np.random.Generator", "np.random.Philox"}  # types, and the one place that makes generators
    found = []
    for file, tree in _sources(PACKAGES):
        for node in ast.walk(tree):
            name = _dotted(node)
            if name.startswith(("np.random.", "numpy.random.")) and name not in allowed:
                found.append(f"{file}: {name}")
            if isinstance(node, ast.Import) and any(alias.name == "random" for alias in node.names):
                found.append(f"{file}: import random")
    assert found == []


def test_nobody_who_ranks_knows_the_oracle() -> None:
    found = [
        f"{file}: {alias.name}"
        for file, tree in _sources(RANKING)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in ("Oracle", "WorldData", "WorldTables")
    ]
    assert found == []


def test_stages_neither_print_nor_read_a_clock() -> None:
    forbidden = {"print", "input", "time.time", "datetime.now", "datetime.datetime.now"}
    found = [
        f"{file}: {_dotted(node.func)}"
        for file, tree in _sources((*RANKING, "synthetic"))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _dotted(node.func) in forbidden
    ]
    assert found == []


def test_every_module_says_what_it_is() -> None:
    assert [file for file, tree in _sources(PACKAGES) if not ast.get_docstring(tree)] == []


_LOCAL = re.compile(r"(?<![\w.:/…])/(?:home|root|opt|mnt|srv|tmp|Users)/")


def test_public_text_names_no_path_of_one_machine() -> None:
    found = [
        f"{file}: {node.value[:60]!r}"
        for file, tree in _sources(PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _LOCAL.search(node.value)
    ]
    assert found == []

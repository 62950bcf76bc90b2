"""The command `funnel study`; `funnel.cli` registers it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funnel.core.errors import ConfigError

if TYPE_CHECKING:
    from funnel.experiment.study import Study


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(study)


def study(
    names: Annotated[list[str] | None, typer.Argument(help="Studies, by name or YAML file; `all` for all.")] = None,
    *,
    list_: Annotated[bool, typer.Option("--list", help="List the studies that there are.")] = False,
    viewers: Annotated[int | None, typer.Option("--viewers", help="Viewers of each group.")] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Whole worlds of a study that lives through days.")
    ] = None,
    days: Annotated[int | None, typer.Option("--days", help="Days of a study that lives through days.")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="factor=level,level: not all levels. Can be repeated.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The small version: minutes, on the world tiny.")] = False,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the pages: NAME.md, NAME.svg, NAME.json, index.md.")
    ] = Path("runs/studies"),
    cells: Annotated[
        Path | None, typer.Option("--cells", help="Folder to keep what was computed in; in the cache if not given.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of viewers, reactions and worlds.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else.")] = False,
) -> None:
    """Run shipped experiments and write their pages; what is there is not computed again."""
    from funnel.experiment.study import load_study, study_names

    if list_:
        _list([load_study(name) for name in study_names()], as_json=as_json)
        return
    if not names:
        raise ConfigError("funnel study", "wants the name of a study, or --list")
    chosen = study_names() if names == ["all"] else names
    if cells is not None and len(chosen) > 1:
        raise ConfigError("--cells", "holds one study — name one")
    asked = [_asked(load_study(name), viewers, seeds, days, only, quick=quick) for name in chosen]
    from funnel.experiment.study_run import run_study
    from funnel.report import TerminalProgress

    progress = TerminalProgress()
    for name, one in zip(chosen, asked, strict=True):
        try:
            found = run_study(one, folder=cells, quick=quick, seed=seed, progress=progress)
        except KeyboardInterrupt:
            progress.note(f"interrupted: what is done of {one.name} is kept, and the same command goes on from there")
            raise
        content = {"file": name if name.endswith((".yaml", ".yml")) else one.name, **found.as_json()}
        content["asked"] = {"viewers": one.viewers, "seeds": one.seeds, "days": one.days}
        if only:
            content["only"] = {factor.name: [level.name for level in factor.levels] for factor in one.factors}
        _write(out, one, content)
        if as_json:
            sys.stdout.write(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
        else:
            _show(one, content, out)
        sys.stdout.flush()


def _asked(
    study: Study, viewers: int | None, seeds: int | None, days: int | None, only: Sequence[str] | None, *, quick: bool
) -> Study:
    """The study with what the command line changes; ConfigError for what does not fit it."""
    for option, number in (("--viewers", viewers), ("--seeds", seeds), ("--days", days)):
        if number is not None and number < 1:
            raise ConfigError(option, f"wants a whole number of at least 1, got {number}")
    made = study.quickly() if quick else study
    for option, wanted in (("--seeds", seeds), ("--days", days)):
        if wanted is not None and made.days is None:
            raise ConfigError(option, f"{study.name!r} looks at one moment — it pairs viewers instead")
    given = {"viewers": viewers, "seeds": seeds, "days": days}
    made = replace(made, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    chosen: dict[str, object] = {}
    for one in only or ():
        factor, equals, levels = one.partition("=")
        if not equals:
            raise ConfigError(f"--only {one}", "wants factor=level,level")
        chosen[factor] = levels.split(",")
    return made.only(chosen)


def _write(out: Path, study: Study, content: dict[str, object]) -> None:
    from funnel.experiment.study_page import index, page
    from funnel.experiment.study_plot import plot
    from funnel.store import read_json, write_atomically

    written = json.loads(json.dumps(content, allow_nan=False))
    texts = {
        f"{study.name}.json": json.dumps(written, ensure_ascii=False, separators=(",", ":")) + "\n",
        f"{study.name}.svg": plot(written, study),
        f"{study.name}.md": page(written, study),
    }
    for name, text in texts.items():
        write_atomically(out / name, lambda partial, text=text: partial.write_text(text, encoding="utf-8"))  # type: ignore[misc]
    every = {path.stem: read_json(path) for path in sorted(out.glob("*.json"))}
    listed = index({name: found for name, found in every.items() if {"study", "rows", "levels"} <= set(found)})
    write_atomically(out / "index.md", lambda partial: partial.write_text(listed, encoding="utf-8"))


def _show(study: Study, content: dict[str, object], out: Path) -> None:
    from funnel.experiment.study_page import sentences

    sys.stdout.write(f"{study.name}: {study.question}\n")
    for line in sentences(json.loads(json.dumps(content)), study):
        sys.stdout.write(f"  - {line.replace('**', '')}\n")
    sys.stdout.write(f"{out / study.name}.md\n")


def _list(studies: Sequence[Study], *, as_json: bool) -> None:
    rows = [
        {
            "study": one.name,
            "about": one.about,
            "factors": ", ".join(f"{f.name} ({len(f.levels)})" for f in one.factors),
            "metrics": len(one.metrics),
            "world": one.world if isinstance(one.world, str) else "its own",
        }
        for one in studies
    ]
    if as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False) + "\n")
        return
    from funnel.report import console, rows_table

    console().print(rows_table(rows, title="Studies"))

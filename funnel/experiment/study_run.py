"""Runs a study: every cell once, kept in a folder, and then held against the base of its factor.

    FOLDER/manifest.json                       which study this is
    FOLDER/cells/<cell>-<key>.safetensors      the `Outcome` of a cell; the key names everything that it depends on
    FOLDER/loops/<cell>-<key>/                 a world lived through (`funnel.loop`), which goes on after its last day
    FOLDER/references/<key>/                   chronological pages, pages by lot and the best pages of the viewers

A cell that is there is not computed again, so that an interrupted study goes on and a study with one more level costs
one more level. Cells of one world whose batch jobs are alike share what sources retrieve and rankers score
(`funnel.experiment.memory`).
"""

from __future__ import annotations

import warnings
from pathlib import Path

from funnel.core.errors import FunnelWarning
from funnel.core.progress import SILENT, Progress
from funnel.experiment.folder import claim
from funnel.experiment.study import Study
from funnel.experiment.study_lives import Lives
from funnel.experiment.study_pages import Pages
from funnel.experiment.study_work import Findings
from funnel.store import home


def run_study(
    study: Study, *, folder: Path | None = None, quick: bool = False, seed: int = 0, progress: Progress = SILENT
) -> Findings:
    """Run what is not there yet, and compare. folder: where cells are kept; in the cache if not given.

    seed: of viewers and reactions. ConfigError if the folder is another study's.
    """
    place = folder if folder is not None else home() / "studies" / study.name
    claim(place, {"experiment": "study", "study": study.name})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FunnelWarning)  # levels are meant to be odd
        run = Lives if study.days is not None else Pages
        return run(study, place, quick, seed, progress).findings()

"""Compare this implementation with numbers of the published one, fixture by fixture.

A fixture is a JSON file (configuration, expected scalars) and, where it needs arrays, an .npz of the same
name. What it is about is told from the keys of its JSON, never from its name:

    masknet_config    MaskNet: masks, blocks, outputs, gradients      model_config  a whole model, and its training
    variants          feature transform, step by step                 layer_sizes   a tower, in serving and training
    cases + logits    losses and their gradients                      cases + steps learning-rate schedules
    cases with p      numeric calibration                             cases with predictions   RCE, NRCE, AUC
    x + y_f32         the logarithm                                   D + filters   ClemNet, layer by layer

The error of a number is |ours - theirs| / (1 + |theirs|); a fixture's error is the largest of all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from funnel.core.arrays import Array
from funnel.core.errors import DataError

FORWARD = 1e-5  # float32 outputs: a few roundings of 24 bits through a dozen layers
GRADIENT = 1e-4  # float32 gradients and what training makes of them
DOUBLE = 1e-10  # float64 outputs
STREAMED = 5e-5  # metrics times 100 that the published code sums up in float32

Fixture = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One comparison: what, the largest relative error, and how large it may be."""

    what: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the error is within its tolerance; NaN never is."""
        return self.error <= self.tolerance


@dataclass
class Report:
    """What one fixture says: its kind and findings; without findings, the note says why."""

    fixture: str
    kind: str
    note: str = ""
    findings: list[Finding] = field(default_factory=list)

    def compare(self, what: str, ours: Tensor | ArrayLike, theirs: Tensor | ArrayLike, tolerance: float) -> None:
        """Add a finding."""
        self.findings.append(Finding(what, difference(ours, theirs), tolerance))

    @property
    def error(self) -> float:
        """The largest relative error; infinite if there was nothing to compare."""
        return max((finding.error for finding in self.findings), default=math.inf)

    @property
    def ok(self) -> bool:
        """Whether there are findings, all within their tolerance."""
        return bool(self.findings) and all(finding.ok for finding in self.findings)

    def rows(self) -> list[dict[str, object]]:
        """The largest error per tolerance, a row each; a row without an error if there was nothing to compare."""
        about: dict[str, object] = {"fixture": self.fixture, "kind": self.kind}
        rows: list[dict[str, object]] = []
        for tolerance in sorted({finding.tolerance for finding in self.findings}):
            same = [finding for finding in self.findings if finding.tolerance == tolerance]
            worst = max(finding.error for finding in same)
            said = "ok" if all(finding.ok for finding in same) else "OVER"
            shown = worst if math.isfinite(worst) else None
            rows.append({**about, "compared": len(same), "worst_error": shown, "tolerance": tolerance, "verdict": said})
        return rows or [{**about, "compared": 0, "worst_error": None, "tolerance": None, "verdict": "OVER"}]

    def as_json(self) -> dict[str, object]:
        """Everything as plain data; an infinite error (NaN, another shape) is None."""
        findings = [
            {"what": f.what, "error": f.error if math.isfinite(f.error) else None, "tolerance": f.tolerance, "ok": f.ok}
            for f in self.findings
        ]
        worst = self.error if math.isfinite(self.error) else None
        about = {"fixture": self.fixture, "kind": self.kind, "ok": self.ok}
        return {**about, "worst_error": worst, "note": self.note, "findings": findings}


def check(path: Path | str) -> float:
    """The worst relative error of a fixture (its JSON, its .npz or their common stem), or of a folder of fixtures.

    DataError if there is no fixture or one cannot be read.
    """
    where = Path(path)
    reports = check_folder(where) if where.is_dir() else [check_fixture(where)]
    return max(report.error for report in reports)


def check_folder(folder: Path | str) -> list[Report]:
    """A report of every fixture in a folder, by name; one that cannot be read is a failure that says why."""
    where = Path(folder)
    if not where.is_dir():
        raise DataError(str(where), "is no folder")
    found = sorted(where.glob("*.json"))
    if not found:
        raise DataError(str(where), "holds no fixture (a .json file)")
    reports = []
    for file in found:
        try:
            reports.append(check_fixture(file))
        except DataError as error:
            reports.append(Report(file.stem, "unreadable", error.what))
    return reports


def check_fixture(path: Path | str) -> Report:
    """The report of one fixture."""
    from heavy_ranker import parity_networks, parity_numbers

    file = _json_of(Path(path))
    fixture = _read(file)
    kind = _kind(fixture)
    if kind is None:
        raise DataError(str(file), f"is no fixture that we know: its keys are {', '.join(sorted(fixture)[:8])}")
    report = Report(file.stem, kind)
    arrays = _arrays(file.with_suffix(".npz"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if kind in parity_numbers.CHECKS:
            parity_numbers.CHECKS[kind](fixture, report)
        else:
            parity_networks.CHECKS[kind](fixture, arrays, report)
    except DataError as error:
        raise DataError(str(file), error.what) from None
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise DataError(str(file), f"is a broken fixture of kind {kind}: {type(error).__name__}: {error}") from None
    finally:
        torch.set_num_threads(threads)
    return report


def difference(ours: Tensor | ArrayLike, theirs: Tensor | ArrayLike) -> float:
    """Largest |ours - theirs| / (1 + |theirs|); infinite where only one is NaN or where shapes differ."""
    a, b = _double(ours), _double(theirs)
    if a.shape != b.shape:
        return math.inf
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        gaps = np.where(same, 0.0, np.abs(a - b) / (1 + np.abs(b)))
    return float(np.where(np.isnan(gaps), np.inf, gaps).max(initial=0.0))


def _double(values: Tensor | ArrayLike) -> Array:
    found = values.detach().numpy() if isinstance(values, Tensor) else values
    return np.asarray(found, dtype=np.float64)


def _kind(fixture: Fixture) -> str | None:
    keys = set(fixture)
    first: Fixture = next(iter(fixture["cases"]), {}) if isinstance(fixture.get("cases"), list) else {}
    told: Iterable[tuple[str, bool]] = (
        ("model", "model_config" in keys),
        ("masknet", "masknet_config" in keys),
        ("transform", "variants" in keys),
        ("clemnet", {"D", "filters"} <= keys),
        ("mlp", "layer_sizes" in keys),
        ("losses", {"logits", "labels", "cases"} <= keys),
        ("schedules", {"steps", "cases"} <= keys),
        ("calibration", "neg_downsampling_rate" in first),
        ("metrics", "predictions" in first),
        ("logarithm", {"x", "y_f32"} <= keys),
    )
    return next((kind for kind, is_it in told if is_it), None)


def _json_of(path: Path) -> Path:
    if path.suffix in (".json", ".npz"):
        return path.with_suffix(".json")
    return path.with_name(f"{path.name}.json")


def _read(file: Path) -> Fixture:
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(str(file), "does not exist") from None
    except (OSError, ValueError) as error:
        raise DataError(str(file), f"is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise DataError(str(file), "is no JSON object")
    return found


def _arrays(file: Path) -> dict[str, Array]:
    if not file.exists():
        return {}
    try:
        with np.load(file) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise DataError(str(file), f"cannot be read: {error}") from None

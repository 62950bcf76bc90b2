"""A folder of results that an experiment can be interrupted in, and goes on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from funnel.core.errors import ConfigError, DataError
from funnel.store import read_json, write_json

MANIFEST = "manifest.json"
FORMAT = 1


def claim(out: Path, manifest: Mapping[str, object]) -> None:
    """Make the folder this experiment's own, or refuse if it is another's.

    manifest: what decides the results. ConfigError if the folder holds something else or an experiment that differs in
    it; DataError if it is damaged or of a newer version.
    """
    file = out / MANIFEST
    wanted = json.loads(json.dumps({**manifest, "format": FORMAT}))  # as the file would give it back
    if not file.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"--out {out}", "holds something else than an experiment — choose a new or empty folder")
        write_json(file, wanted)
        return
    found = read_manifest(file)
    for key in wanted:
        if found.get(key) != wanted[key]:
            what = f"holds an experiment with {key} {found.get(key)!r}, this one has {wanted[key]!r}"
            raise ConfigError(f"--out {out}", f"{what} — choose another folder")


def read_manifest(file: Path) -> dict[str, object]:
    """The manifest; DataError if it is damaged or was written by a newer version."""
    try:
        found = read_json(file)
    except DataError:
        raise DataError(str(file), "is damaged — remove the folder or choose another one") from None
    version = found.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise DataError(str(file), f"was written by a newer version (format {version}, known: {FORMAT})")
    return found


def slug(name: str) -> str:
    """A name as a folder's."""
    return "".join(char if char.isalnum() or char in "_-." else "-" for char in name)

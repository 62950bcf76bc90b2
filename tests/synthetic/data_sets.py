"""What the tests of importers share: the real data if they are there."""

from __future__ import annotations

import pytest

from funnel.checks import check_tables
from funnel.compose import builder
from funnel.core.arrays import Array
from funnel.core.errors import DataError
from funnel.core.progress import SILENT
from funnel.core.world import WorldData
from synthetic.datasets.files import data_folder


def real(use: str, folder: str) -> WorldData:
    """The world of the real data; the test is skipped if they are not there."""
    try:
        data_folder(folder, "the source in the importer's docstring")
    except DataError as absent:
        pytest.skip(str(absent))
    data = builder(use)().build(use, 0, SILENT)
    check_tables(data.tables, use)
    return data


def rows(data: WorldData, table: str, *columns: str) -> list[tuple[object, ...]]:
    """The rows of a table, for small examples."""
    found: list[Array] = [data.tables[table][column] for column in columns]
    return list(zip(*(values.tolist() for values in found), strict=True))

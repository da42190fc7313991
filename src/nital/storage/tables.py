"""Tables and records: reading and writing CSV and JSON."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError


def write_table(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write rows that share their keys as CSV; None becomes an empty cell.

    `columns`: the keys; needed if there may be no row.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns or rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_columns(path: Path, names: Sequence[str]) -> NDArray[np.float64]:
    """Read numeric columns of a CSV table: (rows, names).

    Raises
    ------
    InputError
        If the table can't be read, or a column is missing or not numeric.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [[float(row[name]) for name in names] for row in csv.DictReader(file)]
        if not np.isfinite(rows).all():
            raise ValueError("a value is not finite")
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise InputError(
            f"{path}: can't be used ({error}); segment the micrograph again"
        ) from error
    return np.array(rows)


def read_json(path: Path) -> dict[str, Any]:
    """Read an object that `write_json` wrote.

    Raises
    ------
    InputError
        If it is damaged.
    """
    try:
        value: dict[str, Any] = json.loads(read_bytes(path))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); create it again") from error
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write an object as indented JSON."""
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, not a file; name the images in it") from error
    except OSError as error:
        raise InputError(
            f"{path}: can't be read ({error.strerror}); check its permissions"
        ) from error
    if not data:
        raise InputError(f"{path}: an empty file; copy or export it again")
    return data

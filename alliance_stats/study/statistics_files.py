"""SPSS, Stata and SAS files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pandas as pd

from alliance_stats.checks import describe_rows
from alliance_stats.errors import DataError
from alliance_stats.study.cells import TableFile

__all__ = ["STATISTICS_PACKAGES", "read_statistics_package"]

STATISTICS_PACKAGES = {
    ".sav": "read_sav",
    ".zsav": "read_sav",
    ".dta": "read_dta",
    ".sas7bdat": "read_sas7bdat",
}
"""Suffix -> the function of pyreadstat that reads it."""


def read_statistics_package(
    file: Path, pyreadstat: ModuleType, *, labelled: Sequence[str]
) -> TableFile:
    """Read a file with its value labels and user-missing codes; see ``read_table``."""
    read: Callable[..., tuple[pd.DataFrame, object]] = getattr(
        pyreadstat, STATISTICS_PACKAGES[file.suffix.lower()]
    )
    try:
        frame, meta = read(str(file))
        with_codes, _ = read(str(file), user_missing=True)
    except pyreadstat.ReadstatError as error:
        raise DataError(f"'{file.name}' cannot be read: {error}.") from error
    notes = []
    for column in frame.columns:
        n_codes = int((frame[column].isna() & with_codes[column].notna()).sum())
        if n_codes:
            codes = with_codes.loc[frame[column].isna(), column].dropna().unique()
            shown = ", ".join(
                f"{code:g}" if isinstance(code, float) else str(code) for code in codes
            )
            notes.append(
                f"User-missing codes of '{column}' ({shown}) were read as missing: "
                f"{n_codes} values."
            )
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    text = frame.select_dtypes(include="object").columns
    frame[text] = frame[text].mask(frame[text] == "")
    labels: dict[str, dict[object, str]] = getattr(meta, "variable_value_labels", {})
    for column in labelled:
        if column in labels and column in frame:
            frame[column] = _with_labels(frame, column, labels[column])
            notes.append(f"Codes of '{column}' were replaced by their value labels.")
    return TableFile(frame, tuple(notes))


def _with_labels(frame: pd.DataFrame, column: str, labels: dict[object, str]) -> pd.Series:
    words = frame[column].map(labels)
    unlabelled = (words.isna() & frame[column].notna()).to_numpy()
    if unlabelled.any():
        first = frame.loc[unlabelled, column].iloc[0]
        raise DataError(
            f"Column '{column}' has value labels, but none for {first} "
            f"in {describe_rows(unlabelled, frame.index)}. Label that value in the file, or set it "
            "to missing."
        )
    return words

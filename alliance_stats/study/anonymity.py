"""Families stay anonymous: a table without ids, dates and free text.

Ids are replaced by codes in random order, dates by days since the person's first, and a column
that could say who someone is is refused by name. The key that leads back stays with its owner.
"""

import datetime
import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.output import write_whole
from alliance_stats.study.units import LEVELS

__all__ = ["IdKey", "deidentified"]

_INITIAL = {"person": "P", "family": "F", "therapist": "T"}
# A category has few labels and short ones; more or longer ones are somebody's own words.
_MOST_LABELS, _LONGEST_LABEL = 20, 30
_DATE = re.compile(r"(\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4})([ T].*)?")


@dataclass(frozen=True, slots=True, eq=False)
class IdKey:
    """The way back from codes to ids: it stays with its owner, apart from the data.

    Attributes
    ----------
    codes
        Level -> (id -> code).
    """

    codes: Mapping[str, Mapping[Hashable, str]]

    def __repr__(self) -> str:
        """Return how many ids there are, and none of them."""
        return (
            f"<IdKey: {', '.join(f'{len(ids)} of {level}' for level, ids in self.codes.items())}>"
        )

    def save(self, path: str | Path) -> None:
        """Write the key as JSON, readable and writable by its owner alone."""
        pairs = {
            level: [
                [label if isinstance(label, str) else int(str(label)), code]
                for label, code in ids.items()
            ]
            for level, ids in self.codes.items()
        }
        text = json.dumps(pairs, ensure_ascii=False, indent=1) + "\n"
        write_whole(Path(path), text, mode=0o600)

    @classmethod
    def load(cls, path: str | Path) -> "IdKey":
        """Read what :meth:`save` wrote."""
        pairs = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls({level: dict(map(tuple, ids)) for level, ids in pairs.items()})


def deidentified(
    data: pd.DataFrame, roles: Mapping[str, str], key: IdKey | None
) -> tuple[pd.DataFrame, IdKey, tuple[str, ...]]:
    """Return a coded table, its key, and what was changed, in sentences that name no one."""
    _refuse_telling_columns(data, roles)
    coded, known = data.copy(), {} if key is None else key.codes
    coded.attrs = {}
    for name in coded:  # categories that no row has may name someone
        if isinstance(coded[name].dtype, pd.CategoricalDtype):
            coded[name] = coded[name].cat.remove_unused_categories()
    rng = np.random.default_rng()  # from the operating system: an order to repeat is one to undo
    codes = {
        level: _codes(data[roles[level]], _INITIAL[level], known.get(level, {}), rng)
        for level in LEVELS
        if level in roles
    }
    for level, ids in codes.items():
        coded[roles[level]] = data[roles[level]].map(ids)
    dates = [c for c in data if pd.api.types.is_datetime64_any_dtype(data[c].dtype)]
    for column in dates:
        first = data.groupby(roles["person"])[column].transform("min")
        coded[column] = (data[column] - first).dt.days
    order = [roles[name] for name in ("therapist", "family", "person", "session") if name in roles]
    notes = (
        f"Ids of {', '.join(codes)} are codes, given in random order; rows stand in their order.",
        *(f"'{column}' holds days since the person's first date there." for column in dates),
    )
    return coded.sort_values(order).reset_index(drop=True), IdKey(codes), notes


def _codes(
    ids: pd.Series, initial: str, known: Mapping[Hashable, str], rng: np.random.Generator
) -> dict[Hashable, str]:
    """Return a code for every id: the known ones as they were, the others in random order."""
    codes = dict(known)
    fresh = [label for label in ids.unique() if label not in codes]
    width = len(str(len(codes) + len(fresh)))
    taken = set(codes.values())
    numbers = (f"{initial}{i:0{width}d}" for i in range(1, 2 * len(codes) + len(fresh) + 1))
    free = [code for code in numbers if code not in taken][: len(fresh)]
    codes.update(zip(fresh, rng.permutation(free).tolist(), strict=True))
    return codes


def _refuse_telling_columns(data: pd.DataFrame, roles: Mapping[str, str]) -> None:
    others = [column for column in data if column not in roles.values()]
    person = data[roles["person"]]
    dates = [column for column in others if _holds_dates(data[column])]
    texts = [c for c in others if c not in dates and _is_free_text(data[c])]
    numbers = [c for c in others if c not in texts and _numbers_persons(data[c], person)]
    if dates or texts or numbers:
        raise DataError(
            "These columns could say who someone is: "
            + "; ".join(
                [f"'{c}' (dates that are no date type: read them as dates first)" for c in dates]
                + [f"'{c}' (free text: many different texts, or long ones)" for c in texts]
                + [f"'{c}' (a number of its own for nearly every person)" for c in numbers]
            )
            + ". Drop them or recode them into few categories, then make the study again."
        )


def _holds_dates(column: pd.Series) -> bool:
    """Return whether a column holds days in writing, or as objects that pandas does not count."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return False
    return any(
        isinstance(value, datetime.date | pd.Period)
        or (isinstance(value, str) and bool(_DATE.fullmatch(value.strip())))
        for value in column.dropna().unique()
    )


def _is_free_text(column: pd.Series) -> bool:
    words = [value for value in column.dropna().unique() if isinstance(value, str)]
    return len(words) > _MOST_LABELS or any(len(word) > _LONGEST_LABEL for word in words)


def _numbers_persons(column: pd.Series, person: pd.Series) -> bool:
    """Return whether whole numbers stand for persons: constant inside, hardly ever shared."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return False
    known = column.dropna().to_numpy(dtype=float)
    if (known != np.round(known)).any():  # a number with a value missing has decimals, all zero
        return False
    each = column.groupby(person).agg(["nunique", "first"])
    if len(each) < _MOST_LABELS or (each["nunique"] > 1).any():
        return False
    return bool(each["first"].nunique() > 0.9 * len(each))

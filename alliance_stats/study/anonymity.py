"""Families stay anonymous: a table without ids, dates and free text.

Ids are replaced by codes in random order, dates by days since the person's first, and any column
that could identify someone is refused by name. The key for re-identification stays with its owner.
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
_MONTHS = "jan feb mar mär apr may mai jun jul aug sep oct okt nov dec dez"
_DATE = re.compile(  # anywhere in a text: 2024-01-03, 3.1.24, 2024-01, 01/2024, 3 March 2024
    r"(?<!\d)(\d{4}[-./]\d{1,2}([-./]\d{1,2})?|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}|\d{1,2}[-./]\d{4})(?!\d)"
    rf"|\b({_MONTHS.replace(' ', '|')})[a-zäé]*\.?,? *(\d{{1,2}}(st|nd|rd|th)?,? *)?\d{{4}}\b",
    re.IGNORECASE,
)
_FEWEST_NAMED = 5  # units of which each has a text of its own before it counts as their name
_RARE = 5  # persons: fewer of a category may tell who someone is


@dataclass(frozen=True, slots=True, eq=False)
class IdKey:
    """The key from codes back to ids: it stays with its owner, apart from the data.

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
        """Write the key as JSON, readable and writable only by its owner."""
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
    """Return a coded table, its key, and sentences on what was changed, which name no one."""
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
    rare = [c for c in coded if c not in roles.values() and _rare(coded[c], coded[roles["person"]])]
    notes = (
        f"Ids of {', '.join(codes)} are codes, given in random order; rows stand in their order.",
        *(f"'{column}' holds days since the person's first date there." for column in dates),
        *(
            f"'{column}' has a category of fewer than {_RARE} persons: with what else is known it "
            "may tell who someone is. Join categories."
            for column in rare
        ),
    )
    return coded.sort_values(order).reset_index(drop=True), IdKey(codes), notes


def _codes(
    ids: pd.Series, initial: str, known: Mapping[Hashable, str], rng: np.random.Generator
) -> dict[Hashable, str]:
    """Return a code for every id: known ones unchanged, new ones in random order."""
    codes = dict(known)
    fresh = [label for label in ids.unique() if label not in codes]
    width = len(str(len(codes) + len(fresh)))
    taken = set(codes.values())
    numbers = (f"{initial}{i:0{width}d}" for i in range(1, 2 * len(codes) + len(fresh) + 1))
    free = [code for code in numbers if code not in taken][: len(fresh)]
    codes.update(zip(fresh, rng.permutation(free).tolist(), strict=True))
    return codes


def _refuse_telling_columns(data: pd.DataFrame, roles: Mapping[str, str]) -> None:
    """Refuse every column that could identify someone, each once and for its worst fault."""
    units = [data[roles[level]] for level in LEVELS if level in roles]
    ids = [roles[level] for level in LEVELS if level in roles]
    measured = [roles[name] for name in roles if name not in ("role", "rater")]
    others = [column for column in data if column not in (*measured, *ids)]
    faults = (
        (_holds_dates, "dates that are no date type: read them as dates first"),
        (_is_free_text, "free text: many different texts, or long ones"),
        (lambda column: any(_holds_ids(column, unit) for unit in units), "ids within its texts"),
        (
            lambda column: any(_numbers_units(column, unit) for unit in units),
            "a number of its own for nearly every person, family or therapist",
        ),
        (
            lambda column: any(_names_units(column, unit) for unit in units),
            "a text of its own for every person, family or therapist, such as initials",
        ),
    )
    worst = {
        column: next((why for is_so, why in faults if is_so(data[column])), None)
        for column in others
    }
    found = [f"'{column}' ({why})" for column, why in worst.items() if why is not None]
    if found:
        raise DataError(
            f"These columns could say who someone is: {'; '.join(found)}. Drop them or recode them "
            "into few categories, then make the study again."
        )


def _texts(column: pd.Series) -> list[str]:
    return [value for value in column.dropna().unique() if isinstance(value, str)]


def _holds_dates(column: pd.Series) -> bool:
    """Return whether a column holds dates as text, or as objects that pandas has no dtype for."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return False
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _is_of_eight_digits(column)
    values = column.dropna().unique()
    return any(isinstance(value, datetime.date | pd.Period) for value in values) or any(
        _DATE.search(text) or _is_of_eight_digits(pd.Series([text])) for text in _texts(column)
    )


def _is_of_eight_digits(column: pd.Series) -> bool:
    """Return whether all values are dates such as 20240103."""
    digits = pd.to_numeric(column, errors="coerce").dropna()
    if not len(digits) or not digits.between(19000101, 21001231).all():
        return False
    written = digits.astype(np.int64).astype(str)
    return bool(pd.to_datetime(written, format="%Y%m%d", errors="coerce").notna().all())


def _is_free_text(column: pd.Series) -> bool:
    words = _texts(column)
    return len(words) > _MOST_LABELS or any(len(word) > _LONGEST_LABEL for word in words)


def _holds_ids(column: pd.Series, unit: pd.Series) -> bool:
    """Return whether a text contains an id longer than a digit or two."""
    names = {name for name in map(str, unit.dropna().unique()) if len(name) > 2}
    return any(
        text in names or not names.isdisjoint(re.findall(r"[^\W_]+(?:-[^\W_]+)*", text))
        for text in _texts(column)
    )


def _each_its_own(column: pd.Series, unit: pd.Series) -> tuple[int, float]:
    """Return how many units there are, and the share of different values; 0 if one has several."""
    each = column.groupby(unit, observed=True).agg(["nunique", "first"])
    if not len(each) or (each["nunique"] > 1).any():
        return len(each), 0.0
    return len(each), each["first"].nunique() / len(each)


def _numbers_units(column: pd.Series, unit: pd.Series) -> bool:
    """Return whether whole numbers stand for units: constant within units, hardly ever shared."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return False
    known = column.dropna().to_numpy(dtype=float)
    if (known != np.round(known)).any():  # a number with a value missing has decimals, all zero
        return False
    units, share = _each_its_own(column, unit)
    return units >= _MOST_LABELS and share > 0.9


def _names_units(column: pd.Series, unit: pd.Series) -> bool:
    """Return whether every unit has a different text."""
    if not _texts(column):
        return False
    units, share = _each_its_own(column.astype(object), unit)
    return units >= _FEWEST_NAMED and share == 1.0


def _rare(column: pd.Series, person: pd.Series) -> bool:
    """Return whether some category has very few persons."""
    texts = bool(_texts(column)) or isinstance(column.dtype, pd.CategoricalDtype)
    if not texts and not pd.api.types.is_bool_dtype(column.dtype):
        return False
    persons = person.groupby(column.astype(object)).nunique()
    return bool(((persons > 0) & (persons < _RARE)).any())

"""A paper's first table: who was in each group, and how different the groups were at the start."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import (
    Account,
    Column,
    Phrase,
    Section,
    Speaker,
    html_of,
    section_cells,
    summary_of,
)
from alliance_stats.checks import (
    check_frame,
    check_magnitude,
    finite_or_missing,
    group_codes,
    require_columns,
)
from alliance_stats.design.rows import check_categories
from alliance_stats.errors import DataError
from alliance_stats.estimates import DUST, Array, Integers, one_line
from alliance_stats.formatting import decimals_needed, decimals_of_spread, plural
from alliance_stats.groups.comparing.group_samples import grouped
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling

__all__ = ["TableOne", "standardised_difference", "table_one"]

_ROUNDING = 1e-12  # shares of the largest number that floating point alone makes of zero


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TableOne:
    """Baseline characteristics by group; returned by :func:`table_one`.

    Attributes
    ----------
    unit
        What a row of the counted frame represents, in words (``"family"``).
    labels, sizes
        Groups and their numbers of units.
    statistics
        One row per variable, category and group; see :meth:`tidy`.
    rows
        Ledger of the caller's rows, down to units.
    """

    unit: str
    labels: tuple[str, ...]
    sizes: tuple[int, ...]
    statistics: pd.DataFrame
    rows: RowLedger

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return one row per variable, category and group.

        ``variable, kind`` (continuous | binary | categorical), ``category`` (of a categorical one),
        ``group, n`` (units with a value), ``n_missing, mean, sd, median, q1, q3, count``, ``share``
        (of n), and
        ``smd``: the variable's standardised difference, the largest over pairs of groups, in SDs
        (absolute; the same in all rows of a variable).
        """
        return self.statistics.copy()

    def glance(self) -> pd.DataFrame:
        """Return one row: the unit, groups, units, variables, the largest SMD."""
        return pd.DataFrame(
            {
                "unit": [self.unit],
                "n_groups": [len(self.labels)],
                "nobs": [sum(self.sizes)],
                "n_variables": [self.statistics["variable"].nunique()],
                "largest_smd": [self.statistics["smd"].max()],
            }
        )

    def frame(self, *, words: Mapping[str, str] | None = None) -> pd.DataFrame:
        """Return the table as printed: strings, a row per variable or level, a column per group.

        Continuous variables as mean (SD), the others as count (percentage); the last column
        is the standardised difference. `words` for variables, levels and groups.
        """
        account = self.account()
        return section_cells(account.sections[0], Speaker.of(account, words, "."))

    def footnotes(self, *, words: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Return the text below the table."""
        account = self.account()
        speaker = Speaker.of(account, words, ".")
        return tuple(speaker.remark(remark) for remark in account.remarks)

    @property
    def method(self) -> str:
        """What was described, in a phrase."""
        return f"baseline characteristics of {plural(len(self.labels), 'group')}"

    @property
    def notes(self) -> tuple[str, ...]:
        """None: missing values are reported below the table."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the table as data; it has no interval that depends on a level."""
        del conf_level
        lines = [
            line
            for variable, rows in self.statistics.groupby("variable", sort=False)
            for line in _lines(variable, rows)
        ]
        columns = {
            f"group_{i}": Column(Phrase(f"{{}} (n = {n})", (label,)), "text", named=True)
            for i, (label, n) in enumerate(zip(self.labels, self.sizes, strict=True))
        }
        columns["smd"] = Column("SMD", "text", named=True)
        cells = pd.DataFrame(lines, columns=["variable", *columns], dtype=object)
        table = Section("Variable", cells, names=("variable",), columns=columns)
        return Account(
            self.method,
            self.notes,
            {},
            (table,),
            self._remarks(),
            self.rows,
            sources=("austin2009",),
        )

    summary = summary_of
    _repr_html_ = html_of

    def _remarks(self) -> tuple[str | Phrase, ...]:
        pairs = "the largest over pairs of groups; " if len(self.labels) > 2 else ""
        said: list[str | Phrase] = [
            f"The unit is the {self.unit}: each counts once.",
            f"SMD: absolute standardised difference ({pairs}means in SDs, categories by their "
            "Mahalanobis distance); it describes balance and is not a test.",
        ]
        missing = self.statistics.drop_duplicates(["variable", "group"])
        missing = missing[missing["n_missing"] > 0]
        for variable, rows in missing.groupby("variable", sort=False):
            where = ", ".join(["{} in {}"] * len(rows))
            parts = [
                part
                for n, group in zip(rows["n_missing"], rows["group"], strict=True)
                for part in ((float(n), "count"), group)
            ]
            text = f"{{}}: missing for {where}; percentages are of those known."
            said.append(Phrase(text, (variable, *parts)))
        return tuple(said)


def table_one(
    data: pd.DataFrame,
    *,
    variables: Sequence[str] | str,
    group: str,
    unit: str | None = None,
    unit_name: str | None = None,
) -> TableOne:
    """Describe groups at baseline, each unit counted once.

    Parameters
    ----------
    data
        One row per unit; or, with `unit`, one row per member of a unit.
    variables
        Numeric columns (mean and SD; counts where they hold 0 and 1 only) or text, categories and
        booleans (counts). A numeric column that codes categories must be converted to categories.
    group
        Column of group labels.
    unit
        Column that identifies the unit (family, therapist). Group and variables must then be the
        same in all rows of a unit: a table cannot decide which member's value represents a family.
    unit_name
        The unit in words; the column's name if not given, ``"row"`` without `unit`.

    Raises
    ------
    DataError
        If a variable differs within a unit, holds dates, numbers beside text or decimal numbers
        as text, the only one is missing everywhere (among several it is described as missing), a
        column is missing or given twice, or there are fewer than two groups.

    Examples
    --------
    >>> from alliance_stats import example_themes, table_one
    >>> table_one(
    ...     example_themes(), variables=["theme_early_problem"], group="parent_alliance"
    ... ).frame()
                         Variable successful (n = 13) unsuccessful (n = 13)   SMD
    0  theme_early_problem, n (%)            10 (77%)              10 (77%)  0.00
    """
    data = check_frame(data)
    variables = [variables] if isinstance(variables, str) else list(variables)
    if not variables:
        raise DataError("variables is empty: name at least one.")
    named = [*variables, group, *([] if unit is None else [unit])]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"Column '{twice}' is given twice; variables, group and unit must be different columns."
        )
    require_columns(data, [*variables, group, unit])
    levels = {} if unit is None else {unit_name or unit: (unit,)}
    rows = RowLedger.start(data, levels)
    data, rows = rows.keep(data, data[group].notna(), reason=f"'{group}' is missing")
    if unit is not None:
        data, rows = _one_row_a_unit(data, [group, *variables], unit, rows)
    codes, labels = grouped(data, group)
    if len(variables) == 1 and data[variables[0]].isna().all():
        raise DataError(f"'{variables[0]}' is missing in every row.")
    tables = [_describe(data, variable, codes, labels) for variable in variables]
    sizes = tuple(int((codes == g).sum()) for g in range(len(labels)))
    name = unit_name or unit or "row"
    return TableOne(name, labels, sizes, pd.concat(tables, ignore_index=True), rows)


def standardised_difference(first: tuple[Array, Array], second: tuple[Array, Array]) -> float:
    """Return ``sqrt(d' [(S_1 + S_2)/2]^-1 d)`` of two groups' means and covariance matrices.

    One variable: the absolute mean difference over the root mean variance; a proportion's variance
    is p(1 - p). k categories: their k - 1 first proportions with multinomial covariance (Yang &
    Dalton 2012, SAS Global Forum 335; Austin 2009, doi:10.1002/sim.3697). Infinite where the groups
    differ and neither varies, 0 where both are one and the same constant.
    """
    (mean_1, cov_1), (mean_2, cov_2) = first, second
    d = np.atleast_1d(mean_1 - mean_2)
    S = np.atleast_2d((np.asarray(cov_1) + np.asarray(cov_2)) / 2.0)
    # in units in which nothing exceeds 1: the same answer in points, seconds or kilometres
    size = max(float(np.abs([mean_1, mean_2]).max()), math.sqrt(float(np.abs(S).max())))
    if size == 0.0:
        return 0.0
    d, S = d / size, S / size / size
    values, vectors = np.linalg.eigh(S)
    known = values > max(DUST**2, _ROUNDING * float(values.max()))
    along = vectors.T @ d
    if (np.abs(along[~known]) > _ROUNDING).any():
        return math.inf
    return float(math.sqrt(np.sum(along[known] ** 2 / values[known])))


def _one_row_a_unit(
    data: pd.DataFrame, columns: list[str], unit: str, rows: RowLedger
) -> tuple[pd.DataFrame, RowLedger]:
    data, rows = rows.keep(data, data[unit].notna(), reason=f"'{unit}' is missing")
    check_spelling(data[unit], kind="unit")
    for column in columns:
        different = data.groupby(unit, observed=True)[column].nunique(dropna=False)
        if (different > 1).any():
            where = different.index[different > 1][0]
            raise DataError(
                f"'{column}' differs within {unit} '{where}'. A table of {unit} units needs one "
                f"value each: summarise it first (the mother's, the mean), or leave unit= out."
            )
    return rows.keep(data, ~data[unit].duplicated(), reason=f"further rows of the same {unit}")


def _describe(
    data: pd.DataFrame, variable: str, codes: Integers, labels: tuple[str, ...]
) -> pd.DataFrame:
    column = data[variable]
    if column.isna().all():
        return _continuous(np.full(len(data), np.nan), variable, codes, labels)
    if column.dtype.kind in "mM":
        raise DataError(
            f"'{variable}' holds dates or durations. Make it a number (as age in years) or a "
            "category first."
        )
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(
        column.dtype
    )
    if numeric:
        values = check_magnitude(finite_or_missing(data, variable), variable)
        if np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
            return _binary(values, variable, codes, labels)
        return _continuous(values, variable, codes, labels)
    return _categorical(column, variable, codes, labels)


def _continuous(
    values: Array, variable: str, codes: Integers, labels: tuple[str, ...]
) -> pd.DataFrame:
    rows, moments = [], []
    for g, label in enumerate(labels):
        own = values[codes == g]
        known = own[~np.isnan(own)]
        quartiles = np.quantile(known, [0.25, 0.5, 0.75]) if known.size else [math.nan] * 3
        sd = float(known.std(ddof=1)) if known.size > 1 else math.nan
        mean = float(known.mean()) if known.size else math.nan
        moments.append((np.array([mean]), np.array([[sd**2]])))
        rows.append(
            _row(variable, "continuous", "", label)
            | {
                "n": known.size,
                "n_missing": own.size - known.size,
                "mean": mean,
                "sd": sd,
                "q1": float(quartiles[0]),
                "median": float(quartiles[1]),
                "q3": float(quartiles[2]),
                "count": math.nan,
                "share": math.nan,
            }
        )
    return pd.DataFrame(rows).assign(smd=_largest(moments))


def _binary(values: Array, variable: str, codes: Integers, labels: tuple[str, ...]) -> pd.DataFrame:
    """Describe a 0/1 column by its ones."""
    frame = _continuous(values, variable, codes, labels)
    share = frame["mean"].to_numpy()
    moments = [(np.array([p]), np.array([[p * (1.0 - p)]])) for p in share]
    unused = dict.fromkeys(["mean", "sd", "q1", "median", "q3"], math.nan)
    return frame.assign(
        kind="binary", count=share * frame["n"], share=share, smd=_largest(moments), **unused
    )


def _categorical(
    column: pd.Series, variable: str, codes: Integers, labels: tuple[str, ...]
) -> pd.DataFrame:
    check_categories(column)
    level_codes, levels = group_codes(column)
    rows, moments = [], []
    for k, level in enumerate(levels):
        for g, label in enumerate(labels):
            own = level_codes[codes == g]
            n = int((own >= 0).sum())
            count = int((own == k).sum())
            rows.append(
                _row(variable, "categorical", str(level), label)
                | {"n": n, "n_missing": own.size - n}
                | dict.fromkeys(["mean", "sd", "q1", "median", "q3"], math.nan)
                | {"count": count, "share": count / n if n else math.nan}
            )
    for g in range(len(labels)):
        own = level_codes[(codes == g) & (level_codes >= 0)]
        p = np.array(
            [float((own == k).mean()) if own.size else math.nan for k in range(len(levels))]
        )
        p = p[: max(1, len(levels) - 1)]
        moments.append((p, np.diag(p) - np.outer(p, p)))
    return pd.DataFrame(rows).assign(smd=_largest(moments))


def _row(variable: str, kind: str, category: str, group: str) -> dict[str, object]:
    return {"variable": variable, "kind": kind, "category": category, "group": group}


def _largest(moments: list[tuple[Array, Array]]) -> float:
    """Return the largest standardised difference over pairs of groups that have one."""
    found = [
        standardised_difference(a, b)
        for a, b in itertools.combinations(moments, 2)
        if all(np.isfinite(part).all() for part in (*a, *b))
    ]
    return max(found, default=math.nan)


def _lines(variable: object, rows: pd.DataFrame) -> Iterator[list[object]]:
    """Yield a variable's printed lines: mean (SD), or count (percentage) of each level."""
    kind = rows["kind"].iloc[0]
    head = Phrase(f"{{}}, {'mean (SD)' if kind == 'continuous' else 'n (%)'}", (variable,))
    smd = Phrase("{}", ((float(rows["smd"].iloc[0]), 2),))
    cell = _mean_cell if kind == "continuous" else _count_cell
    if kind != "categorical":
        yield [head, *map(cell, rows.to_dict("records")), smd]
        return
    yield [head, *[""] * rows["group"].nunique(), smd]
    for category, part in rows.groupby("category", sort=False):
        yield [Phrase("{}: {}", (variable, category)), *map(cell, part.to_dict("records")), ""]


def _mean_cell(row: dict[str, float]) -> Phrase | None:
    if row["n"] == 0:
        return None
    digits = decimals_needed((row["mean"],), at_least=decimals_of_spread(row["sd"]))
    return Phrase("{} ({})", ((row["mean"], digits), (row["sd"], digits)))


def _count_cell(row: dict[str, float]) -> Phrase | None:
    if row["n"] == 0:
        return None
    return Phrase("{} ({}%)", ((float(row["count"]), "count"), (100.0 * row["share"], 0)))

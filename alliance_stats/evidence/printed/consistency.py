"""Check every printed number of a table against the numbers printed alongside it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import (
    check_choice,
    check_conf_level,
    check_frame,
    did_you_mean,
    require_columns,
)
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import one_line
from alliance_stats.evidence.printed.catalogue import (
    CATALOGUE,
    QUANTITIES,
    known_columns,
    read_as_quantities,
)
from alliance_stats.evidence.printed.numerals import (
    CONVENTIONS,
    DECIMALS,
    admissible_legends,
    read_cell,
)
from alliance_stats.evidence.printed.path_verdicts import (
    HOLDS_ONLY_IF,
    NOT_REPRODUCED,
    VERDICT_COLUMNS,
    VERDICTS,
    Verdict,
    count_verdicts,
    finding,
    verdict_columns,
)
from alliance_stats.evidence.printed.printed_row import TAILS, Rules, cells_of, readings
from alliance_stats.evidence.printed.verdicts import judge_row
from alliance_stats.ledger import RowLedger

__all__ = [
    "ROUNDINGS",
    "ConsistencyCheck",
    "Recomputed",
    "consistency_check",
    "conventions_of",
    "recompute",
    "relations",
]

ROUNDINGS = ("either", *CONVENTIONS)
METHOD = "printed numbers recomputed from those printed beside them"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ConsistencyCheck:
    """Which printed numbers follow from the numbers printed alongside them.

    Attributes
    ----------
    labels
        For each verdict, the index label of its row.
    verdicts
        A verdict for each printed number, row by row.
    not_read
        Columns that hold no recognised quantity.
    numbers_not_read
        Those of them that hold digits.
    read_as
        The quantities that columns with other names were read as.
    rows
        How many rows came in and held a printed number.
    """

    labels: tuple[object, ...]
    verdicts: tuple[Verdict, ...]
    not_read: tuple[str, ...]
    rows: RowLedger
    numbers_not_read: tuple[str, ...] = ()
    read_as: Mapping[str, str] = field(default_factory=dict)

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return one row per printed number.

        Returns
        -------
        DataFrame
            ``row`` (index label), ``quantity`` (column), ``relation``, ``printed`` (text),
            ``feasible_low`` and ``feasible_high`` (what the relation allows; NaN where there is no
            relation), ``verdict``, ``reason``, ``gap`` (distance of what was printed from what is
            feasible, 0 where they meet) and ``rounding`` (how the texts were read). For stars the
            feasible set is one of p-values.
        """
        return pd.DataFrame(
            [
                {"row": label, **verdict_columns(verdict)}
                for label, verdict in zip(self.labels, self.verdicts, strict=True)
            ],
            columns=["row", *VERDICT_COLUMNS],
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: the number of printed numbers, in all and by verdict."""
        return pd.DataFrame([count_verdicts(self.verdicts)])

    @property
    def method(self) -> str:
        """What was done, in a phrase."""
        return METHOD

    @property
    def notes(self) -> tuple[str, ...]:
        """Which columns were not read, and which were read under another name."""
        found = []
        if self.numbers_not_read:
            found.append(
                f"NOT READ, and so not checked: {', '.join(self.numbers_not_read)}. Name the "
                f"quantity, one of {', '.join(QUANTITIES)}."
            )
        if self.read_as:
            pairs = ", ".join(f"'{name}' as {quantity}" for name, quantity in self.read_as.items())
            found.append(f"Read under another name: {pairs}.")
        return tuple(found)

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002
        """Return the verdicts as data, each number that does not follow with its relation."""
        remarks = [
            f"Row {label}, {finding(verdict)}"
            for label, verdict in zip(self.labels, self.verdicts, strict=True)
            if verdict.verdict in (NOT_REPRODUCED, HOLDS_ONLY_IF)
        ]
        if self.not_read:
            remarks.append(f"Columns without a known quantity: {', '.join(self.not_read)}.")
        sizes = {"numbers": len(self.verdicts)}
        section = verdict_section(self.verdicts)
        return Account.of(self, sizes, (section,), remarks, sources=("nuijten2016",))

    summary = summary_of
    _repr_html_ = html_of


def verdict_section(verdicts: Sequence[Verdict]) -> Section:
    """Return how many numbers have each verdict; a condition is named where there is one."""
    given = [verdict.verdict for verdict in verdicts]
    kinds = [kind for kind in VERDICTS if kind != HOLDS_ONLY_IF or kind in given]
    frame = pd.DataFrame({"verdict": kinds, "n": [given.count(kind) for kind in kinds]})
    return Section("Verdict", frame, names=("verdict",), columns={"n": Column("numbers", "count")})


def conventions_of(rounding: str) -> tuple[str, ...]:
    """Return the conventions of rounding that an argument admits, the usual one first."""
    check_choice(rounding, ROUNDINGS, name="rounding")
    return CONVENTIONS if rounding == "either" else (rounding,)


def consistency_check(
    table: pd.DataFrame,
    *,
    assumed: Sequence[str] = (),
    rounding: str = "either",
    tails: str = "either",
    conf_level: float = 0.95,
    interval_from: str | None = None,
    star_levels: Mapping[str, float] | None = None,
    decimal: str = ".",
) -> ConsistencyCheck:
    """Check every printed number against the numbers printed alongside it.

    Parameters
    ----------
    table
        Printed numbers as text, one row for each set that belongs together. Columns have the names
        of the quantities (`estimate`, `std_error`, `p_value`, `conf_low`, `r`, `n`, ...) or by what
        tables often call them (``B``, ``SE``, ``p``, ``LL``), which the notes report; other columns
        are not read, and the notes list them. Cells that are empty or hold ``"NA"`` or a dash were
        not printed; a number printed without a star has ``"none"`` in `stars`. ``".036*"``, ``"0.42
        (0.15)"`` and ``"ns"`` are read as intended. The columns `tails`, `conf_level`,
        `interval_of`, `interval_from`, `tests` (for how many tests the row's p was adjusted) and
        `relation` set how a row is read. `statistic` is F beside df1 and df2, t beside df, else z
        or t.
    assumed
        Columns that were not printed but are supposed; they serve as inputs and get no verdict.
    rounding
        ``"nearest"``: a printed .03 stands for [.025, .035], ends included. ``"truncated"``: for
        [.03, .04]. ``"either"`` (default): a number is called not reproduced only if it is so when
        all of its row's numbers were rounded and also when all were cut off.
    tails
        For rows that do not say otherwise: ``"two"``, ``"one"``, or ``"either"`` (default): not
        stated, so that a p that holds for one tail is not called not reproduced.
    conf_level
        For rows that do not say otherwise.
    interval_from
        ``"se"`` where intervals are known to be the estimate -+ q SE. Otherwise an interval that
        does not follow from the standard error may be a bootstrapped, profiled, exact or
        cluster-robust one, and is called not checkable unless none of these could be so wide.
    star_levels
        Symbol -> the level it denotes. Where none is given, every legend in use that holds the
        table's symbols is admissible.
    decimal
        ``","`` where the table has decimal commas.

    Returns
    -------
    ConsistencyCheck

    Raises
    ------
    DataError
        If a cell is not a printed number, if a column holds numbers where text is needed, or if no
        column has a known name. The message names row and column.

    Notes
    -----
    A verdict concerns a relation. *Reproduced* says that some exact numbers behind the printed
    ones satisfy it. *Not reproduced* says that none do under any admissible reading of the row
    (one tail or two, partial or simple correlation, the legend of the stars, shares in per cent,
    which mean was subtracted, df that are not printed or were rounded); the reading under which a
    number holds is named where it is not the usual one. *Holds only if* is not an accusation, and
    is reported in the summary: p follows only if something uncommon was done that the row does not
    say (F on df corrected for non-sphericity; Fisher's exact, Yates' or a Monte Carlo p beside
    chi-squared; an adjustment for up to six tests). Feasible sets are exact where the formula is
    monotone in each input, and otherwise enclose the exact set, so rounding alone never makes a
    number "not reproduced". A misprint in a row is one finding: the number whose removal settles
    every relation that fails. The idea of recomputing p from t and df is that of Nuijten et al.
    (2016, doi:10.3758/s13428-015-0664-2).

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import consistency_check
    >>> printed = pd.DataFrame(
    ...     {"estimate": ["-0.42"], "std_error": ["0.15"], "statistic": ["-2.80"]}
    ... )
    >>> consistency_check(printed).tidy()[["relation", "verdict"]]
      relation        verdict
    0           not checkable
    1           not checkable
    2   z_wald     reproduced
    """
    table = check_frame(table, what="table")
    conventions = conventions_of(rounding)
    check_choice(tails, TAILS, name="tails")
    check_choice(decimal, DECIMALS, name="decimal")
    read_as = read_as_quantities(table, decimal=decimal)
    known = known_columns(table, read_as)
    not_read = [name for name in table.columns if name not in known]
    assumed = [name if name in read_as.values() else read_as.get(name, name) for name in assumed]
    require_columns(table.rename(columns=read_as), assumed, what="table")
    text = table[known].rename(columns=read_as).astype(object)
    if interval_from is not None:
        check_choice(interval_from, ("se",), name="interval_from")
    rules = Rules(
        conf_level=check_conf_level(conf_level),
        tails=tails,
        interval_from=interval_from or "",
        legends=(star_levels,) if star_levels is not None else _legends(text, decimal),
        decimal=decimal,
    )
    printed = [name for name in text if name in QUANTITIES and name not in assumed]
    has_any = [any(map(_is_printed, cells)) for cells in text[printed].to_numpy()]
    used, rows = RowLedger.start(text).keep(text, has_any, reason="no printed number in the row")
    labels: list[object] = []
    verdicts: list[Verdict] = []
    for label, series in used.iterrows():
        ways = readings(cells_of(series), where=f"Row {label}", rules=rules)
        found = judge_row(ways, conventions=conventions, assumed=assumed)
        labels += [label] * len(found)
        verdicts += found
    digits = [name for name in not_read if table[name].astype(str).str.contains(r"\d").any()]
    return ConsistencyCheck(
        tuple(labels), tuple(verdicts), tuple(map(str, not_read)), rows,
        tuple(map(str, digits)), read_as,
    )  # fmt: skip


def _legends(text: pd.DataFrame, decimal: str) -> tuple[Mapping[str, float], ...]:
    """Return the legends that hold a table's significance symbols, wherever they appear."""
    found: set[str] = set()
    for name in set(text.columns) & set(QUANTITIES):
        for cell in text[name].dropna().astype(str):
            with suppress(DataError):  # told with its row when the row is read
                found.add(read_cell(name, cell, decimal=decimal).get("stars", "none"))
    return admissible_legends(found)


def _is_printed(value: object) -> bool:
    return not pd.isna(value) and str(value).strip() != ""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """The values that a relation allows for its target.

    Attributes
    ----------
    relation, target, formula, source
        The relation.
    low, high
        The feasible set of the target, ends included, on the target's own scale.
    exact
        Whether that is the set itself; otherwise it encloses the exact set.
    """

    relation: str
    target: str
    formula: str
    source: str
    low: float
    high: float
    exact: bool


def recompute(
    relation: str,
    printed: Mapping[str, str],
    *,
    rounding: str = "nearest",
    tails: str = "two",
    conf_level: float = 0.95,
    decimal: str = ".",
) -> Recomputed:
    """Return the values that a relation allows, given the printed numbers.

    Parameters
    ----------
    relation
        A name from :func:`relations`.
    printed
        Quantity -> text as printed, as in ``{"r": ".30", "n": "103"}``.
    rounding
        ``"nearest"`` or ``"truncated"``: the meaning of a printed number.
    tails
        ``"two"`` or ``"one"``, for relations that yield p.
    conf_level
        Coverage, for relations with an interval.
    decimal
        ``","`` where the texts have a decimal comma.

    Returns
    -------
    Recomputed

    Raises
    ------
    DataError
        If there is no such relation, an input is missing, or a text is not a possible number.
    NotIdentifiedError
        If the relation has no value for these inputs (r at n = 2).

    Examples
    --------
    >>> from alliance_stats import recompute
    >>> round(recompute("p_t", {"t": "2.00", "df": "30"}).low, 4)
    0.0541
    """
    if relation not in CATALOGUE:
        raise DataError(f"There is no relation {relation!r}. {did_you_mean(relation, CATALOGUE)}")
    chosen = CATALOGUE[relation]
    check_choice(rounding, CONVENTIONS, name="rounding")
    check_choice(tails, ("two", "one"), name="tails")
    check_choice(decimal, DECIMALS, name="decimal")
    rules = Rules(check_conf_level(conf_level), tails, decimal=decimal)
    row = next(readings(printed, where="Printed numbers", rules=rules))
    for name in chosen.inputs:
        if name not in row.texts:
            raise DataError(
                f"Relation '{relation}' ({chosen.formula}) needs {', '.join(chosen.inputs)}; "
                f"'{name}' is not given."
            )
        if name in row.impossible:
            raise DataError(f"Printed numbers, field '{name}': {row.impossible[name]}.")
    try:
        feasible = chosen.image(row.boxes[rounding], row.setting)
    except NotIdentifiedError as refusal:
        raise NotIdentifiedError(f"Relation '{relation}' ({chosen.formula}): {refusal}.") from None
    return Recomputed(
        relation, chosen.target, chosen.formula, chosen.source, feasible.low, feasible.high,
        chosen.exact,
    )  # fmt: skip


def relations() -> pd.DataFrame:
    """Return every relation that can be checked.

    Returns
    -------
    DataFrame
        ``relation, target, inputs, formula, source, exact``: `exact` says whether the feasible
        set is exact; otherwise it encloses the exact one.

    Examples
    --------
    >>> from alliance_stats.evidence import relations
    >>> relations().columns.tolist()
    ['relation', 'target', 'inputs', 'formula', 'source', 'exact']
    """
    return pd.DataFrame(
        [
            {
                "relation": relation.name,
                "target": relation.target,
                "inputs": ", ".join(relation.inputs),
                "formula": relation.formula,
                "source": relation.source,
                "exact": relation.exact,
            }
            for relation in CATALOGUE.values()
        ]
    )

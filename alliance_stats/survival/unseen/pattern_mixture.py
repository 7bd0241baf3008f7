"""Pattern mixture: the outcome model within each time of dropout, averaged over them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import check_frame, require_columns, require_present, units_with_several
from alliance_stats.design.design import fixed_columns
from alliance_stats.design.formula import (
    CONSTANT,
    MixedFormula,
    OwnColumn,
    column,
    crossed,
    formula_of,
    parse_formula,
    variables_of,
)
from alliance_stats.door import replaced
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Coefficients, Integers, named_covariance, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.renaming import renamed
from alliance_stats.spelling import plain_number
from alliance_stats.survival.rows.time_at_risk import as_columns

__all__ = ["PatternMixture", "pattern_mixture"]

_PATTERN = OwnColumn("time_of_leaving")  # the column that the formula is crossed with
# Values of a column that is constant within units, up to which it is taken for a grouping of them.
_FEW = 6
# What a least-squares solution may leave of means that it should give exactly, in their own unit.
_EXACT = 1e-8
_CARRIED_ON = (
    "The averages stand on an assumption that the data cannot test: each pattern's course is "
    "carried on, as the formula draws it, beyond its time of leaving."
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PatternMixture:
    """Coefficients within patterns of dropout and averaged over them.

    Attributes
    ----------
    fit
        The model in which every coefficient differs between patterns.
    terms
        Names of the coefficients.
    patterns
        ``pattern, n_units, share``, over all units.
    group
        Columns whose groups have their own shares; empty where shares are pooled.
    shares
        The `group` columns, ``pattern, n_units, share``: each group's shares, by which it is
        averaged.
    estimate, covariance
        (p,) averaged coefficients and their (p, p) covariance.
    within
        (patterns, p) coefficients of each pattern.
    within_covariance
        (patterns * p, patterns * p) their covariance.
    notes
        What must be known before reading any number.
    rows
        What happened to the rows.
    """

    fit: LinearMixedModel
    terms: tuple[str, ...]
    patterns: pd.DataFrame
    group: tuple[Hashable, ...]
    shares: pd.DataFrame
    estimate: Array
    covariance: Array
    within: Array
    within_covariance: Array
    notes: tuple[str, ...]
    rows: RowLedger

    __repr__ = one_line

    @property
    def method(self) -> str:
        """How the coefficients were averaged."""
        if not self.group:
            return "Pattern mixture, averaged over the shares of all units (pooled)"
        return f"Pattern mixture, averaged over each {self._arm_name}'s own shares"

    @property
    def _arm_name(self) -> str:
        return ", ".join(map(str, self.group))

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the averaged coefficients, one row per term.

        ``term, estimate, std_error, statistic, df, p_value, conf_low, conf_high``. The standard
        error allows for estimation of the patterns' shares, as from independent units; normal
        quantiles.
        """
        return Coefficients(self.terms, self.estimate, self.covariance).table(conf_level=conf_level)

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the averaged coefficients, labelled by term."""
        return named_covariance(self.covariance, self.terms)

    def by_pattern(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the coefficients of each pattern, one row per pattern and term."""
        names, terms = self.patterns["pattern"], list(self.terms)
        found = Coefficients(terms * len(names), self.within.ravel(), self.within_covariance).table(
            conf_level=conf_level
        )
        found.insert(0, "pattern", np.repeat(names.to_numpy(), len(terms)))
        return found

    def glance(self) -> pd.DataFrame:
        """Return the fit's ``glance`` with ``n_patterns``."""
        return self.fit.glance().assign(n_patterns=len(self.patterns))

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return shares and averaged coefficients, as data."""
        counted = {"n_units": Column("units", "count"), "share": Column("share", "share")}
        names = (*map(str, self.group), "pattern")
        shares = self.shares.rename(columns=str)
        return Account.of(
            self,
            {"rows": self.rows.n_used, "units": float(self.patterns["n_units"].sum())},
            (
                Section("Shares", shares, names=names, columns=counted),
                Section(
                    "Averaged coefficients",
                    self.tidy(conf_level=conf_level),
                    names=("term",),
                    measure="b",
                    conf_level=conf_level,
                ),
            ),
            sources=("little1993",),
        )

    summary = summary_of
    _repr_html_ = html_of


@renamed(arm="group")
def pattern_mixture(
    formula: str,
    data: pd.DataFrame,
    *,
    pattern: str,
    unit: str,
    group: Hashable | Sequence[Hashable] | None = None,
) -> PatternMixture:
    """Fit an outcome model whose fixed effects differ by time of dropout, and average them.

    Within pattern k the mean is ``x beta_k``; the mean of group a over all its units is
    ``x sum_k pi_ka beta_k``, with pi_ka the share of a's units that left in pattern k (Hedeker &
    Gibbons 1997). The averaged coefficients are those that give these means. Where dropout
    differs between groups, shares pooled over groups would answer another question. Each pattern's
    line is extrapolated beyond its time of dropout: that is the assumption in place of missing at
    random. Random effects and residual variance are common.

    Parameters
    ----------
    formula
        A linear mixed model, as in ``"symptoms ~ session * framework + (1 | therapist/family)"``.
    data
        Rows with outcomes.
    pattern
        Column: when the unit left ("early", "late", "stayed"), the same in all its rows. Use few
        and coarse patterns: every coefficient must be estimable within each.
    unit
        Column: id of the unit that leaves.
    group
        Column or columns, constant within units, whose groups are averaged by their own shares;
        every term must be crossed with them. ``()`` pools the shares of all units. If None, the
        columns of the formula that are constant within units and take few values; shares are
        pooled, with a warning in the summary, where the formula does not cross every term with
        them.

    Returns
    -------
    PatternMixture

    Raises
    ------
    DataError
        A pattern or a group that differs within a unit or is missing; a pattern that is already
        in the formula.
    NotIdentifiedError
        Fewer than two patterns, or a coefficient that cannot be estimated within one; a `group`
        with which not every term is crossed.

    References
    ----------
    Little (1993), doi:10.1080/01621459.1993.10594302. Hedeker & Gibbons (1997),
    doi:10.1037/1082-989X.2.1.64.

    Examples
    --------
    >>> from alliance_stats import example_study, pattern_mixture
    >>> sessions = example_study().sessions.assign(
    ...     pattern=lambda d: (d["ending"] == "dropout").map({True: "left", False: "stayed"})
    ... )
    >>> mixture = pattern_mixture(
    ...     "symptoms ~ session + (1 | family/person)", sessions, pattern="pattern", unit="family"
    ... )
    >>> mixture.tidy()[["term", "estimate", "std_error"]].round(2)
              term  estimate  std_error
    0  (Intercept)     58.66       0.44
    1      session     -0.71       0.02
    """
    data = check_frame(data)
    if not data.index.is_unique:  # rows are found again by their labels
        data = data.reset_index(drop=True)
    arms = None if group is None else as_columns(data, group)
    _check_units(data, pattern=pattern, unit=unit, arms=arms or ())
    parsed = parse_formula(formula)
    simple = lmm(formula, data)
    if pattern in simple.design.frame.columns:
        raise DataError(f"'{pattern}' stands in the formula already; it is added to every term.")
    frame = data.loc[simple.design.index]
    labels = frame[pattern].astype(object).map(plain_number).astype(str)
    names = sorted(labels.unique())
    if len(names) < 2:
        raise NotIdentifiedError(f"'{pattern}' has one value: there is nothing to average over.")
    fit = _within_patterns(parsed, replaced(frame, {_PATTERN: labels}), pattern)
    maps = [_coefficients_of(simple, fit, replaced(frame, {_PATTERN: level})) for level in names]
    stacked = np.vstack(maps)
    within = (stacked @ fit.beta.to_numpy()).reshape(len(names), -1)
    within_covariance: Array = stacked @ fit.vcov().to_numpy() @ stacked.T
    labelled = replaced(frame, {pattern: labels})
    average = _average(simple, labelled, (within, within_covariance), (pattern, unit), arms)
    return PatternMixture(
        fit=fit,
        terms=tuple(str(term) for term in simple.beta.index[simple.beta.notna()]),
        patterns=_shares(average.counts.sum(axis=0, keepdims=True), names, pd.DataFrame(index=[0])),
        group=average.group,
        shares=_shares(average.counts, names, average.keys),
        estimate=average.estimate,
        covariance=average.covariance,
        within=within,
        within_covariance=within_covariance,
        notes=(_CARRIED_ON, *average.notes),
        rows=simple.rows,
    )


def _within_patterns(parsed: MixedFormula, frame: pd.DataFrame, pattern: str) -> LinearMixedModel:
    """Fit the model with every fixed coefficient of its own in each pattern."""
    fixed = crossed(parsed.fixed, CONSTANT + column(_PATTERN))
    fit = lmm(formula_of(parsed.outcome, fixed, parsed.random), frame)
    if fit.beta.isna().any():
        missing = ", ".join(fit.beta.index[fit.beta.isna()][:4])
        raise NotIdentifiedError(
            f"Within a pattern of '{pattern}' the rows do not hold every coefficient ({missing} "
            "cannot be estimated): someone who left after one session has no slope. Join patterns."
        )
    return fit


@dataclass(frozen=True, slots=True, eq=False)
class _Average:
    """Coefficients averaged by shares; units by group and pattern, the groups, and notes."""

    estimate: Array
    covariance: Array
    counts: Array
    group: tuple[Hashable, ...]
    keys: pd.DataFrame
    notes: tuple[str, ...]


def _average(
    simple: LinearMixedModel,
    frame: pd.DataFrame,
    within: tuple[Array, Array],
    columns: tuple[str, str],
    arms: tuple[Hashable, ...] | None,
) -> _Average:
    """Average by each group's shares, or by pooled ones where the formula does not separate groups.

    `frame` has the patterns' labels; `columns` are those of pattern and unit.
    """
    pattern, unit = columns
    units = frame.drop_duplicates(unit)
    names = sorted(frame[pattern].unique())
    asked = arms if arms is not None else _groupings(simple, frame, unit)
    cells = _codes(frame, asked)
    counts = _counts(units[pattern], _codes(units, asked), names)
    averaged = _averaged(simple.design.X, cells, counts, *within)
    notes: tuple[str, ...] = ()
    if averaged is None:
        crossing = ", ".join(f"'{name}'" for name in asked)
        if arms is not None:
            raise NotIdentifiedError(
                f"With shares of each {crossing}, every coefficient differs between its groups, "
                "and the formula does not cross every term with it. Write (...) * "
                f"{' * '.join(map(str, asked))}, or give group=() for pooled shares."
            )
        notes = (
            f"Shares are pooled over the groups of {crossing}, with which the formula does not "
            "cross every term: where more leave one group than the other, these are not the "
            "groups' means.",
        )
        asked, cells = (), np.zeros(len(frame), dtype=np.int64)
        counts = counts.sum(axis=0, keepdims=True)
        averaged = _averaged(simple.design.X, cells, counts, *within)
        assert averaged is not None  # one share a pattern: the coefficients' own average
    return _Average(*averaged, counts, asked, _keys(units, asked), notes)


def _check_units(data: pd.DataFrame, *, pattern: str, unit: str, arms: Sequence[Hashable]) -> None:
    """Refuse patterns and arms that are missing or vary within a unit."""
    require_columns(data, [pattern, unit, *arms])
    require_present(data, pattern, why="to know when the unit left")
    require_present(data, unit, why="to count the units of each pattern")
    several = units_with_several(data, unit=unit, column=pattern)
    if len(several):
        raise DataError(f"'{several[0]}' has several values of '{pattern}': a unit leaves once.")
    for arm in arms:
        require_present(data, arm, why="to count the units of each group")
        several = units_with_several(data, unit=unit, column=arm)
        if len(several):
            raise DataError(
                f"'{several[0]}' has several values of '{arm}': only groups that whole units "
                "belong to have shares of their own."
            )


def _groupings(model: LinearMixedModel, frame: pd.DataFrame, unit: str) -> tuple[Hashable, ...]:
    """Return the formula's columns that group whole units into a few groups."""
    return tuple(
        name
        for name in variables_of(model.design.formula.fixed)
        if name != unit
        and 1 < len(frame[name].unique()) <= _FEW
        and not len(units_with_several(frame, unit=unit, column=str(name)))
    )


def _codes(frame: pd.DataFrame, arms: tuple[Hashable, ...]) -> Integers:
    """Return the number of each row's group, in the order of :func:`_keys`."""
    if not arms:
        return np.zeros(len(frame), dtype=np.int64)
    return np.asarray(frame.groupby(list(arms), observed=True).ngroup(), dtype=np.int64)


def _keys(units: pd.DataFrame, arms: tuple[Hashable, ...]) -> pd.DataFrame:
    """Return the values that define each group, one row per group."""
    if not arms:
        return pd.DataFrame(index=[0])
    return units.groupby(list(arms), observed=True).size().index.to_frame(index=False)


def _counts(patterns: pd.Series, cells: Integers, names: Sequence[str]) -> Array:
    """Count units (groups, patterns)."""
    counts = np.zeros((int(cells.max()) + 1, len(names)))
    np.add.at(counts, (cells, np.searchsorted(names, patterns.to_numpy(dtype=str))), 1.0)
    return counts


def _shares(counts: Array, names: Sequence[str], keys: pd.DataFrame) -> pd.DataFrame:
    """Return each group's units and shares by pattern, one row per group and pattern."""
    table = keys.loc[np.repeat(keys.index, len(names))].reset_index(drop=True)
    return table.assign(
        pattern=np.tile(names, len(keys)),
        n_units=counts.ravel().astype(np.int64),
        share=(counts / counts.sum(axis=1, keepdims=True)).ravel(),
    )


def _averaged(
    X: Array, cells: Integers, counts: Array, within: Array, covariance: Array
) -> tuple[Array, Array] | None:
    """Return the coefficients of means averaged by each group's shares, and their covariance.

    None where the columns X do not span those means.
    """
    n_units = counts.sum(axis=1)
    share = counts / n_units[:, None]
    lines = X @ within.T
    means = (share[cells] * lines).sum(axis=1)
    maps = np.hstack(
        [
            np.linalg.lstsq(X, X * share[cells, k][:, None], rcond=None)[0]
            for k in range(len(within))
        ]
    )
    estimate = maps @ within.ravel()
    if np.abs(X @ estimate - means).max() > _EXACT * max(np.abs(means).max(), np.ptp(lines)):
        return None
    total = maps @ covariance @ maps.T
    for a, pi in enumerate(share):  # the shares of a group are those of a multinomial sample
        moved = np.linalg.lstsq(X, lines * (cells == a)[:, None], rcond=None)[0]
        off = moved - (moved @ pi)[:, None]
        total = total + (off * pi) @ off.T / n_units[a]
    return np.asarray(estimate), np.asarray(total)


def _coefficients_of(simple: LinearMixedModel, fit: LinearMixedModel, frame: pd.DataFrame) -> Array:
    """Return the matrix that takes all coefficients to those of one pattern."""
    X = fixed_columns(fit.design, frame)
    found = np.linalg.lstsq(simple.design.X, X, rcond=None)[0]
    return np.asarray(found)

"""Analysis of variance as papers print it: factors between and within persons, covariates."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.association.planned_contrasts import Cells, planned_contrasts
from alliance_stats.association.variance_analysis import (
    Effect,
    Kind,
    between_columns,
    eta_interval,
    variance_analysis,
)
from alliance_stats.checks import (
    check_choice,
    check_conf_level,
    check_frame,
    check_spelling,
    describe_rows,
    finite_or_missing,
    group_codes,
    require_columns,
    units_with_several,
)
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger

__all__ = ["AnalysisOfVariance", "anova"]

CORRECTIONS = ("greenhouse-geisser", "huynh-feldt", "none")
_KINDS = ("I", "II", "III")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnalysisOfVariance:
    """An analysis of variance, made by :func:`anova`.

    Attributes
    ----------
    outcome
        The outcome's column.
    between, within, covariates
        The columns of the design.
    observed
        Factors that were observed, not manipulated: they count in generalized eta squared.
    kind
        Sums of squares, ``"I"``, ``"II"`` or ``"III"``.
    effects
        The lines of the analysis.
    cells
        ``n``, ``mean`` and ``sd`` of each combination of factors, over the persons used.
    scores
        (persons, cells) outcomes used, cells in the order of `within_cells`.
    within_cells
        Levels of the within factors of each column of `scores`.
    groups
        Combination of the between factors of each person.
    notes
        What to know before reading.
    rows
        What happened to the rows.
    """

    outcome: str
    between: tuple[str, ...]
    within: tuple[str, ...]
    covariates: tuple[str, ...]
    observed: tuple[str, ...]
    kind: Kind
    effects: tuple[Effect, ...]
    cells: pd.DataFrame
    scores: Array
    within_cells: pd.DataFrame
    groups: pd.DataFrame
    notes: tuple[str, ...]
    rows: RowLedger

    __repr__ = one_line

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        parts = []
        if self.between:
            parts.append(f"{', '.join(self.between)} between")
        if self.within:
            parts.append(f"{', '.join(self.within)} within persons")
        name = "analysis of covariance" if self.covariates else "analysis of variance"
        held = f", holding {', '.join(self.covariates)} constant" if self.covariates else ""
        return f"{name} of {self.outcome} ({'; '.join(parts)}{held}; type {self.kind})"

    def tidy(
        self, *, correction: str = "greenhouse-geisser", conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Return one row an effect.

        Parameters
        ----------
        correction
            Of effects within persons that have more than one contrast: ``"greenhouse-geisser"``,
            ``"huynh-feldt"`` or ``"none"``. Both df are multiplied by epsilon.
        conf_level
            Coverage of the intervals of partial eta squared.

        Returns
        -------
        DataFrame
            ``term, ss, ss_error, df1, df2, statistic`` (F), ``p_value, eta2_partial, conf_low,
            conf_high`` (of partial eta squared, from the noncentral F with uncorrected df),
            ``eta2_generalized`` (Olejnik & Algina 2003, doi:10.1037/1082-989X.8.4.434),
            ``epsilon`` used, ``epsilon_gg, epsilon_hf, mauchly_w, mauchly_p``.
        """
        check_choice(correction, CORRECTIONS, name="correction")
        check_conf_level(conf_level)
        errors = {effect.within: effect.ss_error for effect in self.effects}
        if () not in errors and self.within:
            grand = self.scores.mean(axis=1)
            errors[()] = float(self.scores.shape[1] * ((grand - grand.mean()) ** 2).sum())
        all_errors = sum(errors.values())
        measured = [e for e in self.effects if set(e.between + e.within) & set(self.observed)]
        rows = []
        for effect in self.effects:
            epsilon = {"greenhouse-geisser": effect.gg, "huynh-feldt": effect.hf, "none": 1.0}[
                correction
            ]
            df1, df2 = effect.df * epsilon, effect.df_error * epsilon
            low, high = eta_interval(effect.f, effect.df, effect.df_error, conf_level=conf_level)
            others = sum(e.ss for e in measured if e is not effect)
            rows.append(
                {
                    "term": ":".join((*effect.between, *effect.within)),
                    "ss": effect.ss,
                    "ss_error": effect.ss_error,
                    "df1": df1,
                    "df2": df2,
                    "statistic": effect.f,
                    "p_value": float(stats.f.sf(effect.f, df1, df2)),
                    "eta2_partial": effect.ss / (effect.ss + effect.ss_error),
                    "conf_low": low,
                    "conf_high": high,
                    "eta2_generalized": effect.ss / (effect.ss + others + all_errors),
                    "epsilon": epsilon,
                    "epsilon_gg": effect.gg,
                    "epsilon_hf": effect.hf,
                    "mauchly_w": effect.mauchly_w,
                    "mauchly_p": effect.mauchly_p,
                }
            )
        return pd.DataFrame(rows)

    def glance(self) -> pd.DataFrame:
        """Return one row: ``nobs, n_persons, n_cells, kind``."""
        n_persons, n_cells = self.scores.shape
        return pd.DataFrame(
            [
                {
                    "nobs": n_persons * n_cells,
                    "n_persons": n_persons,
                    "n_cells": len(self.cells),
                    "kind": self.kind,
                }
            ]
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the cells and the tests as data (Greenhouse-Geisser where it applies)."""
        names = (*self.between, *self.within)
        cells = Section(
            "Cell",
            self.cells,
            names=names,
            columns={"n": Column("n", "count"), "mean": Column("M"), "sd": Column("SD")},
        )
        effects = Section(
            "Effect",
            self.tidy(conf_level=conf_level),
            names=("term",),
            statistic="F",
            columns={
                "eta2_partial": Column("partial η²", "bounded", "conf_low", "conf_high"),
                "eta2_generalized": Column("generalized η²", "bounded"),
            },
            conf_level=conf_level,
        )
        corrected = any(effect.gg < 1.0 for effect in self.effects)
        remarks = (
            ("Degrees of freedom within persons are corrected as Greenhouse and Geisser do.",)
            if corrected
            else ()
        )
        sizes = {"rows": self.rows.n_used, "persons": len(self.scores)}
        return Account(self.method, self.notes, sizes, (cells, effects), remarks, self.rows)

    summary = summary_of
    _repr_html_ = html_of

    def planned(
        self,
        factor: str,
        weights: Mapping[str, Mapping[object, float]],
        *,
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return planned contrasts of one factor's means, others averaged with equal weights.

        Parameters
        ----------
        factor
            One factor of the design.
        weights
            Name of a contrast -> level -> weight; levels left out weigh 0. Weights sum to 0.
        conf_level
            Coverage of each interval by itself.

        Returns
        -------
        DataFrame
            ``contrast, estimate, std_error, statistic`` (t), ``df, p_value, conf_low, conf_high``,
            in units of the outcome. A contrast within persons has the error of its own scores, so
            that it needs no sphericity. Covariates are not adjusted for.

        Raises
        ------
        DataError
            A factor or a level that is not in the design, or weights that do not sum to 0.
        """
        if self.covariates:
            raise NotIdentifiedError(
                "Planned contrasts with covariates: fit lmm or regression and ask contrasts()."
            )
        cells = Cells(self.scores, self.groups, self.within_cells)
        return planned_contrasts(cells, factor, weights, conf_level=conf_level)


def anova(
    data: pd.DataFrame,
    *,
    outcome: str,
    between: str | Sequence[str] = (),
    within: str | Sequence[str] = (),
    person: str | None = None,
    covariates: str | Sequence[str] = (),
    observed: str | Sequence[str] = (),
    kind: Kind = "III",
) -> AnalysisOfVariance:
    """Analyse the variance of an outcome: one- and two-way, repeated, mixed, with covariates.

    Parameters
    ----------
    data
        One row a person, or (with `within`) one row a person and cell.
    outcome
        Numeric column.
    between
        Factors between persons, crossed with one another.
    within
        Factors within persons, crossed; a person lacking a cell is set aside whole and counted. A
        mixed model (``lmm``) keeps such persons and needs no sphericity.
    person
        Column of persons; needed with `within`.
    covariates
        Numeric columns, constant within persons, centred at their mean.
    observed
        Factors that were observed, not manipulated, for generalized eta squared.
    kind
        Sums of squares ``"I"``, ``"II"`` or ``"III"`` (with factors coded to sum to zero), which
        differ where groups differ in size. I takes covariates first, then factors as given.

    Returns
    -------
    AnalysisOfVariance
        With ``tidy()``, ``glance()``, ``planned()``, ``summary()``; ``cells`` has the means.

    Raises
    ------
    DataError
        A column that does not exist or is not numeric; a person twice in a cell; a factor between
        that varies within a person.
    NotIdentifiedError
        A factor with one level, a constant outcome, a combination of factors without a person, too
        few complete persons.

    Notes
    -----
    Sums of squares as those of R's ``car::Anova`` (types II and III) and ``aov`` (type I).

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import anova
    >>> scores = pd.DataFrame({"group": list("aaabbb"), "after": [4, 5, 6, 7, 8, 9]})
    >>> float(anova(scores, outcome="after", between="group").tidy()["statistic"].iloc[0].round(6))
    13.5
    """
    check_choice(kind, _KINDS, name="kind")
    data = check_frame(data)
    b, w, c, seen = (_listed(x) for x in (between, within, covariates, observed))
    _check_design(b, w, c, seen, person, outcome)
    require_columns(data, [outcome, *b, *w, *c, person])
    for name in (*b, *w, *([person] if person else [])):
        check_spelling(data[name], kind="level")
    rows = RowLedger.start(data, {person: (person,)} if person else None)
    used = data
    numbers = {name: finite_or_missing(data, name) for name in (outcome, *c)}
    for name in dict.fromkeys([*([person] if person else []), *b, *w, *c, outcome]):
        missing = used[name].isna().to_numpy()
        used, rows = rows.keep(used, ~missing, reason=f"'{name}' is missing")
        numbers = {key: values[~missing] for key, values in numbers.items()}
    if len(used) == 0:
        raise DataError(f"No row has all that is needed: {rows}")
    _check_levels(used, (*b, *w))
    if w:
        used, Y, cells, rows = _wide(used, numbers[outcome], b, w, c, str(person), rows)
    else:
        if person is not None and used[person].duplicated().any():
            twice = used[person].duplicated(keep=False).to_numpy()
            raise DataError(
                f"'{person}' has several rows ({describe_rows(twice, used.index)}); name the "
                "factor that tells them apart in within=, or keep one row a person."
            )
        Y, cells = numbers[outcome][:, None], pd.DataFrame(index=[0])
    _check_levels(used, b)
    if np.ptp(Y) == 0.0:
        raise NotIdentifiedError(f"'{outcome}' is {Y.flat[0]:g} everywhere: it has no variance.")
    scale = float(np.abs(Y - Y.mean()).max())
    columns = between_columns(
        [(name, *_codes(used[name])) for name in b],
        [(name, used[name].to_numpy(dtype=np.float64)) for name in c],
    )
    factors = [(name, cells[name].nunique()) for name in w]
    found = variance_analysis((Y - Y.mean()) / scale, columns, factors, kind=kind)
    effects = tuple(_scaled(effect, scale**2) for effect in found)
    groups = used[list(b)].reset_index(drop=True)
    notes = _notes(rows, person, w)
    table = _cell_table(Y, groups, cells)
    return AnalysisOfVariance(
        outcome, b, w, c, seen, kind, effects, table, Y, cells, groups, notes, rows
    )


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _check_design(  # noqa: PLR0917
    b: tuple[str, ...],
    w: tuple[str, ...],
    c: tuple[str, ...],
    observed: tuple[str, ...],
    person: str | None,
    outcome: str,
) -> None:
    if not b and not w:
        raise DataError("Name at least one factor, in between= or within=.")
    if w and person is None:
        raise DataError("Factors within persons need person=, the column of persons.")
    everything = [*b, *w, *c, outcome, *([person] if person else [])]
    twice = [name for name in everything if everything.count(name) > 1]
    if twice:
        raise DataError(f"'{twice[0]}' has two parts in the design; a column can have one.")
    strange = [name for name in observed if name not in (*b, *w)]
    if strange:
        raise DataError(f"observed= names '{strange[0]}', which is no factor of the design.")


def _check_levels(used: pd.DataFrame, factors: Sequence[str]) -> None:
    for name in factors:
        if used[name].nunique() < 2:
            raise NotIdentifiedError(
                f"'{name}' has one level in the rows used ('{used[name].iloc[0]}'): its effect "
                "cannot be estimated. Leave it out."
            )


def _wide(  # noqa: PLR0917
    used: pd.DataFrame,
    values: Array,
    b: tuple[str, ...],
    w: tuple[str, ...],
    c: tuple[str, ...],
    person: str,
    rows: RowLedger,
) -> tuple[pd.DataFrame, Array, pd.DataFrame, RowLedger]:
    """Return a row a complete person, their cells, and what each cell is."""
    for name in (*b, *c):
        varying = units_with_several(used, unit=person, column=name)
        if len(varying):
            raise DataError(
                f"'{name}' varies within '{person}' '{varying[0]}', though it is said to be "
                "between persons. Name it in within=, or correct the rows."
            )
    twice = used.duplicated([person, *w], keep=False).to_numpy()
    if twice.any():
        raise DataError(
            f"A '{person}' stands twice in a cell of {', '.join(w)}: "
            f"{describe_rows(twice, used.index)}. Average such rows first, or fit a mixed model."
        )
    levels = [group_codes(used[name])[1] for name in w]
    cells = pd.DataFrame(list(itertools.product(*levels)), columns=list(w))
    complete = used.groupby(person, observed=True)[w[0]].transform("size") == len(cells)
    reason = f"'{person}' lacks a cell of {' x '.join(w)}"
    kept = complete.to_numpy(dtype=bool)
    used, rows = rows.keep(used, kept, reason=reason)
    if used[person].nunique() < 2:
        raise NotIdentifiedError(
            f"Fewer than two of '{person}' have all {len(cells)} cells of {' x '.join(w)}. A mixed "
            "model (lmm) uses persons with some of them."
        )
    codes = np.zeros(len(used), dtype=np.int64)
    for name, labels in zip(w, levels, strict=True):
        codes = codes * len(labels) + labels.get_indexer(used[name])
    order = np.lexsort([codes, pd.factorize(used[person])[0]])
    Y = values[kept][order].reshape(-1, len(cells))
    return used.iloc[order[:: len(cells)]], Y, cells, rows


def _codes(values: pd.Series) -> tuple[npt.NDArray[np.int64], int]:
    codes, labels = group_codes(values)
    return codes, len(labels)


def _scaled(effect: Effect, factor: float) -> Effect:
    return replace(effect, ss=effect.ss * factor, ss_error=effect.ss_error * factor)


def _notes(rows: RowLedger, person: str | None, w: tuple[str, ...]) -> tuple[str, ...]:
    if not w or person is None:
        return ()
    lost = rows.steps[0].units_left[person] - rows.units(person)
    if not lost:
        return ()
    return (
        f"{plural(lost, 'person')} without all cells of {' x '.join(w)} were set aside. A mixed "
        "model (lmm) keeps them, and is right where leaving depends on what was seen before.",
    )


def _cell_table(Y: Array, groups: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for place in range(Y.shape[1]):
        own = cells.iloc[[place] * len(Y)].reset_index(drop=True)
        parts.append(pd.concat([groups, own], axis=1).assign(_value=Y[:, place]))
    long = pd.concat(parts, ignore_index=True)
    names = [name for name in long.columns if name != "_value"]
    table = long.groupby(names, observed=True, sort=True)["_value"].agg(["size", "mean", "std"])
    return table.rename(columns={"size": "n", "std": "sd"}).reset_index()

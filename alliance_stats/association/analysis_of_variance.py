"""Analysis of variance as papers report it: tests, effect sizes, planned contrasts."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.association.variance_analysis import (
    Cells,
    Effect,
    Kind,
    eta_interval,
    planned_contrasts,
)
from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, one_line
from alliance_stats.ledger import RowLedger

__all__ = ["AnalysisOfVariance"]

CORRECTIONS = ("greenhouse-geisser", "huynh-feldt", "none")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnalysisOfVariance:
    """An analysis of variance, returned by :func:`anova`.

    Attributes
    ----------
    outcome
        Column of the outcome.
    between, within, covariates
        The columns of the design.
    observed
        Factors that were observed, not manipulated: they enter generalized eta squared.
    kind
        Type of sums of squares: ``"I"``, ``"II"`` or ``"III"``.
    effects
        The rows of the analysis-of-variance table.
    cells
        ``n``, ``mean`` and ``sd`` of each combination of factors, over the persons used.
    scores
        Outcomes used, (persons, cells), cells in the order of `within_cells`.
    within_cells
        Levels of the within factors of each column of `scores`.
    groups
        Combination of the between factors of each person.
    person
        Column of persons; None if none was given.
    long
        All complete rows, including those of persons who lack a cell.
    notes
        What the reader should know first.
    rows
        Ledger of the rows used and set aside.
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
    person: str | None
    long: pd.DataFrame
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
        """Return one row per effect.

        Parameters
        ----------
        correction
            For within-person effects with more than one contrast: ``"greenhouse-geisser"``,
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
                    "term": ":".join(map(str, (*effect.between, *effect.within))),
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
        return Account.of(
            self, sizes, (cells, effects), remarks, sources=("maxwell2018", "olejnik2003")
        )

    summary = summary_of
    _repr_html_ = html_of

    def planned(
        self,
        factor: str,
        weights: Mapping[str, Mapping[object, float]],
        *,
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return planned contrasts of one factor's means, averaged equally over the others.

        Parameters
        ----------
        factor
            One factor of the design.
        weights
            Name of a contrast -> level -> weight; levels left out weigh 0. Weights sum to 0.
        conf_level
            Coverage of each interval taken separately.

        Returns
        -------
        DataFrame
            ``contrast, estimate, std_error, statistic`` (t), ``df, p_value, conf_low, conf_high``,
            in units of the outcome. A within-person contrast uses the error of its own scores and
            so does not assume sphericity. Covariates are not adjusted for.

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

"""Ordinal ratings by level of a predictor: probabilities, mean steps and differences."""

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.arguments import kind_of
from alliance_stats.checks import check_choice
from alliance_stats.design.formula import OwnColumn
from alliance_stats.door import replaced
from alliance_stats.engine.multiple_tests import SIMPLE
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.estimates import Array, estimate_columns, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.after.contrast_families import adjusted
from alliance_stats.multilevel.after.reference_grid import (
    At,
    Predictor,
    check_at,
    label_of,
    names_of,
    predictors,
    require_predictor,
    several,
    values_at,
)
from alliance_stats.multilevel.ordinal_mixed_model import OrdinalMixedModel
from alliance_stats.multilevel.step_probabilities import cumulative_with_slopes, logit_limits

__all__ = ["StepMeans", "step_means"]

# Different values of a number that are taken as they are.
MOST_VALUES = 12


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StepMeans:
    """Probabilities of steps at values of predictors, made by :func:`step_means`.

    Attributes
    ----------
    formula
        The model's.
    cells
        The values of the predictors, one row per cell.
    steps, scores
        Labels of the steps, lowest first, and the numeric scores averaged in a mean step.
    below
        P(y <= step) of each cell, averaged over rows: (cells, J + 1), from 0 to 1.
    covariance
        Covariance of all `below`, cell by cell.
    level
        ``"population"`` or ``"typical"``.
    rows
        The row ledger.
    """

    formula: str
    cells: pd.DataFrame
    steps: tuple[Hashable, ...]
    scores: Array
    below: Array
    covariance: Array
    level: str
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the probability of each step, one row per cell and step.

        Returns
        -------
        DataFrame
            The predictors, ``step, estimate, std_error, conf_low, conf_high``: by the delta method,
            symmetric on the logit scale, random-effects variances taken as known.
        """
        k = len(self.steps)
        return self._table(np.diff(np.eye(k + 1), axis=0), self.steps, conf_level)

    def cumulative(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the probability of each step or lower, except the last; as :meth:`tidy`."""
        k = len(self.steps)
        return self._table(np.eye(k + 1)[1:-1], self.steps[:-1], conf_level)

    def means(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the mean step of each cell: the predictors and the columns of estimates.

        Steps are scored by their numeric labels, or from 1 if labels are not numeric.
        """
        A = self._in_cells(self._mean_weights()[None])
        return pd.concat([self.cells, self._linear(A, conf_level)], axis=1)

    def contrasts(
        self,
        *,
        adjust: Literal["none", "mvt", "holm", "bonferroni", "sidak", "fdr"] = "none",
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return differences between cells, pair by pair: of each step's probability, and the mean.

        Parameters
        ----------
        adjust
            For the number of pairs; the pairs of each step (and of the mean) form a family:
            ``"mvt"`` jointly by the multivariate normal distribution, ``"holm"`` (intervals by
            Bonferroni's), ``"bonferroni"``, ``"sidak"``, ``"fdr"`` (intervals unadjusted).
        conf_level
            Joint coverage within a family, unless ``adjust="none"``.

        Returns
        -------
        DataFrame
            ``contrast`` (as "A - B"), ``step`` (``"mean"`` for the mean step), ``estimate,
            std_error, statistic, df, p_value, conf_low, conf_high`` (Wald; p-values and limits
            adjusted, the statistic each pair's own).
        """
        check_choice(adjust, ("none", "mvt", *SIMPLE), name="adjust")
        k, names = len(self.steps), self._names()
        rules = np.concatenate([np.diff(np.eye(k + 1), axis=0), self._mean_weights()[None]])
        each = self._in_cells(rules)
        labels = [*self.steps, "mean"]
        pairs = list(itertools.combinations(range(len(names)), 2))
        cells = each.reshape(len(names), k + 1, -1)
        A = np.array([cells[b] - cells[a] for a, b in pairs]).reshape(-1, each.shape[1])
        table = self._linear(A, conf_level)
        for place in range(k + 1):
            own = np.arange(place, len(table), k + 1)
            p, critical = adjusted(
                adjust, table.iloc[own], A[own] @ self.covariance @ A[own].T, conf_level
            )
            half = critical * table.loc[own, "std_error"]
            table.loc[own, "p_value"] = p
            table.loc[own, "conf_low"] = table.loc[own, "estimate"] - half
            table.loc[own, "conf_high"] = table.loc[own, "estimate"] + half
        table.insert(0, "contrast", [f"{names[b]} - {names[a]}" for a, b in pairs for _ in labels])
        table.insert(1, "step", np.array(labels * len(pairs), dtype=object))
        return table

    def glance(self) -> pd.DataFrame:
        """Return one row: cells, steps and the level of the averages."""
        row = {"n_cells": len(self.cells), "n_steps": len(self.steps), "level": self.level}
        return pd.DataFrame([row])

    @property
    def method(self) -> str:
        """What was averaged."""
        unit = "units' effects integrated out" if self.level == "population" else "a typical unit"
        return (
            f"probabilities of steps ({unit}), averaged over the rows as observed ({self.formula})"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Return no notes."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the probabilities and the means as data."""
        by = tuple(map(str, self.cells.columns))
        chances = Section(
            "Probabilities",
            _named(self.tidy(conf_level=conf_level)),
            names=(*by, "step"),
            conf_level=conf_level,
            measure="probability",
        )
        means = Section("Mean step", _named(self.means(conf_level=conf_level))[
            [*by, "estimate", "std_error", "conf_low", "conf_high"]],
            names=by, conf_level=conf_level, measure="mean")  # fmt: skip
        return Account.of(
            self, {"rows": self.rows.n_used}, (chances, means), sources=("hanmer2013",)
        )

    summary = summary_of
    _repr_html_ = html_of

    def _mean_weights(self) -> Array:
        """Return the weights that turn P(y <= j) into a mean (summation by parts)."""
        weights = np.zeros(len(self.steps) + 1)
        weights[1:-1] = -np.diff(self.scores)
        weights[-1] = self.scores[-1]
        return np.asarray(weights, dtype=np.float64)

    def _in_cells(self, rules: Array) -> Array:
        return np.asarray(np.kron(np.eye(len(self.cells)), rules), dtype=np.float64)

    def _names(self) -> list[str]:
        return [", ".join(map(str, row)) for row in self.cells.itertuples(index=False)]

    def _linear(self, A: Array, conf_level: float) -> pd.DataFrame:
        error = np.sqrt(np.maximum(np.einsum("ip,pq,iq->i", A, self.covariance, A), 0.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            return estimate_columns(A @ self.below.ravel(), error, conf_level=conf_level)

    def _table(self, rules: Array, steps: Sequence[Hashable], conf_level: float) -> pd.DataFrame:
        A = self._in_cells(rules)
        estimate = A @ self.below.ravel()
        error = np.sqrt(np.maximum(np.einsum("ip,pq,iq->i", A, self.covariance, A), 0.0))
        low, high = logit_limits(estimate, error, conf_level)
        frame = self.cells.loc[self.cells.index.repeat(len(steps))].reset_index(drop=True)
        return frame.assign(
            step=np.tile(np.array(steps, dtype=object), len(self.cells)),
            estimate=estimate, std_error=error, conf_low=low, conf_high=high,
        )  # fmt: skip


def _named(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns=str)


def step_means(
    model: OrdinalMixedModel,
    by: str | Sequence[str],
    *,
    at: At | None = None,
    level: Literal["population", "typical"] = "population",
) -> StepMeans:
    """Return probabilities of steps and mean steps at each level of predictors.

    Parameters
    ----------
    model
        A fit of ``ordinal``.
    by
        Predictors, one or several: every combination of their values is a cell.
    at
        Predictor -> one or more values, such as ``{"session": [1, 5, 10]}``; a predictor in `by`
        takes by default all its values that occur. One that is not in `by` is set to its
        value in all cells.
    level
        ``"population"``: the mean over units. ``"typical"``: a unit whose effects are zero.

    Returns
    -------
    StepMeans
        With ``tidy()``, ``means()``, ``contrasts()``, ``cumulative()``; drawn by
        ``figures.step_figure``.

    Raises
    ------
    DataError
        A numeric predictor with many values but no `at`, or an unknown value.
    FormulaError
        A name that is no predictor of the model, is given twice, or is a column of the result.

    Notes
    -----
    For each cell, all rows of the fit are given the cell's values, everything else as observed, and
    their probabilities are averaged (g-computation; Hanmer & Kalkan 2013,
    doi:10.1111/j.1540-5907.2012.00602.x). Standard errors are by the delta method.

    Examples
    --------
    >>> from alliance_stats import example_study, ordinal, step_means
    >>> early = example_study().sessions.query("session <= 3")
    >>> rated = early.assign(rating=early["alliance"].round())
    >>> model = ordinal("rating ~ role + (1 | family/person)", rated)
    >>> step_means(model, "role").means()["role"].tolist()
    ['child', 'father', 'mother', 'partner']
    """
    if not isinstance(model, OrdinalMixedModel):
        raise DataError(f"step_means takes a model fitted by ordinal; got {kind_of(model)}.")
    check_choice(level, ("population", "typical"), name="level")
    frame, fit = model.design.frame, model.fit
    shown, given = names_of(by), dict(check_at(at) or {})
    for name in several(at, shown):
        raise DataError(f"at= gives '{name}' several values: name it in by= for a cell at each.")
    taken = [name for name in shown if isinstance(label_of(name), OwnColumn)]
    if taken:
        raise FormulaError(
            f"'{taken[0]}' is the name of a column of this result too: rename the predictor."
        )
    known = predictors(model.design)
    values = {
        name: values_at(predictor, given[name]) if name in given else _values(predictor)
        for name in [*shown, *(name for name in given if name not in shown)]
        if (predictor := require_predictor(name, known))
    }
    cells = pd.DataFrame(list(itertools.product(*values.values())), columns=list(values))
    below, slopes = [], []
    for cell in cells.itertuples(index=False):
        columns: dict[Hashable, object] = {
            name: known[name].column([value] * len(frame)).set_axis(frame.index)
            for name, value in zip(values, cell, strict=True)
        }
        moved = replaced(frame, columns)
        own, own_slopes = cumulative_with_slopes(fit, moved, level=level)
        below.append(own.mean(axis=0))
        slopes.append(own_slopes.mean(axis=0))
    J = np.concatenate(slopes)
    cells = cells[list(shown)]
    return StepMeans(
        model.formula, cells, fit.steps, model.scores, np.array(below),
        J @ fit.joint_vcov @ J.T, level, model.rows,
    )  # fmt: skip


def _values(predictor: Predictor) -> list[object]:
    """Return all values of a predictor that occur, if they are few."""
    if predictor.levels is not None:
        return list(predictor.levels)
    seen = sorted(predictor.values.unique())
    if len(seen) > MOST_VALUES:
        raise DataError(
            f"'{predictor.name}' has {len(seen)} different values: say at which of them, "
            f"at={{'{predictor.name}': [{seen[0]}, ..., {seen[-1]}]}}."
        )
    return list(seen)

"""Coefficients in standard deviations at the level at which each predictor varies."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import check_conf_level
from alliance_stats.design.formula import CONSTANT, INTERCEPT, formula_of, intercepts
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Coefficients, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.linear_functions import DfMethod, inference_on
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.multilevel.mixed_models import lmm

__all__ = ["StandardisedCoefficients", "standardised_coefficients"]

# Relative spread within units that is rounding: the column is a property of the unit.
CONSTANT_WITHIN = 1e-9


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StandardisedCoefficients:
    """Standardised coefficients, made by :func:`standardised_coefficients`.

    Attributes
    ----------
    model
        The fitted model.
    empty
        The model without predictors, which gives the outcome's variance at each level.
    terms, levels
        The coefficients, and the level at which each predictor varies: a grouping factor, or
        ``"rows"``.
    sd_outcome, sd_predictor
        The SDs at that level, (terms,).
    """

    model: LinearMixedModel
    empty: LinearMixedModel
    terms: tuple[str, ...]
    levels: tuple[str, ...]
    sd_outcome: Array
    sd_predictor: Array

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """The ledger of the fit's rows."""
        return self.model.rows

    def tidy(
        self, *, df_method: DfMethod = "satterthwaite", conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Return one row per coefficient.

        Returns
        -------
        DataFrame
            ``term, level, sd_outcome, sd_predictor`` (in their own units), then ``estimate,
            std_error, statistic, df, p_value, conf_low, conf_high``: the coefficient times
            ``sd_predictor / sd_outcome``, the SDs taken as known. Tests are those of the model.
        """
        check_conf_level(conf_level)
        inference = inference_on(self.model.fit, df_method)
        fixed = self.model.design.fixed
        names = [fixed.names[i] for i in fixed.kept]
        with np.errstate(divide="ignore"):
            scale = self.sd_predictor / self.sd_outcome
        own = scale[:, None] * np.eye(len(names))[[names.index(t) for t in self.terms]]
        known = np.isfinite(scale)
        C = np.where(known[:, None], own, 0.0)
        covariance = C @ inference.covariance @ C.T
        df = np.full(len(C), np.nan)
        df[known] = inference.df(C[known])
        estimate = np.where(known, C @ inference.beta, np.nan)
        table = Coefficients(self.terms, estimate, covariance, df).table(conf_level=conf_level)
        table.loc[~known, ["std_error", "statistic", "p_value", "conf_low", "conf_high"]] = np.nan
        table.insert(1, "level", list(self.levels))
        table.insert(2, "sd_outcome", self.sd_outcome)
        table.insert(3, "sd_predictor", self.sd_predictor)
        return table

    def glance(self) -> pd.DataFrame:
        """Return the model's one row."""
        return self.model.glance()

    @property
    def method(self) -> str:
        """How coefficients were standardised."""
        return (
            "coefficients standardised at the level of the predictor: its SD there over the SD of "
            "the outcome there, from the model without predictors"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on levels at which the outcome does not vary."""
        flat = dict.fromkeys(
            level for level, sd in zip(self.levels, self.sd_outcome, strict=True) if sd == 0.0
        )
        found = [
            f"The outcome does not vary over {level}: coefficients of that level are left empty."
            for level in flat
        ]
        return (*self.model.notes, *found)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the coefficients as data."""
        table = self.tidy(conf_level=conf_level).drop(columns=["sd_outcome"])
        found = Section(
            "Fixed effects",
            table,
            names=("term", "level"),
            measure="b*",
            columns={"sd_predictor": Column("SD of predictor")},
            conf_level=conf_level,
        )
        return Account.of(self, {"rows": self.rows.n_used}, (found,))

    summary = summary_of
    _repr_html_ = html_of


def standardised_coefficients(model: LinearMixedModel) -> StandardisedCoefficients:
    """Express coefficients in SDs of predictor and outcome at the predictor's own level.

    Parameters
    ----------
    model
        A fitted ``lmm``.

    Returns
    -------
    StandardisedCoefficients
        With ``tidy()`` and ``summary()``; the intercept is left out.

    Raises
    ------
    NotIdentifiedError
        A model without a grouping factor, or with only an intercept.

    Notes
    -----
    The level of a column is the outermost grouping factor within whose units it is constant, and
    ``rows`` if there is none. For a unit-level column, the predictor's SD is that of the units'
    values and the outcome's SD that of the units' intercepts in the model without predictors; for a
    row-level one they are the SD of deviations from the means of the innermost units and the
    residual SD (Hoffman 2015, Longitudinal Analysis, p. 342; ``method = "pseudo"`` of R's
    effectsize). A column that varies both within and between units counts as row-level: split it
    first (``decompose``), so that within and between each have a coefficient.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, standardised_coefficients
    >>> sessions = example_study().sessions
    >>> model = lmm("symptoms ~ session + alliance + (1 | person)", sessions)
    >>> standardised_coefficients(model).tidy()[["term", "estimate"]].round(3)
           term  estimate
    0   session    -0.390
    1  alliance    -0.217
    """
    require_linear(model, asked="standardised_coefficients are of")
    design = model.design
    if not design.groupings:
        raise NotIdentifiedError("Levels need a grouping factor; this model has none.")
    names = [design.fixed.names[i] for i in design.fixed.kept]
    shown = [j for j, name in enumerate(names) if name != INTERCEPT]
    if not shown:
        raise NotIdentifiedError("The model has no coefficient beside the constant.")
    nested = sorted(design.groupings, key=lambda g: len(g.labels))
    outcome = design.formula.outcome
    assert outcome is not None  # lmm has asked for one
    random = [intercepts(g.columns) for g in design.groupings]
    empty = lmm(formula_of(outcome, CONSTANT, random), design.frame, reml=model.reml)
    sds = {g.name: float(np.sqrt(D[0, 0]))
           for g, D in zip(empty.design.groupings, empty.fit.covariances, strict=True)}  # fmt: skip
    levels, of_outcome, of_predictor = [], [], []
    for j in shown:
        x = design.X[:, j]
        level, sd, spread = "rows", empty.sigma, 0.0
        for grouping in nested:
            n = np.bincount(grouping.codes)
            means = np.bincount(grouping.codes, weights=x) / n
            if np.abs(x - means[grouping.codes]).max() <= CONSTANT_WITHIN * np.abs(x).max():
                level, sd, spread = grouping.name, sds[grouping.name], float(means.std(ddof=1))
                break
        if level == "rows":
            inner = nested[-1].codes
            means = np.bincount(inner, weights=x) / np.bincount(inner)
            spread = float((x - means[inner]).std(ddof=1))
        levels.append(level)
        of_outcome.append(sd)
        of_predictor.append(spread)
    terms = tuple(names[j] for j in shown)
    return StandardisedCoefficients(
        model, empty, terms, tuple(levels), np.array(of_outcome), np.array(of_predictor)
    )

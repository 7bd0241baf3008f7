"""Analyses of data completed under assumptions on missing outcomes: imputed, analysed, pooled.

An assumption (:class:`Assumption`) says how outcomes after dropout differ from those imputed at
random. All assumptions share their draws, so that they differ only in the assumption. There are two
variances:

``"rubin"``
    Proper imputations, pooled by Rubin's rules. They keep the share of the information lost to
    dropout as it is at random (information anchored: Cro, Carpenter & Kenward 2019,
    doi:10.1111/rssa.12423).
``"conditional mean"``
    Means of the unseen outcomes given those seen, analysed at the fit's own variances, and the
    jackknife over the outermost units: the variance of such an estimate over repeated studies
    (Wolbers, Noci, Delmar, Gower-Page, Yiu & Bartlett 2022, doi:10.1002/pst.2234).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import linalg, sparse

from alliance_stats.account import Account, Phrase, Section
from alliance_stats.checks import (
    check_choice,
    describe_rows,
    did_you_mean,
    require_columns,
    require_present,
)
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, estimate_columns
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearFit, LinearMixedModel, fit_linear, refit_without
from alliance_stats.seeds import Seed
from alliance_stats.survival.unseen.outcome_imputation import (
    Imputed,
    OutcomeImputer,
    completed_design,
    effects_columns,
    imputations,
)

__all__ = ["Assumption", "CompletedAnalyses", "Pooled", "Variance", "completed_analyses", "pool"]

Variance = Literal["rubin", "conditional mean"]


@dataclass(frozen=True, slots=True, eq=False)
class Assumption:
    """How outcomes after dropout differ from those at random.

    ``factor (y + moves beta + pull(swapped beta)) + shift``, with y and beta as imputed.

    Attributes
    ----------
    shift, factor
        (n,) of each unseen row.
    moves
        (n, p) columns by which the unseen means move; None for none.
    swapped
        (N, p) columns by which the seen means of those who left move the other way; None for none.
    pulled
        (n,) unseen rows in which that is felt.
    """

    shift: Array | float = 0.0
    factor: Array | float = 1.0
    moves: Array | None = None
    swapped: Array | None = None
    pulled: Booleans | Literal[True] = True

    def outcomes(self, imputed: Imputed) -> Array:
        """Return the unseen outcomes under this assumption."""
        y = imputed.y
        if self.moves is not None:
            y = y + self.moves @ imputed.beta
        if self.swapped is not None:
            y = y + self.pulled * imputed.pull(self.swapped @ imputed.beta)
        return np.asarray(self.factor * y + self.shift)


AssumptionsOf = Callable[[LinearMixedModel, pd.DataFrame], Sequence[Assumption]]
"""The assumptions, of a fit (its columns) and the unseen rows."""


@dataclass(frozen=True, slots=True, eq=False)
class CompletedAnalyses:
    """A coefficient under several assumptions.

    Attributes
    ----------
    term
        The coefficient.
    variance
        ``"rubin"`` or ``"conditional mean"``.
    estimates, variances
        (k, m) coefficient and squared standard error of each completed data set; m is 1 for a
        conditional mean.
    df
        (k,) degrees of freedom of a completed data set (Satterthwaite's), or of the jackknife.
    n_seen, n_unseen
        Rows.
    left_out
        What the jackknife leaves out, and how many there are; empty with Rubin's rules.
    rows
        The ledger of the model.
    """

    term: str
    variance: Variance
    estimates: Array
    variances: Array
    df: Array
    n_seen: int
    n_unseen: int
    left_out: tuple[str, int]
    rows: RowLedger

    def table(self, *, conf_level: float) -> pd.DataFrame:
        """Return one row per assumption, from ``term`` to ``missing_information``."""
        if self.variance == "rubin":
            pooled = pool(self.estimates, self.variances, self.df)
        else:
            unknown = np.full(len(self.estimates), np.nan)
            pooled = Pooled(self.estimates[:, 0], np.sqrt(self.variances[:, 0]), self.df, unknown)
        found = estimate_columns(
            pooled.estimate, pooled.std_error, df=pooled.df, conf_level=conf_level
        )
        found.insert(0, "term", self.term)
        return found.assign(missing_information=pooled.missing_information)

    def glance(self) -> pd.DataFrame:
        """Return ``n_seen, n_unseen, n_imputations`` in one row."""
        return pd.DataFrame(
            {
                "n_seen": [self.n_seen],
                "n_unseen": [self.n_unseen],
                "n_imputations": [self.estimates.shape[1]],
            }
        )

    def account(
        self,
        method: str,
        notes: tuple[str, ...],
        section: Section,
        remarks: Sequence[Phrase | str],
        *,
        sources: tuple[str, ...],
    ) -> Account:
        """Return the account of a result that holds these analyses, with its rows and sizes."""
        sizes = {"outcomes": self.n_seen, "unseen outcomes": self.n_unseen}
        drawn = self.variance == "rubin"
        return Account(
            method,
            notes,
            sizes,
            (section,),
            tuple(remarks),
            self.rows,
            drawn=drawn,
            sources=sources,
        )

    @property
    def how(self) -> str:
        """How outcomes were completed, in a phrase."""
        if self.variance == "rubin":
            return f"imputed {self.estimates.shape[1]} times"
        return f"by their conditional means, {self.left_out[0]} left out in turn"

    @property
    def note(self) -> str:
        """Which variance the standard errors use."""
        if self.variance == "rubin":
            return (
                "Rubin's rules keep the information that was lost by leaving as it is at random: "
                "the standard errors are those of an analysis so informed, and, where outcomes "
                "follow a reference, larger than the spread of such estimates over repeated "
                "studies."
            )
        column, n = self.left_out
        return (
            f"The standard errors are a jackknife's, over {n} values of '{column}': the spread of "
            "such estimates over repeated studies. Where outcomes follow a reference, the less was "
            "seen the smaller they are: they do not hold the information that leaving took."
        )


def completed_analyses(
    model: LinearMixedModel,
    unseen: pd.DataFrame,
    assumptions_of: AssumptionsOf,
    *,
    term: str,
    seed: Seed,
    n_imputations: int,
    variance: Variance,
) -> CompletedAnalyses:
    """Complete the data under each assumption and analyse them by the model that imputes."""
    check_choice(variance, ("rubin", "conditional mean"), name="variance")
    if n_imputations < 2:
        raise ValueError(f"n_imputations must be at least 2 imputations; got {n_imputations}.")
    terms = list(model.beta.index[model.beta.notna()])
    if term not in terms:
        raise FormulaError(f"The model has no coefficient '{term}'. {did_you_mean(term, terms)}")
    _check_unseen(model, unseen)
    left_out = ("", 0)
    if variance == "rubin":
        found = _imputed(model, unseen, assumptions_of, term, (seed, n_imputations))
    else:
        column, estimate, others = _jackknife(model, unseen, assumptions_of, term)
        n = len(others)
        left_out = (column, n)
        spread = (n - 1.0) / n * ((others - others.mean(axis=0)) ** 2).sum(axis=0)
        found = estimate[:, None], spread[:, None], np.full(len(estimate), n - 1.0)
    return CompletedAnalyses(term, variance, *found, model.nobs, len(unseen), left_out, model.rows)


def _imputed(
    model: LinearMixedModel,
    unseen: pd.DataFrame,
    assumptions_of: AssumptionsOf,
    term: str,
    drawn: tuple[Seed, int],
) -> tuple[Array, Array, Array]:
    assumptions = assumptions_of(model, unseen)
    seed, m = drawn
    estimates, variances = np.empty((2, len(assumptions), m))
    df = np.empty(len(assumptions))
    completed: LinearMixedModel | None = None
    for i, imputed in enumerate(imputations(model, unseen, m=m, seed=seed)):
        for k, assumption in enumerate(assumptions):
            y = np.concatenate([model.design.y, assumption.outcomes(imputed)])
            completed = _completed_fit(model, unseen, y, completed)
            estimates[k, i] = completed.beta[term]
            variances[k, i] = completed.vcov().loc[term, term]
            if i == 0:
                df[k] = completed.tidy().set_index("term").loc[term, "df"]
    return estimates, variances, df


def _completed_fit(
    model: LinearMixedModel, unseen: pd.DataFrame, y: Array, before: LinearMixedModel | None
) -> LinearMixedModel:
    """Fit the model to seen and imputed outcomes, refitting an earlier fit where there is one."""
    if before is not None:
        return before.refit(y)
    design = completed_design(model.design, unseen, y)
    return LinearMixedModel(fit_linear(design, reml=model.reml))


def _jackknife(
    model: LinearMixedModel, unseen: pd.DataFrame, assumptions_of: AssumptionsOf, term: str
) -> tuple[str, Array, Array]:
    """Return what is left out, the estimates (k,), and those (n, k) without each in turn."""
    outermost = {grouping.columns[0] for grouping in model.design.groupings}
    if len(outermost) != 1:
        raise DataError(
            "variance='conditional mean' leaves out whole units that are independent, and the "
            f"model has crossed ones: {', '.join(sorted(outermost))}. Take variance='rubin'."
        )
    column = next(iter(outermost))
    estimate = _of_means(model, unseen, assumptions_of, term)
    seen, others = model.design.frame[column].astype(object), []
    # who was never seen is in the sample, too: leaving them out leaves the fit as it is
    for value in pd.concat([seen, unseen[column].astype(object)]).unique():
        kept = (seen != value).to_numpy()
        without = model if kept.all() else _without(model, kept, f"'{value}' of '{column}'")
        rest = unseen[(unseen[column] != value).to_numpy()]
        others.append(_of_means(without, rest, assumptions_of, term))
    return column, estimate, np.array(others)


def _without(model: LinearMixedModel, kept: Booleans, what: str) -> LinearMixedModel:
    """Fit the model, in its own coding, to some of the rows."""
    try:
        fit = refit_without(model.fit, kept)
    except np.linalg.LinAlgError:
        fit = None
    if not isinstance(fit, LinearFit) or min(len(g.labels) for g in fit.design.groupings) < 2:
        raise NotIdentifiedError(
            f"Without {what} the rows left do not determine every coefficient and variance: the "
            "jackknife has no answer. Take variance='rubin'."
        )
    return LinearMixedModel(fit)


def _of_means(
    model: LinearMixedModel, unseen: pd.DataFrame, assumptions_of: AssumptionsOf, term: str
) -> Array:
    """Analyse data completed by conditional means, at the fit's own variances: (k,)."""
    place = list(model.beta.index[model.beta.notna()]).index(term)
    if unseen.empty:
        return np.full(len(assumptions_of(model, unseen)), float(model.beta[term]))
    expected = OutcomeImputer(model, unseen).expected()
    y = np.array(
        [
            np.concatenate([model.design.y, assumption.outcomes(expected)])
            for assumption in assumptions_of(model, unseen)
        ]
    )
    sample = completed_design(model.design, unseen, y[0])
    left = y if sample.offset is None else y - sample.offset
    factors = [
        sparse.kron(sparse.eye(len(g.labels)), L)
        for g, L in zip(sample.groupings, model.fit.Lambda, strict=True)
    ]
    ZL = effects_columns(sample) @ sparse.block_diag(factors, format="csr")
    return np.asarray(left @ _weights(sample.X, ZL)[place])


def _weights(X: Array, ZL: sparse.csr_matrix) -> Array:
    """Return the matrix (p, n) that takes outcomes to generalised least-squares coefficients.

    With ``V = I + Z L L'Z'`` of unit residual variance, ``V^-1 = I - ZL (I + L'Z'ZL)^-1 L'Z'``.
    """
    inner = np.asarray((ZL.T @ ZL).todense())
    inner[np.diag_indices(len(inner))] += 1.0
    VX = X - ZL @ linalg.cho_solve(linalg.cho_factor(inner), ZL.T @ X)
    return np.asarray(linalg.solve(X.T @ VX, VX.T, assume_a="pos"))


def _check_unseen(model: LinearMixedModel, unseen: pd.DataFrame) -> None:
    """Refuse rows with an observed outcome, and outcomes that have no column to shift."""
    if unseen.empty:
        raise DataError("unseen has no rows: nothing was missed, and there is nothing to impute.")
    groups = [c for grouping in model.design.groupings for c in grouping.columns]
    require_columns(unseen, groups, what="unseen")
    for column in groups:
        require_present(unseen, column, why="to know whose outcome it is")
    response = model.design.formula.response
    if response not in model.design.frame.columns:
        raise FormulaError(
            f"The outcome '{response}' is computed in the formula: make it a column of its own, so "
            "that a shift is in its units."
        )
    if response in unseen.columns and unseen[response].notna().any():
        known = unseen[response].notna().to_numpy()
        raise DataError(
            f"unseen: the outcome '{response}' is there in {describe_rows(known, unseen.index)}; "
            "only rows without it are imputed."
        )
    _refuse_seen(model, unseen, response)


def _refuse_seen(model: LinearMixedModel, unseen: pd.DataFrame, response: str) -> None:
    """Refuse rows that equal one whose outcome was seen, where rows can be distinguished."""
    columns = [column for column in model.design.frame.columns if column != response]
    require_columns(unseen, columns, what="unseen")
    seen = pd.MultiIndex.from_frame(model.design.frame[columns].astype(object))
    if not seen.is_unique:
        return
    twice = pd.MultiIndex.from_frame(unseen[columns].astype(object)).isin(seen)
    if twice.any():
        raise DataError(
            f"unseen: {describe_rows(twice, unseen.index)} equal rows whose outcome was seen; only "
            "what was not seen is imputed."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """Pooled estimates, one per analysis.

    Attributes
    ----------
    estimate, std_error, df
        Estimate, its standard error and degrees of freedom.
    missing_information
        Share of the information on the estimate lost to the missing values:
        ``(r + 2 / (df + 3)) / (r + 1)`` with r the relative increase in variance.
    """

    estimate: Array
    std_error: Array
    df: Array
    missing_information: Array


def pool(estimates: Array, variances: Array, df_complete: Array) -> Pooled:
    """Pool by Rubin's rules with the degrees of freedom of Barnard & Rubin.

    Total variance ``T = W + (1 + 1/m) B`` from the mean variance W within imputations and the
    variance B between their estimates (Rubin 1987, doi:10.1002/9780470316696, chapter 3). With
    ``lambda = (1 + 1/m) B / T``, ``df = 1 / (1/old + 1/observed)``, ``old = (m - 1) / lambda^2``,
    ``observed = (c + 1) / (c + 3) c (1 - lambda)`` for c the degrees of freedom had nothing been
    missing (Barnard & Rubin 1999, doi:10.1093/biomet/86.4.948): never more than c.

    Parameters
    ----------
    estimates, variances
        (analyses, m), squared standard errors.
    df_complete
        (analyses,) degrees of freedom of a complete data set; may be infinite.
    """
    m = estimates.shape[1]
    within = variances.mean(axis=1)
    between = (1.0 + 1.0 / m) * estimates.var(axis=1, ddof=1)
    total = within + between
    share = between / total
    with np.errstate(divide="ignore"):
        old = (m - 1.0) / share**2
        infinite = np.isinf(df_complete)
        c = np.where(infinite, 1.0, df_complete)
        observed = np.where(infinite, np.inf, (c + 1.0) / (c + 3.0) * c * (1.0 - share))
        df = 1.0 / (1.0 / old + 1.0 / observed)
    increase = between / within
    information = (increase + 2.0 / (df + 3.0)) / (increase + 1.0)
    return Pooled(estimates.mean(axis=1), np.sqrt(total), df, information)

"""Which of two models: likelihood-ratio tests that know their boundary; AIC and BIC."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.design.design import build_design
from alliance_stats.engine.likelihood_rise import null_likelihood_ratios
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, one_line
from alliance_stats.formatting import format_number
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import linear_fit
from alliance_stats.multilevel.after.chi_bar_squared import chi_bar_weights, scalar_terms
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.multilevel.model_likelihood import (
    HasLikelihood,
    refer_ratio,
    side_by_side,
)
from alliance_stats.multilevel.predictions import simulated
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed

__all__ = ["LikelihoodRatioTest", "compare_models", "likelihood_ratio_test"]

# A rise in deviance relatively smaller than this is none: searches end within it.
DUST = 1e-9
# Draws of an exact null distribution: p-values are then right to 0.0015 at .05.
EXACT_DRAWS = 20_000
# Units beyond which the mixture is as good as exact, and a dense matrix of units too large.
MOST_UNITS = 2000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LikelihoodRatioTest:
    """A likelihood-ratio test of two nested models.

    Attributes
    ----------
    small, large
        Formulas of the models, with their residual structures.
    statistic
        Twice the difference of the log-likelihoods.
    df
        Difference in the number of parameters.
    p_value
        Under the reference distribution that `reference` names.
    reference
        What the statistic was referred to.
    refitted
        Whether REML fits were refitted by ML because their fixed effects differ.
    null
        Simulated statistics, if a bootstrap was asked for.
    rows
        The row ledger, the same for both.
    """

    small: str
    large: str
    statistic: float
    df: int
    p_value: float
    reference: str
    refitted: bool
    null: Array
    rows: RowLedger

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return one row: ``term, statistic, df, p_value, method``."""
        return pd.DataFrame(
            [
                {
                    "term": f"{self.large} v {self.small}",
                    "statistic": self.statistic,
                    "df": self.df,
                    "p_value": self.p_value,
                    "method": self.reference,
                }
            ]
        )

    def glance(self) -> pd.DataFrame:
        """Return the same row as :meth:`tidy`, with what was done."""
        return self.tidy().assign(refitted=self.refitted, n_simulated=len(self.null))

    @property
    def method(self) -> str:
        """What was tested, and what the statistic was referred to."""
        return f"likelihood-ratio test of {self.large} against {self.small}, {self.reference}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading."""
        return ("Both were refitted by maximum likelihood.",) if self.refitted else ()

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002  (as all results)
        """Return the test as data; it has no interval that a level could change."""
        test = Section("", self.tidy(), names=("term",), statistic="chi-squared")
        sizes = {"rows": self.rows.n_used}
        drawn = len(self.null) > 0
        return Account(self.method, self.notes, sizes, (test,), rows=self.rows, drawn=drawn)

    summary = summary_of
    _repr_html_ = html_of


def _by_ml(model: LinearMixedModel) -> LinearMixedModel:
    """Fit the same model by maximum likelihood."""
    return LinearMixedModel(linear_fit.ml_refit(model.fit)) if model.reml else model


@renamed(bootstrap="n_resamples")
def likelihood_ratio_test(
    model: LinearMixedModel | HasLikelihood | str,
    other: LinearMixedModel | HasLikelihood | str,
    *,
    n_resamples: int = 0,
    seed: Seed = None,
) -> LikelihoodRatioTest:
    """Test the smaller of two nested models against the larger.

    Parameters
    ----------
    model, other
        Fits to the same rows, in either order. One of them may be a formula without random terms,
        ``"alliance ~ session"``: it is fitted to the rows of the other, whose random terms are
        tested all at once. Or hazard models of one kind (:func:`~alliance_stats.survival.cox_ph`,
        ``discrete_hazard``, ``competing_hazards``), whose statistic is referred to chi-squared.
    n_resamples
        Simulate the null distribution from the smaller model this many times.
    seed
        Seed of the simulation; required with `n_resamples`, 1 for an exact null distribution if not
        given.

    Returns
    -------
    LikelihoodRatioTest
        If the larger model has a single variance besides the residual's and the smaller has none,
        the statistic is referred to its exact null distribution, of which 20,000 values are drawn
        (Crainiceanu & Ruppert 2004, doi:10.1111/j.1467-9868.2004.00438.x); with few units the
        mixture below would be conservative.
        If the models differ by one random effect (its variance and its k covariances), it is
        referred to the equal mixture of chi-squared with k and k + 1 df (Self & Liang 1987,
        doi:10.1080/01621459.1987.10478472; Stram & Lee 1994, doi:10.2307/2533455); the plain
        chi-squared would be conservative. If they differ by several variances without covariances,
        it is referred to the mixture of chi-squared with 0, 1, ... df whose weights the data's
        information gives (chi-bar-squared; Self & Liang 1987), for many units. With several
        variances and covariances at once the plain chi-squared is used and called conservative: ask
        for a bootstrap. A statistic within what a search tells apart is zero, and its p-value 1.

    Raises
    ------
    DataError
        If the models used different rows or outcomes, or neither is larger.

    Notes
    -----
    REML likelihoods of models with different fixed effects cannot be compared: such fits are
    refitted by maximum likelihood, and the result says so. That the models are nested is the
    caller's to know; a larger model that fits worse is refused.

    Examples
    --------
    >>> from alliance_stats import example_study, likelihood_ratio_test, lmm
    >>> sessions = example_study().sessions
    >>> with_therapists = lmm("alliance ~ session + (1 | therapist) + (1 | person)", sessions)
    >>> without = lmm("alliance ~ session + (1 | person)", sessions)
    >>> likelihood_ratio_test(with_therapists, without).tidy()[["statistic", "p_value"]].round(3)
       statistic  p_value
    0    108.339      0.0
    """
    if isinstance(model, HasLikelihood) and isinstance(other, HasLikelihood):
        return _of_likelihoods(model, other, n_resamples)
    model, other = _fitted(model, other)
    if n_resamples < 0:
        raise ValueError(f"n_resamples must be a number of simulated data sets; got {n_resamples}.")
    small, large = sorted((model, other), key=_n_parameters)
    _same_rows([small, large])
    if _n_parameters(small) == _n_parameters(large):
        raise DataError(
            f"Both models have {_n_parameters(small)} parameters: neither is larger, so there is "
            "nothing to test. compare_models sets their AIC side by side."
        )
    _nested(small, large)
    fixed_differ = _span_differs(small, large)
    refitted = (fixed_differ and (small.reml or large.reml)) or small.reml != large.reml
    if refitted:
        small, large = _by_ml(small), _by_ml(large)
    statistic = _deviance(small) - _deviance(large)
    if statistic < -1e-6 * max(1.0, abs(small.fit.deviance)):
        raise DataError(
            f"{large.formula} has more parameters but fits worse than {small.formula}: "
            "the models are not nested."
        )
    if statistic <= DUST * max(1.0, abs(small.fit.deviance)):
        statistic = 0.0  # the same likelihood, to what a search tells apart
    df = _n_parameters(large) - _n_parameters(small)
    if n_resamples:
        null, stopped = _simulated_null(small, large, n_resamples, seed)
        p_value = float((1 + (null >= statistic).sum()) / (1 + n_resamples))
        reference = f"null distribution from {n_resamples} simulated data sets"
        if stopped:
            reference += f", NOT CONVERGED in {stopped} of them"
    elif _has_one_variance(small, large):
        null = _exact_null(small, large, 1 if seed is None else seed)
        above = (null >= statistic).sum() if statistic > 0.0 else len(null)
        p_value = float((1 + above) / (1 + len(null)))
        reference = f"exact null distribution, {len(null)} draws"
    else:
        null = np.empty(0)
        p_value, reference = _refer(statistic, df, small, large, fixed_differ=fixed_differ)
    return LikelihoodRatioTest(
        _described(small),
        _described(large),
        float(statistic),
        df,
        p_value,
        reference,
        refitted,
        null,
        small.rows,
    )


def _of_likelihoods(
    model: HasLikelihood, other: HasLikelihood, bootstrap: int
) -> LikelihoodRatioTest:
    """Compare models that are no linear mixed models: hazards, for one."""
    if bootstrap:
        raise ValueError("A bootstrap is offered for linear mixed models; leave n_resamples= out.")
    small, large, statistic, df, p_value, reference = refer_ratio(
        model.likelihood(), other.likelihood()
    )
    return LikelihoodRatioTest(
        small.formula, large.formula, statistic, df, p_value, reference, False, np.empty(0),
        large.rows,
    )  # fmt: skip


def _fitted(model: object, other: object) -> tuple[LinearMixedModel, LinearMixedModel]:
    """Fit a formula without random terms to the rows of the other model."""
    for one, beside in ((model, other), (other, model)):
        if isinstance(one, str) and isinstance(beside, LinearMixedModel):
            return _without_random_terms(one, beside), beside
    for one in (model, other):
        require_linear(one, asked="likelihood_ratio_test compares")
    return model, other  # type: ignore[return-value]  # both were just found to be models


def _without_random_terms(formula: str, beside: LinearMixedModel) -> LinearMixedModel:
    frame, weights = beside.design.frame, None
    if np.ptp(beside.design.root_weights) > 0:
        weights = "weight"
        while weights in frame:
            weights += "_"
        frame = frame.assign(**{weights: beside.design.root_weights**2})
    design, _ = build_design(formula, frame, weights=weights)
    if design.groupings:
        raise DataError(f"{formula!r} has random terms: fit it by lmm, and give the model.")
    if beside.problem.shape is not None or beside.problem.known:
        raise DataError(
            "A formula without random terms is compared with a model whose residuals are alike and "
            "of unknown variance; for this one fit both by lmm with the same residual=."
        )
    return LinearMixedModel(linear_fit.fit_linear(design, reml=beside.reml))


def _has_one_variance(small: LinearMixedModel, large: LinearMixedModel) -> bool:
    """Whether the larger model's only variance besides the residual's is what is tested."""
    few = sum(len(g.labels) for g in large.design.groupings) <= MOST_UNITS
    plain = large.problem.shape is None and not large.problem.known
    return plain and few and _n_variances(small) == 0 and _n_variances(large) == 1


def _exact_null(small: LinearMixedModel, large: LinearMixedModel, seed: Seed) -> Array:
    (grouping,) = large.design.groupings
    Z = np.zeros((large.nobs, len(grouping.labels)))
    Z[np.arange(large.nobs), grouping.codes] = grouping.Z[0]
    return null_likelihood_ratios(
        large.design.Q.T,
        Z,
        reml=large.reml,
        n_fixed=large.problem.p - small.problem.p,
        n=EXACT_DRAWS,
        rng=np.random.default_rng(seed),
    )


def compare_models(*models: LinearMixedModel | HasLikelihood) -> pd.DataFrame:
    """Set models of the same rows side by side.

    Returns
    -------
    DataFrame
        A row a model: ``formula`` (with its residual structure), ``n_parameters, log_lik, aic,
        delta_aic, bic, delta_bic, reml, singular``, best AIC first. REML fits whose fixed effects
        differ are refitted by maximum likelihood (``reml`` is then False). Hazard models (Cox,
        Fine-Gray, discrete, competing) have no ``reml`` and ``singular``; the n of a Cox or
        Fine-Gray model's BIC is that of its events (Volinsky & Raftery 2000,
        doi:10.1111/j.0006-341X.2000.00256.x).

    Raises
    ------
    DataError
        If there is no model, one was not fitted by ``lmm``, or they used different rows or
        outcomes.

    Examples
    --------
    >>> from alliance_stats import compare_models, example_study, lmm
    >>> sessions = example_study().sessions
    >>> line = lmm("alliance ~ session + (1 | person)", sessions)
    >>> curve = lmm("alliance ~ poly(session, 2) + (1 | person)", sessions)
    >>> compare_models(line, curve)[["formula", "n_parameters", "delta_aic"]].round(1)
                                          formula  n_parameters  delta_aic
    0           alliance ~ session + (1 | person)             4        0.0
    1  alliance ~ poly(session, 2) + (1 | person)             5        1.9
    """
    if not models:
        raise DataError("compare_models needs fitted models, as in compare_models(one, other).")
    others = [model for model in models if isinstance(model, HasLikelihood)]
    if len(others) == len(models):
        return side_by_side([model.likelihood() for model in others])
    for model in models:
        require_linear(model, asked="compare_models compares")
    linear = [model for model in models if isinstance(model, LinearMixedModel)]
    _same_rows(linear)
    differ = any(_span_differs(linear[0], m) for m in linear)
    mixed = len({m.reml for m in linear}) > 1
    fits = [_by_ml(m) for m in linear] if differ or mixed else linear
    table = pd.concat([m.glance().assign(formula=_described(m)) for m in fits], ignore_index=True)
    for column in ("aic", "bic"):  # on a footing that no coding of the fixed effects changes
        table[column] += [_deviance(m) - m.fit.deviance for m in fits]
    table["delta_aic"] = table["aic"] - table["aic"].min()
    table["delta_bic"] = table["bic"] - table["bic"].min()
    columns = "formula n_parameters log_lik aic delta_aic bic delta_bic reml singular".split()  # noqa: SIM905
    return table[columns].sort_values("aic", ignore_index=True)


def _described(model: LinearMixedModel) -> str:
    """Write the formula, and the residual structure that it does not show."""
    structures = model.fit.structures
    if not structures:
        return model.formula
    written = ", ".join(map(str, structures))
    return f"{model.formula}, residual={written if len(structures) == 1 else f'[{written}]'}"


def _n_parameters(model: LinearMixedModel) -> int:
    return model.fit.n_parameters


def _same_rows(models: Sequence[LinearMixedModel]) -> None:
    first = models[0]
    for other in models[1:]:
        if (
            not first.design.index.equals(other.design.index)
            or not np.array_equal(first.design.y, other.design.y)
            or not np.array_equal(_offset(first), _offset(other))
        ):
            raise DataError(
                f"The models did not use the same rows and outcome: {first.formula} used "
                f"{first.nobs}, {other.formula} used {other.nobs}. Leave out rows with missing "
                "predictors first, and fit both to what remains."
            )


def _offset(model: LinearMixedModel) -> Array:
    offset = model.design.offset
    return np.zeros(1) if offset is None or not offset.any() else offset


def _deviance(model: LinearMixedModel) -> float:
    """Deviance without ``log|X'X|``, which a restricted likelihood takes from the coding of X."""
    return model.fit.deviance - (model.design.fixed.log_det if model.reml else 0.0)


def _within(inner: Array, outer: Array) -> bool:
    """Whether the columns that `inner` holds as rows lie in the span of `outer`'s."""
    if not len(inner):
        return True
    if not len(outer):
        return False
    fitted = np.linalg.lstsq(outer.T, inner.T, rcond=None)[0]
    left = inner.T - outer.T @ fitted
    return bool((np.linalg.norm(left, axis=0) < 1e-7 * np.linalg.norm(inner, axis=1)).all())


def _span_differs(model: LinearMixedModel, other: LinearMixedModel) -> bool:
    """Whether the fixed columns of two models span different spaces, whatever their scale."""
    Q, other_Q = model.design.Q, other.design.Q
    return len(Q) != len(other_Q) or not _within(Q, other_Q)


def _nested(small: LinearMixedModel, large: LinearMixedModel) -> None:
    """Refuse models of which the smaller is not a special case of the larger."""
    what = None
    large_groups = {frozenset(g.columns): g for g in large.design.groupings}
    if small.problem.known != large.problem.known or not np.allclose(
        small.design.root_weights, large.design.root_weights, rtol=1e-12
    ):
        what = "their weights or known variances differ"
    elif not _within(small.design.Q, large.design.Q):
        what = "its fixed effects are not among the larger model's"
    elif len(small.fit.eta) > len(large.fit.eta):
        what = "its residuals have a structure that the larger model's have not"
    else:
        for grouping in small.design.groupings:
            other = large_groups.get(frozenset(grouping.columns))
            if other is None or not _within(grouping.Z, other.Z):
                what = f"its random effects of '{grouping.name}' are not among the larger model's"
    if what is not None:
        raise DataError(
            f"{small.formula} is not nested in {large.formula}: {what}. compare_models sets models "
            "that are not nested side by side."
        )


def _refer(
    statistic: float,
    df: int,
    small: LinearMixedModel,
    large: LinearMixedModel,
    *,
    fixed_differ: bool,
) -> tuple[float, str]:
    """p-value and name of the reference distribution."""
    variances = _n_variances(large) - _n_variances(small)
    if variances == 0 or (fixed_differ and variances == 0):
        return float(stats.chi2.sf(statistic, df)), f"chi-squared with {df} df"
    tested = scalar_terms(small, large) if variances > 1 and not fixed_differ else []
    if len(tested) == variances > 1 and df == variances:
        weights = chi_bar_weights(small, large, tested)
        tails = [float(statistic <= 0.0)]
        tails += [float(stats.chi2.sf(statistic, k)) for k in range(1, len(weights))]
        shown = ", ".join(format_number(weight, 2) for weight in weights)
        return (
            float(weights @ np.array(tails)),
            f"mixture of chi-squared with 0 to {variances} df (weights {shown})",
        )
    if variances == 1 and not fixed_differ and len(small.fit.eta) == len(large.fit.eta):
        k = df - 1
        upper = stats.chi2.sf(statistic, k) if k else float(statistic <= 0.0)
        p_value = 0.5 * upper + 0.5 * stats.chi2.sf(statistic, df)
        return float(p_value), f"equal mixture of chi-squared with {k} and {df} df"
    return (
        float(stats.chi2.sf(statistic, df)),
        f"chi-squared with {df} df, conservative since {variances} variances are tested at their "
        "boundary",
    )


def _n_variances(model: LinearMixedModel) -> int:
    return sum(sum(sizes) for sizes in model.problem.template.blocks)


def _simulated_null(
    small: LinearMixedModel,
    large: LinearMixedModel,
    n: int,
    seed: Seed,
) -> tuple[npt.NDArray[np.float64], int]:
    """Return simulated statistics, and in how many data sets a refit stopped before its optimum."""
    if seed is None:
        raise ValueError("A bootstrap needs seed=, so that it can be repeated.")
    rng = np.random.default_rng(seed)
    found, stopped = np.empty(n), 0
    for i in range(n):
        y = simulated(small.fit, rng)
        fits = linear_fit.refitted(small.fit, y), linear_fit.refitted(large.fit, y)
        found[i] = fits[0].deviance - fits[1].deviance
        stopped += not all(fit.convergence.converged for fit in fits)
    return np.maximum(found, 0.0), stopped

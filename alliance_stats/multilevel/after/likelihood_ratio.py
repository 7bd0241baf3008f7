"""Likelihood-ratio tests of nested models, with parameters on the boundary."""

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
from alliance_stats.formatting import format_number, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import linear_fit
from alliance_stats.multilevel.after.model_comparison import (
    as_mixed,
    by_ml,
    chi_bar,
    described,
    deviance,
    require_same_rows,
    span_differs,
    within,
)
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.multilevel.model_likelihood import HasLikelihood, refer_ratio
from alliance_stats.multilevel.predictions import simulated
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed, generator_of, repeatable

__all__ = ["LikelihoodRatioTest", "likelihood_ratio_test"]

# A rise in deviance relatively smaller than this is none: searches end within it.
DUST = 1e-9
# Draws of an exact null distribution: p-values are then right to 0.0015 at .05.
EXACT_DRAWS = 20_000
# Units below which a mixture is called too cautious: with 6 therapists 3.5% of true null hypotheses
# were rejected at .05 (600 studies), with 15 and 29 4.5%.
FEW_UNITS = 20
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
        The reference distribution of the statistic.
    refitted
        Whether REML fits were refitted by ML because their fixed effects differ.
    null
        Simulated statistics, if a bootstrap was requested.
    rows
        The row ledger, the same for both.
    few
        The grouping whose variance is tested if it has so few units that the large-sample mixture
        is conservative, e.g. ``"8 units of therapist"``.
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
    few: str = ""

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
        found = ("Both were refitted by maximum likelihood.",) if self.refitted else ()
        if not self.few:
            return found
        return (
            f"The mixture is right for many units; with {self.few} it rejects too rarely. "
            "n_resamples= simulates the null distribution.",
            *found,
        )

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002  (as all results)
        """Return the test as data; it has no interval."""
        test = Section("", self.tidy(), names=("term",), statistic="chi-squared")
        sizes = {"rows": self.rows.n_used}
        drawn = len(self.null) > 0
        return Account.of(
            self,
            sizes,
            (test,),
            drawn=drawn,
            sources=("self1987", "stram1994") if "mixture of" in self.reference else (),
        )

    summary = summary_of
    _repr_html_ = html_of


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
        Fits to the same rows, in either order. The one without random terms may be an ordinary
        :func:`~alliance_stats.regression`, or its formula, ``"alliance ~ session"``, which is
        fitted to the rows of the other, whose random terms are all tested jointly. Or hazard models
        of one kind (:func:`~alliance_stats.survival.cox_ph`, ``discrete_hazard``,
        ``competing_hazards``), whose statistic is referred to chi-squared.
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
        mixture below would be conservative. If the models differ by one random effect (its variance
        and its k covariances), it is referred to the equal mixture of chi-squared with k and k + 1
        df (Self & Liang 1987, doi:10.1080/01621459.1987.10478472; Stram & Lee 1994,
        doi:10.2307/2533455); the plain chi-squared would be conservative. If they differ by several
        variances, with or without covariances, it is referred to the mixture of chi-squared
        distributions (chi-bar-squared) whose weights the data's information and the cone of
        covariance matrices give (Shapiro 1988, doi:10.2307/1403361), for many units; each fixed
        effect tested as well adds one df to all. Variances and a residual structure tested together
        are referred to the plain chi-squared, reported as conservative: simulate instead. A
        statistic below the precision of the search is set to zero, with a p-value of 1.

    Raises
    ------
    DataError
        If the models used different rows or outcomes, or neither is larger.

    Notes
    -----
    REML likelihoods of models with different fixed effects cannot be compared: such fits are
    refitted by maximum likelihood, and the result says so. The caller must ensure that the models
    are nested; a larger model that fits worse is refused.

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
    model, other = as_mixed(model), as_mixed(other)
    if isinstance(model, HasLikelihood) and isinstance(other, HasLikelihood):
        return _of_likelihoods(model, other, n_resamples)
    model, other = _fitted(model, other)
    if n_resamples < 0:
        raise ValueError(f"n_resamples must be a number of simulated data sets; got {n_resamples}.")
    small, large = sorted((model, other), key=lambda one: one.fit.n_parameters)
    require_same_rows([small, large])
    df = large.fit.n_parameters - small.fit.n_parameters
    if df == 0:
        raise DataError(
            f"Both models have {small.fit.n_parameters} parameters: neither is larger, so there is "
            "nothing to test. compare_models sets their AIC side by side."
        )
    _nested(small, large)
    fixed_differ = span_differs(small, large)
    refitted = (fixed_differ and (small.reml or large.reml)) or small.reml != large.reml
    if refitted:
        small, large = by_ml(small), by_ml(large)
    statistic = _statistic(small, large)
    null, reference = _null(small, large, n_resamples, seed)
    if reference:
        every = not n_resamples and statistic <= 0.0
        above = len(null) if every else int((null >= statistic).sum())
        p_value, few = (1 + above) / (1 + len(null)), ""
    else:
        p_value, reference = _refer(statistic, df, small, large)
        few = _few_units(small, large)
    return LikelihoodRatioTest(
        described(small), described(large), float(statistic), df, p_value, reference, refitted,
        null, small.rows, few,
    )  # fmt: skip


def _null(
    small: LinearMixedModel, large: LinearMixedModel, n_resamples: int, seed: Seed
) -> tuple[Array, str]:
    """Draw from the null distribution and say how; nothing where chi-squared is referred to."""
    if n_resamples:
        null, stopped = _simulated_null(small, large, n_resamples, seed)
        reference = f"null distribution from {n_resamples} simulated data sets"
        return null, reference + (f", NOT CONVERGED in {stopped} of them" if stopped else "")
    if _has_one_variance(small, large):
        null = _exact_null(small, large, 1 if seed is None else seed)
        return null, f"exact null distribution, {len(null)} draws"
    return np.empty(0), ""


def _statistic(small: LinearMixedModel, large: LinearMixedModel) -> float:
    """Return the drop in deviance for the larger model; zero within the search's precision."""
    size = max(1.0, abs(small.fit.deviance))
    statistic = deviance(small) - deviance(large)
    if statistic < -1e-6 * size:
        raise DataError(
            f"{large.formula} has more parameters but fits worse than {small.formula}: "
            "the models are not nested."
        )
    return 0.0 if statistic <= DUST * size else statistic


def _of_likelihoods(
    model: HasLikelihood, other: HasLikelihood, bootstrap: int
) -> LikelihoodRatioTest:
    """Compare models that are not linear mixed models, such as hazard models."""
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
    for one, beside in ((model, other), (other, model)):
        if isinstance(one, HasLikelihood) and isinstance(beside, LinearMixedModel):
            raise DataError(
                f"{beside.formula} is a linear model, {one.likelihood().formula} is none: "
                "likelihoods of different kinds of models cannot be compared."
            )
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
    """Whether the larger model's only variance besides the residual's is the one tested."""
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
        rng=generator_of(seed),
    )


def _nested(small: LinearMixedModel, large: LinearMixedModel) -> None:
    """Refuse models of which the smaller is not a special case of the larger."""
    what = None
    large_groups = {frozenset(g.columns): g for g in large.design.groupings}
    if small.problem.known != large.problem.known or not np.allclose(
        small.design.root_weights, large.design.root_weights, rtol=1e-12
    ):
        what = "their weights or known variances differ"
    elif not within(small.design.Q, large.design.Q):
        what = "its fixed effects are not among the larger model's"
    elif len(small.fit.eta) > len(large.fit.eta):
        what = "its residuals have a structure that the larger model's have not"
    else:
        for grouping in small.design.groupings:
            other = large_groups.get(frozenset(grouping.columns))
            if other is None or not within(grouping.Z, other.Z):
                what = f"its random effects of '{grouping.name}' are not among the larger model's"
    if what is not None:
        raise DataError(
            f"{small.formula} is not nested in {large.formula}: {what}. compare_models sets models "
            "that are not nested side by side."
        )


def _refer(
    statistic: float, df: int, small: LinearMixedModel, large: LinearMixedModel
) -> tuple[float, str]:
    """p-value and name of the reference distribution."""
    variances = _n_variances(large) - _n_variances(small)
    if small.problem.template.n_theta == large.problem.template.n_theta and variances == 0:
        return float(stats.chi2.sf(statistic, df)), f"chi-squared with {df} df"
    alike = small.fit.structures == large.fit.structures
    try:
        mixture = chi_bar(small, large, df) if alike else None
    except np.linalg.LinAlgError:  # the data hold no information on what is new
        mixture = None
    if mixture is None:
        return (
            float(stats.chi2.sf(statistic, df)),
            f"chi-squared with {df} df, conservative since {plural(variances, 'variance')} at "
            "the boundary and residual structures are tested at once: n_resamples= simulates it",
        )
    free, weights = mixture.free, mixture.weights
    tails = [float(stats.chi2.sf(statistic, free + k)) if free + k else float(statistic <= 0.0)
             for k in range(len(weights))]  # fmt: skip
    most = free + len(weights) - 1
    name = f"mixture of chi-squared with {free} to {most} df"
    if len(weights) == 1:
        name = f"chi-squared with {free} df"
    elif len(weights) == 2:
        name = f"equal mixture of chi-squared with {free} and {most} df"
    else:
        name += f" (weights {', '.join(format_number(weight, 2) for weight in weights)})"
    return float(weights @ np.array(tails)), name


def _n_variances(model: LinearMixedModel) -> int:
    return sum(sum(sizes) for sizes in model.problem.template.blocks)


def _few_units(small: LinearMixedModel, large: LinearMixedModel) -> str:
    """Name the grouping with the fewest units, if few, with more random effects in the larger."""
    old = {frozenset(g.columns): len(g.names) for g in small.design.groupings}
    tested = [g for g in large.design.groupings if len(g.names) > old.get(frozenset(g.columns), 0)]
    if not tested:
        return ""
    fewest = min(tested, key=lambda g: len(g.labels))
    n = len(fewest.labels)
    return f"{n} units of {fewest.name}" if n < FEW_UNITS else ""


def _simulated_null(
    small: LinearMixedModel,
    large: LinearMixedModel,
    n: int,
    seed: Seed,
) -> tuple[npt.NDArray[np.float64], int]:
    """Return simulated statistics and the number of data sets in which a refit did not converge."""
    rng = generator_of(repeatable(seed))
    found, stopped = np.empty(n), 0
    for i in range(n):
        y = simulated(small.fit, rng)
        fits = linear_fit.refitted(small.fit, y), linear_fit.refitted(large.fit, y)
        found[i] = fits[0].deviance - fits[1].deviance
        stopped += not all(fit.convergence.converged for fit in fits)
    return np.maximum(found, 0.0), stopped

"""What every result has in common: column names, tables of estimates.

The column names are broom's in snake_case. A column means the same thing wherever it stands;
:data:`GLOSSARY` says what, and on which scale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_conf_level
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger

__all__ = [
    "DUST",
    "GLOSSARY",
    "LINK_WORDS",
    "Array",
    "Coefficients",
    "LinkWords",
    "estimate_columns",
    "one_line",
    "snapped",
    "two_sided_p",
    "wald_interval",
]

Array = npt.NDArray[np.float64]

DUST = 16.0 * float(np.finfo(np.float64).eps)
"""What arithmetic leaves of a difference that is none, relative to the values: a few digits."""

GLOSSARY: Mapping[str, str] = MappingProxyType(
    {
        "effect": "fixed (a coefficient), ran_pars (an SD or correlation of random effects) or "
        "ran_vals (a predicted random effect)",
        "group": "grouping factor of a random effect; 'Residual' for the residual",
        "level": "unit within a grouping factor",
        "term": "name of a coefficient, a random-effects parameter or a variable",
        "outcome": "name of the outcome column that a row speaks of",
        "contrast": "what is subtracted from what, as 'A - B'",
        "estimate": "point estimate, on the scale the method's docstring states",
        "std_error": "standard error of the estimate, on the same scale as the estimate",
        "statistic": "test statistic (t, z, F, chi-squared, U: `method` or the docstring says)",
        "df": "degrees of freedom of the statistic; infinite for z",
        "df1": "numerator degrees of freedom of an F statistic",
        "df2": "denominator degrees of freedom of an F statistic",
        "p_value": "two-sided p-value unless the docstring says otherwise",
        "conf_low": "lower limit of the confidence interval, on the scale of the estimate",
        "conf_high": "upper limit of the confidence interval, on the scale of the estimate",
        "strata": "group whose curve it is",
        "time": "time since start, in the caller's unit",
        "state": "ending that the row speaks of, where several compete",
        "n_risk": "units at risk just before `time`",
        "n_event": "units with the event at `time`",
        "n_censor": "units censored at `time`",
        "n_expected": "events expected in a group were all hazards equal",
        "n_clusters": "clusters behind the standard errors; missing where each row is its own",
        "cumulative_hazard": "hazard summed up to `time`; survival is exp of its negative",
        "hazard": "probability to end in the interval after `time`, of those still there",
        "survival": "probability to be there still after the interval of `time`",
        "delta": "shift of the outcomes not seen, in units of the outcome",
        "missing_information": "share of the information on the estimate that missing values took",
        "log_lik_null": "log-likelihood with all coefficients 0",
        "p_smallest": "smallest p-value that the exact test of this design can reach",
        "nobs": "rows used",
        "sigma": "residual SD, in units of the outcome",
        "log_lik": "log-likelihood (restricted where `reml` is true)",
        "deviance": "-2 log-likelihood (restricted where `reml` is true)",
        "aic": "Akaike's information criterion, from `log_lik`",
        "bic": "Bayesian information criterion, from `log_lik` and `nobs`",
        "distribution": "distribution of a generalized model's outcome",
        "link": "link of a generalized model",
        "nodes": "quadrature nodes a random effect; 1 is the Laplace approximation",
        "linear_predictor": "predictor on the scale of the link, random effects at their modes",
        "reml": "whether variances were estimated by restricted maximum likelihood",
        "converged": "whether the optimiser's criterion was flat where it stopped",
        "singular": "whether a variance or a correlation sits on its boundary",
        "hedges_g": "standardised mean difference, small-sample corrected (Hedges 1981)",
        "hedges_g_scale": "the SD that `hedges_g` is in: pooled, of differences, total",
        "estimand": "what `estimate` estimates: mean difference, risk difference, Cliff's delta",
        "superiority": "P(first > second) + P(equal)/2 of one random case of each group",
        "icc": "intraclass correlation: share of variance between clusters, inside groups",
        "p_adjusted": "p-value corrected for all comparisons of the table, as the call asked",
        "p_holm": "p-value corrected over the table's rows to hold the familywise error (Holm)",
        "p_fdr": "p-value corrected over the table's rows to hold the false discovery rate (BH)",
        "detectable": "effect detected with 80% power at .05, on `detectable_scale`",
        "method": "name of the test or estimator",
        "about": "what a row of a description speaks of (units, size, missing, left out, score...)",
        "n": "how many",
        "of": "out of how many",
        "mean": "arithmetic mean, in units of the variable",
        "sd": "standard deviation (n - 1 in the denominator), in units of the variable",
        "minimum": "smallest value",
        "median": "middle value",
        "maximum": "largest value",
        "rule": "the rule that an index or a flag was made by, in words",
        "predictor": "outcome at the session before, whose effect on `outcome` a row has",
        "lag": "how many sessions the predictor stands before the outcome",
        "session": "number of the session that a row speaks of",
        "other": "second of the two variables whose covariance a row has",
        "part": "what a covariance within persons belongs to",
        "correlation": "covariance over the product of the two SDs",
        "impulse": "outcome that the shock of one point strikes",
        "sessions_after": "sessions since the shock",
        "test": "restriction that is tested",
        "boundary": "whether a variance at its limit makes the p-value too large",
        "trends": "whether persons have linear trends of their own",
        "reliability": "share of within-person variance that is not error of measurement",
        "share": "part of a whole, from 0 to 1; the docstring says of which",
    }
)


_LONGEST_FORMULA = 100  # characters of a one-line repr


def one_line(result: object) -> str:
    """Return ``<Class: formula, n rows>``: what a result shows of itself at a prompt.

    A result stands for arrays and ledgers whose own text fills pages. In a class body,
    ``__repr__ = one_line``. What a result does not have (formula, rows) is left out.
    """
    parts = []
    formula = getattr(result, "formula", None)
    if isinstance(formula, str):
        cut = len(formula) > _LONGEST_FORMULA
        parts.append(formula[: _LONGEST_FORMULA - 1] + "…" if cut else formula)
    rows = getattr(result, "rows", None)
    if isinstance(rows, RowLedger):
        parts.append(plural(rows.n_used, "row"))
    name = type(result).__name__
    return f"<{name}: {', '.join(parts)}>" if parts else f"<{name}>"


def wald_interval(
    estimate: npt.ArrayLike,
    std_error: npt.ArrayLike,
    *,
    df: npt.ArrayLike = np.inf,
    conf_level: float = 0.95,
) -> tuple[Array, Array]:
    """Return ``estimate -+ t(1 - alpha/2; df) * std_error`` (normal where ``df`` is infinite).

    Parameters
    ----------
    estimate, std_error, df
        Broadcast against one another; the interval is on the scale of the estimate.
    conf_level
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    low, high
        Arrays of the broadcast shape.
    """
    alpha = 1.0 - check_conf_level(conf_level)
    centre = np.asarray(estimate, dtype=np.float64)
    # stats.t handles df = inf as the normal distribution
    half = stats.t.isf(alpha / 2.0, np.asarray(df, dtype=np.float64)) * np.asarray(std_error)
    return np.asarray(centre - half), np.asarray(centre + half)


def two_sided_p(statistic: npt.ArrayLike, *, df: npt.ArrayLike = np.inf) -> Array:
    """Return ``P(|T| >= |statistic|)`` for Student's t with `df` (normal where infinite)."""
    return np.asarray(2.0 * stats.t.sf(np.abs(statistic), np.asarray(df, dtype=np.float64)))


def snapped(values: Array, at: float) -> Array:
    """Return `values`, those that floating-point dust alone parts from `at` made equal to it.

    A mean of three items that are all 3.8 is 3.7999999999999994, and 0.7 + 0.1 is not quite 0.8:
    scores that are held against a cut-off have to be on it or not as they are on paper.
    """
    size = max(abs(at), float(np.abs(values[np.isfinite(values)]).max(initial=0.0)))
    return np.where(np.abs(values - at) <= DUST * size, at, values)


def estimate_columns(
    estimate: npt.ArrayLike,
    std_error: npt.ArrayLike,
    *,
    df: npt.ArrayLike = np.inf,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the columns that every table of estimates has.

    Returns
    -------
    DataFrame
        ``estimate, std_error, statistic`` (their quotient), ``df, p_value`` (of a zero estimate)
        and ``conf_low, conf_high``, a row an estimate, on the scale of the estimate.
    """
    centre = np.asarray(estimate, dtype=np.float64)
    error = np.asarray(std_error, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = centre / error
    low, high = wald_interval(centre, error, df=df, conf_level=conf_level)
    return pd.DataFrame(
        {
            "estimate": centre,
            "std_error": error,
            "statistic": statistic,
            "df": np.broadcast_to(np.asarray(df, dtype=np.float64), centre.shape),
            "p_value": two_sided_p(statistic, df=df),
            "conf_low": low,
            "conf_high": high,
        }
    )


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """Coefficients of a model with what judges them: the one maker of their tables.

    Attributes
    ----------
    terms
        Their names.
    estimate
        (k,), NaN where the data do not determine one.
    vcov
        Their covariance, (k, k), NaN there too.
    df
        Degrees of freedom of each, (k,), or one number for all; infinite for z.
    """

    terms: Sequence[str]
    estimate: Array
    vcov: Array
    df: Array | float = np.inf

    @property
    def std_error(self) -> Array:
        """Standard errors, (k,)."""
        return np.asarray(np.sqrt(np.diag(self.vcov)))

    def table(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``term`` and the columns of :func:`estimate_columns`, a row a coefficient."""
        found = estimate_columns(self.estimate, self.std_error, df=self.df, conf_level=conf_level)
        found.insert(0, "term", list(self.terms))
        return found

    def ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the same table of ``exp(coefficient)``: odds, hazard or rate ratios.

        Limits are the exponentials of the limits and tests stay those of the coefficients;
        ``std_error`` is that of the ratio by the delta method, ``ratio * SE``.
        """
        found = self.table(conf_level=conf_level)
        ratio = np.exp(found["estimate"])
        return found.assign(
            estimate=ratio,
            std_error=ratio * found["std_error"],
            conf_low=np.exp(found["conf_low"]),
            conf_high=np.exp(found["conf_high"]),
        )


@dataclass(frozen=True, slots=True)
class LinkWords:
    """What numbers on the scale of a link are called.

    Attributes
    ----------
    scale
        The linear predictor: ``"log odds"``.
    quantity
        What its exponential is: ``"odds"``; None where it is nothing.
    short
        Short for a ratio of two of them: ``"OR"``; None where there is none.
    """

    scale: str
    quantity: str | None = None
    short: str | None = None

    @property
    def ratio(self) -> str | None:
        """What ``exp`` of a coefficient is: ``"odds ratio"``; None where it is nothing."""
        return None if self.quantity is None else f"{self.quantity} ratio"


LINK_WORDS: Mapping[str, LinkWords] = MappingProxyType(
    {
        "identity": LinkWords("the outcome"),
        "logit": LinkWords("log odds", "odds", "OR"),
        "cloglog": LinkWords("log hazard", "hazard", "HR"),
        "log": LinkWords("log rate", "rate", "RR"),
        "probit": LinkWords("probit"),
    }
)

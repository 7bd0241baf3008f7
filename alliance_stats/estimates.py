"""What every result has in common: column names, tables of estimates.

The column names are broom's in snake_case. A column means the same thing wherever it stands;
:data:`GLOSSARY` says what, and on which scale.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special, stats

from alliance_stats.checks import check_conf_level
from alliance_stats.formatting import plural
from alliance_stats.glossary import GLOSSARY
from alliance_stats.ledger import RowLedger

__all__ = [
    "DUST",
    "GLOSSARY",
    "LINK_WORDS",
    "LOG_MEDIAN_RATIO",
    "Array",
    "Booleans",
    "Coefficients",
    "Integers",
    "LinkWords",
    "estimate_columns",
    "exponentiated",
    "link_words",
    "named_covariance",
    "one_line",
    "snapped",
    "two_sided_p",
    "wald_interval",
]

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

DUST = 16.0 * float(np.finfo(np.float64).eps)
"""What arithmetic leaves of a difference that is none, relative to the values: a few digits."""


LOG_MEDIAN_RATIO = float(np.sqrt(2.0) * stats.norm.ppf(0.75))
"""Median log ratio of two random units, the one with more above the one with less, where the SD of
their effects is 1 (Larsen & Merlo 2005, doi:10.1093/aje/kwi017)."""

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
    free = np.asarray(df, dtype=np.float64)
    tail = alpha / 2.0
    quantile = np.where(np.isinf(free), special.ndtri(tail), special.stdtrit(free, tail))
    half = -quantile * np.asarray(std_error)
    return np.asarray(centre - half), np.asarray(centre + half)


def two_sided_p(statistic: npt.ArrayLike, *, df: npt.ArrayLike = np.inf) -> Array:
    """Return ``P(|T| >= |statistic|)`` for Student's t with `df` (normal where infinite)."""
    free, below = np.asarray(df, dtype=np.float64), -np.abs(statistic)
    tail = np.where(np.isinf(free), special.ndtr(below), special.stdtr(free, below))
    return np.asarray(2.0 * tail)


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
        and ``conf_low, conf_high``, a row per estimate, on the scale of the estimate.
    """
    return pd.DataFrame(_columns(estimate, std_error, df=df, conf_level=conf_level))


def _columns(
    estimate: npt.ArrayLike, std_error: npt.ArrayLike, *, df: npt.ArrayLike, conf_level: float
) -> dict[str, Array]:
    centre = np.asarray(estimate, dtype=np.float64)
    error = np.asarray(std_error, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = centre / error
    low, high = wald_interval(centre, error, df=df, conf_level=conf_level)
    return {
        "estimate": centre,
        "std_error": error,
        "statistic": statistic,
        "df": np.broadcast_to(np.asarray(df, dtype=np.float64), centre.shape),
        "p_value": two_sided_p(statistic, df=df),
        "conf_low": low,
        "conf_high": high,
    }


def named_covariance(covariance: Array, *keys: Iterable[object]) -> pd.DataFrame:
    """Return a covariance (k, k) whose rows and columns have the names of the estimates.

    Parameters
    ----------
    covariance
        NaN where an estimate has none.
    *keys
        What names an estimate, (k,) each: its term, or its ending and its term, joined by ``:``.

    Examples
    --------
    >>> import numpy as np
    >>> named_covariance(np.eye(1), ["dropout"], ["alliance"])
                      dropout:alliance
    dropout:alliance               1.0
    """
    names = pd.Index([":".join(map(str, key)) for key in zip(*keys, strict=True)])
    return pd.DataFrame(covariance, index=names, columns=names)


def exponentiated(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of logarithms as one of ratios: estimate and limits; its tests stay."""
    columns = ("estimate", "conf_low", "conf_high")
    return table.assign(**{name: np.exp(table[name].astype(np.float64)) for name in columns})


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
        """Return ``term`` and the columns of :func:`estimate_columns`, a row per coefficient."""
        return pd.DataFrame(self.columns(conf_level=conf_level))

    def columns(self, *, conf_level: float = 0.95) -> dict[str, list[str] | Array]:
        """Return the columns of :meth:`table` by name."""
        found = _columns(self.estimate, self.std_error, df=self.df, conf_level=conf_level)
        return {"term": list(self.terms), **found}

    def ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the same table of ``exp(coefficient)``: odds, hazard or rate ratios.

        Limits are the exponentials of the limits and tests stay those of the coefficients;
        ``std_error`` is that of the ratio by the delta method, ``ratio * SE``.
        """
        found = exponentiated(self.table(conf_level=conf_level))
        return found.assign(std_error=found["estimate"] * found["std_error"])


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
        if self.quantity == "mean":
            return "ratio of means"
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

_OF_SUPPORT = {
    ("log", "positive"): LinkWords("log mean", "mean", "RoM"),
    ("log", "trials"): LinkWords("log risk", "risk", "RR"),
    ("logit", "steps"): LinkWords("log cumulative odds", "odds", "OR"),
    ("cloglog", "steps"): LinkWords("minus the log hazard of stopping at a step", "hazard", "HR"),
}


def link_words(link: str, support: str) -> LinkWords:
    """Return the words of a link for what can be observed: the log of times is that of a mean."""
    return _OF_SUPPORT.get((link, support), LINK_WORDS[link])

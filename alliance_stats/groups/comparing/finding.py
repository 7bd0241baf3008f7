"""Results and options of tests, and corrections for several tests."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import stats

from alliance_stats.arguments import whole_number
from alliance_stats.checks import check_choice
from alliance_stats.effect_sizes import ClusteredEffect
from alliance_stats.engine.multiple_tests import holm
from alliance_stats.estimates import Array, wald_interval
from alliance_stats.named import named
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed

__all__ = ["Finding", "TestOptions", "adjusted_p", "no_interval", "not_tested", "t_interval"]


@dataclass(frozen=True, slots=True)
class TestOptions:
    """Options of the tests.

    Attributes
    ----------
    n_resamples
        Draws of a Monte Carlo permutation test; all arrangements are enumerated where they are few.
    seed
        Seed or generator of Monte Carlo draws.
    """

    __test__ = False  # the name begins with Test; this keeps pytest from collecting it

    n_resamples: int = 9999
    seed: Seed = None

    def __post_init__(self) -> None:
        """Refuse a number of draws that is none."""
        whole_number(self.n_resamples, name="n_resamples", least=1, of="draws")


@named
def no_interval(conf_level: float) -> tuple[float, float]:  # noqa: ARG001  the shape of an interval
    """Return an interval that does not exist."""
    return math.nan, math.nan


def t_interval(
    estimate: float, std_error: float, df: float
) -> Callable[[float], tuple[float, float]]:
    """Return the function from a confidence level to ``estimate -+ t(df) std_error``."""
    return partial(_t_limits, estimate, std_error, df)


@named
def _t_limits(
    estimate: float, std_error: float, df: float, conf_level: float
) -> tuple[float, float]:
    low, high = wald_interval(estimate, std_error, df=df, conf_level=conf_level)
    return float(low), float(high)


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What one test found for one outcome.

    Attributes
    ----------
    test, method
        Registry name (``"welch"``) and name in words (``"Welch t test"``).
    estimand
        What `estimate` estimates (``"mean difference"``, ``"risk difference"``, ...), first group
        minus second; NaN where there are more than two groups.
    estimate, std_error
        In units of the outcome, or as a proportion.
    statistic_name, statistic, df, df1, df2, p_value
        The test; p is two-sided.
    interval, interval_method
        From a confidence level to the limits, and by which method: not always the test's own.
    p_smallest
        The smallest p that this exact test could have given with these group sizes and margins;
        NaN for tests that are not exact.
    standardised, standardised_by
        From a confidence level to the estimate in SDs of the test's own model, and which SDs;
        None where g comes from the groups' members.
    note
        What a reader must know about this row.
    """

    test: str
    method: str
    estimand: str
    estimate: float = math.nan
    std_error: float = math.nan
    statistic_name: str = ""
    statistic: float = math.nan
    df: float = math.nan
    df1: float = math.nan
    df2: float = math.nan
    p_value: float = math.nan
    interval: Callable[[float], tuple[float, float]] = no_interval
    interval_method: str = ""
    p_smallest: float = math.nan
    standardised: Callable[[float], ClusteredEffect] | None = None
    standardised_by: str = ""
    note: str = ""


def not_tested(estimand: str, estimate: float, note: str) -> Finding:
    """Return a row that is described and not tested, and says why."""
    return Finding("none", "not tested", estimand, estimate, note=note)


@renamed(method="adjust")
def adjusted_p(p_values: npt.ArrayLike, *, adjust: str = "holm") -> Array:
    """Return p-values corrected over all that are not NaN; NaN stays NaN and is not counted.

    ``"holm"`` controls the familywise error rate (Holm 1979), ``"fdr"`` the false discovery rate
    (Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x).

    Examples
    --------
    >>> from alliance_stats.groups import adjusted_p
    >>> adjusted_p([0.01, 0.03, 0.04], adjust="holm").round(3)
    array([0.03, 0.06, 0.06])
    """
    check_choice(adjust, ("holm", "fdr"), name="adjust")
    p = np.asarray(p_values, dtype=np.float64)
    if adjust == "holm":
        return holm(p)
    corrected = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        corrected[tested] = stats.false_discovery_control(p[tested])
    return corrected

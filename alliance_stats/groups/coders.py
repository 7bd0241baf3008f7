"""How far coders agree: kappas, Krippendorff's alpha, intraclass correlations."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import (
    check_choice,
    check_conf_level,
    check_frame,
    check_magnitude,
    finite_or_missing,
    require_columns,
)
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import DUST, Array, one_line
from alliance_stats.formatting import plural
from alliance_stats.groups.agreement_coefficients import (
    FORMS,
    anova_intervals,
    cohen_kappa,
    fleiss_kappa,
    icc_estimates,
    krippendorff_alpha,
    simulated_estimates,
    variance_components,
)
from alliance_stats.groups.comparing.group_samples import tied
from alliance_stats.ledger import RowLedger
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed, generator_of
from alliance_stats.spelling import check_spelling

__all__ = ["CoderAgreement", "coder_agreement"]

_DRAWN = {"Fleiss kappa": "resamples of cases", "alpha": "resamples of cases"}
_LEVELS = ("nominal", "ordinal", "interval")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CoderAgreement:
    """Agreement of coders; returned by :func:`coder_agreement`.

    Attributes
    ----------
    coders, measurement
        Coders' columns and the level of their codes.
    ratings
        Cases x coders as numbers (category ranks where codes are words); NaN where not coded.
    categories
        Codes that could be given, in order: those declared, else those in use.
    draws
        Coefficient -> its bootstrap values, for the coefficients without a closed-form interval.
    rows
        Cases with fewer than two codes are set aside here.
    """

    coders: tuple[str, ...]
    measurement: str
    ratings: Array
    categories: Array
    draws: dict[str, Array]
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return rows of coefficients: ``term, coders, n, estimate, conf_low, conf_high, method``.

        ``n`` is the number of cases it could use: the kappas need both (all) coders' codes, alpha
        and the intraclass correlations any two. ``method`` names the interval.
        """
        check_conf_level(conf_level)
        rows = [self._observed(), *self._cohen(conf_level)]
        if self.measurement != "interval":
            rows.append(self._fleiss(conf_level))
        rows.append(self._alpha(conf_level))
        if self.measurement != "nominal":
            rows += self._icc(conf_level)
        return pd.DataFrame(rows)

    def glance(self) -> pd.DataFrame:
        """Return one row: coders, cases, codes, and the share of codes that are missing."""
        missing = float(np.isnan(self.ratings).mean())
        return pd.DataFrame(
            {
                "n_coders": [len(self.coders)],
                "nobs": [self.ratings.shape[0]],
                "n_categories": [np.unique(self.ratings[~np.isnan(self.ratings)]).size],
                "share_missing": [missing],
            }
        )

    @property
    def method(self) -> str:
        """What was measured, in a phrase."""
        return f"Agreement of {plural(len(self.coders), 'coder')}, {self.measurement} codes"

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing: what cannot be measured is refused."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the coefficients as data."""
        table = Section(
            "Coefficient",
            self.tidy(conf_level=conf_level),
            names=("term", "coders"),
            measure="",
            kind="bounded",
            columns={"n": Column("cases", "count")},
            conf_level=conf_level,
            undefined="not defined",
        )
        sizes = {"cases": len(self.ratings), "coders": len(self.coders)}
        drawn = bool(self.draws)
        return Account.of(
            self,
            sizes,
            (table,),
            drawn=drawn,
            sources=("cohen1960",) if self.measurement != "interval" else ("mcgraw1996",),
        )

    summary = summary_of
    _repr_html_ = html_of

    def _complete(self) -> Array:
        complete: Array = self.ratings[~np.isnan(self.ratings).any(axis=1)]
        return complete

    def _row(self, term: str, coders: str, n: int, estimate: float) -> dict[str, object]:
        return {"term": term, "coders": coders, "n": n, "estimate": estimate} | {
            "conf_low": math.nan,
            "conf_high": math.nan,
            "method": "",
        }

    def _observed(self) -> dict[str, object]:
        complete = self._complete()
        share = (
            float((complete == complete[:, :1]).all(axis=1).mean()) if len(complete) else math.nan
        )
        return self._row("share of cases that all code alike", "all", len(complete), share)

    def _cohen(self, conf_level: float) -> list[dict[str, object]]:
        rows = []
        kinds = {"nominal": ["none"], "ordinal": ["none", "linear", "quadratic"], "interval": []}
        for i, j in itertools.combinations(range(len(self.coders)), 2):
            both = ~np.isnan(self.ratings[:, [i, j]]).any(axis=1)
            a, b = self.ratings[both, i], self.ratings[both, j]
            for weights in kinds[self.measurement]:
                kappa = cohen_kappa(
                    a, b, weights=weights, categories=self.categories, conf_level=conf_level
                )
                name = "Cohen kappa" if weights == "none" else f"Cohen kappa, {weights} weights"
                row = self._row(name, f"{self.coders[i]}, {self.coders[j]}", len(a), kappa.estimate)
                rows.append(
                    row
                    | {
                        "conf_low": kappa.conf_low,
                        "conf_high": kappa.conf_high,
                        "method": "normal, large-sample error",
                    }
                )
        return rows

    def _fleiss(self, conf_level: float) -> dict[str, object]:
        complete = self._complete()
        row = self._row("Fleiss kappa", "all", len(complete), _fleiss(self.ratings))
        return row | self._percentiles("Fleiss kappa", conf_level)

    def _alpha(self, conf_level: float) -> dict[str, object]:
        term = f"Krippendorff alpha, {self.measurement}"
        alpha = krippendorff_alpha(self.ratings, measurement=self.measurement)
        row = self._row(term, "all", len(self.ratings), alpha)
        return row | self._percentiles("alpha", conf_level)

    def _icc(self, conf_level: float) -> list[dict[str, object]]:
        k = len(self.coders)
        estimates = icc_estimates(variance_components(self.ratings), k)
        complete = not np.isnan(self.ratings).any()
        closed = anova_intervals(self.ratings, conf_level) if complete else {}
        rows = []
        for form in FORMS:
            row = self._row(form, "all", len(self.ratings), estimates[form])
            if complete:
                low, high = closed[form]
                interval: dict[str, object] = {"conf_low": low, "conf_high": high, "method": "F"}
            else:
                interval = self._percentiles(form, conf_level)
            rows.append(row | interval)
        return rows

    def _percentiles(self, name: str, conf_level: float) -> dict[str, object]:
        draws = self.draws.get(name, np.zeros(0))
        draws = draws[~np.isnan(draws)]
        if draws.size == 0:
            return {}
        alpha = 1.0 - conf_level
        low, high = np.quantile(draws, [alpha / 2.0, 1.0 - alpha / 2.0])
        return {
            "conf_low": float(low),
            "conf_high": float(high),
            "method": f"percentile, {draws.size} {_DRAWN.get(name, 'simulated ratings')}",
        }


@renamed(n_bootstrap="n_resamples", level="measurement")
def coder_agreement(
    data: pd.DataFrame,
    *,
    coders: Sequence[str],
    measurement: str,
    n_resamples: int = 1000,
    seed: Seed = None,
) -> CoderAgreement:
    """Measure the agreement of two or more coders of the same cases.

    Parameters
    ----------
    data
        One row per case, one column per coder; missing codes are allowed.
    coders
        The coders' columns.
    measurement
        ``"nominal"`` (Cohen and Fleiss kappa, Krippendorff alpha), ``"ordinal"`` (weighted kappas
        and intraclass correlations too) or ``"interval"`` (alpha and intraclass correlations).
        Ordinal words must be ordered categories; nominal codes may be anything.
    n_resamples, seed
        Resamples of cases for the intervals of Fleiss' kappa and alpha; draws from the fitted
        mixed models for intraclass correlations of incomplete ratings (about 0.1 s each). With
        ``n_resamples=0`` these intervals are omitted.

    Raises
    ------
    DataError
        Fewer than two coders, text codes at a numeric level, no seed for the draws.
    NotIdentifiedError
        No case with two codes, or one code used throughout.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import coder_agreement
    >>> codes = pd.DataFrame({"first": [1, 0, 1, 1, 0, 1], "second": [1, 0, 1, 0, 0, 1]})
    >>> coder_agreement(
    ...     codes, coders=["first", "second"], measurement="nominal", n_resamples=100, seed=1
    ... ).tidy().iloc[:, :3].round(3)
                                     term         coders  n
    0  share of cases that all code alike            all  6
    1                         Cohen kappa  first, second  6
    2                        Fleiss kappa            all  6
    3         Krippendorff alpha, nominal            all  6
    """
    data = check_frame(data)
    check_choice(measurement, _LEVELS, name="measurement")
    if len(coders) < 2 or len(set(coders)) < len(coders):
        raise DataError(f"Agreement needs at least two coders, each once; got {list(coders)}.")
    require_columns(data, list(coders))
    if n_resamples > 0 and seed is None:
        raise DataError(
            "The intervals of Fleiss' kappa and Krippendorff's alpha are bootstrapped: give seed= "
            "(a whole number), or n_resamples=0 to do without them."
        )
    ratings, declared = _numbers(data, coders, measurement)
    enough = (~np.isnan(ratings)).sum(axis=1) >= 2
    start = RowLedger.start(data)
    _, rows = start.keep(data, enough, reason="fewer than two coders coded it")
    ratings = ratings[enough]
    codes = np.unique(ratings[~np.isnan(ratings)])
    if len(ratings) < 2 or codes.size < 2:
        raise NotIdentifiedError(
            f"{plural(len(ratings), 'case')} with two codes, {codes.size} different codes in use: "
            "agreement beyond chance is not identified."
        )
    draws = _bootstrap(ratings, measurement, n_resamples, generator_of(seed))
    categories = codes if declared is None else declared
    return CoderAgreement(tuple(coders), measurement, ratings, categories, draws, rows)


def _numbers(data: pd.DataFrame, coders: Sequence[str], level: str) -> tuple[Array, Array | None]:
    """Return the codes as numbers, and all codes that could have been given, where declared.

    Numbers are themselves (those that differ only by rounding error are merged), ordered categories
    their ranks, nominal words numbered.
    """
    columns = [data[coder] for coder in coders]
    ordered = [
        tuple(c.cat.categories)
        for c in columns
        if isinstance(c.dtype, pd.CategoricalDtype) and c.cat.ordered
    ]
    if len(ordered) == len(columns) and len(set(ordered)) == 1:
        codes = np.column_stack([c.cat.codes for c in columns]).astype(float)
        return np.where(codes < 0, math.nan, codes), np.arange(len(ordered[0]), dtype=np.float64)
    if all(pd.api.types.is_numeric_dtype(c.dtype) for c in columns):
        read = [check_magnitude(finite_or_missing(data, c), c, power=4) for c in coders]
        ratings = np.column_stack(read)
        largest = float(np.abs(ratings[~np.isnan(ratings)]).max(initial=0.0))
        return tied(ratings, dust=DUST * largest), None
    if level != "nominal":
        odd = next(c for c in columns if not pd.api.types.is_numeric_dtype(c.dtype))
        raise DataError(
            f"{level} codes must be numbers, or ordered categories that are the same for all "
            f"coders; '{odd.name}' is of type {odd.dtype}."
        )
    stacked = pd.concat([c.astype(object) for c in columns], ignore_index=True)
    stacked = stacked.rename(", ".join(map(str, coders)))
    check_spelling(stacked, kind="code")
    numbers = pd.factorize(stacked, sort=False)[0].astype(float)
    return np.where(numbers < 0, math.nan, numbers).reshape(len(columns), len(data)).T, None


def _fleiss(ratings: Array) -> float:
    complete = ratings[~np.isnan(ratings).any(axis=1)]
    if len(complete) < 2:
        return math.nan
    _, codes = np.unique(complete, return_inverse=True)
    return fleiss_kappa(codes.reshape(complete.shape).astype(np.int64))


def _bootstrap(
    ratings: Array, level: str, n_resamples: int, rng: np.random.Generator
) -> dict[str, Array]:
    """Return bootstrap values of the coefficients that have no closed-form interval.

    Cases are drawn in the order of their codes, so that the rows' order does not matter.
    """
    ratings = ratings[np.lexsort(ratings.T[::-1])]
    fleiss, alpha = np.full(n_resamples, math.nan), np.full(n_resamples, math.nan)
    for i in range(n_resamples):
        sample = ratings[rng.integers(0, len(ratings), len(ratings))]
        alpha[i] = krippendorff_alpha(sample, measurement=level)
        if level != "interval":
            fleiss[i] = _fleiss(sample)
    draws = {"Fleiss kappa": fleiss, "alpha": alpha}
    if level != "nominal" and n_resamples > 0 and np.isnan(ratings).any():
        draws |= simulated_estimates(ratings, n_resamples, seed=int(rng.integers(2**32)))
    return draws

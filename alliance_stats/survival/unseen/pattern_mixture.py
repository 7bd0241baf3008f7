"""Pattern mixture: the outcome model within each time of leaving, averaged over them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.checks import check_frame, require_columns, require_present, units_with_several
from alliance_stats.design.design import fixed_columns
from alliance_stats.design.formula import parse_formula
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, one_line, two_sided_p, wald_interval
from alliance_stats.formatting import format_interval, format_number, p_phrase, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel, lmm

__all__ = ["PatternMixture", "pattern_mixture"]

_PATTERN = "time_of_leaving"  # the column that the formula is crossed with


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PatternMixture:
    """Coefficients within patterns of leaving and averaged over them.

    Attributes
    ----------
    fit
        The model in which every coefficient differs between patterns.
    terms
        Names of the coefficients.
    patterns
        ``pattern, n_units, share``.
    within
        (patterns, p) coefficients of each pattern.
    within_covariance
        (patterns * p, patterns * p) their covariance.
    """

    fit: LinearMixedModel
    terms: tuple[str, ...]
    patterns: pd.DataFrame
    within: Array
    within_covariance: Array

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.fit.rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the averaged coefficients, a row a term.

        ``term, estimate, std_error, statistic, df, p_value, conf_low, conf_high``. The standard
        error counts that the patterns' shares are estimated, as from independent units; normal
        quantiles.
        """
        share = self.patterns["share"].to_numpy()
        n = self.patterns["n_units"].sum()
        p = len(self.terms)
        average = share @ self.within
        weights = np.kron(share, np.eye(p))
        covariance = weights @ self.within_covariance @ weights.T
        off = self.within - average
        covariance += (off * share[:, None]).T @ off / n
        return _table(self.terms, average, np.sqrt(np.diag(covariance)), conf_level)

    def by_pattern(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the coefficients of each pattern, a row a pattern and term."""
        p = len(self.terms)
        errors = np.sqrt(np.diag(self.within_covariance)).reshape(-1, p)
        tables = []
        for k, name in enumerate(self.patterns["pattern"]):
            table = _table(self.terms, self.within[k], errors[k], conf_level)
            table.insert(0, "pattern", name)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def glance(self) -> pd.DataFrame:
        """Return the fit's ``glance`` with ``n_patterns``."""
        return self.fit.glance().assign(n_patterns=len(self.patterns))

    def summary(self) -> str:
        """Return shares and averaged coefficients in words."""
        lines = [
            f"{row.pattern}: {plural(int(row.n_units), 'unit')} ({format_number(row.share)})"
            for row in self.patterns.itertuples()
        ]
        lines += [
            f"{row.term}: {format_number(row.estimate, 3)}, 95% CI "
            f"{format_interval(row.conf_low, row.conf_high, 3)}, {p_phrase(row.p_value)}"
            for row in self.tidy().itertuples()
        ]
        return "\n".join(["Pattern mixture, averaged over", *lines, str(self.rows)])


def pattern_mixture(formula: str, data: pd.DataFrame, *, pattern: str, unit: str) -> PatternMixture:
    """Fit an outcome model whose fixed effects differ between times of leaving, and average.

    ``beta = sum_k pi_k beta_k`` over the patterns k, with pi their shares among units (Hedeker &
    Gibbons 1997). Each pattern's line is carried on beyond its time of leaving: that is the
    assumption in place of missing at random. Random effects and residual variance are common.

    Parameters
    ----------
    formula
        A linear mixed model, as in ``"symptoms ~ session * framework + (1 | therapist/family)"``.
    data
        Rows with outcomes.
    pattern
        Column: when the unit left ("early", "late", "stayed"), the same in all its rows. Few and
        coarse ones: every coefficient must be estimable within each.
    unit
        Column: id of what leaves.

    Returns
    -------
    PatternMixture

    Raises
    ------
    DataError
        A pattern that differs within a unit or is missing, or stands in the formula already.
    NotIdentifiedError
        Fewer than two patterns, or a coefficient that cannot be estimated within one.

    References
    ----------
    Little (1993), doi:10.1080/01621459.1993.10594302. Hedeker & Gibbons (1997),
    doi:10.1037/1082-989X.2.1.64.
    """
    require_columns(check_frame(data), [pattern, unit])
    require_present(data, pattern, why="to know when the unit left")
    require_present(data, unit, why="to count the units of each pattern")
    if not data.index.is_unique:  # rows are found again by their labels
        data = data.reset_index(drop=True)
    several = units_with_several(data, unit=unit, column=pattern)
    if len(several):
        raise DataError(f"'{several[0]}' has several values of '{pattern}': a unit leaves once.")
    parsed = parse_formula(formula)
    simple = lmm(formula, data)
    if pattern in simple.design.frame.columns:
        raise DataError(f"'{pattern}' stands in the formula already; it is added to every term.")
    if _PATTERN in simple.design.frame.columns:
        raise DataError(
            f"The formula names '{_PATTERN}', which is added to it: rename that column."
        )
    frame = data.loc[simple.design.index]
    labels = frame[pattern].astype(object).astype(str)
    names = sorted(labels.unique())
    if len(names) < 2:
        raise NotIdentifiedError(f"'{pattern}' has one value: there is nothing to average over.")
    random = " + ".join(str(term) for term in parsed.random)
    fit = lmm(
        f"{parsed.response} ~ ({parsed.fixed}) * {_PATTERN} + {random}",
        frame.assign(**{_PATTERN: labels}),
    )
    if fit.beta.isna().any():
        missing = ", ".join(fit.beta.index[fit.beta.isna()][:4])
        raise NotIdentifiedError(
            f"Within a pattern of '{pattern}' the rows do not hold every coefficient ({missing} "
            "cannot be estimated): someone who left after one session has no slope. Join patterns."
        )
    maps = [_coefficients_of(simple, fit, frame.assign(**{_PATTERN: level})) for level in names]
    stacked = np.vstack(maps)
    counts = labels.groupby(frame[unit].to_numpy()).first().value_counts().reindex(names)
    return PatternMixture(
        fit=fit,
        terms=tuple(str(term) for term in simple.beta.index[simple.beta.notna()]),
        patterns=pd.DataFrame(
            {
                "pattern": names,
                "n_units": counts.to_numpy(),
                "share": (counts / counts.sum()).to_numpy(),
            }
        ),
        within=(stacked @ fit.beta.to_numpy()).reshape(len(names), -1),
        within_covariance=stacked @ fit.vcov().to_numpy() @ stacked.T,
    )


def _coefficients_of(simple: LinearMixedModel, fit: LinearMixedModel, frame: pd.DataFrame) -> Array:
    """Return the matrix that takes all coefficients to those of one pattern."""
    X = fixed_columns(fit.design, frame)
    found = np.linalg.lstsq(simple.design.X, X, rcond=None)[0]
    return np.asarray(found)


def _table(
    terms: tuple[str, ...], estimate: Array, std_error: Array, conf_level: float
) -> pd.DataFrame:
    low, high = wald_interval(estimate, std_error, conf_level=conf_level)
    return pd.DataFrame(
        {
            "term": terms,
            "estimate": estimate,
            "std_error": std_error,
            "statistic": estimate / std_error,
            "df": np.inf,
            "p_value": two_sided_p(estimate / std_error),
            "conf_low": low,
            "conf_high": high,
        }
    )

"""The difference of two correlations: between two groups, or between two pairs in one sample."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.association.correlation_estimates import (
    CorrelationEstimate,
    check_pair,
    correlation,
    difference_dependent,
    difference_independent,
)
from alliance_stats.checks import (
    check_conf_level,
    check_frame,
    finite_or_missing,
    group_codes,
    require_columns,
)
from alliance_stats.errors import DataError
from alliance_stats.estimates import one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling

__all__ = ["CorrelationDifference", "correlation_difference"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CorrelationDifference:
    """The difference of two correlations, returned by :func:`correlation_difference`.

    Attributes
    ----------
    first, second
        What was correlated, as ``"alliance with symptoms (mothers)"``.
    estimates
        The two correlations.
    z, z_error
        Their difference in Fisher's z, and its standard error.
    how
        What was computed, in a phrase.
    rows
        Ledger of the rows used and set aside.
    """

    first: str
    second: str
    estimates: tuple[CorrelationEstimate, CorrelationEstimate]
    z: float
    z_error: float
    how: str
    rows: RowLedger

    __repr__ = one_line

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return self.how

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know first."""
        return ()

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row: the difference of r with its interval, and the z test.

        Returns
        -------
        DataFrame
            ``contrast, estimate, conf_low, conf_high, statistic, p_value``: the difference of the
            two r, its interval by Zou (2007, doi:10.1037/1082-989X.12.4.399) from the limits of
            each, and the z test of equal correlations.
        """
        check_conf_level(conf_level)
        (r1, r2), z = self.estimates, self.z / self.z_error
        (l1, u1), (l2, u2) = r1.interval(conf_level), r2.interval(conf_level)
        d = r1.r - r2.r
        # the correlation of the two estimates, from the error of their difference
        product = r1.z_error * r2.z_error
        c = (r1.z_error**2 + r2.z_error**2 - self.z_error**2) / (2.0 * product)
        low = _zou(r1.r - l1, u2 - r2.r, c)
        high = _zou(u1 - r1.r, r2.r - l2, c)
        return pd.DataFrame(
            {
                "contrast": [f"{self.first} - {self.second}"],
                "estimate": [d],
                "conf_low": [d - low],
                "conf_high": [d + high],
                "statistic": [z],
                "p_value": [float(2.0 * stats.norm.sf(abs(z)))],
            }
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: the two correlations and their n."""
        r1, r2 = self.estimates
        return pd.DataFrame([{"r_1": r1.r, "n_1": r1.n, "r_2": r2.r, "n_2": r2.n}])

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the two correlations and their difference as data."""
        each = pd.DataFrame(
            [
                {"term": name, "n": r.n, "estimate": r.r, "conf_low": low, "conf_high": high}
                for name, r in zip((self.first, self.second), self.estimates, strict=True)
                for low, high in [r.interval(conf_level)]
            ]
        )
        both = Section(
            "Pair",
            each,
            ("term",),
            measure="r",
            kind="bounded",
            columns={"n": Column("n", "count")},
            conf_level=conf_level,
        )
        difference = Section(
            "Difference",
            self.tidy(conf_level=conf_level),
            ("contrast",),
            measure="difference of r",
            kind="bounded",
            statistic="z",
            conf_level=conf_level,
        )
        sizes = {"rows": self.rows.n_used}
        return Account.of(self, sizes, (both, difference), sources=("steiger1980",))

    summary = summary_of
    _repr_html_ = html_of


def correlation_difference(
    data: pd.DataFrame,
    first: tuple[str, str],
    second: tuple[str, str] | None = None,
    *,
    group: str | None = None,
) -> CorrelationDifference:
    """Compare two correlations: of two groups, or of two pairs of variables of one sample.

    Parameters
    ----------
    data
        One row per case; rows without a needed value are set aside and counted.
    first
        Two variables.
    second
        Two variables of the same cases, one of which may belong to the first pair.
    group
        Column with two groups, in which correlations of the first pair are compared instead.

    Returns
    -------
    CorrelationDifference
        With ``tidy()``, ``glance()``, ``summary()``; first minus second.

    Raises
    ------
    DataError
        Both or neither of `second` and `group`; more or fewer than two groups.
    NotIdentifiedError
        A variable without variance, or fewer than four cases.

    Notes
    -----
    Groups: Fisher's z test of independent correlations. One sample: Steiger's test (1980,
    doi:10.1037/0033-2909.87.2.245) for dependent ones.

    Examples
    --------
    >>> from alliance_stats import correlation_difference, example_study
    >>> last = example_study().sessions.groupby("person").tail(1)
    >>> last = last[last["role"].isin(["mother", "father"])]
    >>> found = correlation_difference(last, ("alliance", "symptoms"), group="role")
    >>> len(found.tidy())
    1
    """
    if (second is None) == (group is None):
        raise DataError("Give second= (two other variables) or group= (two groups), not both.")
    data = check_frame(data)
    pairs = [tuple(first), *([] if second is None else [tuple(second)])]
    for pair in pairs:
        if len(pair) != 2 or pair[0] == pair[1]:
            raise DataError(f"A correlation is of two variables; got {pair!r}.")
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    require_columns(data, [*names, group])
    columns = np.column_stack([finite_or_missing(data, name) for name in names])
    kept = ~np.isnan(columns).any(axis=1)
    if group is not None:
        check_spelling(data[group], kind="group")
        kept &= data[group].notna().to_numpy()
    used, rows = RowLedger.start(data).keep(data, kept, reason="a needed value is missing")
    columns = columns[kept]
    text = [f"{a} with {b}" for a, b in pairs]
    if group is not None:
        codes, labels = group_codes(used[group])
        if len(labels) != 2:
            raise DataError(f"'{group}' must have two groups; it has {len(labels)}.")
        parts = [columns[codes == code] for code in (0, 1)]
        for part, label in zip(parts, labels, strict=True):
            check_pair(part[:, 0], part[:, 1], f"{names[0]} of {label}", f"{names[1]} of {label}")
        estimates = [correlation(part[:, 0], part[:, 1]) for part in parts]
        z, error = difference_independent(estimates[0], estimates[1])
        said = [f"{text[0]} ({label})" for label in labels]
        how = "difference of independent correlations (Fisher's z)"
        both = estimates[0], estimates[1]
        return CorrelationDifference(said[0], said[1], both, z, error, how, rows)
    places = [(names.index(a), names.index(b)) for a, b in pairs]
    for (i, j), (a, b) in zip(places, pairs, strict=True):
        check_pair(columns[:, i], columns[:, j], a, b)
    if set(places[0]) == set(places[1]):
        raise DataError(f"{text[0]} and {text[1]} are the same correlation.")
    R = np.asarray(np.corrcoef(columns, rowvar=False))
    z, error = difference_dependent(R, places[0], places[1], len(columns))
    found = [correlation(columns[:, i], columns[:, j]) for i, j in places]
    how = "difference of dependent correlations (Steiger's z)"
    return CorrelationDifference(text[0], text[1], (found[0], found[1]), z, error, how, rows)


def _zou(own: float, other: float, c: float) -> float:
    return float(np.sqrt(max(0.0, own**2 + other**2 - 2.0 * c * own * other)))

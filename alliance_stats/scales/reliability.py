"""Reliability of a score: alpha, omega total, and what each item has in common with the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import (
    check_conf_level,
    check_frame,
    finite_or_missing,
    require_columns,
)
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, one_line
from alliance_stats.ledger import RowLedger

__all__ = ["Reliability", "reliability"]

_ITEMS_FOR_A_FACTOR = 3  # two items have one covariance for two loadings
_LEAST_UNIQUENESS = 1e-6  # of an item's variance; there the factor would be the item itself
_AT_THE_BOUND = 1e-4
_PRECISION = 1e-12  # of the discrepancy: far below what an interval shows


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reliability:
    """Reliability of the sum (or mean) of some items.

    Attributes
    ----------
    items
        Columns of the items, keyed in one direction.
    rows
        The ledger of the forms.
    n_forms
        Complete forms, n.
    covariance
        (k, k) covariances of the items, with n - 1.
    loadings, uniquenesses
        (k,) of the one-factor model by maximum likelihood; NaN with two items.
    notes
        What to know before any number.
    """

    items: tuple[str, ...]
    rows: RowLedger
    n_forms: int
    covariance: Array
    loadings: Array
    uniquenesses: Array
    notes: tuple[str, ...]

    __repr__ = one_line

    @property
    def method(self) -> str:
        """How it was computed, in a phrase."""
        return (
            "Reliability of a sum of items: Cronbach's alpha (Feldt) and omega total (one factor)"
        )

    @property
    def alpha(self) -> float:
        """Cronbach's alpha, ``k / (k - 1) (1 - sum of variances / variance of the sum)``."""
        return _alpha(self.covariance)

    @property
    def omega(self) -> float:
        """Omega total, ``(sum of loadings)^2 / ((sum of loadings)^2 + sum of uniquenesses)``."""
        common = float(self.loadings.sum()) ** 2
        return common / (common + float(self.uniquenesses.sum()))

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return a row per coefficient, then a row per item.

        Returns
        -------
        DataFrame
            ``about`` (scale | item-rest correlation), ``term`` (alpha | omega, or the item),
            ``estimate``, ``std_error`` (of omega, by the delta method; NaN elsewhere),
            ``conf_low, conf_high`` (alpha: Feldt's exact interval for items with equal true scores;
            omega: estimate -+ z SE, as lavaan gives it; items: Fisher's z).
        """
        check_conf_level(conf_level)
        tail = (1.0 - conf_level) / 2.0
        n, k = self.n_forms, len(self.items)
        f_low, f_high = stats.f.ppf([1.0 - tail, tail], n - 1, (n - 1) * (k - 1))
        error = _omega_error(self.loadings, self.uniquenesses, n)
        reach = float(stats.norm.ppf(1.0 - tail)) * error
        rest = _item_rest(self.covariance)
        z = np.arctanh(rest)
        reach_z = float(stats.norm.ppf(1.0 - tail)) / np.sqrt(max(n - 3, np.nan))
        scale = [
            ("alpha", self.alpha, np.nan, *(1.0 - (1.0 - self.alpha) * f for f in (f_low, f_high))),
            ("omega", self.omega, error, self.omega - reach, self.omega + reach),
        ]
        items = zip(
            self.items, rest, np.full(k, np.nan), np.tanh(z - reach_z), np.tanh(z + reach_z),
            strict=True,
        )  # fmt: skip
        names = ["term", "estimate", "std_error", "conf_low", "conf_high"]
        table = pd.DataFrame([*scale, *items], columns=names)
        table.insert(0, "about", ["scale"] * 2 + ["item-rest correlation"] * k)
        return table

    def glance(self) -> pd.DataFrame:
        """Return one row: ``nobs`` (complete forms) and ``n_items``."""
        return pd.DataFrame([{"nobs": self.n_forms, "n_items": len(self.items)}])

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return what was found, as data."""
        table = self.tidy(conf_level=conf_level)
        of_scale = table["about"] == "scale"
        sections = (
            Section("Scale", table[of_scale], ("term",), measure="estimate", conf_level=conf_level),
            Section(
                "Item with the rest",
                table[~of_scale],
                ("term",),
                measure="r",
                conf_level=conf_level,
            ),
        )
        sizes = {"rows": self.n_forms}
        return Account(self.method, self.notes, sizes, sections, (), self.rows)

    summary = summary_of
    _repr_html_ = html_of


def reliability(data: pd.DataFrame, *, items: Sequence[str]) -> Reliability:
    """Return the reliability of a sum of items over forms that stand alone.

    Parameters
    ----------
    data
        A row per form, one per person: of repeated sessions keep one (the first), since forms of
        one person are not independent and mix what differs between and within persons.
    items
        Two or more columns of items, keyed in one direction (see ``score``).

    Returns
    -------
    Reliability
        Of the complete forms; the ledger counts the others.

    Raises
    ------
    DataError
        If fewer than two items are named, an item is no number or constant, or there are no more
        complete forms than items.

    Notes
    -----
    Alpha equals the reliability only where all items carry the true score alike (Cronbach 1951,
    doi:10.1007/BF02310555; interval: Feldt 1965, doi:10.1007/BF02289499). Omega total lets their
    loadings differ (McDonald 1999; Zinbarg et al. 2005, doi:10.1007/s11336-003-0974-7), of one
    factor fitted by maximum likelihood (Joreskog 1967, doi:10.1007/BF02289658).

    Examples
    --------
    >>> import pandas as pd
    >>> forms = pd.DataFrame({"a": [1, 2, 4, 5, 3], "b": [2, 2, 5, 4, 3], "c": [1, 3, 4, 5, 2]})
    >>> round(reliability(forms, items=["a", "b", "c"]).alpha, 4)
    0.9322
    """
    frame = check_frame(data)
    names = tuple(items)
    if isinstance(items, str) or len(names) < 2 or len(set(names)) < len(names):
        raise DataError(f"items must be two or more columns, each once; got {items!r}.")
    require_columns(frame, list(names))
    answers = np.column_stack([finite_or_missing(frame, name) for name in names])
    complete = ~np.isnan(answers).any(axis=1)
    _, rows = RowLedger.start(frame).keep(frame, complete, reason="an item not answered")
    used = answers[complete]
    if len(used) <= len(names):
        raise DataError(
            f"{len(used)} complete forms are too few for {len(names)} items; more forms than items "
            "are needed."
        )
    covariance = np.cov(used, rowvar=False)
    for name, variance in zip(names, np.diag(covariance), strict=True):
        if variance <= 0.0:
            raise DataError(f"Item '{name}' has one value only in the complete forms.")
    if len(names) < _ITEMS_FOR_A_FACTOR:
        nothing = np.full(len(names), np.nan)
        note = "Omega needs three items or more: two have one covariance for two loadings."
        return Reliability(names, rows, len(used), covariance, nothing, nothing, (note,))
    loadings, uniquenesses = _one_factor(covariance * (len(used) - 1) / len(used))
    return Reliability(
        names, rows, len(used), covariance, loadings, uniquenesses,
        _notes(names, loadings, uniquenesses),
    )  # fmt: skip


def _notes(items: tuple[str, ...], loadings: Array, uniquenesses: Array) -> tuple[str, ...]:
    share = uniquenesses / (loadings**2 + uniquenesses)
    at_bound = [f"'{i}'" for i, s in zip(items, share, strict=True) if s < _AT_THE_BOUND]
    against = [f"'{i}'" for i, one in zip(items, loadings, strict=True) if one < 0.0]
    notes = []
    if at_bound:
        notes.append(
            f"The factor is all of {', '.join(at_bound)} (no variance of its own is left): the "
            "one-factor model does not fit, and omega and its interval are not to be relied on."
        )
    if against:
        notes.append(
            f"{', '.join(against)} loads against the other items: was it keyed in their direction?"
        )
    return tuple(notes)


def _alpha(covariance: Array) -> float:
    k = len(covariance)
    return k / (k - 1) * (1.0 - float(np.trace(covariance)) / float(covariance.sum()))


def _item_rest(covariance: Array) -> Array:
    """Return each item's correlation with the sum of the others, (k,)."""
    variances = np.diag(covariance)
    shared = covariance.sum(axis=1) - variances
    rest = covariance.sum() - 2.0 * covariance.sum(axis=1) + variances
    found: Array = shared / np.sqrt(variances * rest)
    return found


def _one_factor(covariance: Array) -> tuple[Array, Array]:
    """Fit one factor by maximum likelihood, the loadings concentrated out (Joreskog 1967)."""
    variances = np.diag(covariance)

    def loadings(uniquenesses: Array) -> tuple[Array, Array]:
        root = np.sqrt(uniquenesses)
        values, vectors = np.linalg.eigh(covariance / np.outer(root, root))
        return root * vectors[:, -1] * np.sqrt(max(values[-1] - 1.0, 0.0)), values

    def discrepancy(log_uniquenesses: Array) -> tuple[float, Array]:
        uniquenesses = np.exp(log_uniquenesses)
        found, values = loadings(uniquenesses)
        left = values[:-1]
        implied = np.outer(found, found) + np.diag(uniquenesses)
        slope = np.diag(implied - covariance) / uniquenesses
        return float(np.sum(left - np.log(left) - 1.0)), slope

    least = np.log(_LEAST_UNIQUENESS * variances)
    start = np.log(1.0 / np.diag(np.linalg.pinv(covariance))).clip(least, np.log(variances))
    found = optimize.minimize(
        discrepancy, start, jac=True, method="L-BFGS-B",
        bounds=list(zip(least, np.log(variances), strict=True)),
        options={"ftol": _PRECISION * 1e-3, "gtol": 1e-10, "maxiter": 1000},
    )  # fmt: skip
    uniquenesses = np.exp(found.x)
    best, _ = loadings(uniquenesses)
    return best * (1.0 if best.sum() >= 0.0 else -1.0), uniquenesses


def _omega_error(loadings: Array, uniquenesses: Array, n: int) -> float:
    """Return the delta-method SE of omega from the expected information of the one-factor model."""
    k = len(loadings)
    if np.isnan(loadings).any():
        return np.nan
    inverse = np.linalg.inv(np.outer(loadings, loadings) + np.diag(uniquenesses))
    unit = np.eye(k)
    slopes = [np.outer(e, loadings) + np.outer(loadings, e) for e in unit]
    slopes += [np.outer(e, e) for e in unit]
    half = [inverse @ slope for slope in slopes]
    information = n / 2.0 * np.array([[np.sum(a * b.T) for b in half] for a in half])
    common, own = float(loadings.sum()), float(uniquenesses.sum())
    whole = (common**2 + own) ** 2
    gradient = np.repeat([2.0 * common * own / whole, -(common**2) / whole], k)
    return float(np.sqrt(gradient @ np.linalg.solve(information, gradient)))

"""Reliability of a score: alpha and omega, within and between persons, of change, of means."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy import optimize, stats

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import (
    check_conf_level,
    check_frame,
    did_you_mean,
    finite_or_missing,
    require_columns,
)
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.named import named
from alliance_stats.scales.person_reliability import Coefficient, repeated_forms, wald_limits
from alliance_stats.scales.scale import Scale, keyed_answers

__all__ = ["ScaleReliability", "reliability"]

_SQUARED = (1e-100, 1e100)  # distances whose squares, and sums of them, a double holds
_ITEMS_FOR_A_FACTOR = 3  # two items have one covariance for two loadings
_LEAST_UNIQUENESS = 1e-6  # of an item's variance; there the factor would be the item itself
_AT_THE_BOUND = 1e-4
_PRECISION = 1e-12  # of the discrepancy: far below what an interval shows


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ScaleReliability:
    """Reliability of the mean (or sum) of some items.

    Attributes
    ----------
    items
        Columns of the items, keyed in one direction.
    rows
        The ledger of the forms.
    n_forms
        Complete forms, n.
    coefficients
        What was found.
    sd
        SD of the items' mean over forms; over a person's sessions where forms are repeated.
    measurement_error
        Standard error of measurement of one form's mean, on the scale of an item: what
        ``ruptures`` takes.
    method
        How it was computed, in a phrase.
    notes
        What the reader should know first.
    answers
        (n, items) the complete forms, keyed in one direction.
    """

    items: tuple[str, ...]
    rows: RowLedger
    n_forms: int
    coefficients: tuple[Coefficient, ...]
    sd: float
    measurement_error: float
    method: str
    notes: tuple[str, ...]
    answers: Array

    __repr__ = one_line

    @property
    def alpha(self) -> float:
        """Cronbach's alpha, ``k / (k - 1) (1 - sum of variances / variance of the sum)``."""
        return self.value("alpha")

    @property
    def omega(self) -> float:
        """Omega total, ``(sum of loadings)^2 / ((sum of loadings)^2 + sum of uniquenesses)``."""
        return self.value("omega")

    def value(self, term: str) -> float:
        """Return one coefficient by its term, for use in another function: ``value("Rcn")``.

        Raises
        ------
        DataError
            If there is none with this name.
        """
        known = {c.term: c.estimate for c in self.coefficients}
        if term not in known:
            raise DataError(f"There is no coefficient '{term}'. {did_you_mean(term, known)}")
        return known[term]

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per coefficient.

        Returns
        -------
        DataFrame
            ``about`` (scale | item-rest correlation; with repeated forms within persons | between
            persons | generalizability | means), ``term`` (alpha, omega, RkF ..., or the item),
            ``estimate``, ``std_error`` (of omega, by the delta method; NaN elsewhere), ``conf_low,
            conf_high`` (alpha: Feldt's exact interval for items with equal true scores; omega:
            estimate -+ z SE, as lavaan gives it, within and between persons on the log-odds scale;
            items: Fisher's z; generalizability and means: as Feldt's, with Satterthwaite's df of
            the variances; NaN where there is none).
        """
        check_conf_level(conf_level)
        return pd.DataFrame(
            [
                (c.about, c.term, c.estimate, c.std_error, *c.limits(conf_level))
                for c in self.coefficients
            ],
            columns=["about", "term", "estimate", "std_error", "conf_low", "conf_high"],
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: ``nobs`` (complete forms) and ``n_items``."""
        return pd.DataFrame([{"nobs": self.n_forms, "n_items": len(self.items)}])

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return what was found, as data."""
        table = self.tidy(conf_level=conf_level)
        sections = tuple(
            Section(
                about[:1].upper() + about[1:],
                table[table["about"] == about],
                ("term",),
                measure="r" if about == "item-rest correlation" else "estimate",
                kind="bounded",
                conf_level=conf_level,
            )
            for about in dict.fromkeys(table["about"])
        )
        return Account.of(self, {"rows": self.n_forms}, sections, (), sources=self._sources())

    def _sources(self) -> tuple[str, ...]:
        kinds = " ".join(c.about for c in self.coefficients)
        return (
            "feldt1965",
            "zinbarg2005",
            *(("geldhof2014", "cranford2006") if "within" in kinds else ()),
        )

    summary = summary_of
    _repr_html_ = html_of


def reliability(
    data: pd.DataFrame,
    *,
    items: Sequence[str] | Scale,
    person: str | None = None,
    session: str | None = None,
    nested_in: Sequence[str] = (),
) -> ScaleReliability:
    """Return the reliability of the mean of some items.

    Parameters
    ----------
    data
        One row per form. Without `person` the forms are independent, one per person: keep one of
        repeated sessions (the first), or name the person.
    items
        A :class:`Scale`, whose reversed items are recoded; or two or more columns of items that
        are keyed in one direction.
    person
        Column of persons who filled in several forms: reliability is then separated within and
        between persons.
    session
        Column of sessions; if given, the coefficients of Cranford et al. that take sessions for
        occasions that all persons share are given too.
    nested_in
        Columns of the units that persons are in, the innermost first, ``("family", "therapist")``:
        the reliability of their means is given too.

    Returns
    -------
    ScaleReliability
        Of the complete forms; the ledger counts the others.

    Raises
    ------
    DataError
        If fewer than two items are named, an item is not numeric or is constant, there are no more
        complete forms than items, or `session` and `nested_in` are given without `person`.
    NotIdentifiedError
        If no person has two forms, or there are too few persons.

    Notes
    -----
    Alpha equals the reliability only where all items carry the true score equally (Cronbach 1951,
    doi:10.1007/BF02310555; interval: Feldt 1965, doi:10.1007/BF02289499). Omega total lets their
    loadings differ (McDonald 1999; Zinbarg et al. 2005, doi:10.1007/s11336-003-0974-7), of one
    factor fitted by maximum likelihood (Joreskog 1967, doi:10.1007/BF02289658). Omega within and
    between persons is that of a factor at each of two levels (Geldhof, Preacher & Zyphur 2014,
    doi:10.1037/a0032138).

    Of k sessions with m items (Cranford et al. 2006, doi:10.1177/0146167206287721; Shrout & Lane
    2012), with variances of persons P, sessions T, their products and the residual e, ``A = P +
    PI/m``: ``RkF = A / (A + e/(km))`` (a person's mean over the same sessions), ``R1R = A / (A + T
    + PT + e/m)`` (one session), ``RkR = A / (A + T/k + PT/k + e/(km))`` (a mean over any k
    sessions), ``Rc = PT / (PT + e/m)`` (change within a person); with sessions in persons ``RkRn =
    P / (P + T/k + e/(km))`` and ``Rcn = T / (T + e/m)``, whose e includes that items differ in
    their means. k is the harmonic mean of the persons' numbers of sessions.

    A unit's mean: its variance over that plus what persons and sessions add to the mean.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats.scales import reliability
    >>> forms = pd.DataFrame({"a": [1, 2, 4, 5, 3], "b": [2, 2, 5, 4, 3], "c": [1, 3, 4, 5, 2]})
    >>> round(reliability(forms, items=["a", "b", "c"]).alpha, 4)
    0.9322
    """
    frame = check_frame(data)
    names = items.items if isinstance(items, Scale) else tuple(items)
    if isinstance(items, str) or len(names) < 2 or len(set(names)) < len(names):
        raise DataError(f"items must be two or more columns, each once; got {items!r}.")
    if person is None and (session is not None or nested_in):
        raise DataError("session= and nested_in= need person=: name the column of persons.")
    if isinstance(nested_in, str):
        raise DataError(f"nested_in must be a sequence such as ('{nested_in}',); got a string.")
    units = [name for name in (person, session, *nested_in) if name is not None]
    require_columns(frame, [*names, *units])
    if isinstance(items, Scale):
        answers = keyed_answers(frame, items)
    else:
        answers = np.column_stack([finite_or_missing(frame, name) for name in names])
    complete = ~np.isnan(answers).any(axis=1)
    frame, rows = RowLedger.start(frame).keep(frame, complete, reason="an item not answered")
    answers = answers[complete]
    if units:
        known = frame[units].notna().all(axis=1).to_numpy()
        reason = f"{' or '.join(repr(name) for name in units)} is missing"
        frame, rows = rows.keep(frame, known, reason=reason)
        answers = answers[known]
    _check_forms(answers, names)
    if person is not None:
        found = repeated_forms(
            frame, answers, names, person=person, session=session, nested_in=tuple(nested_in)
        )
        return ScaleReliability(
            names, rows, len(answers), found.coefficients, found.sd, found.measurement_error,
            "Reliability of the mean of items in repeated forms: omega at two levels (maximum "
            "likelihood), generalizability by variance components (REML)", found.notes, answers,
        )  # fmt: skip
    return _single_forms(answers, names, rows)


def _check_forms(answers: Array, names: tuple[str, ...]) -> None:
    if len(answers) <= len(names):
        raise DataError(
            f"{len(answers)} complete forms are too few for {len(names)} items; more forms than "
            "items are needed."
        )
    for name, column in zip(names, answers.T, strict=True):
        if np.ptp(column) <= 0.0:
            raise DataError(f"Item '{name}' has one value only in the complete forms.")
        if not _SQUARED[0] < np.ptp(column) < _SQUARED[1]:
            raise DataError(
                f"Item '{name}' holds values too far apart, or too near, to be squared "
                f"({np.ptp(column):.3g} between them). Are they answers?"
            )


def _single_forms(answers: Array, names: tuple[str, ...], rows: RowLedger) -> ScaleReliability:
    n, k = answers.shape
    covariance = np.cov(answers, rowvar=False)
    alpha = _alpha(covariance)
    notes: tuple[str, ...] = (
        "Omega needs three items or more: two have one covariance for two loadings.",
    )
    loadings = uniquenesses = np.full(k, np.nan)
    if k >= _ITEMS_FOR_A_FACTOR:
        loadings, uniquenesses = _one_factor(covariance * (n - 1) / n)
        notes = _notes(names, loadings, uniquenesses)
    common = float(loadings.sum()) ** 2
    omega = common / (common + float(uniquenesses.sum()))
    error = _omega_error(loadings, uniquenesses, n)
    sd = float(np.sqrt(covariance.sum())) / k
    trusted = alpha if np.isnan(omega) else omega
    coefficients = (
        Coefficient("scale", "alpha", alpha, np.nan, partial(_feldt, alpha, n, k)),
        Coefficient("scale", "omega", omega, error, partial(wald_limits, omega, error)),
        *(
            Coefficient("item-rest correlation", name, r, np.nan, partial(_fisher_limits, r, n))
            for name, r in zip(names, map(float, _item_rest(covariance)), strict=True)
        ),
    )
    return ScaleReliability(
        names, rows, n, coefficients, sd, sd * float(np.sqrt(max(1.0 - trusted, 0.0))),
        "Reliability of a sum of items: Cronbach's alpha (Feldt) and omega total (one factor)",
        notes,
        answers,
    )  # fmt: skip


@named
def _feldt(alpha: float, n: int, k: int, conf_level: float) -> tuple[float, float]:
    tail = (1.0 - conf_level) / 2.0
    high, low = stats.f.ppf([tail, 1.0 - tail], n - 1, (n - 1) * (k - 1))
    return float(1.0 - (1.0 - alpha) * low), float(1.0 - (1.0 - alpha) * high)


@named
def _fisher_limits(r: float, n: int, conf_level: float) -> tuple[float, float]:
    reach = float(stats.norm.ppf(0.5 + conf_level / 2.0)) / np.sqrt(n - 3) if n > 3 else np.nan
    return float(np.tanh(np.arctanh(r) - reach)), float(np.tanh(np.arctanh(r) + reach))


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

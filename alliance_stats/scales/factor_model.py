"""Confirmatory factor models: missing values, groups, clusters, two levels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_frame, finite_or_missing, group_codes, require_columns
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers, estimate_columns, named_covariance, one_line
from alliance_stats.formatting import p_phrase
from alliance_stats.ledger import RowLedger
from alliance_stats.scales.factor_structure import (
    Factors,
    ItemMoments,
    Parameter,
    build_components,
    check_factors,
    grouped_moments,
    levelled_moments,
)
from alliance_stats.scales.model_fit import EXACT, FitMeasures, fit_measures, scaling_of
from alliance_stats.scales.moment_structure import MomentFit, fit_moments
from alliance_stats.spelling import check_spelling

__all__ = ["FactorModel", "Observed", "factor_model", "fitted", "observed"]

_AT_ZERO = 1e-4  # of an item's variance: what its residual no longer has, or less


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FactorModel:
    """A fitted factor model.

    Attributes
    ----------
    factors
        Which items measure what, and what was held equal.
    parameters
        The meaning of each parameter, by group (or level).
    fit
        The maximum of the likelihood.
    covariance
        (k, k) covariance of the parameters.
    measures
        Measures of model fit.
    components
        Names of the groups, or ``("within", "between")``; one empty name if there is only one.
    moments
        What was observed.
    rows
        The ledger of the forms.
    """

    factors: Factors
    parameters: tuple[Parameter, ...]
    fit: MomentFit
    covariance: Array
    measures: FitMeasures
    components: tuple[str, ...]
    moments: ItemMoments
    rows: RowLedger

    __repr__ = one_line

    @property
    def method(self) -> str:
        """How it was computed, in a phrase."""
        missing = ", missing answers by full information" if self.moments.has_holes else ""
        levels = " at two levels" if self.moments.levels else ""
        clusters = ", standard errors and chi-squared corrected for clusters"
        robust = clusters if self.moments.clustered else ""
        return f"Confirmatory factor model{levels} by maximum likelihood{missing}{robust}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Cautions for the reader, most serious first."""
        found = []
        if not self.fit.converged:
            found.append("WARNING: the search did not end in a flat place of the likelihood.")
        if (np.diag(self.covariance) <= 0.0).any():
            found.append(
                "WARNING: the likelihood is not curved in all directions; some standard errors "
                "are not known. Does each level, or group, vary at all?"
            )
        low = [self._named(p) for p in self.parameters if self._at_zero(p)]
        if low:
            found.append(
                f"The residual variance of {', '.join(low)} is at zero or below: the factor is all "
                "of the item, which a right model rarely says."
            )
        return tuple(found)

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per parameter of each group (or level).

        Returns
        -------
        DataFrame
            ``about`` (loading, factor variance, factor covariance, factor mean, residual variance,
            residual covariance, intercept), ``term``, ``group`` (or level; empty where there is
            one), ``estimate, std_error, statistic`` (z), ``df, p_value, conf_low, conf_high`` on
            the scale on which the first factor variances are 1, and ``standardized`` (loadings:
            SDs of the item for one of the factor; covariances: correlations; residual variances:
            shares; NaN elsewhere).
        """
        at = [p.number for p in self.parameters]
        error = _root(np.diag(self.covariance))[at]
        table = estimate_columns(self.fit.theta[at], error, conf_level=conf_level)
        table.insert(0, "about", [p.about for p in self.parameters])
        table.insert(1, "term", [p.term for p in self.parameters])
        table.insert(2, "group", [self.components[p.component] for p in self.parameters])
        return table.assign(standardized=[self._standardized(p) for p in self.parameters])

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the rows of ``tidy()``, ``about:term`` (and ``:group``)."""
        at = [p.number for p in self.parameters]
        keys = [[p.about for p in self.parameters], [p.term for p in self.parameters]]
        if len(self.components) > 1:
            keys.append([self.components[p.component] for p in self.parameters])
        return named_covariance(self.covariance[np.ix_(at, at)], *keys)

    def glance(self) -> pd.DataFrame:
        """Return one row about the fit.

        Returns
        -------
        DataFrame
            ``nobs, n_parameters, log_lik, chi2`` (against free means and covariances; scaled after
            Yuan and Bentler where there are clusters), ``df, p_value, scaling`` (what it was
            divided by; 1 without clusters), ``cfi, tli, rmsea, rmsea_low, rmsea_high`` (90%
            interval), ``srmr, aic, bic, converged``.
        """
        return pd.DataFrame([{**self.measures.row(), "converged": self.fit.converged}])

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return what was found, as data."""
        table = self.tidy(conf_level=conf_level)
        names = ("term", "group") if len(self.components) > 1 else ("term",)
        shown = ("loading", "factor covariance", "factor mean", "factor variance")
        columns = {"standardized": Column("standardized", "bounded")}
        sections = [
            Section(about.capitalize(), part, names, columns=columns, conf_level=conf_level)
            for about in shown
            if len(part := table[table["about"] == about])
        ]
        row = self.measures.row()
        said = _fit_in_words(row)
        sizes = {"rows": self.measures.nobs}
        return Account.of(
            self,
            sizes,
            sections,
            (said,),
            sources=("joreskog1969", "muthen1994") if self.moments.levels else ("joreskog1969",),
        )

    summary = summary_of
    _repr_html_ = html_of

    def _named(self, parameter: Parameter) -> str:
        where = self.components[parameter.component]
        return f"{parameter.term} ({where})" if where else parameter.term

    def _at_zero(self, parameter: Parameter) -> bool:
        share = self._standardized(parameter)
        return parameter.about == "residual variance" and not share >= _AT_ZERO

    def _standardized(self, parameter: Parameter) -> float:
        L, P, T, _, _ = self.fit.components[parameter.component].at(self.fit.theta)
        sds = _root(np.diag(L @ P @ L.T + T))
        items, names = self.factors.items, list(self.factors.of)
        value = float(self.fit.theta[parameter.number])
        match parameter.about:
            case "loading":
                f, i = next(
                    (f, i)
                    for (f, name), (i, item) in product(enumerate(names), enumerate(items))
                    if parameter.term == f"{name} -> {item}"
                )
                return value * float(_root(P[f, f]) / sds[i])
            case "factor covariance":
                f, h = next(
                    (f, h)
                    for (f, one), (h, other) in product(enumerate(names), repeat=2)
                    if parameter.term == f"{one} ~ {other}"
                )
                return value / float(_root(P[f, f] * P[h, h]))
            case "residual variance":
                return value / float(sds[items.index(parameter.term)]) ** 2
        return np.nan


def _root(values: npt.ArrayLike) -> Array:
    """Return square roots, NaN for negative values."""
    known = np.asarray(values, dtype=np.float64)
    return np.sqrt(np.where(known < 0.0, np.nan, known))


def factor_model(
    data: pd.DataFrame,
    factors: Mapping[str, Sequence[str]],
    *,
    group: str | None = None,
    equal: Sequence[str] = (),
    free: Mapping[str, Sequence[str]] | None = None,
    repeated: bool = False,
    cluster: str | None = None,
    nested_in: str | None = None,
) -> FactorModel:
    """Fit a confirmatory factor model by maximum likelihood.

    Parameters
    ----------
    data
        One row per form.
    factors
        Factor -> its items, as in ``{"task": ["i1", "i2", "i3"], "bond": ["i4", "i5", "i6"]}``.
    group
        Column of groups, each with separate parameters except those held `equal`.
    equal
        ``"loadings"``, ``"intercepts"``, ``"residuals"``: over groups or, where `repeated`, over
        factors.
    free
        Items exempt from what is held equal: ``{"intercepts": ["i3"]}``.
    repeated
        Whether the factors are one factor at several times (or in members of a family), all in one
        row: their k-th items are then the same item, and its residuals are correlated.
    cluster
        Column of units whose rows are not independent (families): standard errors and the test of
        fit are corrected for it.
    nested_in
        Column of units (persons) that the rows (sessions) are in: the factors are then fitted
        within and between units, on rows without a missing answer.

    Returns
    -------
    FactorModel

    Raises
    ------
    DataError
        If a column is missing or constant, an item is not numeric, or arguments are incompatible.
    NotIdentifiedError
        If the data do not determine the parameters.

    Notes
    -----
    ``y = nu + Lambda f + e`` (Joreskog 1969, doi:10.1007/BF02289343). A missing answer costs only
    itself, if missingness depends on observed values (Arbuckle 1996). Scales are set by factor
    variances of 1 in the first group, or the first of repeated factors. Standard errors are from
    the expected information where nothing is missing, else from the observed information; with
    clusters they are sandwiches, and chi-squared is scaled (Yuan & Bentler 2000,
    doi:10.1111/0081-1750.00078). Two levels: Muthen 1994, doi:10.1177/0049124194022003006.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from alliance_stats.scales import factor_model
    >>> draw = np.random.default_rng(1)
    >>> one = draw.normal(size=200)
    >>> forms = pd.DataFrame({f"i{k}": one + draw.normal(size=200) for k in range(4)})
    >>> found = factor_model(forms, {"alliance": ["i0", "i1", "i2", "i3"]})
    >>> found.tidy()["about"].value_counts()["loading"].item()
    4
    """
    model = check_factors(factors, equal=equal, free=free or {}, repeated=repeated)
    if nested_in is not None and (group is not None or cluster is not None or repeated or equal):
        raise DataError(
            "nested_in= fits one set of factors at two levels; leave out group=, cluster=, equal= "
            "and repeated=, or nested_in=."
        )
    if equal and group is None and not repeated:
        raise DataError("equal= needs group=, or repeated=True: over what shall they be equal?")
    if group is not None and repeated:
        raise DataError("group= and repeated= exclude each other: compare groups or times.")
    return fitted(model, observed(data, model.items, group, cluster, nested_in))


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Moments of the items, names of the groups or levels, and the ledger."""

    moments: ItemMoments
    components: tuple[str, ...]
    rows: RowLedger


def observed(
    data: pd.DataFrame,
    items: Sequence[str],
    group: str | None,
    cluster: str | None,
    nested_in: str | None,
) -> Observed:
    """Check the frame and return its items' moments."""
    frame = check_frame(data)
    others = [name for name in (group, cluster, nested_in) if name is not None]
    require_columns(frame, [*items, *others])
    values = np.column_stack([finite_or_missing(frame, item) for item in items])
    rows = RowLedger.start(frame)
    known = np.ones(len(frame), dtype=bool)
    for name in others:
        here = frame[name].notna().to_numpy()
        _, rows = rows.keep(frame[known], here[known], reason=f"'{name}' is missing")
        known &= here
        check_spelling(frame[name], kind="unit")
    n_answered = (~np.isnan(values)).sum(axis=1)
    complete = nested_in is not None
    enough = n_answered >= (len(items) if complete else 1)
    reason = "an item not answered" if complete else "no item answered"
    _, rows = rows.keep(frame[known], enough[known], reason=reason)
    used = known & enough
    values, frame = values[used], frame[used]
    if not used.any():
        raise DataError(f"No row can be used: {rows}")
    if nested_in is not None:
        codes, _ = group_codes(frame[nested_in])
        _check_varies(values, np.zeros_like(codes), items, ("the rows used",))
        return Observed(levelled_moments(values, codes), ("within", "between"), rows)
    codes = np.zeros(len(values), dtype=np.int64)
    labels: tuple[str, ...] = ("",)
    if group is not None:
        codes, found = group_codes(frame[group])
        labels = tuple(map(str, found))
    _check_varies(values, codes, items, [f"group '{g}'" if g else "the rows used" for g in labels])
    units = np.arange(len(values)) if cluster is None else group_codes(frame[cluster])[0]
    moments = grouped_moments(values, codes, units, clustered=cluster is not None)
    return Observed(moments, labels, rows)


def _check_varies(
    values: Array, codes: Integers, items: Sequence[str], where: Sequence[str]
) -> None:
    for code, place in enumerate(where):
        for item, column in zip(items, values[codes == code].T, strict=True):
            seen = column[~np.isnan(column)]
            if len(seen) < 2 or np.ptp(seen) == 0.0:
                raise DataError(f"Item '{item}' has no two different values in {place}.")


def fitted(factors: Factors, seen: Observed) -> FactorModel:
    """Fit the factors to what was observed."""
    moments = seen.moments
    components, parameters = build_components(factors, moments.starts, means=moments.means)
    k = 1 + max(p.number for p in parameters)
    if k > moments.n_free:
        raise NotIdentifiedError(
            f"The model has {k} parameters, and the items have {moments.n_free} means, variances "
            "and covariances: fewer factors, more items, or more that is held equal."
        )
    try:
        fit = fit_moments(components, moments.blocks)
        if moments.levels or moments.has_holes or moments.clustered:
            information = fit.observed()
        else:
            information = fit.expected()
        vcov: Array = np.asarray(np.linalg.inv(information), dtype=np.float64)
    except (NotIdentifiedError, np.linalg.LinAlgError) as refusal:
        raise NotIdentifiedError(
            f"The factor model has no single answer in these data ({refusal}). Has each factor "
            "enough items (three, or two beside a correlated factor)?"
        ) from refusal
    scaling = None
    if moments.clustered:
        meat = fit.meat()
        scaling = scaling_of(vcov, meat)
        vcov = vcov @ meat @ vcov
    measures = fit_measures(fit, moments, scaling)
    return FactorModel(
        factors, parameters, fit, vcov, measures, seen.components, moments, seen.rows
    )


def _fit_in_words(row: Mapping[str, float]) -> Phrase:
    """Return the measures of fit; a model with as many parameters as moments has no test."""
    if row["df"] == 0 and row["chi2"] < EXACT:
        return Phrase("The model has 0 df: it fits as it must, and its fit tells nothing.")
    if row["df"] == 0:
        return Phrase(
            "The model has 0 df and still does not fit (chi-squared {}, SRMR {}): no values of its "
            "parameters yield these covariances.",
            ((row["chi2"], 2), (row["srmr"], 3)),
        )
    limits = " [{}, {}] (90%)"
    parts: list[object] = [(row["df"], 0), (row["chi2"], 2), p_phrase(row["p_value"])]
    parts += [(row[name], 3) for name in ("cfi", "rmsea", "rmsea_low", "rmsea_high", "srmr")]
    if math.isnan(row["rmsea_low"]):
        limits = ""
        del parts[5:7]
    text = f"Chi-squared({{}}) = {{}}, {{}}; CFI {{}}, RMSEA {{}}{limits}, SRMR {{}}."
    return Phrase(text, tuple(parts))

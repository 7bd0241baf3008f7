"""Sums of squares of designs with factors between and within persons, and planned contrasts.

A within effect is a set of orthonormal contrasts of each person's cells; what it does and how it
depends on factors between persons is a regression of the contrasts' scores on the design between
(the univariate view of a multivariate linear model; Maxwell, Delaney & Kelley 2018,
doi:10.4324/9781315642956, chapters 11 to 14). The constant contrast gives the part between persons.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import linalg, optimize, stats

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers, estimate_columns

__all__ = [
    "Cells",
    "Effect",
    "Kind",
    "between_columns",
    "eta_interval",
    "planned_contrasts",
    "variance_analysis",
]

Kind = Literal["I", "II", "III"]
Term = tuple[str, ...]
_ESTIMABLE = 1e-9  # relative size under which a column is a combination of those before it


@dataclass(frozen=True, slots=True)
class Effect:
    """One row of an analysis of variance.

    Attributes
    ----------
    between, within
        The factors in the effect or interaction.
    ss, df
        Sum of squares and degrees of freedom of the effect.
    ss_error, df_error
        Those of its error.
    gg, hf
        Greenhouse-Geisser's and Huynh-Feldt's epsilon; 1 where the effect has one contrast within.
    mauchly_w, mauchly_p
        Mauchly's test of sphericity; NaN if there is nothing to test.
    """

    between: Term
    within: Term
    ss: float
    df: float
    ss_error: float
    df_error: float
    gg: float
    hf: float
    mauchly_w: float
    mauchly_p: float

    @property
    def f(self) -> float:
        """The F statistic."""
        return self.ss / self.df / (self.ss_error / self.df_error)


def between_columns(
    factors: Sequence[tuple[str, Integers, int]],
    covariates: Sequence[tuple[str, Array]],
) -> dict[Term, Array]:
    """Return the columns of each term between persons: factors crossed, covariates added.

    Parameters
    ----------
    factors
        Name, code of each person and number of levels; coded to sum to zero.
    covariates
        Name and values, which are centred at their mean.
    """
    coded = {}
    for name, codes, levels in factors:
        contrasts = np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])
        coded[name] = contrasts[codes]
    found: dict[Term, Array] = {}
    for name, values in covariates:
        found[(name,)] = (values - values.mean())[:, None]
    for size in range(1, len(factors) + 1):
        for names in itertools.combinations(coded, size):
            columns = coded[names[0]]
            for name in names[1:]:
                other = coded[name]
                columns = (columns[:, :, None] * other[:, None, :]).reshape(len(columns), -1)
            found[names] = columns
    return found


def variance_analysis(
    Y: Array, between: dict[Term, Array], within: Sequence[tuple[str, int]], *, kind: Kind
) -> list[Effect]:
    """Compute the analysis of variance of persons' cells.

    Parameters
    ----------
    Y
        (persons, cells), cells in the order of the product of the within factors' levels.
    between
        Columns of the terms between persons (see :func:`between_columns`), without the constant.
    within
        Name and number of levels of the within factors.
    kind
        Type of sums of squares: I (each term after those before it), II (after all terms that do
        not contain it), III (after all others).

    Returns
    -------
    list
        One effect per term between, then within effects and their interactions with those.
    """
    effects: list[Effect] = []
    names = [name for name, _ in within]
    for size in range(len(names) + 1):
        for chosen in itertools.combinations(names, size):
            M: Array = np.ones((1, 1))
            for name, levels in within:
                M = np.asarray(
                    np.kron(M, _orthonormal(levels) if name in chosen else _constant(levels)),
                    dtype=np.float64,
                )
            effects += _of_contrasts(Y @ M, between, chosen, kind)
    return effects


def eta_interval(f: float, df: float, df_error: float, *, conf_level: float) -> tuple[float, float]:
    """Return the limits of partial eta squared, from those of the noncentrality of F.

    The noncentrality at which the observed F has probability alpha/2 to be exceeded, or not to be
    reached (Steiger 2004, doi:10.1037/1082-989X.9.2.164), as ``ncp / (ncp + df_error)``.
    """
    if not np.isfinite(f):
        return np.nan, np.nan
    alpha = (1.0 - conf_level) / 2.0
    limits = []
    for probability in (1.0 - alpha, alpha):

        def off(ncp: float, target: float = probability) -> float:
            return (
                float(stats.ncf.cdf(f, df, df_error, ncp) - target)
                if ncp > 0
                else (float(stats.f.cdf(f, df, df_error)) - target)
            )

        if off(0.0) <= 0.0:
            limits.append(0.0)
            continue
        high = 10.0 + 2.0 * f * df
        while off(high) > 0.0:
            high *= 2.0
        limits.append(float(optimize.brentq(off, 0.0, high, xtol=1e-10)))
    return limits[0] / (limits[0] + df_error), limits[1] / (limits[1] + df_error)


def _of_contrasts(U: Array, between: dict[Term, Array], chosen: Term, kind: Kind) -> list[Effect]:
    n, k = U.shape
    constant = np.ones((n, 1))
    terms: dict[Term, Array] = {(): constant, **between}
    full = _basis(np.column_stack(list(terms.values())))
    expected = sum(columns.shape[1] for columns in terms.values())
    if full.shape[1] < expected:
        raise NotIdentifiedError(
            "The factors and covariates between persons determine one another, or a combination of "
            "levels has no person: their effects cannot be told apart. Leave one out, join levels, "
            "or fit a mixed model without the interaction."
        )
    df_error = n - full.shape[1]
    if df_error < 1:
        raise NotIdentifiedError(
            f"{n} complete persons for {full.shape[1]} effects between persons: nothing is left "
            "to estimate an error from."
        )
    left = U - full @ (full.T @ U)
    E = left.T @ left
    gg, hf, w, p = _sphericity(E, df_error, k)
    effects = []
    for term in terms:
        if not term and not chosen:
            continue  # the grand mean
        smaller, larger = _compared(term, list(terms), kind)
        base = _basis(np.column_stack([np.empty((n, 0)), *(terms[t] for t in smaller)]))
        more = _basis(np.column_stack([terms[t] for t in larger]))
        H = U.T @ (more @ (more.T @ U)) - U.T @ (base @ (base.T @ U))
        df = (more.shape[1] - base.shape[1]) * k
        effects.append(
            Effect(
                term, chosen, float(np.trace(H)), df, float(np.trace(E)), df_error * k, gg, hf, w, p
            )
        )
    return effects


def _compared(term: Term, terms: list[Term], kind: Kind) -> tuple[list[Term], list[Term]]:
    """Return the terms of the smaller and of the larger model whose difference tests `term`."""
    if kind == "I":
        place = terms.index(term)
        return terms[:place], terms[: place + 1]
    if kind == "II":
        smaller = [t for t in terms if t != term and not set(term) < set(t)]
        return smaller, [*smaller, term]
    return [t for t in terms if t != term], terms


def _sphericity(E: Array, df_error: int, k: int) -> tuple[float, float, float, float]:
    """Epsilons of Greenhouse & Geisser and of Huynh & Feldt, and Mauchly's test (W and p).

    Huynh-Feldt's epsilon is that of Lecoutre (1991, doi:10.3102/10769986016004371), which allows
    for groups. Mauchly's chi-squared has a term of second order (Anderson 2003, An Introduction to
    Multivariate Statistical Analysis, section 10.7.4) in which R and car use the number of cells
    instead of the number of contrasts.
    """
    if k < 2:
        return 1.0, 1.0, np.nan, np.nan
    gg = float(np.trace(E) ** 2 / (k * (E * E).sum()))
    hf = ((df_error + 1.0) * k * gg - 2.0) / (k * (df_error - k * gg)) if df_error > k * gg else 1.0
    if df_error < k:
        return gg, float(min(1.0, hf)), np.nan, np.nan
    sign, log_det = np.linalg.slogdet(E)
    if sign <= 0:
        return gg, float(min(1.0, hf)), 0.0, 0.0
    log_w = float(log_det - k * np.log(np.trace(E) / k))
    rho = 1.0 - (2.0 * k**2 + k + 2.0) / (6.0 * k * df_error)
    w2 = ((k + 2.0) * (k - 1.0) * (k - 2.0) * (2.0 * k**3 + 6.0 * k**2 + 3.0 * k + 2.0)) / (
        288.0 * (df_error * k * rho) ** 2
    )
    z = -df_error * rho * log_w
    f = k * (k + 1.0) / 2.0 - 1.0
    first = stats.chi2.sf(z, f)
    p = first + w2 * (stats.chi2.sf(z, f + 4.0) - first)
    return gg, float(min(1.0, hf)), float(np.exp(log_w)), float(p)


def _basis(X: Array) -> Array:
    """Return an orthonormal basis of the columns."""
    if X.shape[1] == 0:
        return X
    scale = np.sqrt((X**2).mean(axis=0))
    Q, R, _ = linalg.qr(X / np.where(scale > 0, scale, 1.0), mode="economic", pivoting=True)
    size = np.abs(np.diag(R))
    return np.asarray(Q[:, : int((size > _ESTIMABLE * size.max()).sum())])


def _orthonormal(levels: int) -> Array:
    """Return (levels, levels - 1) orthonormal contrasts."""
    return np.asarray(linalg.helmert(levels).T)


def _constant(levels: int) -> Array:
    return np.full((levels, 1), 1.0 / np.sqrt(levels))


Weights = Mapping[object, float]


class Cells(NamedTuple):
    """Each person's score in each cell.

    Attributes
    ----------
    scores
        (persons, cells).
    groups
        Combination of the between factors of each person.
    within
        Levels of the within factors of each cell.
    """

    scores: Array
    groups: pd.DataFrame
    within: pd.DataFrame


def planned_contrasts(
    cells: Cells, factor: str, weights: Mapping[str, Weights], *, conf_level: float
) -> pd.DataFrame:
    """Return ``contrast`` and the columns of estimates, each contrast with its own error.

    Other factors are averaged with equal weights.

    Raises
    ------
    DataError
        A factor or a level that is not in the design, or weights that do not sum to 0.
    """
    if factor not in cells.groups and factor not in cells.within:
        raise DataError(f"'{factor}' is not a factor of this analysis.")
    inside = factor in cells.within
    levels = list(pd.unique((cells.within if inside else cells.groups)[factor]))
    for name, given in weights.items():
        _check(name, factor, given, levels)
    codes = np.zeros(len(cells.scores), dtype=np.int64)
    if len(cells.groups.columns):
        by = list(cells.groups.columns)
        codes = cells.groups.groupby(by, observed=True).ngroup().to_numpy()
    one = _within if inside else _between
    found = np.array(
        [_tested(*one(cells, factor, own, codes, len(levels)), codes) for own in weights.values()]
    )
    estimate, error, df = found.T
    table = estimate_columns(estimate, error, df=df, conf_level=conf_level)
    table.insert(0, "contrast", list(weights))
    return table


def _check(name: str, factor: str, given: Weights, levels: Sequence[object]) -> None:
    unknown = [level for level in given if level not in levels]
    if unknown or abs(sum(given.values())) > 1e-9 * max(map(abs, given.values()), default=1.0):
        raise DataError(
            f"Contrast '{name}' of '{factor}' must weigh levels among {list(levels)}, summing to "
            f"0; got {dict(given)}."
        )


def _within(
    cells: Cells, factor: str, given: Weights, codes: Integers, n_levels: int
) -> tuple[Array, Array]:
    """Return each person's score of the contrast, and the weight of each group's mean."""
    share = len(cells.within) / n_levels
    c = cells.within[factor].map(lambda level: given.get(level, 0.0)).to_numpy(float)
    n_groups = int(codes.max()) + 1
    return np.asarray(cells.scores @ (c / share)), np.full(n_groups, 1.0 / n_groups)


def _between(
    cells: Cells, factor: str, given: Weights, codes: Integers, n_levels: int
) -> tuple[Array, Array]:
    """Return each person's mean, and the weight of each group's."""
    del n_levels
    first = cells.groups.groupby(codes)[factor].first()
    per_level = first.value_counts()
    weight = np.array([given.get(level, 0.0) / per_level[level] for level in first])
    return np.asarray(cells.scores.mean(axis=1)), weight


def _tested(scores: Array, weight: Array, codes: Integers) -> tuple[float, float, float]:
    """Return estimate, standard error and df of a weighted sum of groups' mean scores."""
    sizes = np.bincount(codes)
    means = np.bincount(codes, weights=scores) / sizes
    left = scores - means[codes]
    df = len(scores) - len(sizes)
    variance = float(left @ left) / df * float((weight**2 / sizes).sum())
    return float(weight @ means), float(np.sqrt(variance)), float(df)

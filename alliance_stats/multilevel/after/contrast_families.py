"""Families of contrasts: their coefficients, and the names of what is compared."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.checks import check_choice, did_you_mean
from alliance_stats.engine.multiple_tests import (
    SIMPLE,
    JointT,
    adjusted_p,
    bonferroni_critical,
    simple_critical,
)
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.estimates import Array, two_sided_p
from alliance_stats.multilevel.after.estimated_means import cell

__all__ = ["Family", "Method", "adjusted", "coefficients_of", "mean_name", "n_contrasts"]

Family = Literal["pairwise", "reference", "consecutive", "polynomial"]
Method = Family | Mapping[str, Sequence[float]] | Sequence[Family]
FAMILIES = ("pairwise", "reference", "consecutive", "polynomial")
DEGREES = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")
# Multiples of the smallest coefficient among which whole numbers are looked for.
MOST_MULTIPLE = 60


def mean_name(values: Sequence[object]) -> str:
    """Name a mean by the values of its predictors."""
    return " ".join(cell(value) for value in values)


def n_contrasts(method: Method, sizes: Sequence[int]) -> int:
    """Return how many contrasts a method makes of predictors with these numbers of levels."""
    if isinstance(method, Mapping):
        return len(method)
    if isinstance(method, str):
        return _n_of(method, int(np.prod(sizes)))
    return int(np.prod([_n_of(one, k) for one, k in zip(method, sizes, strict=False)]))


def _n_of(family: str, k: int) -> int:
    if family == "polynomial":
        return min(k - 1, len(DEGREES))
    return k * (k - 1) // 2 if family == "pairwise" else k - 1


def coefficients_of(method: Method, labels: pd.DataFrame, reference: object) -> dict[str, Array]:
    """Return name -> coefficients of the means.

    Parameters
    ----------
    method
        See :func:`~alliance_stats.multilevel.contrasts`.
    labels
        One row per mean, one column per predictor shown.
    reference
        Level to compare with.
    """
    names = [mean_name(row) for row in labels.to_numpy(dtype=object)]
    if isinstance(method, Mapping):
        return _custom(method, names)
    if isinstance(method, str):
        one = labels.iloc[:, 0] if labels.shape[1] == 1 else None
        return _family(method, names, one, reference)
    return _interactions(method, labels, reference)


def _family(
    family: str, names: list[str], values: pd.Series | None, reference: object
) -> dict[str, Array]:
    check_choice(family, FAMILIES, name="method")
    if family == "pairwise":
        unit = np.eye(len(names))
        return {
            f"{names[i]} - {names[j]}": unit[i] - unit[j]
            for i, j in combinations(range(len(names)), 2)
        }
    if family == "consecutive":
        unit = np.eye(len(names))
        return {
            f"{names[i + 1]} - {names[i]}": unit[i + 1] - unit[i] for i in range(len(names) - 1)
        }
    if family == "polynomial":
        return _polynomial(values, len(names))
    return _versus(names, reference)


def _versus(names: list[str], reference: object) -> dict[str, Array]:
    wanted = names[0]
    if reference is not None:
        wanted = mean_name(reference if isinstance(reference, tuple) else (reference,))
    if wanted not in names:
        raise FormulaError(f"There is no mean of '{wanted}'. {did_you_mean(wanted, names)}")
    base, unit = names.index(wanted), np.eye(len(names))
    return {f"{name} - {wanted}": unit[i] - unit[base] for i, name in enumerate(names) if i != base}


def _polynomial(values: pd.Series | None, k: int) -> dict[str, Array]:
    """Orthogonal polynomials in a number's values, or in the positions of levels.

    In integers where possible, as in published tables.
    """
    if values is None:
        raise FormulaError(
            "Polynomial contrasts are of one predictor; show it alone and the others in by=, or "
            "give a family a predictor, as ('pairwise', 'polynomial')."
        )
    numeric = pd.api.types.is_numeric_dtype(values.infer_objects())
    x = values.to_numpy(dtype=np.float64) if numeric else np.arange(float(k))
    if len(np.unique(x)) < k:
        raise DataError(
            f"'{values.name}' has the same value twice: it has no polynomial contrasts."
        )
    degree = min(k - 1, len(DEGREES))
    basis = np.linalg.qr(np.vander((x - x.mean()) / np.ptp(x), degree + 1, increasing=True))[0]
    found = {}
    for name, column in zip(DEGREES, basis.T[1:], strict=False):
        own = column * np.sign(column[int(np.argmax(x))])
        smallest = np.abs(own)[np.abs(own) > 1e-8].min()
        own = np.where(np.abs(own) > 1e-8, own / smallest, 0.0)
        for multiple in range(1, MOST_MULTIPLE + 1):
            if np.abs(multiple * own - np.round(multiple * own)).max() < 1e-6:
                own = np.round(multiple * own)
                break
        found[name] = own
    return found


def _interactions(
    families: Sequence[Family], labels: pd.DataFrame, reference: object
) -> dict[str, Array]:
    """Products of a family of contrasts for each predictor: interaction contrasts."""
    if len(families) != labels.shape[1] or len(families) < 2:
        raise FormulaError(
            f"method= gives {len(families)} families of contrasts for {labels.shape[1]} "
            f"predictors shown ({', '.join(map(str, labels.columns))}); interaction contrasts need "
            "one for each of two or more."
        )
    references = reference if isinstance(reference, tuple) else (reference,) * len(families)
    if len(references) != len(families):
        raise FormulaError(
            f"reference= names {len(references)} levels for {len(families)} families."
        )
    own = []
    for family, column, base in zip(families, labels.columns, references, strict=True):
        levels = labels[column].drop_duplicates()
        places = pd.Index(levels).get_indexer(labels[column])
        names = [mean_name((level,)) for level in levels]
        own.append({n: c[places] for n, c in _family(family, names, levels, base).items()})
    return {
        " × ".join(f"({name})" if " - " in name else name for name, _ in parts): np.prod(
            [coefficients for _, coefficients in parts], axis=0
        )
        for parts in product(*(contrasts.items() for contrasts in own))
    }


def _custom(given: Mapping[str, Sequence[float]], names: list[str]) -> dict[str, Array]:
    found = {}
    for name, coefficients in given.items():
        try:
            values = np.asarray(coefficients, dtype=np.float64)
        except (TypeError, ValueError):
            raise FormulaError(
                f"The contrast '{name}' takes a list of numbers, one for each of "
                f"{', '.join(names)}; got {coefficients!r}."
            ) from None
        if values.shape != (len(names),):
            raise FormulaError(
                f"The contrast '{name}' has {values.size} coefficients for {len(names)} means "
                f"({', '.join(names)})."
            )
        if not np.isfinite(values).all() or not values.any():
            raise DataError(f"The contrast '{name}' needs finite coefficients, not all zero.")
        found[name] = values
    if not found:
        raise FormulaError("The mapping of contrasts is empty.")
    return found


def adjusted(
    how: str, part: pd.DataFrame, covariance: Array, conf_level: float
) -> tuple[Array, Array]:
    """Return p-values and critical values of a family, each with its contrast's own df.

    Parameters
    ----------
    how
        ``"none"``, one of :data:`SIMPLE`, or anything else for the joint distribution.
    part
        Its contrasts' ``statistic`` and ``df``.
    covariance
        Of its estimates.
    """
    t, df = part["statistic"].to_numpy(), part["df"].to_numpy()
    known = np.flatnonzero(np.isfinite(t))
    if how == "none" or len(known) < 2:
        return two_sided_p(t, df=df), bonferroni_critical(df, 1, conf_level)
    if how in SIMPLE:
        p = two_sided_p(t, df=df)
        return adjusted_p(p, how), simple_critical(how, df, len(known), conf_level)
    own = covariance[np.ix_(known, known)]
    scale = np.sqrt(np.diag(own))
    joint = JointT.of(own / np.outer(scale, scale))
    p = np.array([joint.p_value(a, b) for a, b in zip(t, df, strict=True)])
    values = {v: joint.critical(v, conf_level) for v in np.unique(df[known])}
    return p, np.array([values.get(v, np.nan) for v in df])

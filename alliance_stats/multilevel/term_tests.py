"""Joint F tests of a model's terms: types I, II and III, whatever the coding of factors.

A term contains another if it has the other's factors, more categorical ones besides, and the same
numeric ones (SAS/STAT User's Guide, "The Four Types of Estimable Functions"). Type I tests each
term given those before it, type II given all that do not contain it. Type III tests the functions
of the coefficients that the data determine, that leave out every term which does not contain the
term, and that are orthogonal to those of the terms which contain it, in columns with an indicator
a level. Where every combination of levels occurs these are differences of equally weighted means of
cells, at zero of the numeric predictors that the term interacts with, and the sum-to-zero coding
would give them; they do not depend on the coding that was fitted. So does lmerTest (Kuznetsova,
Brockhoff & Christensen 2017, doi:10.18637/jss.v082.i13).
"""

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.design.coding import CodedTerm
from alliance_stats.design.design import Design
from alliance_stats.estimates import Array
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.linear_fit import LinearFit
from alliance_stats.multilevel.linear_functions import f_p_value, inference_on

__all__ = ["KINDS", "anova_table"]

KINDS = ("III", "II", "I", "marginal")

# Of a singular value, what counts as zero beside the largest.
RANK = 1e-9

COLUMNS = ["term", "statistic", "df1", "df2", "p_value", "method"]
METHODS = {"satterthwaite": "Satterthwaite", "kenward-roger": "Kenward-Roger", "normal": "Wald"}


def anova_table(
    fit: LinearFit | GeneralizedFit, *, kind: str, df_method: str | None = None
) -> pd.DataFrame:
    """Test every term; see :meth:`LinearMixedModel.anova`."""
    design, inference = fit.design, inference_on(fit, df_method)
    named = "marginal" if kind == "marginal" else f"type {kind}"
    found = []
    for term, C in _hypotheses(design, kind):
        if not len(C):
            continue
        test = inference.f_test(C)
        found.append(
            {
                "term": term.name,
                "statistic": test.statistic,
                "df1": test.df1,
                "df2": test.df2,
                "p_value": f_p_value(test),
                "method": f"{named} F, {METHODS[inference.df_method]}",
            }
        )
    return pd.DataFrame(found, columns=COLUMNS)


def _hypotheses(design: Design, kind: str) -> list[tuple[CodedTerm, Array]]:
    """For each term but the constant, functions of the estimated coefficients to be zero."""
    terms = [term for term in design.fixed.coding.terms if term.factors]
    if kind == "III":
        return _type_three(design, terms)
    place = {int(column): i for i, column in enumerate(design.fixed.kept)}
    own = {
        term.name: [place[c] for c in range(term.columns.start, term.columns.stop) if c in place]
        for term in terms
    }
    p = len(design.fixed.kept)
    if kind == "marginal":
        return [(term, np.eye(p)[own[term.name]]) for term in terms]
    if kind == "I":
        sequential = _sequential(design.X)
        return [(term, sequential[own[term.name]]) for term in terms]
    found = []
    for term in terms:
        containing = [c for other in terms if _contains(other, term) for c in own[other.name]]
        last = [*own[term.name], *containing]
        order = np.array([*(c for c in range(p) if c not in set(last)), *last], dtype=np.int64)
        moved = np.zeros((p, p))
        moved[:, order] = _sequential(design.X[:, order])
        start = p - len(last)
        found.append((term, moved[start : start + len(own[term.name])]))
    return found


def _sequential(X: Array) -> Array:
    """Hypotheses of each column given those before it: the unit upper triangle of X."""
    triangle = linalg.qr(X, mode="r")[0][: X.shape[1]]
    return np.asarray(triangle / np.diag(triangle)[:, None])


def _contains(outer: CodedTerm, inner: CodedTerm) -> bool:
    """Whether `outer` has the factors of `inner`, and further categorical ones only."""
    more = [factor for factor in outer.factors if factor not in inner.factors]
    within = all(factor in outer.factors for factor in inner.factors)
    return within and bool(more) and all(factor.is_categorical for factor in more)


def _type_three(design: Design, terms: list[CodedTerm]) -> list[tuple[CodedTerm, Array]]:
    indicators, slices = design.fixed.coding.indicators(design.frame)
    width = indicators.shape[1]
    where = dict(zip([t.name for t in design.fixed.coding.terms], slices, strict=True))
    # the triangle has the inner products of the rows, so it has their span too
    triangle = linalg.qr(np.hstack([indicators, design.X]), mode="r")[0]
    wide, X = triangle[:, :width], triangle[:, width:]
    unit = _unit_lengths(wide, terms, where)
    U, s, Vt = linalg.svd(wide / unit, full_matrices=False)
    kept = s > RANK * s.max()
    span = Vt[kept]  # rows that the data determine, as functions of the indicators' effects
    back = (U[:, kept] / s[kept]).T @ X  # the same as functions of the estimated coefficients
    found = []
    for term in terms:
        containing = [other for other in terms if _contains(other, term)]
        own = _zero_outside(span, [where[t.name] for t in (term, *containing)])
        if containing:
            beyond = _zero_outside(span, [where[t.name] for t in containing])
            own = linalg.null_space(beyond @ own.T, rcond=RANK).T @ own
        found.append((term, own @ back))
    return found


def _unit_lengths(wide: Array, terms: list[CodedTerm], where: dict[str, slice]) -> Array:
    """Lengths of the columns, one for all columns with the same numeric factors."""
    unit = np.ones(wide.shape[1])
    groups: dict[tuple[int, ...], list[slice]] = {}
    for term in terms:
        numeric = tuple(sorted(id(f) for f in term.factors if not f.is_categorical))
        groups.setdefault(numeric, []).append(where[term.name])
    for slices in groups.values():
        size = max(float(np.linalg.norm(wide[:, own], axis=0).max()) for own in slices)
        for own in slices:
            unit[own] = size or 1.0
    return unit


def _zero_outside(span: Array, inside: list[slice]) -> Array:
    """Combine the rows of `span` so that they are zero outside some columns; orthonormal."""
    outside = np.ones(span.shape[1], dtype=bool)
    for own in inside:
        outside[own] = False
    return np.asarray(linalg.null_space(span[:, outside].T, rcond=RANK).T)

"""Separation: fixed effects that predict the outcome without error have no finite estimate.

A direction ``d`` of the coefficients separates if no row's likelihood falls along it and some row's
rises: ``x'd >= 0`` where every trial succeeded, ``<= 0`` where none did, ``= 0`` otherwise (for
counts: ``<= 0`` where the count is 0, else ``= 0``), not all equal to 0 (Albert & Anderson 1984,
doi:10.1093/biomet/71.1.1; for counts Correia, Guimaraes & Zylkin 2019, arXiv:1903.01633). Whether
there is one does not depend on the random effects. A linear programme decides (Konis 2007, DPhil
thesis, University of Oxford); it is run only where a fit without random effects leaves a direction
that is hardly identified.
"""

import numpy as np
import pandas as pd
from scipy import linalg, optimize

from alliance_stats.checks import describe_rows
from alliance_stats.design.coding import Factor
from alliance_stats.design.design import Design
from alliance_stats.design.grammar import Column
from alliance_stats.engine.laplace import GeneralizedProblem
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["SUSPICIOUS", "check_not_separated", "check_steps_not_separated"]

# A direction whose standard error exceeds this, for a change of 1 in the predictor of the rows it
# moves most, is suspicious (a cell of ten rows with one event in 100 comes to about 3).
SUSPICIOUS = 3.0
# What counts as moved, for coefficients of a direction scaled to at most 1.
MOVED = 1e-6
CELLS_SHOWN = 4
# A column that the formula codes as categorical, ``C(session)``.


def check_not_separated(design: Design, problem: GeneralizedProblem, eta: Array) -> None:
    """Raise, naming the terms and cells, if the outcome is separated.

    Parameters
    ----------
    design, problem
        The data.
    eta
        Linear predictors of a fit without random effects, in the layout's order.
    """
    if problem.p == 0 or not _is_suspicious(problem, eta):
        return
    outcome, order = problem.outcome, problem.layout.order
    all_hit, none_hit = np.zeros((2, problem.n), dtype=bool)
    none_hit[order], all_hit[order] = problem.family.edges(outcome.y, outcome.trials)
    direction = _separating_direction(design.X, all_hit, none_hit)
    if direction is None:
        return
    raise NotIdentifiedError(_message(design, direction, all_hit, none_hit))


def check_steps_not_separated(
    design: Design, located: list[int], J: Array, nominal: tuple[int, ...] = ()
) -> None:
    """Raise, naming the terms, if the steps of a rating are separated.

    A row in step k says that its predictor lies above threshold k - 1 and below threshold k, and
    nothing else: two binary outcomes, all of which a direction in the coefficients and thresholds
    may predict without error.

    Parameters
    ----------
    design
        The data; its outcome counts steps from 0.
    located
        Columns with one effect on all thresholds, the constant left out.
    J
        From the search's parameters to the thresholds, (thresholds, m).
    nominal
        Columns with an effect on each threshold.
    """
    step, n = design.y.astype(np.int64), len(J)
    above, below = step > 0, step < n
    at = np.concatenate([step[above] - 1, step[below]])
    rows = np.concatenate([np.flatnonzero(above), np.flatnonzero(below)])
    own = [np.eye(n)[at] * design.X[rows, [k]][:, None] for k in nominal]
    X = np.column_stack([design.X[rows][:, located], -J[at], *own])
    hit = np.arange(len(rows)) < above.sum()
    direction = _separating_direction(X, hit, ~hit)
    if direction is None:
        return
    moved = np.abs(direction) * np.abs(X).max(axis=0) > MOVED
    by_threshold = moved[len(located) + J.shape[1] :].reshape(len(nominal), n).any(axis=1)
    told = [*moved[: len(located)], *by_threshold]
    columns = [c for c, tells in zip((*located, *nominal), told, strict=True) if tells]
    names = [design.fixed.names[design.fixed.kept[c]] for c in columns]
    raise NotIdentifiedError(
        f"Separation: steps of '{design.formula.response}' are told without error by "
        f"{', '.join(names) or 'the thresholds'}, whose estimates would run to infinity. Look for "
        "a group whose ratings are all in the lowest, the highest or the same steps; join it with "
        "another, or leave the term out."
    )


def _is_suspicious(problem: GeneralizedProblem, eta: Array) -> bool:
    _, _, weight = problem.family.slopes(eta, problem.outcome)
    values, vectors = linalg.eigh((problem.Q * weight) @ problem.Q.T)
    most = np.abs(vectors.T @ problem.Q).max(axis=1)
    return bool((most / np.sqrt(np.maximum(values, 1e-300)) > SUSPICIOUS).any())


def _separating_direction(X: Array, all_hit: np.ndarray, none_hit: np.ndarray) -> Array | None:
    """Find a direction by linear programming; ``None`` if there is none.

    Identical rows count once, and columns are scaled to at most 1.
    """
    scale = np.abs(X).max(axis=0)
    scale = np.where(scale > 0.0, scale, 1.0)
    sign = all_hit.astype(np.float64) - none_hit
    rows = np.unique(np.column_stack([X / scale, sign]), axis=0)
    scaled, sign = rows[:, :-1], rows[:, -1]
    pushed = scaled[sign != 0] * sign[sign != 0, None]
    if len(pushed) == 0:
        return None
    level = scaled[sign == 0]
    found = optimize.linprog(
        -pushed.sum(axis=0) / len(pushed),
        A_ub=-pushed,
        b_ub=np.zeros(len(pushed)),
        A_eq=level if len(level) else None,
        b_eq=np.zeros(len(level)) if len(level) else None,
        bounds=(-1.0, 1.0),
        method="highs",
    )
    if found.status != 0 or (pushed @ found.x).max() <= MOVED:
        return None
    return np.asarray(found.x / scale)


def _message(design: Design, direction: Array, all_hit: np.ndarray, none_hit: np.ndarray) -> str:
    moved = np.abs(design.X @ direction) > MOVED
    cells = _one_sided_cells(design, moved, all_hit, none_hit)
    name = design.formula.response
    opening = (
        f"Separation: '{name}' is told without error by the fixed effects, whose estimates would "
        "run to infinity."
    )
    if cells:
        more = len(cells) - CELLS_SHOWN
        shown = "; ".join(cells[:CELLS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        return (
            f"{opening} Cells in which it never varies: {shown}. Join such a category with "
            "another, or leave the term out."
        )
    involved = np.abs(direction) * np.abs(design.X).max(axis=0) > MOVED
    names = [design.fixed.names[i] for i in design.fixed.kept[involved]]
    return (
        f"{opening} A combination of {', '.join(names)} does so in "
        f"{describe_rows(moved, design.index)}. Leave one of these terms out, or make it coarser."
    )


def _one_sided_cells(
    design: Design, moved: np.ndarray, all_hit: np.ndarray, none_hit: np.ndarray
) -> list[str]:
    """Cells of the categorical terms, among the rows moved, in which the outcome never varies."""
    found: list[str] = []
    known: list[np.ndarray] = []
    for term in design.fixed.coding.terms:
        columns = list(term.variables)
        if not columns or not all(_makes_cells(factor, design.frame) for factor in term.factors):
            continue
        for cell, positions in design.frame.groupby(
            columns, observed=True, sort=True
        ).indices.items():
            rows = np.zeros(len(moved), dtype=bool)
            rows[positions] = True
            one_sided = all_hit[rows].all() or none_hit[rows].all()
            inside = any((rows <= other).all() for other in known)
            if one_sided and moved[rows].any() and not inside:
                known.append(rows)
                values = cell if isinstance(cell, tuple) else (cell,)
                where = ", ".join(f"{c} = {v}" for c, v in zip(columns, values, strict=True))
                what = "no event" if none_hit[rows].all() else "nothing but events"
                count = int(rows.sum())
                found.append(f"{where} ({what} in {count} row{'s' if count > 1 else ''})")
    return found


def _makes_cells(factor: Factor, frame: pd.DataFrame) -> bool:
    """Whether a factor is one column that makes cells: categories, or two numbers."""
    if len(factor.columns) != 1:
        return False
    if factor.is_categorical:
        return True
    column = factor.columns[0]
    return isinstance(factor.expression, Column) and frame[column].nunique() <= 2

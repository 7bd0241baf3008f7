"""Outcomes impossible for a family, separated or uninformative, and too many integrals.

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
from alliance_stats.engine.families import Family
from alliance_stats.engine.laplace import GeneralizedProblem
from alliance_stats.engine.quadrature import check_node_count
from alliance_stats.engine.search import Minimum
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Booleans

__all__ = [
    "SUSPICIOUS",
    "can_be_integrated",
    "check_nodes",
    "check_not_runaway",
    "check_not_separated",
    "check_offset",
    "check_outcome",
    "check_steps_not_separated",
    "check_units_vary",
    "successes_of",
]

# What a share times its trials may be off a whole number: shares are printed to some digits.
ROUNDED = 1e-3
# Counts beyond this have log-likelihoods whose last kept digit is worth more than 1e-6.
LARGEST_COUNT = 1e9
# Beyond this ratio, what a positive outcome scatters is lost in the digits of its largest value.
WIDEST_RATIO = 1e15
# Offsets further than this from their median: no mean or chance of both kinds of rows is a number.
FARTHEST_OFFSET = 100.0
# Beyond this, what is added to an offset is lost in its digits.
LARGEST_OFFSET = 1e6
# A random-effects SD beyond this on the scale of a link says that units hardly vary within.
LARGEST_SD = 10.0
# Quadrature nodes to try where the Laplace approximation fails: glmer's 25 gives the same digits.
NODES_INSTEAD = 25
# Nodes from which on slopes taken under the integral are those of its sum.
LEAST_OF_TWO = 9


def successes_of(design: Design, trials: Array, weights: str) -> Array:
    """Return successes among trials, also from proportions: an outcome nowhere above 1.

    Raises
    ------
    DataError
        If shares times their trials are not whole numbers.
    """
    y, name = design.y, design.formula.response
    if (y == np.floor(y)).all() or not ((y >= 0) & (y <= 1)).all():
        return y
    counts = np.round(y * trials)
    _refuse(
        design,
        np.abs(y * trials - counts) > ROUNDED * np.maximum(counts, 1.0),
        f"'{name}' must be a share of its trials '{weights}' (a whole number of successes), or a "
        "count of successes",
    )
    return counts


def check_outcome(design: Design, family: Family, trials: Array, weights: str | None) -> None:
    """Refuse an outcome that the family cannot have, or that never varies."""
    y, name = design.y, design.formula.response
    if family.support == "trials":
        _check_trials(design, family, trials, weights)
        return
    if family.support in ("counts", "positive counts"):
        least = 0.0 if family.support == "counts" else 1.0
        words = "(0, 1, 2, ...)" if least == 0 else "of at least 1, since zeros are not seen"
        _refuse(design, (y < least) | (y != np.floor(y)), f"'{name}' must be a count {words}")
        _refuse_beyond(design, y, name)
        if (y == least).all():
            raise NotIdentifiedError(
                f"'{name}' is {least:g} in all {len(y)} rows used: no rate is known."
            )
        return
    if family.support == "positive":
        _refuse(design, y <= 0.0, f"'{name}' must be above 0 for the gamma family")
        typical = float(np.median(y))
        far = (y > WIDEST_RATIO * typical) | (y < typical / WIDEST_RATIO)
        _refuse(
            design,
            far,
            f"'{name}' must lie within {WIDEST_RATIO:g} times its median, {typical:g}, up or down, "
            "for the gamma family (what is further away is a code or another unit)",
        )
    else:
        _refuse(
            design,
            (y <= 0.0) | (y >= 1.0),
            f"'{name}' must lie between 0 and 1, both left out, for the beta family (a share of a "
            "scale of k steps is beta-binomial with weights= k; a few 0 or 1 are moved inwards by "
            "(y (n - 1) + 0.5) / n: Smithson & Verkuilen 2006)",
        )
    if np.ptp(y) == 0.0:
        raise NotIdentifiedError(
            f"'{name}' is {y[0]:g} in all {len(y)} rows used: nothing distinguishes them."
        )


def _check_trials(design: Design, family: Family, trials: Array, weights: str | None) -> None:
    y, name = design.y, design.formula.response
    if weights is None:
        _refuse(
            design,
            (y != 0) & (y != 1),
            f"'{name}' must be 0 or 1 (counts of successes need weights= for their trials)",
        )
    else:
        bad = (trials < 1) | (trials != np.floor(trials))
        words = "(1, 2, ...; a row without trials says nothing, and is left out beforehand)"
        _refuse(design, bad, f"'{weights}' must be a number of trials {words}")
        _refuse_beyond(design, trials, weights)
        whole = (y >= 0) & (y == np.floor(y))
        _refuse(design, ~whole, f"'{name}' must be a count of successes, or a share of '{weights}'")
        _refuse(design, y > trials, f"'{name}' must not exceed its trials '{weights}'")
    for value, never in ((y == 0, "0"), (y == trials, "1" if weights is None else "all trials")):
        if value.all():
            raise NotIdentifiedError(
                f"'{name}' is {never} in all {len(y)} rows used: nothing distinguishes them."
            )
    if family.dispersion is not None and (trials == 1.0).all():
        raise NotIdentifiedError(
            f"Every row of '{name}' is one trial, of which nothing can hang together: a "
            "beta-binomial outcome is then a binomial one. Give the trials by weights=, or use "
            "family='binomial'."
        )


def check_offset(design: Design, offset: Array) -> None:
    """Refuse offsets so far apart that what they are added to cannot be computed."""
    typical = float(np.median(offset))
    _refuse(
        design,
        (np.abs(offset - typical) > FARTHEST_OFFSET) | (np.abs(offset) > LARGEST_OFFSET),
        f"The offset must lie within {FARTHEST_OFFSET:g} of its median, {typical:g}, on the scale "
        "of the link (of a rate it is the logarithm of the exposure; what is further away is a "
        "code or another unit)",
    )


def _refuse_beyond(design: Design, counts: Array, name: object) -> None:
    what = f"'{name}' must be a count of at most {LARGEST_COUNT:,.0f} (what is more is a code)"
    _refuse(design, counts > LARGEST_COUNT, what)


def _refuse(design: Design, bad: Booleans, what: str) -> None:
    if bad.any():
        raise DataError(f"{what}; it is not in {describe_rows(bad, design.index)}.")


def check_units_vary(design: Design, family: Family, trials: Array) -> None:
    """Refuse units whose effect and whose rows' own randomness are the same thing.

    Those are units of one row each, with a 0/1 outcome or a dispersion. Where no unit's 0/1 outcome
    varies within the unit, the likelihood increases with the variance without limit.
    """
    yes_or_no = family.name == "binomial" and not (trials > 1).any()
    if not yes_or_no and family.dispersion is None:
        return
    for grouping in design.groupings:
        n_units = len(grouping.labels)
        sizes = np.bincount(grouping.codes, minlength=n_units)
        if sizes.max() == 1:
            beside = "chance" if yes_or_no else "the dispersion of the rows"
            kind = "0/1" if yes_or_no else family.name
            raise NotIdentifiedError(
                f"Every unit of '{grouping.name}' has one row: with a {kind} outcome its variance "
                f"cannot be told from {beside}. Leave the term out."
            )
        if not yes_or_no:
            continue
        hits = np.bincount(grouping.codes, weights=design.y, minlength=n_units)
        if ((hits == 0) | (hits == sizes)).all():
            raise NotIdentifiedError(
                f"'{design.formula.response}' never varies within a unit of '{grouping.name}' "
                f"({n_units} units): their variance would grow without end. If the rows of a unit "
                "are copies of one event, keep one row per unit and leave the term out."
            )


def check_not_runaway(design: Design, fit: Minimum, nodes: int) -> None:
    """Refuse an implausibly large random-effects SD on the scale of a link."""
    if nodes > 1:
        way_out = ""
    elif can_be_integrated(design):
        way_out = (
            " The Laplace approximation can do so where the integral does not: fit again with "
            f"nodes={NODES_INSTEAD} first."
        )
    else:
        way_out = (
            " The Laplace approximation can do so where the integral does not; quadrature "
            f"(nodes={NODES_INSTEAD}) is offered for one or two random effects of one grouping "
            "factor, and for one of each of two nested factors: see whether the SD stays finite "
            "with such terms alone."
        )
    for grouping, Lambda in zip(design.groupings, fit.Lambda, strict=True):
        start = 0
        for basis in grouping.terms:
            own = slice(start, start + len(basis.names))
            start = own.stop
            # the working columns have mean square 1, so this is the SD of z'b over the rows
            sd = float(np.linalg.norm(Lambda[own, own]))
            if sd > LARGEST_SD:
                raise NotIdentifiedError(
                    f"The SD of {basis.term} ran to {sd:.0f} on the scale of the link: the outcome "
                    f"hardly varies within units of '{grouping.name}', and the likelihood barely "
                    "holds the variance back. If rows of a unit are copies of one event, keep one; "
                    "otherwise leave the term out or use a coarser grouping." + way_out
                )


def check_nodes(design: Design, nodes: int) -> None:
    """Refuse quadrature of more than two correlated effects, or of crossed factors."""
    check_node_count(nodes)
    if not can_be_integrated(design):
        terms = [str(basis.term) for g in design.groupings for basis in g.terms]
        raise ValueError(
            f"nodes={nodes} is for one or two random effects of one grouping factor, or one of "
            f"each of two nested factors; the formula has {', '.join(terms)}. Use nodes=1 (the "
            "Laplace approximation), or leave terms out."
        )

    effects = sum(len(g.names) for g in design.groupings)
    if effects > 1 and nodes < LEAST_OF_TWO:
        raise ValueError(
            f"Two effects need nodes={LEAST_OF_TWO} or more, by which the slopes of the deviance "
            f"are right; got {nodes}. nodes='enough' raises them until they are."
        )


def can_be_integrated(design: Design) -> bool:
    """Whether quadrature is offered: two effects of a factor, or one each of two nested ones."""
    sizes = [len(g.names) for g in design.groupings]
    if len(sizes) == 1:
        return sizes[0] <= 2
    if sizes != [1, 1]:
        return False
    inner, outer = sorted(design.groupings, key=lambda g: -len(g.labels))
    home = np.full(len(inner.labels), -1)
    home[inner.codes] = outer.codes
    return bool((home[inner.codes] == outer.codes).all())


# A direction whose standard error exceeds this, for a change of 1 in the predictor of the rows it
# moves most, is suspicious (a cell of ten rows with one event in 100 comes to about 3).
SUSPICIOUS = 3.0
# What counts as moved, for coefficients of a direction scaled to at most 1.
MOVED = 1e-6
CELLS_SHOWN = 4


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

"""From a design to the arrays of a generalized model, and what cannot be fitted to it."""

import numpy as np
import pandas as pd

from alliance_stats.checks import describe_rows, finite_or_missing
from alliance_stats.design.design import Design
from alliance_stats.engine.blocks import lay_out
from alliance_stats.engine.criterion import Template
from alliance_stats.engine.families import Family
from alliance_stats.engine.generalized_search import GeneralizedFit
from alliance_stats.engine.laplace import GeneralizedProblem
from alliance_stats.engine.quadrature import MOST_NODES
from alliance_stats.engine.row_sums import arrange_rows
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = [
    "check_not_runaway",
    "check_outcome",
    "check_scalar",
    "check_units_vary",
    "make_generalized_problem",
    "numbers",
]

# A random-effects SD beyond this on the scale of a link says that units hardly vary within.
LARGEST_SD = 10.0


def numbers(frame: pd.DataFrame, column: str) -> Array:
    """Return a numeric, finite column."""
    return finite_or_missing(frame, column)


def make_generalized_problem(
    design: Design, family: Family, trials: Array, offset: Array
) -> GeneralizedProblem:
    """Arrange the design's rows for elimination."""
    groupings = design.groupings
    n = len(design.y)
    layout = lay_out([g.codes for g in groupings], [len(g.Z) for g in groupings], n)
    order = layout.order
    return GeneralizedProblem(
        layout,
        Template.full([[len(basis.names) for basis in g.terms] for g in groupings]),
        arrange_rows(layout, [g.Z for g in groupings], [g.codes for g in groupings], n),
        np.ascontiguousarray(design.Q[:, order]),
        offset[order],
        family,
        family.outcome(design.y[order], trials[order]),
    )


def check_outcome(design: Design, family: Family, trials: Array, weights: str | None) -> None:
    """Refuse an outcome that is not 0/1 or counts, or that never varies."""
    y, name = design.y, design.formula.response
    if family.name == "poisson":
        _refuse(design, (y < 0) | (y != np.floor(y)), f"'{name}' must be a count (0, 1, 2, ...)")
        if (y == 0).all():
            raise NotIdentifiedError(f"'{name}' is 0 in all {len(y)} rows used: no rate is known.")
        return
    if weights is None:
        _refuse(
            design,
            (y != 0) & (y != 1),
            f"'{name}' must be 0 or 1 (counts of successes need weights= for their trials)",
        )
    else:
        bad = (trials < 1) | (trials != np.floor(trials))
        _refuse(design, bad, f"'{weights}' must be a number of trials (1, 2, ...)")
        _refuse(
            design,
            (y < 0) | (y != np.floor(y)),
            f"'{name}' must be a count of successes (not a share: multiply it by '{weights}')",
        )
        _refuse(design, y > trials, f"'{name}' must not exceed its trials '{weights}'")
    for value, never in ((y == 0, "0"), (y == trials, "1" if weights is None else "all trials")):
        if value.all():
            raise NotIdentifiedError(
                f"'{name}' is {never} in all {len(y)} rows used: nothing distinguishes them."
            )


def _refuse(design: Design, bad: np.ndarray, what: str) -> None:
    if bad.any():
        raise DataError(f"{what}; it is not in {describe_rows(bad, design.index)}.")


def check_units_vary(design: Design, family: Family, trials: Array) -> None:
    """Refuse 0/1 outcomes whose units have one row each, or never vary within.

    With one row a unit, a unit's effect and the row's own randomness are the same thing. Where no
    unit varies within, the likelihood rises without end as the variance does.
    """
    if family.name != "binomial" or (trials > 1).any():
        return
    for grouping in design.groupings:
        n_units = len(grouping.labels)
        sizes = np.bincount(grouping.codes, minlength=n_units)
        if sizes.max() == 1:
            raise NotIdentifiedError(
                f"Every unit of '{grouping.name}' has one row: with a 0/1 outcome its variance "
                "cannot be told from chance. Leave the term out."
            )
        hits = np.bincount(grouping.codes, weights=design.y, minlength=n_units)
        if ((hits == 0) | (hits == sizes)).all():
            raise NotIdentifiedError(
                f"'{design.formula.response}' never varies within a unit of '{grouping.name}' "
                f"({n_units} units): their variance would grow without end. If the rows of a unit "
                "are copies of one event, keep one row a unit and leave the term out."
            )


def check_not_runaway(design: Design, fit: GeneralizedFit) -> None:
    """Refuse a random-effects SD that no population has on the scale of a link."""
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
                    "otherwise leave the term out or use a coarser grouping."
                )


def check_scalar(design: Design, nodes: int) -> None:
    """Refuse quadrature where there is more than one random effect a unit, or several factors."""
    if not isinstance(nodes, int) or not 1 <= nodes <= MOST_NODES:
        raise ValueError(f"nodes must be a whole number from 1 to {MOST_NODES}; got {nodes!r}.")
    terms = [str(basis.term) for g in design.groupings for basis in g.terms]
    if len(design.groupings) > 1 or len(design.groupings[0].names) > 1:
        raise ValueError(
            f"nodes={nodes} is for one grouping factor with one random effect; the formula has "
            f"{', '.join(terms)}. Use nodes=1 (the Laplace approximation), or leave terms out."
        )

"""From a design to the criterion's arrays, and to a fit of another outcome."""

from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from scipy import linalg

from alliance_stats.design.design import Design
from alliance_stats.engine.blocks import RowArrays, cross_products, lay_out, with_outcome
from alliance_stats.engine.criterion import Problem, Template, at_eta
from alliance_stats.engine.residual_shape import ResidualShape
from alliance_stats.engine.search import minimise, newton_scaling
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array

if TYPE_CHECKING:
    from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = ["make_problem", "refitted"]


def make_problem(
    design: Design, *, reml: bool, known: bool, shape: ResidualShape | None = None
) -> Problem:
    """Arrange the design's rows for elimination and sum their products."""
    groupings = design.groupings
    codes, q = [g.codes for g in groupings], [len(g.Z) for g in groupings]
    layout = lay_out(codes, q, len(design.y))
    rows = _sorted_rows(
        design, layout.order, [level.factor for level in layout.levels], layout.crossed
    )
    constant = -2.0 * float(np.log(design.root_weights).sum())
    if reml:
        constant += design.fixed.log_det
    template = Template.full([[len(basis.names) for basis in g.terms] for g in groupings])
    n, p = len(design.y), len(design.fixed.kept)
    problem = Problem(layout, cross_products(layout, rows), template, n, p, reml, known, constant)
    if shape is None:
        return problem
    return replace(problem, shape=shape.sorted(layout.order), rows=rows)


def refitted(model: "LinearMixedModel", y: Array) -> "LinearMixedModel":
    """Fit `y` on the same rows with the same model, starting from the fitted theta."""
    design = model.design
    if np.ptp(y) == 0.0:
        raise NotIdentifiedError("The new outcome is the same in all rows: no variance to model.")
    if y.shape != design.y.shape:
        raise DataError(
            f"The new outcome has shape {y.shape}; the model used {len(design.y)} rows."
        )
    if not np.isfinite(y).all():
        raise DataError("The new outcome has missing or infinite values.")
    weighted = y * design.root_weights
    on_basis = design.Q @ weighted / len(y)
    residual = weighted - design.Q.T @ on_basis
    offset = linalg.solve_triangular(design.fixed.R, on_basis) if len(on_basis) else on_basis
    new_design = replace(design, y=y, residual=residual, fixed=replace(design.fixed, offset=offset))
    layout = model.problem.layout
    rows = _sorted_rows(
        new_design, layout.order, [level.factor for level in layout.levels], layout.crossed
    )
    problem = (
        replace(model.problem, products=with_outcome(layout, model.problem.products, rows))
        if model.problem.shape is None
        else replace(model.problem, rows=rows)
    )
    # a start on a boundary could not leave it
    start = [
        factor + 1e-2 * np.eye(len(factor)) if model.singular else factor
        for factor in model.fit.Lambda
    ]
    fit = minimise(problem, start, model.fit.eta, scaling=_scaling_of(model))
    return replace(model, design=new_design, problem=at_eta(problem, fit.eta), fit=fit)


# A model is refitted many times from the same place.
_SCALINGS: "WeakKeyDictionary[LinearMixedModel, Array | None]" = WeakKeyDictionary()


def _scaling_of(model: "LinearMixedModel") -> Array | None:
    if model not in _SCALINGS:
        _SCALINGS[model] = newton_scaling(model.problem, model.fit)
    return _SCALINGS[model]


def _sorted_rows(
    design: Design, order: np.ndarray, chain: list[int], crossed: tuple[int, ...]
) -> RowArrays:
    groupings = design.groupings
    return RowArrays(
        tuple(groupings[f].Z[:, order] for f in chain),
        tuple(groupings[f].Z[:, order] for f in crossed),
        tuple(groupings[f].codes[order] for f in crossed),
        np.concatenate([design.Q, design.residual[None]])[:, order],
    )

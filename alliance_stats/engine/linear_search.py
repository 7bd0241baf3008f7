"""The minimum of the deviance of a linear mixed model: where the search starts and how it ends."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
from scipy import linalg

from alliance_stats.engine.criterion import LinearCriterion, Problem, unit_sums
from alliance_stats.engine.residual_correlation import Serial
from alliance_stats.engine.search import (
    SAME_DEVIANCE,
    Convergence,
    Minimum,
    Options,
    Stop,
    run,
    search,
)
from alliance_stats.engine.template import Slopes, Template, reduce_rank
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.estimates import Array

__all__ = ["minimise", "newton_scaling"]

# Gradient norm per square root of the rows under which the fit has converged.
FLAT_GRADIENT = 1e-3
# Relative variances between which the search starts.
START_LOW, START_HIGH = 0.05**2, 2.0**2
# Step of the differences of the gradient that scale a warm start; 3 digits are plenty there.
HESSIAN_STEP = 1e-4
# Columns of a dense block from which on several BLAS threads help.
LARGE_BLOCK = 300
OPTIONS = Options(ftol=1e-13, gtol=1e-7, maxcor=20)
# A look whether another minimum is lower: to about 1e-4 of the deviance.
LOOK = Options(ftol=1e-7, gtol=1e-3, maxcor=20)


def minimise(
    problem: Problem,
    start: Sequence[Array] | None = None,
    eta: Array | None = None,
    *,
    scaling: Array | None = None,
) -> Minimum:
    """Minimise the profiled deviance over positive semi-definite covariances.

    Parameters
    ----------
    problem
        The deviance; its template is of full rank.
    start
        Covariance factors to start from; :func:`moment_start` if not given.
    eta
        Parameters of the residual shape to start from.
    scaling
        Square matrix P: the search runs over z in ``(theta, eta) = start + P z``. With
        ``P P'`` near the inverse Hessian (see :func:`newton_scaling`) a few steps are enough; a
        variance found at zero is then tried again only if the deviance falls that way.
    """
    large = problem.layout.n_crossed > LARGE_BLOCK
    with nullcontext() if large else one_blas_thread():
        if eta is None:
            eta = np.empty(0)
            if problem.shape is not None and problem.rows is not None:
                eta = problem.shape.start(problem.rows.Xy[-1])
        first = moment_start(problem) if start is None else [x.copy() for x in start]
        stop = search(LinearCriterion(problem), first, eta, options=OPTIONS, scaling=scaling)
        if start is None:
            stop = _from_either_side(LinearCriterion(problem), stop, first)
        norm = float(np.abs(_gradient(stop.template, stop.slopes)).max(initial=0.0))
    flat = norm < FLAT_GRADIENT * max(1.0, np.sqrt(problem.n))
    record = Convergence(bool(flat), stop.evaluations, norm, stop.restarts, stop.message)
    return Minimum(stop.template, tuple(stop.Lambda), stop.other, stop.deviance, record)


def _from_either_side(criterion: LinearCriterion, stop: Stop, first: Sequence[Array]) -> Stop:
    """Look for a lower deviance from where one of two rivals takes all that both explain.

    Random effects of units and a serial correlation within these units compete, and the deviance
    may have a minimum with much of either: one look starts without the effects, one without the
    correlation.
    """
    problem, shape = criterion.problem, criterion.problem.shape
    if shape is None or problem.rows is None or not isinstance(shape.correlation, Serial):
        return stop
    n_units = len(np.unique(shape.correlation.units))
    rivals = [x.factor for x in problem.layout.levels if len(x.row_starts) == n_units]
    if not rivals:
        return stop
    eta = shape.start(problem.rows.Xy[-1])
    alone = [np.zeros_like(own) if f in rivals else own for f, own in enumerate(first)]
    effects = criterion.coordinates(*reduce_rank(criterion.template, alone), eta, None)
    eta = np.append(eta[:-1], shape.correlation.independent)
    freed = criterion.coordinates(criterion.template, first, eta, None)
    last = np.eye(len(freed.origin))[-1:]
    bare = run(criterion, freed.holding(last), options=LOOK)
    begin = replace(freed, origin=np.append(freed.template.theta(bare.Lambda), bare.other))
    looks = [run(criterion, own, options=LOOK) for own in (effects, begin)]
    for look in (bare, *looks):
        if look.deviance < stop.deviance - SAME_DEVIANCE:
            lower = search(criterion, look.Lambda, look.other, options=OPTIONS)
            stop = lower.after(look).after(stop, restarts=1)
        else:
            stop = stop.after(look, restarts=1)
    return stop


def moment_start(problem: Problem) -> list[Array]:
    """Diagonal relative factors from the spread of each effect's unit sums.

    With a single effect, ``E (z'y)^2 / (z'z s^2)`` is about ``1 + theta^2 z'z``. The start only has
    to be of the right order of magnitude: it is kept between 0.05 and 2.
    """
    s2 = problem.products.R[-1, -1] / problem.n
    found = []
    for squares, pulls in unit_sums(problem):
        weight = np.maximum(squares.mean(axis=1), 1e-12)
        ratio = (pulls**2).mean(axis=1) / (weight * s2)
        found.append(np.diag(np.sqrt(np.clip((ratio - 1.0) / weight, START_LOW, START_HIGH))))
    return found


def newton_scaling(problem: Problem, fit: Minimum) -> Array | None:
    """Factor P of the inverse Hessian of the deviance at a regular fit, ``P P' = H^-1``.

    None for a singular fit, or where the Hessian is not positive definite.
    """
    theta = np.concatenate([fit.template.theta(fit.Lambda), fit.other])
    k, n_theta = len(theta), fit.template.n_theta
    if fit.singular or k == 0:
        return None
    criterion = LinearCriterion(problem)

    def gradient(values: Array) -> Array:
        factors = fit.template.factors(values[:n_theta])
        return _gradient(fit.template, criterion.evaluate(factors, values[n_theta:], None))

    hessian = np.empty((k, k))
    for j in range(k):
        step = np.zeros(k)
        step[j] = HESSIAN_STEP * max(1.0, abs(theta[j]))
        hessian[:, j] = (gradient(theta + step) - gradient(theta - step)) / (2.0 * step[j])
    try:
        factor = linalg.cholesky((hessian + hessian.T) / 2.0, lower=True)
    except linalg.LinAlgError:
        return None
    return np.asarray(linalg.inv(factor).T)


def _gradient(template: Template, slopes: Slopes) -> Array:
    return np.concatenate([template.theta(slopes.Lambda), slopes.other])

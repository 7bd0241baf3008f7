"""The maximum of a joint likelihood of outcomes and dropout, and stability of its integrals."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg, optimize

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.survival.unseen.shared_likelihood import (
    Places,
    Rule,
    SharedData,
    log_likelihood,
    placed,
)

__all__ = ["ESTIMATES_MOVED", "LOG_LIK_MOVED", "MOST_NODES", "Maximum", "maximise"]

# How far estimates may move, in standard errors, from so many nodes to twice as many (and the
# information on the associations change, of itself): a hundredth of what sampling moves them.
ESTIMATES_MOVED = 0.01
# And the log-likelihood: of some two by which a test at 5% turns on.
LOG_LIK_MOVED = 0.01
MOST_NODES = 129  # an effect
_MOST_POINTS = 5000  # of all effects of a unit, or of a cluster, together
_STEP = 1e-4  # of central differences of the slopes, in about a standard error
_FURTHEST = 60.0  # of a step of the search, in about standard errors
_WORST = 1e12  # where there is no likelihood: more than any deviance
_SETTLED = 1e-5  # of the log-likelihood, from one placing of a cluster's nodes to the next
_MOST_PLACINGS = 12
_ENOUGH_UNITS = 5  # a parameter, for products of their scores to stand in for the information


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """The maximum of the joint likelihood.

    Attributes
    ----------
    parameters, covariance
        As in the likelihood, and the inverse of the observed information.
    log_lik
        Its value.
    gradient
        The slope left, in standard errors.
    nodes
        Quadrature nodes per effect.
    log_lik_moved, estimates_moved
        How far twice as many would move the log-likelihood, and the estimates in standard errors.
    """

    parameters: Array
    covariance: Array
    log_lik: float
    gradient: float
    nodes: int
    log_lik_moved: float = np.nan
    estimates_moved: float = np.nan

    @property
    def stands(self) -> bool:
        """Whether the integral is stable."""
        return self.log_lik_moved < LOG_LIK_MOVED and self.estimates_moved < ESTIMATES_MOVED


@dataclass(frozen=True, slots=True, eq=False)
class _Surface:
    """Minus the log-likelihood and its slopes, with fixed nodes of the clusters' effects."""

    data: SharedData
    rules: tuple[Rule, Rule]
    places: Places | None

    @classmethod
    def of(cls, parameters: Array, data: SharedData, nodes: int) -> "_Surface":
        rules = (Rule.of(nodes, data.Z.shape[1]), Rule.of(nodes, data.n_outer))
        return cls(data, rules, placed(parameters, data, rules[0]))

    def at(self, parameters: Array) -> tuple[float, Array]:
        log_lik, scores = log_likelihood(parameters, self.data, self.rules, self.places)
        return -float(log_lik.sum()), -scores.sum(axis=0)

    def information(self, parameters: Array, scale: Array, which: slice = slice(None)) -> Array:
        """Return rows of minus the second derivatives, with `scale` as each parameter's unit."""
        rows = []
        for k in range(len(scale))[which]:
            step = np.zeros(len(scale))
            step[k] = _STEP * scale[k]
            up, down = self.at(parameters + step)[1], self.at(parameters - step)[1]
            rows.append((up - down) * scale / (2 * _STEP))
        found = np.array(rows)
        return found if which != slice(None) else np.asarray((found + found.T) / 2.0)


def maximise(start: Array, scale: Array, data: SharedData, nodes: int) -> Maximum:
    """Maximise with more and more nodes until doubling them leaves the results unchanged.

    Parameters
    ----------
    start, scale
        Starting values, and the approximate standard error of each parameter.
    data
        The arrays.
    nodes
        Number of nodes per effect to begin with.
    """
    found = _climbed(start, scale, data, nodes)
    while True:
        more = 2 * found.nodes - 1 if found.nodes > 1 else 5
        effects = max(data.Z.shape[1], data.n_outer)
        if more > MOST_NODES or more**effects > _MOST_POINTS:
            return found
        found = _compared(found, data, more)
        if found.stands:
            return found
        found = _climbed(found.parameters, np.sqrt(np.diag(found.covariance)), data, more)


def _compared(found: Maximum, data: SharedData, more: int) -> Maximum:
    """Return how far a finer integral would move the maximum and associations' information."""
    finer = _Surface.of(found.parameters, data, more)
    errors = np.sqrt(np.diag(found.covariance))
    value, slope = finer.at(found.parameters)
    moved = np.abs(found.covariance @ slope) / errors
    last = len(errors) - int(data.in_hazard)
    which = slice(last - len(data.channels), last)
    own = np.linalg.inv(found.covariance / np.outer(errors, errors))[which]
    wider = np.abs(finer.information(found.parameters, errors, which) - own)
    wider = wider / np.diagonal(own[:, which])[:, None]
    return replace(
        found,
        log_lik_moved=abs(value + found.log_lik),
        estimates_moved=float(max(moved.max(), wider.max(initial=0.0))),
    )


def _climbed(start: Array, scale: Array, data: SharedData, nodes: int) -> Maximum:
    """Climb, re-placing the nodes of clusters until the log-likelihood is stable."""
    at, before = start, np.inf
    for _ in range(_MOST_PLACINGS):
        surface = _Surface.of(at, data, nodes)
        turn = _turn(surface, at, scale)
        found = optimize.minimize(
            _bounded(surface, at, turn), np.zeros(len(at)), jac=True, method="BFGS",
            options={"gtol": 1e-5, "maxiter": 200},
        )  # fmt: skip
        at = at + turn @ found.x
        if surface.places is None or abs(before - float(found.fun)) < _SETTLED:
            break
        before = float(found.fun)
    information = surface.information(at, scale)
    try:
        inverse = linalg.cho_solve(linalg.cho_factor(information), np.eye(len(at)))
    except linalg.LinAlgError:
        raise NotIdentifiedError(
            "The joint likelihood has no maximum here: its information is not positive definite. "
            "Take fewer random effects, a simpler baseline, or leave out a therapist's effect."
        ) from None
    value, slope = surface.at(at)
    slope = slope * scale
    return Maximum(
        parameters=at,
        covariance=inverse * np.outer(scale, scale),
        log_lik=-value,
        gradient=float(np.sqrt(np.maximum(slope @ inverse @ slope, 0.0))),
        nodes=nodes,
    )


def _turn(surface: _Surface, at: Array, scale: Array) -> Array:
    """Return coordinates in which the surface is roughly round."""
    data = surface.data
    n = data.n_units if data.cluster is None else int(data.cluster.max()) + 1
    ways = (_Surface.information, _outer_products)  # the second is cheaper, and needs many units
    for measured in ways if n < _ENOUGH_UNITS * len(at) else ways[::-1]:
        try:
            root = np.linalg.cholesky(measured(surface, at, scale))
        except np.linalg.LinAlgError:
            continue
        return np.asarray(scale[:, None] * linalg.solve_triangular(root.T, np.eye(len(at))))
    return np.diag(scale)


def _outer_products(surface: _Surface, at: Array, scale: Array) -> Array:
    scores = log_likelihood(at, surface.data, surface.rules, surface.places)[1] * scale
    return np.asarray(scores.T @ scores)


def _bounded(surface: _Surface, at: Array, turn: Array) -> Callable[[Array], tuple[float, Array]]:
    """Return the surface in turned coordinates; steps far beyond the data are not taken.

    A search that tries one is sent back by a value that rises from there on.
    """

    def function(x: Array) -> tuple[float, Array]:
        size = float(np.linalg.norm(x))
        inside = x if size <= _FURTHEST else x * (_FURTHEST / size)
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                value, slope = surface.at(at + turn @ inside)
        except np.linalg.LinAlgError:
            value, slope = np.inf, x
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            return _WORST + size, x / max(size, 1.0)
        if size > _FURTHEST:
            return value + (size - _FURTHEST) ** 2, 2.0 * (size - _FURTHEST) * x / size
        return value, turn.T @ slope

    return function

"""Means and covariances that follow from few parameters, fitted by maximum likelihood: arrays only.

A *component* is a mean and a covariance of p variables, ``mu = nu + L a`` and
``Sigma = L P L' + T``. A *block* is what was observed of units that share a normal distribution:
its covariance is a sum of components with given weights. Groups are blocks with a component each;
patterns of missing values are blocks in which some variables were seen; with sessions in persons
(Muthen 1994, doi:10.1177/0049124194022003006) the deviations from the persons' means are a block
with the component within, and the means of persons with s sessions, times sqrt(s), are a block
with covariance ``within + s between``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers

__all__ = ["Block", "Component", "MomentFit", "fit_moments", "log_density_constant", "saturated"]

_MOST_STEPS = 500
_FLAT = 1e-12  # of half the deviance: what a step may still promise where the search ends
_HALVINGS = 40
_STRIDE = 1e-4  # of central differences of the gradient, in standard errors
_SINGULAR = 1e-10  # least eigenvalue of the scaled information, relative to the largest


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """A mean and a covariance structure; entries are parameters, or fixed where their number is -1.

    Attributes
    ----------
    values
        ``L (p, m), P (m, m), T (p, p), nu (p,), a (m,)``: starting values, and fixed values.
    numbers
        The number of the parameter at each position, in the same shapes.
    """

    values: tuple[Array, Array, Array, Array, Array]
    numbers: tuple[Integers, Integers, Integers, Integers, Integers]

    def at(self, theta: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Return the five matrices at `theta`."""
        L, P, T, nu, a = (
            np.where(number >= 0, theta[number], value)
            for value, number in zip(self.values, self.numbers, strict=True)
        )
        return L, P, T, nu, a

    def slopes(self, theta: Array) -> tuple[Array, Array]:
        """Return the derivatives of mean and covariance, (k, p) and (k, p, p)."""
        L, P, _, _, a = self.at(theta)
        p = len(L)
        mean, covariance = np.zeros((len(theta), p)), np.zeros((len(theta), p, p))
        LP = L @ P
        for i, f in zip(*np.nonzero(self.numbers[0] >= 0), strict=True):
            k = self.numbers[0][i, f]
            mean[k, i] += a[f]
            covariance[k, i, :] += LP[:, f]
            covariance[k, :, i] += LP[:, f]
        for f, h in zip(*np.nonzero(self.numbers[1] >= 0), strict=True):
            covariance[self.numbers[1][f, h]] += np.outer(L[:, f], L[:, h])
        for i, j in zip(*np.nonzero(self.numbers[2] >= 0), strict=True):
            covariance[self.numbers[2][i, j], i, j] += 1.0
        for i in np.flatnonzero(self.numbers[3] >= 0):
            mean[self.numbers[3][i], i] += 1.0
        for f in np.flatnonzero(self.numbers[4] >= 0):
            mean[self.numbers[4][f]] += L[:, f]
        return mean, covariance


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Units that share a normal distribution.

    Attributes
    ----------
    n
        How many.
    covariance
        (q, q), with divisor n, about `mean`.
    mean
        (q,); None where the mean is known to be zero.
    weights
        Component -> multiplier of its covariance.
    centre
        The component that the mean belongs to.
    scale
        Multiplier of the component's mean.
    seen
        (q,) which variables were seen.
    rows, units
        (n, q) and (n,): the values and their units, for robust errors.
    """

    n: float
    covariance: Array
    mean: Array | None
    weights: dict[int, float]
    seen: Integers
    centre: int = 0
    scale: float = 1.0
    rows: Array = field(default_factory=lambda: np.empty((0, 0)))
    units: Integers = field(default_factory=lambda: np.empty(0, dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class MomentFit:
    """Parameters at the maximum of the likelihood.

    Attributes
    ----------
    components, blocks
        The model and the data.
    theta
        (k,) the parameters.
    half_deviance
        Minus the log-likelihood, without the constants of the density.
    converged
        Whether the gradient was flat at the end of the search.
    """

    components: tuple[Component, ...]
    blocks: tuple[Block, ...]
    theta: Array
    half_deviance: float
    converged: bool

    def expected(self) -> Array:
        """Return the expected information, (k, k)."""
        return _information(self.components, self.blocks, self.theta)

    def observed(self) -> Array:
        """Return the observed information: central differences of the gradient, (k, k)."""
        k = len(self.theta)
        errors = 1.0 / np.sqrt(np.maximum(np.diag(self.expected()), np.finfo(float).tiny))
        found = np.empty((k, k))
        for j, stride in enumerate(_STRIDE * errors):
            ahead, behind = self.theta.copy(), self.theta.copy()
            ahead[j] += stride
            behind[j] -= stride
            ends = [_value(self.components, self.blocks, place)[1] for place in (ahead, behind)]
            found[j] = (ends[0] - ends[1]) / (2.0 * stride)
        return (found + found.T) / 2.0

    def meat(self) -> Array:
        """Return the sum over J units of their scores' squares, times J / (J - 1), (k, k)."""
        units = np.unique(np.concatenate([block.units for block in self.blocks]))
        found = np.zeros((int(units[-1]) + 1, len(self.theta)))
        slopes = [component.slopes(self.theta) for component in self.components]
        for block in self.blocks:
            mean, A, _ = _moments(self.components, block, self.theta)
            pulled = (block.rows - mean) @ A
            d_mean, d_covariance = _of_block(block, slopes)
            squares = np.einsum("iq,kqr,ir->ik", pulled, d_covariance, pulled, optimize=True)
            own = pulled @ d_mean.T + 0.5 * (squares - np.einsum("qr,krq->k", A, d_covariance))
            np.add.at(found, block.units, own)
        return len(units) / (len(units) - 1.0) * found.T @ found


def fit_moments(components: Sequence[Component], blocks: Sequence[Block]) -> MomentFit:
    """Return the maximum-likelihood parameters, by Fisher scoring with halved steps.

    Raises
    ------
    NotIdentifiedError
        If the data do not determine the parameters.
    """
    components, blocks = tuple(components), tuple(blocks)
    theta = _starts(components)
    value, gradient = _value(components, blocks, theta)
    if not np.isfinite(value):
        raise NotIdentifiedError("the covariances of the items leave no place to start from")
    converged = False
    for _ in range(_MOST_STEPS):
        step = _scoring_step(_information(components, blocks, theta), gradient)
        promised = float(gradient @ step)
        if promised < _FLAT * max(1.0, abs(value)):
            converged = True
            break
        for halving in range(_HALVINGS):
            new = theta - step * 0.5**halving
            new_value, new_gradient = _value(components, blocks, new)
            if new_value < value:
                break
        else:
            converged = promised < np.sqrt(_FLAT) * max(1.0, abs(value))
            break
        theta, value, gradient = new, new_value, new_gradient
    return MomentFit(components, blocks, theta, value, converged)


def saturated(p: int, blocks: Sequence[Block], which: Sequence[int]) -> MomentFit:
    """Fit every mean and covariance freely; `which` has the components that have a mean."""
    numbers, components = 0, []
    lower = np.tril_indices(p)
    for place in range(1 + max(max(block.weights) for block in blocks)):
        T = np.full((p, p), -1, dtype=np.int64)
        T[lower] = np.arange(numbers, numbers + len(lower[0]))
        T.T[lower] = T[lower]
        numbers += len(lower[0])
        nu = np.full(p, -1, dtype=np.int64)
        if place in which:
            nu = np.arange(numbers, numbers + p)
            numbers += p
        own = [block for block in blocks if place in block.weights]
        L, P, a = np.empty((p, 0)), np.empty((0, 0)), np.empty(0)
        L_at, P_at, a_at = (part.astype(np.int64) for part in (L, P, a))
        values = (L, P, _start_of(own, p), _centre_of(own, p), a)
        components.append(Component(values, (L_at, P_at, T, nu, a_at)))
    return fit_moments(components, blocks)


def log_density_constant(blocks: Sequence[Block]) -> float:
    """Return what `half_deviance` omits from minus the log-likelihood."""
    return 0.5 * float(np.log(2.0 * np.pi)) * sum(block.n * len(block.seen) for block in blocks)


def _start_of(blocks: Sequence[Block], p: int) -> Array:
    """Return a diagonal matrix of observed variances."""
    total, weight = np.zeros(p), np.zeros(p)
    for block in blocks:
        total[block.seen] += block.n * np.diag(block.covariance)
        weight[block.seen] += block.n * sum(block.weights.values())
    return np.diag(np.where(total > 0.0, total / np.maximum(weight, 1.0), 1.0))


def _centre_of(blocks: Sequence[Block], p: int) -> Array:
    total, weight = np.zeros(p), np.zeros(p)
    for block in blocks:
        if block.mean is not None:
            total[block.seen] += block.n * block.scale * block.mean
            weight[block.seen] += block.n * block.scale**2
    return total / np.maximum(weight, 1.0)


def _starts(components: Sequence[Component]) -> Array:
    pairs = [
        (number[number >= 0], value[number >= 0])
        for component in components
        for value, number in zip(component.values, component.numbers, strict=True)
    ]
    n = 1 + max((int(number.max()) for number, _ in pairs if len(number)), default=-1)
    theta = np.zeros(n)
    for number, value in reversed(pairs):
        theta[number] = value
    return theta


def _moments(
    components: Sequence[Component], block: Block, theta: Array
) -> tuple[Array, Array, float]:
    """Return a block's mean, inverse covariance and log determinant; infinite where it has none."""
    seen = block.seen
    whole = sum(
        weight * (parts[0] @ parts[1] @ parts[0].T + parts[2])
        for c, weight in block.weights.items()
        for parts in [components[c].at(theta)]
    )
    L, _, _, nu, a = components[block.centre].at(theta)
    mean = block.scale * (nu + L @ a)[seen]
    try:
        root = np.linalg.cholesky(np.asarray(whole)[np.ix_(seen, seen)])
    except np.linalg.LinAlgError:
        return mean, np.empty((0, 0)), np.inf
    half = np.linalg.inv(root)
    return mean, half.T @ half, 2.0 * float(np.log(np.diag(root)).sum())


def _value(
    components: Sequence[Component], blocks: Sequence[Block], theta: Array
) -> tuple[float, Array]:
    """Return half the deviance and its gradient."""
    p = len(components[0].values[2])
    value = 0.0
    of_covariance = np.zeros((len(components), p, p))
    of_mean = np.zeros((len(components), p))
    for block in blocks:
        mean, A, log_det = _moments(components, block, theta)
        if np.isinf(log_det):
            return np.inf, np.zeros_like(theta)
        gap = np.zeros(len(block.seen)) if block.mean is None else block.mean - mean
        spread = block.covariance + np.outer(gap, gap)
        value += 0.5 * block.n * (log_det + float(np.sum(A * spread)))
        pull = 0.5 * block.n * (A - A @ spread @ A)
        for c, weight in block.weights.items():
            of_covariance[c][np.ix_(block.seen, block.seen)] += weight * pull
        if block.mean is not None:
            of_mean[block.centre, block.seen] -= block.n * block.scale * (A @ gap)
    gradient = np.zeros(len(theta))
    for component, G, g in zip(components, of_covariance, of_mean, strict=True):
        L, P, _, _, a = component.at(theta)
        parts = (2.0 * G @ L @ P + np.outer(g, a), L.T @ G @ L, G, g, L.T @ g)
        for part, number in zip(parts, component.numbers, strict=True):
            np.add.at(gradient, number[number >= 0], part[number >= 0])
    return value, gradient


def _of_block(block: Block, slopes: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Return the derivatives of a block's mean and covariance."""
    covariance = sum(weight * slopes[c][1] for c, weight in block.weights.items())
    seen = block.seen
    own = np.asarray(covariance)[:, seen][:, :, seen]
    return block.scale * slopes[block.centre][0][:, seen], own


def _information(components: Sequence[Component], blocks: Sequence[Block], theta: Array) -> Array:
    k = len(theta)
    slopes = [component.slopes(theta) for component in components]
    found = np.zeros((k, k))
    for block in blocks:
        _, A, _ = _moments(components, block, theta)
        d_mean, d_covariance = _of_block(block, slopes)
        turned = (A @ d_covariance @ A).reshape(k, -1)
        found += 0.5 * block.n * turned @ d_covariance.reshape(k, -1).T
        if block.mean is not None:
            found += block.n * d_mean @ A @ d_mean.T
    return found


def _scoring_step(information: Array, gradient: Array) -> Array:
    size = np.sqrt(np.diag(information))
    if (size <= 0.0).any() or not np.isfinite(information).all():
        raise NotIdentifiedError("the data say nothing of some parameters of the factor model")
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    if values[0] < _SINGULAR * values[-1]:
        raise NotIdentifiedError("the data do not determine all parameters of the factor model")
    return np.asarray((vectors @ ((vectors.T @ (gradient / size)) / values)) / size)

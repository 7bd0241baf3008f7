"""The maximum of the likelihood: a quasi-Newton search, exact information, boundaries.

The search goes over the parameters and the coefficients together, the latter in coordinates in
which their information is 1 at the start. It ends in Newton steps on the observed information,
which is computed from differences of exact derivatives, with all points in one call.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from alliance_stats.engine.lag_criterion import LagProblem, evaluate, information_on_means, subset
from alliance_stats.engine.lag_parameters import LagParameters
from alliance_stats.estimates import Array, Booleans, one_line

__all__ = ["LagFit", "fit_lags", "held_rise"]


# The search stops where it expects to gain no more than this of log-likelihood.
GAIN = 1e-9
# Newton steps follow until they would move nothing by more than this part of its standard error.
STEP = 1e-7
# A column of a factor is taken for zero below this part of its outcome's SD.
ZERO = 2e-4
# What may be lost of log-likelihood by setting such a column to exactly zero.
LOST = 1e-5
# What stands at zero starts from here where it is let go: from zero no search can leave.
LET_GO = 0.05
# Half-width of the differences, in units of a parameter of standardised ratings.
WIDTH = 1e-4
# Smallest eigenvalue of the information, in units in which each parameter's own is 1, of a fit
# whose parameters can be told apart.
IDENTIFIED = 1e-7
# So many persons say well enough how the coefficients' information lies before a search.
ENOUGH = 200
MOST_STEPS = 400


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LagFit:
    """The estimated parameters, and the likelihood around them.

    Attributes
    ----------
    theta, coefficients
        Parameters (P,) and fixed effects (G, M, K).
    log_lik
        The log-likelihood there.
    free
        Which parameters were estimated: not held, nor at a boundary: (P,).
    at_zero
        Which parameters are in a column of a factor that is zero: (P,).
    information
        Observed information of the free parameters and the coefficients.
    slope
        Largest derivative, in standard errors of its parameter.
    n_evaluations
        Number of evaluations of the likelihood.
    lowest
        Smallest eigenvalue of the information, where each parameter's own is 1.
    """

    theta: Array
    coefficients: Array
    log_lik: float
    free: Booleans
    at_zero: Booleans
    information: Array
    slope: float
    n_evaluations: int
    lowest: float

    __repr__ = one_line

    @property
    def converged(self) -> bool:
        """Whether the likelihood is flat where the search stopped."""
        return self.slope < 1e-3

    @property
    def identified(self) -> bool:
        """Whether the information identifies all parameters."""
        return self.lowest > IDENTIFIED

    def vcov(self) -> Array:
        """Return the covariance of parameters (P, P); zeros where not free."""
        n = int(self.free.sum())
        out = np.zeros((len(self.theta), len(self.theta)))
        if self.identified:
            out[np.ix_(self.free, self.free)] = linalg.inv(self.information)[:n, :n]
        else:
            out[np.ix_(self.free, self.free)] = np.nan
        return out

    def covariance_holding(self, position: int, at_zero: float) -> Array | None:
        """Return the covariance of all but one parameter, and of the coefficients; None if unknown.

        Parameters at zero enter separately, with an SD of `at_zero`.
        """
        n, size = int(self.free.sum()), len(self.information)
        whole = np.r_[np.flatnonzero(self.free), len(self.free) + np.arange(size - n)]
        kept = whole != position
        if not self.identified or kept.all():
            return None
        out = np.diag(np.r_[self.at_zero * at_zero**2, np.zeros(size - n)])
        where = whole[kept]
        out[np.ix_(where, where)] = linalg.inv(self.information[np.ix_(kept, kept)])
        found = np.diag(out) > 0.0
        return np.asarray(out[np.ix_(found, found)])

    def vcov_of_coefficients(self) -> Array:
        """Return the covariance of the coefficients, in the order group, effect, outcome.

        Where they are tied: of those that they are tied to.
        """
        n = int(self.free.sum())
        if not self.identified:
            size = len(self.information) - n
            return np.full((size, size), np.nan)
        return np.asarray(linalg.inv(self.information)[n:, n:])


def fit_lags(
    problem: LagProblem,
    parameters: LagParameters,
    *,
    theta: Array,
    coefficients: Array,
    free: Booleans | None = None,
) -> LagFit:
    """Maximise the likelihood from a start.

    Parameters
    ----------
    theta, coefficients
        Starting values; parameters that are not `free` keep theirs.
    free
        Which parameters to estimate; all by default.
    """
    at_zero = np.zeros(parameters.size, bool)
    wanted = np.ones(parameters.size, bool) if free is None else free
    count = 0
    while True:
        search = _Search(problem, parameters, theta, wanted & ~at_zero, coefficients)
        theta, coefficients, log_lik = search.run()
        count += search.n_evaluations
        more = _zero_columns(parameters, theta, wanted & ~at_zero)
        if not more.any():
            break
        dropped = np.where(more, 0.0, theta)
        at = evaluate(problem, parameters, dropped[None], coefficients[None])
        if not log_lik - float(at.log_lik[0]) < LOST:
            break
        theta, at_zero = dropped, at_zero | more
    return _polished(
        problem,
        parameters,
        theta,
        coefficients,
        free=wanted & ~at_zero,
        at_zero=at_zero,
        count=count,
    )


def held_rise(
    problem: LagProblem, parameters: LagParameters, fit: LagFit, position: int
) -> Callable[[float], float]:
    """Return the rise in deviance over a fit's by the value at which one parameter is held.

    Parameters at zero in the fit are freed again, as they need not be zero elsewhere. Searches
    start where the last one ended, with the curvature from the fit.
    """
    free = fit.free | fit.at_zero
    free[position] = False
    last, known = [fit.theta, fit.coefficients], {float(fit.theta[position]): 0.0}

    def rise(value: float) -> float:
        if value not in known:
            theta = np.where(fit.at_zero & (np.abs(last[0]) < LET_GO), LET_GO, last[0])
            theta[position] = value
            search = _Search(problem, parameters, theta, free, last[1])
            *last[:], log_lik = search.run(fit.covariance_holding(position, LET_GO))
            known[value] = max(2.0 * (fit.log_lik - log_lik), 0.0)
        return known[value]

    return rise


def _zero_columns(parameters: LagParameters, theta: Array, free: Booleans) -> Booleans:
    """Mark parameters in columns of factors that have gone to zero.

    The within-person process may lose a dimension only where ratings have measurement errors:
    without, a session's ratings would determine one another (at the first session: unless they
    follow the random intercepts).
    """
    out = np.zeros(parameters.size, bool)
    factors = [*parameters.person, *parameters.above]
    if parameters.with_error or parameters.least.any():
        factors += [] if parameters.stationary else list(parameters.first)
    if parameters.with_error:
        factors += [factor for group in parameters.innovation for factor in group]
    for index in factors:
        for j in range(index.shape[1]):
            own = index[:, j][index[:, j] >= 0]
            if len(own) and free[own].any() and np.abs(theta[own]).max() < ZERO:
                out[own] = free[own]
            elif len(own) and free[own[0]] and abs(theta[own[0]]) < ZERO:
                # a diagonal at zero: what stands below it can as well stand in a later column
                out[own[:1]] = True
    for error in parameters.error.ravel():
        if error >= 0 and free[error] and abs(theta[error]) < ZERO:
            out[error] = True
    return out


class _Search:
    """BFGS over free parameters and coefficients, by exact derivatives."""

    def __init__(
        self,
        problem: LagProblem,
        parameters: LagParameters,
        theta: Array,
        free: Booleans,
        coefficients: Array,
    ) -> None:
        self.problem, self.parameters = problem, parameters
        self.theta, self.free, self.coefficients = theta, free, coefficients
        self.n_evaluations = 0
        self.unit = np.sqrt(problem.n_seen)
        self.n = int(free.sum())
        self.size = 0 if problem.reml else len(problem.fold(coefficients.ravel()))
        if self.size:
            n = sum(ratings.n_persons for ratings in problem.groups)
            some = np.arange(n) % max(n // ENOUGH, 1) == 0
            part = problem if some.all() else subset(problem, some)
            XX, _ = information_on_means(part, parameters, theta[None], coefficients[None])
            XX[np.diag_indices_from(XX)] *= 1.0 + 1e-6  # some may not show all columns apart
            self.half = linalg.cholesky(XX * n / some.sum(), lower=True)

    def at(self, x: Array) -> tuple[Array, Array]:
        """Return theta and coefficients at the search's coordinates."""
        theta = self.theta.copy()
        theta[self.free] += x[: self.n] / self.unit
        coefficients = self.coefficients
        if self.size:
            move = linalg.solve_triangular(self.half.T, x[self.n :])
            coefficients = coefficients + self.problem.unfold(move).reshape(coefficients.shape)
        return theta, coefficients

    def value(self, x: Array) -> tuple[float, Array]:
        """Return minus the log-likelihood and its derivatives; infinite where undefined."""
        self.n_evaluations += 1
        theta, coefficients = self.at(x)
        with np.errstate(all="ignore"):  # a step too long is answered by infinity, and shortened
            found = evaluate(self.problem, self.parameters, theta[None], coefficients[None])
        value = -float(found.log_lik[0])
        g = -found.theta[0][self.free] / self.unit
        if self.size:
            slope = -self.problem.fold(found.coefficients[0].ravel())
            pulled = linalg.solve_triangular(self.half, slope, lower=True, check_finite=False)
            g = np.concatenate([g, pulled])
        if not (np.isfinite(value) and np.isfinite(g).all()):
            return np.inf, g
        return value, g

    def run(self, covariance: Array | None = None) -> tuple[Array, Array, float]:
        """Search, and return theta, coefficients and the log-likelihood.

        Parameters
        ----------
        covariance
            Known curvature: covariance of free parameters and coefficients.
        """
        x = np.zeros(self.n + self.size)
        value, g = self.value(x)
        H = np.eye(len(x))
        if covariance is not None:
            J = linalg.block_diag(np.eye(self.n) * self.unit, self.half.T if self.size else [])
            H = J @ covariance @ J.T
        known = covariance is not None
        for step in range(MOST_STEPS):
            direction = -H @ g
            expected = -float(g @ direction)
            if expected < GAIN:
                break
            x_new, value_new, g_new = self._line(x, value, g, direction)
            s, y = x_new - x, g_new - g
            curvature = float(s @ y)
            if not value_new < value:
                if step == 0 or np.array_equal(H, np.eye(len(x))):
                    break
                H = np.eye(len(x))
                continue
            if curvature > 1e-12 * float(np.sqrt((s @ s) * (y @ y))):
                if step == 0 and not known:
                    H[: self.n, : self.n] *= curvature / float(y @ y)
                Hy = H @ y
                H += (1.0 + (y @ Hy) / curvature) * np.outer(s, s) / curvature
                H -= (np.outer(Hy, s) + np.outer(s, Hy)) / curvature
            x, value, g = x_new, value_new, g_new
        theta, coefficients = self.at(x)
        return theta, coefficients, -value

    def _line(
        self, x: Array, value: float, g: Array, direction: Array
    ) -> tuple[Array, float, Array]:
        """Shorten the step until the likelihood rises enough for it."""
        slope = float(g @ direction)
        length = 1.0
        most = np.abs(direction[: self.n]).max(initial=0.0) / self.unit
        if most > 0.5:  # no parameter of standardised ratings moves by more than half at once
            length = 0.5 / most
        for _ in range(30):
            x_new = x + length * direction
            value_new, g_new = self.value(x_new)
            if value_new <= value + 1e-4 * length * slope:
                return x_new, value_new, g_new
            if np.isfinite(value_new):
                best = -slope * length**2 / (2.0 * (value_new - value - slope * length))
                length = min(max(best, 0.1 * length), 0.5 * length)
            else:
                length *= 0.2
        return x, value, g


def _polished(
    problem: LagProblem,
    parameters: LagParameters,
    theta: Array,
    coefficients: Array,
    *,
    free: Booleans,
    at_zero: Booleans,
    count: int,
) -> LagFit:
    """Take Newton steps on the observed information until nothing moves."""
    n = int(free.sum())
    for _ in range(6):
        information, g, log_lik = _observed_information(
            problem, parameters, theta, coefficients, free
        )
        count += 2 * n + 1
        if not np.isfinite(information).all():  # the fit stands at the edge of what is defined
            lowest, slope = -1.0, np.inf
            break
        scale = np.sqrt(np.maximum(np.diag(information), 1e-12))
        scaled = information / np.outer(scale, scale)
        lowest = float(linalg.eigvalsh(scaled)[0]) if len(scale) else 1.0
        if lowest <= 0.0 or not len(scale):
            slope = float(np.abs(g / scale).max(initial=0.0))
            break
        move = linalg.solve(scaled, g / scale, assume_a="pos") / scale
        slope = float(np.sqrt(max(g @ move, 0.0)))
        if slope < STEP:
            break
        moved = theta.copy()
        moved[free] += move[:n]
        shifted = coefficients
        if not problem.reml:
            shifted = coefficients + problem.unfold(move[n:]).reshape(coefficients.shape)
        with np.errstate(all="ignore"):
            at = evaluate(problem, parameters, moved[None], shifted[None])
        if not float(at.log_lik[0]) >= log_lik - 1e-9 * abs(log_lik):
            break
        theta, coefficients, log_lik = moved, shifted, float(at.log_lik[0])
        if slope < 3e-4:  # the next error is about its square, and the information stays
            slope = slope**2
            break
    if problem.reml:  # where coefficients and covariances know nothing of one another
        XX, Xr = information_on_means(problem, parameters, theta[None], coefficients[None])
        move = problem.unfold(linalg.solve(XX, Xr))
        coefficients = coefficients + move.reshape(coefficients.shape)
        information = linalg.block_diag(information, XX)
    return LagFit(theta, coefficients, log_lik, free, at_zero, information, slope, count, lowest)


def _observed_information(
    problem: LagProblem,
    parameters: LagParameters,
    theta: Array,
    coefficients: Array,
    free: Booleans,
) -> tuple[Array, Array, float]:
    """Return minus the second derivatives, the first ones, and the log-likelihood at a point.

    Free parameters come first, coefficients last (none under the restricted likelihood).
    """
    where = np.flatnonzero(free)
    n = len(where)
    points = np.repeat(theta[None], 2 * n + 1, axis=0)
    points[np.arange(n), where] += WIDTH
    points[n + np.arange(n), where] -= WIDTH
    with np.errstate(all="ignore"):  # a point beyond the edge is answered by NaN
        at = evaluate(problem, parameters, points, np.repeat(coefficients[None], 2 * n + 1, axis=0))
    slopes = problem.fold(at.coefficients.reshape(2 * n + 1, -1))
    size = 0 if problem.reml else slopes.shape[1]
    g = np.concatenate([at.theta[:, where], slopes[:, :size]], axis=1)
    rows = -(g[:n] - g[n : 2 * n]) / (2.0 * WIDTH)
    out = np.zeros((n + size, n + size))
    out[:n, :n] = 0.5 * (rows[:, :n] + rows[:, :n].T)
    if size:
        out[:n, n:] = rows[:, n:]
        out[n:, :n] = rows[:, n:].T
        out[n:, n:], _ = information_on_means(problem, parameters, theta[None], coefficients[None])
    return out, g[2 * n], float(at.log_lik[2 * n])

"""A model's options; from a vector of parameters to its matrices, and derivatives back to it.

Covariances are held as Cholesky factors with elements that may take any sign, so that the search
can pass through a variance of zero. Positions of parameters are stored in arrays (-1: not a
parameter, 0), so that the same code serves lags equal over sessions, equal across groups, or
unrestricted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alliance_stats.engine.lag_filter import LagGradient, Residual
from alliance_stats.estimates import Array, Booleans, Integers

__all__ = ["LagOptions", "LagParameters", "lag_parameters", "stationary_covariance"]


# First deviations that follow the random intercepts may have nothing else to them: a variance that
# reaches zero. The filter divides by it, so this part of an outcome's variance stays.
LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class LagOptions:
    """The options of a model.

    Attributes
    ----------
    means
        ``"session"`` (a mean for each), ``"linear"``, or ``"none"`` (covariates alone).
    trends
        ``None`` or ``"linear"``: whether slopes vary between persons.
    start
        ``"free"``, ``"stationary"`` or ``"correlated"``.
    lags
        ``"equal"`` over sessions or ``"free"``.
    groups_equal
        Whether lagged effects are the same in each group.
    lagged
        Whether there are lagged effects.
    persons
        Whether persons have random effects, in addition to session-specific ones.
    errors
        For each outcome the error's variance, or None to estimate it.
    zero
        Lagged effects (outcome, predictor) that are held at 0.
    reml
        Restricted likelihood; only without lagged effects.
    tied
        For each coefficient, in the order effect, outcome, its number, or -1 if it is held at 0; by
        default all are distinct. Outcomes then share one unit.
    alike, shared
        Whether outcomes are indistinguishable within persons, and whether effects of levels above
        are the same for all outcomes (which then share one unit).
    uncorrelated
        Where outcomes are uncorrelated: 0 within persons, 1 at the first level above, ...
    """

    means: str = "session"
    trends: str | None = None
    start: str = "free"
    lags: str = "equal"
    groups_equal: bool = False
    lagged: bool = True
    persons: bool = True
    errors: tuple[float | None, ...] = ()
    zero: tuple[tuple[int, int], ...] = ()
    reml: bool = False
    tied: tuple[int, ...] = ()
    alike: bool = False
    shared: bool = False
    uncorrelated: tuple[int, ...] = ()

    @property
    def one_unit(self) -> bool:
        """Whether all outcomes are divided by the same SD."""
        return bool(self.tied) or self.alike or self.shared


@dataclass(frozen=True, slots=True, eq=False)
class LagParameters:
    """Positions in theta of each element of each matrix.

    Attributes
    ----------
    phi
        Lagged effects by group and later session: (G, T - 1, K, K).
    innovation
        Factor of the covariance of the innovations: (G, T - 1, K, K).
    first
        Factor of the covariance at the first session (all -1: stationary): (G, K, K).
    pull
        First deviations per unit of the random intercepts: (G, K, K).
    error
        SDs of the ratings' errors: (G, K).
    person
        Factor of the covariance of persons' effects: (G, q, q).
    above
        The same for the levels above, which groups share: (m, m) each.
    stationary
        Whether the first session has the covariance that later ones tend to.
    size
        Number of parameters.
    fixed_error
        Error variances that are known: (G, K), 0 where there is none or it is a parameter.
    unlagged
        Whether there are no lagged effects and the first session is like the later ones.
    least
        Variances of the first deviations in addition to their factor's: (K,).
    """

    phi: Integers
    innovation: Integers
    first: Integers
    pull: Integers
    error: Integers
    person: Integers
    above: tuple[Integers, ...]
    stationary: bool
    size: int
    fixed_error: Array
    least: Array
    unlagged: bool = False

    @property
    def n_groups(self) -> int:
        """Number of groups with separate parameters."""
        return int(self.phi.shape[0])

    def residual(self, theta: Array, g: int) -> Residual:
        """Return the parameters of group `g`'s residual at (R, size) parameter points."""
        R = theta.shape[0]
        phi = take(theta, self.phi[g])
        innovation = squares(take(theta, self.innovation[g]))
        if self.stationary:
            first = stationary_covariance(phi[:, 0], innovation[:, 0])
        else:
            first = squares(take(theta, self.first[g])) + np.diag(self.least)
        error = take(theta, self.error[g]) ** 2 + self.fixed_error[g]
        return Residual(phi, innovation, first, take(theta, self.pull[g]), error.reshape(R, -1))

    def in_units(self, sd: Array) -> "LagParameters":
        """Return the same for ratings multiplied with (K,) `sd`."""
        return replace(self, fixed_error=self.fixed_error * sd**2, least=self.least * sd**2)

    @property
    def with_error(self) -> bool:
        """Whether the ratings of every outcome have measurement error."""
        return bool(((self.error >= 0) | (self.fixed_error > 0.0)).all())

    def pull_back(
        self,
        theta: Array,
        gradients: Sequence[LagGradient],
        person: Sequence[Array],
        above: Sequence[Array],
    ) -> Array:
        """Return derivatives by theta (R, size) from those by the matrices.

        Parameters
        ----------
        gradients, person
            One per group; the derivatives by persons' covariance (R, q, q).
        above
            One per level: derivatives by the covariance (R, m, m).
        """
        out = np.zeros((self.size + 1, theta.shape[0]))
        for g, gradient in enumerate(gradients):
            d_phi, d_innovation = gradient.phi.copy(), gradient.innovation.copy()
            if self.stationary:
                phi = take(theta, self.phi[g])[:, 0]
                first = self.residual(theta, g).first
                X = _lyapunov(np.swapaxes(phi, 1, 2), gradient.first)
                d_phi[:, 0] += 2.0 * X @ phi @ first
                d_innovation[:, 0] += X
            else:
                factor = take(theta, self.first[g])
                add(out, self.first[g], 2.0 * gradient.first @ factor)
            add(out, self.phi[g], d_phi)
            add(out, self.innovation[g], 2.0 * d_innovation @ take(theta, self.innovation[g]))
            add(out, self.pull[g], gradient.pull)
            add(out, self.error[g], 2.0 * gradient.error * take(theta, self.error[g]))
            add(out, self.person[g], 2.0 * person[g] @ take(theta, self.person[g]))
        for index, gradient_above in zip(self.above, above, strict=True):
            add(out, index, 2.0 * gradient_above @ take(theta, index))
        return np.asarray(out[:-1].T)


def take(theta: Array, index: Integers) -> Array:
    """Return (R, ...) elements of theta (R, size) at `index`, 0 where it is -1."""
    padded = np.concatenate([theta, np.zeros((len(theta), 1))], axis=1)
    return np.asarray(padded[:, index])


def add(out: Array, index: Integers, values: Array) -> None:
    """Add (R, ...) `values` to the rows of `out` (size + 1, R) at `index`; -1 goes to the last."""
    np.add.at(out, index.ravel(), values.reshape(len(values), -1).T)


def squares(factor: Array) -> Array:
    """Return ``L L'`` of the last two axes."""
    return np.asarray(factor @ np.swapaxes(factor, -1, -2))


def _lyapunov(A: Array, Q: Array) -> Array:
    """Solve ``X = A X A' + Q`` for each of R pairs of (K, K) matrices."""
    R, K, _ = A.shape
    kronecker = np.einsum("rij,rkl->rikjl", A, A).reshape(R, K * K, K * K)
    solved = np.linalg.solve(np.eye(K * K) - kronecker, Q.reshape(R, K * K, 1))
    return np.asarray(solved.reshape(R, K, K))


def stationary_covariance(phi: Array, innovation: Array) -> Array:
    """Return the covariance that ``w = phi w + e`` tends to, (R, K, K); NaN where there is none."""
    radius = np.abs(np.linalg.eigvals(phi)).max(axis=-1)
    tame = np.where((radius < 1.0)[:, None, None], phi, 0.0)
    found = _lyapunov(tame, innovation)
    found[radius >= 1.0] = np.nan
    return found


class _Counter:
    """Hands out positions in theta."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, shape: tuple[int, ...], where: Booleans) -> Integers:
        """Return new positions where `where` is true, -1 elsewhere."""
        index = np.full(shape, -1, dtype=np.int64)
        count = int(where.sum())
        index[where] = self.n + np.arange(count)
        self.n += count
        return index


def lag_parameters(
    options: LagOptions, *, n_groups: int, n_sessions: int, n_outcomes: int, n_above: int = 0
) -> LagParameters:
    """Lay the parameters out: of a model with these options, and so many levels above persons.

    Persons have an effect on each outcome, and with trends a slope; without lagged effects all
    sessions have one covariance.
    """
    G, T, K = n_groups, n_sessions, n_outcomes
    new = _Counter()
    lagged, errors = options.lagged, options.errors
    follows = options.start == "correlated"
    later = max(T - 1, 1)
    lower = np.tri(K, dtype=bool)
    groups = 1 if options.groups_equal else G
    n_lag = 1 if options.lags == "equal" else T - 1
    phi = new((groups, n_lag, K, K), np.full((groups, n_lag, K, K), lagged))
    phi = np.broadcast_to(phi, (G, n_lag, K, K))
    if (
        options.alike
    ):  # a on the diagonal and b beside it: the square has one variance, one covariance
        pair = new((G, 1, 2), np.ones((G, 1, 2), bool))
        innovation = pair[..., np.where(np.eye(K, dtype=bool), 0, 1)]
    else:
        innovation = new((G, 1, K, K), np.broadcast_to(lower, (G, 1, K, K)))
    own_first = lagged and options.start != "stationary"
    first = new((G, K, K), np.broadcast_to(lower & own_first, (G, K, K)))
    if not lagged:
        first = innovation[:, 0]
    pull = new((G, K, K), np.full((G, K, K), follows))
    free = np.array([value is None for value in errors] or [False] * K)
    error = new((G, K), np.broadcast_to(free, (G, K)))
    known = np.array([value or 0.0 for value in errors] or [0.0] * K)
    q = K if options.trends is None else 2 * K
    person = new((G, q, q), np.broadcast_to(np.tri(q, dtype=bool), (G, q, q)))
    one = np.eye(1, K, dtype=bool)  # one SD, and so one effect, for all outcomes
    above = tuple(
        np.broadcast_to(new((1, K), one), (K, K)) if options.shared else new((K, K), lower)
        for _ in range(n_above)
    )
    return LagParameters(
        phi=np.ascontiguousarray(np.broadcast_to(phi, (G, later, K, K))),
        innovation=np.ascontiguousarray(np.broadcast_to(innovation, (G, later, K, K))),
        first=first,
        pull=pull,
        error=error,
        person=person,
        above=above,
        stationary=options.start == "stationary",
        size=new.n,
        fixed_error=np.broadcast_to(known, (G, K)).copy(),
        least=np.full(K, LEAST if follows else 0.0),
        unlagged=not lagged,
    )

"""The joint likelihood of outcomes and dropout with shared effects. Arrays in, arrays out.

    y = X beta + Z b + v + e
    g(h) = W gamma + sum_c alpha_c (X_c beta + Z_c b + t_c v - k_c) + w

with effects ``b = L u`` of each unit, and of each cluster ``v = tau z_1`` in the outcome and
``w = omega z_2`` in the hazard; u and z are standard normal. A way c in which the outcome affects
the hazard (:class:`Channel`) is an effect by itself, the current value, its slope, or v.

The integral over u is taken at Gauss-Hermite nodes about its mode given outcomes *and* leaving, by
the curvature there (Pinheiro & Bates 1995, doi:10.1080/10618600.1995.10474663); the integral over z
likewise, around the integrals over u of a cluster's units. Slopes are those of the log-density of
everything, averaged with the nodes' weights (Fisher's identity).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse, special

from alliance_stats.engine.binomial_families import event_parts, rate_of
from alliance_stats.estimates import Array, Integers

__all__ = ["Channel", "Parts", "Places", "Rule", "SharedData", "log_likelihood", "placed"]

Density = Callable[[Array, Array], tuple[Array, Array, Array]]

_MOST_STEPS = 40  # of Newton's method to a mode; some six are usual
_FAR = 4.0  # the longest step, in units of the effects' SDs
_NEAR = 1e-9
_ROWS_AT_ONCE = 100_000  # times nodes of a unit's effects: what is held for several values of z


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """A way in which the outcome affects the hazard: ``X beta + Z b + t v - centre``.

    Attributes
    ----------
    name
        ``"value"``, ``"slope"``, or the name of an effect.
    X, Z
        (m, p) and (m, q) columns in the rows at risk.
    cluster
        t: 1 where the cluster's effect is in it.
    centre
        Subtracted, so that the association and the hazard's constant are separated in the search.
    """

    name: str
    X: Array
    Z: Array
    cluster: float
    centre: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class SharedData:
    """What the joint likelihood needs.

    Attributes
    ----------
    y, X, Z, unit
        Outcome rows: (n,), (n, p), (n, q) and (n,) numbers of units.
    W, event, at_risk
        Rows at risk: (m, h), (m,) and (m,) numbers of units.
    link
        ``"cloglog"`` or ``"logit"``.
    channels
        How the outcome affects the hazard.
    cluster
        (units,) numbers of clusters; None where there is no such level.
    in_outcome, in_hazard
        Whether clusters have an effect there (tau, omega).
    n_units
        Units.
    """

    y: Array
    X: Array
    Z: Array
    unit: Integers
    W: Array
    event: Array
    at_risk: Integers
    link: str
    channels: tuple[Channel, ...]
    cluster: Integers | None
    in_outcome: bool
    in_hazard: bool
    n_units: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Parameters: beta, L, log sigma, tau, gamma, alpha, omega."""
        q = self.Z.shape[1]
        return (
            self.X.shape[1], q * (q + 1) // 2, 1, int(self.in_outcome), self.W.shape[1],
            len(self.channels), int(self.in_hazard),
        )  # fmt: skip

    @property
    def n_outer(self) -> int:
        """Effects of a cluster."""
        return int(self.in_outcome) + int(self.in_hazard)

    def repeated(self, copies: int) -> "SharedData":
        """Return copies of all units, one after the other, as separate units."""
        if copies == 1:
            return self
        at = self.n_units * np.arange(copies)[:, None]

        def tiled(rows: Array) -> Array:
            return np.tile(rows, (copies, *[1] * (rows.ndim - 1)))

        return replace(
            self,
            y=tiled(self.y),
            X=tiled(self.X),
            Z=tiled(self.Z),
            W=tiled(self.W),
            event=tiled(self.event),
            unit=(at + self.unit).ravel(),
            at_risk=(at + self.at_risk).ravel(),
            channels=tuple(replace(c, X=tiled(c.X), Z=tiled(c.Z)) for c in self.channels),
            n_units=self.n_units * copies,
        )

    def per_unit(self, rows: Integers) -> sparse.csr_matrix:
        """Return the matrix that sums rows over their units."""
        ones = (np.ones(len(rows)), (rows, np.arange(len(rows))))
        return sparse.csr_matrix(ones, shape=(self.n_units, len(rows)))


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The parameters by name; see :attr:`SharedData.sizes`."""

    beta: Array
    L: Array
    sigma: float
    tau: float
    gamma: Array
    alpha: Array
    omega: float

    @classmethod
    def of(cls, parameters: Array, data: SharedData) -> "Parts":
        """Take a vector of parameters apart: L's diagonal and sigma are there in logarithms."""
        ends = np.cumsum(data.sizes)
        beta, packed, log_sigma, tau, gamma, alpha, omega = np.split(parameters, ends[:-1])
        L = np.zeros((data.Z.shape[1],) * 2)
        L[np.tril_indices(len(L))] = packed
        L[np.diag_indices(len(L))] = np.exp(np.diag(L))
        return cls(
            beta, L, float(np.exp(log_sigma[0])), float(tau.sum()), gamma, alpha, float(omega.sum())
        )


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """Gauss-Hermite nodes of standard normal effects.

    Attributes
    ----------
    points
        (effects, points) places.
    log_weights
        (points,) logarithms of the weights times ``exp(x'x / 2)``: the density is in the integrand.
    """

    points: Array
    log_weights: Array

    @classmethod
    def of(cls, nodes: int, effects: int) -> "Rule":
        """Return the product of `effects` rules with the given number of nodes."""
        x, weight = np.polynomial.hermite_e.hermegauss(nodes)
        own = np.log(weight / weight.sum()) + 0.5 * x**2
        which = np.indices((nodes,) * effects).reshape(effects, nodes**effects)
        return cls(x[which], own[which].sum(axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the nodes of each cluster's effects lie: (clusters, d) and (clusters, d, d)."""

    centre: Array
    root: Array


def _cloglog(eta: Array, event: Array) -> tuple[Array, Array, Array]:
    """Return log-density, its slope, and minus its curvature; most rows have no event."""
    rate, hit = rate_of(eta), np.flatnonzero(event == 1.0)
    log_density, slope, weight = -rate, -rate, rate
    at = rate[hit]
    q, excess = event_parts(at)
    with np.errstate(divide="ignore"):
        log_density[hit] = np.log(-np.expm1(-at))
    slope[hit], weight[hit] = q, q * excess
    return log_density, slope, weight


def _logit(eta: Array, event: Array) -> tuple[Array, Array, Array]:
    p = special.expit(eta)
    return special.log_expit(np.where(event == 1.0, eta, -eta)), event - p, p * special.expit(-eta)


_DENSITIES: dict[str, Density] = {"cloglog": _cloglog, "logit": _logit}


class _Units:
    """What stays fixed while the cluster's effects vary."""

    def __init__(self, parts: Parts, data: SharedData, rule: Rule) -> None:
        self.parts, self.data, self.rule = parts, data, rule
        self.density = _DENSITIES[data.link]
        self.over_y, self.over_risk = data.per_unit(data.unit), data.per_unit(data.at_risk)
        self.residual = data.y - data.X @ parts.beta
        self.ZL = data.Z @ parts.L
        q = data.Z.shape[1]
        self.products = _unit_products(self.over_y, self.ZL, self.ZL) / parts.sigma**2
        self.A = self.products + np.eye(q)
        self.count = np.bincount(data.unit, minlength=data.n_units)
        along = [
            alpha * channel.Z for alpha, channel in zip(parts.alpha, data.channels, strict=True)
        ]
        self.along = np.sum(along, axis=0) if along else np.zeros((len(data.W), q))
        self.pull = self.along @ parts.L
        self.lift = float(
            sum(a * c.cluster for a, c in zip(parts.alpha, data.channels, strict=True))
        )
        self.fixed = [c.X @ parts.beta - c.centre for c in data.channels]

    def at(self, v: Array, w: Array) -> tuple[Array, Array, Array, Array]:
        """Return for each unit: log-likelihood, scores (units, p), and the slopes in v and w."""
        data, parts = self.data, self.parts
        s2, unit, at_risk = parts.sigma**2, data.unit, data.at_risk
        r = self.residual - v[unit]
        c = self.over_y @ (self.ZL * r[:, None]) / s2
        centre = np.linalg.solve(self.A, c[:, :, None])[:, :, 0]
        square = self.over_y @ r**2 / s2
        log_det = np.linalg.slogdet(self.A)[1]
        log_y = -0.5 * (
            self.count * np.log(2 * np.pi * s2) + log_det + square - (c * centre).sum(axis=1)
        )
        base = data.W @ parts.gamma + self.lift * v[at_risk] + w[at_risk]
        for alpha, fixed in zip(parts.alpha, self.fixed, strict=True):
            base = base + alpha * fixed
        mode, root = self._modes(centre, base)
        apart = np.einsum("iab,bj->iaj", np.linalg.inv(root).transpose(0, 2, 1), self.rule.points)
        u = mode[:, :, None] + apart
        here = u[at_risk]
        log_p, slope, _ = self.density(
            base[:, None] + np.einsum("mq,mqj->mj", self.pull, here), data.event[:, None]
        )
        off = u - centre[:, :, None]
        exponent = self.over_risk @ log_p + self.rule.log_weights
        exponent -= 0.5 * np.einsum("iaj,iab,ibj->ij", off, self.A, off)
        top = exponent.max(axis=1)
        share = np.exp(exponent - top[:, None])
        total = share.sum(axis=1)
        share /= total[:, None]
        total = top + np.log(total)
        log_diagonal = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        weighted = share[at_risk] * slope
        scores, in_v, in_w = self._scores(
            (r, square, v),
            np.einsum("ij,iaj->ia", share, u),
            np.einsum("ij,iaj,ibj->iab", share, u, u),
            weighted.sum(axis=1),
            np.einsum("mj,mqj->mq", weighted, here),
        )
        log_lik = np.asarray(log_y + total + 0.5 * log_det - log_diagonal, dtype=np.float64)
        return log_lik, scores, in_v, in_w

    def _modes(self, centre: Array, base: Array) -> tuple[Array, Array]:
        """Return the mode of each unit's integrand, and the root of its curvature there."""
        u = centre.copy()
        for _ in range(_MOST_STEPS):
            _, slope, weight = self.density(
                base + (self.pull * u[self.data.at_risk]).sum(axis=1), self.data.event
            )
            g = self.over_risk @ (self.pull * slope[:, None])
            g -= np.einsum("iab,ib->ia", self.A, u - centre)
            H = self.A + _unit_products(self.over_risk, self.pull * weight[:, None], self.pull)
            step = np.linalg.solve(H, g[:, :, None])[:, :, 0]
            length = np.linalg.norm(step, axis=1, keepdims=True)
            u = u + step * np.minimum(1.0, _FAR / np.maximum(length, _FAR))
            if length.size == 0 or length.max() < _NEAR:
                break
        return u, np.asarray(np.linalg.cholesky(H), dtype=np.float64)

    def _scores(
        self, rows: tuple[Array, Array, Array], mean: Array, square: Array, s: Array, su: Array
    ) -> tuple[Array, Array, Array]:
        """Average the slopes of the log-density of everything over the effects.

        Means of u and uu' per unit; of the hazard's slope s and of s u per row at risk.
        """
        data, parts, over_y, over_risk = self.data, self.parts, self.over_y, self.over_risk
        r, r2, v = rows
        s2, q = parts.sigma**2, len(parts.L)
        e = r - (self.ZL * mean[data.unit]).sum(axis=1)
        of_beta = over_y @ (data.X * e[:, None]) / s2
        of_alpha = np.empty((data.n_units, len(data.channels)))
        for k, (channel, fixed) in enumerate(zip(data.channels, self.fixed, strict=True)):
            of_beta += over_risk @ (parts.alpha[k] * channel.X * s[:, None])
            value = s * (fixed + channel.cluster * v[data.at_risk])
            of_alpha[:, k] = over_risk @ (value + ((channel.Z @ parts.L) * su).sum(axis=1))
        Zr = over_y @ (data.Z * r[:, None])
        ZZL = _unit_products(over_y, data.Z, self.ZL)
        of_L = (np.einsum("ia,ib->iab", Zr, mean) - ZZL @ square) / s2
        of_L += _unit_products(over_risk, self.along, su)
        of_L[:, range(q), range(q)] *= np.diag(parts.L)
        rows_of, columns_of = np.tril_indices(q)
        crossed = (over_y @ (self.ZL * r[:, None]) * mean).sum(axis=1) / s2
        of_sigma = r2 - 2.0 * crossed + (self.products * square).sum(axis=(1, 2)) - self.count
        in_w = over_risk @ s
        in_v = over_y @ e / s2 + self.lift * in_w
        zero = np.zeros((data.n_units, 1))
        scores = [
            of_beta, of_L[:, rows_of, columns_of], of_sigma[:, None], zero[:, : data.in_outcome],
            over_risk @ (data.W * s[:, None]), of_alpha, zero[:, : data.in_hazard],
        ]  # fmt: skip
        return np.hstack(scores), in_v, in_w


def _unit_products(over: sparse.csr_matrix, left: Array, right: Array) -> Array:
    """Sum ``left right'`` over each unit's rows: (units, a, b)."""
    a, b = left.shape[1], right.shape[1]
    flat = (left[:, :, None] * right[:, None, :]).reshape(len(left), a * b)
    return np.asarray(over @ flat).reshape(-1, a, b)


def log_likelihood(
    parameters: Array, data: SharedData, rules: tuple[Rule, Rule], places: Places | None
) -> tuple[Array, Array]:
    """Return the log-likelihood and the scores, one row per independent unit.

    Parameters
    ----------
    parameters
        See :attr:`SharedData.sizes`.
    data
        The arrays.
    rules
        Nodes of a unit's effects, and of a cluster's.
    places
        Where a cluster's nodes lie, from :func:`placed`; None without such a level.

    Returns
    -------
    log_lik, scores
        (k,) and (k, parameters), of clusters, or of units where there are none.
    """
    parts, nothing = Parts.of(parameters, data), np.zeros(data.n_units)
    if data.cluster is None or places is None:
        return _Units(parts, data, rules[0]).at(nothing, nothing)[:2]
    logs, scores = [], []
    log_root = np.log(np.abs(np.linalg.det(places.root)))
    points, log_weights = rules[1].points.T, rules[1].log_weights
    several = max(1, _ROWS_AT_ONCE // ((len(data.y) + len(data.W)) * len(rules[0].log_weights)))
    for first in range(0, len(points), several):
        z = places.centre + np.einsum("kde,je->jkd", places.root, points[first : first + several])
        log_lik, score = _given(parts, data, rules[0], z)
        prior = log_weights[first : first + several, None] - 0.5 * (z**2).sum(axis=2)
        logs.append(log_lik + prior + log_root)
        scores.append(score)
    all_logs, all_scores = np.concatenate(logs), np.concatenate(scores)
    total = special.logsumexp(all_logs, axis=0)
    return np.asarray(total), np.einsum("jk,jkp->kp", np.exp(all_logs - total), all_scores)


def _given(parts: Parts, data: SharedData, rule: Rule, z: Array) -> tuple[Array, Array]:
    """Return (j, k) log-likelihoods and (j, k, p) scores of clusters given j values of effects."""
    assert data.cluster is not None  # those without have no z
    copies, n, own = len(z), data.n_units, data.cluster
    of_v = z[:, own, 0].ravel() if data.in_outcome else np.zeros(copies * n)
    of_w = z[:, own, -1].ravel() if data.in_hazard else np.zeros(copies * n)
    units = _Units(parts, data.repeated(copies), rule)
    log_lik, score, in_v, in_w = units.at(parts.tau * of_v, parts.omega * of_w)
    ends = np.cumsum(data.sizes)
    if data.in_outcome:
        score[:, ends[3] - 1] = in_v * of_v
    if data.in_hazard:
        score[:, -1] = in_w * of_w
    over = sparse.csr_matrix((np.ones(n), (own, np.arange(n))), shape=(z.shape[1], n))
    return (
        np.array([over @ each for each in log_lik.reshape(copies, n)]),
        np.array([over @ each for each in score.reshape(copies, n, -1)]),
    )


def placed(parameters: Array, data: SharedData, rule: Rule) -> Places | None:
    """Return the modes of the clusters' effects and the inverse roots of the curvature there."""
    if data.cluster is None or data.n_outer == 0:
        return None
    units = _Units(Parts.of(parameters, data), data, rule)
    own, d = data.cluster, data.n_outer
    n = int(own.max()) + 1

    def slopes(z: Array) -> Array:
        of_v = z[:, 0] if data.in_outcome else np.zeros(n)
        of_w = z[:, -1] if data.in_hazard else np.zeros(n)
        tau, omega = units.parts.tau, units.parts.omega
        _, _, in_v, in_w = units.at(tau * of_v[own], omega * of_w[own])
        both = [tau * in_v] * data.in_outcome + [omega * in_w] * data.in_hazard
        return np.stack([np.bincount(own, slope, minlength=n) for slope in both], axis=1) - z

    z, step = np.zeros((n, d)), 1e-4
    for _ in range(_MOST_STEPS):
        g = slopes(z)
        columns = [(slopes(z + step * e) - slopes(z - step * e)) / (2 * step) for e in np.eye(d)]
        H = -np.stack(columns, axis=2)
        H = (H + H.transpose(0, 2, 1)) / 2.0
        move = np.linalg.solve(H, g[:, :, None])[:, :, 0]
        z = z + np.clip(move, -_FAR, _FAR)
        if np.abs(move).max() < 1e-4:
            break
    return Places(z, np.linalg.inv(np.linalg.cholesky(H)).transpose(0, 2, 1))

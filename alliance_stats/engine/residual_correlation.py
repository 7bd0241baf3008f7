"""Correlation of residuals within a unit: decaying with distance, or by visits of a trial.

Both transform rows to independence. For serial correlation ``phi^|t - t'|`` the prediction from the
preceding row is subtracted. By visits every unit's rows have the correlation ``C[v, v']`` of their
visits: it is factored once for each pattern of visits that occurs, however many units share it.
Parameters are unconstrained whatever the constraints on ``C``: an unstructured C is ``M M'`` scaled
to a unit diagonal, with M unit lower triangular; Toeplitz correlations are those of partial
autocorrelations ``tanh(eta)`` (Barndorff-Nielsen & Schou 1973, doi:10.1016/0047-259X(73)90030-4);
one common correlation lies above ``-1 / (T - 1)`` for T rows in the largest unit.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import linalg

from alliance_stats.estimates import Array, Integers

__all__ = ["Correlation", "Pattern", "Serial", "Visits", "patterns_of"]

Kind = Literal["unstructured", "toeplitz", "common"]

# Correlation at which the search for phi starts.
START_PHI = 0.2
# Correlation, of those that cannot be 0, at which rows are all but independent.
NO_PHI = 1e-8
# Largest correlation of neighbours: a step of the search may go where they would be the same.
CLOSEST = 1.0 - 1e-12
# Eigenvalue below which a pairwise start is no correlation matrix yet.
LEAST_EIGENVALUE = 0.05
# Step of the central differences of C, whose entries are of the order of 1: error about 1e-10.
STEP = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Serial:
    """Correlation ``phi^|t - t'|`` within a unit.

    Attributes
    ----------
    name
        Its name, ``"AR1(session)"``.
    signed
        Whether it can be negative.
    units, times
        Unit and time of each row.
    before
        Position of the row before in the same unit, -1 for the first.
    step
        The caller's time units in one unit of `times`: the search for phi needs rows that are about
        1 apart.
    """

    name: str
    signed: bool
    units: Integers
    times: Array
    before: Integers
    step: float = 1.0

    @property
    def n_eta(self) -> int:
        """Number of parameters."""
        return 1

    def start(self, residual: Array) -> Array:  # noqa: ARG002  (as by visits)
        """Return where the search starts: a small correlation."""
        return np.array([self._eta(START_PHI)])

    @property
    def independent(self) -> float:
        """The parameter at which rows are all but independent."""
        return self._eta(0.0 if self.signed else NO_PHI)

    def _eta(self, phi: float) -> float:
        return float(np.arctanh(phi) if self.signed else np.log(phi / (1.0 - phi)))

    def phi(self, eta: Array) -> float:
        """Return the correlation at distance 1."""
        return float(np.tanh(eta[0]) if self.signed else 1.0 / (1.0 + np.exp(-eta[0])))

    def described(self, eta: Array) -> list[tuple[str, float]]:
        """Return the correlation at a distance of 1 in the caller's units of time."""
        phi = self.phi(eta)
        return [(f"phi__{self.name}", float(np.sign(phi) * np.abs(phi) ** (1.0 / self.step)))]

    def log_det(self, eta: Array) -> float:
        """Return ``log|C|``."""
        return float(np.log1p(-(self._predicted(eta) ** 2)).sum())

    def whiten(self, columns: Array, eta: Array) -> Array:
        """Transform columns (m, n) to independent rows."""
        predicted = self._predicted(eta)
        # the first row of a unit has nothing before it: predicted is 0 there
        return np.asarray(
            (columns - predicted * columns[:, self.before]) / np.sqrt(1.0 - predicted**2)
        )

    def colour(self, white: Array, eta: Array) -> Array:
        """Give independent draws (n,) the correlation: the inverse of whitening."""
        coloured, predicted = np.asarray(white, dtype=np.float64).copy(), self._predicted(eta)
        for row in np.lexsort([self.times, self.units]):
            if self.before[row] >= 0:
                coloured[row] = (
                    predicted[row] * coloured[self.before[row]]
                    + np.sqrt(1.0 - predicted[row] ** 2) * white[row]
                )
        return coloured

    def matrix(self, own: npt.NDArray[np.intp], eta: Array) -> Array:
        """Return C of some rows, dense."""
        same = self.units[own][:, None] == self.units[own][None]
        distance = np.abs(self.times[own][:, None] - self.times[own][None])
        phi = self.phi(eta)
        return np.where(same, np.sign(phi) ** distance * np.abs(phi) ** distance, 0.0)

    def at(self, rows: Integers, position: Integers) -> "Serial":
        """Return the correlation of some rows, by their new places; whole units stay together."""
        before = self.before[rows]
        return replace(
            self,
            units=self.units[rows],
            times=self.times[rows],
            before=np.where(before >= 0, position[before], -1),
        )

    def _predicted(self, eta: Array) -> Array:
        """Correlation of each row with the row before it, 0 where there is none."""
        gap = np.where(self.before >= 0, self.times - self.times[self.before], 1.0)
        phi = self.phi(eta)
        size = np.minimum(np.abs(phi) ** gap, CLOSEST)
        return np.where(self.before >= 0, np.sign(phi) ** gap * size, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """Units with the same visits.

    Attributes
    ----------
    visits
        Their visits, (t,).
    rows
        The rows of each unit in that order, (units, t).
    """

    visits: Integers
    rows: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """Correlation by the visits of a unit.

    Attributes
    ----------
    name
        Its name, ``"Unstructured(session)"``.
    kind
        ``"unstructured"``, ``"toeplitz"`` (by the distance of visits) or ``"common"``.
    labels
        Names of the visits; for ``"common"`` their numbers.
    units, visits
        Unit and visit of each row.
    patterns
        The units grouped by their visits.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    units: Integers
    visits: Integers
    patterns: tuple[Pattern, ...]

    @property
    def n_eta(self) -> int:
        """Number of parameters."""
        T = len(self.labels)
        return {"unstructured": T * (T - 1) // 2, "toeplitz": T - 1, "common": 1}[self.kind]

    def start(self, residual: Array) -> Array:
        """Return where the search starts: the residuals' own correlations, pair by pair."""
        T = len(self.labels)
        if self.kind != "unstructured":
            return np.full(self.n_eta, 0.0 if self.kind == "common" else 0.1)
        sums, counts = np.zeros((T, T)), np.zeros((T, T))
        for pattern in self.patterns:
            own, at = residual[pattern.rows], np.ix_(pattern.visits, pattern.visits)
            sums[at] += own.T @ own
            counts[at] += len(own)
        C = sums / np.maximum(counts, 1.0)
        scale = np.sqrt(np.maximum(np.diag(C), 1e-12))
        values, vectors = np.linalg.eigh(C / np.outer(scale, scale))
        L = np.linalg.cholesky((vectors * np.maximum(values, LEAST_EIGENVALUE)) @ vectors.T)
        return np.asarray((L / np.diag(L)[:, None])[np.tril_indices(T, -1)])

    def whole(self, eta: Array) -> Array:
        """Return C of all visits, (T, T)."""
        T = len(self.labels)
        if self.kind == "common":
            least = -1.0 / (T - 1)
            rho = least + (1.0 - least) / (1.0 + np.exp(-eta[0]))
            return np.asarray((1.0 - rho) * np.eye(T) + rho)
        if self.kind == "toeplitz":
            return np.asarray(linalg.toeplitz(_autocorrelations(np.tanh(eta))))
        M = np.eye(T)
        M[np.tril_indices(T, -1)] = eta
        M /= np.linalg.norm(M, axis=1, keepdims=True)
        return np.asarray(M @ M.T)

    def slopes(self, eta: Array) -> Array:
        """Return the derivatives of C by the parameters, (parameters, T, T)."""
        steps = STEP * np.eye(self.n_eta)
        return np.array([(self.whole(eta + s) - self.whole(eta - s)) / (2.0 * STEP) for s in steps])

    def entries(self) -> Array:
        """Return matrices of which the covariance of the visits is a combination, (k, T, T)."""
        T = len(self.labels)
        distance = np.abs(np.subtract.outer(np.arange(T), np.arange(T)))
        if self.kind == "common":
            return np.array([np.eye(T), (distance > 0).astype(np.float64)])
        if self.kind == "toeplitz":
            return np.array([(distance == k).astype(np.float64) for k in range(T)])
        found = np.zeros((T * (T + 1) // 2, T, T))
        for k, (i, j) in enumerate(zip(*np.tril_indices(T), strict=True)):
            found[k, i, j] = found[k, j, i] = 1.0
        return found

    def described(self, eta: Array) -> list[tuple[str, float]]:
        """Return the correlations by name."""
        C = self.whole(eta)
        if self.kind == "common":
            return [(f"rho__{self.name}", float(C[0, 1]))]
        if self.kind == "toeplitz":
            return [(f"rho__{self.name}.lag{k}", float(C[0, k])) for k in range(1, len(C))]
        return [
            (f"cor__{self.labels[j]}.{self.labels[i]}", float(C[i, j]))
            for j in range(len(C))
            for i in range(j + 1, len(C))
        ]

    def factors(self, eta: Array) -> list[Array]:
        """Return the lower Cholesky factor of each pattern's correlation."""
        C = self.whole(eta)
        return [linalg.cholesky(C[np.ix_(p.visits, p.visits)], lower=True) for p in self.patterns]

    def log_det(self, eta: Array) -> float:
        """Return ``log|C|`` of all rows."""
        return sum(
            2.0 * len(pattern.rows) * float(np.log(np.diag(L)).sum())
            for pattern, L in zip(self.patterns, self.factors(eta), strict=True)
        )

    def whiten(self, columns: Array, eta: Array) -> Array:
        """Transform columns (m, n) to independent rows."""
        return self._times(columns, [linalg.inv(L) for L in self.factors(eta)])

    def colour(self, white: Array, eta: Array) -> Array:
        """Give independent rows (n,) or (m, n) the correlation: the inverse of whitening."""
        return self._times(np.atleast_2d(white), self.factors(eta)).reshape(white.shape)

    def whiten_transposed(self, columns: Array, eta: Array) -> Array:
        """Multiply columns (m, n) by the transpose of the whitening matrix."""
        return self._times(columns, [linalg.inv(L).T for L in self.factors(eta)])

    def matrix(self, own: npt.NDArray[np.intp], eta: Array) -> Array:
        """Return C of some rows, dense."""
        same = self.units[own][:, None] == self.units[own][None]
        return np.where(same, self.whole(eta)[np.ix_(self.visits[own], self.visits[own])], 0.0)

    def at(self, rows: Integers, position: Integers) -> "Visits":  # noqa: ARG002  (as of serial ones)
        """Return the correlation of some rows; whole units stay together."""
        units, visits = self.units[rows], self.visits[rows]
        return replace(self, units=units, visits=visits, patterns=patterns_of(units, visits))

    def _times(self, columns: Array, matrices: list[Array]) -> Array:
        out = np.empty_like(columns)
        for pattern, matrix in zip(self.patterns, matrices, strict=True):
            out[:, pattern.rows] = columns[:, pattern.rows] @ matrix.T
        return out


Correlation = Serial | Visits


def patterns_of(units: Integers, visits: Integers) -> tuple[Pattern, ...]:
    """Group the units by their visits."""
    order = np.lexsort([visits, units])
    starts = np.flatnonzero(np.r_[True, units[order][1:] != units[order][:-1]])
    found: dict[bytes, list[Integers]] = {}
    for rows in np.split(order, starts[1:]):
        found.setdefault(visits[rows].tobytes(), []).append(rows)
    return tuple(Pattern(visits[rows[0]], np.array(rows)) for rows in found.values())


def _autocorrelations(partial: Array) -> Array:
    """Return the autocorrelations at lags 0, 1, ... from partial ones (Durbin's recursion)."""
    r, weights = np.ones(len(partial) + 1), np.empty(0)
    for k, own in enumerate(partial, start=1):
        predicted = float(weights @ r[1:k][::-1])
        left = 1.0 - float(weights @ r[1:k])
        r[k] = predicted + own * left
        weights = np.append(weights - own * weights[::-1], own)
    return r

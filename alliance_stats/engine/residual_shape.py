"""The residual covariance of the rows, as used by the engine.

The residual covariance is ``sigma^2 S C S`` with ``S`` the diagonal of relative SDs and ``C`` a
correlation within units (Pinheiro & Bates 2000, doi:10.1007/b98882, chapter 5). Rows are
transformed to independence with unit variance, so that the engine fits an ordinary model at every
value of the parameters ``eta``: those of the log relative SDs, then those of the correlation.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.engine.blocks import RowArrays
from alliance_stats.engine.residual_correlation import Correlation, Pattern, Visits
from alliance_stats.estimates import Array, Booleans, Integers

__all__ = ["Covariate", "ResidualShape", "Strata"]


@dataclass(frozen=True, slots=True, eq=False)
class Strata:
    """One residual SD per stratum, relative to the first.

    Attributes
    ----------
    columns
        The columns whose values, or combinations of values, are the strata.
    labels, keys
        Names of the strata, and what identifies them.
    codes
        Stratum of each row.
    """

    columns: tuple[str, ...]
    labels: pd.Index
    keys: pd.Index
    codes: Integers

    @property
    def n_eta(self) -> int:
        """Number of parameters."""
        return len(self.labels) - 1

    def start(self, residual: Array) -> Array:
        """Return the log relative SDs of some residuals."""
        squares = np.bincount(self.codes, weights=residual**2) / np.bincount(self.codes)
        logs = np.log(np.maximum(squares, squares.max() * 1e-6)) / 2.0
        return np.asarray(logs[1:] - logs[0])

    def of_each(self, eta: Array) -> Array:
        """Return the relative SD of each stratum."""
        return np.asarray(np.exp(np.concatenate([[0.0], eta])))

    def log_sd(self, eta: Array) -> Array:
        """Return the log relative SD of each row."""
        return np.concatenate([[0.0], eta])[self.codes]

    def slopes(self) -> Iterator[Array]:
        """Yield the derivative of each row's log SD by each parameter."""
        for k in range(1, len(self.labels)):
            yield (self.codes == k).astype(np.float64)

    def at(self, rows: Integers) -> "Strata":
        """Return the strata of some rows."""
        return replace(self, codes=self.codes[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Covariate:
    """A residual SD that follows a covariate: ``exp(delta z)``.

    Attributes
    ----------
    name, column
        Its name, ``"VariancePower(dose)"``, and its column.
    power
        Whether z is ``log|x|``; it is x itself otherwise.
    centre
        What was subtracted from z: sigma is the residual SD there.
    unit
        What z was divided by: the parameter is ``delta * unit``.
    z
        The centred and scaled values, (n,).
    """

    name: str
    column: str
    power: bool
    centre: float
    unit: float
    z: Array

    @property
    def n_eta(self) -> int:
        """Number of parameters."""
        return 1

    def start(self, residual: Array) -> Array:  # noqa: ARG002  (as of strata)
        """Return where the search starts: equal variances."""
        return np.zeros(1)

    def delta(self, eta: Array) -> float:
        """Return the parameter in the covariate's own units."""
        return float(eta[0] / self.unit)

    def log_sd(self, eta: Array) -> Array:
        """Return the log relative SD of each row."""
        return np.asarray(eta[0] * self.z)

    def log_sd_at(self, values: Array, eta: Array) -> Array:
        """Return the log relative SD of new values of the covariate."""
        z = np.log(np.abs(values)) if self.power else values
        return np.asarray(self.delta(eta) * (z - self.centre))

    def slopes(self) -> Iterator[Array]:
        """Yield the derivative of each row's log SD by the parameter."""
        yield self.z

    def at(self, rows: Integers) -> "Covariate":
        """Return the covariate of some rows."""
        return replace(self, z=self.z[rows])


@dataclass(frozen=True, slots=True, eq=False)
class ResidualShape:
    """The residual covariance of the rows used, as a function of ``eta``.

    Attributes
    ----------
    n
        Number of rows.
    spreads
        The components on which the SDs depend; the SD is their product if there are several.
    correlation
        Correlation within units, or None.
    """

    n: int
    spreads: tuple[Strata | Covariate, ...] = ()
    correlation: Correlation | None = None

    @property
    def n_eta(self) -> int:
        """Number of parameters."""
        own = 0 if self.correlation is None else self.correlation.n_eta
        return sum(spread.n_eta for spread in self.spreads) + own

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns on which the SDs depend."""
        found = [
            c for s in self.spreads for c in (s.columns if isinstance(s, Strata) else [s.column])
        ]
        return tuple(dict.fromkeys(found))

    @property
    def has_slopes(self) -> bool:
        """Whether the derivatives of the covariance are known in closed form."""
        return self.correlation is None or isinstance(self.correlation, Visits)

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The units grouped by their visits; none without a correlation by visits."""
        return self.correlation.patterns if isinstance(self.correlation, Visits) else ()

    def linear_entries(self) -> Array | None:
        """Return matrices (k, T, T) of which the visits' covariance is any combination.

        None where it is not linear: serial correlation, or separate SDs with a restricted
        correlation.
        """
        correlation = self.correlation
        if not isinstance(correlation, Visits):
            return None
        by_visit = len(self.spreads) == (correlation.kind == "unstructured")
        return correlation.entries() if by_visit else None

    def covariance_of_visits(self, eta: Array) -> Array:
        """Return the covariance of all visits, relative to sigma squared, (T, T)."""
        parts = self.parts(eta)
        if not isinstance(self.correlation, Visits):
            raise TypeError("The residuals have no covariance by visits.")
        C = self.correlation.whole(parts[-1])
        if self.correlation.kind != "unstructured" or not isinstance(self.spreads[0], Strata):
            return C
        sd = self.spreads[0].of_each(parts[0])
        return np.asarray(sd[:, None] * C * sd)

    def start(self, residual: Array) -> Array:
        """Return where the search starts, from the residuals of the fixed effects."""
        parts, left = [], residual
        for spread in self.spreads:
            parts.append(spread.start(left))
            left = left / np.exp(spread.log_sd(parts[-1]))
        own = [] if self.correlation is None else [self.correlation.start(left)]
        return np.concatenate([np.empty(0), *parts, *own])

    def parts(self, eta: Array) -> list[Array]:
        """Return the parameters of each spread, then those of the correlation."""
        sizes = np.cumsum([spread.n_eta for spread in self.spreads])
        return np.split(eta, sizes)

    def row_sd(self, eta: Array) -> Array:
        """Return the residual SD of each row relative to sigma."""
        parts = self.parts(eta)
        logs = [spread.log_sd(own) for spread, own in zip(self.spreads, parts[:-1], strict=True)]
        return np.asarray(np.exp(np.sum([np.zeros(self.n), *logs], axis=0)))

    def log_det(self, eta: Array) -> float:
        """Return ``log|S C S|``."""
        value = 2.0 * float(np.log(self.row_sd(eta)).sum())
        if self.correlation is None:
            return value
        return value + self.correlation.log_det(self.parts(eta)[-1])

    def whiten(self, columns: Array, eta: Array) -> Array:
        """Transform columns (m, n) to independent residuals of unit variance."""
        scaled = columns / self.row_sd(eta)
        if self.correlation is None:
            return np.asarray(scaled)
        return self.correlation.whiten(scaled, self.parts(eta)[-1])

    def colour(self, white: Array, eta: Array) -> Array:
        """Give independent draws (n,) the residual covariance: the inverse of whitening."""
        if self.correlation is not None:
            white = self.correlation.colour(white, self.parts(eta)[-1])
        return np.asarray(white * self.row_sd(eta))

    def covariance(self, own: npt.NDArray[np.intp], eta: Array) -> Array:
        """``S C S`` of some rows, dense."""
        sd = self.row_sd(eta)[own]
        if self.correlation is None:
            return np.diag(sd**2)
        return np.asarray(sd[:, None] * self.correlation.matrix(own, self.parts(eta)[-1]) * sd)

    def sorted(self, order: Integers) -> "ResidualShape":
        """Return the shape of the rows in another order."""
        position = np.empty_like(order)
        position[order] = np.arange(len(order))
        return self._at(order, position)

    def keep(self, kept: Booleans) -> "ResidualShape":
        """Return the shape of some rows, whole units of the correlation kept together."""
        return self._at(np.flatnonzero(kept), np.cumsum(kept) - 1)

    def whiten_rows(self, rows: RowArrays, eta: Array) -> RowArrays:
        """Whiten all columns of the engine's rows."""
        return RowArrays(
            tuple(self.whiten(Z, eta) for Z in rows.Z),
            tuple(self.whiten(Z, eta) for Z in rows.crossed_Z),
            rows.crossed_codes,
            self.whiten(rows.Xy, eta),
        )

    def slopes(self, pulled: Array, Z: Array, KZ: Array, eta: Array) -> tuple[Array, Array]:
        """Differentiate ``log|V|`` and ``R = [X y]'V^-1[X y]`` by the parameters.

        Parameters
        ----------
        pulled
            ``V^-1 [X y]`` in whitened rows, (m, n).
        Z, KZ
            Whitened columns of all random effects of a row, and their products with the posterior
            covariance of the effects: within a unit ``V^-1`` is ``I - Z' K Z``. Both (q, n).
        eta
            The parameters.

        Returns
        -------
        log_det, R
            (k,) and (k, m, m): with ``V_j`` the derivative, ``tr V^-1 V_j`` and
            ``-[X y]'V^-1 V_j V^-1[X y]``.
        """
        own = self.parts(eta)[-1]
        forward = back = [pulled, Z, KZ]
        if isinstance(self.correlation, Visits):
            forward = [self.correlation.colour(x, own) for x in forward]
            back = [self.correlation.whiten_transposed(x, own) for x in back]
        explained = (back[2] * forward[1] + forward[2] * back[1]).sum(axis=0)
        log_det, R = [], []
        for slope in (slope for spread in self.spreads for slope in spread.slopes()):
            log_det.append(float(slope @ (2.0 - explained)))
            half = (back[0] * slope) @ forward[0].T
            R.append(-(half + half.T))
        if isinstance(self.correlation, Visits):
            more = _correlation_slopes(self.correlation, own, pulled, Z, KZ)
            log_det += list(more[0])
            R += list(more[1])
        m = len(pulled)
        return np.array(log_det), np.array(R).reshape(-1, m, m)

    def _at(self, rows: Integers, position: Integers) -> "ResidualShape":
        correlation = self.correlation
        return ResidualShape(
            len(rows),
            tuple(spread.at(rows) for spread in self.spreads),
            None if correlation is None else correlation.at(rows, position),
        )


def _correlation_slopes(
    correlation: Visits, eta: Array, pulled: Array, Z: Array, KZ: Array
) -> tuple[Array, Array]:
    """Differentiate by the correlation's parameters; see :meth:`ResidualShape.slopes`."""
    m, dC = len(pulled), correlation.slopes(eta)
    log_det, R = np.zeros(len(dC)), np.zeros((len(dC), m, m))
    for pattern, L in zip(correlation.patterns, correlation.factors(eta), strict=True):
        inverse, t = np.linalg.inv(L), len(pattern.visits)
        D = inverse @ dC[:, pattern.visits[:, None], pattern.visits[None]] @ inverse.T
        inner = len(pattern.rows) * np.eye(t)
        inner -= np.einsum("aus,aut->st", Z[:, pattern.rows], KZ[:, pattern.rows])
        log_det += np.tensordot(D, inner, axes=2)
        wide = pulled[:, pattern.rows].transpose(0, 2, 1).reshape(m * t, -1)
        products = (wide @ wide.T).reshape(m, t, m, t)
        R -= np.tensordot(D, products, axes=([1, 2], [1, 3]))
    return log_det, R

"""The residual covariance of the rows as the engine sees it.

The residual covariance is ``sigma^2 S C S`` with ``S`` the diagonal of relative SDs and ``C`` the
correlation ``phi^|t - t'|`` within a unit (Pinheiro & Bates 2000, doi:10.1007/b98882, chapter 5).
Rows are brought to independent unit variance by dividing by their relative SD and subtracting what
the row before foretells, so that the engine sees an ordinary model at every value of the
parameters ``eta``: log relative SDs, then a transformed ``phi``.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.engine.blocks import RowArrays
from alliance_stats.estimates import Array

__all__ = ["ResidualShape"]

# Correlation at which the search for phi starts.
START_PHI = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class ResidualShape:
    """The residual covariance of the rows used, as a function of ``eta``.

    Attributes
    ----------
    strata, labels
        Stratum of each row and names of the strata; one stratum where variances are alike.
    column
        Column of the strata, or None.
    correlation
        What the correlation is called, ``"AR1(session)"``, or None.
    signed
        Whether it can be negative.
    units, times
        Unit and time of each row for the correlation.
    before
        Position of the row before in the same unit, -1 for the first.
    step
        The caller's time units in one unit of `times`: the search for phi needs rows that are about
        1 apart.
    """

    strata: npt.NDArray[np.int64]
    labels: pd.Index
    column: str | None
    correlation: str | None
    signed: bool
    units: npt.NDArray[np.int64]
    times: Array
    before: npt.NDArray[np.int64]
    step: float = 1.0

    @property
    def n_eta(self) -> int:
        """Number of parameters."""
        return len(self.labels) - 1 + (self.correlation is not None)

    @property
    def start(self) -> Array:
        """Where the search starts: equal variances, a small correlation."""
        eta = np.zeros(self.n_eta)
        if self.correlation is not None:
            at = np.arctanh(START_PHI) if self.signed else _logit(START_PHI)
            eta[-1] = at
        return eta

    def relative_sd(self, eta: Array) -> Array:
        """Residual SD of each stratum relative to the first's."""
        return np.asarray(np.exp(np.concatenate([[0.0], eta[: len(self.labels) - 1]])))

    def phi(self, eta: Array) -> float:
        """Correlation at distance 1 (0 where there is none)."""
        if self.correlation is None:
            return 0.0
        if self.signed:
            return float(np.tanh(eta[-1]))
        return float(1.0 / (1.0 + np.exp(-eta[-1])))

    def phi_per_unit(self, eta: Array) -> float:
        """Correlation at a distance of 1 in the caller's units of time."""
        phi = self.phi(eta)
        return float(np.sign(phi) * np.abs(phi) ** (1.0 / self.step))

    def log_det(self, eta: Array) -> float:
        """Return ``log|S C S|``."""
        value = 2.0 * float(np.log(self.relative_sd(eta))[self.strata].sum())
        foretold = self._foretold(eta)
        return value + float(np.log1p(-(foretold**2)).sum())

    def whiten(self, columns: Array, eta: Array) -> Array:
        """Bring columns (m, n) to independent residuals of unit variance."""
        scaled = columns / self.relative_sd(eta)[self.strata]
        if self.correlation is None:
            return scaled
        foretold = self._foretold(eta)
        # the first row of a unit has nothing before it: foretold is 0 there
        return np.asarray((scaled - foretold * scaled[:, self.before]) / np.sqrt(1.0 - foretold**2))

    def colour(self, white: Array, eta: Array) -> Array:
        """Give independent draws (n,) the residual covariance: the inverse of whitening."""
        coloured = np.asarray(white, dtype=np.float64).copy()
        foretold = self._foretold(eta)
        if self.correlation is not None:
            for row in np.lexsort([self.times, self.units]):
                if self.before[row] >= 0:
                    coloured[row] = (
                        foretold[row] * coloured[self.before[row]]
                        + np.sqrt(1.0 - foretold[row] ** 2) * white[row]
                    )
        return np.asarray(coloured * self.relative_sd(eta)[self.strata])

    def covariance(self, own: npt.NDArray[np.intp], eta: Array) -> Array:
        """``S C S`` of some rows, dense."""
        sd = self.relative_sd(eta)[self.strata[own]]
        C = np.eye(len(own))
        if self.correlation is not None:
            same = self.units[own][:, None] == self.units[own][None]
            distance = np.abs(self.times[own][:, None] - self.times[own][None])
            phi = self.phi(eta)
            C = np.where(same, np.sign(phi) ** distance * np.abs(phi) ** distance, 0.0)
        return np.asarray(sd[:, None] * C * sd[None])

    def sorted(self, order: npt.NDArray[np.int64]) -> "ResidualShape":
        """Return the shape of the rows in another order."""
        position = np.empty_like(order)
        position[order] = np.arange(len(order))
        return self._at(order, position)

    def keep(self, kept: npt.NDArray[np.bool_]) -> "ResidualShape":
        """Return the shape of some rows, whole units of the correlation kept together."""
        return self._at(np.flatnonzero(kept), np.cumsum(kept) - 1)

    def _at(self, rows: npt.NDArray[np.int64], position: npt.NDArray[np.int64]) -> "ResidualShape":
        before = self.before[rows]
        return replace(
            self,
            strata=self.strata[rows],
            units=self.units[rows],
            times=self.times[rows],
            before=np.where(before >= 0, position[before], -1),
        )

    def whiten_rows(self, rows: RowArrays, eta: Array) -> RowArrays:
        """Whiten all columns of the engine's rows."""
        return RowArrays(
            tuple(self.whiten(Z, eta) for Z in rows.Z),
            tuple(self.whiten(Z, eta) for Z in rows.crossed_Z),
            rows.crossed_codes,
            self.whiten(rows.Xy, eta),
        )

    def _foretold(self, eta: Array) -> Array:
        """Correlation of each row with the row before it, 0 where there is none."""
        if self.correlation is None:
            return np.zeros(len(self.strata))
        gap = np.where(self.before >= 0, self.times - self.times[self.before], 1.0)
        phi = self.phi(eta)
        return np.where(self.before >= 0, np.sign(phi) ** gap * np.abs(phi) ** gap, 0.0)


def _logit(p: float) -> float:
    return float(np.log(p / (1.0 - p)))

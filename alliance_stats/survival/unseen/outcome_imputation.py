"""Proper draws of unseen outcomes from a linear mixed model.

For each imputation, in this order:

1. the variances, from refits to data simulated from the fit (a parametric bootstrap in place of
   their posterior; it keeps what sits on a boundary there);
2. coefficients and random effects together, from their exact normal posterior given these variances
   and the outcomes seen, with a flat prior of the coefficients: draw effects and outcomes from the
   prior, and add what the mixed-model equations make of the difference to the outcomes seen
   (Garcia-Cortes & Sorensen 1996, doi:10.1186/1297-9686-28-1-121);
3. residuals of the unseen rows; units that were never seen get effects drawn from the population.

Imputations that left out step 1 or 2 would be too much alike (Rubin 1987,
doi:10.1002/9780470316696, chapter 4; Carpenter & Kenward 2013, doi:10.1002/9781119942283).

Pooling analyses of imputed data sets. Arrays in, arrays out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg, sparse

from alliance_stats.design.design import code_new_rows
from alliance_stats.design.groupings import back_transform, unit_labels, units_of
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.multilevel import LinearMixedModel
from alliance_stats.seeds import Seed, whole_seed

__all__ = ["OutcomeImputer", "Pooled", "imputations", "pool"]


_DENSE_LIMIT = 6000


class OutcomeImputer:
    """What all draws share: the mixed-model equations' cross-products, and the unseen rows."""

    def __init__(self, model: LinearMixedModel, unseen: pd.DataFrame) -> None:
        design = model.design
        if model.problem.shape is not None or model.problem.known:
            raise DataError(
                "Imputation is offered for models with equal, independent residuals: refit the "
                "model without residual= and known_variance=."
            )
        if not np.all(design.root_weights == 1.0):
            raise DataError("Imputation is not offered for models with weights.")
        self.model = model
        self.rows = code_new_rows(design, unseen, with_units=False)
        self.units = [units_of(grouping, unseen) for grouping in design.groupings]
        self.new_units = [
            _number_new(unseen, list(grouping.columns), units)
            for grouping, units in zip(design.groupings, self.units, strict=True)
        ]
        self.effects = sparse.hstack(
            [_indicator(g.Z, g.codes, len(g.labels)) for g in design.groupings], format="csr"
        )
        p, q = design.X.shape[1], self.effects.shape[1]
        if p + q > _DENSE_LIMIT:
            raise DataError(
                f"Imputation solves for {p + q} effects at once, more than {_DENSE_LIMIT}."
            )
        columns = sparse.hstack([sparse.csr_matrix(design.X), self.effects], format="csr")
        self.columns = columns
        self.products: Array = np.asarray((columns.T @ columns).todense())

    def draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return one outcome for each unseen row, and the coefficients drawn with them."""
        model = self.model
        simulated = model.simulate(rng).to_numpy()[:, 0]
        other = model.refit(simulated)
        beta, b = self._posterior_draw(other.fit.Lambda, other.sigma, rng)
        y = self.rows.X @ beta
        for f, grouping in enumerate(model.design.groupings):
            Lambda, known = other.fit.Lambda[f], self.units[f] >= 0
            fresh, n_new = self.new_units[f]
            drawn = other.sigma * Lambda @ rng.standard_normal((len(Lambda), n_new))
            own = np.empty((len(Lambda), len(y)))
            own[:, known] = b[f][:, self.units[f][known]]
            own[:, ~known] = drawn[:, fresh]
            y = y + np.einsum("nq,qn->n", self.rows.Z[f], back_transform(grouping.terms) @ own)
        return np.asarray(y + other.sigma * rng.standard_normal(len(y))), beta

    def _posterior_draw(
        self, Lambda: tuple[Array, ...], sigma: float, rng: np.random.Generator
    ) -> tuple[Array, list[Array]]:
        """Draw coefficients and working random effects given the variances."""
        design = self.model.design
        p = design.X.shape[1]
        counts = [len(grouping.labels) for grouping in design.groupings]
        prior = [
            sigma * L @ rng.standard_normal((len(L), n))
            for L, n in zip(Lambda, counts, strict=True)
        ]
        flat = np.concatenate([effects.T.ravel() for effects in prior])
        seen = design.y - self.effects @ flat - sigma * rng.standard_normal(len(design.y))
        factors = (sparse.kron(sparse.eye(n), L) for L, n in zip(Lambda, counts, strict=True))
        scale = sparse.block_diag([sparse.eye(p), *factors], format="csr")
        C = scale.T @ (scale.T @ self.products.T).T
        C[np.arange(p, len(C)), np.arange(p, len(C))] += 1.0
        right = scale.T @ (self.columns.T @ seen)
        found = scale @ linalg.cho_solve(linalg.cho_factor(C, lower=True), right)
        b, start = [], p
        for L, n, effects in zip(Lambda, counts, prior, strict=True):
            own = found[start : start + n * len(L)].reshape(n, len(L)).T
            b.append(effects + own)
            start += n * len(L)
        return np.asarray(found[:p]), b


def imputations(
    model: LinearMixedModel, unseen: pd.DataFrame, *, m: int, seed: Seed
) -> Iterator[tuple[Array, Array]]:
    """Yield `m` times outcomes of the unseen rows and the coefficients that they were drawn with.

    Each from a random stream of its own.
    """
    imputer = OutcomeImputer(model, unseen)
    for stream in np.random.SeedSequence(whole_seed(seed)).spawn(m):
        yield imputer.draw(np.random.default_rng(stream))


def _indicator(Z: Array, codes: npt.NDArray[np.int64], n_units: int) -> sparse.csr_matrix:
    """Return (n, q * units) random-effects columns, unit by unit."""
    q, n = Z.shape
    rows = np.repeat(np.arange(n), q)
    columns = (codes[:, None] * q + np.arange(q)).ravel()
    return sparse.csr_matrix((Z.T.ravel(), (rows, columns)), shape=(n, n_units * q))


def _number_new(
    unseen: pd.DataFrame, columns: list[str], units: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], int]:
    """Give numbers to the units that the fit has not seen, over the rows that belong to them."""
    fresh = unseen[units < 0]
    if len(fresh) == 0:
        return np.empty(0, dtype=np.int64), 0
    codes, labels, _ = unit_labels(tuple(columns), fresh)
    return codes, len(labels)


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """Pooled estimates, one an analysis.

    Attributes
    ----------
    estimate, std_error, df
        Estimate, its standard error and degrees of freedom.
    missing_information
        Share of the information on the estimate that the missing values took:
        ``(r + 2 / (df + 3)) / (r + 1)`` with r the relative increase in variance.
    """

    estimate: Array
    std_error: Array
    df: Array
    missing_information: Array


def pool(estimates: Array, variances: Array, df_complete: Array) -> Pooled:
    """Pool by Rubin's rules with the degrees of freedom of Barnard & Rubin.

    Total variance ``T = W + (1 + 1/m) B`` from the mean variance W within imputations and the
    variance B between their estimates (Rubin 1987, doi:10.1002/9780470316696, chapter 3). With
    ``lambda = (1 + 1/m) B / T``, ``df = 1 / (1/old + 1/observed)``, ``old = (m - 1) / lambda^2``,
    ``observed = (c + 1) / (c + 3) c (1 - lambda)`` for c the degrees of freedom had nothing been
    missing (Barnard & Rubin 1999, doi:10.1093/biomet/86.4.948): never more than c.

    Parameters
    ----------
    estimates, variances
        (analyses, m), squared standard errors.
    df_complete
        (analyses,) degrees of freedom of a complete data set; may be infinite.
    """
    m = estimates.shape[1]
    within = variances.mean(axis=1)
    between = (1.0 + 1.0 / m) * estimates.var(axis=1, ddof=1)
    total = within + between
    share = between / total
    with np.errstate(divide="ignore"):
        old = (m - 1.0) / share**2
        infinite = np.isinf(df_complete)
        c = np.where(infinite, 1.0, df_complete)
        observed = np.where(infinite, np.inf, (c + 1.0) / (c + 3.0) * c * (1.0 - share))
        df = 1.0 / (1.0 / old + 1.0 / observed)
    increase = between / within
    information = (increase + 2.0 / (df + 3.0)) / (increase + 1.0)
    return Pooled(estimates.mean(axis=1), np.sqrt(total), df, information)

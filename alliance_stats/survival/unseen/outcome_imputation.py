"""Proper draws of unseen outcomes from a linear mixed model.

For each imputation, in this order:

1. the variances, from refits to data simulated from the fit (a parametric bootstrap in place of
   their posterior; it keeps variances that are on a boundary there);
2. coefficients and random effects together, from their exact normal posterior given these variances
   and the outcomes seen, with a flat prior of the coefficients: draw effects and outcomes from the
   prior, and add what the mixed-model equations give for the difference to the observed outcomes
   (Garcia-Cortes & Sorensen 1996, doi:10.1186/1297-9686-28-1-121);
3. residuals of the unseen rows; units that were never seen get effects drawn from the population.

Imputations without step 1 or 2 would be too similar (Rubin 1987,
doi:10.1002/9780470316696, chapter 4; Carpenter & Kenward 2013, doi:10.1002/9781119942283).

:meth:`OutcomeImputer.expected` has the means of such draws, given the fit's own variances. Arrays
in, arrays out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import linalg, sparse

from alliance_stats.design.design import Design, code_new_rows
from alliance_stats.design.groupings import back_transform, unit_labels, units_of
from alliance_stats.door import replaced
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers
from alliance_stats.multilevel import LinearMixedModel
from alliance_stats.seeds import Seed, whole_seed

__all__ = ["Imputed", "OutcomeImputer", "completed_design", "effects_columns", "imputations"]

_DENSE_LIMIT = 6000


@dataclass(frozen=True, slots=True, eq=False)
class Imputed:
    """Outcomes of the unseen rows, and the draws behind them.

    Attributes
    ----------
    y
        (n,) outcomes.
    beta
        (p,) coefficients.
    pull
        How (N,) differences of the seen rows' residuals would move the (n,) unseen outcomes, by
        what they say of the random effects.
    """

    y: Array
    beta: Array
    pull: Callable[[Array], Array]


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
        self.left = design.y if design.offset is None else design.y - design.offset
        self.effects = effects_columns(design)
        p, q = design.X.shape[1], self.effects.shape[1]
        if p + q > _DENSE_LIMIT:
            raise DataError(
                f"Imputation solves for {p + q} effects at once, more than {_DENSE_LIMIT}."
            )
        columns = sparse.hstack([sparse.csr_matrix(design.X), self.effects], format="csr")
        self.columns = columns
        self.products: Array = np.asarray((columns.T @ columns).todense())

    def draw(self, rng: np.random.Generator) -> Imputed:
        """Draw the outcomes of the unseen rows."""
        model = self.model
        simulated = model.simulate(rng).to_numpy()[:, 0]
        other = model.refit(simulated)
        Lambda, sigma = other.fit.Lambda, other.sigma
        counts = [len(grouping.labels) for grouping in model.design.groupings]
        prior = [
            sigma * L @ rng.standard_normal((len(L), n))
            for L, n in zip(Lambda, counts, strict=True)
        ]
        noise = sigma * rng.standard_normal(len(model.design.y))
        beta, b = self._solved(Lambda, prior, noise)
        fresh = [
            sigma * L @ rng.standard_normal((len(L), n))
            for L, (_, n) in zip(Lambda, self.new_units, strict=True)
        ]
        y = self.rows.X @ beta + self.rows.offset + self._effects(b, fresh)
        y += sigma * rng.standard_normal(len(y))
        return Imputed(y, beta, self._pull(Lambda))

    def expected(self) -> Imputed:
        """Return the conditional means of the unseen outcomes, at the fit's own variances."""
        Lambda = self.model.fit.Lambda
        nothing = [
            np.zeros((len(L), len(grouping.labels)))
            for L, grouping in zip(Lambda, self.model.design.groupings, strict=True)
        ]
        beta, b = self._solved(Lambda, nothing, np.zeros(len(self.model.design.y)))
        fresh = [np.zeros((len(L), n)) for L, (_, n) in zip(Lambda, self.new_units, strict=True)]
        y = self.rows.X @ beta + self.rows.offset + self._effects(b, fresh)
        return Imputed(y, beta, self._pull(Lambda))

    def _solved(
        self, Lambda: Sequence[Array], prior: list[Array], noise: Array
    ) -> tuple[Array, list[Array]]:
        """Solve the mixed-model equations for outcomes less prior effects and noise.

        With draws of both it is a draw of coefficients and working effects given the variances;
        with zeros, their estimates and predictions.
        """
        p = len(self.products) - self.effects.shape[1]
        flat = np.concatenate([effects.T.ravel() for effects in prior])
        left = self.left - self.effects @ flat - noise
        scale, C = self._equations(Lambda, p)
        found = scale @ linalg.cho_solve(
            linalg.cho_factor(C, lower=True), scale.T @ (self.columns.T @ left)
        )
        own = _apart(found[p:], Lambda, [effects.shape[1] for effects in prior])
        return np.asarray(found[:p]), [a + b for a, b in zip(prior, own, strict=True)]

    def _equations(self, Lambda: Sequence[Array], p: int) -> tuple[sparse.csr_matrix, Array]:
        """Return the scale and the matrix of the equations, with the last p of X or none of it."""
        counts = [len(grouping.labels) for grouping in self.model.design.groupings]
        factors = (sparse.kron(sparse.eye(n), L) for L, n in zip(Lambda, counts, strict=True))
        scale = sparse.block_diag([sparse.eye(p), *factors] if p else [*factors], format="csr")
        products = (
            self.products
            if p
            else self.products[-self.effects.shape[1] :][:, -self.effects.shape[1] :]
        )
        C = scale.T @ (scale.T @ products.T).T
        C[np.arange(p, len(C)), np.arange(p, len(C))] += 1.0
        return scale, C

    def _effects(self, b: Sequence[Array], fresh: Sequence[Array]) -> Array:
        """Return what the effects of known and new units add to the unseen rows."""
        y = np.zeros(len(self.rows.X))
        for f, grouping in enumerate(self.model.design.groupings):
            known = self.units[f] >= 0
            own = np.empty((len(b[f]), len(y)))
            own[:, known] = b[f][:, self.units[f][known]]
            own[:, ~known] = fresh[f][:, self.new_units[f][0]]
            y += np.einsum("nq,qn->n", self.rows.Z[f], back_transform(grouping.terms) @ own)
        return y

    def _pull(self, Lambda: Sequence[Array]) -> Callable[[Array], Array]:
        def pull(differences: Array) -> Array:
            scale, C = self._equations(Lambda, 0)
            found = scale @ linalg.cho_solve(
                linalg.cho_factor(C, lower=True), scale.T @ (self.effects.T @ differences)
            )
            counts = [len(grouping.labels) for grouping in self.model.design.groupings]
            fresh = [
                np.zeros((len(L), n)) for L, (_, n) in zip(Lambda, self.new_units, strict=True)
            ]
            return self._effects(_apart(found, Lambda, counts), fresh)

        return pull


def _apart(flat: Array, Lambda: Sequence[Array], counts: Sequence[int]) -> list[Array]:
    """Return each grouping's effects (q, units) of all of them in one."""
    found, start = [], 0
    for L, n in zip(Lambda, counts, strict=True):
        found.append(flat[start : start + n * len(L)].reshape(n, len(L)).T)
        start += n * len(L)
    return found


def imputations(
    model: LinearMixedModel, unseen: pd.DataFrame, *, m: int, seed: Seed
) -> Iterator[Imputed]:
    """Yield `m` times outcomes of the unseen rows, each from its own random stream."""
    imputer = OutcomeImputer(model, unseen)
    for stream in np.random.SeedSequence(whole_seed(seed)).spawn(m):
        yield imputer.draw(np.random.default_rng(stream))


def completed_design(design: Design, unseen: pd.DataFrame, y: Array) -> Design:
    """Return the seen rows and the unseen ones as one sample with outcomes `y`.

    The unseen rows are coded as the fit's were: a reference level, a mean or a knot learned anew
    from all rows would change what a coefficient means.
    """
    rows = code_new_rows(design, unseen, with_units=False)
    X, n = np.vstack([design.X, rows.X]), len(y)
    offset = None if design.offset is None else np.concatenate([design.offset, rows.offset])
    Q, R = linalg.qr(X, mode="economic", check_finite=False)
    left = y if offset is None else y - offset
    start = Q.T @ left
    response = design.formula.response
    rest = [column for column in design.frame.columns if column != response]
    frame = pd.concat([design.frame[rest], unseen[rest]], ignore_index=True)
    groupings = []
    for grouping, Z in zip(design.groupings, rows.Z, strict=True):
        codes, labels, keys = unit_labels(grouping.columns, frame)
        columns = np.hstack([grouping.Z, (Z @ back_transform(grouping.terms)).T])
        groupings.append(replace(grouping, codes=codes, labels=labels, keys=keys, Z=columns))
    return replace(
        design,
        index=frame.index,
        y=y,
        X=X,
        Q=np.ascontiguousarray(Q.T) * np.sqrt(n),
        residual=left - Q @ start,
        root_weights=np.ones(n),
        groupings=tuple(groupings),
        fixed=replace(design.fixed, R=R / np.sqrt(n), offset=linalg.solve_triangular(R, start)),
        frame=replaced(frame, {response: y}),
        offset=offset,
    )


def effects_columns(design: Design) -> sparse.csr_matrix:
    """Return the working random-effects columns of all groupings, (n, effects)."""
    return sparse.hstack(
        [_indicator(g.Z, g.codes, len(g.labels)) for g in design.groupings], format="csr"
    )


def _indicator(Z: Array, codes: Integers, n_units: int) -> sparse.csr_matrix:
    """Return (n, q * units) random-effects columns, unit by unit."""
    q, n = Z.shape
    rows = np.repeat(np.arange(n), q)
    columns = (codes[:, None] * q + np.arange(q)).ravel()
    return sparse.csr_matrix((Z.T.ravel(), (rows, columns)), shape=(n, n_units * q))


def _number_new(unseen: pd.DataFrame, columns: list[str], units: Integers) -> tuple[Integers, int]:
    """Assign numbers to the units that are not in the fit, over their rows."""
    fresh = unseen[units < 0]
    if len(fresh) == 0:
        return np.empty(0, dtype=np.int64), 0
    codes, labels, _ = unit_labels(tuple(columns), fresh)
    return codes, len(labels)

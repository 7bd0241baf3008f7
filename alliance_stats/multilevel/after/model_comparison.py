"""AIC and BIC of several models side by side; the distribution of a test of variances.

Under the null hypothesis the estimates are, for many units, those of a normal draw brought to the
nearest point of a cone: what the larger model adds to a term's covariances may be any matrix, its
own variances and their covariances a positive semi-definite one. The likelihood ratio is then a
mixture of chi-squared distributions, whatever the cone (Shapiro 1988, doi:10.2307/1403361; Self &
Liang 1987, doi:10.1080/01621459.1987.10478472; Stram & Lee 1994, doi:10.2307/2533455).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg, optimize

from alliance_stats.design.groupings import Grouping
from alliance_stats.engine.criterion import at_eta
from alliance_stats.engine.curvature import curvature, entries_of_terms
from alliance_stats.engine.degrees_of_freedom import variance_of_variances
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.multilevel import linear_fit
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel
from alliance_stats.multilevel.linear_fit import LinearFit
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.multilevel.model_likelihood import HasLikelihood, side_by_side

__all__ = [
    "ChiBar",
    "as_mixed",
    "by_ml",
    "chi_bar",
    "compare_models",
    "described",
    "deviance",
    "require_same_rows",
    "span_differs",
    "within",
]

# Draws behind the weights: good to half a percent.
CHI_BAR_DRAWS = 10_000
# Relative step at which the nearest points of cones are found, and steps at most.
NEAR, MOST_STEPS = 1e-9, 2000


@dataclass(frozen=True, slots=True, eq=False)
class ChiBar:
    """A mixture of chi-squared distributions with `free`, `free` + 1, ... df, by its weights."""

    free: int
    weights: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Grown:
    """A term of the larger model beside those of the smaller that it holds.

    ``basis`` has the smaller model's columns (the first `n_old`) and what is new, in the larger
    one's columns; ``root`` is the smaller one's covariance factor, on its columns.
    """

    basis: Array
    n_old: int
    root: Array
    n_covariances: int  # free entries of the old columns' covariance that the smaller model lacks

    @property
    def n_new(self) -> int:
        """Variances that are new."""
        return len(self.basis) - self.n_old

    @property
    def n_free(self) -> int:
        """New parameters that may be negative."""
        return self.n_new * self.n_old + self.n_covariances

    @property
    def null(self) -> Array:
        """The larger model's covariance factor under the null hypothesis, lower triangular."""
        half = self.basis[:, : self.n_old] @ self.root
        return np.asarray(linalg.qr(np.pad(half, ((0, 0), (0, self.n_new))).T, mode="r")[0].T)


def chi_bar(small: LinearMixedModel, large: LinearMixedModel, df: int) -> ChiBar:
    """Return the mixture to which twice the rise in likelihood is referred.

    Parameters
    ----------
    small, large
        The fits; their residuals have the same structure.
    df
        Number of additional parameters in the larger model; those other than covariances are free.

    Raises
    ------
    DataError
        If the smaller model has a correlation that the larger one lacks.
    """
    terms = _grown_terms(small, large)
    sizes = [term.n_new for term in terms]
    free = df - sum(k * (k + 1) // 2 for k in sizes)
    if sum(sizes) <= 1:
        return ChiBar(free, np.array([0.5, 0.5]) if sum(sizes) else np.ones(1))
    metric = _information_on_new(small, large, terms)
    rng = np.random.default_rng(1)
    draws = rng.standard_normal((CHI_BAR_DRAWS, len(metric))) @ linalg.inv(
        linalg.cholesky(metric, lower=True)
    )
    if max(sizes) == 1:
        root = linalg.cholesky(metric)
        positive = [int((optimize.nnls(root, root @ own)[0] > 0.0).sum()) for own in draws]
        counted = np.bincount(positive, minlength=len(metric) + 1)
        return ChiBar(free, counted / CHI_BAR_DRAWS)
    nearest = _nearest(draws, metric, [k for k in sizes if k])
    return ChiBar(free, _weights(draws, nearest, metric))


def _grown_terms(small: LinearMixedModel, large: LinearMixedModel) -> list[_Grown]:
    """Match the smaller model's terms with the larger's, a term of which may hold several."""
    rest = [
        (frozenset(g.columns), Z, root)
        for g, Lambda in zip(small.design.groupings, small.fit.minimum.Lambda, strict=True)
        for Z, root in _terms_of(g, Lambda)
    ]
    found = []
    for g, Lambda in zip(large.design.groupings, large.fit.minimum.Lambda, strict=True):
        for Z, _ in _terms_of(g, Lambda):
            own = [one for one in rest if one[0] == frozenset(g.columns) and within(one[1], Z)]
            rest = [one for one in rest if not any(one is other for other in own)]
            old = np.vstack([np.empty((0, Z.shape[1])), *(one[1] for one in own)])
            B = np.linalg.lstsq(Z.T, old.T, rcond=None)[0]
            new = linalg.null_space(B.T) if B.shape[1] else np.eye(len(Z))
            ranks = [len(one[1]) for one in own]
            pairs = sum(a * b for a, b in itertools.combinations(ranks, 2))
            root = linalg.block_diag(np.empty((0, 0)), *(one[2] for one in own))
            found.append(_Grown(np.hstack([B, new]), B.shape[1], root, pairs))
    if rest:
        raise DataError(
            f"{small.formula} is not nested in {large.formula}: random effects are correlated in "
            "the smaller model that are not in the larger. compare_models sets models that are not "
            "nested side by side."
        )
    return found


def _terms_of(grouping: Grouping, Lambda: Array) -> list[tuple[Array, Array]]:
    """Return the columns (as rows) and the covariance factor of each term."""
    edges = np.cumsum([0, *(len(basis.names) for basis in grouping.terms)])
    return [(grouping.Z[a:b], Lambda[a:b, a:b]) for a, b in itertools.pairwise(edges)]


def _information_on_new(
    small: LinearMixedModel, large: LinearMixedModel, terms: Sequence[_Grown]
) -> Array:
    """Return the information on the new variances and covariances, all else estimated.

    They are the lower triangles of the new columns' covariances, a term after another.
    """
    nulls = iter(term.null for term in terms)
    whole = [
        linalg.block_diag(*(next(nulls) for _ in sizes)) for sizes in large.problem.template.blocks
    ]
    problem = at_eta(large.problem, small.fit.eta) if len(small.fit.eta) else large.problem
    sigma = 1.0 if problem.known else small.sigma / large.fit.units.outcome
    W = variance_of_variances(curvature(problem, whole, sigma, boundary=True), reml=large.reml)
    rows, start = [], 0
    for term, spanned in zip(terms, entries_of_terms(problem, whole), strict=True):
        back = linalg.inv(term.basis)[term.n_old :]
        k, lower = term.n_new, np.tril_indices(term.n_new)
        own = np.zeros((k * (k + 1) // 2, len(W)))
        for j, direction in enumerate(spanned):
            own[:, start + j] = (back @ direction @ back.T)[lower]
        rows.append(own)
        start += len(spanned)
    C = np.vstack(rows)
    return np.asarray(linalg.inv(C @ W @ C.T))


def _nearest(draws: Array, metric: Array, sizes: Sequence[int]) -> Array:
    """Bring draws to the nearest points, in a metric, of a product of semi-definite cones.

    Accelerated projected gradients with restarts (Beck & Teboulle 2009, doi:10.1137/080716542).
    """
    scale = np.concatenate([_off_diagonal_roots(k) for k in sizes])
    # off-diagonal entries times root 2: distances are those of matrices
    G = metric / np.outer(scale, scale)
    aim = draws * scale
    step = 1.0 / linalg.eigvalsh(G)[-1]
    now = _on_cones(aim, scale, sizes)
    ahead, momentum = now.copy(), np.ones((len(draws), 1))
    for _ in range(MOST_STEPS):
        then = _on_cones(ahead - step * (ahead - aim) @ G, scale, sizes)
        moved = then - now
        back = ((ahead - then) * moved).sum(axis=1, keepdims=True) > 0.0
        further = np.where(back, 1.0, (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0)
        ahead = then + np.where(back, 0.0, (momentum - 1.0) / further) * moved
        now, momentum = then, further
        if np.abs(moved).max() <= NEAR * np.abs(aim).max():
            break
    return np.asarray(now / scale)


def _off_diagonal_roots(k: int) -> Array:
    i, j = np.tril_indices(k)
    return np.where(i == j, 1.0, np.sqrt(2.0))


def _on_cones(points: Array, scale: Array, sizes: Sequence[int]) -> Array:
    """Set the negative eigenvalues of each symmetric matrix to zero."""
    found, start = np.empty_like(points), 0
    for k in sizes:
        own = slice(start, start + k * (k + 1) // 2)
        start, lower = own.stop, np.tril_indices(k)
        M = np.zeros((len(points), k, k))
        M[:, lower[0], lower[1]] = M[:, lower[1], lower[0]] = points[:, own] / scale[own]
        values, vectors = np.linalg.eigh(M)
        M = (vectors * np.maximum(values, 0.0)[:, None, :]) @ vectors.swapaxes(1, 2)
        found[:, own] = M[:, lower[0], lower[1]] * scale[own]
    return found


def _weights(draws: Array, nearest: Array, metric: Array) -> Array:
    """Return the weights by what is known of them.

    The share of draws at the tip and the share within the cone are the first and the last weight;
    all add up to one, those of even and of odd df to a half each (Shapiro 1988); and the statistic
    has their moments.
    """
    m = draws.shape[1]
    far = np.einsum("ij,jk,ik->i", draws, metric, draws)
    gap = np.einsum("ij,jk,ik->i", draws - nearest, metric, draws - nearest)
    t, k = np.maximum(far - gap, 0.0), np.arange(m + 1.0)
    inside, tip = (gap <= 1e-6 * far).mean(), (t <= 1e-6 * far).mean()
    known = [(np.ones(m + 1), 1.0), ((-1.0) ** k, 0.0), (np.eye(m + 1)[0], tip)]
    known += [(np.eye(m + 1)[m], inside), (k / m, t.mean() / m)]
    known += [(k * (k + 2.0) / m**2, (t**2).mean() / m**2)]
    A, b = np.array([row for row, _ in known]), np.array([value for _, value in known])
    heavy = np.array([1e3, 1e3, 30.0, 30.0, 1.0, 1.0])
    found = optimize.nnls(A * heavy[:, None], b * heavy)[0]
    return np.asarray(found / found.sum())


def compare_models(*models: LinearMixedModel | HasLikelihood) -> pd.DataFrame:
    """Compare models fitted to the same rows: mixed models, ordinary regressions, hazard models.

    Returns
    -------
    DataFrame
        One row per model: ``formula`` (with its residual structure), ``n_parameters, log_lik, aic,
        delta_aic, bic, delta_bic, reml, singular``, best AIC first. REML fits whose fixed effects
        differ are refitted by maximum likelihood (``reml`` is then False). Hazard models (Cox,
        Fine-Gray, discrete, competing) have no ``reml`` or ``singular``; the BIC of a Cox or
        Fine-Gray model uses the number of events as n (Volinsky & Raftery 2000,
        doi:10.1111/j.0006-341X.2000.00256.x).

    Raises
    ------
    DataError
        If there is no model, one was not fitted by ``lmm``, or they used different rows or
        outcomes.

    Examples
    --------
    >>> from alliance_stats import compare_models, example_study, lmm
    >>> sessions = example_study().sessions
    >>> line = lmm("alliance ~ session + (1 | person)", sessions)
    >>> curve = lmm("alliance ~ poly(session, 2) + (1 | person)", sessions)
    >>> compare_models(line, curve)[["formula", "n_parameters", "delta_aic"]].round(1)
                                          formula  n_parameters  delta_aic
    0           alliance ~ session + (1 | person)             4        0.0
    1  alliance ~ poly(session, 2) + (1 | person)             5        1.9
    """
    if not models:
        raise DataError("compare_models needs fitted models, as in compare_models(one, other).")
    models = tuple(as_mixed(model) for model in models)
    others = [model for model in models if isinstance(model, HasLikelihood)]
    if len(others) == len(models):
        return side_by_side([model.likelihood() for model in others])
    for model in models:
        require_linear(model, asked="compare_models compares")
    linear = [model for model in models if isinstance(model, LinearMixedModel)]
    require_same_rows(linear)
    differ = any(span_differs(linear[0], m) for m in linear)
    mixed = len({m.reml for m in linear}) > 1
    fits = [by_ml(m) for m in linear] if differ or mixed else linear
    table = pd.concat([m.glance().assign(formula=described(m)) for m in fits], ignore_index=True)
    for column in ("aic", "bic"):  # on a footing that no coding of the fixed effects changes
        table[column] += [deviance(m) - m.fit.deviance for m in fits]
    table["delta_aic"] = table["aic"] - table["aic"].min()
    table["delta_bic"] = table["bic"] - table["bic"].min()
    columns = "formula n_parameters log_lik aic delta_aic bic delta_bic reml singular".split()  # noqa: SIM905
    return table[columns].sort_values("aic", ignore_index=True)


def as_mixed(model: Any) -> Any:
    """Return an ordinary regression as the mixed model without random terms that it is."""
    fit = getattr(model, "fit", None)
    if isinstance(model, HasLikelihood) or not isinstance(fit, LinearFit | GeneralizedFit):
        return model
    return LinearMixedModel(fit) if isinstance(fit, LinearFit) else GeneralizedLinearMixedModel(fit)


def described(model: LinearMixedModel) -> str:
    """Return the formula with the residual structure, which it does not show."""
    structures = model.fit.structures
    if not structures:
        return model.formula
    written = ", ".join(map(str, structures))
    return f"{model.formula}, residual={written if len(structures) == 1 else f'[{written}]'}"


def by_ml(model: LinearMixedModel) -> LinearMixedModel:
    """Fit the same model by maximum likelihood."""
    return LinearMixedModel(linear_fit.ml_refit(model.fit)) if model.reml else model


def require_same_rows(models: Sequence[LinearMixedModel]) -> None:
    """Refuse models of other rows, another outcome or another offset."""
    first = models[0]
    for other in models[1:]:
        if (
            not first.design.index.equals(other.design.index)
            or not np.array_equal(first.design.y, other.design.y)
            or not np.array_equal(_offset(first), _offset(other))
        ):
            raise DataError(
                f"The models did not use the same rows and outcome: {first.formula} used "
                f"{first.nobs}, {other.formula} used {other.nobs}. Leave out rows with missing "
                "predictors first, and fit both to what remains."
            )


def _offset(model: LinearMixedModel) -> Array:
    offset = model.design.offset
    return np.zeros(1) if offset is None or not offset.any() else offset


def deviance(model: LinearMixedModel) -> float:
    """Deviance without ``log|X'X|``, which a restricted likelihood takes from the coding of X."""
    return model.fit.deviance - (model.design.fixed.log_det if model.reml else 0.0)


def within(inner: Array, outer: Array) -> bool:
    """Whether the columns in `inner` (as rows) lie in the span of those in `outer`."""
    if not len(inner):
        return True
    if not len(outer):
        return False
    fitted = np.linalg.lstsq(outer.T, inner.T, rcond=None)[0]
    left = inner.T - outer.T @ fitted
    return bool((np.linalg.norm(left, axis=0) < 1e-7 * np.linalg.norm(inner, axis=1)).all())


def span_differs(model: LinearMixedModel, other: LinearMixedModel) -> bool:
    """Whether the fixed columns of two models span different spaces, whatever their scale."""
    Q, other_Q = model.design.Q, other.design.Q
    return len(Q) != len(other_Q) or not within(Q, other_Q)

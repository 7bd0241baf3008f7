"""The Laplace approximation to the likelihood of a generalized mixed model, and its gradient.

With ``eta = X beta + offset + Z Lambda u`` and ``u ~ N(0, I)``, the deviance is

    -2 sum l_i(eta_i) + |u|^2 + log|Lambda'Z'W Z Lambda + I|      at the mode of u

where ``W`` is the observed information of each row (Tierney & Kadane 1986,
doi:10.1080/01621459.1986.10478240; Bates, Maechler, Bolker & Walker 2015,
doi:10.18637/jss.v067.i01; Skaug & Fournier 2006, doi:10.1016/j.csda.2006.03.005). The mode is
found by Newton steps, each of them a weighted linear mixed model on the engine's blocks. It is the
mode of u alone at given coefficients, which are then part of the outer minimisation (``nAGQ = 1``
of lme4's ``glmer``), not the joint mode of u and beta (``nAGQ = 0``).

The gradient follows the mode by the implicit function theorem. Write ``V = W^-1 + Z D Z'``,
``D = Lambda Lambda'``, ``g`` for the scores, ``h = Z'g``, ``a_i = var(z_i'b | y) W_i'`` for the
slope of the log-determinant in ``eta_i``, and ``c = Z'V^-1 W^-1 a``. Then, unit by unit,

    d/d beta = X'(-2 g + a - W Z D c)       d/d D = Z'V^-1 Z - h h' + (c h' + h c') / 2

A further parameter of a row's density (its dispersion, a threshold) moves its log-density, its
score and its information: minus twice the first, plus the second times the part that acts through
the mode, plus the third times the row's posterior variance.

The binomial, Poisson, quadratic negative binomial and gamma densities and those of ordinal ratings
are concave in eta. In the others an outlying row has negative information: where the weights then
give no minimum to step to, a step uses only the positive ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from alliance_stats.engine.blocks import CrossProducts, Layout
from alliance_stats.engine.descent import descend, predictors, row_variances
from alliance_stats.engine.elimination import Elimination, eliminate
from alliance_stats.engine.outcomes import NO_SHAPE, Family, Outcome, Shape
from alliance_stats.engine.row_sums import Rows, random_part, weighted_products
from alliance_stats.engine.template import Template
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["GeneralizedProblem", "LaplaceSlopes", "Mode", "find_mode", "laplace"]

# Squared length of a Newton step (in posterior SDs, summed over units) after which one step more
# leaves the mode right to about the square of this.
LAST_STEP = 1e-8
# Never accept a step that raises the objective by more than rounding.
ROUNDING = 1e-12
MAX_STEPS = 100
MAX_HALVINGS = 40
BEYOND = (
    "The linear predictor runs beyond what can be computed. Look at the offset (of a rate the "
    "logarithm of its exposure) and for predictors of a huge range."
)
RAN_AWAY = (
    "The random effects have no finite mode: the linear predictor ran beyond all bounds. Look for "
    "a predictor or a group in which the outcome never varies."
)


@dataclass(frozen=True, slots=True, eq=False)
class GeneralizedProblem:
    """Everything the deviance needs besides theta and beta; rows are in the layout's order.

    Attributes
    ----------
    layout, template
        How random effects are arranged, and the shape of theta.
    rows
        Random-effects columns and units of the rows.
    Q
        Working basis of the fixed columns, (p, n).
    offset
        Known part of the linear predictor, (n,).
    family, outcome
        The distribution and the observed outcome.
    shape
        Parameters of the density besides the predictor.
    """

    layout: Layout
    template: Template
    rows: Rows
    Q: Array
    offset: Array
    family: Family
    outcome: Outcome
    shape: Shape = NO_SHAPE

    def at(self, values: Array) -> "GeneralizedProblem":
        """Return the data at values of the density's further parameters."""
        if not len(values):
            return self
        return replace(self, outcome=self.shape.outcome(self.family, self.outcome, values))

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.offset)

    @property
    def p(self) -> int:
        """Fixed-effects columns."""
        return len(self.Q)

    @property
    def factor_order(self) -> tuple[int, ...]:
        """Grouping factors in the order of the layout: the chain, then the crossed."""
        return (*(level.factor for level in self.layout.levels), *self.layout.crossed)

    def arranged(self, by_factor: Sequence[Array]) -> list[Array]:
        """Put one array per grouping factor into the order of the layout."""
        return [by_factor[f] for f in self.factor_order]

    def by_factor(self, arranged: Sequence[Array]) -> list[Array]:
        """Take them back into the order of the grouping factors."""
        found = dict(zip(self.factor_order, arranged, strict=True))
        return [found[f] for f in range(len(found))]

    def no_effects(self) -> list[Array]:
        """Zero for every random effect, in the order of the layout."""
        units = [len(level.row_starts) for level in self.layout.levels]
        columns = [level.q for level in self.layout.levels]
        return [
            np.zeros((q, n))
            for q, n in zip(
                [*columns, *self.layout.crossed_q], [*units, *self.layout.crossed_n], strict=True
            )
        ]


class Mode(NamedTuple):
    """The mode of the random effects at given covariances and coefficients.

    Attributes
    ----------
    u
        Spherical random effects, (q, units) for the chain's levels, then the crossed factors.
    eta
        Linear predictor of each row.
    score, weight
        Slope and observed information of each row's log-density.
    products, up
        Weighted cross-products and the upward pass, at the mode.
    deviance
        The Laplace approximation to -2 log-likelihood.
    last_step
        Squared length of the last Newton step, in posterior SDs.
    """

    u: list[Array]
    eta: Array
    score: Array
    weight: Array
    products: CrossProducts
    up: Elimination
    deviance: float
    last_step: float


class LaplaceSlopes(NamedTuple):
    """Deviance and its derivatives.

    Attributes
    ----------
    deviance
        -2 log-likelihood, Laplace.
    gamma
        Derivative in the working coefficients, (p,).
    D
        Derivative in each grouping factor's relative covariance, symmetric, with entries of a pair
        treated as separate.
    mode
        The mode of the random effects.
    shape
        Derivative in the further parameters of each row's density, (k, n).
    """

    deviance: float
    gamma: Array
    D: list[Array]
    mode: Mode
    shape: Array


def laplace(
    problem: GeneralizedProblem, Lambda: Sequence[Array], gamma: Array, start: Sequence[Array]
) -> LaplaceSlopes:
    """Return the Laplace deviance with its gradient.

    Parameters
    ----------
    problem
        The data.
    Lambda
        Covariance factors, one per grouping factor.
    gamma
        Working coefficients: ``X beta = gamma @ Q``.
    start
        Where to start the search for the mode.
    """
    factors = problem.arranged(Lambda)
    mode = find_mode(problem, factors, gamma, start)
    down = descend(problem.layout, mode.up)
    variances = row_variances(problem.layout, mode.up, problem.rows)
    pull = variances * problem.family.third(mode.eta, problem.outcome)
    carried = _solve_for(problem, mode, factors, pull)
    D = [Lambda_k @ Lambda_k.T for Lambda_k in factors]
    through_mode = random_part(
        problem.layout, problem.rows, [D_k @ c for D_k, c in zip(D, carried, strict=True)]
    )
    gamma_slope = problem.Q @ (pull - 2.0 * mode.score - mode.weight * through_mode)
    slopes = []
    for post, c in zip((*down.levels, *down.crossed), carried, strict=True):
        h = post.H[:, -1]
        product = h @ (h - c).T
        slopes.append(post.S - (product + product.T) / 2.0)
    shape = np.empty((0, problem.n))
    if problem.family.shape_slopes is not None:
        density, score, weight = problem.family.shape_slopes(mode.eta, problem.outcome)
        shape = variances * weight + through_mode * score - 2.0 * density
    return LaplaceSlopes(mode.deviance, gamma_slope, problem.by_factor(slopes), mode, shape)


def find_mode(
    problem: GeneralizedProblem, factors: Sequence[Array], gamma: Array, start: Sequence[Array]
) -> Mode:
    """Climb to the mode of u at given coefficients by Newton steps, halved where they overshoot.

    Where the density is concave the objective is strictly convex in u: there is one mode, and the
    climb always finds it.

    Raises
    ------
    NotIdentifiedError
        If the climb does not end, which happens only with unbounded predictors.
    """
    fixed = problem.offset + gamma @ problem.Q
    u = [x.copy() for x in start]
    state = _State.at(problem, factors, fixed, u)
    length = np.inf
    for _ in range(MAX_STEPS):
        products, up = _eliminated(problem, factors, state, at_end=length < LAST_STEP)
        if length < LAST_STEP:
            deviance = state.objective + up.log_det - 2.0 * problem.outcome.constant
            return Mode(
                state.u, state.eta, state.score, state.weight, products, up, deviance, length
            )
        target = [
            factor.T @ H[:, -1]
            for factor, H in zip(factors, predictors(problem.layout, up), strict=True)
        ]
        state, length = _step(problem, factors, fixed, state, target)
    raise NotIdentifiedError(RAN_AWAY)


def _eliminated(
    problem: GeneralizedProblem, factors: Sequence[Array], state: "_State", *, at_end: bool
) -> tuple[CrossProducts, Elimination]:
    """Eliminate with the observed information; on the way, if that fails, with its positive part.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the observed information is not positive at the end of the climb.
    """
    weights = [state.weight]
    if not at_end and state.weight.min(initial=0.0) < 0.0:
        weights.append(np.maximum(state.weight, 0.0))
    for weight in weights:
        pulls = weight * state.random + state.score
        products = weighted_products(problem.layout, problem.rows, weight, pulls)
        try:
            with np.errstate(invalid="ignore"):
                up = eliminate(problem.layout, products, *_split(problem, factors))
        except np.linalg.LinAlgError:
            continue
        if np.isfinite(up.log_det):
            return products, up
    raise np.linalg.LinAlgError("The information on the random effects is not positive.")


class _State(NamedTuple):
    """The current point of the climb."""

    u: list[Array]
    random: Array
    eta: Array
    score: Array
    weight: Array
    objective: float

    @classmethod
    def at(
        cls,
        problem: GeneralizedProblem,
        factors: Sequence[Array],
        fixed: Array,
        u: list[Array],
    ) -> "_State":
        effects = [L @ x for L, x in zip(factors, u, strict=True)]
        random = random_part(problem.layout, problem.rows, effects)
        eta = fixed + random
        log_density, score, weight = problem.family.slopes(eta, problem.outcome)
        objective = -2.0 * float(log_density.sum()) + sum(float((x * x).sum()) for x in u)
        return cls(u, random, eta, score, weight, objective)


def _step(
    problem: GeneralizedProblem,
    factors: Sequence[Array],
    fixed: Array,
    state: _State,
    target: list[Array],
) -> tuple[_State, float]:
    """Go to `target`, or as far towards it as the objective allows."""
    move = [t - x for t, x in zip(target, state.u, strict=True)]
    share = 1.0
    allowed = state.objective + ROUNDING * (1.0 + abs(state.objective))
    for _ in range(MAX_HALVINGS):
        u = [x + share * d for x, d in zip(state.u, move, strict=True)]
        new = _State.at(problem, factors, fixed, u)
        if new.objective <= allowed:
            length = share**2 * sum(float((d * d).sum()) for d in move)
            length += float((np.abs(state.weight) * (new.random - state.random) ** 2).sum())
            # a step cut short says nothing of how near the mode is
            return new, length if share == 1.0 else np.inf
        share /= 2.0
    full = sum(float((d * d).sum()) for d in move)
    if full < LAST_STEP:  # at the mode, up to rounding
        return state, full
    raise NotIdentifiedError(RAN_AWAY)


def _split(
    problem: GeneralizedProblem, factors: Sequence[Array]
) -> tuple[Sequence[Array], Sequence[Array]]:
    depth = len(problem.layout.levels)
    return factors[:depth], factors[depth:]


def _solve_for(
    problem: GeneralizedProblem, mode: Mode, factors: Sequence[Array], pull: Array
) -> list[Array]:
    """``Z' V^-1 W^-1 a`` of every unit, for a row vector ``a``."""
    layout, rows = problem.layout, problem.rows
    at_leaf = rows.sums(pull)
    C = []
    for k, (factor, old) in enumerate(zip(rows.factors, mode.products.C, strict=True)):
        sums = (
            at_leaf
            if k == 0
            else np.add.reduceat(at_leaf, layout.levels[0].starts_above[k - 1], axis=-1)
        )
        C.append(np.concatenate([old[:, :-1], (factor @ sums)[:, None]], axis=1))
    c = layout.n_crossed
    R = mode.products.R.copy()
    R[:c, c] = 0.0
    for position, z in rows.crossed:
        R[:c, c] += np.bincount(position, weights=z * pull, minlength=c)
    R[c, :c] = R[:c, c]
    up = eliminate(layout, CrossProducts(mode.products.A, tuple(C), R), *_split(problem, factors))
    return [H[:, -1] for H in predictors(layout, up)]

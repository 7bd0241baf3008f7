"""What must hold for every generalized mixed model."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, optimize

from alliance_stats.design.design import build_design
from alliance_stats.engine.families import family_of
from alliance_stats.engine.laplace import GeneralizedProblem, laplace
from alliance_stats.engine.quadrature import adaptive_quadrature
from alliance_stats.engine.row_sums import random_part
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.multilevel import glmm
from alliance_stats.multilevel.generalized_data import make_generalized_problem

# Central differences with step 1e-5: rounding of the deviance over the step.
GRADIENT = 1e-6
# A dense computation that shares no code with the blocks; the mode is found to about 1e-8.
DENSE = 1e-8
# Two searches of the same deviance from different row orders.
SAME_FIT = 1e-6

LINKS = (("binomial", "logit"), ("binomial", "cloglog"), ("binomial", "probit"), ("poisson", "log"))
RANDOM = (
    "(1 | therapist/family/person)",
    "(1 + x | family) + (1 | therapist)",
    "(1 + x | therapist/family) + (1 | rater)",
    "(1 | person) + (1 + x | rater) + (0 + x | clinic)",
    "(1 + x || therapist) + (1 | rater)",
)


def _data(seed: int, n: int = 160) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    therapist = rng.integers(0, 5, n)
    family = therapist * 10 + rng.integers(0, 4, n)
    return pd.DataFrame(
        {
            "therapist": therapist,
            "family": family,
            "person": family * 10 + rng.integers(0, 3, n),
            "rater": rng.integers(0, 6, n),
            "clinic": rng.integers(0, 4, n),
            "x": rng.standard_normal(n),
            "trials": rng.integers(1, 6, n),
            "uniform": rng.random(n),
            "count": rng.poisson(2.0, n),
        }
    )


def _problem(data: pd.DataFrame, random: str, family: str, link: str) -> GeneralizedProblem:
    data = data.assign(hits=np.floor(data["uniform"] * (data["trials"] + 1)))
    response = "count" if family == "poisson" else "hits"
    design, used = build_design(f"{response} ~ x + {random}", data, residual_variance=False)
    trials = used["trials"].to_numpy(dtype=np.float64)
    offset = 0.1 * used["x"].to_numpy(dtype=np.float64) ** 2
    return make_generalized_problem(design, family_of(family, link), trials, offset)


def _differences(value, at: np.ndarray) -> np.ndarray:
    step = 1e-5
    out = []
    for i in range(len(at)):
        e = np.zeros(len(at))
        e[i] = step
        out.append((value(at + e) - value(at - e)) / (2 * step))
    return np.array(out)


def _value_and_gradient(problem, criterion, at):
    k = problem.template.n_theta
    Lambda = problem.template.factors(at[:k])
    slopes = criterion(problem, Lambda, at[k:], problem.no_effects())
    in_theta = [2.0 * D @ L for D, L in zip(slopes.D, Lambda, strict=True)]
    return slopes.deviance, np.r_[problem.template.theta(in_theta), slopes.gamma]


def _dense(problem: GeneralizedProblem, at: np.ndarray) -> float:
    rows, k = problem.rows, problem.template.n_theta
    Lambda = problem.arranged(problem.template.factors(at[:k]))
    n = problem.n
    bases = np.array([np.ones(n) if b is None else b for b in rows.bases])
    columns, factors = [], []
    for factor, ancestor, L in zip(rows.factors, rows.ancestors, Lambda, strict=False):
        unit = ancestor[rows.leaf]
        Z = np.zeros((n, unit.max() + 1, len(factor)))
        Z[np.arange(n), unit] = (factor @ bases).T
        columns.append(Z.reshape(n, -1))
        factors.append(np.kron(np.eye(unit.max() + 1), L))
    if rows.crossed:
        Z = np.zeros((n, problem.layout.n_crossed))
        for position, z in rows.crossed:
            Z[np.arange(n), position] = z
        columns.append(Z)
        crossed = Lambda[len(rows.factors) :]
        factors += [
            np.kron(np.eye(m), L) for m, L in zip(problem.layout.crossed_n, crossed, strict=True)
        ]
    ZL = np.hstack(columns) @ linalg.block_diag(*factors)
    fixed = problem.offset + at[k:] @ problem.Q
    u = np.zeros(ZL.shape[1])
    for _ in range(100):
        _, score, weight = problem.family.slopes(fixed + ZL @ u, problem.outcome)
        M = ZL.T @ (weight[:, None] * ZL) + np.eye(len(u))
        step = linalg.solve(M, ZL.T @ score - u, assume_a="pos")
        u = u + step
        if np.abs(step).max() < 1e-13:
            break
    density = problem.family.log_density(fixed + ZL @ u, problem.outcome).sum()
    constant = problem.outcome.constant
    return float(-2.0 * (density + constant) + u @ u + np.linalg.slogdet(M)[1])


@pytest.mark.parametrize(("family", "link"), LINKS)
@pytest.mark.parametrize("random", RANDOM)
def test_laplace_deviance_and_gradient(family, link, random):
    problem = _problem(_data(7), random, family, link)
    rng = np.random.default_rng(8)
    at = np.r_[
        0.6 * rng.standard_normal(problem.template.n_theta), 0.3 * rng.standard_normal(problem.p)
    ]
    value, gradient = _value_and_gradient(problem, laplace, at)
    assert value == pytest.approx(_dense(problem, at), abs=DENSE)
    numerical = _differences(lambda v: _value_and_gradient(problem, laplace, v)[0], at)
    scale = np.maximum(1.0, np.abs(gradient))
    assert np.abs((gradient - numerical) / scale).max() < GRADIENT


@pytest.mark.parametrize(("family", "link"), LINKS)
@pytest.mark.parametrize("nodes", [1, 2, 5, 20])
def test_quadrature_gradient(family, link, nodes):
    problem = _problem(_data(9), "(0 + x | family)", family, link)
    at = np.array([0.7, 0.2, -0.3])
    criterion = adaptive_quadrature(nodes)
    value, gradient = _value_and_gradient(problem, criterion, at)
    numerical = _differences(lambda v: _value_and_gradient(problem, criterion, v)[0], at)
    assert np.abs((gradient - numerical) / np.maximum(1.0, np.abs(gradient))).max() < GRADIENT
    if nodes == 1:
        same, _ = _value_and_gradient(problem, laplace, at)
        assert value == pytest.approx(same, abs=DENSE)


@pytest.mark.parametrize("nodes", [1, 9])
def test_slope_at_no_variance_is_one_sided_derivative(nodes):
    # at theta = 0 the slope in the variance itself tells whether to leave the boundary
    problem = _problem(_data(10), "(1 | family)", "binomial", "logit")
    criterion = laplace if nodes == 1 else adaptive_quadrature(nodes)
    gamma = np.array([0.3, -0.1])

    def at(variance):
        Lambda = [np.array([[np.sqrt(variance)]])]
        return criterion(problem, Lambda, gamma, problem.no_effects())

    step = 1e-6
    numerical = (at(step).deviance - at(0.0).deviance) / step
    assert at(0.0).D[0][0, 0] == pytest.approx(numerical, rel=1e-3)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), link=st.sampled_from(["logit", "cloglog"]))
def test_row_order_and_labels_do_not_matter(seed, link):
    data = _data(seed % 50).assign(event=lambda d: (d["uniform"] < 0.4).astype(int))
    formula = "event ~ x + (1 | therapist/family)"
    first = glmm(formula, data, link=link)
    rng = np.random.default_rng(seed)
    labels = rng.permutation(1000)
    other = data.sample(frac=1.0, random_state=seed).assign(
        therapist=lambda d: labels[d["therapist"]], family=lambda d: labels[d["family"]]
    )
    second = glmm(formula, other, link=link)
    assert second.log_lik == pytest.approx(first.log_lik, abs=SAME_FIT)
    assert second.beta.to_numpy() == pytest.approx(first.beta.to_numpy(), abs=1e-4)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-1e4, 1e4), scale=st.floats(0.01, 100.0))
def test_units_of_a_predictor_do_not_matter(seed, shift, scale):
    data = _data(seed % 50).assign(event=lambda d: (d["uniform"] < 0.4).astype(int))
    formula = "event ~ x + (1 + x | therapist)"
    first = glmm(formula, data)
    second = glmm(formula, data.assign(x=lambda d: shift + scale * d["x"]))
    assert second.log_lik == pytest.approx(first.log_lik, abs=SAME_FIT)
    assert second.beta["x"] * scale == pytest.approx(first.beta["x"], abs=1e-4)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 49))
def test_swapping_events_flips_signs(seed):
    data = _data(seed).assign(event=lambda d: (d["uniform"] < 0.4).astype(int))
    for link in ("logit", "probit"):
        first = glmm("event ~ x + (1 | family)", data, link=link)
        second = glmm("event ~ x + (1 | family)", data.assign(event=1 - data.event), link=link)
        assert second.log_lik == pytest.approx(first.log_lik, abs=SAME_FIT)
        assert second.beta.to_numpy() == pytest.approx(-first.beta.to_numpy(), abs=1e-4)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 49))
def test_trials_are_rows(seed):
    # y successes of n trials are n rows of one trial, up to the binomial coefficients
    data = _data(seed).assign(hits=lambda d: np.floor(d["uniform"] * (d["trials"] + 1)))
    together = glmm("hits ~ x + (1 | family)", data, weights="trials")
    rows = data.loc[data.index.repeat(data["trials"])]
    number = rows.groupby(level=0).cumcount()
    apart = glmm("event ~ x + (1 | family)", rows.assign(event=(number < rows["hits"]).astype(int)))
    constant = together.problem.outcome.constant
    assert together.log_lik - constant == pytest.approx(apart.log_lik, abs=SAME_FIT)
    assert together.beta.to_numpy() == pytest.approx(apart.beta.to_numpy(), abs=1e-4)


@pytest.mark.parametrize(("family", "link"), LINKS)
def test_far_out_there_is_a_number_or_a_refusal(family, link):
    # what a line search may try: never a finite deviance that is not the dense one
    problem = _problem(_data(12), "(1 | therapist/family)", family, link)
    for size in (5.0, 50.0, 500.0):
        at = np.array([size, size, 2.0 * size, -size])
        try:
            with np.errstate(all="ignore"):
                value, _ = _value_and_gradient(problem, laplace, at)
        except (NotIdentifiedError, linalg.LinAlgError):
            continue
        if size == 5.0 and np.isfinite(value):
            assert value == pytest.approx(_climbed(problem, at), rel=1e-9)


def _climbed(problem: GeneralizedProblem, at: np.ndarray) -> float:
    """The Laplace deviance from the mode that a general-purpose minimiser finds."""
    k = problem.template.n_theta
    Lambda = problem.arranged(problem.template.factors(at[:k]))
    shapes = [x.shape for x in problem.no_effects()]
    sizes = [int(np.prod(shape)) for shape in shapes]
    fixed = problem.offset + at[k:] @ problem.Q

    def split(flat):
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def eta_of(flat):
        effects = [L @ x for L, x in zip(Lambda, split(flat), strict=True)]
        return fixed + random_part(problem.layout, problem.rows, effects)

    ZL = np.column_stack([eta_of(e) - fixed for e in np.eye(sum(sizes))])

    def objective(flat):
        density, score, _ = problem.family.slopes(fixed + ZL @ flat, problem.outcome)
        return -2.0 * density.sum() + flat @ flat, -2.0 * ZL.T @ score + 2.0 * flat

    found = optimize.minimize(
        objective, np.zeros(sum(sizes)), jac=True, method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-15, "gtol": 1e-9},
    )  # fmt: skip
    _, _, weight = problem.family.slopes(fixed + ZL @ found.x, problem.outcome)
    M = ZL.T @ (weight[:, None] * ZL) + np.eye(len(found.x))
    return float(found.fun - 2.0 * problem.outcome.constant + np.linalg.slogdet(M)[1])

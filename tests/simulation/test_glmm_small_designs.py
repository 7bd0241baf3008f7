"""Random small designs, near-separated ones among them: no silent wrong optimum.

Every fit is compared with the best of many starts of the same deviance, whose values are themselves
held to a dense computation that shares no code with the engine.
"""

import itertools
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, optimize

from alliance_stats.engine.families import family_of
from alliance_stats.engine.laplace import laplace
from alliance_stats.errors import ConvergenceWarning, NotIdentifiedError
from alliance_stats.multilevel import GeneralizedLinearMixedModel, glmm

pytestmark = pytest.mark.slow

# By how much another start may be lower: the rounding of the deviance and of the boundary rule.
NO_WORSE = 1e-6
SAME_DEVIANCE = 1e-8

MODELS = (
    ("(1 | therapist)", "logit"),
    ("(1 | therapist/family)", "logit"),
    ("(1 | therapist/family)", "cloglog"),
    ("(1 + x | therapist)", "logit"),
    ("(1 | therapist) + (1 | rater)", "probit"),
    ("(1 + x || family) + (1 | rater)", "cloglog"),
    ("(1 | therapist/family)", "log"),
    ("(1 + x | therapist) + (1 | rater)", "log"),
)
SEEDS = range(25)


def _design(seed: int) -> pd.DataFrame:
    """A small study; half of them with rare events and a group in which they are rarer still."""
    rng = np.random.default_rng(seed)
    n_therapists, per_therapist = rng.integers(3, 8), rng.integers(2, 6)
    family = np.repeat(np.arange(n_therapists * per_therapist), rng.integers(2, 5))
    n = len(family)
    therapist = family // per_therapist
    rare = seed % 2 == 1
    group = rng.random(n) < (0.25 if rare else 0.5)
    x = rng.standard_normal(n)
    sds = rng.choice([0.0, 0.4, 1.2], size=3)
    rater = rng.integers(0, 4, n)
    u = sds[0] * rng.standard_normal(n_therapists)[therapist]
    u = u + sds[1] * rng.standard_normal(n_therapists * per_therapist)[family]
    u = u + sds[2] * rng.standard_normal(4)[rater]
    eta = (-2.0 if rare else 0.0) + 0.5 * x - (1.5 if rare else 0.5) * group + u
    return pd.DataFrame(
        {
            "therapist": therapist,
            "family": family,
            "rater": rater,
            "x": x,
            "group": np.where(group, "yes", "no"),
            "event": (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(int),
            "count": rng.poisson(np.exp(np.clip(eta, None, 3.0))),
        }
    )


def _fit(seed: int, random: str, link: str) -> GeneralizedLinearMixedModel:
    data = _design(1000 * MODELS.index((random, link)) + seed)
    if link == "log":
        return glmm(f"count ~ x + group + {random}", data, family="poisson")
    return glmm(f"event ~ x + group + {random}", data, link=link)


def _dense_deviance(model: GeneralizedLinearMixedModel) -> float:
    """-2 log-likelihood by Laplace at the fit, from the frame, with dense matrices."""
    design = model.design
    n = len(design.y)
    columns, factors = [], []
    for grouping, Lambda in zip(design.groupings, model.fit.Lambda, strict=True):
        n_units = len(grouping.labels)
        Z = np.zeros((n, n_units, len(Lambda)))
        for j, column in enumerate(grouping.Z):
            Z[np.arange(n), grouping.codes, j] = column
        columns.append(Z.reshape(n, -1))
        factors.append(np.kron(np.eye(n_units), Lambda))
    ZL = np.hstack(columns) @ linalg.block_diag(*factors)
    fixed = design.X @ model.beta.to_numpy()[design.fixed.kept]
    family = family_of(model.family.name, model.family.link)
    outcome = family.outcome(design.y, np.ones(n))
    u = np.zeros(ZL.shape[1])
    for _ in range(200):
        _, score, weight = family.slopes(fixed + ZL @ u, outcome)
        M = ZL.T @ (weight[:, None] * ZL) + np.eye(len(u))
        step = linalg.solve(M, ZL.T @ score - u, assume_a="pos")
        share = min(1.0, 1.0 / np.abs(step).max()) if step.any() else 1.0
        u = u + share * step
        if np.abs(step).max() < 1e-12:
            break
    density = family.log_density(fixed + ZL @ u, outcome).sum() + outcome.constant
    return float(-2.0 * density + u @ u + np.linalg.slogdet(M)[1])


def _best_of_many_starts(model: GeneralizedLinearMixedModel) -> float:
    """Lowest deviance that quasi-Newton reaches from a grid of variances, theta unbounded."""
    problem = model.problem
    template, k = problem.template, problem.template.n_theta
    terms = len(template.terms())
    sizes = itertools.islice(itertools.product((0.1, 1.0, 3.0), repeat=terms), 27)
    diagonal = template.entries[:, 1] == template.entries[:, 2]
    term_of = np.concatenate(
        [np.full(q * (q + 1) // 2, t) for t, q in enumerate(q for b in template.blocks for q in b)]
    )

    def objective(v: np.ndarray) -> tuple[float, np.ndarray]:
        Lambda = template.factors(v[:k])
        try:
            with np.errstate(all="ignore"):
                slopes = laplace(problem, Lambda, v[k:], problem.no_effects())
        except NotIdentifiedError:  # a line search's step into nowhere
            return 1e10, np.zeros(len(v))
        in_theta = [2.0 * D @ L for D, L in zip(slopes.D, Lambda, strict=True)]
        return slopes.deviance, np.r_[template.theta(in_theta), slopes.gamma]

    best = np.inf
    for size in sizes:
        for correlated in (0.0, 0.5) if not diagonal.all() else (0.0,):
            theta = np.where(diagonal, np.array(size)[term_of], correlated)
            found = optimize.minimize(
                objective,
                np.r_[theta, model.fit.gamma],
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": 60},
            )
            best = min(best, float(found.fun))
    return best


@pytest.mark.parametrize(("random", "link"), MODELS)
def test_no_silent_wrong_optimum(random, link):
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                model = _fit(seed, random, link)
        except NotIdentifiedError as refusal:
            seen[str(refusal)[:10]] += 1
            continue
        except ConvergenceWarning:
            seen["warned"] += 1
            continue
        seen["singular" if model.singular else "interior"] += 1
        deviance = model.fit.deviance
        assert deviance == pytest.approx(_dense_deviance(model), abs=SAME_DEVIANCE), seed
        assert deviance <= _best_of_many_starts(model) + NO_WORSE, seed
    # designs that were fitted, not refused, are what is tested
    assert seen["singular"] + seen["interior"] >= len(SEEDS) // 2, seen
    assert seen["warned"] <= 1, seen

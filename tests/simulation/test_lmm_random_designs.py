"""The optimum is the optimum: random small designs, half of them singular."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from alliance_stats.engine.criterion import LinearCriterion
from alliance_stats.multilevel import lmm

# No start of an independent optimiser may find a deviance lower than this much below ours.
WORSE = 1e-4
N_STARTS = 12

FORMULAS = (
    "y ~ x + (1 | a)",
    "y ~ x + (1 | a/b)",
    "y ~ x + (1 | a/b/c)",
    "y ~ x + (1 + x | a)",
    "y ~ x + (1 + x || a)",
    "y ~ x + (1 + x | a) + (1 | a:b)",
    "y ~ x + (1 | a) + (1 | r)",
    "y ~ x + (1 + x | a) + (1 | r)",
    "y ~ x + (1 + x + z | a)",
    "y ~ x + (1 + x | a/b)",
)


def random_design(seed: int) -> tuple[str, pd.DataFrame, bool]:
    """A small nested and crossed data set; some variances are exactly zero in half of them."""
    rng = np.random.default_rng(seed)
    n_a, n_b, n_c, n_r = rng.integers(4, 9), rng.integers(2, 4), 2, rng.integers(3, 6)
    rows = [
        (a, b, c)
        for a in range(n_a)
        for b in range(n_b)
        for c in range(n_c)
        for _ in range(rng.integers(2, 5))
    ]
    a, b, c = np.array(rows).T
    n = len(a)
    ab, abc = a * 10 + b, (a * 10 + b) * 10 + c
    data = pd.DataFrame({"a": a, "b": b, "c": c, "r": rng.integers(0, n_r, n)})
    data["x"], data["z"] = rng.normal(size=n), rng.uniform(-1, 1, size=n)
    keep = rng.random(6) < (0.4 if seed % 2 else 0.95)
    sd = keep * rng.uniform(0.2, 1.5, 6)

    def effect(codes, scale):
        return scale * rng.normal(size=int(codes.max()) + 1)[codes]

    data["y"] = (
        1.0
        + 0.5 * data["x"]
        + effect(a, sd[0])
        + effect(ab, sd[1])
        + effect(abc, sd[2])
        + effect(data["r"].to_numpy(), sd[3])
        + effect(a, sd[4]) * data["x"]
        + effect(a, sd[5]) * data["z"]
        + rng.normal(size=n)
    )
    return FORMULAS[seed % len(FORMULAS)], data, bool(rng.random() < 0.5)


def best_of_many_starts(model, seed: int) -> float:
    """The lowest deviance that an unbounded optimiser finds from scattered starts."""
    rng = np.random.default_rng(seed)
    template, criterion = model.problem.template, LinearCriterion(model.problem)
    k = template.n_theta

    def deviance_and_gradient(theta):
        slopes = criterion.evaluate(template.factors(theta), np.empty(0), None)
        return slopes.deviance, template.theta(slopes.Lambda)

    lowest = np.inf
    for i in range(N_STARTS):
        start = rng.normal(size=k) * (10.0 ** rng.uniform(-1.5, 1.0))
        if i == 0:
            start = np.full(k, 1e-2)
        found = optimize.minimize(deviance_and_gradient, start, jac=True, method="L-BFGS-B")
        lowest = min(lowest, float(found.fun))
    return lowest


def excess(seed: int) -> tuple[float, bool]:
    formula, data, reml = random_design(seed)
    model = lmm(formula, data, reml=reml)
    assert model.convergence.converged, (seed, formula, model.convergence)
    return model.fit.deviance - best_of_many_starts(model, seed), model.singular


@pytest.mark.parametrize("seed", range(30))
def test_no_start_beats_the_fit(seed):
    assert excess(seed)[0] < WORSE


@pytest.mark.slow
def test_three_hundred_designs():
    found = [excess(seed) for seed in range(300)]
    worst = max(value for value, _ in found)
    singular = sum(singular for _, singular in found)
    assert worst < WORSE
    assert 60 < singular < 240  # the designs do exercise both kinds

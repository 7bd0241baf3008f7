"""Small random designs of every family, half near a boundary: no fit ends above another start's.

Neither another start of ours nor the best of R's (:mod:`tests.simulation.family_designs`).
"""

import json
import warnings

import numpy as np
import pytest

from alliance_stats.engine.generalized_search import GeneralizedCriterion
from alliance_stats.engine.search import Options, search
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.multilevel import glmm, ordinal
from alliance_stats.multilevel.outcome_checks import LARGEST_SD
from tests.simulation.family_designs import DESIGNS, FAMILIES, FORMULAS, REFERENCE, drawn

pytestmark = pytest.mark.slow

# Two searches end within this of the same minimum, in log-likelihood.
SAME = 1e-5
SIZES, SHIFTS = (0.05, 0.4, 1.5), (-1.5, 0.0, 1.5)
# A log-density that is not concave, so that a unit's effect has several modes: at large SDs the
# Laplace approximation (R's and ours) can be far above the integral.
SEVERAL_MODES = "truncated linear negative binomial"
NODES = 15


def is_above_the_integral(family, seed, log_lik):
    """Whether a log-likelihood is more than the integral itself attains anywhere."""
    exact = fitted(family, seed, nodes=NODES)
    return family == SEVERAL_MODES and exact is not None and -exact.deviance / 2.0 < log_lik


def fitted(family, seed, nodes=1):
    """Fit a design, warnings being errors; None where it was refused in words."""
    kind, data = drawn(family, seed)
    weights = "trials" if family == "beta-binomial" else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if family == "ordinal":
                return ordinal(FORMULAS[kind], data).fit
            return glmm(FORMULAS[kind], data, family=family, weights=weights, nodes=nodes).fit
    except (NotIdentifiedError, DataError):
        return None


@pytest.mark.parametrize("family", FAMILIES)
def test_no_fit_ends_above_another_start(family):
    found = 0
    for seed in range(DESIGNS):
        fit = fitted(family, seed)
        if fit is None:
            continue
        found += 1
        criterion = GeneralizedCriterion(fit.problem, fit.approximation)
        for size, shift in zip(SIZES, SHIFTS, strict=True):
            other = fit.minimum.other.copy()
            if family != "ordinal" and fit.problem.shape.size:
                other[-1] += shift
            start = [size * np.eye(len(own)) for own in fit.Lambda]
            try:
                with np.errstate(over="ignore", invalid="ignore"):  # of starts far out
                    stop = search(
                        criterion, start, other, fit.problem.no_effects(), options=Options()
                    )
            except NotIdentifiedError:  # that start leads nowhere
                continue
            if fit.deviance > stop.deviance + 2.0 * SAME:
                assert is_above_the_integral(family, seed, -stop.deviance / 2.0), (seed, size)
    assert found >= DESIGNS // 2


@pytest.mark.parametrize("family", FAMILIES)
def test_no_fit_ends_below_the_best_start_of_r(family):
    theirs = json.loads(REFERENCE.read_text(encoding="utf-8"))[family]
    found = 0
    for seed, total, log_lik, sd in zip(
        theirs["design"], theirs["total"], theirs["log_lik"], theirs["sd"], strict=True
    ):
        own = float(drawn(family, seed)[1]["y"].sum().round(6))
        assert own == pytest.approx(total, abs=1e-5)  # the data R had
        if log_lik is None or sd > LARGEST_SD:  # an SD that runs away
            continue
        fit = fitted(family, seed)
        if fit is not None:
            found += 1
            if -fit.deviance / 2.0 < log_lik - SAME:
                assert is_above_the_integral(family, seed, log_lik), seed
    assert found >= len(theirs["design"]) // 2

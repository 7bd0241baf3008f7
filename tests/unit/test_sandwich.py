"""CR2 from what a covariance is made of equals CR2 from the whole matrix."""

import numpy as np
import pytest

from alliance_stats.engine.sandwich import RowVariances, cr2

# The integral and the eigenvalues of the dense matrices each lose some digits where the variances
# of the rows span four orders of magnitude.
SAME = 1e-7


def clusters(kind: str) -> tuple[list, list, list]:
    rng = np.random.default_rng(3)
    X, residuals, working = [], [], []
    for c in range(6):
        n = int(rng.integers(60, 220))
        family = rng.integers(0, 9, n)
        effects = np.column_stack([np.full(n, 0.4), *(0.5 * (family == f) for f in range(9))])
        columns = [np.ones(n), 1e4 * rng.normal(size=n), np.full(n, rng.normal()),
                   rng.integers(0, 2, n)]  # fmt: skip
        variances = np.full(n, 0.7)
        if kind == "strata":
            variances = np.array([0.3, 0.9, 2.0])[rng.integers(0, 3, n)]
        if kind in ("unequal", "alone"):
            effects, variances = None, np.exp(rng.uniform(-9.0, 0.0, n))
        if kind == "alone":  # one cluster alone determines a coefficient
            columns.append(np.full(n, float(c == 2)))
        X.append(np.column_stack(columns))
        residuals.append(rng.normal(size=n))
        working.append(RowVariances(variances, effects))
    return X, residuals, working


@pytest.mark.parametrize("kind", ["equal", "strata", "unequal", "alone"])
def test_made_of_parts_is_the_whole(kind):
    X, residuals, working = clusters(kind)
    dense = cr2(X, residuals, [own.dense() for own in working])
    parts = cr2(X, residuals, working)
    np.testing.assert_allclose(parts.vcov, dense.vcov, rtol=SAME)
    C = np.eye(X[0].shape[1])
    np.testing.assert_allclose(parts.df(C), dense.df(C), rtol=SAME)
    ours, theirs = (found.f_test(C[1:3], np.ones(len(C))) for found in (parts, dense))
    assert ours.statistic == pytest.approx(theirs.statistic, rel=SAME)
    assert ours.df2 == pytest.approx(theirs.df2, rel=SAME)

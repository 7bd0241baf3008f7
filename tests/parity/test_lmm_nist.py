"""Longley's data, whose predictors are nearly collinear, against NIST's certified values.

NIST Statistical Reference Datasets, Longley (1967, doi:10.1080/01621459.1967.10500896). Years and
sums of money stand side by side; between the made-up groups nothing varies, so that the mixed
model is ordinary least squares.
"""

import numpy as np
from statsmodels.datasets import longley

from alliance_stats.multilevel import lmm

BETA = [
    -3482258.63459582,
    15.0618722713733,
    -0.0358191792925910,
    -2.02022980381683,
    -1.03322686717359,
    -0.0511041056535807,
    1829.15146461355,
]
STD_ERROR = [
    890420.383607373,
    84.9149257747669,
    0.0334910077722432,
    0.488399681651699,
    0.214274163161675,
    0.226073200069370,
    455.478499142212,
]
RESIDUAL_SD = 304.854073561965
# The condition number of the centred and scaled columns is about 1e2; a QR keeps 13 digits.
DIGITS = 1e-9


def test_longley():
    data = longley.load_pandas().data.assign(g=np.tile([0, 1, 2, 3], 4))
    model = lmm("TOTEMP ~ GNPDEFL + GNP + UNEMP + ARMED + POP + YEAR + (1 | g)", data)
    assert model.singular
    table = model.tidy()
    np.testing.assert_allclose(table["estimate"], BETA, rtol=DIGITS)
    np.testing.assert_allclose(table["std_error"], STD_ERROR, rtol=DIGITS)
    np.testing.assert_allclose(model.sigma, RESIDUAL_SD, rtol=DIGITS)
    np.testing.assert_allclose(table["df"], 9, rtol=1e-6)

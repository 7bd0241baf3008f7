"""Intervals, p-values and the shared column names."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.account import Result
from alliance_stats.estimates import GLOSSARY, two_sided_p, wald_interval
from alliance_stats.ledger import RowLedger

# Printed tables of Student's t and the normal distribution carry this many digits.
TABLE_DIGITS = 1e-3
# Closed forms: only the rounding of the library's distribution function is left.
ROUNDING = 1e-12


def test_wald_interval_is_normal_without_df():
    low, high = wald_interval(1.0, 2.0)
    assert low == pytest.approx(1 - 2 * 1.959963984540054, abs=ROUNDING)
    assert high == pytest.approx(1 + 2 * 1.959963984540054, abs=ROUNDING)


@pytest.mark.parametrize(("df", "quantile"), [(1, 12.706), (2, 4.303), (4, 2.776), (30, 2.042)])
def test_wald_interval_has_the_t_tables_width(df: float, quantile: float):
    low, high = wald_interval(0.0, 1.0, df=df)
    assert high == pytest.approx(quantile, abs=TABLE_DIGITS)
    assert low == -high


def test_interval_has_the_asked_level():
    # t with 1 df is Cauchy: quantile = tan(pi (p - 1/2))
    _, high = wald_interval(0.0, 1.0, df=1, conf_level=0.5)
    assert high == pytest.approx(np.tan(np.pi * 0.25), abs=ROUNDING)


def test_interval_broadcasts():
    low, high = wald_interval([0.0, 1.0], 1.0, df=[np.inf, 2])
    assert low.shape == high.shape == (2,)
    assert np.all(low < high)


def test_interval_refuses_a_level_in_percent():
    with pytest.raises(ValueError, match=r"conf_level must lie between 0 and 1 .*got 95"):
        wald_interval(0.0, 1.0, conf_level=95)


def test_p_values_of_the_closed_forms():
    assert two_sided_p(1.959963984540054) == pytest.approx(0.05, abs=ROUNDING)
    assert two_sided_p(1.0, df=1) == pytest.approx(0.5, abs=ROUNDING)  # Cauchy
    np.testing.assert_allclose(two_sided_p([-2.0, 2.0], df=5), two_sided_p(2.0, df=5))
    assert two_sided_p(0.0) == 1.0


def test_interval_and_p_value_agree():
    low, _ = wald_interval(1.3, 0.5, df=7, conf_level=1 - float(two_sided_p(2.6, df=7)))
    assert low == pytest.approx(0.0, abs=ROUNDING)


def test_glossary_explains_every_column_in_a_line():
    for column, meaning in GLOSSARY.items():
        assert column == column.lower()
        assert meaning.strip() == meaning
        assert meaning
    with pytest.raises(TypeError):
        GLOSSARY["new"] = "x"  # type: ignore[index]


def test_a_result_is_told_by_what_it_can_do():
    class Half:
        def tidy(self) -> pd.DataFrame:
            return pd.DataFrame()

    class Whole(Half):
        rows = RowLedger.start(pd.DataFrame({"x": [1]}))

        def glance(self) -> pd.DataFrame:
            return pd.DataFrame()

        def summary(self) -> str:
            return ""

    assert isinstance(Whole(), Result)
    assert not isinstance(Half(), Result)

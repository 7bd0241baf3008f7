"""Figures of planned studies: what is drawn is what was simulated."""

import numpy as np
import pytest

from alliance_stats.errors import DataError, WrongObjectError
from alliance_stats.figures import (
    Theme,
    interval_width_figure,
    power_figure,
    power_map_figure,
    power_sensitivity_figure,
)
from alliance_stats.power import ArmDifference, ClusterTrial, power
from tests.figure_lint.cases.power import MANY, TWO, planned, voiced


def lines(figure, gid):
    return [line for line in figure.axes[0].get_lines() if line.get_gid() == gid]


def test_curves_bands_and_formula_are_those_of_the_table():
    found = planned(**TWO)
    made = power_figure(found)
    table = found.tidy()
    drawn = lines(made.figure, "estimate")
    assert len(drawn) == 2
    for line, members in zip(drawn, (4, 12), strict=True):
        own = table[table["members"] == members]
        np.testing.assert_allclose(line.get_xdata(), own["clusters"])
        np.testing.assert_allclose(line.get_ydata(), 100 * own["estimate"])
    formulas = lines(made.figure, "closed form")
    np.testing.assert_allclose(
        formulas[0].get_ydata(), 100 * table.loc[table["members"] == 4, "closed_form"]
    )
    assert "24 simulated studies of each design" in made.caption
    assert made.data["estimate"].tolist() == table["estimate"].tolist()
    (aim,) = lines(made.figure, "aim")
    assert set(aim.get_ydata()) == {80.0}
    assert not lines(power_figure(found, aim=None).figure, "aim")


def test_one_design_has_its_interval_and_its_formula():
    made = power_figure(planned(clusters=(6,)))
    (formula,) = lines(made.figure, "closed form")
    assert formula.get_marker() == "_"  # a line of one point would not be seen
    assert [c.get_segments() for c in made.figure.axes[0].collections if hasattr(c, "get_segments")]


def test_widths_are_in_units_of_the_estimate():
    found = planned(clusters=(3, 6, 12, 20))
    (line,) = lines(interval_width_figure(found).figure, "estimate")
    np.testing.assert_allclose(line.get_ydata(), found.tidy()["width"])


def test_a_map_has_a_point_for_every_design():
    made = power_map_figure(planned(**MANY))
    (points,) = [c for c in made.figure.axes[0].collections if c.get_gid() == "design"]
    assert len(points.get_offsets()) == 16
    assert "16 designs (points)" in made.caption


def test_values_that_are_no_numbers_have_names_on_the_axis():
    ticks = power_figure(voiced()).figure.axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["0.85, 0.3", "0.7, 0.3", "0.5, 0.5"]
    german = power_figure(voiced(), theme=Theme(decimal=","))
    assert german.figure.axes[0].get_ylabel() == "Studies with p < ,05 (%)"


def test_what_has_no_axis_is_refused():
    alone = power(ClusterTrial(clusters=3, members=3), ArmDifference(), n_studies=3, seed=1)
    with pytest.raises(DataError, match="ask power with vary="):
        power_figure(alone)
    with pytest.raises(DataError, match="over two numbers that were varied"):
        power_map_figure(planned(clusters=(3, 6, 12, 20)))
    with pytest.raises(DataError, match="'icc' was not varied"):
        power_figure(planned(**TWO), along="icc")
    with pytest.raises(DataError, match="no term 'b'"):
        power_figure(planned(**TWO), term="b")
    with pytest.raises(DataError, match="aim is a power"):
        power_figure(planned(**TWO), aim=80)
    with pytest.raises(WrongObjectError, match="power_figure"):
        power_sensitivity_figure(planned(**TWO))

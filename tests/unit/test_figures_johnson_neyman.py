"""Johnson-Neyman plots draw the band, the bounds and the data, and say the regions."""

import numpy as np
import pytest

from tests.figure_lint.cases.models import moderated
from tests.figure_lint.cases.models import regions as figure
from tests.figure_lint.lint import lint

RESULT = moderated()


def test_the_regions_are_drawn_between_the_bounds() -> None:
    regions = RESULT.tidy()
    assert len(regions) == 3
    lines = [x for x in figure(RESULT).figure.axes[0].lines if x.get_gid() in {*regions.direction}]
    ends = [(line.get_xdata()[0], line.get_xdata()[-1]) for line in lines]
    np.testing.assert_allclose(ends, regions[["region_low", "region_high"]])
    assert [line.get_gid() for line in lines] == regions["direction"].tolist()
    assert {line.get_linestyle() for line in lines} == {"-", "--"}  # not colour alone


def test_a_bound_is_where_the_band_meets_zero() -> None:
    report = figure(RESULT)
    bounds = [x.get_xdata()[0] for x in report.figure.axes[0].lines if x.get_gid() == "bound"]
    own = RESULT.boundaries().query("within_data")["value"].to_numpy()
    np.testing.assert_allclose(np.sort(bounds), np.sort(own))
    for bound in own:
        assert f"{bound:.2f}".replace("-", "−") in report.caption


def test_the_rug_holds_every_unit_and_the_counts_are_said() -> None:
    report = figure(RESULT)
    rug = next(x for x in report.figure.axes[0].collections if x.get_gid() == "rug")
    places = [path.vertices[0, 0] for path in rug.get_paths()]
    np.testing.assert_allclose(np.sort(places), RESULT.support)
    for row in RESULT.tidy().itertuples():
        assert f"n = {row.n}, {100 * row.share:.0f}% of therapists" in report.alt
    assert "n = 24" in report.note
    drawn = report.data[report.data["part"] == "unit"]
    assert drawn["value"].tolist() == RESULT.support.tolist()


def test_the_control_is_named() -> None:
    assert "each value separately" in figure(RESULT).note
    assert "false discovery rate" in figure(moderated(adjust="fdr")).note


@pytest.mark.parametrize("interaction", [0.5, 0.0, 3.0])
@pytest.mark.parametrize("name", ["Experience (years)", "Großmutter väterlicherseits, §4 <$5>"])
def test_nothing_overlaps_or_is_clipped(interaction: float, name: str) -> None:
    assert lint(figure(moderated(interaction), name)) == []

"""Limits of a spread that few units with extreme outcomes hardly know."""

import numpy as np
import pytest

from alliance_stats.errors import AllianceStatsWarning
from tests.figure_lint.cases.survival import courses
from tests.figure_lint.cases.survival import hazard_of_therapists as fitted

# Laplace deviances at SD 6.49 as glmmTMB (1.1.5) has them, 36.9626 against 37.2591 at the fit.
FALL = "0.33 below that of the fit"


def test_three_therapists_have_no_upper_limit() -> None:
    # one of whose families all left, one of whose nearly all stayed
    data = courses(3)
    with pytest.warns(AllianceStatsWarning, match=f"SD of 5.3 is {FALL} .SD 2.89.: .* nodes=15"):
        laplace = fitted(data).median_ratios().iloc[0]
    logit = fitted(data, link="logit").median_ratios().iloc[0]
    exact = fitted(data, nodes=15).median_ratios().iloc[0]
    for row in (laplace, logit, exact):
        assert row.conf_high == np.inf
        assert 1.0 < row.conf_low < row.estimate < np.inf

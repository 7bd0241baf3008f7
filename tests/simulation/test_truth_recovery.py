"""Over repeated simulation, what is fitted recovers what was built in.

The table is kept in ``docs/coverage/truth_recovery.md``.
"""

from math import sqrt
from pathlib import Path

import pandas as pd
import pytest

from alliance_stats.simulate import AllianceTruth
from tests.simulation.recovery import recover

pytestmark = pytest.mark.slow

N_STUDIES = 300
N_NORMAL = 150
# |z| of a bias against its Monte Carlo error: beyond 4 lies one in 16,000, and there are ~60 rows
Z_LIMIT = 4.0
# coverage of 95% intervals: 4 binomial standard errors around 0.95
COVERAGE_MARGIN = 4.0 * sqrt(0.95 * 0.05 / N_STUDIES)
# splits and ruptures are no normal deviates, and first ratings hold no rupture: the SDs of a model
# that takes all of them as normal and alike are off by half a hundredth of a point
SD_MODEL_ERROR = 0.01
# observed means carry their own error, which pulls the between effect towards the within effect,
# here by a seventh of the difference of 1.5 (Luedtke et al. 2008, doi:10.1037/a0012869)
ATTENUATION = 0.35
# 75 dropouts in 30 therapists: in one study of ten the likelihood has its peak at no variance of
# therapists, and the mean of its SDs lies below the truth
SD_SHRINKAGE = 0.06
# reciprocities are correlations of effects that 7 mothers a therapist tell little of; where the
# likelihood has its peak at -1 or 1 the search ends there
DYADIC_ERROR = 0.02
GENERALIZED_ERROR = 0.08
PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "truth_recovery.md"


@pytest.fixture(scope="module")
def default() -> pd.DataFrame:
    table = recover(range(1, N_STUDIES + 1)).set_index("parameter")
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(as_page(table), encoding="utf-8", newline="\n")
    return table


@pytest.fixture(scope="module")
def normal() -> pd.DataFrame:
    """Studies in which every random part is normal, as the fitted model has it."""
    truth = AllianceTruth(split_probability=0.0, rupture_rate=0.0)
    return recover(range(1, N_NORMAL + 1), truth).set_index("parameter")


def of_model(table: pd.DataFrame, *models: str) -> pd.DataFrame:
    return table[table.index.str.split(".").str[0].isin(models)]


def is_sd(table: pd.DataFrame) -> pd.Series:
    return table.index.to_series().str.contains("sd__")


def test_fixed_effects_are_unbiased(default):
    fixed = of_model(default, "alliance", "alliance_plain", "symptoms", "therapist_alliance")
    fixed = fixed[~is_sd(fixed)]
    assert len(fixed) == 22
    assert (fixed["bias"].abs() <= Z_LIMIT * fixed["bias_error"]).all(), fixed


def test_intervals_cover_as_often_as_they_say(default):
    attenuated = ["symptoms_observed.between", "symptoms_observed.(Intercept)"]
    fixed = default[~is_sd(default)].drop(attenuated)
    fixed = fixed[fixed["coverage"].notna()]
    assert len(fixed) == 30
    assert (fixed["coverage"] >= 0.95 - COVERAGE_MARGIN).all(), fixed
    assert (fixed["coverage"] <= 0.95 + COVERAGE_MARGIN).all(), fixed


def test_sds_are_close_where_splits_and_ruptures_are_not_normal(default):
    spread = of_model(default, "alliance", "alliance_plain")
    spread = spread[is_sd(spread)]
    assert len(spread) == 8
    assert (spread["bias"].abs() <= Z_LIMIT * spread["bias_error"] + SD_MODEL_ERROR).all(), spread


def test_fixed_effects_and_sds_are_recovered_where_everything_is_normal(normal):
    within = of_model(normal, "alliance", "alliance_plain")
    # the estimate of an SD is biased downwards by about a quarter of its squared relative error
    curvature = (within["sd"] ** 2 / within["truth"].abs() / 2).where(is_sd(within), 0.0)
    limit = Z_LIMIT * within["bias_error"] + curvature
    assert (within["bias"].abs() <= limit).all(), within


def test_the_within_effect_of_the_alliance_is_recovered_from_observed_means(default):
    row = default.loc["symptoms_observed.within"]
    assert abs(row["bias"]) <= Z_LIMIT * row["bias_error"]


def test_the_between_effect_is_attenuated_towards_the_within_effect(default):
    truth = default.loc["symptoms.between", "truth"]
    observed = default.loc["symptoms_observed.between", "mean"]
    assert truth < observed < truth + ATTENUATION


def test_the_dropout_hazard_is_recovered(default):
    hazard = of_model(default, "dropout")
    spread, hazard = hazard[is_sd(hazard)], hazard[~is_sd(hazard)]
    assert len(hazard) == 6
    assert (hazard["bias"].abs() <= Z_LIMIT * hazard["bias_error"]).all(), hazard
    between = spread.loc["dropout.sd__therapist"]
    assert abs(between["bias"]) <= Z_LIMIT * between["bias_error"] + SD_SHRINKAGE


def test_spreads_of_therapists_ratings_are_recovered(default):
    spread = of_model(default, "therapist_alliance")
    spread = spread[is_sd(spread)]
    assert len(spread) == 4
    # the estimate of an SD is biased downwards by about a quarter of its squared relative error
    curvature = spread["sd"] ** 2 / spread["truth"] / 2
    assert (spread["bias"].abs() <= Z_LIMIT * spread["bias_error"] + curvature).all(), spread


def test_one_with_many_recovers_both_sides(default):
    both = of_model(default, "one_with_many")
    variances = both[both.index.str.contains("|", regex=False)]
    assert len(variances) == 4
    assert (variances["bias"].abs() <= Z_LIMIT * variances["bias_error"]).all(), variances
    for which, margin in (("dyadic", DYADIC_ERROR), ("generalized", GENERALIZED_ERROR)):
        row = both.loc[f"one_with_many.{which} reciprocity"]
        assert abs(row["median"] - row["truth"]) <= margin, row


PREAMBLE = """\
# Do the fits recover the truth?

{n} studies simulated with `simulate_study(seed=1...{n})` (30 therapists, 240 families, about 650
persons and 6,000 rows each), fitted as an analyst would, beside what was built in. `bias (MCSE)`:
mean estimate minus truth and its Monte Carlo standard error; `SD`: of the estimates; `SE`: mean
reported standard error; `coverage`: of 95% intervals (binomial SE {se:.3f}).

- `alliance_plain`: `alliance ~ session + role + (1 | therapist/family/person)`; `alliance`: with
  experience, framework x parental trauma, investment and therapist's emotion.
- `symptoms`: within and between effects of the alliance, split by the person's true level, which
  only a simulation knows; `symptoms_observed`: split by the observed person mean, whose own error
  pulls the between effect towards the within effect.
- `therapist_alliance`: the therapist's rating of every member, `~ session + (1 |
  therapist/family/person)`; `one_with_many`: mothers' and therapists' ratings at the first session,
  variances and reciprocities (correlations: the median says more than the mean, for in some studies
  the likelihood of 30 therapists has its peak at 1).
- `dropout`: logistic mixed model of dropping out against going on, on the family's running mean up
  to the last attended session, therapists random (Laplace); some 75 dropouts a study, and in
  some studies no variance of therapists at all, which draws the mean of its SD down.
- SDs of the alliance are those of a normal model; one member standing apart in a split family and
  ruptures are not normal, which shifts them by less than 0.01.

| parameter | truth | mean | median | bias (MCSE) | SD | SE | coverage |
|---|--:|--:|--:|--:|--:|--:|--:|
"""


def as_page(table: pd.DataFrame) -> str:
    rows = [
        # a bar within code would end the table's cell
        f"| `{name.replace('|', chr(92) + '|')}` | {row['truth']:.4f} | {row['mean']:.4f} | "
        f"{row['median']:.4f} | "
        f"{row['bias']:+.4f} ({row['bias_error']:.4f}) | {row['sd']:.4f} | "
        f"{number(row['std_error'], 4)} | {number(row['coverage'], 3)} |"
        for name, row in table.iterrows()
    ]
    return PREAMBLE.format(n=N_STUDIES, se=sqrt(0.95 * 0.05 / N_STUDIES)) + "\n".join([*rows, ""])


def number(value: float, digits: int) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"

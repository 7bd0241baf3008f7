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
# the hazard's small therapist effect (SD 0.3) is averaged over: log odds shrink by 1 to 2 percent
HAZARD_SHRINKAGE = 0.02
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
    fixed = of_model(default, "alliance", "alliance_plain", "symptoms")
    fixed = fixed[~is_sd(fixed)]
    assert len(fixed) == 20
    assert (fixed["bias"].abs() <= Z_LIMIT * fixed["bias_error"]).all(), fixed


def test_intervals_cover_as_often_as_they_say(default):
    attenuated = ["symptoms_observed.between", "symptoms_observed.(Intercept)"]
    fixed = default[~is_sd(default)].drop(attenuated)
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
    hazard = hazard[~is_sd(hazard)]
    assert len(hazard) == 6
    limit = Z_LIMIT * hazard["bias_error"] + HAZARD_SHRINKAGE * hazard["truth"].abs()
    assert (hazard["bias"].abs() <= limit).all(), hazard


PREAMBLE = """\
# Do the fits recover the truth?

{n} studies simulated with `simulate_study(seed=1...{n})` (30 therapists, 240 families, about 650
persons and 6,000 rows each), fitted as an analyst would, beside what was built in. `bias (MCSE)`:
mean estimate less truth and its Monte Carlo standard error; `SD`: of the estimates; `SE`: mean
reported standard error; `coverage`: of 95% intervals (binomial SE {se:.3f}).

- `alliance_plain`: `alliance ~ session + role + (1 | therapist/family/person)`; `alliance`: with
  experience, framework x parental trauma, investment and therapist's emotion.
- `symptoms`: within and between effects of the alliance, split by the person's true level, which
  only a simulation knows; `symptoms_observed`: split by the observed person mean, whose own error
  pulls the between effect towards the within effect.
- `dropout`: logistic regression of dropping out against going on, on the family's running mean up
  to the last attended session; standard errors clustered by therapist.
- SDs of the alliance are those of a normal model; one member standing apart in a split family and
  ruptures are not normal, which shifts them by less than 0.01.

| parameter | truth | mean | bias (MCSE) | SD | SE | coverage |
|---|--:|--:|--:|--:|--:|--:|
"""


def as_page(table: pd.DataFrame) -> str:
    rows = [
        f"| `{name}` | {row['truth']:.4f} | {row['mean']:.4f} | "
        f"{row['bias']:+.4f} ({row['bias_error']:.4f}) | {row['sd']:.4f} | "
        f"{number(row['std_error'], 4)} | {number(row['coverage'], 3)} |"
        for name, row in table.iterrows()
    ]
    return PREAMBLE.format(n=N_STUDIES, se=sqrt(0.95 * 0.05 / N_STUDIES)) + "\n".join([*rows, ""])


def number(value: float, digits: int) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"

"""Do intervals of curves, hazards and frailties cover the truth, with therapists as clusters?

Each test states the range that its share must lie in: the nominal level, give or take 3.5 standard
errors of a share from so many simulations, and what the method's own theory leaves.
"""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.survival import cox_ph, cumulative_incidence, log_rank, restricted_mean
from alliance_stats.transforms import running_mean

pytestmark = pytest.mark.slow

REPEATS = 200
MARGIN = 3.5 * np.sqrt(0.95 * 0.05 / REPEATS)  # .054


def clinic(rng: np.random.Generator, *, spread: float, effect: float = 0.5) -> pd.DataFrame:
    """Simulate 60 therapists with 10 families each; half of the therapists are trained."""
    therapist = np.repeat(np.arange(60), 10)
    trained = (therapist % 2 == 0).astype(float)
    z = rng.gamma(1 / spread, spread, 60)[therapist] if spread else np.ones(600)
    time = rng.exponential(1 / (0.08 * z * np.exp(effect * trained)))
    other = rng.exponential(12.0, 600)
    return pd.DataFrame(
        {
            "therapist": therapist,
            "trained": trained,
            "time": np.minimum(time, other) + 1e-9,
            "left": (time < other).astype(int),
            "ending": np.where(time < other, 1, 2),
        }
    )


def test_gamma_frailty_recovers_its_variance_and_its_interval_covers() -> None:
    rng = np.random.default_rng(1)
    estimates, covered, effects = [], 0, 0
    for _ in range(REPEATS):
        fit = cox_ph(
            "trained", clinic(rng, spread=0.3), time="time", event="left", frailty="therapist"
        )
        spread = fit.tidy(effects="ran_pars").iloc[0]
        row = fit.tidy().iloc[0]
        estimates.append(spread["estimate"])
        covered += spread["conf_low"] <= 0.3 <= spread["conf_high"]
        effects += row["conf_low"] <= 0.5 <= row["conf_high"]
    # maximum likelihood is biased down by about one part in the number of therapists
    assert abs(np.mean(estimates) - 0.3) < 0.03
    assert abs(covered / REPEATS - 0.95) < MARGIN + 0.01
    assert abs(effects / REPEATS - 0.95) < MARGIN + 0.01


def test_lognormal_frailty_covers() -> None:
    rng = np.random.default_rng(2)
    covered, estimates = 0, []
    for _ in range(REPEATS):
        data = clinic(rng, spread=0.0)
        u = 0.5 * rng.normal(size=60)
        time = rng.exponential(
            1 / (0.08 * np.exp(u[data["therapist"]] + 0.5 * data["trained"].to_numpy()))
        )
        other = rng.exponential(12.0, 600)
        data = data.assign(time=np.minimum(time, other) + 1e-9, left=(time < other) * 1)
        fit = cox_ph(
            "trained",
            data,
            time="time",
            event="left",
            frailty="therapist",
            frailty_distribution="lognormal",
        )
        spread = fit.tidy(effects="ran_pars").iloc[0]
        estimates.append(spread["estimate"])
        covered += spread["conf_low"] <= 0.5 <= spread["conf_high"]
    assert abs(np.mean(estimates) - 0.5) < 0.03
    assert abs(covered / REPEATS - 0.95) < MARGIN + 0.01


def test_only_the_tests_that_keep_the_nesting_hold_their_level() -> None:
    """Training has no effect; therapists differ. Trained therapists are whole clusters."""
    rng = np.random.default_rng(3)
    naive = clustered = permuted = robust_mean = 0
    for _ in range(REPEATS):
        data = clinic(rng, spread=0.5, effect=0.0)
        columns = {"time": "time", "event": "left"}
        naive += log_rank(data, **columns, group="trained").p_value < 0.05
        permuted += (
            log_rank(
                data, **columns, group="trained", cluster="therapist", n_resamples=399, seed=rng
            ).p_value
            < 0.05
        )
        fit = cox_ph("trained", data, **columns, cluster="therapist")
        clustered += fit.tidy()["p_value"][0] < 0.05
        means = restricted_mean(data, **columns, until=8, strata="trained", cluster="therapist")
        robust_mean += means.differences()["p_value"][0] < 0.05
    level = 3.5 * np.sqrt(0.05 * 0.95 / REPEATS)
    assert naive / REPEATS > 0.10
    assert permuted / REPEATS < 0.05 + level
    assert clustered / REPEATS < 0.05 + level + 0.01
    assert robust_mean / REPEATS < 0.05 + level + 0.01


def test_cumulative_incidence_covers_over_therapists() -> None:
    rng = np.random.default_rng(4)
    at = 6.0
    # everybody is seen until they end: the truth is a plain share of very many
    many = pd.concat([clinic(rng, spread=0.5, effect=0.0) for _ in range(400)])
    true = ((many["time"] <= at) & (many["ending"] == 1)).mean()
    covered = 0
    for _ in range(REPEATS):
        tidy = cumulative_incidence(
            clinic(rng, spread=0.5, effect=0.0), time="time", event="ending", cluster="therapist"
        ).tidy()
        row = tidy[(tidy["state"] == "1") & (tidy["time"] <= at)].iloc[-1]
        covered += row["conf_low"] <= true <= row["conf_high"]
    assert abs(covered / REPEATS - 0.95) < MARGIN + 0.01


def test_why_means_over_the_whole_course_are_refused() -> None:
    """A drifting alliance that predicts nothing: its full-course mean 'predicts' leaving."""
    leaky = honest = 0
    repeats = 20
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        rows = []
        for person in range(250):
            level = rng.normal(4.0, 0.5)
            for session in range(1, 16):
                left = rng.random() < 0.12
                alliance = level + 0.15 * session + rng.normal(0, 0.4)
                rows.append((person, session, alliance, int(left)))
                if left:
                    break
        data = pd.DataFrame(rows, columns=["person", "session", "alliance", "left"])
        data["start"] = data["session"] - 1
        data = running_mean(data, "alliance", person="person", session="session")
        data["mean"] = data.groupby("person")["alliance"].transform("mean")
        columns = {"start": "start", "stop": "session", "event": "left"}
        with pytest.raises(DataError, match="a mean over all rows"):
            cox_ph("mean", data, **columns, person="person")
        leaky += cox_ph("mean", data, **columns).tidy()["p_value"][0] < 0.05
        running = cox_ph("alliance_running_mean", data, **columns, person="person")
        honest += running.tidy()["p_value"][0] < 0.05
    assert leaky == repeats
    assert honest <= 4  # five in a hundred expected; more than 4 of 20 has probability .003

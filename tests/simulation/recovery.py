"""Fit what an analyst would fit to simulated studies and lay it beside the truth."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from alliance_stats.family import one_with_many
from alliance_stats.multilevel import glmm, lmm
from alliance_stats.simulate import AllianceTruth, SimulatedStudy, simulate_study
from alliance_stats.transforms import decompose, person_period, running_mean

NESTED = "(1 | therapist/family/person)"
LEVEL_OF = {
    "therapist": "sd__therapist",
    "therapist:family": "sd__family",
    "therapist:family:person": "sd__person",
    "Residual": "sd__Observation",
}
CENTRE = 5.0  # the alliance at which the simulator's intercepts stand
HAZARD = ["session", "alliance_so_far", "investment", "parent_trauma", "therapist_emotion"]


def estimates(simulated: SimulatedStudy) -> pd.DataFrame:
    """Return ``parameter, estimate, std_error, conf_low, conf_high`` of every fitted model."""
    sessions = simulated.study.sessions.assign(
        role=lambda d: pd.Categorical(d["role"], ["mother", "father", "child", "partner"]),
        framework=lambda d: pd.Categorical(d["framework"], ["usual", "trauma-informed"]),
    )
    return pd.concat(
        [
            _mixed("alliance_plain", f"alliance ~ session + role + {NESTED}", sessions),
            _mixed(
                "alliance",
                "alliance ~ session + role + experience + investment + therapist_emotion "
                f"+ parent_trauma * framework + {NESTED}",
                sessions,
            ),
            _symptoms("symptoms", sessions.assign(**_true_parts(simulated))),
            _symptoms("symptoms_observed", sessions.assign(**_observed_parts(sessions))),
            _mixed("therapist_alliance", f"therapist_alliance ~ session + {NESTED}", sessions),
            _both_sides(sessions),
            _dropout(sessions),
        ],
        ignore_index=True,
    )


def _mixed(model: str, formula: str, data: pd.DataFrame) -> pd.DataFrame:
    fit = lmm(formula, data)
    fixed, spread = fit.tidy(), fit.tidy(effects="ran_pars")
    spread = spread.assign(term=spread["group"].map(LEVEL_OF))
    both = pd.concat([fixed, spread], ignore_index=True)
    return both.assign(parameter=model + "." + both["term"])[
        ["parameter", "estimate", "std_error", "conf_low", "conf_high"]
    ]


def _symptoms(model: str, parts: pd.DataFrame) -> pd.DataFrame:
    return _mixed(model, f"symptoms ~ session + within + between + {NESTED}", parts)


def _true_parts(simulated: SimulatedStudy) -> dict[str, pd.Series]:
    """Split the ratings by the person's true level, which only a simulation knows."""
    level = simulated.latent["level"]
    return {"within": simulated.latent["alliance"] - level, "between": level - CENTRE}


def _observed_parts(sessions: pd.DataFrame) -> dict[str, pd.Series]:
    """Split the ratings by the person's observed mean, as an analyst must."""
    parts = decompose(sessions, "alliance", levels=["person"])
    return {
        "within": parts["alliance_within_person"],
        "between": parts["alliance_person_mean"] - CENTRE,
    }


def _both_sides(sessions: pd.DataFrame) -> pd.DataFrame:
    """Fit one with many to mothers' and therapists' first ratings: one member per family."""
    fit = one_with_many(
        sessions[(sessions["session"] == 1) & (sessions["role"] == "mother")],
        therapist="therapist",
        client="person",
        by_client="alliance",
        by_therapist="therapist_alliance",
    )
    found = fit.tidy()
    variance = found["source"] + "|" + found["level"]
    term = found["term"].where(found["source"] == "both", variance)
    return pd.DataFrame({"parameter": "one_with_many." + term, "estimate": found["estimate"]})


def _dropout(sessions: pd.DataFrame) -> pd.DataFrame:
    """Fit the dropout's log odds against going on, therapists random."""
    periods = person_period(
        sessions, unit="family", session="session", ending="ending", scores=["alliance"]
    )
    periods = running_mean(periods, "alliance", person="family", session="session")
    # against going on: intervals that ended otherwise, or were not observed, say nothing of it
    competing = periods["event"].eq(0) & periods["ending_code"].ne(0)
    used = periods[periods["event"].notna() & ~competing].assign(
        alliance_so_far=lambda d: d["alliance_running_mean"] - CENTRE
    )
    fit = glmm(f"event ~ {' + '.join(HAZARD)} + (1 | therapist)", used, family="binomial")
    fixed, spread = fit.tidy(), fit.tidy(effects="ran_pars").assign(term="sd__therapist")
    both = pd.concat([fixed, spread], ignore_index=True)
    return both.assign(parameter="dropout." + both["term"])[
        ["parameter", "estimate", "std_error", "conf_low", "conf_high"]
    ]


def recover(seeds: Iterable[int], alliance: AllianceTruth | None = None) -> pd.DataFrame:
    """Simulate and fit once a seed; return one row per parameter.

    Columns ``parameter, truth, n`` (estimates; a correlation at a variance of zero is none),
    ``mean, median, bias, bias_error`` (Monte Carlo SE of the bias), ``sd`` (of the estimates),
    ``std_error`` (mean reported one) and ``coverage`` (of 95% intervals; NaN where none was given).
    """
    runs, truth = [], {}
    for seed in seeds:
        simulated = simulate_study(alliance=alliance, seed=seed)
        runs.append(estimates(simulated))
        truth = dict(simulated.truth)
    every = pd.concat(runs, ignore_index=True)
    # the observed split is laid beside the same truth
    every["truth"] = every["parameter"].str.replace("_observed", "").map(truth)
    covered = (every["conf_low"] <= every["truth"]) & (every["truth"] <= every["conf_high"])
    every["covered"] = covered.astype(float).where(every["conf_low"].notna())
    table = every.groupby("parameter", sort=False).agg(
        truth=("truth", "first"),
        n=("estimate", "count"),
        mean=("estimate", "mean"),
        median=("estimate", "median"),
        sd=("estimate", "std"),
        std_error=("std_error", "mean"),
        coverage=("covered", "mean"),
    )
    table.insert(4, "bias", table["mean"] - table["truth"])
    table.insert(5, "bias_error", table["sd"] / np.sqrt(table["n"]))
    return table.reset_index()

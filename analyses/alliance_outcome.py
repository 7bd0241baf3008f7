"""The alliance at the previous session and symptoms, and between whom symptoms differ.

On the example study, which is simulated: symptoms follow the alliance of the same session, and
nothing follows the previous one. What a lagged effect shows here is what it costs to centre a
short series at its own mean.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from alliance_stats.datasets import example_study
from alliance_stats.figures.caterpillar import caterpillar_figure
from alliance_stats.figures.flow import flow_figure
from alliance_stats.figures.levels import variance_partition_figure
from alliance_stats.figures.residuals import residual_figure
from alliance_stats.figures.trajectories import trajectory_figure
from alliance_stats.formatting import (
    format_interval,
    format_number,
    format_percent,
)
from alliance_stats.multilevel import LinearMixedModel, lmm, variance_partition
from alliance_stats.provenance import numbers_from
from alliance_stats.study import Study
from analyses.chapter import Chapter, Numbers, Section
from analyses.session_before import BEFORE, alliance_before, effect_of, with_the_session_before
from analyses.session_to_session import session_to_session
from analyses.simulated import LEVELS, ROLES, SOURCE, SYMPTOMS, called_simulated

NAME = "alliance_outcome"
DRAWS = 200
SEED = 1


def load() -> Study:
    """Return the simulated example study."""
    return example_study()


def main(data: Study, out: Path) -> Chapter:
    """Analyse `data`, write everything into `out` and return what the page shows."""
    sessions, rows = with_the_session_before(data)
    before = effect_of(sessions, BEFORE)
    course, course_numbers = symptoms_over_sessions(data)
    effect, effect_numbers = alliance_before(data, sessions, before)
    effect = replace(
        effect,
        parts=(called_simulated(flow_figure(rows, label="fig-outcome-flow")), *effect.parts),
    )
    lags, lag_numbers = session_to_session(data)
    counted = numbers_from(rows, {"rows": rows.n_used})
    chapter = Chapter(
        name=NAME,
        title="The alliance and symptoms from session to session",
        data="simulated",
        source=(
            f"{SOURCE} Symptoms were made to follow the alliance rated in the same session and "
            "not the one before; what is found about the session before is a matter of method."
        ),
        sections=(course, effect, lags, checks(before.model)),
        numbers={**course_numbers, **effect_numbers, **lag_numbers, **counted},
        headline=(
            "symptoms per point of alliance at the session before, within persons: "
            f"{format_number(effect_numbers['before_within'])} where 0 was built in and centring "
            f"alone makes {format_number(effect_numbers['centring_bias'])} (simulated)"
        ),
    )
    chapter.save(out)
    return chapter


def level_model(data: Study) -> LinearMixedModel:
    """Fit symptoms by session and role, mothers first."""
    sessions = data.sessions
    return lmm(
        "symptoms ~ session + role + (1 | therapist/family/person)",
        sessions.assign(role=pd.Categorical(sessions["role"], list(ROLES))),
    )


def symptoms_over_sessions(data: Study) -> tuple[Section, Numbers]:
    """Show the course of symptoms and split what lies around it among the levels."""
    fit = level_model(data)
    slope = fit.tidy().set_index("term").loc["session"]
    partition = variance_partition(fit, ci_method="bootstrap", n_resamples=DRAWS, seed=SEED)
    shares = partition.tidy()
    shares["group"] = shares["group"].map(LEVELS)
    share = shares.set_index("group")
    first, *others = (
        f"{format_percent(row['estimate'])} between {str(level)[0].lower()}{str(level)[1:]} "
        f"(95% CI {format_percent(row['conf_low'])} to {format_percent(row['conf_high'])})"
        for level, row in share.iterrows()
    )
    text = (
        f"Symptoms changed by {format_number(slope['estimate'])} points a session, 95% CI "
        f"{format_interval(slope['conf_low'], slope['conf_high'])}; higher scores are worse "
        "(@fig-outcome-trajectories). Of the variance around that, "
        f"{', '.join((first.replace('between', 'lay between', 1), *others))} "
        "(@fig-outcome-variance). @fig-outcome-therapists shows the therapists one by one: each "
        "prediction is drawn towards the average as far as the therapist’s families tell little "
        "about it."
    )
    seen = data.sessions["symptoms"].notna().to_numpy()
    trajectories = trajectory_figure(
        data.sessions.assign(
            role=lambda d: pd.Categorical(d["role"].map(ROLES), list(ROLES.values()))
        ),
        session="session",
        score="symptoms",
        person="person",
        role="role",
        cluster="therapist",
        score_label=SYMPTOMS,
        label="fig-outcome-trajectories",
    )
    variance = variance_partition_figure(
        partition,
        outcome_label="symptoms around session and role",
        words={level: LEVELS[level] for level in partition.variances.index},
        label="fig-outcome-variance",
    )
    caterpillar = caterpillar_figure(
        fit,
        group="therapist",
        effect_label="Deviation in symptoms (points)",
        label="fig-outcome-therapists",
    )
    numbers = numbers_from(fit, {"symptoms_per_session": slope["estimate"]}) | numbers_from(
        partition,
        {
            f"share_{level.split()[0].lower()}{end}": row[name]
            for level, row in share.iterrows()
            for end, name in (("", "estimate"), ("_low", "conf_low"), ("_high", "conf_high"))
        },
        seed=SEED,
    )
    figures = (
        called_simulated(trajectories, data.keep(seen, reason="symptoms not rated")),
        called_simulated(variance, partition, seed=SEED),
        called_simulated(caterpillar),
    )
    return Section("sec-outcome-course", "Between whom symptoms differ", text, figures), numbers


def checks(fit: LinearMixedModel) -> Section:
    """Check the model of the previous session."""
    text = (
        "@fig-outcome-checks sets residuals and predicted random effects beside the normal "
        "distributions that the model takes them to have. The simulation drew normal deviations, "
        "so these are what a fitting model looks like."
    )
    figure = residual_figure(fit, outcome_label="symptoms (points)", label="fig-outcome-checks")
    return Section("sec-outcome-checks", "Does the model fit?", text, (called_simulated(figure),))

"""Calls of fits, curves and comparisons, as a user makes them."""

from collections.abc import Callable
from typing import Any

import pandas as pd

import alliance_stats as als
from alliance_stats import figures, tables

Call = Callable[[Any], object]
DUE = {"time": "time", "event": "event"}
CAUSES = {"time": "time", "event": "state", "censored": "none"}


def _study(data: Any) -> Any:
    return als.Study.from_frame(
        data,
        person="person",
        family="family",
        therapist="therapist",
        session="session",
        role="role",
        alliance="alliance",
        outcome="symptoms",
    )


def _first(data: Any) -> Any:
    """Return the rows of the first session, where there are such."""
    if not isinstance(data, pd.DataFrame) or list(data.columns).count("session") != 1:
        return data
    return data[(data["session"].astype(object) == 1).fillna(False).to_numpy(dtype=bool)]


def _lmm(data: Any) -> Any:
    return als.lmm("symptoms ~ alliance * role + session + (1 | therapist/person)", data)


def _glmm(data: Any) -> Any:
    return als.glmm("rupture ~ alliance + role + (1 | person)", data)


def _indices(data: Any) -> Any:
    return als.family_indices(
        data, family="family", person="person", session="session", score="alliance", role="role"
    )


def _hazard(data: Any, random: str | None = None) -> Any:
    return als.discrete_hazard(
        "barriers",
        data,
        session="session",
        event="left",
        unit="unit",
        random=random,
        baseline="polynomial",
        baseline_df=2,
    )


def _landmarks(data: pd.DataFrame) -> Any:
    return als.landmark_chance(
        "barriers", data, session="session", event="left", unit="unit", horizon=2,
        form="polynomial", form_df=1,
    )  # fmt: skip


MODELS: dict[str, tuple[str, Call]] = {
    "Study": ("sessions", _study),
    "participant_flow": ("sessions", lambda d: als.participant_flow(_study(d), group="ending")),
    "describe": ("sessions", lambda d: _study(d).describe()),
    "decompose": ("sessions", lambda d: als.decompose(d, "alliance", levels=["person"])),
    "running_mean": (
        "sessions",
        lambda d: als.running_mean(d, "alliance", person="person", session="session"),
    ),
    "lag": ("sessions", lambda d: als.lag(d, "alliance", person="person", session="session")),
    "lmm": ("sessions", _lmm),
    "lmm slope": (
        "sessions",
        lambda d: als.lmm("alliance ~ session + (1 + session | person)", d),
    ),
    "lmm weights": (
        "sessions",
        lambda d: als.lmm("alliance ~ role + (1 | person)", d, weights="experience"),
    ),
    "lmm AR1": (
        "sessions",
        lambda d: als.lmm(
            "alliance ~ role + (1 | person)", d, residual=als.AR1("session", within="person")
        ),
    ),
    "lmm strata": (
        "sessions",
        lambda d: als.lmm("alliance ~ session + (1 | person)", d, residual=als.VarianceBy("role")),
    ),
    "glmm": ("sessions", _glmm),
    "glmm counts": (
        "sessions",
        lambda d: als.glmm("missed ~ session + (1 | person)", d, family="poisson"),
    ),
    "estimated_means": ("sessions", lambda d: als.estimated_means(_lmm(d), "role")),
    "contrasts": (
        "sessions",
        lambda d: als.contrasts(als.estimated_means(_lmm(d), "role")),
    ),
    "simple_slopes": ("sessions", lambda d: als.simple_slopes(_lmm(d), "alliance", by="role")),
    "comparisons": ("sessions", lambda d: als.comparisons(_glmm(d), "role")),
    "r_squared": ("sessions", lambda d: als.r_squared(_lmm(d))),
    "within_between": (
        "sessions",
        lambda d: als.within_between(
            d, outcome="symptoms", predictor="alliance", levels=["person"]
        ),
    ),
    "compare_trajectories": (
        "sessions",
        lambda d: als.compare_trajectories(
            d, outcome="alliance", time="session", group="role", person="person"
        ),
    ),
    "family_indices": ("sessions", _indices),
    "split_alliance": (
        "sessions",
        lambda d: als.split_alliance(_indices(d), threshold=1.0, sd="sample"),
    ),
    "family_balance": (
        "sessions",
        lambda d: als.family_balance(
            "alliance ~ session", d, family="family", person="person", spread_by="experience"
        ),
    ),
    "apim": (
        "sessions",
        lambda d: als.apim(
            _first(d),
            dyad="family",
            member="role",
            outcome="symptoms",
            predictors="alliance",
        ),
    ),
    "one_with_many": (
        "sessions",
        lambda d: als.one_with_many(
            _first(d),
            therapist="therapist",
            client="person",
            by_client="alliance",
            by_therapist="felt",
        ),
    ),
    "kaplan_meier": ("units", lambda d: als.kaplan_meier(d, **DUE, strata="group")),
    "log_rank": ("units", lambda d: als.log_rank(d, **DUE, group="group")),
    "restricted_mean_lost": (
        "units",
        lambda d: als.restricted_mean(d, **CAUSES, cause="dropout", until=5, strata="group"),
    ),
    "restricted_mean": ("units", lambda d: als.restricted_mean(d, **DUE, until=5, strata="group")),
    "cox_ph": ("units", lambda d: als.cox_ph("barriers + group", d, **DUE)),
    "varying_coefficient": (
        "units",
        lambda d: als.varying_coefficient(als.cox_ph("barriers", d, **DUE), term="barriers"),
    ),
    "proportional_hazards_test": (
        "units",
        lambda d: als.proportional_hazards_test(als.cox_ph("barriers", d, **DUE)),
    ),
    "adjusted_curves": (
        "units",
        lambda d: als.adjusted_curves(als.cox_ph("barriers + group", d, **DUE), variable="group"),
    ),
    "risk_accuracy": (
        "units",
        lambda d: als.risk_accuracy(
            als.fine_gray("barriers", d, **CAUSES, cause="dropout"), times=[4]
        ),
    ),
    "accuracy_of_risks": (
        "units",
        lambda d: als.accuracy_of_risks(
            d.assign(risk=0.5), risks={4: "risk"}, **CAUSES, cause="dropout"
        ),
    ),
    "landmark_chance": ("periods", _landmarks),
    "landmark_accuracy": ("periods", lambda d: als.landmark_accuracy(_landmarks(d))),
    "firth_cox": ("units", lambda d: als.firth_cox("barriers + group", d, **DUE)),
    "firth_discrete_hazard": (
        "periods",
        lambda d: als.firth_discrete_hazard(
            "barriers",
            d,
            session="session",
            event="left",
            unit="unit",
            baseline="polynomial",
            baseline_df=1,
        ),
    ),
    "cox_ph clusters": (
        "units",
        lambda d: als.cox_ph("barriers", d, **DUE, cluster="therapist"),
    ),
    "cox_ph frailty": (
        "units",
        lambda d: als.cox_ph("barriers", d, **DUE, frailty="therapist"),
    ),
    "cumulative_incidence": (
        "units",
        lambda d: als.cumulative_incidence(d, **CAUSES, strata="group"),
    ),
    "gray_test": ("units", lambda d: als.gray_test(d, **CAUSES, group="group")),
    "fine_gray": ("units", lambda d: als.fine_gray("barriers", d, **CAUSES, cause="dropout")),
    "discrete_hazard": ("periods", _hazard),
    "discrete_hazard random": ("periods", lambda d: _hazard(d, "(1 | therapist)")),
    "competing_hazards": (
        "periods",
        lambda d: als.competing_hazards(
            "barriers", d, session="session", event="ended", unit="unit", censored="none"
        ),
    ),
    "compare_groups": (
        "themes",
        lambda d: als.compare_groups(d, outcomes=["before", "after", "trust"], group="group"),
    ),
    "compare_groups clusters": (
        "units",
        lambda d: als.compare_groups(d, outcomes=["barriers"], group="group", cluster="therapist"),
    ),
    "compare_themes": (
        "themes",
        lambda d: als.compare_themes(d, themes=["trust", "blame"], group="group"),
    ),
    "theme_transitions": (
        "themes",
        lambda d: als.theme_transitions(d, early="trust", later="blame", group="group"),
    ),
    "coder_agreement": (
        "themes",
        lambda d: als.coder_agreement(
            d, coders=["coder_a", "coder_b"], measurement="ordinal", n_resamples=20, seed=1
        ),
    ),
    "table_one": (
        "themes",
        lambda d: als.table_one(d, variables=["before", "early", "trust"], group="group"),
    ),
    "meta_analysis": (
        "studies",
        lambda d: als.meta_analysis(d, estimate="yi", variance="vi", moderators="year"),
    ),
    "meta_analysis r": ("studies", lambda d: als.meta_analysis(d, r="r", n="n", label="study")),
    "consistency_check": ("printed", als.consistency_check),
    "trajectory_figure": (
        "sessions",
        lambda d: figures.trajectory_figure(
            d, session="session", score="alliance", person="person", role="role"
        ),
    ),
    "kaplan_meier_figure": (
        "units",
        lambda d: figures.kaplan_meier_figure(als.kaplan_meier(d, **DUE, strata="group")),
    ),
    "model_table": (
        "sessions",
        lambda d: tables.model_table(_lmm(d), label="tbl-a", caption="A model"),
    ),
}

"""Calls of what is asked after a fit, of associations, of panels, and of what draws and prints."""

from collections.abc import Callable
from typing import Any

import numpy as np

import alliance_stats as als
from alliance_stats import figures, tables
from alliance_stats.family import ControlChart
from alliance_stats.groups import cut_point, reliable_change
from alliance_stats.power import pilot_design
from alliance_stats.scales import (
    Scale,
    factor_model,
    measurement_invariance,
    reliability,
    score,
    score_study,
)
from tests.fuzz.frames import frames

ITEMS = [f"q{i}" for i in range(1, 7)]


def _wide(data: Any) -> als.Study:
    return als.Study.from_wide(
        data,
        wide="{rater}_{item}_s{session}",
        person="id",
        alliance="wai",
        scores={"phq": (0, 27)},
        time="date",
        missing=(-9,),
    )


PANEL = {"outcomes": ["alliance", "symptoms"], "person": "person", "session": "session"}
NAMED = {"label": "tbl-a", "caption": "A table"}


def _random(data: Any) -> Any:
    return als.lmm("symptoms ~ alliance * session + role + (1 | person)", data)


def _left(data: Any) -> Any:
    return als.endings(
        als.Study.from_frame(
            data,
            person="person",
            family="family",
            therapist="therapist",
            session="session",
            role="role",
            alliance="alliance",
            ending="ending",
        )
    )


def _piloted(data: Any) -> Any:
    study = als.Study.from_frame(
        data,
        person="person",
        family="family",
        therapist="therapist",
        session="session",
        alliance="alliance",
        ending="ending",
    )
    return pilot_design(study, therapists=5, families=30, n_sets=2, seed=1).assumptions()


def _compared(data: Any) -> Any:
    return als.compare_groups(data, outcomes=["before", "after"], group="group")


def _correlated(data: Any) -> Any:
    return als.correlations(data, ["before", "after", "sessions"], cluster="site")


def _causes(data: Any) -> Any:
    return als.cumulative_incidence(
        data, time="time", event="state", censored="none", strata="group"
    )


def _pooled(data: Any) -> Any:
    return als.meta_analysis(data, r="r", n="n", label="study")


def _imputed(data: Any) -> Any:
    model = als.lmm("symptoms ~ session * role + (1 | person)", data)
    later = frames()["sessions"].query("session == 5").assign(session=6).drop(columns="symptoms")
    return als.dropout_sensitivity(
        model, later, term="session", deltas=[-2.0, 0.0, 2.0], seed=1, n_imputations=4
    )


def _by_arm(data: Any) -> Any:
    model = als.lmm("symptoms ~ session * role + (1 | person)", data)
    later = frames()["sessions"].query("session == 5").assign(session=6).drop(columns="symptoms")
    return als.sensitivity_by_group(
        model, later, term="session", group="role", seed=1, n_imputations=2,
        deltas={role: [2.0] for role in later["role"].unique()[:2]},
    )  # fmt: skip


def _as_reference(data: Any) -> Any:
    model = als.lmm("symptoms ~ session * role + (1 | person)", data)
    later = frames()["sessions"].query("session == 5").assign(session=6).drop(columns="symptoms")
    return als.reference_imputation(
        model, later, term="session", group="role", reference=later["role"].iloc[0], time="session",
        unit="person", seed=1, n_imputations=3,
    )  # fmt: skip


def _shared(data: Any) -> Any:
    scores = frames()["periods"].iloc[::-1].reset_index(drop=True)
    rng = np.random.default_rng(5)
    lift = dict(zip(scores["unit"].unique(), 3.0 * rng.normal(size=40), strict=True))
    scores["score"] = scores["unit"].map(lift) + rng.normal(size=len(scores))
    return als.shared_parameter(
        "score ~ session + (1 | unit)",
        "barriers",
        scores,
        data,
        session="session",
        event="left",
        unit="unit",
    )


FURTHER: dict[str, tuple[str, Callable[[Any], object]]] = {
    # after a fit
    "anova of lmm": ("sessions", lambda d: _random(d).anova()),
    "johnson_neyman": (
        "sessions",
        lambda d: als.johnson_neyman(_random(d), "alliance", moderator="session"),
    ),
    "likelihood_ratio_test": (
        "sessions",
        lambda d: als.likelihood_ratio_test(
            als.lmm("symptoms ~ session + (1 | person)", d, reml=False),
            als.lmm("symptoms ~ session + role + (1 | person)", d, reml=False),
        ),
    ),
    "profile": (
        "sessions",
        lambda d: als.profile(als.lmm("symptoms ~ session + (1 | person)", d)),
    ),
    "parametric_bootstrap": (
        "sessions",
        lambda d: als.parametric_bootstrap(
            als.lmm("symptoms ~ session + (1 | person)", d), n_resamples=3, seed=1, workers=1
        ),
    ),
    "leave_one_out": ("sessions", lambda d: als.leave_one_out(_random(d), "person")),
    "wild_bootstrap": (
        "sessions",
        lambda d: als.wild_bootstrap(
            _random(d), "person", terms=["session"], n_resamples=99, seed=1
        ),
    ),
    "permutation_test": (
        "sessions",
        lambda d: als.permutation_test(
            als.lmm("symptoms ~ experience + (1 | person)", d),
            "experience",
            "person",
            n_resamples=99,
            seed=1,
        ),
    ),
    "mediation by arms": (
        "forms",
        lambda d: als.mediation(
            d, treatment="arm", mediator="before", outcome="after", n_resamples=200, seed=1
        ),
    ),
    "mediation, moderated": (
        "forms",
        lambda d: als.mediation(
            d,
            treatment="sessions",
            mediator="before",
            outcome="after",
            moderator="q6",
            n_resamples=200,
            seed=1,
        ),
    ),
    "mediation in units": (
        "sessions",
        lambda d: als.mediation(
            d,
            treatment="session",
            mediator="alliance",
            outcome="symptoms",
            nested_in="person",
            random_slopes=("a",),
            n_resamples=200,
            seed=1,
        ),
    ),
    "mediation of a hazard": (
        "periods",
        lambda d: als.mediation(
            d,
            treatment="group",
            mediator="barriers",
            outcome=als.HazardOutcome(event="left", session="session", unit="unit"),
            n_resamples=2000,
            seed=1,
        ),
    ),
    "unit_ranks": ("sessions", lambda d: als.unit_ranks(_random(d), "person", seed=1)),
    "location_scale": (
        "sessions",
        lambda d: als.location_scale("symptoms ~ session + (1 | person)", d, scale="session"),
    ),
    "standardised_coefficients": (
        "sessions",
        lambda d: als.standardised_coefficients(_random(d)),
    ),
    "compare_models": (
        "sessions",
        lambda d: als.compare_models(
            als.lmm("symptoms ~ session + (1 | person)", d, reml=False),
            als.lmm("symptoms ~ role + (1 | person)", d, reml=False),
        ),
    ),
    "variance_partition": ("sessions", lambda d: als.variance_partition(_random(d))),
    "methods_paragraph": ("sessions", lambda d: als.methods_paragraph({"model": _random(d)})),
    "stage_transitions": (
        "forms",
        lambda d: als.stage_transitions(d, stages=["site", "well"], group="arm"),
    ),
    "bibliography": ("sessions", lambda d: als.bibliography({"model": _random(d)})),
    # families, sessions and endings
    "person_period": (
        "sessions",
        lambda d: als.person_period(
            d, unit="family", session="session", ending="ending", cause="dropout"
        ),
    ),
    "last_session": (
        "sessions",
        lambda d: als.last_session(
            d, unit="family", session="session", ending="ending", cause="dropout"
        ),
    ),
    "endings": ("sessions", _left),
    "pilot_design": ("sessions", _piloted),
    "ruptures": (
        "sessions",
        lambda d: als.ruptures(
            d,
            person="person",
            session="session",
            score="alliance",
            family="family",
            rule=ControlChart(autocorrelation=0.2, min_before=2),
        ),
    ),
    "pattern_mixture": (
        "sessions",
        lambda d: als.pattern_mixture(
            "symptoms ~ session * role + (1 | person)",
            d,
            pattern="ending",
            unit="person",
            group="role",
        ),
    ),
    "dropout_sensitivity": ("sessions", _imputed),
    "reference_imputation": ("sessions", _as_reference),
    "sensitivity_by_group": ("sessions", _by_arm),
    "shared_parameter": ("periods", _shared),
    # associations
    "correlations": ("forms", _correlated),
    "correlations ranks": (
        "forms",
        lambda d: als.correlations(d, ["before", "after"], method="spearman", partial="sessions"),
    ),
    "correlations within": (
        "sessions",
        lambda d: als.correlations(d, ["alliance", "symptoms"], within="person"),
    ),
    "correlation_difference": (
        "forms",
        lambda d: als.correlation_difference(d, ("before", "after"), group="arm"),
    ),
    "regression": (
        "forms",
        lambda d: als.regression("after ~ before + site", d, cluster="site"),
    ),
    "regression steps": (
        "forms",
        lambda d: als.regression("after ~ before + arm", d, steps=["before", "arm"]),
    ),
    "regression logistic": (
        "forms",
        lambda d: als.regression("well ~ before + arm", d, family="logistic"),
    ),
    "regression counts": (
        "forms",
        lambda d: als.regression("sessions ~ before + arm", d, family="poisson"),
    ),
    "regression ordinal": (
        "forms",
        lambda d: als.regression("rated ~ before + arm", d, family="ordinal"),
    ),
    "residual_checks": (
        "sessions",
        lambda d: als.residual_checks(
            als.glmm("missed ~ session + (1 | person)", d, family="poisson"),
            n_resamples=20,
            seed=1,
        ),
    ),
    "step_means": (
        "sessions",
        lambda d: als.step_means(
            als.ordinal(
                "missed ~ role + (1 | person)",
                d.assign(missed=d["missed"].clip(upper=2)),
                nominal="~ role",
            ),
            "role",
        ),
    ),
    "response_surface": (
        "forms",
        lambda d: als.response_surface(
            als.regression(
                "sessions ~ before + after + I(before^2) + before:after + I(after^2)", d
            ),
            "before",
            "after",
            origin=18,
        ),
    ),
    "anova": ("forms", lambda d: als.anova(d, outcome="after", between=["arm", "site"])),
    "mixed_anova": (
        "sessions",
        lambda d: als.mixed_anova(
            als.anova(d, outcome="alliance", within="session", between="role", person="person")
        ),
    ),
    "anova within": (
        "sessions",
        lambda d: als.anova(
            d, outcome="alliance", within="session", between="role", person="person"
        ),
    ),
    # scales and change
    "score": (
        "forms",
        lambda d: score(d, Scale(name="bond", items=tuple(ITEMS), limits=(1, 5), reversed=("q2",))),
    ),
    "score in words": (
        "forms",
        lambda d: score(
            d, Scale(name="b", items=tuple(ITEMS), limits=(1, 5), answers={"never": 1, "7": 5})
        ),
    ),
    "Study.from_wide": ("wide", lambda d: _wide(d).describe()),
    "Study repeated": (
        "redcap",
        lambda d: als.Study.from_frame(
            d,
            person="id",
            session="instance",
            alliance="wai",
            scores={"phq": None},
            time="date",
            repeated={"form": ["client", "symptoms"]},
            missing=(-9,),
        ).describe(),
    ),
    "reliability": ("forms", lambda d: reliability(d, items=ITEMS)),
    "reliability within": (
        "sessions",
        lambda d: reliability(
            d,
            items=["alliance", "symptoms", "felt"],
            person="person",
            session="session",
            nested_in=("family",),
        ),
    ),
    "factor_model": ("forms", lambda d: factor_model(d, {"bond": ITEMS[:3], "task": ITEMS[3:]})),
    "factor_model nested": (
        "sessions",
        lambda d: factor_model(d, {"f": ["alliance", "symptoms", "felt"]}, nested_in="person"),
    ),
    "measurement_invariance": (
        "sessions",
        lambda d: measurement_invariance(
            d, {"f": ["alliance", "symptoms", "felt"]}, group="role", cluster="family"
        ),
    ),
    "score_study": (
        "sessions",
        lambda d: score_study(
            als.Study.from_frame(d, person="person", session="session", role="role"),
            Scale(name="both", items=("alliance", "felt"), limits=(-10, 20)),
            role="alliance",
        ),
    ),
    "classify": (
        "forms",
        lambda d: als.classify(d, cut_point("after", 16.0, better="lower")),
    ),
    "classify_many": (
        "forms",
        lambda d: als.classify_many(
            d,
            {
                "low": cut_point("after", 16.0, better="lower"),
                "changed": reliable_change("before", "after", reliability=0.8, better="lower"),
            },
        ),
    ),
    "classify change": (
        "forms",
        lambda d: als.classify(
            d, reliable_change("before", "after", reliability=0.8, better="lower")
        ),
    ),
    # session to session
    "cross_lagged": (
        "sessions",
        lambda d: als.cross_lagged(d, nested_in=["therapist"], **PANEL),
    ),
    "several_outcomes": (
        "sessions",
        lambda d: als.several_outcomes(d, nested_in=["therapist"], **PANEL),
    ),
    # figures and tables
    "cumulative_incidence_figure": (
        "units",
        lambda d: figures.cumulative_incidence_figure(_causes(d)),
    ),
    "caterpillar_figure": (
        "sessions",
        lambda d: figures.caterpillar_figure(_random(d), group="person"),
    ),
    "estimation_figure": (
        "themes",
        lambda d: figures.estimation_figure(_compared(d), outcome="after"),
    ),
    "raincloud_figure": (
        "themes",
        lambda d: figures.raincloud_figure(_compared(d), outcome="after"),
    ),
    "meta_forest_figure": ("studies", lambda d: figures.meta_forest_figure(_pooled(d))),
    "funnel_figure": ("studies", lambda d: figures.funnel_figure(_pooled(d))),
    "flow_figure": ("sessions", lambda d: figures.flow_figure(_random(d).rows)),
    "family_strips_figure": (
        "sessions",
        lambda d: figures.family_strips_figure(
            d,
            family="family",
            person="person",
            session="session",
            score="alliance",
            role="role",
            families=["T0F0", "T1F1"],
            score_label="alliance",
        ),
    ),
    "group_table": ("themes", lambda d: tables.group_table(_compared(d), **NAMED)),
    "correlation_table": ("forms", lambda d: tables.correlation_table(_correlated(d), **NAMED)),
    "sample_table": (
        "forms",
        lambda d: tables.sample_table(
            als.table_one(d, variables=["before", "site", "well"], group="arm"), **NAMED
        ),
    ),
    "model_table of hazards": (
        "units",
        lambda d: tables.model_table(
            als.cox_ph("barriers + group", d, time="time", event="event"), **NAMED
        ),
    ),
}

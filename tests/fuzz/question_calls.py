"""Calls of what is asked of models, and of what other libraries fitted."""

from collections.abc import Callable
from typing import Any

import alliance_stats as als

DUE = {"time": "time", "event": "event"}


def _hazards(data: Any) -> Any:
    return als.cox_ph("barriers + group", data, **DUE)


def _simple(data: Any) -> Any:
    return als.lmm("symptoms ~ alliance + (1 | therapist)", data)


def _ordered(data: Any) -> Any:
    return als.ordinal(
        "missed ~ session + (1 | person)", data.assign(missed=data["missed"].clip(upper=2))
    )


def _rate(data: Any, formula: str = "missed ~ session + (1 | family)") -> Any:
    return als.glmm(formula, data, family="poisson")


def _steps(data: Any) -> Any:
    return als.ordinal("missed ~ session + (1 | family)", data)


# Families, links and thresholds, and what is asked of their fits.
FAMILIES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "glmm linear negative binomial": (
        "sessions",
        lambda d: als.glmm("missed ~ role + (1 | family)", d, family="linear negative binomial"),
    ),
    "glmm truncated poisson": (
        "sessions",
        lambda d: als.glmm("session ~ role + (1 | person)", d, family="truncated poisson"),
    ),
    "glmm truncated negative binomial": (
        "sessions",
        lambda d: als.glmm(
            "session ~ alliance + (1 | family)", d, family="truncated negative binomial"
        ),
    ),
    "glmm beta": (
        "sessions",
        lambda d: als.glmm(
            "I(alliance / 8) ~ session + (1 | person)", d, family="beta", dispersion="~ role"
        ),
    ),
    "glmm beta-binomial": (
        "sessions",
        lambda d: als.glmm(
            "cbind(session, missed) ~ role + (1 | person)", d, family="beta-binomial"
        ),
    ),
    "glmm enough nodes": (
        "sessions",
        lambda d: als.glmm("rupture ~ session + (1 | family)", d, nodes="enough"),
    ),
    "ordinal probit": (
        "sessions",
        lambda d: als.ordinal(
            "missed ~ session + (1 | person)", d, link="probit", thresholds="equidistant"
        ),
    ),
    "ordinal cloglog": (
        "sessions",
        lambda d: als.ordinal(
            "missed ~ session + (1 | family)", d, link="cloglog", thresholds="symmetric", nodes=5
        ),
    ),
    "ordinal slope": (
        "sessions", lambda d: als.ordinal("missed ~ alliance + (1 + alliance | family)", d),
    ),
    "ordinal proportional odds": (
        "sessions", lambda d: als.ordinal("missed ~ role + (1 | family)", d).proportional_odds(),
    ),
    "anova by likelihood ratio": (
        "sessions", lambda d: _rate(d).anova(kind="II", test="likelihood-ratio"),
    ),
    "profile of counts": ("sessions", lambda d: als.profile(_rate(d))),
    "profile of steps": ("sessions", lambda d: als.profile(_steps(d), terms=["session"])),
    "CR2 of counts": ("sessions", lambda d: _rate(d).tidy(vcov=als.CR2("family"))),
    "CR2 of steps": ("sessions", lambda d: _steps(d).tidy(vcov=als.CR2("family"))),
    "new units of counts": (
        "sessions",
        lambda d: _rate(d).predict(
            d.assign(family="unseen"), level="conditional", interval="confidence",
            new_units="average",
        ),
    ),
    "new units of steps": (
        "sessions",
        lambda d: _steps(d).step_probabilities(
            d.assign(family="unseen").sort_index(), level="conditional", new_units="average"
        ),
    ),
    "leave_one_out of counts": (
        "sessions",
        lambda d: als.leave_one_out(_rate(d, "missed ~ session + (1 | therapist)"), "therapist"),
    ),
    "likelihood_ratio_test of families": (
        "sessions",
        lambda d: als.likelihood_ratio_test(
            _rate(d),
            als.glmm("missed ~ session + (1 | family)", d, family="negative binomial"),
        ),
    ),
    "variance_partition of steps": (
        "sessions", lambda d: als.variance_partition(_steps(d), ci_method="wald"),
    ),
    "step_means at values": (
        "sessions", lambda d: als.step_means(_steps(d), "session", at={"session": [1, 2.5]}),
    ),
    "estimated_means at values": (
        "sessions", lambda d: als.estimated_means(_rate(d), [], at={"session": [1, 2.5]}),
    ),
    "comparisons of steps": (
        "sessions", lambda d: als.step_means(_steps(d), "session").contrasts(adjust="holm"),
    ),
}  # fmt: skip

QUESTIONS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "adjusted_curves": ("units", lambda d: als.adjusted_curves(_hazards(d), variable="group")),
    "concordance": ("units", lambda d: als.concordance(_hazards(d))),
    "proportional_hazards_test": ("units", lambda d: als.proportional_hazards_test(_hazards(d))),
    "standardised_coefficients": ("sessions", lambda d: als.standardised_coefficients(_simple(d))),
    "wild_bootstrap": (
        "sessions",
        lambda d: als.wild_bootstrap(_simple(d), "therapist", n_resamples=99, seed=1),
    ),
    "permutation_test": (
        "sessions",
        lambda d: als.permutation_test(
            als.lmm("symptoms ~ experience + (1 | therapist)", d),
            "experience", "therapist", n_resamples=24, seed=1,
        ),
    ),
    "glmm negative binomial": (
        "sessions",
        lambda d: als.glmm(
            "missed ~ session + (1 | person)", d, family="negative binomial", dispersion="~ role"
        ),
    ),
    "glmm gamma": (
        "sessions", lambda d: als.glmm("alliance ~ session + (1 | person)", d, family="gamma"),
    ),
    "leave_one_out": ("sessions", lambda d: als.leave_one_out(_simple(d), "therapist")),
    "unit_ranks": ("sessions", lambda d: als.unit_ranks(
            als.lmm("alliance ~ session + (1 | person)", d), "person", n_resamples=200, seed=1
        )),
    "location_scale": (
        "sessions",
        lambda d: als.location_scale("alliance ~ session + (1 | person)", d, varying=False),
    ),
    "ordinal": ("sessions", _ordered),
    "mediation": (
        "forms",
        lambda d: als.mediation(
            d, treatment="sessions", mediator="before", outcome="after", n_resamples=200, seed=1
        ),
    ),
    "indirect_path": (
        "sessions",
        lambda d: als.indirect_path(
            als.lmm("alliance ~ session + (1 | person)", d), "session",
            als.lmm("symptoms ~ alliance + session + (1 | person)", d), "alliance",
            n_resamples=200, seed=1,
        ),
    ),
    "compare_with": (
        "forms",
        lambda d: als.compare_with(als.correlations(d, ["before", "after"]), scale="r"),
    ),
    "curves of clusters": (
        "units",
        lambda d: als.log_rank(d, **DUE, group="group", weights="tarone-ware"),
    ),
    "judged and retained": (
        "sessions",
        lambda d: als.classify_many(
            d,
            {
                "stayed": als.retained("ending"),
                "no rupture": als.judged("rupture", success=[0], failure=[1]),
            },
        ),
    ),
    "cross_check": ("units", lambda d: als.cross_check(als.kaplan_meier(d, **DUE, strata="group"))),
    "cross_check of a model": (
        "forms",
        lambda d: als.cross_check(als.regression("after ~ before + arm", d)),
    ),
    "regression with splines": (
        "forms",
        lambda d: als.regression("after ~ bs(before, df=4) + C(site, contr.sum)", d),
    ),
}  # fmt: skip

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

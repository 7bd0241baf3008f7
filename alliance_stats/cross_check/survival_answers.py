"""Curves and hazards, put to lifelines and statsmodels."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from alliance_stats.cross_check.second_answer import (
    ITERATED,
    Answer,
    both,
    library,
    not_asked,
    widest,
)
from alliance_stats.survival import (
    CoxModel,
    CumulativeIncidence,
    KaplanMeier,
    LogRank,
    RestrictedMean,
)
from alliance_stats.survival.rows.time_at_risk import Spells

__all__ = ["of_cox", "of_incidence", "of_kaplan_meier", "of_log_rank", "of_restricted_mean"]

_P = 1e-6
_MEDIAN = (
    "a curve that is flat at one half: the midpoint of the flat here (as R's survfit); theirs "
    "depends on the last bit of the product, https://github.com/CamDavidsonPilon/lifelines"
)
_CLUSTERS = "it has no standard errors over clusters"
_TIES = (
    "different endings at one time: lifelines moves tied times at random, so that its answer "
    "changes with the seed (https://github.com/CamDavidsonPilon/lifelines/issues/1521)"
)
_ENTRY = "it knows no late entry"
_WEIGHTED_ENDINGS = "its curves of several endings take no weights that are not counts"
_MEAN_ERROR = (
    "its variance is that of min(T, t), not of the mean "
    "(https://github.com/CamDavidsonPilon/lifelines/issues/1682)"
)
_ROBUST = (
    "its robust errors take no account of ties and late entry "
    "(https://github.com/CamDavidsonPilon/lifelines/issues/1599), and it has none of start-stop "
    "rows (https://github.com/CamDavidsonPilon/lifelines/issues/544)"
)
_FRAILTY = "lifelines and statsmodels have no shared frailty"
_BRESLOW = "lifelines has Efron's handling of ties only"
_OFFSET = "lifelines has no offset"
_WEIGHTED = "statsmodels' PHReg ignores weights, and robust errors of lifelines are off with ties"


def of_kaplan_meier(result: KaplanMeier) -> Iterator[Answer]:
    """Check each curve, its limits and its median."""
    from lifelines import KaplanMeierFitter

    who = library("lifelines", "KaplanMeierFitter")
    table = result.tidy(conf_level=0.95)
    medians = result.medians()
    for place, curve in enumerate(result.curves):
        spells = curve.spells
        fit = KaplanMeierFitter().fit(
            spells.exit, spells.event > 0, entry=spells.entry, weights=spells.weight
        )
        own = table[table["strata"] == curve.label]
        times = own["time"].to_numpy(dtype=float)
        theirs = fit.survival_function_at_times(times).to_numpy()
        yield widest((curve.label, "estimate"), times, own["estimate"].to_numpy(), theirs, who)
        if result.n_clusters is not None:
            yield not_asked(curve.label, "std_error", np.nan, who, _CLUSTERS)
        else:
            limits = fit.confidence_interval_.reindex(times).to_numpy()
            known = np.isfinite(limits).all(axis=1) & (own["estimate"] < 1.0).to_numpy()
            for column, which in (("conf_low", 0), ("conf_high", 1)):
                ours = own[column].to_numpy()[known]
                yield widest((curve.label, column), times[known], ours, limits[known, which], who)
        if np.isclose(own["estimate"], 0.5, atol=1e-9).any():
            yield not_asked(curve.label, "median", medians["estimate"].iloc[place], who, _MEDIAN)
            continue
        median = float(fit.median_survival_time_)
        ours = float(medians["estimate"].iloc[place])
        yield both(curve.label, "median", ours, np.nan if np.isinf(median) else median, who)


def of_restricted_mean(result: RestrictedMean) -> Iterator[Answer]:
    """Check each mean."""
    from lifelines import KaplanMeierFitter
    from lifelines.utils import restricted_mean_survival_time

    who = library("lifelines", "restricted_mean_survival_time")
    errors = np.sqrt(np.diag(result.covariance))
    for number, label in enumerate(result.strata):
        spells = result.intervals.spells(number)
        fit = KaplanMeierFitter().fit(spells.exit, spells.event > 0, entry=spells.entry)
        theirs = restricted_mean_survival_time(fit, t=result.until)
        yield both(label, "estimate", result.estimate[number], theirs, who, close=1e-6)
        yield not_asked(label, "std_error", errors[number], who, _MEAN_ERROR)


def of_log_rank(result: LogRank) -> Iterator[Answer]:
    """Check the statistic by statsmodels, and by lifelines if all enter at the start."""
    from statsmodels.duration.survfunc import survdiff

    found = result.intervals
    name = " against ".join(result.groups)
    if result.permutation is not None:
        yield not_asked(name, "p_value", result.p_value, "lifelines", "it permutes no clusters")
        return
    kind = getattr(result.weight, "func", result.weight).__name__.lstrip("_")
    given = dict(getattr(result.weight, "keywords", {}))
    late = bool((found.entry > 0).any())
    strata = found.stratum if len(found.strata) > 1 else None
    plain = kind == "fleming_harrington" and not any(given.values())
    if plain:
        theirs = survdiff(
            found.exit, (found.event > 0).astype(int), result.codes,
            strata=strata, entry=found.entry if late else None,
        )  # fmt: skip
        who = library("statsmodels", "survdiff")
        yield both(name, "statistic", result.statistic, theirs[0], who, close=1e-6)
        yield both(name, "p_value", result.p_value, theirs[1], who, close=1e-5)
    if late or strata is not None:
        reason = "its logrank_test knows neither late entry nor strata"
        yield not_asked(name, "statistic", result.statistic, "lifelines", reason)
        return
    from lifelines.statistics import multivariate_logrank_test

    asked = (
        {} if plain else {"weightings": "wilcoxon" if kind == "at_risk" else "fleming-harrington"}
    )
    if kind == "at_risk" and given.get("root"):
        asked = {"weightings": "tarone-ware"}
    if kind == "fleming_harrington" and not plain:
        asked |= {"p": given["rho"], "q": given["gamma"]}
    theirs = multivariate_logrank_test(found.exit, result.codes, found.event > 0, **asked)
    who = library("lifelines", "multivariate_logrank_test")
    yield both(name, "statistic", result.statistic, theirs.test_statistic, who, close=1e-6)


def of_incidence(result: CumulativeIncidence) -> Iterator[Answer]:
    """Check each curve: by statsmodels, and by lifelines if no two endings share a time."""
    from statsmodels.duration.survfunc import CumIncidenceRight

    for curve in result.curves:
        spells, times = curve.spells, curve.table.time
        if (spells.entry > 0).any() or spells.weight is not None:
            reason = _ENTRY if spells.weight is None else _WEIGHTED_ENDINGS
            yield not_asked(curve.label, "estimate", np.nan, "statsmodels, lifelines", reason)
            continue
        theirs = CumIncidenceRight(spells.exit, spells.event)
        who = library("statsmodels", "CumIncidenceRight")
        for state, name in enumerate(result.states):
            label = f"{curve.label}, {name}"
            steps = _at(theirs.times, theirs.cinc[state], times)
            yield widest((label, "estimate"), times, curve.incidence[state], steps, who)
        yield from _aalen_johansen(curve.label, spells, result.states, times, curve.incidence)


def _aalen_johansen(
    label: str, spells: Spells, states: tuple[str, ...], times: np.ndarray, ours: np.ndarray
) -> Iterator[Answer]:
    from lifelines import AalenJohansenFitter

    ended = pd.DataFrame({"time": spells.exit, "event": spells.event}).query("event > 0")
    tied = bool(ended.drop_duplicates()["time"].duplicated().any())
    who = library("lifelines", "AalenJohansenFitter")
    for state, name in enumerate(states):
        if tied:
            yield not_asked(f"{label}, {name}", "estimate", ours[state][-1], who, _TIES)
            continue
        fit = AalenJohansenFitter(calculate_variance=False).fit(
            spells.exit, spells.event, event_of_interest=state + 1
        )
        found = fit.cumulative_density_.iloc[:, 0]
        steps = _at(found.index.to_numpy(dtype=float), found.to_numpy(), times)
        yield widest((f"{label}, {name}", "estimate"), times, ours[state], steps, who)


def _at(times: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    place = np.searchsorted(times, asked, side="right") - 1
    return np.where(place < 0, 0.0, np.asarray(values)[np.maximum(place, 0)])


def of_cox(result: CoxModel) -> Iterator[Answer]:
    """Check coefficients and the errors under the model."""
    errors = np.sqrt(np.diag(result.model_covariance))
    terms = list(result.design.terms)
    refused = (
        _FRAILTY if result.frailty is not None
        else _WEIGHTED if result.weighted
        else _OFFSET if result.intervals.offset is not None
        else ""
    )  # fmt: skip
    if refused:
        for term, b in zip(terms, result.beta, strict=True):
            yield not_asked(term, "estimate", b, "lifelines, statsmodels", refused)
        return
    if result.ties == "efron":
        yield from _by_lifelines(result, terms, errors)
    else:
        for term, b in zip(terms, result.beta, strict=True):
            yield not_asked(term, "estimate", b, library("lifelines", "CoxPHFitter"), _BRESLOW)
    if not (result.intervals.entry > 0).any():
        yield from _by_statsmodels(result, terms, errors)
    if result.n_clusters is not None:
        robust = np.sqrt(np.diag(result.covariance))
        for term, se in zip(terms, robust, strict=True):
            yield not_asked(term, "std_error", se, library("lifelines", "CoxPHFitter"), _ROBUST)


def _covariates(result: CoxModel) -> np.ndarray:
    """Return the covariates in their own units, centred, (rows, p): a constant changes nothing."""
    return (result.design.X * result.design.scale[:, None]).T


def _by_lifelines(result: CoxModel, terms: list[str], errors: np.ndarray) -> Iterator[Answer]:
    from lifelines import CoxTimeVaryingFitter

    found = result.intervals
    columns = [f"x{i}" for i in range(len(terms))]
    frame = pd.DataFrame(_covariates(result), columns=columns).assign(
        start=found.entry, stop=found.exit, event=found.event > 0, row=np.arange(len(found.exit))
    )
    strata = None
    if len(found.strata) > 1:
        frame, strata = frame.assign(stratum=found.stratum), ["stratum"]
    fit = CoxTimeVaryingFitter().fit(
        frame, id_col="row", event_col="event", start_col="start", stop_col="stop", strata=strata,
        fit_options={"precision": 1e-9},
    )  # fmt: skip
    who = library("lifelines", "CoxTimeVaryingFitter")
    for i, term in enumerate(terms):
        b, se = fit.params_[columns[i]], fit.standard_errors_[columns[i]]
        yield both(term, "estimate", result.beta[i], b, who, close=ITERATED, scale=errors[i])
        measure = "std_error under the model" if result.n_clusters is not None else "std_error"
        yield both(term, measure, errors[i], se, who, close=ITERATED)


def _by_statsmodels(result: CoxModel, terms: list[str], errors: np.ndarray) -> Iterator[Answer]:
    from statsmodels.duration.hazard_regression import PHReg

    found = result.intervals
    strata = found.stratum if len(found.strata) > 1 else None
    fit = PHReg(
        found.exit, _covariates(result), status=(found.event > 0).astype(int), strata=strata,
        ties=result.ties,
    ).fit()  # fmt: skip
    who = library("statsmodels", "PHReg")
    for i, term in enumerate(terms):
        yield both(
            term, "estimate", result.beta[i], fit.params[i], who, close=ITERATED, scale=errors[i]
        )

"""How well dropout by a time is predicted, by models fitted without the therapists concerned."""

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import pandas as pd

from alliance_stats.arguments import require_kind
from alliance_stats.checks import finite_or_missing, group_codes, require_columns
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.survival.cox.baseline_hazard import baseline_at
from alliance_stats.survival.cox.cox_design import cox_design, new_covariates, new_offset
from alliance_stats.survival.cox.cox_fit import climb, fit_cox
from alliance_stats.survival.cox.cox_model import CoxModel
from alliance_stats.survival.cox.fine_gray_model import FineGrayModel
from alliance_stats.survival.cox.risk_sets import refuse_weights, risk_sets
from alliance_stats.survival.curves.life_table import asked_times
from alliance_stats.survival.curves.subdistribution import subdistribution
from alliance_stats.survival.prediction.risk_accuracy import (
    Predicted,
    RiskAccuracy,
    known_weights,
)
from alliance_stats.survival.rows.dropout_definitions import ending_named
from alliance_stats.survival.rows.time_at_risk import Intervals, read_intervals

__all__ = ["accuracy_of_risks", "folds_of", "left_out", "risk_accuracy"]

_MOST_ROWS = 1000  # units that the jackknife leaves out one by one; more in as many parts


def risk_accuracy(
    model: CoxModel | FineGrayModel,
    *,
    times: Sequence[float],
    leave_out: Hashable | None = None,
    n_folds: int | None = None,
) -> RiskAccuracy:
    """Assess how well a model predicts who has left by each of `times`.

    Discrimination (time-dependent AUC), mean squared error (Brier score) and calibration, with
    inverse probability of censoring weights; other endings count as not leaving
    (Blanche, Dartigues & Jacqmin-Gadda 2013, doi:10.1002/sim.5958; Gerds & Schumacher 2006,
    doi:10.1002/bimj.200610301). With `leave_out`, each therapist's probabilities come from the
    model refitted without that therapist.

    Parameters
    ----------
    model
        From :func:`cox_ph` or :func:`fine_gray`, one row per unit, without weights, frailty or late
        entry. A Cox model censors other endings and gives the probability of leaving if there
        were none. Where there are other endings, use :func:`fine_gray`.
    times
        Horizons, up to the last time at which anyone was observed.
    leave_out
        Column of the model's data whose values are left out in turn, such as the therapist's; None
        for the model's own probabilities, which look better than they are.
    n_folds
        With `leave_out`: its values are left out in `n_folds` parts (every `n_folds`-th value in
        sorted order); each separately if None.

    Returns
    -------
    RiskAccuracy

    Raises
    ------
    DataError
        Late entry; a horizon beyond the last time observed, or by which nobody left.
    NotIdentifiedError
        A model that cannot be fitted without some of the values.

    Examples
    --------
    >>> from alliance_stats import endings, example_study, fine_gray, risk_accuracy
    >>> families = endings(example_study()).units
    >>> model = fine_gray(
    ...     "parent_trauma + investment", families, time="time", event="state", cause="dropout",
    ...     censored="ongoing",
    ... )
    >>> found = risk_accuracy(model, times=[8], leave_out="therapist").tidy()
    >>> found.loc[found["term"] == "auc", ["time", "estimate", "std_error"]].round(2)
       time  estimate  std_error
    0   8.0      0.58       0.04
    """
    require_kind(
        model, (CoxModel, FineGrayModel), asked="risk_accuracy takes a model of cox_ph or fine_gray"
    )
    intervals = model.intervals
    if intervals.weight is not None:
        raise ValueError("The accuracy of a model with weights= is not offered.")
    if isinstance(model, CoxModel):
        refuse_weights(model.sets, "The accuracy")
        if model.frailty is not None:
            raise ValueError("The accuracy of a frailty model is not offered: use cluster=.")
    if (intervals.entry > 0.0).any():
        raise DataError(
            "The model's rows are intervals (start, stop]: give a model of a row per unit, with "
            "what was known at the start, or landmark_chance for what was known later."
        )
    asked = asked_times(times)
    cause = _cause(model)
    state = _ended(intervals, cause)
    risks = _chances(model, asked, leave_out, n_folds)
    cluster = _clusters(intervals, leave_out)
    parts = {
        float(t): _part(risks[0][k], risks[1][k], intervals.exit, state, float(t))
        for k, t in enumerate(asked)
    }
    return RiskAccuracy(
        parts=parts,
        clusters=dict.fromkeys(parts, cluster),
        how="a Cox model" if cause is None else f"a Fine-Gray model of '{cause}'",
        left_out=None if leave_out is None else str(leave_out),
        competing=bool((state == 2).any()),
        rows=model.rows,
    )


def accuracy_of_risks(
    data: pd.DataFrame,
    *,
    risks: Mapping[float, Hashable],
    time: Hashable,
    event: Hashable,
    cause: object | None = None,
    censored: object | None = None,
    cluster: Hashable | None = None,
) -> RiskAccuracy:
    """Assess how well given probabilities, from any source, predicted who left.

    Parameters
    ----------
    data
        One row per unit.
    risks
        Horizon -> column of the probability of having left by then (0 to 1).
    time, event, censored
        As in :func:`cumulative_incidence`; without `cause`, `event` is 0 or 1.
    cause
        The ending that was predicted, a value of `event`, where there are several.
    cluster
        Column: units that are not independent.

    Returns
    -------
    RiskAccuracy

    Examples
    --------
    >>> from alliance_stats import accuracy_of_risks, endings, example_study
    >>> families = endings(example_study()).units
    >>> guessed = families.assign(guess=0.2 + 0.2 * families["parent_trauma"])
    >>> found = accuracy_of_risks(guessed, risks={8: "guess"}, time="time", event="event").tidy()
    >>> found["term"].tolist()[:3]
    ['auc', 'brier', 'brier_null']
    """
    if not risks:
        raise ValueError("risks= names no horizon: give {8: 'column'}.")
    columns = [risks[t] for t in risks]
    intervals = read_intervals(
        data, time=time, event=event, cluster=cluster, also=columns, competing=cause is not None,
        censored=censored,
    )  # fmt: skip
    ending = None if cause is None else ending_named(cause, intervals.states, event)
    state = _ended(intervals, ending)
    parts = {}
    for t in sorted(risks):
        risk = finite_or_missing(intervals.frame, risks[t])
        if ((risk < 0.0) | (risk > 1.0)).any():
            raise DataError(f"Column '{risks[t]}' is no chance: it leaves 0 to 1.")
        null = np.full(len(risk), _marginal(intervals.exit, state, float(t)))
        parts[float(t)] = _part(risk, null, intervals.exit, state, float(t))
    return RiskAccuracy(
        parts=parts,
        clusters=dict.fromkeys(parts, _clusters(intervals, None)),
        how="given chances",
        left_out=None,
        competing=bool((state == 2).any()),
        rows=intervals.rows,
        given=True,
    )


def _part(risk: Array, null: Array, time: Array, state: Integers, horizon: float) -> Predicted:
    """Return what was predicted for a horizon; refuse one that cannot be assessed."""
    if horizon > time.max():
        raise DataError(
            f"{horizon:g} lies beyond the last time at which anybody was seen ({time.max():g})."
        )
    part = Predicted(risk, null, time, state, horizon, np.zeros(len(time), dtype=np.int64))
    if not part.case.any():
        raise DataError(f"Nobody had left by {horizon:g}: there is nothing to predict.")
    return part


def _marginal(time: Array, state: Integers, horizon: float) -> float:
    """Return the share that left by a horizon."""
    weight = known_weights(time, state, horizon)
    return float(weight @ ((state == 1) & (time <= horizon)) / len(time))


def _cause(model: CoxModel | FineGrayModel) -> str | None:
    return None if isinstance(model, CoxModel) else model.cause


def _ended(intervals: Intervals, cause: str | None) -> Integers:
    """Return 0 for censored, 1 for the ending of interest, 2 for another."""
    if cause is None:
        return intervals.event
    number = intervals.states.index(cause) + 1
    return np.where(intervals.event == number, 1, np.where(intervals.event > 0, 2, 0))


def folds_of(frame: pd.DataFrame, column: Hashable, n_folds: int | None) -> Integers:
    """Return the part with which each row is left out."""
    require_columns(frame, [column])
    codes, labels = group_codes(frame[column])
    if len(labels) < 2:
        raise DataError(f"Column '{column}' holds one value: leaving it out leaves nothing.")
    if n_folds is not None and not 2 <= n_folds <= len(labels):
        raise ValueError(f"n_folds must lie between 2 and {len(labels)}; got {n_folds}.")
    return codes if n_folds is None else codes % n_folds


def left_out(
    folds: Integers, predict: Callable[[Booleans, Booleans], tuple[Array, Array]]
) -> tuple[Array, Array]:
    """Return probabilities (t, n), and those without covariates, each part's from the others."""
    risk, null = np.empty(0), np.empty(0)
    for fold in np.unique(folds):
        held = folds == fold
        try:
            own, plain = predict(~held, held)
        except NotIdentifiedError as error:
            raise NotIdentifiedError(f"Without one part of the rows: {error}") from error
        if not len(risk):
            risk, null = np.full((2, len(own), len(folds)), np.nan)
        risk[:, held], null[:, held] = own, plain
    return risk, null


def _chances(
    model: CoxModel | FineGrayModel, times: Array, leave_out: Hashable | None, n_folds: int | None
) -> tuple[Array, Array]:
    intervals, cause = model.intervals, _cause(model)

    def predict(train: Booleans, test: Booleans) -> tuple[Array, Array]:
        seen, new = intervals.where(train), intervals.where(test)
        state = _ended(seen, cause)
        null = np.array([_marginal(seen.exit, state, float(t)) for t in times])
        if isinstance(model, CoxModel):
            return _cox_chance(model, seen, new, times), null[:, None]
        return _fine_gray_chance(model, seen, new, times), null[:, None]

    if leave_out is None:
        everyone = np.ones(len(intervals.exit), dtype=bool)
        risk, null = predict(everyone, everyone)
        return risk, np.repeat(null, len(everyone), axis=1)
    if leave_out in intervals.strata_columns:
        raise DataError(
            f"The model has a baseline for each '{leave_out}': of one left out it knows none."
        )
    return left_out(folds_of(intervals.frame, leave_out, n_folds), predict)


def _cox_chance(model: CoxModel, seen: Intervals, new: Intervals, times: Array) -> Array:
    design, seen = cox_design(model.design.formula, seen)
    sets = risk_sets(seen, ties=model.ties)
    X = design.X.take(sets.order, axis=1)
    fit = fit_cox(X, sets, design.terms)
    Z, offset = new_covariates(design, new.frame), new_offset(design, new.frame)
    risk = np.empty((len(times), len(Z)))
    for number in np.unique(new.stratum):
        own = new.stratum == number
        z = (Z[own] - design.centre[number]) / design.scale
        base = baseline_at(X, sets, fit.at, int(number), times)
        risk[:, own] = -np.expm1(-base.cumulative[:, None] * np.exp(z @ fit.beta + offset[own]))
    return risk


def _fine_gray_chance(model: FineGrayModel, seen: Intervals, new: Intervals, times: Array) -> Array:
    design, seen = cox_design(model.design.formula, seen)
    sets = subdistribution(design.X, seen, seen.states.index(model.cause) + 1)
    fit = climb(sets, design.terms)
    z = (new_covariates(design, new.frame) - design.centre[0]) / design.scale
    eta = z @ fit.beta + new_offset(design, new.frame)
    place = np.searchsorted(sets.time, times, side="right")
    steps = np.concatenate(([0.0], np.cumsum(fit.at.share)))[place]
    return np.asarray(-np.expm1(-steps[:, None] * np.exp(eta)))


def _clusters(intervals: Intervals, leave_out: Hashable | None) -> Integers:
    """Return which rows the standard errors treat as one cluster."""
    if leave_out is not None:
        return group_codes(intervals.frame[leave_out])[0]
    return _units_of_error(intervals.cluster, len(intervals.exit))


def _units_of_error(cluster: Integers | None, n: int) -> Integers:
    """Return the clusters, or each row as its own; very many rows in parts."""
    if cluster is not None:
        return cluster
    return np.arange(n) % min(n, _MOST_ROWS)

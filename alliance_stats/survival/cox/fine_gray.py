"""The Fine-Gray model: covariates of one ending's cumulative incidence."""

from collections.abc import Hashable

import numpy as np
import pandas as pd

from alliance_stats.checks import check_frame, describe_rows, require_columns
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.formatting import plural
from alliance_stats.survival.cox.cluster_errors import cluster_sums
from alliance_stats.survival.cox.cox_design import cox_design, formula_variables
from alliance_stats.survival.cox.cox_fit import climb
from alliance_stats.survival.cox.fine_gray_model import FineGrayModel
from alliance_stats.survival.curves.subdistribution import subdistribution
from alliance_stats.survival.rows.dropout_definitions import ending_named
from alliance_stats.survival.rows.hazard_rows import refuse_outcomes
from alliance_stats.survival.rows.time_at_risk import read_intervals, weighted_rows

__all__ = ["fine_gray"]

# As in cox_fit: twice the log-likelihood still to be gained.
_CONVERGED = 1e-16


def fine_gray(
    formula: str,
    data: pd.DataFrame,
    *,
    time: Hashable,
    event: Hashable,
    cause: object,
    censored: object | None = None,
    entry: Hashable | None = None,
    cluster: Hashable | None = None,
    person: Hashable | None = None,
    weights: Hashable | None = None,
) -> FineGrayModel:
    """Fit the proportional subdistribution hazards model of Fine & Gray (1999).

    ``1 - F(t | x) = (1 - F0(t))^exp(x beta)`` for the cumulative incidence F of one ending
    (doi:10.1080/01621459.1999.10474144): units with another ending stay at risk, weighted by
    the probability of being uncensored at t given that they were at their ending. Standard errors
    allow for that weight's estimation; with `cluster` the contributions are summed over clusters
    first (Zhou et al. 2012, doi:10.1093/biostatistics/kxr032). Ties are Breslow's, as in R's
    ``cmprsk::crr``.

    Covariates must be fixed: after an ending, a time-varying one (the alliance of this session)
    would need values that do not exist, yet units with another ending still count as at risk.
    Use the value of the first session here, or :func:`cox_ph` for the hazard of the ending.

    Parameters
    ----------
    formula
        The covariates, as in ``"alliance + role"``. A term in ``offset(...)`` is added to the
        log subdistribution hazard unchanged.
    data
        One row per unit.
    time, event, censored
        As in :func:`cumulative_incidence`.
    cause
        The ending to model, a value of `event`.
    entry
        Column: time from which the row was at risk (delayed entry), as in :func:`kaplan_meier`.
        Units with another ending are then also weighted by the probability of having entered
        (Geskus 2011, doi:10.1111/j.1541-0420.2010.01420.x), as in R's ``survival::finegray``.
    cluster
        Column: units that are not independent.
    person
        Column: the person of each row; a second row of one person is refused.
    weights
        Column of positive weights, as in :func:`kaplan_meier`; they also enter the probability
        of being observed.

    Returns
    -------
    FineGrayModel
        Its estimates are log subdistribution hazard ratios per unit of the covariate.

    Raises
    ------
    DataError
        Several rows of a person (time-varying covariates), an unknown cause, impossible times, a
        covariate that is the outcome itself (as in :func:`cox_ph`).
    NotIdentifiedError
        No ending of this cause, separation, covariates that do not vary; with `entry`, a time at
        which nobody observed earlier was still under observation.

    Examples
    --------
    >>> from alliance_stats import endings, example_study, fine_gray
    >>> families = endings(example_study()).units
    >>> model = fine_gray(
    ...     "parent_trauma", families, time="time", event="state", cause="dropout",
    ...     censored="ongoing",
    ... )
    >>> model.tidy()[["term", "estimate", "std_error"]].round(3)
                term  estimate  std_error
    0  parent_trauma     0.433      0.227
    """
    data = check_frame(data)
    if person is not None:
        _refuse_several_rows(data, person)
    intervals = read_intervals(
        data,
        time=time,
        event=event,
        entry=entry,
        cluster=cluster,
        also=[] if weights is None else [weights],
        competing=True,
        censored=censored,
    )
    refuse_outcomes(
        intervals.frame.columns, formula_variables(formula, offset=True), outcomes=(time, event)
    )
    name = ending_named(cause, intervals.states, event)
    if intervals.cluster is not None and intervals.n_clusters < 2:
        raise DataError(f"Column '{cluster}' holds one cluster; at least two are needed.")
    design, intervals = cox_design(formula, intervals)
    intervals = weighted_rows(intervals, weights)
    number = intervals.states.index(name) + 1
    if not (intervals.event == number).any():
        raise NotIdentifiedError(
            f"None of {plural(len(intervals.event), 'row')} with all variables ended as '{name}'."
        )
    sets = subdistribution(design.X, intervals, number)
    fit = climb(sets, design.terms, done=_CONVERGED * float(sets.case.mean()))
    own = np.linalg.solve(fit.information, sets.influence(fit.at)) / design.scale[:, None]
    influence = cluster_sums(intervals.cluster, np.asarray(own, dtype=np.float64))
    beta = fit.beta / design.scale
    return FineGrayModel(
        design=design,
        intervals=intervals,
        cause=name,
        fit=fit,
        beta=beta,
        covariance=influence @ influence.T,
        sets=sets,
    )


def _refuse_several_rows(data: pd.DataFrame, person: Hashable) -> None:
    require_columns(data, [person])
    again = data[person].duplicated(keep=False).to_numpy()
    if again.any():
        raise DataError(
            f"Column '{person}' has several rows of one person ({describe_rows(again, data.index)})"
            ": the Fine-Gray model takes fixed covariates only. Who ended otherwise stays in its "
            "risk set, where an alliance that changes from session to session has no value. Use "
            "the first session's alliance, or cox_ph for the hazard of the ending."
        )

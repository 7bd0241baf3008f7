"""Hazards by session with Firth's penalty: for a group, or a session, without events."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.checks import check_choice, check_frame
from alliance_stats.design.design import Design, build_design
from alliance_stats.design.formula import MixedFormula, formula_of, parse_terms
from alliance_stats.engine.families import family_of
from alliance_stats.engine.outcomes import Family, Outcome
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.formatting import plural
from alliance_stats.named import named
from alliance_stats.survival.by_session.discrete_hazard import hazard_periods
from alliance_stats.survival.cox.firth import FirthHazards
from alliance_stats.survival.cox.penalised_fit import Penalised, PenalisedFit, maximise_penalised
from alliance_stats.survival.rows.hazard_rows import (
    BASELINES,
    baseline_columns,
    baseline_terms,
    check_baseline,
    refuse_copies,
)

__all__ = ["firth_discrete_hazard"]


def firth_discrete_hazard(
    formula: str,
    data: pd.DataFrame,
    *,
    session: str,
    event: str,
    unit: str,
    known_before: Sequence[str] = (),
    link: Literal["cloglog", "logit"] = "cloglog",
    baseline: str = "dummies",
    baseline_df: int = 3,
) -> FirthHazards:
    """Model the hazard of ending after each session with Firth's penalty.

    ``log L(beta) + log |I(beta)| / 2`` is maximised over baseline and covariates, with I the
    expected information (Firth 1993, doi:10.1093/biomet/80.1.27; Heinze & Schemper 2002,
    doi:10.1002/sim.1047). Where :func:`discrete_hazard` refuses a level in which nobody left, this
    gives a finite ratio with a profile interval: use it there, and report it. Rows are taken as
    independent: there are no random effects or clusters.

    Parameters
    ----------
    formula, data, session, event, unit, known_before, link, baseline, baseline_df
        As in :func:`discrete_hazard`; sessions after which no one left keep their dummy, whose
        coefficient is finite here.

    Returns
    -------
    FirthHazards
        Its estimates are log hazard ratios (cloglog) or log odds ratios (logit).

    Raises
    ------
    FormulaError, DataError
        As in :func:`discrete_hazard`.
    NotIdentifiedError
        No events, or nothing but events; covariates that repeat one another.

    Examples
    --------
    >>> from alliance_stats import example_study, firth_discrete_hazard, person_period
    >>> periods = person_period(
    ...     example_study().sessions, unit="family", session="session", ending="ending"
    ... )
    >>> model = firth_discrete_hazard(
    ...     "parent_trauma", periods, session="session", event="event", unit="family",
    ...     baseline="polynomial",
    ... )
    >>> model.ratios().round(2)
                term  estimate  conf_low  conf_high  p_value
    0  parent_trauma      1.61      1.02       2.54     0.04
    """
    check_choice(link, ("cloglog", "logit"), name="link")
    check_choice(baseline, BASELINES, name="baseline")
    periods = hazard_periods(
        formula, check_frame(data), session=session, event=event, unit=unit,
        known_before=known_before,
    )  # fmt: skip
    refuse_copies(periods, [])
    n_sessions = len(periods.sessions)
    check_baseline(baseline, baseline_df, n_sessions)
    terms = (
        baseline_terms(baseline, periods, baseline_df) + parse_terms(formula).without_intercept()
    )
    design, y = _read(formula_of(event, terms, ()), periods.frame, event)
    kept = list(design.fixed.kept)
    X = design.X[:, kept] if design.X.shape[1] > len(kept) else design.X
    scale, family = np.sqrt((X**2).mean(axis=0)), family_of("binomial", link)
    outcome = family.outcome(y, np.ones(len(y)))
    criterion = partial(_penalised_rows, X / scale, family, outcome)
    everything = np.ones(len(scale), dtype=bool)
    beta, at, steps = maximise_penalised(criterion, np.zeros(len(scale)), everything)
    n_baseline = baseline_columns(design, baseline)
    of_baseline = np.arange(len(scale)) < n_baseline
    _, without, _ = maximise_penalised(criterion, np.where(of_baseline, beta, 0.0), of_baseline)
    return FirthHazards(
        terms=tuple(design.fixed.names[k] for k in kept),
        n_baseline=n_baseline,
        fit=PenalisedFit(criterion, beta, at, scale, steps),
        statistic=max(2.0 * (at.value - without.value), 0.0),
        df=len(scale) - n_baseline,
        kind=f"Discrete-time hazard model ({link} link, {baseline} baseline)",
        link=link,
        n_event=int(y.sum()),
        design=design,
        rows=periods.rows,
    )


def _read(formula: MixedFormula, frame: pd.DataFrame, event: str) -> tuple[Design, Array]:
    """Return the design and the events, refusing rows that are all alike and idle columns."""
    design, used = build_design(formula, frame, residual_variance=False)
    y = used[event].to_numpy(dtype=np.float64)
    if not 0 < y.sum() < len(y):
        raise NotIdentifiedError(
            f"{plural(int(y.sum()), 'event')} in {plural(len(y), 'row')}: no penalty makes up for "
            "all rows being alike."
        )
    dropped = [name for k, name in enumerate(design.fixed.names) if k not in design.fixed.kept]
    if dropped:
        raise NotIdentifiedError(
            f"'{dropped[0]}' does not vary, or repeats the others: leave it out."
        )
    return design, y


@named
def _penalised_rows(Z: Array, family: Family, outcome: Outcome, beta: Array) -> Penalised:
    """Return the penalised likelihood of rows, its slope, and the expected information."""
    eta = Z @ beta
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        density, score, _ = family.slopes(eta, outcome)
        weight, rise = _expected_weight(eta, family.link)
        curvature = (Z * weight[:, None]).T @ Z
        value = float(density.sum())
        sign, log_det = np.linalg.slogdet(curvature) if np.isfinite(curvature).all() else (0.0, 0.0)
    if not np.isfinite(value) or sign <= 0.0:
        return Penalised(-np.inf, np.zeros(len(beta)), np.eye(len(beta)))
    leverage = weight * (Z @ np.linalg.inv(curvature) * Z).sum(axis=1)
    slope = Z.T @ (score + leverage * rise / 2.0)
    return Penalised(value + log_det / 2.0, slope, curvature)


def _expected_weight(eta: Array, link: str) -> tuple[Array, Array]:
    """Return each row's expected information about its predictor, and its logarithm's slope."""
    if link == "logit":
        mean = 1.0 / (1.0 + np.exp(-eta))
        return mean * (1.0 - mean), 1.0 - 2.0 * mean
    hazard = np.exp(eta)
    share = np.where(hazard > 0.0, hazard / -np.expm1(-hazard), 1.0)  # hazard over the probability
    return hazard * share * np.exp(-hazard), 2.0 - share

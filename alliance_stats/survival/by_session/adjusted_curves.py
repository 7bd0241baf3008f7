"""Adjusted curves of groups, as if each had the same people: averaged over covariates."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_frame, group_codes, require_columns
from alliance_stats.door import replaced
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.renaming import renamed
from alliance_stats.survival.by_session.competing_hazards_model import CompetingHazards
from alliance_stats.survival.by_session.discrete_hazard_model import DiscreteHazard
from alliance_stats.survival.cox.baseline_hazard import baseline_at
from alliance_stats.survival.cox.cox_design import new_covariates, new_offset, new_strata
from alliance_stats.survival.cox.cox_model import CoxModel
from alliance_stats.survival.cox.fine_gray_model import FineGrayModel
from alliance_stats.survival.cox.risk_sets import refuse_weights
from alliance_stats.survival.curves.life_table import (
    asked_times,
    pairwise_differences,
    probability_rows,
)
from alliance_stats.survival.rows.time_at_risk import same_times

__all__ = ["AdjustedCurves", "adjusted_curves"]

Hazards = CoxModel | FineGrayModel | DiscreteHazard | CompetingHazards

# Values of a column up to which it is taken for a group without being asked.
_FEW = 6


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AdjustedCurves:
    """Averaged curves, one per group (and ending).

    Attributes
    ----------
    variable, groups
        The grouping column, and the values compared.
    states
        The endings whose incidence is shown; empty for survival curves.
    time
        (t,) times.
    estimate
        (groups, max(states, 1), t) probabilities.
    root
        (groups, max(states, 1), t, m); its products are the covariances.
    n_averaged
        Number of rows averaged over.
    model
        What kind of model it was.
    rows
        The model's row ledger.
    """

    variable: str
    groups: tuple[object, ...]
    states: tuple[str, ...]
    time: Array
    estimate: Array
    root: Array
    n_averaged: int
    model: str
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95, conf_type: str = "log-log") -> pd.DataFrame:
        """Return one row per group, (ending) and time.

        Returns
        -------
        DataFrame
            ``group, (state,) time, estimate, std_error, conf_low, conf_high`` on the probability
            scale: of not having ended by then or, with ``state``, of having ended in that way.
        """
        std_error = np.sqrt((self.root**2).sum(axis=-1))
        frames = []
        for g, group in enumerate(self.groups):
            for k in range(self.estimate.shape[1]):
                state = self.states[k] if self.states else None
                names = {"group": group, "state": state, "time": self.time}
                own = self.estimate[g, k], std_error[g, k]
                frames.append(
                    probability_rows(names, *own, conf_level=conf_level, conf_type=conf_type)
                )
        return self._without_state(pd.concat(frames, ignore_index=True))

    def differences(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return all pairwise differences at each time, later minus earlier group in sorted order.

        Returns
        -------
        DataFrame
            ``contrast, (state,) time, estimate, std_error, statistic, p_value, conf_low,
            conf_high`` on the probability scale, normal theory.
        """
        if len(self.groups) < 2:
            raise DataError(
                f"Column '{self.variable}' has one value here: nothing is to be compared."
            )
        return pairwise_differences(
            self.groups, self.states, self.time, self.estimate, self.root, conf_level=conf_level
        )

    def _without_state(self, table: pd.DataFrame) -> pd.DataFrame:
        return table if self.states else table.drop(columns="state")

    def glance(self) -> pd.DataFrame:
        """Return ``model, n_groups, n_averaged`` in one row."""
        return pd.DataFrame(
            {"model": [self.model], "n_groups": [len(self.groups)], "n_averaged": [self.n_averaged]}
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        what = "cumulative incidence" if self.states else "survival"
        return (
            f"{what} by '{self.variable}' from a {self.model}, averaged over the covariates of "
            f"{self.n_averaged} rows"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the averages assume."""
        return (
            "The covariates averaged over are taken as given: they stand for people whose "
            f"'{self.variable}' could have been any of these values.",
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the curves at their last time, and the differences there, as data."""
        names = ("group", "state") if self.states else ("group",)
        columns = {"time": Column("by time", "time")}
        ends = self.tidy(conf_level=conf_level).groupby(list(names), sort=False).tail(1)
        what = "ended so" if self.states else "not ended"
        sections = [
            Section(
                "Group", ends, names=names, measure=what, kind="share", columns=columns,
                conf_level=conf_level,
            )
        ]  # fmt: skip
        if len(self.groups) > 1:
            names = ("contrast", "state") if self.states else ("contrast",)
            apart = self.differences(conf_level=conf_level)
            sections.append(
                Section(
                    "Difference",
                    apart.groupby(list(names), sort=False).tail(1),
                    names=names,
                    measure="difference",
                    columns=columns,
                    conf_level=conf_level,
                )
            )
        return Account.of(self, {"rows": self.rows.n_used}, sections, sources=("chang1982",))

    summary = summary_of
    _repr_html_ = html_of


@renamed(by="variable")
def adjusted_curves(
    model: Hazards,
    *,
    variable: str,
    values: Sequence[object] | None = None,
    data: pd.DataFrame | None = None,
    times: Sequence[float] | None = None,
) -> AdjustedCurves:
    """Average a model's curves over its covariates, once for each value of a group.

    ``S_g(t) = mean over i of S(t | group = g, covariates of i)`` (direct standardisation; Makuch
    1982, doi:10.1016/0021-9681(82)90063-6): groups are compared as if each were made of the same
    people. Cox and discrete hazards give survival, Fine-Gray and competing hazards cumulative
    incidence. Standard errors are by the delta method, with robust covariances where the model has
    them; random effects are integrated out, with their variances taken as known.

    Parameters
    ----------
    model
        A model of :func:`cox_ph`, :func:`fine_gray`, :func:`discrete_hazard` or
        :func:`competing_hazards`, with `variable` in its formula.
    variable
        Grouping column.
    values
        Values to compare; if None, all that occur, in sorted order.
    data
        Rows to average over, with the formula's columns: one per person, with what is known
        before the first session; if None, the model's own rows (the first of each unit of a
        discrete model).
    times
        Ascending; the event times (sessions) if None.

    Returns
    -------
    AdjustedCurves

    Raises
    ------
    DataError
        `variable` is not in the formula; a model of intervals (start, stop], or of rows with
        weights, without `data`.

    Examples
    --------
    >>> from alliance_stats import cox_ph, endings, example_study
    >>> from alliance_stats.survival import adjusted_curves
    >>> families = endings(example_study()).units
    >>> model = cox_ph("parent_trauma + investment", families, time="time", event="event")
    >>> curves = adjusted_curves(model, variable="parent_trauma", times=[4, 8])
    >>> curves.tidy().shape[0]
    4
    """
    require_kind(
        model,
        (CoxModel, FineGrayModel, DiscreteHazard, CompetingHazards),
        asked="adjusted_curves takes a model of cox_ph, fine_gray, discrete_hazard or "
        "competing_hazards",
    )
    if isinstance(model, CoxModel):
        refuse_weights(model.sets, "An average over covariates")
    own = _own_rows(model) if data is None else check_frame(data)
    require_columns(own, [variable])
    _check_variable(model, variable)
    if values is None:
        values = group_codes(own[variable])[1].tolist()
        if len(values) > _FEW:
            raise DataError(
                f"Column '{variable}' has {len(values)} values: say which to compare, as in "
                f"values={values[:2]!r}."
            )
    asked = None if times is None else asked_times(times)
    found = [_averaged(model, replaced(own, {variable: value}), asked) for value in values]
    return AdjustedCurves(
        variable=variable,
        groups=tuple(values),
        states=_states(model),
        time=found[0][0],
        estimate=np.stack([estimate for _, estimate, _ in found]),
        root=np.stack([root for _, _, root in found]),
        n_averaged=len(own),
        model=_KINDS[type(model)],
        rows=model.rows,
    )


_KINDS: dict[type, str] = {
    CoxModel: "Cox model",
    FineGrayModel: "Fine-Gray model",
    DiscreteHazard: "discrete-time hazard model",
    CompetingHazards: "model of competing hazards",
}


def _states(model: Hazards) -> tuple[str, ...]:
    if isinstance(model, FineGrayModel):
        return (model.cause,)
    return model.states if isinstance(model, CompetingHazards) else ()


def _own_rows(model: Hazards) -> pd.DataFrame:
    """Return the model's rows, one per unit."""
    weights: object = (
        model.weights
        if isinstance(model, DiscreteHazard | CompetingHazards)
        else model.intervals.weight
    )
    if weights is not None:
        raise DataError(
            "The model's rows stand for unlike numbers of people: give data= with one row per "
            "person of those to be averaged over."
        )
    if isinstance(model, DiscreteHazard | CompetingHazards):
        frame = model.periods.frame.sort_values(model.periods.session, kind="stable")
        return frame.drop_duplicates(model.periods.unit).sort_index()
    if (model.intervals.entry > 0.0).any():
        raise DataError(
            "The model's rows are intervals (start, stop], several per person: give data= with one "
            "row per person, holding what is to be averaged over."
        )
    return model.intervals.frame


def _check_variable(model: Hazards, variable: str) -> None:
    coding = (
        model.design.coding
        if isinstance(model, CoxModel | FineGrayModel)
        else (model.fit.design if isinstance(model, DiscreteHazard) else model.design).fixed.coding
    )
    if variable not in coding.variables:
        raise DataError(f"The model's formula has no '{variable}': its groups do not differ in it.")


def _averaged(
    model: Hazards, rows: pd.DataFrame, asked: Array | None
) -> tuple[Array, Array, Array]:
    """Return times (t,), estimates (states, t) and roots of their covariance (states, t, m)."""
    if isinstance(model, CoxModel):
        return _of_cox(model, rows, asked)
    if isinstance(model, FineGrayModel):
        X = _complete(new_covariates(model.design, rows))
        times = model.time if asked is None else asked
        Z = (X - model.design.centre[0]) / model.design.scale
        estimate, root = model.averaged(Z, times, offset=new_offset(model.design, rows))
        return times, estimate[None], root[None]
    return _by_session(model, rows, asked)


def _complete(X: Array) -> Array:
    if np.isnan(X).any():
        raise DataError(
            "The rows averaged over lack some of the formula's columns: leave them out."
        )
    return X


def _root(covariance: Array) -> Array:
    """Return a matrix (m, m) times whose transpose the covariance is, of any rank.

    Over fewer clusters than coefficients a robust covariance has no Cholesky factor.
    """
    sizes = np.sqrt(np.diag(covariance))
    sizes[sizes == 0.0] = 1.0
    values, vectors = np.linalg.eigh(covariance / np.outer(sizes, sizes))
    return np.asarray(sizes[:, None] * vectors * np.sqrt(np.maximum(values, 0.0)))


def _of_cox(model: CoxModel, rows: pd.DataFrame, asked: Array | None) -> tuple[Array, Array, Array]:
    strata = new_strata(model.intervals, rows)
    X, offset = _complete(new_covariates(model.design, rows)), new_offset(model.design, rows)
    numbers, intervals = np.unique(strata), model.intervals
    # behind the last row of a stratum nothing is known of the average
    last = min(float(intervals.exit[intervals.stratum == own].max()) for own in numbers)
    times = np.unique(model.sets.time) if asked is None else asked
    times = same_times(times if asked is not None else times[times <= last], intervals.exit)
    scale = model.design.scale
    beta_root = _root(model.covariance * np.outer(scale, scale))
    estimate, by_beta = np.zeros(len(times)), np.zeros((len(times), len(scale)))
    hazard_roots = []
    for number in numbers:
        own = strata == number
        z = (X[own] - model.design.centre[number]) / scale
        base = baseline_at(model.X, model.sets, model.fit.at, int(number), times)
        ratio = np.exp(z @ model.fit.beta + offset[own])
        survival = np.exp(-base.cumulative[:, None] * ratio) / len(rows)
        fall = survival * ratio
        estimate += survival.sum(axis=1)
        by_beta -= base.cumulative[:, None] * (fall @ z) - fall.sum(axis=1)[:, None] * base.mean
        hazard_roots.append(-fall.sum(axis=1)[:, None] * base.root)
    root = np.hstack([by_beta @ beta_root, *hazard_roots])
    estimate[times > last] = root[times > last] = np.nan
    return times, estimate[None], root[None]


def _by_session(
    model: DiscreteHazard | CompetingHazards, rows: pd.DataFrame, asked: Array | None
) -> tuple[Array, Array, Array]:
    """Average whole courses, computing identical rows only once."""
    session = model.periods.session
    if isinstance(model, DiscreteHazard):
        coding, covariance = model.fit.design.fixed.coding, model.covariance
        sessions = model.periods.sessions["session"].to_numpy(dtype=np.float64)
    else:
        coding, covariance = model.design.fixed.coding, model.covariance
        sessions = model.observed["session"].to_numpy(dtype=np.float64)
    columns: list[Hashable] = [name for name in coding.variables if name != session]
    counted = rows.groupby(columns, dropna=False, observed=True).size()
    estimate: Array | float = 0.0
    slope: Array | float = 0.0
    for values, n in zip(counted.index.to_frame(index=False).index, counted, strict=True):
        course = counted.index.to_frame(index=False).loc[[values]]
        if isinstance(model, DiscreteHazard):
            curve, X = model.whole_course(course, level="population")
            value, by_beta = curve.survival[None], (curve.survival_slope @ X)[None]
        else:
            found, by = model.course(course, level="population")
            value, by_beta = found.incidence.T, by.transpose(1, 0, 2)
        estimate = estimate + n / len(rows) * value
        slope = slope + n / len(rows) * by_beta
    root = np.asarray(slope) @ _root(covariance)
    if asked is None:
        return sessions, np.asarray(estimate), root
    place = np.searchsorted(sessions, asked, side="right")
    start = 1.0 if isinstance(model, DiscreteHazard) else 0.0
    padded = np.concatenate((np.full((len(root), 1), start), np.asarray(estimate)), axis=1)
    padded_root = np.concatenate((np.zeros((len(root), 1, root.shape[2])), root), axis=1)
    beyond = asked > sessions[-1]
    chosen, chosen_root = padded[:, place], padded_root[:, place]
    chosen[:, beyond], chosen_root[:, beyond] = np.nan, np.nan
    return asked, chosen, chosen_root

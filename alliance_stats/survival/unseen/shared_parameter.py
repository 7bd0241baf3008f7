"""A shared-parameter model: growth of the outcome and hazard of dropout share unit effects."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import (
    check_choice,
    check_frame,
    did_you_mean,
    finite_or_missing,
    group_codes,
    require_columns,
    require_present,
    units_with_several,
)
from alliance_stats.design.design import code_new_rows
from alliance_stats.design.formula import (
    CONSTANT,
    MixedFormula,
    RandomTerm,
    formula_of,
    parse_formula,
)
from alliance_stats.design.groupings import back_transform
from alliance_stats.door import replaced
from alliance_stats.engine.quadrature import check_node_count
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.renaming import renamed
from alliance_stats.survival.by_session.discrete_hazard import discrete_hazard
from alliance_stats.survival.by_session.discrete_hazard_model import DiscreteHazard
from alliance_stats.survival.cox.cox_design import formula_variables
from alliance_stats.survival.unseen.shared_likelihood import Channel, SharedData
from alliance_stats.survival.unseen.shared_parameter_model import SharedParameterModel, of_units
from alliance_stats.survival.unseen.shared_search import MOST_NODES, maximise

__all__ = ["shared_parameter"]

Association = Literal["effects", "unit effects", "value", "slope", "value + slope"]

_ASSOCIATIONS = ("effects", "unit effects", "value", "slope", "value + slope")
_EXACT = 1e-8  # of a constant that columns span
_NO_EFFECT = 1e-8  # of a variance, in residual variances
_CLOCK_STEP = 1e-4  # of the clock's range, for the slope of its columns


@renamed(df="baseline_df")
def shared_parameter(
    outcome: str,
    hazard: str,
    data: pd.DataFrame,
    periods: pd.DataFrame,
    *,
    session: str,
    event: str,
    unit: str,
    association: Association = "effects",
    time: str | None = None,
    random: str | None = None,
    link: Literal["cloglog", "logit"] = "cloglog",
    baseline: str = "polynomial",
    baseline_df: int = 2,
    nodes: int = 9,
) -> SharedParameterModel:
    """Fit the outcome's growth and the discrete-time hazard of dropout in one likelihood.

    ``y = X beta + Z b + v + e`` and ``g h(t) = baseline(t) + W gamma + alpha' s(t) + w``, with
    effects ``b ~ N(0, D)`` of each unit. The shared part s is the effects (b, and v), or the
    outcome's own course without its errors: its current value ``m(t) = x(t) beta + z(t) b + v``, or
    its slope ``dm / dt``. Units whose outcome starts worse, or improves more slowly, may leave
    earlier. Given s, outcomes and dropout are independent: that is the assumption in place of
    missing at random, and it cannot be tested.

    Parameters
    ----------
    outcome
        A linear mixed model with one random term of `unit`, and optionally an intercept v of
        the therapist: ``"y ~ time * arm + (1 + time | id) + (1 | therapist)"``.
    hazard
        Covariates of the hazard; ``"1"`` for none.
    data
        Rows with outcomes. A unit may miss any of them, or all.
    periods
        One row per unit and session at risk (see :func:`discrete_hazard`); for a current value or
        slope, with the columns of `outcome`'s formula as of that session.
    session, event, unit
        Columns of `periods`; `unit` is in both frames.
    association
        What the hazard shares with the outcome. ``"effects"``: all random effects, also the
        therapist's. ``"unit effects"``: those of the unit alone. ``"value"``, ``"slope"``,
        ``"value + slope"``: the level and trend of the outcome at that session.
    time
        The clock of `outcome`'s formula, for a slope.
    random
        A therapist's effect w in the hazard, independent of v: ``"(1 | therapist)"``.
    link
        ``"cloglog"`` (log hazard ratios) or ``"logit"`` (log odds ratios of leaving).
    baseline, baseline_df
        As in :func:`discrete_hazard`; smooth ones keep the number of parameters small.
    nodes
        Gauss-Hermite nodes per effect to begin with, about the mode of each unit's effects. They
        are doubled until doubling moves the log-likelihood by less than 0.01, and estimates and
        information by less than 0.01 standard errors; otherwise the summary says so.

    Returns
    -------
    SharedParameterModel

    Raises
    ------
    DataError
        No unit at risk with an outcome; random terms other than those named; a unit with
        several therapists; a current value whose columns are not known at a session at risk.
    NotIdentifiedError
        As in the separate models: no events, separation, an effect on its boundary.

    Notes
    -----
    Each unit's integral over its effects is by adaptive quadrature given outcomes and dropout
    (Pinheiro & Bates 1995, doi:10.1080/10618600.1995.10474663), nested in one over the therapist's
    effects. Sources: Wu & Carroll 1988, doi:10.2307/2531905; Follmann & Wu 1995,
    doi:10.2307/2533322 (effects); Rizopoulos 2012, doi:10.1201/b12208 (current value, slope).

    Examples
    --------
    >>> from alliance_stats import example_study, person_period, shared_parameter
    >>> sessions = example_study().sessions.query("role == 'mother'")
    >>> periods = person_period(sessions, unit="family", session="session", ending="ending")
    >>> model = shared_parameter(
    ...     "symptoms ~ session + (1 | family)", "parent_trauma", sessions, periods,
    ...     session="session", event="event", unit="family", nodes=5,
    ... )
    >>> model.tidy()[["term", "estimate"]].round(1).head(2)
              term  estimate
    0  (Intercept)      57.1
    1      session      -0.7
    """
    _check_asked(association, time, nodes)
    data, periods = check_frame(data), check_frame(periods, what="periods").reset_index(drop=True)
    require_columns(data, [unit])
    growth_formula, cluster = _read_random(outcome, unit, random)
    formula_variables(hazard)  # refuses an offset, which the joint likelihood has not
    growth = lmm(growth_formula, data, reml=False)
    leaving = discrete_hazard(
        hazard,
        periods,
        session=session,
        event=event,
        unit=unit,
        random=random,
        link=link,
        baseline=baseline,
        baseline_df=baseline_df,
        nodes=1 if random is None else "enough",
    )
    channels = _channels(growth, leaving, association, unit, time)
    arrays = _arrays(growth, leaving, channels, (data, periods), (unit, cluster))
    start, scale = _start(growth, leaving, arrays, unit)
    found = maximise(start, scale, arrays, nodes)
    moved = _constant_moved(arrays)
    return SharedParameterModel(
        outcome=growth,
        hazard=leaving,
        association=association,
        names=_names(growth, leaving, arrays, unit),
        parameters=moved @ found.parameters,
        covariance=moved @ found.covariance @ moved.T,
        data=arrays,
        found=found,
        n_unrated=arrays.n_units - len(np.unique(arrays.unit)),
        n_never_at_risk=arrays.n_units - len(np.unique(arrays.at_risk)),
    )


def _check_asked(association: str, time: str | None, nodes: int) -> None:
    check_choice(association, _ASSOCIATIONS, name="association")
    check_node_count(nodes, most=MOST_NODES)
    if (time is not None) != ("slope" in association):
        raise ValueError(
            "association='slope' needs time=, the clock of the outcome's formula, and nothing else "
            f"does; got association={association!r}, time={time!r}."
        )


def _arrays(
    growth: LinearMixedModel,
    leaving: DiscreteHazard,
    channels: tuple[Channel, ...],
    frames: tuple[pd.DataFrame, pd.DataFrame],
    columns: tuple[str, str | None],
) -> SharedData:
    """Put both models' rows side by side."""
    unit, cluster = columns
    units, codes, at_risk = _units(growth, leaving, unit)
    grouping, offset = of_units(growth, unit), growth.design.offset
    return SharedData(
        growth.design.y if offset is None else growth.design.y - offset,
        growth.design.X,
        # the working columns are an invertible mixture of those given
        np.asarray(np.linalg.solve(back_transform(grouping.terms).T, grouping.Z).T, dtype=float),
        codes,
        leaving.fit.design.X,
        leaving.fit.design.y,
        at_risk,
        leaving.link,
        channels,
        _clusters(units, *frames, unit, cluster),
        len(growth.design.groupings) > 1,
        bool(leaving.fit.design.groupings),
        len(units),
    )


def _read_random(outcome: str, unit: str, random: str | None) -> tuple[MixedFormula, str | None]:
    """Return the outcome's formula, its units by their own column, and the clusters' column."""
    parsed = parse_formula(outcome)
    own = [term for term in parsed.random if term.grouping[-1] == str(unit)]
    above = [term for term in parsed.random if term.grouping[-1] != str(unit)]
    if len(own) != 1 or len(above) > 1:
        raise DataError(
            f"The outcome needs one random term, of '{unit}', whose effects are shared with the "
            f"hazard, and at most an intercept of the therapist beside it; {outcome!r} has "
            f"{', '.join(map(str, parsed.random)) or 'none'}."
        )
    of_hazard = () if random is None else parse_formula(random, needs_response=False).random
    columns = {term.grouping for term in (*above, *of_hazard)}
    outer = own[0].grouping[:-1]
    bad = [str(term) for term in (*above, *of_hazard) if term.terms != CONSTANT]
    if bad or len(columns) > 1 or any(len(c) > 1 for c in columns) or outer not in {(), *columns}:
        raise DataError(
            "Above the unit there may be one level with an intercept, the same in outcome and "
            f"hazard, as in '(1 | therapist)'; found {', '.join(map(str, (*above, *of_hazard)))} "
            f"beside {own[0]}."
        )
    random_terms = [RandomTerm(own[0].terms, (unit,), own[0].text), *above]
    cluster = str(next(iter(columns))[0]) if columns else None
    return formula_of(parsed.outcome or "", parsed.fixed, random_terms), cluster


def _units(
    growth: LinearMixedModel, leaving: DiscreteHazard, unit: str
) -> tuple[pd.Index, Integers, Integers]:
    """Return all units, and those of the outcome's rows and of the rows at risk."""
    grouping = of_units(growth, unit)
    ids = _rows_at_risk(leaving)[unit].astype(object)
    known = grouping.keys.astype(object)
    unrated = pd.Index(ids[~ids.isin(known)].unique(), dtype=object)
    if len(unrated) == ids.nunique():
        raise DataError(
            f"No unit at risk has an outcome: '{unit}' is {ids.iloc[0]!r} in periods and "
            f"{known[0]!r} in data. The ids must be the same, and of the same type."
        )
    units = known.append(unrated)
    return units, grouping.codes, units.get_indexer(ids).astype(np.int64)


def _rows_at_risk(leaving: DiscreteHazard) -> pd.DataFrame:
    return leaving.periods.frame.loc[leaving.fit.design.index]


def _clusters(
    units: pd.Index, data: pd.DataFrame, periods: pd.DataFrame, unit: str, cluster: str | None
) -> Integers | None:
    """Return each unit's cluster; refuse a unit with several or none."""
    if cluster is None:
        return None
    require_columns(periods, [cluster], what="periods")
    frames = [frame for frame in (data, periods) if cluster in frame.columns]
    for frame in frames:
        require_present(frame, cluster, why="to know who treats the unit")
    both = pd.concat([frame[[unit, cluster]].astype(object) for frame in frames])
    several = units_with_several(both, unit=unit, column=cluster)
    if len(several):
        raise DataError(
            f"'{several[0]}' has several values of '{cluster}': a unit's effects are shared under "
            "one therapist."
        )
    own = both.drop_duplicates(unit).set_index(unit)[cluster].reindex(units)
    if own.isna().any():
        raise DataError(
            f"'{units[own.isna()][0]}' has outcomes and no row at risk, and data has no column "
            f"'{cluster}': add it to data, so that every unit's is known."
        )
    codes, labels = group_codes(own)
    if len(labels) < 2:
        raise NotIdentifiedError(
            f"Column '{cluster}' holds one value, {labels[0]!r}: how such clusters differ cannot "
            "be told. Leave the term out."
        )
    return codes


Columns = Callable[[pd.DataFrame], tuple[Array, Array]]
"""What codes rows as the outcome's: its fixed columns, and those of the unit's effects."""


def _channels(
    growth: LinearMixedModel,
    leaving: DiscreteHazard,
    association: Association,
    unit: str,
    time: str | None,
) -> tuple[Channel, ...]:
    """Return which parts of the outcome affect the hazard, in the rows at risk."""
    rows = _rows_at_risk(leaving)
    if "effects" in association:
        return _effects_shared(growth, len(rows), unit, whole=association == "effects")
    _check_known(growth, rows, unit)
    if growth.design.formula.fixed.offset:
        raise FormulaError(
            "The outcome's current value is that of its coefficients: an offset() in the outcome's "
            "formula is not in it. Take it off the outcome yourself, or share effects."
        )
    place = growth.design.groupings.index(of_units(growth, unit))

    def columns(at: pd.DataFrame) -> tuple[Array, Array]:
        new = code_new_rows(growth.design, at, with_units=False)
        return new.X, new.Z[place]

    found = []
    if "value" in association:
        ones, W = np.ones(len(rows)), leaving.fit.design.X
        spanned = np.abs(W @ np.linalg.lstsq(W, ones, rcond=None)[0] - ones).max() < _EXACT
        centre = float(growth.design.y.mean()) if spanned else 0.0
        found.append(Channel("value", *columns(rows), 1.0, centre))
    if time is not None:
        found.append(Channel("slope", *_slopes(growth, rows, columns, unit, time), 0.0))
    return tuple(found)


def _effects_shared(
    growth: LinearMixedModel, n: int, unit: str, *, whole: bool
) -> tuple[Channel, ...]:
    """Return each of the unit's effects, and the cluster's, if the `whole` of them is shared."""
    names, X = of_units(growth, unit).names, np.zeros((n, growth.design.X.shape[1]))
    own = [
        Channel(name, X, np.tile(row, (n, 1)), 0.0)
        for name, row in zip(names, np.eye(len(names)), strict=True)
    ]
    above = [str(g.name) for g in growth.design.groupings if g.columns != (unit,)]
    nothing = np.zeros((n, len(names)))
    return (*own, *(Channel(name, X, nothing, 1.0) for name in above if whole))


def _slopes(
    growth: LinearMixedModel, rows: pd.DataFrame, columns: Columns, unit: str, time: str
) -> tuple[Array, Array]:
    """Differentiate the outcome's columns in the clock, by differences."""
    if time not in rows.columns or time not in map(str, growth.design.frame.columns):
        raise FormulaError(
            f"time='{time}' must be the clock of the outcome's formula, and a column of both "
            f"frames. {did_you_mean(time, growth.design.frame.columns)}"
        )
    clock, seen = (finite_or_missing(f, time) for f in (rows, growth.design.frame))
    ends = min(clock.min(), seen.min()), max(clock.max(), seen.max())
    step = _CLOCK_STEP * ((ends[1] - ends[0]) or 1.0)
    # one-sided at the ends, beyond which splines may not be defined
    ahead, behind = np.minimum(clock + step, ends[1]), np.maximum(clock - step, ends[0])
    after, before = (columns(replaced(rows, {time: at})) for at in (ahead, behind))
    apart = (ahead - behind)[:, None]
    if not np.abs(after[1] - before[1]).max() > 0.0:
        raise NotIdentifiedError(
            f"No random effect of '{unit}' changes with '{time}': all units of one kind have the "
            f"same slope. Let it differ, as in '(1 + {time} | {unit})', or take "
            "association='value'."
        )
    return (after[0] - before[0]) / apart, (after[1] - before[1]) / apart


def _check_known(growth: LinearMixedModel, rows: pd.DataFrame, unit: str) -> None:
    """Refuse a current value where variables of the outcome's formula are not known."""
    codings = [
        growth.design.fixed.coding, *(basis.coding for basis in of_units(growth, unit).terms)
    ]  # fmt: skip
    for name in dict.fromkeys(name for coding in codings for name in coding.variables):
        require_columns(rows, [name], what="periods")
        require_present(rows, name, why="for the outcome's course at that session")


def _start(
    growth: LinearMixedModel, leaving: DiscreteHazard, data: SharedData, unit: str
) -> tuple[Array, Array]:
    """Return the separate fits' parameters, associations 0, and approximate standard errors."""
    spread = growth.covariances()
    D = spread.pop(of_units(growth, unit).name).to_numpy()
    place = growth.design.groupings.index(of_units(growth, unit))
    Lambda = growth.fit.Lambda[place]  # in working columns, whatever the clock's unit and origin
    if np.linalg.eigvalsh(Lambda @ Lambda.T).min() <= _NO_EFFECT:
        raise NotIdentifiedError(
            "The outcome model's random effects are on their boundary: there is no effect to "
            "share. Leave the random slope out."
        )
    L, sds = np.linalg.cholesky(D), np.sqrt(np.diag(D))
    q = len(L)
    packed, of_packed = L.copy(), 0.1 * np.tile(sds[:, None], q)
    packed[np.diag_indices(q)] = np.log(np.diag(L))
    of_packed[np.diag_indices(q)] = 0.1
    tau = [np.sqrt(own.to_numpy()[0, 0]) or 0.1 * growth.sigma for own in spread.values()]
    omega = [np.sqrt(own.to_numpy()[0, 0]) or 0.1 for own in leaving.fit.covariances().values()]
    alpha = [np.sqrt(((c.Z @ L) ** 2).sum(axis=1).mean()) or tau[0] for c in data.channels]
    lower = np.tril_indices(q)
    start: list[npt.ArrayLike] = [
        growth.beta.dropna(), packed[lower], [np.log(growth.sigma)], tau,
        leaving.fit.beta.dropna(), np.zeros(len(alpha)), omega,
    ]  # fmt: skip
    scale: list[npt.ArrayLike] = [
        np.sqrt(np.diag(growth.vcov())), of_packed[lower], [0.1], 0.1 * np.array(tau),
        np.sqrt(np.diag(leaving.fit.vcov())), 0.1 / np.array(alpha), 0.1 * np.array(omega),
    ]  # fmt: skip
    return _joined(start), _joined(scale)


def _joined(parts: list[npt.ArrayLike]) -> Array:
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])


def _constant_moved(data: SharedData) -> Array:
    """Return the matrix that takes the hazard's constant back to an outcome value of zero."""
    ends = np.cumsum(data.sizes)
    found = np.eye(ends[-1])
    unit_vector = np.linalg.lstsq(data.W, np.ones(len(data.W)), rcond=None)[0]
    for k, channel in enumerate(data.channels):
        found[ends[3] : ends[4], ends[4] + k] -= channel.centre * unit_vector
    return found


def _names(
    growth: LinearMixedModel, leaving: DiscreteHazard, data: SharedData, unit: str
) -> tuple[tuple[str, str], ...]:
    effects = of_units(growth, unit).names
    chol = [
        f"chol__{effects[i]}.{effects[j]}"
        for i, j in zip(*np.tril_indices(len(effects)), strict=True)
    ]
    return (
        *(("outcome", str(name)) for name in growth.beta.dropna().index),
        *(("spread", name) for name in chol),
        ("spread", "log_sigma"),
        *[("spread", "tau")] * data.in_outcome,
        *(("hazard", str(name)) for name in leaving.fit.beta.dropna().index),
        *(("association", channel.name) for channel in data.channels),
        *[("spread", "omega")] * data.in_hazard,
    )

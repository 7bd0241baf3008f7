"""A hazard session by session as a mediation outcome: who stays in treatment, and for how long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.association.mediation.asked import Asked, Case, Natural, read
from alliance_stats.association.mediation.counterfactuals import (
    Counterfactuals,
    Course,
    counterfactuals,
)
from alliance_stats.association.mediation.equations import (
    Equations,
    Paths,
    cluster_shares,
    equation_terms,
    fit_equations,
)
from alliance_stats.checks import (
    check_choice,
    check_frame,
    describe_rows,
    finite_or_missing,
    group_codes,
    require_columns,
    units_with_several,
)
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.survival import DiscreteHazard, discrete_hazard

__all__ = ["HazardOutcome", "fit_hazard", "read_periods"]


@dataclass(frozen=True, slots=True)
class HazardOutcome:
    """The outcome of :func:`mediation` where it is an ending between sessions.

    The data have one row per unit and session (``person_period``, ``endings(...).periods()``);
    treatment, mediator and covariates are the unit's own, known before the first session that
    counts.

    Attributes
    ----------
    event, session, unit
        Columns: 1 where the unit ended after the session, session numbers, and what ends.
    measure
        ``"survival"``: the probability of still being there after session `horizon`.
        ``"sessions"``: how many of the sessions up to `horizon` are attended (a restricted mean).
    horizon
        A session; by default the last one after which some dropped out and some stayed.
    first_session
        The session from which the mediator is known: rows before it are set aside, and all
        probabilities are of those still there then.
    link, baseline, baseline_df
        Of the hazard, as in :func:`~alliance_stats.discrete_hazard`.

    Examples
    --------
    >>> from alliance_stats import HazardOutcome
    >>> HazardOutcome(event="event", session="session", unit="family", horizon=8).measure
    'survival'
    """

    event: str
    session: str
    unit: str
    measure: Literal["survival", "sessions"] = "survival"
    horizon: int | None = None
    first_session: int = 1
    link: Literal["cloglog", "logit"] = "cloglog"
    baseline: Literal["dummies", "spline", "polynomial"] = "dummies"
    baseline_df: int = 3

    def __post_init__(self) -> None:
        check_choice(self.measure, ("survival", "sessions"), name="measure")


def read_periods(
    data: pd.DataFrame,
    hazard: HazardOutcome,
    asked: Asked,
    *,
    cluster: str | None,
    values: tuple[object, object] | None,
    times: Mapping[str, str],
) -> Case:
    """Read the rows of a hazard; refuse what changes within a unit or is not known in time."""
    data = check_frame(data)
    require_columns(data, [hazard.session, hazard.event, hazard.unit])
    number = finite_or_missing(data, hazard.session)
    started = data.loc[~(number < hazard.first_session)]
    if len(started) == 0:
        raise DataError(f"No row is of session {hazard.first_session} or a later one.")
    own = {name: when for name, when in times.items() if name != asked.outcome}
    case = read(
        started, asked, unit=None, cluster=cluster, values=values, times=own,
        also=[hazard.session, hazard.unit],
    )  # fmt: skip
    case = replace(case, unit=hazard.unit)
    asked = case.asked
    constant = [asked.treatment, *asked.mediators, *asked.covariates]
    constant += [name for name in (asked.moderator, cluster) if name is not None]
    for name in constant:
        several = units_with_several(case.frame, unit=hazard.unit, column=name)
        if len(several):
            raise DataError(
                f"'{name}' changes within '{hazard.unit}' {several[0]!r}. Later values are seen "
                "of those alone who stayed, and the treatment moves who stays: natural effects by "
                "way of a course of values are not identified by these models. Give each "
                f"'{hazard.unit}' one value, known by first_session= (the alliance at session 3), "
                "or see indirect_path for the paths of two models."
            )
    for name, when in own.items():
        late = (case.frame[when] > case.frame[hazard.session]).to_numpy()
        if late.any():
            raise DataError(
                f"'{name}' was not known yet in {describe_rows(late, case.frame.index)} "
                f"('{when}' > '{hazard.session}'): what comes later cannot mediate. Start where "
                "it is known, first_session=."
            )
    return case


def fit_hazard(
    case: Case, hazard: HazardOutcome, how: Natural, at: Sequence[float]
) -> tuple[Equations, Counterfactuals, pd.DataFrame]:
    """Fit the mediators on one row per unit and the hazard on one row per session.

    Returns
    -------
    found, effects, table
        The mediators' equations, the natural effects, and all paths with their places.
    """
    asked, frame = case.asked, case.frame
    units = frame[~frame[hazard.unit].duplicated().to_numpy()].reset_index(drop=True)
    found = fit_equations(
        asked, units, families=(how.mediator, "linear"), cluster=case.cluster, interaction=False,
        targets=asked.mediators,
    )  # fmt: skip
    model = discrete_hazard(
        str(equation_terms(asked, asked.outcome, interaction=how.interaction)),
        frame,
        session=hazard.session,
        event=hazard.event,
        unit=hazard.unit,
        known_before=[asked.treatment, *asked.covariates],
        random=None,
        cluster=case.cluster,
        vcov="robust" if case.cluster is None else "CR2",
        link=hazard.link,
        baseline=hazard.baseline,
        baseline_df=hazard.baseline_df,
    )
    paths = _together(found, model, units, case.cluster)
    course = _course(hazard, model)
    effects = counterfactuals(case, how, found, model.fit.design, paths, units, at, course)
    return found, effects, _table(found, model)


def _course(hazard: HazardOutcome, model: DiscreteHazard) -> Course:
    """Return the sessions up to the horizon; refuse one that the data do not reach."""
    table = model.periods.sessions
    numbers = table["session"].to_numpy(dtype=np.int64)
    events, risk = table["n_event"].to_numpy(), table["n_risk"].to_numpy()
    happens = events > 0
    seen = numbers[happens & (events < risk)]
    horizon = int(seen.max()) if hazard.horizon is None else hazard.horizon
    first = int(numbers.min())
    wanted = np.arange(first, horizon + 1)
    ended = [int(n) for n in numbers[happens & (events == risk)] if n <= horizon]
    if horizon < first or not np.isin(wanted, numbers).all() or ended:
        reached = int(numbers.max()) if not ended else ended[0] - 1
        raise NotIdentifiedError(
            f"horizon={horizon}: units are seen, and not all gone, from session {first} to "
            f"{reached} only. Ask for a session among these."
        )
    if hazard.measure == "sessions" and horizon == first:
        raise NotIdentifiedError(
            f"Of those who are there everyone attends session {first}: ask for a later horizon=."
        )
    own = happens[np.searchsorted(numbers, wanted)]
    # a session after which no one left has no level of its own: its columns do not count
    shown = np.where(own, wanted, int(seen.max()))
    return Course(
        hazard.session, shown, own.astype(np.float64), hazard.measure, hazard.link, (first, horizon)
    )


def _table(found: Equations, model: DiscreteHazard) -> pd.DataFrame:
    """Return the paths' places, those of the hazard after those of the mediators."""
    asked, design = found.asked, model.fit.design
    names = [design.fixed.names[i] for i in design.fixed.kept]
    start = len(found.paths.estimate)
    rows = found.table().to_dict("records")
    sources = asked.sources(asked.outcome)
    wanted: list[tuple[tuple[str, ...], str]] = [((source,), source) for source in sources]
    wanted += [
        ((source, str(asked.moderator)), f"{source} x {asked.moderator}")
        for source in sources
        if asked.moderated(source, asked.outcome)
    ]
    for columns, shown in wanted:
        place = next(i for i, n in enumerate(names) if sorted(n.split(":")) == sorted(columns))
        rows.append({"level": "", "from": shown, "to": asked.outcome, "place": start + place})
    return pd.DataFrame(rows)


def _together(
    found: Equations, model: DiscreteHazard, units: pd.DataFrame, cluster: str | None
) -> Paths:
    """Stack both models' coefficients; errors of one cluster go together."""
    own, p = found.paths, len(found.paths.estimate)
    beta = np.concatenate([own.estimate, model.fit.fit.beta])
    V = np.zeros((len(beta), len(beta)))
    V[:p, :p], V[p:, p:] = own.covariance, model.covariance
    df = np.concatenate([own.df, np.full(len(beta) - p, np.inf)])
    if cluster is None or model.errors is None:
        return Paths(beta, V, df)
    df[p:] = model.errors.df
    first = np.concatenate([cluster_shares(fit) for fit in found.fits], axis=1)
    later = _hazard_shares(model, cluster)
    _, labels = group_codes(units[cluster])
    _, seen = group_codes(model.periods.frame[cluster])
    cross = first[labels.get_indexer(seen)].T @ later
    V[:p, p:], V[p:, :p] = cross, cross.T
    return Paths(beta, V, df)


def _hazard_shares(model: DiscreteHazard, cluster: str) -> Array:
    """Return each cluster's share of the hazard's coefficients: their squares sum to CR2."""
    assert model.errors is not None
    assert model.errors.reduced is not None
    codes, _ = group_codes(model.periods.frame[cluster])
    problem = model.fit.problem
    left = problem.outcome.y - problem.family.mean(model.fit.fit.gamma @ problem.Q)
    own = codes[problem.layout.order]
    return np.array([half.T @ left[own == k] for k, half in enumerate(model.errors.reduced.halves)])

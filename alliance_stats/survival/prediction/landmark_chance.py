"""The probability of dropping out within the next sessions, given the alliance so far."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import special

from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_choice, check_frame, group_codes, require_columns
from alliance_stats.design.design import build_design, code_new_rows
from alliance_stats.design.formula import formula_of, parse_terms
from alliance_stats.door import replaced
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.renaming import renamed
from alliance_stats.survival.by_session.discrete_hazard import hazard_periods
from alliance_stats.survival.cox.cluster_errors import read_clusters
from alliance_stats.survival.cox.cox_design import formula_variables
from alliance_stats.survival.prediction.cross_validation import folds_of, left_out
from alliance_stats.survival.prediction.landmark_model import LandmarkModel, LandmarkRows
from alliance_stats.survival.prediction.risk_accuracy import (
    Predicted,
    RiskAccuracy,
    known_weights,
)
from alliance_stats.survival.rows.hazard_rows import baseline_terms
from alliance_stats.survival.rows.time_at_risk import rows_with_all

__all__ = ["landmark_accuracy", "landmark_chance"]

_MAX_STEPS = 60
_CONVERGED = 1e-12  # Newton decrement
_FAR = 30.0  # log odds beyond which a fit is on its way to infinity


@renamed(within="horizon")
def landmark_chance(
    formula: str,
    data: pd.DataFrame,
    *,
    session: str,
    event: str,
    unit: str,
    horizon: int,
    cause: object = 1,
    landmarks: Sequence[int] | None = None,
    cluster: str | None = None,
    form: str = "polynomial",
    form_df: int = 2,
    known_before: Sequence[str] = (),
) -> LandmarkModel:
    """Model the probability of dropping out within the next sessions from what is known so far.

    Each landmark session s has the units still in treatment, with their covariates at that
    session; the log odds of leaving within the next `horizon` sessions are ``g(s) + x_i(s) beta``
    (landmark models: van Houwelingen 2007, doi:10.1111/j.1467-9469.2006.00529.x). Units not
    known to have come back are represented by the others at that landmark, by inverse probability
    of censoring weights (Blanche, Holt & Scheike 2023, doi:10.1007/s10985-022-09564-6). Units with
    another ending within the horizon did not leave. Standard errors are over clusters, because a
    unit is in many landmarks; they do not allow for estimation of the weights.

    Parameters
    ----------
    formula
        Covariates known at each session, as in ``"alliance_running_mean + alliance_deviation"``;
        ``"1"`` for none.
    data
        One row per unit and session, as for :func:`competing_hazards`.
    session, event, unit
        Columns: session number; what happened in the interval after it (0: came back; `cause`:
        left; another code: another ending; NaN: not yet known); and the id of the unit.
    horizon
        Sessions ahead: 1 means leaving right after this one.
    cause
        The code of leaving.
    landmarks
        Sessions at which predictions are made; if None, all after which some left within the
        horizon and others did not.
    cluster
        Column: rows that are not independent, such as a therapist's; the unit if None.
    form
        How landmarks differ: ``"polynomial"`` (with `form_df` columns plus the constant) or
        ``"dummies"`` (one level each).
    form_df
        See `form`.
    known_before
        As in :func:`discrete_hazard`.

    Returns
    -------
    LandmarkModel

    Raises
    ------
    DataError
        Impossible courses, covariates that know the future, landmarks that nobody reached.
    NotIdentifiedError
        Separation; nobody left, or everybody did.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import example_study, landmark_chance, person_period, running_mean
    >>> periods = person_period(
    ...     example_study().sessions, unit="family", session="session", ending="ending",
    ...     scores=["alliance"],
    ... )
    >>> history = running_mean(periods, "alliance", person="family", session="session")
    >>> model = landmark_chance(
    ...     "alliance_running_mean", history, session="session", event="ending_code",
    ...     unit="family", horizon=3, landmarks=range(1, 11), cluster="therapist",
    ... )
    >>> now = pd.DataFrame({"session": [4, 4], "alliance_running_mean": [3.0, 6.0]})
    >>> model.predict(now)[["estimate", "conf_low", "conf_high"]].round(2)
       estimate  conf_low  conf_high
    0      0.26      0.16       0.40
    1      0.03      0.01       0.08
    """
    check_choice(form, ("polynomial", "dummies"), name="form")
    if not isinstance(horizon, int | np.integer) or horizon < 1:
        raise ValueError(f"horizon must be a whole number of sessions, 1 or more; got {horizon!r}.")
    data = check_frame(data)
    require_columns(data, [cluster])
    periods = hazard_periods(
        formula, data, session=session, event=event, unit=unit, causes=event,
        known_before=known_before,
    )  # fmt: skip
    named = set() if formula.strip() == "1" else formula_variables(formula)
    needed = [name for name in data.columns if str(name) in named]
    needed += [] if cluster is None else [cluster]
    rows, ledger = _landmark_rows(
        data, (session, event, unit), needed, (int(horizon), cause, landmarks)
    )
    kind = _form_of(form, form_df, len(rows.frame[session].unique()))
    terms = (
        baseline_terms(kind, replace(periods, frame=rows.frame), form_df)
        + parse_terms(formula).without_intercept()
    )
    known = rows.where(rows.weight > 0.0)
    design, _ = build_design(
        formula_of(event, terms, ()), replaced(known.frame, {event: known.left}),
        residual_variance=False,
    )  # fmt: skip
    of = unit if cluster is None else cluster
    beta, covariance, n_clusters = _clustered_fit(design.X, known, of)
    return LandmarkModel(
        design=design,
        observed=rows,
        beta=beta,
        covariance=covariance,
        formula=formula,
        form=kind,
        session=session,
        event=event,
        unit=unit,
        horizon=int(horizon),
        n_clusters=n_clusters,
        clusters_of=of,
        rows=ledger,
    )


def _form_of(form: str, form_df: int, n_landmarks: int) -> str:
    """Return how the landmarks enter; one landmark leaves nothing to shape."""
    kind = "dummies" if n_landmarks == 1 else form
    if kind == "polynomial" and not 1 <= form_df < n_landmarks:
        raise ValueError(
            f"form_df={form_df} columns beside the constant need more landmarks than "
            f"{n_landmarks}, and at least one. Lower form_df, or take form='dummies'."
        )
    return kind


def _clustered_fit(X: Array, known: LandmarkRows, of: str) -> tuple[Array, Array, int]:
    """Return coefficients, their covariance over clusters of column `of`, and their number."""
    beta, bread = _fit(X, known.left, known.weight)
    codes, n = read_clusters(known.frame[of])
    residual = known.weight * (known.left - special.expit(X @ beta))
    scores = np.zeros((n, len(beta)))
    np.add.at(scores, codes, X * residual[:, None])
    influence = scores @ bread
    return beta, influence.T @ influence * n / (n - 1.0), n


def _landmark_rows(
    data: pd.DataFrame,
    columns: tuple[str, str, str],
    needed: Sequence[str],
    asked: tuple[int, object, Sequence[int] | None],
) -> tuple[LandmarkRows, RowLedger]:
    """Return units at landmarks with their outcomes, and what happened to the rows."""
    session, event, unit = columns
    within, cause, landmarks = asked
    codes = data[event]
    seen = data[session].to_numpy(dtype=np.int64)
    final = (
        data.groupby(unit, sort=False, observed=True)[session]
        .transform("max")
        .to_numpy(dtype=np.int64)
    )
    code = codes.where(seen == final)
    last = pd.DataFrame({"unit": data[unit], "code": code}).loc[seen == final]
    ending = data[unit].map(last.set_index("unit")["code"]).to_numpy()
    unknown = pd.isna(ending)
    if not (ending[~unknown] == cause).any():
        found = ", ".join(map(str, pd.unique(ending[~unknown])[:6]))
        raise NotIdentifiedError(
            f"No unit's course ends with {cause!r} in column '{event}' (leaving): it holds {found}."
            " Say which code is leaving by cause=."
        )
    back = ~unknown & (ending == 0)
    state = np.where(unknown | back, 0, np.where(ending == cause, 1, 2)).astype(np.int64)
    # known to have come back as often as there were later sessions, and once more with a 0
    time = (final - seen + 1.0) + np.where(unknown, -0.5, np.where(back, 0.5, 0.0))
    rows = RowLedger.start(data, {unit: (unit,)})
    data, rows, kept = rows_with_all(data, needed, rows, np.asarray(ending == cause, dtype=bool))
    time, state, seen = time[kept], state[kept], seen[kept]
    left = (state == 1) & (time <= within)
    weight = np.zeros(len(time))
    for s in np.unique(seen):
        weight[seen == s] = known_weights(time[seen == s], state[seen == s], float(within))
    chosen = _chosen(seen, left, weight, landmarks, within)
    used, rows = rows.keep(data, np.isin(seen, chosen), reason="no landmark")
    own = np.isin(seen, chosen)
    frame = replaced(used, {session: seen[own]})
    return LandmarkRows(frame, time[own], state[own], weight[own], left[own].astype(float)), rows


def _chosen(
    seen: Integers,
    left: Booleans,
    weight: Array,
    landmarks: Sequence[int] | None,
    within: int,
) -> list[int]:
    """Return the landmarks, refusing those without information."""
    both = [
        int(s)
        for s in np.unique(seen)
        if 0.0 < weight[seen == s] @ left[seen == s] < weight[seen == s].sum()
    ]
    if landmarks is None:
        if not both:
            raise NotIdentifiedError(
                f"At no session some left within {within} and others did not: there is nothing to "
                "predict."
            )
        return both
    asked = sorted({int(s) for s in landmarks})
    empty = [s for s in asked if s not in seen]
    if not asked or empty:
        raise DataError(
            f"At session {empty[0] if empty else '(none)'} nobody with all variables was there: "
            f"sessions run from {seen.min()} to {seen.max()}."
        )
    if not any(s in both for s in asked):
        raise NotIdentifiedError(
            f"At none of the landmarks some left within {within} and others did not."
        )
    return asked


def _fit(X: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    """Maximise the weighted logit likelihood; returns coefficients and the inverse information."""
    # in an orthonormal basis: what is identified does not depend on the covariates' units
    sizes = np.sqrt((X**2).mean(axis=0))
    Q, R = np.linalg.qr(X / np.where(sizes > 0.0, sizes, 1.0))
    Q, R = Q * np.sqrt(len(X)), R * sizes / np.sqrt(len(X))
    gamma = np.zeros(X.shape[1])
    for _ in range(_MAX_STEPS):
        chance = special.expit(Q @ gamma)
        information = (Q * (weight * chance * (1.0 - chance))[:, None]).T @ Q
        score = Q.T @ (weight * (y - chance))
        size = np.linalg.eigvalsh(information)
        if size[0] <= 1e-12 * size[-1] or np.abs(Q @ gamma).max() > _FAR:
            break
        step = np.linalg.solve(information, score)
        if score @ step < _CONVERGED:
            back = np.linalg.inv(R)
            return back @ gamma, np.asarray(back @ np.linalg.inv(information) @ back.T)
        gamma = gamma + step * min(1.0, 5.0 / max(float(np.abs(Q @ step).max()), 1e-300))
    raise NotIdentifiedError(
        "A combination of the covariates separates those who left from those who did not: its odds "
        "ratio is without bound. Merge groups, leave out a covariate, choose other landmarks, or "
        "take form='polynomial' with a lower form_df."
    )


def landmark_accuracy(
    model: LandmarkModel, *, leave_out: str | None = None, n_folds: int | None = None
) -> RiskAccuracy:
    """Assess how well a landmark model predicts who leaves, landmark by landmark.

    As in :func:`risk_accuracy`; in the result's tables ``time`` is the landmark.

    Parameters
    ----------
    model
        From :func:`landmark_chance`.
    leave_out, n_folds
        As in :func:`risk_accuracy`.

    Examples
    --------
    >>> from alliance_stats import example_study, landmark_accuracy, landmark_chance, person_period
    >>> periods = person_period(
    ...     example_study().sessions, unit="family", session="session", ending="ending"
    ... )
    >>> model = landmark_chance(
    ...     "parent_trauma", periods, session="session", event="ending_code", unit="family",
    ...     horizon=4, landmarks=[1, 4, 8], form="dummies",
    ... )
    >>> landmark_accuracy(model, leave_out="therapist").glance()["n_clusters"].item()
    30
    """
    require_kind(model, LandmarkModel, asked="landmark_accuracy takes a model of landmark_chance")
    rows, session = model.observed, model.session
    at = rows.frame[session].to_numpy()

    def predict(train: Booleans, test: Booleans) -> tuple[Array, Array]:
        known = rows.where(train & (rows.weight > 0.0))
        X = _columns(model, known.frame)
        beta, _ = _fit(X, known.left, known.weight)
        new = rows.frame.loc[test]
        null = np.array(
            [
                np.average(known.left[own], weights=known.weight[own]) if own.any() else np.nan
                for s in new[session]
                for own in [(known.frame[session] == s).to_numpy()]
            ]
        )
        return special.expit(_columns(model, new) @ beta)[None], null[None]

    everyone = np.ones(len(at), dtype=bool)
    if leave_out is None:
        risk, null = predict(everyone, everyone)
    else:
        risk, null = left_out(folds_of(rows.frame, leave_out, n_folds), predict)
    of = model.clusters_of if leave_out is None else leave_out
    cluster = group_codes(rows.frame[of])[0]
    parts, clusters = {}, {}
    for s in model.landmarks:
        own = (at == s) & ~np.isnan(null[0])
        part = Predicted(
            risk[0, own], null[0, own], rows.time[own], rows.state[own], float(model.horizon),
            np.zeros(int(own.sum()), dtype=np.int64),
        )  # fmt: skip
        if part.case.any() and (part.weight[~part.case] > 0.0).any():
            parts[float(s)], clusters[float(s)] = part, cluster[own]
    return RiskAccuracy(
        parts=parts,
        clusters=clusters,
        how=f"a landmark model of the next {plural(model.horizon, 'session')}",
        left_out=leave_out,
        competing=bool((rows.state == 2).any()),
        rows=model.rows,
        ahead=int(model.horizon),
    )


def _columns(model: LandmarkModel, frame: pd.DataFrame) -> Array:
    return code_new_rows(model.design, frame, with_units=False).X

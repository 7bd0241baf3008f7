"""Tables of a session-to-session model: pure functions of the fit.

Every standard error comes from the covariance of the parameters, carried over by the delta method
where a number is a function of them.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.engine.lag_parameters import squares, take
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers, two_sided_p, wald_interval
from alliance_stats.panel.session_table import LaggedModel

__all__ = [
    "check_grid",
    "check_order",
    "impulse_responses",
    "lag_positions",
    "lagged_effects",
    "lags_flat",
    "largest_root",
    "long_run_effects",
    "random_effects",
    "residual_covariances",
    "same_session_effects",
    "session_means",
    "standardised_effects",
    "within_person_variances",
]


def with_inference(
    frame: pd.DataFrame, estimate: Array, vcov: Array, *, df: float, conf_level: float
) -> pd.DataFrame:
    """Add ``estimate, std_error, statistic, df, p_value, conf_low, conf_high``."""
    check_conf_level(conf_level)
    std_error = np.sqrt(np.diag(vcov))
    std_error = np.where(std_error > 0.0, std_error, np.nan)
    statistic = estimate / std_error
    low, high = wald_interval(estimate, std_error, df=df, conf_level=conf_level)
    return frame.assign(
        estimate=estimate,
        std_error=std_error,
        statistic=statistic,
        df=df,
        p_value=two_sided_p(statistic, df=df),
        conf_low=low,
        conf_high=high,
    )


def _rows_of_lags(model: LaggedModel) -> pd.DataFrame:
    """Return which outcome acts on which, in the order group, session, outcome, predictor."""
    table = model.table
    later = table.sessions[1:] if model.options.lags == "free" else [None]
    rows = [
        {"strata": group, "session": session, "outcome": outcome, "predictor": predictor, "lag": 1}
        for group in table.groups
        for session in later
        for outcome in table.outcomes
        for predictor in table.outcomes
    ]
    frame = pd.DataFrame(rows)
    unused = ["strata"] if len(table.groups) == 1 else []
    unused += ["session"] if model.options.lags == "equal" else []
    return frame.drop(columns=unused)


def lag_positions(model: LaggedModel) -> Integers:
    """Return the positions of the lagged effects among the parameters, in table order."""
    phi = model.parameters.phi
    return np.asarray((phi if model.options.lags == "free" else phi[:, :1]).ravel())


def _lags(model: LaggedModel, theta: Array) -> Array:
    """Return lagged effects at (R, P) points: (R, G, S, K, K), S = 1 where equal over sessions."""
    phi = take(theta, model.parameters.phi)
    return phi if model.options.lags == "free" else phi[:, :, :1]


def lags_flat(model: LaggedModel, theta: Array) -> Array:
    """Return the lagged effects at (R, P) points, in the order of their table."""
    return take(theta, lag_positions(model))


def lagged_effects(
    model: LaggedModel, *, vcov: Array | None = None, df: float = np.inf, conf_level: float = 0.95
) -> pd.DataFrame:
    """Return one row per lagged effect."""
    estimate, V = model.delta(lambda theta: lags_flat(model, theta), vcov)
    return with_inference(_rows_of_lags(model), estimate, V, df=df, conf_level=conf_level)


def within_person_variances(model: LaggedModel, theta: Array) -> Array:
    """Return variances of the deviations at (R, P) points, without error: (R, G, T, K)."""
    found = []
    for g in range(len(model.table.groups)):
        residual = model.residual(theta, g)
        now = residual.first
        own = [np.einsum("rkk->rk", now)]
        for s in range(residual.phi.shape[1]):
            phi = residual.phi[:, s]
            now = phi @ now @ np.swapaxes(phi, 1, 2) + residual.innovation[:, s]
            own.append(np.einsum("rkk->rk", now))
        found.append(np.stack(own, axis=1))
    return np.stack(found, axis=1)


def standardised_effects(model: LaggedModel, *, conf_level: float = 0.95) -> pd.DataFrame:
    """Return lagged effects in within-person SDs (root of the mean variance over sessions)."""

    def standardised(theta: Array) -> Array:
        sd = np.sqrt(within_person_variances(model, theta).mean(axis=2))
        ratio = sd[:, :, None, None, :] / sd[:, :, None, :, None]
        return np.asarray((_lags(model, theta) * ratio).reshape(len(theta), -1))

    estimate, V = model.delta(standardised)
    return with_inference(_rows_of_lags(model), estimate, V, df=np.inf, conf_level=conf_level)


def largest_root(model: LaggedModel) -> Array:
    """Return the largest modulus of an eigenvalue of the lagged effects, by group: (G,)."""
    phi = _lags(model, model.theta[None])[0]
    return np.asarray(np.abs(np.linalg.eigvals(phi)).max(axis=(1, 2)))


def _require_equal_lags(model: LaggedModel, asked: str) -> None:
    if model.options.lags == "free":
        raise NotIdentifiedError(
            f"{asked} follow from one matrix of lagged effects, and this model has one for each "
            "session. Fit with lags='equal'."
        )


def long_run_effects(model: LaggedModel, *, conf_level: float = 0.95) -> pd.DataFrame:
    """Return ``(I - Phi)^-1``: where a push of one point at every session leads."""
    _require_equal_lags(model, "Long-run effects")
    root = largest_root(model)
    if (root >= 1.0).any():
        raise NotIdentifiedError(
            "The lagged effects do not die out (largest root "
            f"{root.max():.3f}, and 1 is the limit), so there is no long run to speak of."
        )
    K = len(model.table.outcomes)

    def inverse(theta: Array) -> Array:
        return np.asarray(np.linalg.inv(np.eye(K) - _lags(model, theta)).reshape(len(theta), -1))

    estimate, V = model.delta(inverse)
    frame = _rows_of_lags(model).drop(columns="lag")
    return with_inference(frame, estimate, V, df=np.inf, conf_level=conf_level)


def check_grid(values: Sequence[float], *, name: str) -> list[float]:
    """Return the numbers of a grid.

    Raises
    ------
    TypeError
        One number, or no numbers, in place of a list of them.
    DataError
        No number, or one that is not finite.
    """
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} takes a list of numbers, as [0.0, 0.5]; got {values!r}."
        ) from error
    if not found or not np.isfinite(found).all():
        raise DataError(f"{name} takes one finite number or more; got {found}.")
    return found


def check_order(order: Sequence[str] | None, outcomes: Sequence[str]) -> tuple[str, ...] | None:
    """Return the within-session order if it names every outcome once."""
    if order is None:
        return None
    if isinstance(order, str):
        raise TypeError(f"order takes a list of outcomes, first rated first; got {order!r}.")
    for name in order:
        if name not in outcomes:
            raise DataError(f"order names '{name}'. {did_you_mean(name, outcomes)}")
    if len(order) != len(outcomes) or len(set(order)) != len(order):
        raise DataError(
            "order must name each outcome once, the one that is rated first in a session first; "
            f"got {list(order)} for {list(outcomes)}."
        )
    return tuple(order)


def _ordered_factor(model: LaggedModel, theta: Array, g: int, order: Sequence[str]) -> Array:
    """Return L with unit diagonal, innovations = L shocks, in the stated order: (R, K, K)."""
    where = [model.table.outcomes.index(name) for name in order]
    innovation = model.residual(theta, g).innovation[:, 0]
    L = np.linalg.cholesky(innovation[:, where][:, :, where])
    L = L / np.einsum("rkk->rk", L)[:, None, :]
    back = np.argsort(where)
    return np.asarray(L[:, back][:, :, back])


def impulse_responses(
    model: LaggedModel, *, horizon: int, order: Sequence[str] | None, conf_level: float = 0.95
) -> pd.DataFrame:
    """Return how each outcome answers, 0 to `horizon` sessions later, a shock of one point."""
    _require_equal_lags(model, "Impulse responses")
    if not isinstance(horizon, int) or horizon < 1:
        raise ValueError(f"horizon counts sessions after the shock, 1 or more; got {horizon!r}.")
    outcomes, groups = model.table.outcomes, model.table.groups
    K = len(outcomes)

    def responses(theta: Array) -> Array:
        found = []
        for g in range(len(groups)):
            now = np.broadcast_to(np.eye(K), (len(theta), K, K))
            if order is not None:
                now = _ordered_factor(model, theta, g, order)
            phi = take(theta, model.parameters.phi)[:, g, 0]
            for _ in range(horizon + 1):
                found.append(now)
                now = phi @ now
        return np.stack(found, axis=1).reshape(len(theta), -1)

    rows = [
        {"strata": group, "sessions_after": after, "outcome": outcome, "impulse": impulse}
        for group in groups
        for after in range(horizon + 1)
        for outcome in outcomes
        for impulse in outcomes
    ]
    estimate, V = model.delta(responses)
    frame = with_inference(pd.DataFrame(rows), estimate, V, df=np.inf, conf_level=conf_level)
    fixed = frame["std_error"].isna()  # the shock itself
    frame.loc[fixed, "std_error"] = 0.0
    for end in ("conf_low", "conf_high"):
        frame[end] = frame[end].where(~fixed, frame["estimate"])
    wanted = ["impulse", "outcome", "sessions_after"]
    frame = frame.sort_values(["strata", *wanted], kind="stable", ignore_index=True)
    keep = [*(["strata"] if len(groups) > 1 else []), *wanted]
    return frame[[*keep, "estimate", "std_error", "conf_low", "conf_high"]]


def same_session_effects(
    model: LaggedModel, *, order: Sequence[str], conf_level: float = 0.95
) -> pd.DataFrame:
    """Return what an outcome does to those rated after it in the same session (lag 0).

    It also gives the effects of the previous session, given what was rated earlier in this one.
    """
    _require_equal_lags(model, "Same-session effects")
    outcomes, groups = model.table.outcomes, model.table.groups
    K = len(outcomes)

    def structural(theta: Array) -> Array:
        found = []
        for g in range(len(groups)):
            inverse = np.linalg.inv(_ordered_factor(model, theta, g, order))
            phi = take(theta, model.parameters.phi)[:, g, 0]
            found += [np.eye(K) - inverse, inverse @ phi]
        return np.stack(found, axis=1).reshape(len(theta), -1)

    rows = [
        {"strata": group, "outcome": outcome, "predictor": predictor, "lag": lag}
        for group in groups
        for lag in (0, 1)
        for outcome in outcomes
        for predictor in outcomes
    ]
    estimate, V = model.delta(structural)
    frame = with_inference(pd.DataFrame(rows), estimate, V, df=np.inf, conf_level=conf_level)
    place = {name: i for i, name in enumerate(order)}
    later = frame["outcome"].map(place) > frame["predictor"].map(place)
    frame = frame[(frame["lag"] == 1) | later].reset_index(drop=True)
    return frame if len(groups) > 1 else frame.drop(columns="strata")


def _covariance_rows(
    model: LaggedModel,
    matrix: Callable[[Array], Array],
    names: Sequence[str],
    fixed: dict[str, object],
) -> pd.DataFrame:
    """Return one row per element of the covariances that (R, P) points make: (R, m, m)."""
    m = len(names)
    pairs = [(i, j) for i in range(m) for j in range(i + 1)]
    i_of, j_of = np.array(pairs).T
    estimate, V = model.delta(lambda theta: matrix(theta)[:, i_of, j_of])
    S = matrix(model.theta[None])[0]
    scale = np.sqrt(np.outer(np.diag(S), np.diag(S)))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.where(scale > 0, S / scale, np.nan)
    std_error = np.sqrt(np.diag(V))
    std_error = np.where(std_error > 0.0, std_error, np.nan)
    return pd.DataFrame(
        [
            {**fixed, "outcome": names[i], "other": names[j], "estimate": estimate[at],
             "std_error": std_error[at], "correlation": correlation[i, j]}
            for at, (i, j) in enumerate(pairs)
        ]
    )  # fmt: skip


def _of_factor(index: Integers) -> Callable[[Array], Array]:
    """Return what makes covariances of the factor whose elements are at `index`."""
    return lambda theta: squares(take(theta, index))


def random_effects(model: LaggedModel) -> pd.DataFrame:
    """Return the covariances of the random intercepts (and slopes) of every level."""
    table = model.table
    names = list(table.outcomes)
    own = names + [f"{name} per session" for name in names]
    parts = [
        _covariance_rows(
            model,
            _of_factor(model.parameters.person[g]),
            own[: model.parameters.person.shape[1]],
            {"strata": group, "level": table.names["person"]},
        )
        for g, group in enumerate(table.groups)
    ]
    everybody = "" if len(table.groups) == 1 else "all"
    parts += [
        _covariance_rows(model, _of_factor(index), names, {"strata": everybody, "level": level})
        for level, index in zip(table.nested_in, model.parameters.above, strict=True)
    ]
    found = pd.concat(parts, ignore_index=True)
    return found if len(table.groups) > 1 else found.drop(columns="strata")


def residual_covariances(model: LaggedModel) -> pd.DataFrame:
    """Return covariances of innovations, of the first session, and error variances."""
    table, parameters = model.table, model.parameters
    names = list(table.outcomes)
    parts = []
    for g, group in enumerate(table.groups):
        made = {
            "new at a session": lambda theta, g=g: parameters.residual(theta, g).innovation[:, 0]
        }
        if not parameters.stationary and not parameters.unlagged:
            made["first session"] = lambda theta, g=g: parameters.residual(theta, g).first
        if (parameters.error[g] >= 0).any() or parameters.fixed_error[g].any():
            made["error"] = lambda theta, g=g: (
                parameters.residual(theta, g).error[:, :, None] * np.eye(len(names))
            )
        for part, matrix in made.items():
            rows = _covariance_rows(model, matrix, names, {"strata": group, "part": part})
            parts.append(rows[(part != "error") | (rows["outcome"] == rows["other"])])
    found = pd.concat(parts, ignore_index=True)
    return found if len(table.groups) > 1 else found.drop(columns="strata")


def session_means(model: LaggedModel, *, conf_level: float = 0.95) -> pd.DataFrame:
    """Return the fixed effects: each session's mean (or intercept and slope) and covariates."""
    table = model.table
    common = [str(s) for s in table.sessions]
    if model.options.means == "linear":
        common = ["(Intercept)", table.names["session"]]
    terms = [*common, *table.covariate_names]
    rows = [
        {"strata": group, "term": term, "outcome": outcome}
        for group in table.groups
        for term in terms
        for outcome in table.outcomes
    ]
    V = model.coefficient_vcov
    frame = with_inference(
        pd.DataFrame(rows), model.coefficients.ravel(), V, df=np.inf, conf_level=conf_level
    )
    frame = frame[np.diag(V) != 0].reset_index(drop=True)  # sessions that nobody rated
    return frame if len(table.groups) > 1 else frame.drop(columns="strata")

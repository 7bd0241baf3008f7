"""A shared-parameter model: growth of the outcome and the hazard of leaving share unit effects."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy import linalg, optimize, stats

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_frame, require_columns
from alliance_stats.design.formula import parse_formula
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, estimate_columns, named_covariance, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.renaming import renamed
from alliance_stats.survival.by_session.discrete_hazard import discrete_hazard
from alliance_stats.survival.by_session.discrete_hazard_model import DiscreteHazard
from alliance_stats.survival.cox.cox_design import formula_variables
from alliance_stats.survival.unseen.shared_likelihood import (
    SharedData,
    log_likelihoods,
    shared_data,
)

__all__ = ["SharedParameterModel", "shared_parameter"]

_STEP = 1e-4  # of central differences, on parameters of about unit scale
# How far, in standard errors, estimates may move (and errors change, of themselves) from so many
# nodes to twice as many: a hundredth of what sampling moves them.
_MOVED = 0.02
_MOST_NODES = 129  # an effect
_MOST_POINTS = 5000  # of all effects together
_FLAT = 1e-3  # largest slope of the log-likelihood, in standard errors, of a converged fit


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SharedParameterModel:
    """Outcome and leaving, fitted together.

    Attributes
    ----------
    outcome, hazard
        The separate fits from which the joint one started.
    names
        (part, term) of each parameter.
    parameters
        Estimates: outcome coefficients; the Cholesky factor of the effects' covariance, its
        diagonal in logarithms; log residual SD; hazard coefficients; one association an effect.
    covariance
        Inverse observed information.
    log_lik, log_lik_separate
        Log-likelihood, and that with no association (at its own maximum).
    gradient
        Largest slope left, per standard error.
    nodes
        Quadrature nodes per effect with which the answer stands, or the most that were tried.
    quadrature
        Says so where it does not stand.
    """

    outcome: LinearMixedModel
    hazard: DiscreteHazard
    names: tuple[tuple[str, str], ...]
    parameters: Array
    covariance: Array
    log_lik: float
    log_lik_separate: float
    gradient: float
    nodes: int
    quadrature: tuple[str, ...]

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the outcome's rows; ``hazard.rows`` tells of the others."""
        return self.outcome.rows

    @property
    def converged(self) -> bool:
        """Whether the likelihood was flat where the search stopped."""
        return self.gradient < _FLAT

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``part, term, estimate, std_error, statistic, df, p_value, conf_low, conf_high``.

        ``part`` is ``"outcome"`` (units of the outcome), ``"hazard"`` (scale of the link) or
        ``"association"`` (change of the hazard on the scale of the link per unit of the effect: of
        a deviation of one outcome unit, or one outcome unit per unit of time).
        """
        keep = self._shown
        estimate = self.parameters[keep]
        std_error = np.sqrt(np.diag(self.covariance))[keep]
        found = estimate_columns(estimate, std_error, conf_level=conf_level)
        found.insert(0, "part", [self.names[k][0] for k in keep])
        found.insert(1, "term", [self.names[k][1] for k in keep])
        return found

    @property
    def _shown(self) -> list[int]:
        return [k for k, (part, _) in enumerate(self.names) if part != "spread"]

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the rows of ``tidy()``, named ``part:term``."""
        shown = self._shown
        covariance = self.covariance[np.ix_(shown, shown)]
        return named_covariance(covariance, *zip(*(self.names[k] for k in shown), strict=True))

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, likelihoods, and the test of no association."""
        q = sum(part == "association" for part, _ in self.names)
        statistic = 2.0 * (self.log_lik - self.log_lik_separate)
        return pd.DataFrame(
            {
                "nobs": [self.outcome.nobs],
                "n_units": [len(self.outcome.design.groupings[0].labels)],
                "n_event": [self.hazard.n_event],
                "log_lik": [self.log_lik],
                "log_lik_separate": [self.log_lik_separate],
                "statistic": [statistic],
                "df": [float(q)],
                "p_value": [stats.chi2.sf(statistic, q)],
                "converged": [self.converged],
                "gradient": [self.gradient],
                "nodes": [self.nodes],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return (
            "outcome and leaving modelled with shared effects, hazard and association on the "
            f"{self.hazard.link} scale"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before any number."""
        failed = () if self.converged else ("The fit did not converge.",)
        return (*failed, *self.quadrature)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the coefficients of outcome and hazard and the associations, as data."""
        section = Section(
            "Part",
            self.tidy(conf_level=conf_level),
            names=("part", "term"),
            measure="b",
            conf_level=conf_level,
        )
        sizes = {"outcomes": self.outcome.nobs, "events": self.hazard.n_event}
        remarks = (f"Hazard: {self.hazard.rows}",)
        return Account(
            self.method, self.notes, sizes, (section,), remarks, self.rows, sources=("wu1988",)
        )

    summary = summary_of
    _repr_html_ = html_of


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
    baseline: str = "polynomial",
    baseline_df: int = 2,
    nodes: int = 9,
) -> SharedParameterModel:
    """Fit the outcome's growth and the discrete hazard of leaving in one likelihood.

    ``y = X beta + Z b + e`` and ``cloglog h(t) = baseline(t) + w gamma + alpha'b`` with the same
    effects ``b ~ N(0, D)`` of each unit: units whose outcome starts worse, or gets better more
    slowly, may leave earlier. Given b, outcomes and leaving are independent: that is the assumption
    in place of missing at random, and it cannot be tested.

    Parameters
    ----------
    outcome
        A linear mixed model with one random term of `unit`: ``"y ~ time * arm + (1 + time | id)"``.
    hazard
        Covariates of the hazard; ``"1"`` for none.
    data
        Rows with outcomes.
    periods
        Rows a unit and session at risk (see :func:`discrete_hazard`).
    session, event, unit
        Columns of `periods`; `unit` is in both frames.
    baseline, baseline_df
        As in :func:`discrete_hazard`; smooth ones keep the number of parameters small.
    nodes
        Gauss-Hermite nodes per effect to begin with, set at each unit's effects given its outcomes.
        They are doubled until twice as many leave estimates and standard errors where they are, or
        the summary says that they do not.

    Returns
    -------
    SharedParameterModel

    Raises
    ------
    DataError
        Units in one frame only; another random term than one of `unit`.
    NotIdentifiedError
        As the separate models.

    Notes
    -----
    ``L_i = f(y_i) E[prod_t p(t | b) | y_i]``: the first factor is the mixed model's likelihood in
    closed form, and the expectation is over the normal distribution of b given y_i, for which the
    nodes are exact (Rizopoulos 2012, doi:10.1016/j.csda.2011.09.007). There are no further levels:
    therapists do not enter. Source: Wu & Carroll 1988, doi:10.2307/2531905; Follmann & Wu 1995,
    doi:10.2307/2533322.

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
    data, periods = check_frame(data), check_frame(periods, what="periods")
    require_columns(data, [unit])
    _check_random(outcome, unit)
    formula_variables(hazard)  # refuses an offset, which the joint likelihood has not
    if not isinstance(nodes, int) or not 1 <= nodes <= _MOST_NODES:
        raise ValueError(f"nodes must be a whole number from 1 to {_MOST_NODES}; got {nodes!r}.")
    growth = lmm(outcome, data, reml=False)
    leaving = discrete_hazard(
        hazard,
        periods,
        session=session,
        event=event,
        unit=unit,
        random=None,
        baseline=baseline,
        baseline_df=baseline_df,
    )
    start = _start(growth, leaving)
    found, notes = _until_it_stands(
        start, _scales(start, growth, leaving), nodes, partial(shared_data, growth, leaving, unit)
    )
    return SharedParameterModel(
        outcome=growth,
        hazard=leaving,
        names=_names(growth, leaving),
        parameters=found.parameters,
        covariance=found.covariance,
        log_lik=found.log_lik,
        log_lik_separate=found.log_lik_separate,
        gradient=found.gradient,
        nodes=found.nodes,
        quadrature=notes,
    )


def _check_random(outcome: str, unit: str) -> None:
    random = parse_formula(outcome).random
    if len(random) != 1 or random[0].grouping != (unit,):
        raise DataError(
            f"The outcome needs one random term, of '{unit}', whose effects are shared with the "
            f"hazard; {outcome!r} has {', '.join(map(str, random)) or 'none'}."
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Maximum:
    """Where the joint likelihood is largest: parameters, inverse information, slope left."""

    parameters: Array
    covariance: Array
    log_lik: float
    log_lik_separate: float
    gradient: float
    nodes: int


def _until_it_stands(
    start: Array, scale: Array, nodes: int, arrays_of: Callable[[int], SharedData]
) -> tuple[_Maximum, tuple[str, ...]]:
    """Maximise with more and more nodes until twice as many leave the answer where it is."""
    arrays = arrays_of(nodes)
    found, separate = _maximise(start, start, scale, arrays, nodes), start
    while True:
        more = 2 * found.nodes - 1 if found.nodes > 1 else 5
        if more > _MOST_NODES or more**arrays.n_effects > _MOST_POINTS:
            return found, (
                "The integral over the shared effects has not settled: with "
                f"{found.nodes} nodes an effect the estimates still move by more than "
                f"{_MOVED:g} standard errors. Do not rely on the association.",
            )
        arrays = arrays_of(more)
        if _stands(found, scale, arrays):
            return found, ()
        found = _maximise(found.parameters, separate, scale, arrays, more)


def _stands(found: _Maximum, scale: Array, arrays: SharedData) -> bool:
    """Tell whether the maximum and its errors are those of a finer integral too."""

    def minus(at: Array) -> float:
        return -float(log_likelihoods(found.parameters + scale * at, arrays).sum())

    origin = np.zeros(len(scale))
    inverse = _inverse(_hessian(minus, origin))
    if inverse is None:
        return False
    errors = np.sqrt(np.diag(inverse)) * scale
    moved = np.abs(scale * (inverse @ _slope(minus, origin))) / errors
    wider = np.abs(errors / np.sqrt(np.diag(found.covariance)) - 1.0)
    return bool(max(moved.max(), wider.max()) < _MOVED)


def _maximise(
    start: Array, separate: Array, scale: Array, arrays: SharedData, nodes: int
) -> _Maximum:
    """Climb from `start`, with about a standard error as the unit of each parameter."""

    def minus(at: Array) -> float:
        return -float(log_likelihoods(start + scale * at, arrays).sum())

    found = optimize.minimize(
        minus, np.zeros(len(start)), jac=lambda at: _slope(minus, at), method="BFGS",
        options={"gtol": 1e-4, "maxiter": 200},
    )  # fmt: skip
    inverse = _inverse(_hessian(minus, found.x))
    if inverse is None:
        raise NotIdentifiedError(
            "The joint likelihood has no maximum here: its information is not positive definite. "
            "Take fewer random effects or a simpler baseline."
        )
    slope = _slope(minus, found.x)
    return _Maximum(
        parameters=start + scale * found.x,
        covariance=inverse * np.outer(scale, scale),
        log_lik=-float(found.fun),
        log_lik_separate=float(log_likelihoods(separate, arrays).sum()),
        gradient=float(np.sqrt(np.maximum(slope @ inverse @ slope, 0.0))),
        nodes=nodes,
    )


def _inverse(H: Array) -> Array | None:
    try:
        inverse: Array = linalg.cho_solve(linalg.cho_factor(H), np.eye(len(H)))
    except linalg.LinAlgError:
        return None
    return inverse


def _start(growth: LinearMixedModel, leaving: DiscreteHazard) -> Array:
    """Return the separate fits' parameters, associations 0."""
    covariance = next(iter(growth.covariances().values())).to_numpy()
    if np.linalg.eigvalsh(covariance).min() <= 1e-8 * growth.sigma**2:
        raise NotIdentifiedError(
            "The outcome model's random effects are on their boundary: there is no effect to "
            "share. Leave the random slope out."
        )
    L = np.linalg.cholesky(covariance)
    q = len(L)
    packed = L[np.tril_indices(q)].copy()
    packed[[k * (k + 3) // 2 for k in range(q)]] = np.log(np.diag(L))
    return np.concatenate(
        [
            growth.beta.dropna().to_numpy(),
            packed,
            [np.log(growth.sigma)],
            leaving.fit.beta.dropna().to_numpy(),
            np.zeros(q),
        ]
    )


def _scales(start: Array, growth: LinearMixedModel, leaving: DiscreteHazard) -> Array:
    """Return about a standard error of each parameter."""
    scale = np.full(len(start), 0.1)
    p, h = len(growth.vcov()), len(leaving.fit.vcov())
    sds = np.sqrt(np.diag(next(iter(growth.covariances().values()))))
    q = len(sds)
    scale[:p] = np.sqrt(np.diag(growth.vcov()))
    scale[len(start) - q - h : len(start) - q] = np.sqrt(np.diag(leaving.fit.vcov()))
    scale[len(start) - q :] = 0.1 / sds
    for row in range(q):
        for column in range(row):
            scale[p + row * (row + 1) // 2 + column] = 0.1 * sds[row]
    return scale


def _names(growth: LinearMixedModel, leaving: DiscreteHazard) -> tuple[tuple[str, str], ...]:
    effects = growth.design.groupings[0].names
    spread = [f"chol__{i}.{j}" for i in range(len(effects)) for j in range(i + 1)]
    return (
        *(("outcome", str(name)) for name in growth.beta.dropna().index),
        *(("spread", name) for name in spread),
        ("spread", "log_sigma"),
        *(("hazard", str(name)) for name in leaving.fit.beta.dropna().index),
        *(("association", str(name)) for name in effects),
    )


def _slope(function: Callable[[Array], float], at: Array) -> Array:
    slope = np.empty(len(at))
    for k in range(len(at)):
        step = np.zeros(len(at))
        step[k] = _STEP
        slope[k] = (function(at + step) - function(at - step)) / (2 * _STEP)
    return slope


def _hessian(function: Callable[[Array], float], at: Array) -> Array:
    step = 1e-2
    H = np.empty((len(at), len(at)))
    for k in range(len(at)):
        move = np.zeros(len(at))
        move[k] = step
        H[k] = (_slope(function, at + move) - _slope(function, at - move)) / (2 * step)
    return np.asarray((H + H.T) / 2)

"""Natural effects from fitted equations: on one level, and of a hazard session by session.

The expected outcome if the treatment were x and the mediator what it would be under x', averaged
over the units: the mediator's distribution is summed or integrated out, its coefficients and the
outcome's drawn (Imai, Keele & Tingley 2010, doi:10.1037/a0020761). For several linear mediators the
effect is that through all of them (VanderWeele & Vansteelandt 2014, doi:10.1515/em-2012-0010).
Arrays only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import special, stats

from alliance_stats.association.mediation.asked import Asked, Case, Natural
from alliance_stats.association.mediation.equations import Equations, Paths
from alliance_stats.association.regression_model import LinearRegression
from alliance_stats.design.design import Design, fixed_columns
from alliance_stats.door import replaced
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.formatting import format_number

__all__ = ["NATURAL", "Columns", "Counterfactuals", "Course", "NaturalModel", "counterfactuals"]

_NODES = 24
_FEWER_NODES = 10  # of draws, whose own scatter is a thousand times what is lost
_FAR = 1e-10  # probability beyond which counts are not summed
_MOST = 12.0  # of log rates of a mediator that is a count


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The columns of all equations if the treatment had one value, one row per unit.

    Attributes
    ----------
    mediators
        (n, p) of each mediator's equation.
    base
        (sessions, n, p) of the outcome's, its mediators at 0; one session but for hazards.
    slopes
        (n, p) for each mediator: what one unit more of it adds to those columns.
    """

    mediators: tuple[Array, ...]
    base: Array
    slopes: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class NaturalModel:
    """What the counterfactual means require from the fits.

    Attributes
    ----------
    mediator
        ``"linear"``, ``"logistic"`` or ``"poisson"``.
    outcome
        ``"linear"``, ``"logistic"``, ``"poisson"``; ``"survival"`` or ``"sessions"`` of a hazard.
    link
        Of a hazard: ``"logit"`` or ``"cloglog"``.
    columns
        Value of the treatment -> the columns.
    weights
        (n,) weight of each unit; they sum to 1.
    happens
        (sessions,) of a hazard: whether anyone dropped out after the session; else its hazard is 0.
    nodes
        Of the integral over a linear mediator.
    """

    mediator: str
    outcome: str
    link: str
    columns: Mapping[float, Columns]
    weights: Array
    happens: Array
    nodes: int = _NODES

    def rougher(self) -> "NaturalModel":
        """Return the same with fewer nodes, for draws."""
        return replace(self, nodes=_FEWER_NODES)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many coefficients each equation has, the outcome's last."""
        first = next(iter(self.columns.values()))
        return (*(X.shape[1] for X in first.mediators), first.base.shape[2])

    def mean(self, theta: Array, covariance: Array, x: float, other: float) -> float:
        """Return ``E[Y(x, M(x'))]`` over the units.

        Parameters
        ----------
        theta
            Coefficients of all equations.
        covariance
            (mediators, mediators) of the errors of linear ones.
        x, other
            Value of the treatment, and the one that the mediators are under.
        """
        *betas, gamma = np.split(theta, np.cumsum(self.sizes)[:-1])
        own, under = self.columns[x], self.columns[other]
        eta = own.base @ gamma
        slopes = np.array([S @ gamma for S in own.slopes])
        centres = np.array([X @ b for X, b in zip(under.mediators, betas, strict=True)])
        if self.mediator == "linear":
            eta = eta + (slopes * centres).sum(axis=0)
            variance = np.einsum("kn,kl,ln->n", slopes, covariance, slopes)
            return float(self.weights @ self._over_normal(eta, variance))
        m, probability = self._values(centres[0])
        values = self._outcome(eta[:, :, None] + slopes[0][:, None] * m)
        return float(self.weights @ (probability * values).sum(axis=1))

    def _over_normal(self, eta: Array, variance: Array) -> Array:
        """Return each unit's expected outcome over a normal part of its predictor."""
        if self.outcome == "linear":
            return np.asarray(eta[0])
        if self.outcome == "poisson":
            return np.asarray(np.exp(eta[0] + variance / 2.0))
        nodes, weights = np.polynomial.hermite_e.hermegauss(self.nodes)
        spread = np.sqrt(variance)[:, None] * nodes
        return np.asarray(self._outcome(eta[:, :, None] + spread) @ (weights / weights.sum()))

    def _values(self, eta: Array) -> tuple[Array, Array]:
        """Return values that the mediator takes and their probabilities, (n, values)."""
        if self.mediator == "logistic":
            p = special.expit(eta)
            return np.broadcast_to([0.0, 1.0], (len(eta), 2)), np.column_stack([1.0 - p, p])
        rate = np.exp(np.minimum(eta, _MOST))
        most = int(stats.poisson.isf(_FAR, rate.max())) + 1
        counts = np.arange(most + 1.0)
        return np.broadcast_to(counts, (len(eta), most + 1)), stats.poisson.pmf(
            counts, rate[:, None]
        )

    def _outcome(self, eta: Array) -> Array:
        """Return the expected outcome for predictors (sessions, n, values)."""
        if self.outcome == "linear":
            return np.asarray(eta[0])
        if self.outcome == "logistic":
            return np.asarray(special.expit(eta[0]))
        if self.outcome == "poisson":
            return np.asarray(np.exp(eta[0]))
        # -log of staying, summed over the sessions after which anyone left
        left = np.logaddexp(0.0, eta) if self.link == "logit" else np.exp(eta)
        gone = np.cumsum(left * self.happens[:, None, None], axis=0)
        if self.outcome == "survival":
            return np.asarray(np.exp(-gone[-1]))
        return np.asarray(1.0 + np.exp(-gone[:-1]).sum(axis=0))


def _natural_effects(
    model: NaturalModel, theta: Array, covariance: Array, x: tuple[float, float], *, ratio: bool
) -> Array:
    """Return total, natural direct and natural indirect effect, and the share mediated.

    Direct: with the mediator as under the first value; indirect: with the treatment at the second.
    Direct and indirect then add up (multiply, as ratios) to the total.
    """
    low, high = x
    y00, y10, y11 = (
        model.mean(theta, covariance, *pair) for pair in ((low, low), (high, low), (high, high))
    )
    if ratio and not min(y00, y10, y11) > 0.0:
        raise NotIdentifiedError(
            "A ratio of expected outcomes needs all of them above 0: ask for scale='difference'."
        )
    share = (y11 - y10) / (y11 - y00) if y11 != y00 else np.nan
    if ratio:
        return np.array([y11 / y00, y10 / y00, y11 / y10, share])
    return np.array([y11 - y00, y10 - y00, y11 - y10, share])


def _distinct(columns: Sequence[Columns]) -> tuple[list[Columns], Array]:
    """Keep each pattern of columns once; return the patterns and the share of units of each."""
    parts = [np.concatenate([*one.mediators, *one.base, *one.slopes], axis=1) for one in columns]
    _, first, counts = np.unique(
        np.concatenate(parts, axis=1), axis=0, return_index=True, return_counts=True
    )
    kept = [
        Columns(
            tuple(X[first] for X in one.mediators),
            one.base[:, first],
            tuple(S[first] for S in one.slopes),
        )
        for one in columns
    ]
    return kept, counts / counts.sum()


NATURAL = ("total", "natural direct", "natural indirect", "share mediated")


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What a hazard adds: its sessions, and what is requested of them.

    Attributes
    ----------
    session
        Column of sessions in the hazard's design.
    sessions
        (sessions,) from the first to the horizon, the number whose columns each takes.
    happens
        (sessions,) whether anyone left after each.
    kind
        ``"survival"`` or ``"sessions"``.
    link
        The hazard's link.
    reach
        The first and the last session.
    """

    session: str
    sessions: Integers
    happens: Array
    kind: str
    link: str
    reach: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Counterfactuals:
    """Natural effects as a function of coefficients.

    Attributes
    ----------
    at
        Values of the moderator; a single NaN without one.
    models
        The counterfactual means at each.
    paths
        Coefficients of all equations.
    covariance
        (mediators, mediators) of the errors of linear mediators.
    df
        Degrees of freedom of that covariance.
    pair
        The two values of the treatment.
    ratio
        Whether effects are ratios.
    reach
        First and last session of a hazard.
    """

    at: tuple[float, ...]
    models: tuple[NaturalModel, ...]
    paths: Paths
    covariance: Array
    df: float
    pair: tuple[float, float]
    ratio: bool
    reach: tuple[int, int] = (0, 0)

    @property
    def frame(self) -> pd.DataFrame:
        """The effects' names: ``level, term, at, null``."""
        null = 1.0 if self.ratio else 0.0
        rows = [
            ("", term, w, np.nan if term == NATURAL[3] else null)
            for w in self.at
            for term in NATURAL
        ]
        if len(self.at) > 1:
            last, first = format_number(self.at[-1]), format_number(self.at[0])
            sign = "over" if self.ratio else "less"
            rows.append(("", f"natural indirect at {last} {sign} that at {first}", np.nan, null))
        return pd.DataFrame(rows, columns=["level", "term", "at", "null"])

    def effects(self, theta: Array, covariance: Array) -> Array:
        """Return all effects at some coefficients."""
        found = [
            _natural_effects(model, theta, covariance, self.pair, ratio=self.ratio)
            for model in self.models
        ]
        if len(found) > 1:
            last, first = found[-1][2], found[0][2]
            found.append(np.array([last / first if self.ratio else last - first]))
        return np.concatenate(found)

    def estimate(self) -> Array:
        """Return the effects at the estimates."""
        return self.effects(self.paths.estimate, self.covariance)

    def draws(self, n: int, rng: np.random.Generator) -> Array:
        """Draw the effects as they would vary, (n, effects)."""
        theta = self.paths.draws(n, rng)
        known = not np.isfinite(self.df)
        factors = np.ones(n) if known else self.df / rng.chisquare(self.df, n)
        rough = replace(self, models=tuple(model.rougher() for model in self.models))
        return np.array(
            [rough.effects(t, self.covariance * f) for t, f in zip(theta, factors, strict=True)]
        )


def counterfactuals(  # noqa: PLR0917
    case: Case,
    how: Natural,
    found: Equations,
    outcome: Design,
    paths: Paths,
    frame: pd.DataFrame,
    at: Sequence[float],
    course: Course | None = None,
) -> Counterfactuals:
    """Build the columns of all equations under both values of the treatment.

    Parameters
    ----------
    case, how
        The rows, and what is requested.
    found
        The mediators' equations (and the outcome's, on one level).
    outcome
        Design of the outcome's equation.
    paths
        Coefficients of all equations.
    frame
        One row per unit.
    at
        Values of the moderator.
    course
        Of a hazard.
    """
    asked = case.asked
    first = found.fits[: len(asked.mediators)]
    pair = how.pair(frame[asked.treatment].to_numpy(dtype=np.float64))
    models = []
    for w in at:
        own = frame if asked.moderator is None else replaced(frame, {asked.moderator: w})
        columns = [
            _columns(replaced(own, {asked.treatment: x}), asked, [f.design for f in first], outcome,
                     course)
            for x in pair
        ]  # fmt: skip
        kept, weights = _distinct(columns)
        models.append(
            NaturalModel(
                how.mediator,
                how.outcome if course is None else course.kind,
                "" if course is None else course.link,
                dict(zip(pair, kept, strict=True)),
                weights,
                np.ones(1) if course is None else course.happens,
            )
        )
    covariance, df = _errors(first)
    reach = (0, 0) if course is None else course.reach
    return Counterfactuals(
        tuple(at), tuple(models), paths, covariance, df, pair, how.scale == "ratio", reach
    )


def _columns(
    frame: pd.DataFrame,
    asked: Asked,
    mediators: Sequence[Design],
    outcome: Design,
    course: Course | None,
) -> Columns:
    """Return the columns at a frame's treatment and moderator; mediators enter linearly."""
    zero = frame.assign(**dict.fromkeys(asked.mediators, 0.0))
    if course is None:
        base = fixed_columns(outcome, zero)[None]
    else:
        by_session = [replaced(zero, {course.session: number}) for number in course.sessions]
        base = np.array([fixed_columns(outcome, own) for own in by_session])
        zero = by_session[0]
    slopes = [fixed_columns(outcome, replaced(zero, {m: 1.0})) - base[0] for m in asked.mediators]
    return Columns(tuple(fixed_columns(design, frame) for design in mediators), base, tuple(slopes))


def _errors(fits: Sequence[object]) -> tuple[Array, float]:
    """Return the covariance of the errors of linear mediators, and its degrees of freedom."""
    if not all(isinstance(fit, LinearRegression) for fit in fits):
        return np.zeros((len(fits), len(fits))), np.inf
    linear = [fit for fit in fits if isinstance(fit, LinearRegression)]
    left = np.array([fit.augment()["residual"].to_numpy(dtype=np.float64) for fit in linear])
    df = float(linear[0].nobs - len(linear[0].fit.beta))
    return left @ left.T / df, df

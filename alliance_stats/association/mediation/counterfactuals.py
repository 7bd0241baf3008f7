"""Natural effects from fitted equations: on one level, and of a hazard session by session."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.association.mediation.asked import Asked, Case, Natural
from alliance_stats.association.mediation.equations import Equations
from alliance_stats.association.mediation.natural_effects import (
    Columns,
    NaturalModel,
    distinct,
    natural_effects,
)
from alliance_stats.association.mediation.paths import Paths
from alliance_stats.association.regression_model import LinearRegression
from alliance_stats.design.design import Design, fixed_columns
from alliance_stats.estimates import Array
from alliance_stats.formatting import format_number

__all__ = ["NATURAL", "Counterfactuals", "Course", "counterfactuals"]

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
    sessions: npt.NDArray[np.int64]
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
            natural_effects(model, theta, covariance, self.pair, ratio=self.ratio)
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
        own = frame if asked.moderator is None else frame.assign(**{asked.moderator: w})
        columns = [
            _columns(own.assign(**{asked.treatment: x}), asked, [f.design for f in first], outcome,
                     course)
            for x in pair
        ]  # fmt: skip
        kept, weights = distinct(columns)
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
        by_session = [zero.assign(**{course.session: number}) for number in course.sessions]
        base = np.array([fixed_columns(outcome, own) for own in by_session])
        zero = by_session[0]
    slopes = [fixed_columns(outcome, zero.assign(**{m: 1.0})) - base[0] for m in asked.mediators]
    return Columns(tuple(fixed_columns(design, frame) for design in mediators), base, tuple(slopes))


def _errors(fits: Sequence[object]) -> tuple[Array, float]:
    """Return the covariance of the errors of linear mediators, and its degrees of freedom."""
    if not all(isinstance(fit, LinearRegression) for fit in fits):
        return np.zeros((len(fits), len(fits))), np.inf
    linear = [fit for fit in fits if isinstance(fit, LinearRegression)]
    left = np.array([fit.augment()["residual"].to_numpy(dtype=np.float64) for fit in linear])
    df = float(linear[0].nobs - len(linear[0].fit.beta))
    return left @ left.T / df, df

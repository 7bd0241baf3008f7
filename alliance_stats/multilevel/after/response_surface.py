"""Response surfaces: outcomes along the agreement and the disagreement of two ratings."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.design.design import all_fixed_columns
from alliance_stats.errors import FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.after.asked_model import (
    FittedModel,
    caveats,
    infer,
    link_of,
    require_fitted,
)
from alliance_stats.multilevel.after.reference_grid import predictors, reference_grid
from alliance_stats.multilevel.after.simple_slopes import numeric_predictor
from alliance_stats.multilevel.linear_functions import DfMethod, LinearEstimates

__all__ = ["ResponseSurface", "response_surface"]

# Parts of a column of the third degree, relative to the column, that count as rounding.
_QUADRATIC = 1e-7
_STEPS = (-1.0, 0.0, 1.0, 2.0)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ResponseSurface:
    """Slopes and curvatures of a surface, made by :func:`response_surface`.

    Attributes
    ----------
    model
        The fitted model.
    first, second
        The two predictors.
    origin
        The value of both predictors at which slopes are taken.
    estimates
        a1 to a5, on the scale of the linear predictor.
    coefficients
        ``b_x, b_y, b_xx, b_xy, b_yy`` of the surface at the origin.
    notes
        What to know before reading.
    """

    model: FittedModel
    first: str
    second: str
    origin: float
    estimates: LinearEstimates
    coefficients: Array
    notes: tuple[str, ...]

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """The ledger of the fit's rows."""
        return self.model.rows

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        link = link_of(self.model).name
        scale = "" if link == "identity" else f" on the {link} scale"
        return f"response surface of {self.first} and {self.second} at {self.origin:g}{scale}"

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per parameter.

        Returns
        -------
        DataFrame
            ``term, meaning, estimate, std_error, statistic, df, p_value, conf_low, conf_high``:
            ``a1`` slope and ``a2`` curvature along agreement (both rise together), ``a3`` slope and
            ``a4`` curvature along disagreement (one rises as the other falls), ``a5`` difference of
            the two squared terms. Per unit of the predictors.
        """
        table = self.estimates.columns(conf_level=conf_level)
        table.insert(0, "meaning", list(_MEANINGS.values()))
        table.insert(0, "term", list(_MEANINGS))
        return table

    def glance(self) -> pd.DataFrame:
        """Return one row: the stationary point and first principal axis, without standard errors.

        Returns
        -------
        DataFrame
            ``stationary_x, stationary_y`` (in the predictors' units), ``axis_intercept`` and
            ``axis_slope`` (p10 and p11 of Edwards & Parry 1993, doi:10.5465/256822, on predictors
            measured from the origin): 0 and 1 where agreement itself is the ridge.
        """
        bx, by, bxx, bxy, byy = self.coefficients
        det = 4.0 * bxx * byy - bxy**2
        with np.errstate(divide="ignore", invalid="ignore"):
            x0, y0 = (by * bxy - 2.0 * bx * byy) / det, (bx * bxy - 2.0 * by * bxx) / det
            slope = (byy - bxx + np.hypot(bxx - byy, bxy)) / bxy
        return pd.DataFrame(
            [
                {
                    "stationary_x": x0 + self.origin,
                    "stationary_y": y0 + self.origin,
                    "axis_intercept": y0 - slope * x0,
                    "axis_slope": slope,
                }
            ]
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the parameters as data."""
        table = self.tidy(conf_level=conf_level)
        section = Section("Parameter", table, ("term", "meaning"), conf_level=conf_level)
        return Account.of(self, {}, (section,), sources=("edwards1993",))

    summary = summary_of
    _repr_html_ = html_of


_MEANINGS = {
    "a1": "slope along agreement",
    "a2": "curvature along agreement",
    "a3": "slope along disagreement",
    "a4": "curvature along disagreement",
    "a5": "difference of the squares",
}


def response_surface(
    model: FittedModel,
    first: str,
    second: str,
    *,
    origin: float = 0.0,
    df_method: DfMethod | None = None,
) -> ResponseSurface:
    """Describe a second-degree surface in two predictors on the same scale.

    Parameters
    ----------
    model
        A model fitted by ``regression``, ``lmm`` or ``glmm`` with ``y ~ first + second + I(first^2)
        + first:second + I(second^2)``; other terms may be added.
    first, second
        The predictors, such as client's and therapist's ratings of the alliance, in the same units.
    origin
        The value of both at which slopes are taken: 0 if the ratings were centred at the midpoint
        of their scale, otherwise that midpoint (4 on a scale from 1 to 7).
    df_method
        See :func:`estimated_means`.

    Returns
    -------
    ResponseSurface
        With ``tidy()``, ``glance()``, ``summary()``.

    Raises
    ------
    FormulaError
        A name that is not a numeric predictor, or a surface that is not of the second degree.
    NotIdentifiedError
        The surface is not estimable from the data.

    Notes
    -----
    ``a1 = b_x + b_y, a2 = b_xx + b_xy + b_yy, a3 = b_x - b_y, a4 = b_xx - b_xy + b_yy, a5 = b_xx -
    b_yy`` (Edwards & Parry 1993, doi:10.5465/256822; Shanock et al. 2010,
    doi:10.1007/s10869-010-9183-4). A congruence effect requires more than ``a4 < 0``: the ridge
    must also be the line of agreement (Humberg, Nestler & Back 2019, doi:10.1177/1948550618757600).

    Examples
    --------
    >>> from alliance_stats import example_study, regression, response_surface
    >>> last = example_study().sessions.groupby("person").tail(1)
    >>> model = regression(
    ...     "symptoms ~ alliance + therapist_alliance + I(alliance^2) + "
    ...     "alliance:therapist_alliance + I(therapist_alliance^2)", last)
    >>> surface = response_surface(model, "alliance", "therapist_alliance", origin=4)
    >>> list(surface.tidy()["term"])
    ['a1', 'a2', 'a3', 'a4', 'a5']
    """
    require_fitted(model)
    known = predictors(model.design)
    for name in (first, second):
        numeric_predictor(known, name)
    if first == second:
        raise FormulaError("A surface is over two predictors; first and second are the same.")
    values = [origin + step for step in _STEPS]
    grid = reference_grid(model.design, [first, second], {first: values, second: values})
    averaged = grid.average(all_fixed_columns(model.design, grid.frame), "equal")
    at = averaged.reshape(len(_STEPS), len(_STEPS), -1)
    F = {(x, y): at[i, j] for i, x in enumerate(_STEPS) for j, y in enumerate(_STEPS)}
    _check_quadratic(F, first, second)
    plus, minus = F[1.0, 1.0], F[-1.0, -1.0]
    up, down = F[1.0, -1.0], F[-1.0, 1.0]
    centre = F[0.0, 0.0]
    x_slope = (F[1.0, 0.0] - F[-1.0, 0.0]) / 2.0
    y_slope = (F[0.0, 1.0] - F[0.0, -1.0]) / 2.0
    xx = (F[1.0, 0.0] + F[-1.0, 0.0]) / 2.0 - centre
    yy = (F[0.0, 1.0] + F[0.0, -1.0]) / 2.0 - centre
    xy = (plus + minus - up - down) / 4.0
    L = np.stack(
        [
            (plus - minus) / 2.0,
            (plus + minus) / 2.0 - centre,
            (up - down) / 2.0,
            (up + down) / 2.0 - centre,
            xx - yy,
        ]
    )
    inference = infer(model, df_method)
    estimates = inference.of(L)
    if not estimates.estimable.all():
        raise NotIdentifiedError(
            f"The data do not determine the surface of '{first}' and '{second}': a column of it is "
            "a combination of others."
        )
    b = inference.of(np.stack([x_slope, y_slope, xx, xy, yy])).estimate
    return ResponseSurface(model, first, second, float(origin), estimates, b, tuple(caveats(model)))


def _check_quadratic(F: dict[tuple[float, float], Array], first: str, second: str) -> None:
    """Refuse a surface with third-degree terms, or with no second-degree ones."""
    size = max(float(np.abs(row).max()) for row in F.values())
    thirds = [F[2.0, y] - 3.0 * F[1.0, y] + 3.0 * F[0.0, y] - F[-1.0, y] for y in (0.0, 1.0)] + [
        F[x, 2.0] - 3.0 * F[x, 1.0] + 3.0 * F[x, 0.0] - F[x, -1.0] for x in (0.0, 1.0)
    ]
    second_degree = [
        F[1.0, 0.0] + F[-1.0, 0.0] - 2.0 * F[0.0, 0.0],
        F[0.0, 1.0] + F[0.0, -1.0] - 2.0 * F[0.0, 0.0],
    ]
    mixed = F[1.0, 1.0] + F[-1.0, -1.0] - F[1.0, -1.0] - F[-1.0, 1.0]
    bent = all(float(np.abs(row).max()) > _QUADRATIC * size for row in (*second_degree, mixed))
    if any(float(np.abs(row).max()) > _QUADRATIC * size for row in thirds) or not bent:
        raise FormulaError(
            f"A response surface needs a model of the second degree in '{first}' and '{second}': "
            f"y ~ {first} + {second} + I({first}^2) + {first}:{second} + I({second}^2)."
        )

"""Johnson-Neyman regions: where along a moderator an effect differs from zero.

With an effect ``theta(m)`` of variance ``V(m)`` and critical value t, the bounds are the roots of
``theta(m)^2 = t^2 V(m)`` (Johnson & Neyman 1936; Bauer & Curran 2005,
doi:10.1207/s15327906mbr4003_5). For a linear effect with constant df this is a quadratic; where the
df, and so t, change along m, the roots are found numerically.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Phrase, html_of, summary_of
from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.design.design import Design
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, one_line
from alliance_stats.formatting import format_level, format_number
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.after.asked_model import (
    FittedModel,
    caveats,
    infer,
    link_of,
    require_fitted,
)
from alliance_stats.multilevel.after.estimated_means import cell
from alliance_stats.multilevel.after.reference_grid import (
    At,
    Predictor,
    Weights,
    check_at,
    grid_columns,
    predictors,
    reference_grid,
    require_predictor,
    several,
)
from alliance_stats.multilevel.after.region_bounds import region_bounds
from alliance_stats.multilevel.after.simple_slopes import (
    numeric_predictor,
    slope_rows,
    values_by_unit,
)
from alliance_stats.multilevel.linear_functions import DfMethod, Inference, LinearEstimates
from alliance_stats.named import named
from alliance_stats.renaming import renamed

__all__ = ["JohnsonNeyman", "johnson_neyman"]

# An effect is a straight line in the moderator if its middle is off by less, relatively.
STRAIGHT = 1e-9

Control = Literal["none", "fdr"]
# Values of the moderator -> rows L whose L beta is the effect there.
Effect = Callable[[Array], Array]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JohnsonNeyman:
    """An effect along a moderator, made by :func:`~alliance_stats.multilevel.johnson_neyman`.

    Attributes
    ----------
    model
        The fitted model.
    inference
        Its coefficients and df method.
    effect_name
        The predictor whose slope is studied, or the difference of levels as ``"a - b"``.
    moderator
        The moderator's name.
    effect
        Values of the moderator -> linear functions of the coefficients.
    straight
        Whether the effect is a straight line in the moderator.
    support
        The moderator's observed values, sorted: one per unit (or per row, if no unit was named).
    unit
        The grouping column that each value belongs to.
    adjust
        ``"none"`` (each value separately) or ``"fdr"``.
    within
        Where bounds are looked for: one data range to either side of the data, where the formula
        has a value there (``log(m)`` has none below zero).
    """

    model: FittedModel
    inference: Inference
    effect_name: str
    moderator: str
    effect: Effect
    straight: bool
    support: Array
    unit: str
    adjust: Control
    within: tuple[float, float]

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """The ledger of the fit's rows."""
        return self.model.rows

    def alpha(self, *, conf_level: float = 0.95) -> float:
        """Return the level at which each value is tested.

        It is ``1 - conf_level``, or with the false discovery rate controlled ``(k / m)`` of it: of
        the m distinct observed values, k is the largest number whose k smallest p-values are all
        at most ``(k / m) alpha`` (Benjamini & Hochberg 1995; Esarey & Sumner 2018,
        doi:10.1177/0010414017730080), and at least 1.
        """
        alpha = 1.0 - check_conf_level(conf_level)
        if self.adjust == "none":
            return alpha
        values = np.unique(self.support)
        p = np.sort(self.inference.of(self.effect(values)).columns(conf_level=0.95)["p_value"])
        passed = np.flatnonzero(p <= alpha * np.arange(1, len(p) + 1) / len(p))
        return float(alpha * (passed[-1] + 1 if len(passed) else 1) / len(p))

    def boundaries(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the values of the moderator at which a confidence limit is exactly zero.

        Returns
        -------
        DataFrame
            ``value`` and ``within_data``. Where the df do not depend on the moderator and the
            effect is straight, all roots of the quadratic ``theta(m)^2 = t^2 Var(theta(m))``
            (Johnson & Neyman 1936; Bauer & Curran 2005, doi:10.1207/s15327906mbr4003_5); otherwise
            the roots within one data range to either side of the data, as far as the formula's
            transforms of the moderator are defined.
        """
        alpha = self.alpha(conf_level=conf_level)
        low, high = float(self.support[0]), float(self.support[-1])

        def along(values: Array) -> LinearEstimates:
            return self.inference.of(self.effect(values))

        roots = region_bounds(
            along, low, high, alpha=alpha, straight=self.straight, within=self.within
        )
        return pd.DataFrame({"value": roots, "within_data": (roots >= low) & (roots <= high)})

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per region of the moderator within the data, from low to high.

        Returns
        -------
        DataFrame
            ``moderator, region_low, region_high`` (in the moderator's units), ``direction``
            (``"positive"``, ``"negative"`` or ``"undetermined"``: the interval contains zero),
            ``n`` and ``share`` of the units whose value lies in the region.
        """
        alpha = self.alpha(conf_level=conf_level)
        inner = self.boundaries(conf_level=conf_level).query("within_data")["value"].to_numpy()
        edges = np.concatenate([self.support[:1], inner, self.support[-1:]])
        middles = (edges[1:] + edges[:-1]) / 2.0
        found = self.inference.of(self.effect(middles)).columns(conf_level=conf_level)
        region = np.searchsorted(inner, self.support, side="right")
        n = np.bincount(region, minlength=len(middles))
        sign = np.where(found["estimate"] > 0, "positive", "negative")
        return pd.DataFrame(
            {
                "moderator": self.moderator,
                "region_low": edges[:-1],
                "region_high": edges[1:],
                "direction": np.where(found["p_value"] <= alpha, sign, "undetermined"),
                "n": n,
                "share": n / n.sum(),
            }
        )

    def band(self, *, points: int = 201, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the effect with its confidence band at equally spaced values within the data.

        Returns
        -------
        DataFrame
            ``value`` of the moderator, then ``estimate, std_error, statistic, df, p_value,
            conf_low, conf_high``, on the scale of the linear predictor. The band is pointwise; with
            the false discovery rate controlled it is that of ``alpha()``. P-values are unadjusted.
        """
        values = np.linspace(self.support[0], self.support[-1], points)
        level = 1.0 - self.alpha(conf_level=conf_level)
        table = self.inference.of(self.effect(values)).columns(conf_level=level)
        table.insert(0, "value", values)
        return table

    def glance(self) -> pd.DataFrame:
        """Return one row: the moderated effect, the data's range, df method and error control."""
        return pd.DataFrame(
            [
                {
                    "effect_of": self.effect_name,
                    "moderator": self.moderator,
                    "data_low": self.support[0],
                    "data_high": self.support[-1],
                    "n": len(self.support),
                    "adjust": self.adjust,
                    "df_method": self.inference.df_method,
                    "link": link_of(self.model).name,
                }
            ]
        )

    @property
    def method(self) -> str:
        """Which effect is studied along which moderator."""
        link = link_of(self.model).name
        scale = "" if link == "identity" else f" ({link} scale)"
        controlled = ", false discovery rate controlled" if self.adjust == "fdr" else ""
        return f"effect of {self.effect_name} along {self.moderator}{scale}{controlled}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading."""
        return caveats(self.model)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the regions as data, one sentence per region."""
        units = Phrase("the rows")
        if self.unit != "row":
            units = Phrase("the units of '{}'", (self.unit,))
        remarks = []
        for row in self.tidy(conf_level=conf_level).to_dict("records"):
            finding = (
                "cannot be told from zero"
                if row["direction"] == "undetermined"
                else row["direction"]
            )
            ends = ((row["region_low"], 2), (row["region_high"], 2))
            counted = ((row["share"], "share"), units, (float(row["n"]), "count"))
            remarks.append(
                Phrase(f"{{}} to {{}}: {finding} ({{}} of {{}}, n = {{}}).", (*ends, *counted))
            )
        beyond = self.boundaries(conf_level=conf_level).query("~within_data")["value"]
        if len(beyond):
            holes = ", ".join(["{}"] * len(beyond))
            text = f"Further bounds lie outside the data and are not findings: {holes}."
            remarks.append(Phrase(text, tuple((float(value), 2) for value in beyond)))
        method = (
            f"{self.method}, {format_level(conf_level)} intervals; data from "
            f"{format_number(self.support[0])} to {format_number(self.support[-1])}"
        )
        sizes = {"rows": self.rows.n_used}
        return Account(
            method, self.notes, sizes, (), tuple(remarks), self.rows, sources=("bauer2005",)
        )

    summary = summary_of
    _repr_html_ = html_of


@renamed(levels="values", control="adjust")
def johnson_neyman(
    model: FittedModel,
    variable: str,
    *,
    moderator: str,
    values: tuple[object, object] | None = None,
    unit: str | None = None,
    at: At | None = None,
    weights: Weights = "equal",
    df_method: DfMethod | None = None,
    adjust: Control = "none",
) -> JohnsonNeyman:
    """Find the values of a numeric moderator at which an effect differs from zero.

    Parameters
    ----------
    model
        A fitted ``lmm`` or ``glmm`` with an interaction of `variable` and `moderator`.
    variable
        A numeric predictor (its slope is studied) or a factor (a difference of two levels).
    moderator
        A numeric predictor.
    values
        For a factor, the two levels ``(a, b)`` of the difference ``a - b``; by default, with two
        levels, the second minus the first.
    unit
        Grouping column that the moderator belongs to, such as ``"therapist"`` for a therapist's
        experience, whose units are counted in each region. By default rows are counted.
    at, weights
        Values of other predictors, one of each, and averaging over them; see
        :func:`estimated_means`.
    df_method
        See :func:`estimated_means`. Satterthwaite's and Kenward and Roger's df change along the
        moderator, which is allowed for.
    adjust
        ``"fdr"`` controls the false discovery rate over the distinct observed values of the
        moderator (Esarey & Sumner 2018, doi:10.1177/0010414017730080).

    Returns
    -------
    JohnsonNeyman
        ``tidy()`` gives the regions, ``band()`` the effect with its band, ``boundaries()`` the
        bounds.

    Raises
    ------
    FormulaError
        A name that is not a predictor, a moderator that is not numeric, levels that do not exist,
        or no interaction of the two.
    DataError
        A moderator that varies within `unit`.
    NotIdentifiedError
        The effect is not estimable from the data.

    Examples
    --------
    >>> from alliance_stats import example_study, johnson_neyman, lmm
    >>> sessions = example_study().sessions.query("session <= 6")
    >>> model = lmm("symptoms ~ session * alliance + (1 | family/person)", sessions)
    >>> johnson_neyman(model, "session", moderator="alliance").boundaries().round(2)
       value  within_data
    0   2.12         True
    """
    check_choice(adjust, ("none", "fdr"), name="adjust")
    require_fitted(model)
    known = predictors(model.design)
    focal = require_predictor(variable, known)
    numeric_predictor(known, moderator)
    if moderator == variable or moderator in (check_at(at) or {}):
        raise FormulaError(
            f"'{moderator}' is the moderator: it cannot be the predictor too, or be in at=."
        )
    for name in several(at):
        raise DataError(
            f"at= gives '{name}' several values, and there is one effect to follow: ask for each "
            "value by itself, or leave it out."
        )
    pair = None if focal.numeric else _pair(focal, values)
    effect = _effect(model.design, focal, pair, Elsewhere(moderator, dict(at or {}), weights))
    support = np.sort(values_by_unit(model.design, moderator, unit))
    ends = np.array([support[0], (support[0] + support[-1]) / 2.0, support[-1]])
    L = effect(ends)
    inference = infer(model, df_method)
    _check_effect(inference, L, variable, moderator)
    off = np.abs(L[1] - (L[0] + L[2]) / 2.0).max()
    straight = bool(off <= STRAIGHT * np.abs(L).max())
    name = variable if pair is None else f"{cell(pair[0])} - {cell(pair[1])}"
    low, width = float(support[0]), float(support[-1] - support[0])
    line = partial(_line, low, width, L[0], L[2]) if straight else effect
    return JohnsonNeyman(
        model,
        inference,
        name,
        moderator,
        line,
        straight,
        support,
        unit or "row",
        adjust,
        _defined(effect, float(support[0]), float(support[-1])),
    )


def _defined(effect: Effect, low: float, high: float) -> tuple[float, float]:
    """Extend by one data range to either side, as far as the formula is defined."""
    ends = []
    for end, beyond in ((low, 2.0 * low - high), (high, 2.0 * high - low)):
        try:
            effect(np.linspace(end, beyond, 5))
        except DataError:  # a logarithm below zero, a spline beyond its knots
            ends.append(end)
        else:
            ends.append(beyond)
    return ends[0], ends[1]


def _check_effect(inference: Inference, L: Array, variable: str, moderator: str) -> None:
    if np.abs(L - L[0]).max() <= STRAIGHT * np.abs(L).max():
        raise FormulaError(
            f"The effect of '{variable}' does not depend on '{moderator}' in this model; the "
            f"formula needs their interaction, '{variable} * {moderator}'."
        )
    if not inference.estimable(L).all():
        raise NotIdentifiedError(
            f"The data do not determine the effect of '{variable}' along '{moderator}': it is "
            "averaged over combinations that no row has, or other columns determine it. Fix other "
            "predictors with at=, or leave an interaction out."
        )


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The moderator, and the values of the predictors other than it and the focal one."""

    moderator: str
    at: dict[str, Any]
    weights: Weights


def _effect(
    design: Design, focal: Predictor, pair: tuple[object, object] | None, other: Elsewhere
) -> Effect:
    if pair is None:
        return partial(_slope, design, focal, other)
    return partial(_difference, design, focal, pair, other)


@named
def _slope(design: Design, focal: Predictor, other: Elsewhere, values: Array) -> Array:
    name = other.moderator
    grid = reference_grid(design, [name], {**other.at, name: list(values)})
    return grid.average(slope_rows(design, grid.frame, focal), other.weights)


@named
def _difference(
    design: Design,
    focal: Predictor,
    pair: tuple[object, object],
    other: Elsewhere,
    values: Array,
) -> Array:
    name = other.moderator
    where = {**other.at, name: list(values), focal.name: list(pair)}
    grid = reference_grid(design, [focal.name, name], where)
    first, second = np.split(grid.average(grid_columns(design, grid), other.weights), 2)
    return np.asarray(first - second)


@named
def _line(low: float, width: float, first: Array, last: Array, values: Array) -> Array:
    u = ((np.asarray(values) - low) / width)[:, None]
    return np.asarray((1.0 - u) * first + u * last)


def _pair(focal: Predictor, values: tuple[object, object] | None) -> tuple[object, object]:
    found = focal.levels or ()
    if values is None:
        if len(found) == 2:
            return found[1], found[0]
        raise FormulaError(
            f"'{focal.name}' has {len(found)} levels ({', '.join(map(str, found))}): say which two "
            "to compare with values=(a, b)."
        )
    if len(set(values)) != 2 or not set(values) <= set(found):
        raise FormulaError(
            f"values= must name two of the levels of '{focal.name}' "
            f"({', '.join(map(str, found))}); got {values!r}."
        )
    return values

"""An effect followed along a moderator: its regions, its bounds, its band."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.checks import check_conf_level
from alliance_stats.estimates import Array, one_line
from alliance_stats.formatting import (
    format_count,
    format_interval,
    format_level,
    format_number,
    format_percent,
)
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.fitted_model import FittedModel, caveats, link_of
from alliance_stats.multilevel.linear_functions import Inference, LinearEstimates
from alliance_stats.multilevel.region_bounds import region_bounds

__all__ = ["Control", "Effect", "JohnsonNeyman"]

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
        The predictor whose slope it is, or the difference of levels as ``"a - b"``.
    moderator
        The moderator's name.
    effect
        Values of the moderator -> linear functions of the coefficients.
    straight
        Whether the effect is a straight line in the moderator.
    support
        The moderator's observed values, sorted: one a unit (or a row, if no unit was named).
    unit
        What each of them belongs to.
    control
        ``"none"`` (each value by itself) or ``"fdr"``.
    """

    model: FittedModel
    inference: Inference
    effect_name: str
    moderator: str
    effect: Effect
    straight: bool
    support: Array
    unit: str
    control: Control

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
        if self.control == "none":
            return alpha
        values = np.unique(self.support)
        p = np.sort(self.inference.of(self.effect(values)).columns(conf_level=0.95)["p_value"])
        passed = np.flatnonzero(p <= alpha * np.arange(1, len(p) + 1) / len(p))
        return float(alpha * (passed[-1] + 1 if len(passed) else 1) / len(p))

    def boundaries(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the values of the moderator at which the interval's limit is just zero.

        Returns
        -------
        DataFrame
            ``value`` and ``within_data``. Where the df do not depend on the moderator and the
            effect is straight, all roots of the quadratic ``theta(m)^2 = t^2 Var(theta(m))``
            (Johnson & Neyman 1936; Bauer & Curran 2005, doi:10.1207/s15327906mbr4003_5); otherwise
            the roots within one data range to either side of the data.
        """
        alpha = self.alpha(conf_level=conf_level)
        low, high = float(self.support[0]), float(self.support[-1])

        def along(values: Array) -> LinearEstimates:
            return self.inference.of(self.effect(values))

        roots = region_bounds(along, low, high, alpha=alpha, straight=self.straight)
        return pd.DataFrame({"value": roots, "within_data": (roots >= low) & (roots <= high)})

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row a region of the moderator within the data, from low to high.

        Returns
        -------
        DataFrame
            ``moderator, region_low, region_high`` (in the moderator's units), ``direction``
            (``"positive"``, ``"negative"`` or ``"undetermined"``: the interval holds zero), ``n``
            and ``share`` of the units whose value lies in the region.
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
        """Return one row: what is moderated, the data's range, the df method and the control."""
        return pd.DataFrame(
            [
                {
                    "effect_of": self.effect_name,
                    "moderator": self.moderator,
                    "data_low": self.support[0],
                    "data_high": self.support[-1],
                    "n": len(self.support),
                    "control": self.control,
                    "df_method": self.inference.df_method,
                    "link": link_of(self.model).name,
                }
            ]
        )

    def summary(self, *, conf_level: float = 0.95) -> str:
        """Return the regions in words, at `conf_level`."""
        link = link_of(self.model).name
        controlled = "; false discovery rate controlled" if self.control == "fdr" else ""
        lines = [
            *caveats(self.model),
            f"Effect of {self.effect_name} along {self.moderator}"
            + ("" if link == "identity" else f" ({link} scale)")
            + f", {format_level(conf_level)} intervals{controlled}; data from "
            f"{format_number(self.support[0])} to {format_number(self.support[-1])}.",
        ]
        units = "the rows" if self.unit == "row" else f"the units of '{self.unit}'"
        for row in self.tidy(conf_level=conf_level).to_dict("records"):
            finding = (
                "cannot be told from zero"
                if row["direction"] == "undetermined"
                else row["direction"]
            )
            lines.append(
                f"{format_interval(row['region_low'], row['region_high'])}: {finding} "
                f"({format_percent(row['share'])} of {units}, n = {format_count(row['n'])})."
            )
        beyond = self.boundaries(conf_level=conf_level).query("~within_data")["value"]
        if len(beyond):
            shown = ", ".join(format_number(value) for value in beyond)
            lines.append(f"Further bounds lie outside the data and are not findings: {shown}.")
        lines.append(str(self.rows))
        return "\n".join(lines)

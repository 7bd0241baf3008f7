"""Expected responses compared: differences or ratios with their tests."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_conf_level
from alliance_stats.estimates import Array, one_line, two_sided_p
from alliance_stats.formatting import format_interval, format_number, format_p, text_table
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.estimated_means import cell
from alliance_stats.multilevel.expected_responses import Level
from alliance_stats.multilevel.fitted_model import FittedModel, caveats, link_of
from alliance_stats.multilevel.linear_functions import Inference

__all__ = ["Compare", "Comparisons"]

Compare = Literal["difference", "ratio"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparisons:
    """Comparisons of expected responses, made by :func:`~alliance_stats.multilevel.comparisons`.

    Attributes
    ----------
    model
        The fitted model.
    inference
        Its coefficients and df method.
    labels
        The columns of `by`, ``term`` and ``contrast``.
    compare
        ``"difference"`` or ``"ratio"``.
    level
        ``"population"`` or ``"typical"``.
    expected
        Mean expected responses before and after, (k, 2).
    gradient
        Derivatives of the comparison (of its log for a ratio) by all coefficients, (k, all).
    draws
        Simulated comparisons, (k, draws); empty with the delta method.
    """

    model: FittedModel
    inference: Inference
    labels: pd.DataFrame
    compare: Compare
    level: Level
    expected: Array
    gradient: Array
    draws: Array

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """The ledger of the fit's rows."""
        return self.model.rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row a comparison.

        Returns
        -------
        DataFrame
            The columns of `by`, ``term, contrast, expected_from, expected_to`` (mean expected
            responses), ``estimate`` (their difference or ratio), ``std_error`` (of the estimate),
            ``statistic, df, p_value`` (of a zero difference, or of a ratio of 1 by its log),
            ``conf_low, conf_high`` (of a ratio symmetric on the log scale). With simulation the
            standard error is the SD of the draws, the limits are their quantiles, and there is no
            test.
        """
        before, after = self.expected.T
        estimate = after - before if self.compare == "difference" else after / before
        table = self.labels.assign(expected_from=before, expected_to=after, estimate=estimate)
        alpha = 1.0 - check_conf_level(conf_level)
        if self.draws.shape[1]:
            low, high = np.quantile(self.draws, [alpha / 2.0, 1.0 - alpha / 2.0], axis=1)
            return table.assign(
                std_error=self.draws.std(axis=1, ddof=1),
                statistic=np.nan,
                df=np.nan,
                p_value=np.nan,
                conf_low=low,
                conf_high=high,
            )
        found = self.inference.of(self.gradient)
        error, df = found.std_error, found.df
        ratio = self.compare == "ratio"
        centre = np.log(estimate) if ratio else estimate
        half = stats.t.isf(alpha / 2.0, df) * error
        low, high = centre - half, centre + half
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = centre / error
        return table.assign(
            std_error=error * estimate if ratio else error,
            statistic=statistic,
            df=df,
            p_value=two_sided_p(statistic, df=df),
            conf_low=np.exp(low) if ratio else low,
            conf_high=np.exp(high) if ratio else high,
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: what was compared, at which level, how uncertainty was got."""
        return pd.DataFrame(
            [
                {
                    "n_comparisons": len(self.labels),
                    "compare": self.compare,
                    "level": self.level,
                    "n_draws": self.draws.shape[1],
                    "df_method": self.inference.df_method,
                    "link": link_of(self.model).name,
                }
            ]
        )

    def summary(self) -> str:
        """Return the comparisons as text."""
        names = list(self.labels.columns)
        sort = {"difference": "Differences", "ratio": "Ratios"}[self.compare]
        how = f"{self.draws.shape[1]} simulated draws" if self.draws.shape[1] else "delta method"
        linear = link_of(self.model).name == "identity"
        where = "" if linear else f" at the {self.level} level"
        lines = list(caveats(self.model))
        lines.append(f"{sort} in the expected response{where}, averaged over the rows used ({how})")
        lines.append(
            text_table(
                [*names, "from", "to", self.compare, "SE", "p", "95% CI"],
                [
                    [
                        *(cell(row[name]) for name in names),
                        format_number(row["expected_from"], 3),
                        format_number(row["expected_to"], 3),
                        format_number(row["estimate"], 3),
                        format_number(row["std_error"], 3),
                        format_p(row["p_value"]),
                        format_interval(row["conf_low"], row["conf_high"], 3),
                    ]
                    for row in self.tidy().to_dict("records")
                ],
            )
        )
        lines.append(str(self.rows))
        return "\n\n".join(lines)

"""Sort cases by a rule."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.checks import check_conf_level, check_frame, check_spelling
from alliance_stats.effect_sizes import clopper_pearson
from alliance_stats.errors import DataError
from alliance_stats.estimates import one_line
from alliance_stats.formatting import format_interval, format_percent
from alliance_stats.groups.rules import SuccessRule
from alliance_stats.ledger import RowLedger

__all__ = ["LABELS", "Classification", "classify"]

LABELS = ("successful", "unsuccessful")
"""What cases are called that a rule calls a success, and the others."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Classification:
    """Cases sorted by a rule; made by :func:`classify`.

    Attributes
    ----------
    rule
        The rule in words.
    column
        A categorical column, the success label first; undecided cases are missing in it.
    rows
        The undecided are set aside here, with the rule as the reason.
    """

    rule: str
    column: pd.Series
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``label, n, share, conf_low, conf_high``: labels and, last, the undecided.

        Shares are of the decided cases, with exact (Clopper-Pearson) intervals.
        """
        check_conf_level(conf_level)
        decided = int(self.column.notna().sum())
        rows: list[dict[str, object]] = []
        for label in self.column.cat.categories:
            n = int((self.column == label).sum())
            if decided:
                share = clopper_pearson(n, decided, conf_level=conf_level)
                limits = (share.estimate, share.conf_low, share.conf_high)
            else:
                limits = (math.nan, math.nan, math.nan)
            rows.append(_share_row(label, n, limits))
        undecided = int(self.column.isna().sum())
        rows.append(_share_row("undecided", undecided, (math.nan, math.nan, math.nan)))
        return pd.DataFrame(rows)

    def glance(self) -> pd.DataFrame:
        """Return one row: the rule, cases decided and undecided."""
        decided = int(self.column.notna().sum())
        return pd.DataFrame(
            {
                "rule": [self.rule],
                "nobs": [decided],
                "n_undecided": [len(self.column) - decided],
            }
        )

    def summary(self) -> str:
        """Return the counts in words."""
        tidy = self.tidy()
        undecided = int(tidy["n"].iloc[-1])
        lines = [f"Warning: the rule leaves {undecided} cases undecided."] if undecided else []
        lines.append(f"Rule: {self.rule}.")
        lines += [
            f"{row['label']}: {row['n']} ({format_percent(row['share'])} of the decided, "
            f"95% CI {format_interval(row['conf_low'], row['conf_high'])})."
            for _, row in tidy.iloc[:-1].iterrows()
            if not math.isnan(row["share"])
        ]
        return "\n".join(lines)


def _share_row(label: str, n: int, limits: tuple[float, float, float]) -> dict[str, object]:
    share, low, high = limits
    return {"label": label, "n": n, "share": share, "conf_low": low, "conf_high": high}


def classify(
    data: pd.DataFrame,
    rule: SuccessRule,
    *,
    labels: tuple[str, str] = LABELS,
    name: str = "alliance_class",
) -> Classification:
    """Sort the rows of `data` by `rule`.

    Returns
    -------
    Classification
        Its ``column`` joins back to the data: ``data.assign(**{name: result.column})``.
    """
    check_frame(data)
    if len(set(labels)) != 2:
        raise DataError(f"labels must be two different names; got {labels}.")
    check_spelling(pd.Series(labels, name="labels", dtype=object))
    verdict = rule(data)
    codes = np.where(verdict.isna(), -1, np.where(verdict.fillna(value=False), 0, 1))
    column = pd.Series(
        pd.Categorical.from_codes(codes.tolist(), categories=list(labels)),
        index=data.index,
        name=name,
    )
    _, rows = RowLedger.start(data).keep(
        data, column.notna(), reason=f"undecided by the rule: {rule.name}"
    )
    return Classification(rule.name, column, rows)

"""Coded interview themes by group: prevalence, differences, exact tests."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import (
    check_conf_level,
    check_frame,
    describe_rows,
    require_columns,
    require_present,
)
from alliance_stats.door import replaced
from alliance_stats.effect_sizes import clopper_pearson
from alliance_stats.errors import DataError
from alliance_stats.estimates import one_line
from alliance_stats.formatting import plural
from alliance_stats.groups.comparing.choice_of_test import sources_of
from alliance_stats.groups.comparing.comparison_rows import drawn_tables, worth_saying
from alliance_stats.groups.comparing.finding import TestOptions
from alliance_stats.groups.comparing.group_comparison import (
    GroupComparison,
    Roles,
    compare_outcomes,
)
from alliance_stats.ledger import RowLedger
from alliance_stats.seeds import Seed
from alliance_stats.spelling import check_spelling

__all__ = [
    "ThemeComparison",
    "binary_theme",
    "check_one_row_a_unit",
    "compare_themes",
    "proportion_limits",
    "with_cases",
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ThemeComparison:
    """Themes compared between groups; returned by :func:`compare_themes`.

    Attributes
    ----------
    comparison
        The comparison of the themes as 0/1 outcomes.
    """

    comparison: GroupComparison

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """Ledger of the cases."""
        return self.comparison.rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per theme.

        Columns: ``theme``, then per group ``group_i, count_i, n_i, missing_i, prevalence_i`` with
        exact limits ``prevalence_i_low, prevalence_i_high``; with two groups ``contrast, estimate,
        conf_low, conf_high`` (difference of proportions, Newcombe) and ``odds_ratio(_low, _high)``;
        ``p_value, p_smallest`` (with these group sizes and this many cases), ``p_holm, p_fdr``
        over the themes of this table, ``method, note``.
        """
        tidy = self.comparison.tidy(conf_level=conf_level)
        return pd.DataFrame([self._row(row, conf_level) for _, row in tidy.iterrows()])

    def prevalence(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return a row per theme and group: ``theme, group, count, n, estimate``, exact limits."""
        check_conf_level(conf_level)
        described = self.comparison.describe()
        rows = []
        for _, row in described.iterrows():
            share = proportion_limits(row["count"], row["n"], conf_level)
            rows.append(
                {
                    "theme": row["outcome"],
                    "group": row["group"],
                    "count": int(row["count"]),
                    "n": int(row["n"]),
                    "estimate": share[0],
                    "conf_low": share[1],
                    "conf_high": share[2],
                }
            )
        return pd.DataFrame(rows)

    def glance(self) -> pd.DataFrame:
        """Return one row: design, groups, themes, cases."""
        return self.comparison.glance().rename(columns={"n_outcomes": "n_themes"})

    @property
    def method(self) -> str:
        """The tests, in a phrase."""
        return f"themes in {self.comparison.method}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before using the numbers."""
        return self.comparison.notes

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return how often each theme was coded in each group, and the tests, as data."""
        shares = Section(
            "",
            with_cases(self.prevalence(conf_level=conf_level)),
            names=("theme", "group"),
            measure="share",
            kind="share",
            columns={"cases": Column("cases", "text")},
            conf_level=conf_level,
            undefined="nobody",
        )
        sizes = {"cases": self.rows.n_used, "groups": len(self.comparison.labels)}
        sections = (shares, self._tests(conf_level))
        drawn = drawn_tables(self.method)
        return Account.of(
            self,
            sizes,
            sections,
            drawn=drawn,
            sources=sources_of(c.finding.test for c in self.comparison.comparisons),
        )

    summary = summary_of
    _repr_html_ = html_of

    def _tests(self, conf_level: float) -> Section:
        tidy = self.tidy(conf_level=conf_level)
        tidy["p_smallest"] = tidy["p_smallest"].map(worth_saying)
        names: tuple[str, ...] = ("theme",)
        columns = {"p_smallest": Column("smallest p possible", "bounded")}
        if len(self.comparison.labels) == 2:  # the test of more is of no pair
            pairs = zip(tidy["group_1"], tidy["group_2"], strict=True)
            tidy = tidy.assign(contrast=[Phrase("{} - {}", pair) for pair in pairs])
            names = ("theme", "contrast")
            odds = Column("odds ratio", "ratio", "odds_ratio_low", "odds_ratio_high")
            columns = {"odds_ratio": odds, **columns}
        else:
            tidy = tidy.drop(columns=["estimate", "conf_low", "conf_high"])
        if not tidy["p_holm"].equals(tidy["p_value"]):
            columns["p_holm"] = Column("Holm-corrected", "p")
        columns["method"] = Column("method", "text")
        return Section(
            "", tidy, names=names, measure="difference", columns=columns, conf_level=conf_level
        )

    def _row(self, row: pd.Series, conf_level: float) -> dict[str, object]:
        out: dict[str, object] = {"theme": row["outcome"]}
        for i in range(1, len(self.comparison.labels) + 1):
            n = int(row[f"n_{i}"])
            count = round(row[f"mean_{i}"] * n) if n else 0
            share, low, high = proportion_limits(count, n, conf_level)
            out |= {
                f"group_{i}": row[f"group_{i}"],
                f"count_{i}": count,
                f"n_{i}": n,
                f"missing_{i}": row[f"missing_{i}"],
                f"prevalence_{i}": share,
                f"prevalence_{i}_low": low,
                f"prevalence_{i}_high": high,
            }
        kept = ["contrast", "estimate", "conf_low", "conf_high", "odds_ratio", "odds_ratio_low"]
        kept += ["odds_ratio_high", "p_value", "p_smallest", "p_holm", "p_fdr", "method", "note"]
        return out | {name: row[name] for name in kept if name in row.index}


def compare_themes(
    data: pd.DataFrame,
    *,
    themes: Sequence[str] | str,
    group: str,
    paired: str | None = None,
    unit: str | None = None,
    test: str | Mapping[str, str] = "auto",
    n_resamples: int = 9999,
    seed: Seed = None,
) -> ThemeComparison:
    """Compare how often themes were coded in two or more groups.

    Parameters
    ----------
    data
        One row per interviewed case.
    themes
        Columns of 0 and 1 (or booleans); missing where a case was not coded.
    group
        Column of group labels.
    paired
        Column that identifies matched pairs, for which McNemar's test is used.
    unit
        Column of the case's id (person or family). The exact tests assume independent rows, so a
        unit in more than one row is refused; with `paired`, in one group.
    test
        ``"auto"`` (Fisher; McNemar where matched), ``"fisher"``, ``"boschloo"``,
        ``"fisher_mid_p"``, ``"mcnemar"``, ``"mcnemar_mid_p"``, ``"permutation"``, or a mapping from
        theme to one.
    n_resamples, seed
        Tables that are drawn where more than two groups have too many for an exact test (and draws
        of the permutation test), and their seed or generator; without one a fixed seed for tables,
        which the row's method names.

    Returns
    -------
    ThemeComparison
        A theme that all or none of the cases have is described but not tested.

    Raises
    ------
    DataError
        If a theme is not 0/1, a unit appears more than once, or as :func:`compare_groups`.

    Examples
    --------
    >>> from alliance_stats import compare_themes, example_themes
    >>> found = compare_themes(
    ...     example_themes(), themes=["theme_early_problem"], group="parent_alliance"
    ... )
    >>> found.prevalence().round(2)
                     theme         group  count   n  estimate  conf_low  conf_high
    0  theme_early_problem    successful     10  13      0.77      0.46       0.95
    1  theme_early_problem  unsuccessful     10  13      0.77      0.46       0.95
    """
    data = check_frame(data)
    themes = [themes] if isinstance(themes, str) else list(themes)
    if not themes:
        raise DataError("themes is empty: name at least one theme's column.")
    require_columns(data, [*themes, group, *([] if unit is None else [unit])])
    if unit is not None:
        check_one_row_a_unit(data, unit, within=() if paired is None else (group,))
    coded = replaced(data, {theme: binary_theme(data, theme) for theme in themes})
    return ThemeComparison(
        compare_outcomes(
            coded,
            list(themes),
            Roles(group, paired=paired),
            test=test,
            options=TestOptions(n_resamples, seed),
            describe_constant=True,
        )
    )


def check_one_row_a_unit(data: pd.DataFrame, unit: str, *, within: Sequence[str] = ()) -> None:
    """Raise if a unit appears in more than one row (of one value of the columns `within`)."""
    require_present(data, unit, why="to tell which rows are one case's")
    check_spelling(data[unit], kind="unit")
    twice = data.duplicated([unit, *within], keep=False).to_numpy()
    if not twice.any():
        return
    units = data.loc[twice, unit].unique()
    first = twice & (data[unit] == units[0]).to_numpy()
    more = f" ({plural(len(units), 'such unit')} in all)" if len(units) > 1 else ""
    raise DataError(
        f"'{unit}' {units[0]} stands in {describe_rows(first, data.index)}{more}, and the exact "
        "tests take every row for another case. Keep one row per unit (one parent per family), or "
        "code each theme as present where any of the unit's rows has it."
    )


def binary_theme(data: pd.DataFrame, theme: str) -> pd.Series:
    """Return a theme as 0.0 / 1.0 / NaN, or raise, naming any other values."""
    column = data[theme]
    if pd.api.types.is_bool_dtype(column.dtype) or column.dropna().map(type).eq(bool).all():
        return column.map({True: 1.0, False: 0.0}).astype(float)
    numbers = pd.to_numeric(column, errors="coerce")
    strange = column.notna() & ~numbers.isin([0, 1])
    if strange.any():
        raise DataError(
            f"Theme '{theme}' is not 0/1: it holds {column[strange].tolist()[0]!r} in "
            f"{describe_rows(strange, data.index)}. Code absent as 0, present as 1, not coded as "
            "missing."
        )
    return numbers.astype(float)


def with_cases(shares: pd.DataFrame) -> pd.DataFrame:
    """Return shares with ``cases``, "14 of 20", from their ``count`` and ``n``."""
    pairs = zip(shares["count"].astype(float), shares["n"].astype(float), strict=True)
    said = [Phrase("{} of {}", ((count, "count"), (n, "count"))) for count, n in pairs]
    return shares.assign(cases=said)


def proportion_limits(count: float, n: float, conf_level: float) -> tuple[float, float, float]:
    """Return a share with its exact limits, NaN if there are no cases."""
    if n == 0:
        return math.nan, math.nan, math.nan
    effect = clopper_pearson(int(count), int(n), conf_level=conf_level)
    return effect.estimate, effect.conf_low, effect.conf_high

"""Sort cases by one rule of success, or by several, and compare groups under each."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_conf_level, check_frame
from alliance_stats.door import with_columns
from alliance_stats.effect_sizes import clopper_pearson
from alliance_stats.errors import DataError
from alliance_stats.estimates import one_line
from alliance_stats.formatting import plural
from alliance_stats.groups.agreement_coefficients import cohen_kappa
from alliance_stats.groups.comparing.comparison_rows import comparison_sections, drawn_tables
from alliance_stats.groups.comparing.group_comparison import GroupComparison, compare_groups
from alliance_stats.groups.success_rules import SuccessRule
from alliance_stats.ledger import RowLedger
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed
from alliance_stats.spelling import check_spelling

__all__ = ["LABELS", "Classification", "Classifications", "Multiverse", "classify", "classify_many"]

LABELS = ("successful", "unsuccessful")
"""What cases are called that a rule calls a success, and the others."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Classification:
    """Cases sorted by a rule; returned by :func:`classify`.

    Attributes
    ----------
    rule
        The rule in words.
    column
        A categorical column, the success label first; undecided cases are missing in it.
    rows
        Undecided cases are set aside here, with the rule as the reason.
    remarks
        What the rule says about these data beyond its verdicts.
    """

    rule: str
    column: pd.Series
    rows: RowLedger
    remarks: tuple[str, ...] = ()

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
            {"rule": [self.rule], "nobs": [decided], "n_undecided": [len(self.column) - decided]}
        )

    @property
    def method(self) -> str:
        """The rule in words."""
        return f"Cases sorted by the rule: {self.rule}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before using the counts."""
        undecided = int(self.column.isna().sum())
        first = [f"Warning: the rule leaves {plural(undecided, 'case')} undecided."]
        return (*(first if undecided else []), *(f"Note: {remark}." for remark in self.remarks))

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the counts as data; shares are of the decided cases."""
        tidy = self.tidy(conf_level=conf_level)
        counts = Section(
            "Cases",
            tidy.iloc[:-1].rename(columns={"share": "estimate"}),
            names=("label",),
            measure="share",
            kind="share",
            columns={"n": Column("cases", "count")},
            conf_level=conf_level,
            undefined="share not defined",
        )
        return Account(self.method, self.notes, {"cases": len(self.column)}, (counts,))

    summary = summary_of
    _repr_html_ = html_of


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

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import classify
    >>> from alliance_stats.groups import cut_point
    >>> data = pd.DataFrame({"last": [4.0, 5.5, 6.0]})
    >>> classify(data, cut_point("last", 5, better="higher")).tidy()
              label  n     share  conf_low  conf_high
    0    successful  2  0.666667  0.094299   0.991596
    1  unsuccessful  1  0.333333  0.008404   0.905701
    2     undecided  0       NaN       NaN        NaN
    """
    frame = check_frame(data)
    if len(set(labels)) != 2:
        raise DataError(f"labels must be two different names; got {labels}.")
    check_spelling(pd.Series(labels, name="labels", dtype=object))
    verdict = rule(frame)
    codes = np.where(verdict.isna(), -1, np.where(verdict.fillna(value=False), 0, 1))
    column = pd.Series(
        pd.Categorical.from_codes(codes.tolist(), categories=list(labels)),
        index=data.index if isinstance(data, pd.DataFrame) else frame.index,
        name=name,
    )
    _, rows = RowLedger.start(frame).keep(
        frame, column.notna(), reason=f"undecided by the rule: {rule.name}"
    )
    return Classification(rule.name, column, rows, rule.remarks(frame))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Classifications:
    """The same cases under several rules; returned by :func:`classify_many`.

    Attributes
    ----------
    data
        A copy of the cases, for :meth:`compare`.
    classifications
        Short name -> classification.
    """

    data: pd.DataFrame
    classifications: Mapping[str, Classification]

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """Cases that at least one rule decides."""
        decided = np.column_stack([c.column.notna() for c in self.classifications.values()])
        start = RowLedger.start(self.data)
        return start.keep(self.data, decided.any(axis=1), reason="undecided by every rule")[1]

    def counts(self) -> pd.DataFrame:
        """Return one row per rule: its wording, and how many cases get each label."""
        rows = []
        for short, one in self.classifications.items():
            counted = one.tidy().set_index("label")["n"]
            rows.append({"rule": short, "in_words": one.rule} | counted.to_dict())
        return pd.DataFrame(rows)

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per pair of rules: their 2 x 2 table, share agreed and Cohen's kappa.

        Over the cases that both decide: ``rule_1, rule_2, n, both, first_only, second_only,
        neither, agreement, kappa, kappa_low, kappa_high``. Kappa is NaN where a rule gives all
        cases one label.
        """
        check_conf_level(conf_level)
        pairs = itertools.combinations(self.classifications.items(), 2)
        return pd.DataFrame(
            [_pair(a, one.column, b, two.column, conf_level) for (a, one), (b, two) in pairs]
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: rules, cases, and cases that all rules classify alike."""
        codes = np.column_stack([c.column.cat.codes for c in self.classifications.values()])
        alike = (codes == codes[:, :1]).all(axis=1) & (codes[:, 0] >= 0)
        return pd.DataFrame(
            {"n_rules": [codes.shape[1]], "nobs": [codes.shape[0]], "n_alike": [int(alike.sum())]}
        )

    @property
    def method(self) -> str:
        """What was compared, in a phrase."""
        return "Agreement of rules of success on the same cases"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the rules themselves say about these data."""
        said = [note for one in self.classifications.values() for note in one.remarks]
        return tuple(f"Note: {note}." for note in dict.fromkeys(said))

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return counts, shares agreed and kappas as data."""
        glance = self.glance().iloc[0]
        tidy = self.tidy(conf_level=conf_level)
        pairs = Section(
            "Rules",
            tidy.assign(
                pair=[Phrase("{} and {}", (row.rule_1, row.rule_2)) for row in tidy.itertuples()],
                estimate=tidy["kappa"],
                conf_low=tidy["kappa_low"],
                conf_high=tidy["kappa_high"],
            ).drop(columns="kappa"),
            names=("pair",),
            measure="kappa",
            kind="bounded",
            columns={"agreement": Column("alike", "share"), "n": Column("n", "count")},
            conf_level=conf_level,
            undefined="kappa not defined",
        )
        alike = f"All rules agree on {glance['n_alike']} of {plural(int(glance['nobs']), 'case')}."
        sizes = {"rules": int(glance["n_rules"]), "cases": int(glance["nobs"])}
        return Account(self.method, self.notes, sizes, (pairs,), (alike,))

    summary = summary_of
    _repr_html_ = html_of

    @renamed(n_permutations="n_resamples")
    def compare(
        self,
        *,
        outcomes: Sequence[str] | str,
        cluster: str | Sequence[str] | None = None,
        baseline: str | None = None,
        test: str | Mapping[str, str] = "auto",
        n_resamples: int = 9999,
        seed: Seed = None,
    ) -> "Multiverse":
        """Run one comparison under each rule; arguments as in :func:`compare_groups`."""
        verdict = "the rule"
        while verdict in self.data.columns:  # a column of the caller's is never written over
            verdict += "'"
        results = {
            short: compare_groups(
                with_columns(self.data, {verdict: one.column.array}),
                outcomes=outcomes,
                group=verdict,
                cluster=cluster,
                baseline=baseline,
                test=test,
                n_resamples=n_resamples,
                seed=seed,
            )
            for short, one in self.classifications.items()
        }
        return Multiverse(results)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Multiverse:
    """One comparison under several definitions of success."""

    comparisons: Mapping[str, GroupComparison]

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """Ledger of the first rule's comparison; each has its own."""
        return next(iter(self.comparisons.values())).rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the rows of every comparison, ``rule`` first.

        ``p_holm`` and ``p_fdr`` correct over the outcomes under one rule; there is no correction
        over rules, which are several definitions of one hypothesis, not several hypotheses.
        """
        tables = [
            one.tidy(conf_level=conf_level).assign(rule=short)
            for short, one in self.comparisons.items()
        ]
        frame = pd.concat(tables, ignore_index=True)
        return frame[["rule", *(c for c in frame.columns if c != "rule")]]

    def glance(self) -> pd.DataFrame:
        """Return one row per outcome: its range over the rules, and how many have p < .05."""
        grouped = self.tidy().groupby("outcome", sort=False)
        return pd.DataFrame(
            {
                "n_rules": grouped.size(),
                "estimate_min": grouped["estimate"].min(),
                "estimate_max": grouped["estimate"].max(),
                "n_p_below_05": grouped["p_value"].apply(lambda p: int((p < 0.05).sum())),
            }
        ).reset_index()

    @property
    def method(self) -> str:
        """What was compared, in a phrase."""
        return f"groups compared under {plural(len(self.comparisons), 'rule')} of success"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know about each rule's comparison."""
        return tuple(
            f"Rule {s}: {note}" for s, one in self.comparisons.items() for note in one.notes
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return every rule's comparison as data."""
        tidy = self.tidy(conf_level=conf_level)
        sections = comparison_sections(tidy, conf_level=conf_level, names=("rule", "outcome"))
        sizes = {"rules": len(self.comparisons), "outcomes": int(tidy["outcome"].nunique())}
        rows = tuple(f"Rule {short}: {one.rows}" for short, one in self.comparisons.items())
        drawn = drawn_tables(*(one.method for one in self.comparisons.values()))
        return Account(self.method, self.notes, sizes, sections, rows, drawn=drawn)

    summary = summary_of
    _repr_html_ = html_of


def classify_many(
    data: pd.DataFrame, rules: Mapping[str, SuccessRule], *, labels: tuple[str, str] = LABELS
) -> Classifications:
    """Sort the same rows by several rules: `rules` maps a short name to each.

    Returns
    -------
    Classifications
        ``tidy()`` has agreement and kappa of each pair, ``counts()`` each rule's count of each
        label, ``compare(outcomes=...)`` runs one comparison under each.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import classify_many
    >>> from alliance_stats.groups import cut_point
    >>> data = pd.DataFrame({"last": [4.0, 5.5, 6.0], "mean": [5.1, 4.0, 6.0]})
    >>> rules = {name: cut_point(name, 5, better="higher") for name in ("last", "mean")}
    >>> classify_many(data, rules).counts()
       rule   in_words  successful  unsuccessful  undecided
    0  last  last >= 5           2             1          0
    1  mean  mean >= 5           2             1          0
    """
    if len(rules) < 2:
        raise DataError(f"Agreement needs at least two rules; got {len(rules)}.")
    classified = {short: classify(data, rule, labels=labels) for short, rule in rules.items()}
    return Classifications(check_frame(data).copy(), classified)


def _pair(
    name_1: str, first: pd.Series, name_2: str, second: pd.Series, conf_level: float
) -> dict[str, object]:
    known = (first.notna() & second.notna()).to_numpy()
    a = first.cat.codes.to_numpy()[known] == 0
    b = second.cat.codes.to_numpy()[known] == 0
    n = int(known.sum())
    table = {
        "both": int((a & b).sum()),
        "first_only": int((a & ~b).sum()),
        "second_only": int((~a & b).sum()),
        "neither": int((~a & ~b).sum()),
    }
    kappa = cohen_kappa(a, b, conf_level=conf_level)
    return {
        "rule_1": name_1,
        "rule_2": name_2,
        "n": n,
        **table,
        "agreement": (table["both"] + table["neither"]) / n if n else math.nan,
        "kappa": kappa.estimate,
        "kappa_low": kappa.conf_low,
        "kappa_high": kappa.conf_high,
    }

"""Correlations of several variables, as papers report them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.association.correlation_estimates import (
    CorrelationEstimate,
    Method,
    check_pair,
    latent_levels,
    observed_levels,
    partial_correlation,
)
from alliance_stats.checks import (
    check_choice,
    check_conf_level,
    check_frame,
    finite_or_missing,
    group_codes,
    require_columns,
)
from alliance_stats.door import replaced
from alliance_stats.engine.multiple_tests import holm
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.panel import several_outcomes
from alliance_stats.spelling import check_spelling

__all__ = ["Correlations", "correlations"]

Missing = Literal["pairwise", "listwise"]
_FEW_CLUSTERS = 15
_NAMES = {
    "pearson": "Pearson correlations",
    "spearman": "Spearman rank correlations",
    "kendall": "Kendall rank correlations (tau-b)",
}


class Asked(NamedTuple):
    """What was correlated, and how.

    Attributes
    ----------
    columns
        The rows used: variables, covariates, and the column of units where there is one.
    method
        ``"pearson"``, ``"spearman"`` or ``"kendall"``; ``"model"`` for latent levels.
    given
        Covariates held constant.
    within, cluster
        Column of units whose levels were separated, or that served as clusters.
    """

    columns: pd.DataFrame
    method: str
    given: tuple[str, ...]
    within: str | None
    cluster: str | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Correlations:
    """Correlations of every pair of some variables, returned by :func:`correlations`.

    Attributes
    ----------
    variables
        The variables, in the caller's order.
    pairs
        Level (``""``, or within and between), two variables, and their correlation.
    moments
        One row per variable: ``term, n, mean, sd`` and, where given, ``reliability``.
    how
        What was computed, in a phrase.
    notes
        What the reader should know first.
    rows
        Ledger of the rows used and set aside.
    asked
        What was correlated, and how.
    """

    variables: tuple[str, ...]
    pairs: tuple[tuple[str, str, str, CorrelationEstimate], ...]
    moments: pd.DataFrame
    how: str
    notes: tuple[str, ...]
    rows: RowLedger
    asked: Asked

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per pair.

        Returns
        -------
        DataFrame
            ``term, with, n, estimate, conf_low, conf_high, statistic, df, p_value`` (r; the test of
            no correlation), ``p_holm`` over the pairs of a level, ``disattenuated`` (r divided by
            the root of both reliabilities; NaN without them) with its limits ``disattenuated_low``
            and ``disattenuated_high``; a column ``level`` in front where there are two.
        """
        check_conf_level(conf_level)
        reliability = dict(zip(self.moments["term"], self.moments["reliability"], strict=True))
        found = []
        for level, one, other, r in self.pairs:
            low, high = r.interval(conf_level)
            root = float(np.sqrt(reliability[one] * reliability[other])) if level == "" else np.nan
            found.append(
                {
                    "level": level,
                    "term": one,
                    "with": other,
                    "n": r.n,
                    "estimate": r.r,
                    "conf_low": low,
                    "conf_high": high,
                    "statistic": r.statistic,
                    "df": r.statistic_df,
                    "p_value": r.p_value,
                    "disattenuated": r.r / root,
                    "disattenuated_low": low / root,
                    "disattenuated_high": high / root,
                }
            )
        table = pd.DataFrame(found)
        place = list(table.columns).index("p_value") + 1
        of_level = table.groupby("level")["p_value"]
        table.insert(place, "p_holm", of_level.transform(lambda p: holm(p.to_numpy())))
        return table.drop(columns="level") if (table["level"] == "").all() else table

    def matrix(self, *, level: str | None = None) -> pd.DataFrame:
        """Return the correlations as a square frame, ones on the diagonal.

        Parameters
        ----------
        level
            Which of the correlations within and between; not needed otherwise.
        """
        levels = list(dict.fromkeys(pair[0] for pair in self.pairs))
        chosen = levels[0] if level is None and len(levels) == 1 else level
        if chosen not in levels:
            raise ValueError(f"level= must be one of {levels}; got {level!r}.")
        names = list(self.variables)
        square = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
        for own, one, other, r in self.pairs:
            if own == chosen:
                square.loc[one, other] = square.loc[other, one] = r.r
        return square

    def glance(self) -> pd.DataFrame:
        """Return one row: ``nobs, n_variables, n_pairs, n_least`` (pairs of the sparsest one)."""
        row = {
            "nobs": self.rows.n_used,
            "n_variables": len(self.variables),
            "n_pairs": len(self.pairs),
            "n_least": min(pair[3].n for pair in self.pairs),
        }
        return pd.DataFrame([row])

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return self.how

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the correlations as data, with the variables' means and SDs."""
        table = self.tidy(conf_level=conf_level)
        names = tuple(name for name in ("level", "term", "with") if name in table)
        if not np.isfinite(table["df"]).any():
            table = table.drop(columns="df")
        columns = {"n": Column("n", "count")}
        if table["disattenuated"].notna().any():
            columns["disattenuated"] = Column(
                "r of true scores", "bounded", "disattenuated_low", "disattenuated_high"
            )
        pairs = Section(
            "Pair",
            table,
            names=names,
            measure="r",
            kind="bounded",
            statistic="t" if "df" in table else "z",
            columns=columns,
            conf_level=conf_level,
        )
        described = {"n": Column("n", "count"), "mean": Column("M"), "sd": Column("SD")}
        if self.moments["reliability"].notna().any():
            described["reliability"] = Column("reliability", "bounded")
        moments = Section("Variable", self.moments, names=("term",), columns=described)
        sizes = {"rows": self.rows.n_used}
        return Account.of(
            self,
            sizes,
            (moments, pairs),
            sources=("bonett2000",) if self.asked.within is None else ("bakdash2017",),
        )

    summary = summary_of
    _repr_html_ = html_of


def correlations(
    data: pd.DataFrame,
    variables: Sequence[str],
    *,
    method: Method = "pearson",
    partial: str | Sequence[str] | None = None,
    within: str | None = None,
    session: str | None = None,
    cluster: str | None = None,
    reliability: Mapping[str, float] | None = None,
    missing: Missing = "pairwise",
) -> Correlations:
    """Correlate every pair of some variables.

    Parameters
    ----------
    data
        One row per case (a person; with `within`, a person-session).
    variables
        Two or more numeric columns.
    method
        ``"pearson"``, ``"spearman"`` or ``"kendall"`` (tau-b).
    partial
        Numeric columns to hold constant: residuals from regressions on them are correlated (of the
        ranks for Spearman's; not for Kendall's).
    within
        Column of persons (or other units) with several rows each: the correlation of deviations
        from their means (the repeated-measures correlation of Bland & Altman 1995,
        doi:10.1136/bmj.310.6977.446; Bakdash & Marusich 2017, doi:10.3389/fpsyg.2017.00456), and
        that of the means. Pearson only.
    session
        Column of sessions, with `within`: both correlations are then those of the model of
        :func:`~alliance_stats.several_outcomes`, around the sessions' means. Its correlation
        between persons is that of their true levels, whereas observed means pull it towards the one
        within; every rating counts, even where others are missing.
    cluster
        Column of therapists or families: errors, tests and intervals allow for similarity of cases
        within a cluster. Pearson and Spearman only.
    reliability
        Variable -> its reliability (0 to 1): `tidy` then has the correlation of true scores.
    missing
        ``"pairwise"``: each pair on its own complete rows (its n is given), or
        ``"listwise"``: all on the rows that have every variable.

    Returns
    -------
    Correlations
        With ``tidy()``, ``matrix()``, ``glance()``, ``summary()``.

    Raises
    ------
    DataError
        A column that does not exist, is not numeric or infinite; the same variable twice.
    NotIdentifiedError
        A variable without variance, or fewer than four complete pairs.

    Examples
    --------
    >>> from alliance_stats import correlations, example_study
    >>> last = example_study().sessions.groupby("person").tail(1)
    >>> found = correlations(last, ["alliance", "symptoms"], cluster="family")
    >>> list(found.tidy()[["term", "with"]].iloc[0])
    ['alliance', 'symptoms']
    """
    check_choice(method, tuple(_NAMES), name="method")
    check_choice(missing, ("pairwise", "listwise"), name="missing")
    data = check_frame(data)
    names = [variables] if isinstance(variables, str) else list(variables)
    given = [] if partial is None else [partial] if isinstance(partial, str) else list(partial)
    _check_asked(names, given, method, within, cluster, session)
    require_columns(data, [*names, *given, within, cluster, session])
    if within is not None and session is not None:
        return _latent(data, names, within, session, reliability)
    kept, columns, rows = _used(data, names, given, groups=within or cluster, missing=missing)
    asked = Asked(kept, method, tuple(given), within, cluster)
    codes = None if (groups := within or cluster) is None else group_codes(kept[groups])[0]
    pairs = _pairs(columns, names, asked, method, codes)
    moments = _moments({name: columns[name] for name in names}, reliability)
    how, notes = _how(method, given, within, cluster), _notes(pairs, cluster, codes)
    return Correlations(tuple(names), pairs, moments, how, notes, rows, asked)


def _used(
    data: pd.DataFrame, names: list[str], given: list[str], *, groups: str | None, missing: Missing
) -> tuple[pd.DataFrame, dict[str, Array], RowLedger]:
    """Return the rows used, their numbers by column, and what became of the others."""
    columns = {name: finite_or_missing(data, name) for name in (*names, *given)}
    needed = given if missing == "pairwise" else [*names, *given]
    present = np.ones(len(data), dtype=bool)
    for name in needed:
        present &= ~np.isnan(columns[name])
    known = np.ones(len(data), dtype=bool)
    rows = RowLedger.start(data, {} if groups is None else {groups: (groups,)})
    used = data
    if groups is not None:
        check_spelling(data[groups], kind="unit")
        known = data[groups].notna().to_numpy()
        used, rows = rows.keep(used, known, reason=f"'{groups}' is missing")
    reason = "a variable is missing" if missing == "listwise" else "no covariate"
    if not present[known].all():
        used, rows = rows.keep(used, present[known], reason=reason)
    columns = {name: values[known & present] for name, values in columns.items()}
    table = pd.DataFrame(columns, index=used.index)
    return table if groups is None else replaced(table, {groups: used[groups]}), columns, rows


def _pairs(
    columns: dict[str, Array],
    names: list[str],
    asked: Asked,
    method: Method,
    codes: Integers | None,
) -> tuple[tuple[str, str, str, CorrelationEstimate], ...]:
    """Correlate each pair on the rows that have both, within and between units if requested."""
    pairs: list[tuple[str, str, str, CorrelationEstimate]] = []
    for one, other in itertools.combinations(names, 2):
        both = ~(np.isnan(columns[one]) | np.isnan(columns[other]))
        x, y = columns[one][both], columns[other][both]
        check_pair(x, y, one, other)
        own = None if codes is None else pd.factorize(codes[both])[0].astype(np.int64)
        if asked.within is not None and own is not None:
            pairs += observed_levels(x, y, own, one, other, asked.within)
            continue
        held = [columns[name][both] for name in asked.given]
        estimate = partial_correlation(x, y, held, method=method, clusters=own)
        pairs.append(("", one, other, estimate))
    return tuple(pairs)


def _check_asked(  # noqa: PLR0917
    names: list[str],
    given: list[str],
    method: str,
    within: str | None,
    cluster: str | None,
    session: str | None,
) -> None:
    if len(names) < 2:
        raise DataError(f"A correlation needs two variables or more; got {names}.")
    everything = [*names, *given]
    twice = [name for name in everything if everything.count(name) > 1]
    if twice:
        raise DataError(f"'{twice[0]}' is named twice among variables= and partial=.")
    if within is not None and (method != "pearson" or given or cluster is not None):
        raise DataError("within= is for Pearson correlations, without partial= or cluster=.")
    if session is not None and within is None:
        raise DataError("session= needs within=, the column of persons.")
    if method == "kendall" and (given or cluster is not None):
        raise DataError("Kendall's tau has no partial= or cluster= here; use 'spearman'.")


def _latent(
    data: pd.DataFrame,
    names: list[str],
    within: str,
    session: str,
    reliability: Mapping[str, float] | None,
) -> Correlations:
    """Correlate by the model of several outcomes."""
    model = several_outcomes(data, outcomes=names, person=within, session=session)
    moments = _moments({name: finite_or_missing(data, name) for name in names}, reliability)
    how = (
        f"correlations within and between units of {within} by a mixed model of several outcomes "
        f"(REML, means of each {session})"
    )
    levels = latent_levels(model, data, within)
    asked = Asked(data[[*names, within]], "model", (), within, None)
    return Correlations(tuple(names), levels, moments, how, model.notes, model.rows, asked)


def _moments(columns: dict[str, Array], reliability: Mapping[str, float] | None) -> pd.DataFrame:
    known = dict(reliability or {})
    for name, value in known.items():
        if name not in columns:
            raise DataError(f"reliability= names '{name}', which is not among the variables.")
        if not 0.0 < value <= 1.0:
            raise DataError(f"The reliability of '{name}' must lie between 0 and 1; got {value}.")
    return pd.DataFrame(
        [
            {
                "term": name,
                "n": int((~np.isnan(values)).sum()),
                "mean": float(np.nanmean(values)),
                "sd": float(np.nanstd(values, ddof=1)),
                "reliability": known.get(name, np.nan),
            }
            for name, values in columns.items()
        ]
    )


def _how(method: str, given: list[str], within: str | None, cluster: str | None) -> str:
    text = _NAMES[method]
    if given:
        text += f" holding {', '.join(given)} constant"
    if within is not None:
        text += f" within and between units of {within} (repeated-measures correlation; means)"
    if cluster is not None:
        text += f", standard errors over clusters of {cluster}"
    return text


def _notes(
    pairs: Sequence[tuple[str, str, str, CorrelationEstimate]],
    cluster: str | None,
    codes: Integers | None,
) -> tuple[str, ...]:
    found = []
    if cluster is not None and codes is not None:
        n_clusters = int(codes.max()) + 1
        if n_clusters < _FEW_CLUSTERS:
            found.append(
                f"There are {n_clusters} clusters of {cluster}: standard errors over so few "
                "are too small more often than not."
            )
    if any(level.startswith("between") for level, *_ in pairs):
        found.append(
            "Correlations between units are those of observed means, which hold part of the "
            "variation within; with few rows a unit they are drawn towards the one within."
        )
    return tuple(found)

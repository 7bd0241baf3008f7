"""Power: the share of studies of a design that detect an effect, and their errors."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import check_conf_level
from alliance_stats.effect_sizes import wilson
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, one_line
from alliance_stats.formatting import format_count, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.power.assumptions import Design, UncertainDesign
from alliance_stats.power.drawn_studies import Analysis, Plan, Workers, draw_studies
from alliance_stats.power.plan_checks import Z_95, check_plan, check_precision, plain_values

__all__ = ["Power", "answered", "power", "simulated"]

_FIRST = 50  # studies of each cell: where none of them has an answer, no more are drawn
_ENOUGH = 1000  # studies from which no note speaks of the Monte Carlo error
_ONE = np.ones(1)
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Power:
    """What simulated studies found; made by :func:`power`.

    Attributes
    ----------
    plan
        Design, analysis and seed.
    cells
        The assumptions that were varied, one mapping per cell.
    alpha
        Level of the tests.
    studies
        A row per cell, study and term: ``cell`` (its place in `cells`), ``study, term, truth,
        estimate, p_value, conf_low, conf_high, singular, failed`` (why there is no answer).
    """

    plan: Plan
    cells: tuple[Mapping[str, object], ...]
    alpha: float
    studies: pd.DataFrame

    __repr__ = one_line

    @property
    def varied(self) -> tuple[str, ...]:
        """Names of the assumptions that were varied."""
        return tuple(self.cells[0])

    @property
    def terms(self) -> tuple[str, ...]:
        """Terms for which any study has an answer."""
        return tuple(map(str, self.studies["term"].dropna().unique()))

    @property
    def rows(self) -> RowLedger:
        """Studies that were drawn, and those whose analysis failed, by reason."""
        drawn = self.studies.drop_duplicates(["cell", "study"]).reset_index(drop=True)
        ledger = RowLedger.start(drawn)
        reasons = drawn["failed"].where(drawn["term"].isna(), "")
        kinds = reasons.str.replace(_DIGITS, "#", regex=True)  # of those alike the first is told
        for kind in kinds[kinds != ""].unique():
            first = str(reasons[kinds == kind].iloc[0])
            kept = kinds.loc[drawn.index] != kind
            drawn, ledger = ledger.keep(drawn, kept, reason=first)
        return ledger

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return a row per cell and term.

        The assumptions varied, ``term, what`` (power; type I error where the truth is 0; expected
        power of an uncertain design; share rejected where the truth is not known), ``truth`` (its
        mean over the studies), ``n_studies, n_failed`` (without an answer for the term),
        ``n_singular``, ``estimate, conf_low, conf_high``: the share of all studies with p below
        alpha, those without an answer counting as not significant; ``closed_form`` where
        there is one; of studies with an answer ``bias`` (mean of estimate minus truth),
        ``coverage`` (of their 95% intervals), ``width`` (mean, of the intervals),
        ``singular_share``, and of those with p below alpha ``type_s`` (share with the wrong sign)
        and ``type_m`` (mean size over that of the truth; Gelman & Carlin 2014,
        doi:10.1177/1745691614551642); ``failed_share`` of all. Each has ``_low, _high`` for the
        Monte Carlo error: Wilson's interval of a share, t's of a mean.
        """
        check_conf_level(conf_level)
        rows = []
        for place, changes in enumerate(self.cells):
            own = self.studies[self.studies["cell"] == place]
            design = self.plan.cell(changes)
            closed = self.plan.closed_form(changes, self.alpha)
            n = int(own["study"].nunique())
            for term in self.terms:
                found = own[(own["term"] == term) & (own["failed"] == "")]
                row = _measures(found, n, self.alpha, conf_level)
                if row["what"] == "power" and isinstance(design, UncertainDesign):
                    row["what"] = "expected power"
                rows.append(
                    {**changes, "term": term} | row | {"closed_form": closed.get(term, math.nan)}
                )
        return pd.DataFrame(rows)

    def glance(self) -> pd.DataFrame:
        """Return one row: cells, studies, failures, level, seed."""
        rows = self.rows
        return pd.DataFrame(
            {
                "n_cells": [len(self.cells)],
                "n_studies": [rows.n_in],
                "n_failed": [rows.n_set_aside],
                "alpha": [self.alpha],
                "seed": [self.plan.seed],
            }
        )

    def assumptions(self) -> pd.DataFrame:
        """Return the design's assumptions with their sources, for the proposal.

        ``assumption, value, source`` (``varied`` for those that were), and ``conf_low, conf_high``
        of a design whose assumptions are uncertain.
        """
        table = self.plan.design.assumptions()
        values = {
            name: ", ".join(dict.fromkeys(str(cell[name]) for cell in self.cells))
            for name in self.varied
        }
        own = table["assumption"].map(values)
        return table.assign(
            value=own.where(own.notna(), table["value"]),
            source=table["source"].where(own.isna(), "varied"),
        )

    @property
    def method(self) -> str:
        """What was done, as a phrase."""
        n = format_count(self.rows.n_in / len(self.cells))
        cells = plural(len(self.cells), "design")
        return f"power by simulation of {n} studies of each of {cells}, tests at {self.alpha:g}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before reading the shares."""
        rows, said = self.rows, []
        if rows.n_set_aside:
            kinds = sorted(
                self.studies.loc[self.studies["term"].isna(), "failed"]
                .str.split(":")
                .str[0]
                .unique()
            )
            share = f"{format_count(rows.n_set_aside)} of {plural(rows.n_in, 'study', 'studies')}"
            said.append(
                f"{share} could not be analysed ({', '.join(kinds)}); they count as studies that "
                "found nothing."
            )
        open_terms = self.studies[self.studies["term"].notna() & (self.studies["failed"] != "")]
        for term, count in open_terms["term"].value_counts(sort=False).items():
            said.append(
                f"{plural(int(count), 'study', 'studies')} had no estimate with a p-value for "
                f"'{term}'; they count as studies that did not find it."
            )
        fewest = int(self.studies.groupby("cell")["study"].nunique().min())
        if fewest < _ENOUGH:
            half = 100.0 * Z_95 * math.sqrt(0.25 / fewest)
            said.append(
                f"With {format_count(fewest)} studies per design a power of 50% is known to "
                f"{half:.1f} points either way; {format_count(_ENOUGH)} would make that 3.1."
            )
        if set(self.plan.closed_form(self.cells[0], self.alpha)) & set(self.terms):
            said.append(f"Closed form: {self.plan.closed_form_name}.")
        return tuple(said)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return power, bias and coverage as data."""
        tidy = self.tidy(conf_level=conf_level)
        columns = {
            "closed_form": Column("closed form", "share"),
            "truth": Column("truth"),
            "n_failed": Column("failed", "count"),
            "n_singular": Column("singular", "count"),
            "bias": Column("bias", "number", "bias_low", "bias_high"),
            "coverage": Column("coverage", "share", "coverage_low", "coverage_high"),
            "width": Column("width of interval", "number", "width_low", "width_high"),
            "type_s": Column("type S", "share", "type_s_low", "type_s_high"),
            "type_m": Column("type M", "ratio", "type_m_low", "type_m_high"),
        }
        table = Section(
            "Design" if not self.varied else "",
            tidy,
            names=(*self.varied, "term"),
            measure="what",
            kind="share",
            columns={k: c for k, c in columns.items() if _known(tidy[k])},
            conf_level=conf_level,
        )
        sizes = {"studies": self.rows.n_in}
        return Account.of(self, sizes, (table,), drawn=True, sources=("morris2019",))

    summary = summary_of
    _repr_html_ = html_of


def power(
    design: Design,
    analysis: Analysis,
    *,
    vary: Mapping[str, Sequence[object]] | None = None,
    n_studies: int = 1000,
    precision: float | None = None,
    seed: int,
    workers: Workers = 1,
    alpha: float = 0.05,
    store: str | Path | None = None,
    progress: bool = False,
) -> Power:
    """Simulate a planned study with its planned analysis, and count the significant findings.

    Parameters
    ----------
    design
        What is planned: :class:`~alliance_stats.power.StudyDesign`, ``ClusterTrial``,
        ``InterviewDesign``, an ``UncertainDesign`` of one of them (as ``pilot_design`` makes), or
        any similar record.
    analysis
        A function of one drawn study that returns a frame with ``term, estimate, p_value`` and,
        where it has them, ``conf_low, conf_high, singular`` and ``parameter`` (the name of the true
        value in ``design.truth``; the term's own if not given). Ready-made ones include
        :class:`~alliance_stats.power.ModelEffect`. Errors that it raises in a study are counted and
        reported.
    vary
        Assumption -> values: every combination is a cell. ``{"therapists": [10, 15, 30]}``; fields
        of a truth after a point, ``{"alliance.experience": [0, .01, .02]}``.
    n_studies
        Studies per cell. The Monte Carlo error of a power of 80% is 2.5 points at 1,000.
    precision
        Aim for the Monte Carlo error: half the width of the 95% interval of a power of 50%, as
        ``.02``. Fewer studies than it needs are refused.
    seed
        Whole number. Each study has its own random stream: the numbers do not depend on `workers`.
    workers
        Processes, or a Dask client.
    alpha
        Level of the tests.
    store
        Folder to which answers are appended as they come (a Parquet data set); a stopped run
        continues from there.
    progress
        Show a progress bar with the time left on the error stream.

    Returns
    -------
    Power
        ``tidy()`` has power (or type I error), bias, coverage, width, type S and M errors per cell
        and term, each with its Monte Carlo interval.

    Raises
    ------
    DataError
        If a design is impossible or has no such assumption, there are fewer studies than
        `precision` needs, none of the first 50 of any cell could be analysed (a misspelt term
        is not waited for), or the folder belongs to another plan.

    Examples
    --------
    >>> from alliance_stats.power import ArmDifference, ClusterTrial, power
    >>> found = power(ClusterTrial(clusters=8, members=5), ArmDifference(), n_studies=20, seed=1)
    >>> found.tidy()["what"].tolist()
    ['power']
    """
    cells = _cells(vary)
    check_plan(n_studies, seed, alpha, workers)
    check_precision(n_studies, precision)
    plan = Plan(design, analysis, seed, None if store is None else Path(store))
    return simulated(plan, cells, n_studies, alpha=alpha, workers=workers, progress=progress)


def simulated(
    plan: Plan,
    cells: tuple[Mapping[str, object], ...],
    n_studies: int,
    *,
    alpha: float,
    workers: Workers,
    progress: bool,
) -> Power:
    """Draw the studies of all cells and analyse them; stop early where nothing can be analysed.

    Raises
    ------
    DataError
        If none of the first 50 studies of any cell could be analysed, with the commonest reason.
    """
    first = min(n_studies, _FIRST)
    studies = draw_studies(plan, cells, first, workers=workers, progress=progress)
    found = answered(Power(plan, cells, alpha, studies))
    if first == n_studies:
        return found
    more = draw_studies(plan, cells, n_studies, start=first, workers=workers, progress=progress)
    whole = pd.concat([studies, more]).sort_values(["cell", "study"], kind="stable")
    return replace(found, studies=whole.reset_index(drop=True))


def answered(found: Power) -> Power:
    """Return the answers, if any study could be analysed.

    Raises
    ------
    DataError
        If none could, with the commonest reason.
    """
    if not found.terms:
        why = found.studies["failed"].value_counts().index[0]
        raise DataError(
            f"None of {plural(found.rows.n_in, 'study', 'studies')} could be analysed: {why}"
        )
    return found


def _cells(vary: Mapping[str, Sequence[object]] | None) -> tuple[Mapping[str, object], ...]:
    if vary is not None and not isinstance(vary, Mapping):
        raise DataError(f"vary= is given by names, as {{name: [values]}}; got {vary!r}.")
    vary = {name: plain_values(values, name) for name, values in (vary or {}).items()}
    combined = itertools.product(*vary.values())
    return tuple(dict(zip(vary, values, strict=True)) for values in combined)


def _known(column: pd.Series) -> bool:
    """Say whether a column is informative: a zero count is not."""
    counts = column.name in ("n_failed", "n_singular")
    return bool(column.any() if counts else column.notna().any())


def _measures(found: pd.DataFrame, n: int, alpha: float, conf_level: float) -> dict[str, object]:
    """Return the summary of one term's answers in n studies, with Monte Carlo intervals."""
    truths, estimates = found["truth"].to_numpy(), found["estimate"].to_numpy()
    truth = float(truths.mean()) if len(truths) and np.isfinite(truths).all() else math.nan
    rejected = (found["p_value"] < alpha).to_numpy()
    limits = found[["conf_low", "conf_high"]].to_numpy()
    whole = np.isfinite(limits).all(axis=1)
    low, high = limits[whole].T
    covered = (low <= truths[whole]) & (truths[whole] <= high)
    told, true = estimates[rejected], truths[rejected]
    sized = math.isfinite(truth) and bool((truths != 0.0).all())
    n_singular = int(found["singular"].sum())
    return {
        "what": _what(truths),
        "truth": truth,
        "n_studies": n,
        "n_failed": n - len(found),
        "n_singular": n_singular,
        **_share("", int(rejected.sum()), n, conf_level),
        **_mean("bias", estimates - truths, conf_level),
        **_share(
            "coverage", int(covered.sum()), len(low) if math.isfinite(truth) else 0, conf_level
        ),
        **_mean("width", high - low, conf_level),
        **_share(
            "type_s", int((np.sign(told) != np.sign(true)).sum()), len(told) if sized else 0,
            conf_level,
        ),
        **_mean("type_m", np.abs(told), conf_level, over=np.abs(true) if sized else None),
        **_share("singular_share", n_singular, len(found), conf_level),
        **_share("failed_share", n - len(found), n, conf_level),
    }  # fmt: skip


def _what(truths: Array) -> str:
    if not len(truths) or not np.isfinite(truths).all():
        return "share rejected"
    if len(np.unique(truths)) > 1:
        return "expected power"
    return "type I error" if truths[0] == 0.0 else "power"


def _share(name: str, count: int, n: int, conf_level: float) -> dict[str, float]:
    """Return a share with Wilson's interval; missing for n = 0."""
    names = _limits(name)
    if n == 0:
        return dict.fromkeys(names, math.nan)
    found = wilson(count, n, conf_level=conf_level)
    return dict(zip(names, (found.estimate, found.conf_low, found.conf_high), strict=True))


def _mean(
    name: str, values: Array, conf_level: float, *, over: Array | None = _ONE
) -> dict[str, float]:
    """Return the ratio of two means with its t interval; missing without values.

    Its standard error is that of ``values - ratio * over``, over the mean of `over` (Cochran 1977,
    Sampling techniques, ch. 6); without `over` that of the mean.
    """
    if over is None or not len(values):
        return dict.fromkeys(_limits(name), math.nan)
    below = np.broadcast_to(over, values.shape)
    whole = np.isfinite(values) & np.isfinite(below)
    if not whole.any():
        return dict.fromkeys(_limits(name), math.nan)
    values, below = values[whole], below[whole]
    ratio, half = float(values.mean() / below.mean()), math.nan
    if len(values) > 1:
        half = float(stats.t.isf((1.0 - conf_level) / 2.0, len(values) - 1.0))
        half *= float((values - ratio * below).std(ddof=1) / below.mean()) / math.sqrt(len(values))
    return dict(zip(_limits(name), (ratio, ratio - half, ratio + half), strict=True))


def _limits(name: str) -> tuple[str, str, str]:
    if not name:
        return "estimate", "conf_low", "conf_high"
    stem = name.removesuffix("_share")
    return name, f"{stem}_low", f"{stem}_high"

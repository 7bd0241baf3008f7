"""Power: the share of studies of a design that find what is there, and how far off they are."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_conf_level
from alliance_stats.effect_sizes import wilson
from alliance_stats.errors import DataError
from alliance_stats.estimates import one_line
from alliance_stats.formatting import format_count, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.power.drawn_studies import Analysis, Plan, Workers, draw_studies
from alliance_stats.power.study_designs import Design

__all__ = ["Power", "SmallestDesign", "power", "smallest_design"]

_FEWEST = 2  # studies
_SURE = 0.99  # level at which a candidate's power is told from the aim


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Power:
    """What drawn studies found; made by :func:`power`.

    Attributes
    ----------
    plan
        Design, analysis and seed.
    cells
        The assumptions that were varied, a mapping a cell.
    alpha
        Level of the tests.
    studies
        A row a cell, study and term: ``study, term, truth, estimate, p_value, conf_low, conf_high,
        singular, failed``.
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
    def rows(self) -> RowLedger:
        """Studies that were drawn, and those whose analysis failed, by reason."""
        drawn = self.studies.drop_duplicates([*self.varied, "study"]).reset_index(drop=True)
        ledger = RowLedger.start(drawn)
        for reason in drawn.loc[drawn["failed"] != "", "failed"].unique():
            drawn, ledger = ledger.keep(drawn, drawn["failed"] != reason, reason=reason)
        return ledger

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return a row a cell and term.

        The assumptions varied, ``term, what`` (power; type I error where the truth is 0; share
        rejected where it is not known), ``truth, n_studies, n_failed, n_singular``, ``estimate,
        conf_low, conf_high``: the share of all studies with p below alpha, a failed study counting
        as one that found nothing, with Wilson's interval for the Monte Carlo error; ``closed_form``
        where there is one; of studies with an answer ``bias`` (mean estimate less truth) and
        ``coverage`` (of their 95% intervals), each with ``_low, _high`` for the Monte Carlo error,
        ``width`` (mean, of the intervals), and of those with p below alpha ``type_s`` (share with
        the wrong sign) and ``type_m`` (mean size over the true one; Gelman & Carlin 2014,
        doi:10.1177/1745691614551642).
        """
        check_conf_level(conf_level)
        rows = []
        for changes in self.cells:
            own = self._cell(changes)
            closed = self.plan.cell(changes).closed_form(self.alpha)
            n, n_failed = own["study"].nunique(), int((own["failed"] != "").sum())
            for term, found in own[own["failed"] == ""].groupby("term", sort=False):
                rows.append(
                    {**changes, "term": term, "n_studies": n, "n_failed": n_failed}
                    | _measures(found, n, self.alpha, conf_level)
                    | {"closed_form": closed.get(str(term), math.nan)}
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
        """Return the design's assumptions with their sources, for the proposal."""
        return self.plan.design.assumptions()

    @property
    def method(self) -> str:
        """What was done, in a phrase."""
        n = format_count(self.rows.n_in / len(self.cells))
        cells = plural(len(self.cells), "design")
        return f"power by simulation of {n} studies of each of {cells}, tests at {self.alpha:g}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before the shares."""
        rows = self.rows
        if not rows.n_set_aside:
            return ()
        return (
            f"{format_count(rows.n_set_aside)} of {plural(rows.n_in, 'study', 'studies')} could "
            "not be analysed; they count as studies that found nothing.",
        )

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
            "width": Column("width of interval"),
            "type_s": Column("type S", "share"),
            "type_m": Column("type M", "ratio"),
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
        return Account(self.method, self.notes, sizes, (table,), rows=self.rows, drawn=True)

    summary = summary_of
    _repr_html_ = html_of

    def _cell(self, changes: Mapping[str, object]) -> pd.DataFrame:
        own = np.ones(len(self.studies), dtype=bool)
        for name, value in changes.items():
            own &= (self.studies[name] == value).to_numpy()
        return self.studies[own]


def power(
    design: Design,
    analysis: Analysis,
    *,
    vary: Mapping[str, Sequence[object]] | None = None,
    n_studies: int = 1000,
    seed: int,
    workers: Workers = 1,
    alpha: float = 0.05,
    store: str | Path | None = None,
    progress: bool = False,
) -> Power:
    """Simulate a planned study and its planned analysis, and count what would be found.

    Parameters
    ----------
    design
        What is planned: :class:`~alliance_stats.power.StudyDesign`, ``ClusterTrial``,
        ``InterviewDesign``, or any record of that kind.
    analysis
        A function of one drawn study that returns a frame with ``term, estimate, p_value`` and,
        where it has them, ``conf_low, conf_high, singular`` and ``parameter`` (the name of the true
        value in ``design.truth``; the term's own if not given). Several are prepared, such as
        :class:`~alliance_stats.power.ModelEffect`.
    vary
        Assumption -> values: every combination is a cell. ``{"therapists": [10, 15, 30]}``; those
        of a truth behind a point, ``{"alliance.experience": [0, .01, .02]}``.
    n_studies
        Studies a cell. The Monte Carlo error of a power of 80% is 2.5 points at 1,000.
    seed
        Whole number. Each study has a stream of its own: the numbers do not depend on `workers`.
    workers
        Processes, or a Dask client.
    alpha
        Level of the tests.
    store
        Folder in which answers are kept as they come (Parquet); a stopped run goes on there.
    progress
        Show a bar with the time left on the error stream.

    Returns
    -------
    Power
        ``tidy()`` has power (or type I error), bias, coverage, width, type S and M errors a cell
        and term, each with its Monte Carlo interval.

    Raises
    ------
    DataError
        If a design cannot be, has no such assumption, or the folder belongs to another plan.

    Examples
    --------
    >>> from alliance_stats.power import ArmDifference, ClusterTrial, power
    >>> found = power(ClusterTrial(clusters=8, members=5), ArmDifference(), n_studies=20, seed=1)
    >>> found.tidy()["what"].tolist()
    ['power']
    """
    cells = _cells(vary)
    _check_plan(n_studies, seed, alpha)
    plan = Plan(design, analysis, seed, None if store is None else Path(store))
    studies = draw_studies(plan, cells, n_studies, workers=workers, progress=progress)
    return Power(plan, cells, alpha, studies)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SmallestDesign:
    """The smallest of some designs that reaches an aim; made by :func:`smallest_design`.

    Attributes
    ----------
    power
        What was simulated on the way.
    name, value
        The assumption that was varied, and its smallest value that reaches the aim; None where
        none of those tried does.
    aim
        The power aimed at.
    open
        Whether the Monte Carlo interval of the value's power still holds the aim.
    """

    power: Power
    name: str
    value: object
    aim: float
    open: bool

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """Studies that were drawn."""
        return self.power.rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return what was looked at, as :meth:`Power.tidy` does, smallest design first."""
        return self.power.tidy(conf_level=conf_level).sort_values(self.name, ignore_index=True)

    def glance(self) -> pd.DataFrame:
        """Return one row: what was varied, the answer, the aim."""
        return self.power.glance().assign(varied=self.name, smallest=self.value, aim=self.aim)

    @property
    def method(self) -> str:
        """What was looked for, in a phrase."""
        return f"smallest '{self.name}' with a power of {100 * self.aim:g}%, by adaptive simulation"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before the answer is used."""
        said = list(self.power.notes)
        if self.open:
            said.insert(
                0,
                f"The power at {self.name} = {self.value} cannot be told from the aim by the "
                "studies drawn: ask for more with n_studies=.",
            )
        return tuple(said)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the answer and what was looked at, as data."""
        inner = self.power.account(conf_level=conf_level)
        reached = f"reaches {100 * self.aim:g}%."
        said = f"{{}} = {self.value} is the smallest that {reached}"
        if self.value is None:
            said = f"None of the values of {{}} that were tried {reached}"
        answer = Phrase(said, (self.name,))
        return Account(
            self.method, self.notes, inner.sizes, inner.sections, (answer,), self.rows, drawn=True
        )

    summary = summary_of
    _repr_html_ = html_of


def smallest_design(
    design: Design,
    analysis: Analysis,
    *,
    vary: Mapping[str, Sequence[object]],
    aim: float = 0.8,
    term: str | None = None,
    n_studies: int = 2000,
    batch: int = 100,
    seed: int,
    workers: Workers = 1,
    alpha: float = 0.05,
    store: str | Path | None = None,
) -> SmallestDesign:
    """Find the smallest design with enough power, and spend studies where the answer is open.

    The values are halved again and again, power being taken to rise along them; at each value
    studies are drawn `batch` by `batch` until a 99% interval of the power leaves the aim outside,
    or `n_studies` are spent. What is not named here is as in :func:`power`.

    Parameters
    ----------
    vary
        One assumption and its values, the smallest first: ``{"families": range(60, 400, 20)}``.
    aim
        Power aimed at.
    term
        Which of the analysis's terms; needed where it has several.
    n_studies, batch
        Most studies a value, and how many at a time.
    """
    if len(vary) != 1:
        raise DataError(f"smallest_design varies one assumption; got {', '.join(vary) or 'none'}.")
    if not 0.0 < aim < 1.0:
        raise DataError(f"aim is a power and lies between 0 and 1; got {aim}.")
    _check_plan(n_studies, seed, alpha)
    name, values = next((name, list(values)) for name, values in vary.items())
    if not values:
        raise DataError(f"vary= gives no value of '{name}'.")
    plan = Plan(design, analysis, seed, None if store is None else Path(store))
    looked: dict[int, tuple[Power, float, bool]] = {}

    def reaches(place: int) -> bool:
        if place not in looked:
            looked[place] = _look(
                plan,
                {name: values[place]},
                aim=aim,
                term=term,
                spend=(n_studies, batch),
                alpha=alpha,
                workers=workers,
            )
        return looked[place][1] >= aim

    low, high = 0, len(values)  # the answer lies from low on; high stands for none
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle + 1, high)
    cells = tuple({name: values[place]} for place in sorted(looked))
    every = [looked[place][0].studies for place in sorted(looked)]
    found = Power(plan, cells, alpha, pd.concat(every, ignore_index=True))
    answer = values[low] if low < len(values) else None
    return SmallestDesign(found, name, answer, aim, low in looked and looked[low][2])


def _look(
    plan: Plan,
    cell: Mapping[str, object],
    *,
    aim: float,
    term: str | None,
    spend: tuple[int, int],
    alpha: float,
    workers: Workers,
) -> tuple[Power, float, bool]:
    """Draw studies of a cell until its power is told from the aim, or all are spent."""
    most, batch = spend
    parts: list[pd.DataFrame] = []
    done = 0
    while True:
        stop = min(done + batch, most)
        parts.append(draw_studies(plan, [cell], stop, start=done, workers=workers))
        done = stop
        found = Power(plan, (cell,), alpha, pd.concat(parts, ignore_index=True))
        tidy = found.tidy(conf_level=_SURE)
        share, low, high = _of_term(tidy, term)
        if done >= most or not low <= aim <= high:
            return found, share, low <= aim <= high


def _known(column: pd.Series) -> bool:
    """Say whether a column has anything to say: a count of none has not."""
    counts = column.name in ("n_failed", "n_singular")
    return bool(column.any() if counts else column.notna().any())


def _of_term(tidy: pd.DataFrame, term: str | None) -> tuple[float, float, float]:
    if tidy.empty:
        return 0.0, 0.0, 0.0  # no study could be analysed
    terms = tidy["term"].tolist()
    if term is None and len(terms) > 1:
        raise DataError(f"The analysis has several terms, {', '.join(terms)}: name one with term=.")
    if term is not None and term not in terms:
        raise DataError(f"The analysis has no term '{term}'; it has {', '.join(terms)}.")
    row = tidy.iloc[0 if term is None else terms.index(term)]
    return float(row["estimate"]), float(row["conf_low"]), float(row["conf_high"])


def _cells(vary: Mapping[str, Sequence[object]] | None) -> tuple[Mapping[str, object], ...]:
    vary = vary or {}
    for name, values in vary.items():
        if not len(values):
            raise DataError(f"vary= gives no value of '{name}'.")
    combined = itertools.product(*vary.values())
    return tuple(dict(zip(vary, values, strict=True)) for values in combined)


def _check_plan(n_studies: int, seed: int, alpha: float) -> None:
    if isinstance(n_studies, bool) or not isinstance(n_studies, int) or n_studies < _FEWEST:
        raise DataError(f"n_studies must be a whole number, at least {_FEWEST}; got {n_studies!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise DataError(f"seed must be a whole number from 0 on; got {seed!r}.")
    if not 0.0 < alpha < 1.0:
        raise DataError(f"alpha must lie between 0 and 1; got {alpha}.")


def _measures(found: pd.DataFrame, n: int, alpha: float, conf_level: float) -> dict[str, object]:
    """Return what one term's answers say, with Monte Carlo intervals."""
    truth = float(found["truth"].iloc[0])
    rejected = (found["p_value"] < alpha).to_numpy()
    share = wilson(int(rejected.sum()), n, conf_level=conf_level)
    error = (found["estimate"] - truth).to_numpy()
    known = error[np.isfinite(error)]
    half = math.nan
    if known.size > 1:
        half = float(stats.t.isf((1.0 - conf_level) / 2.0, known.size - 1.0))
        half *= float(known.std(ddof=1)) / math.sqrt(known.size)
    bias = float(known.mean()) if known.size else math.nan
    limits = found[["conf_low", "conf_high"]].dropna()
    covered = ((limits["conf_low"] <= truth) & (truth <= limits["conf_high"])).to_numpy()
    has = bool(len(limits)) and math.isfinite(truth)
    cover = wilson(int(covered.sum()), len(limits), conf_level=conf_level) if has else None
    told = found["estimate"].to_numpy()[rejected]
    sized = told.size > 0 and math.isfinite(truth) and truth != 0.0
    names = {0.0: "type I error"}
    return {
        "what": "share rejected" if math.isnan(truth) else names.get(truth, "power"),
        "truth": truth,
        "n_singular": int(found["singular"].sum()),
        "estimate": share.estimate,
        "conf_low": share.conf_low,
        "conf_high": share.conf_high,
        "bias": bias,
        "bias_low": bias - half,
        "bias_high": bias + half,
        "coverage": math.nan if cover is None else cover.estimate,
        "coverage_low": math.nan if cover is None else cover.conf_low,
        "coverage_high": math.nan if cover is None else cover.conf_high,
        "width": float((limits["conf_high"] - limits["conf_low"]).mean()),
        "type_s": float((np.sign(told) != np.sign(truth)).mean()) if sized else math.nan,
        "type_m": float(np.abs(told).mean() / abs(truth)) if sized else math.nan,
    }

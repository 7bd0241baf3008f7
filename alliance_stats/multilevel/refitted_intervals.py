"""Intervals that refit the model: the parametric bootstrap, and limits for its tidy frame."""

import itertools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from rich.console import Console
from rich.progress import Progress

from alliance_stats.account import Account, Column, Section, html_of, parameter_words, summary_of
from alliance_stats.checks import check_conf_level
from alliance_stats.design.formula import INTERCEPT
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import (
    AllianceStatsWarning,
    ConvergenceWarning,
    DataError,
    NotIdentifiedError,
    warn,
)
from alliance_stats.estimates import Array, one_line
from alliance_stats.formatting import format_count, format_percent
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.clusters import CR2
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.generalized_profiles import profile_generalized
from alliance_stats.multilevel.model_profiles import profile_fit
from alliance_stats.multilevel.ordinal_fit import OrdinalFit
from alliance_stats.multilevel.parameter_tables import named_parameters
from alliance_stats.multilevel.refits import Fit, drawn, refit
from alliance_stats.seeds import Seed, repeatable, whole_seed

__all__ = [
    "CI_METHODS",
    "Bootstrap",
    "CiMethod",
    "Redrawn",
    "all_parameters",
    "bootstrap_fit",
    "check_one_inference",
    "redraw",
    "with_intervals",
]

CiMethod = Literal["wald", "profile", "bootstrap"]
CI_METHODS = ("wald", "profile", "bootstrap")
Measure = Callable[[Any], Mapping[str, float]]

# Draws a task; small enough for the bar to move, large enough to outweigh handing them over.
CHUNK = 25
# Draws behind the limits of a tidy frame.
DRAWS = 1000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Bootstrap:
    """Draws of statistics under the fitted model.

    Attributes
    ----------
    observed
        The statistics of the data, by name.
    draws
        One row per simulated data set, one column per statistic.
    n_singular
        Number of refits that ended on a boundary (counted like the others).
    n_unconverged
        Number of refits that did not converge (counted like the others; ``summary()`` opens with
        them).
    rows
        The fit's row ledger.
    """

    observed: pd.Series
    draws: pd.DataFrame
    n_singular: int
    n_unconverged: int
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per statistic.

        Returns
        -------
        DataFrame
            ``term, estimate, std_error`` (SD of the draws; NaN where one is infinite, as a
            dispersion at its limit is), ``bias`` (their mean minus the estimate), ``conf_low,
            conf_high`` (percentile interval), ``n_resamples`` (draws in which the statistic is
            defined: a correlation is undefined where a variance is zero) and ``note``.
        """
        alpha = 1.0 - check_conf_level(conf_level)
        with np.errstate(invalid="ignore"):
            std_error, bias = self.draws.std(ddof=1), self.draws.mean() - self.observed
        return pd.DataFrame(
            {
                "term": list(self.draws.columns),
                "estimate": self.observed.to_numpy(),
                "std_error": std_error.to_numpy(),
                "bias": bias.to_numpy(),
                "conf_low": _percentile(self.draws, alpha / 2.0),
                "conf_high": _percentile(self.draws, 1.0 - alpha / 2.0),
                "n_resamples": self.draws.notna().sum().to_numpy(),
                "note": [self._undefined(str(term)) for term in self.draws.columns],
            }
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading: refits that did not converge, undefined statistics."""
        n = len(self.draws)
        found = []
        if self.n_unconverged:
            found.append(
                f"NOT CONVERGED: {_of(self.n_unconverged, n, 'refit')} stopped before the optimum; "
                "they count like the others."
            )
        undefined = [(str(t), self._undefined(str(t))) for t in self.draws.columns]
        return (*found, *(f"{term}: {note}." for term, note in undefined if note))

    def glance(self) -> pd.DataFrame:
        """Return one row: number of draws, and of singular and unconverged refits."""
        return pd.DataFrame(
            [
                {
                    "n_resamples": len(self.draws),
                    "n_singular": self.n_singular,
                    "n_unconverged": self.n_unconverged,
                }
            ]
        )

    @property
    def method(self) -> str:
        """What was done, how often, and how often a refit ended on a boundary."""
        n = len(self.draws)
        return (
            f"parametric bootstrap: {format_count(n)} simulated data sets, "
            f"{_of(self.n_singular, n, 'refit')} on a boundary"
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the statistics as data; what to know comes first."""
        table = self.tidy(conf_level=conf_level).drop(columns="note")
        table["term"] = table["term"].map(parameter_words)
        found = Section(
            "Parameter",
            table,
            names=("term",),
            columns={"bias": Column("bias"), "n_resamples": Column("draws", "count")},
            conf_level=conf_level,
        )
        sizes = {"rows": self.rows.n_used}
        return Account.of(self, sizes, (found,), drawn=True, sources=("davison1997",))

    summary = summary_of
    _repr_html_ = html_of

    def _undefined(self, term: str) -> str:
        missing = int(self.draws[term].isna().sum())
        if not missing:
            return ""
        return (
            f"undefined in {_of(missing, len(self.draws), 'draw')} (a variance is zero there, or "
            "the refit failed); the interval is over the others"
        )


def all_parameters(fit: Fit) -> dict[str, float]:
    """Return every coefficient, SD and correlation, named ``term`` or ``group|term``.

    For ordinal models also the thresholds, for other families the log dispersion's coefficients.
    """
    design = fit.design
    names = [design.fixed.names[i] for i in design.fixed.kept]
    estimated = dict(zip(names, map(float, fit.beta), strict=True))
    found = {name: estimated.get(name, np.nan) for name in design.fixed.names}
    if isinstance(fit, OrdinalFit):  # thresholds take the intercept's place
        moving = [names[i] for i in fit.nominal]
        for name in (INTERCEPT, *moving):
            del found[name]
        between = [f"{a}|{b}" for a, b in itertools.pairwise(fit.steps)]
        found |= zip(between, map(float, fit.thresholds), strict=True)
        moved = [f"{name} at {threshold}" for name in moving for threshold in between]
        found |= zip(moved, map(float, -fit.moves.ravel()), strict=True)
    return found | named_parameters(fit)


def bootstrap_fit(
    fit: Fit,
    measure: Measure,
    *,
    n: int,
    seed: Seed,
    workers: int | None = None,
    progress: bool = False,
) -> Bootstrap:
    """Simulate from a fit, refit, and record a measure each time.

    See :func:`~alliance_stats.multilevel.parametric_bootstrap`.
    """
    return redraw(
        _Refit(fit, measure), measure(fit), fit.design.rows,
        n=n, seed=seed, workers=workers, progress=progress,
    )  # fmt: skip


class Redrawn(NamedTuple):
    """Statistics of one simulated data set, and how its refit ended."""

    statistics: Mapping[str, float]
    singular: bool
    converged: bool


def _percentile(draws: pd.DataFrame, share: float) -> Array:
    """Take percentiles; where draws are infinite one of them, since nothing lies between."""
    with np.errstate(invalid="ignore"):
        between = draws.quantile(share)
    whole = draws.quantile(share, interpolation="nearest")
    found = between.where(~np.isinf(draws).any(), whole)
    return np.asarray(found, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Refit:
    """Draws an outcome, refits and measures; a class, so that it can be pickled."""

    fit: Fit
    measure: Measure

    def __call__(self, rng: np.random.Generator) -> Redrawn:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # the draw says so
                again = refit(self.fit, drawn(self.fit, rng))
        except (DataError, NotIdentifiedError):  # all zeros, a step never drawn, separation
            return Redrawn({}, False, False)
        return Redrawn(self.measure(again), again.singular, again.convergence.converged)


def redraw(
    draw: Callable[[np.random.Generator], Redrawn],
    observed: Mapping[str, float],
    rows: RowLedger,
    *,
    n: int,
    seed: Seed,
    workers: int | None = None,
    progress: bool = False,
) -> Bootstrap:
    """Draw many times, each with its own random stream.

    Parameters
    ----------
    draw
        Simulates a data set, refits, and returns its statistics; it goes to workers.
    observed
        The statistics of the data.
    rows
        The fit's row ledger.
    """
    if not isinstance(n, int) or n < 2:
        raise ValueError(f"n_resamples must be a whole number of data sets, at least 2; got {n!r}.")
    whole = whole_seed(seed)
    if isinstance(whole, bool) or not isinstance(whole, int | np.integer | None):
        raise TypeError(f"seed must be a whole number; got {seed!r}.")
    seeds = np.random.SeedSequence(whole).spawn(n)
    chunks = [seeds[i : i + CHUNK] for i in range(0, n, CHUNK)]
    parallel = Parallel(workers=workers)
    batch = max(1, len(chunks) // 20) if progress else max(1, len(chunks))
    found: list[_Chunk] = []
    with Progress(console=Console(stderr=True), disable=not progress, transient=True) as bar:
        task = bar.add_task("Parametric bootstrap", total=n)
        for start in range(0, len(chunks), batch):
            own = chunks[start : start + batch]
            found += parallel(delayed(_refit_chunk)(draw, chunk) for chunk in own)
            bar.advance(task, sum(len(chunk) for chunk in own))
    draws = pd.DataFrame([row for chunk in found for row in chunk.draws])
    return Bootstrap(
        pd.Series(dict(observed), dtype=np.float64)[draws.columns],
        draws,
        sum(chunk.n_singular for chunk in found),
        sum(chunk.n_unconverged for chunk in found),
        rows,
    )


class _Chunk(NamedTuple):
    """Statistics of some simulated data sets, and how their refits ended."""

    draws: list[Mapping[str, float]]
    n_singular: int
    n_unconverged: int


def _refit_chunk(
    draw: Callable[[np.random.Generator], Redrawn], seeds: list[np.random.SeedSequence]
) -> _Chunk:
    """Refit one chunk of simulated data sets, on one BLAS thread."""
    with one_blas_thread():
        found = [draw(np.random.default_rng(seed)) for seed in seeds]
    return _Chunk(
        [again.statistics for again in found],
        sum(again.singular for again in found),
        sum(not again.converged for again in found),
    )


def _of(count: int, n: int, what: str) -> str:
    """``"12 of 1,000 refits (1.2%)"``."""
    share = format_percent(count / n, 1) if n else "–"
    return f"{format_count(count)} of {format_count(n)} {what}s ({share})"


def check_one_inference(
    effects: str, ci_method: str, *, vcov: CR2 | None, df_method: str | None = None
) -> None:
    """Refuse a row whose test and interval would use different methods."""
    if vcov is not None and not isinstance(vcov, CR2):
        raise ValueError(f"vcov takes CR2('therapist'), naming the cluster; got {vcov!r}.")
    if vcov is not None and effects != "fixed":
        raise ValueError(f"vcov=CR2(...) is defined for effects='fixed', not {effects!r}.")
    if ci_method == "wald":
        return
    if effects == "ran_vals":
        raise ValueError(
            f"ci_method={ci_method!r} is not defined for predicted random effects, which have "
            "their conditional SD only: leave ci_method out."
        )
    other = "vcov=CR2(...)" if vcov is not None else f"df_method={df_method!r}"
    if effects == "fixed" and (vcov is not None or df_method == "kenward-roger"):
        raise ValueError(
            f"ci_method={ci_method!r} and {other} are two inferences: the interval would be of "
            "the likelihood, the standard error and the test of another. Ask for one at a time."
        )


def with_intervals(
    fit: Fit,
    table: pd.DataFrame,
    ci_method: str,
    *,
    conf_level: float,
    seed: Seed,
) -> pd.DataFrame:
    """Replace the limits of a table of coefficients or random parameters."""
    names = [_name(row) for row in table.itertuples(index=False)]
    if ci_method == "profile":
        terms = [n for n, value in zip(names, table["estimate"], strict=True) if pd.notna(value)]
        if isinstance(fit, GeneralizedFit):
            found = profile_generalized(fit, terms=terms).tidy(conf_level=conf_level)
        else:
            fixed = bool((table["effect"] == "fixed").all())
            likelihood = "ML" if fixed or not fit.problem.reml else "REML"
            found = profile_fit(fit, terms=terms, likelihood=likelihood).tidy(conf_level=conf_level)
    else:
        draws = bootstrap_fit(fit, all_parameters, n=DRAWS, seed=repeatable(seed))
        found = draws.tidy(conf_level=conf_level)
        estimated = table["estimate"].notna().to_numpy()
        _warn(draws, found.set_index("term")["note"].reindex(names)[estimated].dropna())
    limits = found.set_index("term").reindex(names)
    return table.assign(
        conf_low=limits["conf_low"].to_numpy(), conf_high=limits["conf_high"].to_numpy()
    )


def _warn(draws: Bootstrap, notes: pd.Series) -> None:
    """Warn about what a frame of estimates has no column for."""
    if draws.n_unconverged:
        warn(draws.notes[0], ConvergenceWarning)
    for term, note in notes[notes != ""].items():
        warn(f"Bootstrap: {term} is {note}.", AllianceStatsWarning)


def _name(row: object) -> str:
    """Name of a parameter in profiles and bootstraps."""
    effect, group, level, term = (getattr(row, x) for x in ("effect", "group", "level", "term"))
    if effect in ("fixed", "thresholds"):
        return str(term)
    if effect == "dispersion":
        return f"dispersion|{term}"
    return f"{group}|{term}" + ("" if level is None else f"|{level}")

"""Parametric bootstrap: the model's own world, drawn and refitted many times."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from alliance_stats.checks import check_conf_level
from alliance_stats.estimates import one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.inference import back_transform
from alliance_stats.multilevel.lmm import LinearMixedModel
from alliance_stats.multilevel.prediction import simulated
from alliance_stats.multilevel.reports import residual_values
from alliance_stats.multilevel.tidy_frames import sds_and_correlations

__all__ = ["Bootstrap", "parametric_bootstrap"]

Statistic = Callable[[LinearMixedModel], Mapping[str, float]]

# Draws a task; small enough for the bar to move, large enough to outweigh handing them over.
CHUNK = 25


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Bootstrap:
    """Draws of statistics under the fitted model.

    Attributes
    ----------
    observed
        The statistics of the data, by name.
    draws
        A row a simulated data set, a column a statistic.
    n_singular
        How many refits ended on a boundary (they count like the others).
    rows
        The fit's row ledger.
    """

    observed: pd.Series
    draws: pd.DataFrame
    n_singular: int
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``term, estimate, std_error, bias, conf_low, conf_high``, a row a statistic.

        ``std_error`` is the SD of the draws, ``bias`` their mean minus the estimate, and the
        interval is the percentile interval.
        """
        alpha = 1.0 - check_conf_level(conf_level)
        return pd.DataFrame(
            {
                "term": list(self.draws.columns),
                "estimate": self.observed.to_numpy(),
                "std_error": self.draws.std(ddof=1).to_numpy(),
                "bias": (self.draws.mean() - self.observed).to_numpy(),
                "conf_low": self.draws.quantile(alpha / 2.0).to_numpy(),
                "conf_high": self.draws.quantile(1.0 - alpha / 2.0).to_numpy(),
            }
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: number of draws and of singular refits."""
        return pd.DataFrame([{"n_draws": len(self.draws), "n_singular": self.n_singular}])

    def summary(self) -> str:
        """Return what was done, and the table."""
        return (
            f"Parametric bootstrap: {len(self.draws)} simulated data sets, {self.n_singular} "
            f"refits on a boundary.\n\n{self.tidy().to_string(index=False)}"
        )


def parametric_bootstrap(
    model: LinearMixedModel,
    statistic: Statistic | None = None,
    *,
    n: int = 1000,
    seed: int,
    n_jobs: int | None = None,
    progress: bool = False,
) -> Bootstrap:
    """Simulate from the fit, refit, and keep a statistic each time.

    Parameters
    ----------
    model
        The fit to simulate from; new random effects are drawn each time.
    statistic
        Takes a fitted model and returns named numbers; all coefficients, SDs and correlations if
        not given.
    n
        Number of simulated data sets.
    seed
        Every data set has its own random stream (children of this seed), so the draws do not
        depend on the number of workers or on the joblib backend.
    n_jobs
        Workers; None takes what ``joblib.parallel_config`` says, one by default.
    progress
        Show a bar on the error stream.

    Returns
    -------
    Bootstrap
        Draws, with ``tidy(conf_level=...)`` for percentile intervals.
    """
    measure = all_parameters if statistic is None else statistic
    seeds = np.random.SeedSequence(seed).spawn(n)
    chunks = [seeds[i : i + CHUNK] for i in range(0, n, CHUNK)]
    parallel = Parallel(n_jobs=n_jobs)
    batch = max(1, len(chunks) // 20) if progress else max(1, len(chunks))
    found: list[tuple[list[Mapping[str, float]], int]] = []
    with Progress(console=Console(stderr=True), disable=not progress, transient=True) as bar:
        task = bar.add_task("Parametric bootstrap", total=n)
        for start in range(0, len(chunks), batch):
            own = chunks[start : start + batch]
            found += parallel(delayed(_refit_chunk)(model, measure, chunk) for chunk in own)
            bar.advance(task, sum(len(chunk) for chunk in own))
    draws = pd.DataFrame([row for rows, _ in found for row in rows])
    observed = pd.Series(dict(measure(model)), dtype=np.float64)[draws.columns]
    return Bootstrap(observed, draws, sum(singular for _, singular in found), model.rows)


def all_parameters(model: LinearMixedModel) -> dict[str, float]:
    """Return every coefficient, SD and correlation, named ``term`` or ``group|term``."""
    values = {str(name): float(value) for name, value in model.beta.items()}
    for grouping, factor in zip(model.design.groupings, model.fit.Lambda, strict=True):
        half = back_transform(grouping.terms) @ factor * model.sigma
        for term, value in zip(*sds_and_correlations(grouping, half @ half.T), strict=True):
            values[f"{grouping.name}|{term}"] = value
    if not model.problem.known:
        for term, level, value in zip(*residual_values(model), strict=True):
            values[f"Residual|{term}" + ("" if level is None else f"|{level}")] = value
    return values


def _refit_chunk(
    model: LinearMixedModel, measure: Statistic, seeds: list[np.random.SeedSequence]
) -> tuple[list[Mapping[str, float]], int]:
    """Refit one chunk of simulated data sets, on one BLAS thread."""
    rows, singular = [], 0
    with threadpool_limits(limits=1):
        for seed in seeds:
            again = model.refit(simulated(model, np.random.default_rng(seed)))
            rows.append(measure(again))
            singular += again.singular
    return rows, singular

"""Checks of a model by outcomes simulated from it: residuals, dispersion, zeros."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.engine.families import FAMILIES
from alliance_stats.engine.laplace import find_mode
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, one_line
from alliance_stats.formatting import format_count
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.multilevel.ordinal_fit import OrdinalFit
from alliance_stats.multilevel.ordinal_mixed_model import OrdinalMixedModel
from alliance_stats.multilevel.refits import Fit, drawn
from alliance_stats.seeds import Seed, generator_of

__all__ = ["ResidualChecks", "residual_checks"]

# Simulated outcomes that are kept in memory at once (numbers).
MOST_NUMBERS = 10**8
SUSPICIOUS = 0.05
SCATTER, ZEROS, SHAPE = "scatter within units", "zeros", "distance from uniform"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ResidualChecks:
    """Simulated residuals of a model and tests on them, made by :func:`residual_checks`.

    Attributes
    ----------
    formula
        The model's.
    residuals
        One row per row used: ``outcome``, ``expected`` (mean of the simulated outcomes),
        ``residual`` (the quantile of the outcome among them, uniform on 0 to 1 if the model is
        right), with the index of the caller's rows.
    envelope
        Sorted residuals of simulated data sets, checked in the same way: ``conf_low, conf_high``.
    table
        See :meth:`tidy`.
    family
        Name of the family, ``"gaussian"`` for a linear model.
    n_resamples
        Number of simulated data sets.
    rows
        The row ledger.
    """

    formula: str
    residuals: pd.DataFrame
    envelope: pd.DataFrame
    table: pd.DataFrame
    family: str
    n_resamples: int
    rows: RowLedger

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return one row per check.

        Returns
        -------
        DataFrame
            ``term``: ``scatter within units``, the sum of squared Pearson residuals at the
            predicted random effects; ``zeros``, their number, and the number expected at those
            effects; ``distance from uniform``, the largest deviation of the residuals'
            distribution. ``observed, expected`` (under the model), ``ratio`` of the two, and
            ``p_value`` (two-sided, by simulation; one-sided for the distance).
        """
        return self.table.copy()

    def glance(self) -> pd.DataFrame:
        """Return one row: rows, simulated data sets, the smallest p-value."""
        smallest = self.table["p_value"].min()
        return pd.DataFrame(
            [{"nobs": len(self.residuals), "n_resamples": self.n_resamples, "p_value": smallest}]
        )

    @property
    def method(self) -> str:
        """What was done."""
        return (
            f"{format_count(self.n_resamples)} outcomes simulated from the model with new random "
            f"effects ({self.formula}), at its estimates: the p-values are a little too large"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What does not fit, and what to do about it."""
        found = self.table.set_index("term")
        notes = []
        for term in found.index[found["p_value"] < SUSPICIOUS]:
            more = term == SHAPE or bool(found.loc[term, "ratio"] > 1.0)
            notes.append(_ADVICE[term, more].format(self._instead(term) if more else ""))
        return tuple(notes)

    def _instead(self, term: str) -> str:
        if term == SCATTER:
            return _of_more_variance(self.family)
        if term == ZEROS and self.family == "poisson":
            return (
                "If they scatter as the rest does, a family of more variance holds them "
                '(family="negative binomial"). '
            )
        return ""

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002  (as all results)
        """Return the checks as data."""
        checks = Section(
            "Checks",
            self.table,
            names=("term",),
            measure="",
            columns={
                "observed": Column("observed"),
                "expected": Column("expected"),
                "ratio": Column("ratio"),
            },
        )
        sizes = {"rows": len(self.residuals)}
        return Account.of(self, sizes, (checks,), drawn=True, sources=("dunn1996",))

    summary = summary_of
    _repr_html_ = html_of


def _of_more_variance(family: str) -> str:
    """Return the family of which this one is the limit, or what else there is."""
    for one in FAMILIES:
        if one.dispersion is not None and one.dispersion.limit == family:
            where = " where a row has several trials" if one.support == "trials" else ""
            return f'family="{one.name}"{where}'
    varies = any(one.name == family and one.dispersion and not one.settled for one in FAMILIES)
    return "another family of variances" + (", or dispersion=" if varies else "")


_ADVICE = {
    (SCATTER, True): "Overdispersion: rows scatter more within units than the model says, and its "
    "standard errors are too small. Try {}.",
    (SCATTER, False): "Underdispersion: rows scatter minus within units than the model says, and "
    "its standard errors are too large.",
    (ZEROS, True): "Excess zeros: more than the model says. {}"
    "If not doing it at all is another matter than how often, fit whether it is done "
    '(family="binomial" of y > 0) and how often '
    '(family="truncated poisson" of the rows with y > 0) as two models.',
    (ZEROS, False): "Too few zeros: less than the model says. Where they cannot be seen, use "
    'family="truncated poisson".{}',
    (SHAPE, True): "The residuals are not uniform: look at their picture (residual_checks_figure) "
    "for where the outcome leaves what the model says, and at terms that bend.{}",
}


def residual_checks(
    model: GeneralizedLinearMixedModel | OrdinalMixedModel | LinearMixedModel,
    *,
    n_resamples: int = 250,
    seed: Seed,
) -> ResidualChecks:
    """Check a model by outcomes simulated from it.

    Parameters
    ----------
    model
        A fit of ``glmm``, ``ordinal`` or ``lmm``.
    n_resamples
        Number of simulated data sets, each with new random effects.
    seed
        Seed of the simulation. Outcomes are drawn row by row in the data's order: the same rows in
        another order give other draws.

    Returns
    -------
    ResidualChecks
        With ``residuals``, ``tidy()``, ``summary()``; drawn by ``figures.residual_checks_figure``.

    Raises
    ------
    DataError
        Anything other than a fitted model; more simulated numbers than should be held in memory.

    Notes
    -----
    A residual is the share of simulated outcomes of its row that are smaller than the one observed,
    ties broken at random (randomised quantile residuals: Dunn & Smyth 1996,
    doi:10.1080/10618600.1996.10474708). Rows of a unit share its effect, so residuals are
    correlated and textbook tests are invalid. Here every statistic is computed for the data and for
    each simulated data set in the same way (the dispersion at the random effects predicted from
    each), and the p-value shows how extreme the data are. Parameters are not re-estimated, which
    makes the p-values slightly too large.

    Examples
    --------
    >>> from alliance_stats import example_study, glmm, residual_checks
    >>> early = example_study().sessions.query("session <= 4")
    >>> low = early.assign(low=lambda d: 1 * (d["alliance"] < 4))
    >>> model = glmm("low ~ session + (1 | person)", low)
    >>> residual_checks(model, n_resamples=40, seed=1).tidy()["term"].tolist()
    ['scatter within units', 'distance from uniform']
    """
    if not isinstance(model, GeneralizedLinearMixedModel | OrdinalMixedModel):
        require_linear(model, asked="residual_checks takes", fitted="lmm, glmm or ordinal")
    if not isinstance(n_resamples, int) or n_resamples < 20:
        raise ValueError(
            f"n_resamples must be a whole number of data sets, at least 20; got {n_resamples!r}."
        )
    fit, y = model.fit, model.design.y
    if len(y) * n_resamples > MOST_NUMBERS:
        raise DataError(
            f"{n_resamples} outcomes of {len(y)} rows are more numbers than are held at once: ask "
            f"for n_resamples={max(20, MOST_NUMBERS // len(y))} or fewer."
        )
    rng = generator_of(seed)
    outcomes = np.empty((len(y), n_resamples + 1))
    outcomes[:, 0] = y
    with one_blas_thread():
        for k in range(1, n_resamples + 1):
            outcomes[:, k] = drawn(fit, rng)
        found = _statistics(fit, outcomes)
    quantiles = _quantiles(outcomes, rng)
    ordered = np.sort(quantiles, axis=0)
    grid = (np.arange(len(y)) + 0.5) / len(y)
    distance = np.abs(ordered - grid[:, None]).max(axis=0)
    found[SHAPE] = np.stack([distance, np.ones_like(distance)])
    low, high = np.quantile(ordered[:, 1:], (0.025, 0.975), axis=1)
    residuals = pd.DataFrame(
        {"outcome": y, "expected": outcomes[:, 1:].mean(axis=1), "residual": quantiles[:, 0]},
        index=model.design.index,
    )
    family = fit.asked.name if isinstance(fit, GeneralizedFit) else "gaussian"
    return ResidualChecks(
        model.formula,
        residuals,
        pd.DataFrame({"theoretical": grid, "conf_low": low, "conf_high": high}),
        pd.DataFrame([_row(term, values) for term, values in found.items()]),
        family,
        n_resamples,
        model.rows,
    )


def _row(term: str, statistics: Array) -> dict[str, object]:
    """Refer the data's statistic to those of simulated data, each over its expected value."""
    values, expected = statistics
    against = values / expected
    above = 1 + (against[1:] >= against[0]).sum()
    below = 1 + (against[1:] <= against[0]).sum()
    tail = above if term == SHAPE else 2.0 * min(above, below)
    usual = float(expected[0] * against[1:].mean())
    return {
        "term": term,
        "observed": float(values[0]),
        "expected": usual,
        "ratio": float(values[0]) / usual if usual else np.nan,
        "p_value": min(float(tail / len(values)), 1.0),
    }


def _statistics(fit: Fit, outcomes: Array) -> dict[str, Array]:
    """Return dispersion and zeros of each column, where the model has them: (2, columns)."""
    if not isinstance(fit, GeneralizedFit) or isinstance(fit, OrdinalFit):
        return {}
    order = fit.problem.layout.order
    scatter, expected = np.array([_at_modes(fit, y[order]) for y in outcomes.T]).T
    found = {SCATTER: np.stack([scatter, np.ones_like(scatter)])}
    if fit.family.support == "counts":
        zeros = (outcomes == 0).sum(axis=0).astype(np.float64)
        found[ZEROS] = np.stack([zeros, expected])
    return found


def _at_modes(fit: GeneralizedFit, y: Array) -> tuple[float, float]:
    """Return the sum of squared Pearson residuals and expected zeros, at the modes of an outcome.

    All else is as fitted.
    """
    problem, old = fit.problem, fit.problem.outcome
    family, own = problem.family, old.dispersion if len(old.dispersion) else None
    at = replace(problem, outcome=family.outcome(y, old.trials, own))
    eta = problem.offset + fit.gamma @ problem.Q
    if fit.design.groupings:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of steps too far
            eta = find_mode(at, at.arranged(fit.Lambda), fit.gamma, fit.minimum.memory).eta
    mean = old.trials * family.mean(eta)
    variance = family.variance(eta, old.trials, old.dispersion)
    zeros = 1.0
    if family.support == "counts":
        none = family.outcome(np.zeros(len(y)), old.trials, own)
        # of a count of 0 the log-density has no constant
        zeros = np.exp(family.log_density(eta, none)).sum()
    return float(((y - mean) ** 2 / variance).sum()), float(zeros)


def _quantiles(outcomes: Array, rng: np.random.Generator) -> Array:
    """Return the rank of each column's outcome among those of its row, scaled from 0 to 1."""
    ties = rng.random(outcomes.shape)
    order = np.lexsort((ties, outcomes), axis=1)
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(outcomes.shape[1])[None], axis=1)
    return np.asarray((places + rng.random(outcomes.shape)) / outcomes.shape[1])

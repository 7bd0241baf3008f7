"""Comparisons on the response scale: how a predictor changes the expected outcome."""

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import check_choice, check_conf_level, require_columns
from alliance_stats.door import replaced
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, one_line, two_sided_p
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.after.asked_model import (
    FittedModel,
    caveats,
    infer,
    link_of,
    require_fitted,
)
from alliance_stats.multilevel.after.estimated_means import cell
from alliance_stats.multilevel.after.expected_responses import ExpectedResponses, Level
from alliance_stats.multilevel.after.reference_grid import (
    Predictor,
    label_of,
    levels_of,
    names_of,
    predictors,
    require_predictor,
)
from alliance_stats.multilevel.linear_functions import DfMethod, Inference
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed, generator_of

__all__ = ["Comparisons", "comparisons"]

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
    scale
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
    scale: Compare
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
        """Return one row per comparison.

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
        estimate = after - before if self.scale == "difference" else after / before
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
        ratio = self.scale == "ratio"
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
        """Return one row: what was compared, at which level, and how uncertainty was computed."""
        return pd.DataFrame(
            [
                {
                    "n_comparisons": len(self.labels),
                    "scale": self.scale,
                    "level": self.level,
                    "n_resamples": self.draws.shape[1],
                    "df_method": self.inference.df_method,
                    "link": link_of(self.model).name,
                }
            ]
        )

    @property
    def method(self) -> str:
        """What was compared, at which level, and how uncertainty was computed."""
        sort = {"difference": "differences", "ratio": "ratios"}[self.scale]
        how = f"{self.draws.shape[1]} simulated draws" if self.draws.shape[1] else "delta method"
        linear = link_of(self.model).name == "identity"
        where = "" if linear else f" at the {self.level} level"
        return f"{sort} in the expected response{where}, averaged over the rows used ({how})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading."""
        return caveats(self.model)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the comparisons as data."""
        found = Section(
            "",
            self.tidy(conf_level=conf_level),
            names=tuple(self.labels.columns),
            measure=self.scale,
            columns={"expected_from": Column("from"), "expected_to": Column("to")},
            conf_level=conf_level,
        )
        sizes = {"rows": self.rows.n_used}
        drawn = self.draws.shape[1] > 0
        return Account.of(self, sizes, (found,), drawn=drawn, sources=("oehlert1992",))

    summary = summary_of
    _repr_html_ = html_of


@renamed(draws="n_resamples", compare="scale")
def comparisons(
    model: FittedModel,
    variable: str,
    *,
    values: tuple[object, object] | None = None,
    by: str | Sequence[str] | None = None,
    scale: Compare = "difference",
    level: Level = "population",
    df_method: DfMethod | None = None,
    n_resamples: int = 0,
    seed: Seed = None,
) -> Comparisons:
    """Compare the expected response under two values of a predictor, all else as observed.

    Every row used is given the first value, then the second; the model's expected responses are
    averaged over the rows and compared: a risk difference or a risk ratio for a binomial model.

    Parameters
    ----------
    model
        A fitted ``lmm`` or ``glmm``.
    variable
        A predictor of the fixed effects.
    values
        ``(a, b)``: from a to b. By default, each later level of a factor is compared with the
        first, and a numeric predictor is raised by one unit from each row's own value.
    by
        Columns of the model that define the groups within which to average.
    scale
        ``"difference"`` (b minus a) or ``"ratio"`` (b over a) of the averages.
    level
        ``"population"``: random effects integrated out, as in ``glmm``'s predictions (what is
        observed as a proportion in a population). ``"typical"``: random effects zero. No difference
        for a linear model.
    df_method
        See :func:`estimated_means`.
    n_resamples
        0 for the delta method; otherwise the number of draws of the coefficients from their normal
        distribution, which requires a `seed`.
    seed
        Seed of the simulation.

    Returns
    -------
    Comparisons
        With ``tidy()``, ``glance()``, ``summary()``.

    Raises
    ------
    FormulaError
        A name that is not a predictor.
    DataError
        A value that the data do not have, or a ratio of averages that are not positive.
    NotIdentifiedError
        Rows would be moved to combinations whose mean cannot be estimated from the data.
    ValueError
        Draws without a seed, or fewer than 100 of them.

    Notes
    -----
    The delta method takes the gradient of the averages by the coefficients (of the log for a ratio;
    Oehlert 1992, doi:10.1080/00031305.1992.10475842). Variances of random effects are taken as
    known in both methods, and the rows as given. In a model with an offset each row keeps its own.
    For a discrete-time hazard this compares hazards of a session, not of a whole treatment.

    Examples
    --------
    >>> from alliance_stats import comparisons, example_study, lmm
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + role + (1 | family/person)", sessions)
    >>> table = comparisons(model, "session").tidy()
    >>> table[["contrast", "estimate", "conf_low", "conf_high"]].round(3)
      contrast  estimate  conf_low  conf_high
    0       +1     0.029     0.026      0.032
    """
    check_choice(scale, ("difference", "ratio"), name="scale")
    check_choice(level, ("population", "typical"), name="level")
    rng = _rng(n_resamples, seed)
    require_fitted(model)
    known = predictors(model.design)
    predictor = require_predictor(variable, known)
    inference = infer(model, df_method)
    groups = _groups(model.design.frame, names_of(by))
    scenarios = _scenarios(model.design.frame, predictor, values)
    if not scenarios:
        raise NotIdentifiedError(
            f"'{variable}' has one value in the rows used: there is nothing to compare it with."
        )
    lines, expected, gradient, simulated = [], [], [], []
    betas = _draw(inference, n_resamples, rng)
    linear = link_of(model).name == "identity"
    for name, (before, after) in scenarios.items():
        arms = [ExpectedResponses.of(model, inference, frame, level) for frame in (before, after)]
        for label, rows in groups:
            _check_estimable(inference, arms, rows, variable, linear=linear)
            means, slopes = zip(
                *(arm.mean_and_gradient(inference.beta, rows) for arm in arms), strict=True
            )
            sampled = [arm.sampled(betas, rows) for arm in arms]
            if scale == "ratio":
                if min(means) <= 0:
                    raise DataError(
                        f"The expected responses {means[0]:g} and {means[1]:g} have no ratio: both "
                        "must be positive. Compare by difference."
                    )
                gradient.append(slopes[1] / means[1] - slopes[0] / means[0])
                simulated.append(sampled[1] / sampled[0])
            else:
                gradient.append(slopes[1] - slopes[0])
                simulated.append(sampled[1] - sampled[0])
            expected.append(means)
            lines.append({**label, "term": variable, "contrast": _named(name, scale)})
    return Comparisons(
        model,
        inference,
        pd.DataFrame(lines),
        scale,
        level,
        np.array(expected),
        np.array(gradient),
        np.array(simulated).reshape(len(lines), n_resamples),
    )


def _scenarios(
    frame: pd.DataFrame, predictor: Predictor, values: tuple[object, object] | None
) -> dict[tuple[str, str] | str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Name -> the frame before and after."""
    name, levels = predictor.name, predictor.levels

    def at(value: object) -> pd.DataFrame:
        column = predictor.column([value] * len(frame))
        return replaced(frame, {name: column.set_axis(frame.index)})

    if values is None and levels is None:
        return {"+1": (frame, replaced(frame, {name: frame[name] + 1.0}))}
    if values is not None:
        if len(values) != 2 or values[0] == values[1]:
            raise DataError(f"values= must be two different values (a, b); got {values!r}.")
        unknown = [v for v in values if levels is not None and v not in levels]
        if unknown:
            raise DataError(
                f"'{name}' has no level {unknown[0]!r} in the rows used; it has "
                f"{', '.join(map(str, levels or ()))}."
            )
        if levels is None and not all(isinstance(v, int | float) for v in values):
            raise DataError(f"'{name}' is numeric; values= gave {values!r}.")
        pairs = [values]
    else:
        pairs = [(levels[0], level) for level in levels[1:]] if levels else []
    return {(cell(a), cell(b)): (at(a), at(b)) for a, b in pairs}


def _groups(
    frame: pd.DataFrame, by: tuple[str, ...]
) -> list[tuple[dict[Hashable, object], Booleans]]:
    if not by:
        return [({}, np.ones(len(frame), dtype=bool))]
    require_columns(frame, by, what="the model's data")
    found = []
    levels = [levels_of(frame[name]) for name in by]
    for combination in itertools.product(*levels):
        rows = np.ones(len(frame), dtype=bool)
        for name, value in zip(by, combination, strict=True):
            rows &= (frame[name] == value).to_numpy()
        if rows.any():
            found.append((dict(zip(map(label_of, by), combination, strict=True)), rows))
    return found


def _check_estimable(
    inference: Inference,
    arms: list[ExpectedResponses],
    rows: Booleans,
    variable: str,
    *,
    linear: bool,
) -> None:
    """Refuse rows whose mean is not estimable; in a linear model only their average matters."""
    X = [arm.X[rows] for arm in arms]
    if linear:
        fine = bool(inference.estimable((X[1] - X[0]).mean(axis=0)[None]).all())
    else:
        fine = all(bool(inference.estimable(part).all()) for part in X)
    if not fine:
        raise NotIdentifiedError(
            f"Changing '{variable}' takes rows to combinations of predictors whose mean these data "
            "do not determine (no row has them, or other columns determine them). Choose other "
            "values=, or leave the interaction out."
        )


def _rng(draws: int, seed: Seed) -> np.random.Generator | None:
    if draws == 0:
        return None
    if draws < 100 or seed is None:
        raise ValueError(
            f"Simulation needs a seed= and at least 100 draws; got n_resamples={draws}, "
            f"seed={seed}."
        )
    return generator_of(seed)


def _draw(inference: Inference, draws: int, rng: np.random.Generator | None) -> Array:
    if rng is None:
        return np.empty((0, len(inference.beta)))
    return rng.multivariate_normal(inference.beta, inference.covariance, size=draws, method="eigh")


def _named(name: tuple[str, str] | str, compare: Compare) -> str:
    if isinstance(name, str):
        return name
    sign = "-" if compare == "difference" else "/"
    return f"{name[1]} {sign} {name[0]}"
